/* SPDX-License-Identifier: Apache-2.0 */
/* Who may use the HTTP interface: Hosts and Origins, tokens, and what is for the unix socket
 * alone. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "http/access.h"
#include "lib/tap.h"
#include "unit/http-bench.h"

#define INVITE "POST /v1/admin/invite HTTP/1.1\r\n" H
static void
test_admin(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, INVITE "\r\n", 403);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "unix socket") != NULL);
	bench_ask(&b, &b.socket, INVITE "\r\n", 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body),
			       "{\"name\":\"invite\",\"body\":{}}\n");
	bench_ask(&b, &b.socket, INVITE "Content-Length: 10\r\n\r\n{\"uses\":2}", 200);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "\"uses\":2") != NULL);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 10\r\n\r\n{\"fail\":2}", 403);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 2\r\n\r\n[]", 400);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 1\r\n\r\n{", 400);
	bench_ask(&b, &b.socket, INVITE "Content-Length: 15\r\n\r\n{\"a\":1, \"a\": 1}",
		  400);
	bench_close(&b);
}

#define FROM(host, more) "GET /v1/status HTTP/1.1\r\nHost: " host "\r\n" more "\r\n"
#define POST_FROM(host, origin)                                                          \
	"POST /v1/service/wc HTTP/1.1\r\nHost: " host "\r\nOrigin: " origin "\r\n\r\n"
static void
test_sites(void)
{
	static const char *const names[] = { "box.example" };
	struct bench b;

	bench_open(&b, (struct access_config){ .names = names, .names_len = 1 });
	bench_ask(&b, &b.raw, FROM("localhost:1234", ""), 200);
	bench_ask(&b, &b.raw, FROM("127.0.0.2", ""), 200);
	bench_ask(&b, &b.raw, FROM("[::1]:8092", ""), 200);
	bench_ask(&b, &b.raw, FROM("Box.Example:1", ""), 200);
	bench_ask(&b, &b.raw, FROM("box.example.", ""), 200);
	bench_ask(&b, &b.raw, FROM("evil.example", ""), 421);
	bench_ask(&b, &b.raw, FROM("127.0.0.1.evil.example", ""), 421);
	bench_ask(&b, &b.raw, FROM("192.168.1.2", ""), 421);
	bench_ask(&b, &b.raw, "GET http://evil.example/v1/status HTTP/1.1\r\n" H "\r\n",
		  421);
	bench_ask(&b, &b.socket, FROM("evil.example", ""), 200);
	bench_ask(&b, &b.raw, FROM("localhost", "Origin: http://evil.example\r\n"), 200);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://localhost:1"), 200);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://localhost:2"), 403);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://evil.example"), 403);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "null"), 403);
	bench_ask(&b, &b.raw, POST_FROM("localhost:1", "http://localhost:1, http://e"),
		  403);
	bench_close(&b);
}

static char *
write_tokens(const char *name, const char *more, mode_t mode)
{
	char *path = mem_printf("%s/%s", tap_folder(), name), hex[65], *text;
	uint8_t hash[32];
	struct errmsg err;

	bench_sha256("secret", 6, hash);
	text = mem_printf("# who\n\nme:%s:rate=1000\nyou:%064d\n%s",
			  hex_encode(hash, 32, hex), 0, more);
	CU_ASSERT_EQUAL(file_write(path, bytes_text(text), mode, &err), 0);
	free(text);
	return path;
}

static void
test_tokens(void)
{
	char *path = write_tokens("tokens", "", 0600);
	char *other = write_tokens("tokens-bad", "x:12\n", 0600);
	struct bench b;
	struct errmsg err;

	bench_open(&b,
		   (struct access_config){ .token_file = path, .local_tokens = true });
	bench_ask(&b, &b.raw, FROM("localhost", ""), 401);
	CU_ASSERT(strncmp(raw_header(&b.reply, "www-authenticate"), "Bearer", 6) == 0);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Bearer wrong\r\n"), 401);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Basic secret\r\n"), 401);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Bearer\r\n"), 401);
	bench_ask(&b, &b.raw,
		  FROM("localhost", "Authorization: Bearer secret\r\n"
				    "Authorization: Bearer wrong\r\n"),
		  401);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: bearer secret\r\n"), 200);
	bench_ask(&b, &b.raw, GET("/nothing"), 401);
	bench_ask(&b, &b.raw, GET("/healthz"), 200);
	bench_ask(&b, &b.socket, FROM("x", ""), 200);
	CU_ASSERT_EQUAL(api_reload(b.api,
				   &(struct access_config){ .token_file = other,
							    .local_tokens = true,
							    .sha256 = bench_sha256 },
				   &err),
			-OCF_EMALFORMED);
	CU_ASSERT(strstr(err.text, "tokens-bad:5: ") != NULL);
	bench_ask(&b, &b.raw, FROM("localhost", "Authorization: Bearer secret\r\n"), 200);
	CU_ASSERT_EQUAL(
		api_reload(b.api, &(struct access_config){ .token_file = NULL }, &err),
		0);
	bench_ask(&b, &b.raw, FROM("localhost", ""), 200);
	bench_close(&b);
	free(path);
	free(other);
}

#define QUERY_WITH(name) "POST /v1/service/" name " HTTP/1.1\r\n" WITH("secret") "\r\n"
#define INFERENCE_WITH(name)                                                             \
	"POST /api/v1/request/inference HTTP/1.1\r\n" WITH(                              \
		"secret") "Content-Length: 41\r\n\r\n{\"model_name\":\"" name            \
			  "\",\"params\":{\"prompt\":1}}"
#define WITH(token) H "Authorization: Bearer " token "\r\n"
/* What a token is limited to: 429 with Retry-After, 403, and the reasons. */
static void
test_limits(void)
{
	char *path = mem_printf("%s/limits", tap_folder()), hex[65], *text;
	uint8_t hash[32];
	struct raw second;
	struct bench b;
	struct errmsg err;

	bench_sha256("secret", 6, hash);
	text = mem_printf("me:%s:rate=0.001,burst=5,concurrency=1,service=hold,"
			  "service=inference:ab\n",
			  hex_encode(hash, 32, hex));
	CU_ASSERT_EQUAL(file_write(path, bytes_text(text), 0600, &err), 0);
	bench_open(&b,
		   (struct access_config){ .token_file = path, .local_tokens = true });
	bench_ask(&b, &b.raw, QUERY_WITH("wc"), 403);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "not for the service wc") != NULL);
	bench_ask(&b, &b.raw, INFERENCE_WITH("xy"), 403);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "{\"error\":\"the token me") != NULL);
	bench_ask(&b, &b.raw, INFERENCE_WITH("ab"), 200);
	/* One is under way: another finds no place, and takes none of the rate. */
	raw_open(&second, b.loop, api_address(b.api));
	raw_send(&second, QUERY_WITH("hold"));
	while (b.job == NULL)
		loop_turn(b.loop, 10);
	bench_ask(&b, &b.raw, "GET /v1/status HTTP/1.1\r\n" WITH("secret") "\r\n", 429);
	CU_ASSERT_STRING_EQUAL(raw_header(&b.reply, "retry-after"), "1");
	CU_ASSERT(strstr(buf_text(&b.reply.body), "1 request under way") != NULL);
	/* Its client leaves: the place is free. */
	raw_close(&second);
	while (b.job != NULL)
		loop_turn(b.loop, 10);
	bench_ask(&b, &b.raw, "GET /v1/status HTTP/1.1\r\n" WITH("secret") "\r\n", 200);
	bench_ask(&b, &b.raw, "GET /v1/status HTTP/1.1\r\n" WITH("secret") "\r\n", 429);
	CU_ASSERT(atoi(raw_header(&b.reply, "retry-after")) > 900);
	CU_ASSERT(strstr(buf_text(&b.reply.body), "0.001 requests a second") != NULL);
	/* Probes and the socket are nobody's. */
	bench_ask(&b, &b.raw, GET("/healthz"), 200);
	bench_ask(&b, &b.socket, FROM("x", ""), 200);
	/* Read again with a service more, the bucket stays empty. */
	CU_ASSERT_EQUAL(api_reload(b.api,
				   &(struct access_config){ .token_file = path,
							    .local_tokens = true,
							    .sha256 = bench_sha256 },
				   &err),
			0);
	CU_ASSERT_EQUAL(api_tokens(b.api), 1);
	bench_ask(&b, &b.raw, "GET /v1/status HTTP/1.1\r\n" WITH("secret") "\r\n", 429);
	bench_close(&b);
	free(text);
	free(path);
}

static void
test_access_config(void)
{
	char *path = write_tokens("tokens-ok", "", 0600);
	char *loose = write_tokens("tokens-loose", "", 0644);
	struct access_config none = { 0 },
			     tokens = { .token_file = path, .sha256 = bench_sha256 };
	struct access_config open = { .is_public = true },
			     closed = { .local_tokens = true };
	struct access_config readable = { .token_file = loose, .sha256 = bench_sha256 };
	struct access_config absent = { .token_file = "/nonexistent/t",
					.sha256 = bench_sha256 };
	struct errmsg err;

	CU_ASSERT_EQUAL(api_check_access_config(&none, "127.0.0.1:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&none, "[::1]:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&none, "0.0.0.0:8092", &err), -EPERM);
	CU_ASSERT(strstr(err.text, "http.public") != NULL);
	CU_ASSERT_EQUAL(api_check_access_config(&none, "[::]:8092", &err), -EPERM);
	CU_ASSERT_EQUAL(api_check_access_config(&tokens, "0.0.0.0:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&open, "0.0.0.0:8092", &err), 0);
	CU_ASSERT_EQUAL(api_check_access_config(&closed, "127.0.0.1:8092", &err), -EPERM);
	CU_ASSERT_EQUAL(api_check_access_config(&readable, "0.0.0.0:8092", &err), -EPERM);
	CU_ASSERT_EQUAL(api_check_access_config(&absent, "0.0.0.0:8092", &err), -ENOENT);
	free(path);
	free(loose);
}

/* What an address that anyone reaches answers to: 0, 421 or 403. */
static int
network_site(const struct access *a, const char *method, const char *host,
	     const char *origin)
{
	struct http_header header = { .name = "origin", .value = origin };
	struct http_head head = { .method = method,
				  .target = "/",
				  .host = host,
				  .headers = &header,
				  .headers_len = origin != NULL };
	struct errmsg err;

	return access_check_site(a, ACCESS_NETWORK, &head, &err);
}

static void
test_network_sites(void)
{
	static const char *const names[] = { "box.example" };
	struct access_config named = { .names = names,
				       .names_len = 1,
				       .is_public = true };
	struct access_config open = { .is_public = true },
			     closed = { .is_public = false };
	struct access *a;
	struct errmsg err;

	CU_ASSERT_EQUAL_FATAL(access_new(&named, NULL, 0, &a, &err), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "box.example:8092", NULL), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "192.168.1.2:8092", NULL), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "[2001:db8::1]", NULL), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "evil.example", NULL), 421);
	CU_ASSERT_EQUAL(network_site(a, "PUT", "10.0.0.1", "http://10.0.0.1"), 0);
	CU_ASSERT_EQUAL(network_site(a, "PUT", "10.0.0.1", "http://evil.example"), 403);
	access_free(a);
	/* A public node without names: a rebound name must not reach it. */
	CU_ASSERT_EQUAL_FATAL(access_new(&open, NULL, 0, &a, &err), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "any.example", NULL), 421);
	access_free(a);
	/* One that asks for tokens may be called anything, until names are given. */
	CU_ASSERT_EQUAL_FATAL(access_new(&closed, NULL, 0, &a, &err), 0);
	CU_ASSERT_EQUAL(network_site(a, "GET", "any.example", NULL), 0);
	access_free(a);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "admin routes exist on the unix socket only", test_admin },
		{ "foreign Hosts and Origins are refused", test_sites },
		{ "which Hosts a public address answers to", test_network_sites },
		{ "tokens open what they should", test_tokens },
		{ "tokens are limited as their lines say", test_limits },
		{ "an address that anyone reaches needs tokens or public",
		  test_access_config },
	};

	return TAP_MAIN(argc, argv, tests);
}
