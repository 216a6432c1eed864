/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/nkey.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

enum {
	NKEY_KEY_BYTES = 32,
	NKEY_SEED_RAW_BYTES = 2 + NKEY_KEY_BYTES + 2,
	NKEY_PUBLIC_RAW_BYTES = 1 + NKEY_KEY_BYTES + 2,
	/* Five bits each, the first character of what they begin. */
	NKEY_PREFIX_SEED = 18 << 3, /* S */
	NKEY_PREFIX_USER = 20 << 3, /* U */
};

static const char nkey_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* CRC-16/XMODEM. */
static uint16_t
nkey_crc(const uint8_t *data, size_t len)
{
	unsigned crc = 0;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned)data[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
	}
	return (uint16_t)crc;
}

static bool
nkey_unpack(const char *text, uint8_t *out, size_t size)
{
	unsigned bits = 0, held = 0;
	size_t len = 0;

	for (; *text != '\0'; text++) {
		const char *at = strchr(nkey_alphabet, *text);

		if (at == NULL)
			return false;
		bits = bits << 5 | (unsigned)(at - nkey_alphabet);
		held += 5;
		if (held < 8)
			continue;
		held -= 8;
		if (len == size)
			return false;
		out[len++] = (uint8_t)(bits >> held);
		bits &= (1u << held) - 1;
	}
	return len == size;
}

static void
nkey_pack(const uint8_t *data, size_t len, char *out)
{
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (held += 8; held >= 5; held -= 5)
			*out++ = nkey_alphabet[bits >> (held - 5) & 31];
		bits &= (1u << held) - 1;
	}
	if (held > 0)
		*out++ = nkey_alphabet[bits << (5 - held) & 31];
	*out = '\0';
}

bool
nkey_looks_like_seed(const char *text)
{
	size_t len = strlen(text);

	return text[0] == 'S' && len >= NKEY_SEED_BYTES - 8 &&
	       len <= NKEY_SEED_BYTES + 8 &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == len;
}

static int
nkey_derive(const uint8_t *seed, uint8_t *ret_public)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed,
						     NKEY_KEY_BYTES);
	size_t len = NKEY_KEY_BYTES;
	bool is_ok = key != NULL &&
		     EVP_PKEY_get_raw_public_key(key, ret_public, &len) == 1 &&
		     len == NKEY_KEY_BYTES;

	EVP_PKEY_free(key);
	return is_ok ? 0 : -OCF_ECRYPTO;
}

int
nkey_public(const char *seed, char ret_public[NKEY_PUBLIC_SIZE], struct errmsg *err)
{
	uint8_t raw[NKEY_SEED_RAW_BYTES], key[NKEY_PUBLIC_RAW_BYTES];
	unsigned crc;
	int rc;

	if (strlen(seed) != NKEY_SEED_BYTES || !nkey_unpack(seed, raw, sizeof(raw)))
		return error_set(err, -OCF_EMALFORMED,
				 "an NKEY seed has %d characters, A to Z and 2 to 7",
				 NKEY_SEED_BYTES);
	crc = nkey_crc(raw, sizeof(raw) - 2);
	if (raw[sizeof(raw) - 2] != (crc & 0xff) || raw[sizeof(raw) - 1] != crc >> 8)
		rc = error_set(err, -OCF_EMALFORMED,
			       "the NKEY seed's check sum is wrong: a character of it "
			       "is another, or missing");
	else if ((raw[0] & 0xf8) != NKEY_PREFIX_SEED ||
		 ((raw[0] & 7) << 5 | raw[1] >> 3) != NKEY_PREFIX_USER)
		rc = error_set(err, -OCF_EMALFORMED,
			       "this NKEY is not a user's seed, which begins with SU "
			       "(accounts' begin with SA, operators' with SO)");
	else
		rc = nkey_derive(raw + 2, key + 1);
	explicit_bzero(raw, sizeof(raw));
	if (rc < 0)
		return rc;
	key[0] = NKEY_PREFIX_USER;
	crc = nkey_crc(key, sizeof(key) - 2);
	key[sizeof(key) - 2] = (uint8_t)crc;
	key[sizeof(key) - 1] = (uint8_t)(crc >> 8);
	nkey_pack(key, sizeof(key), ret_public);
	return 0;
}
