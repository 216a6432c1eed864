/* SPDX-License-Identifier: Apache-2.0 */
/* ocf query: one query, its answer on standard output as it comes. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/query.h"
#include "base/rng.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/format.h"
#include "cli/names.h"

enum {
	QUERY_TIMEOUT_MS = 60 * MS_SECOND,
	QUERY_TIMEOUT_MAX_MS = 24 * MS_HOUR, /* what the daemon takes */
	/* The daemon answers at the deadline; this is for its answer to arrive. */
	QUERY_GRACE_MS = 5 * MS_SECOND,
};

struct query_arguments {
	const char *service;
	const char *match;
	const char *text;
	const char *file;
	const char *node;
	const char *method;
	const char *path;
	const char *content_type;
	ms_t timeout_ms;
	bool is_verbose;
};

static bool
method_is_valid(const char *text)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";

	return text[0] != '\0' && text[strspn(text, allowed)] == '\0' &&
	       strlen(text) <= 32;
}

static void
query_option(struct cli *cli, int c, struct query_arguments *a)
{
	switch (c) {
	case 'm':
		if (a->match != NULL)
			cli_usage_error(cli, "a query has at most one --match");
		if (!query_selector_is_valid(optarg))
			cli_usage_error(cli, "'%s' is no selector: it looks like k=v",
					optarg);
		a->match = optarg;
		break;
	case 'd':
		a->text = optarg;
		break;
	case 'f':
		a->file = optarg;
		break;
	case 'n':
		a->node = optarg;
		break;
	case 't':
		if (clock_parse_span(optarg, &a->timeout_ms) != 0 || a->timeout_ms <= 0 ||
		    a->timeout_ms > QUERY_TIMEOUT_MAX_MS)
			cli_usage_error(
				cli, "'%s' is no timeout: say 30s, 5m or 1h, at most 24h",
				optarg);
		break;
	case 'X':
		if (!method_is_valid(optarg))
			cli_usage_error(cli, "'%s' is no method: it looks like POST",
					optarg);
		a->method = optarg;
		break;
	case 'p':
		a->path = optarg;
		break;
	case 'c':
		a->content_type = optarg;
		break;
	case 'v':
		a->is_verbose = true;
		break;
	}
}

static void
query_parse(struct cli *cli, int argc, char **argv, struct query_arguments *a)
{
	static const struct option options[] = {
		{ "match", required_argument, NULL, 'm' },
		{ "data", required_argument, NULL, 'd' },
		{ "file", required_argument, NULL, 'f' },
		{ "node", required_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' },
		{ "method", required_argument, NULL, 'X' },
		{ "path", required_argument, NULL, 'p' },
		{ "content-type", required_argument, NULL, 'c' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c, n;

	while ((c = cli_option(cli, argc, argv, "v", options)) != -1)
		query_option(cli, c, a);
	n = cli_arguments(cli, argc, argv, 1, 2);
	a->service = argv[optind];
	if (!query_service_is_valid(a->service))
		cli_usage_error(cli, "'%s' cannot be the name of a service", a->service);
	if (n == 2 && strcmp(argv[optind + 1], "-") != 0)
		cli_usage_error(cli,
				"what is to be sent is given by --data, --file or -");
	if ((n == 2) + (a->text != NULL) + (a->file != NULL) > 1)
		cli_usage_error(cli, "only one of --data, --file and - can be sent");
	if (n == 2)
		a->file = "-";
}

/* Open what is to be sent. */
static int
query_open_body(const struct query_arguments *a, struct client_request *r)
{
	struct stat st;

	r->has_body = strcmp(a->method, "GET") != 0 && strcmp(a->method, "HEAD") != 0;
	if (a->text != NULL) {
		r->has_body = true;
		r->body = bytes_text(a->text);
	}
	if (a->file == NULL)
		return EXIT_SUCCESS;
	r->has_body = true;
	r->body_len = -1;
	r->body_fd = strcmp(a->file, "-") == 0 ? dup(STDIN_FILENO)
					       : open(a->file, O_RDONLY | O_CLOEXEC);
	if (r->body_fd < 0)
		return cli_fail(EXIT_STATUS_IO, "%s: %s", a->file, error_text(-errno));
	if (fstat(r->body_fd, &st) != 0)
		return cli_fail(EXIT_STATUS_IO, "%s: %s", a->file, error_text(-errno));
	if (S_ISDIR(st.st_mode))
		return cli_fail(EXIT_STATUS_IO, "%s is a folder, not a file", a->file);
	/* Standard input may stand in the middle of a file; and a file of /proc says that
	 * it is empty. */
	if (S_ISREG(st.st_mode) && st.st_size > 0) {
		off_t at = lseek(r->body_fd, 0, SEEK_CUR);

		if (at >= 0 && at <= st.st_size)
			r->body_len = st.st_size - at;
	}
	return EXIT_SUCCESS;
}

static int
query_add_headers(const struct cli *cli, const struct query_arguments *a,
		  struct client_request *r)
{
	char key[33], timeout[32], node[ID_TEXT_SIZE];
	int rc;

	if (a->node != NULL) {
		rc = names_find_node(cli, a->node, node);
		if (rc != EXIT_SUCCESS)
			return rc;
	}

	/* Also a query that a worker took may then be sent to another one. */
	snprintf(key, sizeof(key), "%016llx%016llx",
		 (unsigned long long)rng_seed_from_os(),
		 (unsigned long long)rng_seed_from_os());
	snprintf(timeout, sizeof(timeout), "%lldms", (long long)a->timeout_ms);
	rc = client_add_header(r, "Idempotency-Key", key);
	if (rc == 0)
		rc = client_add_header(r, "Ocf-Timeout", timeout);
	if (rc == 0 && a->match != NULL)
		rc = client_add_header(r, "Ocf-Match", a->match);
	if (rc == 0 && a->node != NULL)
		rc = client_add_header(r, "Ocf-Node", node);
	if (rc == 0 && a->content_type != NULL)
		rc = client_add_header(r, "Content-Type", a->content_type);
	if (rc != 0)
		return cli_fail(EXIT_STATUS_USAGE, "an argument has a line end in it");
	return EXIT_SUCCESS;
}

static void
query_say_who(const struct cli *cli, const struct client_reply *reply)
{
	char total[FORMAT_SIZE], first[FORMAT_SIZE], sent[FORMAT_SIZE],
		received[FORMAT_SIZE];
	struct buf who = BUF_INIT;

	if (reply->status == 0)
		return;
	if (reply->worker != NULL)
		buf_printf(&who, "worker %s", reply->worker);
	if (reply->node != NULL) {
		char *name = names_of_node(cli, reply->node);

		buf_printf(&who, "%snode %s", who.len > 0 ? " on " : "", name);
		free(name);
	}
	if (who.len > 0)
		cli_say("%s %s",
			reply->status < 300 ? "answered by" : "this error is from",
			buf_text(&who));
	cli_say("%s in all, %s to the first byte; %s sent, %s received",
		format_ms(reply->total_ms, total), format_ms(reply->first_ms, first),
		format_bytes(reply->sent, sent), format_bytes(reply->received, received));
	if (reply->server_timing != NULL)
		cli_say("timings: %s", reply->server_timing);
	if (reply->request_id != NULL)
		cli_say("request %s", reply->request_id);
	buf_fini(&who);
}

static bool
query_print(void *arg, struct bytes data)
{
	(void)arg;
	return fwrite(data.data, 1, data.len, stdout) == data.len && fflush(stdout) == 0;
}

int
cmd_query(struct cli *cli, int argc, char **argv)
{
	struct query_arguments a = { .method = "POST", .timeout_ms = QUERY_TIMEOUT_MS };
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply = { .status = 0 };
	struct buf path = BUF_INIT;
	int status;

	query_parse(cli, argc, argv, &a);
	buf_put_text(&path, "/v1/service/");
	format_path_segment(a.service, &path);
	if (a.path != NULL)
		format_path(a.path, &path);
	request.method = a.method;
	request.path = buf_text(&path);
	request.timeout_ms = a.timeout_ms + QUERY_GRACE_MS;
	request.sink = query_print;
	request.sink_name = "standard output";
	status = query_open_body(&a, &request);
	if (status == EXIT_SUCCESS)
		status = query_add_headers(cli, &a, &request);
	if (status == EXIT_SUCCESS) {
		status = client_send(cli, &request, &reply);
		if (a.is_verbose)
			query_say_who(cli, &reply);
	}
	if (request.body_fd >= 0)
		close(request.body_fd);
	client_reply_fini(&reply);
	client_request_fini(&request);
	buf_fini(&path);
	return status;
}
