/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/access.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "net/stream.h"

enum { ACCESS_HOST_SIZE = 256 }; /* a DNS name has at most 253 bytes */

struct access_token {
	uint64_t hash[ACCESS_HASH_BYTES / sizeof(uint64_t)];
	struct user *user;
};

struct access {
	bool local_tokens;
	bool is_public;
	bool has_file;
	access_sha256_fn *sha256;
	int names_len;
	char *names[ACCESS_NAMES_MAX];
	int tokens_len;
	struct access_token *tokens; /* by user's name, so that one is found fast */
};

static int
access_compare(const void *a, const void *b)
{
	const struct access_token *x = a, *y = b;

	return strcmp(user_name(x->user), user_name(y->user));
}

static int
access_compare_name(const void *name, const void *token)
{
	return strcmp(name, user_name(((const struct access_token *)token)->user));
}

/* The user of this name; NULL for none. */
static struct user *
access_user(const struct access *a, const char *name)
{
	const struct access_token *t;

	if (a == NULL || a->tokens_len == 0)
		return NULL;
	t = bsearch(name, a->tokens, (size_t)a->tokens_len, sizeof(*a->tokens),
		    access_compare_name);
	return t != NULL ? t->user : NULL;
}

/* Nothing of `old` is changed before the whole file has been read. */
static int
access_read_file(struct access *a, const char *path, const struct access *old, ms_t now,
		 struct errmsg *err)
{
	struct tokens tokens;
	int rc = tokens_read(path, &tokens, err);

	if (rc == -ENOENT)
		return error_set(err, rc,
				 "http.token_file: %s is not there; 'ocf token add NAME' "
				 "makes it",
				 path);
	if (rc != 0)
		return rc;
	a->tokens = mem_calloc((size_t)tokens.len, sizeof(*a->tokens));
	for (; a->tokens_len < tokens.len; a->tokens_len++) {
		struct tokens_entry *e = &tokens.items[a->tokens_len];
		struct access_token *t = &a->tokens[a->tokens_len];
		struct user *user = access_user(old, e->name);

		memcpy(t->hash, e->hash, sizeof(t->hash));
		t->user = user != NULL ? user_ref(user) : user_new(e, now);
		if (user != NULL)
			user_set_limits(user, e, now);
	}
	tokens_fini(&tokens);
	if (a->tokens_len > 0)
		qsort(a->tokens, (size_t)a->tokens_len, sizeof(*a->tokens),
		      access_compare);
	return 0;
}

int
access_new(const struct access_config *config, const struct access *old, ms_t now,
	   struct access **ret_access, struct errmsg *err)
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
		rc = access_read_file(a, config->token_file, old, now, err);
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
	for (int i = 0; i < a->tokens_len; i++)
		user_unref(a->tokens[i].user);
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
		"could use this node: name an http.token_file and make tokens with 'ocf "
		"token add', or set http.public = yes",
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
static struct user *
access_find(const struct access *a, const char *token)
{
	uint64_t hash[ACCESS_HASH_BYTES / sizeof(uint64_t)];
	struct user *found = NULL;

	a->sha256(token, strlen(token), (uint8_t *)hash);
	for (int i = 0; i < a->tokens_len; i++) {
		uint64_t differing = 0;

		for (size_t j = 0; j < sizeof(hash) / sizeof(hash[0]); j++)
			differing |= hash[j] ^ a->tokens[i].hash[j];
		if (differing == 0)
			found = a->tokens[i].user;
	}
	return found;
}

int
access_check_token(const struct access *a, enum access_way way,
		   const struct http_head *head, struct user **ret_user,
		   struct errmsg *err)
{
	const char *value = http_head_get(head, "authorization");
	struct user *user;

	*ret_user = NULL;
	if (way == ACCESS_SOCKET || (way == ACCESS_LOOPBACK && !a->local_tokens) ||
	    (way == ACCESS_NETWORK && a->is_public))
		return 0;
	if (value == NULL || strncasecmp(value, "bearer ", 7) != 0) {
		error_set(err, 0,
			  "a bearer token is needed; 'ocf token add' on the node makes "
			  "one");
		return 401;
	}
	value += 7;
	value += strspn(value, " ");
	user = a->has_file && strlen(value) <= ACCESS_TOKEN_BYTES_MAX
		       ? access_find(a, value)
		       : NULL;
	if (user == NULL || http_head_count(head, "authorization") > 1) {
		error_set(err, 0, "this token is not known here");
		return 401;
	}
	*ret_user = user;
	return 0;
}

bool
access_knows(const struct access *a, const struct user *user)
{
	return access_user(a, user_name(user)) == user;
}

int
access_tokens(const struct access *a)
{
	return a->tokens_len;
}
