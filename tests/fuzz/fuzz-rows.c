/* SPDX-License-Identifier: Apache-2.0 */
/* Values of rows as they come from peers: whatever is read can be written, and what was
 * written is read as the same. The first byte says which kind the rest is. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "table/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Foreign members are gone after the first writing, so its outcome is what must last. The
 * one thing that may fail is a value that others' spelling kept just below the limit. */
static void
fuzz_node(struct bytes value)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct table_node n, again;
	int rc;

	if (table_node_decode(value, &n, NULL) != 0)
		return;
	rc = table_node_encode(&n, &once, NULL);
	assert(rc == 0 || rc == -OCF_ELIMIT);
	if (rc == 0) {
		rc = table_node_decode(buf_bytes(&once), &again, NULL);
		assert(rc == 0);
		rc = table_node_encode(&again, &twice, NULL);
		assert(rc == 0 && bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
		table_node_fini(&again);
	}
	table_node_fini(&n);
	buf_fini(&once);
	buf_fini(&twice);
}

static void
fuzz_worker(struct bytes value)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct table_worker w, again;
	int rc;

	if (table_worker_decode(value, &w, NULL) != 0)
		return;
	rc = table_worker_encode(&w, &once, NULL);
	assert(rc == 0 || rc == -OCF_ELIMIT);
	if (rc == 0) {
		rc = table_worker_decode(buf_bytes(&once), &again, NULL);
		assert(rc == 0);
		rc = table_worker_encode(&again, &twice, NULL);
		assert(rc == 0 && bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
		table_worker_fini(&again);
	}
	table_worker_fini(&w);
	buf_fini(&once);
	buf_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1)
		return 0;
	if (data[0] == 'n')
		fuzz_node(bytes_of(data + 1, len - 1));
	else
		fuzz_worker(bytes_of(data + 1, len - 1));
	return 0;
}
