/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/refresh.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

/* The version that a refresh may go on with, or be; NULL: it has none. */
static const struct version *
refresh_version(const struct row *row)
{
	const struct version *v = &row->versions[0];

	if (row->len != 1 || v->is_removed || v->context_len > 1)
		return NULL;
	if (v->context_len == 1 && v->context[0].actor != v->dot.actor)
		return NULL;
	return v;
}

bool
refresh_put(const struct row_key *key, const struct row *row, struct buf *out)
{
	const struct version *v = refresh_version(row);

	if (key->kind != ROW_NODE || v == NULL)
		return false;
	buf_put(out, key->owner.b, ID_BYTES);
	buf_put_u64(out, v->dot.actor);
	buf_put_u64(out, v->dot.seq);
	buf_put_u64(out, v->stamp);
	buf_put_u64(out, v->context_len > 0 ? v->context[0].seq : 0);
	buf_put(out, v->signature, sizeof(v->signature));
	return true;
}
_Static_assert(WIRE_REFRESH_BYTES == ID_BYTES + 4 * 8 + ROW_SIGNATURE_BYTES,
	       "as refresh_put() writes");

bool
refresh_is_one(const struct row *before, const struct row *after)
{
	const struct version *old = refresh_version(before), *v = refresh_version(after);

	return old != NULL && v != NULL && old->dot.actor == v->dot.actor &&
	       bytes_equal(old->value, v->value);
}

int
refresh_read(struct bytes payload, struct refresh *ret_refresh)
{
	struct reader r = reader_of(payload);
	struct refresh n = { .key = { .kind = ROW_NODE } };
	uint64_t own;

	reader_copy(&r, n.key.owner.b, ID_BYTES);
	n.v.dot.actor = reader_u64(&r);
	n.v.dot.seq = reader_u64(&r);
	n.v.stamp = reader_u64(&r);
	own = reader_u64(&r);
	reader_copy(&r, n.v.signature, sizeof(n.v.signature));
	if (!reader_done(&r) || n.v.dot.seq == 0 || own >= n.v.dot.seq ||
	    n.v.stamp > ROW_STAMP_MAX)
		return -OCF_EMALFORMED;
	if (own > 0)
		n.v.context[n.v.context_len++] = (struct dot){ n.v.dot.actor, own };
	*ret_refresh = n;
	return 0;
}

bool
refresh_apply(const struct refresh *r, const struct row *held, row_sha256_fn *sha256,
	      struct row *ret_row)
{
	const struct version *old = refresh_version(held);
	struct version v = r->v;

	if (old == NULL || old->dot.actor != r->v.dot.actor)
		return false;
	v.value = bytes_of(mem_dup(old->value.data, old->value.len), old->value.len);
	version_seal(&v, r->v.signature, sha256);
	row_of_version(&v, ret_row);
	return true;
}
