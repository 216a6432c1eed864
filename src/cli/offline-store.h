/* SPDX-License-Identifier: Apache-2.0 */
/* The work on the store itself, in the process that offline.c makes for it: what
 * offline-store.c (looking, repairing) and offline-rows.c (rows in and out) share. */
#ifndef OCF_CLI_OFFLINE_STORE_H
#define OCF_CLI_OFFLINE_STORE_H

#include <stdio.h>

#include "base/places.h"
#include "cli/offline.h"
#include "ident/audit.h"
#include "store/store.h"

/* Do it, and write JSON objects to `out`, one a line: states while it goes on, then what
 * offline_run() gives, or {"error":sentence,"status":exit status}. */
void offline_store_run(const struct places *places, const struct offline_task *task,
		       FILE *out);

struct offline {
	const struct places *places;
	const struct offline_task *task;
	FILE *out;
	struct identity *identity;
	struct checker *checker;
	struct store *store;
	struct audit audit;
	uint64_t total, differences, dropped;
	ms_t started, told_at;
	json_t *messages; /* NULL: they were told before */
	struct row_key *bad;
	size_t bad_len, bad_cap;
	bool is_input_wrong; /* what failed was the file that was to be loaded */
};

/* One line to the parent; `json` is consumed. */
void offline_write(struct offline *o, json_t *json);
/* So many rows of so many; not too often. */
void offline_show(struct offline *o, uint64_t rows, uint64_t total);
/* Open it anew, to read only or not. */
int offline_reopen(struct offline *o, bool is_read_only, struct errmsg *err);
/* store_get(), for struct audit. */
int offline_get(void *offline, const struct row_key *key, struct row *ret_row);
int offline_wait_durable(struct store *store);
json_t *offline_root_json(const struct offline *o);

/* ---- offline-rows.c ---- */

int offline_dump(struct offline *o, json_t **ret_json, struct errmsg *err);
int offline_load(struct offline *o, json_t **ret_json, struct errmsg *err);
int offline_backup(struct offline *o, json_t **ret_json, struct errmsg *err);

#endif
