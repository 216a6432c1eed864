/* SPDX-License-Identifier: Apache-2.0 */
/* Every property is shown over TCP, a unix socket and TLS. */
#include "config.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "lib/tap.h"
#include "net/stream.h"
#include "net/tls.h"

enum { WAIT_MS = 20000 };
enum kind { TCP, UNIX, TLS, KINDS };
static const char *const kind_names[] = { "tcp", "unix", "tls" };

/* One side of a connection. */
struct end {
	struct stream *s;
	int opens, closes, drains, arrivals, reason;
	char why[512];
	size_t got;	      /* bytes consumed */
	size_t consume_max;   /* a call; 0: none, so that input piles up */
	size_t to_send, sent; /* pattern bytes, written as the output drains */
	bool is_echo, is_wrong;
	bool close_on_open, close_on_data, close_on_drain, close_on_close;
	bool finish_on_close;
};

static struct loop *loop;
static struct listener *listener;
static struct tls *tls;
static struct end client, server;

static uint8_t
pattern(size_t at)
{
	return (uint8_t)((at * 2654435761u) >> 11);
}

static void
end_pump(struct end *e)
{
	uint8_t chunk[50000];

	while (e->sent < e->to_send && stream_pending(e->s) < 200000) {
		size_t len = e->to_send - e->sent;

		if (len > sizeof(chunk))
			len = sizeof(chunk);
		for (size_t i = 0; i < len; i++)
			chunk[i] = pattern(e->sent + i);
		stream_write(e->s, bytes_of(chunk, len));
		e->sent += len;
	}
}

static void
end_close(struct end *e)
{
	stream_close(e->s);
	e->s = NULL;
}

static void
end_on_open(void *arg)
{
	struct end *e = arg;

	e->opens++;
	if (e->close_on_open)
		end_close(e);
	else
		end_pump(e);
}

static size_t
end_on_data(void *arg, struct bytes data)
{
	struct end *e = arg;
	size_t len = data.len < e->consume_max ? data.len : e->consume_max;

	e->arrivals++;
	for (size_t i = 0; i < len; i++)
		e->is_wrong |= data.data[i] != pattern(e->got + i);
	e->got += len;
	if (e->is_echo)
		stream_write(e->s, bytes_of(data.data, len));
	if (e->close_on_data)
		end_close(e);
	return len;
}

static void
end_on_drain(void *arg)
{
	struct end *e = arg;

	e->drains++;
	if (e->close_on_drain)
		end_close(e);
	else
		end_pump(e);
}

static void
end_on_close(void *arg, int reason, const char *why)
{
	struct end *e = arg;

	e->closes++;
	e->reason = reason;
	snprintf(e->why, sizeof(e->why), "%s", why);
	if (e->close_on_close)
		end_close(e);
	if (e->finish_on_close) {
		stream_finish(e->s, MS_SECOND);
		e->s = NULL;
	}
}

static const struct stream_handler end_handler = { end_on_open, end_on_data, end_on_drain,
						   end_on_close };

static void
accept_server(void *arg, struct stream *s)
{
	(void)arg;
	CU_ASSERT_PTR_NULL(server.s);
	server.s = s;
	stream_set_handler(s, &end_handler, &server);
}

/* Turn the loop until the condition holds; a failure of the test after WAIT_MS. */
#define WAIT_FOR(condition)                                                              \
	do {                                                                             \
		ms_t wait_until = clock_mono_ms() + WAIT_MS;                             \
		while (!(condition) && clock_mono_ms() < wait_until)                     \
			loop_turn(loop, 50);                                             \
		CU_ASSERT_FATAL(condition);                                              \
	} while (0)

static void
world_open(enum kind kind)
{
	static struct identity *identity; /* one for the whole program */
	static int number;
	char address[STREAM_ADDRESS_SIZE];
	struct errmsg err = { "" };

	loop = loop_new();
	snprintf(address, sizeof(address), "127.0.0.1:0");
	if (kind == UNIX)
		snprintf(address, sizeof(address), "unix:%s/s%d", tap_folder(), number++);
	tls = NULL;
	if (kind == TLS) {
		char *folder = mem_printf("%s/id", tap_folder());

		if (identity == NULL)
			CU_ASSERT_EQUAL_FATAL(identity_create(folder, &identity, &err),
					      0);
		free(folder);
		CU_ASSERT_EQUAL_FATAL(tls_new(identity, &tls, &err), 0);
	}
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	client.consume_max = server.consume_max = SIZE_MAX;
	CU_ASSERT_EQUAL_FATAL(listener_open(loop, address, tls, 0600, accept_server, NULL,
					    &listener, &err),
			      0);
}

static void
world_dial(void)
{
	struct errmsg err = { "" };

	client.s = stream_dial(loop, listener_address(listener), tls, TLS_ALPN_PEER,
			       &end_handler, &client, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(client.s);
}

static void
world_connect(void)
{
	world_dial();
	WAIT_FOR(client.opens == 1 && server.opens == 1);
}

static void
world_close(void)
{
	stream_close(client.s);
	stream_close(server.s);
	listener_close(listener);
	tls_free(tls);
	loop_free(loop);
}

static void
test_echo(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		uint64_t received, sent;

		world_open(kind);
		client.to_send = 100000;
		server.is_echo = true;
		world_dial();
		CU_ASSERT_EQUAL(client.opens, 0); /* never from inside the call */
		WAIT_FOR(client.got == client.to_send);
		stream_wire_bytes(client.s, &received, &sent);
		CU_ASSERT(received >= client.got && received < client.got + 5000);
		CU_ASSERT(sent >= client.sent && sent < client.sent + 5000);
		CU_ASSERT_EQUAL(sent > client.sent, kind == TLS);
		CU_ASSERT(!client.is_wrong && !server.is_wrong);
		CU_ASSERT_EQUAL(client.opens, 1);
		CU_ASSERT_EQUAL(server.opens, 1);
		stream_finish(client.s, MS_SECOND);
		client.s = NULL;
		WAIT_FOR(server.closes == 1);
		CU_ASSERT_EQUAL(server.reason, 0);
		world_close();
	}
}

static void
test_large_both_ways(void)
{
	size_t total = tap_is_quick() ? 3000000 : 30000000;

	for (enum kind kind = 0; kind < KINDS; kind++) {
		ms_t start = clock_mono_ms();

		world_open(kind);
		client.to_send = server.to_send = total;
		client.consume_max = 7777;
		world_connect();
		while (client.got < total || server.got < total) {
			loop_turn(loop, 50);
			stream_resume(client.s);
			if (clock_mono_ms() > start + WAIT_MS)
				break;
		}
		CU_ASSERT_EQUAL(client.got, total);
		CU_ASSERT_EQUAL(server.got, total);
		CU_ASSERT(!client.is_wrong && !server.is_wrong);
		tap_note("%s: %zu MB both ways in %lld ms", kind_names[kind],
			 total / 1000000, (long long)(clock_mono_ms() - start));
		world_close();
	}
}

/* A receiver that does not consume stops the sender; nothing grows without limit. */
static void
test_back_pressure(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		ms_t until;

		world_open(kind);
		client.to_send = 100000000;
		server.consume_max = 0;
		world_connect();
		until = clock_mono_ms() + 300;
		while (clock_mono_ms() < until)
			loop_turn(loop, 20);
		CU_ASSERT(client.sent < 20000000);
		CU_ASSERT(stream_pending(client.s) <= 250000);
		until = (ms_t)client.sent;
		loop_turn(loop, 20);
		CU_ASSERT_EQUAL((ms_t)client.sent, until);
		client.to_send = client.sent;
		server.consume_max = SIZE_MAX;
		stream_resume(server.s);
		WAIT_FOR(server.got == client.to_send);
		CU_ASSERT(!server.is_wrong);
		world_close();
	}
}

static void
test_pause(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		world_open(kind);
		world_connect();
		stream_pause(server.s);
		client.to_send = 1000;
		end_pump(&client);
		WAIT_FOR(stream_pending(client.s) == 0);
		for (int i = 0; i < 5; i++)
			loop_turn(loop, 10);
		CU_ASSERT_EQUAL(server.arrivals, 0);
		stream_resume(server.s);
		CU_ASSERT_EQUAL(server.arrivals, 0);
		WAIT_FOR(server.got == 1000);
		world_close();
	}
}

/* Paused with nothing, with a little and with more than the input holds. */
static void
test_pause_close_noticed(void)
{
	static const size_t sizes[] = { 0, 1000, STREAM_INPUT_BYTES_MAX + 50000 };

	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (int i = 0; i < 6; i++) {
			world_open(kind);
			world_connect();
			stream_pause(server.s);
			client.to_send = sizes[i % 3];
			end_pump(&client);
			WAIT_FOR(stream_pending(client.s) == 0);
			if (i < 3)
				end_close(&client);
			else
				stream_finish(client.s, 5 * MS_SECOND);
			client.s = NULL;
			WAIT_FOR(server.closes == 1);
			CU_ASSERT_EQUAL(server.arrivals, 0);
			world_close();
		}
	}
}

/* The peer is done sending; what it asked for still reaches it. */
static void
test_half_close(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		world_open(kind);
		client.to_send = 10;
		server.to_send = 2000000;
		server.finish_on_close = false;
		world_connect();
		WAIT_FOR(server.got == 10);
		CU_ASSERT_EQUAL(server.closes, 0);
		/* The server ends first and must not cut off what it wrote. */
		WAIT_FOR(server.sent == server.to_send);
		stream_finish(server.s, 10 * MS_SECOND);
		server.s = NULL;
		WAIT_FOR(client.closes == 1);
		CU_ASSERT_EQUAL(client.reason, 0);
		CU_ASSERT_EQUAL(client.got, server.to_send);
		CU_ASSERT(!client.is_wrong);
		/* The client may still write to a half-closed connection. */
		stream_write(client.s, bytes_text("more"));
		for (int i = 0; i < 3; i++)
			loop_turn(loop, 10);
		CU_ASSERT_EQUAL(client.closes, 1);
		world_close();
	}
}

/* A finishing stream throws input away instead of resetting its own last words. */
static void
test_finish_under_input(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		world_open(kind);
		client.to_send = 5000000;
		server.consume_max = 0;
		world_connect();
		WAIT_FOR(server.arrivals > 0);
		server.to_send = 0;
		stream_write(server.s,
			     bytes_of((uint8_t[]){ pattern(0), pattern(1) }, 2));
		stream_finish(server.s, 10 * MS_SECOND);
		server.s = NULL;
		WAIT_FOR(client.closes == 1);
		CU_ASSERT_EQUAL(client.got, 2);
		CU_ASSERT_EQUAL(client.reason, 0);
		WAIT_FOR(client.sent == client.to_send && stream_pending(client.s) == 0);
		world_close();
	}
}

static void
test_close_from_callbacks(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (int which = 0; which < 8; which++) {
			struct end *closer = which % 2 == 0 ? &client : &server;
			struct end *other = which % 2 == 0 ? &server : &client;

			world_open(kind);
			client.to_send = server.to_send = 300000;
			closer->close_on_open = which / 2 == 0;
			closer->close_on_data = which / 2 == 1;
			closer->close_on_drain = which / 2 == 2;
			closer->close_on_close = which / 2 == 3;
			other->close_on_data = which / 2 == 3;
			world_dial();
			WAIT_FOR(closer->opens == 1 && closer->s == NULL);
			if (which / 2 != 3)
				CU_ASSERT_EQUAL(closer->closes, 0);
			WAIT_FOR(other->s == NULL || other->closes == 1);
			world_close();
		}
	}
}

static void
test_reset(void)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd, port;
	char host[64];

	world_open(TCP);
	CU_ASSERT_EQUAL(
		address_split(listener_address(listener), host, sizeof(host), &port), 0);
	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (void *)&sin, sizeof(sin)), 0);
	WAIT_FOR(server.opens == 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	WAIT_FOR(server.closes == 1);
	CU_ASSERT_EQUAL(server.reason, -ECONNRESET);
	CU_ASSERT_PTR_NOT_NULL(strstr(server.why, "broke"));
	CU_ASSERT_EQUAL(stream_write(server.s, bytes_text("x")), 0);
	world_close();
}

/* The same while the input is full and nothing is read: noticed, without spinning. */
static void
test_reset_while_full(void)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd, port;
	char host[64], junk[400000] = { 0 };

	world_open(TCP);
	server.consume_max = 0;
	address_split(listener_address(listener), host, sizeof(host), &port);
	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (void *)&sin, sizeof(sin)), 0);
	CU_ASSERT(send(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0);
	WAIT_FOR(server.arrivals >= 2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	WAIT_FOR(server.closes == 1);
	CU_ASSERT_EQUAL(server.reason, -ECONNRESET);
	world_close();
}

static void
test_finish_lingers_bounded(void)
{
	static uint8_t junk[1000000];
	ms_t until;

	world_open(TCP);
	client.consume_max = 0;
	world_connect();
	for (size_t at = 0; at < sizeof(junk); at++)
		junk[at] = pattern(at);
	for (int i = 0; i < 40; i++)
		stream_write(server.s, bytes_of(junk, sizeof(junk)));
	stream_finish(server.s, 200);
	server.s = NULL;
	until = clock_mono_ms() + 300;
	while (clock_mono_ms() < until)
		loop_turn(loop, 20);
	client.consume_max = SIZE_MAX;
	stream_resume(client.s);
	WAIT_FOR(client.closes == 1);
	CU_ASSERT(client.got < 40 * sizeof(junk));
	world_close();
}

/* Finished before it was even connected: the words still arrive. */
static void
test_finish_at_once(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		world_open(kind);
		world_dial();
		stream_write(client.s, bytes_of((uint8_t[]){ pattern(0) }, 1));
		stream_finish(client.s, 5 * MS_SECOND);
		client.s = NULL;
		WAIT_FOR(server.got == 1 && server.closes == 1);
		CU_ASSERT_EQUAL(client.opens, 0);
		world_close();
	}
}

/* Streams left behind by stream_finish() end with the loop. */
static void
test_finish_then_free(void)
{
	world_open(TLS);
	client.consume_max = 0;
	server.to_send = 20000000;
	world_connect();
	stream_finish(server.s, 60 * MS_SECOND);
	server.s = NULL;
	loop_turn(loop, 10);
	world_close();
}

static void
test_dial_refused(void)
{
	struct errmsg err = { "" };
	char address[64];
	ms_t start = clock_mono_ms();

	world_open(TCP);
	snprintf(address, sizeof(address), "%s", listener_address(listener));
	listener_close(listener);
	listener = NULL;
	client.s = stream_dial(loop, address, NULL, NULL, &end_handler, &client, &err);
	CU_ASSERT_EQUAL(client.closes, 0);
	WAIT_FOR(client.closes == 1);
	CU_ASSERT_EQUAL(client.reason, -ECONNREFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.why, "nothing listens there"));
	stream_close(client.s);
	memset(&client, 0, sizeof(client));
	client.s = stream_dial(loop, "unix:/nonexistent/socket", NULL, NULL, &end_handler,
			       &client, &err);
	WAIT_FOR(client.closes == 1);
	CU_ASSERT_EQUAL(client.reason, -ENOENT);
	CU_ASSERT(clock_mono_ms() - start < 3000);
	world_close();
}

static void
test_dial_names(void)
{
	struct errmsg err = { "" };
	char address[64];

	world_open(TCP);
	snprintf(address, sizeof(address), "localhost%s",
		 strrchr(listener_address(listener), ':'));
	client.s = stream_dial(loop, address, NULL, NULL, &end_handler, &client, &err);
	WAIT_FOR(client.opens == 1 && server.opens == 1);
	CU_ASSERT_STRING_EQUAL(stream_peer(client.s), listener_address(listener));
	CU_ASSERT_EQUAL(memcmp(stream_peer(server.s), "127.0.0.1:", 10), 0);
	stream_close(client.s);
	memset(&client, 0, sizeof(client));
	client.s = stream_dial(loop, "no-such-host.invalid:80", NULL, NULL, &end_handler,
			       &client, &err);
	WAIT_FOR(client.closes == 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.why, "no-such-host.invalid"));
	stream_close(client.s);
	/* Closed while the look-up runs, and the loop freed meanwhile. */
	client.s = stream_dial(loop, "other-host.invalid:80", NULL, NULL, &end_handler,
			       &client, &err);
	loop_turn(loop, 0);
	world_close();
}

static void
test_addresses(void)
{
	static const char *const good[] = { "a:1", "1.2.3.4:65535", "[::1]:0", "a-b.c:80",
					    "[fe80::1%eth0]:5" };
	static const char *const bad[] = { "",
					   ":",
					   ":1",
					   "a",
					   "a:",
					   "a:b",
					   "a:65536",
					   "a:-1",
					   "a:1x",
					   "::1:80",
					   "[::1]",
					   "[::1]80",
					   "[]:1",
					   "[::1:80",
					   "a b:1",
					   "a:1:2",
					   "a/b:1",
					   "a:000001",
					   "1.2.3.4:99999",
					   "a\n:1",
					   "user@a:1" };
	char host[64];
	struct errmsg err;
	int port;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CU_ASSERT_EQUAL(address_split(good[i], host, sizeof(host), &port), 0);
	loop = loop_new();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(address_split(bad[i], host, sizeof(host), &port),
				-EINVAL);
		CU_ASSERT_PTR_NULL(
			stream_dial(loop, bad[i], NULL, NULL, &end_handler, NULL, &err));
		CU_ASSERT(listener_open(loop, bad[i], NULL, 0, accept_server, NULL,
					&listener, &err) < 0);
	}
	CU_ASSERT_EQUAL(address_split("abcdef:1", host, 6, &port), -EINVAL);
	CU_ASSERT(address_is_loopback("127.0.0.1:1"));
	CU_ASSERT(address_is_loopback("127.9.9.9:1"));
	CU_ASSERT(address_is_loopback("[::1]:1"));
	CU_ASSERT(address_is_loopback("[::ffff:127.0.0.1]:1"));
	CU_ASSERT(address_is_loopback("localhost:1"));
	CU_ASSERT(!address_is_loopback("0.0.0.0:1"));
	CU_ASSERT(!address_is_loopback("[::]:1"));
	CU_ASSERT(!address_is_loopback("128.0.0.1:1"));
	CU_ASSERT(!address_is_loopback("localhost.example.org:1"));
	CU_ASSERT(!address_is_loopback("nonsense"));
	loop_free(loop);
}

static void
test_places(void)
{
	static const struct {
		const char *peer, *place;
	} cases[] = {
		{ "192.0.2.1:80", "192.0.2.1" },
		{ "[2001:db8:0:1:2:3:4:5]:80", "2001:db8:0:1::/64" },
		{ "[2001:db8:0:1::9]:81", "2001:db8:0:1::/64" },
		{ "[2001:db8:0:2::9]:81", "2001:db8:0:2::/64" },
		{ "[fe80::1:2%eth0]:80", "fe80::1:2" },
		{ "[::1]:80", "::1" },
		{ "unix:/run/x", "" },
		{ "example.org:80", "" },
	};
	char place[ADDRESS_PLACE_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CU_ASSERT_STRING_EQUAL(address_place(cases[i].peer, place),
				       cases[i].place);
}

static void
test_listen_in_use(void)
{
	struct listener *second = NULL;
	struct errmsg err = { "" };

	world_open(TCP);
	CU_ASSERT_EQUAL(listener_open(loop, listener_address(listener), NULL, 0,
				      accept_server, NULL, &second, &err),
			-EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "already in use; stop the program"));
	CU_ASSERT_EQUAL(listener_open(loop, "192.0.2.1:0", NULL, 0, accept_server, NULL,
				      &second, &err),
			-EADDRNOTAVAIL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "not an address of this machine"));
	world_close();
}

static void
test_listen_dual(void)
{
	struct errmsg err = { "" };
	char address[64];

	world_open(TCP);
	listener_close(listener);
	CU_ASSERT_EQUAL_FATAL(listener_open(loop, "[::]:0", NULL, 0, accept_server, NULL,
					    &listener, &err),
			      0);
	snprintf(address, sizeof(address), "127.0.0.1%s",
		 strrchr(listener_address(listener), ':'));
	client.s = stream_dial(loop, address, NULL, NULL, &end_handler, &client, &err);
	WAIT_FOR(server.opens == 1);
	CU_ASSERT_EQUAL(memcmp(stream_peer(server.s), "127.0.0.1:", 10), 0);
	CU_ASSERT_EQUAL(stream_peer_uid(server.s), -1);
	world_close();
}

static void
test_listen_unix(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct listener *second = NULL;
	struct errmsg err = { "" };
	char address[STREAM_ADDRESS_SIZE], *large = mem_printf("unix:/%0107d", 0);
	struct stat st;
	int fd;

	world_open(UNIX);
	CU_ASSERT_EQUAL(listener_open(loop, listener_address(listener), NULL, 0600,
				      accept_server, NULL, &second, &err),
			-EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "already in use"));
	CU_ASSERT_EQUAL(listener_open(loop, large, NULL, 0600, accept_server, NULL,
				      &second, &err),
			-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "108 bytes, the kernel allows 107"));
	CU_ASSERT_PTR_NULL(
		stream_dial(loop, large, NULL, NULL, &end_handler, NULL, &err));
	/* A stale one is replaced, with the mode asked for. */
	snprintf(address, sizeof(address), "unix:%s/stale", tap_folder());
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/stale", tap_folder());
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL(bind(fd, (void *)&sun, sizeof(sun)), 0);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(listener_open(loop, address, NULL, 0660, accept_server,
					    NULL, &second, &err),
			      0);
	CU_ASSERT_EQUAL(stat(sun.sun_path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0660);
	client.s = stream_dial(loop, address, NULL, NULL, &end_handler, &client, &err);
	WAIT_FOR(client.opens == 1 && server.opens == 1);
	CU_ASSERT_EQUAL(stream_peer_uid(server.s), (int)getuid());
	listener_close(second);
	CU_ASSERT_NOT_EQUAL(stat(sun.sun_path, &st), 0);
	/* A file that is no socket is left alone. */
	fclose(fopen(sun.sun_path, "w"));
	CU_ASSERT_EQUAL(listener_open(loop, address, NULL, 0660, accept_server, NULL,
				      &second, &err),
			-EEXIST);
	CU_ASSERT_EQUAL(stat(sun.sun_path, &st), 0);
	free(large);
	world_close();
}

static void
test_listener_pause(void)
{
	world_open(TCP);
	listener_pause(listener, true);
	world_dial();
	WAIT_FOR(client.opens == 1); /* the kernel's backlog */
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 10);
	CU_ASSERT_EQUAL(server.opens, 0);
	listener_pause(listener, false);
	WAIT_FOR(server.opens == 1);
	world_close();
}

static const struct tap_test tests[] = {
	{ "what is sent comes back, and a finished stream ends the other", test_echo },
	{ "megabytes pass both ways, whole, to a slow reader", test_large_both_ways },
	{ "a reader that does not consume stops the writer", test_back_pressure },
	{ "a paused stream shows nothing until it goes on", test_pause },
	{ "a paused stream notices that its peer has gone", test_pause_close_noticed },
	{ "a half-closed stream delivers everything", test_half_close },
	{ "finishing while the peer still sends does not lose the last words",
	  test_finish_under_input },
	{ "a stream may be closed from each of its callbacks",
	  test_close_from_callbacks },
	{ "a reset is told from an end", test_reset },
	{ "a reset is noticed while the input is full", test_reset_while_full },
	{ "finishing waits no longer than it may", test_finish_lingers_bounded },
	{ "a stream finished before it is connected delivers its words",
	  test_finish_at_once },
	{ "finishing streams end with the loop", test_finish_then_free },
	{ "dialling where nothing listens fails at once, in words", test_dial_refused },
	{ "names are looked up, unknown ones named, look-ups may be abandoned",
	  test_dial_names },
	{ "addresses are taken apart, nonsense is refused", test_addresses },
	{ "of an address of IPv6 the first half counts", test_places },
	{ "an address in use or not ours gets a sentence with the remedy",
	  test_listen_in_use },
	{ "[::] serves IPv4 and shows it as such", test_listen_dual },
	{ "a unix socket: stale replaced, live kept, mode set, long path refused",
	  test_listen_unix },
	{ "a paused listener accepts nobody", test_listener_pause },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
