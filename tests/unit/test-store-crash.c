/* SPDX-License-Identifier: Apache-2.0 */
/* A writer is killed at any moment, many times over the same store. What it was told is
 * durable must be there afterwards, no number may ever have been given out twice, and the
 * digests must stand for the rows. */
#include "config.h"

#include "lib/tap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "lib/rows.h"
#include "lib/sha256.h"

enum {
	LIVES = 25,
	LIVES_QUICK = 6,
	ROWS = 400,
};

/* What the child tells on the pipe: a dot that it has taken, or, once store_sync() came
 * back, the dot that is then a row's newest. Smaller than PIPE_BUF: written at once. */
struct told {
	int row; /* -1: taken only */
	struct dot dot;
};

static int pipe_fd;

static void
tell(int row, struct dot dot)
{
	struct told told = { .row = row, .dot = dot };

	if (write(pipe_fd, &told, sizeof(told)) != (ssize_t)sizeof(told))
		_exit(3);
}

static void
tell_durable(void *arg, int rc)
{
	struct told *told = arg;

	if (rc == 0)
		tell(told->row, told->dot);
	free(told);
}

/* Write rows without end. */
static void
child(const char *dir, uint64_t seed)
{
	struct store *store = test_store_open(dir);
	struct rng rng;

	rng_init(&rng, seed);
	for (;;) {
		struct told *told = mem_calloc(1, sizeof(*told));
		struct row_key key;
		struct row seen = ROW_INIT, row;
		struct version v;
		struct bytes value;
		char text[4000];
		bool is_changed;

		while (store_next_dot(store, &told->dot) != 0)
			test_store_wait(store);
		tell(-1, told->dot);
		told->row = (int)rng_below(&rng, ROWS);
		key = test_key(1, told->row);
		memset(text, told->row, sizeof(text));
		value = bytes_of(text, (size_t)rng_below(&rng, sizeof(text)));
		store_get(store, &key, &seen);
		if (version_next(&seen, told->dot, 1, &value, &v) != 0)
			_exit(4);
		version_seal(&v, (uint8_t[ROW_SIGNATURE_BYTES]){ 0 }, test_sha256);
		row_of_version(&v, &row);
		if (store_merge(store, &key, &row, &is_changed, NULL) != 0 || !is_changed)
			_exit(5);
		row_fini(&row);
		row_fini(&seen);
		store_sync(store, tell_durable, told);
		if (rng_below(&rng, 20) == 0)
			test_store_wait(store);
	}
}

/* Read what the child tells for a while, kill it, read the rest. */
static void
live(const char *dir, uint64_t seed, uint64_t *highest, uint64_t *durable)
{
	int ends[2], status, dots = 0, rows = 0;
	struct rng rng;
	struct told told;
	int enough;
	pid_t pid;

	rng_init(&rng, seed);
	enough = (int)rng_below(&rng, 3000);
	CU_ASSERT_FATAL(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		pipe_fd = ends[1];
		child(dir, seed);
	}
	close(ends[1]);
	while (read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told)) {
		if (told.row < 0) {
			CU_ASSERT(told.dot.seq > *highest); /* never twice */
			*highest = told.dot.seq;
			dots++;
		} else {
			if (told.dot.seq > durable[told.row])
				durable[told.row] = told.dot.seq;
			rows++;
		}
		if (dots + rows == enough + 1)
			kill(pid, SIGKILL);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(ends[0]);
}

static void
test_killed(void)
{
	char *dir = test_folder("killed");
	int lives = tap_is_quick() ? LIVES_QUICK : LIVES, held = 0;
	uint64_t highest = 0, durable[ROWS] = { 0 };

	test_store_create(dir);
	for (int life = 0; life < lives; life++) {
		struct store *store;

		live(dir, tap_seed() + (uint64_t)life, &highest, durable);
		store = test_store_open(dir);
		for (int i = 0; i < ROWS; i++) {
			struct row_key key = test_key(1, i);
			struct row row = ROW_INIT;

			if (durable[i] == 0)
				continue;
			CU_ASSERT_FATAL(store_get(store, &key, &row) == 0);
			CU_ASSERT(row.len == 1 && row.versions[0].dot.seq >= durable[i]);
			row_fini(&row);
			held++;
		}
		CU_ASSERT(test_store_differences(store) == 0);
		store_close(store);
	}
	tap_note("%d lives, %d durable rows looked up", lives, held);
	CU_ASSERT(held > 0);
	free(dir);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "killed at any moment, a store keeps what it called durable and no "
		  "number "
		  "comes twice",
		  test_killed },
	};

	return TAP_MAIN(argc, argv, tests);
}
