/* SPDX-License-Identifier: Apache-2.0 */
/* One mesh core and one peer that says what a test wants: what was done in the latest step is
 * kept, a letter for each action. A rig (mesh-rig.h) has more peers, and keeps all. */
#ifndef OCF_TESTS_MESH_SCRIPT_H
#define OCF_TESTS_MESH_SCRIPT_H

#include "lib/tap.h"
#include "mesh/mesh.h"

enum { SCRIPT_WALL_MS = 1700000000, SCRIPT_START_MS = 1000 };

struct script {
	struct mesh *mesh;
	ms_t now;
	struct id peer;
	uint64_t link;
	/* What was seen since the last step: */
	char kinds[512]; /* a letter for each action */
	bool is_rowless, is_sync, is_barred;
	uint64_t horizon;
	size_t wanted; /* bytes */
	int wants;     /* sent */
	int clocks;    /* sent, ever */
	struct u128 root, our_root;
	uint64_t rows_len, our_rows_len, word, beat;
	char why[MESH_WHY_SIZE];
	uint8_t types[64]; /* of the frames sent */
	int types_len;
	uint8_t goodbye;
	uint64_t dialled;
	char address[128];
	enum mesh_state state;
	uint64_t incarnation;
	size_t delivered;
};

void script_start(struct script *s);
void script_end(struct script *s);
void script_step(struct script *s, struct mesh_event e);
/* Tick until that moment, or until a node's state changes or a link is closed. */
void script_wait(struct script *s, ms_t until);
/* The peer opens a link to us; says HELLO as it should, or otherwise; or all of that. */
void script_accept(struct script *s);
struct wire_hello script_hello(const struct script *s);
void script_greet(struct script *s, const struct wire_hello *h);
void script_up(struct script *s);
/* Bytes, one frame, or a heartbeat of the peer. */
void script_data(struct script *s, const struct buf *b);
void script_frame(struct script *s, uint8_t type, uint8_t flags, const char *payload,
		  size_t len);
void script_beat(struct script *s, int next_s);

#endif
