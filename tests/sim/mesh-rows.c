/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a simulated cluster, each kept once; see sim/mesh-table.h. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "sim/mesh-table.h"

enum {
	FORK_BYTES = 14000, /* of each version of a long row */
	ACTOR = 0x51d0, /* high bits of all actors; the low ones are the row's number */
	VERSION_BYTES = 99, /* as in crdt/codec.h */
};

struct row_place {
	uint64_t k;
	uint32_t row;
};

static int
place_compare(const void *a, const void *b)
{
	const struct row_place *x = a, *y = b;

	return x->k < y->k ? -1 : x->k > y->k;
}

void
mesh_rows_init(struct mesh_rows *rows, uint32_t nodes, uint32_t max)
{
	struct row_place *places = mem_calloc(max, sizeof(places[0]));

	*rows = (struct mesh_rows){ .nodes = nodes, .max = max };
	rows->rows = mem_calloc(max, sizeof(rows->rows[0]));
	rows->owners = mem_calloc(nodes, sizeof(rows->owners[0]));
	rows->order = mem_calloc(max, sizeof(rows->order[0]));
	rows->k = mem_calloc(max, sizeof(rows->k[0]));
	for (uint32_t i = 0; i < max; i++)
		places[i] = (struct row_place){ hash64(bytes_of(&i, sizeof(i)), 8), i };
	qsort(places, max, sizeof(places[0]), place_compare);
	for (uint32_t i = 0; i < max; i++) {
		assert(i == 0 || places[i].k != places[i - 1].k);
		rows->order[i] = places[i].row;
		rows->k[i] = places[i].k;
	}
	free(places);
}

void
mesh_rows_fini(struct mesh_rows *rows)
{
	for (uint32_t i = 0; i < rows->len; i++)
		free(rows->rows[i].facts);
	free(rows->rows);
	free(rows->owners);
	free(rows->order);
	free(rows->k);
	*rows = (struct mesh_rows){ 0 };
}

uint32_t
mesh_rows_add(struct mesh_rows *rows, int owner, size_t len)
{
	struct mesh_row *row = &rows->rows[rows->len];

	assert(rows->len < rows->max);
	*row = (struct mesh_row){ .owner = owner, .forks = 1, .len = (uint16_t)len };
	if (len > FORK_BYTES) {
		row->forks = (uint8_t)((len + FORK_BYTES - 1) / FORK_BYTES);
		row->len = FORK_BYTES;
		assert(row->forks <= ROW_VERSIONS_MAX);
	}
	return rows->len++;
}

static bool
fact_is_same(const struct mesh_fact *a, const struct mesh_fact *b)
{
	return a->inbound == b->inbound && a->homes_len == b->homes_len &&
	       memcmp(a->homes, b->homes, a->homes_len * sizeof(a->homes[0])) == 0;
}

uint32_t
mesh_rows_write(struct mesh_rows *rows, uint32_t number, const struct mesh_fact *fact)
{
	struct mesh_row *row = &rows->rows[number];

	if (row->version == row->cap) {
		row->cap = 2 * row->cap + 1;
		row->facts = mem_realloc(row->facts, row->cap, sizeof(row->facts[0]));
	}
	if (row->version == 0)
		rows->bytes += mesh_row_len(rows, number);
	row->facts[row->version] = *fact;
	row->facts[row->version].value = row->version + 1;
	if (row->version > 0 && fact->is_refresh &&
	    fact_is_same(fact, &row->facts[row->version - 1]))
		row->facts[row->version].value = row->facts[row->version - 1].value;
	row->seen = 0;
	return ++row->version;
}

static int
row_name(const struct mesh_rows *rows, uint32_t row, char name[ROW_NAME_BYTES_MAX + 1])
{
	name[0] = '\0';
	return row < rows->nodes
		       ? 0
		       : snprintf(name, ROW_NAME_BYTES_MAX + 1, "%u", row % 10000);
}

size_t
mesh_row_len(const struct mesh_rows *rows, uint32_t row)
{
	char name[ROW_NAME_BYTES_MAX + 1];
	const struct mesh_row *r = &rows->rows[row];

	return (size_t)(CODEC_ROW_OVERHEAD_BYTES - VERSION_BYTES) +
	       (size_t)row_name(rows, row, name) +
	       (size_t)r->forks * (VERSION_BYTES + (size_t)r->len);
}

static uint8_t
row_value(const struct mesh_row *r, uint32_t row, uint32_t version)
{
	return (uint8_t)((row + r->facts[version - 1].value) & 0xff);
}

static void
put_version(const struct mesh_rows *rows, struct buf *out, uint32_t row, uint32_t version,
	    int fork)
{
	const struct mesh_row *r = &rows->rows[row];

	buf_put_u64(out, (uint64_t)ACTOR << 48 | (uint64_t)fork << 32 | row);
	buf_put_u64(out, version);
	buf_put_u64(out, (uint64_t)r->facts[version - 1].stamp);
	buf_put_u64(out, version - 1);
	buf_put_u8(out, 0);
	buf_put_u16(out, r->len);
	memset(buf_extend(out, ROW_SIGNATURE_BYTES), 's', ROW_SIGNATURE_BYTES);
	memset(buf_extend(out, r->len), row_value(r, row, version), r->len);
}

void
mesh_row_put(const struct mesh_rows *rows, struct buf *out, uint32_t row,
	     uint32_t version)
{
	const struct mesh_row *r = &rows->rows[row];
	char name[ROW_NAME_BYTES_MAX + 1];
	int name_len = row_name(rows, row, name);

	buf_put(out, rows->owners[r->owner]->b, ID_BYTES);
	buf_put_u8(out, row < rows->nodes ? ROW_NODE : ROW_WORKER);
	buf_put_bytes8(out, bytes_of(name, (size_t)name_len));
	buf_put_u8(out, r->forks);
	for (int i = 0; i < r->forks; i++)
		put_version(rows, out, row, version, i);
}

bool
mesh_row_read(const struct mesh_rows *rows, struct reader *r, uint32_t *ret_row,
	      uint32_t *ret_version)
{
	uint32_t row = UINT32_MAX, version = 0;
	bool is_good = true;
	int forks;

	reader_take(r, ID_BYTES + 1);
	reader_bytes8(r);
	forks = reader_u8(r);
	for (int i = 0; i < forks && is_good && !r->failed; i++) {
		struct bytes value;
		uint16_t len;

		row = (uint32_t)reader_u64(r);
		version = (uint32_t)reader_u64(r);
		reader_take(r, 17);
		len = reader_u16(r);
		reader_take(r, ROW_SIGNATURE_BYTES);
		value = reader_take(r, len);
		is_good = !r->failed && row < rows->len && version > 0 &&
			  version <= rows->rows[row].version &&
			  len == rows->rows[row].len &&
			  (len == 0 || value.data[len - 1] ==
					       row_value(&rows->rows[row], row, version));
	}
	*ret_row = row;
	*ret_version = version;
	return is_good && !r->failed && forks > 0;
}
