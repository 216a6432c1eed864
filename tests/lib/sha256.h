/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 for tests of the folders that are handed one (crdt/row.h: row_sha256_fn). */
#ifndef OCF_TESTS_SHA256_H
#define OCF_TESTS_SHA256_H

#include <stddef.h>
#include <stdint.h>

void test_sha256(const void *data, size_t len, uint8_t out[32]);

#endif
