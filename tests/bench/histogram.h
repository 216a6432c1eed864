/* SPDX-License-Identifier: Apache-2.0 */
/* Times of many requests, for their percentiles. */
#ifndef OCF_TESTS_HISTOGRAM_H
#define OCF_TESTS_HISTOGRAM_H

#include <stdint.h>

enum {
	/* Microseconds one by one, then tenths of milliseconds; the last holds all above. */
	HISTOGRAM_FINE_US = 20000,
	HISTOGRAM_COARSE_US = 100,
	HISTOGRAM_BUCKETS = HISTOGRAM_FINE_US + 50000,
};

struct histogram {
	uint64_t n, counts[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, double seconds);
/* Below which this share (0 … 1) of them lies. */
double histogram_us(const struct histogram *h, double share);

#endif
