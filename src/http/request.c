/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/request.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http/api.h"
#include "http/problem.h"

/* Hop by hop (RFC 9110 §7.6.1), about us, or a secret between the client and this
 * node. */
static const char *const request_own[] = {
	"connection",	     "keep-alive",   "te",	    "trailer",
	"transfer-encoding", "upgrade",	     "expect",	    "host",
	"authorization",     "cookie",	     "origin",	    "content-length",
	"content-type",	     "x-request-id", "traceparent",
};

static bool
name_is_among(const char *name, const char *const *list, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool
name_begins(const char *name, const char *prefix)
{
	return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static bool
request_header_passes(const struct http_head *head, const char *name)
{
	if (name_is_among(name, request_own,
			  sizeof(request_own) / sizeof(request_own[0])) ||
	    name_begins(name, "proxy-") || name_begins(name, "ocf-") ||
	    name_begins(name, "x-otela-"))
		return false;
	for (int i = 0; i < head->headers_len; i++)
		if (strcmp(head->headers[i].name, "connection") == 0 &&
		    http_list_has(head->headers[i].value, name))
			return false;
	return true;
}

/* A worker may not speak for this node, nor open it to pages of other origins. */
bool
request_reply_header_passes(const char *name)
{
	static const char *const own[] = {
		"connection",
		"keep-alive",
		"te",
		"trailer",
		"transfer-encoding",
		"upgrade",
		"content-length",
		"content-type",
		"date",
		"server",
		"server-timing",
		"x-request-id",
		"x-computing-node",
		"x-computing-worker",
		"www-authenticate",
		"alt-svc",
		"strict-transport-security",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcasecmp(name, own[i]) == 0)
			return false;
	return !name_begins(name, "proxy-") && !name_begins(name, "access-control-");
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The parser has seen to it that two digits follow each percent sign. NULL for a result
 * with a NUL. */
static char *
percent_decode(struct bytes in, bool plus_is_blank)
{
	char *out = mem_alloc(in.len + 1), *to = out;

	for (size_t i = 0; i < in.len; i++) {
		char c = (char)in.data[i];

		if (c == '%') {
			assert(i + 2 < in.len);
			c = (char)(hex_digit((char)in.data[i + 1]) * 16 +
				   hex_digit((char)in.data[i + 2]));
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		if (c == '\0') {
			free(out);
			return NULL;
		}
		*to++ = c;
	}
	*to = '\0';
	return out;
}

int
request_params(const char *target, struct query_headers *ret_params, struct errmsg *err)
{
	struct query_headers params = { 0 };
	const char *at = strchr(target, '?');

	at = at != NULL ? at + 1 : "";
	while (*at != '\0') {
		size_t len = strcspn(at, "&"), name_len = strcspn(at, "=&");
		bool has_value = name_len < len;
		char *name = percent_decode(bytes_of(at, name_len), true);
		char *value = percent_decode(
			has_value ? bytes_of(at + name_len + 1, len - name_len - 1)
				  : BYTES_NONE,
			true);

		if (name == NULL || value == NULL || params.len == REQUEST_PARAMS_MAX) {
			free(name);
			free(value);
			query_headers_fini(&params);
			error_set(err, 0,
				  "a parameter has a NUL byte, or there are more than %d",
				  REQUEST_PARAMS_MAX);
			return 400;
		}
		query_headers_add(&params, name, value);
		free(name);
		free(value);
		at += len + (at[len] == '&');
	}
	*ret_params = params;
	return 0;
}

/* The header's value; NULL when it is absent. One that stands twice could be read in two
 * ways: `ret_status` becomes 400. */
static const char *
request_single(const struct http_head *head, const char *name, int *ret_status,
	       struct errmsg *err)
{
	if (http_head_count(head, name) > 1) {
		error_set(err, 0, "the header %s stands twice", name);
		*ret_status = 400;
	}
	return http_head_get(head, name);
}

static int
request_selector(const struct http_head *head, struct query_head *q, struct errmsg *err)
{
	int status = 0;
	const char *match = request_single(head, "ocf-match", &status, err);
	const char *group = request_single(head, "x-otela-identity-group", &status, err);
	const char *fallback = request_single(head, "x-otela-fallback", &status, err);

	if (status != 0)
		return status;
	if (match == NULL)
		match = group;
	if (match != NULL && !query_selector_is_valid(match)) {
		error_set(err, 0, "the selector is not KEY=VALUE of at most %d bytes",
			  LIMIT_MATCH_BYTES_MAX);
		return 400;
	}
	q->selector = match != NULL ? mem_strdup(match) : NULL;
	if (fallback != NULL) {
		if (strlen(fallback) != 1 || fallback[0] < '0' || fallback[0] > '2') {
			error_set(err, 0, "X-Otela-Fallback is not 0, 1 or 2");
			return 400;
		}
		q->fallback = (uint8_t)(fallback[0] - '0');
	}
	return 0;
}

static int
request_limits(const struct http_head *head, struct query_head *q, struct errmsg *err)
{
	int status = 0;
	const char *timeout = request_single(head, "ocf-timeout", &status, err);
	const char *pin = request_single(head, "ocf-node", &status, err);

	if (status != 0)
		return status;
	if (timeout != NULL &&
	    (clock_parse_span(timeout, &q->timeout_ms) < 0 || q->timeout_ms == 0 ||
	     q->timeout_ms > API_TIMEOUT_MAX_MS)) {
		error_set(err, 0,
			  "Ocf-Timeout is not a time such as 30s or 5m, up to 24h");
		return 400;
	}
	if (pin != NULL && id_parse(pin, &q->pin) < 0) {
		error_set(err, 0, "Ocf-Node is not a node id of 32 hex digits");
		return 400;
	}
	return 0;
}

static bool
request_id_is_valid(const char *id)
{
	size_t len = strlen(id);

	if (len < 1 || len > QUERY_REQUEST_ID_BYTES_MAX)
		return false;
	return strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			  "._-") == len;
}

/* W3C Trace Context §3.2.2, version 00; zero ids are invalid. */
static bool
traceparent_is_valid(const char *t)
{
	static const char hex[] = "0123456789abcdef";

	return strlen(t) == 55 && strncmp(t, "00-", 3) == 0 && strspn(t + 3, hex) == 32 &&
	       t[35] == '-' && strspn(t + 36, hex) == 16 && t[52] == '-' &&
	       strspn(t + 53, hex) == 2 && strspn(t + 3, "0") < 32 &&
	       strspn(t + 36, "0") < 16;
}

static void
request_ids(const struct http_head *head, struct rng *rng, struct query_head *q)
{
	const char *id = http_head_get(head, "x-request-id");
	const char *trace = http_head_get(head, "traceparent");

	if (id != NULL && request_id_is_valid(id))
		q->request_id = mem_strdup(id);
	else
		q->request_id = mem_printf("%016" PRIx64 "%016" PRIx64, rng_next(rng),
					   rng_next(rng));
	if (trace != NULL && traceparent_is_valid(trace))
		q->traceparent = mem_strdup(trace);
	else /* not sampled: nobody asked for it; an id is zero once in 2^64 */
		q->traceparent = mem_printf(
			"00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-00",
			rng_next(rng), rng_next(rng) | 1, rng_next(rng) | 1);
}

static int
request_headers(const struct http_head *head, struct query_head *q, struct errmsg *err)
{
	const char *type = http_head_get(head, "content-type");
	size_t total = strlen(q->path) + 1024; /* the rest is bounded by its own limits */

	if (http_head_count(head, "content-type") > 1) {
		error_set(err, 0, "the header content-type stands twice");
		return 400;
	}
	q->content_type = type != NULL ? mem_strdup(type) : NULL;
	total += type != NULL ? strlen(type) : 0;
	for (int i = 0; i < head->headers_len; i++) {
		const struct http_header *h = &head->headers[i];

		if (!request_header_passes(head, h->name))
			continue;
		total += strlen(h->name) + strlen(h->value) + 4;
		if (q->headers.len == QUERY_HEADERS_MAX || total > QUERY_HEAD_BYTES_MAX) {
			error_set(err, 0,
				  "more than %d headers or %d bytes of them to pass on",
				  QUERY_HEADERS_MAX, QUERY_HEAD_BYTES_MAX);
			return 431;
		}
		query_headers_add(&q->headers, h->name, h->value);
	}
	return 0;
}

static int
request_target(const char *target, size_t prefix_len, struct query_head *q,
	       struct errmsg *err)
{
	const char *name = target + prefix_len;
	size_t len = strcspn(name, "/?");

	q->service = percent_decode(bytes_of(name, len), false);
	if (q->service == NULL || !query_service_is_valid(q->service)) {
		error_set(err, 0,
			  "the service's name is not 1 to %d bytes without control "
			  "characters",
			  LIMIT_SERVICE_BYTES_MAX);
		return 400;
	}
	q->path = mem_printf("%s%s", name[len] == '/' ? "" : "/", name + len);
	return 0;
}

int
request_query_head(const struct http_head *head, size_t prefix_len, ms_t timeout_ms,
		   struct rng *rng, struct query_head *ret_q, struct errmsg *err)
{
	struct query_head q = { .timeout_ms = timeout_ms };
	const char *key = http_head_get(head, "idempotency-key");
	int status = 0;

	if (prefix_len > 0)
		status = request_target(head->target, prefix_len, &q, err);
	else
		q.path = mem_strdup("/");
	if (status == 0)
		status = request_selector(head, &q, err);
	if (status == 0)
		status = request_limits(head, &q, err);
	if (status == 0)
		status = request_headers(head, &q, err);
	if (status != 0) {
		query_head_fini(&q);
		return status;
	}
	request_ids(head, rng, &q);
	q.method = mem_strdup(head->method);
	q.is_idempotent = query_is_repeatable(head->method, key);
	q.body_len = head->body_len;
	*ret_q = q;
	return 0;
}

bool
request_may_name_model(const struct http_head *head, const struct query_head *q)
{
	const char *type = q->content_type;
	size_t len;

	if (q->selector != NULL || type == NULL || head->body_len == 0 ||
	    head->body_len > LIMIT_PART_BYTES_MAX)
		return false;
	len = strcspn(type, "; \t");
	return (len == 16 && strncasecmp(type, "application/json", len) == 0) ||
	       (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

char *
request_model(struct bytes body)
{
	json_t *object = json_loadb((const char *)body.data, body.len, 0, NULL);
	const char *model = json_string_value(json_object_get(object, "model"));
	char *selector = model != NULL ? mem_printf("model=%s", model) : NULL;

	if (selector != NULL && !query_selector_is_valid(selector)) {
		free(selector);
		selector = NULL;
	}
	json_decref(object);
	return selector;
}
