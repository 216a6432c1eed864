/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of the dispatch core from the configuration, and what they refused; see
 * dispatch/bounds.c. */
#include "config.h"

#include "daemon/queries.h"

void
queries_bounds_configure(const struct config *from, struct dispatch_config *to)
{
	to->queue_max = (int)from->dispatch.queue_max;
	to->tenant_queue_max = (int)from->dispatch.tenant_queue_max;
	to->wait_max_ms = from->dispatch.wait_max;
	to->buffer_bytes_max = (uint64_t)from->dispatch.buffer_max;
	to->tenant_bytes_max = (uint64_t)from->dispatch.tenant_buffer_max;
}

static double
queries_read_refused(void *arg)
{
	const struct queries_refusal *refusal = arg;
	struct dispatch_stats stats;

	dispatch_stats(refusal->queries->dispatch, &stats);
	return (double)stats.refused[refusal->why];
}

static double
queries_read_tenants(void *arg)
{
	struct dispatch_stats stats;

	dispatch_stats(((struct queries *)arg)->dispatch, &stats);
	return stats.tenants;
}

void
queries_bounds_add_metrics(struct queries *qs)
{
	static const char *const labels[DISPATCH_REFUSALS] = {
		[DISPATCH_REFUSED_QUEUE] = "reason=\"queue\"",
		[DISPATCH_REFUSED_SHARE] = "reason=\"share\"",
		[DISPATCH_REFUSED_GAVE_WAY] = "reason=\"gave-way\"",
		[DISPATCH_REFUSED_TENANT_QUEUE] = "reason=\"tenant-queue\"",
		[DISPATCH_REFUSED_DEADLINE] = "reason=\"deadline\"",
		[DISPATCH_REFUSED_WAIT] = "reason=\"wait\"",
		[DISPATCH_REFUSED_BYTES] = "reason=\"bytes\"",
		[DISPATCH_REFUSED_TENANT_BYTES] = "reason=\"tenant-bytes\"",
	};
	struct metrics *m = qs->d->metrics;

	for (int i = 0; i < DISPATCH_REFUSALS; i++) {
		qs->refusals[i] = (struct queries_refusal){
			.queries = qs, .why = (enum dispatch_refusal)i
		};
		metrics_counter_read(
			m, "ocf_queries_refused_total",
			"Queries that might not wait here, by the bound that "
			"they were over.",
			labels[i], queries_read_refused, &qs->refusals[i]);
	}
	metrics_gauge_read(m, "ocf_tenants_waiting",
			   "Tenants with queries waiting here, counted for each service.",
			   NULL, queries_read_tenants, qs);
}
