/* SPDX-License-Identifier: Apache-2.0 */
/* What workers say of themselves, on its way into the registry. All that a worker sends
 * reaches the node over one connection, so who announces at the rate of a line must not hold
 * up what others answer, nor the loop: announcements are taken off the connection at once,
 * and into the registry in slices of bounded time. What a known worker repeats, its
 * heartbeat, is heard at once, whatever waits. Beyond a bound of bytes announcements are left
 * out, with one warning a minute: workers repeat theirs. Of what one worker
 * said and that waits only the last counts, so that none can change all tables without rest.
 *
 * A connection's end is heard at once, too, and again behind what that connection had said
 * before and waits. Of such ends at most INTAKE_ENDS_MAX wait. With one more all that waits is
 * left out and counted, for nobody could tell any more who of it is still there, and the
 * owner has those who are say it again. Loop thread only. */
#ifndef OCF_BUS_INTAKE_H
#define OCF_BUS_INTAKE_H

#include <stdint.h>

#include "base/bytes.h"
#include "bus/registry.h"
#include "net/loop.h"

enum {
	/* All workers that a node may have, announcing at once after its restart, and more. */
	INTAKE_BYTES_MAX = 16 * 1024 * 1024,
	/* Connections that end while a flood waits, one of a worker's whole life each: more than
	 * all workers of a node. In memory 3 MiB. */
	INTAKE_ENDS_MAX = 16384,
	INTAKE_SLICE_MS = 2, /* then whatever else is ready has its turn */
	INTAKE_WARNING_AGAIN_MS = MS_MINUTE,
};

struct bus_intake;

struct bus_intake_handler {
	void (*warning)(void *arg, const char *text);
	/* All that waited was left out: workers must be asked for it. */
	void (*ask_again)(void *arg);
};

struct bus_intake *bus_intake_new(struct loop *loop, struct registry *reg,
				  const struct bus_intake_handler *handler, void *arg);
void bus_intake_free(struct bus_intake *intake);
/* To be followed by bus_intake_run(), once for all that arrived. */
void bus_intake_announce(struct bus_intake *intake, struct bytes json);
void bus_intake_ended(struct bus_intake *intake, uint64_t client_id);
void bus_intake_run(struct bus_intake *intake);
/* The connection was lost: what waits is of connections that may be no more. */
void bus_intake_clear(struct bus_intake *intake);
/* Announcements heard; of these refused or left out; bytes that wait. */
void bus_intake_stats(const struct bus_intake *intake, struct bus_stats *stats);

#endif
