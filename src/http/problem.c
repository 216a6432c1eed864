/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/problem.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"

const char *
problem_title(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {
		{ 100, "Continue" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Unknown";
}

json_t *
problem_string(const char *text)
{
	struct buf clean = BUF_INIT;
	json_t *string = json_string(text);

	if (string != NULL)
		return string;
	while (*text != '\0') {
		size_t len = utf8_length(text);

		if (len > 0)
			buf_put(&clean, text, len);
		else
			buf_put_text(&clean, "\xef\xbf\xbd");
		text += len > 0 ? len : 1;
	}
	string = json_string(buf_text(&clean));
	buf_fini(&clean);
	assert(string != NULL);
	return string;
}

json_t *
problem_new(int status, const char *detail)
{
	json_t *object = json_pack("{ss ss si so}", "type", "about:blank", "title",
				   problem_title(status), "status", status, "detail",
				   problem_string(detail));

	assert(object != NULL);
	return object;
}

static int
problem_put(const char *text, size_t len, void *arg)
{
	buf_put(arg, text, len);
	return 0;
}

char *
problem_dump(const json_t *object)
{
	struct buf line = BUF_INIT;
	int rc = json_dump_callback(object, problem_put, &line, JSON_COMPACT);

	assert(rc == 0);
	(void)rc;
	buf_put_u8(&line, '\n');
	buf_text(&line);
	return (char *)line.data;
}
