/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog against a model that keeps nothing but the latest rows and verdicts and
 * works every answer out from scratch. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/query.h"
#include "base/rng.h"
#include "lib/tap.h"
#include "table/catalog.h"

enum { NODES = 6, ROWS = 5 };

static const char *const services[] = { "wc", "llm", "ocr" };
static const char *const matches[] = { "model=a", "model=b", "model=*", "all", "tier=x" };

/* ---- Making rows ---- */

static struct id
node_id(int i)
{
	struct id id = { { 0 } };

	id.b[0] = (uint8_t)(0x10 * (i + 1));
	id.b[15] = (uint8_t)i;
	return id;
}

static struct row
row_of(struct buf *value)
{
	struct row row = { .len = 1 };

	row.versions[0] = (struct version){
		.dot = { 1, 1 },
		.value = bytes_of(mem_dup(value->data, value->len), value->len),
	};
	buf_fini(value);
	return row;
}

static struct row
node_row_in(const char *name, bool has_left, bool is_draining)
{
	struct table_node n = { .name = mem_strdup(name),
				.has_left = has_left,
				.is_draining = is_draining };
	struct buf value = BUF_INIT;

	n.version = mem_strdup("1");
	buf_put(&n.cert, "x", 1);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &value, NULL), 0);
	table_node_fini(&n);
	return row_of(&value);
}

static struct row
node_row(const char *name, bool has_left)
{
	return node_row_in(name, has_left, false);
}

static void
apply(struct catalog *c, const struct id *owner, enum row_kind kind, const char *name,
      struct row row)
{
	struct row_key key;

	CU_ASSERT_EQUAL_FATAL(row_key_make(owner, kind, name, &key), 0);
	CU_ASSERT_EQUAL(catalog_apply(c, &key, row.len > 0 ? &row : NULL, NULL), 0);
	row_fini(&row);
}

static struct row
worker_row(const struct table_worker *w)
{
	struct buf value = BUF_INIT;

	CU_ASSERT_EQUAL_FATAL(table_worker_encode(w, &value, NULL), 0);
	return row_of(&value);
}

static void
add_worker(struct catalog *c, int node, int number, const char *id, const char *service,
	   const char *match, int slots)
{
	struct table_worker w = { .id = mem_strdup(id), .slots = slots };
	struct table_service *s = table_worker_add_service(&w, service);
	char name[12];
	struct id owner = node_id(node);

	if (match != NULL)
		table_service_add_match(s, match);
	snprintf(name, sizeof(name), "%d", number);
	apply(c, &owner, ROW_WORKER, name, worker_row(&w));
	table_worker_fini(&w);
}

static void
add_node(struct catalog *c, int i)
{
	char name[16];
	struct id id = node_id(i);

	snprintf(name, sizeof(name), "n%d", i);
	apply(c, &id, ROW_NODE, "", node_row(name, false));
}

/* ---- The model ---- */

struct model_worker {
	bool is_held;
	struct table_worker row;
};

struct model_node {
	bool is_held;
	bool has_left, is_draining;
	bool is_banned;
	bool is_forgotten;
	enum catalog_state verdict;
	struct model_worker workers[ROWS];
};

static enum catalog_state
model_state(const struct model_node *n)
{
	if (n->is_banned)
		return CATALOG_BANNED;
	if (n->is_forgotten)
		return CATALOG_FORGOTTEN;
	if (n->is_held && n->has_left)
		return CATALOG_LEFT;
	return n->is_held && n->is_draining && n->verdict < CATALOG_DRAINING
		       ? CATALOG_DRAINING
		       : n->verdict;
}

static void
model_random_worker(struct rng *rng, struct table_worker *w)
{
	memset(w, 0, sizeof(*w));
	w->id = mem_printf("w%d", (int)rng_below(rng, 3));
	w->slots = (int)rng_below(rng, 4);
	w->is_draining = rng_below(rng, 4) == 0;
	for (size_t i = 0; i < 3; i++) {
		struct table_service *s;

		if (i > 0 && rng_below(rng, 2) == 0)
			continue;
		s = table_worker_add_service(w, services[i]);
		for (size_t k = 0; k < 5; k++) {
			if (rng_below(rng, 3) == 0)
				table_service_add_match(s, matches[k]);
		}
	}
}

static void
model_step(struct model_node *nodes, struct rng *rng, struct catalog *c)
{
	static const struct id ca = { { 0xca } };
	int i = (int)rng_below(rng, NODES), k = (int)rng_below(rng, ROWS);
	struct model_node *n = &nodes[i];
	struct id id = node_id(i);
	char name[ID_TEXT_SIZE];

	switch (rng_below(rng, 10)) {
	case 0:
		n->is_held = false;
		apply(c, &id, ROW_NODE, "", ROW_INIT);
		break;
	case 1:
	case 2:
		n->is_held = true;
		n->has_left = rng_below(rng, 4) == 0;
		n->is_draining = rng_below(rng, 4) == 0;
		snprintf(name, sizeof(name), "n%d", i);
		apply(c, &id, ROW_NODE, "",
		      node_row_in(name, n->has_left, n->is_draining));
		break;
	case 3:
		n->verdict = (enum catalog_state)rng_below(rng, CATALOG_LEFT + 1);
		if (rng_below(rng, 2) == 0)
			n->verdict = CATALOG_ALIVE;
		catalog_set_state(c, &id, n->verdict);
		break;
	case 4:
		id_text(&id, name);
		if (rng_below(rng, 2) == 0) {
			n->is_banned = rng_below(rng, 4) == 0;
			apply(c, &ca, ROW_BAN, name,
			      n->is_banned ? node_row("x", true) : ROW_INIT);
		} else {
			n->is_forgotten = rng_below(rng, 4) == 0;
			apply(c, &ca, ROW_FORGET, name,
			      n->is_forgotten ? node_row("x", true) : ROW_INIT);
		}
		break;
	default:
		snprintf(name, sizeof(name), "%d", k);
		table_worker_fini(&n->workers[k].row);
		n->workers[k].is_held = rng_below(rng, 3) != 0;
		if (!n->workers[k].is_held) {
			apply(c, &id, ROW_WORKER, name, ROW_INIT);
			break;
		}
		model_random_worker(rng, &n->workers[k].row);
		apply(c, &id, ROW_WORKER, name, worker_row(&n->workers[k].row));
	}
}

/* The same rows and verdicts, fed to an empty catalog in another order. */
static struct catalog *
model_rebuild(const struct model_node *nodes)
{
	static const struct id ca = { { 0xca } };
	struct catalog *c = catalog_new();

	for (int i = NODES - 1; i >= 0; i--) {
		struct id id = node_id(i);
		char name[ID_TEXT_SIZE];

		id_text(&id, name);
		if (nodes[i].is_banned)
			apply(c, &ca, ROW_BAN, name, node_row("x", true));
		if (nodes[i].is_forgotten)
			apply(c, &ca, ROW_FORGET, name, node_row("x", true));
		catalog_set_state(c, &id, nodes[i].verdict);
		for (int k = ROWS - 1; k >= 0; k--) {
			snprintf(name, sizeof(name), "%d", k);
			if (nodes[i].workers[k].is_held)
				apply(c, &id, ROW_WORKER, name,
				      worker_row(&nodes[i].workers[k].row));
		}
		snprintf(name, sizeof(name), "n%d", i);
		if (nodes[i].is_held)
			apply(c, &id, ROW_NODE, "",
			      node_row_in(name, nodes[i].has_left, nodes[i].is_draining));
	}
	return c;
}

/* How many workers of this node serve the query: all of them, and those that are ready.
 */
static int
model_serving(const struct model_node *n, const char *service, const char *selector,
	      int fallback, int *ret_offering, int *ret_ready, int *ret_slots)
{
	int serving = 0;

	*ret_offering = *ret_ready = *ret_slots = 0;
	for (int k = 0; k < ROWS; k++) {
		const struct table_worker *w = &n->workers[k].row;

		for (int i = 0; n->workers[k].is_held && i < w->services_len; i++) {
			if (strcmp(w->services[i].name, service) != 0)
				continue;
			++*ret_offering;
			if (!query_match_serves(w->services[i].match,
						w->services[i].match_len, selector,
						fallback))
				continue;
			serving++;
			if (w->is_draining)
				continue;
			++*ret_ready;
			*ret_slots += w->slots;
		}
	}
	return serving;
}

static bool
model_agrees(const struct model_node *nodes, const struct catalog *c, const char *service,
	     const char *selector, int fallback, const struct id *pin)
{
	struct catalog_providers got = { 0, 0, NULL };
	enum catalog_answer want = CATALOG_NO_SERVICE, answer;
	int at = 0, found = 0;
	bool agrees;

	answer = catalog_providers(c, service, selector, fallback, pin, &got);
	for (int i = 0; i < NODES; i++) {
		enum catalog_state state = model_state(&nodes[i]);
		struct id id = node_id(i);
		int offering, ready, slots, serving;
		bool is_pinned = pin == NULL || id_equal(pin, &id);

		serving = model_serving(&nodes[i], service, selector, fallback, &offering,
					&ready, &slots);
		if (!nodes[i].is_held || state >= CATALOG_LEFT)
			continue;
		if (offering > 0 && want == CATALOG_NO_SERVICE)
			want = CATALOG_NO_MATCH;
		if (serving > 0 && want == CATALOG_NO_MATCH)
			want = CATALOG_NO_NODE;
		if (serving > 0 && is_pinned && want != CATALOG_FOUND)
			want = CATALOG_NONE_READY;
		if (ready == 0 || !is_pinned || state > CATALOG_SUSPECT)
			continue;
		want = CATALOG_FOUND;
		if (at < got.len && id_equal(&got.items[at].node, &id) &&
		    got.items[at].workers == ready && got.items[at].slots == slots &&
		    got.items[at].state == state)
			at++;
		found++;
	}
	agrees = answer == want && found == at && got.len == found;
	if (!agrees)
		tap_note("%s %s %d: answer %d, want %d; %d of %d found", service,
			 selector != NULL ? selector : "-", fallback, answer, want,
			 got.len, found);
	catalog_providers_fini(&got);
	return agrees;
}

static bool
model_agrees_on_all(const struct model_node *nodes, const struct catalog *c)
{
	static const char *const selectors[] = { NULL,	    "model=a", "model=*",
						 "model=z", "tier=x",  "tier=y" };

	for (size_t s = 0; s < 3; s++) {
		for (size_t k = 0; k < sizeof(selectors) / sizeof(selectors[0]); k++) {
			for (int fallback = 0; fallback <= 2; fallback++) {
				struct id pin = node_id((int)(s + k) % NODES);

				if (!model_agrees(nodes, c, services[s], selectors[k],
						  fallback, NULL) ||
				    !model_agrees(nodes, c, services[s], selectors[k],
						  fallback, &pin))
					return false;
			}
		}
	}
	return true;
}

static char *
everything(const struct catalog *c)
{
	json_t *all = json_pack("[o, o, o]", catalog_nodes_json(c, true, NULL, NULL),
				catalog_workers_json(c), catalog_services_json(c));
	char *text = json_dumps(all, JSON_COMPACT);

	json_decref(all);
	return text;
}

static void
test_catalog_equals_a_fresh_rebuild(void)
{
	uint64_t seed = tap_seed();
	int rounds = tap_is_quick() ? 20 : 200;

	for (int round = 0; round < rounds; round++) {
		struct model_node nodes[NODES];
		struct catalog *c = catalog_new(), *fresh;
		struct rng rng;
		char *a, *b;
		bool same;

		memset(nodes, 0, sizeof(nodes));
		rng_init(&rng, seed + (uint64_t)round);
		for (int i = 0; i < 150; i++)
			model_step(nodes, &rng, c);
		fresh = model_rebuild(nodes);
		a = everything(c);
		b = everything(fresh);
		same = strcmp(a, b) == 0 && model_agrees_on_all(nodes, c);
		if (!same)
			tap_note("seed %llu round %d", (unsigned long long)seed, round);
		CU_ASSERT(same);
		free(a);
		free(b);
		catalog_free(c);
		catalog_free(fresh);
		for (int i = 0; i < NODES; i++) {
			for (int k = 0; k < ROWS; k++)
				table_worker_fini(&nodes[i].workers[k].row);
		}
	}
}

/* ---- Examples ---- */

static void
test_worker_without_its_node_is_invisible(void)
{
	struct catalog *c = catalog_new();
	struct catalog_providers p = { 0, 0, NULL };
	struct catalog_counts counts;
	struct id id = node_id(0);

	add_worker(c, 0, 0, "w", "wc", NULL, 1);
	CU_ASSERT_EQUAL(catalog_providers(c, "wc", NULL, 0, NULL, &p),
			CATALOG_NO_SERVICE);
	catalog_counts(c, &counts);
	CU_ASSERT_EQUAL(counts.workers + counts.services + counts.nodes, 0);
	add_node(c, 0);
	CU_ASSERT_EQUAL(catalog_providers(c, "wc", NULL, 0, NULL, &p), CATALOG_FOUND);
	catalog_counts(c, &counts);
	CU_ASSERT_EQUAL(counts.workers, 1);
	catalog_set_state(c, &id, CATALOG_DEAD);
	CU_ASSERT_EQUAL(catalog_providers(c, "wc", NULL, 0, NULL, &p),
			CATALOG_NONE_READY);
	CU_ASSERT_EQUAL(catalog_providers(c, "ocr", NULL, 0, NULL, &p),
			CATALOG_NO_SERVICE);
	catalog_counts(c, &counts);
	CU_ASSERT_EQUAL(counts.alive, 0);
	CU_ASSERT_EQUAL(counts.nodes, 1);
	catalog_providers_fini(&p);
	catalog_free(c);
}

static void
test_fallback_widens_the_choice(void)
{
	struct catalog *c = catalog_new();
	struct catalog_providers p = { 0, 0, NULL };

	for (int i = 0; i < 4; i++)
		add_node(c, i);
	add_worker(c, 0, 0, "a", "llm", "model=a", 2);
	add_worker(c, 1, 0, "b", "llm", "model=*", 1);
	add_worker(c, 2, 0, "c", "llm", "all", 1);
	CU_ASSERT_EQUAL(catalog_providers(c, "llm", "model=a", 0, NULL, &p),
			CATALOG_FOUND);
	CU_ASSERT_EQUAL(p.len, 1);
	CU_ASSERT_EQUAL(catalog_providers(c, "llm", "model=a", 1, NULL, &p),
			CATALOG_FOUND);
	CU_ASSERT_EQUAL(p.len, 2);
	CU_ASSERT_EQUAL(catalog_providers(c, "llm", "model=a", 2, NULL, &p),
			CATALOG_FOUND);
	CU_ASSERT_EQUAL(p.len, 3);
	CU_ASSERT_EQUAL(catalog_providers(c, "llm", "model=z", 0, NULL, &p),
			CATALOG_NO_MATCH);
	/* A worker that announces nothing serves every query of its service. */
	add_worker(c, 3, 0, "d", "llm", NULL, 1);
	CU_ASSERT_EQUAL(catalog_providers(c, "llm", "model=z", 0, NULL, &p),
			CATALOG_FOUND);
	CU_ASSERT_EQUAL(p.len, 1);
	catalog_providers_fini(&p);
	catalog_free(c);
}

static void
test_sentences_list_what_is_offered(void)
{
	struct catalog *c = catalog_new();
	struct buf out = BUF_INIT;

	catalog_offers(c, 10, &out);
	CU_ASSERT_EQUAL(out.len, 0);
	add_node(c, 0);
	add_worker(c, 0, 0, "a", "wc", NULL, 1);
	add_worker(c, 0, 1, "b", "llm", "model=b", 1);
	add_worker(c, 0, 2, "c", "llm", "model=a", 1);
	add_worker(c, 1, 0, "c", "unseen", NULL, 1);
	catalog_offers(c, 10, &out);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "llm, wc");
	buf_clear(&out);
	catalog_matches(c, "llm", 1, &out);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "model=a and 1 more");
	buf_clear(&out);
	catalog_matches(c, "nothing", 1, &out);
	CU_ASSERT_EQUAL(out.len, 0);
	buf_fini(&out);
	catalog_free(c);
}

static void
test_nodes_are_found_by_name_and_beginning(void)
{
	struct catalog *c = catalog_new();
	struct id want = node_id(1), id = { { 0xbe, 0xef } }, got;
	char text[ID_TEXT_SIZE];

	add_node(c, 0);
	add_node(c, 1);
	CU_ASSERT_EQUAL(catalog_find_node(c, "n1", &got), 0);
	CU_ASSERT(id_equal(&got, &want));
	CU_ASSERT_EQUAL(catalog_find_node(c, id_text(&want, text), &got), 0);
	text[5] = '\0';
	CU_ASSERT_EQUAL(catalog_find_node(c, text, &got), 0);
	CU_ASSERT(id_equal(&got, &want));
	CU_ASSERT_EQUAL(catalog_find_node(c, "200", &got), -OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(catalog_find_node(c, "", &got), -OCF_EUNKNOWN);
	CU_ASSERT_EQUAL(catalog_find_node(c, id_text(&id, text), &got), -OCF_EUNKNOWN);
	/* A second node of the same name. */
	apply(c, &id, ROW_NODE, "", node_row("n1", false));
	CU_ASSERT_EQUAL(catalog_find_node(c, "n1", &got), -ENOTUNIQ);
	CU_ASSERT_EQUAL(catalog_find_node(c, "BEEF", &got), 0);
	catalog_free(c);
}

static void
test_own_rows_are_numbered(void)
{
	struct catalog *c = catalog_new();
	struct id id = node_id(0);
	struct row bad = { .len = 1 };
	struct row_key key;
	struct errmsg err = { "" };

	add_worker(c, 0, 0, "a", "wc", NULL, 1);
	add_worker(c, 0, 2, "b", "wc", NULL, 1);
	CU_ASSERT_EQUAL(catalog_worker_row(c, &id, "b"), 2);
	CU_ASSERT_EQUAL(catalog_worker_row(c, &id, "c"), -1);
	/* A row that cannot be read is nobody's. */
	bad.versions[0].value = bytes_text("{}");
	CU_ASSERT_EQUAL_FATAL(row_key_make(&id, ROW_WORKER, "1", &key), 0);
	CU_ASSERT_EQUAL(catalog_apply(c, &key, &bad, &err), -OCF_EMALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "id"));
	CU_ASSERT_EQUAL(catalog_apply(c, &key, NULL, &err), 0);
	catalog_free(c);
}

static struct row
stamped(struct row row, uint64_t stamp)
{
	row.versions[0].stamp = stamp;
	return row;
}

static enum catalog_answer
answer_of(const struct catalog *c, const char *service)
{
	struct catalog_providers p = { 0, 0, NULL };
	enum catalog_answer a = catalog_providers(c, service, NULL, 0, NULL, &p);

	catalog_providers_fini(&p);
	return a;
}

static void
test_a_lease_that_is_over_hides(void)
{
	struct catalog *c = catalog_new();
	struct id id = node_id(0);
	struct catalog_node node;

	apply(c, &id, ROW_NODE, "", stamped(node_row("n0", false), 1000));
	add_worker(c, 0, 0, "w", "wc", NULL, 1);
	catalog_expire(c, 999);
	CU_ASSERT_EQUAL(answer_of(c, "wc"), CATALOG_FOUND);
	catalog_expire(c, 1000);
	CU_ASSERT_EQUAL(answer_of(c, "wc"), CATALOG_NO_SERVICE);
	CU_ASSERT(catalog_node(c, &id, &node) && node.state == CATALOG_LEFT);
	/* A row that comes late is no better; one that renews the lease is. */
	apply(c, &id, ROW_NODE, "", stamped(node_row("n0", false), 1000));
	CU_ASSERT_EQUAL(answer_of(c, "wc"), CATALOG_NO_SERVICE);
	apply(c, &id, ROW_NODE, "", stamped(node_row("n0", false), 1001));
	CU_ASSERT_EQUAL(answer_of(c, "wc"), CATALOG_FOUND);
	catalog_expire(c, 2000);
	CU_ASSERT_EQUAL(answer_of(c, "wc"), CATALOG_NO_SERVICE);
	catalog_expire(c, -5); /* the clock was set back */
	CU_ASSERT_EQUAL(answer_of(c, "wc"), CATALOG_FOUND);
	catalog_free(c);
}

static void
test_bans_are_known_without_a_row(void)
{
	struct catalog *c = catalog_new();
	struct id ca = node_id(5), id = node_id(0);
	struct buf value = BUF_INIT;
	char name[ID_TEXT_SIZE];

	CU_ASSERT(!catalog_is_barred(c, &id));
	buf_put_text(&value, "{}");
	apply(c, &ca, ROW_BAN, id_text(&id, name), row_of(&value));
	CU_ASSERT(catalog_is_barred(c, &id) && !catalog_is_barred(c, &ca));
	apply(c, &ca, ROW_BAN, name, ROW_INIT);
	CU_ASSERT(!catalog_is_barred(c, &id));
	catalog_free(c);
}

static struct row
bar_row(int by, const char *name, const char *reason)
{
	char its_name[LIMIT_NODE_NAME_BYTES_MAX + 1], its_reason[32];
	struct table_bar bar = { .by = node_id(by),
				 .name = its_name,
				 .reason = its_reason };
	struct buf value = BUF_INIT;

	snprintf(its_name, sizeof(its_name), "%s", name);
	snprintf(its_reason, sizeof(its_reason), "%s", reason);
	CU_ASSERT_EQUAL_FATAL(table_bar_encode(&bar, &value, NULL), 0);
	return row_of(&value);
}

static bool
lists(const struct catalog *c, bool with_gone, const char *words)
{
	json_t *list = catalog_nodes_json(c, with_gone, NULL, NULL);
	char *text = json_dumps(list, JSON_COMPACT);
	bool has = strstr(text, words) != NULL;

	free(text);
	json_decref(list);
	return has;
}

static void
test_bans_tell_who_and_why(void)
{
	struct catalog *c = catalog_new();
	struct id ca = node_id(5), id = node_id(0), by = node_id(1);
	struct catalog_bar bar;
	struct buf text = BUF_INIT;
	char name[ID_TEXT_SIZE];

	id_text(&id, name);
	CU_ASSERT(!catalog_bar(c, &id, ROW_BAN, &bar));
	apply(c, &ca, ROW_BAN, name, bar_row(1, "old", "because"));
	CU_ASSERT_FATAL(catalog_bar(c, &id, ROW_BAN, &bar));
	CU_ASSERT(!catalog_bar(c, &id, ROW_FORGET, &bar));
	CU_ASSERT(id_equal(&bar.by, &by));
	CU_ASSERT_STRING_EQUAL(bar.reason, "because");
	CU_ASSERT_STRING_EQUAL(bar.name, "old");
	/* One without a row is listed as well, by the name of then. */
	CU_ASSERT(
		lists(c, true, "\"name\":\"old\",\"alive\":false,\"state\":\"banned\""));
	CU_ASSERT(lists(c, true, "\"reason\":\"because\""));
	CU_ASSERT(!lists(c, false, "banned"));
	catalog_describe(c, &id, &text);
	CU_ASSERT_STRING_EQUAL(buf_text(&text), "old (10000000)");
	add_node(c, 0);
	buf_clear(&text);
	catalog_describe(c, &id, &text);
	CU_ASSERT_STRING_EQUAL(buf_text(&text), "n0 (10000000)");
	/* One that cannot be read bars all the same. */
	apply(c, &ca, ROW_BAN, name, node_row("x", true));
	CU_ASSERT(catalog_bar(c, &id, ROW_BAN, &bar) && id_is_zero(&bar.by));
	apply(c, &ca, ROW_FORGET, name, bar_row(1, "", ""));
	CU_ASSERT(catalog_bar(c, &id, ROW_FORGET, &bar));
	apply(c, &ca, ROW_BAN, name, ROW_INIT);
	CU_ASSERT(lists(c, true, "\"state\":\"forgotten\""));
	apply(c, &id, ROW_NODE, "", ROW_INIT);
	CU_ASSERT(!lists(c, true, "forgotten")); /* swept: nothing is left of it */
	CU_ASSERT(catalog_is_barred(c, &id));
	buf_fini(&text);
	catalog_free(c);
}

static void
add_holder(struct catalog *c, int node)
{
	struct table_node n = { .holds_ca = true };
	struct buf value = BUF_INIT;
	struct id id = node_id(node);

	n.name = mem_printf("n%d", node);
	n.version = mem_strdup("1");
	buf_put(&n.cert, "x", 1);
	CU_ASSERT_EQUAL_FATAL(table_node_encode(&n, &value, NULL), 0);
	table_node_fini(&n);
	apply(c, &id, ROW_NODE, "", row_of(&value));
}

static void
check_holders(const struct catalog *c, const char *wanted)
{
	struct id self = node_id(0);
	struct buf out = BUF_INIT;

	catalog_ca_holders(c, &self, 2, &out);
	CU_ASSERT_STRING_EQUAL(out.len > 0 ? buf_text(&out) : "", wanted);
	buf_fini(&out);
}

static void
test_ca_holders(void)
{
	struct catalog *c = catalog_new();
	struct id ca = node_id(9), one = node_id(1), two = node_id(2);
	struct catalog_counts counts;
	char name[ID_TEXT_SIZE];

	add_node(c, 3);
	check_holders(c, "");
	for (int i = 0; i < 3; i++)
		add_holder(c, i);
	check_holders(c, "n1 (20000000), n2 (30000000)");
	catalog_set_state(c, &one, CATALOG_DEAD);
	check_holders(c, "n2 (30000000), n1 (20000000) which does not answer");
	catalog_counts(c, &counts);
	CU_ASSERT_EQUAL(counts.ca_holders, 3);
	apply(c, &ca, ROW_BAN, id_text(&two, name), bar_row(0, "", ""));
	check_holders(c, "n1 (20000000) which does not answer");
	catalog_counts(c, &counts);
	CU_ASSERT_EQUAL(counts.ca_holders, 2);
	add_holder(c, 4);
	add_holder(c, 5);
	check_holders(c, "n4 (50000000), n5 (60000000) and 1 more");
	catalog_free(c);
}

static struct catalog_contact
contact(void *arg, const struct id *node)
{
	(void)arg;
	return (struct catalog_contact){ .rtt_ms = 1.5,
					 .last_seen_s = -1,
					 .is_past_grace = node->b[15] == 1 };
}

static void
test_lists_have_the_shapes_of_the_interface(void)
{
	struct catalog *c = catalog_new();
	struct id dead = node_id(1);
	json_t *list;
	char *text;

	add_node(c, 0);
	add_node(c, 1);
	add_worker(c, 0, 0, "w", "llm", "model=a", 2);
	add_worker(c, 1, 0, "v", "wc", NULL, 1);
	catalog_set_state(c, &dead, CATALOG_DEAD);
	list = catalog_nodes_json(c, false, contact, NULL);
	text = json_dumps(list, JSON_COMPACT);
	CU_ASSERT_STRING_EQUAL(
		text,
		"[{\"id\":\"10000000000000000000000000000000\",\"name\":\"n0\",\"alive\":"
		"true,"
		"\"state\":\"alive\",\"addresses\":[],\"inbound\":null,\"region\":null,"
		"\"labels\":{},\"hardware\":{\"cpus\":0,\"memory\":0,\"gpus\":[]},"
		"\"workers\":1,\"version\":\"1\",\"ca\":false,"
		"\"rtt_ms\":1.5,\"last_seen_s\":null}]");
	free(text);
	json_decref(list);
	list = catalog_workers_json(c);
	text = json_dumps(list, JSON_COMPACT);
	CU_ASSERT_STRING_EQUAL(
		text, "[{\"id\":\"w\",\"node\":\"10000000000000000000000000000000\","
		      "\"node_name\":\"n0\",\"services\":[{\"name\":\"llm\",\"match\":["
		      "\"model=a\"],"
		      "\"slots\":2}],\"hardware\":{\"cpus\":0,\"memory\":0,\"gpus\":[]},"
		      "\"metadata\":{},\"state\":\"ready\"},"
		      "{\"id\":\"v\",\"node\":\"20000000000000000000000000000001\","
		      "\"node_name\":\"n1\",\"services\":[{\"name\":\"wc\",\"match\":[],"
		      "\"slots\":1}],\"hardware\":{\"cpus\":0,\"memory\":0,\"gpus\":[]},"
		      "\"metadata\":{},\"state\":\"hidden\"}]");
	free(text);
	json_decref(list);
	list = catalog_services_json(c);
	text = json_dumps(list, JSON_COMPACT);
	CU_ASSERT_STRING_EQUAL(text,
			       "[{\"name\":\"llm\",\"match\":\"model=a\",\"nodes\":1,"
			       "\"workers\":1,\"slots\":2}]");
	free(text);
	json_decref(list);
	catalog_free(c);
}

static const struct tap_test tests[] = {
	{ "a worker whose node row is not held is invisible, a dead node's no provider",
	  test_worker_without_its_node_is_invisible },
	{ "each level of fallback widens the choice", test_fallback_widens_the_choice },
	{ "a 404 can list services and matches", test_sentences_list_what_is_offered },
	{ "nodes are found by id, by a unique beginning and by name",
	  test_nodes_are_found_by_name_and_beginning },
	{ "an owner finds its workers' rows", test_own_rows_are_numbered },
	{ "a lease that is over hides a node until it is renewed",
	  test_a_lease_that_is_over_hides },
	{ "a node is known to be banned whether or not its row is held",
	  test_bans_are_known_without_a_row },
	{ "a ban tells who, when and why, and whether or not it can be read it counts",
	  test_bans_tell_who_and_why },
	{ "who holds the CA's key is named, the living first", test_ca_holders },
	{ "the lists have the shapes of the interface",
	  test_lists_have_the_shapes_of_the_interface },
	{ "after any history the catalog equals a fresh one and answers as the model "
	  "does",
	  test_catalog_equals_a_fresh_rebuild },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
