/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as clients read them: RFC 9457 problem objects, and the names of the
 * statuses. */
#ifndef OCF_HTTP_PROBLEM_H
#define OCF_HTTP_PROBLEM_H

#include <jansson.h>

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* "Not Found"; "Unknown" for a status without a name. Never NULL. */
const char *problem_title(int status);
/* {"type":"about:blank","title","status","detail"}; bytes of `detail` that are not UTF-8
 * become U+FFFD. The caller owns it and may add members. */
json_t *problem_new(int status, const char *detail);
/* The text of `object` with a line end; free(3) it. */
char *problem_dump(const json_t *object);
/* A JSON string of any bytes, with U+FFFD for what is not UTF-8. */
json_t *problem_string(const char *text);

#endif
