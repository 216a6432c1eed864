/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/verify: every digest, count, list and signature of the store, on a
 * lane of its own, beside a node that goes on. One at a time; who asks while one runs is
 * given that one's number.
 *
 * Repairing is for a node that stands still. It drops rows, and a running node has drawn on
 * them already: catalog, mesh, dispatch and the registry of workers would each have to be
 * told, while new states of the same rows arrive. A start does all of that, from the store
 * as it is then, and in the order that is tested with every start. */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/daemon.h"
#include "ident/audit.h"
#include "net/lane.h"
#include "table/rows.h"

enum { AUDITS_MESSAGES_MAX = 100 };

struct audits {
	struct daemon *d;
	struct lane *lane;
	uint64_t request; /* of the last one */
	bool is_running;
	struct checker *checker;
	struct audit audit;
	uint64_t total; /* rows, when it began */
	ms_t started, ended;
	/* The lane's while it runs. */
	int rc; /* what kept it from its end */
	uint64_t differences;

	pthread_mutex_t lock;
	json_t *messages; /* under it */
};

struct audits *
audits_open(struct daemon *d)
{
	struct audits *audits = mem_calloc(1, sizeof(*audits));

	audits->d = d;
	/* Other numbers than before a restart: somebody may still ask for those. */
	audits->request = (uint64_t)d->started_wall_ms;
	pthread_mutex_init(&audits->lock, NULL);
	audits->lane = lane_open(d->loop);
	return audits;
}

/* ---- the lane ---- */

static void
audits_tell(void *arg, const char *text)
{
	struct audits *audits = arg;

	pthread_mutex_lock(&audits->lock);
	if (json_array_size(audits->messages) < AUDITS_MESSAGES_MAX)
		json_array_append_new(audits->messages, json_string(text));
	pthread_mutex_unlock(&audits->lock);
}

static void
audits_on_bad(void *arg, const struct row_key *key, const char *text)
{
	(void)key;
	audits_tell(arg, text);
}

static int
audits_get(void *arg, const struct row_key *key, struct row *ret_row)
{
	struct audits *audits = arg;

	return store_get(audits->d->store, key, ret_row);
}

static void
audits_work(void *arg)
{
	struct audits *audits = arg;
	struct store *store = audits->d->store;

	audits->rc = store_each(store, audit_row, &audits->audit);
	if (audits->rc != 0 || audits->audit.is_cancelled)
		return;
	audits->rc = store_verify(store, audits_tell, audits, &audits->differences);
	if (audits->rc == -OCF_ECORRUPT && audits->differences > 0)
		audits->rc = 0;
}

/* ---- the loop's thread ---- */

static void
audits_on_done(void *arg, bool was_run)
{
	struct audits *audits = arg;

	(void)was_run;
	audits->is_running = false;
	audits->ended = clock_mono_ms();
}

/* Forget the last one. */
static void
audits_clear(struct audits *audits)
{
	checker_free(audits->checker);
	audits->checker = NULL;
	json_decref(audits->messages);
	audits->messages = NULL;
}

void
audits_close(struct audits *audits)
{
	if (audits == NULL)
		return;
	audits->audit.is_cancelled = true;
	lane_close(audits->lane);
	audits_clear(audits);
	pthread_mutex_destroy(&audits->lock);
	free(audits);
}

static void
audits_start(struct audits *audits)
{
	struct daemon *d = audits->d;

	audits_clear(audits);
	audits->checker = checker_new(d->identity, table_node_cert);
	audits->audit = (struct audit){
		.checker = audits->checker,
		.rows_per_node = store_constants(d->store)->rows_per_node,
		.get = audits_get,
		.bad = audits_on_bad,
		.arg = audits,
	};
	audits->messages = json_array();
	audits->total = store_root(d->store).count;
	audits->started = clock_mono_ms();
	audits->rc = 0;
	audits->differences = 0;
	audits->request++;
	audits->is_running = true;
	lane_put(audits->lane, audits_work, audits_on_done, audits);
}

static json_t *
audits_state_json(struct audits *audits)
{
	ms_t until = audits->is_running ? clock_mono_ms() : audits->ended;
	json_t *is_sound = json_null();
	const char *state = "running", *error = NULL;
	uint64_t differences = 0;
	json_t *messages, *json;

	if (!audits->is_running) {
		state = audits->rc != 0 ? "failed" : "done";
		error = audits->rc != 0 ? error_text(audits->rc) : NULL;
		differences = audits->differences;
		if (audits->rc == 0)
			is_sound = json_boolean(differences == 0 &&
						audits->audit.bad_len == 0);
	}
	/* A copy: the lane may add to the list while the reply is written. */
	pthread_mutex_lock(&audits->lock);
	messages = json_copy(audits->messages);
	pthread_mutex_unlock(&audits->lock);
	json = json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:i, s:o, s:I, s:o, s:s?}",
			 "request", (json_int_t)audits->request, "state", state, "rows",
			 (json_int_t)audits->audit.rows, "total",
			 (json_int_t)audits->total, "differences",
			 (json_int_t)differences, "signatures_bad",
			 (json_int_t)audits->audit.bad_len, "dropped", 0, "messages",
			 messages, "elapsed_ms", (json_int_t)(until - audits->started),
			 "is_sound", is_sound, "error", error);
	return json;
}

int
audits_admin(struct daemon *d, const json_t *body, json_t **ret_reply, struct errmsg *err)
{
	struct audits *audits = d->audits;
	json_int_t request = 0;
	json_error_t error;
	const char *op;
	int repair = 0;

	if (json_unpack_ex((json_t *)body, &error, JSON_STRICT, "{s:s, s?b, s?I}", "op",
			   &op, "repair", &repair, "request", &request) != 0) {
		error_set(err, -EINVAL, "%s", error.text);
		return 400;
	}
	if (strcmp(op, "state") == 0) {
		if (audits->checker == NULL || (uint64_t)request != audits->request) {
			error_set(
				err, -ENOENT,
				"there is no such request; only the last one is kept, until "
				"the node stops");
			return 404;
		}
		*ret_reply = audits_state_json(audits);
		return 200;
	}
	if (strcmp(op, "start") != 0) {
		error_set(err, -EINVAL, "op is 'start' or 'state'");
		return 400;
	}
	if (repair) {
		error_set(err, -EBUSY,
			  "a running node does not repair its store, on which all that "
			  "it does rests: stop it, run 'ocf-sync verify --repair', and "
			  "start it again");
		return 409;
	}
	if (!audits->is_running)
		audits_start(audits);
	*ret_reply = json_pack("{s:I}", "request", (json_int_t)audits->request);
	return 200;
}
