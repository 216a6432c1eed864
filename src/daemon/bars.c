/* SPDX-License-Identifier: Apache-2.0 */
/* What a ban or a forget (a *bar*) means on this node, beside what the catalog and the mesh
 * make of it: who is told what, and what this node hears when it is barred itself. Bars are
 * written by ca.c. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"

struct bars {
	struct daemon *d;
	char *told; /* this node was barred, as others say; or NULL */
	struct log_limit news_limit, told_limit, refused_limit;
};

/* ---- in words ---- */

static void
bars_put_who(const struct daemon *d, const struct catalog_bar *bar, struct buf *out)
{
	char at[CLOCK_TEXT_SIZE];

	buf_printf(out, " on %s", clock_text(bar->at_ms, at));
	if (id_is_zero(&bar->by))
		return;
	buf_put_text(out, " by node ");
	catalog_describe(d->catalog, &bar->by, out);
}

bool
bars_put_why(const struct daemon *d, const struct id *node, struct buf *out)
{
	struct catalog_bar bar;

	if (catalog_bar(d->catalog, node, ROW_BAN, &bar)) {
		buf_put_text(out, "banned");
		bars_put_who(d, &bar, out);
		if (bar.reason[0] != '\0')
			buf_printf(out, ": %s", bar.reason);
		return true;
	}
	if (!catalog_bar(d->catalog, node, ROW_FORGET, &bar))
		return false;
	/* Whoever is told has forgotten it, so that it cannot be taken back. The remedy
	 * first: a goodbye has an end. */
	buf_put_text(out,
		     "forgotten, so that it can only join anew, with a new invitation "
		     "and an empty data folder;");
	bars_put_who(d, &bar, out);
	return true;
}

void
bars_changed(struct daemon *d, const struct row_key *key)
{
	struct buf node = BUF_INIT, why = BUF_INIT;
	struct catalog_bar bar;
	struct id id;

	if (id_parse(key->name, &id) != 0)
		return;
	catalog_describe(d->catalog, &id, &node);
	if (catalog_bar(d->catalog, &id, (enum row_kind)key->kind, &bar)) {
		bars_put_who(d, &bar, &why);
		if (bar.reason[0] != '\0')
			buf_printf(&why, ": %s", bar.reason);
		log_warn("table", "node %s was %s%s", buf_text(&node),
			 key->kind == ROW_BAN ? "banned" : "forgotten", buf_text(&why));
	} else {
		log_warn("table", "node %s is not %s any more", buf_text(&node),
			 key->kind == ROW_BAN ? "banned" : "forgotten");
	}
	buf_fini(&node);
	buf_fini(&why);
}

/* ---- links ---- */

void
bars_note_refused(struct bars *bars, const struct id *node, const char *why)
{
	struct buf text = BUF_INIT;

	if (!log_limit_pass(&bars->refused_limit, "mesh"))
		return;
	catalog_describe(bars->d->catalog, node, &text);
	log_info("mesh", "no link to node %s: %s", buf_text(&text), why);
	buf_fini(&text);
}

void
bars_note_told(struct bars *bars, const struct id *by, const char *why)
{
	bool is_news = bars->told == NULL || strcmp(bars->told, why) != 0;
	struct buf text = BUF_INIT;

	if (is_news) {
		free(bars->told);
		bars->told = mem_strdup(why);
	}
	if (!log_limit_pass(is_news ? &bars->news_limit : &bars->told_limit, "mesh"))
		return;
	catalog_describe(bars->d->catalog, by, &text);
	log_error("mesh",
		  "node %s takes this node for no member any more. %s. It is asked again "
		  "every few minutes",
		  buf_text(&text), why);
	buf_fini(&text);
}

void
bars_note_let_in(struct bars *bars)
{
	if (bars->told != NULL)
		log_info("mesh", "this node is let in again");
	free(bars->told);
	bars->told = NULL;
}

const char *
bars_told(const struct bars *bars)
{
	return bars->told;
}

/* ---- life ---- */

struct bars *
bars_open(struct daemon *d)
{
	struct bars *bars = mem_calloc(1, sizeof(*bars));

	bars->d = d;
	bars->told_limit = (struct log_limit){ .span_ms = MS_HOUR, .burst = 1 };
	bars->news_limit = (struct log_limit){ .span_ms = MS_MINUTE, .burst = 3 };
	bars->refused_limit = (struct log_limit){ .span_ms = MS_MINUTE, .burst = 3 };
	return bars;
}

void
bars_close(struct bars *bars)
{
	if (bars == NULL)
		return;
	free(bars->told);
	free(bars);
}
