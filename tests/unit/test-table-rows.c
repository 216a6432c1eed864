/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of rows: what is written is read back, and whatever is not right is refused.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "table/base64.h"
#include "table/rows.h"

#define HEAD "{\"cert\":\"AAEC\",\"name\":\"n\",\"version\":\"1\""
#define HOME "0123456789abcdef0123456789abcdef"
#define HOMES4 "\"" HOME "\",\"" HOME "\",\"" HOME "\",\"" HOME "\""
#define WORKER "{\"id\":\"w\",\"services\":[{\"name\":\"s\"}]"

static void
fill_node(struct table_node *n)
{
	memset(n, 0, sizeof(*n));
	n->name = mem_strdup("n1");
	n->version = mem_strdup("0.1.0");
	n->region = mem_strdup("eu");
	n->is_inbound = n->is_inbound_known = true;
	n->incarnation = 7;
	n->homes_len = 1;
	memset(n->homes[0].b, 0xab, ID_BYTES);
	n->hardware.cpus = 8;
	n->hardware.memory = 67108864000;
	table_hardware_add_gpu(&n->hardware, "L4", 25769803776);
	table_node_add_address(n, "10.0.0.1:8093");
	table_node_add_address(n, "[fe80::1]:8093");
	table_node_add_label(n, "zone", "b");
	table_node_add_label(n, "Ä", "ü");
	buf_put(&n->cert, "\0\1\2", 3);
}

static void
test_node_row_is_canonical(void)
{
	struct buf out = BUF_INIT, again = BUF_INIT;
	struct errmsg err = { "" };
	struct table_node n, back;

	fill_node(&n);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &out, &err), 0);
	CU_ASSERT_STRING_EQUAL(
		buf_text(&out),
		"{\"addresses\":[\"10.0.0.1:8093\",\"[fe80::1]:8093\"],\"cert\":\"AAEC\","
		"\"hardware\":{\"cpus\":8,\"gpus\":[{\"memory\":25769803776,\"name\":"
		"\"L4\"}],"
		"\"memory\":67108864000},"
		"\"homes\":[\"abababababababababababababababab\"],"
		"\"inbound\":true,\"incarnation\":7,"
		"\"labels\":{\"zone\":\"b\",\"Ä\":\"ü\"},\"name\":\"n1\",\"region\":"
		"\"eu\","
		"\"version\":\"0.1.0\"}");
	CU_ASSERT_EQUAL_FATAL(table_node_decode(buf_bytes(&out), &back, &err), 0);
	CU_ASSERT_STRING_EQUAL(back.name, "n1");
	CU_ASSERT_EQUAL(back.addresses_len, 2);
	CU_ASSERT_EQUAL(back.incarnation, 7);
	CU_ASSERT(back.homes_len == 1 && id_equal(&back.homes[0], &n.homes[0]));
	CU_ASSERT_EQUAL(back.cert.len, 3);
	CU_ASSERT_EQUAL(back.hardware.gpus[0].memory, 25769803776);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&back, &again, &err), 0);
	CU_ASSERT(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
	table_node_fini(&n);
	table_node_fini(&back);
	buf_fini(&out);
	buf_fini(&again);
}

static void
test_draining_node(void)
{
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };
	struct table_node n, back;

	fill_node(&n);
	n.is_draining = true;
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &out, &err), 0);
	CU_ASSERT(strstr(buf_text(&out), "\"state\":\"draining\"") != NULL);
	CU_ASSERT_EQUAL_FATAL(table_node_decode(buf_bytes(&out), &back, &err), 0);
	CU_ASSERT(back.is_draining && !back.has_left);
	table_node_fini(&back);
	/* What it has left says more. */
	n.has_left = true;
	buf_clear(&out);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &out, &err), 0);
	CU_ASSERT(strstr(buf_text(&out), "draining") == NULL);
	table_node_fini(&n);
	buf_fini(&out);
}

static void
test_ca_holder(void)
{
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };
	struct table_node n, back;

	fill_node(&n);
	n.holds_ca = true;
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &out, &err), 0);
	CU_ASSERT(strstr(buf_text(&out), "\"ca\":true,\"cert\"") != NULL);
	CU_ASSERT_EQUAL_FATAL(table_node_decode(buf_bytes(&out), &back, &err), 0);
	CU_ASSERT(back.holds_ca);
	table_node_fini(&back);
	CU_ASSERT_EQUAL_FATAL(
		table_node_decode(bytes_text(HEAD ",\"ca\":false}"), &back, &err), 0);
	CU_ASSERT(!back.holds_ca);
	table_node_fini(&back);
	CU_ASSERT_EQUAL(table_node_decode(bytes_text(HEAD ",\"ca\":1}"), &back, &err),
			-OCF_EMALFORMED);
	table_node_fini(&n);
	buf_fini(&out);
}

static void
test_bar(void)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"by\":7}",
		"{\"by\":\"0123\"}",
		"{\"by\":\"zz112233445566778899aabbccddeeff\"}",
		"{\"by\":\"00112233445566778899aabbccddeeff\",\"reason\":\"a\\nb\"}",
		"{\"by\":\"00112233445566778899aabbccddeeff\",\"name\":1}",
	};
	char name[] = "n1", reason[TABLE_REASON_BYTES_MAX + 2] = "why";
	struct table_bar bar = { .by = { { 0xab } } }, back;
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL_FATAL(table_bar_encode(&bar, &out, &err), 0);
	CU_ASSERT_STRING_EQUAL(buf_text(&out),
			       "{\"by\":\"ab000000000000000000000000000000\"}");
	CU_ASSERT_EQUAL_FATAL(table_bar_decode(buf_bytes(&out), &back, &err), 0);
	CU_ASSERT(id_equal(&back.by, &bar.by));
	CU_ASSERT(back.name[0] == '\0' && back.reason[0] == '\0');
	table_bar_fini(&back);
	bar.name = name;
	bar.reason = reason;
	buf_clear(&out);
	CU_ASSERT_EQUAL_FATAL(table_bar_encode(&bar, &out, &err), 0);
	CU_ASSERT_STRING_EQUAL(buf_text(&out),
			       "{\"by\":\"ab000000000000000000000000000000\","
			       "\"name\":\"n1\",\"reason\":\"why\"}");
	memset(reason, 'x', TABLE_REASON_BYTES_MAX + 1);
	buf_clear(&out);
	CU_ASSERT_EQUAL(table_bar_encode(&bar, &out, &err), -EINVAL);
	CU_ASSERT_EQUAL(out.len, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(table_bar_decode(bytes_text(bad[i]), &back, &err),
				-OCF_EMALFORMED);
	buf_fini(&out);
}

static void
test_left_node_keeps_only_its_certificate(void)
{
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };
	struct table_node n, back;

	fill_node(&n);
	n.has_left = true;
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &out, &err), 0);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "{\"cert\":\"AAEC\",\"left\":true}");
	CU_ASSERT_EQUAL_FATAL(table_node_decode(buf_bytes(&out), &back, &err), 0);
	CU_ASSERT(back.has_left);
	CU_ASSERT_STRING_EQUAL(back.name, "");
	table_node_fini(&n);
	table_node_fini(&back);
	buf_fini(&out);
}

static void
test_worker_row_is_canonical(void)
{
	struct table_worker w = { .id = mem_strdup("w-1"), .slots = 4 }, back;
	struct table_service *s = table_worker_add_service(&w, "llm");
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };

	table_service_add_match(s, "model=a");
	table_service_add_match(s, "all");
	table_worker_add_service(&w, "wc");
	w.metadata = mem_strdup("{ \"b\": [1, 2.5], \"a\": null }");
	w.is_draining = true;
	w.hardware.cpus = 1;
	CU_ASSERT_EQUAL_FATAL(table_worker_encode(&w, &out, &err), 0);
	CU_ASSERT_STRING_EQUAL(
		buf_text(&out),
		"{\"hardware\":{\"cpus\":1,\"gpus\":[],\"memory\":0},\"id\":\"w-1\","
		"\"metadata\":{\"a\":null,\"b\":[1,2.5]},"
		"\"services\":[{\"match\":[\"model=a\",\"all\"],\"name\":\"llm\"},"
		"{\"match\":[],\"name\":\"wc\"}],\"slots\":4,\"state\":\"draining\"}");
	CU_ASSERT_EQUAL_FATAL(table_worker_decode(buf_bytes(&out), &back, &err), 0);
	CU_ASSERT_EQUAL(back.services_len, 2);
	CU_ASSERT_STRING_EQUAL(back.services[0].match[1], "all");
	CU_ASSERT_STRING_EQUAL(back.metadata, "{\"a\":null,\"b\":[1,2.5]}");
	CU_ASSERT(back.is_draining);
	table_worker_fini(&w);
	table_worker_fini(&back);
	buf_fini(&out);
}

static const struct {
	bool is_worker;
	bool is_good;
	const char *text;
} strict[] = {
	{ false, true, HEAD "}" },
	{ false, true, HEAD ",\"later\":[{}]}" }, /* a newer node's member */
	{ false, true, HEAD ",\"labels\":{\"a\":\"\"}}" },
	{ false, true, "{\"cert\":\"AAEC\",\"left\":true}" },
	{ false, false, "" },
	{ false, false, "null" },
	{ false, false, "[]" },
	{ false, false, "{" },
	{ false, false,
	  HEAD "} "
	       "x" },
	{ false, false, HEAD ",\"name\":\"m\"}" }, /* twice */
	{ false, false, "{\"name\":\"n\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"\",\"name\":\"n\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAE\",\"name\":\"n\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAF=\",\"name\":\"n\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AA==AAEC\",\"name\":\"n\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"A E=\",\"name\":\"n\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"name\":\"\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"name\":7,\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"name\":\"a\\u001bb\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"name\":\"a\\u009bb\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"name\":\"a\\u0000b\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"name\":\"\xff\",\"version\":\"1\"}" },
	{ false, false, "{\"cert\":\"AAEC\",\"left\":1}" },
	{ false, false, HEAD ",\"inbound\":1}" },
	{ false, true, HEAD ",\"homes\":[\"" HOME "\"]}" },
	{ false, false, HEAD ",\"homes\":\"" HOME "\"}" },
	{ false, false, HEAD ",\"homes\":[\"" HOME "a\"]}" },
	{ false, false, HEAD ",\"homes\":[7]}" },
	{ false, true, HEAD ",\"homes\":[" HOMES4 "," HOMES4 "]}" },
	{ false, false, HEAD ",\"homes\":[" HOMES4 "," HOMES4 ",\"" HOME "\"]}" },
	{ false, false, HEAD ",\"incarnation\":-1}" },
	{ false, false, HEAD ",\"incarnation\":9223372036854775808}" },
	{ false, false, HEAD ",\"incarnation\":1.0}" },
	{ false, false, HEAD ",\"labels\":[]}" },
	{ false, false, HEAD ",\"labels\":{\"\":\"x\"}}" },
	{ false, false, HEAD ",\"labels\":{\"a\":1}}" },
	{ false, false, HEAD ",\"addresses\":\"a:1\"}" },
	{ false, false, HEAD ",\"addresses\":[\"a\"]}" },
	{ false, false, HEAD ",\"addresses\":[\":1\"]}" },
	{ false, false, HEAD ",\"addresses\":[\"a:0\"]}" },
	{ false, false, HEAD ",\"addresses\":[\"a:65536\"]}" },
	{ false, false, HEAD ",\"addresses\":[\"a:1x\"]}" },
	{ false, false, HEAD ",\"addresses\":[\"a: 1\"]}" },
	{ false, false, HEAD ",\"addresses\":[\"unix:/a:1\"]}" },
	{ false, false, HEAD ",\"hardware\":[]}" },
	{ false, false, HEAD ",\"hardware\":{\"cpus\":1048577}}" },
	{ false, false, HEAD ",\"hardware\":{\"gpus\":[1]}}" },
	{ false, false, HEAD ",\"hardware\":{\"gpus\":[{\"memory\":1}]}}" },
	{ true, true, WORKER "}" },
	{ true, true, WORKER ",\"slots\":4096,\"state\":\"ready\"}" },
	{ true, false, WORKER ",\"slots\":4097}" },
	{ true, false, WORKER ",\"slots\":\"4\"}" },
	{ true, false, WORKER ",\"state\":3}" },
	{ true, false, WORKER ",\"metadata\":[]}" },
	{ true, false,
	  WORKER ",\"metadata\":{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}}" },
	{ true, false, "{\"services\":[{\"name\":\"s\"}]}" },
	{ true, false, "{\"id\":\"a/b\",\"services\":[{\"name\":\"s\"}]}" },
	{ true, false, "{\"id\":\"\",\"services\":[{\"name\":\"s\"}]}" },
	{ true, false, "{\"id\":\"w\"}" },
	{ true, false, "{\"id\":\"w\",\"services\":[]}" },
	{ true, false, "{\"id\":\"w\",\"services\":[\"s\"]}" },
	{ true, false, "{\"id\":\"w\",\"services\":[{\"name\":\"\"}]}" },
	{ true, false,
	  "{\"id\":\"w\",\"services\":[{\"name\":\"s\"},{\"name\":\"s\"}]}" },
	{ true, false,
	  "{\"id\":\"w\",\"services\":[{\"name\":\"s\",\"match\":[\"x\"]}]}" },
	{ true, false,
	  "{\"id\":\"w\",\"services\":[{\"name\":\"s\",\"match\":[\"=v\"]}]}" },
	{ true, false,
	  "{\"id\":\"w\",\"services\":[{\"name\":\"s\",\"match\":[\"k=v\",\"k=v\"]}]}" },
};

static void
test_reading_is_strict(void)
{
	for (size_t i = 0; i < sizeof(strict) / sizeof(strict[0]); i++) {
		struct errmsg err = { "" };
		struct table_worker w;
		struct table_node n;
		int rc;

		if (strict[i].is_worker)
			rc = table_worker_decode(bytes_text(strict[i].text), &w, &err);
		else
			rc = table_node_decode(bytes_text(strict[i].text), &n, &err);
		if ((rc == 0) != strict[i].is_good)
			tap_note("%s: %d %s", strict[i].text, rc, err.text);
		CU_ASSERT_EQUAL(rc, strict[i].is_good ? 0 : -OCF_EMALFORMED);
		CU_ASSERT_EQUAL(err.text[0] == '\0', strict[i].is_good);
		if (rc == 0 && strict[i].is_worker)
			table_worker_fini(&w);
		else if (rc == 0)
			table_node_fini(&n);
	}
}

static void
test_writing_refuses_what_cannot_be_read(void)
{
	struct table_worker w = { .id = mem_strdup("w") };
	struct table_service *s = table_worker_add_service(&w, "s");
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };

	w.slots = -1;
	CU_ASSERT_EQUAL(table_worker_encode(&w, &out, &err), -EINVAL);
	w.slots = 1;
	w.metadata = mem_strdup("{\"a\":1}{");
	CU_ASSERT_EQUAL(table_worker_encode(&w, &out, &err), -EINVAL);
	free(w.metadata);
	w.metadata = NULL;
	table_service_add_match(s, "k=\xc3(");
	CU_ASSERT_EQUAL(table_worker_encode(&w, &out, &err), -EINVAL);
	free(s->match[0]);
	s->match[0] = mem_strdup("k=v");
	CU_ASSERT_EQUAL(out.len, 0);
	CU_ASSERT_EQUAL(table_worker_encode(&w, &out, &err), 0);
	/* Each text within its limit, all of them together not. */
	for (int i = 1; i < LIMIT_MATCHES_MAX; i++) {
		char text[LIMIT_MATCH_BYTES_MAX + 1];

		memset(text, 'x', sizeof(text) - 1);
		text[LIMIT_MATCH_BYTES_MAX] = '\0';
		text[1] = '=';
		text[2] = (char)('0' + i);
		table_service_add_match(s, text);
	}
	CU_ASSERT_EQUAL(table_worker_encode(&w, &out, &err), -OCF_ELIMIT);
	table_worker_fini(&w);
	buf_fini(&out);
}

/* Every value with one byte changed is refused or read; nothing is read beyond its end.
 */
static void
test_changed_bytes_do_no_harm(void)
{
	struct buf out = BUF_INIT;
	struct table_node n, back;

	fill_node(&n);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &out, NULL), 0);
	for (size_t i = 0; i < out.len; i++) {
		static const uint8_t bytes[] = {
			0, '"', '\\', '{', ']', '9', 0x80, 0xff
		};

		for (size_t k = 0; k < sizeof(bytes); k++) {
			uint8_t *copy = mem_dup(out.data, out.len);

			copy[i] = bytes[k];
			if (table_node_decode(bytes_of(copy, out.len), &back, NULL) == 0)
				table_node_fini(&back);
			free(copy);
		}
		CU_ASSERT_EQUAL(table_node_decode(bytes_of(out.data, i), &back, NULL),
				-OCF_EMALFORMED);
	}
	table_node_fini(&n);
	buf_fini(&out);
}

static void
test_base64_round_trips(void)
{
	static const char *const known[][2] = { { "", "" },
						{ "f", "Zg==" },
						{ "fo", "Zm8=" },
						{ "foo", "Zm9v" },
						{ "foob", "Zm9vYg==" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct buf text = BUF_INIT, back = BUF_INIT;

		base64_encode(bytes_text(known[i][0]), &text);
		CU_ASSERT_STRING_EQUAL(buf_text(&text), known[i][1]);
		CU_ASSERT_EQUAL(base64_decode(buf_text(&text), &back), 0);
		CU_ASSERT(bytes_equal_text(buf_bytes(&back), known[i][0]));
		buf_fini(&text);
		buf_fini(&back);
	}
}

static const struct tap_test tests[] = {
	{ "a node row has one encoding and is read back", test_node_row_is_canonical },
	{ "a node that drains says so in its row", test_draining_node },
	{ "a node that holds the CA's key says so, others say nothing", test_ca_holder },
	{ "a ban tells by whom and why, in bounds", test_bar },
	{ "a node that left keeps only its certificate",
	  test_left_node_keeps_only_its_certificate },
	{ "a worker row has one encoding and is read back",
	  test_worker_row_is_canonical },
	{ "whatever is not right in a row is refused, whatever is new is ignored",
	  test_reading_is_strict },
	{ "nothing is written that could not be read back",
	  test_writing_refuses_what_cannot_be_read },
	{ "a value with changed or missing bytes does no harm",
	  test_changed_bytes_do_no_harm },
	{ "base64 round-trips", test_base64_round_trips },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
