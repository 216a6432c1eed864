/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/rng.h"
#include "ident/key.h"
#include "ident/sha256.h"
#include "lib/tap.h"

static void
test_sha256_known(void)
{
	uint8_t hash[IDENT_SHA256_BYTES];
	char hex[2 * IDENT_SHA256_BYTES + 1];

	ident_sha256("abc", 3, hash);
	CU_ASSERT_STRING_EQUAL(
		hex_encode(hash, sizeof(hash), hex),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ident_sha256(NULL, 0, hash);
	CU_ASSERT_STRING_EQUAL(
		hex_encode(hash, sizeof(hash), hex),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 8032, 7.1, test 2. */
static void
test_verify_known(void)
{
	uint8_t public_key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES],
		message = 0x72;

	hex_decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		   public_key, sizeof(public_key));
	hex_decode("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
		   "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		   signature, sizeof(signature));
	CU_ASSERT(ident_verify(public_key, bytes_of(&message, 1), signature));
	message ^= 1;
	CU_ASSERT(!ident_verify(public_key, bytes_of(&message, 1), signature));
}

static void
test_sign_flips_refused(void)
{
	struct key *key = key_generate(), *other = key_generate();
	uint8_t public_key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES];
	uint8_t message[100] = "a message";
	int accepted = 0;

	key_public(key, public_key);
	ident_sign(key, bytes_of(message, sizeof(message)), signature);
	CU_ASSERT(
		ident_verify(public_key, bytes_of(message, sizeof(message)), signature));
	for (int bit = 0; bit < 8 * KEY_SIGNATURE_BYTES; bit++) {
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += ident_verify(public_key, bytes_of(message, sizeof(message)),
					 signature);
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (int bit = 0; bit < 8 * (int)sizeof(message); bit++) {
		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += ident_verify(public_key, bytes_of(message, sizeof(message)),
					 signature);
		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	accepted += ident_verify(public_key, bytes_of(message, sizeof(message) - 1),
				 signature);
	key_public(other, public_key);
	accepted += ident_verify(public_key, bytes_of(message, sizeof(message)),
				 signature);
	CU_ASSERT_EQUAL(accepted, 0);
	key_free(key);
	key_free(other);
}

static void
test_sign_empty(void)
{
	struct key *key = key_generate();
	uint8_t public_key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES];

	key_public(key, public_key);
	ident_sign(key, BYTES_NONE, signature);
	CU_ASSERT(ident_verify(public_key, BYTES_NONE, signature));
	key_free(key);
}

static void
test_verify_bad_key(void)
{
	uint8_t public_key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES] = { 0 };

	memset(public_key, 0xff, sizeof(public_key));
	CU_ASSERT(!ident_verify(public_key, bytes_text("x"), signature));
}

static void
test_key_file_round_trip(void)
{
	struct key *key = key_generate(), *again = NULL, *shared;
	char *path;
	struct errmsg err;
	struct stat st;
	struct id a, b;

	CU_ASSERT_FATAL(asprintf(&path, "%s/key", tap_folder()) > 0);
	CU_ASSERT_EQUAL_FATAL(key_save(key, path, &err), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL_FATAL(key_load(path, &again, &err), 0);
	shared = key_share(again);
	key_free(again);
	a = key_id(key);
	b = key_id(shared);
	CU_ASSERT(id_equal(&a, &b));
	key_free(shared);
	key_free(key);
	free(path);
}

static void
test_key_file_readable_refused(void)
{
	struct key *key = key_generate(), *again = NULL;
	struct errmsg err = { "" };
	char *path;

	CU_ASSERT_FATAL(asprintf(&path, "%s/open.key", tap_folder()) > 0);
	key_save(key, path, NULL);
	for (unsigned mode = 0; mode < 077; mode++) {
		chmod(path, 0600 | (mode + 1));
		CU_ASSERT_EQUAL(key_load(path, &again, &err), -EPERM);
	}
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "chmod 600"));
	key_free(key);
	free(path);
}

static void
test_key_garbage_refused(void)
{
	static const char *const wrong[] = {
		"",
		"hello",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		/* A P-256 key: a good key of the wrong kind. */
		("-----BEGIN PRIVATE KEY-----\n"
		 "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
		 "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
		 "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
		 "-----END PRIVATE KEY-----\n"),
		("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGHAgEAMBMG\n"
		 "-----END ENCRYPTED PRIVATE KEY-----\n"),
	};
	struct key *key = NULL;
	struct errmsg err;
	char *large = calloc(1, 100000);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CU_ASSERT_EQUAL(key_from_pem(bytes_text(wrong[i]), &key, &err),
				-OCF_EMALFORMED);
	}
	CU_ASSERT_EQUAL(key_from_pem(bytes_of(large, 100000), &key, &err),
			-OCF_EMALFORMED);
	CU_ASSERT_PTR_NULL(key);
	free(large);
}

static void
test_key_mutations_survive(void)
{
	struct key *key = key_generate(), *other;
	struct buf pem = BUF_INIT;
	struct rng rng;
	int rounds = tap_is_quick() ? 200 : 2000;

	tap_note("seed %llu", (unsigned long long)tap_seed());
	rng_init(&rng, tap_seed());
	key_to_pem(key, &pem);
	for (int i = 0; i < rounds; i++) {
		size_t at = rng_below(&rng, pem.len);
		uint8_t old = pem.data[at];

		pem.data[at] = (uint8_t)rng_next(&rng);
		other = NULL;
		if (key_from_pem(buf_bytes(&pem), &other, NULL) == 0)
			key_free(other);
		pem.data[at] = old;
	}
	buf_fini(&pem);
	key_free(key);
}

static const struct tap_test tests[] = {
	{ "SHA-256 gives the standard's values", test_sha256_known },
	{ "RFC 8032's signature is accepted, and not for another message",
	  test_verify_known },
	{ "a signature with any bit of it or of the message changed is refused",
	  test_sign_flips_refused },
	{ "an empty message can be signed", test_sign_empty },
	{ "a public key that is no curve point verifies nothing", test_verify_bad_key },
	{ "a key is saved 0600 and read back the same", test_key_file_round_trip },
	{ "a key file that anybody else can touch is refused with the remedy",
	  test_key_file_readable_refused },
	{ "what is not an unencrypted Ed25519 key is refused", test_key_garbage_refused },
	{ "a PEM file with any byte changed is read or refused, never worse",
	  test_key_mutations_survive },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
