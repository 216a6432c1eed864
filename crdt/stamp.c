/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crdt/stamp.h"

#include <assert.h>

#include "base/clock.h"
#include "crdt/row.h"

uint64_t
stamp_next(struct stamp_clock *clock, int64_t wall_ms)
{
	uint64_t wall = wall_ms > 0 ? (uint64_t)wall_ms : 0;

	assert(clock->last < ROW_STAMP_MAX);
	clock->last = wall > clock->last ? wall : clock->last + 1;
	return clock->last;
}

void
stamp_seen(struct stamp_clock *clock, uint64_t stamp)
{
	if (stamp > clock->last && stamp < ROW_STAMP_MAX)
		clock->last = stamp;
}

uint64_t
stamp_horizon(int64_t wall_ms, int64_t retention_ms)
{
	int64_t end;

	assert(retention_ms >= 0);
	if (wall_ms <= retention_ms)
		return 0;
	end = wall_ms - retention_ms;
	return (uint64_t)(end - end % MS_HOUR);
}
