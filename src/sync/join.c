/* SPDX-License-Identifier: Apache-2.0 */
/* Joining: a node with next to nothing reads another's table page by page, from a cursor
 * that outlives the session. Each link may go on with it; when the last page was read, one
 * node other than the donor is to find the tables equal, or make them so.
 *
 *   NONE -> PAGES, over as many sessions as it takes -> CHECK -> NONE
 *
 * A donor that skips rows gains nothing: what it left out the comparison brings. */
#include "config.h"

#include <string.h>

#include "sync/core.h"

bool
join_begin(struct sync *s, uint64_t theirs, uint8_t ret_cursor[SYNC_K_BYTES])
{
	struct sync_session *x = s->session;
	uint64_t ours = x->ours.count;
	bool is_begun = s->join.state == SYNC_JOIN_PAGES;

	if (x->result.is_dry)
		return false;
	/* What is not settled is held all the same: settled roots do not tell how few rows are
	 * here. */
	if (!is_begun && (x->flags & SYNC_FLAG_WHOLE) == 0)
		return false;
	/* One that was begun goes on as long as the other has more rows. */
	if (theirs <= (is_begun ? ours : SYNC_FEW_FACTOR * ours) + SYNC_FEW_ROWS) {
		if (is_begun && theirs + SYNC_FEW_ROWS >= s->join.of)
			s->join.state = SYNC_JOIN_CHECK; /* the rest came by itself */
		return false;
	}
	if (!is_begun)
		s->join = (struct sync_join){ .state = SYNC_JOIN_PAGES };
	s->join.of = theirs;
	s->join.since = s->now;
	s->join.rows_before = s->join.rows;
	memcpy(ret_cursor, s->join.cursor, SYNC_K_BYTES);
	return true;
}

void
join_rows(struct sync *s, uint64_t rows)
{
	s->join.rows += rows;
}

void
join_go_on(struct sync *s, const uint8_t cursor[SYNC_K_BYTES])
{
	memcpy(s->join.cursor, cursor, SYNC_K_BYTES);
}

void
join_read_all(struct sync *s, const struct id *donor)
{
	s->join.state = SYNC_JOIN_CHECK;
	s->join.donor = *donor;
}

void
join_ended(struct sync *s, const struct id *node, int rc, bool is_equal)
{
	struct sync_join *j = &s->join;
	bool is_donor = j->state == SYNC_JOIN_CHECK && id_equal(&j->donor, node);

	if (is_donor && rc < 0) /* not even it has compared: whoever does is the other */
		j->donor = (struct id){ { 0 } };
	else if (!is_donor && rc == 0 && is_equal)
		j->state = SYNC_JOIN_NONE;
}

bool
join_wants(const struct sync *s, const struct sync_link *l)
{
	return s->join.state == SYNC_JOIN_PAGES ||
	       (s->join.state == SYNC_JOIN_CHECK && !id_equal(&s->join.donor, &l->node));
}

bool
sync_is_paging(const struct sync *s, uint64_t link)
{
	return s->session != NULL && s->session->link == link && s->session->is_paging;
}

bool
sync_joining(const struct sync *s, struct sync_joining *ret_joining)
{
	const struct sync_join *j = &s->join;
	uint64_t rows = j->rows - j->rows_before;
	ms_t span = s->now - j->since;

	if (j->state != SYNC_JOIN_PAGES)
		return false;
	*ret_joining = (struct sync_joining){ .rows = j->rows,
					      .of = j->of > j->rows ? j->of : j->rows,
					      .remaining_ms = -1 };
	if (s->session == NULL || !s->session->is_paging || span <= 0 || rows == 0)
		return true;
	ret_joining->rows_s = rows * MS_SECOND / (uint64_t)span;
	ret_joining->remaining_ms = (ms_t)((ret_joining->of - j->rows) * (uint64_t)span /
					   rows);
	return true;
}
