/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a small cluster, good and bad, before the checker and in an audit. The value of a
 * node row is its certificate here; what it is elsewhere is src/table's. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "crdt/codec.h"
#include "ident/audit.h"
#include "lib/tap.h"

static const ms_t now = (ms_t)20000 * MS_DAY;

struct member {
	struct key *key;
	struct id id;
	struct buf cert;
};

struct cluster {
	struct key *ca;
	struct identity identity; /* what a checker looks at */
	struct checker *checker;
};

static int
whole_value(struct bytes value, struct buf *out)
{
	buf_put_bytes(out, value);
	return value.len > 0 ? 0 : -OCF_EMALFORMED;
}

static struct cluster
cluster_new(void)
{
	struct cluster c = { .ca = key_generate() };

	cert_make_ca(c.ca, now, &c.identity.ca_cert);
	key_public(c.ca, c.identity.ca_public);
	c.identity.cluster_id = key_id(c.ca);
	return c;
}

static void
cluster_start(struct cluster *c)
{
	c->checker = checker_new(&c->identity, whole_value);
}

static void
cluster_free(struct cluster *c)
{
	checker_free(c->checker);
	key_free(c->ca);
	buf_fini(&c->identity.ca_cert);
}

static struct member
member_new(const struct cluster *c)
{
	struct member m = { .key = key_generate() };
	uint8_t pub[KEY_PUBLIC_BYTES];

	m.id = key_id(m.key);
	key_public(m.key, pub);
	cert_issue(c->ca, pub, now, &m.cert);
	return m;
}

static void
member_free(struct member *m)
{
	key_free(m->key);
	buf_fini(&m->cert);
}

/* A row of one version, signed with `key`. */
static struct row
row_signed(const struct cluster *c, const struct row_key *key, uint64_t actor,
	   struct bytes value, const struct key *signer)
{
	const struct row none = ROW_INIT;
	const struct dot dot = { .actor = actor, .seq = 1 };
	uint8_t signature[ROW_SIGNATURE_BYTES];
	struct buf text = BUF_INIT;
	struct version v;
	struct row row;

	CU_ASSERT_FATAL(version_next(&none, dot, 1, value.len > 0 ? &value : NULL, &v) ==
			0);
	codec_put_signed(&text, &c->identity.cluster_id, key, &v, ident_sha256);
	ident_sign(signer, buf_bytes(&text), signature);
	buf_fini(&text);
	version_seal(&v, signature, ident_sha256);
	row_of_version(&v, &row);
	return row;
}

static struct row_key
key_of(const struct id *owner, enum row_kind kind, const char *name)
{
	struct row_key key;

	CU_ASSERT_FATAL(row_key_make(owner, kind, name, &key) == 0);
	return key;
}

/* What the checker says of the row that `signer` signed. */
static int
judge(struct cluster *c, const struct id *owner, enum row_kind kind, const char *name,
      struct bytes value, const struct key *signer)
{
	struct row_key key = key_of(owner, kind, name);
	struct row row = row_signed(c, &key, 7, value, signer);
	int rc = checker_check(c->checker, &key, &row);

	row_fini(&row);
	return rc;
}

/* A node does not remove its row: a state that holds such a version beside a good one, both
 * signed by the owner itself, is none. */
static int
judge_half_removed(struct cluster *c, const struct member *m)
{
	struct row_key key = key_of(&m->id, ROW_NODE, "");
	struct row row = row_signed(c, &key, 7, buf_bytes(&m->cert), m->key);
	struct row removed = row_signed(c, &key, 8, BYTES_NONE, m->key);
	int rc;

	row.versions[row.len] = removed.versions[0];
	row.len++;
	rc = checker_check(c->checker, &key, &row);
	row_fini(&row);
	return rc;
}

static void
test_node_rows(void)
{
	struct cluster c = cluster_new(), other = cluster_new();
	struct member a = member_new(&c), b = member_new(&c),
		      stranger = member_new(&other);

	cluster_start(&c);
	CU_ASSERT(judge(&c, &a.id, ROW_NODE, "", buf_bytes(&a.cert), a.key) == 0);
	CU_ASSERT(judge_half_removed(&c, &a) == -OCF_ESIGNATURE);
	/* Another's certificate, another's signature, none of this cluster, none at all. */
	CU_ASSERT(judge(&c, &b.id, ROW_NODE, "", buf_bytes(&a.cert), b.key) ==
		  -OCF_ESIGNATURE);
	CU_ASSERT(judge(&c, &b.id, ROW_NODE, "", buf_bytes(&b.cert), a.key) ==
		  -OCF_ESIGNATURE);
	CU_ASSERT(judge(&c, &stranger.id, ROW_NODE, "", buf_bytes(&stranger.cert),
			stranger.key) == -OCF_ESIGNATURE);
	CU_ASSERT(judge(&c, &b.id, ROW_NODE, "", BYTES_NONE, b.key) == -OCF_ESIGNATURE);
	CU_ASSERT(judge(&c, &b.id, ROW_NODE, "", bytes_text("nonsense"), b.key) ==
		  -OCF_ESIGNATURE);
	/* None of these made a key known. */
	CU_ASSERT(judge(&c, &b.id, ROW_WORKER, "1", bytes_text("w"), b.key) ==
		  -OCF_EUNKNOWN);
	member_free(&a);
	member_free(&b);
	member_free(&stranger);
	cluster_free(&c);
	cluster_free(&other);
}

static void
test_worker_rows(void)
{
	struct cluster c = cluster_new();
	struct member a = member_new(&c), b = member_new(&c);

	cluster_start(&c);
	CU_ASSERT(judge(&c, &a.id, ROW_WORKER, "1", bytes_text("w"), a.key) ==
		  -OCF_EUNKNOWN);
	CU_ASSERT(judge(&c, &a.id, ROW_NODE, "", buf_bytes(&a.cert), a.key) == 0);
	CU_ASSERT(judge(&c, &a.id, ROW_WORKER, "1", bytes_text("w"), a.key) == 0);
	CU_ASSERT(judge(&c, &a.id, ROW_WORKER, "1", BYTES_NONE, a.key) == 0);
	CU_ASSERT(judge(&c, &a.id, ROW_WORKER, "1", bytes_text("w"), b.key) ==
		  -OCF_ESIGNATURE);
	checker_learn(c.checker, &b.id, buf_bytes(&a.cert)); /* not b's: not learned */
	CU_ASSERT(judge(&c, &b.id, ROW_WORKER, "1", bytes_text("w"), b.key) ==
		  -OCF_EUNKNOWN);
	checker_learn(c.checker, &b.id, buf_bytes(&b.cert));
	CU_ASSERT(judge(&c, &b.id, ROW_WORKER, "1", bytes_text("w"), b.key) == 0);
	member_free(&a);
	member_free(&b);
	cluster_free(&c);
}

static void
test_ban_rows(void)
{
	static const char banned[] = "00112233445566778899aabbccddeeff";
	struct cluster c = cluster_new();
	struct member a = member_new(&c);
	const struct id *ca = &c.identity.cluster_id;

	cluster_start(&c);
	CU_ASSERT(judge(&c, ca, ROW_BAN, banned, bytes_text("{}"), c.ca) == 0);
	CU_ASSERT(judge(&c, ca, ROW_FORGET, banned, bytes_text("{}"), c.ca) == 0);
	CU_ASSERT(judge(&c, ca, ROW_BAN, banned, bytes_text("{}"), a.key) ==
		  -OCF_ESIGNATURE);
	CU_ASSERT(judge(&c, &a.id, ROW_BAN, banned, bytes_text("{}"), a.key) ==
		  -OCF_ESIGNATURE);
	member_free(&a);
	cluster_free(&c);
}

/* ---- an audit ---- */

struct seen {
	const struct row_key *node_key; /* the node row that can be had */
	const struct row *node_row;
	int asked, bad;
	char text[512];
};

static int
seen_get(void *arg, const struct row_key *key, struct row *ret_row)
{
	struct seen *seen = arg;

	seen->asked++;
	if (seen->node_key == NULL || row_key_compare(key, seen->node_key) != 0)
		return -ENOENT;
	row_copy(seen->node_row, ret_row);
	return 0;
}

static void
seen_bad(void *arg, const struct row_key *key, const char *text)
{
	struct seen *seen = arg;

	(void)key;
	seen->bad++;
	snprintf(seen->text, sizeof(seen->text), "%s", text);
}

static void
test_audit(void)
{
	struct cluster c = cluster_new();
	struct member a = member_new(&c), b = member_new(&c);
	struct row_key node_key = key_of(&a.id, ROW_NODE, "");
	struct row_key key = key_of(&a.id, ROW_WORKER, "3");
	struct row node_row = row_signed(&c, &node_key, 7, buf_bytes(&a.cert), a.key);
	struct row good = row_signed(&c, &key, 7, bytes_text("w"), a.key);
	struct row bad = row_signed(&c, &key, 7, bytes_text("w"), b.key);
	struct seen seen = { .asked = 0 };
	struct audit audit = {
		.rows_per_node = 16, .get = seen_get, .bad = seen_bad, .arg = &seen
	};

	cluster_start(&c);
	audit.checker = c.checker;
	/* Its node row is not held, then it is, and is asked for once. */
	CU_ASSERT(audit_row(&audit, NULL, &key, &good));
	CU_ASSERT(seen.bad == 1 && strstr(seen.text, "cannot be checked") != NULL);
	seen.node_key = &node_key;
	seen.node_row = &node_row;
	CU_ASSERT(audit_row(&audit, NULL, &key, &good) && seen.bad == 1);
	CU_ASSERT(audit_row(&audit, NULL, &key, &good) && seen.bad == 1);
	CU_ASSERT(seen.asked == 2);
	CU_ASSERT(audit_row(&audit, NULL, &key, &bad) && seen.bad == 2);
	CU_ASSERT(strstr(seen.text, "worker row 3 of ") == seen.text &&
		  strstr(seen.text, "is not signed") != NULL);
	audit.rows_per_node = 3;
	CU_ASSERT(audit_row(&audit, NULL, &key, &good) && seen.bad == 3);
	CU_ASSERT(strstr(seen.text, "none that this cluster may have") != NULL);
	CU_ASSERT(audit.rows == 5 && audit.bad_len == 3);
	audit.is_cancelled = true;
	CU_ASSERT(!audit_row(&audit, NULL, &node_key, &node_row));
	row_fini(&node_row);
	row_fini(&good);
	row_fini(&bad);
	member_free(&a);
	member_free(&b);
	cluster_free(&c);
}

/* What else it signs: once its node row was met. */
static void
test_texts(void)
{
	struct cluster c = cluster_new();
	struct member a = member_new(&c), b = member_new(&c);
	struct row_key key = key_of(&a.id, ROW_NODE, "");
	struct row row = row_signed(&c, &key, 7, buf_bytes(&a.cert), a.key);
	uint8_t signature[KEY_SIGNATURE_BYTES];

	cluster_start(&c);
	ident_sign(a.key, bytes_text("said"), signature);
	CU_ASSERT(!checker_verify(c.checker, &a.id, bytes_text("said"), signature));
	CU_ASSERT(checker_check(c.checker, &key, &row) == 0);
	CU_ASSERT(checker_verify(c.checker, &a.id, bytes_text("said"), signature));
	CU_ASSERT(!checker_verify(c.checker, &a.id, bytes_text("sand"), signature));
	CU_ASSERT(!checker_verify(c.checker, &b.id, bytes_text("said"), signature));
	ident_sign(b.key, bytes_text("said"), signature);
	CU_ASSERT(!checker_verify(c.checker, &a.id, bytes_text("said"), signature));
	row_fini(&row);
	member_free(&a);
	member_free(&b);
	cluster_free(&c);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "a node row proves itself by its certificate", test_node_rows },
		{ "other rows of a node need its node row", test_worker_rows },
		{ "bans are the CA's", test_ban_rows },
		{ "what a node signs is checked by the key of its node row", test_texts },
		{ "an audit asks for owners and names what is bad", test_audit },
	};

	return TAP_MAIN(argc, argv, tests);
}
