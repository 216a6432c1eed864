/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/model.h"

#include <assert.h>
#include <string.h>

#include "lib/sha256.h"

void
model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
}

void
model_fini(struct model *m)
{
	for (int i = 0; i < m->n; i++)
		version_fini(&m->events[i].version);
	m->n = 0;
}

int
model_write(struct model *m, uint64_t seen, const struct row *row, struct dot dot,
	    const char *value)
{
	struct bytes text = value != NULL ? bytes_text(value) : BYTES_NONE;
	uint8_t signature[ROW_SIGNATURE_BYTES];
	int i = m->n;

	assert(i < MODEL_EVENTS_MAX);
	if (version_next(row, dot, ++m->last_stamp, value != NULL ? &text : NULL,
			 &m->events[i].version) != 0)
		return -1;
	memset(signature, i + 1, sizeof(signature));
	version_seal(&m->events[i].version, signature, test_sha256);
	m->events[i].saw = seen;
	/* To see an event is to see what it saw. */
	for (int j = 0; j < i; j++)
		if (seen >> j & 1)
			m->events[i].saw |= m->events[j].saw;
	m->n++;
	return i;
}

uint64_t
model_standing(const struct model *m, uint64_t events)
{
	uint64_t standing = events;

	for (int i = 0; i < m->n; i++)
		if (events >> i & 1)
			standing &= ~m->events[i].saw;
	return standing;
}

bool
model_agrees(const struct model *m, uint64_t events, const struct row *row)
{
	uint64_t standing = model_standing(m, events);
	int n = 0;

	for (int i = 0; i < m->n; i++) {
		struct row one = { .len = 1, .versions = { m->events[i].version } };
		bool is_there = false;

		if (!(standing >> i & 1))
			continue;
		n++;
		for (int j = 0; j < row->len; j++) {
			struct row other = { .len = 1, .versions = { row->versions[j] } };

			is_there |= row_equal(&one, &other);
		}
		if (!is_there)
			return false;
	}
	return n == row->len;
}

void
model_row(const struct model *m, int event, struct row *ret_row)
{
	struct row one = { .len = 1, .versions = { m->events[event].version } };

	row_copy(&one, ret_row);
}
