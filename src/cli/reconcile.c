/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/progress.h"

enum { RECONCILE_HTTP_CONFLICT = 409 }; /* not linked with it, or with none */

static const char reconcile_path[] = "/v1/admin/sync";

char *
reconcile_node(const json_t *state)
{
	const char *name = json_string_value(json_object_get(state, "name"));
	const char *id = json_string_value(json_object_get(state, "node"));
	struct buf text = BUF_INIT;
	char *safe;

	if (id == NULL)
		id = "?";
	if (name != NULL && name[0] != '\0')
		buf_printf(&text, "%s (%.8s)", name, id);
	else
		buf_put_text(&text, id);
	output_make_safe(&text);
	safe = mem_strdup(buf_text(&text));
	buf_fini(&text);
	return safe;
}

static int64_t
reconcile_count(const json_t *state, const char *member)
{
	return (int64_t)json_integer_value(json_object_get(state, member));
}

/* A comparison moves nothing: it tells what it found so far. */
static void
reconcile_on_state(void *arg, const json_t *state)
{
	char *node = reconcile_node(state);
	const char *op = arg;

	if (strcmp(op, "compare") == 0) {
		char *found = mem_printf("%s: found different so far", node);

		progress_show(found,
			      reconcile_count(state, "only_here") +
				      reconcile_count(state, "only_there") +
				      reconcile_count(state, "differing"),
			      0);
		free(found);
	} else {
		progress_show(node,
			      reconcile_count(state, "rows_sent") +
				      reconcile_count(state, "rows_received"),
			      reconcile_count(state, "rows_expected"));
	}
	free(node);
}

int
reconcile(const struct cli *cli, const char *op, const char *with, json_t **ret_state)
{
	json_t *start = json_pack("{s:s}", "op", op), *state = NULL;
	int http = 0, status;

	if (with != NULL) /* one that is no UTF-8 is no node's name */
		json_object_set_new(start, "with", json_stringn(with, strlen(with)));
	if (with != NULL && json_object_get(start, "with") == NULL) {
		json_decref(start);
		return cli_fail(EXIT_FAILURE,
				"there is no node '%s'; 'ocf nodes' lists "
				"them",
				with);
	}
	status = follow(cli, reconcile_path, start, true, reconcile_on_state,
			(void *)(uintptr_t)op, &state, &http);
	progress_clear();
	/* Not 1, which says that tables differ. */
	if (status == EXIT_FAILURE && http == RECONCILE_HTTP_CONFLICT)
		return EXIT_STATUS_TRY_LATER;
	if (status != EXIT_SUCCESS)
		return status;
	if (follow_is(state, "failed")) {
		const char *why = json_string_value(json_object_get(state, "error"));
		char *node = reconcile_node(state);

		status = cli_fail(EXIT_STATUS_TRY_LATER, "with %s: %s", node,
				  why != NULL && why[0] != '\0' ? why : "it failed");
		free(node);
		json_decref(state);
		return status;
	}
	*ret_state = state;
	return EXIT_SUCCESS;
}
