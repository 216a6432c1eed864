/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/file.h"
#include "base/mem.h"
#include "ident/crypto.h"
#include "ident/sha256.h"

struct key {
	EVP_PKEY *pkey;
	uint8_t public_key[KEY_PUBLIC_BYTES];
};

void
crypto_require(int is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "ocf: OpenSSL failed at %s: ", what);
	ERR_print_errors_fp(stderr);
	abort();
}

EVP_PKEY *
key_pkey(const struct key *key)
{
	return key->pkey;
}

EVP_PKEY *
crypto_public_key(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key,
						     KEY_PUBLIC_BYTES);

	crypto_require(pkey != NULL, "a public key");
	return pkey;
}

bool
crypto_public_bytes(EVP_PKEY *pkey, uint8_t out[KEY_PUBLIC_BYTES])
{
	size_t len = KEY_PUBLIC_BYTES;

	return pkey != NULL && EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519 &&
	       EVP_PKEY_get_raw_public_key(pkey, out, &len) == 1 &&
	       len == KEY_PUBLIC_BYTES;
}

void
crypto_take_bio(BIO *bio, struct buf *out)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	crypto_require(len >= 0, "a memory BIO");
	buf_put(out, data, (size_t)len);
	BIO_free(bio);
}

/* Takes `pkey` over. */
static struct key *
key_of(EVP_PKEY *pkey)
{
	struct key *key = mem_calloc(1, sizeof(*key));

	key->pkey = pkey;
	crypto_require(crypto_public_bytes(pkey, key->public_key), "a public key");
	return key;
}

struct key *
key_generate(void)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	crypto_require(pkey != NULL, "making a key");
	return key_of(pkey);
}

struct key *
key_share(const struct key *key)
{
	crypto_require(EVP_PKEY_up_ref(key->pkey), "sharing a key");
	return key_of(key->pkey);
}

void
key_free(struct key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey); /* which wipes it with the last reference */
	free(key);
}

/* Never ask a terminal for a password: such a file is not ours. */
static int
key_no_password(char *out, int size, int is_writing, void *arg)
{
	(void)out, (void)size, (void)is_writing, (void)arg;
	return -1;
}

int
key_from_pem(struct bytes pem, struct key **ret_key, struct errmsg *err)
{
	EVP_PKEY *pkey = NULL;
	uint8_t public_key[KEY_PUBLIC_BYTES];
	BIO *bio;

	if (pem.len > KEY_PEM_BYTES_MAX)
		return error_set(err, -OCF_EMALFORMED, "too large for a key");
	bio = BIO_new_mem_buf(pem.len == 0 ? (const void *)"" : pem.data, (int)pem.len);
	crypto_require(bio != NULL, "a memory BIO");
	pkey = PEM_read_bio_PrivateKey(bio, NULL, key_no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!crypto_public_bytes(pkey, public_key)) {
		EVP_PKEY_free(pkey);
		return error_set(err, -OCF_EMALFORMED,
				 "not an unencrypted Ed25519 private key in PEM");
	}
	*ret_key = key_of(pkey);
	return 0;
}

void
key_to_pem(const struct key *key, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	crypto_require(bio != NULL &&
			       PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL,
							     0, NULL, NULL) == 1,
		       "writing a key");
	crypto_take_bio(bio, out);
}

int
key_load(const char *path, struct key **ret_key, struct errmsg *err)
{
	struct buf pem = BUF_INIT;
	int rc = file_read_secret(path, KEY_PEM_BYTES_MAX, &pem, err);

	if (rc == 0) {
		rc = key_from_pem(buf_bytes(&pem), ret_key, err);
		if (rc != 0)
			error_prefix(err, rc, "%s", path);
	}
	ident_wipe(pem.data, pem.len);
	buf_fini(&pem);
	return rc;
}

int
key_save(const struct key *key, const char *path, struct errmsg *err)
{
	struct buf pem = BUF_INIT;
	int rc;

	key_to_pem(key, &pem);
	rc = file_write(path, buf_bytes(&pem), 0600, err);
	ident_wipe(pem.data, pem.len);
	buf_fini(&pem);
	return rc;
}

void
key_public(const struct key *key, uint8_t out[KEY_PUBLIC_BYTES])
{
	memcpy(out, key->public_key, KEY_PUBLIC_BYTES);
}

struct id
key_id(const struct key *key)
{
	return key_id_of_public(key->public_key);
}

struct id
key_id_of_public(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
	uint8_t hash[IDENT_SHA256_BYTES];
	struct id id;

	ident_sha256(public_key, KEY_PUBLIC_BYTES, hash);
	memcpy(id.b, hash, ID_BYTES);
	return id;
}

void
ident_sign(const struct key *key, struct bytes message, uint8_t out[KEY_SIGNATURE_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = KEY_SIGNATURE_BYTES;

	crypto_require(
		ctx != NULL &&
			EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
			EVP_DigestSign(ctx, out, &len, message.data, message.len) == 1 &&
			len == KEY_SIGNATURE_BYTES,
		"signing");
	EVP_MD_CTX_free(ctx);
}

bool
ident_verify(const uint8_t public_key[KEY_PUBLIC_BYTES], struct bytes message,
	     const uint8_t signature[KEY_SIGNATURE_BYTES])
{
	EVP_PKEY *pkey = crypto_public_key(public_key);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool is_good;

	crypto_require(ctx != NULL &&
			       EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1,
		       "verifying");
	is_good = EVP_DigestVerify(ctx, signature, KEY_SIGNATURE_BYTES, message.data,
				   message.len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	if (!is_good)
		ERR_clear_error();
	return is_good;
}
