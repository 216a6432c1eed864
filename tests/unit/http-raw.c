/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "unit/http-raw.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/stream.h"

void
raw_open(struct raw *r, struct loop *loop, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char host[64];
	int port, rc;

	*r = (struct raw){ .loop = loop };
	if (strncmp(address, "unix:", 5) == 0) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", address + 5);
		r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		rc = connect(r->fd, (struct sockaddr *)&un, sizeof(un));
	} else {
		rc = address_split(address, host, sizeof(host), &port);
		assert(rc == 0);
		in.sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, host, &in.sin_addr);
		r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		rc = connect(r->fd, (struct sockaddr *)&in, sizeof(in));
	}
	assert(rc == 0);
	fcntl(r->fd, F_SETFL, O_NONBLOCK);
}

void
raw_close(struct raw *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	buf_fini(&r->in);
}

void
raw_reset(struct raw *r)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	raw_close(r);
}

void
raw_turn(struct raw *r)
{
	char data[65536];
	ssize_t n;

	loop_turn(r->loop, 1);
	if (r->fd < 0 || r->is_deaf)
		return;
	while ((n = recv(r->fd, data, sizeof(data), 0)) > 0)
		buf_put(&r->in, data, (size_t)n);
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		r->is_eof = true;
}

size_t
raw_send_some(struct raw *r, const void *data, size_t len, ms_t ms)
{
	ms_t end = clock_mono_ms() + ms;
	size_t at = 0;

	while (at < len && clock_mono_ms() < end && !r->is_eof) {
		ssize_t n = send(r->fd, (const char *)data + at, len - at, MSG_NOSIGNAL);

		if (n > 0) {
			at += (size_t)n;
			end = clock_mono_ms() + ms;
		} else if (errno != EAGAIN && errno != EINTR) {
			r->is_eof = true;
		}
		raw_turn(r);
	}
	return at;
}

void
raw_send_all(struct raw *r, const void *data, size_t len)
{
	raw_send_some(r, data, len, RAW_WAIT_MS);
}

void
raw_send(struct raw *r, const char *text)
{
	raw_send_all(r, text, strlen(text));
}

static char *
raw_find_end(struct raw *r)
{
	char *text = (char *)(uintptr_t)buf_text(&r->in);

	return strstr(text, "\r\n\r\n");
}

const char *
raw_header(const struct raw_reply *reply, const char *name)
{
	static char value[4096];
	size_t len = strlen(name);

	for (const char *line = reply->head; line != NULL && *line != '\0';) {
		size_t n = strcspn(line, "\r\n");

		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)(n - len - 2),
				 line + len + 2);
			return value;
		}
		line += n + strspn(line + n, "\r\n");
	}
	return NULL;
}

/* Take a chunked body off the front; false: more is needed. */
static bool
raw_take_chunk(struct raw *r, struct raw_reply *reply)
{
	char *text = (char *)(uintptr_t)buf_text(&r->in), *end;
	size_t size = strtoul(text, &end, 16), line = (size_t)(end - text) + 2;

	if (r->in.len < line || strstr(text, "\r\n") == NULL)
		return false;
	if (r->in.len < line + size + 2)
		return false;
	buf_put(&reply->body, text + line, size);
	buf_drop(&r->in, line + size + 2);
	reply->is_whole = size == 0;
	return true;
}

static void
raw_take_body(struct raw *r, struct raw_reply *reply, ms_t end)
{
	const char *length = raw_header(reply, "content-length");
	bool is_chunked = raw_header(reply, "transfer-encoding") != NULL;
	size_t want = length != NULL ? strtoul(length, NULL, 10) : SIZE_MAX;

	while (!reply->is_whole && clock_mono_ms() < end) {
		if (is_chunked) {
			if (raw_take_chunk(r, reply))
				continue;
		} else {
			size_t n = want - reply->body.len;

			n = n < r->in.len ? n : r->in.len;
			buf_put(&reply->body, r->in.data, n);
			buf_drop(&r->in, n);
			reply->is_whole = reply->body.len == want;
		}
		if (r->is_eof && r->in.len == 0 && length == NULL && !is_chunked)
			reply->is_whole = true;
		if (r->is_eof)
			return;
		raw_turn(r);
	}
}

void
raw_reply(struct raw *r, bool is_head, struct raw_reply *ret)
{
	ms_t end = clock_mono_ms() + RAW_WAIT_MS;
	char *stop;

	*ret = (struct raw_reply){ .status = 0 };
	while ((stop = raw_find_end(r)) == NULL && !r->is_eof && clock_mono_ms() < end)
		raw_turn(r);
	if (stop == NULL)
		return;
	ret->head = mem_dup(r->in.data, (size_t)(stop - (char *)r->in.data) + 2);
	buf_drop(&r->in, strlen(ret->head) + 2);
	ret->status = (int)strtol(ret->head + 9, NULL, 10);
	if (is_head || ret->status == 100 || ret->status == 204 || ret->status == 304)
		ret->is_whole = true;
	else
		raw_take_body(r, ret, end);
}

void
raw_reply_fini(struct raw_reply *reply)
{
	free(reply->head);
	buf_fini(&reply->body);
}

bool
raw_ends(struct raw *r)
{
	ms_t end = clock_mono_ms() + RAW_WAIT_MS;

	while (!r->is_eof && r->in.len == 0 && clock_mono_ms() < end)
		raw_turn(r);
	return r->is_eof && r->in.len == 0;
}

bool
raw_until(struct raw *r, const bool *flag)
{
	ms_t end = clock_mono_ms() + RAW_WAIT_MS;

	while (!*flag && clock_mono_ms() < end)
		raw_turn(r);
	return *flag;
}
