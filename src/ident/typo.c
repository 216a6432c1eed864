/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/typo.h"

#include <string.h>

#include "ident/sha256.h"

/* The word that is tried, and how many letters it has. */
struct attempt {
	uint8_t letters[TYPO_LETTERS_MAX + 1];
	size_t len;
	bool (*fits)(struct bytes word);
};

static bool
attempt_fits(const struct attempt *a)
{
	return a->fits(bytes_of(a->letters, a->len));
}

static void
attempt_swap(struct attempt *a, size_t at)
{
	uint8_t letter = a->letters[at];

	a->letters[at] = a->letters[at + 1];
	a->letters[at + 1] = letter;
}

static uint8_t
attempt_take(struct attempt *a, size_t at)
{
	uint8_t letter = a->letters[at];

	for (size_t i = at + 1; i < a->len; i++)
		a->letters[i - 1] = a->letters[i];
	a->len--;
	return letter;
}

static void
attempt_put(struct attempt *a, size_t at, uint8_t letter)
{
	for (size_t i = a->len++; i > at; i--)
		a->letters[i] = a->letters[i - 1];
	a->letters[at] = letter;
}

static bool
typo_find_swap(struct attempt *a, struct typo *ret_typo)
{
	for (size_t at = 0; at + 1 < a->len; at++) {
		bool is_it;

		if (a->letters[at] == a->letters[at + 1])
			continue;
		attempt_swap(a, at);
		is_it = attempt_fits(a);
		attempt_swap(a, at);
		if (!is_it)
			continue;
		*ret_typo = (struct typo){ TYPO_SWAPPED, at, (char)a->letters[at], 0 };
		return true;
	}
	return false;
}

/* Does some letter at this place make it right? */
static char
typo_try_letters(struct attempt *a, size_t at, const char *letters)
{
	uint8_t old = a->letters[at];
	char found = '\0';

	for (const char *l = letters; *l != '\0' && found == '\0'; l++) {
		a->letters[at] = (uint8_t)*l;
		if (attempt_fits(a))
			found = *l;
	}
	a->letters[at] = old;
	return found;
}

static bool
typo_find_altered(struct attempt *a, const char *letters, struct typo *ret_typo)
{
	for (size_t at = 0; at < a->len; at++) {
		char should = typo_try_letters(a, at, letters);

		if (should == '\0')
			continue;
		*ret_typo = (struct typo){ TYPO_ALTERED, at, (char)a->letters[at],
					   should };
		return true;
	}
	return false;
}

/* A hole goes through the word: first the whole word without its first letter, then each step
 * puts one back. */
static bool
typo_find_extra(struct attempt *a, struct typo *ret_typo)
{
	uint8_t out = attempt_take(a, 0);
	bool is_it = false;
	size_t at;

	for (at = 0; !(is_it = attempt_fits(a)) && at < a->len; at++) {
		uint8_t next = a->letters[at];

		a->letters[at] = out;
		out = next;
	}
	attempt_put(a, at, out);
	if (is_it)
		*ret_typo = (struct typo){ TYPO_EXTRA, at, (char)out, 0 };
	return is_it;
}

static bool
typo_find_missing(struct attempt *a, const char *letters, struct typo *ret_typo)
{
	if (a->len == TYPO_LETTERS_MAX)
		return false;
	attempt_put(a, 0, (uint8_t)letters[0]);
	for (size_t at = 0; at < a->len; at++) {
		char should = typo_try_letters(a, at, letters);

		if (should != '\0') {
			*ret_typo = (struct typo){ TYPO_MISSING, at, 0, should };
			return true;
		}
		if (at + 1 < a->len)
			a->letters[at] = a->letters[at + 1];
	}
	return false;
}

struct typo
typo_find(struct bytes word, const char *letters, bool (*fits)(struct bytes word))
{
	struct typo typo = { .kind = TYPO_NONE };
	struct attempt a = { .len = word.len, .fits = fits };

	if (word.len < 2 || word.len > TYPO_LETTERS_MAX)
		return typo;
	memcpy(a.letters, word.data, word.len);
	if (!typo_find_swap(&a, &typo) && !typo_find_altered(&a, letters, &typo) &&
	    !typo_find_extra(&a, &typo))
		typo_find_missing(&a, letters, &typo);
	ident_wipe(&a, sizeof(a));
	return typo;
}
