/* SPDX-License-Identifier: Apache-2.0 */
/* Joining over real TLS on loopback: friends, strangers and garbage. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ident/invites.h"
#include "lib/tap.h"
#include "net/join-wire.h"
#include "net/join.h"
#include "net/tls.h"

enum { WAIT_MS = 20000 };

static struct identity *home, *stranger;
static struct loop *loop;
static struct listener *listener;
static struct join_server *inviter;
static char *book;
static struct token token;
static struct key *key;

/* What the inviter reported last, what it answers. */
static int reports, report_code;
static char report_name[128], report_why[600];
static struct id report_node;
static size_t constants_len = 20000;
static const char *welcome_refusal;

/* What the joiner got. */
static int dones;
static struct join_result result;
static struct identity *joined;
static struct buf constants;
static struct join_client *client_to_free;

#define WAIT_FOR(condition)                                                              \
	do {                                                                             \
		ms_t wait_until = clock_mono_ms() + WAIT_MS;                             \
		while (!(condition) && clock_mono_ms() < wait_until)                     \
			loop_turn(loop, 50);                                             \
		CU_ASSERT_FATAL(condition);                                              \
	} while (0)

static int
welcome(void *arg, const struct id *node, const char *name, struct buf *out,
	struct errmsg *err)
{
	(void)arg, (void)node, (void)name;
	if (welcome_refusal != NULL)
		return error_set(err, -OCF_EREFUSED, "%s", welcome_refusal);
	memset(buf_extend(out, constants_len), 'c', constants_len);
	return 0;
}

static void
report(void *arg, int code, const struct id *node, const char *name, const char *peer,
       const char *why)
{
	(void)arg;
	reports++;
	report_code = code;
	report_node = *node;
	CU_ASSERT_EQUAL(memcmp(peer, "127.0.0.1:", 10), 0);
	snprintf(report_name, sizeof(report_name), "%s", name);
	snprintf(report_why, sizeof(report_why), "%s", why);
}

/* As the daemon will: a stream of the peer port goes to whom its protocol says. */
static struct stream *accepted;

static void
accepted_open(void *arg)
{
	struct stream *s = accepted;

	(void)arg;
	accepted = NULL;
	join_server_take(inviter, s);
}

static void
accepted_close(void *arg, int reason, const char *why)
{
	(void)arg, (void)reason, (void)why;
	stream_close(accepted);
	accepted = NULL;
}

static const struct stream_handler accepted_handler = { .on_open = accepted_open,
							.on_close = accepted_close };

static void
accept_stream(void *arg, struct stream *s)
{
	(void)arg;
	stream_close(accepted);
	accepted = s;
	stream_set_handler(s, &accepted_handler, NULL);
}

static struct identity *
identity_make(const char *name)
{
	char *folder = mem_printf("%s/%s", tap_folder(), name);
	struct identity *identity = NULL;

	CU_ASSERT_EQUAL_FATAL(identity_create(folder, &identity, NULL), 0);
	free(folder);
	return identity;
}

static void
world_open(bool is_admin)
{
	static int number;
	struct join_host host = { .welcome = welcome, .report = report };
	struct tls *tls = NULL;

	if (home == NULL) {
		home = identity_make("home");
		stranger = identity_make("stranger");
	}
	book = mem_printf("%s/invites%d", tap_folder(), number++);
	loop = loop_new();
	CU_ASSERT_EQUAL_FATAL(tls_new(home, &tls, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(listener_open(loop, "127.0.0.1:0", tls, 0, accept_stream,
					    NULL, &listener, NULL),
			      0);
	tls_free(tls);
	host.identity = home;
	host.invites_path = book;
	inviter = join_server_new(loop, &host);
	memset(&token, 0, sizeof(token));
	memcpy(token.fingerprint, home->fingerprint, sizeof(token.fingerprint));
	ident_random(token.secret, sizeof(token.secret));
	token.expires_ms = clock_wall_ms() + MS_HOUR;
	token.is_admin = is_admin;
	token_add_address(&token, listener_address(listener));
	CU_ASSERT_EQUAL_FATAL(invites_add(book, token.secret, token.expires_ms, 1,
					  is_admin, clock_wall_ms(), NULL),
			      0);
	key = key_generate();
	reports = dones = 0;
	report_code = 1;
	constants_len = 20000;
	welcome_refusal = NULL;
	memset(&result, 0, sizeof(result));
	joined = NULL;
}

static void
world_close(void)
{
	join_client_free(client_to_free);
	client_to_free = NULL;
	identity_free(joined);
	joined = NULL;
	stream_close(accepted);
	accepted = NULL;
	join_server_free(inviter);
	listener_close(listener);
	loop_free(loop);
	key_free(key);
	buf_fini(&constants);
	free(book);
}

static void
join_done(void *arg, const struct join_result *r)
{
	bool is_freeing = arg != NULL;

	dones++;
	result = *r;
	buf_clear(&constants);
	buf_put_bytes(&constants, r->constants);
	if (r->identity != NULL) {
		const struct identity *i = r->identity;
		struct buf pem = BUF_INIT;

		if (i->ca_key != NULL)
			key_to_pem(i->ca_key, &pem);
		identity_free(joined);
		joined = NULL;
		CU_ASSERT_EQUAL(identity_new_joined(i->node_key, buf_bytes(&i->node_cert),
						    buf_bytes(&i->ca_cert),
						    buf_bytes(&pem), &joined, NULL),
				0);
		buf_fini(&pem);
	}
	if (is_freeing) {
		join_client_free(client_to_free);
		client_to_free = NULL;
	}
}

static void
join_now(const char *name)
{
	int before = dones;

	join_client_free(client_to_free);
	client_to_free = join_client_new(loop, &token, key, name, join_done, NULL);
	CU_ASSERT_EQUAL(dones, before);
	WAIT_FOR(dones == before + 1);
}

static void
test_join_works(void)
{
	struct id id;

	world_open(false);
	id = key_id(key);
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(joined);
	CU_ASSERT(id_equal(&joined->node_id, &id));
	CU_ASSERT(id_equal(&joined->cluster_id, &home->cluster_id));
	CU_ASSERT_PTR_NULL(joined->ca_key);
	CU_ASSERT_EQUAL(constants.len, constants_len);
	CU_ASSERT_EQUAL(result.attempts[0].code, 0);
	CU_ASSERT_EQUAL(reports, 1);
	CU_ASSERT_EQUAL(report_code, 0);
	CU_ASSERT_STRING_EQUAL(report_name, "friend");
	CU_ASSERT(id_equal(&report_node, &id));
	/* The same node, whose answer may have been lost, may ask again; another may
	 * not. */
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	key_free(key);
	key = key_generate();
	join_now("second");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.why.text, "used already"));
	CU_ASSERT_EQUAL(report_code, -OCF_ELIMIT);
	world_close();
}

static void
test_join_admin(void)
{
	world_open(true);
	join_now("admin");
	CU_ASSERT_EQUAL(result.code, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(joined);
	CU_ASSERT_PTR_NOT_NULL(joined->ca_key);
	world_close();
}

/* The inviter's book decides, not the word; and a key that was not asked for is not
 * kept. */
static void
test_join_admin_flag_forged(void)
{
	world_open(false);
	token.is_admin = true;
	join_now("greedy");
	CU_ASSERT_EQUAL(result.code, 0);
	CU_ASSERT_PTR_NULL(joined->ca_key);
	world_close();
	world_open(true);
	token.is_admin = false;
	join_now("modest");
	CU_ASSERT_EQUAL(result.code, 0);
	CU_ASSERT_PTR_NULL(joined->ca_key);
	world_close();
}

static void
test_join_refusals(void)
{
	world_open(false);
	token.secret[0] ^= 1;
	join_now("guesser");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.why.text, "does not know the invitation"));
	CU_ASSERT_EQUAL(report_code, -OCF_EUNKNOWN);
	token.secret[0] ^= 1;
	welcome_refusal = "the name is taken\033[2J";
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	CU_ASSERT_STRING_EQUAL(result.why.text, "the name is taken?[2J");
	/* That did not use the invitation up. */
	welcome_refusal = NULL;
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	world_close();
}

static void
test_join_expired(void)
{
	world_open(false);
	ident_random(token.secret, sizeof(token.secret));
	CU_ASSERT_EQUAL(invites_add(book, token.secret, clock_wall_ms() - 1000, 1, false,
				    clock_wall_ms(), NULL),
			0);
	join_now("late");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.why.text, "expired at 20"));
	world_close();
}

static void
test_join_without_ca_key(void)
{
	struct key *ca;

	world_open(false);
	ca = home->ca_key;
	home->ca_key = NULL;
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.why.text, "CA key"));
	home->ca_key = ca;
	world_close();
}

/* What is wrong on the inviting machine is for its log, not for a stranger. */
static void
test_join_book_unreadable(void)
{
	world_open(false);
	CU_ASSERT_EQUAL(chmod(book, 0640), 0);
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	CU_ASSERT_PTR_NULL(strstr(result.why.text, book));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.why.text, "its log says why"));
	CU_ASSERT_EQUAL(report_code, -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(report_why, book));
	CU_ASSERT_PTR_NOT_NULL(strstr(report_why, "can be read by others"));
	world_close();
}

static void
test_join_constants_too_large(void)
{
	world_open(false);
	constants_len = JOIN_CONSTANTS_BYTES_MAX;
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	CU_ASSERT_EQUAL(constants.len, JOIN_CONSTANTS_BYTES_MAX);
	constants_len++;
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, -OCF_EREFUSED);
	world_close();
}

/* A server of another cluster never sees the secret. */
static void
test_join_wrong_fingerprint(void)
{
	world_open(false);
	memcpy(token.fingerprint, stranger->fingerprint, sizeof(token.fingerprint));
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, -EHOSTUNREACH);
	CU_ASSERT_EQUAL(result.attempts[0].code, -OCF_EFOREIGN);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.attempts[0].why.text, "invitation"));
	CU_ASSERT_EQUAL(reports, 0);
	world_close();
}

/* Dead, wrong and good addresses: the good one wins, the others are told. */
static void
test_join_many_addresses(void)
{
	struct listener *plain = NULL, *other = NULL;
	struct tls *tls = NULL;
	char good[TOKEN_ADDRESS_BYTES_MAX + 1];
	ms_t start;

	world_open(false);
	CU_ASSERT_EQUAL(listener_open(loop, "127.0.0.1:0", NULL, 0, accept_stream, NULL,
				      &plain, NULL),
			0);
	CU_ASSERT_EQUAL(tls_new(stranger, &tls, NULL), 0);
	CU_ASSERT_EQUAL(listener_open(loop, "127.0.0.1:0", tls, 0, accept_stream, NULL,
				      &other, NULL),
			0);
	tls_free(tls);
	snprintf(good, sizeof(good), "%s", listener_address(listener));
	token.addresses_len = 0;
	token_add_address(&token, "127.0.0.1:1");
	token_add_address(&token, "nonsense");
	token_add_address(&token, listener_address(other));
	token_add_address(&token, "no-such-name.invalid:8093");
	token_add_address(&token, good);
	start = clock_mono_ms();
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	CU_ASSERT(clock_mono_ms() - start < 3000);
	CU_ASSERT_EQUAL(result.attempts_len, 5);
	CU_ASSERT_EQUAL(result.attempts[1].code, -EINVAL);
	CU_ASSERT_EQUAL(result.attempts[4].code, 0);
	/* And without the good one: why each failed. */
	token.addresses_len = 4;
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, -EHOSTUNREACH);
	CU_ASSERT_EQUAL(result.attempts[0].code, -ECONNREFUSED);
	CU_ASSERT_EQUAL(result.attempts[1].code, -EINVAL);
	CU_ASSERT_EQUAL(result.attempts[2].code, -OCF_EFOREIGN);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(result.attempts[3].why.text, "no-such-name.invalid"));
	listener_close(plain);
	listener_close(other);
	world_close();
}

static void
test_join_bad_names(void)
{
	char large[LIMIT_NODE_NAME_BYTES_MAX + 2];

	memset(large, 'a', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	world_open(false);
	join_now("");
	CU_ASSERT_EQUAL(result.code, -EINVAL);
	join_now("two words");
	CU_ASSERT_EQUAL(result.code, -EINVAL);
	join_now(large);
	CU_ASSERT_EQUAL(result.code, -EINVAL);
	large[sizeof(large) - 2] = '\0';
	join_now(large);
	CU_ASSERT_EQUAL(result.code, 0);
	world_close();
}

static void
test_join_freed_early(void)
{
	world_open(false);
	/* From inside done; and before anything happened, and half-way. */
	client_to_free = join_client_new(loop, &token, key, "friend", join_done, &loop);
	WAIT_FOR(dones == 1);
	CU_ASSERT_PTR_NULL(client_to_free);
	join_client_free(join_client_new(loop, &token, key, "friend", join_done, NULL));
	client_to_free = join_client_new(loop, &token, key, "friend", join_done, NULL);
	loop_turn(loop, 1);
	loop_turn(loop, 1);
	join_client_free(client_to_free);
	client_to_free = NULL;
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 10);
	CU_ASSERT_EQUAL(dones, 1);
	world_close();
}

/* ---- by hand ---- */

static struct stream *enemy;
static struct buf enemy_got, enemy_says;
static int enemy_closes;
static bool enemy_ends;

static void
enemy_open(void *arg)
{
	(void)arg;
	stream_write(enemy, buf_bytes(&enemy_says));
	if (enemy_ends) {
		stream_finish(enemy, MS_SECOND);
		enemy = NULL;
	}
}

static size_t
enemy_data(void *arg, struct bytes data)
{
	(void)arg;
	buf_put_bytes(&enemy_got, data);
	return data.len;
}

static void
enemy_close(void *arg, int reason, const char *why)
{
	(void)arg, (void)reason, (void)why;
	enemy_closes++;
}

static const struct stream_handler enemy_handler = { enemy_open, enemy_data, NULL,
						     enemy_close };

static void
enemy_speak(void)
{
	struct tls *tls = tls_new_join(home->fingerprint);
	int before = reports;

	enemy_closes = 0;
	buf_clear(&enemy_got);
	enemy = stream_dial(loop, listener_address(listener), tls, TLS_ALPN_JOIN,
			    &enemy_handler, NULL, NULL);
	tls_free(tls);
	WAIT_FOR(reports == before + 1);
	if (enemy != NULL)
		WAIT_FOR(enemy_closes == 1);
	stream_close(enemy);
	enemy = NULL;
}

static void
enemy_request(struct buf *out)
{
	struct join_request request = { .name = "enemy" };
	struct buf csr = BUF_INIT;

	cert_request_make(key, &csr);
	memcpy(request.secret, token.secret, sizeof(request.secret));
	request.csr = buf_bytes(&csr);
	join_request_encode(&request, out);
	buf_fini(&csr);
}

static void
test_server_garbage(void)
{
	struct rng rng;
	int rounds = tap_is_quick() ? 30 : 150, refused = 0;

	tap_note("seed %llu", (unsigned long long)tap_seed());
	rng_init(&rng, tap_seed());
	world_open(false);
	for (int i = 0; i < rounds; i++) {
		size_t at;

		buf_clear(&enemy_says);
		enemy_request(&enemy_says);
		/* Something in the head, secret, name or request is changed. */
		at = 4 + rng_below(&rng, enemy_says.len - 4);
		enemy_says.data[at] ^= (uint8_t)(1 + rng_below(&rng, 255));
		/* The name alone may change and stay a name. */
		if (at >= 22 && at < 27)
			continue;
		enemy_speak();
		CU_ASSERT(report_code < 0);
		refused += report_code < 0;
		CU_ASSERT(enemy_got.len > 6 && enemy_got.data[5] == 1);
	}
	tap_note("%d altered requests refused", refused);
	/* The invitation is untouched. */
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	buf_fini(&enemy_says);
	buf_fini(&enemy_got);
	world_close();
}

static void
test_server_oversize(void)
{
	world_open(false);
	buf_put_u32(&enemy_says, JOIN_MESSAGE_BYTES_MAX + 1);
	enemy_speak();
	CU_ASSERT_EQUAL(report_code, -OCF_ELIMIT);
	CU_ASSERT_PTR_NOT_NULL(strstr(report_why, "too large"));
	/* A megabyte of anything. */
	buf_clear(&enemy_says);
	memset(buf_extend(&enemy_says, 1000000), 0xff, 1000000);
	enemy_speak();
	CU_ASSERT_EQUAL(report_code, -OCF_ELIMIT);
	/* The largest allowed, of zeros. */
	buf_clear(&enemy_says);
	buf_put_u32(&enemy_says, JOIN_MESSAGE_BYTES_MAX);
	memset(buf_extend(&enemy_says, JOIN_MESSAGE_BYTES_MAX), 0,
	       JOIN_MESSAGE_BYTES_MAX);
	enemy_speak();
	CU_ASSERT(report_code == -OCF_EVERSION);
	buf_fini(&enemy_says);
	buf_fini(&enemy_got);
	world_close();
}

static void
test_server_leaves_and_silence(void)
{
	ms_t start;

	world_open(false);
	/* Half a request, then gone. */
	enemy_request(&enemy_says);
	enemy_says.len /= 2;
	enemy_ends = true;
	enemy_speak();
	enemy_ends = false;
	CU_ASSERT_EQUAL(report_code, -ECONNRESET);
	/* Half a request, then nothing. */
	start = clock_mono_ms();
	enemy_speak();
	CU_ASSERT_EQUAL(report_code, -ETIMEDOUT);
	CU_ASSERT(clock_mono_ms() - start >= JOIN_MS_MAX - 100);
	buf_fini(&enemy_says);
	buf_fini(&enemy_got);
	world_close();
}

static void
test_server_session_limit(void)
{
	struct stream *crowd[JOIN_SESSIONS_OF_ADDRESS_MAX + 4];
	struct tls *tls;

	world_open(false);
	buf_clear(&enemy_says);
	tls = tls_new_join(home->fingerprint);
	static const struct stream_handler silent = { .on_close = NULL };

	for (int i = 0; i < JOIN_SESSIONS_OF_ADDRESS_MAX + 4; i++) {
		crowd[i] = stream_dial(loop, listener_address(listener), tls,
				       TLS_ALPN_JOIN, &silent, NULL, NULL);
		for (int j = 0; j < 200 && stream_alpn(crowd[i])[0] == '\0'; j++)
			loop_turn(loop, 10);
		/* One at a time: the listener here holds one stream before its
		 * opening. */
		for (int j = 0; j < 200 && accepted != NULL; j++)
			loop_turn(loop, 10);
		for (int j = 0; j < 4; j++)
			loop_turn(loop, 5);
	}
	WAIT_FOR(reports >= 4);
	CU_ASSERT_EQUAL(report_code, -EBUSY);
	for (int i = 0; i < JOIN_SESSIONS_OF_ADDRESS_MAX + 4; i++)
		stream_close(crowd[i]);
	tls_free(tls);
	/* Once they left there is room again. */
	WAIT_FOR(reports >= JOIN_SESSIONS_OF_ADDRESS_MAX + 4);
	join_now("friend");
	CU_ASSERT_EQUAL(result.code, 0);
	world_close();
}

static void
test_wire_mutations(void)
{
	struct join_reply reply = { .cert = bytes_text("cert"),
				    .ca_cert = bytes_text("ca"),
				    .constants = bytes_text("constants") },
			  again;
	struct buf out = BUF_INIT;
	struct bytes body;
	int read = 0;

	join_reply_encode(&reply, &out);
	for (size_t len = 0; len < out.len; len++)
		CU_ASSERT_EQUAL(join_message(bytes_of(out.data, len), &body), 0);
	CU_ASSERT_EQUAL_FATAL(join_message(buf_bytes(&out), &body), 1);
	CU_ASSERT_EQUAL(join_reply_decode(body, &again), 0);
	CU_ASSERT(bytes_equal(again.constants, reply.constants));
	for (size_t len = 0; len < body.len; len++)
		read += join_reply_decode(bytes_of(body.data, len), &again) == 0;
	CU_ASSERT_EQUAL(read, 0);
	buf_fini(&out);
}

static const struct tap_test tests[] = {
	{ "a friend with a token is admitted, once", test_join_works },
	{ "an admin invitation passes the CA key on", test_join_admin },
	{ "the admin flag counts only where both sides have it",
	  test_join_admin_flag_forged },
	{ "an unknown secret and a refused name get their sentences, nothing is used up",
	  test_join_refusals },
	{ "an expired invitation is called that", test_join_expired },
	{ "a stranger is not told what is wrong on the inviting machine",
	  test_join_book_unreadable },
	{ "a node without the CA key says that it cannot admit",
	  test_join_without_ca_key },
	{ "constants are bounded", test_join_constants_too_large },
	{ "a server of another cluster never gets the secret",
	  test_join_wrong_fingerprint },
	{ "all addresses are tried at once, and each failure is told",
	  test_join_many_addresses },
	{ "a bad node name is refused before anything is sent", test_join_bad_names },
	{ "a joiner may give up at any time", test_join_freed_early },
	{ "a request with any byte altered is refused in words", test_server_garbage },
	{ "an oversize request ends the session", test_server_oversize },
	{ "a joiner that leaves or falls silent ends its session",
	  test_server_leaves_and_silence },
	{ "too many joiners at a time are told to come again",
	  test_server_session_limit },
	{ "a cut message is waited for, a cut inside is refused", test_wire_mutations },
};

int
main(int argc, char **argv)
{
	int status = TAP_MAIN(argc, argv, tests);

	identity_free(home);
	identity_free(stranger);
	return status;
}
