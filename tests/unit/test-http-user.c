/* SPDX-License-Identifier: Apache-2.0 */
/* What a token allows: rate, requests under way, services; in virtual time. And that a file
 * which is read again changes limits and nothing else. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "http/access.h"
#include "http/user.h"
#include "lib/tap.h"

static struct user_counts counts;

static struct user *
user_of(int64_t rate_milli, int64_t burst, int64_t concurrency)
{
	struct tokens_entry e = { .name = "me",
				  .rate_milli = rate_milli,
				  .burst = burst,
				  .concurrency = concurrency };

	return user_new(&e, 0);
}

/* Enter and leave at once: 0, or the seconds to wait. */
static int
visit(struct user *u, ms_t now)
{
	struct errmsg err = { "" };
	int after = -1, status = user_enter(u, &counts, now, &after, &err);

	if (status == 0) {
		user_leave(u, 0);
		return 0;
	}
	CU_ASSERT_EQUAL(status, 429);
	CU_ASSERT(strstr(err.text, "the token me may") != NULL);
	CU_ASSERT(after >= 1);
	return after;
}

static void
test_rate(void)
{
	struct user *u = user_of(2000, 5, 0);
	int taken = 0;

	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(visit(u, 0), 0);
	CU_ASSERT_EQUAL(visit(u, 0), 1);
	CU_ASSERT_EQUAL(visit(u, 499), 1);
	CU_ASSERT_EQUAL(visit(u, 500), 0);
	CU_ASSERT_EQUAL(visit(u, 500), 1);
	/* Over ten seconds of asking each millisecond, two a second are let in. */
	for (ms_t now = 501; now <= 10500; now++)
		taken += visit(u, now) == 0;
	CU_ASSERT_EQUAL(taken, 20);
	/* After any pause there is one bucket, and no more. */
	taken = 0;
	for (int i = 0; i < 100; i++)
		taken += visit(u, INT64_MAX / 4) == 0;
	CU_ASSERT_EQUAL(taken, 5);
	user_unref(u);
}

static void
test_slow_and_fast_rates(void)
{
	struct user *slow = user_of(1, 0, 0);
	struct user *fast = user_of(TOKENS_RATE_MILLI_MAX, TOKENS_NUMBER_MAX, 0);

	CU_ASSERT_EQUAL(visit(slow, 0), 0);
	CU_ASSERT_EQUAL(visit(slow, 0), 1000);
	CU_ASSERT_EQUAL(visit(slow, 999001), 1);
	CU_ASSERT_EQUAL(visit(slow, 999999), 1);
	CU_ASSERT_EQUAL(visit(slow, 1000000), 0);
	for (int i = 0; i < 2000; i++)
		CU_ASSERT_EQUAL(visit(fast, 1), 0);
	user_unref(slow);
	user_unref(fast);
}

static void
test_concurrency(void)
{
	struct user *u = user_of(0, 0, 2);
	struct errmsg err = { "" };
	int after = 0;

	CU_ASSERT_EQUAL(user_enter(u, &counts, 0, &after, &err), 0);
	CU_ASSERT_EQUAL(user_enter(u, &counts, 0, &after, &err), 0);
	CU_ASSERT_EQUAL(visit(u, 0), 1);
	/* Two that take 20 seconds each: one will end in about ten. */
	user_leave(u, 20000);
	CU_ASSERT_EQUAL(user_enter(u, &counts, 0, &after, &err), 0);
	CU_ASSERT_EQUAL(visit(u, 0), 10);
	user_leave(u, 20000);
	user_leave(u, (ms_t)MS_DAY);
	CU_ASSERT_EQUAL(user_enter(u, &counts, 0, &after, &err), 0);
	CU_ASSERT_EQUAL(user_enter(u, &counts, 0, &after, &err), 0);
	CU_ASSERT_EQUAL(visit(u, 0), USER_RETRY_S_MAX);
	user_leave(u, 0);
	user_leave(u, 0);
	user_unref(u);
}

/* Who is refused for one reason pays nothing for the other. */
static void
test_refused_for_nothing(void)
{
	struct user *u = user_of(1000, 2, 1);
	struct errmsg err = { "" };
	int after = 0;

	CU_ASSERT_EQUAL(user_enter(u, &counts, 0, &after, &err), 0);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(visit(u, 0), 1);
	user_leave(u, 0);
	CU_ASSERT_EQUAL(visit(u, 0), 0);
	CU_ASSERT_EQUAL(visit(u, 0), 1);
	user_unref(u);
}

static void
test_services(void)
{
	struct tokens_entry e = { .name = "me", .share = 7 };
	struct errmsg err = { "" };
	struct user *u;

	tokens_add_service(&e, "llm");
	tokens_add_service(&e, "ocr");
	u = user_new(&e, 0);
	CU_ASSERT_EQUAL(user_check_service(u, &counts, "llm", &err), 0);
	CU_ASSERT_EQUAL(user_check_service(u, &counts, "ocr", &err), 0);
	CU_ASSERT_EQUAL(user_check_service(u, &counts, "LLM", &err), 403);
	CU_ASSERT_STRING_EQUAL(err.text, "the token me is not for the service LLM");
	CU_ASSERT_EQUAL(user_check_service(NULL, &counts, "any", &err), 0);
	CU_ASSERT_EQUAL(user_share(u), 7);
	CU_ASSERT_EQUAL(user_share(NULL), 1);
	CU_ASSERT_PTR_NULL(user_name(NULL));
	user_unref(u);
}

static char *
write_tokens(const char *text)
{
	char *path = mem_printf("%s/tokens", tap_folder());
	struct errmsg err;

	CU_ASSERT_EQUAL(file_write(path, bytes_text(text), 0600, &err), 0);
	return path;
}

/* The token "x", whose hash here is its first letter alone. */
static void
first_letter(const void *data, size_t len, uint8_t out[ACCESS_HASH_BYTES])
{
	memset(out, 0, ACCESS_HASH_BYTES);
	out[0] = len > 0 ? *(const uint8_t *)data : 0;
}

#define HASH(digits)                                                                     \
	digits "00000000000000000000000000000000000000000000000000000000000000"
static struct access *
read_tokens(const char *text, const struct access *old, ms_t now)
{
	char *path = write_tokens(text);
	struct access_config config = { .local_tokens = true,
					.token_file = path,
					.sha256 = first_letter };
	struct errmsg err = { "" };
	struct access *a = NULL;

	CU_ASSERT_EQUAL_FATAL(access_new(&config, old, now, &a, &err), 0);
	free(path);
	return a;
}

static struct user *
user_with(const struct access *a, const char *header)
{
	const struct http_header authorization = { .name = "authorization",
						   .value = header };
	struct http_head head = { .method = "GET",
				  .target = "/",
				  .host = "",
				  .headers_len = 1,
				  .headers = &authorization };
	struct errmsg err = { "" };
	struct user *user;

	return access_check_token(a, ACCESS_LOOPBACK, &head, &user, &err) == 0 ? user
									       : NULL;
}

static void
test_read_again(void)
{
	struct access *a = read_tokens("you:" HASH("62") "\nme:" HASH(
					       "61") ":rate=1,burst=3,concurrency=1\n",
				       NULL, 0),
		      *b;
	struct user *me = user_with(a, "Bearer a"), *you = user_with(a, "Bearer b");
	struct errmsg err = { "" };
	int after = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(me);
	CU_ASSERT_STRING_EQUAL(user_name(me), "me");
	CU_ASSERT_STRING_EQUAL(user_name(you), "you");
	CU_ASSERT_EQUAL(access_tokens(a), 2);
	CU_ASSERT_EQUAL(visit(me, 0), 0);
	CU_ASSERT_EQUAL(user_enter(me, &counts, 0, &after, &err), 0);
	user_ref(me);
	CU_ASSERT_EQUAL(user_enter(you, &counts, 0, &after, &err), 0);
	user_ref(you);
	/* Another hash and other limits; the bucket holds one, and one runs, as before. */
	b = read_tokens("me:" HASH("63") ":rate=1,burst=9,concurrency=2\n", a, 0);
	access_free(a);
	CU_ASSERT_PTR_NULL(user_with(b, "Bearer a"));
	CU_ASSERT_PTR_NULL(user_with(b, "Bearer b"));
	CU_ASSERT_PTR_EQUAL(user_with(b, "Bearer c"), me);
	CU_ASSERT_EQUAL(visit(me, 0), 0);
	CU_ASSERT_EQUAL(visit(me, 0), 1);
	CU_ASSERT_EQUAL(user_enter(me, &counts, 1000, &after, &err), 0);
	CU_ASSERT_EQUAL(visit(me, 5000), 1);
	user_leave(me, 0);
	/* Whose token is gone finishes what runs. */
	user_leave(you, 0);
	user_unref(you);
	user_leave(me, 0);
	user_unref(me);
	access_free(b);
}

static void
test_labels(void)
{
	struct metrics *metrics = metrics_new();
	struct user_counts own = { .metrics = metrics };
	struct buf out = BUF_INIT;
	struct errmsg err = { "" };
	int after = 0;

	for (int i = 0; i < USER_LABELS_MAX + 50; i++) {
		struct tokens_entry e = { .line = 0 };
		struct user *u;

		snprintf(e.name, sizeof(e.name), "t%d", i % (USER_LABELS_MAX + 10));
		u = user_new(&e, 0);
		CU_ASSERT_EQUAL(user_enter(u, &own, 0, &after, &err), 0);
		user_leave(u, 0);
		user_unref(u);
	}
	metrics_write(metrics, &out);
	CU_ASSERT(strstr(buf_text(&out), "requests_total{token=\"t0\"} 2\n") != NULL);
	CU_ASSERT(strstr(buf_text(&out), "requests_total{token=\"other\"} 10\n") != NULL);
	CU_ASSERT(strstr(buf_text(&out), "token=\"t105\"") == NULL);
	CU_ASSERT(strstr(buf_text(&out), "running{token=\"other\"} 0\n") != NULL);
	user_counts_fini(&own);
	metrics_free(metrics);
	buf_fini(&out);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a rate is a bucket that fills", test_rate },
		{ "the slowest and the fastest rate are exact",
		  test_slow_and_fast_rates },
		{ "so many requests may be under way", test_concurrency },
		{ "who is refused pays nothing", test_refused_for_nothing },
		{ "a token may be for some services only", test_services },
		{ "a file that is read again changes limits alone", test_read_again },
		{ "the metrics have so many names at most", test_labels },
	};
	int status;

	counts.metrics = metrics_new();
	status = TAP_MAIN(argc, argv, tests);
	user_counts_fini(&counts);
	metrics_free(counts.metrics);
	return status;
}
