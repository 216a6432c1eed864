/* SPDX-License-Identifier: Apache-2.0 */
/* The index keys of a row, for the store, to which values are opaque: the worker rows of
 * a service, and the row of a worker's id, can then be found on disk without reading
 * others.
 *
 *   a worker row    "svc" 0x00 service name     once for each of its services
 *                   "wid" 0x00 owner 16 worker id
 *   other kinds     none
 *
 * A value that cannot be read has no keys. Pure; safe from any thread. */
#ifndef OCF_TABLE_KEYS_H
#define OCF_TABLE_KEYS_H

#include "base/bytes.h"
#include "crdt/row.h"

enum {
	TABLE_KEYS_MAX = 32 + 1,       /* LIMIT_SERVICES_MAX and one */
	TABLE_KEY_BYTES_MAX = 4 + 200, /* LIMIT_SERVICE_BYTES_MAX is the longest part */
};

/* Call `emit` for each index key of a row with this visible value. The bytes are valid
 * during the call only. */
void table_keys(const struct row_key *key, struct bytes value,
		void (*emit)(void *arg, struct bytes index_key), void *arg);

#endif
