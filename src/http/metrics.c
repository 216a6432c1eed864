/* SPDX-License-Identifier: Apache-2.0 */
/* Families in a list, each with its series in a list, and one hash over name and
 * labels. */
#include "config.h"

#include "http/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* uthash's own falls through switch labels, which clang warns of. */
#define HASH_FUNCTION(key, len, value)                                                   \
	((value) = (unsigned)hash64(bytes_of((key), (len)), 0))
#include <uthash.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_histogram {
	int bounds_len;
	double bounds[METRICS_BOUNDS_MAX];
	uint64_t buckets[METRICS_BOUNDS_MAX + 1]; /* not summed up; the last is +Inf */
	uint64_t count;
	double sum;
};

struct series {
	char *key; /* name, '{', labels */
	char *labels;
	uint64_t counter;
	double gauge;
	struct metric_histogram histogram;
	double (*read)(void *arg);
	void *arg;
	struct series *next;
	UT_hash_handle hh;
};

struct family {
	char *name;
	char *help;
	enum metric_kind kind;
	struct series *series, *last; /* `last` saves a walk at each addition */
	struct family *next;
};

struct metrics {
	struct family *families, *last;
	struct series *by_key;
	int len;
	struct series sink; /* takes what is beyond METRICS_SERIES_MAX */
};

static const double metrics_seconds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
					  0.1,	 0.25,	 0.5,	1,    2.5,   5,
					  10,	 30,	 60,	120,  300,   600 };

struct metrics *
metrics_new(void)
{
	return mem_calloc(1, sizeof(struct metrics));
}

void
metrics_free(struct metrics *m)
{
	struct family *f, *f_next;
	struct series *s, *s_next;

	if (m == NULL)
		return;
	HASH_CLEAR(hh, m->by_key);
	for (f = m->families; f != NULL; f = f_next) {
		f_next = f->next;
		for (s = f->series; s != NULL; s = s_next) {
			s_next = s->next;
			free(s->key);
			free(s->labels);
			free(s);
		}
		free(f->name);
		free(f->help);
		free(f);
	}
	free(m);
}

static struct family *
metrics_family(struct metrics *m, const char *name, const char *help,
	       enum metric_kind kind)
{
	struct family *f;

	for (f = m->families; f != NULL; f = f->next)
		if (strcmp(f->name, name) == 0) {
			assert(f->kind == kind);
			return f;
		}
	f = mem_calloc(1, sizeof(*f));
	f->name = mem_strdup(name);
	f->help = mem_strdup(help);
	f->kind = kind;
	if (m->last != NULL)
		m->last->next = f;
	else
		m->families = f;
	m->last = f;
	return f;
}

static struct series *
metrics_series(struct metrics *m, const char *name, const char *help, const char *labels,
	       enum metric_kind kind)
{
	char *key = mem_printf("%s{%s", name, labels != NULL ? labels : "");
	struct series *s;
	struct family *f;

	HASH_FIND_STR(m->by_key, key, s);
	if (s != NULL || m->len == METRICS_SERIES_MAX) {
		free(key);
		return s != NULL ? s : &m->sink;
	}
	f = metrics_family(m, name, help, kind);
	s = mem_calloc(1, sizeof(*s));
	s->key = key;
	s->labels = mem_strdup(labels != NULL ? labels : "");
	HASH_ADD_KEYPTR(hh, m->by_key, s->key, strlen(s->key), s);
	if (f->last != NULL)
		f->last->next = s;
	else
		f->series = s;
	f->last = s;
	m->len++;
	return s;
}

uint64_t *
metrics_counter(struct metrics *m, const char *name, const char *help, const char *labels)
{
	return &metrics_series(m, name, help, labels, METRIC_COUNTER)->counter;
}

double *
metrics_gauge(struct metrics *m, const char *name, const char *help, const char *labels)
{
	return &metrics_series(m, name, help, labels, METRIC_GAUGE)->gauge;
}

void
metrics_counter_read(struct metrics *m, const char *name, const char *help,
		     const char *labels, double (*read)(void *arg), void *arg)
{
	struct series *s = metrics_series(m, name, help, labels, METRIC_COUNTER);

	s->read = read;
	s->arg = arg;
}

void
metrics_gauge_read(struct metrics *m, const char *name, const char *help,
		   const char *labels, double (*read)(void *arg), void *arg)
{
	struct series *s = metrics_series(m, name, help, labels, METRIC_GAUGE);

	s->read = read;
	s->arg = arg;
}

struct metric_histogram *
metrics_histogram(struct metrics *m, const char *name, const char *help,
		  const char *labels, const double *bounds, int n)
{
	struct series *s = metrics_series(m, name, help, labels, METRIC_HISTOGRAM);
	struct metric_histogram *h = &s->histogram;

	if (bounds == NULL) {
		bounds = metrics_seconds;
		n = (int)(sizeof(metrics_seconds) / sizeof(metrics_seconds[0]));
	}
	assert(n > 0 && n <= METRICS_BOUNDS_MAX);
	if (h->bounds_len == 0) {
		memcpy(h->bounds, bounds, (size_t)n * sizeof(*bounds));
		h->bounds_len = n;
	}
	return h;
}

void
metric_observe(struct metric_histogram *h, double value)
{
	int i = 0;

	while (i < h->bounds_len && value > h->bounds[i])
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum += value;
}

/* The format's escapes: backslash, line end, and within labels the quote. */
static void
metrics_put_escaped(struct buf *out, const char *text, bool is_label)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			buf_put_text(out, "\\n");
		else if (*text == '\\' || (is_label && *text == '"'))
			buf_printf(out, "\\%c", *text);
		else
			buf_put_u8(out, (uint8_t)*text);
	}
}

char *
metrics_labels(const char *name, ...)
{
	struct buf out = BUF_INIT;
	const char *text = name;
	va_list ap;

	va_start(ap, name);
	while (text != NULL) {
		const char *value = va_arg(ap, const char *);

		buf_printf(&out, "%s%s=\"", out.len > 0 ? "," : "", text);
		metrics_put_escaped(&out, value, true);
		buf_put_u8(&out, '"');
		text = va_arg(ap, const char *);
	}
	va_end(ap);
	buf_text(&out);
	return (char *)out.data;
}

static void
metrics_put_number(struct buf *out, double value)
{
	if (isnan(value))
		buf_put_text(out, "NaN\n");
	else if (isinf(value))
		buf_put_text(out, value > 0 ? "+Inf\n" : "-Inf\n");
	else
		buf_printf(out, "%.17g\n", value);
}

/* NAME SUFFIX {labels,extra} and a blank. */
static void
metrics_put_name(struct buf *out, const struct family *f, const char *suffix,
		 const char *labels, const char *extra)
{
	const char *comma = labels[0] != '\0' && extra[0] != '\0' ? "," : "";

	buf_printf(out, "%s%s", f->name, suffix);
	if (labels[0] != '\0' || extra[0] != '\0')
		buf_printf(out, "{%s%s%s}", labels, comma, extra);
	buf_put_u8(out, ' ');
}

static void
metrics_put_histogram(struct buf *out, const struct family *f, const struct series *s)
{
	const struct metric_histogram *h = &s->histogram;
	uint64_t sum = 0;
	char extra[64];

	for (int i = 0; i <= h->bounds_len; i++) {
		sum += h->buckets[i];
		if (i < h->bounds_len)
			snprintf(extra, sizeof(extra), "le=\"%.15g\"", h->bounds[i]);
		else
			snprintf(extra, sizeof(extra), "le=\"+Inf\"");
		metrics_put_name(out, f, "_bucket", s->labels, extra);
		buf_printf(out, "%llu\n", (unsigned long long)sum);
	}
	metrics_put_name(out, f, "_sum", s->labels, "");
	metrics_put_number(out, h->sum);
	metrics_put_name(out, f, "_count", s->labels, "");
	buf_printf(out, "%llu\n", (unsigned long long)h->count);
}

void
metrics_write(const struct metrics *m, struct buf *out)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };

	for (const struct family *f = m->families; f != NULL; f = f->next) {
		buf_printf(out, "# HELP %s ", f->name);
		metrics_put_escaped(out, f->help, false);
		buf_printf(out, "\n# TYPE %s %s\n", f->name, kinds[f->kind]);
		for (const struct series *s = f->series; s != NULL; s = s->next) {
			if (f->kind == METRIC_HISTOGRAM) {
				metrics_put_histogram(out, f, s);
				continue;
			}
			metrics_put_name(out, f, "", s->labels, "");
			if (s->read != NULL)
				metrics_put_number(out, s->read(s->arg));
			else if (f->kind == METRIC_GAUGE)
				metrics_put_number(out, s->gauge);
			else
				buf_printf(out, "%llu\n", (unsigned long long)s->counter);
		}
	}
}
