/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a dump: a row that is written is read as the same one, and each thing that
 * can be wrong in a line is named. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/sha256.h"
#include "lib/tap.h"
#include "table/dump.h"

enum { ROWS_PER_NODE = 100 };

static struct row_key
worker_key(const char *name)
{
	struct id owner;
	struct row_key key;

	id_parse("00112233445566778899aabbccddeeff", &owner);
	CU_ASSERT_EQUAL_FATAL(row_key_make(&owner, ROW_WORKER, name, &key), 0);
	return key;
}

/* ---- there and back ---- */

/* Any version of any content; `value` is the caller's. */
static void
random_version(struct rng *rng, uint64_t actor, struct buf *value, struct version *v)
{
	size_t len = rng_below(rng, 20) == 0 ? LIMIT_VALUE_BYTES_MAX
					     : (size_t)rng_below(rng, 60);
	bool is_text = rng_below(rng, 2) == 0;
	uint8_t signature[ROW_SIGNATURE_BYTES];

	*v = (struct version){ .dot = { actor, 1 + rng_next(rng) % UINT64_MAX } };
	v->stamp = rng_next(rng) & ROW_STAMP_MAX;
	v->is_removed = rng_below(rng, 4) == 0;
	/* Smaller and larger actors, none of which wrote the other versions. */
	for (int i = 0; i < (int)rng_below(rng, ROW_CONTEXT_MAX); i++)
		v->context[v->context_len++] = (struct dot){ (uint64_t)(i + 1) << 59 | 1,
							     1 + rng_next(rng) / 2 };
	for (size_t i = 0; i < len && !v->is_removed; i++)
		buf_put_u8(value, is_text ? (uint8_t)(1 + rng_below(rng, 0x7f))
					  : (uint8_t)rng_next(rng));
	v->value = buf_bytes(value);
	for (int i = 0; i < ROW_SIGNATURE_BYTES; i++)
		signature[i] = (uint8_t)rng_next(rng);
	version_seal(v, signature, test_sha256);
}

static void
random_row(struct rng *rng, struct row *ret_row)
{
	struct buf values[ROW_VERSIONS_MAX] = { BUF_INIT };
	struct row row = ROW_INIT;
	int len = 1 + (int)rng_below(rng, ROW_VERSIONS_MAX);

	for (; row.len < len; row.len++)
		random_version(rng, 0x1000 + row.len, &values[row.len],
			       &row.versions[row.len]);
	row_copy(&row, ret_row);
	for (int i = 0; i < len; i++)
		buf_fini(&values[i]);
}

static void
test_row_comes_back(void)
{
	int rounds = tap_is_quick() ? 200 : 2000;
	struct rng rng;

	rng_init(&rng, tap_seed());
	for (int i = 0; i < rounds; i++) {
		struct row_key key = worker_key("7");
		struct buf line = BUF_INIT, again = BUF_INIT;
		struct errmsg err = { "" };
		struct dump_line back;
		struct row row;

		random_row(&rng, &row);
		dump_put_row(&key, &row, &line);
		CU_ASSERT_EQUAL_FATAL(dump_read_line(buf_bytes(&line), ROWS_PER_NODE,
						     test_sha256, &back, &err),
				      0);
		CU_ASSERT_FALSE(back.is_end);
		CU_ASSERT_EQUAL(row_key_compare(&key, &back.key), 0);
		CU_ASSERT_TRUE_FATAL(row_equal(&row, &back.row));
		CU_ASSERT_PTR_EQUAL(memchr(line.data, '\n', line.len),
				    line.data + line.len - 1);
		dump_put_row(&back.key, &back.row, &again);
		CU_ASSERT_TRUE(bytes_equal(buf_bytes(&line), buf_bytes(&again)));
		row_fini(&row);
		row_fini(&back.row);
		buf_fini(&line);
		buf_fini(&again);
	}
}

static void
test_longest_row_fits(void)
{
	struct row_key key = worker_key("99");
	struct buf value = BUF_INIT, line = BUF_INIT;
	struct row row = { .len = ROW_VERSIONS_MAX };
	struct errmsg err = { "" };
	struct dump_line back;

	memset(buf_extend(&value, LIMIT_VALUE_BYTES_MAX), 1, LIMIT_VALUE_BYTES_MAX);
	for (int i = 0; i < row.len; i++) {
		struct version *v = &row.versions[i];

		v->dot = (struct dot){ UINT64_MAX - 8 + (uint64_t)i, UINT64_MAX };
		v->stamp = ROW_STAMP_MAX;
		v->value = buf_bytes(&value);
		for (; v->context_len < ROW_CONTEXT_MAX; v->context_len++)
			v->context[v->context_len] = (struct dot){ 1000 + v->context_len,
								   UINT64_MAX };
	}
	dump_put_row(&key, &row, &line);
	CU_ASSERT_TRUE(line.len > ROW_VERSIONS_MAX * 6 * LIMIT_VALUE_BYTES_MAX);
	CU_ASSERT_TRUE(line.len <= DUMP_LINE_BYTES_MAX);
	CU_ASSERT_EQUAL_FATAL(
		dump_read_line(buf_bytes(&line), ROWS_PER_NODE, test_sha256, &back, &err),
		0);
	row_fini(&back.row);
	buf_fini(&value);
	buf_fini(&line);
}

static void
test_head_and_end_come_back(void)
{
	struct dump_head head = { .horizon_ms = 7, .rows = 3, .root = { 1, 2 } }, back;
	struct errmsg err = { "" };
	struct buf line = BUF_INIT;
	struct dump_line end;

	id_parse("00112233445566778899aabbccddeeff", &head.cluster);
	dump_put_head(&head, 0, &line);
	CU_ASSERT_STRING_EQUAL(
		buf_text(&line),
		"{\"ocf_dump\":1,\"cluster\":\"00112233445566778899aabbccddeeff\","
		"\"time\":\"1970-01-01T00:00:00.000Z\",\"horizon_ms\":7,\"rows\":3,"
		"\"root\":\"00000000000000010000000000000002\"}\n");
	CU_ASSERT_EQUAL_FATAL(dump_read_head(buf_bytes(&line), &back, &err), 0);
	CU_ASSERT_TRUE(id_equal(&back.cluster, &head.cluster));
	CU_ASSERT_EQUAL(back.horizon_ms, 7);
	CU_ASSERT_EQUAL(back.rows, 3);
	CU_ASSERT_TRUE(u128_equal(back.root, head.root));
	buf_clear(&line);
	dump_put_end(3, head.root, &line);
	CU_ASSERT_EQUAL_FATAL(
		dump_read_line(buf_bytes(&line), ROWS_PER_NODE, test_sha256, &end, &err),
		0);
	CU_ASSERT_TRUE(end.is_end);
	CU_ASSERT_EQUAL(end.rows, 3);
	buf_fini(&line);
}

/* ---- what is wrong ---- */

#define OWNER "\"owner\":\"00112233445566778899aabbccddeeff\""
#define KEY OWNER ",\"kind\":\"worker\",\"name\":\"0\""
#define DOT(actor, seq)                                                                  \
	"\"actor\":\"000000000000000" actor "\",\"seq\":\"000000000000000" seq "\""
#define SIGNED                                                                           \
	"\"signature\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"  \
	"AAAAAAAAAAAAAAAAAAAAAAAAA==\""
#define REST "\"stamp_ms\":5,\"value\":\"x\"," SIGNED
#define ONE(actor, seq) "{" DOT(actor, seq) ",\"context\":{}," REST "}"
#define ROW(versions) "{" KEY ",\"versions\":[" versions "]}"

static int
read_text(const char *text, struct errmsg *err)
{
	struct dump_line line;
	int rc = dump_read_line(bytes_text(text), ROWS_PER_NODE, test_sha256, &line, err);

	if (rc == 0)
		row_fini(&line.row);
	return rc;
}

static const struct {
	const char *line, *why; /* a part of the sentence */
} wrong[] = {
	{ "", "not JSON" },
	{ "{", "not JSON" },
	{ "[]", "no JSON object" },
	{ "{\"owner\":1,\"owner\":1}", "not JSON: duplicate" },
	{ "\"\xff\"", "not JSON" },
	{ "{}", "no 'owner'" },
	{ "{\"owner\":7}", "'owner' is no text" },
	{ "{\"owner\":\"7\"}", "'owner' is not an id" },
	{ "{" OWNER "}", "no 'kind'" },
	{ "{" OWNER ",\"kind\":\"x\"}", "no 'name'" },
	{ "{" OWNER ",\"kind\":\"\xc3\xbcx\\n\",\"name\":\"\"}", "no kind '??x?'" },
	{ "{" OWNER ",\"kind\":\"worker\",\"name\":\"100\"}",
	  "cannot have the name '100'" },
	{ "{" OWNER ",\"kind\":\"node\",\"name\":\"1\"}", "cannot have the name" },
	{ "{" KEY "}", "'versions' is not a list" },
	{ "{" KEY ",\"versions\":[]}", "list of 1 to 8" },
	{ ROW("1"), "it is no object" },
	{ ROW("{}"), "no 'actor'" },
	{ ROW("{\"actor\":\"1\"}"), "'actor' is not a number of 16" },
	{ ROW("{\"actor\":\"000000000000000A\"}"), "'actor' is not a number" },
	{ ROW("{" DOT("1", "0") "}"), "'seq' is 0" },
	{ ROW("{" DOT("1", "2") "}"), "'context' is not an object" },
	{ ROW("{" DOT("1", "2") ",\"context\":{\"1\":\"1\"}}"),
	  "'context' is not of actors" },
	{ ROW("{" DOT("1", "2") ",\"context\":{\"0000000000000001\":"
				"\"0000000000000002\"}," REST "}"),
	  "covers the version itself" },
	{ ROW("{" DOT("1", "2") ",\"context\":{}}"), "no 'stamp_ms'" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":-1}"),
	  "'stamp_ms' is not a number that it can be" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1e3}"), "'stamp_ms'" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":"
				"9007199254740992}"),
	  "'stamp_ms'" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1}"), "one of 'value'" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1,"
				"\"value\":\"\",\"removed\":true}"),
	  "one of 'value'" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1,"
				"\"value\":{}}"),
	  "'value' is not a text" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1,"
				"\"value_base64\":\"x\"}"),
	  "'value_base64' is not base64" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1,"
				"\"value\":\"x\"}"),
	  "no 'signature'" },
	{ ROW("{" DOT("1", "2") ",\"context\":{},\"stamp_ms\":1,"
				"\"value\":\"x\",\"signature\":\"AAAA\"}"),
	  "'signature' is not 64 bytes" },
	{ ROW(ONE("2", "1") "," ONE("1", "1")), "cannot stand beside" },
	{ ROW(ONE("1", "1") "," ONE("1", "1")), "cannot stand beside" },
	{ ROW(ONE("1", "1") ",{}"), "version 2: it has no 'actor'" },
	{ ROW(ONE("1", "1") ",{" DOT(
		  "2", "1") ",\"context\":{"
			    "\"0000000000000001\":\"0000000000000001\"}," REST "}"),
	  "one covers another" },
	{ "{\"end\":true}", "no 'rows'" },
};

static void
test_what_is_wrong_is_named(void)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct errmsg err = { "" };
		int rc = read_text(wrong[i].line, &err);

		CU_ASSERT_EQUAL(rc, -OCF_EMALFORMED);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, wrong[i].why));
		if (rc == 0 || strstr(err.text, wrong[i].why) == NULL)
			tap_note("%s: %d, %s", wrong[i].line, rc, err.text);
	}
}

static void
test_what_others_add_is_ignored(void)
{
	static const char *const good[] = {
		ROW(ONE("1", "1")),
		ROW(ONE("1", "1") "," ONE("1", "2")),
		"{\"note\":[null]," KEY ",\"versions\":[{\"time\":7,\"why\":{}," DOT(
			"1", "1") ",\"context\":{}," REST "}]}",
		" " ROW(ONE("1", "1")) "\r\n",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct errmsg err = { "" };

		CU_ASSERT_EQUAL(read_text(good[i], &err), 0);
		if (err.text[0] != '\0')
			tap_note("%s: %s", good[i], err.text);
	}
}

static void
test_values_have_a_limit(void)
{
	struct errmsg err = { "" };
	struct buf line = BUF_INIT;

	buf_put_text(&line,
		     "{" KEY
		     ",\"versions\":[{" DOT("1", "1") ",\"context\":{},"
						      "\"stamp_ms\":1,\"value\":\"");
	memset(buf_extend(&line, LIMIT_VALUE_BYTES_MAX + 1), 'x',
	       LIMIT_VALUE_BYTES_MAX + 1);
	buf_put_text(&line, "\"," SIGNED "}]}");
	CU_ASSERT_EQUAL(read_text(buf_text(&line), &err), -OCF_EMALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "more than 16384 bytes"));
	buf_clear(&line);
	memset(buf_extend(&line, DUMP_LINE_BYTES_MAX + 1), ' ', DUMP_LINE_BYTES_MAX + 1);
	CU_ASSERT_EQUAL(read_text(buf_text(&line), &err), -OCF_EMALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "longer than a row can be"));
	buf_fini(&line);
}

static void
test_other_heads_are_refused(void)
{
	static const struct {
		const char *line;
		int rc;
		const char *why;
	} cases[] = {
		{ "", -OCF_EMALFORMED, "does not begin as" },
		{ "root:x:0:0", -OCF_EMALFORMED, "does not begin as" },
		{ "{}", -OCF_EMALFORMED, "does not begin as" },
		{ "{\"ocf_dump\":\"1\"}", -OCF_EMALFORMED, "does not begin as" },
		{ "{\"ocf_dump\":2}", -OCF_EVERSION, "made by a newer version" },
		{ "{\"ocf_dump\":1}", -OCF_EMALFORMED, "no 'cluster'" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct errmsg err = { "" };
		struct dump_head head;

		CU_ASSERT_EQUAL(dump_read_head(bytes_text(cases[i].line), &head, &err),
				cases[i].rc);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cases[i].why));
	}
}

static const struct tap_test tests[] = {
	{ "a row of any content is written and read as the same one",
	  test_row_comes_back },
	{ "the longest row there can be fits a line", test_longest_row_fits },
	{ "the first and the last line come back", test_head_and_end_come_back },
	{ "whatever is wrong in a line is named", test_what_is_wrong_is_named },
	{ "what others add to a line does no harm", test_what_others_add_is_ignored },
	{ "a value and a line that are too long are refused", test_values_have_a_limit },
	{ "a first line that is none is refused", test_other_heads_are_refused },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
