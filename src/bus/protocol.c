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

/* "accept-language" as "Http-Accept-Language": NATS clients compare names by case, so one
 * spelling is promised. */
static char *
bus_protocol_http_name(const char *name)
{
	char *out = mem_printf(BUS_H_HTTP "%s", name);
	bool starts_word = true;

	for (char *p = out + strlen(BUS_H_HTTP); *p != '\0'; p++) {
		*p = (char)(starts_word ? toupper((unsigned char)*p)
					: tolower((unsigned char)*p));
		starts_word = *p == '-';
	}
	return out;
}

void
bus_headers_init(struct bus_headers *h)
{
	h->list = (struct query_headers){ 0, h->items };
	h->owned_len = 0;
}

void
bus_headers_fini(struct bus_headers *h)
{
	for (int i = 0; i < h->owned_len; i++)
		free(h->owned[i]);
	bus_headers_init(h);
}

void
bus_headers_add(struct bus_headers *h, const char *name, const char *value)
{
	assert(h->list.len < BUS_HEADERS_MAX);
	h->items[h->list.len++] = (struct query_header){ (char *)(uintptr_t)name,
							 (char *)(uintptr_t)value };
}

static void
bus_request_add(struct bus_headers *h, const char *name, const char *value, int *error,
		size_t *bytes)
{
	if (value == NULL || bus_protocol_is_blank(value))
		return;
	*bytes += strlen(name) + strlen(value) + 4;
	if (!bus_protocol_value_is_valid(value))
		*error = -EINVAL;
	else if (*bytes > BUS_HEADERS_BYTES_MAX)
		*error = -OCF_ELIMIT;
	else
		bus_headers_add(h, name, value);
}

/* A header of the client's: `name` is taken over. */
static void
bus_request_join(struct bus_headers *h, char *name, const char *value, int *error,
		 size_t *bytes)
{
	for (int i = 0; i < h->list.len; i++) {
		struct query_header *item = &h->items[i];

		if (strcmp(item->name, name) != 0 || bus_protocol_is_blank(value))
			continue;
		free(name);
		*bytes += strlen(value) + 2;
		if (!bus_protocol_value_is_valid(value))
			*error = -EINVAL;
		else if (*bytes > BUS_HEADERS_BYTES_MAX)
			*error = -OCF_ELIMIT;
		item->value = mem_printf("%s, %s", item->value, value);
		h->owned[h->owned_len++] = item->value;
		return;
	}
	h->owned[h->owned_len++] = name;
	bus_request_add(h, name, value, error, bytes);
}

/* By hand, since it is done for each query. Returns where in `out` it begins. */
static const char *
bus_number_text(uint64_t number, char out[BUS_NUMBER_SIZE])
{
	char *p = out + BUS_NUMBER_SIZE - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return p;
}

int
bus_protocol_request(const struct query_head *head, const char *req_id,
		     struct bus_headers *ret)
{
	uint64_t timeout = head->timeout_ms > 0 ? (uint64_t)head->timeout_ms : 0;
	size_t bytes = 0;
	int error = 0;

	bus_headers_init(ret);
	if (head->headers.len > QUERY_HEADERS_MAX)
		return -OCF_ELIMIT;
	bus_request_add(ret, BUS_H_REQ_ID, req_id, &error, &bytes);
	bus_request_add(ret, BUS_H_SERVICE, head->service, &error, &bytes);
	bus_request_add(ret, BUS_H_MATCH, head->selector, &error, &bytes);
	bus_request_add(ret, BUS_H_METHOD, head->method, &error, &bytes);
	bus_request_add(ret, BUS_H_PATH, head->path, &error, &bytes);
	bus_request_add(ret, BUS_H_CONTENT_TYPE, head->content_type, &error, &bytes);
	bus_request_add(ret, BUS_H_TRACEPARENT, head->traceparent, &error, &bytes);
	bus_request_add(ret, BUS_H_DEADLINE, bus_number_text(timeout, ret->deadline),
			&error, &bytes);
	bus_request_add(ret, BUS_H_ATTEMPT, bus_number_text(head->attempt, ret->attempt),
			&error, &bytes);
	if (head->body_len >= 0)
		bus_request_add(ret, BUS_H_LENGTH,
				bus_number_text((uint64_t)head->body_len, ret->length),
				&error, &bytes);
	for (int i = 0; i < head->headers.len; i++) {
		const struct query_header *item = &head->headers.items[i];

		if (!bus_protocol_header_may_pass(item->name))
			continue;
		bus_request_join(ret, bus_protocol_http_name(item->name), item->value,
				 &error, &bytes);
	}
	if (error != 0)
		bus_headers_fini(ret);
	return error;
}

int
bus_protocol_request_headers(const struct query_head *head, const char *req_id,
			     struct query_headers *ret)
{
	struct bus_headers h;
	int rc = bus_protocol_request(head, req_id, &h);

	if (rc == 0)
		query_headers_copy(&h.list, ret);
	bus_headers_fini(&h);
	return rc;
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
bus_protocol_reply_headers(const struct reply_head *head, struct query_headers *ret)
{
	char status[8];

	*ret = (struct query_headers){ 0 };
	snprintf(status, sizeof(status), "%d", head->status);
	query_headers_add(ret, BUS_H_STATUS, status);
	if (head->content_type != NULL &&
	    bus_protocol_value_is_valid(head->content_type) &&
	    !bus_protocol_is_blank(head->content_type))
		query_headers_add(ret, BUS_H_CONTENT_TYPE, head->content_type);
	for (int i = 0; i < head->headers.len; i++) {
		const struct query_header *item = &head->headers.items[i];
		char *name;

		if (!bus_protocol_header_may_pass(item->name) ||
		    !bus_protocol_value_is_valid(item->value) ||
		    bus_protocol_is_blank(item->value))
			continue;
		name = bus_protocol_http_name(item->name);
		query_headers_join(ret, name, item->value);
		free(name);
	}
}

int
bus_protocol_reply_read(const struct query_headers *headers, struct reply_head *ret_reply)
{
	const char *text = query_headers_get(headers, BUS_H_STATUS);
	const char *type = query_headers_get(headers, BUS_H_CONTENT_TYPE);
	struct reply_head reply = { .status = 200 };
	uint64_t status = 200;

	if (text != NULL && (bus_protocol_number(text, 599, &status) < 0 || status < 200))
		return -OCF_EMALFORMED;
	reply.status = (int)status;
	if (type != NULL && bus_protocol_value_is_valid(type))
		reply.content_type = mem_strdup(type);
	bus_protocol_copy_http(headers, &reply.headers);
	*ret_reply = reply;
	return 0;
}
