/* SPDX-License-Identifier: Apache-2.0 */
/* The store of a node that does not run, opened by us.
 *
 * A process of its own does it. LMDB has no checksums: it believes the pages of its file, and
 * reading a damaged one may end in a signal, which the parent then tells as what it is. Where
 * nothing is to be repaired the store is opened to read only, so that looking changes
 * nothing; and it is opened for writing only after looking found it to be ours. */
#ifndef OCF_CLI_OFFLINE_H
#define OCF_CLI_OFFLINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/follow.h"

enum { OFFLINE_MESSAGES_MAX = 100 };

enum offline_op {
	/* {"root","rows"} */
	OFFLINE_ROOT,
	/* As daemon/audit.c's state: {"state":"done","rows","total","differences",
	 * "signatures_bad","dropped","messages","elapsed_ms","is_sound"} */
	OFFLINE_VERIFY,
	/* Likewise, and then everything that is wrong is put right: bad rows are dropped,
	 * digests and lists made anew. */
	OFFLINE_REPAIR,
	/* The table as lines of JSON, to `to`. {"rows","root"} */
	OFFLINE_DUMP,
	/* Lines of such, from `load->in`: {"read","new","unchanged","ended","refused","aside",
	 * "is_whole"}; states on the way are {"state":"running","rows","total"} and, of a line
	 * that was not taken, {"state":"running","line","why"}. */
	OFFLINE_LOAD,
	/* The store as one file, to `to`, which is empty and open to read, too. {"bytes"} */
	OFFLINE_BACKUP,
};

struct load;

struct offline_task {
	enum offline_op op;
	FILE *to;
	bool has_keys;	   /* of a backup */
	struct load *load; /* `name`, `in` and `is_strict` are the caller's */
};

/* May the store be opened, because no daemon uses it? When one answers at another socket
 * than expected, but on this data folder, `cli->socket` is set to it. */
bool offline_is_due(struct cli *cli);
/* Does a daemon answer for this data folder, at its own socket or at another? */
bool offline_node_runs(const struct places *places);
/* Returns an exit status; a failure was said. `fn` is called as it goes on. */
int offline_run(const struct cli *cli, const struct offline_task *task, follow_fn *fn,
		void *arg, json_t **ret_json);
/* Where the store is; free(3) it. */
char *offline_store_path(const struct cli *cli);

#endif
