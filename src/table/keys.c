/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "table/keys.h"

#include "table/rows.h"

void
table_keys(const struct row_key *key, struct bytes value,
	   void (*emit)(void *arg, struct bytes index_key), void *arg)
{
	struct buf index_key = BUF_INIT;
	struct table_worker w;

	if (key->kind != ROW_WORKER || table_worker_decode(value, &w, NULL) != 0)
		return;
	for (int i = 0; i < w.services_len; i++) {
		buf_clear(&index_key);
		buf_put(&index_key, "svc", 4);
		buf_put_text(&index_key, w.services[i].name);
		emit(arg, buf_bytes(&index_key));
	}
	buf_clear(&index_key);
	buf_put(&index_key, "wid", 4);
	buf_put(&index_key, key->owner.b, ID_BYTES);
	buf_put_text(&index_key, w.id);
	emit(arg, buf_bytes(&index_key));
	buf_fini(&index_key);
	table_worker_fini(&w);
}
