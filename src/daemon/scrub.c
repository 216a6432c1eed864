/* SPDX-License-Identifier: Apache-2.0 */
/* The store is looked at all the time, a bit at a time, on a lane beside the loop
 * (store_scrub): the first pass soon, for what rotted while nobody looked, the later ones
 * slowly. What was put right may be a root that the other nodes should hear of, or a row that is
 * gone: one of another node they have, and one of our own is written again. */
#include "config.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "ident/checker.h"
#include "net/lane.h"
#include "table/rows.h"

enum {
	/* A step is about 0.2 ms of work: a million rows, 50,000 steps, take a quarter of an
	 * hour in the first pass and half a day in the others. */
	SCRUB_FIRST_MS = 20,
	SCRUB_MS = MS_SECOND,
};

struct scrub {
	struct daemon *d;
	struct lane *lane;
	struct loop_timer *timer;
	struct checker *checker;
	bool is_first; /* pass */
	bool is_closing;
	int said;	    /* the last error */
	uint64_t *scrubbed; /* metrics */
	uint64_t *faults[STORE_FAULTS];
	/* The lane's while it runs. */
	int rc;
	bool is_changed, is_end;
};

/* ---- the lane ---- */

bool
scrub_is_genuine(void *arg, const struct row_key *key, const struct row *row)
{
	struct daemon *d = arg;
	struct checker *checker = d->scrub->checker;
	int rc = checker_check(checker, key, row);
	struct row_key node;
	struct row held;

	if (rc == -OCF_EUNKNOWN && row_key_make(&key->owner, ROW_NODE, "", &node) == 0 &&
	    store_get(d->store, &node, &held) == 0) {
		if (checker_check(checker, &node, &held) == 0)
			rc = checker_check(checker, key, row);
		row_fini(&held);
	}
	return rc != -OCF_ESIGNATURE; /* one that nobody can check stays */
}

static void
scrub_work(void *arg)
{
	struct scrub *scrub = arg;

	scrub->rc = store_scrub(scrub->d->store, &scrub->is_changed, &scrub->is_end);
}

/* ---- the loop's thread ---- */

static void
scrub_count(struct scrub *scrub)
{
	struct store_stats stats;

	store_stats(scrub->d->store, &stats);
	*scrub->scrubbed = stats.scrubbed;
	for (int i = 0; i < STORE_FAULTS; i++)
		*scrub->faults[i] = stats.faults[i];
}

static void
scrub_on_done(void *arg, bool was_run)
{
	struct scrub *scrub = arg;

	if (scrub->is_closing || !was_run)
		return;
	scrub_count(scrub);
	if (scrub->rc != 0 && scrub->rc != scrub->said)
		log_error("store", "what lies in it cannot be looked at: %s",
			  error_text(scrub->rc));
	scrub->said = scrub->rc;
	if (scrub->is_changed) {
		links_root_changed(scrub->d->links);
		rows_look_again(scrub->d->rows);
	}
	if (scrub->is_end && scrub->is_first) {
		scrub->is_first = false;
		log_debug("store", "the store was looked at wholly");
	}
	loop_timer_set(scrub->timer, scrub->is_first ? SCRUB_FIRST_MS : SCRUB_MS);
}

static void
scrub_on_timer(void *arg)
{
	struct scrub *scrub = arg;

	lane_put(scrub->lane, scrub_work, scrub_on_done, scrub);
}

struct scrub *
scrub_open(struct daemon *d)
{
	struct scrub *scrub = mem_calloc(1, sizeof(*scrub));

	scrub->d = d;
	scrub->is_first = true;
	scrub->checker = checker_new(d->identity, table_node_cert);
	scrub->scrubbed = metrics_counter(d->metrics, "ocf_store_scrubbed_total",
					  "Parts of the store that were looked at.",
					  NULL);
	for (int i = 0; i < STORE_FAULTS; i++) {
		const char *kind = store_fault_text((enum store_fault)i);
		char *labels = metrics_labels("kind", kind, (char *)NULL);

		scrub->faults[i] = metrics_counter(
			d->metrics, "ocf_store_faults_total",
			"Damage found in the store; other than 0: the "
			"disk or the memory fails.",
			labels);
		free(labels);
	}
	scrub->lane = lane_open(d->loop);
	scrub->timer = loop_timer_new(d->loop, scrub_on_timer, scrub);
	loop_timer_set(scrub->timer, SCRUB_MS);
	return scrub;
}

void
scrub_close(struct scrub *scrub)
{
	if (scrub == NULL)
		return;
	scrub->is_closing = true;
	loop_timer_free(scrub->timer);
	lane_close(scrub->lane);
	checker_free(scrub->checker);
	free(scrub);
}
