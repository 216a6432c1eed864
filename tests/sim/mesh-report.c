/* SPDX-License-Identifier: Apache-2.0 */
/* Each figure is measured in a world of its own, so that none leans on another. Bytes are
 * those of frames with their headers, before TLS. A figure over its budget is marked. */
#include "config.h"

#include "sim/mesh-report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/mesh-world.h"

enum {
	REPORT_ROWS = 1000, /* of workers, where they are not what is measured */
	REPORT_JOIN_ROWS = 10000,
	REPORT_DEATHS = 10,
	REPORT_UPDATES = 20,
	REPORT_PARTITION_NODES_MAX = 50,
	REPORT_CHURNING = 10,
	REPORT_CLOCKS_MS = 5 * MS_SECOND, /* apart at most, where tables are compared */
};

struct cell {
	char text[40];
	bool is_over;
};

static struct cell cell_of(bool is_over, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static struct cell
cell_of(bool is_over, const char *fmt, ...)
{
	struct cell c = { .is_over = is_over };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c.text, sizeof(c.text), fmt, ap);
	va_end(ap);
	return c;
}

struct report {
	int nodes;
	ms_t span;
	uint64_t seed;
};

static struct world *
report_world(const struct report *r, enum world_net net, int rows)
{
	struct world_options options = { .seed = r->seed,
					 .nodes = r->nodes,
					 .net = net,
					 .begin = BEGIN_FULL,
					 .rows = rows };
	struct world *w = world_calm(&options);

	/* Links that only the beginning needed are gone. */
	world_go_on(w, 3 * MS_MINUTE);
	return w;
}

#define CLASS_BIT(class) (1u << (class))
#define CLASSES_ALL (CLASS_BIT(WIRE_CLASSES) - 1)

/* ---- what is spent ---- */

static void
report_idle(const struct report *r, struct cell *ret)
{
	struct world *w = report_world(r, NET_LAN, REPORT_ROWS);
	struct world_bytes since;
	double rate;

	world_go_on(w, 10 * MS_MINUTE);
	world_bytes(w, -1, &since);
	world_go_on(w, 10 * MS_MINUTE);
	rate = world_rate(w, &since);
	world_free(w);
	*ret = cell_of(rate > 50, "%.1f", rate);
}

/* Of `updates`, one a second, less what the same time costs without them. */
static uint64_t
report_update_bytes(struct world *w)
{
	unsigned classes = CLASSES_ALL & ~CLASS_BIT(WIRE_CLASS_HEARTBEAT);
	struct world_bytes since;
	uint64_t idle, bytes;

	world_rewrite(w, 0, MESH_RECORD_BYTES);
	world_go_on(w, 30 * MS_SECOND);
	world_bytes(w, -1, &since);
	world_go_on(w, (REPORT_UPDATES + 5) * MS_SECOND);
	idle = world_sent(w, &since, classes);
	world_bytes(w, -1, &since);
	for (int i = 0; i < REPORT_UPDATES; i++) {
		world_rewrite(w, 0, MESH_RECORD_BYTES);
		world_go_on(w, MS_SECOND);
	}
	world_go_on(w, 5 * MS_SECOND);
	bytes = world_sent(w, &since, classes);
	return bytes > idle ? bytes - idle : 0;
}

/* Over the encoded row, and over the bare value; what every other node has to get at least. */
static void
report_update(const struct report *r, struct cell ret[2])
{
	struct world *w = report_world(r, NET_LAN, r->nodes);
	double bytes = (double)report_update_bytes(w) / REPORT_UPDATES;
	double least = r->nodes - 1;
	double encoded = bytes / least / (double)world_rewritten_bytes(w, 0);
	double bare = bytes / least / MESH_RECORD_BYTES;

	world_free(w);
	ret[0] = cell_of(encoded > 1.06, "%.3f", encoded);
	ret[1] = cell_of(bare > 1.25, "%.3f", bare);
}

/* A node row anew, without its value: what every other node gets, in frames of rows. */
static void
report_refresh(const struct report *r, struct cell *ret)
{
	struct world *w = report_world(r, NET_LAN, REPORT_ROWS);
	struct world_bytes since;
	double bytes;

	world_bytes(w, -1, &since);
	for (int i = 0; i < REPORT_UPDATES; i++) {
		world_refresh(w, i % r->nodes);
		world_go_on(w, MS_SECOND);
	}
	world_go_on(w, 5 * MS_SECOND);
	bytes = (double)world_sent(w, &since, CLASS_BIT(WIRE_CLASS_ROWS)) /
		REPORT_UPDATES / (r->nodes - 1);
	world_free(w);
	*ret = cell_of(bytes > 1.06 * 120, "%.1f", bytes);
}

static void
report_churn(const struct report *r, struct cell *ret)
{
	struct world *w = report_world(r, NET_LAN, r->nodes);
	int churning = r->nodes < REPORT_CHURNING ? r->nodes : REPORT_CHURNING;
	struct world_bytes since;
	double rate;

	world_bytes(w, -1, &since);
	for (int i = 0; i < 20 * churning; i++) {
		world_rewrite(w, i % churning, MESH_RECORD_BYTES);
		world_go_on(w, 3 * MS_SECOND / churning);
	}
	rate = world_rate(w, &since) / 1000;
	world_free(w);
	*ret = cell_of(rate > 6, "%.2f", rate);
}

static void
report_visible(const struct report *r, struct cell *ret)
{
	struct world *w = report_world(r, NET_LOOPBACK, r->nodes);
	int64_t p99;
	int noted;

	world_measure(w);
	for (int i = 0; i < 200; i++) {
		world_rewrite(w, world_below(w, r->nodes), MESH_RECORD_BYTES);
		world_go_on(w, 100 + world_below(w, 200));
	}
	p99 = world_latency(w, 0.99, &noted);
	world_free(w);
	*ret = noted < 150 ? cell_of(true, "only %d of 200 seen", noted)
			   : cell_of(p99 > 50000, "%.1f", (double)p99 / 1000);
}

/* ---- deaths ---- */

static struct cell
report_death(const struct report *r, bool is_silent, double mean_max, double worst_max)
{
	struct world *w = report_world(r, NET_LAN, r->nodes);
	int seen = 0, missed = 0;
	double sum = 0, worst = 0;

	for (int i = 0; i < REPORT_DEATHS; i++) {
		int victim = world_below(w, r->nodes);
		ms_t from = world_now(w), since;

		world_crash(w, victim, is_silent);
		world_go_on(w, 30 * MS_SECOND);
		since = world_dead_since(w, victim);
		missed += since < 0;
		if (since >= 0) {
			double took = (double)(since - from) / MS_SECOND;

			seen++;
			sum += took;
			worst = took > worst ? took : worst;
		}
		world_start(w, victim);
		world_go_on(w, MS_MINUTE + world_below(w, 10 * MS_SECOND));
	}
	world_free(w);
	if (missed > 0)
		return cell_of(true, "%d of %d seen", seen, REPORT_DEATHS);
	return cell_of(sum / seen > mean_max || worst > worst_max, "%.1f / %.1f",
		       sum / seen, worst);
}

static void
report_silent_death(const struct report *r, struct cell *ret)
{
	*ret = r->nodes < 4 ? report_death(r, true, 20, 20) : report_death(r, true, 5, 6);
}

static void
report_process_death(const struct report *r, struct cell *ret)
{
	*ret = r->nodes < 3 ? report_death(r, false, 20, 20)
			    : report_death(r, false, 3, 3);
}

/* One in 50 is starved; links end. Nobody is dead. */
static void
report_false_deaths(const struct report *r, struct cell *ret)
{
	struct world *w = report_world(r, NET_LAN, r->nodes);
	int before = world_false_deaths(w), deaths;

	world_set_resets(w, 10000);
	for (int i = 0; i < r->nodes; i += 50)
		world_starve(w, i, true);
	world_go_on(w, r->span);
	deaths = world_false_deaths(w) - before;
	world_free(w);
	*ret = cell_of(deaths > 0, "%d in %lld min", deaths,
		       (long long)(r->span / MS_MINUTE));
}

/* ---- tables ---- */

static void
report_join(const struct report *r, struct cell ret[2])
{
	struct world *w = report_world(r, NET_LOOPBACK, REPORT_JOIN_ROWS);
	int joiner = r->nodes - 1;
	struct world_bytes before, after;
	uint64_t received = 0;
	ms_t took;
	double ratio;

	world_crash(w, joiner, false);
	world_lose_disk(w, joiner);
	world_go_on(w, 2 * MS_MINUTE);
	world_bytes(w, joiner, &before);
	world_start(w, joiner);
	took = world_until_rows(w, 5 * MS_MINUTE);
	world_bytes(w, joiner, &after);
	for (int c = 0; c < WIRE_CLASSES; c++)
		received += after.received[c] - before.received[c];
	ratio = (double)received / (double)world_row_bytes(w);
	world_free(w);
	ret[0] = took < 0 ? cell_of(true, "never")
			  : cell_of(took > 3000, "%lld", (long long)took);
	ret[1] = cell_of(ratio > 1.1, "%.3f", ratio);
}

static void
report_sessions(const struct report *r, struct cell *ret)
{
	struct world *w = report_world(r, NET_LAN, 10 * r->nodes);
	struct world_sessions before, after;

	for (int i = 0; i < r->nodes; i++)
		world_set_clock(w, i,
				world_below(w, REPORT_CLOCKS_MS) - REPORT_CLOCKS_MS / 2);
	world_go_on(w, MS_MINUTE);
	world_sessions(w, &before);
	for (ms_t at = 0; at < r->span; at += 20) {
		world_rewrite(w, world_below(w, r->nodes), MESH_RECORD_BYTES);
		world_go_on(w, 20);
	}
	world_sessions(w, &after);
	world_free(w);
	*ret = cell_of(after.needless + after.moved > before.needless + before.moved,
		       "%" PRIu64 " + %" PRIu64 " in %lld min",
		       after.needless - before.needless, after.moved - before.moved,
		       (long long)(r->span / MS_MINUTE));
}

static void
report_partition(const struct report *r, struct cell *ret)
{
	struct world *w;
	ms_t took;

	*ret = cell_of(false, "not run");
	if (r->nodes > REPORT_PARTITION_NODES_MAX)
		return;
	w = report_world(r, NET_LAN, r->nodes);
	world_split(w, (r->nodes + 1) / 2, true);
	for (int hour = 0; hour < 25; hour++) {
		world_go_on(w, MS_HOUR);
		for (int i = 0; i < r->nodes; i++)
			world_rewrite(w, i, MESH_RECORD_BYTES);
	}
	world_split(w, r->nodes, false);
	took = world_until_whole(w, 10 * MS_MINUTE);
	world_free(w);
	*ret = took < 0
		       ? cell_of(true, "not in 10 min")
		       : cell_of(took > 90 * MS_SECOND, "%.0f", (double)took / MS_SECOND);
}

/* ---- the table ---- */

enum line {
	LINE_IDLE,
	LINE_ENCODED,
	LINE_BARE,
	LINE_REFRESH,
	LINE_CHURN,
	LINE_VISIBLE,
	LINE_SILENT,
	LINE_PROCESS,
	LINE_FALSE,
	LINE_JOIN,
	LINE_JOIN_BYTES,
	LINE_SESSIONS,
	LINE_PARTITION,
	LINES,
};

static const char *const line_names[LINES][2] = {
	[LINE_IDLE] = { "idle, in+out, bytes per node and second", "50" },
	[LINE_ENCODED] = { "one update: sent / (N-1) encoded rows", "1.06" },
	[LINE_BARE] = { "one update: sent / (N-1) 715 bytes", "1.25" },
	[LINE_REFRESH] = { "one refresh: bytes of rows / (N-1)", "1.06 x 120" },
	[LINE_CHURN] = { "10 nodes write each 3 s, KB/s per node", "6" },
	[LINE_VISIBLE] = { "row visible on all, p99, ms", "50" },
	[LINE_SILENT] = { "silent host dead everywhere, s mean / max", "5 / 6" },
	[LINE_PROCESS] = { "dead process, the same", "3" },
	[LINE_FALSE] = { "false deaths, 1 % resets, starved observers", "0" },
	[LINE_JOIN] = { "join of 10,000 rows to equal roots, ms", "3000" },
	[LINE_JOIN_BYTES] = { "the same: received / bytes of the rows", "1.1" },
	[LINE_SESSIONS] = { "needless sessions at 50 writes/s", "0" },
	[LINE_PARTITION] = { "25 h partition whole after, s", "60 + repair" },
};

/* What each fills are the lines from `line` on. */
static const struct measure {
	const char *name;
	enum line line;
	void (*fn)(const struct report *r, struct cell *ret_cells);
} measures[] = {
	{ "idle", LINE_IDLE, report_idle },
	{ "update", LINE_ENCODED, report_update },
	{ "refresh", LINE_REFRESH, report_refresh },
	{ "churn", LINE_CHURN, report_churn },
	{ "visible", LINE_VISIBLE, report_visible },
	{ "silent", LINE_SILENT, report_silent_death },
	{ "process", LINE_PROCESS, report_process_death },
	{ "false-deaths", LINE_FALSE, report_false_deaths },
	{ "join", LINE_JOIN, report_join },
	{ "sessions", LINE_SESSIONS, report_sessions },
	{ "partition", LINE_PARTITION, report_partition },
};
enum { MEASURES = sizeof(measures) / sizeof(measures[0]) };

const char *
report_measure_name(int measure)
{
	return measure < MEASURES ? measures[measure].name : NULL;
}

static void
report_measure(const struct report *r, unsigned which, struct cell cells[LINES])
{
	for (int i = 0; i < MEASURES; i++)
		if (which & (1u << i))
			measures[i].fn(r, &cells[measures[i].line]);
}

static void
report_print_line(enum line line, const struct cell (*cells)[LINES], int len)
{
	if (cells[0][line].text[0] == '\0')
		return;
	printf("%-44s %-12s", line_names[line][0], line_names[line][1]);
	for (int i = 0; i < len; i++)
		printf(" %19s%s", cells[i][line].text,
		       cells[i][line].is_over ? "*" : " ");
	printf("\n");
}

void
report_print(const int *sizes, int len, unsigned which, ms_t span, uint64_t seed)
{
	struct cell(*cells)[LINES] = calloc((size_t)len, sizeof(*cells));

	for (int i = 0; i < len; i++) {
		struct report r = { .nodes = sizes[i], .span = span, .seed = seed };

		fprintf(stderr, "measuring %d nodes\n", sizes[i]);
		report_measure(&r, which, cells[i]);
	}
	printf("%-44s %-12s", "quantity (over its budget: *)", "budget");
	for (int i = 0; i < len; i++)
		printf(" %16s%-4d", "N = ", sizes[i]);
	printf("\n");
	for (int line = 0; line < LINES; line++)
		report_print_line((enum line)line, cells, len);
	free(cells);
}
