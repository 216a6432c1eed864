/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/verify.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/error.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "net/lane.h"
#include "table/rows.h"

struct verify_owner {
	struct id id;
	uint8_t pub[KEY_PUBLIC_BYTES];
	UT_hash_handle hh;
};

struct verify {
	const struct identity *identity;
	void (*done)(void *arg, struct verify_job *job);
	void *arg;
	struct lane *lane;
	int in_flight; /* the loop's thread, as the next */
	size_t bytes_in_flight;
	bool is_closing;

	pthread_mutex_t lock; /* of what follows */
	struct verify_owner *owners;
};

/* ---- jobs ---- */

struct verify_job *
verify_job_new(uint64_t link)
{
	struct verify_job *job = mem_calloc(1, sizeof(*job));

	job->link = link;
	return job;
}

void
verify_job_add(struct verify_job *job, const struct row_key *key, struct row *row,
	       size_t bytes)
{
	if (job->len == job->cap) {
		job->cap = job->cap > 0 ? 2 * job->cap : 8;
		job->items = mem_realloc(job->items, (size_t)job->cap,
					 sizeof(job->items[0]));
	}
	job->items[job->len++] = (struct verify_item){ .key = *key,
						       .row = *row,
						       .bytes = bytes };
	job->bytes += bytes;
	*row = ROW_INIT;
}

void
verify_job_free(struct verify_job *job)
{
	if (job == NULL)
		return;
	for (int i = 0; i < job->len; i++)
		row_fini(&job->items[i].row);
	free(job->items);
	free(job);
}

/* ---- checking ---- */

static bool
verify_owner_key(struct verify *v, const struct id *owner,
		 uint8_t ret_pub[KEY_PUBLIC_BYTES])
{
	struct verify_owner *o;

	pthread_mutex_lock(&v->lock);
	HASH_FIND(hh, v->owners, owner, sizeof(*owner), o);
	if (o != NULL)
		memcpy(ret_pub, o->pub, sizeof(o->pub));
	pthread_mutex_unlock(&v->lock);
	return o != NULL;
}

static void
verify_keep_owner(struct verify *v, const struct id *owner, const uint8_t *pub)
{
	struct verify_owner *o;

	pthread_mutex_lock(&v->lock);
	HASH_FIND(hh, v->owners, owner, sizeof(*owner), o);
	if (o == NULL) {
		o = mem_calloc(1, sizeof(*o));
		o->id = *owner;
		memcpy(o->pub, pub, sizeof(o->pub));
		HASH_ADD(hh, v->owners, id, sizeof(o->id), o);
	}
	pthread_mutex_unlock(&v->lock);
}

/* The owner's key, out of the certificate in a node row's value. */
static int
verify_node_value(struct verify *v, const struct id *owner, struct bytes value,
		  uint8_t ret_pub[KEY_PUBLIC_BYTES])
{
	struct table_node node;
	struct id id;
	int rc = table_node_decode(value, &node, NULL);

	if (rc != 0)
		return rc;
	rc = cert_check(buf_bytes(&node.cert), buf_bytes(&v->identity->ca_cert),
			CERT_AT_ANY_TIME, &id, ret_pub, NULL);
	table_node_fini(&node);
	if (rc == 0 && !id_equal(&id, owner))
		rc = -OCF_ESIGNATURE;
	return rc;
}

static int
verify_key_for(struct verify *v, const struct verify_item *item,
	       uint8_t ret_pub[KEY_PUBLIC_BYTES])
{
	const struct version *visible = row_visible(&item->row);

	switch (item->key.kind) {
	case ROW_NODE:
		if (visible == NULL)
			return -OCF_ESIGNATURE;
		return verify_node_value(v, &item->key.owner, visible->value, ret_pub);
	case ROW_WORKER:
		return verify_owner_key(v, &item->key.owner, ret_pub) ? 0 : -OCF_EUNKNOWN;
	default:
		if (!id_equal(&item->key.owner, &v->identity->cluster_id))
			return -OCF_ESIGNATURE;
		memcpy(ret_pub, v->identity->ca_public, KEY_PUBLIC_BYTES);
		return 0;
	}
}

static int
verify_item(struct verify *v, const struct verify_item *item)
{
	uint8_t pub[KEY_PUBLIC_BYTES];
	int rc = verify_key_for(v, item, pub);

	for (int i = 0; i < item->row.len && rc == 0; i++) {
		const struct version *version = &item->row.versions[i];
		struct buf text = BUF_INIT;

		codec_put_signed(&text, &v->identity->cluster_id, &item->key, version,
				 ident_sha256);
		if (!ident_verify(pub, buf_bytes(&text), version->signature))
			rc = -OCF_ESIGNATURE;
		buf_fini(&text);
	}
	if (rc == 0 && item->key.kind == ROW_NODE)
		verify_keep_owner(v, &item->key.owner, pub);
	return rc == 0 || rc == -OCF_EUNKNOWN ? rc : -OCF_ESIGNATURE;
}

/* ---- the lane ---- */

static void
verify_work(void *arg)
{
	struct verify_job *job = arg;

	for (int i = 0; i < job->len; i++)
		job->items[i].rc = verify_item(job->verify, &job->items[i]);
}

static void
verify_on_done(void *arg, bool was_run)
{
	struct verify_job *job = arg;
	struct verify *v = job->verify;

	v->in_flight -= job->len;
	v->bytes_in_flight -= job->bytes;
	if (v->is_closing || !was_run)
		verify_job_free(job);
	else
		v->done(v->arg, job);
}

struct verify *
verify_open(struct loop *loop, const struct identity *identity,
	    void (*done)(void *arg, struct verify_job *job), void *arg)
{
	struct verify *v = mem_calloc(1, sizeof(*v));

	v->identity = identity;
	v->done = done;
	v->arg = arg;
	pthread_mutex_init(&v->lock, NULL);
	v->lane = lane_open(loop);
	return v;
}

void
verify_close(struct verify *v)
{
	struct verify_owner *o, *next;

	if (v == NULL)
		return;
	v->is_closing = true;
	lane_close(v->lane);
	HASH_ITER (hh, v->owners, o, next) {
		HASH_DEL(v->owners, o);
		free(o);
	}
	pthread_mutex_destroy(&v->lock);
	free(v);
}

void
verify_learn(struct verify *v, const struct id *owner, struct bytes node_value)
{
	uint8_t pub[KEY_PUBLIC_BYTES];

	if (verify_node_value(v, owner, node_value, pub) == 0)
		verify_keep_owner(v, owner, pub);
}

int
verify_submit(struct verify *v, struct verify_job *job)
{
	if (v->in_flight + job->len > VERIFY_ITEMS_MAX ||
	    v->bytes_in_flight + job->bytes > VERIFY_BYTES_MAX) {
		verify_job_free(job);
		return -EAGAIN;
	}
	v->in_flight += job->len;
	v->bytes_in_flight += job->bytes;
	job->verify = v;
	lane_put(v->lane, verify_work, verify_on_done, job);
	return 0;
}
