/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/token: lists and edits http.token_file, and takes what it holds then. Who adds
 * a token makes it, and tells its hash: the token itself never comes here. */
#include "config.h"

#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "table/token-json.h"

static int
tokens_status(int rc)
{
	switch (-rc) {
	case EINVAL:
		return 400;
	case EACCES:
	case EPERM:
	case EROFS:
		return 403;
	case OCF_EUNKNOWN:
		return 404;
	case EEXIST:
	case ENOENT:
	case OCF_ELIMIT:
	case OCF_EMALFORMED:
		return 409;
	case EBUSY:
		return 503;
	case ENOSPC:
	case EDQUOT:
		return 507;
	default:
		return 500;
	}
}

static int
tokens_list(const char *path, json_t **ret_reply, struct errmsg *err)
{
	json_t *list = json_array();
	struct tokens tokens;
	int rc = tokens_read(path, &tokens, err);

	if (rc == 0) {
		for (int i = 0; i < tokens.len; i++)
			json_array_append_new(list, token_to_json(&tokens.items[i]));
		*ret_reply = json_pack("{s:s, s:O}", "file", path, "tokens", list);
		tokens_fini(&tokens);
	}
	json_decref(list);
	return rc;
}

static int
tokens_add_one(const char *path, const json_t *token, const char *hash,
	       struct errmsg *err)
{
	struct tokens_entry e;
	int rc;

	if (token == NULL || hash == NULL)
		return error_set(err, -EINVAL, "\"add\" needs \"token\" and \"sha256\"");
	rc = token_from_json(token, &e, err);
	if (rc != 0)
		return rc;
	if (hex_decode(hash, e.hash, sizeof(e.hash)) != 0)
		rc = error_set(err, -EINVAL, "sha256 is not of 64 hex digits");
	else
		rc = tokens_add(path, &e, (uid_t)-1, err);
	if (rc == 0)
		log_info("node", "token %s was added", e.name);
	tokens_entry_fini(&e);
	return rc;
}

static int
tokens_revoke_one(const char *path, const char *name, struct errmsg *err)
{
	int rc;

	if (name == NULL || !tokens_name_is_valid(name))
		return error_set(err, -EINVAL,
				 "\"revoke\" needs the \"name\" of a token");
	rc = tokens_remove(path, name, err);
	if (rc == 0)
		log_info("node", "token %s was revoked", name);
	return rc;
}

/* The file was changed; does the node know? */
static int
tokens_edited(struct daemon *d, const char *path, json_t **ret_reply, struct errmsg *err)
{
	int rc = daemon_reload_tokens(d, err);

	if (rc != 0)
		return error_prefix(err, rc, "%s was changed, but cannot be read", path);
	*ret_reply = json_pack("{s:s}", "file", path);
	return 0;
}

int
tokens_admin(struct daemon *d, const json_t *body, json_t **ret_reply, struct errmsg *err)
{
	const char *path = d->config->http.token_file, *op = NULL, *name = NULL,
		   *hash = NULL;
	json_t *token = NULL;
	json_error_t why;
	int rc;

	if (json_unpack_ex((json_t *)body, &why, JSON_STRICT, "{s:s, s?s, s?s, s?o}",
			   "op", &op, "name", &name, "sha256", &hash, "token",
			   &token) != 0) {
		error_set(err, -EINVAL, "%s", why.text);
		return 400;
	}
	if (path[0] == '\0') {
		error_set(err, -ENOENT,
			  "the node has no http.token_file: name one in ocf.conf "
			  "([http] token_file = %s/tokens), make its first token, and "
			  "start ocfd again",
			  d->places->data);
		return 409;
	}
	if (strcmp(op, "list") == 0)
		return (rc = tokens_list(path, ret_reply, err)) == 0 ? 200
								     : tokens_status(rc);
	if (strcmp(op, "add") == 0)
		rc = tokens_add_one(path, token, hash, err);
	else if (strcmp(op, "revoke") == 0)
		rc = tokens_revoke_one(path, name, err);
	else
		rc = error_set(err, -EINVAL,
			       "\"op\" is none of \"add\", \"list\" and \"revoke\"");
	if (rc == -EACCES || rc == -EPERM || rc == -EROFS)
		error_prefix(err, rc,
			     "the node's user may not replace the file; keep it where it "
			     "may, such as %s/tokens, or edit it with --file as one who "
			     "may",
			     d->places->data);
	if (rc == 0)
		rc = tokens_edited(d, path, ret_reply, err);
	return rc == 0 ? 200 : tokens_status(rc);
}
