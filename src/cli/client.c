/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface, so that a reply can stream out while standard input, read
 * only when it has something, streams in. */
#include "config.h"

#include "cli/client.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/explain.h"

struct client {
	const struct client_request *request;
	struct client_reply *reply;
	struct client_target target;
	CURL *easy;
	CURLM *multi;
	struct curl_slist *headers;
	size_t body_at;	 /* of request->body */
	bool is_paused;	 /* waiting for body_fd */
	int input_error; /* reading body_fd failed; errno */
	double started_ms;
	int output_error; /* the sink failed; errno */
	char error[CURL_ERROR_SIZE];
};

int
client_add_header(struct client_request *r, const char *name, const char *value)
{
	if (value[strcspn(value, "\r\n")] != '\0')
		return -EINVAL;
	if (r->headers_len == CLIENT_HEADERS_MAX)
		return -OCF_ELIMIT;
	/* curl's way to send a header without a value. */
	r->headers[r->headers_len++] = value[0] == '\0'
					       ? mem_printf("%s;", name)
					       : mem_printf("%s: %s", name, value);
	return 0;
}

void
client_request_fini(struct client_request *r)
{
	for (int i = 0; i < r->headers_len; i++)
		free(r->headers[i]);
	*r = CLIENT_REQUEST_INIT;
}

void
client_reply_fini(struct client_reply *reply)
{
	buf_fini(&reply->body);
	free(reply->node);
	free(reply->worker);
	free(reply->request_id);
	free(reply->server_timing);
	memset(reply, 0, sizeof(*reply));
}

/* Finer than clock_mono_ms(). Curl's own time of the first byte is that of the request's
 * when there is a body to send. */
static double
client_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * MS_SECOND + (double)now.tv_nsec / 1e6;
}

/* ---- Callbacks of curl ---- */

/* Would read(2) return at once? A plain file's always does. */
static bool
client_is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static size_t
client_on_read(char *out, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	const struct client_request *r = c->request;
	size_t room = size * n;
	ssize_t got;

	if (r->body_fd < 0) {
		size_t left = r->body.len - c->body_at;

		if (left < room)
			room = left;
		if (room > 0)
			memcpy(out, r->body.data + c->body_at, room);
		c->body_at += room;
		return room;
	}
	if (!c->is_paused && !client_is_readable(r->body_fd)) {
		c->is_paused = true;
		return CURL_READFUNC_PAUSE;
	}
	c->is_paused = false;
	do {
		got = read(r->body_fd, out, room);
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		c->input_error = errno;
		return CURL_READFUNC_ABORT;
	}
	return (size_t)got;
}

static size_t
client_on_write(char *data, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	size_t len = size * n, max = CLIENT_BODY_BYTES_MAX;

	c->reply->received += (int64_t)len;
	if (c->request->sink != NULL && c->reply->status >= 200 &&
	    c->reply->status < 300) {
		if (c->request->sink(c->request->sink_arg, bytes_of(data, len)))
			return len;
		c->output_error = errno;
		return 0;
	}
	if (c->reply->status >= 300)
		max = CLIENT_ERROR_BYTES_MAX;
	if (c->reply->body.len + len > max)
		return 0;
	buf_put(&c->reply->body, data, len);
	return len;
}

static void
client_take_header(const char *line, size_t len, const char *name, char **ret)
{
	size_t name_len = strlen(name);

	if (len <= name_len || line[name_len] != ':' ||
	    strncasecmp(line, name, name_len) != 0)
		return;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		len--;
	free(*ret);
	*ret = mem_dup(line, len);
}

static size_t
client_on_header(char *line, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	struct client_reply *reply = c->reply;
	size_t len = size * n;
	enum { RETRY_MAX_S = 24 * 3600 };
	char *retry = NULL;
	int64_t seconds;
	long status = 0;

	if (len > 5 && memcmp(line, "HTTP/", 5) == 0) {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		reply->status = (int)status;
		reply->first_ms = client_now_ms() - c->started_ms;
		return len;
	}
	client_take_header(line, len, "X-Computing-Node", &reply->node);
	client_take_header(line, len, "X-Computing-Worker", &reply->worker);
	client_take_header(line, len, "X-Request-Id", &reply->request_id);
	client_take_header(line, len, "Server-Timing", &reply->server_timing);
	client_take_header(line, len, "Retry-After", &retry);
	if (retry != NULL && cli_number(retry, 1, RETRY_MAX_S, &seconds))
		reply->retry_after_s = (int)seconds;
	free(retry);
	return len;
}

/* ---- Setting up ---- */

static void
client_set_body(struct client *c)
{
	const struct client_request *r = c->request;

	if (!r->has_body) {
		if (strcmp(r->method, "HEAD") == 0)
			curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method);
		return;
	}
	curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, client_on_read);
	curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
	curl_easy_setopt(
		c->easy, CURLOPT_INFILESIZE_LARGE,
		(curl_off_t)(r->body_fd < 0 ? (int64_t)r->body.len : r->body_len));
	c->headers = curl_slist_append(c->headers, "Expect:");
}

static void
client_set_up(struct client *c)
{
	const struct client_request *r = c->request;
	char *url = mem_printf("%s%s", c->target.url, r->path);

	curl_easy_setopt(c->easy, CURLOPT_URL, url);
	free(url);
	if (c->target.socket != NULL)
		curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, c->target.socket);
	if (c->target.ca != NULL)
		curl_easy_setopt(c->easy, CURLOPT_CAINFO, c->target.ca);
	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS);
	curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "ocf/" PACKAGE_VERSION);
	curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, client_on_write);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, client_on_header);
	curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
	client_set_body(c);
	for (int i = 0; i < r->headers_len; i++)
		c->headers = curl_slist_append(c->headers, r->headers[i]);
	if (c->target.token != NULL) {
		char *line = mem_printf("Authorization: Bearer %s", c->target.token);

		c->headers = curl_slist_append(c->headers, line);
		free(line);
	}
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
}

/* Run the transfer to its end. */
static CURLcode
client_perform(struct client *c)
{
	CURLMsg *message;
	int running = 1, left;

	c->started_ms = client_now_ms();
	curl_multi_add_handle(c->multi, c->easy);
	while (running > 0) {
		struct curl_waitfd input = { .fd = c->request->body_fd,
					     .events = CURL_WAIT_POLLIN };

		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			return CURLE_FAILED_INIT;
		if (running == 0)
			break;
		if (curl_multi_poll(c->multi, &input, c->is_paused ? 1 : 0, 1000, NULL) !=
		    CURLM_OK)
			return CURLE_FAILED_INIT;
		/* Not by input.revents: curl leaves out that the other end was closed. */
		if (c->is_paused && client_is_readable(c->request->body_fd))
			curl_easy_pause(c->easy, CURLPAUSE_CONT);
	}
	message = curl_multi_info_read(c->multi, &left);
	return message != NULL && message->msg == CURLMSG_DONE ? message->data.result
							       : CURLE_FAILED_INIT;
}

static void
client_note_times(struct client *c)
{
	curl_off_t connected = 0, total = 0, sent = 0;

	curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(c->easy, CURLINFO_TOTAL_TIME_T, &total);
	curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	c->reply->connect_ms = (double)connected / 1000;
	c->reply->total_ms = (double)total / 1000;
	c->reply->sent = (int64_t)sent;
}

static int
client_finish(struct client *c, CURLcode code)
{
	const struct client_reply *reply = c->reply;

	if (c->input_error != 0)
		return cli_fail(EXIT_STATUS_IO, "reading what is to be sent: %s",
				error_text(-c->input_error));
	if (c->output_error != 0)
		return cli_fail(EXIT_STATUS_IO, "%s: %s", c->request->sink_name,
				error_text(-c->output_error));
	if (c->request->is_enough != NULL && *c->request->is_enough)
		return EXIT_SUCCESS;
	if (reply->status >= 200 && reply->status < 300 && c->request->broken_off != NULL)
		return cli_fail(EXIT_FAILURE, "%s", c->request->broken_off);
	if (code == CURLE_OK && reply->status >= 200 && reply->status < 300)
		return EXIT_SUCCESS;
	/* A refusal may come before all was sent, and is what counts. */
	if (reply->status >= 300 && reply->body.len > 0)
		return explain_reply(&c->target, reply);
	if (code == CURLE_OK)
		return explain_reply(&c->target, reply);
	return explain_failure(&c->target, reply, (int)code,
			       c->error[0] != '\0' ? c->error : curl_easy_strerror(code),
			       c->request->timeout_ms);
}

int
client_send(const struct cli *cli, const struct client_request *r,
	    struct client_reply *ret)
{
	struct client c = { .request = r, .reply = ret };
	CURLcode code;
	int status;

	memset(ret, 0, sizeof(*ret));
	status = explain_target(cli, r->is_admin, &c.target);
	if (status != EXIT_SUCCESS)
		return status;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return cli_fail(EXIT_FAILURE, "libcurl cannot be used on this machine");
	c.easy = curl_easy_init();
	c.multi = curl_multi_init();
	if (c.easy == NULL || c.multi == NULL)
		abort(); /* no memory */
	client_set_up(&c);
	code = client_perform(&c);
	client_note_times(&c);
	curl_multi_remove_handle(c.multi, c.easy);
	status = client_finish(&c, code);
	curl_multi_cleanup(c.multi);
	curl_easy_cleanup(c.easy);
	curl_slist_free_all(c.headers);
	client_target_fini(&c.target);
	return status;
}

static int
client_read_json(const struct client_reply *reply, json_t **ret_json)
{
	json_error_t why;
	json_t *json = json_loadb((const char *)reply->body.data, reply->body.len,
				  JSON_REJECT_DUPLICATES, &why);

	if (json == NULL)
		return cli_fail(EXIT_FAILURE,
				"the reply is not JSON (%s): is it an ocfd?", why.text);
	*ret_json = json;
	return EXIT_SUCCESS;
}

int
client_get_json(const struct cli *cli, const char *path, json_t **ret_json,
		struct buf *text)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	int status;

	request.path = path;
	status = client_send(cli, &request, &reply);
	if (status == EXIT_SUCCESS)
		status = client_read_json(&reply, ret_json);
	if (status == EXIT_SUCCESS && text != NULL)
		buf_put_bytes(text, buf_bytes(&reply.body));
	client_reply_fini(&reply);
	return status;
}

int
client_post_json(const struct cli *cli, const char *path, json_t *body, json_t **ret_json,
		 int *ret_http)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	char *text = json_dumps(body, JSON_COMPACT);
	struct client_reply reply;
	int status;

	if (text == NULL) { /* only an argument that is no UTF-8 can do it */
		json_decref(body);
		return cli_fail(EXIT_STATUS_USAGE, "the arguments are not valid UTF-8");
	}
	request.method = "POST";
	request.path = path;
	request.has_body = true;
	request.body = bytes_text(text);
	request.is_admin = true;
	client_add_header(&request, "Content-Type", "application/json");
	status = client_send(cli, &request, &reply);
	if (ret_http != NULL)
		*ret_http = reply.status;
	if (status == EXIT_SUCCESS)
		status = client_read_json(&reply, ret_json);
	client_request_fini(&request);
	client_reply_fini(&reply);
	json_decref(body);
	free(text);
	return status;
}
