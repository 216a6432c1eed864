/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/rng.h"
#include "ident/invites.h"
#include "ident/token.h"
#include "lib/tap.h"

static const ms_t now = (ms_t)20000 * MS_DAY;

static struct token
token_example(int addresses)
{
	struct token token = { .expires_ms = now + MS_DAY, .is_admin = addresses > 4 };
	char address[64];

	ident_random(token.fingerprint, sizeof(token.fingerprint));
	ident_random(token.secret, sizeof(token.secret));
	for (int i = 0; i < addresses; i++) {
		snprintf(address, sizeof(address), "node%d.example.org:%d", i, 8093 + i);
		CU_ASSERT_EQUAL(token_add_address(&token, address), 0);
	}
	return token;
}

static void
test_token_round_trip(void)
{
	for (int n = 1; n <= TOKEN_ADDRESSES_MAX; n++) {
		struct token token = token_example(n), again;
		struct buf text = BUF_INIT;
		struct errmsg err = { "" };

		token_encode(&token, &text);
		CU_ASSERT_EQUAL(token_decode(buf_bytes(&text), &again, &err), 0);
		CU_ASSERT(memcmp(&token, &again, sizeof(token)) == 0);
		CU_ASSERT_EQUAL(memcmp(text.data, "ocf1-", 5), 0);
		for (size_t i = 0; i < text.len; i++)
			CU_ASSERT(strchr("abcdefghijklmnopqrstuvwxyz234567-1",
					 text.data[i]) != NULL);
		buf_fini(&text);
	}
}

/* Every character at every place, replaced by every other printable one. */
static void
test_token_altered(void)
{
	struct token token = token_example(2), again;
	struct buf text = BUF_INIT;
	int accepted = 0, step = tap_is_quick() ? 7 : 1;

	token_encode(&token, &text);
	for (size_t at = 0; at < text.len; at++) {
		uint8_t old = text.data[at];

		for (int c = 0; c < 256; c += step) {
			text.data[at] = (uint8_t)c;
			if (c != old)
				accepted += token_decode(buf_bytes(&text), &again,
							 NULL) == 0;
		}
		text.data[at] = old;
	}
	for (size_t len = 0; len < text.len; len++)
		accepted += token_decode(bytes_of(text.data, len), &again, NULL) == 0;
	for (size_t at = 0; at + 1 < text.len; at++) {
		uint8_t old = text.data[at];

		if (old == text.data[at + 1])
			continue;
		text.data[at] = text.data[at + 1];
		text.data[at + 1] = old;
		accepted += token_decode(buf_bytes(&text), &again, NULL) == 0;
		text.data[at + 1] = text.data[at];
		text.data[at] = old;
	}
	CU_ASSERT_EQUAL(accepted, 0);
	buf_put_u8(&text, 'a');
	CU_ASSERT_NOT_EQUAL(token_decode(buf_bytes(&text), &again, NULL), 0);
	buf_fini(&text);
}

static void
test_token_wrapped(void)
{
	struct token token = token_example(8), again;
	struct buf text = BUF_INIT, wrapped = BUF_INIT;

	token_encode(&token, &text);
	buf_put_text(&wrapped, " \n");
	for (size_t at = 0; at < text.len; at++) {
		buf_put_u8(&wrapped, text.data[at]);
		if (at > 5 && at % 60 == 0)
			buf_put_text(&wrapped, "\r\n  ");
	}
	buf_put_text(&wrapped, "\n");
	CU_ASSERT_EQUAL(token_decode(buf_bytes(&wrapped), &again, NULL), 0);
	CU_ASSERT(memcmp(&token, &again, sizeof(token)) == 0);
	buf_fini(&text);
	buf_fini(&wrapped);
}

static void
test_token_sentences(void)
{
	struct token token = token_example(1), again;
	struct buf text = BUF_INIT;
	struct errmsg err;

	CU_ASSERT_EQUAL(token_decode(bytes_text("hello"), &again, &err), -OCF_EMALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ocf1-"));
	CU_ASSERT_EQUAL(token_decode(bytes_text(""), &again, &err), -OCF_EMALFORMED);
	CU_ASSERT_EQUAL(token_decode(bytes_text("ocf2-aaaa"), &again, &err),
			-OCF_EVERSION);
	token_encode(&token, &text);
	CU_ASSERT_EQUAL(token_decode(bytes_of(text.data, text.len - 10), &again, &err),
			-OCF_EMALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "incomplete or mistyped"));
	CU_ASSERT_EQUAL(token_check_time(&token, now, &err), 0);
	CU_ASSERT_EQUAL(token_check_time(&token, token.expires_ms, &err), -OCF_EEXPIRED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expired at 2024-"));
	buf_clear(&text);
	token_describe(&token, now, &text);
	CU_ASSERT_PTR_NOT_NULL(strstr(buf_text(&text), "node0.example.org:8093"));
	buf_fini(&text);
}

static void
test_token_addresses(void)
{
	struct token token = token_example(TOKEN_ADDRESSES_MAX);
	char *large = malloc(300);

	CU_ASSERT_EQUAL(token_add_address(&token, "node0.example.org:8093"), 0);
	CU_ASSERT_EQUAL(token.addresses_len, TOKEN_ADDRESSES_MAX);
	CU_ASSERT_EQUAL(token_add_address(&token, "one.more:1"), -OCF_ELIMIT);
	token.addresses_len = 0;
	memset(large, 'a', 299);
	large[299] = '\0';
	CU_ASSERT_EQUAL(token_add_address(&token, large), -OCF_ELIMIT);
	CU_ASSERT_EQUAL(token_add_address(&token, "a b:1"), -OCF_ELIMIT);
	CU_ASSERT_EQUAL(token_add_address(&token, ""), -OCF_ELIMIT);
	free(large);
}

static char *
book_path(const char *name)
{
	char *path;

	CU_ASSERT_FATAL(asprintf(&path, "%s/%s", tap_folder(), name) > 0);
	return path;
}

static struct id
random_id(void)
{
	struct id id;

	ident_random(id.b, sizeof(id.b));
	return id;
}

static void
test_invites_take(void)
{
	char *path = book_path("invites");
	uint8_t secret[TOKEN_SECRET_BYTES] = { 1 }, admin[TOKEN_SECRET_BYTES] = { 2 };
	uint8_t unknown[TOKEN_SECRET_BYTES] = { 3 };
	struct id a = random_id(), b = random_id(), c = random_id();
	struct errmsg err = { "" };
	struct stat st;
	bool is_admin = true;

	CU_ASSERT_EQUAL(invites_take(path, secret, &a, now, &is_admin, &err),
			-OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(invites_add(path, secret, now + 1000, 2, false, now, &err), 0);
	CU_ASSERT_EQUAL(invites_add(path, admin, now + 1000, 1, true, now, &err), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(invites_take(path, unknown, &a, now, &is_admin, &err),
			-OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(invites_take(path, secret, &a, now, &is_admin, &err), 0);
	CU_ASSERT(!is_admin);
	/* The answer was lost: the same node again costs nothing. */
	CU_ASSERT_EQUAL(invites_take(path, secret, &a, now, &is_admin, &err), 0);
	CU_ASSERT_EQUAL(invites_take(path, secret, &b, now, &is_admin, &err), 0);
	CU_ASSERT_EQUAL(invites_take(path, secret, &c, now, &is_admin, &err),
			-OCF_ELIMIT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "used"));
	CU_ASSERT_EQUAL(invites_take(path, secret, &a, now, &is_admin, &err), 0);
	CU_ASSERT_EQUAL(invites_take(path, secret, &a, now + 1000, &is_admin, &err),
			-OCF_EEXPIRED);
	CU_ASSERT_EQUAL(invites_take(path, admin, &a, now, &is_admin, &err), 0);
	CU_ASSERT(is_admin);
	/* Long after, it is forgotten at the next write. */
	CU_ASSERT_EQUAL(invites_add(path, unknown, now + 40 * (ms_t)MS_DAY, 1, false,
				    now + 35 * (ms_t)MS_DAY, &err),
			0);
	CU_ASSERT_EQUAL(invites_take(path, secret, &a, now, &is_admin, &err),
			-OCF_EUNKNOWN);
	free(path);
}

static void
test_invites_secret_absent(void)
{
	char *path = book_path("secret");
	uint8_t secret[TOKEN_SECRET_BYTES];
	struct buf text = BUF_INIT;

	ident_random(secret, sizeof(secret));
	CU_ASSERT_EQUAL(invites_add(path, secret, now, 1, false, now, NULL), 0);
	file_read(path, 10000, &text, NULL);
	CU_ASSERT(memmem(text.data, text.len, secret, 4) == NULL);
	buf_fini(&text);
	free(path);
}

static void
test_invites_limits(void)
{
	char *path = book_path("limits");
	uint8_t secret[TOKEN_SECRET_BYTES] = { 0 };
	struct errmsg err;
	struct buf text = BUF_INIT;

	CU_ASSERT_EQUAL(invites_add(path, secret, now, 0, false, now, &err), -OCF_ELIMIT);
	CU_ASSERT_EQUAL(
		invites_add(path, secret, now, INVITES_USES_MAX + 1, false, now, &err),
		-OCF_ELIMIT);
	for (int i = 0; i < INVITES_MAX - 1; i++)
		buf_printf(&text, "%064x %lld 1 member\n", i + 1, (long long)now + 1000);
	buf_printf(&text, "%064x %lld 0 member\n", 0xabcdef, (long long)now + 1000);
	file_write(path, buf_bytes(&text), 0600, NULL);
	CU_ASSERT_EQUAL(invites_add(path, secret, now + 1000, 1, false, now, &err), 0);
	secret[0] = 1;
	CU_ASSERT_EQUAL(invites_add(path, secret, now + 1000, 1, false, now, &err),
			-OCF_ELIMIT);
	buf_fini(&text);
	free(path);
}

static void
test_invites_damaged(void)
{
	static const char *const lines[] = {
		"x",
		"00 1 1 member",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000000 1 1",
		"0000000000000000000000000000000000000000000000000000000000000000 1 -1 "
		"member",
		"0000000000000000000000000000000000000000000000000000000000000000 "
		"9999999999999999999999 1 member",
		"0000000000000000000000000000000000000000000000000000000000000000 1 1 "
		"root",
		"0000000000000000000000000000000000000000000000000000000000000000 1 1 "
		"admin zz",
	};
	char *path = book_path("damaged");
	uint8_t secret[TOKEN_SECRET_BYTES] = { 0 };
	struct id id = random_id();
	struct errmsg err;
	bool is_admin;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		file_write(path, bytes_text(lines[i]), 0600, NULL);
		CU_ASSERT_EQUAL(invites_take(path, secret, &id, now, &is_admin, &err),
				-OCF_ECORRUPT);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	}
	chmod(path, 0644);
	CU_ASSERT_EQUAL(invites_take(path, secret, &id, now, &is_admin, &err), -EPERM);
	free(path);
}

static const struct tap_test tests[] = {
	{ "a token of one to eight addresses is written and read back",
	  test_token_round_trip },
	{ "a token with any character changed, swapped, cut or added is refused",
	  test_token_altered },
	{ "a token wrapped by a mail program is read", test_token_wrapped },
	{ "a foreign, a newer, a cut and an expired token have their own sentences",
	  test_token_sentences },
	{ "addresses are bounded, plain and each there once", test_token_addresses },
	{ "unknown, used and expired invitations are told apart; one node costs one use",
	  test_invites_take },
	{ "the book does not hold the secret", test_invites_secret_absent },
	{ "a full book makes room of used entries and else says so",
	  test_invites_limits },
	{ "a damaged or readable book is refused and named", test_invites_damaged },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
