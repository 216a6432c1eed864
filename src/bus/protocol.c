/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/protocol.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

bool
bus_protocol_id_is_valid(const char *id)
{
	size_t len = strlen(id);

	if (len < 1 || len > LIMIT_WORKER_ID_BYTES_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (id[i] == '.' && (i == 0 || i + 1 == len || id[i + 1] == '.'))
			return false;
		if (!isascii(id[i]) ||
		    (!isalnum((unsigned char)id[i]) && strchr("._-", id[i]) == NULL))
			return false;
	}
	return true;
}

char *
bus_protocol_subject(const char *service, char out[BUS_SUBJECT_SIZE])
{
	if (query_service_is_plain(service))
		snprintf(out, BUS_SUBJECT_SIZE, "%s", service);
	else
		snprintf(out, BUS_SUBJECT_SIZE, "svc.%016" PRIx64,
			 hash64(bytes_text(service), 0));
	return out;
}

bool
bus_protocol_value_is_valid(const char *value)
{
	return strpbrk(value, "\r\n") == NULL;
}

bool
bus_protocol_header_may_pass(const char *name)
{
	static const char *const kept_back[] = {
		"connection", "keep-alive",	   "te",
		"trailer",    "transfer-encoding", "upgrade",
		"host",	      "authorization",	   "cookie",
		"set-cookie", "content-length",	   "content-type",
		"expect",     "traceparent",	   "x-request-id",
	};

	if (strncasecmp(name, "proxy-", 6) == 0 || strncasecmp(name, "ocf-", 4) == 0)
		return false;
	for (size_t i = 0; i < sizeof(kept_back) / sizeof(kept_back[0]); i++)
		if (strcasecmp(name, kept_back[i]) == 0)
			return false;
	return name[0] != '\0' &&
	       strspn(name, "!#$%&'*+-.^_`|~0123456789"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
		       strlen(name);
}

int
bus_protocol_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (text == NULL || text[0] == '\0' || strlen(text) > 19)
		return -OCF_EMALFORMED;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -OCF_EMALFORMED;
		number = number * 10 + (uint64_t)(*text - '0');
	}
	if (number > max)
		return -OCF_EMALFORMED;
	*ret_number = number;
	return 0;
}

static bool
bus_protocol_is_blank(const char *value)
{
	return value[strspn(value, " \t")] == '\0';
}

int
bus_headers_put(struct buf *lines, const char *name, const char *value)
{
	size_t name_len = strlen(name), len = strcspn(value, "\r\n");
	uint8_t *p;

	if (value[len] != '\0')
		return -EINVAL;
	if (bus_protocol_is_blank(value))
		return 0;
	p = buf_extend(lines, name_len + len + 4);
	memcpy(p, name, name_len);
	memcpy(p + name_len, ": ", 2);
	memcpy(p + name_len + 2, value, len);
	memcpy(p + name_len + 2 + len, "\r\n", 2);
	return 0;
}

/* By hand, since it is done for each query. */
void
bus_headers_put_number(struct buf *lines, const char *name, uint64_t number)
{
	char text[BUS_NUMBER_SIZE], *p = text + sizeof(text) - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	bus_headers_put(lines, name, p);
}

static bool
bus_header_passes(const struct query_header *h)
{
	return bus_protocol_header_may_pass(h->name) &&
	       bus_protocol_value_is_valid(h->value) && !bus_protocol_is_blank(h->value);
}

/* "accept-language" as "Http-Accept-Language": NATS clients compare names by case, so one
 * spelling is promised. */
static void
bus_http_put_name(struct buf *lines, const char *name)
{
	size_t start = lines->len + strlen(BUS_H_HTTP);
	bool starts_word = true;

	buf_put_text(lines, BUS_H_HTTP);
	buf_put_text(lines, name);
	for (size_t i = start; i < lines->len; i++) {
		uint8_t *p = &lines->data[i];

		*p = (uint8_t)(starts_word ? toupper(*p) : tolower(*p));
		starts_word = *p == '-';
	}
}

/* Each once, with all its values, where it came first. */
static void
bus_http_put(struct buf *lines, const struct query_headers *headers)
{
	const struct query_header *end = headers->items + headers->len;

	for (const struct query_header *h = headers->items; h < end; h++) {
		const struct query_header *first = headers->items;

		if (!bus_header_passes(h))
			continue;
		while (strcasecmp(first->name, h->name) != 0 || !bus_header_passes(first))
			first++;
		if (first < h)
			continue;
		bus_http_put_name(lines, h->name);
		buf_put_text(lines, ": ");
		buf_put_text(lines, h->value);
		for (const struct query_header *more = h + 1; more < end; more++) {
			if (strcasecmp(more->name, h->name) != 0 ||
			    !bus_header_passes(more))
				continue;
			buf_put_text(lines, ", ");
			buf_put_text(lines, more->value);
		}
		buf_put_text(lines, "\r\n");
	}
}

int
bus_protocol_request(const struct query_head *head, const char *req_id, struct buf *lines)
{
	const struct query_header fixed[] = {
		{ (char *)BUS_H_REQ_ID, (char *)req_id },
		{ (char *)BUS_H_SERVICE, head->service },
		{ (char *)BUS_H_MATCH, head->selector },
		{ (char *)BUS_H_METHOD, head->method },
		{ (char *)BUS_H_PATH, head->path },
		{ (char *)BUS_H_CONTENT_TYPE, head->content_type },
		{ (char *)BUS_H_TRACEPARENT, head->traceparent },
	};
	size_t start = lines->len;

	if (head->headers.len > QUERY_HEADERS_MAX)
		return -OCF_ELIMIT;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (fixed[i].value != NULL &&
		    bus_headers_put(lines, fixed[i].name, fixed[i].value) < 0)
			return -EINVAL;
	bus_headers_put_number(lines, BUS_H_DEADLINE,
			       head->timeout_ms > 0 ? (uint64_t)head->timeout_ms : 0);
	bus_headers_put_number(lines, BUS_H_ATTEMPT, head->attempt);
	if (head->body_len >= 0)
		bus_headers_put_number(lines, BUS_H_LENGTH, (uint64_t)head->body_len);
	for (int i = 0; i < head->headers.len; i++)
		if (bus_protocol_header_may_pass(head->headers.items[i].name) &&
		    !bus_protocol_value_is_valid(head->headers.items[i].value))
			return -EINVAL;
	bus_http_put(lines, &head->headers);
	return lines->len - start <= BUS_HEADERS_BYTES_MAX ? 0 : -OCF_ELIMIT;
}

static char *
bus_protocol_copy(const struct query_headers *headers, const char *name,
		  const char *otherwise)
{
	const char *value = query_headers_get(headers, name);

	value = value != NULL ? value : otherwise;
	return value != NULL ? mem_strdup(value) : NULL;
}

static void
bus_protocol_copy_http(const struct query_headers *headers, struct query_headers *ret)
{
	const size_t prefix = strlen(BUS_H_HTTP);

	for (int i = 0; i < headers->len && ret->len < QUERY_HEADERS_MAX; i++) {
		const struct query_header *item = &headers->items[i];
		char *name;

		if (strncasecmp(item->name, BUS_H_HTTP, prefix) != 0 ||
		    !bus_protocol_header_may_pass(item->name + prefix) ||
		    !bus_protocol_value_is_valid(item->value))
			continue;
		name = mem_strdup(item->name + prefix);
		for (char *p = name; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		query_headers_add(ret, name, item->value);
		free(name);
	}
}

int
bus_protocol_request_read(const struct query_headers *headers,
			  struct query_head *ret_head)
{
	struct query_head q = { .body_len = -1 };
	const char *deadline = query_headers_get(headers, BUS_H_DEADLINE);
	const char *attempt = query_headers_get(headers, BUS_H_ATTEMPT);
	const char *length = query_headers_get(headers, BUS_H_LENGTH);
	uint64_t deadline_ms = 0, attempts = 0, bytes = 0;

	if ((deadline != NULL &&
	     bus_protocol_number(deadline, INT64_MAX, &deadline_ms) < 0) ||
	    (attempt != NULL && bus_protocol_number(attempt, UINT8_MAX, &attempts) < 0) ||
	    (length != NULL && bus_protocol_number(length, INT64_MAX, &bytes) < 0))
		return -OCF_EMALFORMED;
	if (length != NULL)
		q.body_len = (int64_t)bytes;
	q.request_id = bus_protocol_copy(headers, BUS_H_REQ_ID, NULL);
	q.service = bus_protocol_copy(headers, BUS_H_SERVICE, NULL);
	if (q.request_id == NULL || q.request_id[0] == '\0' || q.service == NULL ||
	    !query_service_is_valid(q.service)) {
		query_head_fini(&q);
		return -OCF_EMALFORMED;
	}
	q.selector = bus_protocol_copy(headers, BUS_H_MATCH, NULL);
	q.method = bus_protocol_copy(headers, BUS_H_METHOD, "POST");
	q.path = bus_protocol_copy(headers, BUS_H_PATH, "/");
	q.content_type = bus_protocol_copy(headers, BUS_H_CONTENT_TYPE, NULL);
	q.traceparent = bus_protocol_copy(headers, BUS_H_TRACEPARENT, NULL);
	q.timeout_ms = (ms_t)deadline_ms;
	q.attempt = (uint8_t)attempts;
	bus_protocol_copy_http(headers, &q.headers);
	q.is_idempotent = query_is_repeatable(
		q.method, query_headers_get(&q.headers, "idempotency-key"));
	*ret_head = q;
	return 0;
}

void
bus_protocol_reply_headers(const struct reply_head *head, struct buf *lines)
{
	const char *length;
	uint64_t len;

	bus_headers_put_number(lines, BUS_H_STATUS, (uint64_t)head->status);
	if (head->content_type != NULL)
		bus_headers_put(lines, BUS_H_CONTENT_TYPE, head->content_type);
	length = query_headers_get(&head->headers, "content-length");
	if (length != NULL && bus_protocol_number(length, INT64_MAX, &len) == 0)
		bus_headers_put(lines, BUS_H_LENGTH, length);
	bus_http_put(lines, &head->headers);
}

int
bus_protocol_reply_read(const struct query_headers *headers, struct reply_head *ret_reply)
{
	const char *text = query_headers_get(headers, BUS_H_STATUS);
	const char *type = query_headers_get(headers, BUS_H_CONTENT_TYPE);
	const char *length = query_headers_get(headers, BUS_H_LENGTH);
	struct reply_head reply = { .status = 200 };
	uint64_t status = 200, len;

	if (text != NULL && (bus_protocol_number(text, 599, &status) < 0 || status < 200))
		return -OCF_EMALFORMED;
	reply.status = (int)status;
	if (type != NULL && bus_protocol_value_is_valid(type))
		reply.content_type = mem_strdup(type);
	bus_protocol_copy_http(headers, &reply.headers);
	if (bus_protocol_number(length, INT64_MAX, &len) == 0 &&
	    reply.headers.len < QUERY_HEADERS_MAX)
		query_headers_add(&reply.headers, "content-length", length);
	*ret_reply = reply;
	return 0;
}
