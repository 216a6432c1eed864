/* SPDX-License-Identifier: Apache-2.0 */
/* One sync core and a peer made of bare hands, for unit tests: what the core does is kept,
 * and READs are answered from a table of rows at once, or when the test says so. */
#ifndef OCF_TESTS_SYNC_RIG_H
#define OCF_TESTS_SYNC_RIG_H

#include "lib/rowset.h"
#include "lib/tap.h"
#include "sync/core.h"

enum { SENT_MAX = 256, WALL_MS = 1000000000 };

struct rig {
	struct sync *s;
	struct rowset rows;
	ms_t now;
	struct buf sent[SENT_MAX]; /* payloads of SYNC frames */
	uint64_t sent_link[SENT_MAX];
	int sent_len;
	uint64_t rows_bytes;
	char rejected[SYNC_WHY_SIZE];
	uint64_t rejected_link;
	struct sync_result result;
	int done;
	bool is_held;		    /* READs are not answered */
	uint64_t horizon, believed; /* ours; up to which we sweep */
	struct sync_action reads[64];
	int reads_len;
};

/* `rows` rows of our own; a random link every `interval`, 0 never. */
void rig_init(struct rig *r, int rows, ms_t interval);
void rig_fini(struct rig *r);
/* What was sent. */
void rig_forget(struct rig *r);
void rig_step(struct rig *r, struct sync_event *e);
/* Answer what was held back. */
void rig_release(struct rig *r);
/* Until then, with all ticks. */
void rig_pass(struct rig *r, ms_t span);
/* Our id is 5: the peers of links 1 to 4 have smaller ones, that of 6 a larger one. */
void rig_up(struct rig *r, uint64_t link, uint64_t their_rows);
void rig_down(struct rig *r, uint64_t link);
/* A person asks. */
void rig_start(struct rig *r, uint64_t link, uint64_t request, bool is_dry);
/* A heartbeat comes. */
void rig_root(struct rig *r, uint64_t link, uint64_t epoch, bool is_equal);
/* A frame comes on the link. */
void rig_hear(struct rig *r, uint64_t link, const struct sync_frame *f);
/* The latest frame sent; its entries point into `sent`. */
struct sync_frame rig_last(struct rig *r);
/* Was the link rejected with these words? Forgets it. */
bool rig_is_rejected(struct rig *r, const char *words);

#endif
