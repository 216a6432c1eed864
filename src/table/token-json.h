/* SPDX-License-Identifier: Apache-2.0 */
/* What the token file (base/tokens.h) says of a token, as JSON:
 * {"name","rate","burst","concurrency","share","services"}, null or absent for what is not
 * limited. Hashes are not in it. */
#ifndef OCF_TABLE_TOKEN_JSON_H
#define OCF_TABLE_TOKEN_JSON_H

#include <jansson.h>

#include "base/error.h"
#include "base/tokens.h"

/* A new reference. */
json_t *token_to_json(const struct tokens_entry *e);
/* -EINVAL: it is no such object, or tokens_check() finds something. Leaves nothing to free
 * then. */
int token_from_json(const json_t *json, struct tokens_entry *ret, struct errmsg *err);

#endif
