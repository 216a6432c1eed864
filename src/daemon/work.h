/* SPDX-License-Identifier: Apache-2.0 */
/* Admin requests that take a while (http/api.h: works): made piece by piece on a lane of
 * their own, each piece when the client has taken the one before. So a slow client costs a
 * piece of memory, and the loop none of the time. */
#ifndef OCF_DAEMON_WORK_H
#define OCF_DAEMON_WORK_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "daemon/daemon.h"

struct work;

enum { WORK_PIECE_BYTES = 128 * 1024 }; /* about: what step() appends at a time */

struct work_type {
	const char *name; /* of the route */
	const char *content_type;
	bool is_light; /* holds next to no memory: as many as ask */
	/* On the loop, with what the request holds: returns 200 with a job, or an HTTP status
	 * with the reason. */
	int (*open)(struct daemon *d, const struct query_headers *params,
		    struct bytes body, void **ret_job, struct errmsg *err);
	/* On the lane: append the next piece of the reply. Returns 1: there is more; 0: that
	 * was all; or a negative code with the reason. NULL: there is nothing for the lane,
	 * land() makes it all. */
	int (*step)(void *job, struct buf *out, struct errmsg *err);
	/* On the loop, behind each step that went well; it may append too. Returns what is
	 * to be sent, true; or false: work_landed() will be called. NULL is allowed. */
	bool (*land)(void *job, struct work *w, struct buf *out);
	void (*close)(void *job); /* on the loop */
};

extern const struct work_type work_backup, work_ban, work_drain, work_dump, work_forget,
	work_load, work_unban;

/* Said by land() of a work without steps: whether more comes behind what it makes now. */
void work_goes_on(struct work *w, bool has_more);
/* The landing is over: 0, or a negative code with the reason. */
void work_landed(struct work *w, int rc, const char *why);

#endif
