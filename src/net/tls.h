/* SPDX-License-Identifier: Apache-2.0 */
/* TLS for streams. Between nodes it is TLS 1.3 by the cluster's own CA and nothing else: no
 * system trust, no names, no resumption, no tickets. Give a `struct tls` to listener_open() or
 * stream_dial().
 *
 * TLS_ALPN_PEER ("ocf/1"): both sides show a certificate that ident's cert_check()
 * accepts; a stream that opens has a peer whose id stream_peer_id() tells. TLS_ALPN_JOIN
 * ("ocf-join/1"): the server shows its chain, pinned by the SHA-256 of the CA certificate
 * in the invitation; the client has no certificate yet, so stream_peer_id() is false on
 * the server's side. The listener's owner must hand such streams to net/join.h and to
 * nothing else. A client that names neither is refused. In TLS 1.3 a client's stream
 * opens before the server has judged its certificate: a refusal arrives as its
 * on_close. */
#ifndef OCF_NET_TLS_H
#define OCF_NET_TLS_H

#include "base/clock.h"
#include "base/error.h"
#include "ident/identity.h"

#define TLS_ALPN_PEER "ocf/1"
#define TLS_ALPN_JOIN "ocf-join/1"
#define TLS_ALPN_HTTP "http/1.1"

enum { TLS_HANDSHAKE_MS_MAX = 5 * MS_SECOND }; /* from accept, or from connected */

struct tls;

/* To listen and to dial as this node. Copies what it needs of `identity`. */
int tls_new(const struct identity *identity, struct tls **ret_tls, struct errmsg *err);
/* To dial TLS_ALPN_JOIN: trusts exactly the CA certificate with this SHA-256. */
struct tls *tls_new_join(const uint8_t fingerprint[IDENT_SHA256_BYTES]);
/* To listen for HTTP, for whoever comes: TLS 1.2 or 1.3, with a certificate and a key that an
 * authority or their owner made; no client's certificate is asked for. Fails as
 * tls_files_load() does. */
int tls_new_http(const char *cert, const char *key, struct tls **ret_tls,
		 struct errmsg *err);
/* Streams and listeners that use it keep it alive. NULL is allowed. */
void tls_free(struct tls *tls);

#endif
