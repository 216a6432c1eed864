/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says of connections that were refused: one line each, with who it was and
 * why, and of one kind only so many, so that nobody fills a disk by knocking. A kind is what
 * the reason says, numbers left out: a flood of one kind hides no other. Zeroed is ready;
 * loop's thread. */
#ifndef OCF_DAEMON_REFUSALS_H
#define OCF_DAEMON_REFUSALS_H

#include "base/log.h"

enum {
	REFUSALS_KINDS = 16, /* kept apart by a hash */
	REFUSALS_SPAN_MS = 10 * 1000,
	REFUSALS_BURST = 5, /* lines of a kind in that span */
};

struct refusals {
	struct log_limit limits[REFUSALS_KINDS];
};

/* "WHO is refused: WHY", as a warning of `module`. */
void refusals_log(struct refusals *refusals, const char *module, const char *who,
		  const char *why);
/* Which of the limits counts it. */
int refusals_kind(const char *why);

#endif
