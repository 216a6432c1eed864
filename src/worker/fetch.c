/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bus/protocol.h"

struct fetch_part {
	uint8_t *data;
	size_t len, at;
	bool is_consumed; /* its consumption was told, or will be */
	struct fetch_part *prev, *next;
};

struct run {
	struct fetcher *fetcher;
	const struct run_handler *handler;
	void *arg;
	struct multi_request request;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	/* The body */
	struct fetch_part *parts; /* not yet taken; all of them when `is_kept` */
	struct fetch_part *part;  /* the next one to take; NULL: none is here */
	bool is_kept;		  /* can be sent again */
	bool may_repeat;	  /* and may, when a server has perhaps had it */
	bool was_sent;		  /* some of it was */
	bool is_body_whole;
	bool waits_for_body; /* libcurl's sending is paused */
	bool was_let_go;     /* the server does not want the rest of it */
	int consumed;	     /* not yet told */
	/* The reply */
	bool is_head;		/* to a HEAD */
	struct reply_head head; /* with the names as the server wrote them */
	size_t head_bytes;
	bool has_head, is_head_given;
	bool is_returned; /* 429, 503: `out` has the beginning of what it says */
	size_t discarded;
	struct buf out;
	bool is_paused;	     /* by the job */
	bool waits_for_room; /* libcurl's receiving is paused */
	/* The end */
	const char *problem; /* what libcurl cannot know */
	bool is_done, is_stopped;
	CURLcode code;
	struct loop_timer *over; /* `ended` never comes from inside a call */
	struct loop_timer *look; /* has the server gone? */
	struct loop_timer
		*rest; /* of a reply that goes back: no more of it is waited for */
};

/* --- the body, as libcurl asks for it --- */

static void
part_free(struct run *run, struct fetch_part *part)
{
	DL_DELETE(run->parts, part);
	free(part->data);
	free(part);
}

static void
fetch_part_taken(struct run *run)
{
	struct fetch_part *part = run->part;

	run->part = part->next;
	if (!part->is_consumed)
		run->consumed++;
	part->is_consumed = true;
	if (!run->is_kept)
		part_free(run, part);
	multi_touch(&run->request);
}

static size_t
fetch_on_read(char *out, size_t size, size_t n, void *arg)
{
	struct run *run = arg;
	size_t room = size * n, len = 0;

	while (run->part != NULL && len < room) {
		struct fetch_part *part = run->part;
		size_t left = part->len - part->at;
		size_t take = left < room - len ? left : room - len;

		if (take > 0)
			memcpy(out + len, part->data + part->at, take);
		part->at += take;
		len += take;
		if (part->at == part->len)
			fetch_part_taken(run);
	}
	run->was_sent |= len > 0;
	if (len > 0 || run->is_body_whole)
		return len;
	run->waits_for_body = true;
	return CURL_READFUNC_PAUSE;
}

static int
fetch_on_seek(void *arg, curl_off_t offset, int origin)
{
	struct run *run = arg;
	struct fetch_part *part;

	if (!run->is_kept || offset != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_FAIL;
	/* libcurl takes a connection of before that closes without a word for one that was
	 * closed already. But the server may have done the query, and died of it. */
	if (!run->may_repeat) {
		run->problem = "it closed the connection and gave no reply";
		return CURL_SEEKFUNC_FAIL;
	}
	DL_FOREACH (run->parts, part)
		part->at = 0;
	run->part = run->parts;
	return CURL_SEEKFUNC_OK;
}

/* --- the reply, as libcurl reads it --- */

/* False: not a header line. `line` is changed. */
static bool
fetch_take_header(struct run *run, char *line)
{
	char *colon = strchr(line, ':'), *value;
	size_t len;

	/* A line that continues the one before is obsolete, and a gateway may refuse it. */
	if (colon == NULL || strchr(" \t:", line[0]) != NULL)
		return false;
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	len = strlen(value);
	while (len > 0 && strchr(" \t", value[len - 1]) != NULL)
		value[--len] = '\0';
	for (char *p = line; *p != '\0'; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
	if (strcmp(line, "content-type") == 0) {
		free(run->head.content_type);
		run->head.content_type = mem_strdup(value);
	} else if (run->is_head && strcmp(line, "content-length") == 0) {
		/* What a GET would have got; only here it says nothing of the body's framing. */
		query_headers_add(&run->head.headers, line, value);
	} else if (bus_protocol_header_may_pass(line)) {
		query_headers_join(&run->head.headers, line, value);
	}
	return run->head.headers.len <= QUERY_HEADERS_MAX;
}

static void
fetch_take_status(struct run *run, const char *line)
{
	const char *space = strchr(line, ' ');

	reply_head_fini(&run->head);
	run->head.status = space != NULL ? (int)strtol(space, NULL, 10) : 0;
}

/* The end of a head; of several (100 Continue) the last one counts. False: no status. */
static bool
fetch_head_ends(struct run *run)
{
	if (run->head.status < 200)
		return true;
	if (run->head.status > 599)
		return false;
	run->has_head = true;
	run->is_returned = run->head.status == 429 || run->head.status == 503;
	if (run->is_returned)
		loop_timer_set(run->rest, FETCH_RETURN_MS);
	multi_touch(&run->request);
	return true;
}

static bool
fetch_take_line(struct run *run, const char *data, size_t len)
{
	char *line;
	bool is_good = true;

	run->head_bytes += len;
	while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	if (run->head_bytes > QUERY_HEAD_BYTES_MAX || memchr(data, '\0', len) != NULL ||
	    memchr(data, '\r', len) != NULL)
		return false;
	line = mem_dup(data, len);
	if (strncmp(line, "HTTP/", 5) == 0)
		fetch_take_status(run, line);
	else if (len == 0)
		is_good = fetch_head_ends(run);
	else
		is_good = fetch_take_header(run, line);
	free(line);
	return is_good;
}

static size_t
fetch_on_header(char *data, size_t size, size_t n, void *arg)
{
	struct run *run = arg;

	if (run->has_head || fetch_take_line(run, data, size * n))
		return size * n; /* behind the body: trailers, which nobody asked for */
	run->problem = "the head of its reply is too large or malformed";
	return 0;
}

static size_t
fetch_on_write(char *data, size_t size, size_t n, void *arg)
{
	struct run *run = arg;
	size_t len = size * n, room;

	if (!run->has_head) {
		run->problem = "its reply switches to another protocol";
		return 0;
	}
	if (run->is_returned) {
		room = FETCH_DETAILS_BYTES - run->out.len;
		buf_put(&run->out, data, len < room ? len : room);
		run->discarded += len;
		return run->discarded <= FETCH_DISCARD_BYTES_MAX ? len : 0;
	}
	if (run->out.len >= LIMIT_PART_BYTES_MAX) {
		run->waits_for_room = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	buf_put(&run->out, data, len);
	multi_touch(&run->request);
	return len;
}

/* --- the end --- */

/* No server has had it: there was none. Not so when it went out over a connection of before,
 * which ended, and libcurl then tried to get another one. */
static bool
fetch_is_unreachable(const struct run *run)
{
	if (run->has_head || (run->was_sent && !run->may_repeat))
		return false;
	switch (run->code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_OPERATION_TIMEDOUT: /* there is no limit but that to connect */
		return true;
	default:
		return false;
	}
}

/* It died, or its connection did, while it had the query; another may be asked. */
static bool
fetch_was_cut(const struct run *run)
{
	return !run->has_head && run->may_repeat &&
	       (run->code == CURLE_RECV_ERROR || run->code == CURLE_SEND_ERROR);
}

static int
fetch_retry_after(const struct run *run)
{
	curl_off_t s = 0;

	curl_easy_getinfo(run->request.easy, CURLINFO_RETRY_AFTER, &s);
	if (s <= 0)
		return FETCH_RETRY_AFTER_S;
	return s < FETCH_RETRY_AFTER_S_MAX ? (int)s : FETCH_RETRY_AFTER_S_MAX;
}

/* What the server said, if that is text. */
static struct bytes
fetch_details(const struct run *run)
{
	struct bytes out = buf_bytes(&run->out);

	for (size_t i = 0; i < out.len; i++)
		if (out.data[i] < 0x20 && strchr("\t\r\n", out.data[i]) == NULL)
			return BYTES_NONE;
	return out;
}

/* A sentence for the client, `end->code` and who else must know. */
static void
fetch_judge(const struct run *run, struct run_end *end, char *text, size_t size)
{
	const struct fetcher *f = run->fetcher;
	const char *why = run->error[0] != '\0' ? run->error
						: curl_easy_strerror(run->code);

	end->text = text;
	end->retry_after_s = -1;
	end->code = 502;
	if (run->problem != NULL) {
		snprintf(text, size, "the server behind this worker: %s", run->problem);
		f->doubtful(f->arg);
	} else if (run->is_returned) {
		snprintf(text, size, "the server behind this worker answered with %d",
			 run->head.status);
		end->code = run->head.status;
		end->details = fetch_details(run);
		end->retry_after_s = fetch_retry_after(run);
	} else if (run->code == CURLE_OK && run->has_head) {
		end->code = 0;
	} else if (fetch_is_unreachable(run)) {
		snprintf(text, size,
			 "the server behind this worker cannot be reached: %s", why);
		end->code = 503;
		end->retry_after_s = FETCH_RETRY_AFTER_S;
		f->unreachable(f->arg, why);
	} else if (fetch_was_cut(run)) {
		snprintf(text, size, "the server behind this worker went away: %s", why);
		end->code = 503;
		end->retry_after_s = FETCH_RETRY_AFTER_S;
		f->doubtful(f->arg);
	} else {
		snprintf(text, size,
			 run->has_head ? "the reply of the server behind this worker "
					 "broke off: %s"
				       : "the server behind this worker gave no reply "
					 "that could be read: %s",
			 why);
		f->doubtful(f->arg);
	}
}

static void
fetch_end(struct run *run)
{
	struct run_end end = { .code = 502,
			       .text = "the request was ended",
			       .retry_after_s = -1 };
	char text[CURL_ERROR_SIZE + 128] = "";

	if (!run->is_stopped)
		fetch_judge(run, &end, text, sizeof(text));
	run->handler->ended(run->arg, &end);
}

/* --- between libcurl and the job --- */

/* Have libcurl go on with what waits no more. What it has kept comes in this call. */
static void
fetch_go_on(struct run *run)
{
	int mask = (run->waits_for_room ? CURLPAUSE_RECV : 0) |
		   (run->waits_for_body ? CURLPAUSE_SEND : 0);
	CURLcode code;

	if (!run->request.is_added)
		return;
	code = curl_easy_pause(run->request.easy, mask);
	if (code == CURLE_OK)
		return;
	multi_remove(&run->request);
	run->is_done = true;
	run->code = code;
	loop_timer_set(run->over, 0);
}

/* With such a status libcurl sends no more of the body, but does not end while it waits for
 * the rest of it. */
static void
fetch_let_go(struct run *run)
{
	if (!run->waits_for_body || run->head.status < 300 || run->was_let_go)
		return;
	run->was_let_go = true;
	run->waits_for_body = false;
	fetch_go_on(run);
}

/* A server that closes while the client has not sent all of the body: that is the end, good
 * if the reply had a length and is there. */
static void
fetch_look_after(struct run *run)
{
	CURL *easy = run->request.easy;
	curl_off_t len = -1, got = 0;

	if (!run->waits_for_body || run->waits_for_room)
		return;
	if (!multi_is_left(&run->request)) {
		/* libcurl does not read behind a whole reply: nothing would tell. */
		if (run->request.is_added && !run->request.is_reading)
			loop_timer_set(run->look, FETCH_LOOK_MS);
		return;
	}
	curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &len);
	curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &got);
	multi_remove(&run->request);
	run->is_done = true;
	if (run->has_head && len == got)
		run->code = CURLE_OK;
	else
		run->code = run->has_head ? CURLE_PARTIAL_FILE : CURLE_GOT_NOTHING;
}

static void
fetch_on_look(void *arg)
{
	struct run *run = arg;

	multi_touch(&run->request);
}

/* The query has somewhere else to go, and its slot another query: what the server goes on to
 * say is not waited for, at the price of its connection. */
static void
fetch_on_rest(void *arg)
{
	struct run *run = arg;

	if (run->is_done)
		return;
	multi_remove(&run->request);
	run->is_done = true;
	run->code = CURLE_OPERATION_TIMEDOUT;
	loop_timer_set(run->over, 0);
}

static void
fetch_hand_on(struct run *run)
{
	if (!run->has_head || run->is_returned)
		return;
	if (!run->is_head_given) {
		run->is_head_given = true;
		run->handler->head(run->arg, &run->head, run->out.len == 0);
	}
	while (run->out.len > 0 && !run->is_paused) {
		size_t len = run->out.len < LIMIT_PART_BYTES_MAX ? run->out.len
								 : LIMIT_PART_BYTES_MAX;

		run->handler->output(run->arg, bytes_of(run->out.data, len));
		buf_drop(&run->out, len);
	}
	if (run->waits_for_room && run->out.len < LIMIT_PART_BYTES_MAX) {
		run->waits_for_room = false;
		fetch_go_on(run);
	}
}

static void
fetch_on_touched(void *arg)
{
	struct run *run = arg;

	for (; run->consumed > 0; run->consumed--)
		run->handler->consumed(run->arg);
	fetch_hand_on(run);
	if (run->has_head)
		fetch_let_go(run);
	fetch_look_after(run);
	if (run->is_done && (run->out.len == 0 || run->is_returned))
		loop_timer_set(run->over, 0);
}

static void
fetch_on_done(void *arg, CURLcode code)
{
	struct run *run = arg;

	run->is_done = true;
	run->code = code;
	fetch_on_touched(run);
}

static void
fetch_on_over(void *arg)
{
	fetch_end(arg);
}

/* --- the request --- */

static bool
fetch_value_is_valid(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return false;
	return true;
}

/* Without a value: curl is told not to send one of its own. */
static int
fetch_put_header(struct run *run, const char *name, const char *value, struct errmsg *err)
{
	char *line;

	if (value != NULL && !fetch_value_is_valid(value))
		return error_set(err, -EINVAL,
				 "the query's header %s holds a control character", name);
	if (value == NULL)
		line = mem_printf("%s:", name);
	else if (value[0] == '\0')
		line = mem_printf("%s;", name);
	else
		line = mem_printf("%s: %s", name, value);
	run->headers = curl_slist_append(run->headers, line);
	free(line);
	return 0;
}

static int
fetch_put_headers(struct run *run, const struct query_head *head, struct errmsg *err)
{
	int rc = 0;

	for (int i = 0; i < head->headers.len && rc == 0; i++)
		rc = fetch_put_header(run, head->headers.items[i].name,
				      head->headers.items[i].value, err);
	if (rc == 0)
		rc = fetch_put_header(run, "Content-Type", head->content_type, err);
	if (rc == 0 && head->traceparent != NULL)
		rc = fetch_put_header(run, "traceparent", head->traceparent, err);
	if (rc == 0)
		rc = fetch_put_header(run, "X-Request-Id", head->request_id, err);
	if (rc == 0 && query_headers_get(&head->headers, "accept") == NULL)
		rc = fetch_put_header(run, "Accept", NULL, err);
	if (rc == 0)
		rc = fetch_put_header(run, "Expect", NULL, err);
	/* A HEAD has no body here: one that was announced would be sought in what follows, which
	 * is another's request. */
	if (rc == 0 && head->body_len < 0 && strcmp(head->method, "HEAD") != 0)
		rc = fetch_put_header(run, "Transfer-Encoding", "chunked", err);
	return rc;
}

/* A tunnel is no query; a name that is no token could be more than a method. */
static int
fetch_set_method(CURL *easy, const struct query_head *head, struct errmsg *err)
{
	static const char *const bodiless[] = { "GET", "DELETE", "OPTIONS", "TRACE" };
	const char *method = head->method;
	bool has_body = head->body_len != 0;

	if (method[0] == '\0' || strcasecmp(method, "CONNECT") == 0 ||
	    strspn(method, "!#$%&'*+-.^_`|~0123456789"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") !=
		    strlen(method))
		return error_set(err, -EINVAL,
				 "the query's method cannot be passed on to a server");
	if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return 0;
	}
	if (!has_body) {
		has_body = true;
		for (size_t i = 0; i < sizeof(bodiless) / sizeof(bodiless[0]); i++)
			if (strcmp(method, bodiless[i]) == 0)
				has_body = false;
	}
	if (has_body) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)head->body_len);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	return 0;
}

static int
fetch_set(struct run *run, const struct query_head *head, struct errmsg *err)
{
	const struct target *target = run->fetcher->target;
	CURL *easy = run->request.easy;
	bool is_fresh;
	char *path = NULL;
	int rc = target_join(target, head->path, &path, err);

	if (rc == 0)
		rc = fetch_set_method(easy, head, err);
	if (rc == 0)
		rc = fetch_put_headers(run, head, err);
	if (rc < 0) {
		free(path);
		return rc;
	}
	curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, path);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, run->headers);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, run->error);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)FETCH_BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)FETCH_BUFFER_BYTES);
	/* What has no body would be sent again without asking us (fetch_on_seek()). */
	is_fresh = !run->is_kept || (head->body_len == 0 && !run->may_repeat);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, is_fresh ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, fetch_on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, run);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, fetch_on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, run);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, fetch_on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, run);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, fetch_on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
	free(path);
	return 0;
}

static void
fetch_free(struct run *run)
{
	if (run == NULL)
		return;
	multi_remove(&run->request);
	curl_easy_cleanup(run->request.easy);
	curl_slist_free_all(run->headers);
	while (run->parts != NULL)
		part_free(run, run->parts);
	loop_timer_free(run->over);
	loop_timer_free(run->look);
	loop_timer_free(run->rest);
	reply_head_fini(&run->head);
	buf_fini(&run->out);
	free(run);
}

static int
fetch_start(struct backend *backend, const struct query_head *head,
	    const struct run_handler *handler, void *arg, struct run **ret_run,
	    struct errmsg *err)
{
	struct fetcher *fetcher = (struct fetcher *)backend;
	struct run *run = mem_calloc(1, sizeof(*run));
	int rc;

	run->fetcher = fetcher;
	run->handler = handler;
	run->arg = arg;
	run->is_head = strcmp(head->method, "HEAD") == 0;
	run->is_kept = head->body_len >= 0 && head->body_len <= FETCH_KEPT_BYTES_MAX;
	run->may_repeat = head->is_idempotent;
	run->over = loop_timer_new(fetcher->loop, fetch_on_over, run);
	run->look = loop_timer_new(fetcher->loop, fetch_on_look, run);
	run->rest = loop_timer_new(fetcher->loop, fetch_on_rest, run);
	run->request = (struct multi_request){ .easy = multi_easy_new(fetcher->target),
					       .touched = fetch_on_touched,
					       .done = fetch_on_done,
					       .arg = run };
	rc = fetch_set(run, head, err);
	if (rc < 0) {
		fetch_free(run);
		return rc;
	}
	multi_add(fetcher->multi, &run->request);
	*ret_run = run;
	return 0;
}

static void
fetch_write(struct run *run, struct bytes data, bool is_last)
{
	struct fetch_part *part = mem_calloc(1, sizeof(*part));

	part->data = mem_dup(data.data, data.len);
	part->len = data.len;
	DL_APPEND(run->parts, part);
	if (run->part == NULL)
		run->part = part;
	run->is_body_whole = is_last;
	if (run->waits_for_body) {
		run->waits_for_body = false;
		fetch_go_on(run);
	}
}

static void
fetch_pause(struct run *run, bool is_paused)
{
	run->is_paused = is_paused;
	if (!is_paused)
		multi_touch(&run->request);
}

static void
fetch_stop(struct run *run)
{
	multi_remove(&run->request);
	buf_clear(&run->out);
	run->is_done = run->is_stopped = true;
	loop_timer_set(run->over, 0);
}

static bool
fetch_is_streaming(const struct backend *backend)
{
	(void)backend;
	return true;
}

static const struct backend_ops fetch_ops = {
	.start = fetch_start,
	.write = fetch_write,
	.pause = fetch_pause,
	.stop = fetch_stop,
	.free = fetch_free,
	.is_streaming = fetch_is_streaming,
};

void
fetcher_init(struct fetcher *fetcher)
{
	fetcher->backend.ops = &fetch_ops;
}
