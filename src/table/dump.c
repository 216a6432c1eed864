/* SPDX-License-Identifier: Apache-2.0 */
/* Reading builds the row's versions, and then lets the codec judge them: it takes only what
 * the store and the wire would take. */
#include "config.h"

#include "table/dump.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "table/base64.h"

enum {
	DUMP_U64_DIGITS = 16,
	DUMP_PLAIN_SIZE = 80,
	/* What a version needs beside its value: contexts, signature, names. */
	DUMP_VERSION_BYTES = 400 + 40 * ROW_CONTEXT_MAX,
};
_Static_assert(DUMP_LINE_BYTES_MAX >=
		       200 + ROW_VERSIONS_MAX *
				       (DUMP_VERSION_BYTES + 6 * LIMIT_VALUE_BYTES_MAX),
	       "the longest line");

/* ---- writing ---- */

static json_t *
dump_u64(uint64_t value)
{
	return json_sprintf("%016llx", (unsigned long long)value);
}

static json_t *
dump_root(struct u128 root)
{
	return json_sprintf("%016llx%016llx", (unsigned long long)root.hi,
			    (unsigned long long)root.lo);
}

static json_t *
dump_base64(struct bytes v)
{
	struct buf text = BUF_INIT;
	json_t *json;

	base64_encode(v, &text);
	json = json_stringn((const char *)text.data, text.len);
	buf_fini(&text);
	return json;
}

/* `json` is consumed. */
static void
dump_put_json(json_t *json, struct buf *out)
{
	char *text = json_dumps(json, JSON_COMPACT);

	if (text == NULL)
		abort(); /* no memory: all of it is of our making */
	buf_put_text(out, text);
	buf_put_u8(out, '\n');
	free(text);
	json_decref(json);
}

void
dump_put_head(const struct dump_head *head, int64_t wall_ms, struct buf *out)
{
	char id[ID_TEXT_SIZE], time[CLOCK_TEXT_SIZE];

	dump_put_json(json_pack("{s:i, s:s, s:s, s:I, s:I, s:o}", "ocf_dump", DUMP_FORMAT,
				"cluster", id_text(&head->cluster, id), "time",
				clock_text(wall_ms, time), "horizon_ms",
				(json_int_t)head->horizon_ms, "rows",
				(json_int_t)head->rows, "root", dump_root(head->root)),
		      out);
}

void
dump_put_end(uint64_t rows, struct u128 root, struct buf *out)
{
	dump_put_json(json_pack("{s:b, s:I, s:o}", "end", 1, "rows", (json_int_t)rows,
				"root", dump_root(root)),
		      out);
}

static void
dump_set_value(json_t *json, const struct version *v)
{
	json_t *text = NULL;

	if (v->is_removed) {
		json_object_set_new(json, "removed", json_true());
		return;
	}
	if (v->value.len == 0)
		text = json_string("");
	else if (memchr(v->value.data, '\0', v->value.len) == NULL)
		text = json_stringn((const char *)v->value.data, v->value.len);
	if (text != NULL)
		json_object_set_new(json, "value", text);
	else
		json_object_set_new(json, "value_base64", dump_base64(v->value));
}

static json_t *
dump_version(const struct version *v)
{
	json_t *context = json_object(), *json;
	char time[CLOCK_TEXT_SIZE];

	for (int i = 0; i < v->context_len; i++) {
		char actor[DUMP_U64_DIGITS + 1];

		snprintf(actor, sizeof(actor), "%016llx",
			 (unsigned long long)v->context[i].actor);
		json_object_set_new(context, actor, dump_u64(v->context[i].seq));
	}
	json = json_pack("{s:o, s:o, s:o, s:I, s:s}", "actor", dump_u64(v->dot.actor),
			 "seq", dump_u64(v->dot.seq), "context", context, "stamp_ms",
			 (json_int_t)v->stamp, "time", clock_text((ms_t)v->stamp, time));
	dump_set_value(json, v);
	json_object_set_new(json, "signature",
			    dump_base64(bytes_of(v->signature, ROW_SIGNATURE_BYTES)));
	return json;
}

void
dump_put_row(const struct row_key *key, const struct row *row, struct buf *out)
{
	json_t *versions = json_array();
	char owner[ID_TEXT_SIZE];

	for (int i = 0; i < row->len; i++)
		json_array_append_new(versions, dump_version(&row->versions[i]));
	dump_put_json(json_pack("{s:s, s:s, s:s, s:o}", "owner",
				id_text(&key->owner, owner), "kind",
				row_kind_text(key->kind), "name", key->name, "versions",
				versions),
		      out);
}

bool
dump_on_row(void *pass, const uint8_t *k, const struct row_key *key,
	    const struct row *row)
{
	struct dump_pass *p = pass;

	(void)k;
	if ((key->kind == ROW_NODE) != p->is_second) {
		dump_put_row(key, row, p->out);
		p->rows++;
	}
	return true;
}

/* ---- reading ---- */

/* Fit for a sentence: what somebody wrote, or what jansson says of it, cut and plain. */
static const char *
dump_plain(const char *text, char out[DUMP_PLAIN_SIZE])
{
	size_t len = strnlen(text, DUMP_PLAIN_SIZE - 1);

	for (size_t i = 0; i < len; i++)
		out[i] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
	out[len] = '\0';
	return out;
}

static int
dump_load(struct bytes line, json_t **ret_json, struct errmsg *err)
{
	char plain[DUMP_PLAIN_SIZE];
	json_error_t why;
	json_t *json;

	if (line.len > DUMP_LINE_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED,
				 "it is longer than a row can be (%d bytes)",
				 DUMP_LINE_BYTES_MAX);
	json = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES,
			  &why);
	if (json == NULL)
		return error_set(err, -OCF_EMALFORMED, "it is not JSON: %s",
				 dump_plain(why.text, plain));
	if (!json_is_object(json)) {
		json_decref(json);
		return error_set(err, -OCF_EMALFORMED, "it is no JSON object");
	}
	*ret_json = json;
	return 0;
}

static int
dump_wrong(const char *name, const char *what, struct errmsg *err)
{
	return error_set(err, -OCF_EMALFORMED, "'%s' is not %s", name, what);
}

/* The text of a member; NULL with what is wrong. */
static const char *
dump_read_text(const json_t *json, const char *name, struct errmsg *err)
{
	const json_t *member = json_object_get(json, name);

	if (json_is_string(member))
		return json_string_value(member);
	error_set(err, -OCF_EMALFORMED,
		  member == NULL ? "it has no '%s'" : "'%s' is no text", name);
	return NULL;
}

/* 16 lower-case digits, so that each number has one text. */
static bool
dump_parse_u64(const char *text, uint64_t *ret_value)
{
	uint8_t bytes[DUMP_U64_DIGITS / 2];

	if (text == NULL || strspn(text, "0123456789abcdef") != DUMP_U64_DIGITS ||
	    hex_decode(text, bytes, sizeof(bytes)) != 0)
		return false;
	*ret_value = get_be64(bytes);
	return true;
}

static int
dump_read_u64(const json_t *json, const char *name, uint64_t *ret_value,
	      struct errmsg *err)
{
	const char *text = dump_read_text(json, name, err);

	if (text == NULL)
		return -OCF_EMALFORMED;
	if (!dump_parse_u64(text, ret_value))
		return dump_wrong(name, "a number of 16 hexadecimal digits", err);
	return 0;
}

static int
dump_read_count(const json_t *json, const char *name, uint64_t max, uint64_t *ret_value,
		struct errmsg *err)
{
	const json_t *member = json_object_get(json, name);

	if (member == NULL)
		return error_set(err, -OCF_EMALFORMED, "it has no '%s'", name);
	if (!json_is_integer(member) || json_integer_value(member) < 0 ||
	    (uint64_t)json_integer_value(member) > max)
		return dump_wrong(name, "a number that it can be", err);
	*ret_value = (uint64_t)json_integer_value(member);
	return 0;
}

static int
dump_read_id(const json_t *json, const char *name, struct id *ret_id, struct errmsg *err)
{
	const char *text = dump_read_text(json, name, err);

	if (text == NULL)
		return -OCF_EMALFORMED;
	if (id_parse(text, ret_id) != 0)
		return dump_wrong(name, "an id of 32 hexadecimal digits", err);
	return 0;
}

static int
dump_read_root(const json_t *json, struct u128 *ret_root, struct errmsg *err)
{
	struct id id;
	int rc = dump_read_id(json, "root", &id, err);

	if (rc == 0)
		*ret_root = (struct u128){ get_be64(id.b), get_be64(id.b + 8) };
	return rc;
}

int
dump_read_head(struct bytes line, struct dump_head *ret_head, struct errmsg *err)
{
	struct dump_head head = { .rows = 0 };
	struct errmsg why = { "" };
	json_t *json = NULL;
	uint64_t format = 0;
	int rc = dump_load(line, &json, &why);

	if (rc != 0 || dump_read_count(json, "ocf_dump", INT64_MAX, &format, &why) != 0) {
		json_decref(json);
		return error_set(err, -OCF_EMALFORMED,
				 "it does not begin as 'ocf-sync dump' would have it");
	}
	if (format != DUMP_FORMAT)
		rc = error_set(err, -OCF_EVERSION,
			       "it is a dump of kind %llu, made by a newer version; this "
			       "one reads kind %d",
			       (unsigned long long)format, DUMP_FORMAT);
	if (rc == 0)
		rc = dump_read_id(json, "cluster", &head.cluster, err);
	if (rc == 0)
		rc = dump_read_count(json, "horizon_ms", ROW_STAMP_MAX, &head.horizon_ms,
				     err);
	if (rc == 0)
		rc = dump_read_count(json, "rows", INT64_MAX, &head.rows, err);
	if (rc == 0)
		rc = dump_read_root(json, &head.root, err);
	json_decref(json);
	if (rc == 0)
		*ret_head = head;
	return rc;
}

static int
dump_compare_dots(const void *a, const void *b)
{
	const struct dot *x = a, *y = b;

	return (x->actor > y->actor) - (x->actor < y->actor);
}

/* In any order: some tools sort what they write, others do not. */
static int
dump_read_context(const json_t *json, struct version *v, struct errmsg *err)
{
	const json_t *context = json_object_get(json, "context"), *seq;
	const char *actor;

	if (!json_is_object(context))
		return dump_wrong("context", "an object", err);
	if (json_object_size(context) > ROW_CONTEXT_MAX)
		return error_set(err, -OCF_EMALFORMED,
				 "'context' has more than %d actors", ROW_CONTEXT_MAX);
	json_object_foreach((json_t *)context, actor, seq)
	{
		struct dot *dot = &v->context[v->context_len++];

		if (!dump_parse_u64(actor, &dot->actor) ||
		    !dump_parse_u64(json_string_value(seq), &dot->seq) || dot->seq == 0)
			return dump_wrong("context",
					  "of actors and sequence numbers, each of 16 "
					  "hexadecimal digits",
					  err);
		if (dot->actor == v->dot.actor && dot->seq >= v->dot.seq)
			return error_set(err, -OCF_EMALFORMED,
					 "'context' covers the version itself");
	}
	qsort(v->context, v->context_len, sizeof(v->context[0]), dump_compare_dots);
	return 0;
}

/* Into `store`, which must live as long as `v`. */
static int
dump_read_value(const json_t *json, struct buf *store, struct version *v,
		struct errmsg *err)
{
	const json_t *text = json_object_get(json, "value");
	const json_t *base64 = json_object_get(json, "value_base64");
	const json_t *removed = json_object_get(json, "removed");

	v->is_removed = json_is_true(removed);
	if ((text != NULL) + (base64 != NULL) + v->is_removed != 1)
		return error_set(err, -OCF_EMALFORMED,
				 "it needs one of 'value', 'value_base64' and "
				 "'removed':true");
	if (text != NULL && !json_is_string(text))
		return dump_wrong("value", "a text", err);
	if (text != NULL)
		buf_put(store, json_string_value(text), json_string_length(text));
	if (base64 != NULL && (!json_is_string(base64) ||
			       base64_decode(json_string_value(base64), store) != 0))
		return dump_wrong("value_base64", "base64", err);
	if (store->len > LIMIT_VALUE_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED, "its value has more than %d bytes",
				 LIMIT_VALUE_BYTES_MAX);
	v->value = buf_bytes(store);
	return 0;
}

static int
dump_read_signature(const json_t *json, struct version *v, struct errmsg *err)
{
	const char *text = dump_read_text(json, "signature", err);
	struct buf bytes = BUF_INIT;
	int rc = 0;

	if (text == NULL)
		return -OCF_EMALFORMED;
	if (base64_decode(text, &bytes) != 0 || bytes.len != ROW_SIGNATURE_BYTES)
		rc = dump_wrong("signature", "64 bytes in base64", err);
	else
		memcpy(v->signature, bytes.data, ROW_SIGNATURE_BYTES);
	buf_fini(&bytes);
	return rc;
}

static int
dump_read_version(const json_t *json, struct buf *store, struct version *v,
		  struct errmsg *err)
{
	int rc;

	*v = (struct version){ .stamp = 0 };
	if (!json_is_object(json))
		return error_set(err, -OCF_EMALFORMED, "it is no object");
	rc = dump_read_u64(json, "actor", &v->dot.actor, err);
	if (rc == 0)
		rc = dump_read_u64(json, "seq", &v->dot.seq, err);
	if (rc == 0 && v->dot.seq == 0)
		rc = error_set(err, -OCF_EMALFORMED,
			       "'seq' is 0, and the first number is 1");
	if (rc == 0)
		rc = dump_read_context(json, v, err);
	if (rc == 0)
		rc = dump_read_count(json, "stamp_ms", ROW_STAMP_MAX, &v->stamp, err);
	if (rc == 0)
		rc = dump_read_value(json, store, v, err);
	if (rc == 0)
		rc = dump_read_signature(json, v, err);
	return rc;
}

/* What the codec would write of these versions, and what it makes of that. */
static int
dump_judge(const struct row *row, row_sha256_fn *sha256, struct row *ret_row,
	   struct errmsg *err)
{
	struct buf encoded = BUF_INIT;
	struct reader r;
	int rc;

	codec_put_row(&encoded, row);
	r = reader_of(buf_bytes(&encoded));
	rc = codec_read_row(&r, sha256, ret_row);
	buf_fini(&encoded);
	if (rc != 0)
		return error_set(err, -OCF_EMALFORMED,
				 "its versions cannot stand beside each other: they do "
				 "not ascend by actor and seq, or one covers another");
	return 0;
}

static int
dump_read_versions(const json_t *json, row_sha256_fn *sha256, struct row *ret_row,
		   struct errmsg *err)
{
	const json_t *versions = json_object_get(json, "versions");
	struct buf stores[ROW_VERSIONS_MAX] = { BUF_INIT };
	struct row row = ROW_INIT;
	size_t len = json_array_size(versions);
	int rc = 0;

	if (len < 1 || len > ROW_VERSIONS_MAX)
		return error_set(err, -OCF_EMALFORMED,
				 "'versions' is not a list of 1 to %d", ROW_VERSIONS_MAX);
	for (; row.len < len && rc == 0; row.len++) {
		rc = dump_read_version(json_array_get(versions, row.len),
				       &stores[row.len], &row.versions[row.len], err);
		if (rc != 0 && len > 1)
			error_prefix(err, rc, "version %d", row.len + 1);
	}
	if (rc == 0)
		rc = dump_judge(&row, sha256, ret_row, err);
	for (size_t i = 0; i < len; i++)
		buf_fini(&stores[i]);
	return rc;
}

static int
dump_read_key(const json_t *json, uint32_t rows_per_node, struct row_key *ret_key,
	      struct errmsg *err)
{
	char plain[DUMP_PLAIN_SIZE];
	const char *kind, *name;
	struct row_key key;
	struct id owner;
	int rc = dump_read_id(json, "owner", &owner, err), number;

	if (rc != 0)
		return rc;
	kind = dump_read_text(json, "kind", err);
	if (kind == NULL)
		return -OCF_EMALFORMED;
	name = dump_read_text(json, "name", err);
	if (name == NULL)
		return -OCF_EMALFORMED;
	number = row_kind_find(kind);
	if (number < 0)
		return error_set(err, -OCF_EMALFORMED, "there is no kind '%s'",
				 dump_plain(kind, plain));
	if (row_key_make(&owner, (enum row_kind)number, name, &key) != 0 ||
	    row_key_check(&key, rows_per_node) != 0)
		return error_set(err, -OCF_EMALFORMED,
				 "a %s row of this cluster cannot have the name '%s'",
				 kind, dump_plain(name, plain));
	*ret_key = key;
	return 0;
}

int
dump_read_line(struct bytes line, uint32_t rows_per_node, row_sha256_fn *sha256,
	       struct dump_line *ret_line, struct errmsg *err)
{
	struct dump_line found = { .row = ROW_INIT };
	json_t *json;
	int rc = dump_load(line, &json, err);

	if (rc != 0)
		return rc;
	found.is_end = json_is_true(json_object_get(json, "end"));
	if (found.is_end)
		rc = dump_read_count(json, "rows", INT64_MAX, &found.rows, err);
	else
		rc = dump_read_key(json, rows_per_node, &found.key, err);
	if (rc == 0 && found.is_end)
		rc = dump_read_root(json, &found.root, err);
	else if (rc == 0)
		rc = dump_read_versions(json, sha256, &found.row, err);
	json_decref(json);
	if (rc == 0)
		*ret_line = found;
	return rc;
}
