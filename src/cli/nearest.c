/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/nearest.h"

#include <string.h>

static int
min_of(int a, int b)
{
	return a < b ? a : b;
}

int
nearest_distance(const char *a, const char *b)
{
	int rows[3][NEAREST_BYTES_MAX + 1];
	int *older = rows[0], *old = rows[1], *new = rows[2];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > NEAREST_BYTES_MAX || b_len > NEAREST_BYTES_MAX)
		return -1;
	for (size_t k = 0; k <= b_len; k++)
		old[k] = (int)k;
	for (size_t i = 1; i <= a_len; i++) {
		int *spare = older;

		new[0] = (int)i;
		for (size_t k = 1; k <= b_len; k++) {
			int change = a[i - 1] != b[k - 1];

			new[k] = min_of(min_of(new[k - 1] + 1, old[k] + 1),
					old[k - 1] + change);
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
			    a[i - 2] == b[k - 1])
				new[k] = min_of(new[k], older[k - 2] + 1);
		}
		older = old;
		old = new;
		new = spare;
	}
	return old[b_len];
}

int
nearest_is_likely(const char *word, const char *candidate)
{
	size_t len = strlen(word);
	int distance = nearest_distance(word, candidate);

	if (len == 0 || distance < 0)
		return 0;
	if (len >= 2 && strncmp(word, candidate, len) == 0)
		return 1;
	return distance <= ((int)strlen(candidate) + 2) / 3;
}
