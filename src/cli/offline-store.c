/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/offline-store.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "ident/audit.h"
#include "store/store.h"
#include "table/rows.h"

enum { OFFLINE_TOLD_MS = 100 }; /* between two states */

/* ---- words ---- */

void
offline_write(struct offline *o, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	fprintf(o->out, "%s\n", text != NULL ? text : "{}");
	fflush(o->out);
	free(text);
	json_decref(json);
}

static void
offline_tell(void *arg, const char *text)
{
	struct offline *o = arg;

	if (o->messages != NULL && json_array_size(o->messages) < OFFLINE_MESSAGES_MAX)
		json_array_append_new(o->messages, json_string(text));
}

static void
offline_on_bad(void *arg, const struct row_key *key, const char *text)
{
	struct offline *o = arg;

	if (o->bad_len == o->bad_cap) {
		o->bad_cap = o->bad_cap > 0 ? 2 * o->bad_cap : 64;
		o->bad = mem_realloc(o->bad, o->bad_cap, sizeof(o->bad[0]));
	}
	o->bad[o->bad_len++] = *key;
	offline_tell(o, text);
}

int
offline_get(void *arg, const struct row_key *key, struct row *ret_row)
{
	struct offline *o = arg;

	return store_get(o->store, key, ret_row);
}

void
offline_show(struct offline *o, uint64_t rows, uint64_t total)
{
	if (clock_mono_ms() - o->told_at < OFFLINE_TOLD_MS)
		return;
	o->told_at = clock_mono_ms();
	offline_write(o, json_pack("{s:s, s:I, s:I}", "state", "running", "rows",
				   (json_int_t)rows, "total", (json_int_t)total));
}

static bool
offline_on_row(void *arg, const uint8_t k[STORE_K_BYTES], const struct row_key *key,
	       const struct row *row)
{
	struct offline *o = arg;

	audit_row(&o->audit, k, key, row);
	offline_show(o, o->audit.rows, o->total);
	return true;
}

/* ---- opening ---- */

static int
offline_status(const struct offline *o, int rc)
{
	if (o->is_input_wrong)
		return EXIT_FAILURE;
	switch (-rc) {
	case EACCES:
	case EPERM:
	case EROFS:
		return EXIT_STATUS_PERMISSION;
	case EBUSY:
		return EXIT_STATUS_TRY_LATER;
	case ENOENT:
	case OCF_EVERSION:
	case OCF_EFOREIGN:
	case OCF_EMALFORMED:
		return EXIT_STATUS_CONFIG;
	default:
		return EXIT_STATUS_IO;
	}
}

static int
offline_open_store(struct offline *o, bool is_read_only, struct errmsg *err)
{
	const char *data = o->places->data;
	char *dir = mem_printf("%s/store", data);
	struct store_config config = {
		.dir = dir,
		.sha256 = ident_sha256,
		.is_read_only = is_read_only,
	};
	int rc = store_open(&config, &o->store, err);
	struct errmsg why = *err;

	free(dir);
	if (rc == -EBUSY)
		return error_set(err, rc,
				 "%s; an ocfd whose socket does not answer? Wait for it, "
				 "or stop it, and try again",
				 why.text);
	if (rc == -ENOENT) /* its keys are here */
		return error_set(err, rc,
				 "the store of this node is gone from %s/store; restore "
				 "a backup, or move %s away and join again",
				 data, data);
	if (rc == -EACCES || rc == -EPERM)
		return error_set(err, rc, "%s; the node's user can open it, or root",
				 why.text);
	if (rc == 0 &&
	    !id_equal(&store_constants(o->store)->cluster, &o->identity->cluster_id))
		return error_set(err, -OCF_EFOREIGN,
				 "the store in %s/store is of another cluster than the "
				 "keys in %s/keys; put back the one that belongs to the "
				 "other, or move %s away and join again",
				 data, data, data);
	return rc;
}

int
offline_reopen(struct offline *o, bool is_read_only, struct errmsg *err)
{
	store_close(o->store);
	o->store = NULL;
	return offline_open_store(o, is_read_only, err);
}

static int
offline_open(struct offline *o, struct errmsg *err)
{
	const char *data = o->places->data;
	int rc = places_become_owner(data, err);

	if (rc != 0)
		return rc;
	if (!identity_exists(data))
		return error_set(err, -ENOENT,
				 "there is no node in %s: make one with 'ocf init' or "
				 "'ocf join -', or name its folder with --data",
				 data);
	rc = identity_load(data, &o->identity, err);
	if (rc == 0)
		rc = offline_open_store(o, true, err);
	return rc;
}

/* ---- looking ---- */

json_t *
offline_root_json(const struct offline *o)
{
	struct store_digest root = store_root(o->store);
	char text[33];
	uint8_t sum[16];

	put_be64(sum, root.sum.hi);
	put_be64(sum + 8, root.sum.lo);
	return json_pack("{s:s, s:I}", "root", hex_encode(sum, sizeof(sum), text), "rows",
			 (json_int_t)root.count);
}

static int
offline_look(struct offline *o, struct errmsg *err)
{
	int rc;

	checker_free(o->checker);
	o->checker = checker_new(o->identity, table_node_cert);
	o->audit = (struct audit){
		.checker = o->checker,
		.rows_per_node = store_constants(o->store)->rows_per_node,
		.get = offline_get,
		.bad = offline_on_bad,
		.arg = o,
	};
	o->total = store_root(o->store).count;
	rc = store_each(o->store, offline_on_row, o);
	if (rc == 0)
		rc = store_verify(o->store, offline_tell, o, &o->differences);
	if (rc == -OCF_ECORRUPT && o->differences > 0)
		rc = 0;
	if (rc != 0)
		error_set(err, rc,
			  "the store in %s/store cannot be read: %s; restore a backup, "
			  "or move %s away and join again",
			  o->places->data, error_text(rc), o->places->data);
	return rc;
}

/* ---- putting right ---- */

struct offline_wait {
	sem_t done;
	int rc;
};

/* On the store's writer thread. */
static void
offline_on_durable(void *arg, int rc)
{
	struct offline_wait *wait = arg;

	wait->rc = rc;
	sem_post(&wait->done);
}

int
offline_wait_durable(struct store *store)
{
	struct offline_wait wait = { .rc = 0 };

	sem_init(&wait.done, 0, 0);
	store_sync(store, offline_on_durable, &wait);
	while (sem_wait(&wait.done) != 0 && errno == EINTR)
		;
	sem_destroy(&wait.done);
	return wait.rc;
}

/* Rows that are not signed go one by one; what is left is the measure for the rest. */
static int
offline_drop_bad(struct offline *o)
{
	const struct row none = ROW_INIT;
	int rc = 0;

	for (size_t i = 0; i < o->bad_len && rc == 0; i++) {
		rc = store_replace(o->store, &o->bad[i], &none);
		if (rc == -EAGAIN) { /* as much as may be is under way */
			rc = offline_wait_durable(o->store);
			i--;
		} else if (rc == 0) {
			o->dropped++;
		}
	}
	return rc == 0 ? offline_wait_durable(o->store) : rc;
}

static int
offline_repair(struct offline *o, struct errmsg *err)
{
	uint64_t dropped = 0;
	int rc, closed;

	rc = offline_reopen(o, false, err);
	if (rc != 0)
		return rc;
	rc = offline_drop_bad(o);
	if (rc == 0)
		rc = store_repair(o->store, offline_tell, o, &dropped);
	closed = store_close(o->store);
	o->store = NULL;
	o->dropped += dropped;
	if (rc == 0)
		rc = closed;
	if (rc != 0)
		return error_set(err, rc,
				 "the store in %s/store cannot be repaired: %s; what was "
				 "good in it still is",
				 o->places->data, error_text(rc));
	return offline_open_store(o, true, err);
}

static int
offline_verify(struct offline *o, bool is_repair, json_t **ret_json, struct errmsg *err)
{
	bool is_sound;
	int rc = offline_look(o, err);

	if (rc != 0)
		return rc;
	is_sound = o->differences == 0 && o->bad_len == 0;
	*ret_json = json_pack("{s:s, s:I, s:I, s:I, s:I}", "state", "done", "rows",
			      (json_int_t)o->audit.rows, "total", (json_int_t)o->total,
			      "differences", (json_int_t)o->differences, "signatures_bad",
			      (json_int_t)o->bad_len);
	json_object_set(*ret_json, "messages", o->messages);
	if (is_repair && !is_sound) {
		/* What repair says was said by the look before it. */
		json_decref(o->messages);
		o->messages = NULL;
		rc = offline_repair(o, err);
		o->bad_len = 0;
		if (rc == 0)
			rc = offline_look(o, err);
		is_sound = o->differences == 0 && o->bad_len == 0;
	}
	json_object_set_new(*ret_json, "dropped", json_integer((json_int_t)o->dropped));
	json_object_set_new(*ret_json, "is_sound", json_boolean(is_sound));
	json_object_set_new(*ret_json, "elapsed_ms",
			    json_integer(clock_mono_ms() - o->started));
	json_object_set_new(*ret_json, "error", json_null());
	return rc;
}

static int
offline_do(struct offline *o, json_t **ret_json, struct errmsg *err)
{
	switch (o->task->op) {
	case OFFLINE_ROOT:
		*ret_json = offline_root_json(o);
		return 0;
	case OFFLINE_DUMP:
		return offline_dump(o, ret_json, err);
	case OFFLINE_LOAD:
		return offline_load(o, ret_json, err);
	case OFFLINE_BACKUP:
		return offline_backup(o, ret_json, err);
	default:
		return offline_verify(o, o->task->op == OFFLINE_REPAIR, ret_json, err);
	}
}

void
offline_store_run(const struct places *places, const struct offline_task *task, FILE *out)
{
	struct offline o = { .places = places,
			     .task = task,
			     .out = out,
			     .started = clock_mono_ms(),
			     .messages = json_array() };
	struct errmsg err = { "" };
	json_t *json = NULL;
	int rc = offline_open(&o, &err), closed;

	o.told_at = o.started;
	if (rc == 0)
		rc = offline_do(&o, &json, &err);
	closed = store_close(o.store);
	if (rc == 0)
		rc = closed;
	if (rc != 0) {
		json_decref(json);
		json = json_pack("{s:s, s:i}", "error",
				 err.text[0] != '\0' ? err.text : error_text(rc),
				 "status", offline_status(&o, rc));
	}
	offline_write(&o, json);
	checker_free(o.checker);
	identity_free(o.identity);
	json_decref(o.messages);
	free(o.bad);
}
