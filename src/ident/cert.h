/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's X.509 certificates (RFC 5280, RFC 8410), always DER in memory. The CA's
 * is self-signed, CN "ocf <cluster id>"; a node's is signed by the CA, CN = its node id.
 * One level, Ed25519 only, nothing else is accepted: what is not exactly of this kind is
 * refused whether or not it chains.
 *
 * All input may come from the network. Safe from any thread. */
#ifndef OCF_IDENT_CERT_H
#define OCF_IDENT_CERT_H

#include "base/clock.h"
#include "ident/key.h"

enum {
	CERT_DER_BYTES_MAX = 2048, /* ours have about 350 */
	CERT_CA_YEARS = 30,
	CERT_NODE_YEARS = 10,
	/* Certificates begin this much before they are made: joiners' clocks lag. */
	CERT_BACKDATED_MS = MS_DAY,
	/* As `now_ms`: do not look at the dates. For rows of the table, whose validity
	 * must not depend on anybody's clock. */
	CERT_AT_ANY_TIME = -1,
};

/* Append a self-signed CA certificate. */
void cert_make_ca(const struct key *ca, ms_t now_ms, struct buf *out);
/* Append a certification request (PKCS #10) of this key. */
void cert_request_make(const struct key *node, struct buf *out);
/* Is it one, by the holder of the key? -OCF_EMALFORMED, -OCF_ESIGNATURE. */
int cert_request_check(struct bytes csr, uint8_t ret_public[KEY_PUBLIC_BYTES],
		       struct errmsg *err);
/* Append the certificate of a node with this public key. */
void cert_issue(const struct key *ca, const uint8_t public_key[KEY_PUBLIC_BYTES],
		ms_t now_ms, struct buf *out);

/* Is it a CA certificate of an OCF cluster, signed by itself? Gives the cluster's id
 * (`owner` of ban and forget rows) and key. -OCF_EMALFORMED, -OCF_ESIGNATURE,
 * -OCF_EEXPIRED. The outputs may be NULL. */
int cert_check_ca(struct bytes ca_cert, ms_t now_ms, struct id *ret_cluster,
		  uint8_t ret_public[KEY_PUBLIC_BYTES], struct errmsg *err);
/* Is it a node certificate signed by this CA (whose own certificate was checked before),
 * with the CN that its key hashes to? Gives the node's id and key. -OCF_EMALFORMED,
 * -OCF_EFOREIGN (another CA), -OCF_ESIGNATURE, -OCF_EEXPIRED. The outputs may be NULL. */
int cert_check(struct bytes cert, struct bytes ca_cert, ms_t now_ms, struct id *ret_id,
	       uint8_t ret_public[KEY_PUBLIC_BYTES], struct errmsg *err);

/* When it begins and ends to be valid, by the wall clock. -OCF_EMALFORMED. */
int cert_dates(struct bytes cert, ms_t *ret_from_ms, ms_t *ret_until_ms);
/* When a node's certificate was made, by the clock of who made it; to the second.
 * -OCF_EMALFORMED. */
int cert_made(struct bytes cert, ms_t *ret_ms);

/* "-----BEGIN CERTIFICATE-----", as files hold it. */
void cert_to_pem(struct bytes cert, struct buf *out);
int cert_from_pem(struct bytes pem, struct buf *out, struct errmsg *err);

#endif
