/* SPDX-License-Identifier: Apache-2.0 */
/* How somebody's NATS is reached, as a person has said it: servers, credentials, TLS. All is
 * checked before anything is started, and the files are read again for each connection, so
 * that new ones count without a restart. Any thread. */
#ifndef OCF_BUS_ACCESS_H
#define OCF_BUS_ACCESS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"
#include "bus/credentials.h"

enum {
	ACCESS_PLACES_MAX = 32, /* servers of one url */
	ACCESS_HOST_SIZE = 256,
	ACCESS_URL_BYTES_MAX = 4096,
	ACCESS_PORT = 4222, /* of a server whose port is not given */
};

#define ACCESS_HIDDEN "***" /* instead of a password or a token */

/* Texts are borrowed; NULL or "": not given. */
struct bus_access {
	/* [nats://|tls://][user:password@|token@]host[:port], …; what stands in front of the @
	 * is percent-encoded */
	const char *url;
	const char *credentials; /* file, see credentials.h */
	const char *ca; /* PEM file: only who has a certificate of these is the server */
	const char *cert; /* PEM file: shown to a server that asks; needs: */
	const char *key;  /* PEM file that only its owner can read */
};

/* What the fields are called where a person wrote them; NULL: as in ocf.conf. */
struct access_names {
	const char *url, *credentials, *ca, *cert, *key;
};

/* One server. */
struct access_place {
	char host[ACCESS_HOST_SIZE];
	int port;
	bool is_tls;	/* never without; else as the server wants it */
	char *user;	/* decoded, or NULL */
	char *password; /* NULL with a user: it is a token */
};

/* Is it all well formed, readable, safe from others, and does it fit together? */
int access_check(const struct bus_access *access, const struct access_names *names,
		 struct errmsg *err);
/* The servers, in order; the caller finishes each. With `ca` or `cert` all are is_tls. */
int access_places(const struct bus_access *access,
		  struct access_place ret_places[ACCESS_PLACES_MAX], int *ret_len,
		  struct errmsg *err);
void access_place_fini(struct access_place *place);
/* "host:port" of it, an IPv6 address in brackets. Returns `out`. */
char *access_place_text(const struct access_place *place, char *out, size_t size);
/* All servers for people, without what is secret. Returns `out`; cut when too long. */
char *access_text(const struct bus_access *access, char *out, size_t size);
/* The url as an option is shown: ACCESS_HIDDEN for each password and token, and for all of one
 * that cannot be taken apart and has a @ in it. Free(3) it. */
char *access_hide(const char *url);
/* The client's side of TLS 1.2 or newer; free with SSL_CTX_free(). */
int access_tls(const struct bus_access *access, SSL_CTX **ret_tls, struct errmsg *err);
/* The certificate at the other end must be one of `host`, a name or an address. */
int access_tls_expect(SSL *tls, const char *host, struct errmsg *err);

#endif
