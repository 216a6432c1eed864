/* SPDX-License-Identifier: Apache-2.0 */
/* Bans and forgets (daemon/ca.c) over real stores and real keys, without links and without
 * HTTP: what a client would ask, what would be answered, and what is handed on. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "daemon/rows.h"
#include "daemon/work.h"
#include "lib/tap.h"
#include "table/rows.h"

enum { TURNS_MAX = 1000, LINK = 5 };

/* ---- the rest of a daemon ---- */

static struct {
	struct buf handed_on, sent;
	int rejected, landed, landed_rc;
	bool has_compared;
} said;

void
links_row_changed(struct links *links, uint64_t link, struct bytes row,
		  struct bytes refresh)
{
	(void)links;
	(void)link;
	(void)refresh;
	buf_put_bytes(&said.handed_on, row);
}

void
links_send_rows(struct links *links, uint64_t link, struct bytes rows)
{
	(void)links;
	CU_ASSERT(link == LINK);
	buf_put_bytes(&said.sent, rows);
}

void
links_want(struct links *links, uint64_t link, struct bytes owners)
{
	(void)links;
	(void)link;
	(void)owners;
}

void
links_root_changed(struct links *links)
{
	(void)links;
}

void
links_node_changed(struct links *links, const struct id *node)
{
	(void)links;
	(void)node;
}

void
links_reject(struct links *links, uint64_t link, const char *why)
{
	(void)links;
	(void)link;
	tap_note("rejected: %s", why);
	said.rejected++;
}

void
daemon_stop(struct daemon *d, int status)
{
	(void)d;
	(void)status;
	CU_FAIL("a node that is to stop");
}

void
self_keep_seed(struct daemon *d, const char *address)
{
	(void)d;
	(void)address;
}

bool
repair_has_compared(const struct repair *repair)
{
	(void)repair;
	return said.has_compared;
}

void
work_landed(struct work *w, int rc, const char *why)
{
	(void)w;
	(void)why;
	said.landed++;
	said.landed_rc = rc;
}

/* ---- a node that holds the key ---- */

struct rig {
	struct daemon d;
	char *folder, *dir;
	bool is_borrowed; /* the identity is another rig's */
};

static void
rig_init_with(struct rig *rig, const char *name, struct identity *identity)
{
	struct store_constants constants = { .retention_ms = MS_DAY,
					     .rows_per_node = 1000 };
	struct store_config config = { .sha256 = ident_sha256 };
	struct errmsg err = { "" };

	*rig = (struct rig){ .folder = mem_printf("%s/%s", tap_folder(), name),
			     .is_borrowed = identity != NULL };
	rig->dir = mem_printf("%s/store", rig->folder);
	rig->d.identity = identity;
	if (identity == NULL)
		CU_ASSERT_FATAL(identity_create(rig->folder, &rig->d.identity, &err) ==
				0);
	constants.cluster = rig->d.identity->cluster_id;
	CU_ASSERT_FATAL(store_create(rig->dir, &constants, &err) == 0);
	config.dir = rig->dir;
	CU_ASSERT_FATAL(store_open(&config, &rig->d.store, NULL) == 0);
	rig->d.loop = loop_new();
	rig->d.catalog = catalog_new();
	rig->d.started_wall_ms = clock_wall_ms();
	rng_init(&rig->d.rng, tap_seed());
	rig->d.rows = rows_open(&rig->d);
	rig->d.ca = ca_open(&rig->d);
	rows_load(rig->d.rows);
	said.has_compared = true;
}

static void
rig_init(struct rig *rig, const char *name)
{
	rig_init_with(rig, name, NULL);
}

static void
rig_fini(struct rig *rig)
{
	rows_close(rig->d.rows);
	ca_close(rig->d.ca);
	CU_ASSERT(store_close(rig->d.store) == 0);
	catalog_free(rig->d.catalog);
	loop_free(rig->d.loop);
	if (!rig->is_borrowed)
		identity_free(rig->d.identity);
	buf_fini(&said.handed_on);
	buf_fini(&said.sent);
	memset(&said, 0, sizeof(said));
	free(rig->folder);
	free(rig->dir);
}

/* The id of the node that is meant: 0123…, with one digit that differs. */
static struct id
target(int number)
{
	struct id id = { { 0x01, 0x23, 0x45, 0x67, (uint8_t)number } };

	return id;
}

/* The status with which the request would be refused, the reason in `err`; or 200, done and
 * durable, the reply in `ret_reply` (NULL is allowed). */
static int
ask(struct rig *rig, const struct work_type *type, const char *body, struct errmsg *err,
    json_t **ret_reply)
{
	struct query_headers params = { 0 };
	struct buf out = BUF_INIT;
	int landed = said.landed, status;
	void *job;

	status = type->open(&rig->d, &params, bytes_text(body), &job, err);
	if (status != 200)
		return status;
	CU_ASSERT(!type->land(job, NULL, &out));
	CU_ASSERT(said.landed == landed);
	for (int i = 0; i < TURNS_MAX && said.landed == landed; i++)
		loop_turn(rig->d.loop, 10);
	CU_ASSERT(said.landed == landed + 1 && said.landed_rc == 0);
	/* By then all of it is on the disk, and on its way to the others. */
	for (int i = 0;
	     i < TURNS_MAX && (rig->d.rows->is_syncing || rig->d.rows->is_dirty); i++)
		loop_turn(rig->d.loop, 10);
	if (ret_reply != NULL)
		*ret_reply = json_loadb((const char *)out.data, out.len, 0, NULL);
	buf_fini(&out);
	type->close(job);
	return 200;
}

static int
ask_about(struct rig *rig, const struct work_type *type, const struct id *node,
	  bool *ret_has_changed)
{
	char id[ID_TEXT_SIZE], *body = mem_printf("{\"node\":\"%s\"}", id_text(node, id));
	struct errmsg err = { "" };
	json_t *reply = NULL;
	int status = ask(rig, type, body, &err, &reply);

	*ret_has_changed = json_is_true(json_object_get(reply, "changed"));
	if (status != 200)
		tap_note("%d: %s", status, err.text);
	json_decref(reply);
	free(body);
	return status;
}

static void
does(struct rig *rig, const struct work_type *type, const struct id *node)
{
	bool has_changed;

	CU_ASSERT(ask_about(rig, type, node, &has_changed) == 200 && has_changed);
}

static struct row_key
key_of(const struct rig *rig, enum row_kind kind, const struct id *node)
{
	char name[ID_TEXT_SIZE];
	struct row_key key;

	CU_ASSERT_FATAL(row_key_make(&rig->d.identity->cluster_id, kind,
				     id_text(node, name), &key) == 0);
	return key;
}

static void
held(const struct rig *rig, enum row_kind kind, const struct id *node, struct row *ret)
{
	struct row_key key = key_of(rig, kind, node);

	CU_ASSERT_FATAL(store_get(rig->d.store, &key, ret) == 0);
}

static bool
is_banned(const struct rig *rig, const struct id *node)
{
	struct catalog_bar bar;

	return catalog_bar(rig->d.catalog, node, ROW_BAN, &bar);
}

/* What one holds about the node goes to the other. */
static void
carry(const struct rig *from, struct rig *to, enum row_kind kind, const struct id *node)
{
	struct row_key key = key_of(from, kind, node);
	struct buf rows = BUF_INIT;
	uint64_t len = 0;
	struct row row;

	held(from, kind, node, &row);
	codec_put_key(&rows, &key);
	codec_put_row(&rows, &row);
	CU_ASSERT(rows_deliver(to->d.rows, LINK, buf_bytes(&rows), false, &len) == 0 &&
		  len == 1);
	row_fini(&row);
	buf_fini(&rows);
}

/* ---- tests ---- */

static void
test_ban_and_unban(void)
{
	struct id node = target(0);
	struct errmsg err = { "" };
	struct catalog_bar bar;
	struct row row;
	struct rig rig;
	bool has_changed;
	json_t *reply;

	rig_init(&rig, "ban");
	CU_ASSERT(ask(&rig, &work_ban,
		      "{\"node\":\"01234567000000000000000000000000\","
		      "\"reason\":\"it lies\"}",
		      &err, &reply) == 200);
	CU_ASSERT(json_is_true(json_object_get(reply, "changed")));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(reply, "reason")),
			       "it lies");
	json_decref(reply);
	CU_ASSERT(said.handed_on.len > 0);
	CU_ASSERT_FATAL(catalog_bar(rig.d.catalog, &node, ROW_BAN, &bar));
	CU_ASSERT(id_equal(&bar.by, &rig.d.identity->node_id));
	CU_ASSERT_STRING_EQUAL(bar.reason, "it lies");
	/* Once more: nothing is written. */
	buf_clear(&said.handed_on);
	CU_ASSERT(ask_about(&rig, &work_ban, &node, &has_changed) == 200 && !has_changed);
	CU_ASSERT(said.handed_on.len == 0);
	held(&rig, ROW_BAN, &node, &row);
	CU_ASSERT(row.len == 1 && row.versions[0].context_len == 0);
	row_fini(&row);
	does(&rig, &work_unban, &node);
	CU_ASSERT(!is_banned(&rig, &node));
	held(&rig, ROW_BAN, &node, &row);
	CU_ASSERT(row.len == 1 && row.versions[0].is_removed);
	row_fini(&row);
	CU_ASSERT(ask_about(&rig, &work_unban, &node, &has_changed) == 409);
	does(&rig, &work_ban, &node);
	rig_fini(&rig);
}

static void
refuses(struct rig *rig, const struct work_type *type, const char *body, int status,
	const char *words)
{
	struct errmsg err = { "" };
	int got = ask(rig, type, body, &err, NULL);

	if (got != status || strstr(err.text, words) == NULL)
		tap_note("%s %s: %d %s", type->name, body, got, err.text);
	CU_ASSERT(got == status && strstr(err.text, words) != NULL);
}

#define UNKNOWN "{\"node\":\"0123456700000000000000000000000a\"}"

static void
test_refusals(void)
{
	struct key *ca_key;
	char self[ID_TEXT_SIZE], *body;
	struct rig rig;

	rig_init(&rig, "refusals");
	refuses(&rig, &work_ban, "{", 400, "");
	refuses(&rig, &work_ban, "{}", 400, "node");
	refuses(&rig, &work_ban, "{\"node\":\"n1\"}", 400, "32 hex digits");
	refuses(&rig, &work_unban,
		"{\"node\":\"0123456700000000000000000000000a\",\"reason\":\"r\"}", 400,
		"reason");
	refuses(&rig, &work_ban,
		"{\"node\":\"0123456700000000000000000000000a\",\"reason\":\"a\\u0007\"}",
		400, "control character");
	body = mem_printf("{\"node\":\"%s\"}", id_text(&rig.d.identity->node_id, self));
	refuses(&rig, &work_ban, body, 409, "cannot ban itself");
	refuses(&rig, &work_forget, body, 409, "cannot forget itself");
	free(body);
	refuses(&rig, &work_unban, UNKNOWN, 409, "is not banned");
	refuses(&rig, &work_forget, UNKNOWN, 404, "holds nothing");
	rows_clock_agrees(rig.d.rows, false);
	refuses(&rig, &work_ban, UNKNOWN, 503, "clock disagrees");
	rows_clock_agrees(rig.d.rows, true);
	ca_key = rig.d.identity->ca_key;
	rig.d.identity->ca_key = NULL;
	refuses(&rig, &work_ban, UNKNOWN, 403, "cannot ban");
	rig.d.identity->ca_key = ca_key;
	CU_ASSERT(store_root(rig.d.store).count == 0);
	rig_fini(&rig);
}

/* A node row as others would write it, put where it is looked up. */
static void
show_node(struct rig *rig, const struct id *id)
{
	char name[] = "other", version[] = "1";
	struct table_node node = { .name = name, .version = version };
	const struct row none = ROW_INIT;
	struct buf value = BUF_INIT;
	struct row_key key;
	struct version v;
	struct bytes bytes;
	struct row row;

	buf_put(&node.cert, "x", 1);
	CU_ASSERT_FATAL(table_node_encode(&node, &value, NULL) == 0);
	buf_fini(&node.cert);
	bytes = buf_bytes(&value);
	CU_ASSERT_FATAL(row_key_make(id, ROW_NODE, "", &key) == 0);
	CU_ASSERT_FATAL(version_next(&none, (struct dot){ 7, 1 },
				     (uint64_t)clock_wall_ms(), &bytes, &v) == 0);
	row_of_version(&v, &row);
	CU_ASSERT(catalog_apply(rig->d.catalog, &key, &row, NULL) == 0);
	row_fini(&row);
	buf_fini(&value);
}

/* What it does not find may only not have come yet: it says so, and does not say no. */
static void
test_unsure(void)
{
	struct id one = target(1), two = target(2);
	struct rig rig;

	rig_init(&rig, "unsure");
	show_node(&rig, &one);
	show_node(&rig, &two);
	said.has_compared = false;
	refuses(&rig, &work_unban, UNKNOWN, 503, "not compared its table");
	refuses(&rig, &work_forget, UNKNOWN, 503, "not compared its table");
	does(&rig, &work_ban, &one); /* which is right whatever others know */
	said.has_compared = true;
	refuses(&rig, &work_unban, UNKNOWN, 409, "is not banned");
	/* Nobody is there who could know. */
	said.has_compared = false;
	catalog_set_state(rig.d.catalog, &two, CATALOG_DEAD);
	refuses(&rig, &work_unban, UNKNOWN, 409, "is not banned");
	rig_fini(&rig);
}

static void
test_forget(void)
{
	struct id node = target(3);
	struct catalog_bar bar;
	char body[64], id[ID_TEXT_SIZE];
	bool has_changed;
	struct rig rig;

	rig_init(&rig, "forget");
	show_node(&rig, &node);
	snprintf(body, sizeof(body), "{\"node\":\"%s\"}", id_text(&node, id));
	refuses(&rig, &work_forget, body, 409, "is alive");
	catalog_set_state(rig.d.catalog, &node, CATALOG_DEAD);
	does(&rig, &work_forget, &node);
	CU_ASSERT(catalog_bar(rig.d.catalog, &node, ROW_FORGET, &bar));
	CU_ASSERT_STRING_EQUAL(bar.name, "other");
	CU_ASSERT(ask_about(&rig, &work_forget, &node, &has_changed) == 200 &&
		  !has_changed);
	refuses(&rig, &work_unban, body, 409, "joining anew");
	/* One that is banned may still run. */
	node = target(4);
	show_node(&rig, &node);
	does(&rig, &work_ban, &node);
	does(&rig, &work_forget, &node);
	rig_fini(&rig);
}

/* Two holders, who do not hear of each other meanwhile. */
static void
test_two_holders(void)
{
	struct id node = target(5);
	struct rig a, b;
	struct row of_a, of_b;

	rig_init(&a, "holder-a");
	rig_init_with(&b, "holder-b", a.d.identity);
	does(&a, &work_ban, &node);
	does(&b, &work_ban, &node);
	does(&b, &work_unban, &node);
	carry(&a, &b, ROW_BAN, &node);
	carry(&b, &a, ROW_BAN, &node);
	CU_ASSERT(is_banned(&a, &node) && is_banned(&b, &node));
	held(&a, ROW_BAN, &node, &of_a);
	held(&b, ROW_BAN, &node, &of_b);
	CU_ASSERT(row_equal(&of_a, &of_b) && of_a.len == 2);
	row_fini(&of_a);
	row_fini(&of_b);
	/* Who has seen both lifts both. */
	does(&b, &work_unban, &node);
	carry(&b, &a, ROW_BAN, &node);
	CU_ASSERT(!is_banned(&a, &node) && !is_banned(&b, &node));
	held(&a, ROW_BAN, &node, &of_a);
	CU_ASSERT(of_a.len == 1);
	row_fini(&of_a);
	CU_ASSERT(said.rejected == 0);
	rig_fini(&b);
	rig_fini(&a);
}

/* Nobody is there to tell of earlier writes: what is written counts for those who have seen
 * them. (tests/system/holders.sh does so with an older copy of a store.) */
static void
test_unseen(void)
{
	struct id node = target(6);
	struct rig a, b, later;

	rig_init(&a, "earlier");
	rig_init_with(&b, "witness", a.d.identity);
	for (int i = 0; i < 5; i++) {
		does(&a, &work_ban, &node);
		does(&a, &work_unban, &node);
	}
	carry(&a, &b, ROW_BAN, &node);
	rig_init_with(&later, "later", a.d.identity);
	does(&later, &work_ban, &node);
	carry(&later, &b, ROW_BAN, &node);
	CU_ASSERT(is_banned(&b, &node));
	carry(&b, &later, ROW_BAN, &node);
	CU_ASSERT(is_banned(&later, &node));
	does(&later, &work_unban, &node);
	carry(&later, &b, ROW_BAN, &node);
	CU_ASSERT(!is_banned(&b, &node));
	rig_fini(&later);
	rig_fini(&b);
	rig_fini(&a);
}

/* More lives than a context has entries. The actor is never that of the store, whose numbers
 * an older copy of it could give again. */
static void
test_many_lives(void)
{
	struct id node = target(7);
	uint64_t stamp = 0, actor = 0;
	struct row row;
	struct rig rig;

	rig_init(&rig, "lives");
	for (int i = 0; i < 3 * ROW_CONTEXT_MAX; i++) {
		ca_close(rig.d.ca);
		rig.d.ca = ca_open(&rig.d);
		does(&rig, i % 2 == 0 ? &work_ban : &work_unban, &node);
		held(&rig, ROW_BAN, &node, &row);
		CU_ASSERT(row.len == 1 && row.versions[0].context_len <= ROW_CONTEXT_MAX);
		CU_ASSERT(row_stamp(&row) > stamp);
		stamp = row_stamp(&row);
		CU_ASSERT(row.versions[0].dot.actor != actor);
		actor = row.versions[0].dot.actor;
		CU_ASSERT(!store_actor_is_ours(rig.d.store, actor));
		row_fini(&row);
		CU_ASSERT(is_banned(&rig, &node) == (i % 2 == 0));
	}
	rig_fini(&rig);
}

/* Whoever comes up is told of bans before all else, and takes them in before anything that
 * stands behind them. */
static void
test_greeting(void)
{
	struct id banned = target(8), forgotten = target(9);
	struct reader r;
	struct row_key key;
	uint64_t len;
	struct rig a, b;
	int bars = 0;

	rig_init(&a, "greeter");
	rig_init_with(&b, "greeted", a.d.identity);
	show_node(&a, &forgotten);
	catalog_set_state(a.d.catalog, &forgotten, CATALOG_DEAD);
	does(&a, &work_ban, &banned);
	does(&a, &work_forget, &forgotten);
	rows_greet(a.d.rows, LINK);
	r = reader_of(buf_bytes(&said.sent));
	while (r.len > 0) {
		struct row row;

		CU_ASSERT_FATAL(codec_read_key(&r, &key) == 0);
		CU_ASSERT_FATAL(codec_read_row(&r, ident_sha256, &row) == 0);
		bars += key.kind == ROW_BAN || key.kind == ROW_FORGET;
		row_fini(&row);
	}
	CU_ASSERT(bars == 2);
	/* One that the CA's key did not sign. */
	said.sent.data[said.sent.len - 1] ^= 1;
	CU_ASSERT(rows_deliver(b.d.rows, LINK, buf_bytes(&said.sent), false, &len) == 0);
	CU_ASSERT(said.rejected == 1 && store_root(b.d.store).count <= 1);
	said.sent.data[said.sent.len - 1] ^= 1;
	CU_ASSERT(rows_deliver(b.d.rows, LINK, buf_bytes(&said.sent), false, &len) == 0);
	/* At once: the loop did not turn. */
	CU_ASSERT(len == 2 && is_banned(&b, &banned));
	CU_ASSERT(catalog_is_barred(b.d.catalog, &forgotten));
	CU_ASSERT(said.rejected == 1);
	rig_fini(&b);
	rig_fini(&a);
}

static const struct tap_test tests[] = {
	{ "a node is banned, once, and let in again", test_ban_and_unban },
	{ "what makes no sense is refused with a reason", test_refusals },
	{ "who has not compared its table says so rather than no", test_unsure },
	{ "a node that is gone is forgotten, one that is alive is not", test_forget },
	{ "a ban and an unban that did not see it: banned, until both are seen",
	  test_two_holders },
	{ "a ban counts for who has seen bans and unbans that its author has not",
	  test_unseen },
	{ "each life has an actor of its own, and contexts stay within bounds",
	  test_many_lives },
	{ "bans come first on a link, and are taken in at once", test_greeting },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
