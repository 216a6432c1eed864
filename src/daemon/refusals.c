/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/refusals.h"

#include <ctype.h>
#include <string.h>

#include "base/hash.h"

int
refusals_kind(const char *why)
{
	char words[512];
	size_t len = 0;

	for (; *why != '\0' && len < sizeof(words); why++)
		if (!isdigit((unsigned char)*why))
			words[len++] = *why;
	return (int)(hash64(bytes_of(words, len), 0) % REFUSALS_KINDS);
}

void
refusals_log(struct refusals *refusals, const char *module, const char *who,
	     const char *why)
{
	struct log_limit *limit = &refusals->limits[refusals_kind(why)];

	limit->span_ms = REFUSALS_SPAN_MS;
	limit->burst = REFUSALS_BURST;
	if (log_limit_pass(limit, module))
		log_warn(module, "%s is refused: %s", who, why);
}
