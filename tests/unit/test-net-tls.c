/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS port against its enemies; the other side is OpenSSL by hand where our own code
 * would not misbehave. */
#include "config.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "ident/crypto.h"
#include "lib/tap.h"
#include "net/stream.h"
#include "net/tls.h"

enum { WAIT_MS = 20000 };

struct end {
	struct stream *s;
	int opens, closes, reason;
	char why[512];
	size_t got;
};

static struct identity *home, *friend, *stranger;
static struct loop *loop;
static struct listener *listener;
static struct end client, server;

static void
end_on_open(void *arg)
{
	((struct end *)arg)->opens++;
}

static size_t
end_on_data(void *arg, struct bytes data)
{
	((struct end *)arg)->got += data.len;
	return data.len;
}

static void
end_on_close(void *arg, int reason, const char *why)
{
	struct end *e = arg;

	e->closes++;
	e->reason = reason;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static const struct stream_handler end_handler = { end_on_open, end_on_data, NULL,
						   end_on_close };

static void
accept_server(void *arg, struct stream *s)
{
	(void)arg;
	server.s = s;
	stream_set_handler(s, &end_handler, &server);
}

#define WAIT_FOR(condition)                                                              \
	do {                                                                             \
		ms_t wait_until = clock_mono_ms() + WAIT_MS;                             \
		while (!(condition) && clock_mono_ms() < wait_until)                     \
			loop_turn(loop, 50);                                             \
		CU_ASSERT_FATAL(condition);                                              \
	} while (0)

static struct identity *
identity_make(const char *name)
{
	char *folder = mem_printf("%s/%s", tap_folder(), name);
	struct identity *identity = NULL;
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL_FATAL(identity_create(folder, &identity, &err), 0);
	free(folder);
	return identity;
}

/* A member of `of`, made as joining makes it. */
static struct identity *
identity_join(const struct identity *of, ms_t now_ms)
{
	struct key *key = key_generate();
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct identity *identity = NULL;
	struct buf cert = BUF_INIT;

	key_public(key, public_key);
	cert_issue(of->ca_key, public_key, now_ms, &cert);
	CU_ASSERT_EQUAL_FATAL(identity_new_joined(key, buf_bytes(&cert),
						  buf_bytes(&of->ca_cert), BYTES_NONE,
						  &identity, NULL),
			      0);
	buf_fini(&cert);
	key_free(key);
	return identity;
}

static void
world_open(void)
{
	struct errmsg err = { "" };
	struct tls *tls = NULL;

	if (home == NULL) {
		home = identity_make("home");
		stranger = identity_make("stranger");
		friend = identity_join(home, clock_wall_ms());
	}
	loop = loop_new();
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	CU_ASSERT_EQUAL_FATAL(tls_new(home, &tls, &err), 0);
	CU_ASSERT_EQUAL_FATAL(listener_open(loop, "127.0.0.1:0", tls, 0, accept_server,
					    NULL, &listener, &err),
			      0);
	tls_free(tls); /* the listener holds it */
}

static void
world_dial(const struct identity *as, const char *alpn)
{
	struct errmsg err = { "" };
	struct tls *tls = NULL;

	CU_ASSERT_EQUAL_FATAL(tls_new(as, &tls, &err), 0);
	client.s = stream_dial(loop, listener_address(listener), tls, alpn, &end_handler,
			       &client, &err);
	tls_free(tls);
}

static void
world_close(void)
{
	stream_close(client.s);
	stream_close(server.s);
	listener_close(listener);
	loop_free(loop);
}

static void
test_peers_know_each_other(void)
{
	struct id id;

	world_open();
	world_dial(friend, TLS_ALPN_PEER);
	CU_ASSERT(!stream_peer_id(client.s, &id));
	WAIT_FOR(client.opens == 1 && server.opens == 1);
	CU_ASSERT(stream_peer_id(client.s, &id));
	CU_ASSERT(id_equal(&id, &home->node_id));
	CU_ASSERT(stream_peer_id(server.s, &id));
	CU_ASSERT(id_equal(&id, &friend->node_id));
	CU_ASSERT_STRING_EQUAL(stream_alpn(client.s), TLS_ALPN_PEER);
	CU_ASSERT_STRING_EQUAL(stream_alpn(server.s), TLS_ALPN_PEER);
	world_close();
}

/* The server's refusal reaches the client in words, even while the client writes. */
static void
test_stranger_refused_by_server(void)
{
	struct identity *false_friend;

	world_open();
	/* Trusts our CA but was not made by it: a member's certificate of another CA put
	 * beside our CA's certificate. */
	false_friend = identity_make("false");
	buf_clear(&false_friend->ca_cert);
	buf_put_bytes(&false_friend->ca_cert, buf_bytes(&home->ca_cert));
	world_dial(false_friend, TLS_ALPN_PEER);
	for (int i = 0; i < 100; i++)
		stream_write(client.s, bytes_text("hello, I am one of you"));
	WAIT_FOR(server.closes == 1 && client.closes == 1);
	CU_ASSERT_EQUAL(server.opens, 0);
	CU_ASSERT_EQUAL(server.got, 0);
	CU_ASSERT_EQUAL(server.reason, -OCF_EFOREIGN);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "another cluster"));
	CU_ASSERT_PTR_NOT_NULL(strstr(client.why, "another cluster"));
	identity_free(false_friend);
	world_close();
}

static void
test_stranger_refused_by_client(void)
{
	world_open();
	world_dial(stranger, TLS_ALPN_PEER);
	WAIT_FOR(server.closes == 1 && client.closes == 1);
	CU_ASSERT_EQUAL(client.opens + server.opens, 0);
	CU_ASSERT_EQUAL(client.reason, -OCF_EFOREIGN);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.why, "another cluster"));
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "another cluster"));
	world_close();
}

static void
test_expired_refused(void)
{
	struct identity *old;

	world_open();
	old = identity_join(home, clock_wall_ms() - 11 * 366 * (ms_t)MS_DAY);
	world_dial(old, TLS_ALPN_PEER);
	WAIT_FOR(server.closes == 1 && client.closes == 1);
	CU_ASSERT_EQUAL(server.opens, 0);
	CU_ASSERT_EQUAL(server.reason, -OCF_EEXPIRED);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.why, "out of date"));
	identity_free(old);
	world_close();
}

static void
test_join_pinned(void)
{
	struct errmsg err;
	struct tls *tls;
	struct id id;

	world_open();
	tls = tls_new_join(home->fingerprint);
	client.s = stream_dial(loop, listener_address(listener), tls, TLS_ALPN_JOIN,
			       &end_handler, &client, &err);
	tls_free(tls);
	WAIT_FOR(client.opens == 1 && server.opens == 1);
	CU_ASSERT(stream_peer_id(client.s, &id));
	CU_ASSERT(id_equal(&id, &home->node_id));
	CU_ASSERT(!stream_peer_id(server.s, &id));
	CU_ASSERT_STRING_EQUAL(stream_alpn(server.s), TLS_ALPN_JOIN);
	world_close();
}

static void
test_join_wrong_pin(void)
{
	struct errmsg err;
	struct tls *tls;

	world_open();
	tls = tls_new_join(stranger->fingerprint);
	client.s = stream_dial(loop, listener_address(listener), tls, TLS_ALPN_JOIN,
			       &end_handler, &client, &err);
	tls_free(tls);
	WAIT_FOR(client.closes == 1);
	CU_ASSERT_EQUAL(client.opens, 0);
	CU_ASSERT_EQUAL(client.reason, -OCF_EFOREIGN);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.why, "invitation"));
	world_close();
}

/* ---- clients made by hand ---- */

struct enemy {
	int port;
	int version;		   /* the highest TLS */
	const char *alpn;	   /* length-prefixed; NULL: none */
	const struct identity *as; /* NULL: no certificate */
	int outcome;		   /* of writing and reading after the handshake */
};

static int
enemy_connect(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (void *)&sin, sizeof(sin)) != 0)
		abort();
	return fd;
}

static void *
enemy_run(void *arg)
{
	struct enemy *e = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = enemy_connect(e->port);
	char byte;
	SSL *ssl;

	SSL_CTX_set_max_proto_version(ctx, e->version);
	if (e->alpn != NULL)
		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)e->alpn,
					(unsigned)strlen(e->alpn));
	if (e->as != NULL) {
		SSL_CTX_use_certificate_ASN1(ctx, (int)e->as->node_cert.len,
					     e->as->node_cert.data);
		SSL_CTX_use_PrivateKey(ctx, key_pkey(e->as->node_key));
	}
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	e->outcome = SSL_connect(ssl) == 1 && SSL_write(ssl, "x", 1) == 1 &&
		     SSL_read(ssl, &byte, 1) == 1;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return NULL;
}

static int
world_port(void)
{
	char host[64];
	int port = 0;

	address_split(listener_address(listener), host, sizeof(host), &port);
	return port;
}

static void
world_meet(struct enemy *e)
{
	pthread_t thread;

	world_open();
	e->port = world_port();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, enemy_run, e), 0);
	WAIT_FOR(server.closes == 1);
	CU_ASSERT_EQUAL(server.opens, 0);
	CU_ASSERT_EQUAL(server.got, 0);
	stream_close(server.s);
	server.s = NULL;
	pthread_join(thread, NULL);
	CU_ASSERT(!e->outcome);
	world_close();
}

static void
test_no_certificate_refused(void)
{
	struct enemy e = { .version = TLS1_3_VERSION, .alpn = "\005ocf/1" };

	world_meet(&e);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "showed no certificate"));
}

static void
test_both_protocols_need_certificate(void)
{
	struct enemy e = { .version = TLS1_3_VERSION, .alpn = "\012ocf-join/1\005ocf/1" };

	world_meet(&e);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "showed no certificate"));
}

static void
test_tls12_refused(void)
{
	struct enemy e = { .version = TLS1_2_VERSION, .alpn = "\005ocf/1", .as = NULL };

	world_open(); /* makes the identities */
	world_close();
	e.as = friend;
	world_meet(&e);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "does not speak TLS 1.3"));
}

static void
test_alpn_refused(void)
{
	struct enemy none = { .version = TLS1_3_VERSION, .as = friend };
	struct enemy other = { .version = TLS1_3_VERSION,
			       .as = friend,
			       .alpn = "\010http/1.1\006ocf/10\004ocf/" };

	world_meet(&none);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "does not speak"));
	world_meet(&other);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "speaks neither"));
}

static void
test_plaintext_dropped(void)
{
	static const char *const lines[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
					     "SSH-2.0-OpenSSH_9\r\n",
					     "\026\003\001\377\377 nonsense of a hello" };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int fd;

		world_open();
		fd = enemy_connect(world_port());
		CU_ASSERT(write(fd, lines[i], strlen(lines[i])) > 0);
		if (i == 2)
			shutdown(fd, SHUT_WR);
		WAIT_FOR(server.closes == 1);
		CU_ASSERT_EQUAL(server.opens, 0);
		CU_ASSERT(server.reason < 0);
		close(fd);
		world_close();
	}
}

/* Connects and says nothing, or half a hello. */
static void
test_silence_dropped(void)
{
	ms_t start = clock_mono_ms();
	int fd;

	world_open();
	fd = enemy_connect(world_port());
	CU_ASSERT_EQUAL(write(fd, "\026\003\001\001", 4), 4);
	WAIT_FOR(server.closes == 1);
	CU_ASSERT_EQUAL(server.reason, -ETIMEDOUT);
	CU_ASSERT(clock_mono_ms() - start >= TLS_HANDSHAKE_MS_MAX - 100);
	CU_ASSERT(clock_mono_ms() - start < TLS_HANDSHAKE_MS_MAX + 3000);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "handshake"));
	close(fd);
	world_close();
}

/* Cut without the goodbye of TLS: not a clean end. */
static void
test_truncation_noticed(void)
{
	world_open();
	world_dial(friend, TLS_ALPN_PEER);
	WAIT_FOR(client.opens == 1 && server.opens == 1);
	/* A write that waits keeps stream_close() from saying goodbye. */
	stream_write(client.s, bytes_text("x"));
	stream_close(client.s);
	client.s = NULL;
	WAIT_FOR(server.closes == 1);
	CU_ASSERT_EQUAL(server.reason, -ECONNRESET);
	world_close();
}

static const struct tap_test tests[] = {
	{ "two members know each other's ids and certificates",
	  test_peers_know_each_other },
	{ "a member of another cluster is refused, and told so",
	  test_stranger_refused_by_server },
	{ "a server of another cluster is refused, and told so",
	  test_stranger_refused_by_client },
	{ "an expired certificate is refused, and its owner told", test_expired_refused },
	{ "a joiner without a certificate trusts the pinned CA", test_join_pinned },
	{ "a joiner refuses a server of another CA", test_join_wrong_pin },
	{ "ocf/1 without a certificate is refused", test_no_certificate_refused },
	{ "offering both protocols does not waive the certificate",
	  test_both_protocols_need_certificate },
	{ "TLS 1.2 is refused", test_tls12_refused },
	{ "no protocol, and a foreign one, are refused", test_alpn_refused },
	{ "plaintext on the TLS port is dropped", test_plaintext_dropped },
	{ "half a handshake is dropped at the limit", test_silence_dropped },
	{ "a stream cut without a goodbye is not a clean end", test_truncation_noticed },
};

int
main(int argc, char **argv)
{
	int status = TAP_MAIN(argc, argv, tests);

	identity_free(home);
	identity_free(friend);
	identity_free(stranger);
	return status;
}
