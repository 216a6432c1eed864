/* SPDX-License-Identifier: Apache-2.0 */
/* A client of a node's bus that means harm: the NATS text protocol by hand on a plain socket,
 * so that nothing well-behaved stands between. Nothing of ours but the hash of a name.
 *
 *	hostile HOST:PORT worker ID SERVICE BEHAVIOUR
 *		announces ID once a second, with one slot, and treats each query so:
 *		honest          one message, "honest"
 *		minimal         honest, but announced without slots: it listens on the
 *		                service's own subject
 *		gap, repeat     a part is missing, or comes twice
 *		more, fewer     the end counts parts that never came, or not all that came
 *		tail            the end has a body
 *		mixed           a part, then a message without a number
 *		large           a part of 70,000 bytes
 *		flood           parts of 60,000 bytes for ever, whatever the credit
 *		drip            a part every 10 ms for ever, whatever it is told
 *		mute            nothing
 *		busy            "busy" every 200 ms for ever
 *		return          503, at once, for ever
 *		status=N        the reply's status is N
 *		code=N          an error of code N
 *		inject=TEXT     a reply with a line end and TEXT in each header
 *		forge           first messages to reply subjects that are nobody's, then honest
 *		late            honest, and the same once more
 *		Prints a line for each query ("query"), and for each word of control.
 *	hostile HOST:PORT announce KIND COUNT
 *		publishes so many announcements as fast as the socket takes them, and waits for
 *		the server to have them: `nonsense` (no JSON, each another), `wrong` (JSON, each
 *		wrong in another way), `ids` (each another worker), `change` (one worker that is
 *		another each time), `turns` (one that comes and leaves)
 *		Then it stays until its standard input ends.
 *	hostile HOST:PORT try
 *		each line of standard input is a line of the protocol, as "SUB worker:status 1";
 *		prints "allowed LINE" or "refused LINE". PUB has no body.
 *	hostile HOST:PORT spy SUBJECT…
 *		prints the subject of each message that it gets
 *
 * Ends by SIGTERM or when the connection does. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "lib/enemy.h"

enum {
	IN_BYTES = 2 * 1024 * 1024,
	OUT_BYTES = 128 * 1024,
	SUBJECT_SIZE = 256,
	FLOOD_PART_BYTES = 60000,
	LARGE_PART_BYTES = 70000,
	DRIP_MS = 10,
	BUSY_MS = 200,
	ANNOUNCE_MS = 1000,
};

static int fd;
static char in[IN_BYTES];
static size_t in_len;
static char filler[LARGE_PART_BYTES];
static const char *id, *service, *behaviour, *argument;
/* The query that is being answered for ever; "" none. */
static char endless[SUBJECT_SIZE];
static unsigned long long endless_seq, client_id;
static bool is_refused, is_ponged;

/* ---- out ---- */

static void
put(const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(0);
		data += n;
		len -= (size_t)n;
	}
}

static void putf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
putf(const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(text, (size_t)len);
}

static void
publish(const char *subject, const char *body)
{
	putf("PUB %s %zu\r\n", subject, strlen(body));
	put(body, strlen(body));
	put("\r\n", 2);
}

/* A message with header lines, each ended by CR LF, and so much of `data`. */
static void
say(const char *subject, const char *lines, const char *data, size_t len)
{
	size_t head = strlen("NATS/1.0\r\n") + strlen(lines) + 2;

	putf("HPUB %s %zu %zu\r\nNATS/1.0\r\n", subject, head, head + len);
	put(lines, strlen(lines));
	put("\r\n", 2);
	put(data, len);
	put("\r\n", 2);
}

static void sayf(const char *subject, const char *data, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void
sayf(const char *subject, const char *data, size_t len, const char *fmt, ...)
{
	char lines[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(lines, sizeof(lines), fmt, ap);
	va_end(ap);
	say(subject, lines, data, len);
}

/* ---- the worker ---- */

static bool
behaves(const char *what)
{
	return strcmp(behaviour, what) == 0;
}

static void
worker_announce(void)
{
	char body[2048];

	snprintf(body, sizeof(body),
		 "{\"v\":1,\"id\":\"%s\",\"services\":[{\"name\":\"%s\"}],%s\"hb_s\":1,"
		 "\"client_id\":%llu,\"status\":\"connected\"}",
		 id, service, behaves("minimal") ? "" : "\"slots\":1,", client_id);
	publish("worker:status", body);
}

/* Subjects that look like the one it was given: another number, another secret, none, a
 * worker's and a node's that there are not. */
static void
worker_forge(const char *reply)
{
	const char *number = strrchr(reply, '.') + 1, *secret = strchr(number, '-');
	int prefix = (int)(number - reply);
	char subject[SUBJECT_SIZE * 2];

	for (int i = 1; i <= 100; i++) {
		snprintf(subject, sizeof(subject), "%.*s%x%s", prefix, reply, i + 1000,
			 secret);
		publish(subject, "forged");
		snprintf(subject, sizeof(subject), "%.*s%.*s-%016x", prefix, reply,
			 (int)(secret - number), number, i);
		publish(subject, "forged");
	}
	snprintf(subject, sizeof(subject), "%.*sx", prefix, reply);
	publish(subject, "forged");
	snprintf(subject, sizeof(subject), "%.*s%.*s", prefix, reply,
		 (int)(secret - number), number);
	publish(subject, "forged");
	publish("ocf.r.0123456789abcdef0123456789abcdef.1.1-0123456789abcdef", "forged");
}

/* Those that break off a reply after its first part. */
static bool
worker_breaks(const char *reply)
{
	if (behaves("gap")) {
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
		sayf(reply, "c", 1, "Ocf-Seq: 2\r\n");
	} else if (behaves("repeat")) {
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
	} else if (behaves("more")) {
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
		sayf(reply, "", 0, "Ocf-End: 2\r\n");
	} else if (behaves("fewer")) {
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
		sayf(reply, "", 0, "Ocf-End: 0\r\n");
	} else if (behaves("tail")) {
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
		sayf(reply, "b", 1, "Ocf-End: 1\r\n");
	} else if (behaves("mixed")) {
		sayf(reply, "a", 1, "Ocf-Seq: 0\r\n");
		publish(reply, "b");
	} else {
		return false;
	}
	return true;
}

static void
worker_take(const char *reply)
{
	printf("query\n");
	if (worker_breaks(reply) || behaves("mute"))
		return;
	if (behaves("large")) {
		sayf(reply, filler, LARGE_PART_BYTES, "Ocf-Seq: 0\r\n");
	} else if (behaves("flood") || behaves("drip") || behaves("busy")) {
		snprintf(endless, sizeof(endless), "%s", reply);
		endless_seq = 0;
	} else if (behaves("return")) {
		sayf(reply, "", 0,
		     "Nats-Service-Error-Code: 503\r\nNats-Service-Error: not now\r\n"
		     "Ocf-Retry-After: 0\r\n");
	} else if (behaves("status")) {
		sayf(reply, "x", 1, "Ocf-Seq: 0\r\nOcf-Status: %s\r\n", argument);
		sayf(reply, "", 0, "Ocf-End: 1\r\n");
	} else if (behaves("code")) {
		sayf(reply, "", 0,
		     "Nats-Service-Error-Code: %s\r\nNats-Service-Error: a code\r\n",
		     argument);
	} else if (behaves("inject")) {
		sayf(reply, "x", 1,
		     "Ocf-Seq: 0\r\nContent-Type: text/plain%s\r\nHttp-X-One: 1%s\r\n"
		     "Http-X-Two%s: 2\r\nHttp-Content-Length: 7\r\n"
		     "Http-Transfer-Encoding: chunked\r\nHttp-Connection: close\r\n"
		     "Http-X-Good: kept\r\n",
		     argument, argument, argument);
		sayf(reply, "", 0, "Ocf-End: 1\r\n");
	} else {
		if (behaves("forge"))
			worker_forge(reply);
		publish(reply, "honest");
		if (behaves("late"))
			publish(reply, "once more");
	}
}

/* Go on with what never ends. Returns when to come back, in ms. */
static int
worker_go_on(void)
{
	static long long said_ms;

	if (endless[0] == '\0')
		return ANNOUNCE_MS;
	if (behaves("flood")) {
		sayf(endless, filler, FLOOD_PART_BYTES, "Ocf-Seq: %llu\r\n",
		     endless_seq++);
		return 0;
	}
	if (enemy_now_ms() - said_ms < (behaves("drip") ? DRIP_MS : BUSY_MS))
		return DRIP_MS;
	said_ms = enemy_now_ms();
	if (behaves("drip"))
		sayf(endless, "x", 1, "Ocf-Seq: %llu\r\n", endless_seq++);
	else
		sayf(endless, "", 0, "Ocf-Ctl: busy\r\n");
	return DRIP_MS;
}

/* ---- in ---- */

/* Take one line or message; false: there is none that is whole. */
static bool
take(void (*on_message)(const char *subject, const char *reply, const char *body))
{
	char *end = memmem(in, in_len, "\r\n", 2), *words[6] = { NULL }, *save = NULL;
	size_t used, size = 0;
	int n = 0;

	if (end == NULL)
		return false;
	*end = '\0';
	used = (size_t)(end - in) + 2;
	if (strncmp(in, "MSG ", 4) == 0 || strncmp(in, "HMSG ", 5) == 0) {
		char line[1024];
		bool is_headed = in[0] == 'H';

		snprintf(line, sizeof(line), "%.*s", (int)sizeof(line) - 1, in);
		for (char *w = strtok_r(line, " ", &save); w != NULL && n < 6;
		     w = strtok_r(NULL, " ", &save))
			words[n++] = w;
		size = strtoul(words[n - 1], NULL, 10) + 2;
		*end = '\r';
		if (in_len < used + size)
			return false;
		in[used + size - 2] = '\0';
		on_message(words[1], n == (is_headed ? 6 : 5) ? words[3] : NULL,
			   in + used);
	} else if (strncmp(in, "PING", 4) == 0) {
		put("PONG\r\n", 6);
	} else if (strncmp(in, "PONG", 4) == 0) {
		is_ponged = true;
	} else if (strncmp(in, "-ERR", 4) == 0) {
		is_refused = true;
		fprintf(stderr, "hostile: %s\n", in);
	}
	in_len -= used + size;
	memmove(in, in + used + size, in_len);
	return true;
}

static void
listen_for(int timeout_ms,
	   void (*on_message)(const char *subject, const char *reply, const char *body))
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return;
	n = recv(fd, in + in_len, sizeof(in) - in_len, 0);
	if (n <= 0)
		exit(0);
	in_len += (size_t)n;
	while (take(on_message))
		;
	if (in_len == sizeof(in))
		exit(1);
}

static void
on_nothing(const char *subject, const char *reply, const char *body)
{
	(void)subject;
	(void)reply;
	(void)body;
}

/* The server has dealt with all before. */
static void
fence(void)
{
	is_ponged = false;
	put("PING\r\n", 6);
	while (!is_ponged)
		listen_for(1000, on_nothing);
}

/* ---- the modes ---- */

static void
worker_on_message(const char *subject, const char *reply, const char *body)
{
	if (strncmp(subject, "ocf.c.", 6) == 0)
		printf("%s\n", body);
	else if (reply != NULL)
		worker_take(reply);
	fflush(stdout);
}

static void
run_worker(void)
{
	long long announced_ms = 0;
	char *equals = strchr(behaviour, '=');

	if (equals != NULL) {
		*equals = '\0';
		argument = equals + 1;
	}
	memset(filler, 'x', sizeof(filler));
	if (behaves("minimal"))
		putf("SUB svc.%016" PRIx64 " workers 1\r\n",
		     hash64(bytes_text(service), 0));
	else
		putf("SUB ocf.d.%s 1\r\n", id);
	putf("SUB ocf.c.%s 2\r\n", id);
	for (;;) {
		if (enemy_now_ms() - announced_ms >= ANNOUNCE_MS) {
			worker_announce();
			announced_ms = enemy_now_ms();
		}
		listen_for(worker_go_on(), worker_on_message);
	}
}

static void
announce_one(const char *kind, unsigned long i)
{
	char body[1024];

	if (strcmp(kind, "nonsense") == 0)
		snprintf(body, sizeof(body), "{\"client_id\":%lu,\"v\":1,\"id\":\"n-%lu",
			 i, i);
	else if (strcmp(kind, "wrong") == 0)
		snprintf(body, sizeof(body),
			 "{\"v\":1,\"id\":\"w-%lu\",\"service\":\"s\",\"slots\":-%lu,"
			 "\"status\":\"connected\"}",
			 i, i);
	else if (strcmp(kind, "ids") == 0)
		snprintf(body, sizeof(body),
			 "{\"v\":1,\"id\":\"id-%lu\",\"service\":\"many\",\"slots\":1,"
			 "\"hb_s\":3600,\"client_id\":%llu,\"status\":\"connected\"}",
			 i, client_id);
	else if (strcmp(kind, "turns") == 0)
		snprintf(body, sizeof(body),
			 "{\"v\":1,\"hb_s\":3600,\"client_id\":%llu,"
			 "\"id\":\"turns\",\"service\":\"t\",\"slots\":1,"
			 "\"status\":\"%s\"}",
			 client_id, i % 2 == 0 ? "connected" : "disconnected");
	else
		snprintf(body, sizeof(body),
			 "{\"v\":1,\"hb_s\":3600,\"client_id\":%llu,"
			 "\"id\":\"change\",\"service\":\"c\",\"slots\":1,"
			 "\"status\":\"connected\",\"metadata\":{\"n\":%lu}}",
			 client_id, i);
	publish("worker:status", body);
}

static int
run_announce(const char *kind, unsigned long count)
{
	char text[256];

	for (unsigned long i = 0; i < count; i++)
		announce_one(kind, i);
	fence();
	printf("done\n");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				       { .fd = fd, .events = POLLIN } };

		poll(p, 2, -1);
		if (p[1].revents != 0)
			listen_for(0, on_nothing);
		if (p[0].revents != 0 && read(STDIN_FILENO, text, sizeof(text)) <= 0)
			return 0;
	}
}

static int
run_try(void)
{
	char line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		is_refused = false;
		putf("%s%s\r\n", line, strncmp(line, "PUB ", 4) == 0 ? " 0\r\n" : "");
		fence();
		printf("%s %s\n", is_refused ? "refused" : "allowed", line);
	}
	return 0;
}

static void
spy_on_message(const char *subject, const char *reply, const char *body)
{
	(void)reply;
	(void)body;
	printf("%s\n", subject);
	fflush(stdout);
}

static void
run_spy(char **subjects)
{
	for (int i = 0; subjects[i] != NULL; i++)
		putf("SUB %s %d\r\n", subjects[i], i + 1);
	for (;;)
		listen_for(-1, spy_on_message);
}

static void
dial(const char *address)
{
	char *number;

	enemy_init("hostile");
	fd = enemy_connect(NULL, address);
	/* "INFO {...,"client_id":5,...}": the number of this connection. */
	while (memmem(in, in_len, "\r\n", 2) == NULL) {
		ssize_t n = recv(fd, in + in_len, sizeof(in) - 1 - in_len, 0);

		if (n <= 0)
			enemy_die("no INFO");
		in_len += (size_t)n;
	}
	in[in_len] = '\0';
	number = strstr(in, "\"client_id\":");
	if (number != NULL)
		client_id = strtoull(number + strlen("\"client_id\":"), NULL, 10);
	putf("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,"
	     "\"no_responders\":true,\"name\":\"hostile\"}\r\n");
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[2], "worker") == 0) {
		dial(argv[1]);
		id = argv[3];
		service = argv[4];
		behaviour = argv[5];
		run_worker();
	}
	if (argc == 5 && strcmp(argv[2], "announce") == 0) {
		dial(argv[1]);
		return run_announce(argv[3], strtoul(argv[4], NULL, 10));
	}
	if (argc == 3 && strcmp(argv[2], "try") == 0) {
		dial(argv[1]);
		return run_try();
	}
	if (argc >= 4 && strcmp(argv[2], "spy") == 0) {
		dial(argv[1]);
		run_spy(argv + 3);
	}
	fprintf(stderr, "usage: hostile HOST:PORT worker ID SERVICE BEHAVIOUR | "
			"announce KIND COUNT | try | spy SUBJECT...\n");
	return 2;
}
