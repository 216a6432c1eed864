/* SPDX-License-Identifier: Apache-2.0 */
/* Invitations: `ocf invite` asks for a token by POST /v1/admin/invite, and whoever shows
 * it gets a certificate and the cluster's constants over ocf-join/1. The same route lists
 * those that are open, says what became of one, and revokes it. They are named by the hash of
 * their secret (ident/invites.h): neither a token nor its secret ever comes back here. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/refusals.h"
#include "ident/invites.h"
#include "ident/token.h"
#include "net/join.h"

enum {
	INVITE_TTL_S_DEFAULT = 24 * 60 * 60,
	INVITE_TTL_S_MAX = 30 * 24 * 60 * 60,
};

struct invite_book {
	char *path;
	struct join_host host;
	struct join_server *server;
	struct refusals refusals;
};

/* What a joiner must know of the cluster: constants, and whom to dial. */
static int
invite_on_welcome(void *arg, const struct id *node, const char *name,
		  struct buf *constants, struct errmsg *err)
{
	struct daemon *d = arg;
	const struct store_constants *c = store_constants(d->store);
	json_t *seeds = json_array(), *welcome;
	char *text;

	(void)node;
	(void)name;
	for (int i = 0; i < d->addresses_len; i++)
		json_array_append_new(seeds, json_string(d->addresses[i]));
	welcome = json_pack("{s:I, s:I, s:o}", "retention_ms",
			    (json_int_t)c->retention_ms, "rows_per_node",
			    (json_int_t)c->rows_per_node, "seeds", seeds);
	text = json_dumps(welcome, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(welcome);
	if (text == NULL)
		return error_set(err, -EINVAL, "the cluster cannot be described");
	buf_put_text(constants, text);
	free(text);
	return 0;
}

static void
invite_on_report(void *arg, int code, const struct id *node, const char *name,
		 const char *peer, const char *why)
{
	struct daemon *d = arg;
	char id[ID_TEXT_SIZE], *who;

	if (code == 0) {
		log_info("join", "node %s (%s) joined from %s", name, id_text(node, id),
			 peer);
		return;
	}
	who = mem_printf("a node that would join from %s", peer);
	refusals_log(&d->invites->refusals, "join", who, why);
	free(who);
}

int
invite_open(struct daemon *d, struct errmsg *err)
{
	struct invite_book *book = mem_calloc(1, sizeof(*book));

	(void)err;
	book->path = mem_printf("%s/invites", d->places->data);
	book->host = (struct join_host){
		.identity = d->identity,
		.invites_path = book->path,
		.welcome = invite_on_welcome,
		.report = invite_on_report,
		.arg = d,
	};
	book->server = join_server_new(d->loop, &book->host);
	d->invites = book;
	return 0;
}

void
invite_close(struct daemon *d)
{
	if (d->invites == NULL)
		return;
	join_server_free(d->invites->server);
	free(d->invites->path);
	free(d->invites);
	d->invites = NULL;
}

void
invite_accept(struct daemon *d, struct stream *stream)
{
	if (d->invites == NULL || d->is_stopping)
		stream_close(stream);
	else
		join_server_take(d->invites->server, stream);
}

/* ---- POST /v1/admin/invite ---- */

static int
invite_read_body(const json_t *body, json_int_t *ret_ttl_s, json_int_t *ret_uses,
		 int *ret_is_admin, struct errmsg *err)
{
	json_error_t error;

	*ret_ttl_s = INVITE_TTL_S_DEFAULT;
	*ret_uses = 1;
	*ret_is_admin = 0;
	if (json_unpack_ex((json_t *)body, &error, JSON_STRICT, "{s?I, s?I, s?b}",
			   "ttl_s", ret_ttl_s, "uses", ret_uses, "admin",
			   ret_is_admin) != 0)
		return error_set(err, -EINVAL, "%s", error.text);
	if (*ret_ttl_s < 1 || *ret_ttl_s > INVITE_TTL_S_MAX)
		return error_set(err, -EINVAL, "ttl_s is not from 1 to %d (30 days)",
				 INVITE_TTL_S_MAX);
	if (*ret_uses < 1 || *ret_uses > INVITES_USES_MAX)
		return error_set(err, -EINVAL, "uses is not from 1 to %d",
				 INVITES_USES_MAX);
	return 0;
}

static int
invite_make(struct daemon *d, json_int_t ttl_s, json_int_t uses, bool is_admin,
	    json_t **ret_reply, struct errmsg *err)
{
	ms_t now = clock_wall_ms();
	struct token token = { .expires_ms = now + ttl_s * MS_SECOND,
			       .is_admin = is_admin };
	struct buf word = BUF_INIT;
	json_t *addresses = json_array();
	char expires[CLOCK_TEXT_SIZE], id[INVITES_ID_SIZE];
	int rc;

	memcpy(token.fingerprint, d->identity->fingerprint, sizeof(token.fingerprint));
	ident_random(token.secret, sizeof(token.secret));
	for (int i = 0; i < d->addresses_len; i++)
		if (token_add_address(&token, d->addresses[i]) == 0)
			json_array_append_new(addresses, json_string(d->addresses[i]));
	rc = invites_add(d->invites->path, token.secret, token.expires_ms, (unsigned)uses,
			 is_admin, now, err);
	if (rc == 0) {
		token_encode(&token, &word);
		invites_id(token.secret, id);
		*ret_reply = json_pack("{s:s, s:s%, s:O, s:s, s:I, s:b}", "token",
				       buf_text(&word), "id", id,
				       (size_t)INVITES_ID_SHORT, "addresses", addresses,
				       "expires", clock_text(token.expires_ms, expires),
				       "uses", uses, "admin", is_admin);
		ident_wipe(word.data, word.len);
	}
	json_decref(addresses);
	ident_wipe(&token, sizeof(token));
	buf_fini(&word);
	return rc;
}

/* ---- those that were made ---- */

static json_t *
invite_time_json(ms_t at)
{
	char text[CLOCK_TEXT_SIZE];

	return at != 0 ? json_string(clock_text(at, text)) : json_null();
}

static json_t *
invite_json(const struct invite_view *v)
{
	return json_pack("{s:s%, s:s, s:o, s:o, s:o, s:I, s:I, s:b}", "id", v->id,
			 (size_t)INVITES_ID_SHORT, "state", invites_state_text(v->state),
			 "created", invite_time_json(v->created_ms), "expires",
			 invite_time_json(v->expires_ms), "revoked",
			 invite_time_json(v->revoked_ms), "uses_left",
			 (json_int_t)v->uses_left, "taken", (json_int_t)v->taken, "admin",
			 v->is_admin);
}

static void
invite_list_one(void *arg, const struct invite_view *view)
{
	json_array_append_new(arg, invite_json(view));
}

static int
invite_status(int rc)
{
	switch (-rc) {
	case 0:
		return 200;
	case OCF_EUNKNOWN:
		return 404;
	case OCF_EEXPIRED:
	case OCF_ELIMIT:
	case EALREADY:
	case ENOTUNIQ:
		return 409;
	default:
		return 500;
	}
}

static int
invite_list(struct daemon *d, json_t **ret_reply, struct errmsg *err)
{
	json_t *list = json_array();
	int rc = invites_each_open(d->invites->path, clock_wall_ms(), invite_list_one,
				   list, err);

	if (rc == 0)
		*ret_reply = json_pack("{s:O}", "invitations", list);
	json_decref(list);
	return invite_status(rc);
}

static int
invite_one(struct daemon *d, bool is_revoke, const char *id, json_t **ret_reply,
	   struct errmsg *err)
{
	struct invite_view view;
	ms_t now = clock_wall_ms();
	int rc;

	if (strspn(id, "0123456789abcdef") != strlen(id) ||
	    strlen(id) < INVITES_ID_SHORT || strlen(id) >= INVITES_ID_SIZE) {
		error_set(err, -EINVAL, "an invitation's id is %d to %d hex digits",
			  INVITES_ID_SHORT, INVITES_ID_SIZE - 1);
		return 400;
	}
	rc = is_revoke ? invites_revoke(d->invites->path, id, now, &view, err)
		       : invites_view(d->invites->path, id, now, &view, err);
	if (rc == -OCF_EUNKNOWN && !is_revoke) {
		*ret_reply = json_pack("{s:s}", "state", "unknown");
		return 200;
	}
	if (rc != 0)
		return invite_status(rc);
	if (is_revoke)
		log_info("join", "invitation %.*s is revoked", INVITES_ID_SHORT, view.id);
	*ret_reply = invite_json(&view);
	return 200;
}

static int
invite_op(struct daemon *d, const json_t *body, json_t **ret_reply, struct errmsg *err)
{
	const char *op = NULL, *id = NULL;
	json_error_t error;

	if (json_unpack_ex((json_t *)body, &error, JSON_STRICT, "{s:s, s?s}", "op", &op,
			   "id", &id) != 0) {
		error_set(err, -EINVAL, "%s", error.text);
		return 400;
	}
	if (strcmp(op, "list") == 0 && id == NULL)
		return invite_list(d, ret_reply, err);
	if (id != NULL && (strcmp(op, "revoke") == 0 || strcmp(op, "state") == 0))
		return invite_one(d, op[0] == 'r', id, ret_reply, err);
	error_set(err, -EINVAL,
		  "\"op\" is neither \"list\" nor, with \"id\", \"state\" or \"revoke\"");
	return 400;
}

int
invite_admin(struct daemon *d, const json_t *body, json_t **ret_reply, struct errmsg *err)
{
	json_int_t ttl_s, uses;
	int is_admin;

	if (json_object_get(body, "op") != NULL)
		return invite_op(d, body, ret_reply, err);

	if (invite_read_body(body, &ttl_s, &uses, &is_admin, err) != 0)
		return 400;
	if (d->identity->ca_key == NULL) {
		ca_refuse_without_key(d, "invite", err);
		return 403;
	}
	if (d->addresses_len == 0) {
		error_set(err, -EINVAL,
			  "this node has no address that others can dial; set "
			  "peer.advertise");
		return 409;
	}
	if (invite_make(d, ttl_s, uses, is_admin, ret_reply, err) != 0)
		return 500;
	return 200;
}
