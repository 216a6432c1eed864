/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bench/histogram.h"

#include <stddef.h>
#include <string.h>

void
histogram_clear(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

void
histogram_add(struct histogram *h, double seconds)
{
	double us = seconds * 1e6;
	size_t i = us < HISTOGRAM_FINE_US
			   ? (size_t)us
			   : HISTOGRAM_FINE_US + (size_t)(us - HISTOGRAM_FINE_US) /
							 HISTOGRAM_COARSE_US;

	h->counts[i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1]++;
	h->n++;
}

double
histogram_us(const struct histogram *h, double share)
{
	uint64_t want = (uint64_t)(share * (double)h->n), seen = 0;
	size_t i = 0;

	while (i < HISTOGRAM_BUCKETS - 1 && (seen += h->counts[i]) <= want)
		i++;
	return i < HISTOGRAM_FINE_US
		       ? (double)i
		       : HISTOGRAM_FINE_US +
				 (double)(i - HISTOGRAM_FINE_US) * HISTOGRAM_COARSE_US;
}
