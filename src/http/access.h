/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask (design.md §10): the unix socket is guarded by its file mode; loopback TCP
 * is open to local users unless `local_tokens`; any other address needs bearer tokens
 * unless `public`. Against web pages that make a browser ask for them: a Host that is
 * neither loopback, an address nor a configured name is 421 (DNS rebinding), and a
 * foreign Origin on anything but GET and HEAD is 403.
 *
 * The token file has lines `name:sha256hex` (more fields after a further colon are for
 * later use), `#` comments, and mode 0600. Only hashes are kept. */
#ifndef OCF_HTTP_ACCESS_H
#define OCF_HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/parse.h"

enum {
	ACCESS_NAMES_MAX = 64,
	ACCESS_TOKENS_MAX = 4096,
	ACCESS_TOKEN_FILE_BYTES_MAX = 1024 * 1024,
	ACCESS_TOKEN_NAME_BYTES_MAX = 64, /* QUERY_TENANT_BYTES_MAX has room for it */
	ACCESS_TOKEN_BYTES_MAX = 1024,	  /* of a presented token */
	ACCESS_HASH_BYTES = 32,
};

/* How a request came in. */
enum access_way { ACCESS_SOCKET, ACCESS_LOOPBACK, ACCESS_NETWORK };

typedef void access_sha256_fn(const void *data, size_t len,
			      uint8_t out[ACCESS_HASH_BYTES]);

struct access_config {
	bool local_tokens;	  /* http.local_tokens */
	bool is_public;		  /* http.public */
	const char *token_file;	  /* http.token_file, or NULL */
	const char *const *names; /* http.names: Hosts that are ours, without port */
	int names_len;
	access_sha256_fn *sha256;
};

struct access;

/* Copies the configuration and reads the token file. -OCF_EMALFORMED, -EPERM (readable by
 * others), or as open(2). */
int access_new(const struct access_config *config, struct access **ret_access,
	       struct errmsg *err);
void access_free(struct access *a); /* NULL is allowed */
/* May we listen on this address ("host:port")? -EPERM with the remedy when it is not
 * loopback and there are neither tokens nor `is_public`, or when local_tokens has no
 * file. */
int access_check_listen(const struct access *a, const char *address, struct errmsg *err);
/* 0, or the HTTP status to refuse with (421, 403) and the reason. */
int access_check_site(const struct access *a, enum access_way way,
		      const struct http_head *head, struct errmsg *err);
/* 0, or 401 and the reason. `ret_name`: the token's name, or NULL where none is
 * needed. */
int access_check_token(const struct access *a, enum access_way way,
		       const struct http_head *head, const char **ret_name,
		       struct errmsg *err);

#endif
