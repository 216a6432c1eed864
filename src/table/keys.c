/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "table/keys.h"

#include "table/rows.h"

void
table_key_service(struct buf *out, const char *service)
{
	buf_put(out, "svc", 4);
	buf_put_text(out, service);
}

void
table_key_worker(struct buf *out, const struct id *owner, const char *worker_id)
{
	buf_put(out, "wid", 4);
	buf_put(out, owner->b, ID_BYTES);
	buf_put_text(out, worker_id);
}

void
table_index(void *arg, const struct row_key *key, const struct row *row,
	    void (*put)(void *put_arg, struct bytes index_key), void *put_arg)
{
	const struct version *v = row_visible(row);
	struct buf index_key = BUF_INIT;
	struct table_worker w;

	(void)arg;
	if (key->kind != ROW_WORKER || v == NULL ||
	    table_worker_decode(v->value, &w, NULL) != 0)
		return;
	for (int i = 0; i < w.services_len; i++) {
		buf_clear(&index_key);
		table_key_service(&index_key, w.services[i].name);
		put(put_arg, buf_bytes(&index_key));
	}
	buf_clear(&index_key);
	table_key_worker(&index_key, &key->owner, w.id);
	put(put_arg, buf_bytes(&index_key));
	buf_fini(&index_key);
	table_worker_fini(&w);
}
