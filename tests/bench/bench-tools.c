/* SPDX-License-Identifier: Apache-2.0 */
/* A table for bench-tools.sh: bench-tools DATA ROWS adds so many worker rows, of nodes with
 * 10,000 each, all of them signed, to the store of the node in DATA, which holds its
 * cluster's CA and does not run. */
#include "config.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "ident/identity.h"
#include "store/store.h"
#include "table/rows.h"

enum { ROWS_A_NODE = 10000 };

struct table {
	struct identity *identity;
	struct store *store;
	struct key *key; /* of the node whose rows are made */
	struct id node;
	uint64_t actor, seq;
};

static void
must(int rc, const char *what, const char *why)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench-tools: %s: %s\n", what,
		why[0] != '\0' ? why : error_text(rc));
	exit(EXIT_FAILURE);
}

static void
on_durable(void *arg, int rc)
{
	must(rc, "the store", "");
	sem_post(arg);
}

static void
wait_durable(struct store *store)
{
	sem_t done;

	sem_init(&done, 0, 0);
	store_sync(store, on_durable, &done);
	while (sem_wait(&done) != 0)
		;
	sem_destroy(&done);
}

static void
put(struct table *t, enum row_kind kind, const char *name, const struct buf *value)
{
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct bytes bytes = buf_bytes(value);
	struct row none = ROW_INIT, row;
	struct buf text = BUF_INIT;
	struct row_key key;
	struct version v;
	bool has_changed;
	int rc;

	must(row_key_make(&t->node, kind, name, &key), "a key", "");
	must(version_next(&none, (struct dot){ t->actor, ++t->seq },
			  (uint64_t)clock_wall_ms(), &bytes, &v),
	     "a version", "");
	codec_put_signed(&text, &t->identity->cluster_id, &key, &v, ident_sha256);
	ident_sign(t->key, buf_bytes(&text), signature);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, &row);
	while ((rc = store_merge(t->store, &key, &row, &has_changed, NULL)) == -EAGAIN)
		wait_durable(t->store);
	must(rc, "a row", "");
	row_fini(&row);
	buf_fini(&text);
}

static void
begin_node(struct table *t, int number)
{
	struct table_node n = { .incarnation = 1 };
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct buf value = BUF_INIT;
	struct errmsg err = { "" };

	key_free(t->key);
	t->key = key_generate();
	t->node = key_id(t->key);
	t->actor = 1000 + (uint64_t)number;
	n.name = mem_printf("bench%d", number);
	n.version = mem_strdup("0");
	key_public(t->key, public_key);
	cert_issue(t->identity->ca_key, public_key, clock_wall_ms(), &n.cert);
	must(table_node_encode(&n, &value, &err), "a node", err.text);
	put(t, ROW_NODE, "", &value);
	table_node_fini(&n);
	buf_fini(&value);
}

static void
put_worker(struct table *t, int number)
{
	struct table_worker w = { .slots = 4 };
	struct buf value = BUF_INIT;
	struct errmsg err = { "" };
	char name[16];

	snprintf(name, sizeof(name), "%d", number);
	w.id = mem_printf("worker-%d", number);
	w.hardware.cpus = 16;
	table_hardware_add_gpu(&w.hardware, "NVIDIA H100 80GB HBM3", 85520809984);
	table_service_add_match(table_worker_add_service(&w, "llm"),
				"model=meta-llama/Llama-3.1-70B-Instruct");
	must(table_worker_encode(&w, &value, &err), "a worker", err.text);
	put(t, ROW_WORKER, name, &value);
	table_worker_fini(&w);
	buf_fini(&value);
}

int
main(int argc, char **argv)
{
	struct store_config config = { .sha256 = ident_sha256 };
	struct table t = { .seq = 0 };
	struct errmsg err = { "" };
	char *dir;
	long rows;

	if (argc != 3) {
		fprintf(stderr, "usage: bench-tools DATA ROWS\n");
		return 2;
	}
	rows = strtol(argv[2], NULL, 10);
	dir = mem_printf("%s/store", argv[1]);
	config.dir = dir;
	must(identity_load(argv[1], &t.identity, &err), argv[1], err.text);
	must(store_open(&config, &t.store, &err), dir, err.text);
	for (long i = 0; i < rows; i++) {
		if (i % ROWS_A_NODE == 0)
			begin_node(&t, (int)(i / ROWS_A_NODE));
		put_worker(&t, (int)(i % ROWS_A_NODE));
	}
	must(store_close(t.store), dir, "");
	key_free(t.key);
	identity_free(t.identity);
	free(dir);
	return 0;
}
