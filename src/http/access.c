/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/access.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "net/stream.h"

enum { ACCESS_HOST_SIZE = 256 }; /* a DNS name has at most 253 bytes */

struct access_token {
	char name[ACCESS_TOKEN_NAME_BYTES_MAX + 1];
	uint8_t hash[ACCESS_HASH_BYTES];
};

struct access {
	bool local_tokens;
	bool is_public;
	bool has_file;
	access_sha256_fn *sha256;
	int names_len;
	char *names[ACCESS_NAMES_MAX];
	int tokens_len;
	struct access_token *tokens;
};

static int
access_read_line(struct access *a, char *line, const char *path, int number,
		 struct errmsg *err)
{
	char *colon = strchr(line, ':'), *hash, *end;
	struct access_token *t;

	if (line[0] == '\0' || line[0] == '#')
		return 0;
	if (a->tokens_len == ACCESS_TOKENS_MAX)
		return error_set(err, -OCF_ELIMIT, "%s:%d: more than %d tokens", path,
				 number, ACCESS_TOKENS_MAX);
	a->tokens = mem_realloc(a->tokens, (size_t)a->tokens_len + 1, sizeof(*a->tokens));
	t = &a->tokens[a->tokens_len];
	if (colon == NULL || colon == line || colon - line > ACCESS_TOKEN_NAME_BYTES_MAX)
		return error_set(
			err, -OCF_EMALFORMED,
			"%s:%d: not NAME:SHA256 (of the token, in hex) with a name of at "
			"most %d bytes",
			path, number, ACCESS_TOKEN_NAME_BYTES_MAX);
	*colon = '\0';
	hash = colon + 1;
	end = strchr(hash, ':');
	if (end != NULL)
		*end = '\0';
	if (hex_decode(hash, t->hash, ACCESS_HASH_BYTES) < 0)
		return error_set(
			err, -OCF_EMALFORMED,
			"%s:%d: what follows the name is not a SHA-256 of 64 hex digits",
			path, number);
	snprintf(t->name, sizeof(t->name), "%s", line);
	a->tokens_len++;
	return 0;
}

static int
access_read_file(struct access *a, const char *path, struct errmsg *err)
{
	struct buf content = BUF_INIT;
	int rc = file_read_secret(path, ACCESS_TOKEN_FILE_BYTES_MAX, &content, err);
	char *line, *rest;

	if (rc == 0 && content.len > 0 && memchr(content.data, '\0', content.len) != NULL)
		rc = error_set(err, -OCF_EMALFORMED, "%s: has a NUL byte", path);
	buf_text(&content);
	rest = (char *)content.data;
	for (int number = 1; rc == 0 && (line = strsep(&rest, "\n")) != NULL; number++) {
		line[strcspn(line, "\r")] = '\0';
		rc = access_read_line(a, line, path, number, err);
	}
	buf_fini(&content);
	return rc;
}

int
access_new(const struct access_config *config, struct access **ret_access,
	   struct errmsg *err)
{
	struct access *a;
	int rc = 0;

	if (config->names_len > ACCESS_NAMES_MAX)
		return error_set(err, -OCF_ELIMIT, "http.names: more than %d names",
				 ACCESS_NAMES_MAX);
	assert(config->sha256 != NULL || config->token_file == NULL);
	a = mem_calloc(1, sizeof(*a));
	a->local_tokens = config->local_tokens;
	a->is_public = config->is_public;
	a->has_file = config->token_file != NULL;
	a->sha256 = config->sha256;
	for (int i = 0; i < config->names_len; i++)
		a->names[a->names_len++] = mem_strdup(config->names[i]);
	if (config->token_file != NULL)
		rc = access_read_file(a, config->token_file, err);
	if (rc < 0) {
		access_free(a);
		return rc;
	}
	*ret_access = a;
	return 0;
}

void
access_free(struct access *a)
{
	if (a == NULL)
		return;
	for (int i = 0; i < a->names_len; i++)
		free(a->names[i]);
	free(a->tokens);
	free(a);
}

int
access_check_listen(const struct access *a, const char *address, struct errmsg *err)
{
	if (address_is_loopback(address)) {
		if (a->local_tokens && !a->has_file)
			return error_set(
				err, -EPERM,
				"http.local_tokens is set, but no http.token_file: "
				"nobody could use %s",
				address);
		return 0;
	}
	if (a->is_public || a->has_file)
		return 0;
	return error_set(
		err, -EPERM,
		"http.listen %s is not a loopback address, and anyone who reaches it "
		"could use this node: name an http.token_file, or set http.public = yes",
		address);
}

/* The host without port and brackets, of text that the parser has checked. */
static bool
access_host_name(const char *host, char out[ACCESS_HOST_SIZE])
{
	const char *start = host + (host[0] == '[');
	size_t len = host[0] == '[' ? strcspn(start, "]") : strcspn(start, ":");

	if (len == 0 || len >= ACCESS_HOST_SIZE)
		return false;
	memcpy(out, start, len);
	out[len] = '\0';
	if (out[len - 1] == '.')
		out[len - 1] = '\0';
	return true;
}

static bool
access_host_is_ours(const struct access *a, enum access_way way, const char *host)
{
	char name[ACCESS_HOST_SIZE];
	struct in6_addr v6;
	struct in_addr v4;

	if (!access_host_name(host, name))
		return false;
	for (int i = 0; i < a->names_len; i++)
		if (strcasecmp(a->names[i], name) == 0)
			return true;
	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return way == ACCESS_NETWORK || ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, name, &v6) == 1)
		return way == ACCESS_NETWORK || IN6_IS_ADDR_LOOPBACK(&v6);
	/* A token is no protection that a rebound page could get around, so where tokens
	 * are asked for and no names were given, any name will do. */
	return way == ACCESS_NETWORK && !a->is_public && a->names_len == 0;
}

/* Scheme, "://", and then exactly our Host; an Origin has nothing behind it. */
static bool
access_origin_is_ours(const char *origin, const char *host)
{
	const char *authority = strstr(origin, "://");

	return authority != NULL && host[0] != '\0' &&
	       strcasecmp(authority + 3, host) == 0;
}

int
access_check_site(const struct access *a, enum access_way way,
		  const struct http_head *head, struct errmsg *err)
{
	bool is_read = strcmp(head->method, "GET") == 0 ||
		       strcmp(head->method, "HEAD") == 0;

	if (way == ACCESS_SOCKET)
		return 0;
	if (head->host[0] != '\0' && !access_host_is_ours(a, way, head->host)) {
		error_set(err, 0,
			  "this node does not answer to the Host %s; if it should, add "
			  "the name to http.names",
			  head->host);
		return 421;
	}
	for (int i = 0; !is_read && i < head->headers_len; i++) {
		if (strcmp(head->headers[i].name, "origin") == 0 &&
		    !access_origin_is_ours(head->headers[i].value, head->host)) {
			error_set(err, 0, "a page of another origin may only read");
			return 403;
		}
	}
	return 0;
}

/* All tokens are compared, each in constant time, so that the time tells nothing. */
static const struct access_token *
access_find(const struct access *a, const char *token)
{
	const struct access_token *found = NULL;
	uint8_t hash[ACCESS_HASH_BYTES];

	a->sha256(token, strlen(token), hash);
	for (int i = 0; i < a->tokens_len; i++) {
		uint8_t differing = 0;

		for (int j = 0; j < ACCESS_HASH_BYTES; j++)
			differing |= (uint8_t)(hash[j] ^ a->tokens[i].hash[j]);
		if (differing == 0)
			found = &a->tokens[i];
	}
	return found;
}

int
access_check_token(const struct access *a, enum access_way way,
		   const struct http_head *head, const char **ret_name,
		   struct errmsg *err)
{
	const char *value = http_head_get(head, "authorization");
	const struct access_token *t;

	*ret_name = NULL;
	if (way == ACCESS_SOCKET || (way == ACCESS_LOOPBACK && !a->local_tokens) ||
	    (way == ACCESS_NETWORK && a->is_public))
		return 0;
	if (value == NULL || strncasecmp(value, "bearer ", 7) != 0) {
		error_set(
			err, 0,
			"a bearer token is needed: one whose SHA-256 stands in the node's "
			"http.token_file");
		return 401;
	}
	value += 7;
	value += strspn(value, " ");
	t = a->has_file && strlen(value) <= ACCESS_TOKEN_BYTES_MAX ? access_find(a, value)
								   : NULL;
	if (t == NULL || http_head_count(head, "authorization") > 1) {
		error_set(err, 0, "this token is not known here");
		return 401;
	}
	*ret_name = t->name;
	return 0;
}
