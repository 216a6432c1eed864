/* SPDX-License-Identifier: Apache-2.0 */
/* Asks HTTP servers, and judges what they answer:
 *
 *	bench-http-load ADDRESS[,ADDRESS…] PATH CLIENTS SECONDS [NAME=VALUE]…
 *
 * For SECONDS, CLIENTS connections, kept alive, each with one POST of 256 bytes at a time, no
 * two of them alike. An address is HOST:PORT or unix:PATH; clients are spread over several. By
 * default each client asks again as soon as it is answered, and anything but 200 ends the run
 * with an error. Otherwise:
 *
 *	rate=N      so many requests a second, evenly, each by a client that has nothing to do;
 *	            one that finds none is not sent, but counted
 *	timeout=MS  the Ocf-Timeout of each
 *	limit=MS    one that takes longer ends the run with an error
 *	count=1     other statuses, and connections that are lost, are counted
 *	repeat=1    the same, and what may be asked again is (429, 502, 503, 504, a lost
 *	            connection), after 200 ms at the next address, until it is answered; with
 *	            an Idempotency-Key
 *	id=WORD     bodies begin with WORD-NUMBER and a space («q»)
 *	log=FILE    a line for each when it is over: its WORD-NUMBER, and the status; 0: lost
 *
 * Always an error: a reply whose body is not that of its request, or that nobody asked for.
 * One line of JSON: answers in a second (those that came within SECONDS), percentiles of their
 * times since they were first sent, our own processor time for a reply, and counts. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "bench/histogram.h"
#include "net/stream.h"

enum {
	BODY_BYTES = 256,
	CLIENTS_MAX = 1000,
	ADDRESSES_MAX = 16,
	STATUSES = 600,
	TICK_MS = 1,
	REST_MS = 200, /* after a refusal or a loss */
};

enum client_state {
	CLIENT_FREE,
	CLIENT_ASKING,
	CLIENT_RESTING, /* and then it asks again, or anew */
};

struct load {
	struct loop *loop;
	struct loop_timer *tick;
	struct client *clients;
	int clients_len, next_client;
	char *addresses[ADDRESSES_MAX];
	int addresses_len;
	const char *path, *id;
	double rate, limit_s;
	long timeout_ms;
	bool counts, repeats;
	FILE *log;
	/* The run */
	double start, until;
	int pending; /* requests that are not over */
	struct histogram times;
	double max_s;
	uint64_t connections, due, sent, unsent, in_time, lost, repeated, unexplained;
	uint64_t statuses[STATUSES];
};

struct client {
	struct load *load;
	struct stream *stream; /* NULL: not connected */
	enum client_state state;
	bool is_pending; /* has a request that is not over */
	uint64_t number;
	double first_sent, sent, rests_until;
	int address;
};

struct reply {
	int status;
	size_t body_len;
	char body[BODY_BYTES]; /* its beginning */
	bool is_last, has_retry_after;
};

static double
now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
die(const char *what, struct bytes more)
{
	fprintf(stderr, "bench-http-load: %s\n%.*s\n", what, (int)more.len,
		more.len > 0 ? (const char *)more.data : "");
	exit(1);
}

/* ---- requests ---- */

static const struct stream_handler client_handler;

static void
client_body(const struct client *c, char body[BODY_BYTES])
{
	int n;

	memset(body, 'b', BODY_BYTES);
	n = snprintf(body, BODY_BYTES, "%s-%" PRIu64 " ", c->load->id, c->number);
	body[n < BODY_BYTES ? n : BODY_BYTES - 1] = 'b';
}

static void
client_ask(struct client *c)
{
	struct load *load = c->load;
	char request[1024], body[BODY_BYTES];
	size_t n;

	load->connections += c->stream == NULL;
	if (c->stream == NULL)
		c->stream = stream_dial(load->loop,
					load->addresses[c->address % load->addresses_len],
					NULL, NULL, &client_handler, c, NULL);
	if (c->stream == NULL)
		die("no such address", BYTES_NONE);
	n = (size_t)snprintf(request, sizeof(request) - BODY_BYTES,
			     "POST %.100s HTTP/1.1\r\nHost: localhost\r\n"
			     "Content-Type: text/plain\r\nContent-Length: %d\r\n",
			     load->path, BODY_BYTES);
	if (load->timeout_ms > 0)
		n += (size_t)snprintf(request + n, 64, "Ocf-Timeout: %ldms\r\n",
				      load->timeout_ms);
	if (load->repeats)
		n += (size_t)snprintf(request + n, 128,
				      "Idempotency-Key: %.60s-%" PRIu64 "\r\n", load->id,
				      c->number);
	n += (size_t)snprintf(request + n, 8, "\r\n");
	client_body(c, body);
	memcpy(request + n, body, BODY_BYTES);
	c->state = CLIENT_ASKING;
	c->sent = now(CLOCK_MONOTONIC);
	stream_write(c->stream, bytes_of(request, n + BODY_BYTES));
}

static void
client_begin(struct client *c)
{
	c->number = ++c->load->sent;
	c->load->pending++;
	c->is_pending = true;
	client_ask(c);
	c->first_sent = c->sent;
}

static void
client_rest(struct client *c)
{
	c->state = CLIENT_RESTING;
	c->rests_until = now(CLOCK_MONOTONIC) + REST_MS / 1000.0;
}

static void
load_look(struct load *load)
{
	if (load->pending == 0 && now(CLOCK_MONOTONIC) >= load->until)
		loop_stop(load->loop);
}

/* The request is over; what the client does next. */
static void
client_over(struct client *c, int status)
{
	struct load *load = c->load;

	if (load->log != NULL)
		fprintf(load->log, "%s-%" PRIu64 " %d\n", load->id, c->number, status);
	c->is_pending = false;
	c->state = CLIENT_FREE;
	load->pending--;
	if (status == 0 || (load->rate == 0 && status != 200))
		client_rest(c);
	else if (load->rate == 0 && now(CLOCK_MONOTONIC) < load->until)
		client_begin(c);
	load_look(load);
}

static void
client_failed(struct client *c, int status)
{
	struct load *load = c->load;
	bool may_repeat = status == 0 || status == 429 || status == 502 ||
			  status == 503 || status == 504;

	if (!load->repeats || !may_repeat) {
		client_over(c, status);
		return;
	}
	load->repeated++;
	if (c->stream != NULL && load->addresses_len > 1) {
		stream_close(c->stream);
		c->stream = NULL;
		c->address++;
	}
	client_rest(c);
}

/* ---- replies ---- */

static bool
head_has(const char *head, size_t len, const char *field, const char **ret_value)
{
	size_t n = strlen(field);

	for (size_t i = 0; i + n < len; i++)
		if (head[i] == '\n' && strncasecmp(head + i + 1, field, n) == 0) {
			*ret_value = head + i + 1 + n + strspn(head + i + 1 + n, " ");
			return true;
		}
	return false;
}

static void
reply_put(struct reply *r, const char *data, size_t len)
{
	size_t room = r->body_len < BODY_BYTES ? BODY_BYTES - r->body_len : 0;

	if (room > 0)
		memcpy(r->body + r->body_len, data, len < room ? len : room);
	r->body_len += len;
}

/* Chunks up to the empty one: the length of all of it; 0: not all is there. */
static size_t
reply_take_chunks(struct reply *r, const char *p, size_t len)
{
	size_t at = 0, start, n;
	char *end;

	for (;;) {
		if (memmem(p + at, len - at, "\r\n", 2) == NULL)
			return 0;
		n = strtoul(p + at, &end, 16);
		start = (size_t)(end - p) + 2;
		at = start + n + 2;
		if (at > len)
			return 0;
		if (n == 0)
			return at;
		reply_put(r, p + start, n);
	}
}

/* The length of the reply at the beginning of `data`; 0: not all of it. */
static size_t
reply_take(struct reply *r, struct bytes data)
{
	const char *text = (const char *)data.data, *value = NULL;
	const char *end = data.len > 0 ? memmem(text, data.len, "\r\n\r\n", 4) : NULL;
	size_t head_len, len;

	*r = (struct reply){ 0 };
	if (end == NULL)
		return 0;
	head_len = (size_t)(end - text) + 4;
	if (strncmp(text, "HTTP/1.1 ", 9) != 0)
		die("no HTTP:", data);
	r->status = atoi(text + 9);
	if (r->status < 200 || r->status >= STATUSES)
		die("a status that is none:", data);
	if (head_has(text, head_len, "connection:", &value))
		r->is_last = strncasecmp(value, "close", 5) == 0;
	if (head_has(text, head_len, "retry-after:", &value))
		r->has_retry_after = atoi(value) > 0;
	if (!head_has(text, head_len, "content-length:", &value)) {
		len = reply_take_chunks(r, end + 4, data.len - head_len);
		return len == 0 ? 0 : head_len + len;
	}
	len = strtoul(value, NULL, 10);
	if (head_len + len > data.len)
		return 0;
	reply_put(r, end + 4, len);
	return head_len + len;
}

static void
client_answered(struct client *c, const struct reply *r, struct bytes data)
{
	struct load *load = c->load;
	double at = now(CLOCK_MONOTONIC), took = at - c->first_sent;
	char body[BODY_BYTES];

	client_body(c, body);
	if (r->body_len != BODY_BYTES || memcmp(r->body, body, BODY_BYTES) != 0)
		die("the answer to another request:", data);
	histogram_add(&load->times, took);
	if (took > load->max_s)
		load->max_s = took;
	load->in_time += at < load->until;
	client_over(c, 200);
}

static size_t
client_on_data(void *arg, struct bytes data)
{
	struct client *c = arg;
	struct load *load = c->load;
	struct reply r;
	size_t len;

	if (c->state != CLIENT_ASKING)
		die("what nobody asked for:", data);
	len = reply_take(&r, data);
	if (len == 0)
		return 0;
	if (r.status != 200 && !load->counts)
		die("not answered with 200:", data);
	load->statuses[r.status]++;
	if ((r.status == 429 || r.status == 503) && !r.has_retry_after)
		load->unexplained++;
	if (r.is_last) {
		stream_close(c->stream);
		c->stream = NULL;
	}
	if (r.status == 200)
		client_answered(c, &r, data);
	else
		client_failed(c, r.status);
	return len;
}

static void
client_on_close(void *arg, int reason, const char *why)
{
	struct client *c = arg;

	(void)reason;
	if (!c->load->counts)
		die(why, BYTES_NONE);
	stream_close(c->stream);
	c->stream = NULL;
	c->address++;
	if (c->state != CLIENT_ASKING)
		return;
	c->load->lost++;
	client_failed(c, 0);
}

static const struct stream_handler client_handler = { .on_data = client_on_data,
						      .on_close = client_on_close };

/* ---- the run ---- */

static struct client *
load_free_client(struct load *load)
{
	for (int i = 0; i < load->clients_len; i++) {
		struct client *c = &load->clients[load->next_client];

		load->next_client = (load->next_client + 1) % load->clients_len;
		if (c->state == CLIENT_FREE)
			return c;
	}
	return NULL;
}

static void
client_look(struct client *c, double at)
{
	struct load *load = c->load;

	if (c->state == CLIENT_ASKING && load->limit_s > 0 &&
	    at - c->sent > load->limit_s)
		die("no answer in time", BYTES_NONE);
	if (c->state != CLIENT_RESTING || at < c->rests_until)
		return;
	c->state = CLIENT_FREE;
	if (c->is_pending)
		client_ask(c);
	else if (load->rate == 0 && at < load->until)
		client_begin(c);
}

static void
load_on_tick(void *arg)
{
	struct load *load = arg;
	double at = now(CLOCK_MONOTONIC), end = at < load->until ? at : load->until;

	while (load->rate > 0 && (double)load->due < (end - load->start) * load->rate) {
		struct client *c = load_free_client(load);

		load->due++;
		if (c != NULL)
			client_begin(c);
		else
			load->unsent++;
	}
	for (int i = 0; i < load->clients_len; i++)
		client_look(&load->clients[i], at);
	load_look(load);
	loop_timer_set(load->tick, TICK_MS);
}

static void
load_run(struct load *load, double seconds)
{
	load->loop = loop_new();
	load->tick = loop_timer_new(load->loop, load_on_tick, load);
	load->start = now(CLOCK_MONOTONIC);
	load->until = load->start + seconds;
	load->clients = mem_calloc((size_t)load->clients_len, sizeof(*load->clients));
	for (int i = 0; i < load->clients_len; i++) {
		load->clients[i].load = load;
		load->clients[i].address = i;
		if (load->rate == 0)
			client_begin(&load->clients[i]);
	}
	/* Where nobody waits for it the clock is not looked at. */
	if (load->rate > 0 || load->counts || load->limit_s > 0)
		loop_timer_set(load->tick, TICK_MS);
	loop_run(load->loop);
	for (int i = 0; i < load->clients_len; i++)
		stream_close(load->clients[i].stream);
	loop_timer_free(load->tick);
	loop_free(load->loop);
	free(load->clients);
}

static void
load_print(const struct load *load, double seconds, double cpu)
{
	uint64_t replies = 0;
	const char *comma = "";

	for (int i = 0; i < STATUSES; i++)
		replies += load->statuses[i];
	printf("{\"per_s\":%.1f,\"p50_us\":%.0f,\"p90_us\":%.0f,\"p99_us\":%.0f,"
	       "\"max_us\":%.0f,\"cpu_us\":%.1f",
	       (double)load->in_time / seconds, histogram_us(&load->times, 0.5),
	       histogram_us(&load->times, 0.9), histogram_us(&load->times, 0.99),
	       load->max_s * 1e6, replies > 0 ? cpu * 1e6 / (double)replies : 0);
	printf(",\"sent\":%" PRIu64 ",\"unsent\":%" PRIu64 ",\"answered\":%" PRIu64
	       ",\"in_time\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"unexplained\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"refused\":{",
	       load->sent, load->unsent, load->statuses[200], load->in_time,
	       load->repeated, load->lost, load->unexplained, load->connections);
	for (int i = 0; i < STATUSES; i++)
		if (load->statuses[i] > 0 && i != 200) {
			printf("%s\"%d\":%" PRIu64, comma, i, load->statuses[i]);
			comma = ",";
		}
	printf("}}\n");
}

/* ---- the command line ---- */

static void
load_addresses(struct load *load, char *text)
{
	for (char *at = strtok(text, ","); at != NULL; at = strtok(NULL, ",")) {
		if (load->addresses_len == ADDRESSES_MAX)
			die("too many addresses", BYTES_NONE);
		load->addresses[load->addresses_len++] = at;
	}
}

static bool
load_option(struct load *load, const char *text)
{
	const char *value = strchr(text, '=');
	size_t len = value != NULL ? (size_t)(value++ - text) : 0;
	bool is_yes = value != NULL && strcmp(value, "1") == 0;

	if (len == 4 && strncmp(text, "rate", len) == 0)
		load->rate = strtod(value, NULL);
	else if (len == 7 && strncmp(text, "timeout", len) == 0)
		load->timeout_ms = strtol(value, NULL, 10);
	else if (len == 5 && strncmp(text, "limit", len) == 0)
		load->limit_s = strtod(value, NULL) / 1000;
	else if (len == 5 && strncmp(text, "count", len) == 0)
		load->counts = is_yes;
	else if (len == 6 && strncmp(text, "repeat", len) == 0)
		load->counts = load->repeats = is_yes;
	else if (len == 2 && strncmp(text, "id", len) == 0 && strlen(value) < 60)
		load->id = value;
	else if (len == 3 && strncmp(text, "log", len) == 0)
		load->log = fopen(value, "w");
	else
		return false;
	return len != 3 || load->log != NULL;
}

int
main(int argc, char **argv)
{
	struct load *load = mem_calloc(1, sizeof(*load));
	double seconds = argc >= 5 ? strtod(argv[4], NULL) : 0, cpu;
	bool is_good = seconds > 0;

	load->id = "q";
	if (argc >= 5) {
		load_addresses(load, argv[1]);
		load->path = argv[2];
		load->clients_len = atoi(argv[3]);
	}
	for (int i = 5; i < argc; i++)
		is_good = load_option(load, argv[i]) && is_good;
	if (!is_good || load->addresses_len == 0 || load->clients_len < 1 ||
	    load->clients_len > CLIENTS_MAX) {
		fprintf(stderr,
			"usage: bench-http-load ADDRESS[,ADDRESS...] PATH CLIENTS (1-%d) "
			"SECONDS [NAME=VALUE]...\n",
			CLIENTS_MAX);
		return 2;
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	load_run(load, seconds);
	load_print(load, seconds, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	if (load->log != NULL && fclose(load->log) != 0)
		die("the log cannot be written", BYTES_NONE);
	free(load);
	return 0;
}
