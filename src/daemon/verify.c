/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "ident/checker.h"
#include "net/lane.h"
#include "table/rows.h"

struct verify {
	struct checker *checker;
	void (*done)(void *arg, struct verify_job *job);
	void *arg;
	struct lane *lane, *lane_texts;
	int in_flight; /* the loop's thread, as the next */
	size_t bytes_in_flight;
	bool is_closing;
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
	free(job->settle);
	free(job);
}

/* ---- the lane ---- */

static void
verify_work(void *arg)
{
	struct verify_job *job = arg;

	for (int i = 0; i < job->len; i++)
		job->items[i].rc = checker_check(job->verify->checker, &job->items[i].key,
						 &job->items[i].row);
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

	v->checker = checker_new(identity, table_node_cert);
	v->done = done;
	v->arg = arg;
	v->lane = lane_open_wide(loop);
	v->lane_texts = lane_open(loop);
	return v;
}

void
verify_close(struct verify *v)
{
	if (v == NULL)
		return;
	v->is_closing = true;
	lane_close(v->lane);
	lane_close(v->lane_texts);
	checker_free(v->checker);
	free(v);
}

void
verify_learn(struct verify *v, const struct id *owner, struct bytes node_value)
{
	checker_learn(v->checker, owner, node_value);
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

/* ---- texts ---- */

struct verify_text {
	struct verify *verify;
	struct id node;
	uint8_t signature[KEY_SIGNATURE_BYTES];
	bool is_valid;
	void (*done)(void *arg, uint64_t number, bool is_valid);
	void *arg;
	uint64_t number;
	size_t len;
	uint8_t text[];
};

static void
verify_text_work(void *arg)
{
	struct verify_text *t = arg;

	t->is_valid = checker_verify(t->verify->checker, &t->node,
				     bytes_of(t->text, t->len), t->signature);
}

static void
verify_text_on_done(void *arg, bool was_run)
{
	struct verify_text *t = arg;

	if (!t->verify->is_closing)
		t->done(t->arg, t->number, was_run && t->is_valid);
	free(t);
}

void
verify_text(struct verify *v, const struct id *node, struct bytes text,
	    struct bytes signature,
	    void (*done)(void *arg, uint64_t number, bool is_valid), void *arg,
	    uint64_t number)
{
	struct verify_text *t = mem_calloc(1, sizeof(*t) + text.len);

	*t = (struct verify_text){ .verify = v,
				   .node = *node,
				   .done = done,
				   .arg = arg,
				   .number = number,
				   .len = text.len };
	memcpy(t->text, text.data, text.len);
	if (signature.len == sizeof(t->signature))
		memcpy(t->signature, signature.data, signature.len);
	lane_put(v->lane_texts, verify_text_work, verify_text_on_done, t);
}

void
verify_run(struct verify *v, struct verify_job *job)
{
	job->verify = v;
	verify_work(job);
	v->done(v->arg, job);
}
