/* SPDX-License-Identifier: Apache-2.0 */
/* What a node tells OpenTela's clients of its table, in their shapes (the source of August
 * 2026 is followed, also where its OpenAPI document says otherwise). Errors are {"error":
 * text}, as on the routes of the 2023 original. Loop thread only. */
#ifndef OCF_HTTP_OPENTELA_H
#define OCF_HTTP_OPENTELA_H

#include <jansson.h>

#include "base/clock.h"
#include "http/routes.h"

/* {"/ID":{peer}}, of the nodes that can be reached, made of what GET /v1/nodes and GET
 * /v1/workers show at the wall clock's `now`. What OpenTela keeps and OCF does not (owners,
 * load, used memory of hosts) is empty or 0. */
json_t *opentela_table(const json_t *nodes, const json_t *workers, ms_t now);
/* {"peers":[{"ID","Addrs"}]}: those that can be reached, with multiaddresses. */
json_t *opentela_peers(const json_t *nodes);
/* {"connected_peers","total_peers_known","connected_peer_details","all_peer_details",
 * "message"} */
json_t *opentela_stats(const json_t *nodes);

/* GET /v1/dnt/{table,peers,stats}; /v1/health is legacy.h's. */
void opentela_table_run(const struct api_call *call);
void opentela_peers_run(const struct api_call *call);
void opentela_stats_run(const struct api_call *call);

#endif
