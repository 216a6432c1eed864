/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/starts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/store.h"

#define STARTS_META "starts"

static uint64_t
starts_read(struct store *store)
{
	struct buf value = BUF_INIT;
	uint64_t starts = 0;
	char *text;

	if (store_meta_get(store, STARTS_META, &value) == 0) {
		text = mem_dup(value.data, value.len);
		starts = strtoull(text, NULL, 10);
		free(text);
	}
	buf_fini(&value);
	return starts < STARTS_MAX ? starts : STARTS_MAX;
}

static int
starts_write(struct store *store, uint64_t starts)
{
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)starts);
	return store_meta_set(store, STARTS_META, bytes_text(number));
}

int
starts_count(struct store *store, uint64_t *ret_incarnation)
{
	uint64_t starts = starts_read(store);

	if (starts < STARTS_MAX)
		starts++;
	*ret_incarnation = starts << STARTS_BITS;
	return starts_write(store, starts);
}

int
starts_keep(struct store *store, uint64_t incarnation)
{
	uint64_t starts = incarnation >> STARTS_BITS;

	if (starts > STARTS_MAX)
		starts = STARTS_MAX;
	return starts > starts_read(store) ? starts_write(store, starts) : 0;
}
