/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL does records and handshakes; whom to trust is decided by ident's cert_check()
 * alone, in the callback that replaces OpenSSL's chain builder. The client's certificate
 * is waived in one place, tls_select_alpn(), which runs before the server says whether it
 * wants one. */
#include "config.h"

#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "ident/crypto.h"
#include "net/tls-files.h"
#include "net/tls-session.h"

enum {
	TLS_ALPN_SIZE = 16,
	/* A leaf and a CA certificate, with room. */
	TLS_CERT_LIST_BYTES_MAX = 16 * 1024,
	/* Read from the socket at once: two full records. */
	TLS_READ_BYTES = 2 * 17 * 1024,
	TLS_ALERT_REASONS = 1000, /* OpenSSL: reason of a received alert less its number */
};

struct tls {
	int refs;
	SSL_CTX *server;    /* NULL to join */
	SSL_CTX *client;    /* NULL for HTTP */
	struct buf ca_cert; /* DER; empty to join */
	X509 *ca;	    /* the same, to show to joiners */
	uint8_t fingerprint[IDENT_SHA256_BYTES];
};

struct tls_session {
	struct tls *tls;
	SSL *ssl;
	bool is_server;
	char alpn[TLS_ALPN_SIZE]; /* wanted by a client; agreed after the handshake */
	bool has_peer;
	struct id peer_id;
	struct buf peer_cert;
	int verdict; /* of the peer's certificate */
	struct errmsg verdict_text;
};

static void
tls_get_der(X509 *x, struct buf *out)
{
	uint8_t *der = NULL;
	int len = i2d_X509(x, &der);

	if (len > 0)
		buf_put(out, der, (size_t)len);
	OPENSSL_free(der);
}

/* The certificate among those shown that the invitation's fingerprint names. */
static int
tls_find_pinned(const struct tls *tls, STACK_OF(X509) * shown, struct buf *out,
		struct errmsg *err)
{
	for (int i = 0; i < sk_X509_num(shown); i++) {
		uint8_t hash[IDENT_SHA256_BYTES];

		buf_clear(out);
		tls_get_der(sk_X509_value(shown, i), out);
		ident_sha256(out->data, out->len, hash);
		if (ident_equal(hash, tls->fingerprint, sizeof(hash)))
			return cert_check_ca(buf_bytes(out), clock_wall_ms(), NULL, NULL,
					     err);
	}
	return error_set(err, -OCF_EFOREIGN,
			 "it is not the cluster that the invitation was made for");
}

static int
tls_judge(struct tls_session *session, X509_STORE_CTX *chain, struct errmsg *err)
{
	const struct tls *tls = session->tls;
	struct buf pinned = BUF_INIT;
	struct bytes ca = buf_bytes(&tls->ca_cert);
	int rc = 0;

	buf_clear(&session->peer_cert);
	tls_get_der(X509_STORE_CTX_get0_cert(chain), &session->peer_cert);
	if (ca.len == 0) {
		rc = tls_find_pinned(tls, X509_STORE_CTX_get0_untrusted(chain), &pinned,
				     err);
		ca = buf_bytes(&pinned);
	}
	if (rc == 0)
		rc = cert_check(buf_bytes(&session->peer_cert), ca, clock_wall_ms(),
				&session->peer_id, NULL, err);
	buf_fini(&pinned);
	return rc;
}

/* Instead of X509_verify_cert(). The error chosen decides the alert that the peer
 * gets. */
static int
tls_verify(X509_STORE_CTX *chain, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(chain,
					      SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_session *session = SSL_get_app_data(ssl);

	(void)arg;
	session->verdict = tls_judge(session, chain, &session->verdict_text);
	session->has_peer = session->verdict == 0;
	switch (session->verdict) {
	case 0:
		X509_STORE_CTX_set_error(chain, X509_V_OK);
		return 1;
	case -OCF_EFOREIGN:
		X509_STORE_CTX_set_error(chain, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
		return 0;
	case -OCF_EEXPIRED:
		X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_HAS_EXPIRED);
		return 0;
	default:
		X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
}

static bool
tls_offers(const unsigned char *offer, unsigned len, const char *alpn)
{
	size_t want = strlen(alpn);

	for (unsigned i = 0; i < len; i += 1u + offer[i]) {
		if (offer[i] == want && i + 1 + want <= len &&
		    memcmp(offer + i + 1, alpn, want) == 0)
			return true;
	}
	return false;
}

/* On the server, before it asks for a certificate. */
static int
tls_select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		const unsigned char *offer, unsigned len, void *arg)
{
	struct tls *tls = arg;
	const char *alpn = NULL;

	if (tls_offers(offer, len, TLS_ALPN_PEER)) {
		alpn = TLS_ALPN_PEER;
	} else if (tls_offers(offer, len, TLS_ALPN_JOIN)) {
		alpn = TLS_ALPN_JOIN;
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
		if (!SSL_add1_chain_cert(ssl, tls->ca))
			return SSL_TLSEXT_ERR_ALERT_FATAL;
	} else {
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	*out = (const unsigned char *)alpn;
	*out_len = (unsigned char)strlen(alpn);
	return SSL_TLSEXT_ERR_OK;
}

static void
tls_context_set_modes(SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, TLS_READ_BYTES);
}

static SSL_CTX *
tls_context_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	crypto_require(ctx != NULL, "a TLS context");
	crypto_require(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
			       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
			       SSL_CTX_set1_sigalgs_list(ctx, "ed25519") == 1 &&
			       SSL_CTX_set_num_tickets(ctx, 0) == 1,
		       "TLS options");
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	tls_context_set_modes(ctx);
	SSL_CTX_set_max_cert_list(ctx, TLS_CERT_LIST_BYTES_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, tls_verify, NULL);
	return ctx;
}

static bool
tls_context_set_identity(SSL_CTX *ctx, const struct identity *identity)
{
	return SSL_CTX_use_certificate_ASN1(ctx, (int)identity->node_cert.len,
					    identity->node_cert.data) == 1 &&
	       SSL_CTX_use_PrivateKey(ctx, key_pkey(identity->node_key)) == 1 &&
	       SSL_CTX_check_private_key(ctx) == 1;
}

static struct tls *
tls_new_client(void)
{
	struct tls *tls = mem_calloc(1, sizeof(*tls));

	tls->refs = 1;
	tls->client = tls_context_new(TLS_client_method());
	return tls;
}

int
tls_new(const struct identity *identity, struct tls **ret_tls, struct errmsg *err)
{
	struct tls *tls = tls_new_client();
	const uint8_t *at = identity->ca_cert.data;

	tls->server = tls_context_new(TLS_server_method());
	SSL_CTX_set_alpn_select_cb(tls->server, tls_select_alpn, tls);
	buf_put_bytes(&tls->ca_cert, buf_bytes(&identity->ca_cert));
	tls->ca = d2i_X509(NULL, &at, (long)identity->ca_cert.len);
	if (tls->ca == NULL || !tls_context_set_identity(tls->server, identity) ||
	    !tls_context_set_identity(tls->client, identity)) {
		tls_free(tls);
		return error_set(
			err, -OCF_ECRYPTO,
			"OpenSSL does not take this node's key and certificate: %s",
			ERR_reason_error_string(ERR_get_error()));
	}
	*ret_tls = tls;
	return 0;
}

struct tls *
tls_new_join(const uint8_t fingerprint[IDENT_SHA256_BYTES])
{
	struct tls *tls = tls_new_client();

	memcpy(tls->fingerprint, fingerprint, sizeof(tls->fingerprint));
	return tls;
}

/* A client that names no protocol may speak HTTP/1.1 all the same. */
static int
tls_select_http(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		const unsigned char *offer, unsigned len, void *arg)
{
	(void)ssl, (void)arg;
	if (!tls_offers(offer, len, TLS_ALPN_HTTP))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = (const unsigned char *)TLS_ALPN_HTTP;
	*out_len = sizeof(TLS_ALPN_HTTP) - 1;
	return SSL_TLSEXT_ERR_OK;
}

int
tls_new_http(const char *cert, const char *key, struct tls **ret_tls, struct errmsg *err)
{
	struct tls *tls = mem_calloc(1, sizeof(*tls));
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int rc;

	tls->refs = 1;
	tls->server = ctx;
	crypto_require(ctx != NULL &&
			       SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
			       SSL_CTX_set_num_tickets(ctx, 0) == 1,
		       "a TLS context");
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	tls_context_set_modes(ctx);
	SSL_CTX_set_alpn_select_cb(ctx, tls_select_http, NULL);
	rc = tls_files_load(ctx, cert, key, err);
	if (rc < 0)
		tls_free(tls);
	else
		*ret_tls = tls;
	return rc;
}

struct tls *
tls_hold(struct tls *tls)
{
	if (tls != NULL)
		tls->refs++;
	return tls;
}

void
tls_free(struct tls *tls)
{
	if (tls == NULL || --tls->refs > 0)
		return;
	SSL_CTX_free(tls->server);
	SSL_CTX_free(tls->client);
	X509_free(tls->ca);
	buf_fini(&tls->ca_cert);
	free(tls);
}

struct tls_session *
tls_session_new(struct tls *tls, int fd, const char *alpn)
{
	struct tls_session *session = mem_calloc(1, sizeof(*session));
	unsigned char wire[TLS_ALPN_SIZE];

	session->tls = tls_hold(tls);
	session->is_server = alpn == NULL;
	session->ssl = SSL_new(session->is_server ? tls->server : tls->client);
	crypto_require(session->ssl != NULL && SSL_set_fd(session->ssl, fd) == 1,
		       "a TLS session");
	SSL_set_app_data(session->ssl, session);
	if (session->is_server) {
		SSL_set_accept_state(session->ssl);
		return session;
	}
	snprintf(session->alpn, sizeof(session->alpn), "%s", alpn);
	wire[0] = (unsigned char)strlen(session->alpn);
	memcpy(wire + 1, session->alpn, wire[0]);
	crypto_require(SSL_set_alpn_protos(session->ssl, wire, wire[0] + 1u) == 0,
		       "ALPN");
	SSL_set_connect_state(session->ssl);
	return session;
}

void
tls_session_free(struct tls_session *session)
{
	if (session == NULL)
		return;
	SSL_free(session->ssl);
	buf_fini(&session->peer_cert);
	tls_free(session->tls);
	free(session);
}

/* The alerts by which a peer says what it holds against us (RFC 8446, 6.2). */
static enum io_status
tls_failed_by_alert(const struct tls_session *session, int alert, struct io *io)
{
	const char *text;

	switch (alert) {
	case SSL_AD_UNKNOWN_CA:
		text = "the other side belongs to another cluster";
		break;
	case SSL_AD_CERTIFICATE_EXPIRED:
		text = "for the other side our certificate is out of date; compare the "
		       "clocks of both machines";
		break;
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_CERTIFICATE_REQUIRED:
		text = "the other side refused our certificate";
		break;
	case SSL_AD_PROTOCOL_VERSION:
		text = "the other side does not speak TLS 1.3";
		break;
	case SSL_AD_NO_APPLICATION_PROTOCOL:
		io->code = -OCF_EREFUSED;
		error_set(&io->err, 0, "the other side does not speak %s", session->alpn);
		return IO_FAILED;
	default:
		io->code = -OCF_EREFUSED;
		error_set(&io->err, 0, "the other side refused the TLS connection: %s",
			  SSL_alert_desc_string_long(alert));
		return IO_FAILED;
	}
	io->code = -OCF_EREFUSED;
	error_set(&io->err, 0, "%s", text);
	return IO_FAILED;
}

static bool
tls_is_http(const struct tls *tls)
{
	return tls->client == NULL;
}

/* Somebody took us for a server without TLS. One try: who does not get it finds the connection
 * closed, as anybody else who speaks no TLS. */
static void
tls_tell_plain_http(const struct tls_session *session)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\n"
				   "Content-Type: text/plain\r\n"
				   "Content-Length: 37\r\n"
				   "Connection: close\r\n\r\n"
				   "this port speaks HTTPS: use https://\n";

	send(SSL_get_fd(session->ssl), text, sizeof(text) - 1,
	     MSG_NOSIGNAL | MSG_DONTWAIT);
}

static enum io_status
tls_failed_by_reason(const struct tls_session *session, int reason, struct io *io)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());
	bool is_http = tls_is_http(session->tls);

	if (reason > TLS_ALERT_REASONS && reason < TLS_ALERT_REASONS + 256)
		return tls_failed_by_alert(session, reason - TLS_ALERT_REASONS, io);
	if (reason == SSL_R_HTTP_REQUEST && is_http)
		tls_tell_plain_http(session);
	io->code = -OCF_EREFUSED;
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		io->code = session->verdict;
		error_set(&io->err, 0, "the other side's certificate is refused: %s",
			  session->verdict_text.text);
		break;
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		error_set(&io->err, 0, "the other side showed no certificate");
		break;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
		error_set(&io->err, 0, "the other side does not speak TLS%s",
			  is_http ? "" : " 1.3");
		break;
	case SSL_R_NO_APPLICATION_PROTOCOL:
		if (is_http)
			error_set(&io->err, 0, "the other side does not speak %s",
				  TLS_ALPN_HTTP);
		else
			error_set(&io->err, 0, "the other side speaks neither %s nor %s",
				  TLS_ALPN_PEER, TLS_ALPN_JOIN);
		break;
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return io_socket_failed(-ECONNRESET, io);
	default:
		error_set(&io->err, 0, "TLS failed: %s",
			  text != NULL ? text : "no reason");
	}
	return IO_FAILED;
}

/* What a call of OpenSSL that returned `rc` <= 0 means. */
static enum io_status
tls_result(const struct tls_session *session, int rc, struct io *io)
{
	int code = errno;
	enum io_status status;

	switch (SSL_get_error(session->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return IO_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return IO_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return IO_END;
	case SSL_ERROR_SYSCALL:
		status = io_socket_failed(code == 0 ? -ECONNRESET : -code, io);
		break;
	default:
		status = tls_failed_by_reason(session, ERR_GET_REASON(ERR_peek_error()),
					      io);
	}
	ERR_clear_error();
	return status;
}

static enum io_status
tls_session_agreed(struct tls_session *session, struct io *io)
{
	const unsigned char *alpn;
	char wanted[TLS_ALPN_SIZE];
	unsigned len;

	memcpy(wanted, session->alpn, sizeof(wanted));
	SSL_get0_alpn_selected(session->ssl, &alpn, &len);
	if (len >= sizeof(session->alpn))
		len = 0;
	if (len > 0)
		memcpy(session->alpn, alpn, len);
	session->alpn[len] = '\0';
	if (tls_is_http(session->tls))
		return IO_DONE;
	if (len > 0 && (session->is_server || strcmp(wanted, session->alpn) == 0))
		return IO_DONE;
	io->code = -OCF_EREFUSED;
	error_set(&io->err, 0, "the other side does not speak %s",
		  session->is_server ? TLS_ALPN_PEER : wanted);
	return IO_FAILED;
}

enum io_status
tls_session_handshake(struct tls_session *session, struct io *io)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(session->ssl);
	if (rc != 1)
		return tls_result(session, rc, io);
	return tls_session_agreed(session, io);
}

enum io_status
tls_session_read(struct tls_session *session, void *data, size_t size, struct io *io)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read_ex(session->ssl, data, size, &io->len);
	return rc == 1 ? IO_DONE : tls_result(session, rc, io);
}

enum io_status
tls_session_write(struct tls_session *session, const void *data, size_t len,
		  struct io *io)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(session->ssl, data, len, &io->len);
	return rc == 1 ? IO_DONE : tls_result(session, rc, io);
}

void
tls_session_end(struct tls_session *session)
{
	ERR_clear_error();
	SSL_shutdown(session->ssl);
	ERR_clear_error();
}

bool
tls_session_peer_id(const struct tls_session *session, struct id *ret_id)
{
	if (session->has_peer)
		*ret_id = session->peer_id;
	return session->has_peer;
}

void
tls_session_wire_bytes(const struct tls_session *session, uint64_t *ret_received,
		       uint64_t *ret_sent)
{
	*ret_received = BIO_number_read(SSL_get_rbio(session->ssl));
	*ret_sent = BIO_number_written(SSL_get_wbio(session->ssl));
}

const char *
tls_session_alpn(const struct tls_session *session)
{
	return session->alpn;
}
