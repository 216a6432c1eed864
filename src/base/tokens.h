/* SPDX-License-Identifier: Apache-2.0 */
/* The token file (http.token_file): who may ask a node over HTTP, and how much. A line is
 *
 *	NAME:SHA256[:KEY=VALUE,…]
 *
 * with the SHA-256 of the token in hex: the token itself is kept nowhere. Empty lines and
 * those that begin with `#` say nothing. Of the keys only `service` may stand twice:
 *
 *	rate=R         requests a second, 0.001 to 1000000, with three decimals at most
 *	burst=N        as many may come at once; without it R, rounded up
 *	concurrency=N  requests that run at the same time
 *	share=N        weight in a queue beside others who wait there; 1 without it
 *	service=NAME   may be queried, and only those that are named so; %XX as in a URL
 *
 * What a line does not say is not limited. Whoever edits the file holds a lock on it and puts
 * a new one in its place, in which all other lines are as they were. Blocking; everything of
 * this is for a file that only its owner may read. */
#ifndef OCF_BASE_TOKENS_H
#define OCF_BASE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
	TOKENS_MAX = 4096, /* in a file */
	TOKENS_FILE_BYTES_MAX = 1024 * 1024,
	TOKENS_NAME_BYTES_MAX = 64, /* of letters, digits and . _ - @ + */
	TOKENS_HASH_BYTES = 32,
	TOKENS_RATE_MILLI_MAX = 1000 * 1000 * 1000,
	TOKENS_NUMBER_MAX = 1000 * 1000, /* burst, concurrency */
	TOKENS_SHARE_MAX = 1000,	 /* QUERY_SHARE_MAX */
	TOKENS_SERVICES_MAX = 64,	 /* of one token */
};

struct tokens_entry {
	char name[TOKENS_NAME_BYTES_MAX + 1];
	uint8_t hash[TOKENS_HASH_BYTES];
	int64_t rate_milli;  /* requests in 1000 seconds; 0: not limited */
	int64_t burst;	     /* 0: by the rate, see tokens_burst() */
	int64_t concurrency; /* 0: not limited */
	int64_t share;	     /* 0: not said, which counts as 1 */
	int services_len;    /* 0: all */
	char **services;     /* owned */
	int line;	     /* in the file, from 1 */
	size_t at, len;	     /* of that line, with its end; bytes */
};

struct tokens {
	int len;
	struct tokens_entry *items; /* owned */
};

bool tokens_name_is_valid(const char *name);
/* -EINVAL: the name or a limit is none, or one needs another. */
int tokens_check(const struct tokens_entry *e, struct errmsg *err);
/* One more service; texts that are none are found by tokens_check(). */
void tokens_add_service(struct tokens_entry *e, const char *name);
void tokens_entry_fini(struct tokens_entry *e);
/* Requests that may come at once where there is a rate: 1 at least. */
int64_t tokens_burst(const struct tokens_entry *e);
/* "2.5" is 2500. False: it is no rate. */
bool tokens_parse_rate(const char *text, int64_t *ret_milli);

/* -OCF_EMALFORMED or -OCF_ELIMIT with file and line; -EPERM when others can read it; else as
 * open(2). Leaves nothing to free on failure. */
int tokens_read(const char *path, struct tokens *ret_tokens, struct errmsg *err);
void tokens_fini(struct tokens *t);

/* Append the entry. A file that is not there is made, and given to `owner` ((uid_t)-1: stays
 * with this process). -EEXIST: the name or the token is there; -EBUSY: somebody else edits it
 * just now; else as tokens_check() and tokens_read(). */
int tokens_add(const char *path, const struct tokens_entry *e, uid_t owner,
	       struct errmsg *err);
/* Drop the line of this name. -OCF_EUNKNOWN: there is none; else as tokens_add(). */
int tokens_remove(const char *path, const char *name, struct errmsg *err);

#endif
