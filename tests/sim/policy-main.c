/* SPDX-License-Identifier: Apache-2.0 */
/* Prints how long queries take under each policy, at each load or under each stress. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/policy-plot.h"
#include "sim/policy-world.h"

enum { LOADS_MAX = PLOT_LOADS_MAX, SEEDS_MAX = 100, SECONDS_MAX = 3600 };

struct options {
	uint64_t seed;
	int seeds, seconds;
	double loads[LOADS_MAX];
	int loads_len;
	const char *kinds, *stress, *plot;
};

static int
usage(FILE *out)
{
	fputs("Usage: policy [--seed N] [--seeds N] [--seconds N] [--loads 0.5,0.7]\n"
	      "              [--policies best,prequal] [--stress all|calm,stale,...]\n"
	      "              [--plot FILE.svg]\n"
	      "Mean and 99th percentile of the milliseconds that queries take.\n",
	      out);
	return out == stdout ? 0 : 2;
}

/* Is `name` in the list? All are in no list. */
static bool
is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	if (list == NULL)
		return true;
	for (const char *at = list; (at = strstr(at, name)) != NULL; at += len)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

static void
measure(const struct options *o, const struct policy_kind *kind, double load,
	enum policy_stress stress, struct policy_result *sum)
{
	*sum = (struct policy_result){ 0 };
	for (int i = 0; i < o->seeds; i++) {
		struct policy_setup setup = { .kind = kind,
					      .seed = o->seed + (uint64_t)i,
					      .load = load,
					      .stress = stress,
					      .warm_ms = 10 * MS_SECOND,
					      .span_ms = o->seconds * MS_SECOND };
		struct policy_result r;

		policy_run(&setup, &r);
		sum->queries += r.queries;
		sum->lost += r.lost;
		sum->mean_ms += r.mean_ms / o->seeds;
		sum->p50_ms += r.p50_ms / o->seeds;
		sum->p99_ms += r.p99_ms / o->seeds;
		sum->frames += r.frames / o->seeds;
		sum->moved += r.moved / o->seeds;
	}
}

static void
print_cell(const struct policy_result *r)
{
	char text[64];

	snprintf(text, sizeof(text), "%.0f/%.0f", r->mean_ms, r->p99_ms);
	printf(" %15s", text);
	if (r->lost > 0)
		printf(" (%d lost)", r->lost);
	fflush(stdout);
}

static void
print_loads(const struct options *o, struct plot *plot)
{
	struct policy_result r = { 0 };

	printf("%-16s", "load");
	for (int i = 0; i < o->loads_len; i++)
		printf(" %15.2f", o->loads[i]);
	printf("   frames of load, moves for each query\n");
	for (const struct policy_kind *k = policy_kinds; k->name != NULL; k++) {
		if (!is_listed(o->kinds, k->name))
			continue;
		printf("%-16s", k->name);
		plot->lines[plot->lines_len].name = k->name;
		for (int i = 0; i < o->loads_len; i++) {
			measure(o, k, o->loads[i], POLICY_CALM, &r);
			print_cell(&r);
			plot->loads[i] = o->loads[i];
			plot->lines[plot->lines_len].p99_ms[i] = r.p99_ms;
		}
		plot->lines_len++;
		printf("   %.2f %.3f\n", r.frames, r.moved);
	}
}

/* What is left of the nodes is to be enough. */
static double
stress_load(enum policy_stress s)
{
	if (s == POLICY_STALLS)
		return 0.5;
	return s == POLICY_SLOWED || s == POLICY_CHURN ? 0.7 : 0.85;
}

static void
print_stresses(const struct options *o)
{
	struct policy_result r;

	printf("%-16s", "stress");
	for (enum policy_stress s = POLICY_CALM; s < POLICY_STRESSES; s++)
		if (is_listed(o->stress, policy_stress_name(s)))
			printf(" %15s", policy_stress_name(s));
	printf("\n");
	for (const struct policy_kind *k = policy_kinds; k->name != NULL; k++) {
		if (!is_listed(o->kinds, k->name))
			continue;
		printf("%-16s", k->name);
		for (enum policy_stress s = POLICY_CALM; s < POLICY_STRESSES; s++) {
			if (!is_listed(o->stress, policy_stress_name(s)))
				continue;
			measure(o, k, stress_load(s), s, &r);
			print_cell(&r);
		}
		printf("\n");
	}
}

static bool
read_int(const char *text, long max, int *ret)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*end != '\0' || v < 1 || v > max) {
		fprintf(stderr, "policy: \"%s\" is no number from 1 to %ld\n", text, max);
		return false;
	}
	*ret = (int)v;
	return true;
}

static bool
read_loads(const char *text, struct options *o)
{
	o->loads_len = 0;
	while (*text != '\0') {
		char *end;
		double v = strtod(text, &end);

		if (end == text || (*end != ',' && *end != '\0') || v <= 0 || v >= 1 ||
		    o->loads_len == LOADS_MAX) {
			fprintf(stderr, "policy: \"%s\" are not up to %d loads below 1\n",
				text, LOADS_MAX);
			return false;
		}
		o->loads[o->loads_len++] = v;
		text = *end == ',' ? end + 1 : end;
	}
	return o->loads_len > 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 't' },
		{ "loads", required_argument, NULL, 'l' },
		{ "policies", required_argument, NULL, 'p' },
		{ "stress", required_argument, NULL, 'x' },
		{ "plot", required_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .seed = 1,
			     .seeds = 3,
			     .seconds = 30,
			     .loads = { 0.5, 0.7, 0.85, 0.95 },
			     .loads_len = 4 };
	struct plot plot = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool is_good = true;

		if (option == 's')
			o.seed = strtoull(optarg, NULL, 10);
		else if (option == 'n')
			is_good = read_int(optarg, SEEDS_MAX, &o.seeds);
		else if (option == 't')
			is_good = read_int(optarg, SECONDS_MAX, &o.seconds);
		else if (option == 'l')
			is_good = read_loads(optarg, &o);
		else if (option == 'p')
			o.kinds = optarg;
		else if (option == 'g')
			o.plot = optarg;
		else if (option == 'x')
			o.stress = strcmp(optarg, "all") == 0 ? "" : optarg;
		else
			return usage(option == 'h' ? stdout : stderr);
		if (!is_good)
			return 2;
	}
	printf("%d nodes, seeds %llu to %llu, %d s each; mean/p99 in ms\n", POLICY_NODES,
	       (unsigned long long)o.seed,
	       (unsigned long long)o.seed + (unsigned)o.seeds - 1, o.seconds);
	if (o.stress != NULL) {
		if (*o.stress == '\0')
			o.stress = NULL;
		print_stresses(&o);
	} else {
		plot.loads_len = o.loads_len;
		print_loads(&o, &plot);
		if (o.plot != NULL && plot_write(&plot, o.plot) != 0) {
			fprintf(stderr, "policy: %s: %s\n", o.plot, strerror(errno));
			return 1;
		}
	}
	return 0;
}
