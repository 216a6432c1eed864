/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCF_CLI_NEAREST_H
#define OCF_CLI_NEAREST_H

enum { NEAREST_BYTES_MAX = 64 }; /* longer words have no nearest */

/* How many letters must be inserted, dropped, changed or swapped with their neighbour to
 * make one word of the other (optimal string alignment; Damerau 1964). -1 when a word is
 * longer than NEAREST_BYTES_MAX. */
int nearest_distance(const char *a, const char *b);
/* Is `candidate` so near to `word` that it may be what was meant? At most a third of its
 * letters differ, or it begins with the word. */
int nearest_is_likely(const char *word, const char *candidate);

#endif
