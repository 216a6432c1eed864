/* SPDX-License-Identifier: Apache-2.0 */
/* TLS on one socket, for stream.c. Private to net/. */
#ifndef OCF_NET_TLS_SESSION_H
#define OCF_NET_TLS_SESSION_H

#include "base/bytes.h"
#include "base/id.h"
#include "net/io.h"
#include "net/tls.h"

struct tls_session;

/* One more tls_free() to come. */
struct tls *tls_hold(struct tls *tls);

/* `alpn` NULL: the server's side. The socket stays the caller's. */
struct tls_session *tls_session_new(struct tls *tls, int fd, const char *alpn);
void tls_session_free(struct tls_session *session); /* NULL is allowed */

/* IO_DONE: the peer is who it should be. */
enum io_status tls_session_handshake(struct tls_session *session, struct io *io);
enum io_status tls_session_read(struct tls_session *session, void *data, size_t size,
				struct io *io);
/* After IO_WANT_...: again with the same bytes first. */
enum io_status tls_session_write(struct tls_session *session, const void *data,
				 size_t len, struct io *io);
/* Say that nothing more comes; once, without waiting. */
void tls_session_end(struct tls_session *session);

bool tls_session_peer_id(const struct tls_session *session, struct id *ret_id);
void tls_session_wire_bytes(const struct tls_session *session, uint64_t *ret_received,
			    uint64_t *ret_sent);
const char *tls_session_alpn(const struct tls_session *session);

#endif
