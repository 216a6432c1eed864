/* SPDX-License-Identifier: Apache-2.0 */
/* Queries on this node's bus: what dispatch gives to its workers, and what these say. */
#include "config.h"

#include "daemon/queries.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- to workers ---- */

static void
queries_run_failed(struct queries *qs, uint64_t run, enum dispatch_failure failure,
		   const char *text)
{
	struct query_error error;
	struct dispatch_event event = { .type = DISPATCH_EVENT_RUN_FAILED,
					.run = run,
					.failure = failure,
					.error = &error };

	query_error_set(&error, failure == DISPATCH_NOT_TAKEN ? 503 : 502, "%s", text);
	queries_step(qs, &event);
	query_error_fini(&error);
}

static struct opening *
queries_opening(const struct queries *qs, uint64_t run)
{
	struct opening *o;

	HASH_FIND(hh, qs->openings, &run, sizeof(run), o);
	return o;
}

static void
opening_free(struct queries *qs, struct opening *o)
{
	HASH_DEL(qs->openings, o);
	dispatch_head_drop(o->head);
	free(o);
}

static void
opening_send(struct queries *qs, struct opening *o, struct bytes first, bool is_last)
{
	const char *id = workers_id(qs->d->workers, o->worker);
	uint64_t run = o->run;
	int rc = -OCF_EUNKNOWN;

	if (id != NULL && qs->d->bus != NULL)
		rc = bus_send(qs->d->bus, id, run, o->head, first, is_last);
	opening_free(qs, o);
	if (rc == -EINVAL)
		queries_run_failed(qs, run, DISPATCH_ANSWERED,
				   "a header of the query cannot be passed on");
	else if (rc != 0)
		queries_run_failed(qs, run, DISPATCH_NOT_TAKEN, error_text(rc));
}

static void
worker_open(struct queries *qs, const struct dispatch_action *a)
{
	struct opening *o;

	if (workers_id(qs->d->workers, a->worker_id) == NULL) {
		queries_run_failed(qs, a->run, DISPATCH_NOT_TAKEN, "the worker is gone");
		return;
	}
	o = mem_calloc(1, sizeof(*o));
	o->run = a->run;
	o->worker = a->worker_id;
	o->head = dispatch_head_keep(qs->dispatch);
	HASH_ADD(hh, qs->openings, run, sizeof(o->run), o);
	if (o->head->body_len == 0)
		opening_send(qs, o, BYTES_NONE, true);
}

static void
worker_cancel(struct queries *qs, const struct dispatch_action *a)
{
	struct opening *o = queries_opening(qs, a->run);

	if (o != NULL)
		opening_free(qs, o);
	else if (qs->d->bus != NULL && bus_cancel(qs->d->bus, a->run) == 0)
		return; /* its slot is free when the worker says that it has stopped */
	queries_run_failed(qs, a->run, DISPATCH_ANSWERED, "cancelled");
}

void
queries_worker_do(struct queries *qs, const struct dispatch_action *a)
{
	struct opening *o;
	int rc;

	switch (a->type) {
	case DISPATCH_ACTION_RUN_OPEN:
		worker_open(qs, a);
		break;
	case DISPATCH_ACTION_RUN_BODY:
		o = queries_opening(qs, a->run);
		if (o != NULL) {
			opening_send(qs, o, a->data, a->is_last);
			break;
		}
		rc = qs->d->bus != NULL
			     ? bus_body(qs->d->bus, a->run, a->data, a->is_last)
			     : -ENOTCONN;
		if (rc == 0 || rc == -OCF_EUNKNOWN)
			break;
		/* Its worker would wait for the rest for ever. */
		if (qs->d->bus != NULL)
			bus_cancel(qs->d->bus, a->run);
		queries_run_failed(qs, a->run, DISPATCH_LOST, error_text(rc));
		break;
	case DISPATCH_ACTION_RUN_CREDIT:
		if (qs->d->bus != NULL)
			bus_credit(qs->d->bus, a->run, a->parts);
		break;
	case DISPATCH_ACTION_RUN_CANCEL:
		worker_cancel(qs, a);
		break;
	default:
		break;
	}
}

/* ---- from the bus ---- */

void
queries_worker(struct queries *qs, uint64_t number, const struct bus_worker *worker)
{
	struct dispatch_service *services = mem_calloc((size_t)worker->services_len,
						       sizeof(*services));
	struct dispatch_worker w = {
		.worker = number,
		.name = worker->id,
		.slots = worker->slots,
		.is_draining = worker->is_draining,
		.services = services,
		.services_len = worker->services_len,
	};
	struct dispatch_event event = { .type = DISPATCH_EVENT_WORKER, .worker = &w };

	for (int i = 0; i < worker->services_len; i++)
		services[i] = (struct dispatch_service){
			.name = worker->services[i].name,
			.match = worker->services[i].match,
			.match_len = worker->services[i].match_len,
		};
	queries_step(qs, &event);
	free(services);
}

/* What the bus never had, the core gives up without a word to it. `number` 0: of all. */
void
queries_drop_openings(struct queries *qs, uint64_t number)
{
	struct opening *o, *next;

	HASH_ITER (hh, qs->openings, o, next)
		if (number == 0 || o->worker == number)
			opening_free(qs, o);
}

void
queries_worker_gone(struct queries *qs, uint64_t number)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_WORKER_GONE,
					.worker_id = number };

	queries_step(qs, &event);
	queries_drop_openings(qs, number);
}

void
queries_bus_down(struct queries *qs)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_BUS_DOWN };

	queries_step(qs, &event);
	queries_drop_openings(qs, 0);
}

void
queries_run_head(struct queries *qs, uint64_t run, const struct reply_head *head)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_RUN_HEAD,
					.run = run,
					.reply = head };

	queries_step(qs, &event);
}

void
queries_run_data(struct queries *qs, uint64_t run, struct bytes data, bool is_last)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_RUN_DATA,
					.run = run,
					.data = data,
					.is_last = is_last };

	queries_step(qs, &event);
}

void
queries_run_error(struct queries *qs, uint64_t run, const struct query_error *error,
		  enum bus_outcome outcome)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_RUN_FAILED,
					.run = run,
					.error = error };

	if (outcome == BUS_RETURNED) {
		event.type = DISPATCH_EVENT_RUN_RETURNED;
		event.retry_after_s = error->retry_after_s;
	} else {
		event.failure = outcome == BUS_NOT_TAKEN  ? DISPATCH_NOT_TAKEN
				: outcome == BUS_ANSWERED ? DISPATCH_ANSWERED
							  : DISPATCH_LOST;
	}
	queries_step(qs, &event);
}

void
queries_run_credit(struct queries *qs, uint64_t run, int parts)
{
	struct dispatch_event event = { .type = DISPATCH_EVENT_RUN_CREDIT,
					.run = run,
					.parts = parts };

	queries_step(qs, &event);
}
