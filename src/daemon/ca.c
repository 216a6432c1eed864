/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that the cluster's CA owns, written where its key is held: POST
 * /v1/admin/{ban,unban,forget}.
 *
 * Several nodes may hold the key and write the same row at the same time. Each version covers
 * what its writer sees, so that a ban and an unban that do not know of each other leave the
 * node banned: an add that a remove did not see survives it.
 *
 * Versions are numbered under an actor of their own, random and made anew in each life of
 * this node at its first write, never under that of the store. So no number can have been
 * given before, also when an older copy of the store was put back and nobody is there who
 * could tell, and a node that is alone can ban at once. It costs a context entry for each
 * life in which a row was written. Where they are too many the one that is left out can bring
 * back a ban that was lifted, should somebody return who holds it from then, and that is
 * lifted as any other. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crdt/owner.h"
#include "crdt/stamp.h"
#include "daemon/rows.h"
#include "daemon/work.h"
#include "table/rows.h"

enum { CA_NAMED_MAX = 4 }; /* nodes in a sentence */

struct ca {
	struct daemon *d;
	struct dot last; /* handed out; actor 0: none yet */
	struct stamp_clock stamps;
};

enum ca_op { CA_BAN, CA_UNBAN, CA_FORGET };

struct ca_job {
	struct ca *ca;
	enum ca_op op;
	struct id node;
	struct buf value;
	struct work *work;
	int rc;
};

/* ---- a version ---- */

/* Above what it replaces and what was given before; but a clock that is wrong, here or
 * elsewhere, is not followed. */
static uint64_t
ca_stamp(struct ca *ca, const struct row *held)
{
	ms_t now = clock_wall_ms();

	if (row_stamp(held) <= (uint64_t)(now + OWNER_AHEAD_MS))
		stamp_seen(&ca->stamps, row_stamp(held));
	if (ca->stamps.last > (uint64_t)(now + OWNER_AHEAD_MS))
		ca->stamps.last = 0;
	return stamp_next(&ca->stamps, now);
}

static struct dot
ca_dot(struct ca *ca)
{
	while (ca->last.actor == 0)
		ident_random(&ca->last.actor, sizeof(ca->last.actor));
	ca->last.seq++;
	return ca->last;
}

/* Leave an actor out of the contexts of what is to be covered that wrote none of its
 * versions; false: there is none. */
static bool
ca_shorten(struct row *seen)
{
	for (int i = 0; i < seen->len; i++) {
		struct version *v = &seen->versions[i];

		for (int j = 0; j < v->context_len; j++) {
			struct dot dot = v->context[j];
			bool is_writer = false;

			for (int k = 0; k < seen->len; k++)
				is_writer |= seen->versions[k].dot.actor == dot.actor;
			if (is_writer)
				continue;
			v->context_len--;
			for (; j < v->context_len; j++)
				v->context[j] = v->context[j + 1];
			return true;
		}
	}
	return false;
}

/* `value` NULL: not any more. What is held then goes to *ret_merged. */
static int
ca_write(struct ca *ca, const struct row_key *key, const struct row *held,
	 const struct bytes *value, struct row *ret_merged)
{
	struct daemon *d = ca->d;
	uint64_t stamp = ca_stamp(ca, held);
	struct dot dot = ca_dot(ca);
	struct version v;
	struct row seen;
	int rc;

	row_copy(held, &seen);
	do
		rc = version_next(&seen, dot, stamp, value, &v);
	while (rc == -OCF_ELIMIT && ca_shorten(&seen));
	row_fini(&seen);
	if (rc == 0)
		rc = rows_write(d->rows, key, d->identity->ca_key, &v, ret_merged);
	return rc;
}

/* ---- may it be done? ---- */

static const char *
ca_verb(enum ca_op op)
{
	static const char *const verbs[] = {
		[CA_BAN] = "ban", [CA_UNBAN] = "unban", [CA_FORGET] = "forget"
	};

	return verbs[op];
}

void
ca_refuse_without_key(const struct daemon *d, const char *verb, struct errmsg *err)
{
	struct buf holders = BUF_INIT;

	catalog_ca_holders(d->catalog, &d->identity->node_id, CA_NAMED_MAX, &holders);
	if (holders.len > 0)
		error_set(
			err, -EPERM,
			"this node does not hold the cluster's CA key, so it cannot %s; "
			"run it on one that does: %s",
			verb, buf_text(&holders));
	else
		error_set(
			err, -EPERM,
			"this node does not hold the cluster's CA key, so it cannot %s, "
			"and knows of no node that does; run it where 'ocf init' was run, "
			"or on a node invited with --admin",
			verb);
	buf_fini(&holders);
}

/* What the table says is not so may only not have come here yet. */
static bool
ca_is_unsure(const struct daemon *d)
{
	struct catalog_counts counts;

	catalog_counts(d->catalog, &counts);
	return counts.alive > 1 && !repair_has_compared(d->repair);
}

static int
ca_refuse_unsure(const char *node, const char *what, struct errmsg *err)
{
	error_set(err, -EAGAIN,
		  "this node has not compared its table with another's since it started, "
		  "and cannot tell yet whether node %s %s; try again in a moment",
		  node, what);
	return 503;
}

static int
ca_check_unban(const struct daemon *d, const struct ca_job *job, const char *node,
	       struct errmsg *err)
{
	struct catalog_bar bar;

	if (catalog_bar(d->catalog, &job->node, ROW_BAN, &bar))
		return 200;
	if (ca_is_unsure(d))
		return ca_refuse_unsure(node, "is banned", err);
	if (catalog_bar(d->catalog, &job->node, ROW_FORGET, &bar))
		error_set(
			err, -EINVAL,
			"node %s is not banned, but forgotten: it comes back by joining "
			"anew, with a new invitation and an empty data folder",
			node);
	else
		error_set(err, -EINVAL, "node %s is not banned", node);
	return 409;
}

static int
ca_check_forget(const struct daemon *d, const struct ca_job *job, const char *node,
		struct errmsg *err)
{
	struct catalog_node known;
	bool is_held = catalog_node(d->catalog, &job->node, &known);

	if (is_held && known.state <= CATALOG_DRAINING) {
		error_set(err, -EBUSY,
			  "node %s is alive; forget is for a node that is gone for good: "
			  "drain and stop it first, or ban it",
			  node);
		return 409;
	}
	if (is_held || catalog_is_barred(d->catalog, &job->node))
		return 200;
	if (ca_is_unsure(d))
		return ca_refuse_unsure(node, "is known", err);
	error_set(err, -ENOENT, "the table holds nothing of node %s to be forgotten",
		  node);
	return 404;
}

static int
ca_check(const struct daemon *d, const struct ca_job *job, struct errmsg *err)
{
	const char *silent = rows_why_silent(d->rows);
	struct buf node = BUF_INIT;
	int status = 200;

	if (d->identity->ca_key == NULL) {
		ca_refuse_without_key(d, ca_verb(job->op), err);
		return 403;
	}
	if (job->op != CA_UNBAN && id_equal(&job->node, &d->identity->node_id)) {
		error_set(err, -EINVAL,
			  "this is that node itself: a node cannot %s itself",
			  ca_verb(job->op));
		return 409;
	}
	if (silent[0] != '\0') {
		error_set(err, -EAGAIN, "nothing is written by this node now: %s",
			  silent);
		return 503;
	}
	catalog_describe(d->catalog, &job->node, &node);
	if (job->op == CA_UNBAN)
		status = ca_check_unban(d, job, buf_text(&node), err);
	else if (job->op == CA_FORGET)
		status = ca_check_forget(d, job, buf_text(&node), err);
	buf_fini(&node);
	return status;
}

/* ---- the work ---- */

static void
ca_close_job(void *arg)
{
	struct ca_job *job = arg;

	buf_fini(&job->value);
	free(job);
}

/* What the row will say. */
static int
ca_make_value(const struct daemon *d, struct ca_job *job, const char *reason,
	      struct errmsg *err)
{
	struct table_bar bar = { .by = d->identity->node_id };
	struct catalog_node node;
	struct catalog_bar old;
	int rc;

	bar.reason = mem_strdup(reason);
	if (catalog_node(d->catalog, &job->node, &node) && node.row->name[0] != '\0')
		bar.name = mem_strdup(node.row->name);
	else if (catalog_bar(d->catalog, &job->node, ROW_BAN, &old) ||
		 catalog_bar(d->catalog, &job->node, ROW_FORGET, &old))
		bar.name = mem_strdup(old.name);
	rc = table_bar_encode(&bar, &job->value, err);
	table_bar_fini(&bar);
	return rc == 0 ? 200 : 400;
}

static int
ca_read_body(struct bytes body, enum ca_op op, struct id *ret_node, char **ret_reason,
	     struct errmsg *err)
{
	const char *node = NULL, *reason = "";
	json_error_t why;
	json_t *json = json_loadb((const char *)body.data, body.len,
				  JSON_REJECT_DUPLICATES, &why);
	int rc = -1;

	if (json != NULL)
		rc = op == CA_BAN ? json_unpack_ex(json, &why, JSON_STRICT, "{s:s, s?s}",
						   "node", &node, "reason", &reason)
				  : json_unpack_ex(json, &why, JSON_STRICT, "{s:s}",
						   "node", &node);
	if (rc != 0)
		error_set(err, -EINVAL, "%s", why.text);
	else if (id_parse(node, ret_node) != 0)
		rc = error_set(err, -EINVAL, "node is not an id of 32 hex digits");
	else
		*ret_reason = mem_strdup(reason);
	json_decref(json);
	return rc == 0 ? 200 : 400;
}

static int
ca_open_job(struct daemon *d, enum ca_op op, struct bytes body, void **ret_job,
	    struct errmsg *err)
{
	struct ca_job *job = mem_calloc(1, sizeof(*job));
	char *reason = NULL;
	int status;

	job->ca = d->ca;
	job->op = op;
	status = ca_read_body(body, op, &job->node, &reason, err);
	if (status == 200)
		status = ca_check(d, job, err);
	if (status == 200)
		status = ca_make_value(d, job, reason, err);
	free(reason);
	if (status == 200)
		*ret_job = job;
	else
		ca_close_job(job);
	return status;
}

static int
ca_open_ban(struct daemon *d, const struct query_headers *params, struct bytes body,
	    void **ret_job, struct errmsg *err)
{
	(void)params;
	return ca_open_job(d, CA_BAN, body, ret_job, err);
}

static int
ca_open_unban(struct daemon *d, const struct query_headers *params, struct bytes body,
	      void **ret_job, struct errmsg *err)
{
	(void)params;
	return ca_open_job(d, CA_UNBAN, body, ret_job, err);
}

static int
ca_open_forget(struct daemon *d, const struct query_headers *params, struct bytes body,
	       void **ret_job, struct errmsg *err)
{
	(void)params;
	return ca_open_job(d, CA_FORGET, body, ret_job, err);
}

/* Write what is not so yet. */
static int
ca_do(struct ca_job *job, bool *ret_has_changed)
{
	struct ca *ca = job->ca;
	struct bytes value = buf_bytes(&job->value);
	struct row held = ROW_INIT, merged = ROW_INIT;
	char name[ID_TEXT_SIZE];
	struct row_key key;
	int rc;

	row_key_make(&ca->d->identity->cluster_id,
		     job->op == CA_FORGET ? ROW_FORGET : ROW_BAN,
		     id_text(&job->node, name), &key);
	rc = store_get(ca->d->store, &key, &held);
	if (rc == -ENOENT)
		rc = 0;
	*ret_has_changed = (row_visible(&held) != NULL) == (job->op == CA_UNBAN);
	if (rc == 0 && *ret_has_changed)
		rc = ca_write(ca, &key, &held, job->op == CA_UNBAN ? NULL : &value,
			      &merged);
	row_fini(&held);
	row_fini(&merged);
	return rc;
}

static void
ca_put_reply(const struct ca_job *job, bool has_changed, struct buf *out)
{
	const struct catalog *catalog = job->ca->d->catalog;
	json_t *reply = json_object();
	struct buf by = BUF_INIT;
	char node[ID_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
	struct catalog_bar bar;
	char *text;

	json_object_set_new(reply, "node", json_string(id_text(&job->node, node)));
	json_object_set_new(reply, "changed", json_boolean(has_changed));
	if (catalog_bar(catalog, &job->node, job->op == CA_FORGET ? ROW_FORGET : ROW_BAN,
			&bar)) {
		catalog_describe(catalog, &bar.by, &by);
		json_object_set_new(reply, "by", json_string(buf_text(&by)));
		json_object_set_new(reply, "at", json_string(clock_text(bar.at_ms, at)));
		json_object_set_new(reply, "reason", json_string(bar.reason));
	}
	/* A ban that is lifted may not be all that keeps it out. */
	if (job->op == CA_UNBAN)
		json_object_set_new(
			reply, "forgotten",
			json_boolean(catalog_bar(catalog, &job->node, ROW_FORGET, &bar)));
	text = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);
	buf_put_text(out, text);
	free(text);
	json_decref(reply);
	buf_fini(&by);
}

static void
ca_on_durable(void *arg, int rc)
{
	struct ca_job *job = arg;

	if (job->rc != 0)
		work_landed(job->work, job->rc, error_text(job->rc));
	else if (rc != 0)
		work_landed(job->work, rc,
			    "the disk does not take it just now; this node keeps to it "
			    "and tries again, but it may be lost with this process");
	else
		work_landed(job->work, 0, NULL);
}

static bool
ca_land(void *arg, struct work *w, struct buf *out)
{
	struct ca_job *job = arg;
	bool has_changed = false;

	job->work = w;
	job->rc = ca_do(job, &has_changed);
	if (job->rc == 0)
		ca_put_reply(job, has_changed, out);
	rows_sync(job->ca->d->rows);
	rows_when_durable(job->ca->d->rows, ca_on_durable, job);
	return false;
}

const struct work_type work_ban = {
	.name = "ban",
	.content_type = "application/json",
	.is_light = true,
	.open = ca_open_ban,
	.land = ca_land,
	.close = ca_close_job,
};

const struct work_type work_unban = {
	.name = "unban",
	.content_type = "application/json",
	.is_light = true,
	.open = ca_open_unban,
	.land = ca_land,
	.close = ca_close_job,
};

const struct work_type work_forget = {
	.name = "forget",
	.content_type = "application/json",
	.is_light = true,
	.open = ca_open_forget,
	.land = ca_land,
	.close = ca_close_job,
};

/* ---- life ---- */

struct ca *
ca_open(struct daemon *d)
{
	struct ca *ca = mem_calloc(1, sizeof(*ca));

	ca->d = d;
	return ca;
}

void
ca_close(struct ca *ca)
{
	free(ca);
}
