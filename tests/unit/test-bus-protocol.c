/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/protocol.h"

#include <string.h>

#include "base/error.h"
#include "lib/tap.h"

static void
test_subjects(void)
{
	char out[BUS_SUBJECT_SIZE];
	static const char *const plain[] = { "wc", "inference:m/x-1.5", "a.b.c", "x" };
	static const char *const not_plain[] = {
		"a b", "a\r\nPUB x 0",	"*",	       "a.>",	   "ocf.hello",
		"ocf", "worker:status", "$SYS.a",      "_INBOX.a", ".a",
		"a.",  "a..b",		"t\xc3\xa9st", "a\tb",
	};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		CU_ASSERT_STRING_EQUAL(bus_protocol_subject(plain[i], out), plain[i]);
	for (size_t i = 0; i < sizeof(not_plain) / sizeof(not_plain[0]); i++) {
		bus_protocol_subject(not_plain[i], out);
		CU_ASSERT(strlen(out) == 20 && strncmp(out, "svc.", 4) == 0);
		CU_ASSERT(strspn(out + 4, "0123456789abcdef") == 16);
	}
}

static struct query_head
sample(void)
{
	return (struct query_head){
		.request_id = (char *)"r1",
		.service = (char *)"wc",
		.selector = (char *)"model=x",
		.method = (char *)"POST",
		.path = (char *)"/v1/x?y=z",
		.content_type = (char *)"text/plain",
		.traceparent = (char *)"00-aa-bb-01",
		.attempt = 2,
		.timeout_ms = 12345,
		.body_len = 77,
	};
}

static void
test_request_round_trip(void)
{
	struct query_head head = sample(), back;
	struct query_headers headers;

	query_headers_add(&head.headers, "accept-language", "de");
	query_headers_add(&head.headers, "authorization", "Bearer secret");
	query_headers_add(&head.headers, "cookie", "a=b");
	query_headers_add(&head.headers, "host", "h");
	query_headers_add(&head.headers, "proxy-authorization", "x");
	query_headers_add(&head.headers, "transfer-encoding", "chunked");
	query_headers_add(&head.headers, "bad name", "x");
	query_headers_add(&head.headers, "x-empty", "");
	query_headers_add(&head.headers, "x-blank", " \t");
	query_headers_add(&head.headers, "accept-language", "fr");
	CU_ASSERT_FATAL(bus_protocol_request_headers(&head, "id-9", &headers) == 0);
	CU_ASSERT_STRING_EQUAL(query_headers_get(&headers, "Http-Accept-Language"),
			       "de, fr");
	for (int i = 0; i < headers.len; i++) {
		CU_ASSERT(strstr(headers.items[i].value, "secret") == NULL);
		CU_ASSERT(strncmp(headers.items[i].name, "Http-", 5) != 0 ||
			  strcmp(headers.items[i].name, "Http-Accept-Language") == 0);
	}
	CU_ASSERT_FATAL(bus_protocol_request_read(&headers, &back) == 0);
	CU_ASSERT_STRING_EQUAL(back.request_id, "id-9");
	CU_ASSERT_STRING_EQUAL(back.service, "wc");
	CU_ASSERT_STRING_EQUAL(back.selector, "model=x");
	CU_ASSERT_STRING_EQUAL(back.method, "POST");
	CU_ASSERT_STRING_EQUAL(back.path, "/v1/x?y=z");
	CU_ASSERT_STRING_EQUAL(back.content_type, "text/plain");
	CU_ASSERT_STRING_EQUAL(back.traceparent, "00-aa-bb-01");
	CU_ASSERT(back.attempt == 2 && back.timeout_ms == 12345 && back.headers.len == 1);
	CU_ASSERT_EQUAL(back.body_len, 77);
	CU_ASSERT_FALSE(back.is_idempotent);
	CU_ASSERT_STRING_EQUAL(back.headers.items[0].name, "accept-language");
	query_head_fini(&back);
	query_headers_fini(&headers);
	query_headers_add(&head.headers, "idempotency-key", "k");
	CU_ASSERT_FATAL(bus_protocol_request_headers(&head, "id-9", &headers) == 0);
	CU_ASSERT_FATAL(bus_protocol_request_read(&headers, &back) == 0);
	CU_ASSERT(back.is_idempotent);
	query_head_fini(&back);
	query_headers_fini(&headers);
	query_headers_fini(&head.headers);
}

static void
test_reply_round_trip(void)
{
	struct reply_head head = { .status = 201, .content_type = (char *)"text/plain" };
	struct reply_head back;
	struct query_headers headers;

	query_headers_add(&head.headers, "x-one", "1");
	query_headers_add(&head.headers, "vary", "a");
	query_headers_add(&head.headers, "vary", "b");
	query_headers_add(&head.headers, "x-empty", "");
	query_headers_add(&head.headers, "x-evil", "a\r\nOcf-End: 0");
	query_headers_add(&head.headers, "set-cookie", "a=b");
	query_headers_add(&head.headers, "connection", "close");
	query_headers_add(&head.headers, "ocf-status", "500");
	bus_protocol_reply_headers(&head, &headers);
	CU_ASSERT_FATAL(bus_protocol_reply_read(&headers, &back) == 0);
	CU_ASSERT(back.status == 201 && back.headers.len == 2);
	CU_ASSERT_STRING_EQUAL(back.content_type, "text/plain");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&back.headers, "x-one"), "1");
	CU_ASSERT_STRING_EQUAL(query_headers_get(&back.headers, "vary"), "a, b");
	CU_ASSERT_EQUAL(headers.len, 4);
	reply_head_fini(&back);
	query_headers_fini(&headers);
	query_headers_fini(&head.headers);
}

static void
test_line_ends_are_refused(void)
{
	static const char evil[] = "x\r\nPUB worker:status 2\r\n{}";
	struct query_headers headers;

	for (int field = 0; field < 7; field++) {
		struct query_head head = sample();
		char **texts[] = { &head.service, &head.selector,     &head.method,
				   &head.path,	  &head.content_type, &head.traceparent };

		if (field < 6)
			*texts[field] = (char *)evil;
		else
			query_headers_add(&head.headers, "x-a", evil);
		CU_ASSERT_EQUAL(bus_protocol_request_headers(&head, "r", &headers),
				-EINVAL);
		query_headers_fini(&head.headers);
	}
	CU_ASSERT_EQUAL(
		bus_protocol_request_headers(&(struct query_head){ 0 }, evil, &headers),
		-EINVAL);
}

static void
test_bad_requests_and_replies(void)
{
	static const struct {
		const char *name, *value;
		int status; /* of the reply; 0: refused */
	} replies[] = {
		{ "Ocf-Status", "200", 200 },
		{ "Ocf-Status", "599", 599 },
		{ "Ocf-Status", "199", 0 },
		{ "Ocf-Status", "600", 0 },
		{ "Ocf-Status", "2e2", 0 },
		{ "Ocf-Status", "", 0 },
		{ "Ocf-Status", "-200", 0 },
		{ "Http-Bad Name", "x", 200 },
		{ "Ocf-Status", "99999999999999999999999", 0 },
	};
	struct query_headers headers = { 0 };
	struct query_head head;
	uint64_t n;

	CU_ASSERT(bus_protocol_request_read(&headers, &head) == -OCF_EMALFORMED);
	query_headers_add(&headers, BUS_H_REQ_ID, "r");
	CU_ASSERT(bus_protocol_request_read(&headers, &head) == -OCF_EMALFORMED);
	query_headers_add(&headers, BUS_H_SERVICE, "s");
	query_headers_add(&headers, BUS_H_DEADLINE, "soon");
	CU_ASSERT(bus_protocol_request_read(&headers, &head) == -OCF_EMALFORMED);
	query_headers_fini(&headers);
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct reply_head reply = { 0 };
		int rc;

		query_headers_add(&headers, replies[i].name, replies[i].value);
		rc = bus_protocol_reply_read(&headers, &reply);
		CU_ASSERT(replies[i].status == 0 ? rc == -OCF_EMALFORMED
						 : reply.status == replies[i].status);
		CU_ASSERT(reply.headers.len == 0);
		reply_head_fini(&reply);
		query_headers_fini(&headers);
	}
	CU_ASSERT(bus_protocol_number("18446744073709551616", UINT64_MAX, &n) < 0);
	CU_ASSERT(bus_protocol_number(" 1", 9, &n) < 0 &&
		  bus_protocol_number("10", 9, &n) < 0);
	CU_ASSERT(bus_protocol_number("9", 9, &n) == 0 && n == 9);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a name that is no subject becomes a hash", test_subjects },
		{ "a request survives its headers, and keeps credentials back",
		  test_request_round_trip },
		{ "a reply's head survives its headers, without what may not pass",
		  test_reply_round_trip },
		{ "line ends are refused in every value", test_line_ends_are_refused },
		{ "bad requests and replies are refused", test_bad_requests_and_replies },
	};
	return TAP_MAIN(argc, argv, tests);
}
