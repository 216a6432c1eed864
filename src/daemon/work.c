/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/work.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "net/lane.h"

/* At once, of those with steps; each may hold a page of rows and a piece of output. */
enum { WORKS_MAX = 4 };

struct work {
	struct works *works;
	const struct work_type *type;
	void *job;
	struct api_work *api; /* NULL: the client left */
	bool is_begun;	      /* the reply */
	bool is_busy;	      /* on the lane, or landing */
	bool is_landing;
	int rc; /* of the last step */
	struct errmsg err;
	struct buf out;
	struct work *prev, *next;
};

struct works {
	struct daemon *d;
	struct lane *lane;
	struct work *list;
	int len; /* of those that are not light */
	int landing;
};

/* ---- one ---- */

static void
work_free(struct work *w)
{
	DL_DELETE(w->works->list, w);
	w->works->len -= !w->type->is_light;
	w->type->close(w->job);
	buf_fini(&w->out);
	free(w);
}

static int
work_status(int rc)
{
	switch (-rc) {
	case EINVAL:
	case OCF_EMALFORMED:
		return 400;
	case EAGAIN:
		return 503;
	case ENOSPC:
	case EDQUOT:
		return 507;
	default:
		return 500;
	}
}

static void
work_fail(struct work *w)
{
	api_work_fail(w->api, work_status(w->rc),
		      w->err.text[0] != '\0' ? w->err.text : error_text(w->rc));
	work_free(w);
}

static void
work_step(void *arg)
{
	struct work *w = arg;

	w->rc = w->type->step(w->job, &w->out, &w->err);
}

static void work_on_stepped(void *arg, bool was_run);

/* Nothing for the lane, which may be at a large copy: it lands in the next turn. */
static void
work_on_posted(void *arg)
{
	struct work *w = arg;

	w->works->landing--;
	work_on_stepped(w, true);
}

static void
work_go(struct work *w)
{
	w->is_busy = true;
	if (w->type->step != NULL) {
		lane_put(w->works->lane, work_step, work_on_stepped, w);
	} else {
		w->works->landing++;
		loop_post(w->works->d->loop, work_on_posted, w);
	}
}

/* A piece is made: send it. */
static void
work_send(struct work *w)
{
	bool is_welcome;

	w->is_busy = false;
	if (w->api == NULL) {
		work_free(w);
		return;
	}
	if (w->rc < 0) {
		work_fail(w);
		return;
	}
	if (!w->is_begun)
		api_work_begin(w->api, w->type->content_type);
	w->is_begun = true;
	is_welcome = api_work_data(w->api, buf_bytes(&w->out));
	buf_clear(&w->out);
	if (w->rc == 0) {
		api_work_end(w->api);
		work_free(w);
	} else if (is_welcome) {
		work_go(w);
	}
}

static void
work_on_stepped(void *arg, bool was_run)
{
	struct work *w = arg;

	/* The daemon stops: all clients are gone. */
	if (!was_run)
		w->rc = -ECANCELED;
	if (w->rc >= 0 && w->api != NULL && w->type->land != NULL) {
		w->is_landing = true;
		w->works->landing++;
		if (!w->type->land(w->job, w, &w->out))
			return;
		w->is_landing = false;
		w->works->landing--;
	}
	work_send(w);
}

void
work_goes_on(struct work *w, bool has_more)
{
	w->rc = has_more;
}

void
work_landed(struct work *w, int rc, const char *why)
{
	w->is_landing = false;
	w->works->landing--;
	if (rc < 0)
		w->rc = error_set(&w->err, rc, "%s", why);
	work_send(w);
}

/* ---- all ---- */

struct works *
works_open(struct daemon *d)
{
	struct works *works = mem_calloc(1, sizeof(*works));

	works->d = d;
	works->lane = lane_open(d->loop);
	return works;
}

void
works_close(struct works *works)
{
	if (works == NULL)
		return;
	lane_close(works->lane);
	while (works->landing > 0)
		loop_turn(works->d->loop, 100);
	free(works);
}

static const struct work_type *
works_find(const char *name)
{
	static const struct work_type *const types[] = {
		&work_backup, &work_ban,  &work_drain, &work_dump,
		&work_forget, &work_load, &work_unban,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(name, types[i]->name) == 0)
			return types[i];
	return NULL;
}

int
works_start(void *daemon, const char *name, const struct query_headers *params,
	    struct bytes body, struct api_work *api, void **ret_token, struct errmsg *err)
{
	const struct work_type *type = works_find(name);
	struct daemon *d = daemon;
	struct work *w;
	void *job;
	int status;

	if (type == NULL) {
		error_set(err, -EINVAL, "there is no such admin route");
		return 404;
	}
	if (!type->is_light && d->works->len >= WORKS_MAX) {
		error_set(err, -EAGAIN,
			  "%d dumps, loads and backups are under way already", WORKS_MAX);
		return 429;
	}
	status = type->open(d, params, body, &job, err);
	if (status != 200)
		return status;
	w = mem_calloc(1, sizeof(*w));
	w->works = d->works;
	w->type = type;
	w->job = job;
	w->api = api;
	DL_APPEND(d->works->list, w);
	d->works->len += !type->is_light;
	work_go(w);
	*ret_token = w;
	return 0;
}

void
works_more(void *token)
{
	struct work *w = token;

	if (!w->is_busy)
		work_go(w);
}

void
works_cancel(void *token)
{
	struct work *w = token;

	w->api = NULL;
	if (!w->is_busy)
		work_free(w);
}
