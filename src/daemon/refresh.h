/* SPDX-License-Identifier: Apache-2.0 */
/* A node row written again with the value that it has, so that its lease goes on, travels
 * without that value: REFRESH (mesh/wire.h). Who holds the value makes the row of it; whether
 * that is the row which was meant its signature tells. Pure. */
#ifndef OCF_DAEMON_REFRESH_H
#define OCF_DAEMON_REFRESH_H

#include <stdbool.h>

#include "base/bytes.h"
#include "crdt/row.h"
#include "mesh/wire.h"

struct refresh {
	struct row_key key;
	struct version v; /* without its value and hash */
};

/* Append the payload that says `row`, if there is one: a node row of one version with a value,
 * whose context has no other actor than its own. */
bool refresh_put(const struct row_key *key, const struct row *row, struct buf *out);
/* Did writing it leave the value as it was, so that who held `before` needs no more than
 * the payload? */
bool refresh_is_one(const struct row *before, const struct row *after);
/* -OCF_EMALFORMED for what no owner writes. */
int refresh_read(struct bytes payload, struct refresh *ret_refresh);
/* The row, with the value of `held`; false when that is no row of one value, or its writer is
 * another actor, so that the value is to be asked for. */
bool refresh_apply(const struct refresh *r, const struct row *held, row_sha256_fn *sha256,
		   struct row *ret_row);

#endif
