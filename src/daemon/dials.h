/* SPDX-License-Identifier: Apache-2.0 */
/* What came of dialling: why an address could not be linked, and whether anybody reached this
 * node. For `ocf doctor`; the mesh core decides without it. */
#ifndef OCF_DAEMON_DIALS_H
#define OCF_DAEMON_DIALS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/id.h"

enum {
	/* Addresses whose dials failed; of more the oldest are forgotten. A person reads them. */
	DIALS_MAX = 256,
};

struct dials;

struct dials *dials_new(void);
void dials_free(struct dials *dials); /* NULL is allowed */
/* A dial of `address`, in search of `node` (zero: of whoever answers there), came to nothing. */
void dials_failed(struct dials *dials, const char *address, const struct id *node,
		  const char *why, ms_t now);
/* A link to the node is up; `is_inbound`: that the node dialled. What failed is forgotten. */
void dials_linked(struct dials *dials, const char *address, const struct id *node,
		  bool is_inbound, ms_t now);
/* [{"node","address","error","fails","age_s"}], the latest failure last. */
json_t *dials_failures_json(const struct dials *dials, ms_t now);
/* {"count","last_s"}: links that others dialled. */
json_t *dials_inbound_json(const struct dials *dials, ms_t now);

#endif
