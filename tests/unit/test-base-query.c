/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a query: encoded and decoded, cut, and matched with what workers offer. */
#include "config.h"

#include "lib/tap.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/query.h"

static void
make_head(struct query_head *q)
{
	*q = (struct query_head){
		.request_id = mem_strdup("r-1"),
		.service = mem_strdup("llm"),
		.selector = mem_strdup("model=x"),
		.method = mem_strdup("POST"),
		.path = mem_strdup("/v1?x=1"),
		.fallback = 2,
		.is_idempotent = true,
		.hops = 1,
		.attempt = 3,
		.pin = { { 1, 2 } },
		.body_len = -1,
		.timeout_ms = 60000,
	};
	query_headers_add(&q->headers, "accept", "text/plain");
	query_headers_add(&q->headers, "x-empty", "");
}

static void
test_head(void)
{
	struct query_head q, copy, back;
	struct buf out = BUF_INIT, again = BUF_INIT;
	struct reader r;

	make_head(&q);
	query_head_copy(&q, &copy);
	query_head_put(&out, &copy);
	CU_ASSERT(query_head_len(&copy) == out.len);
	r = reader_of(buf_bytes(&out));
	CU_ASSERT_FATAL(query_head_read(&r, &back) == 0 && reader_done(&r));
	CU_ASSERT_STRING_EQUAL(back.service, "llm");
	CU_ASSERT_STRING_EQUAL(back.selector, "model=x");
	CU_ASSERT(back.content_type == NULL && back.traceparent == NULL);
	CU_ASSERT_STRING_EQUAL(query_headers_get(&back.headers, "Accept"), "text/plain");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&back.headers, "x-empty"), "");
	CU_ASSERT(query_headers_get(&back.headers, "none") == NULL);
	CU_ASSERT(back.body_len == -1 && back.timeout_ms == 60000 && back.fallback == 2);
	CU_ASSERT(back.is_idempotent && back.attempt == 3 && back.pin.b[1] == 2);
	query_head_put(&again, &back);
	CU_ASSERT(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
	query_head_fini(&q);
	query_head_fini(&copy);
	query_head_fini(&back);
	buf_fini(&out);
	buf_fini(&again);
}

static void
test_head_cut(void)
{
	struct buf out = BUF_INIT;
	struct query_head q, back;

	make_head(&q);
	query_head_put(&out, &q);
	for (size_t len = 0; len < out.len; len++) {
		uint8_t *cut = mem_alloc(len);
		struct reader r = reader_of(bytes_of(cut, len));

		memcpy(cut, out.data, len);
		CU_ASSERT_FATAL(query_head_read(&r, &back) == -OCF_EMALFORMED &&
				r.failed);
		free(cut);
	}
	query_head_fini(&q);
	buf_fini(&out);
}

static int
read_changed(void (*change)(struct query_head *))
{
	struct buf out = BUF_INIT;
	struct query_head q, back;
	struct reader r;
	int rc;

	make_head(&q);
	change(&q);
	query_head_put(&out, &q);
	r = reader_of(buf_bytes(&out));
	rc = query_head_read(&r, &back);
	if (rc == 0)
		query_head_fini(&back);
	query_head_fini(&q);
	buf_fini(&out);
	return rc;
}

static void
change_nothing(struct query_head *q)
{
	(void)q;
}

static void
change_fallback(struct query_head *q)
{
	q->fallback = 3;
}

static void
change_body_len(struct query_head *q)
{
	q->body_len = -2;
}

static void
change_timeout(struct query_head *q)
{
	q->timeout_ms = -1;
}

static void
change_line_end(struct query_head *q)
{
	q->headers.items[0].value[2] = '\n';
}

static void
change_service(struct query_head *q)
{
	q->service[1] = '\x01';
}

static void
change_method(struct query_head *q)
{
	free(q->method);
	q->method = NULL;
}

static void
change_id_text(struct query_head *q)
{
	q->request_id[1] = '\xff';
}

static void
change_id_len(struct query_head *q)
{
	free(q->request_id);
	q->request_id = mem_printf("%065d", 1);
}

static void
test_head_refused(void)
{
	CU_ASSERT(read_changed(change_nothing) == 0);
	CU_ASSERT(read_changed(change_fallback) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_body_len) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_timeout) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_line_end) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_service) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_method) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_id_text) == -OCF_EMALFORMED);
	CU_ASSERT(read_changed(change_id_len) == -OCF_EMALFORMED);
}

/* What is passed on must fit a frame again, whoever it came from. */
static void
test_error_bounds(void)
{
	struct query_error error, back;

	for (int i = 0; i < 4; i++) {
		size_t text = i < 2 ? QUERY_ERROR_BYTES_MAX : QUERY_ERROR_BYTES_MAX + 1;
		size_t worker = i % 2 == 0 ? LIMIT_WORKER_ID_BYTES_MAX
					   : LIMIT_WORKER_ID_BYTES_MAX + 1;
		struct buf out = BUF_INIT;
		struct reader r;

		query_error_set(&error, 502, "%s", "x");
		free(error.text);
		error.text = mem_printf("%0*d", (int)text, 1);
		error.worker = mem_printf("%0*d", (int)worker, 1);
		query_error_put(&out, &error);
		r = reader_of(buf_bytes(&out));
		CU_ASSERT_EQUAL(query_error_read(&r, &back),
				i == 0 ? 0 : -OCF_EMALFORMED);
		if (i == 0)
			query_error_fini(&back);
		query_error_fini(&error);
		buf_fini(&out);
	}
}

static void
test_reply_and_error(void)
{
	struct reply_head reply = { .status = 200, .node = { { 9 } } }, reply_back;
	struct query_error error = { 0 }, error_back;
	struct buf out = BUF_INIT;
	struct reader r;

	reply.worker = mem_strdup("w");
	query_headers_add(&reply.headers, "x-a", "1");
	reply_head_put(&out, &reply);
	CU_ASSERT(reply_head_len(&reply) == out.len);
	for (size_t len = 0; len < out.len; len++) {
		r = reader_of(bytes_of(out.data, len));
		CU_ASSERT(reply_head_read(&r, &reply_back) == -OCF_EMALFORMED);
	}
	r = reader_of(buf_bytes(&out));
	CU_ASSERT_FATAL(reply_head_read(&r, &reply_back) == 0 && reader_done(&r));
	CU_ASSERT(reply_back.status == 200 && reply_back.headers.len == 1);
	CU_ASSERT_STRING_EQUAL(reply_back.worker, "w");
	reply_head_fini(&reply);
	reply_head_fini(&reply_back);
	buf_clear(&out);
	query_error_set(&error, 502, "it %s:\n\tbadly", "failed");
	error.retry_after_s = 7;
	error.is_taken = true;
	query_error_put(&out, &error);
	for (size_t len = 0; len < out.len; len++) {
		r = reader_of(bytes_of(out.data, len));
		CU_ASSERT(query_error_read(&r, &error_back) == -OCF_EMALFORMED);
	}
	r = reader_of(buf_bytes(&out));
	CU_ASSERT_FATAL(query_error_read(&r, &error_back) == 0 && reader_done(&r));
	CU_ASSERT_STRING_EQUAL(error_back.text, "it failed:\n\tbadly");
	CU_ASSERT(error_back.status == 502 && error_back.retry_after_s == 7);
	CU_ASSERT(error_back.is_taken && error_back.worker == NULL);
	query_error_fini(&error);
	query_error_fini(&error_back);
	buf_fini(&out);
}

static void
test_service_names(void)
{
	static const struct {
		const char *name;
		bool is_plain, is_valid;
	} cases[] = {
		{ "wc", true, true },		{ "inference:llama-3.1", true, true },
		{ "a.b.c", true, true },	{ "ocf2.x", true, true },
		{ "", false, false },		{ "ocf", false, true },
		{ "ocf.d.1", false, true },	{ "worker:status", false, true },
		{ "$SYS", false, true },	{ "_INBOX.x", false, true },
		{ "a..b", false, true },	{ ".a", false, true },
		{ "a.", false, true },		{ "a*", false, true },
		{ "a.>", false, true },		{ "a b", false, true },
		{ "caf\xc3\xa9", false, true }, { "a\nb", false, false },
		{ "a\x7f", false, false },
	};
	char name[LIMIT_SERVICE_BYTES_MAX + 2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (query_service_is_plain(cases[i].name) != cases[i].is_plain ||
		    query_service_is_valid(cases[i].name) != cases[i].is_valid) {
			tap_note("case %zu", i);
			CU_FAIL("service name");
		}
	}
	memset(name, 'a', sizeof(name));
	name[LIMIT_SERVICE_BYTES_MAX + 1] = '\0';
	CU_ASSERT_FALSE(query_service_is_plain(name));
	name[LIMIT_SERVICE_BYTES_MAX] = '\0';
	CU_ASSERT(query_service_is_plain(name) && query_service_is_valid(name));
}

static void
test_may_repeat(void)
{
	CU_ASSERT(query_is_repeatable("GET", NULL) && query_is_repeatable("HEAD", NULL));
	CU_ASSERT(query_is_repeatable("PUT", NULL) &&
		  query_is_repeatable("DELETE", NULL));
	CU_ASSERT(query_is_repeatable("OPTIONS", "") && query_is_repeatable("POST", "k"));
	CU_ASSERT_FALSE(query_is_repeatable("POST", NULL) ||
			query_is_repeatable("POST", ""));
	CU_ASSERT_FALSE(query_is_repeatable("PATCH", NULL) ||
			query_is_repeatable("get", NULL));
}

static void
test_matching(void)
{
	char a[] = "model=a", star[] = "model=*", all[] = "all", other[] = "size=*";
	char *equal[] = { a }, *wide[] = { star }, *any[] = { all }, *off[] = { other };

	CU_ASSERT(query_selector_is_valid("model=a") && query_selector_is_valid("k=v=w"));
	CU_ASSERT_FALSE(query_selector_is_valid("model="));
	CU_ASSERT_FALSE(query_selector_is_valid("=a"));
	CU_ASSERT_FALSE(query_selector_is_valid("model"));
	CU_ASSERT_FALSE(query_selector_is_valid("model=a\n"));
	CU_ASSERT(query_match_serves(NULL, 0, "model=a", 0));
	CU_ASSERT(query_match_serves(equal, 1, NULL, 0));
	CU_ASSERT(query_match_serves(equal, 1, "model=a", 0));
	CU_ASSERT_FALSE(query_match_serves(equal, 1, "model=b", 2));
	CU_ASSERT_FALSE(query_match_serves(equal, 1, "model=ab", 2));
	CU_ASSERT_FALSE(query_match_serves(wide, 1, "model=a", 0));
	CU_ASSERT(query_match_serves(wide, 1, "model=a", 1));
	CU_ASSERT_FALSE(query_match_serves(off, 1, "model=a", 2));
	CU_ASSERT_FALSE(query_match_serves(any, 1, "model=a", 1));
	CU_ASSERT(query_match_serves(any, 1, "model=a", 2));
}

static void
test_fields_are_joined(void)
{
	struct query_headers h = { 0 };

	query_headers_join(&h, "vary", "a");
	query_headers_join(&h, "x", "");
	query_headers_join(&h, "vary", "b");
	query_headers_join(&h, "vary", "");
	query_headers_join(&h, "x", "1");
	CU_ASSERT_EQUAL_FATAL(h.len, 2);
	CU_ASSERT_STRING_EQUAL(query_headers_get(&h, "vary"), "a, b, ");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&h, "x"), ", 1");
	query_headers_fini(&h);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a query's head encodes and decodes", test_head },
		{ "a query's head cut at any byte is refused", test_head_cut },
		{ "a query's head with nonsense is refused", test_head_refused },
		{ "replies and errors encode, decode, and are refused when cut",
		  test_reply_and_error },
		{ "an error's texts are bounded", test_error_bounds },
		{ "service names are sorted into plain, valid and neither",
		  test_service_names },
		{ "some methods may be repeated, any with a key", test_may_repeat },
		{ "selectors match as the interface says", test_matching },
		{ "a field that comes several times is one list",
		  test_fields_are_joined },
	};

	return TAP_MAIN(argc, argv, tests);
}
