/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/requests.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "crdt/codec.h"

struct request *
requests_find(const struct requests *rs, uint64_t number)
{
	struct request *r;

	DL_FOREACH (rs->list, r)
		if (r->number == number)
			return r;
	return NULL;
}

struct request *
requests_forsaken(const struct requests *rs, ms_t now)
{
	struct request *r;

	DL_FOREACH (rs->list, r)
		if (!r->is_done && now - r->asked_ms >= REQUESTS_ASKED_MS)
			return r;
	return NULL;
}

struct request *
requests_seeking(const struct requests *rs, const struct id *node)
{
	struct request *r;

	DL_FOREACH (rs->list, r)
		if (r->is_seeking && (node == NULL || id_equal(&r->node, node)))
			return r;
	return NULL;
}

/* ---- room ---- */

static void
requests_drop(struct requests *rs, struct request *r)
{
	DL_DELETE(rs->list, r);
	json_decref(r->rows);
	free(r);
}

static bool
request_is_open(const struct request *r, ms_t now)
{
	return !r->is_done || (!r->is_told && now - r->done_ms < REQUESTS_TOLD_MS);
}

static int
requests_open(const struct requests *rs, ms_t now)
{
	struct request *r;
	int n = 0;

	DL_FOREACH (rs->list, r)
		n += request_is_open(r, now);
	return n;
}

/* The first that ended, when there are too many, and those that are old. */
static void
requests_drop_old(struct requests *rs, ms_t now)
{
	int kept = -requests_open(rs, now);
	struct request *r, *next;

	DL_FOREACH (rs->list, r)
		kept++;
	DL_FOREACH_SAFE (rs->list, r, next) {
		if (request_is_open(r, now) ||
		    (kept <= REQUESTS_KEPT_MAX && now - r->done_ms < REQUESTS_KEPT_MS))
			continue;
		requests_drop(rs, r);
		kept--;
	}
}

struct request *
requests_add(struct requests *rs, const struct id *node, bool is_dry, ms_t now,
	     int *ret_running)
{
	struct request *r;

	requests_drop_old(rs, now);
	*ret_running = requests_open(rs, now);
	if (*ret_running >= REQUESTS_MAX)
		return NULL;
	r = mem_calloc(1, sizeof(*r));
	r->number = ++rs->last;
	r->is_dry = is_dry;
	r->node = *node;
	r->asked_ms = now;
	DL_APPEND(rs->list, r);
	return r;
}

/* ---- their end ---- */

/* Behind those that ended before it. */
static void
requests_sort_in(struct requests *rs, struct request *r)
{
	struct request *other;

	DL_DELETE(rs->list, r);
	DL_FOREACH (rs->list, other)
		if (!other->is_done)
			break;
	if (other != NULL)
		DL_PREPEND_ELEM(rs->list, other, r);
	else
		DL_APPEND(rs->list, r);
}

static json_t *
request_named_json(const struct sync_named *named)
{
	struct reader r = reader_of(named->key);
	char owner[ID_TEXT_SIZE];
	struct row_key key;

	/* Another node may have sent this. */
	if (codec_read_key(&r, &key) != 0 || key.kind < ROW_NODE || key.kind > ROW_FORGET)
		return NULL;
	for (int i = 0; i < key.name_len; i++)
		if (key.name[i] < 0x20 || key.name[i] > 0x7e)
			return NULL;
	return json_pack("{s:s, s:s, s:s, s:s}", "where",
			 named->is_here ? named->is_there ? "both" : "here" : "there",
			 "kind", row_kind_text(key.kind), "owner",
			 id_text(&key.owner, owner), "name", key.name);
}

void
requests_done(struct requests *rs, const struct sync_result *result, ms_t now)
{
	struct request *r = requests_find(rs, result->request);

	if (r == NULL)
		return;
	r->is_done = true;
	r->is_seeking = false;
	r->done_ms = now;
	r->result = *result;
	r->rows = json_array();
	for (int i = 0; i < result->named_len; i++) {
		json_t *row = request_named_json(&result->named[i]);

		if (row != NULL)
			json_array_append_new(r->rows, row);
	}
	r->result.named = NULL;
	requests_sort_in(rs, r);
	requests_drop_old(rs, now);
}

void
requests_fini(struct requests *rs)
{
	struct request *r, *next;

	DL_FOREACH_SAFE (rs->list, r, next)
		requests_drop(rs, r);
}

/* ---- what people are told ---- */

static json_t *
request_result_json(const struct sync_result *r)
{
	return json_pack(
		"{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:b, "
		"s:I, s:o}",
		"legs", r->legs, "sent_bytes", (json_int_t)r->sent_bytes,
		"received_bytes", (json_int_t)r->received_bytes, "rows_sent",
		(json_int_t)r->rows_sent, "rows_received", (json_int_t)r->rows_received,
		"sent_row_bytes", (json_int_t)r->sent_row_bytes, "received_row_bytes",
		(json_int_t)r->received_row_bytes, "rows_expected",
		(json_int_t)r->rows_expected, "rows_s", (json_int_t)r->rows_s,
		"remaining_s",
		r->remaining_ms < 0 ? json_null()
				    : json_real((double)r->remaining_ms / MS_SECOND),
		"only_here", (json_int_t)r->only_here, "only_there",
		(json_int_t)r->only_there, "differing", (json_int_t)r->differing,
		"is_equal", r->is_equal, "elapsed_ms", (json_int_t)r->elapsed_ms, "error",
		r->why[0] != '\0' ? json_string(r->why) : json_null());
}

json_t *
request_json(struct request *r, const struct sync_result *progress, const char *name)
{
	static const struct sync_result none = { .remaining_ms = -1 };
	const struct sync_result *result = progress != NULL ? progress : &none;
	const char *state = "waiting";
	char id[ID_TEXT_SIZE];
	json_t *json;

	if (r->is_done) {
		result = &r->result;
		state = result->rc == 0 ? "done" : "failed";
		r->is_told = true;
	} else if (result->legs > 0) {
		state = "running";
	}
	json = json_pack("{s:I, s:s, s:s, s:s, s:s}", "request", (json_int_t)r->number,
			 "op", r->is_dry ? "compare" : "run", "node",
			 id_text(&r->node, id), "name", name, "state", state);
	json_object_update_new(json, request_result_json(result));
	json_object_set_new(json, "rows",
			    r->rows != NULL ? json_incref(r->rows) : json_array());
	return json;
}
