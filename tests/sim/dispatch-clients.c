/* SPDX-License-Identifier: Apache-2.0 */
/* The clients of the simulated world: they send bodies as they are granted, read at their
 * own pace or never, leave, and check all that they are told. */
#include "config.h"

#include "sim/dispatch-world.h"

#include <string.h>

#include "lib/tap.h"

static void client_feed(struct sim *sim, void *arg, void *data);

int
reply_parts(int index)
{
	return index % 7 == 0 ? 0 : (index * 13) % REPLY_PARTS_MAX;
}

size_t
reply_part_len(int index, int part)
{
	return 1 + ((size_t)index * 7919 + (size_t)part * 104729) % 3000;
}

size_t
body_part_len(int index, int part)
{
	return index % 11 == 0 ? (size_t)LIMIT_PART_BYTES_MAX
			       : 1 + ((size_t)index * 31 + (size_t)part * 977) % 2000;
}

void
client_feed_later(struct node *n, struct asked *q)
{
	struct later *l;

	if (q->is_feeding || q->given == q->parts)
		return;
	q->is_feeding = true;
	l = later_new(n, 0);
	l->asked = q;
	later(n->world, (ms_t)sim_below(&n->world->sim, 30), client_feed, l);
}

static void
client_feed(struct sim *sim, void *arg, void *data)
{
	struct later *l = data;
	struct asked *q = l->asked;
	struct buf b = BUF_INIT;
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_BODY,
				    .query = (uint64_t)q->index };

	(void)sim;
	(void)arg;
	q->is_feeding = false;
	if (later_is_void(l) || q->ends > 0 || q->has_left || q->granted == 0)
		return;
	q->granted--;
	memset(buf_extend(&b, body_part_len(q->index, q->given)), q->given,
	       body_part_len(q->index, q->given));
	e.data = buf_bytes(&b);
	e.is_last = ++q->given == q->parts;
	node_step(l->node, &e);
	buf_fini(&b);
	if (q->granted > 0)
		client_feed_later(l->node, q);
}

static void
client_credit(struct sim *sim, void *arg, void *data)
{
	struct later *l = data;
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_CREDIT,
				    .query = (uint64_t)l->asked->index,
				    .parts = l->n };

	(void)sim;
	(void)arg;
	if (later_is_void(l) || l->asked->ends > 0 || l->asked->has_left)
		return;
	l->asked->uncredited -= l->n;
	node_step(l->node, &e);
}

void
client_leave(struct sim *sim, void *arg, void *data)
{
	struct later *l = data;
	struct dispatch_event e = { .type = DISPATCH_EVENT_QUERY_CANCEL,
				    .query = (uint64_t)l->asked->index };

	(void)sim;
	(void)arg;
	if (later_is_void(l) || l->asked->ends > 0)
		return;
	l->asked->has_left = true;
	node_step(l->node, &e);
}

static void
client_data(struct node *n, struct asked *q, const struct dispatch_action *a)
{
	CU_ASSERT(q->has_head);
	if (a->data.len > 0) {
		CU_ASSERT(a->data.len == reply_part_len(q->index, q->reply_parts));
		CU_ASSERT(a->data.data[0] == (uint8_t)q->reply_parts);
		q->reply_parts++;
		CU_ASSERT(++q->uncredited <= LIMIT_PARTS_WINDOW);
		if (!q->reads_never) {
			struct later *l = later_new(n, 0);

			l->asked = q;
			l->n = 1;
			later(n->world, (ms_t)sim_below(&n->world->sim, 60),
			      client_credit, l);
		}
	}
	if (!a->is_last)
		return;
	CU_ASSERT(q->reply_parts == reply_parts(q->index));
	q->ends++;
	n->world->done++;
}

void
client_do(struct node *n, const struct dispatch_action *a)
{
	struct asked *q = &n->world->queries[a->query];

	CU_ASSERT(q->node == n->index && q->life == n->life);
	/* One that leaves in the moment of its deadline is told of that before. */
	CU_ASSERT(q->ends == 0 && (!q->has_left || n->world->sim.now == q->deadline));
	CU_ASSERT(n->world->sim.now <= q->deadline);
	switch (a->type) {
	case DISPATCH_ACTION_WANT:
		q->granted += a->parts;
		CU_ASSERT(q->granted <= LIMIT_PARTS_WINDOW);
		client_feed_later(n, q);
		break;
	case DISPATCH_ACTION_HEAD:
		CU_ASSERT(!q->has_head && a->reply->status == 200);
		CU_ASSERT(!id_is_zero(&a->reply->node) && a->reply->worker != NULL);
		q->has_head = true;
		break;
	case DISPATCH_ACTION_DATA:
		client_data(n, q, a);
		break;
	case DISPATCH_ACTION_ERROR:
		CU_ASSERT(a->error->text[0] != '\0');
		CU_ASSERT(a->error->status >= 400 && a->error->status < 600);
		q->status = a->error->status;
		n->world->errors[q->status]++;
		q->ends++;
		break;
	default:
		break;
	}
}
