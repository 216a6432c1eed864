/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's side of an exchange: taking the body, giving the reply. */
#include "config.h"

#include "http/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "http/problem.h"

int
http_exchange_tag(const struct http_exchange *x)
{
	return x->conn->tag;
}

const struct http_head *
http_exchange_head(const struct http_exchange *x)
{
	return x->head;
}

void
http_exchange_set_handler(struct http_exchange *x, const struct http_handler *h,
			  void *arg)
{
	x->handler = h;
	x->arg = arg;
}

void
conn_write(struct http_conn *conn, struct bytes data)
{
	conn->written += data.len;
	stream_write(conn->stream, data);
}

void
exchange_send_continue(struct http_exchange *x)
{
	if (!x->head->expects_continue || x->has_continued || x->has_begun ||
	    x->is_paused || x->body_len > 0 || x->is_body_done)
		return;
	x->has_continued = true;
	conn_write(x->conn, bytes_text("HTTP/1.1 100 Continue\r\n\r\n"));
}

void
http_body_pause(struct http_exchange *x)
{
	x->is_paused = true;
}

void
http_body_resume(struct http_exchange *x)
{
	if (!x->is_paused)
		return;
	x->is_paused = false;
	/* The clock of a slow client starts when we listen to it again. */
	x->conn->last_in = clock_mono_ms();
	exchange_send_continue(x);
	if (!x->is_body_done)
		stream_resume(x->conn->stream);
}

/* RFC 9110 §5.6.7, in the C locale's names whatever ours is. */
static void
conn_put_date(struct buf *out)
{
	static const char days[7][4] = {
		"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"
	};
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = (time_t)(clock_wall_ms() / MS_SECOND);
	struct tm tm;

	gmtime_r(&now, &tm);
	buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
		   tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		   tm.tm_min, tm.tm_sec);
}

static bool
header_is_framing(const char *name)
{
	return strcasecmp(name, "connection") == 0 ||
	       strcasecmp(name, "content-length") == 0 ||
	       strcasecmp(name, "transfer-encoding") == 0;
}

void
conn_put_head(struct buf *out, const char *server_name, int status,
	      const struct query_headers *headers)
{
	buf_printf(out, "HTTP/1.1 %d %s\r\n", status, problem_title(status));
	conn_put_date(out);
	buf_printf(out, "Server: %s\r\n", server_name);
	for (int i = 0; headers != NULL && i < headers->len; i++)
		if (!header_is_framing(headers->items[i].name))
			buf_printf(out, "%s: %s\r\n", headers->items[i].name,
				   headers->items[i].value);
}

static bool
headers_are_valid(const struct query_headers *headers)
{
	for (int i = 0; headers != NULL && i < headers->len; i++)
		if (!http_name_is_valid(headers->items[i].name) ||
		    !http_value_is_valid(headers->items[i].value))
			return false;
	return true;
}

int
http_reply_begin(struct http_exchange *x, int status, const struct query_headers *headers,
		 int64_t body_len)
{
	bool is_waiting = x->head->expects_continue && !x->has_continued &&
			  x->body_len == 0;
	bool is_empty = status == 204 || status == 304;
	struct buf out = BUF_INIT;

	assert(!x->has_begun && status >= 200 && status <= 599 && body_len >= -1);
	if (!headers_are_valid(headers))
		return -EINVAL;
	x->has_begun = true;
	x->reply_left = body_len;
	/* A client that is refused before its body came may send it or not; where the
	 * next request begins would be a guess. */
	if (!x->is_body_done && (is_waiting || status >= 400))
		x->is_closing = true;
	conn_put_head(&out, x->server_name, status, headers);
	if (!is_empty && body_len >= 0) {
		buf_printf(&out, "Content-Length: %lld\r\n", (long long)body_len);
	} else if (!is_empty && x->head->minor == 1) {
		x->is_chunked = true;
		buf_put_text(&out, "Transfer-Encoding: chunked\r\n");
	} else if (!is_empty) {
		x->is_closing =
			true; /* HTTP/1.0: the end of the connection ends the body */
	}
	x->is_bodiless |= is_empty;
	if (x->is_closing)
		buf_put_text(&out, "Connection: close\r\n");
	else if (x->head->minor == 0)
		buf_put_text(&out, "Connection: keep-alive\r\n");
	buf_put_text(&out, "\r\n");
	conn_write(x->conn, buf_bytes(&out));
	buf_fini(&out);
	return 0;
}

bool
http_reply_has_begun(const struct http_exchange *x)
{
	return x->has_begun;
}

size_t
http_reply_data(struct http_exchange *x, struct bytes data)
{
	struct buf size = BUF_INIT;

	assert(x->has_begun);
	if (x->reply_left >= 0 && !x->is_bodiless) {
		assert((int64_t)data.len <= x->reply_left);
		x->reply_left -= (int64_t)data.len;
	}
	if (!x->is_bodiless && data.len > 0) {
		if (x->is_chunked) {
			http_chunk_begin(&size, data.len);
			conn_write(x->conn, buf_bytes(&size));
			buf_fini(&size);
		}
		conn_write(x->conn, data);
		if (x->is_chunked)
			conn_write(x->conn, bytes_text("\r\n"));
	}
	return stream_pending(x->conn->stream);
}

size_t
http_reply_pending(const struct http_exchange *x)
{
	return stream_pending(x->conn->stream);
}

void
http_reply_end(struct http_exchange *x)
{
	struct buf out = BUF_INIT;

	assert(x->has_begun && (x->reply_left <= 0 || x->is_bodiless));
	if (x->is_chunked && !x->is_bodiless) {
		http_chunk_end(&out);
		conn_write(x->conn, buf_bytes(&out));
		buf_fini(&out);
	}
	conn_next(x->conn, x->is_closing || !x->is_body_done);
}

void
http_reply_full(struct http_exchange *x, int status, const struct query_headers *headers,
		struct bytes body)
{
	int rc = http_reply_begin(x, status, headers, (int64_t)body.len);

	assert(rc == 0);
	(void)rc;
	http_reply_data(x, body);
	http_reply_end(x);
}

void
http_reply_problem(struct http_exchange *x, int status, const char *detail)
{
	struct query_headers headers = { 0 };
	json_t *problem = problem_new(status, detail);
	char *text = problem_dump(problem);

	query_headers_add(&headers, "content-type", PROBLEM_CONTENT_TYPE);
	http_reply_full(x, status, &headers, bytes_text(text));
	query_headers_fini(&headers);
	free(text);
	json_decref(problem);
}

void
http_reply_abort(struct http_exchange *x)
{
	struct http_conn *conn = x->conn;
	bool is_chunked = x->is_chunked || x->reply_left > 0;

	conn_drop_exchange(conn);
	/* Where only the end of the connection would tell, an orderly one would lie. */
	if (is_chunked)
		conn_close(conn);
	else
		conn_cut(conn);
}
