/* SPDX-License-Identifier: Apache-2.0 */
/* The store as the sync core reads it (sync/sync.h): roots, digests, rows and pages. Any
 * thread may read. */
#ifndef OCF_DAEMON_REPLICA_H
#define OCF_DAEMON_REPLICA_H

#include "store/store.h"
#include "sync/sync.h"

/* Valid as long as the store is open. */
struct sync_table replica_table(struct store *store);

#endif
