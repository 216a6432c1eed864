/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask (design.md §10): the unix socket is guarded by its file mode; loopback TCP
 * is open to local users unless `local_tokens`; any other address needs bearer tokens
 * unless `public`. Against web pages that make a browser ask for them: a Host that is
 * neither loopback, an address nor a configured name is 421 (DNS rebinding), and a
 * foreign Origin on anything but GET and HEAD is 403.
 *
 * Whose a token is says the token file (base/tokens.h); what he may do, user.h. */
#ifndef OCF_HTTP_ACCESS_H
#define OCF_HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/tokens.h"
#include "http/parse.h"
#include "http/user.h"

enum {
	ACCESS_NAMES_MAX = 64,
	ACCESS_TOKEN_BYTES_MAX = 1024, /* of a presented token */
	ACCESS_HASH_BYTES = TOKENS_HASH_BYTES,
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

/* Copies the configuration and reads the token file; fails as tokens_read(). Users of `old`
 * (NULL is allowed) whose names are still there are the same, with what they have used. */
int access_new(const struct access_config *config, const struct access *old, ms_t now,
	       struct access **ret_access, struct errmsg *err);
void access_free(struct access *a); /* NULL is allowed */
/* May we listen on this address ("host:port")? -EPERM with the remedy when it is not
 * loopback and there are neither tokens nor `is_public`, or when local_tokens has no
 * file. */
int access_check_listen(const struct access *a, const char *address, struct errmsg *err);
/* 0, or the HTTP status to refuse with (421, 403) and the reason. */
int access_check_site(const struct access *a, enum access_way way,
		      const struct http_head *head, struct errmsg *err);
/* 0, or 401 and the reason. `ret_user`: whose token it is, borrowed; NULL where none is
 * needed. */
int access_check_token(const struct access *a, enum access_way way,
		       const struct http_head *head, struct user **ret_user,
		       struct errmsg *err);
/* Is his token still one of those? */
bool access_knows(const struct access *a, const struct user *user);
/* Tokens that are known. */
int access_tokens(const struct access *a);

#endif
