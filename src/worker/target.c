/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/target.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static int
target_parse_socket(const char *url, struct target *target, struct errmsg *err)
{
	const char *path = url + strlen("unix:");

	if (path[0] != '/' || path[1] == '/' || path[1] == '\0')
		return error_set(err, -EINVAL,
				 "%s: behind unix: stands the absolute path of a socket, "
				 "as in unix:/run/server.sock",
				 url);
	if (strlen(path) > TARGET_SOCKET_BYTES_MAX)
		return error_set(err, -EINVAL,
				 "%s: a socket's path has at most %d bytes; make a "
				 "symbolic link to its folder",
				 url, TARGET_SOCKET_BYTES_MAX);
	target->socket = mem_strdup(path);
	target->origin = mem_strdup("http://localhost");
	target->base = mem_strdup("");
	return 0;
}

/* A part of the URL; NULL when it is not there. free(3) it. */
static char *
target_part(CURLU *parts, CURLUPart which)
{
	char *text = NULL, *copy = NULL;

	if (curl_url_get(parts, which, &text, 0) == CURLUE_OK && text != NULL)
		copy = mem_strdup(text);
	curl_free(text);
	return copy;
}

static bool
target_has(CURLU *parts, CURLUPart which)
{
	char *text = target_part(parts, which);
	bool has = text != NULL;

	free(text);
	return has;
}

static int
target_parse_parts(const char *url, CURLU *parts, struct target *target,
		   struct errmsg *err)
{
	char *scheme = target_part(parts, CURLUPART_SCHEME);
	char *host = target_part(parts, CURLUPART_HOST);
	char *port = target_part(parts, CURLUPART_PORT);
	int rc = 0;

	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		rc = error_set(err, -EINVAL,
			       "%s: only http://, https:// and unix: are spoken, not %s:",
			       url, scheme);
	else if (target_has(parts, CURLUPART_USER) ||
		 target_has(parts, CURLUPART_PASSWORD))
		rc = error_set(err, -EINVAL,
			       "the URL holds a user or a password, which are not sent; "
			       "leave them out");
	else if (target_has(parts, CURLUPART_QUERY) ||
		 target_has(parts, CURLUPART_FRAGMENT))
		rc = error_set(err, -EINVAL,
			       "%s: the URL ends with its path; what stands behind ? or "
			       "# comes from the query",
			       url);
	if (rc == 0) {
		target->base = target_part(parts, CURLUPART_PATH);
		target->origin = mem_printf("%s://%s%s%s", scheme, host,
					    port != NULL ? ":" : "",
					    port != NULL ? port : "");
		for (size_t len = strlen(target->base);
		     len > 0 && target->base[len - 1] == '/'; len--)
			target->base[len - 1] = '\0';
	}
	free(scheme);
	free(host);
	free(port);
	return rc;
}

static int
target_parse_url(const char *url, struct target *target, struct errmsg *err)
{
	CURLU *parts = curl_url();
	CURLUcode code = curl_url_set(parts, CURLUPART_URL, url,
				      CURLU_NON_SUPPORT_SCHEME);
	int rc;

	if (code != CURLUE_OK)
		rc = error_set(err, -EINVAL, "%s is not a URL: %s", url,
			       curl_url_strerror(code));
	else
		rc = target_parse_parts(url, parts, target, err);
	curl_url_cleanup(parts);
	return rc;
}

int
target_parse(const char *url, struct target *ret_target, struct errmsg *err)
{
	struct target target = { 0 };
	int rc;

	if (strlen(url) > TARGET_URL_BYTES_MAX)
		return error_set(err, -EINVAL, "the URL has more than %d bytes",
				 TARGET_URL_BYTES_MAX);
	for (const char *p = url; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return error_set(err, -EINVAL,
					 "the URL holds a blank or a character that must "
					 "be percent-encoded");
	if (strncmp(url, "unix:", 5) == 0)
		rc = target_parse_socket(url, &target, err);
	else if (strstr(url, "://") == NULL)
		rc = error_set(err, -EINVAL, "%s is not a URL; did you mean http://%s?",
			       url, url + strspn(url, "/"));
	else
		rc = target_parse_url(url, &target, err);
	if (rc < 0)
		return rc;
	target.name = mem_strdup(url);
	*ret_target = target;
	return 0;
}

void
target_fini(struct target *target)
{
	free(target->name);
	free(target->origin);
	free(target->base);
	free(target->socket);
	*target = (struct target){ 0 };
}

/* A segment "." or "..", in all the ways of writing it that some server takes for one:
 * percent-encoded, behind an encoded or a backward slash. */
static bool
path_climbs(const char *path)
{
	static const struct {
		const char *code;
		char is;
	} codes[] = { { "%2e", '.' }, { "%2f", '/' }, { "%5c", '/' }, { "\\", '/' } };
	char *plain = mem_strdup(path), *to = plain, *rest = plain, *segment;
	bool climbs = false;

	while (*path != '\0' && *path != '?') {
		size_t len = 1;

		*to = *path;
		for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
			size_t n = strlen(codes[i].code);

			if (strncasecmp(path, codes[i].code, n) == 0) {
				*to = codes[i].is;
				len = n;
			}
		}
		to++;
		path += len;
	}
	*to = '\0';
	while ((segment = strsep(&rest, "/")) != NULL)
		climbs = climbs || strcmp(segment, ".") == 0 ||
			 strcmp(segment, "..") == 0;
	free(plain);
	return climbs;
}

int
target_join(const struct target *target, const char *path, char **ret_path,
	    struct errmsg *err)
{
	if (path[0] != '/')
		return error_set(err, -EINVAL, "the path of the query begins with no /");
	for (const char *p = path; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '#')
			return error_set(err, -EINVAL,
					 "the path of the query holds a character that "
					 "must be percent-encoded");
	if (target->base[0] != '\0' && path_climbs(path))
		return error_set(err, -EINVAL,
				 "the path of the query holds . or .., which could lead "
				 "out of what is offered");
	*ret_path = mem_printf("%s%s", target->base, path);
	return 0;
}
