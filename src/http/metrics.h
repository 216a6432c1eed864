/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics in Prometheus' text format (version 0.0.4). A metric is a name (`ocf_…`, base
 * units, counters end in `_total`), a sentence of help, and labels: text such as
 * `class="hello"` (made safely by metrics_labels()), or NULL. Asking twice for the same
 * name and labels gives the same metric. A metric lives as long as the registry; the
 * number of them is bounded, and beyond the bound one shared metric, which is not shown,
 * takes the counts, so that no caller has to care. Not thread-safe: all on the loop's
 * thread. */
#ifndef OCF_HTTP_METRICS_H
#define OCF_HTTP_METRICS_H

#include <stdint.h>

#include "base/bytes.h"

enum {
	METRICS_SERIES_MAX = 10000, /* name and labels; about 1 MB of text */
	METRICS_BOUNDS_MAX = 24,    /* of a histogram */
};

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics;
struct metric_histogram;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m); /* NULL is allowed */

/* What the pointer shows is increased by its user: `(*counter)++`. */
uint64_t *metrics_counter(struct metrics *m, const char *name, const char *help,
			  const char *labels);
/* A gauge that is set by its user. */
double *metrics_gauge(struct metrics *m, const char *name, const char *help,
		      const char *labels);
/* Read when written: a counter or gauge whose number lives elsewhere. */
void metrics_counter_read(struct metrics *m, const char *name, const char *help,
			  const char *labels, double (*read)(void *arg), void *arg);
void metrics_gauge_read(struct metrics *m, const char *name, const char *help,
			const char *labels, double (*read)(void *arg), void *arg);
/* `bounds`: `n` upper bounds, rising; NULL takes 1 ms … 600 s, for seconds. */
struct metric_histogram *metrics_histogram(struct metrics *m, const char *name,
					   const char *help, const char *labels,
					   const double *bounds, int n);
void metric_observe(struct metric_histogram *h, double value);

/* `class="hello",route="/x"` of names and values in turn, ended by (char *)NULL; values are
 * escaped. free(3) it. */
char *metrics_labels(const char *name, ...) __attribute__((sentinel));
/* Everything, families in the order of their making. */
void metrics_write(const struct metrics *m, struct buf *out);

#endif
