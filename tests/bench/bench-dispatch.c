/* SPDX-License-Identifier: Apache-2.0 */
/* What a query costs between the HTTP server and a worker of the same node: bench-dispatch
 * FOLDER. In this process there are the daemon's queries (src/daemon/queries*.c) with the
 * catalog, the dispatch core and the bus, as in ocfd; a bench instead of HTTP asks them. The
 * bus's nats-server is real, and the one worker is a process of its own (bench-worker.c). The
 * baseline, in turns with it, is a request and its reply through a nats-server without a
 * configuration, by nats.c as it is fastest on both sides (raw-nats.h). The same again, only
 * that the server looks whether who answers may publish, as the bus's does with workers: its
 * cache of that is of no use for replies, whose subjects do not come again. Bodies of 256
 * bytes both ways. A JSON line each:
 *
 *   rate   with so many in flight: how many in a second, the median and the 99th percentile
 *          of their times, processor time of each process for one; the ratio to the
 *          baseline's rate with its budget, and to that with permissions ("guarded"); with
 *          one in flight what the median is longer by
 *   big_beside_small
 *          times of small queries, one after the other, while replies of 10 MB come from the
 *          same worker, one after the other
 *
 * On a machine with few processors the times are mostly those in which a processor that
 * slept is woken. $OCF_BENCH_SECONDS sets how long each of the BENCH_RUNS runs lasts. */
#include "config.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bench/bench.h"
#include "bench/histogram.h"
#include "bench/raw-nats.h"
#include "bus/server.h"
#include "daemon/queries.h"
#include "http/api.h"

enum {
	BODY_BYTES = 256,
	FLIGHT_MAX = 512,
	SLOTS = 1024,
	BIG_BYTES = 10 * 1000 * 1000,
	WAIT_MS = 20000, /* for anything to come */
};

/* What one run gave. */
struct figures {
	double per_s, p50_us, p99_us;
	double client_us, worker_us, server_us; /* of a processor, for one query */
};

/* One query in flight; what HTTP would hold of it. */
struct api_query {
	struct world *world;
	void *token; /* the daemon's */
	double sent;
	size_t received;
	bool is_big;
};

struct baseline {
	struct world *world;
	struct raw_nats nats;
	natsSubscription *inbox;
	pid_t worker_pid, server_pid;
	double sent[FLIGHT_MAX];
};

struct world {
	struct loop *loop;
	const char *folder;
	char worker_path[4096];
	struct daemon d;
	struct config config;
	struct identity identity;
	struct api_host host;
	struct query_head head;
	char service[16], match[32];
	uint64_t worker; /* its number; 0: none yet */
	pid_t worker_pid, server_pid;
	struct baseline plain, guarded;
	/* The run */
	struct api_query queries[FLIGHT_MAX], big;
	struct histogram times;
	int flying, bigs;
	uint64_t asked;
	double until;
};

/* As little as makes the server look at each reply's subject. */
static const char guarded_accounts
	[] = "no_auth_user: worker\n"
	     "accounts { OCF { users: [ { user: worker, password: \"-\", permissions: {\n"
	     "  publish: [\"bench\", \"_INBOX.>\"] } } ] } }\n";

static struct world world;
static uint8_t body_bytes[BODY_BYTES];

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static double
cpu_of(pid_t pid)
{
	struct timespec ts = { 0, 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) == 0)
		clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- processes ---- */

static pid_t
spawn(const char *path, char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(path, argv);
		_exit(127);
	}
	bench_must(pid > 0 ? 0 : -EAGAIN, path);
	return pid;
}

static void
reap(pid_t pid)
{
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

static void
wait_until(bool (*holds)(void), const char *what)
{
	double limit = bench_now() + WAIT_MS / 1000.0;

	while (!holds() && bench_now() < limit)
		loop_turn(world.loop, 20);
	bench_must(holds() ? 0 : -ETIMEDOUT, what);
}

/* ---- what the daemon's queries use of other parts of the daemon ---- */

/* There is one worker, and no other node. */
const char *
workers_id(const struct workers *workers, uint64_t number)
{
	(void)workers;
	return number == world.worker ? "bench" : NULL;
}

uint64_t
links_of_node(const struct links *links, const struct id *node)
{
	(void)links, (void)node;
	return 0;
}

double
links_rtt_ms(const struct links *links, const struct id *node)
{
	(void)links, (void)node;
	return -1;
}

int
links_relays_to(const struct links *links, const struct id *node, uint64_t *ret_links,
		int max)
{
	(void)links, (void)node, (void)ret_links, (void)max;
	return 0;
}

bool
links_may_find_way(const struct links *links, const struct id *node)
{
	(void)links, (void)node;
	return false;
}

void
links_find_way(struct links *links, const struct id *node, uint64_t not_by)
{
	(void)links, (void)node, (void)not_by;
	die("links", "a way to another node is looked for");
}

void
links_send_query(struct links *links, uint64_t link, struct bytes frame)
{
	(void)links, (void)link, (void)frame;
	die("links", "a query is sent to another node");
}

/* ---- what workers.c does ---- */

static void
bus_on_state(void *arg, enum bus_state state, const char *url, bool is_embedded)
{
	(void)arg, (void)is_embedded;
	free(world.d.bus_url);
	world.d.bus_url = mem_strdup(url);
	world.d.bus_state = state;
}

static void
bus_on_text(void *arg, const char *text)
{
	(void)arg;
	die("the bus", text);
}

static void
bus_on_worker(void *arg, const struct bus_worker *worker)
{
	(void)arg;
	world.worker = 1;
	queries_worker(world.d.queries, world.worker, worker);
}

static void
bus_on_worker_down(void *arg, const char *id, const char *reason)
{
	(void)arg;
	die(id, reason);
}

static void
bus_on_head(void *arg, uint64_t token, const struct reply_head *reply)
{
	(void)arg;
	queries_run_head(world.d.queries, token, reply);
}

static void
bus_on_data(void *arg, uint64_t token, struct bytes part, bool is_last)
{
	(void)arg;
	queries_run_data(world.d.queries, token, part, is_last);
}

static void
bus_on_error(void *arg, uint64_t token, const struct query_error *error,
	     enum bus_outcome outcome)
{
	(void)arg;
	queries_run_error(world.d.queries, token, error, outcome);
}

static void
bus_on_credit(void *arg, uint64_t token, int n)
{
	(void)arg;
	queries_run_credit(world.d.queries, token, n);
}

static const struct bus_handler bus_handler = {
	.state = bus_on_state,
	.warning = bus_on_text,
	.fatal = bus_on_text,
	.worker_up = bus_on_worker,
	.worker_changed = bus_on_worker,
	.worker_down = bus_on_worker_down,
	.reply_head = bus_on_head,
	.reply_data = bus_on_data,
	.reply_error = bus_on_error,
	.request_credit = bus_on_credit,
};

/* ---- what HTTP does ---- */

static void
query_ask(struct api_query *q)
{
	struct world *w = q->world;
	char big[32], id[40];
	struct bytes body = bytes_of(body_bytes, sizeof(body_bytes));

	if (q->is_big) {
		snprintf(big, sizeof(big), "stream %d", BIG_BYTES);
		body = bytes_text(big);
	}
	snprintf(id, sizeof(id), "%032" PRIx64, ++w->asked);
	w->head.request_id = id;
	w->head.body_len = (int64_t)body.len;
	w->flying++;
	q->received = 0;
	q->sent = bench_now();
	q->token = w->host.query_open(&w->d, q, &w->head);
	w->host.query_body(q->token, body, true);
}

void
api_reply_want(struct api_query *q, int parts)
{
	(void)q, (void)parts;
}

void
api_reply_head(struct api_query *q, const struct reply_head *head)
{
	(void)q;
	bench_must(head->status == 200 ? 0 : -EPROTO, "a reply");
}

void
api_reply_data(struct api_query *q, struct bytes part)
{
	q->received += part.len;
	/* Of a small one HTTP has no time to report that it was taken. */
	if (q->is_big)
		q->world->host.query_consumed(q->token, 1);
}

void
api_reply_end(struct api_query *q)
{
	struct world *w = q->world;

	bench_must(q->received == (q->is_big ? BIG_BYTES : BODY_BYTES) ? 0 : -EPROTO,
		   "a reply of another length");
	w->flying--;
	w->bigs += q->is_big;
	if (!q->is_big)
		histogram_add(&w->times, bench_now() - q->sent);
	if (bench_now() < w->until)
		query_ask(q);
	else if (w->flying == 0)
		loop_stop(w->loop);
}

void
api_reply_error(struct api_query *q, const struct query_error *error)
{
	(void)q;
	die("a query failed", error->text);
}

/* ---- the baseline ---- */

static void
raw_ask(struct baseline *b, unsigned slot)
{
	char reply[64];

	snprintf(reply, sizeof(reply), "_INBOX.bench.%x.%" PRIx64, slot,
		 ++b->world->asked);
	b->world->flying++;
	b->sent[slot] = bench_now();
	raw_nats_must(natsConnection_PublishRequest(b->nats.nc, "bench", reply,
						    body_bytes, BODY_BYTES),
		      "a request");
}

static void
raw_readable(void *arg)
{
	struct baseline *b = arg;
	struct world *w = b->world;
	natsMsg *msg;

	while ((msg = raw_nats_next(b->inbox)) != NULL) {
		unsigned slot = (unsigned)strtoul(
			natsMsg_GetSubject(msg) + strlen("_INBOX.bench."), NULL, 16);

		bench_must(natsMsg_GetDataLength(msg) == BODY_BYTES && slot < FLIGHT_MAX
				   ? 0
				   : -EPROTO,
			   "a reply of another length");
		natsMsg_Destroy(msg);
		w->flying--;
		histogram_add(&w->times, bench_now() - b->sent[slot]);
		if (bench_now() < w->until)
			raw_ask(b, slot);
		else if (w->flying == 0)
			loop_stop(w->loop);
	}
}

/* Where the server says that it listens; free(3) it. */
static char *
raw_server_url(const char *folder, pid_t pid)
{
	char *path = mem_printf("%s/nats-server_%d.ports", folder, (int)pid), *url = NULL;
	struct buf text = BUF_INIT;
	const char *at;

	for (int i = 0; i < WAIT_MS / 10 && url == NULL; i++) {
		usleep(10 * 1000);
		buf_clear(&text);
		if (file_read(path, 4096, &text, NULL) == 0 &&
		    (at = strstr(buf_text(&text), "nats://")) != NULL)
			url = mem_dup(at, strcspn(at, "\""));
	}
	if (url == NULL)
		die("nats-server", "does not start");
	buf_fini(&text);
	free(path);
	return url;
}

static void
raw_open(struct world *w, struct baseline *b, const char *name, const char *accounts)
{
	char *folder = bench_folder(w->folder, name), *url;
	char *path = mem_printf("%s/nats-server.conf", folder), *program = NULL;
	char *server[] = { (char *)"nats-server", (char *)"-c",	       path,
			   (char *)"-l",	  (char *)"/dev/null", NULL };
	struct buf text = BUF_INIT;
	struct errmsg err = { "" };

	buf_printf(&text, "host: 127.0.0.1\nport: -1\nports_file_dir: \"%s\"\n%s", folder,
		   accounts);
	bench_must(file_write(path, buf_bytes(&text), 0600, &err), err.text);
	bench_must(bus_server_find(NULL, &program, &err), err.text);
	b->world = w;
	b->server_pid = spawn(program, server);
	url = raw_server_url(folder, b->server_pid);
	b->worker_pid = spawn(w->worker_path,
			      (char *[]){ w->worker_path, url, (char *)"bench", NULL });
	raw_nats_open(&b->nats, w->loop, url, "bench-dispatch", raw_readable, b);
	b->inbox = raw_nats_subscribe(&b->nats, "_INBOX.bench.*.*", NULL);
	buf_fini(&text);
	free(url);
	free(path);
	free(folder);
	free(program);
}

static void
raw_close(struct baseline *b)
{
	natsSubscription_Destroy(b->inbox);
	raw_nats_close(&b->nats);
	reap(b->worker_pid);
	reap(b->server_pid);
}

/* ---- the world ---- */

static bool
bus_is_up(void)
{
	return world.d.bus_state != BUS_DOWN;
}

static bool
worker_is_there(void)
{
	return world.worker != 0;
}

static pid_t
bus_server_pid(const struct world *w)
{
	char *path = mem_printf("%s/node/bus/nats-server.pid", w->folder);
	struct buf text = BUF_INIT;
	pid_t pid;

	bench_must(file_read(path, 64, &text, NULL), path);
	pid = (pid_t)strtol(buf_text(&text), NULL, 10);
	buf_fini(&text);
	free(path);
	return pid;
}

/* A node's row and its worker's. */
static void
catalog_fill(struct world *w)
{
	struct row_key node = bench_node_key(0), key = bench_key(0);
	struct row row;

	bench_node_row(0, &row);
	bench_must(catalog_apply(w->d.catalog, &node, &row, NULL), "a node row");
	row_fini(&row);
	bench_row(0, 1, &row);
	bench_must(catalog_apply(w->d.catalog, &key, &row, NULL), "a worker row");
	row_fini(&row);
	bench_service(0, w->service);
	bench_match(0, w->match);
	w->identity.node_id = key.owner;
}

static void
node_open(struct world *w)
{
	char *data = bench_folder(w->folder, "node"), url[160], slots[16];
	char *worker[] = {
		w->worker_path, url, (char *)"bench", w->service, slots, NULL
	};
	struct bus_config bus = { .listen = "127.0.0.1:0", .data = data };
	struct errmsg err = { "" };

	config_init(&w->config);
	w->config.dispatch.queue_max = 10000;
	w->d = (struct daemon){ .config = &w->config,
				.loop = w->loop,
				.identity = &w->identity,
				.catalog = catalog_new(),
				.metrics = metrics_new(),
				.bus_url = mem_strdup("") };
	rng_init(&w->d.rng, 1);
	catalog_fill(w);
	bus.node_id = w->identity.node_id;
	bench_must(queries_open(&w->d), "queries");
	queries_fill_host(&w->host);
	bench_must(bus_open(w->loop, &bus, &bus_handler, NULL, &w->d.bus, &err),
		   err.text);
	wait_until(bus_is_up, "the bus");
	snprintf(url, sizeof(url), "nats://%s", w->d.bus_url);
	snprintf(slots, sizeof(slots), "%d", SLOTS);
	w->worker_pid = spawn(w->worker_path, worker);
	wait_until(worker_is_there, "the worker");
	w->server_pid = bus_server_pid(w);
	w->head = (struct query_head){
		.service = w->service,
		.selector = w->match,
		.method = (char *)"POST",
		.path = (char *)"/",
		.content_type = (char *)"application/json",
		.traceparent = (char *)"00-0af7651916cd43dd8448eb211c80319c-"
				       "b7ad6b7169203331-01",
		.timeout_ms = MS_MINUTE,
	};
	free(data);
}

static void
world_close(struct world *w)
{
	struct bus_stats stats;

	bus_get_stats(w->d.bus, &stats);
	bench_must(stats.outstanding == 0 && queries_running(w->d.queries) == 0 ? 0
										: -EBUSY,
		   "queries are left");
	reap(w->worker_pid);
	bus_close(w->d.bus);
	w->d.bus = NULL;
	queries_close(w->d.queries);
	catalog_free(w->d.catalog);
	metrics_free(w->d.metrics);
	config_fini(&w->config);
	free(w->d.bus_url);
	raw_close(&w->plain);
	raw_close(&w->guarded);
	loop_free(w->loop);
}

/* ---- rates ---- */

/* `b` NULL: ours. */
static void
rate(struct world *w, struct baseline *b, int in_flight, double seconds,
     struct figures *ret)
{
	pid_t worker = b != NULL ? b->worker_pid : w->worker_pid;
	pid_t server = b != NULL ? b->server_pid : w->server_pid;
	double cpu = bench_cpu(), worker_cpu = cpu_of(worker),
	       server_cpu = cpu_of(server);
	double start = bench_now(), took;

	histogram_clear(&w->times);
	w->until = start + seconds;
	for (int i = 0; i < in_flight; i++) {
		w->queries[i] = (struct api_query){ .world = w };
		if (b != NULL)
			raw_ask(b, (unsigned)i);
		else
			query_ask(&w->queries[i]);
	}
	loop_run(w->loop);
	took = bench_now() - start;
	ret->per_s = (double)w->times.n / took;
	ret->p50_us = histogram_us(&w->times, 0.5);
	ret->p99_us = histogram_us(&w->times, 0.99);
	ret->client_us = (bench_cpu() - cpu) * 1e6 / (double)w->times.n;
	ret->worker_us = (cpu_of(worker) - worker_cpu) * 1e6 / (double)w->times.n;
	ret->server_us = (cpu_of(server) - server_cpu) * 1e6 / (double)w->times.n;
}

static double
median_of(const struct figures *f, size_t offset)
{
	double values[BENCH_RUNS];

	for (int i = 0; i < BENCH_RUNS; i++)
		values[i] = *(const double *)(const void *)((const char *)&f[i] + offset);
	return bench_median(values, BENCH_RUNS);
}

#define MEDIAN(f, field) median_of(f, offsetof(struct figures, field))

static void
figures_print(const char *prefix, const struct figures *f)
{
	printf(",\"%sper_s\":%.0f,\"%sp50_us\":%.0f,\"%sp99_us\":%.0f,"
	       "\"%scpu_us\":{\"client\":%.2f,\"worker\":%.2f,\"server\":%.2f}",
	       prefix, MEDIAN(f, per_s), prefix, MEDIAN(f, p50_us), prefix,
	       MEDIAN(f, p99_us), prefix, MEDIAN(f, client_us), MEDIAN(f, worker_us),
	       MEDIAN(f, server_us));
}

static void
bench_rate(struct world *w, int in_flight, double budget, double seconds)
{
	struct figures ours[BENCH_RUNS], raw[BENCH_RUNS], guarded[BENCH_RUNS];
	double ratios[BENCH_RUNS], guarded_ratios[BENCH_RUNS], added[BENCH_RUNS];

	for (int i = 0; i < BENCH_RUNS; i++) {
		rate(w, &w->plain, in_flight, seconds, &raw[i]);
		rate(w, NULL, in_flight, seconds, &ours[i]);
		rate(w, &w->guarded, in_flight, seconds, &guarded[i]);
		ratios[i] = ours[i].per_s / raw[i].per_s;
		guarded_ratios[i] = ours[i].per_s / guarded[i].per_s;
		added[i] = ours[i].p50_us - raw[i].p50_us;
	}
	printf("{\"bench\":\"dispatch\",\"what\":\"rate\",\"body_bytes\":%d,\"in_flight\":"
	       "%d,\"ratio\":%.2f",
	       BODY_BYTES, in_flight, bench_median(ratios, BENCH_RUNS));
	if (budget > 0)
		printf(",\"ratio_budget\":%.1f", budget);
	printf(",\"guarded_ratio\":%.2f", bench_median(guarded_ratios, BENCH_RUNS));
	if (in_flight == 1)
		printf(",\"added_p50_us\":%.0f,\"added_p50_us_budget\":100",
		       bench_median(added, BENCH_RUNS));
	figures_print("", ours);
	figures_print("raw_", raw);
	figures_print("guarded_", guarded);
	printf("}\n");
	fflush(stdout);
}

/* ---- a large reply beside small ones ---- */

static void
bench_big(struct world *w, double seconds)
{
	double start = bench_now(), p50, p99, took;

	histogram_clear(&w->times);
	w->bigs = 0;
	w->until = start + BENCH_RUNS * seconds;
	w->big = (struct api_query){ .world = w, .is_big = true };
	w->queries[0] = (struct api_query){ .world = w };
	query_ask(&w->big);
	query_ask(&w->queries[0]);
	loop_run(w->loop);
	took = bench_now() - start;
	p50 = histogram_us(&w->times, 0.5) / 1000;
	p99 = histogram_us(&w->times, 0.99) / 1000;
	printf("{\"bench\":\"dispatch\",\"what\":\"big_beside_small\",\"small_p99_ms\":%.2f,"
	       "\"small_p99_ms_budget\":30,\"small_p50_ms\":%.2f,\"small\":%" PRIu64
	       ",\"big_bytes\":%d,\"big\":%d,\"big_mb_per_s\":%.0f}\n",
	       p99, p50, w->times.n, BIG_BYTES, w->bigs,
	       w->bigs * (BIG_BYTES / 1e6) / took);
}

int
main(int argc, char **argv)
{
	struct world *w = &world;
	const char *text = getenv("OCF_BENCH_SECONDS");
	double seconds = text != NULL ? strtod(text, NULL) : 0;
	ssize_t len = readlink("/proc/self/exe", w->worker_path,
			       sizeof(w->worker_path) - 1);

	w->folder = argc > 1 ? argv[1] : NULL;
	bench_must(len > 0 ? 0 : -ENOENT, "/proc/self/exe");
	w->worker_path[len] = '\0';
	snprintf(strrchr(w->worker_path, '/'), 16, "/bench-worker");
	memset(body_bytes, 'b', sizeof(body_bytes));
	if (seconds <= 0)
		seconds = 1;
	w->loop = loop_new();
	raw_open(w, &w->plain, "plain", "");
	raw_open(w, &w->guarded, "guarded", guarded_accounts);
	node_open(w);
	bench_rate(w, 1, 0, seconds);
	bench_rate(w, 64, 0.8, seconds);
	bench_rate(w, 512, 0.7, seconds);
	bench_big(w, seconds);
	world_close(w);
	return 0;
}
