/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
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
			if (tolower(c) != old) /* upper case is the same */
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
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is cut off"));
	CU_ASSERT_EQUAL(token_check_time(&token, now, &err), 0);
	CU_ASSERT_EQUAL(token_check_time(&token, token.expires_ms, &err), -OCF_EEXPIRED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expired at 2024-"));
	buf_clear(&text);
	token_describe(&token, now, &text);
	CU_ASSERT_PTR_NOT_NULL(strstr(buf_text(&text), "node0.example.org:8093"));
	buf_fini(&text);
}

/* What became of a token on its way, and what is said of it. */
static void
test_token_around(void)
{
	static const struct {
		const char *before, *after, *why; /* NULL: it is read */
	} cases[] = {
		{ "\"", "\"", NULL },
		{ "'", "'.", NULL },
		{ "<", ">", NULL },
		{ "\xe2\x80\x9e", "\xe2\x80\x9c,", NULL },
		{ "\xef\xbb\xbf ", "\xc2\xa0\r\n", NULL },
		{ "> ", "\n> ", NULL },
		{ "here: ", "", "words in front of the token" },
		{ "", " is good for a day", "something behind the token" },
		{ "", " 1 machine", "something behind the token" },
		{ "", "a", "something behind the token" },
		{ "o", "", "words in front of the token" },
	};
	struct token token = token_example(2), again;
	struct buf word = BUF_INIT, text = BUF_INIT;

	token_encode(&token, &word);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct errmsg err = { "" };
		int rc;

		buf_clear(&text);
		buf_put_text(&text, cases[i].before);
		buf_put_bytes(&text, buf_bytes(&word));
		buf_put_text(&text, cases[i].after);
		rc = token_decode(buf_bytes(&text), &again, &err);
		CU_ASSERT_EQUAL(rc, cases[i].why == NULL ? 0 : -OCF_EMALFORMED);
		CU_ASSERT(rc != 0 || memcmp(&token, &again, sizeof(token)) == 0);
		CU_ASSERT(rc == 0 || cases[i].why == NULL ||
			  strstr(err.text, cases[i].why) != NULL);
	}
	for (size_t i = 0; i < word.len; i++)
		word.data[i] = (uint8_t)toupper(word.data[i]);
	CU_ASSERT_EQUAL(token_decode(buf_bytes(&word), &again, NULL), 0);
	CU_ASSERT(memcmp(&token, &again, sizeof(token)) == 0);
	buf_clear(&text);
	memset(buf_extend(&text, TOKEN_INPUT_BYTES_MAX + 1), ' ',
	       TOKEN_INPUT_BYTES_MAX + 1);
	CU_ASSERT_EQUAL(token_decode(buf_bytes(&text), &again, NULL), -OCF_EMALFORMED);
	buf_fini(&text);
	buf_fini(&word);
}

/* The word with `len` characters at `at` replaced by `with` is refused, with this sentence. */
static void
check_typo(const struct buf *word, size_t at, size_t len, const char *with,
	   const char *sentence)
{
	struct buf text = BUF_INIT;
	struct errmsg err = { "" };
	struct token token;

	buf_put(&text, word->data, at);
	buf_put_text(&text, with);
	buf_put(&text, word->data + at + len, word->len - at - len);
	CU_ASSERT_EQUAL(token_decode(buf_bytes(&text), &token, &err), -OCF_EMALFORMED);
	if (strstr(err.text, sentence) == NULL)
		tap_note("at %zu: \"%s\" instead of \"%s\"", at, err.text, sentence);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, sentence));
	buf_fini(&text);
}

/* Every place of the word, with every kind of error. */
static void
test_token_typos(void)
{
	struct token token = token_example(1);
	struct buf word = BUF_INIT;
	char sentence[100];

	token_encode(&token, &word);
	for (size_t at = 5; at < word.len; at += tap_is_quick() ? 17 : 3) {
		char is = (char)word.data[at], other = is == 'q' ? 'r' : 'q';
		char next = at + 1 < word.len ? (char)word.data[at + 1] : is;

		snprintf(sentence, sizeof(sentence),
			 "its character %zu should be '%c' and is '%c'", at + 1, is,
			 other);
		check_typo(&word, at, 1, (char[]){ other, 0 }, sentence);
		if (next != is) {
			snprintf(sentence, sizeof(sentence),
				 "characters %zu and %zu have changed places", at + 1,
				 at + 2);
			check_typo(&word, at, 2, (char[]){ next, is, 0 }, sentence);
		}
		/* Of two equal ones it may be said of either. */
		check_typo(&word, at, 1, (char[]){ is, is, 0 },
			   at + 1 == word.len ? "something behind" : "is one too many");
		snprintf(sentence, sizeof(sentence), "a '%c' is missing", is);
		check_typo(&word, at, 1, "", sentence);
	}
	check_typo(&word, 20, 1, "8", "is it 'b'?");
	check_typo(&word, 20, 1, "%", "which no token has");
	check_typo(&word, 20, 1, "\xc3\xa4", "no letter that a token has");
	check_typo(&word, 20, 3, "", "more than one place");
	check_typo(&word, 20, 20, "\n", "more than one place");
	check_typo(&word, 0, 5, "ocf-", "must begin with 'ocf1-'");
	check_typo(&word, 30, word.len - 30, "",
		   "is cut off: it goes on behind its "
		   "character 30");
	buf_fini(&word);
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
count_one(void *arg, const struct invite_view *view)
{
	CU_ASSERT(view->state == INVITE_OPEN);
	++*(int *)arg;
}

static int
count_open(const char *path, ms_t at)
{
	int n = 0;

	CU_ASSERT_EQUAL(invites_each_open(path, at, count_one, &n, NULL), 0);
	return n;
}

static void
test_invites_revoke(void)
{
	char *path = book_path("revoked");
	uint8_t secrets[4][TOKEN_SECRET_BYTES] = { { 1 }, { 2 }, { 3 }, { 4 } };
	struct id a = random_id(), b = random_id();
	char ids[4][INVITES_ID_SIZE];
	struct invite_view view = { .taken = 9 };
	struct errmsg err = { "" };
	bool is_admin;

	for (int i = 0; i < 4; i++)
		invites_id(secrets[i], ids[i]);
	CU_ASSERT_EQUAL(count_open(path, now), 0);
	CU_ASSERT_EQUAL(invites_revoke(path, ids[0], now, &view, &err), -OCF_EUNKNOWN);
	invites_add(path, secrets[0], now + 1000, 2, false, now, NULL);
	invites_add(path, secrets[1], now + 1000, 1, true, now, NULL);
	invites_add(path, secrets[2], now + 10, 1, false, now, NULL);
	CU_ASSERT_EQUAL(count_open(path, now), 3);
	CU_ASSERT_EQUAL(count_open(path, now + 10), 2);
	/* Used once, and revoked: its second use is gone, and so is the first node's right
	 * to ask again. */
	CU_ASSERT_EQUAL(invites_take(path, secrets[0], &a, now, &is_admin, NULL), 0);
	ids[0][INVITES_ID_SHORT] = '\0';
	CU_ASSERT_EQUAL(invites_revoke(path, ids[0], now + 1, &view, &err), 0);
	CU_ASSERT(view.state == INVITE_REVOKED && view.taken == 1 &&
		  view.uses_left == 1 && view.created_ms == now &&
		  view.revoked_ms == now + 1 && !view.is_admin);
	CU_ASSERT_EQUAL(invites_take(path, secrets[0], &b, now, &is_admin, &err),
			-OCF_EREFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "was revoked at 2024-"));
	CU_ASSERT_EQUAL(invites_take(path, secrets[0], &a, now, &is_admin, &err),
			-OCF_EREFUSED);
	CU_ASSERT_EQUAL(count_open(path, now), 2);
	/* What is not open is not revoked, and says why. */
	CU_ASSERT_EQUAL(invites_revoke(path, ids[0], now, &view, &err), -EALREADY);
	CU_ASSERT_EQUAL(invites_revoke(path, ids[2], now + 10, &view, &err),
			-OCF_EEXPIRED);
	CU_ASSERT(view.state == INVITE_EXPIRED);
	CU_ASSERT_EQUAL(invites_take(path, secrets[1], &a, now, &is_admin, NULL), 0);
	CU_ASSERT_EQUAL(invites_revoke(path, ids[1], now, &view, &err), -OCF_ELIMIT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1 node came by it"));
	CU_ASSERT_EQUAL(invites_view(path, ids[1], now, &view, NULL), 0);
	CU_ASSERT(view.state == INVITE_USED && view.is_admin);
	CU_ASSERT_STRING_EQUAL(invites_state_text(view.state), "used up");
	CU_ASSERT_EQUAL(invites_revoke(path, ids[3], now, &view, &err), -OCF_EUNKNOWN);
	/* A beginning that is too short names nothing. */
	ids[2][INVITES_ID_SHORT - 1] = '\0';
	CU_ASSERT_EQUAL(invites_revoke(path, ids[2], now, &view, &err), -OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(count_open(path, now), 1);
	free(path);
}

/* Lines without times are from before there were any; two that begin alike are two. */
static void
test_invites_former(void)
{
	char *path = book_path("former");
	struct invite_view view;
	struct buf text = BUF_INIT;

	buf_printf(&text, "%064x %lld 1 member\n%064x %lld 1 admin\n", 1,
		   (long long)now + 1000, 2, (long long)now + 1000);
	file_write(path, buf_bytes(&text), 0600, NULL);
	CU_ASSERT_EQUAL(count_open(path, now), 2);
	CU_ASSERT_EQUAL(invites_view(path, "00000000", now, &view, NULL), -ENOTUNIQ);
	buf_clear(&text);
	buf_printf(&text, "%064x", 2);
	CU_ASSERT_EQUAL(invites_view(path, buf_text(&text), now, &view, NULL), 0);
	CU_ASSERT(view.created_ms == 0 && view.is_admin);
	buf_fini(&text);
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
		"0000000000000000000000000000000000000000000000000000000000000000 1 1 "
		"admin revoked=",
		"0000000000000000000000000000000000000000000000000000000000000000 1 1 "
		"admin created=-1",
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
	{ "quotes, invisible characters and upper case do no harm, other words are named",
	  test_token_around },
	{ "a typing error is named", test_token_typos },
	{ "a foreign, a newer, a cut and an expired token have their own sentences",
	  test_token_sentences },
	{ "addresses are bounded, plain and each there once", test_token_addresses },
	{ "unknown, used and expired invitations are told apart; one node costs one use",
	  test_invites_take },
	{ "what is open can be revoked, and what is not says why", test_invites_revoke },
	{ "a book of before there were times is read", test_invites_former },
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
