/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/checker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "crdt/codec.h"

struct checker_owner {
	struct id id;
	uint8_t pub[KEY_PUBLIC_BYTES];
	UT_hash_handle hh;
};

struct checker {
	const struct identity *identity;
	checker_cert_fn *cert;
	pthread_mutex_t lock; /* of what follows */
	struct checker_owner *owners;
};

struct checker *
checker_new(const struct identity *identity, checker_cert_fn *cert)
{
	struct checker *c = mem_calloc(1, sizeof(*c));

	c->identity = identity;
	c->cert = cert;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
checker_free(struct checker *c)
{
	struct checker_owner *o, *next;

	if (c == NULL)
		return;
	HASH_ITER (hh, c->owners, o, next) {
		HASH_DEL(c->owners, o);
		free(o);
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static int
checker_find(struct checker *c, const struct id *owner, uint8_t ret_pub[KEY_PUBLIC_BYTES])
{
	struct checker_owner *o;

	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->owners, owner, sizeof(*owner), o);
	if (o != NULL)
		memcpy(ret_pub, o->pub, sizeof(o->pub));
	pthread_mutex_unlock(&c->lock);
	return o != NULL ? 0 : -OCF_EUNKNOWN;
}

static void
checker_keep(struct checker *c, const struct id *owner, const uint8_t *pub)
{
	struct checker_owner *o;

	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->owners, owner, sizeof(*owner), o);
	if (o == NULL) {
		o = mem_calloc(1, sizeof(*o));
		o->id = *owner;
		memcpy(o->pub, pub, sizeof(o->pub));
		HASH_ADD(hh, c->owners, id, sizeof(o->id), o);
	}
	pthread_mutex_unlock(&c->lock);
}

/* The owner's key, out of the certificate in a node row's value. */
static int
checker_node_key(struct checker *c, const struct id *owner, struct bytes value,
		 uint8_t ret_pub[KEY_PUBLIC_BYTES])
{
	struct buf cert = BUF_INIT;
	struct id id;
	int rc = c->cert(value, &cert);

	if (rc == 0)
		rc = cert_check(buf_bytes(&cert), buf_bytes(&c->identity->ca_cert),
				CERT_AT_ANY_TIME, &id, ret_pub, NULL);
	buf_fini(&cert);
	if (rc == 0 && !id_equal(&id, owner))
		rc = -OCF_ESIGNATURE;
	return rc;
}

static int
checker_key_for(struct checker *c, const struct row_key *key, const struct row *row,
		uint8_t ret_pub[KEY_PUBLIC_BYTES])
{
	const struct version *visible = row_visible(row);

	switch (key->kind) {
	case ROW_NODE:
		return checker_node_key(c, &key->owner, visible->value, ret_pub);
	case ROW_WORKER:
		return checker_find(c, &key->owner, ret_pub);
	default:
		if (!id_equal(&key->owner, &c->identity->cluster_id))
			return -OCF_ESIGNATURE;
		memcpy(ret_pub, c->identity->ca_public, KEY_PUBLIC_BYTES);
		return 0;
	}
}

int
checker_check(struct checker *c, const struct row_key *key, const struct row *row)
{
	uint8_t pub[KEY_PUBLIC_BYTES];
	int rc = row_check(key, row);

	if (rc == 0)
		rc = checker_key_for(c, key, row, pub);
	for (int i = 0; i < row->len && rc == 0; i++) {
		const struct version *version = &row->versions[i];
		struct buf text = BUF_INIT;

		codec_put_signed(&text, &c->identity->cluster_id, key, version,
				 ident_sha256);
		if (!ident_verify(pub, buf_bytes(&text), version->signature))
			rc = -OCF_ESIGNATURE;
		buf_fini(&text);
	}
	if (rc == 0 && key->kind == ROW_NODE)
		checker_keep(c, &key->owner, pub);
	return rc == 0 || rc == -OCF_EUNKNOWN ? rc : -OCF_ESIGNATURE;
}

bool
checker_verify(struct checker *c, const struct id *node, struct bytes text,
	       const uint8_t signature[KEY_SIGNATURE_BYTES])
{
	uint8_t pub[KEY_PUBLIC_BYTES];

	return checker_find(c, node, pub) == 0 && ident_verify(pub, text, signature);
}

void
checker_learn(struct checker *c, const struct id *owner, struct bytes node_value)
{
	uint8_t pub[KEY_PUBLIC_BYTES];

	if (checker_node_key(c, owner, node_value, pub) == 0)
		checker_keep(c, owner, pub);
}
