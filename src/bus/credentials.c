/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/credentials.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"

static void
secret_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void
credentials_fini(struct credentials *c)
{
	secret_free(c->user);
	secret_free(c->secret);
	secret_free(c->jwt);
	*c = (struct credentials){ 0 };
}

/* The next line that has something on it, without white space at its ends; NULL: no more. */
static char *
credentials_line(const char **at)
{
	while (**at != '\0') {
		size_t len = strcspn(*at, "\n");
		const char *start = *at, *end = *at + len;

		*at = end + (*end == '\n');
		while (start < end && isspace((unsigned char)*start))
			start++;
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
		if (end > start)
			return mem_dup(start, (size_t)(end - start));
	}
	return NULL;
}

/* The line behind a "-----BEGIN WHAT-----"; NULL when there is none. */
static char *
credentials_block(const char *text, const char *what)
{
	const char *at = strstr(text, what);
	char *line;

	if (at == NULL)
		return NULL;
	at += strcspn(at, "\n");
	line = credentials_line(&at);
	if (line == NULL || line[0] != '-')
		return line;
	free(line);
	return NULL;
}

/* --- the JWT --- */

/* base64url without padding. */
static bool
jwt_unpack(const char *text, size_t len, struct buf *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
				       "uvwxyz0123456789-_";
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < len; i++) {
		const char *at = text[i] != '\0' ? strchr(alphabet, text[i]) : NULL;

		if (at == NULL)
			return false;
		bits = bits << 6 | (unsigned)(at - alphabet);
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		buf_put_u8(out, (uint8_t)(bits >> held));
		bits &= (1u << held) - 1;
	}
	return true;
}

/* Its claims; NULL: this is no JWT. */
static json_t *
jwt_claims(const char *jwt)
{
	const char *first = strchr(jwt, '.'),
		   *second = first != NULL ? strchr(first + 1, '.') : NULL;
	struct buf text = BUF_INIT;
	json_t *claims = NULL;

	if (second != NULL && strchr(second + 1, '.') == NULL &&
	    jwt_unpack(first + 1, (size_t)(second - first - 1), &text))
		claims = json_loadb((const char *)text.data, text.len, 0, NULL);
	buf_fini(&text);
	if (claims != NULL && json_is_object(claims))
		return claims;
	json_decref(claims);
	return NULL;
}

static int
credentials_check_jwt(struct credentials *c, struct errmsg *err)
{
	json_t *claims = jwt_claims(c->jwt);
	const char *subject = json_string_value(json_object_get(claims, "sub"));
	json_int_t end = json_integer_value(json_object_get(claims, "exp"));
	int rc = 0;

	if (subject == NULL)
		rc = error_set(err, -OCF_EMALFORMED, "its JWT is not one");
	else if (strcmp(subject, c->public_key) != 0)
		rc = error_set(err, -OCF_EMALFORMED,
			       "its JWT and its seed do not belong together: the JWT is "
			       "of %.60s, the seed of %s",
			       subject, c->public_key);
	else if (end > 0 && end < INT64_MAX / MS_SECOND)
		c->expires_ms = end * MS_SECOND;
	json_decref(claims);
	return rc;
}

/* --- the file --- */

static int
credentials_parse_blocks(const char *text, struct credentials *c, struct errmsg *err)
{
	int rc;

	c->kind = CREDENTIALS_JWT;
	c->jwt = credentials_block(text, "BEGIN NATS USER JWT");
	c->secret = credentials_block(text, "BEGIN USER NKEY SEED");
	if (c->jwt == NULL || c->secret == NULL)
		return error_set(err, -OCF_EMALFORMED,
				 "a NATS credentials file holds a user's JWT and the "
				 "seed of its NKEY; the %s is missing",
				 c->jwt == NULL ? "JWT" : "seed");
	rc = nkey_public(c->secret, c->public_key, err);
	return rc < 0 ? rc : credentials_check_jwt(c, err);
}

static int
credentials_parse_line(const char *line, struct credentials *c, struct errmsg *err)
{
	const char *colon = strchr(line, ':');

	for (const char *p = line; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return error_set(err, -OCF_EMALFORMED,
					 "it holds control characters");
	if (nkey_looks_like_seed(line)) {
		c->kind = CREDENTIALS_NKEY;
		c->secret = mem_strdup(line);
		return nkey_public(line, c->public_key, err);
	}
	if (colon == line || (colon != NULL && colon[1] == '\0'))
		return error_set(err, -OCF_EMALFORMED,
				 "user:password needs both a user and a password");
	c->kind = colon != NULL ? CREDENTIALS_PASSWORD : CREDENTIALS_TOKEN;
	if (colon != NULL)
		c->user = mem_dup(line, (size_t)(colon - line));
	c->secret = mem_strdup(colon != NULL ? colon + 1 : line);
	return 0;
}

static int
credentials_parse(const char *text, struct credentials *c, struct errmsg *err)
{
	char *line, *more;
	int rc;

	if (strstr(text, "BEGIN NATS USER JWT") != NULL ||
	    strstr(text, "BEGIN USER NKEY SEED") != NULL)
		return credentials_parse_blocks(text, c, err);
	if (strstr(text, "-----BEGIN ") != NULL)
		return error_set(err, -OCF_EMALFORMED,
				 "this is a PEM file: certificates and their keys have "
				 "options of their own");
	line = credentials_line(&text);
	more = credentials_line(&text);
	if (line == NULL || more != NULL)
		rc = error_set(err, -OCF_EMALFORMED,
			       "neither a NATS credentials file nor one line with an "
			       "NKEY seed, user:password or a token");
	else
		rc = credentials_parse_line(line, c, err);
	secret_free(line);
	secret_free(more);
	return rc;
}

int
credentials_read(const char *path, struct credentials *ret, struct errmsg *err)
{
	struct credentials c = { 0 };
	struct buf text = BUF_INIT;
	int rc = file_read_secret(path, CREDENTIALS_BYTES_MAX, &text, err);

	if (rc == 0 &&
	    memchr(text.data != NULL ? (void *)text.data : "", '\0', text.len) != NULL)
		rc = error_set(err, -OCF_EMALFORMED, "%s: this is no text", path);
	else if (rc == 0) {
		rc = credentials_parse(buf_text(&text), &c, err);
		if (rc < 0)
			error_prefix(err, rc, "%s", path);
	}
	if (text.len > 0)
		explicit_bzero(text.data, text.len);
	buf_fini(&text);
	if (rc < 0)
		credentials_fini(&c);
	else
		*ret = c;
	return rc;
}
