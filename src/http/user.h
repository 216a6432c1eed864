/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody with a token: what he may do (base/tokens.h), and what he is doing. He is counted
 * for as long as his token is in the file or a request of his runs, so that a file that is
 * read again neither fills his bucket anew nor forgets what runs.
 *
 * The rate is a bucket of `burst` requests that fills at `rate` and is full at first; each
 * request takes one. What is refused takes none, and no place.
 *
 * Time is the caller's. The loop's thread only. */
#ifndef OCF_HTTP_USER_H
#define OCF_HTTP_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/tokens.h"
#include "http/metrics.h"

enum {
	/* Names that have a label in the metrics; those who come later are "other". */
	USER_LABELS_MAX = 100,
	/* The longest Retry-After of one who has too many requests under way: how long they
	 * take is only guessed. */
	USER_RETRY_S_MAX = 60,
};

/* Where they are counted; one for the life of the metrics. */
struct user_counts {
	struct metrics *metrics;
	int names_len;
	char *names[USER_LABELS_MAX]; /* owned */
};

void user_counts_fini(struct user_counts *counts);

struct user;

/* With one reference. The entry is taken over, and empty afterwards. */
struct user *user_new(struct tokens_entry *e, ms_t now);
struct user *user_ref(struct user *u);
void user_unref(struct user *u); /* NULL is allowed */
/* Other limits, of the same name; from now on. The entry is taken over. */
void user_set_limits(struct user *u, struct tokens_entry *e, ms_t now);

const char *user_name(const struct user *u); /* NULL: of nobody */
/* His weight in a queue beside others; 1 of nobody. */
int user_share(const struct user *u);

/* A request of his begins: 0, and it has a place until user_leave(); or 429 with the reason
 * and after how many seconds it is worth another try. */
int user_enter(struct user *u, struct user_counts *counts, ms_t now,
	       int *ret_retry_after_s, struct errmsg *err);
/* One that had a place has ended, so long after it began. */
void user_leave(struct user *u, ms_t took);
/* May he ask this service? 0, or 403 and the reason; counted. Nobody may ask all. */
int user_check_service(struct user *u, struct user_counts *counts, const char *service,
		       struct errmsg *err);

#endif
