/* SPDX-License-Identifier: Apache-2.0 */
/* A raw HTTP client for the tests: sends any bytes, reads replies, and turns the
 * server's loop meanwhile, all in one thread. A test that waits in vain fails after
 * RAW_WAIT_MS. */
#ifndef OCF_TESTS_HTTP_RAW_H
#define OCF_TESTS_HTTP_RAW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "net/loop.h"

enum { RAW_WAIT_MS = 20 * MS_SECOND };

struct raw {
	struct loop *loop;
	int fd;
	struct buf in; /* received, not taken */
	bool is_eof;   /* the server closed, or reset */
	bool is_deaf;  /* do not read: a slow client */
};

struct raw_reply {
	int status; /* 0: none came */
	char *head; /* lower-cased header names; free by raw_reply_fini() */
	struct buf body;
	bool is_whole; /* the body ended as its framing says */
};

/* "127.0.0.1:8092" or "unix:/path". */
void raw_open(struct raw *r, struct loop *loop, const char *address);
void raw_close(struct raw *r);
/* Close with a reset. */
void raw_reset(struct raw *r);
void raw_send(struct raw *r, const char *text);
/* Send what is taken within `ms`; returns how much it was. */
size_t raw_send_some(struct raw *r, const void *data, size_t len, ms_t ms);
void raw_send_all(struct raw *r, const void *data, size_t len);
/* One turn of the loop, and read what is there. */
void raw_turn(struct raw *r);
/* The next reply; `is_head`: to a HEAD. */
void raw_reply(struct raw *r, bool is_head, struct raw_reply *ret);
void raw_reply_fini(struct raw_reply *reply);
/* The value of a header of the reply (lower case), or NULL; overwritten by the next
 * call. */
const char *raw_header(const struct raw_reply *reply, const char *name);
/* The server closes, and nothing more came. */
bool raw_ends(struct raw *r);
/* Turn until `*flag`, or in vain: false. */
bool raw_until(struct raw *r, const bool *flag);

#endif
