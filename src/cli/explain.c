/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/explain.h"

#include <curl/curl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/client.h"

/* A variable that is set to nothing counts as unset. */
static const char *
explain_variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

static int
explain_target_url(const char *url, struct client_target *ret)
{
	const char *token = explain_variable("OCF_TOKEN"),
		   *ca = explain_variable("OCF_CA");
	size_t len = strlen(url);

	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		return cli_fail(EXIT_STATUS_USAGE,
				"'%s' is no URL of a daemon; it looks like "
				"http://host:8092",
				url);
	if (token != NULL && token[strcspn(token, "\r\n")] != '\0')
		return cli_fail(EXIT_STATUS_USAGE, "$OCF_TOKEN has a line end in it");
	ret->url = mem_strdup(url);
	while (len > 0 && ret->url[len - 1] == '/')
		ret->url[--len] = '\0';
	ret->token = token != NULL ? mem_strdup(token) : NULL;
	ret->ca = ca != NULL ? mem_strdup(ca) : NULL;
	return EXIT_SUCCESS;
}

int
explain_target(const struct cli *cli, bool is_admin, struct client_target *ret_target)
{
	struct client_target t = { .is_admin = is_admin };
	const char *socket = cli->socket, *url = cli->url;
	struct errmsg err = { "" };
	struct places places;
	int status = EXIT_SUCCESS;

	if (socket != NULL && url != NULL)
		cli_usage_error(cli, "--socket and --url cannot be used together");
	if (socket == NULL && url == NULL && cli->data == NULL) {
		socket = explain_variable("OCF_SOCKET");
		if (socket == NULL)
			url = explain_variable("OCF_URL");
	}
	if (url != NULL && is_admin)
		return cli_fail(
			EXIT_STATUS_PERMISSION,
			"'%s %s' works on the node itself, through its unix socket, "
			"and not over %s",
			program.name, cli->command->name,
			cli->url != NULL ? "a URL"
					 : "the URL in $OCF_URL: unset that, or name "
					   "the socket with --socket");
	if (url != NULL) {
		status = explain_target_url(url, &t);
	} else {
		cli_places(cli, &places);
		t.socket = mem_strdup(socket != NULL ? socket : places.socket);
		t.data = mem_strdup(places.data);
		t.url = mem_strdup("http://localhost");
		places_fini(&places);
		if (places_check_socket(t.socket, &err) != 0)
			status = cli_fail(EXIT_STATUS_CONFIG, "%s", err.text);
	}
	if (status == EXIT_SUCCESS)
		*ret_target = t;
	else
		client_target_fini(&t);
	return status;
}

bool
explain_is_target_set(void)
{
	return explain_variable("OCF_SOCKET") != NULL ||
	       explain_variable("OCF_URL") != NULL;
}

void
client_target_fini(struct client_target *t)
{
	free(t->socket);
	free(t->url);
	free(t->token);
	free(t->ca);
	free(t->data);
	*t = (struct client_target){ .url = NULL };
}

/* ---- No connection ---- */

/* Curl does not always say. */
int
explain_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
	close(fd);
	return rc;
}

char *
explain_group(const char *path)
{
	char *copy = mem_strdup(path), *at = copy, *name;
	const struct group *group;
	struct stat st;

	while (stat(at, &st) != 0 && strcmp(at, "/") != 0 && strcmp(at, ".") != 0)
		at = dirname(at);
	group = stat(at, &st) == 0 ? getgrgid(st.st_gid) : NULL;
	name = group != NULL ? mem_strdup(group->gr_name)
			     : mem_printf("%u", (unsigned)st.st_gid);
	free(copy);
	return name;
}

static int
explain_no_permission(const char *path)
{
	char *group = explain_group(path);
	int status;

	status = cli_fail(EXIT_STATUS_PERMISSION,
			  "the daemon's socket %s is for members of the group '%s' only: "
			  "have yourself added to it, or use sudo",
			  path, group);
	free(group);
	return status;
}

static int
explain_no_daemon(const struct client_target *t, int rc)
{
	static const char system_socket[] = "/run/ocf/ocfd.sock";
	char *keys = mem_printf("%s/keys", t->data);
	bool is_node = access(keys, F_OK) == 0 || errno != ENOENT;

	free(keys);
	if (!is_node && strcmp(t->socket, system_socket) != 0 &&
	    access(system_socket, F_OK) == 0)
		return cli_fail(EXIT_STATUS_UNREACHABLE,
				"no ocfd answers at %s (%s); there is one of the whole "
				"machine: use --socket %s, or sudo",
				t->socket, error_text(rc), system_socket);
	if (!is_node)
		return cli_fail(
			EXIT_STATUS_UNREACHABLE,
			"no ocfd answers at %s (%s), and there is no node in %s: make "
			"one with 'ocf init' or 'ocf join -', then start 'ocfd'",
			t->socket, error_text(rc), t->data);
	return cli_fail(
		EXIT_STATUS_UNREACHABLE,
		"no ocfd answers at %s (%s): start it with 'ocfd', or name another "
		"with %s",
		t->socket, error_text(rc),
		t->is_admin ? "--socket or --data" : "--socket, --data or --url");
}

int
explain_failure(const struct client_target *t, const struct client_reply *reply, int code,
		const char *text, ms_t timeout_ms)
{
	const char *where = t->socket != NULL ? t->socket : t->url;
	int rc;

	if (code == CURLE_COULDNT_CONNECT && t->socket != NULL) {
		rc = explain_connect(t->socket);
		if (rc == -EACCES || rc == -EPERM)
			return explain_no_permission(t->socket);
		return explain_no_daemon(t, rc != 0 ? rc : -EAGAIN);
	}
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		return cli_fail(EXIT_STATUS_UNREACHABLE, "no ocfd answers at %s: %s",
				where, text);
	if (code == CURLE_OPERATION_TIMEDOUT && reply->connect_ms <= 0)
		return cli_fail(EXIT_STATUS_UNREACHABLE,
				"no ocfd answers at %s: nothing came within %g s", where,
				(double)CLIENT_CONNECT_MS / MS_SECOND);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return cli_fail(EXIT_STATUS_TRY_LATER, "%s after %g s; try again later",
				reply->status == 0 ? "there was no answer"
						   : "the answer was not complete",
				(double)timeout_ms / MS_SECOND);
	if (reply->status != 0)
		return cli_fail(
			EXIT_FAILURE,
			"the answer broke off after %lld bytes and is not whole (%s)",
			(long long)reply->received, text);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return cli_fail(EXIT_FAILURE,
				"%s is not known here: %s (name the file of its "
				"certificate, or of its authority's, in $OCF_CA)",
				where, text);
	return cli_fail(EXIT_FAILURE, "%s gave no answer: %s", where, text);
}

/* ---- A reply that says no ---- */

static int
explain_status(int status)
{
	switch (status) {
	case 401:
	case 403:
		return EXIT_STATUS_PERMISSION;
	case 429:
	case 503:
	case 504:
		return EXIT_STATUS_TRY_LATER;
	case 507: /* a full disk */
		return EXIT_STATUS_IO;
	default:
		return EXIT_FAILURE;
	}
}

/* "detail" of a problem object, or the message of an OpenAI error; borrowed from `json`.
 */
static const char *
explain_detail(const json_t *json)
{
	const char *detail = json_string_value(json_object_get(json, "detail"));

	if (detail == NULL || detail[0] == '\0')
		detail = json_string_value(
			json_object_get(json_object_get(json, "error"), "message"));
	if (detail == NULL || detail[0] == '\0')
		detail = json_string_value(json_object_get(json, "title"));
	return detail;
}

/* The length of a sentence without its full stop, for one that goes on. */
static int
explain_without_stop(const char *text)
{
	size_t len = strlen(text);

	return (int)(len > 0 && text[len - 1] == '.' ? len - 1 : len);
}

int
explain_reply(const struct client_target *t, const struct client_reply *reply)
{
	json_t *json = json_loadb((const char *)reply->body.data, reply->body.len, 0,
				  NULL);
	const char *detail = explain_detail(json);
	const char *hint = "";
	char later[64] = "";

	if (reply->status == 401)
		hint = t->token == NULL ? " (set $OCF_TOKEN)" : " (is $OCF_TOKEN right?)";
	if (reply->retry_after_s > 0)
		snprintf(later, sizeof(later), "; try again in %d s",
			 reply->retry_after_s);
	if (detail != NULL && (hint[0] != '\0' || later[0] != '\0'))
		cli_say("%.*s%s%s", explain_without_stop(detail), detail, hint, later);
	else if (detail != NULL)
		cli_say("%s", detail);
	else
		cli_say("%s answered with HTTP status %d%s%s",
			t->socket != NULL ? t->socket : t->url, reply->status, hint,
			later);
	json_decref(json);
	return explain_status(reply->status);
}
