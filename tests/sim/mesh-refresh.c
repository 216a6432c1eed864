/* SPDX-License-Identifier: Apache-2.0 */
/* Node rows that travel without their value, made and read by src/daemon/refresh.c; when they
 * are sent, and what is done with them, is as in src/daemon/rows.c. */
#include "config.h"

#include "sim/mesh-refresh.h"

#include <assert.h>
#include <string.h>

#include "crdt/codec.h"
#include "daemon/refresh.h"

/* Nothing here asks for it. */
static void
no_sha256(const void *data, size_t len, uint8_t ret[ROW_HASH_BYTES])
{
	(void)data;
	memset(ret, (int)(len & 0xff), ROW_HASH_BYTES);
}

/* As the store holds it; version 0: not at all. */
static void
refresh_decode(const struct mesh_rows *rows, uint32_t row, uint32_t version,
	       struct row_key *ret_key, struct row *ret_row)
{
	struct buf encoded = BUF_INIT;
	struct reader r;
	int rc;

	*ret_row = ROW_INIT;
	if (version == 0)
		return;
	mesh_row_put(rows, &encoded, row, version);
	r = reader_of(buf_bytes(&encoded));
	rc = codec_read_key(&r, ret_key);
	if (rc == 0)
		rc = codec_read_row(&r, no_sha256, ret_row);
	assert(rc == 0);
	buf_fini(&encoded);
}

bool
mesh_refresh_is_one(const struct mesh_rows *rows, uint32_t row, uint32_t before,
		    uint32_t after)
{
	struct row_key key;
	struct row was, is;
	bool is_one;

	refresh_decode(rows, row, before, &key, &was);
	refresh_decode(rows, row, after, &key, &is);
	is_one = refresh_is_one(&was, &is);
	row_fini(&was);
	row_fini(&is);
	return is_one;
}

bool
mesh_refresh_put(const struct mesh_rows *rows, struct buf *out, uint32_t row,
		 uint32_t version)
{
	struct row_key key;
	struct row is;
	bool is_put;

	refresh_decode(rows, row, version, &key, &is);
	is_put = refresh_put(&key, &is, out);
	row_fini(&is);
	return is_put;
}

/* Is the row the one that its owner wrote? That its signature would tell. */
static bool
refresh_is_good(const struct mesh_rows *rows, const struct row_key *key,
		const struct row *row)
{
	struct buf encoded = BUF_INIT;
	uint32_t number, version;
	struct reader r;
	bool is_good;

	codec_put_key(&encoded, key);
	codec_put_row(&encoded, row);
	r = reader_of(buf_bytes(&encoded));
	is_good = mesh_row_read(rows, &r, &number, &version) && r.len == 0;
	buf_fini(&encoded);
	return is_good;
}

bool
mesh_refresh_read(const struct mesh_table *t, struct bytes payload,
		  struct mesh_refresh *ret_refresh)
{
	struct row held, row = ROW_INIT;
	struct refresh refresh;
	struct row_key key;
	uint32_t number;

	if (refresh_read(payload, &refresh) != 0)
		return false;
	number = (uint32_t)refresh.v.dot.actor;
	if (number >= t->rows->nodes ||
	    !id_equal(t->rows->owners[number], &refresh.key.owner))
		return false;
	*ret_refresh = (struct mesh_refresh){ number, (uint32_t)refresh.v.dot.seq,
					      MESH_REFRESH_OLD };
	if (t->versions[number] >= ret_refresh->version)
		return true;
	refresh_decode(t->rows, number, t->versions[number], &key, &held);
	ret_refresh->found = MESH_REFRESH_WANTED;
	if (refresh_apply(&refresh, &held, no_sha256, &row))
		ret_refresh->found = refresh_is_good(t->rows, &refresh.key, &row)
					     ? MESH_REFRESH_GOOD
					     : MESH_REFRESH_FALSE;
	row_fini(&row);
	row_fini(&held);
	return true;
}
