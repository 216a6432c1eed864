/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target is without libFuzzer: a test. Runs LLVMFuzzerTestOneInput on every
 * file of tests/fuzz/corpus/<input>/ (<input> from the program's name, fuzz-<input>), on
 * every prefix-shortened, bit-flipped, spliced variant that a fixed seed gives, and
 * reports in TAP. Inputs are given in memory of exactly their size, so that a sanitizer
 * sees a read past the end. When one kills the program, its file, round and seed are
 * printed.
 *
 * Arguments, if any, are files to run once each: fuzz-codec crash-1234.
 * OCF_TEST_SEED picks other variants, OCF_TEST_LEVEL=quick fewer. */
#include "config.h"

#ifndef OCF_LIBFUZZER
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

enum {
	REPLAY_FILE_BYTES_MAX = 1024 * 1024,
	REPLAY_FILES_MAX = 4096,
	REPLAY_VARIANTS = 6000, /* shared by the files of the corpus */
	REPLAY_VARIANTS_QUICK = 1500,
	REPLAY_GROWTH_BYTES_MAX = 64,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
void __sanitizer_set_death_callback(void (*fn)(void));

/* A target whose inputs take long has this: there are so many times fewer variants. */
int fuzz_cost(void) __attribute__((weak));

static char replay_now[512]; /* what runs, for the last words */

static void
replay_last_words(void)
{
	ssize_t n = write(STDOUT_FILENO, replay_now, strlen(replay_now));

	(void)n;
}

static void
replay_on_signal(int signo)
{
	replay_last_words();
	signal(signo, SIG_DFL);
	raise(signo);
}

static void
replay_one(struct bytes input)
{
	uint8_t *copy = mem_alloc(input.len);

	if (input.len > 0)
		memcpy(copy, input.data, input.len);
	LLVMFuzzerTestOneInput(copy, input.len);
	free(copy);
}

static void
replay_mutate_once(struct rng *rng, struct buf *b, struct bytes other)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, '\r', '\n', ' ' };
	size_t at = (size_t)rng_below(rng, b->len + 1);
	size_t n;

	switch (rng_below(rng, 6)) {
	case 0: /* cut */
		b->len = at;
		break;
	case 1: /* one bit */
		if (at < b->len)
			b->data[at] ^= (uint8_t)(1U << rng_below(rng, 8));
		break;
	case 2: /* one byte that often matters */
		if (at < b->len)
			b->data[at] = edges[rng_below(rng, sizeof(edges))];
		break;
	case 3: /* drop a piece */
		n = (size_t)rng_below(rng, b->len - at + 1);
		memmove(b->data + at, b->data + at + n, b->len - at - n);
		b->len -= n;
		break;
	case 4: /* repeat a piece */
		n = (size_t)rng_below(rng, b->len - at + 1);
		n = n < REPLAY_GROWTH_BYTES_MAX ? n : REPLAY_GROWTH_BYTES_MAX;
		buf_extend(b, n);
		memmove(b->data + at + n, b->data + at, b->len - n - at);
		break;
	default: /* go on as another file does */
		b->len = at;
		if (other.len > 0) {
			n = (size_t)rng_below(rng, other.len);
			buf_put(b, other.data + n, other.len - n);
		}
	}
}

/* Returns the number of variants run. */
static int
replay_variants(const char *path, struct bytes input, struct bytes other, uint64_t seed,
		int rounds)
{
	struct buf b = BUF_INIT;
	struct rng rng;

	for (int round = 0; round < rounds; round++) {
		snprintf(replay_now, sizeof(replay_now),
			 "# died on variant %d of %s, seed %" PRIu64 "\n", round, path,
			 seed);
		rng_init(&rng, seed + (uint64_t)round);
		buf_clear(&b);
		buf_extend(&b, 1); /* so that data is never NULL */
		buf_clear(&b);
		buf_put_bytes(&b, input);
		for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
			replay_mutate_once(&rng, &b, other);
		replay_one(buf_bytes(&b));
	}
	buf_fini(&b);
	return rounds;
}

static bool
replay_read(const char *path, struct buf *ret_content)
{
	struct errmsg err = { "" };

	snprintf(replay_now, sizeof(replay_now), "# died on %s\n", path);
	if (file_read(path, REPLAY_FILE_BYTES_MAX, ret_content, &err) == 0)
		return true;
	printf("# %s\n", err.text);
	return false;
}

static int
replay_is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static bool
replay_folder(const char *folder, int *ret_files, int *ret_variants)
{
	const char *level = getenv("OCF_TEST_LEVEL"), *text = getenv("OCF_TEST_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20231127;
	int variants = level != NULL && strcmp(level, "quick") == 0
			       ? REPLAY_VARIANTS_QUICK
			       : REPLAY_VARIANTS;
	struct buf last = BUF_INIT;
	struct dirent **entries = NULL;
	int n = scandir(folder, &entries, replay_is_file, alphasort);
	bool is_good = n > 0 && n <= REPLAY_FILES_MAX;

	if (fuzz_cost != NULL)
		variants /= fuzz_cost();
	printf("# seed %" PRIu64 "\n", seed);
	if (!is_good)
		printf("# no corpus in %s\n", folder);
	for (int i = 0; i < n; i++) {
		char *path = mem_printf("%s/%s", folder, entries[i]->d_name);
		struct buf content = BUF_INIT;

		if (is_good && (is_good = replay_read(path, &content))) {
			replay_one(buf_bytes(&content));
			*ret_variants += replay_variants(
				path, buf_bytes(&content), buf_bytes(&last),
				seed + (uint64_t)i * 1000003, variants / n + 1);
			(*ret_files)++;
		}
		buf_fini(&last);
		last = content;
		free(path);
		free(entries[i]);
	}
	buf_fini(&last);
	free(entries);
	return is_good;
}

static int
replay_arguments(int argc, char **argv)
{
	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++) {
		struct buf content = BUF_INIT;
		bool is_good = replay_read(argv[i], &content);

		if (is_good)
			replay_one(buf_bytes(&content));
		printf("%sok %d - %s\n", is_good ? "" : "not ", i, argv[i]);
		buf_fini(&content);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	const char *srcdir = getenv("OCF_TEST_SRCDIR"), *slash = strrchr(argv[0], '/');
	const char *program = slash != NULL ? slash + 1 : argv[0];
	int files = 0, variants = 0;
	char *folder;
	bool is_good;

	setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef OCF_SANITIZED
	__sanitizer_set_death_callback(replay_last_words);
#else
	signal(SIGSEGV, replay_on_signal);
	signal(SIGBUS, replay_on_signal);
#endif
	signal(SIGABRT, replay_on_signal);
	if (argc > 1)
		return replay_arguments(argc, argv);
	if (strncmp(program, "fuzz-", 5) == 0)
		program += 5;
	folder = mem_printf("%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
			    program);
	printf("1..1\n");
	is_good = replay_folder(folder, &files, &variants);
	printf("%sok 1 - %s survives its corpus (%d files) and %d variants of it\n",
	       is_good ? "" : "not ", argv[0], files, variants);
	free(folder);
	return is_good ? 0 : 1;
}
#endif
