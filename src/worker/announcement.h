/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker says of itself on `worker:status`: the JSON of worker protocol v1. Pure. */
#ifndef OCF_WORKER_ANNOUNCEMENT_H
#define OCF_WORKER_ANNOUNCEMENT_H

#include "base/error.h"
#include "hw/hw.h"
#include "worker/worker.h"

struct announcement {
	const struct worker_config *config;
	const struct hw_inventory *inventory;
	uint64_t client_id;
	const char *server_id; /* of the NATS server that it is connected to, or NULL */
	int found_len;	       /* matches beside those of the config */
	char *const *found;
};

/* `status` is "connected", "draining" or "disconnected". free(3) it. */
char *announcement_text(const struct announcement *a, const char *status);
/* Leave out the last of so many processors that no node would take the worker; how many. */
int announcement_fit(struct hw_inventory *inventory);
/* What the node would leave out of the table is said here, where its reason is: -OCF_ELIMIT
 * with a sentence. */
int announcement_check(const struct announcement *a, struct errmsg *err);

#endif
