/* SPDX-License-Identifier: Apache-2.0 */
/* Where a query's request goes: the URL given by --http, and a query's path joined to its
 * own. Pure. */
#ifndef OCF_WORKER_TARGET_H
#define OCF_WORKER_TARGET_H

#include "base/error.h"

enum {
	TARGET_URL_BYTES_MAX = 1024,
	TARGET_SOCKET_BYTES_MAX = 107, /* sun_path */
};

struct target {
	char *name;   /* as it was given, for people */
	char *origin; /* "http://127.0.0.1:8000" */
	char *base;   /* "" or "/base", without a slash at the end */
	char *socket; /* of unix:PATH; or NULL */
	/* The file of certificates by which an https server is known; NULL: the system's. Not
	 * owned; set by who knows it. */
	const char *ca;
};

/* http://HOST[:PORT][/BASE], https://…, or unix:/PATH. -EINVAL with a sentence that names
 * the remedy. Free with target_fini(). */
int target_parse(const char *url, struct target *ret_target, struct errmsg *err);
void target_fini(struct target *target);

/* The request line's target: base and `path`, which holds the query string, too. Free it.
 * -EINVAL: what could not stand in a request line, or would lead out of the base. */
int target_join(const struct target *target, const char *path, char **ret_path,
		struct errmsg *err);

#endif
