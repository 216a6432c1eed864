/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a process that holds a table as the daemon does: the store open, every row read
 * into the catalog, node rows into the leases. Bytes a row, beyond what the process had
 * before: its own ("anon"), and of mapped files ("mapped"), which the system takes back when
 * it needs them. A child fills the store, so that nothing of that is counted. "file" are
 * the file's bytes a row on the disk, the baseline "rows" the rows' own bytes. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/bench.h"
#include "crdt/codec.h"
#include "crdt/lease.h"
#include "table/catalog.h"

enum { ROWS = 1000000, BLOCK_BYTES = 512 };

struct holder {
	struct catalog *catalog;
	struct leases *leases;
	uint64_t rows, row_bytes;
};

static void
fill(const char *dir, uint64_t n)
{
	struct store *store = bench_store_make(dir);
	struct bench_stream s;

	bench_stream_make(store, n, 1, &s);
	bench_store_fill(store, &s);
	for (uint64_t i = 0; i < n; i += BENCH_WORKERS) {
		struct row_key key = bench_node_key(i);
		struct row row;
		bool is_changed;

		bench_node_row(i, &row);
		bench_must(store_merge(store, &key, &row, &is_changed, NULL),
			   "a node row");
		row_fini(&row);
	}
	bench_must(store_close(store), "closing");
}

static bool
hold(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
     const struct row *row)
{
	struct holder *h = arg;

	(void)k;
	bench_must(catalog_apply(h->catalog, key, row, NULL), "a row");
	leases_note(h->leases, key, row);
	h->rows++;
	h->row_bytes += CODEC_ROW_OVERHEAD_BYTES + key->name_len +
			row->versions[0].value.len;
	return true;
}

static uint64_t
resident(const char *what)
{
	FILE *f = fopen("/proc/self/status", "r");
	uint64_t kilobytes = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, what, strlen(what)) == 0)
			sscanf(line + strlen(what), ": %" SCNu64, &kilobytes);
	if (f != NULL)
		fclose(f);
	return 1024 * kilobytes;
}

int
main(int argc, char **argv)
{
	char *dir = bench_folder(argc > 1 ? argv[1] : NULL, "store");
	char *file = mem_printf("%s/data.mdb", dir);
	uint64_t n = bench_rows(ROWS), anon, mapped;
	struct holder h = { .rows = 0 };
	struct store *store;
	struct stat st;
	int status = -1;
	pid_t pid = fork();
	double rows;

	if (pid == 0) {
		fill(dir, n);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		bench_must(-EIO, "filling the store");
	anon = resident("RssAnon");
	mapped = resident("RssFile");
	h.catalog = catalog_new();
	h.leases = leases_new(&(struct id){ { 0 } }, 7 * (ms_t)MS_DAY);
	store = bench_store_open(dir);
	bench_must(store_each(store, hold, &h), "reading");
	bench_must(stat(file, &st) == 0 ? 0 : -errno, file);
	rows = (double)h.rows;
	printf("{\"bench\":\"memory\",\"rows\":%" PRIu64
	       ",\"anon_bytes\":%.0f,\"mapped_bytes\":%.0f,\"file_bytes\":%.0f,"
	       "\"row_bytes\":%.0f}\n",
	       h.rows, (double)(resident("RssAnon") - anon) / rows,
	       (double)(resident("RssFile") - mapped) / rows,
	       (double)st.st_blocks * BLOCK_BYTES / rows, (double)h.row_bytes / rows);
	bench_must(store_close(store), "closing");
	catalog_free(h.catalog);
	leases_free(h.leases);
	free(file);
	free(dir);
	return 0;
}
