/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a word that has a checksum which does not fit: one altered character,
 * two that changed places, one too many, one that is missing. Each word that is one such
 * error away is tried, which a checksum of 32 bits tells from the right one but for one case
 * in some hundred thousand. Pure; safe from any thread. */
#ifndef OCF_IDENT_TYPO_H
#define OCF_IDENT_TYPO_H

#include <stdbool.h>

#include "base/bytes.h"

enum {
	/* Longer words are not tried: it takes the square of their length. A token with two
	 * addresses has about 150. */
	TYPO_LETTERS_MAX = 800,
};

enum typo_kind {
	TYPO_NONE, /* or more than one */
	TYPO_ALTERED,
	TYPO_SWAPPED, /* with the next */
	TYPO_EXTRA,
	TYPO_MISSING, /* in front of it */
};

struct typo {
	enum typo_kind kind;
	size_t at;   /* in the word, from 0 */
	char is;     /* what stands there; but for MISSING */
	char should; /* what should; for ALTERED and MISSING */
};

/* `letters`: all there are. */
struct typo typo_find(struct bytes word, const char *letters,
		      bool (*fits)(struct bytes word));

#endif
