/* SPDX-License-Identifier: Apache-2.0 */
/* sim: one history of a simulated cluster, or the table of what a cluster costs. A history is
 * repeated exactly by its options: the hash that is printed is the same, or something depends
 * on what it must not. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "sim/mesh-report.h"
#include "sim/mesh-world.h"

enum { MAIN_MINUTES_MAX = 100 * 24 * 60, MAIN_ROWS_MAX = 1000000 };

static const char usage[] =
	"usage: sim [OPTION...]\n"
	"\n"
	"One history: nodes that begin with some of each other's rows, write and meet faults\n"
	"for some minutes, and must be whole again afterwards.\n"
	"  --seed S       of all that is random (1)\n"
	"  --nodes N      (10)\n"
	"  --hidden H     of them take no links (0)\n"
	"  --rows R       rows of workers at the beginning (0)\n"
	"  --minutes M    of faults and writes (5)\n"
	"  --faults LIST  what may go wrong, with commas between: all (the default), none, or\n"
	"                 some of the names below; half of them, drawn, are on in one run\n"
	"  --net NET      any (delays up to one drawn, the default), loopback, lan, wan\n"
	"  --idle B       when all is whole again so many bytes a second may go in and out of a\n"
	"                 node (not looked at)\n"
	"  --trace        print what happens\n"
	"  --twice        run it twice and compare\n"
	"\n"
	"Or what it costs, beside what it may cost:\n"
	"  --report N,N…  for clusters of so many nodes\n"
	"  --minutes M    of the long measurements (10)\n"
	"  --only LIST    all (the default), or some of these, with commas between:";

static int
main_usage(FILE *out)
{
	fputs(usage, out);
	for (int i = 0; report_measure_name(i) != NULL; i++)
		fprintf(out, "%s%s", i % 6 == 0 ? "\n                 " : " ",
			report_measure_name(i));
	fputs("\n\nFaults:", out);
	for (int i = 0; i < WORLD_FAULTS; i++)
		fprintf(out, "%s%s", i % 8 == 0 ? "\n  " : " ", world_fault_names[i]);
	fputs("\n", out);
	return out == stdout ? 0 : 2;
}

/* False, and says so, when it is no number from `min` to `max`. */
static bool
main_number(const char *option, const char *text, long long min, long long max,
	    long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *ret >= min && *ret <= max)
		return true;
	fprintf(stderr, "sim: --%s takes a number from %lld to %lld, not \"%s\"\n",
		option, min, max, text);
	return false;
}

static const char *
main_fault_name(int fault)
{
	return fault < WORLD_FAULTS ? world_fault_names[fault] : NULL;
}

/* The bits of those names that stand in the list; false, and says so, when one is of nothing.
 * `name`: of each bit, NULL behind the last. */
static bool
main_list(const char *what, const char *list, const char *name(int bit), unsigned *ret)
{
	unsigned bits = 0;

	for (const char *at = list;; at++) {
		size_t len = strcspn(at, ",");
		int bit = 0;

		while (name(bit) != NULL &&
		       (strlen(name(bit)) != len || memcmp(name(bit), at, len) != 0))
			bit++;
		if (name(bit) == NULL) {
			fprintf(stderr, "sim: no %s is called \"%.*s\"; see sim --help\n",
				what, (int)len, at);
			return false;
		}
		bits |= 1u << bit;
		at += len;
		if (*at == '\0')
			break;
	}
	*ret = bits;
	return true;
}

static bool
main_faults(const char *list, unsigned *ret_faults)
{
	*ret_faults = strcmp(list, "all") == 0 ? FAULTS_ALL : 0;
	if (strcmp(list, "all") == 0 || strcmp(list, "none") == 0)
		return true;
	return main_list("fault", list, main_fault_name, ret_faults);
}

static bool
main_only(const char *list, unsigned *ret_measures)
{
	*ret_measures = UINT_MAX;
	return strcmp(list, "all") == 0 ||
	       main_list("measurement", list, report_measure_name, ret_measures);
}

static bool
main_net(const char *name, enum world_net *ret_net)
{
	for (int i = 0; i <= NET_WAN; i++)
		if (strcmp(world_net_names[i], name) == 0) {
			*ret_net = (enum world_net)i;
			return true;
		}
	fprintf(stderr, "sim: --net is any, loopback, lan or wan, not \"%s\"\n", name);
	return false;
}

/* ---- runs ---- */

static void
main_print(const struct world_options *options, const struct world_result *r, ms_t took)
{
	struct rusage usage_now = { .ru_maxrss = 0 };

	getrusage(RUSAGE_SELF, &usage_now);
	printf("seed %llu, %d nodes; faults:", (unsigned long long)options->seed,
	       options->nodes);
	for (int i = 0; i < WORLD_FAULTS; i++)
		if (r->faults & FAULT_BIT(i))
			printf(" %s", world_fault_names[i]);
	printf("%s\n", r->faults == 0 ? " none" : "");
	printf("%llu events in %lld.%03lld s, %lld a second; %ld MiB\n",
	       (unsigned long long)r->events, (long long)(took / MS_SECOND),
	       (long long)(took % MS_SECOND),
	       (long long)r->events * MS_SECOND / (took > 0 ? took : 1),
	       usage_now.ru_maxrss / 1024);
	if (r->healed_ms >= 0)
		printf("whole %lld ms after the last fault\n", (long long)r->healed_ms);
	if (options->idle_max > 0)
		printf("idle, %.1f bytes a second in and out of a node\n", r->idle);
	printf("trace %016llx, %d failures\n", (unsigned long long)r->trace, r->failures);
}

static int
main_history(const struct world_options *options, ms_t span, bool is_twice)
{
	struct world_result first, second;
	ms_t since = clock_mono_ms();

	world_run(options, span, &first);
	main_print(options, &first, clock_mono_ms() - since);
	if (is_twice) {
		world_run(options, span, &second);
		if (second.trace != first.trace) {
			printf("the second time the trace is %016llx\n",
			       (unsigned long long)second.trace);
			return 1;
		}
		printf("the second time it was the same\n");
	}
	return first.failures > 0;
}

static int
main_report(const char *list, unsigned only, ms_t span, uint64_t seed)
{
	int sizes[16], len = 0;

	for (const char *at = list;; at++) {
		char text[16];
		size_t n = strcspn(at, ",");
		long long nodes;

		snprintf(text, sizeof(text), "%.*s", (int)n, at);
		if (!main_number("report", text, 2, MESH_WORLD_NODES_MAX, &nodes))
			return 2;
		if (len == (int)(sizeof(sizes) / sizeof(sizes[0]))) {
			fprintf(stderr, "sim: --report takes at most 16 sizes\n");
			return 2;
		}
		sizes[len++] = (int)nodes;
		at += n;
		if (*at == '\0')
			break;
	}
	report_print(sizes, len, only, span, seed);
	return 0;
}

enum main_option {
	OPTION_SEED = 256,
	OPTION_NODES,
	OPTION_HIDDEN,
	OPTION_ROWS,
	OPTION_MINUTES,
	OPTION_FAULTS,
	OPTION_NET,
	OPTION_IDLE,
	OPTION_TRACE,
	OPTION_TWICE,
	OPTION_REPORT,
	OPTION_ONLY,
	OPTION_HELP,
};

struct main_options {
	struct world_options world;
	long long minutes;
	const char *report;
	unsigned only; /* a bit for each measurement */
	bool is_twice, is_help;
};

static bool
main_option(int option, struct main_options *o)
{
	long long number;

	switch (option) {
	case OPTION_SEED:
		o->world.seed = strtoull(optarg, NULL, 10);
		return main_number("seed", optarg, 0, INT64_MAX, &number);
	case OPTION_NODES:
		if (!main_number("nodes", optarg, 1, MESH_WORLD_NODES_MAX, &number))
			return false;
		o->world.nodes = (int)number;
		return true;
	case OPTION_HIDDEN:
		if (!main_number("hidden", optarg, 0, MESH_WORLD_NODES_MAX - 1, &number))
			return false;
		o->world.hidden = (int)number;
		return true;
	case OPTION_ROWS:
		if (!main_number("rows", optarg, 0, MAIN_ROWS_MAX, &number))
			return false;
		o->world.rows = (int)number;
		return true;
	case OPTION_MINUTES:
		return main_number("minutes", optarg, 0, MAIN_MINUTES_MAX, &o->minutes);
	case OPTION_FAULTS:
		return main_faults(optarg, &o->world.faults);
	case OPTION_NET:
		return main_net(optarg, &o->world.net);
	case OPTION_IDLE:
		if (!main_number("idle", optarg, 1, 1000000, &number))
			return false;
		o->world.idle_max = (double)number;
		return true;
	case OPTION_TRACE:
		return o->world.is_traced = true;
	case OPTION_TWICE:
		return o->is_twice = true;
	case OPTION_REPORT:
		o->report = optarg;
		return true;
	case OPTION_ONLY:
		return main_only(optarg, &o->only);
	case OPTION_HELP:
		return o->is_help = true;
	default:
		return false;
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, OPTION_SEED },
		{ "nodes", required_argument, NULL, OPTION_NODES },
		{ "hidden", required_argument, NULL, OPTION_HIDDEN },
		{ "rows", required_argument, NULL, OPTION_ROWS },
		{ "minutes", required_argument, NULL, OPTION_MINUTES },
		{ "faults", required_argument, NULL, OPTION_FAULTS },
		{ "net", required_argument, NULL, OPTION_NET },
		{ "idle", required_argument, NULL, OPTION_IDLE },
		{ "trace", no_argument, NULL, OPTION_TRACE },
		{ "twice", no_argument, NULL, OPTION_TWICE },
		{ "report", required_argument, NULL, OPTION_REPORT },
		{ "only", required_argument, NULL, OPTION_ONLY },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ NULL, 0, NULL, 0 },
	};
	struct main_options o = {
		.world = { .seed = 1, .nodes = 10, .faults = FAULTS_ALL },
		.minutes = -1,
		.only = UINT_MAX,
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!main_option(option, &o))
			return option == '?' ? main_usage(stderr) : 2;
	if (o.is_help || optind < argc)
		return main_usage(o.is_help ? stdout : stderr);
	if (o.world.hidden >= o.world.nodes) {
		fprintf(stderr, "sim: of %d nodes at most %d can be hidden\n",
			o.world.nodes, o.world.nodes - 1);
		return 2;
	}
	if (o.report != NULL)
		return main_report(o.report, o.only,
				   (o.minutes < 0 ? 10 : o.minutes) * MS_MINUTE,
				   o.world.seed);
	return main_history(&o.world, (o.minutes < 0 ? 5 : o.minutes) * MS_MINUTE,
			    o.is_twice);
}
