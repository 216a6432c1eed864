/* SPDX-License-Identifier: Apache-2.0 */
/* The index keys of a row, for the store, to which values are opaque: the worker rows of
 * a service, and the row of a worker's id, can then be found on disk without reading
 * others.
 *
 *   a worker row    "svc" 0x00 service name     once for each of its services
 *                   "wid" 0x00 owner 16 worker id
 *   other kinds     none
 *
 * They follow from the visible version; without one, or when its value cannot be read,
 * there are none. Pure; safe from any thread. */
#ifndef OCF_TABLE_KEYS_H
#define OCF_TABLE_KEYS_H

#include "base/bytes.h"
#include "crdt/row.h"

/* A store_index_fn (store/store.h), to be handed to store_open as it is; `arg` is not
 * used. */
void table_index(void *arg, const struct row_key *key, const struct row *row,
		 void (*put)(void *put_arg, struct bytes index_key), void *put_arg);

/* The same keys, for asking. */
void table_key_service(struct buf *out, const char *service);
void table_key_worker(struct buf *out, const struct id *owner, const char *worker_id);

#endif
