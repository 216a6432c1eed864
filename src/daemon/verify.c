/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/verify.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/error.h"
#include "base/mem.h"
#include "crdt/codec.h"
#include "table/rows.h"

struct verify_owner {
	struct id id;
	uint8_t pub[KEY_PUBLIC_BYTES];
	UT_hash_handle hh;
};

struct verify {
	struct loop *loop;
	const struct identity *identity;
	void (*done)(void *arg, struct verify_job *job);
	void *arg;
	int in_flight; /* loop's thread, as the next */
	size_t bytes_in_flight;

	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct verify_job *first, **last;
	bool is_closing;
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

/* ---- the thread ---- */

struct verify_result {
	struct verify *v;
	struct verify_job *job;
};

static void
verify_on_done(void *arg)
{
	struct verify_result *result = arg;
	struct verify *v = result->v;

	v->in_flight -= result->job->len;
	v->bytes_in_flight -= result->job->bytes;
	if (v->is_closing)
		verify_job_free(result->job);
	else
		v->done(v->arg, result->job);
	free(result);
}

static void *
verify_thread(void *arg)
{
	struct verify *v = arg;

	for (;;) {
		struct verify_result *result;
		struct verify_job *job;

		pthread_mutex_lock(&v->lock);
		while (v->first == NULL && !v->is_closing)
			pthread_cond_wait(&v->wake, &v->lock);
		job = v->is_closing ? NULL : v->first;
		if (job != NULL && (v->first = job->next) == NULL)
			v->last = &v->first;
		pthread_mutex_unlock(&v->lock);
		if (job == NULL)
			return NULL;
		for (int i = 0; i < job->len; i++)
			job->items[i].rc = verify_item(v, &job->items[i]);
		result = mem_alloc(sizeof(*result));
		*result = (struct verify_result){ .v = v, .job = job };
		loop_post(v->loop, verify_on_done, result);
	}
}

struct verify *
verify_open(struct loop *loop, const struct identity *identity,
	    void (*done)(void *arg, struct verify_job *job), void *arg)
{
	struct verify *v = mem_calloc(1, sizeof(*v));

	v->loop = loop;
	v->identity = identity;
	v->done = done;
	v->arg = arg;
	v->last = &v->first;
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->wake, NULL);
	if (pthread_create(&v->thread, NULL, verify_thread, v) != 0)
		abort();
	return v;
}

void
verify_close(struct verify *v)
{
	struct verify_owner *o, *next;

	if (v == NULL)
		return;
	pthread_mutex_lock(&v->lock);
	v->is_closing = true;
	pthread_cond_signal(&v->wake);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->thread, NULL);
	/* The results that wait in the loop's hand-off point to `v`. */
	for (struct verify_job *job = v->first; job != NULL;) {
		struct verify_job *after = job->next;

		v->in_flight -= job->len;
		verify_job_free(job);
		job = after;
	}
	while (v->in_flight > 0)
		loop_turn(v->loop, 0);
	HASH_ITER (hh, v->owners, o, next) {
		HASH_DEL(v->owners, o);
		free(o);
	}
	pthread_cond_destroy(&v->wake);
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
	assert(job->next == NULL);
	if (v->in_flight + job->len > VERIFY_ITEMS_MAX ||
	    v->bytes_in_flight + job->bytes > VERIFY_BYTES_MAX) {
		verify_job_free(job);
		return -EAGAIN;
	}
	v->in_flight += job->len;
	v->bytes_in_flight += job->bytes;
	pthread_mutex_lock(&v->lock);
	*v->last = job;
	v->last = &job->next;
	pthread_cond_signal(&v->wake);
	pthread_mutex_unlock(&v->lock);
	return 0;
}
