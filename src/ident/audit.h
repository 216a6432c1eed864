/* SPDX-License-Identifier: Apache-2.0 */
/* The signatures of a whole table, row by row, for `ocf-sync verify` and for ocfd alike:
 *
 *	struct audit a = { .checker = checker, .rows_per_node = …, … };
 *	store_each(store, audit_row, &a);
 *
 * A row whose owner's node row is not held cannot be checked, and counts as bad: it was
 * checked when it came, so its node row was lost since. One thread at a time; counts may be
 * read from another one. */
#ifndef OCF_IDENT_AUDIT_H
#define OCF_IDENT_AUDIT_H

#include <stdatomic.h>

#include "ident/checker.h"

enum { AUDIT_TEXT_SIZE = 256 };

struct audit {
	struct checker *checker;
	uint32_t rows_per_node; /* the cluster's constant */
	/* The row held under this key (row_fini it), or a negative code: store_get(). */
	int (*get)(void *arg, const struct row_key *key, struct row *ret_row);
	/* Called for each bad row; `text` says which and why. */
	void (*bad)(void *arg, const struct row_key *key, const char *text);
	void *arg;
	atomic_bool is_cancelled; /* set it to end soon */
	atomic_ullong rows;	  /* looked at */
	atomic_ullong bad_len;
};

/* checker_check(), and if the owner was not met yet, its node row is looked for by `get`
 * first. Also -OCF_EMALFORMED: the key is none of this cluster's. */
int audit_check(const struct audit *a, const struct row_key *key, const struct row *row);
/* "worker row 3 of ab12… is not signed by its owner": what audit_check() found, in words. */
void audit_why(const struct row_key *key, int rc, struct errmsg *err);
/* Of the type store_row_fn (store/store.h), without its header. */
bool audit_row(void *audit, const uint8_t *k, const struct row_key *key,
	       const struct row *row);
/* "worker row 3 of ab12…" */
void audit_row_text(const struct row_key *key, char out[AUDIT_TEXT_SIZE]);

#endif
