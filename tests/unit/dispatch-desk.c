/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/dispatch-desk.h"

#include <stdio.h>
#include <string.h>

static void
desk_note(struct desk *k, const struct dispatch_action *a)
{
	static const char letters[] = "wPUWTLHDEobgcx";
	struct desk_said *s = &k->said[k->len];

	CU_ASSERT_FATAL(k->len < DESK_ACTIONS_MAX);
	k->letters[k->len++] = letters[a->type];
	*s = (struct desk_said){ .type = a->type,
				 .link = a->link,
				 .query = a->query,
				 .run = a->run,
				 .worker = a->worker_id,
				 .parts = a->parts,
				 .len = a->data.len,
				 .is_last = a->is_last,
				 .is_final = a->is_final,
				 .relay_to = a->relay_to };
	if (a->error != NULL) {
		s->status = a->error->status;
		s->retry_after = a->error->retry_after_s;
		s->is_taken = a->error->is_taken;
		snprintf(s->text, sizeof(s->text), "%s", a->error->text);
		if (a->error->worker != NULL)
			snprintf(s->who, sizeof(s->who), "%s", a->error->worker);
	}
	if (a->reply != NULL) {
		s->status = a->reply->status;
		snprintf(s->who, sizeof(s->who), "%s",
			 a->reply->worker != NULL ? a->reply->worker : "");
	}
	if (a->head != NULL) {
		s->attempt = a->head->attempt;
		s->hops = a->head->hops;
		s->timeout = a->head->timeout_ms;
	}
}

const char *
desk_step(struct desk *k, struct dispatch_event e)
{
	struct dispatch_action a;

	k->len = 0;
	memset(k->letters, 0, sizeof(k->letters));
	dispatch_step(k->dispatch, k->now, &e);
	while (dispatch_next(k->dispatch, &a))
		desk_note(k, &a);
	return k->letters;
}

bool
desk_did(struct desk *k, struct dispatch_event e, const char *letters)
{
	const char *was = desk_step(k, e);

	if (strcmp(was, letters) != 0)
		tap_note("actions \"%s\", not \"%s\"", was, letters);
	return strcmp(was, letters) == 0;
}

void
desk_open(struct desk *k)
{
	struct dispatch_config config = { .seed = 3,
					  .queue_max = 2,
					  .buffer_bytes_max = 4 << 20,
					  .retries = 1,
					  .body_bytes_max = 1 << 20 };

	*k = (struct desk){ .now = 1000 };
	memset(config.self.b, 0xab, ID_BYTES);
	k->dispatch = dispatch_new(&config);
}

void
desk_close(struct desk *k)
{
	struct dispatch_stats s;

	dispatch_stats(k->dispatch, &s);
	CU_ASSERT(s.queries == 0 && s.queued == 0 && s.running == 0 && s.forwarded == 0);
	CU_ASSERT(s.buffered_bytes == 0);
	dispatch_free(k->dispatch);
}

const char *
desk_worker(struct desk *k, uint64_t number, int slots, const char *match)
{
	static char name[20], text[64];
	char *texts[] = { text };
	struct dispatch_service service = { .name = "wc",
					    .match = texts,
					    .match_len = match != NULL };
	struct dispatch_worker info = { .worker = number,
					.name = name,
					.slots = slots,
					.services = &service,
					.services_len = 1 };

	snprintf(name, sizeof(name), "w%d", (int)number);
	snprintf(text, sizeof(text), "%s", match != NULL ? match : "");
	return desk_step(k, (struct dispatch_event){ .type = DISPATCH_EVENT_WORKER,
						     .worker = &info });
}

const char *
desk_ask(struct desk *k, struct desk_ask a)
{
	char id[] = "r", service[] = "wc", method[] = "POST", path[] = "/", selector[64];
	struct query_head head = { .request_id = id,
				   .service = service,
				   .method = method,
				   .path = path,
				   .is_idempotent = a.is_idempotent,
				   .body_len = a.body_len,
				   .hops = (uint8_t)a.hops,
				   .timeout_ms = a.timeout != 0 ? a.timeout : MS_MINUTE };
	struct dispatch_candidate candidates[5];
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_NEW,
				    .link = a.link,
				    .query = a.query,
				    .head = &head,
				    .candidates = candidates };

	if (a.selector != NULL) {
		snprintf(selector, sizeof(selector), "%s", a.selector);
		head.selector = selector;
	}
	for (int i = 0; i < a.nodes_len; i++) {
		candidates[e.candidates_len] = (struct dispatch_candidate){
			.link = a.is_far ? 0 : a.nodes[i],
			.is_relayed = a.is_relayed,
			.is_far = a.is_far,
			.ways = a.ways
		};
		memset(candidates[e.candidates_len++].node.b, (int)a.nodes[i], ID_BYTES);
	}
	if (a.is_here)
		candidates[e.candidates_len++] = (struct dispatch_candidate){ 0 };
	return desk_step(k, e);
}

struct dispatch_event
desk_run_event(enum dispatch_event_type type, uint64_t link, uint64_t run)
{
	return (struct dispatch_event){ .type = type, .link = link, .run = run };
}

struct dispatch_event
desk_run_data(uint64_t link, uint64_t run, const char *text, bool is_last)
{
	struct dispatch_event e = desk_run_event(DISPATCH_EVENT_RUN_DATA, link, run);

	e.data = bytes_text(text);
	e.is_last = is_last;
	return e;
}

static struct query_error desk_wrong = { .status = 502, .text = (char[]){ "it broke" } };

struct dispatch_event
desk_run_failed(uint64_t link, uint64_t run, enum dispatch_failure failure)
{
	struct dispatch_event e = desk_run_event(DISPATCH_EVENT_RUN_FAILED, link, run);

	e.failure = failure;
	e.error = &desk_wrong;
	return e;
}
