/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/rng.h"
#include "ident/identity.h"
#include "lib/tap.h"

static const ms_t now = (ms_t)20000 * MS_DAY; /* in 2024 */
static const ms_t year = (ms_t)365 * MS_DAY;

struct cluster {
	struct key *ca, *node;
	struct buf ca_cert, cert;
	uint8_t public_key[KEY_PUBLIC_BYTES];
};

static struct cluster
cluster_new(void)
{
	struct cluster c = { .ca = key_generate(), .node = key_generate() };

	cert_make_ca(c.ca, now, &c.ca_cert);
	key_public(c.node, c.public_key);
	cert_issue(c.ca, c.public_key, now, &c.cert);
	return c;
}

static void
cluster_free(struct cluster *c)
{
	key_free(c->ca);
	key_free(c->node);
	buf_fini(&c->ca_cert);
	buf_fini(&c->cert);
}

static int
cluster_check(const struct cluster *c, struct bytes cert, ms_t at)
{
	return cert_check(cert, buf_bytes(&c->ca_cert), at, NULL, NULL, NULL);
}

static void
test_cert_good(void)
{
	struct cluster c = cluster_new();
	ms_t made = 0;
	struct id id, cluster, expected = key_id(c.node), expected_cluster = key_id(c.ca);
	uint8_t public_key[KEY_PUBLIC_BYTES], ca_public[KEY_PUBLIC_BYTES];
	struct errmsg err = { "" };

	CU_ASSERT(cert_made(buf_bytes(&c.cert), &made) == 0 && made == now);
	CU_ASSERT(cert_made(bytes_text("x"), &made) == -OCF_EMALFORMED);
	CU_ASSERT_EQUAL(
		cert_check_ca(buf_bytes(&c.ca_cert), now, &cluster, ca_public, &err), 0);
	CU_ASSERT(id_equal(&cluster, &expected_cluster));
	CU_ASSERT_EQUAL(cert_check(buf_bytes(&c.cert), buf_bytes(&c.ca_cert), now, &id,
				   public_key, &err),
			0);
	CU_ASSERT(id_equal(&id, &expected));
	CU_ASSERT(memcmp(public_key, c.public_key, sizeof(public_key)) == 0);
	CU_ASSERT(c.cert.len < 500);
	cluster_free(&c);
}

static void
test_cert_dates(void)
{
	ms_t from, until;
	struct cluster c = cluster_new();
	struct bytes cert = buf_bytes(&c.cert), ca = buf_bytes(&c.ca_cert);

	CU_ASSERT_EQUAL(cluster_check(&c, cert, now - 2 * MS_DAY), -OCF_EEXPIRED);
	CU_ASSERT_EQUAL(cluster_check(&c, cert, now - MS_DAY / 2), 0);
	CU_ASSERT_EQUAL(cluster_check(&c, cert, now + 10 * year), 0);
	CU_ASSERT_EQUAL(cluster_check(&c, cert, now + 11 * year), -OCF_EEXPIRED);
	CU_ASSERT_EQUAL(cert_dates(cert, &from, &until), 0);
	CU_ASSERT_EQUAL(from, now - CERT_BACKDATED_MS);
	CU_ASSERT_EQUAL(until, now + 10 * (year + MS_DAY / 4));
	CU_ASSERT_EQUAL(cert_dates(bytes_text("no certificate"), &from, &until),
			-OCF_EMALFORMED);
	CU_ASSERT_EQUAL(cluster_check(&c, cert, CERT_AT_ANY_TIME), 0);
	CU_ASSERT_EQUAL(cert_check_ca(ca, now + 29 * year, NULL, NULL, NULL), 0);
	CU_ASSERT_EQUAL(cert_check_ca(ca, now + 31 * year, NULL, NULL, NULL),
			-OCF_EEXPIRED);
	CU_ASSERT_EQUAL(cert_check_ca(ca, now - 2 * MS_DAY, NULL, NULL, NULL),
			-OCF_EEXPIRED);
	cluster_free(&c);
}

static void
test_cert_foreign(void)
{
	struct cluster c = cluster_new(), other = cluster_new();
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL(cert_check(buf_bytes(&c.cert), buf_bytes(&other.ca_cert), now,
				   NULL, NULL, &err),
			-OCF_EFOREIGN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another cluster"));
	cluster_free(&c);
	cluster_free(&other);
}

/* A CA's certificate is no node's, a node's no CA's, a node cannot issue. */
static void
test_cert_roles(void)
{
	struct cluster c = cluster_new();
	struct key *friend = key_generate();
	struct buf forged = BUF_INIT;
	uint8_t public_key[KEY_PUBLIC_BYTES];

	CU_ASSERT_EQUAL(cluster_check(&c, buf_bytes(&c.ca_cert), now), -OCF_EMALFORMED);
	CU_ASSERT_EQUAL(cert_check_ca(buf_bytes(&c.cert), now, NULL, NULL, NULL),
			-OCF_EMALFORMED);
	key_public(friend, public_key);
	cert_issue(c.node, public_key, now, &forged);
	CU_ASSERT_EQUAL(cluster_check(&c, buf_bytes(&forged), now), -OCF_EFOREIGN);
	CU_ASSERT_EQUAL(
		cert_check(buf_bytes(&forged), buf_bytes(&c.cert), now, NULL, NULL, NULL),
		-OCF_EFOREIGN);
	buf_fini(&forged);
	key_free(friend);
	cluster_free(&c);
}

static void
test_cert_mutations(void)
{
	struct cluster c = cluster_new();
	int accepted = 0, ca_accepted = 0;

	for (size_t bit = 0; bit < 8 * c.cert.len; bit++) {
		c.cert.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += cluster_check(&c, buf_bytes(&c.cert), now) == 0;
		c.cert.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * c.ca_cert.len; bit++) {
		c.ca_cert.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ca_accepted += cert_check_ca(buf_bytes(&c.ca_cert), now, NULL, NULL,
					     NULL) == 0;
		c.ca_cert.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < c.cert.len; len++)
		accepted += cluster_check(&c, bytes_of(c.cert.data, len), now) == 0;
	buf_put_u8(&c.cert, 0);
	accepted += cluster_check(&c, buf_bytes(&c.cert), now) == 0;
	CU_ASSERT_EQUAL(accepted, 0);
	CU_ASSERT_EQUAL(ca_accepted, 0);
	cluster_free(&c);
}

static void
test_request(void)
{
	struct key *key = key_generate();
	struct buf csr = BUF_INIT;
	uint8_t public_key[KEY_PUBLIC_BYTES], expected[KEY_PUBLIC_BYTES];
	int accepted = 0;

	cert_request_make(key, &csr);
	key_public(key, expected);
	CU_ASSERT_EQUAL(cert_request_check(buf_bytes(&csr), public_key, NULL), 0);
	CU_ASSERT(memcmp(public_key, expected, sizeof(expected)) == 0);
	for (size_t bit = 0; bit < 8 * csr.len; bit++) {
		csr.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += cert_request_check(buf_bytes(&csr), public_key, NULL) == 0;
		csr.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < csr.len; len++)
		accepted += cert_request_check(bytes_of(csr.data, len), public_key,
					       NULL) == 0;
	CU_ASSERT_EQUAL(accepted, 0);
	buf_fini(&csr);
	key_free(key);
}

static char *
folder_new(const char *name)
{
	char *folder;

	CU_ASSERT_FATAL(asprintf(&folder, "%s/%s", tap_folder(), name) > 0);
	return folder;
}

static void
test_identity_round_trip(void)
{
	char *folder = folder_new("first"), *copy = folder_new("copy");
	struct identity *made = NULL, *loaded = NULL, *joined = NULL;
	struct errmsg err = { "" };

	CU_ASSERT(!identity_exists(folder));
	CU_ASSERT_EQUAL(identity_load(folder, &loaded, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ocf init"));
	CU_ASSERT_EQUAL_FATAL(identity_create(folder, &made, &err), 0);
	CU_ASSERT(identity_exists(folder));
	CU_ASSERT_EQUAL_FATAL(identity_load(folder, &loaded, &err), 0);
	CU_ASSERT(id_equal(&made->node_id, &loaded->node_id));
	CU_ASSERT(id_equal(&made->cluster_id, &loaded->cluster_id));
	CU_ASSERT(memcmp(made->fingerprint, loaded->fingerprint, 32) == 0);
	CU_ASSERT_PTR_NOT_NULL(loaded->ca_key);
	CU_ASSERT_EQUAL(identity_create(folder, &joined, &err), -EEXIST);
	CU_ASSERT_EQUAL(identity_save(made, folder, &err), -EEXIST);
	/* As a member without the CA's key. */
	CU_ASSERT_EQUAL_FATAL(
		identity_new_joined(made->node_key, buf_bytes(&made->node_cert),
				    buf_bytes(&made->ca_cert), BYTES_NONE, &joined, &err),
		0);
	CU_ASSERT_EQUAL(identity_save(joined, copy, &err), 0);
	identity_free(joined);
	CU_ASSERT_EQUAL_FATAL(identity_load(copy, &joined, &err), 0);
	CU_ASSERT_PTR_NULL(joined->ca_key);
	identity_free(made);
	identity_free(loaded);
	identity_free(joined);
	free(folder);
	free(copy);
}

static void
test_identity_mixed_refused(void)
{
	char *a = folder_new("mixed-a"), *b = folder_new("mixed-b"), *from, *to;
	static const char *const names[] = { "node.key", "node.crt", "ca.crt", "ca.key" };
	struct identity *one = NULL, *two = NULL, *loaded = NULL;
	struct buf good = BUF_INIT, other = BUF_INIT;
	struct errmsg err;

	CU_ASSERT_EQUAL_FATAL(identity_create(a, &one, &err), 0);
	CU_ASSERT_EQUAL_FATAL(identity_create(b, &two, &err), 0);
	for (size_t i = 0; i < 4; i++) {
		CU_ASSERT_FATAL(asprintf(&to, "%s/keys/%s", a, names[i]) > 0);
		CU_ASSERT_FATAL(asprintf(&from, "%s/keys/%s", b, names[i]) > 0);
		buf_clear(&good);
		buf_clear(&other);
		file_read(to, 10000, &good, NULL);
		file_read(from, 10000, &other, NULL);
		file_write(to, buf_bytes(&other), 0600, NULL);
		CU_ASSERT_EQUAL(identity_load(a, &loaded, &err), -OCF_EFOREIGN);
		file_write(to, bytes_text("garbage"), 0600, NULL);
		CU_ASSERT_EQUAL(identity_load(a, &loaded, &err), -OCF_EMALFORMED);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, names[i]));
		file_write(to, buf_bytes(&good), 0600, NULL);
		free(from);
		free(to);
	}
	CU_ASSERT_EQUAL(identity_load(a, &loaded, &err), 0);
	CU_ASSERT_FATAL(asprintf(&to, "%s/keys/ca.key", a) > 0);
	chmod(to, 0640);
	identity_free(loaded);
	CU_ASSERT_EQUAL(identity_load(a, &loaded, &err), -EPERM);
	free(to);
	buf_fini(&good);
	buf_fini(&other);
	identity_free(one);
	identity_free(two);
	free(a);
	free(b);
}

static const struct tap_test tests[] = {
	{ "an issued certificate is accepted and gives id and key", test_cert_good },
	{ "dates count, unless they are not asked for", test_cert_dates },
	{ "another cluster's certificate is called that", test_cert_foreign },
	{ "CA and node certificates do not stand in for each other", test_cert_roles },
	{ "a certificate with any bit changed, cut or lengthened is refused",
	  test_cert_mutations },
	{ "a request proves its key, and with any bit changed nothing", test_request },
	{ "an identity is made, saved, loaded and never overwritten",
	  test_identity_round_trip },
	{ "files of two identities do not mix, and the bad file is named",
	  test_identity_mixed_refused },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
