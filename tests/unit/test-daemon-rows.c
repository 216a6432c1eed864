/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's hand on the table (rows.c with own.c, sweep.c and aside.c) over a real store
 * and real checks on their lane, without links: what would be sent is kept here. */
#include "config.h"

#include "daemon/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "daemon/refresh.h"
#include "lib/tap.h"
#include "store/private.h"
#include "table/rows.h"

enum { TURNS_MAX = 1000, LINK = 5 };

/* ---- the rest of a daemon ---- */

static struct {
	struct buf handed_on; /* rows that changed */
	struct buf refresh;   /* how the latest of them may travel */
	struct buf sent;      /* to one link */
	struct buf wanted;
	int rejected, roots;
} said;

void
links_row_changed(struct links *links, uint64_t link, struct bytes row,
		  struct bytes refresh)
{
	(void)links;
	(void)link;
	buf_clear(&said.refresh);
	buf_put_bytes(&said.refresh, refresh);
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
	buf_put_bytes(&said.wanted, owners);
}

void
links_root_changed(struct links *links)
{
	(void)links;
	said.roots++;
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

/* ---- a node ---- */

struct rig {
	struct daemon d;
	char *folder, *dir;
};

static void
rig_start(struct rig *rig)
{
	struct store_config config = { .dir = rig->dir, .sha256 = ident_sha256 };

	CU_ASSERT_FATAL(store_open(&config, &rig->d.store, NULL) == 0);
	rig->d.loop = loop_new();
	rig->d.catalog = catalog_new();
	rig->d.started_wall_ms = clock_wall_ms();
	rng_init(&rig->d.rng, tap_seed());
	rig->d.rows = rows_open(&rig->d);
	rows_load(rig->d.rows);
}

static void
rig_init(struct rig *rig, const char *name)
{
	struct store_constants constants = { .retention_ms = MS_DAY,
					     .rows_per_node = 1000 };
	struct errmsg err = { "" };

	*rig = (struct rig){ .folder = mem_printf("%s/%s", tap_folder(), name) };
	rig->dir = mem_printf("%s/store", rig->folder);
	CU_ASSERT_FATAL(identity_create(rig->folder, &rig->d.identity, &err) == 0);
	constants.cluster = rig->d.identity->cluster_id;
	CU_ASSERT_FATAL(store_create(rig->dir, &constants, &err) == 0);
	rig_start(rig);
}

static void
rig_stop(struct rig *rig)
{
	rows_close(rig->d.rows);
	CU_ASSERT(store_close(rig->d.store) == 0);
	catalog_free(rig->d.catalog);
	loop_free(rig->d.loop);
}

static void
rig_fini(struct rig *rig)
{
	rig_stop(rig);
	identity_free(rig->d.identity);
	buf_fini(&said.handed_on);
	buf_fini(&said.refresh);
	buf_fini(&said.sent);
	buf_fini(&said.wanted);
	memset(&said, 0, sizeof(said));
	free(rig->folder);
	free(rig->dir);
}

/* Turn the loop until the row is held, on the disk or not. */
static void
rig_wait_held(struct rig *rig, const struct row_key *key)
{
	struct row held = ROW_INIT;
	int rc = -ENOENT;

	for (int i = 0; i < TURNS_MAX && rc != 0; i++) {
		loop_turn(rig->d.loop, 10);
		rc = store_get(rig->d.store, key, &held);
		row_fini(&held);
	}
	CU_ASSERT_FATAL(rc == 0);
}

static void
rig_wait_rows(struct rig *rig, uint64_t rows)
{
	for (int i = 0; i < TURNS_MAX && store_root(rig->d.store).count != rows; i++)
		loop_turn(rig->d.loop, 10);
	CU_ASSERT(store_root(rig->d.store).count == rows);
}

/* ---- another member ---- */

struct member {
	const struct rig *rig;
	struct key *key;
	struct id id;
	uint64_t seq;
};

static struct member
member_new(const struct rig *rig)
{
	struct member m = { .rig = rig, .key = key_generate() };

	m.id = key_id(m.key);
	return m;
}

static struct row_key
member_put(struct member *m, struct buf *out, enum row_kind kind, int number,
	   struct bytes value)
{
	const struct row none = ROW_INIT;
	const struct dot dot = { .actor = 7, .seq = ++m->seq };
	uint8_t signature[ROW_SIGNATURE_BYTES];
	char name[ROW_NAME_BYTES_MAX + 1] = "";
	struct buf text = BUF_INIT;
	struct row_key key;
	struct version v;
	struct row row;

	if (row_kind_is_leased((uint8_t)kind))
		snprintf(name, sizeof(name), "%d", number);
	CU_ASSERT_FATAL(row_key_make(&m->id, kind, name, &key) == 0);
	CU_ASSERT_FATAL(version_next(&none, dot, (uint64_t)clock_wall_ms(), &value, &v) ==
			0);
	codec_put_signed(&text, &m->rig->d.identity->cluster_id, &key, &v, ident_sha256);
	ident_sign(m->key, buf_bytes(&text), signature);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, &row);
	codec_put_key(out, &key);
	codec_put_row(out, &row);
	row_fini(&row);
	buf_fini(&text);
	return key;
}

static struct row_key
member_put_node(struct member *m, struct buf *out)
{
	char name[] = "other", version[] = "1";
	struct table_node node = { .name = name, .version = version };
	uint8_t pub[KEY_PUBLIC_BYTES];
	struct buf value = BUF_INIT;
	struct errmsg err = { "" };
	struct row_key key;

	key_public(m->key, pub);
	cert_issue(m->rig->d.identity->ca_key, pub, clock_wall_ms(), &node.cert);
	CU_ASSERT_FATAL(table_node_encode(&node, &value, &err) == 0);
	key = member_put(m, out, ROW_NODE, 0, buf_bytes(&value));
	buf_fini(&node.cert);
	buf_fini(&value);
	return key;
}

static struct row_key
member_put_worker(struct member *m, struct buf *out, int number)
{
	static const char
		value[] = "{\"id\":\"w\",\"services\":[{\"name\":\"wc\"}],\"slots\":1}";

	return member_put(m, out, ROW_WORKER, number, bytes_text(value));
}

static void
rig_deliver(struct rig *rig, struct buf *rows, uint64_t expected)
{
	uint64_t len = 0;

	CU_ASSERT(rows_deliver(rig->d.rows, LINK, buf_bytes(rows), false, &len) == 0);
	CU_ASSERT(len == expected);
	buf_clear(rows);
}

/* ---- tests ---- */

/* Handed on before its HELLO was sent, and not counted in the root that this told: who comes
 * up in between would miss it until tables are compared. */
static void
test_greeting(void)
{
	struct buf rows = BUF_INIT, wanted = BUF_INIT;
	struct row_key node;
	struct member m;
	struct rig rig;

	rig_init(&rig, "greeting");
	m = member_new(&rig);
	rows_greet(rig.d.rows, LINK);
	CU_ASSERT(said.sent.len == 0);
	/* The disk takes its time. */
	pthread_mutex_lock(&rig.d.store->write_lock);
	node = member_put_node(&m, &rows);
	buf_put_bytes(&wanted, buf_bytes(&rows));
	rig_deliver(&rig, &rows, 1);
	rig_wait_held(&rig, &node);
	CU_ASSERT(bytes_equal(buf_bytes(&said.handed_on), buf_bytes(&wanted)));
	rows_greet(rig.d.rows, LINK);
	CU_ASSERT(bytes_equal(buf_bytes(&said.sent), buf_bytes(&wanted)));
	/* And another behind what is on its way to the disk, in that order. */
	node = member_put_worker(&m, &rows, 1);
	buf_put_bytes(&wanted, buf_bytes(&rows));
	rig_deliver(&rig, &rows, 1);
	rig_wait_held(&rig, &node);
	buf_clear(&said.sent);
	rows_greet(rig.d.rows, LINK);
	CU_ASSERT(bytes_equal(buf_bytes(&said.sent), buf_bytes(&wanted)));
	CU_ASSERT(store_root(rig.d.store).count == 0);
	pthread_mutex_unlock(&rig.d.store->write_lock);
	rig_wait_rows(&rig, 2);
	/* The last answer of the disk comes by the loop. */
	for (int i = 0; i < TURNS_MAX && (rig.d.rows->is_syncing || rig.d.rows->is_dirty);
	     i++)
		loop_turn(rig.d.loop, 10);
	buf_clear(&said.sent);
	rows_greet(rig.d.rows, LINK);
	CU_ASSERT(said.sent.len == 0 && said.roots > 0 && said.rejected == 0);
	buf_fini(&rows);
	buf_fini(&wanted);
	key_free(m.key);
	rig_fini(&rig);
}

/* A worker row whose check began before that of its node row had ended, on another thread,
 * and so found no key: it is checked again, and neither refused nor put aside for good. */
static void
test_beside_node_row(void)
{
	enum { KNOWN = 100, OTHERS = 8 };
	struct buf first = BUF_INIT, second = BUF_INIT;
	struct member known, m;
	struct row_key key;
	struct rig rig;

	rig_init(&rig, "beside");
	known = member_new(&rig);
	key = member_put_node(&known, &first);
	rig_deliver(&rig, &first, 1);
	rig_wait_held(&rig, &key);
	for (int round = 0; round < OTHERS; round++) {
		m = member_new(&rig);
		/* Some milliseconds of work before the node row. */
		for (int i = 0; i < KNOWN; i++)
			member_put_worker(&known, &first, i);
		member_put_node(&m, &first);
		key = member_put_worker(&m, &second, 0);
		rig_deliver(&rig, &first, KNOWN + 1);
		rig_deliver(&rig, &second, 1);
		rig_wait_held(&rig, &key);
		key_free(m.key);
	}
	tap_note("%llu of %d were checked again",
		 (unsigned long long)rig.d.rows->checked_again, OTHERS);
	CU_ASSERT(said.wanted.len == 0 && said.rejected == 0);
	CU_ASSERT(aside_len(rig.d.rows->aside) == 0);
	key_free(known.key);
	buf_fini(&first);
	buf_fini(&second);
	rig_fini(&rig);
}

/* Without its node row a worker row waits, that is asked for, and all is well when it comes. */
static void
test_aside(void)
{
	struct buf node = BUF_INIT, worker = BUF_INIT;
	struct row_key key;
	struct member m;
	struct rig rig;

	rig_init(&rig, "aside");
	m = member_new(&rig);
	member_put_node(&m, &node);
	key = member_put_worker(&m, &worker, 3);
	rig_deliver(&rig, &worker, 1);
	for (int i = 0; i < TURNS_MAX && said.wanted.len == 0; i++)
		loop_turn(rig.d.loop, 10);
	CU_ASSERT(bytes_equal(buf_bytes(&said.wanted), bytes_of(m.id.b, ID_BYTES)));
	CU_ASSERT(aside_len(rig.d.rows->aside) == 1);
	rig_deliver(&rig, &node, 1);
	rig_wait_held(&rig, &key);
	CU_ASSERT(aside_len(rig.d.rows->aside) == 0 && said.rejected == 0);
	/* Who asks for it in turn gets it, and nothing for an owner that nobody knows. */
	buf_put(&node, m.id.b, ID_BYTES);
	m.id.b[0] ^= 1;
	buf_put(&node, m.id.b, ID_BYTES);
	rows_answer(rig.d.rows, LINK, buf_bytes(&node));
	CU_ASSERT(said.sent.len > 0);
	key_free(m.key);
	buf_fini(&node);
	buf_fini(&worker);
	rig_fini(&rig);
}

/* A row of a later version is checked, kept, handed on and read again after a start, untouched;
 * it is seen nowhere, and asks for its node row as a worker's does. */
static void
test_later(void)
{
	static const uint8_t value[] = { 0x81, 0x00, 0xff, 'x' };
	struct buf node = BUF_INIT, later = BUF_INIT, wanted = BUF_INIT;
	struct row_key key;
	struct member m;
	struct rig rig;
	struct row row;

	rig_init(&rig, "later");
	m = member_new(&rig);
	member_put_node(&m, &node);
	buf_put_bytes(&wanted, buf_bytes(&node));
	key = member_put(&m, &later, ROW_LATER_LAST, 2, bytes_of(value, sizeof(value)));
	buf_put_bytes(&wanted, buf_bytes(&later));
	rig_deliver(&rig, &later, 1);
	for (int i = 0; i < TURNS_MAX && said.wanted.len == 0; i++)
		loop_turn(rig.d.loop, 10);
	CU_ASSERT(bytes_equal(buf_bytes(&said.wanted), bytes_of(m.id.b, ID_BYTES)));
	rig_deliver(&rig, &node, 1);
	rig_wait_held(&rig, &key);
	CU_ASSERT(bytes_equal(buf_bytes(&said.handed_on), buf_bytes(&wanted)));
	CU_ASSERT(said.rejected == 0);
	rig_wait_rows(&rig, 2);
	rig_stop(&rig);
	rig_start(&rig);
	CU_ASSERT_FATAL(store_get(rig.d.store, &key, &row) == 0);
	CU_ASSERT(row.len == 1 &&
		  bytes_equal(row.versions[0].value, bytes_of(value, sizeof(value))));
	row_fini(&row);
	/* Of another's key it is a forgery, of whatever kind. */
	m.id.b[0] ^= 1;
	member_put(&m, &later, ROW_LATER_LAST, 2, bytes_of(value, sizeof(value)));
	rig_deliver(&rig, &later, 1);
	for (int i = 0; i < TURNS_MAX && aside_len(rig.d.rows->aside) == 0; i++)
		loop_turn(rig.d.loop, 10);
	CU_ASSERT(aside_len(rig.d.rows->aside) == 1);
	key_free(m.key);
	buf_fini(&node);
	buf_fini(&later);
	buf_fini(&wanted);
	rig_fini(&rig);
}

/* ---- refreshes ---- */

/* The next version of what is held under `key`, signed by its owner. */
static void
next_version(const struct rig *rig, const struct row_key *key, const struct key *signer,
	     struct bytes value, struct row *ret_row)
{
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct buf text = BUF_INIT;
	struct row held;
	struct version v;
	struct dot dot;

	CU_ASSERT_FATAL(store_get(rig->d.store, key, &held) == 0);
	dot = held.versions[0].dot;
	dot.seq++;
	CU_ASSERT_FATAL(version_next(&held, dot, row_stamp(&held) + 1, &value, &v) == 0);
	codec_put_signed(&text, &rig->d.identity->cluster_id, key, &v, ident_sha256);
	ident_sign(signer, buf_bytes(&text), signature);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, ret_row);
	row_fini(&held);
	buf_fini(&text);
}

static uint64_t
held_seq(const struct rig *rig, const struct row_key *key)
{
	struct row held = ROW_INIT;
	uint64_t seq = 0;

	if (store_get(rig->d.store, key, &held) == 0)
		seq = held.versions[0].dot.seq;
	row_fini(&held);
	return seq;
}

static void
rig_refresh(struct rig *rig, const struct buf *payload, int turns)
{
	CU_ASSERT(rows_deliver_refresh(rig->d.rows, LINK, buf_bytes(payload)) == 0);
	for (int i = 0; i < turns; i++)
		loop_turn(rig->d.loop, 10);
}

/* A member's node row is held here; *ret_row is the next version, with the same value. */
static struct row_key
rig_meet(struct rig *rig, struct member *m, struct row *ret_row)
{
	struct buf rows = BUF_INIT;
	struct row_key key;
	struct row held;

	*m = member_new(rig);
	key = member_put_node(m, &rows);
	rig_deliver(rig, &rows, 1);
	rig_wait_held(rig, &key);
	CU_ASSERT_FATAL(store_get(rig->d.store, &key, &held) == 0);
	next_version(rig, &key, m->key, held.versions[0].value, ret_row);
	CU_ASSERT(refresh_is_one(&held, ret_row));
	row_fini(&held);
	buf_clear(&said.handed_on);
	buf_clear(&said.refresh);
	buf_fini(&rows);
	return key;
}

static void
test_refresh(void)
{
	struct buf payload = BUF_INIT;
	struct row next;
	struct row_key key;
	struct member m;
	struct rig rig;

	rig_init(&rig, "refresh");
	key = rig_meet(&rig, &m, &next);
	CU_ASSERT(refresh_put(&key, &next, &payload) &&
		  payload.len == WIRE_REFRESH_BYTES);
	rig_refresh(&rig, &payload, 0);
	for (int i = 0; i < TURNS_MAX && held_seq(&rig, &key) == 1; i++)
		loop_turn(rig.d.loop, 10);
	CU_ASSERT(held_seq(&rig, &key) == 2 && said.rejected == 0 &&
		  said.wanted.len == 0);
	/* Whole to who keeps it, and as it came to who has the value. */
	CU_ASSERT(said.handed_on.len > WIRE_REFRESH_BYTES);
	CU_ASSERT(bytes_equal(buf_bytes(&said.refresh), buf_bytes(&payload)));
	/* Again, or what was before. */
	buf_clear(&said.handed_on);
	rig_refresh(&rig, &payload, 5);
	CU_ASSERT(said.handed_on.len == 0 && said.wanted.len == 0 && said.rejected == 0);
	row_fini(&next);
	buf_fini(&payload);
	key_free(m.key);
	rig_fini(&rig);
}

/* Its value is another than ours, or there is none: nobody lied, and the row is asked for. */
static void
test_refresh_without_value(void)
{
	struct buf payload = BUF_INIT;
	struct row next;
	struct row_key key;
	struct member m;
	struct rig rig;

	rig_init(&rig, "refresh-value");
	key = rig_meet(&rig, &m, &next);
	row_fini(&next);
	next_version(&rig, &key, m.key, bytes_text("{}"), &next);
	CU_ASSERT(refresh_put(&key, &next, &payload));
	rig_refresh(&rig, &payload, 0);
	for (int i = 0; i < TURNS_MAX && said.wanted.len == 0; i++)
		loop_turn(rig.d.loop, 10);
	CU_ASSERT(bytes_equal(buf_bytes(&said.wanted), bytes_of(m.id.b, ID_BYTES)));
	CU_ASSERT(held_seq(&rig, &key) == 1 && said.rejected == 0);
	CU_ASSERT(said.handed_on.len == 0 && rows_refused(rig.d.rows) == 0);
	/* Of a node that is not known, and by another actor than before. */
	for (int at = 0; at <= ID_BYTES; at += ID_BYTES) {
		buf_clear(&said.wanted);
		payload.data[at] ^= 1;
		rig_refresh(&rig, &payload, 0);
		CU_ASSERT(said.wanted.len == ID_BYTES);
		payload.data[at] ^= 1;
	}
	/* Not what anybody could have written. */
	CU_ASSERT(rows_deliver_refresh(rig.d.rows, LINK,
				       bytes_of(payload.data, payload.len - 1)) < 0);
	put_be64(payload.data + ID_BYTES + 8, 0); /* seq */
	CU_ASSERT(rows_deliver_refresh(rig.d.rows, LINK, buf_bytes(&payload)) < 0);
	put_be64(payload.data + ID_BYTES + 8, 2);
	put_be64(payload.data + ID_BYTES + 24, 2); /* own: as high as that */
	CU_ASSERT(rows_deliver_refresh(rig.d.rows, LINK, buf_bytes(&payload)) < 0);
	put_be64(payload.data + ID_BYTES + 24, 1);
	put_be64(payload.data + ID_BYTES + 16, ROW_STAMP_MAX + 1);
	CU_ASSERT(rows_deliver_refresh(rig.d.rows, LINK, buf_bytes(&payload)) < 0);
	row_fini(&next);
	buf_fini(&payload);
	key_free(m.key);
	rig_fini(&rig);
}

static void
write_own(struct rig *rig, const char *text)
{
	const struct row_key key = { .owner = rig->d.identity->node_id,
				     .kind = ROW_NODE };
	struct row held = ROW_INIT, merged;
	struct bytes value = bytes_text(text);
	struct version v;
	struct dot dot;

	store_get(rig->d.store, &key, &held);
	CU_ASSERT_FATAL(store_next_dot(rig->d.store, &dot) == 0);
	CU_ASSERT_FATAL(version_next(&held, dot, (uint64_t)clock_wall_ms() + dot.seq,
				     &value, &v) == 0);
	CU_ASSERT(rows_write(rig->d.rows, &key, rig->d.identity->node_key, &v, &merged) ==
		  0);
	row_fini(&merged);
	row_fini(&held);
	buf_clear(&said.handed_on);
	buf_clear(&said.refresh);
	rows_sync(rig->d.rows);
	for (int i = 0; i < TURNS_MAX && said.handed_on.len == 0; i++)
		loop_turn(rig->d.loop, 10);
	CU_ASSERT(said.handed_on.len > 0);
}

static void
test_own_refresh(void)
{
	struct rig rig;

	rig_init(&rig, "refresh-own");
	write_own(&rig, "{\"one\":1}");
	CU_ASSERT(said.refresh.len == 0);
	write_own(&rig, "{\"one\":1}");
	CU_ASSERT(said.refresh.len == WIRE_REFRESH_BYTES);
	write_own(&rig, "{\"one\":2}");
	CU_ASSERT(said.refresh.len == 0);
	rig_fini(&rig);
}

/* ---- joining ---- */

/* What a joining node reads is news to nobody else. */
static void
test_joining(void)
{
	struct buf node = BUF_INIT, worker = BUF_INIT;
	struct row_key node_key, worker_key;
	struct member m;
	struct rig rig;
	uint64_t len;

	rig_init(&rig, "joining");
	m = member_new(&rig);
	node_key = member_put_node(&m, &node);
	worker_key = member_put_worker(&m, &worker, 1);
	/* Also what waits for its owner's row. */
	CU_ASSERT(rows_deliver(rig.d.rows, LINK, buf_bytes(&worker), true, &len) == 0);
	for (int i = 0; i < TURNS_MAX && aside_len(rig.d.rows->aside) == 0; i++)
		loop_turn(rig.d.loop, 10);
	CU_ASSERT(rows_deliver(rig.d.rows, LINK, buf_bytes(&node), true, &len) == 0);
	rig_wait_held(&rig, &node_key);
	rig_wait_held(&rig, &worker_key);
	CU_ASSERT(said.handed_on.len == 0);
	rows_greet(rig.d.rows, LINK);
	CU_ASSERT(said.sent.len == 0);
	buf_fini(&node);
	buf_fini(&worker);
	key_free(m.key);
	rig_fini(&rig);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a link that opens is told what is merged and not on the disk",
		  test_greeting },
		{ "a worker row that was checked beside its node row is checked again",
		  test_beside_node_row },
		{ "one without its node row waits until that was asked for and comes",
		  test_aside },
		{ "one of a later version is kept and handed on untouched", test_later },
		{ "a refresh renews the row with the value that is held, and goes on as one",
		  test_refresh },
		{ "a refresh of another value is no lie: the row is asked for",
		  test_refresh_without_value },
		{ "our own row travels without its value when that is as it was",
		  test_own_refresh },
		{ "what a joining node reads page by page is handed on to nobody",
		  test_joining },
	};

	return TAP_MAIN(argc, argv, tests);
}
