/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/bar.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/names.h"

/* " (since TIME, by node n2 (…): reason)", as far as it is told. */
static void
bar_put_since(const json_t *reply, struct buf *out)
{
	const char *at = json_string_value(json_object_get(reply, "at"));
	const char *by = json_string_value(json_object_get(reply, "by"));
	const char *reason = json_string_value(json_object_get(reply, "reason"));

	if (at == NULL)
		return;
	buf_printf(out, " (since %s", at);
	if (by != NULL)
		buf_printf(out, ", by node %s", by);
	if (reason != NULL && reason[0] != '\0')
		buf_printf(out, ": %s", reason);
	buf_put_text(out, ")");
}

int
bar_ask(const struct cli *cli, const char *verb, const char *text, const char *reason,
	const char *done, const char *already)
{
	json_t *body = json_object(), *reply = NULL;
	char *path = mem_printf("/v1/admin/%s", verb), *name = NULL;
	struct buf since = BUF_INIT;
	char id[ID_TEXT_SIZE];
	int status = names_find_node(cli, text, id);

	if (status != EXIT_SUCCESS) {
		json_decref(body);
		free(path);
		return status;
	}
	json_object_set_new(body, "node", json_string(id));
	if (reason != NULL &&
	    json_object_set_new(body, "reason", json_string(reason)) != 0) {
		json_decref(body);
		free(path);
		return cli_fail(EXIT_STATUS_USAGE, "the reason is not valid UTF-8");
	}
	status = client_post_json(cli, path, body, &reply, NULL);
	if (status == EXIT_SUCCESS) {
		name = names_of_node(cli, id);
		if (json_is_true(json_object_get(reply, "forgotten")))
			cli_say("node %s is not banned, but it is forgotten: it can only "
				"join anew, with a new invitation and an empty data "
				"folder",
				name);
		else if (json_is_true(json_object_get(reply, "changed"))) {
			cli_say("node %s %s", name, done);
		} else {
			bar_put_since(reply, &since);
			cli_say("node %s %s%s", name, already, buf_text(&since));
		}
	}
	json_decref(reply);
	buf_fini(&since);
	free(name);
	free(path);
	return status;
}
