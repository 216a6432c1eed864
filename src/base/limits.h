/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that more than one layer must agree on. A limit of one module stands in its own
 * header. */
#ifndef OCF_BASE_LIMITS_H
#define OCF_BASE_LIMITS_H

enum {
	/* A frame between nodes, header included: one TLS record holds 16 KiB, so a frame
	 * delays an urgent one behind it by at most a few packets. */
	LIMIT_FRAME_BYTES_MAX = 64 * 1024,
	/* A row's value: a node or worker description; telemetry does not belong there. */
	LIMIT_VALUE_BYTES_MAX = 16 * 1024,
	LIMIT_SERVICE_BYTES_MAX = 200, /* a service name or NATS subject */
	LIMIT_MATCH_BYTES_MAX = 256,   /* one k=v of a match or a selector */
	LIMIT_MATCHES_MAX = 64,	       /* of one service of one worker */
	LIMIT_SERVICES_MAX = 32,       /* of one worker */
	LIMIT_WORKER_ID_BYTES_MAX = 64,
	LIMIT_NODE_NAME_BYTES_MAX = 64,
	LIMIT_SLOTS_MAX = 4096, /* of one worker */
	/* One part of a streamed body, over NATS and between nodes; with its frame header
	 * and query id it still fits a frame. */
	LIMIT_PART_BYTES_MAX = 60 * 1024,
	LIMIT_PARTS_WINDOW = 16, /* parts sent and not yet credited */
};

#endif
