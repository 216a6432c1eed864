/* SPDX-License-Identifier: Apache-2.0 */
/* Urls, NKEYs, the first words with a server, and the tunnel: what tests/system/bus-url.sh
 * does with real servers, here with the texts and the enemies that none of those is. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bus/access.h"
#include "bus/attempt.h"
#include "bus/dial.h"
#include "bus/nkey.h"
#include "bus/tunnel.h"
#include "lib/tap.h"

static void
test_urls(void)
{
	static const struct {
		const char *url, *shown, *user, *password;
	} good[] = {
		{ "h", "h:4222", NULL, NULL },
		{ "nats://h:1", "h:1", NULL, NULL },
		{ "tls://h:65535/", "tls://h:65535", NULL, NULL },
		{ "nats://[::1]", "[::1]:4222", NULL, NULL },
		{ "u:p@[fe80::1]:9", "[fe80::1]:9", "u", "p" },
		{ "nats://u:p:q@h", "h:4222", "u", "p:q" },
		{ "nats://u:p@q@h", "h:4222", "u", "p@q" },
		{ "token@h:2", "h:2", "token", NULL },
		{ "u%20v:p%40%3a%2C%25@h", "h:4222", "u v", "p@:,%" },
		{ "u%3Av:+@h", "h:4222", "u:v", "+" },
		{ "t%C3%B6ken%2f@h", "h:4222", "t\xc3\xb6ken/", NULL },
		{ " a:1 ,\ttls://x@b:2,, c ", "a:1,tls://b:2,c:4222", NULL, NULL },
	};
	static const char *const bad[] = {
		"",	   ",",	     "nats://", ":1",	  "h:",	      "h:0",
		"h:65536", "h:1x",   "h:1:2",	"a b",	  "http://h", "ws://h",
		"@h",	   ":p@h",   "u:@h",	"u v@h",  "[::1",     "[::g]:1",
		"[h]:1",   "[::1]1", "h/x",	"tls:/h", "a,h:-1",   "h\n",
		"u:%@h",   "u:%4@h", "u:%zz@h", "%@h",	  "u:%00@h",  "u:%0a@h",
		"%7f@h",   "u:p%@h",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct bus_access access = { .url = good[i].url };
		struct access_place places[ACCESS_PLACES_MAX];
		char shown[256];
		int len = 0;

		if (access_places(&access, places, &len, NULL) != 0) {
			CU_FAIL(good[i].url);
			continue;
		}
		CU_ASSERT_STRING_EQUAL(access_text(&access, shown, sizeof(shown)),
				       good[i].shown);
		if (good[i].user != NULL)
			CU_ASSERT_STRING_EQUAL(places[0].user, good[i].user);
		CU_ASSERT((places[0].password == NULL) == (good[i].password == NULL));
		if (good[i].password != NULL)
			CU_ASSERT_STRING_EQUAL(places[0].password, good[i].password);
		for (int k = 0; k < len; k++)
			access_place_fini(&places[k]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bus_access access = { .url = bad[i] };
		struct errmsg err = { "" };

		CU_ASSERT(access_check(&access, NULL, &err) < 0);
		CU_ASSERT(strncmp(err.text, "bus.url", 7) == 0);
		if (strncmp(err.text, "bus.url", 7) != 0)
			tap_note("'%s': %s", bad[i], err.text);
	}
}

/* The pair of nats-io/nkeys' own tests and one of ours; each changed character is noticed. */
static void
test_nkeys(void)
{
	static const char
		seed[] = "SUALA676JNY6PE2NJTBV3G7W4RLPNPPS56UEJLCAQROV2XXMLQI3UT6YIM";
	char key[NKEY_PUBLIC_SIZE] = "", text[NKEY_SEED_BYTES + 2];
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL_FATAL(nkey_public(seed, key, &err), 0);
	CU_ASSERT_STRING_EQUAL(
		key, "UDCY2SEKR74NV27I3ILQW336K43SMIM5FC7QWDB6QZOCK23W7G3EEJYM");
	CU_ASSERT(nkey_looks_like_seed(seed) && !nkey_looks_like_seed(key));
	for (size_t i = 0; i < NKEY_SEED_BYTES; i++) {
		snprintf(text, sizeof(text), "%s", seed);
		text[i] = text[i] == 'A' ? 'B' : 'A';
		CU_ASSERT(nkey_public(text, key, &err) == -OCF_EMALFORMED);
		CU_ASSERT(strstr(err.text, text + 10) == NULL);
		text[i] = '\0';
		CU_ASSERT(nkey_public(text, key, NULL) == -OCF_EMALFORMED);
	}
	snprintf(text, sizeof(text), "%sA", seed);
	CU_ASSERT(nkey_public(text, key, NULL) == -OCF_EMALFORMED);
}

/* What is wrong with a url is told without a word of the password that is in it, also where
 * that has in it what takes it apart. */
static void
test_secrets_are_not_told(void)
{
	static const char *const urls[] = {
		"nats://u:sec,ret@h", "u:sec,ret@h:1,h2", "h,u:x,sec@h:0",
		"u:sec://ret@h",      "u:sec\tret@h",	  "h:0,u:sec,h@h",
		"sec://x@h",	      "u:se,sec:ret@h",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct bus_access access = { .url = urls[i] };
		struct errmsg err = { "" };
		char shown[256];

		CU_ASSERT(access_check(&access, NULL, &err) < 0);
		CU_ASSERT(strstr(err.text, "sec") == NULL &&
			  strstr(err.text, "ret") == NULL);
		if (strstr(err.text, "sec") != NULL)
			tap_note("'%s': %s", urls[i], err.text);
		CU_ASSERT_STRING_EQUAL(access_text(&access, shown, sizeof(shown)), "");
	}
}

/* As the option is printed: what is secret is not in it, and the rest is. */
static void
test_hidden(void)
{
	static const struct {
		const char *url, *shown;
	} table[] = {
		{ "", "" },
		{ "nats://h:1", "nats://h:1" },
		{ "h,tls://g:2/", "h,tls://g:2/" },
		{ "nats://user:secret@h:1", "nats://user:***@h:1" },
		{ "user:secret@h", "nats://user:***@h:4222" },
		{ "tls://secret@[::1]:1", "tls://***@[::1]:1" },
		{ "nats://u:secret@a:1, v:secret@b:2,c:3",
		  "nats://u:***@a:1,nats://v:***@b:2,nats://c:3" },
		{ "u%40x:secret@h:1", "nats://u%40x:***@h:1" },
		/* These cannot be taken apart. */
		{ "nats://u:sec,secret@h", "***" },
		{ "secret://u:secret@h", "***" },
		{ "u:%secret@h", "***" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *shown = access_hide(table[i].url);

		CU_ASSERT_STRING_EQUAL(shown, table[i].shown);
		if (strcmp(shown, table[i].shown) != 0)
			tap_note("'%s': %s", table[i].url, shown);
		free(shown);
	}
}

/* ---- a server that says one thing and then nothing ---- */

static int
speaker_open(int *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			listen(fd, 8) == 0);
	getsockname(fd, (struct sockaddr *)&at, &len);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

struct speaker {
	int listen_fd;
	const char *text; /* NULL: close at once */
	int fd;
};

static void *
speaker_thread(void *arg)
{
	struct speaker *s = arg;

	s->fd = accept(s->listen_fd, NULL, NULL);
	if (s->text == NULL) {
		close(s->fd);
		s->fd = -1;
	} else if (send(s->fd, s->text, strlen(s->text), MSG_NOSIGNAL) < 0) {
		CU_FAIL("the speaker speaks");
	}
	return NULL;
}

static void
test_first_words(void)
{
	static const struct {
		const char *said, *why;
	} table[] = {
		{ NULL, "closed without a word" },
		{ "SSH-2.0-OpenSSH_9.2\r\n",
		  "this is no NATS server, it begins with \"SSH" },
		{ "\x16\x03\x01\x02", "does not speak as a NATS server" },
		{ "HTTP/1.1 400 Bad Request\r\n\r\n", "begins with \"HTTP/1.1 400" },
		{ "-ERR 'maximum connections exceeded'\r\n",
		  "it refuses: maximum connections exceeded" },
		{ "INFO nonsense\r\n", "its INFO is no JSON" },
		{ "INFO []\r\n", "its INFO is no JSON" },
		{ "INFO {\"max_payload\":1048576}\r\n", "takes no headers" },
		{ "INFO {\"max_payload\":65536,\"headers\":true}\r\n",
		  "max_payload is 65536 bytes; queries need 561152" },
		{ "INFO {\"headers\":true", "does not speak as a NATS server" },
		/* It asks for TLS, and never answers the hello. */
		{ "INFO {\"max_payload\":1048576,\"headers\":true,\"tls_required\":true}\r\n",
		  "TLS: Connection timed out" },
		{ "",
		  "does not speak as a NATS server: it is another program, or hangs" },
	};
	struct bus_access access = { .url = "x" };
	int never = eventfd(0, EFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct access_place place = { .host = "127.0.0.1" };
		struct speaker s = { .text = table[i].said };
		struct bus_tunnel *tunnel = NULL;
		struct errmsg err = { "" };
		pthread_t thread;

		s.listen_fd = speaker_open(&place.port);
		pthread_create(&thread, NULL, speaker_thread, &s);
		CU_ASSERT(bus_dial(&access, &place, never, &tunnel, &err) < 0);
		CU_ASSERT(tunnel == NULL);
		if (strstr(err.text, table[i].why) == NULL) {
			tap_note("%s: %s", table[i].why, err.text);
			CU_FAIL("the reason is told");
		}
		pthread_join(thread, NULL);
		close(s.fd);
		close(s.listen_fd);
	}
	close(never);
}

/* Who stops does not wait for a server that says nothing. */
static void
test_dial_is_cancelled(void)
{
	struct bus_access access = { .url = "x" };
	struct access_place place = { .host = "127.0.0.1" };
	int fd = speaker_open(&place.port), cancel = eventfd(1, EFD_CLOEXEC);
	struct bus_tunnel *tunnel = NULL;

	CU_ASSERT_EQUAL(bus_dial(&access, &place, cancel, &tunnel, NULL), -ECANCELED);
	close(cancel);
	close(fd);
}

/* ---- the tunnel ---- */

/* With a certificate of its own making, of the DNS name `name` unless that is NULL. */
static SSL_CTX *
server_context(const char *name, X509 **ret_cert)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_EXTENSION *ext;
	char text[128];

	X509_set_version(cert, X509_VERSION_3);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "O", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	if (name != NULL) {
		snprintf(text, sizeof(text), "DNS:%s", name);
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
		X509_add_ext(cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	CU_ASSERT_FATAL(X509_sign(cert, key, EVP_sha256()) > 0);
	CU_ASSERT_FATAL(SSL_CTX_use_certificate(ctx, cert) == 1 &&
			SSL_CTX_use_PrivateKey(ctx, key) == 1);
	if (ret_cert != NULL)
		*ret_cert = cert;
	else
		X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

/* Is a server with a certificate of `name` taken for `host`? */
static long
verified(const char *name, const char *host)
{
	struct bus_access access = { .url = "x" };
	SSL_CTX *ctx = NULL, *server_ctx;
	SSL *tls, *server;
	BIO *here, *there;
	X509 *cert;
	long result;

	server_ctx = server_context(name, &cert);
	CU_ASSERT_FATAL(access_tls(&access, &ctx, NULL) == 0);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert);
	tls = SSL_new(ctx);
	server = SSL_new(server_ctx);
	CU_ASSERT_FATAL(BIO_new_bio_pair(&here, 0, &there, 0) == 1);
	SSL_set_bio(tls, here, here);
	SSL_set_bio(server, there, there);
	CU_ASSERT(access_tls_expect(tls, host, NULL) == 0);
	SSL_set_connect_state(tls);
	SSL_set_accept_state(server);
	for (int i = 0; i < 8; i++) {
		SSL_do_handshake(tls);
		SSL_do_handshake(server);
	}
	result = SSL_get_verify_result(tls);
	CU_ASSERT((result == X509_V_OK) == (SSL_is_init_finished(tls) == 1));
	SSL_free(tls);
	SSL_free(server);
	SSL_CTX_free(ctx);
	SSL_CTX_free(server_ctx);
	X509_free(cert);
	ERR_clear_error();
	return result;
}

static void
test_names(void)
{
	const long wrong = X509_V_ERR_HOSTNAME_MISMATCH;

	CU_ASSERT_EQUAL(verified("bus.a.example", "bus.a.example"), X509_V_OK);
	CU_ASSERT_EQUAL(verified("bus.a.example", "other.a.example"), wrong);
	CU_ASSERT_EQUAL(verified("*.a.example", "bus.a.example"), X509_V_OK);
	CU_ASSERT_EQUAL(verified("*.a.example", "bus.b.a.example"), wrong);
	CU_ASSERT_EQUAL(verified("bus*.a.example", "bus1.a.example"), wrong);
	CU_ASSERT_EQUAL(verified("*us.a.example", "bus.a.example"), wrong);
	CU_ASSERT_EQUAL(verified("b*s.a.example", "bus.a.example"), wrong);
}

struct tls_server {
	SSL *tls;
	pthread_t thread;
};

static void *
tls_server_accept(void *arg)
{
	CU_ASSERT(SSL_accept(((struct tls_server *)arg)->tls) == 1);
	return NULL;
}

static struct bus_tunnel *
tunnel_make(struct tls_server *server, int *ret_server_fd)
{
	SSL_CTX *server_ctx = server_context(NULL, NULL), *ctx = NULL;
	struct bus_access access = { .url = "x" };
	struct bus_tunnel *tunnel = NULL;
	int fds[2];
	SSL *tls;

	CU_ASSERT_FATAL(access_tls(&access, &ctx, NULL) == 0);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(server_ctx, SSL_MODE_AUTO_RETRY);
	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	server->tls = SSL_new(server_ctx);
	SSL_set_fd(server->tls, fds[1]);
	tls = SSL_new(ctx);
	SSL_set_fd(tls, fds[0]);
	SSL_CTX_free(ctx);
	SSL_CTX_free(server_ctx);
	pthread_create(&server->thread, NULL, tls_server_accept, server);
	CU_ASSERT_FATAL(SSL_connect(tls) == 1);
	pthread_join(server->thread, NULL);
	CU_ASSERT_FATAL(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	CU_ASSERT_FATAL(
		bus_tunnel_open(tls, fds[0], bytes_text("hello"), &tunnel, NULL) == 0);
	*ret_server_fd = fds[1];
	return tunnel;
}

static int
tunnel_join_from(const struct bus_tunnel *tunnel, int from)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)from) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)bus_tunnel_port(tunnel)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
tunnel_join(const struct bus_tunnel *tunnel)
{
	return tunnel_join_from(tunnel, 0);
}

/* A stranger is first at the port, and gets not a byte, though it comes from a port that a
 * socket of ours has, too, if not of TCP; then we are served. */
static void
test_tunnel_takes_only_ourselves(void)
{
	struct tls_server server;
	int server_fd, fd, status = -1;
	struct bus_tunnel *tunnel = tunnel_make(&server, &server_fd);
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);
	char text[8] = "";
	pid_t stranger;

	CU_ASSERT_FATAL(bind(udp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			getsockname(udp, (struct sockaddr *)&at, &len) == 0);
	stranger = fork();
	if (stranger == 0) {
		fd = tunnel_join_from(tunnel, ntohs(at.sin_port));
		_exit(fd >= 0 && read(fd, text, sizeof(text)) <= 0 ? 0 : 1);
	}
	waitpid(stranger, &status, 0);
	CU_ASSERT_EQUAL(status, 0);
	close(udp);
	fd = tunnel_join(tunnel);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT(recv(fd, text, 5, MSG_WAITALL) == 5 && memcmp(text, "hello", 5) == 0);
	CU_ASSERT(tunnel_join(tunnel) < 0);
	close(fd);
	bus_tunnel_close(tunnel, true);
	SSL_free(server.tls);
	close(server_fd);
}

/* How often the tunnel's thread has looked for something to do: poll(2) is ours in this
 * program, and counts. */
static atomic_int tunnel_polls;

int
poll(struct pollfd *fds, nfds_t n, int timeout)
{
	if (n == 3)
		tunnel_polls++;
	return (int)syscall(SYS_poll, fds, n, timeout);
}

/* So often within 300 ms. */
static int
count_polls(void)
{
	int before = tunnel_polls;

	usleep(300 * 1000);
	return tunnel_polls - before;
}

static void
reset(int fd)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static void
fill(int fd)
{
	char *chunk = mem_calloc(1, 65536);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (poll(&p, 1, 200) == 1)
		if (send(fd, chunk, 65536, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			break;
	free(chunk);
}

/* One side is reset while nothing is wanted of it, for the other side takes nothing. */
static void
test_tunnel_rests(void)
{
	struct tls_server server;
	int server_fd, fd;
	struct bus_tunnel *tunnel = tunnel_make(&server, &server_fd);
	char chunk[16384] = "";

	fd = tunnel_join(tunnel);
	CU_ASSERT_FATAL(fd >= 0);
	fill(fd);
	reset(fd);
	CU_ASSERT(count_polls() < 50);
	bus_tunnel_close(tunnel, false);
	SSL_free(server.tls);
	close(server_fd);

	tunnel = tunnel_make(&server, &server_fd);
	fd = tunnel_join(tunnel);
	CU_ASSERT_FATAL(fd >= 0 && fcntl(server_fd, F_SETFL, O_NONBLOCK) == 0);
	for (int still = 0; still < 20;) {
		size_t n = 0;

		if (SSL_write_ex(server.tls, chunk, sizeof(chunk), &n) == 1) {
			still = 0;
			continue;
		}
		still++;
		usleep(10000);
	}
	SSL_free(server.tls);
	close(server_fd);
	CU_ASSERT(count_polls() < 50);
	close(fd);
	bus_tunnel_close(tunnel, false);
}

/* Nobody comes, and the server is gone: there is nothing to wait for. */
static void
test_tunnel_of_one_that_left(void)
{
	struct tls_server server;
	int server_fd, fd, looks = 0;
	struct bus_tunnel *tunnel = tunnel_make(&server, &server_fd);
	struct errmsg why = { "" };

	SSL_free(server.tls);
	close(server_fd);
	while (why.text[0] == '\0' && looks++ < 1000) {
		usleep(1000);
		bus_tunnel_why(tunnel, &why);
	}
	CU_ASSERT_STRING_EQUAL(why.text, "TLS: the connection was reset");
	/* The port is closed by then, or at once. */
	for (fd = 0; fd >= 0 && looks++ < 2000; usleep(1000)) {
		fd = tunnel_join(tunnel);
		if (fd >= 0)
			close(fd);
	}
	CU_ASSERT(fd < 0);
	bus_tunnel_close(tunnel, false);
}

/* Nobody reads at the other end: what is written stops somewhere, and the end comes all the
 * same, at once or after the patience. */
static void
test_tunnel_to_one_that_hangs(void)
{
	for (int is_patient = 0; is_patient < 2; is_patient++) {
		struct tls_server server;
		int server_fd, fd;
		struct bus_tunnel *tunnel = tunnel_make(&server, &server_fd);
		char *chunk = mem_calloc(1, 65536);
		size_t written = 0;
		struct pollfd p;

		fd = tunnel_join(tunnel);
		CU_ASSERT_FATAL(fd >= 0);
		p = (struct pollfd){ .fd = fd, .events = POLLOUT };
		while (poll(&p, 1, 200) == 1) {
			ssize_t n = send(fd, chunk, 65536, MSG_DONTWAIT);

			written += n > 0 ? (size_t)n : 0;
		}
		CU_ASSERT(written > 65536);
		close(fd);
		bus_tunnel_close(tunnel, is_patient != 0);
		SSL_free(server.tls);
		close(server_fd);
		free(chunk);
	}
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a stranger at the tunnel's port gets nothing",
		  test_tunnel_takes_only_ourselves },
		{ "urls are taken apart, or refused with the option's name", test_urls },
		{ "what is secret in a url is not told with what is wrong",
		  test_secrets_are_not_told },
		{ "an NKEY's seed gives its public key, a changed one none", test_nkeys },
		{ "what is no NATS, or none for us, is told as what it is",
		  test_first_words },
		{ "an attempt that nobody wants ends at once", test_dial_is_cancelled },
		{ "a tunnel to one that hangs can be closed",
		  test_tunnel_to_one_that_hangs },
		{ "a tunnel with a side that was reset rests", test_tunnel_rests },
		{ "a tunnel whose server has left does not wait for us",
		  test_tunnel_of_one_that_left },
		{ "a url is shown without what is secret", test_hidden },
		{ "a certificate's name is whole, or a wildcard for a whole label",
		  test_names },
	};

	return TAP_MAIN(argc, argv, tests);
}
