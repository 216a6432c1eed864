/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/sha256.h"

#include <openssl/sha.h>

void
test_sha256(const void *data, size_t len, uint8_t out[32])
{
	SHA256(data, len, out);
}
