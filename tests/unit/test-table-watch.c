/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever follows the changes of the catalog knows at any moment what its lists say, and is
 * told nothing that is no change: random histories, against the lists. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "lib/tap.h"
#include "table/catalog.h"

enum { NODES = 4, ROWS = 3 };

/* What a follower knows: "node ID" and "worker ID NAME" → row. */
struct follower {
	json_t *rows;
	int told;
	char last[160]; /* "kind op id" */
};

static void
on_change(void *arg, const struct catalog_change *change)
{
	struct follower *f = arg;
	char node[ID_TEXT_SIZE],
		*key = mem_printf("%s %s %s", change->kind, id_text(&change->node, node),
				  change->id);
	json_t *was = json_object_get(f->rows, key);

	f->told++;
	snprintf(f->last, sizeof(f->last), "%s %s %s", change->kind, change->op,
		 change->id);
	if (strcmp(change->op, "add") == 0)
		CU_ASSERT(was == NULL && change->row != NULL);
	if (strcmp(change->op, "remove") == 0)
		CU_ASSERT(was != NULL && change->row == NULL);
	if (strcmp(change->op, "update") == 0 || strcmp(change->op, "state") == 0)
		CU_ASSERT(was != NULL && change->row != NULL &&
			  !json_equal(was, (json_t *)(uintptr_t)change->row));
	if (strcmp(change->op, "state") == 0)
		CU_ASSERT(!json_equal(json_object_get(was, "state"),
				      json_object_get(change->row, "state")));
	if (change->row != NULL)
		json_object_set_new(f->rows, key, json_deep_copy(change->row));
	else
		json_object_del(f->rows, key);
	free(key);
}

/* The same, from the lists. */
static json_t *
rows_of(const struct catalog *c)
{
	json_t *rows = json_object(), *list, *item;
	size_t i;
	char *key;

	list = catalog_nodes_json(c, true, NULL, NULL);
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(json_object_get(item, "id"));
		struct catalog_node node;
		struct id id;

		CU_ASSERT_EQUAL_FATAL(id_parse(text, &id), 0);
		if (!catalog_node(c, &id, &node))
			continue;
		json_object_del(item, "workers");
		json_object_del(item, "rtt_ms");
		json_object_del(item, "last_seen_s");
		key = mem_printf("node %s %s", text, text);
		json_object_set(rows, key, item);
		free(key);
	}
	json_decref(list);
	list = catalog_workers_json(c);
	json_array_foreach(list, i, item)
	{
		key = mem_printf("worker %s %s",
				 json_string_value(json_object_get(item, "node")),
				 json_string_value(json_object_get(item, "id")));
		json_object_set(rows, key, item);
		free(key);
	}
	json_decref(list);
	return rows;
}

static struct row
row_of(struct buf *value, uint64_t stamp)
{
	struct row row = { .len = 1 };

	row.versions[0] = (struct version){
		.dot = { 1, 1 },
		.value = bytes_of(mem_dup(value->data, value->len), value->len),
		.stamp = stamp,
	};
	buf_fini(value);
	return row;
}

static void
apply(struct catalog *c, int node, enum row_kind kind, const char *name, struct row row)
{
	struct id owner = { .b = { [0] = (uint8_t)(node + 1) } };
	struct row_key key;

	CU_ASSERT_EQUAL_FATAL(row_key_make(&owner, kind, name, &key), 0);
	CU_ASSERT_EQUAL(catalog_apply(c, &key, row.len > 0 ? &row : NULL, NULL), 0);
	row_fini(&row);
}

static struct row
node_row(int node, bool has_left, bool is_draining, const char *region, uint64_t stamp)
{
	struct table_node n = { .name = mem_printf("n%d", node),
				.version = mem_strdup("1"),
				.region = mem_strdup(region),
				.has_left = has_left,
				.is_draining = is_draining };
	struct buf value = BUF_INIT;

	buf_put(&n.cert, "x", 1);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &value, NULL), 0);
	table_node_fini(&n);
	return row_of(&value, stamp);
}

static struct row
worker_row(const char *id, int slots, bool is_draining)
{
	struct table_worker w = { .id = mem_strdup(id),
				  .slots = slots,
				  .is_draining = is_draining };
	struct buf value = BUF_INIT;

	table_worker_add_service(&w, "wc");
	CU_ASSERT_EQUAL_FATAL(table_worker_encode(&w, &value, NULL), 0);
	table_worker_fini(&w);
	return row_of(&value, 1);
}

static struct row
bar_row(const char *reason)
{
	char name[] = "n", text[16];
	struct table_bar bar = { .name = name, .reason = text };
	struct buf value = BUF_INIT;

	snprintf(text, sizeof(text), "%s", reason);
	CU_ASSERT_EQUAL_FATAL(table_bar_encode(&bar, &value, NULL), 0);
	return row_of(&value, 1);
}

static const struct row none = { .len = 0 };

static void
random_worker(struct catalog *c, struct rng *rng, int node)
{
	char number[8], id[16];

	snprintf(number, sizeof(number), "%d", (int)rng_below(rng, ROWS));
	snprintf(id, sizeof(id), "%c%s", "wx"[rng_below(rng, 2)], number);
	apply(c, node, ROW_WORKER, number,
	      rng_below(rng, 4) == 0
		      ? none
		      : worker_row(id, (int)rng_below(rng, 2), rng_below(rng, 2) == 0));
}

static void
random_change(struct catalog *c, struct rng *rng)
{
	int node = (int)rng_below(rng, NODES);
	struct id id = { .b = { [0] = (uint8_t)(node + 1) } };
	enum row_kind bar = rng_below(rng, 2) == 0 ? ROW_BAN : ROW_FORGET;
	char text[ID_TEXT_SIZE];

	switch (rng_below(rng, 8)) {
	case 0:
	case 1:
		apply(c, node, ROW_NODE, "",
		      rng_below(rng, 4) == 0
			      ? none
			      : node_row(node, rng_below(rng, 4) == 0,
					 rng_below(rng, 3) == 0,
					 rng_below(rng, 2) == 0 ? "a" : "b",
					 1 + rng_below(rng, 10)));
		break;
	case 2:
	case 3:
	case 4:
		random_worker(c, rng, node);
		break;
	case 5:
		catalog_set_state(c, &id,
				  (enum catalog_state)rng_below(rng, CATALOG_LEFT + 1));
		break;
	case 6:
		catalog_expire(c, (ms_t)rng_below(rng, 12));
		break;
	default:
		apply(c, 0, bar, id_text(&id, text),
		      rng_below(rng, 2) == 0 ? none : bar_row("so"));
	}
}

static void
test_history(void)
{
	int steps = tap_is_quick() ? 500 : 5000;
	struct follower f = { .rows = NULL };
	struct catalog *c = catalog_new();
	struct rng rng;
	int before = 0;

	rng_init(&rng, tap_seed());
	for (int i = 0; i < 50; i++)
		random_change(c, &rng);
	CU_ASSERT_EQUAL(f.told, 0);
	/* From here on somebody follows. */
	f.rows = rows_of(c);
	catalog_watch(c, on_change, &f);
	for (int i = 0; i < steps; i++) {
		json_t *is;

		random_change(c, &rng);
		is = rows_of(c);
		if (!json_equal(is, f.rows)) {
			char *a = json_dumps(is, JSON_SORT_KEYS),
			     *b = json_dumps(f.rows, JSON_SORT_KEYS);

			tap_note("step %d:\n%s\nbut was told\n%s", i, a, b);
			free(a);
			free(b);
			CU_FAIL_FATAL("what was told is not what is");
		}
		json_decref(is);
	}
	CU_ASSERT(f.told > steps / 4);
	/* And nobody any more. */
	before = f.told;
	catalog_watch(c, NULL, NULL);
	for (int i = 0; i < 50; i++)
		random_change(c, &rng);
	CU_ASSERT_EQUAL(f.told, before);
	json_decref(f.rows);
	catalog_free(c);
}

static void
test_words(void)
{
	struct follower f = { .rows = json_object() };
	struct catalog *c = catalog_new();
	struct id id = { .b = { 1 } };

	catalog_watch(c, on_change, &f);
	apply(c, 0, ROW_NODE, "", node_row(0, false, false, "a", 1));
	CU_ASSERT_STRING_EQUAL(f.last, "node add 01000000000000000000000000000000");
	apply(c, 0, ROW_WORKER, "7", worker_row("w", 1, false));
	CU_ASSERT_STRING_EQUAL(f.last, "worker add w");
	apply(c, 0, ROW_WORKER, "7", worker_row("w", 2, false));
	CU_ASSERT_STRING_EQUAL(f.last, "worker update w");
	apply(c, 0, ROW_WORKER, "7", worker_row("w", 2, true));
	CU_ASSERT_STRING_EQUAL(f.last, "worker state w");
	CU_ASSERT_EQUAL(f.told, 4);
	/* A lease that goes on, and a suspicion that changes no worker. */
	apply(c, 0, ROW_NODE, "", node_row(0, false, false, "a", 2));
	CU_ASSERT_EQUAL(f.told, 4);
	catalog_set_state(c, &id, CATALOG_SUSPECT);
	CU_ASSERT_STRING_EQUAL(f.last, "node state 01000000000000000000000000000000");
	CU_ASSERT_EQUAL(f.told, 5);
	/* One that is dead hides its workers. */
	catalog_set_state(c, &id, CATALOG_DEAD);
	CU_ASSERT_STRING_EQUAL(f.last, "worker state w");
	CU_ASSERT_EQUAL(f.told, 7);
	apply(c, 0, ROW_WORKER, "7", none);
	CU_ASSERT_STRING_EQUAL(f.last, "worker remove w");
	apply(c, 0, ROW_NODE, "", none);
	CU_ASSERT_STRING_EQUAL(f.last, "node remove 01000000000000000000000000000000");
	json_decref(f.rows);
	catalog_free(c);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "each change has its word, and what is none is not told", test_words },
		{ "what was told is at any moment what the lists say", test_history },
	};

	return TAP_MAIN(argc, argv, tests);
}
