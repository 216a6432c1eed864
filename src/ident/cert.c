/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates are built and judged here by hand rather than through OpenSSL's chain
 * builder: there is one level, one algorithm and one name form, and the same judgement is
 * used for TLS peers and for the certificates in node rows, where it must give the same
 * answer on every machine and at any time. */
#include "config.h"

#include "ident/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "ident/crypto.h"
#include "ident/sha256.h"

enum {
	CERT_SERIAL_BYTES = 16,
	CERT_PEM_BYTES_MAX = 2 * CERT_DER_BYTES_MAX,
	CERT_CN_SIZE = 64, /* X.509's limit; ours have 32 and 36 characters */
};

static const char cert_ca_prefix[] = "ocf ";

static void
cert_set_serial(X509 *x)
{
	uint8_t bytes[CERT_SERIAL_BYTES];
	BIGNUM *number;

	ident_random(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, full length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	crypto_require(number != NULL, "a serial number");
	crypto_require(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL,
		       "a serial number");
	BN_free(number);
}

static void
cert_set_time(ASN1_TIME *time, ms_t at_ms)
{
	crypto_require(ASN1_TIME_set(time, (time_t)(at_ms / MS_SECOND)) != NULL,
		       "a date");
}

static void
cert_set_name(X509_NAME *name, const char *cn)
{
	crypto_require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
						  (const unsigned char *)cn, -1, -1, 0),
		       "a name");
}

static void
cert_add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	crypto_require(extension != NULL && X509_add_ext(x, extension, -1),
		       "an extension");
	X509_EXTENSION_free(extension);
}

static X509 *
cert_new(const uint8_t public_key[KEY_PUBLIC_BYTES], const char *cn, ms_t now_ms,
	 int years)
{
	X509 *x = X509_new();
	EVP_PKEY *pkey = crypto_public_key(public_key);

	crypto_require(x != NULL && X509_set_version(x, X509_VERSION_3) &&
			       X509_set_pubkey(x, pkey),
		       "a certificate");
	EVP_PKEY_free(pkey);
	cert_set_serial(x);
	cert_set_time(X509_getm_notBefore(x), now_ms - CERT_BACKDATED_MS);
	cert_set_time(X509_getm_notAfter(x),
		      now_ms + years * (365 * (ms_t)MS_DAY + MS_DAY / 4));
	cert_set_name(X509_get_subject_name(x), cn);
	return x;
}

/* Sign, append the DER and free. */
static void
cert_seal(X509 *x, const struct key *ca, struct buf *out)
{
	uint8_t *der = NULL;
	int len;

	crypto_require(X509_sign(x, key_pkey(ca), NULL) > 0, "signing a certificate");
	len = i2d_X509(x, &der);
	crypto_require(len > 0 && len <= CERT_DER_BYTES_MAX, "encoding a certificate");
	buf_put(out, der, (size_t)len);
	OPENSSL_free(der);
	X509_free(x);
}

static void
cert_ca_name(const struct id *cluster, char out[CERT_CN_SIZE])
{
	char text[ID_TEXT_SIZE];

	snprintf(out, CERT_CN_SIZE, "%s%s", cert_ca_prefix, id_text(cluster, text));
}

void
cert_make_ca(const struct key *ca, ms_t now_ms, struct buf *out)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct id cluster = key_id(ca);
	char cn[CERT_CN_SIZE];
	X509 *x;

	key_public(ca, public_key);
	cert_ca_name(&cluster, cn);
	x = cert_new(public_key, cn, now_ms, CERT_CA_YEARS);
	cert_set_name(X509_get_issuer_name(x), cn);
	cert_add_extension(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	cert_add_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
	cert_seal(x, ca, out);
}

void
cert_issue(const struct key *ca, const uint8_t public_key[KEY_PUBLIC_BYTES], ms_t now_ms,
	   struct buf *out)
{
	struct id cluster = key_id(ca), node = key_id_of_public(public_key);
	char cn[CERT_CN_SIZE], text[ID_TEXT_SIZE];
	X509 *x = cert_new(public_key, id_text(&node, text), now_ms, CERT_NODE_YEARS);

	cert_ca_name(&cluster, cn);
	cert_set_name(X509_get_issuer_name(x), cn);
	cert_add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
	cert_add_extension(x, NID_key_usage, "critical,digitalSignature");
	cert_add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth");
	cert_seal(x, ca, out);
}

void
cert_request_make(const struct key *node, struct buf *out)
{
	X509_REQ *request = X509_REQ_new();
	struct id id = key_id(node);
	char text[ID_TEXT_SIZE];
	uint8_t *der = NULL;
	int len;

	crypto_require(request != NULL, "a request");
	cert_set_name(X509_REQ_get_subject_name(request), id_text(&id, text));
	crypto_require(X509_REQ_set_pubkey(request, key_pkey(node)) &&
			       X509_REQ_sign(request, key_pkey(node), NULL) > 0,
		       "signing a request");
	len = i2d_X509_REQ(request, &der);
	crypto_require(len > 0, "encoding a request");
	buf_put(out, der, (size_t)len);
	OPENSSL_free(der);
	X509_REQ_free(request);
}

int
cert_request_check(struct bytes csr, uint8_t ret_public[KEY_PUBLIC_BYTES],
		   struct errmsg *err)
{
	const uint8_t *at = csr.data;
	uint8_t public_key[KEY_PUBLIC_BYTES];
	X509_REQ *request = NULL;
	int rc = -OCF_EMALFORMED;

	if (csr.len > 0 && csr.len <= CERT_DER_BYTES_MAX)
		request = d2i_X509_REQ(NULL, &at, (long)csr.len);
	if (request == NULL || at != csr.data + csr.len)
		error_set(err, rc, "not a certification request");
	else if (!crypto_public_bytes(X509_REQ_get0_pubkey(request), public_key))
		error_set(err, rc, "a certification request for another kind of key");
	else if (X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) != 1)
		rc = error_set(err, -OCF_ESIGNATURE,
			       "the certification request is not signed by its key");
	else
		rc = 0;
	X509_REQ_free(request);
	ERR_clear_error();
	if (rc == 0)
		memcpy(ret_public, public_key, KEY_PUBLIC_BYTES);
	return rc;
}

/* The whole of `der` as an Ed25519 certificate of version 3; NULL otherwise. */
static X509 *
cert_parse(struct bytes der, uint8_t ret_public[KEY_PUBLIC_BYTES])
{
	const uint8_t *at = der.data;
	X509 *x;

	if (der.len == 0 || der.len > CERT_DER_BYTES_MAX)
		return NULL;
	x = d2i_X509(NULL, &at, (long)der.len);
	if (x == NULL)
		return NULL;
	if (at == der.data + der.len && X509_get_version(x) == X509_VERSION_3 &&
	    X509_get_signature_nid(x) == NID_ED25519 &&
	    crypto_public_bytes(X509_get0_pubkey(x), ret_public) &&
	    (X509_get_extension_flags(x) & (EXFLAG_INVALID | EXFLAG_CRITICAL)) == 0)
		return x;
	X509_free(x);
	return NULL;
}

/* Is the name exactly this CN? */
static bool
cert_name_is(X509_NAME *name, const char *cn)
{
	char text[CERT_CN_SIZE];
	int len = X509_NAME_get_text_by_NID(name, NID_commonName, text, sizeof(text));

	return X509_NAME_entry_count(name) == 1 && len == (int)strlen(cn) &&
	       memcmp(text, cn, (size_t)len) == 0;
}

static int
cert_check_dates(const X509 *x, ms_t now_ms, const char *what, struct errmsg *err)
{
	time_t now = (time_t)(now_ms / MS_SECOND);

	if (now_ms == CERT_AT_ANY_TIME)
		return 0;
	if (ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), now) > 0)
		return error_set(
			err, -OCF_EEXPIRED,
			"the %s is not valid yet; check the clock of this machine", what);
	if (ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), now) < 0)
		return error_set(err, -OCF_EEXPIRED,
				 "the %s has expired; check the clock of this machine",
				 what);
	return 0;
}

static int
cert_check_ca_parsed(X509 *x, const uint8_t public_key[KEY_PUBLIC_BYTES], ms_t now_ms,
		     struct id *ret_cluster, struct errmsg *err)
{
	struct id cluster = key_id_of_public(public_key);
	char cn[CERT_CN_SIZE];

	cert_ca_name(&cluster, cn);
	if (!cert_name_is(X509_get_subject_name(x), cn) ||
	    !cert_name_is(X509_get_issuer_name(x), cn) ||
	    (X509_get_extension_flags(x) & EXFLAG_CA) == 0 ||
	    (X509_get_key_usage(x) & KU_KEY_CERT_SIGN) == 0)
		return error_set(err, -OCF_EMALFORMED,
				 "not the CA certificate of an OCF cluster");
	if (X509_verify(x, X509_get0_pubkey(x)) != 1)
		return error_set(err, -OCF_ESIGNATURE,
				 "the CA certificate is not signed by its own key");
	*ret_cluster = cluster;
	return cert_check_dates(x, now_ms, "CA certificate", err);
}

int
cert_check_ca(struct bytes ca_cert, ms_t now_ms, struct id *ret_cluster,
	      uint8_t ret_public[KEY_PUBLIC_BYTES], struct errmsg *err)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct id cluster;
	X509 *x = cert_parse(ca_cert, public_key);
	int rc;

	if (x == NULL)
		rc = error_set(err, -OCF_EMALFORMED, "not an Ed25519 certificate");
	else
		rc = cert_check_ca_parsed(x, public_key, now_ms, &cluster, err);
	X509_free(x);
	ERR_clear_error();
	if (rc != 0)
		return rc;
	if (ret_cluster != NULL)
		*ret_cluster = cluster;
	if (ret_public != NULL)
		memcpy(ret_public, public_key, KEY_PUBLIC_BYTES);
	return 0;
}

static int
cert_check_parsed(X509 *x, X509 *ca, const uint8_t public_key[KEY_PUBLIC_BYTES],
		  ms_t now_ms, struct errmsg *err)
{
	struct id id = key_id_of_public(public_key);
	char text[ID_TEXT_SIZE];

	if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)) != 0)
		return error_set(err, -OCF_EFOREIGN,
				 "the certificate was made by another cluster's CA");
	if (X509_verify(x, X509_get0_pubkey(ca)) != 1)
		return error_set(err, -OCF_ESIGNATURE,
				 "the certificate is not signed by the cluster's CA");
	if ((X509_get_extension_flags(x) & EXFLAG_CA) != 0 ||
	    (X509_get_key_usage(x) & KU_DIGITAL_SIGNATURE) == 0)
		return error_set(err, -OCF_EMALFORMED, "not the certificate of a node");
	if (!cert_name_is(X509_get_subject_name(x), id_text(&id, text)))
		return error_set(err, -OCF_EMALFORMED,
				 "the certificate's name is not the hash of its key");
	return cert_check_dates(x, now_ms, "certificate", err);
}

int
cert_check(struct bytes cert, struct bytes ca_cert, ms_t now_ms, struct id *ret_id,
	   uint8_t ret_public[KEY_PUBLIC_BYTES], struct errmsg *err)
{
	uint8_t public_key[KEY_PUBLIC_BYTES], ca_public[KEY_PUBLIC_BYTES];
	X509 *x = cert_parse(cert, public_key), *ca = cert_parse(ca_cert, ca_public);
	int rc;

	if (x == NULL || ca == NULL)
		rc = error_set(err, -OCF_EMALFORMED, "not an Ed25519 certificate");
	else
		rc = cert_check_parsed(x, ca, public_key, now_ms, err);
	X509_free(x);
	X509_free(ca);
	ERR_clear_error();
	if (rc != 0)
		return rc;
	if (ret_id != NULL)
		*ret_id = key_id_of_public(public_key);
	if (ret_public != NULL)
		memcpy(ret_public, public_key, KEY_PUBLIC_BYTES);
	return 0;
}

/* From 1970; OpenSSL gives a difference in days and seconds. */
static bool
cert_time(const ASN1_TIME *t, ms_t *ret_ms)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool is_good = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

	ASN1_TIME_free(epoch);
	*ret_ms = (ms_t)days * MS_DAY + (ms_t)seconds * MS_SECOND;
	return is_good;
}

int
cert_dates(struct bytes cert, ms_t *ret_from_ms, ms_t *ret_until_ms)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	X509 *x = cert_parse(cert, public_key);
	ms_t from_ms = 0, until_ms = 0;
	bool is_good = x != NULL && cert_time(X509_get0_notBefore(x), &from_ms) &&
		       cert_time(X509_get0_notAfter(x), &until_ms);

	X509_free(x);
	ERR_clear_error();
	if (!is_good)
		return -OCF_EMALFORMED;
	*ret_from_ms = from_ms;
	*ret_until_ms = until_ms;
	return 0;
}

int
cert_made(struct bytes cert, ms_t *ret_ms)
{
	ms_t from_ms, until_ms;
	int rc = cert_dates(cert, &from_ms, &until_ms);

	if (rc == 0)
		*ret_ms = from_ms + CERT_BACKDATED_MS;
	return rc;
}

void
cert_to_pem(struct bytes cert, struct buf *out)
{
	const uint8_t *at = cert.data;
	X509 *x = d2i_X509(NULL, &at, (long)cert.len);
	BIO *bio = BIO_new(BIO_s_mem());

	crypto_require(x != NULL && bio != NULL && PEM_write_bio_X509(bio, x) == 1,
		       "writing a certificate");
	crypto_take_bio(bio, out);
	X509_free(x);
}

int
cert_from_pem(struct bytes pem, struct buf *out, struct errmsg *err)
{
	uint8_t *der = NULL;
	X509 *x = NULL;
	BIO *bio;
	int len;

	if (pem.len > 0 && pem.len <= CERT_PEM_BYTES_MAX) {
		bio = BIO_new_mem_buf(pem.data, (int)pem.len);
		crypto_require(bio != NULL, "a memory BIO");
		x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		BIO_free(bio);
	}
	ERR_clear_error();
	if (x == NULL)
		return error_set(err, -OCF_EMALFORMED, "not a certificate in PEM");
	len = i2d_X509(x, &der);
	X509_free(x);
	crypto_require(len > 0, "encoding a certificate");
	buf_put(out, der, (size_t)len);
	OPENSSL_free(der);
	return 0;
}
