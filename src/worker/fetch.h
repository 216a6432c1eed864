/* SPDX-License-Identifier: Apache-2.0 */
/* The backend that passes each query on to an HTTP server, as a gateway does: method, path,
 * headers and body go there as they come, status, headers and body come back as they come.
 *
 * Long ones are never held whole. Of the body the parts that were written wait here until
 * libcurl has taken them; of the reply at most two parts, then libcurl stops reading, and
 * so does, a moment later, the server's sending. A body of known length has a
 * Content-Length, another is sent in chunks. A short one is kept, since libcurl sends it
 * again when a connection that was open from before turns out to be closed, if it may run
 * twice; the others go over new connections, where that cannot happen.
 *
 * What ends how:
 *
 *	a status other than those below      the reply, whatever it says
 *	429, 503                             the same code, and back to the queue
 *	no connection, no such name          503, back to the queue; `unreachable`. Not when the
 *	                                     query had gone out over an earlier one that ended,
 *	                                     and may not run twice: 502
 *	closed or nonsense before the head   502; `doubtful`
 *	closed or nonsense after it          502, so that the reply breaks off; `doubtful`
 *
 * Loop thread only. */
#ifndef OCF_WORKER_FETCH_H
#define OCF_WORKER_FETCH_H

#include "base/limits.h"
#include "net/loop.h"
#include "worker/backend.h"
#include "worker/multi.h"
#include "worker/target.h"

enum {
	/* How long a query that goes back stays away from here. A server may ask for more
	 * than makes sense for one of several workers. */
	FETCH_RETRY_AFTER_S = 1, /* when the server does not say */
	FETCH_RETRY_AFTER_S_MAX = 60,
	/* Of a reply that goes back: what its client may be told in the end, and how much is
	 * read for the connection to be used again. */
	FETCH_DETAILS_BYTES = 1024,
	FETCH_DISCARD_BYTES_MAX = 64 * 1024,
	FETCH_KEPT_BYTES_MAX = LIMIT_PARTS_WINDOW * LIMIT_PART_BYTES_MAX, /* of a body */
	FETCH_BUFFER_BYTES = 64 * 1024, /* libcurl's, for each direction */
	/* Between looks whether a server has gone that has answered before the body was there:
	 * libcurl then does not read, and tells nothing. */
	FETCH_LOOK_MS = 100,
};

struct fetcher {
	struct backend backend;
	struct loop *loop;
	struct multi *multi;
	const struct target *target;
	/* The server cannot be connected to; it did what a server that is well does not. */
	void (*unreachable)(void *arg, const char *why);
	void (*doubtful)(void *arg);
	void *arg;
};

/* Sets `backend`; the other members are the caller's. */
void fetcher_init(struct fetcher *fetcher);

#endif
