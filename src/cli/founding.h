/* SPDX-License-Identifier: Apache-2.0 */
/* What `ocf init` and `ocf join` have in common: a data folder that becomes a node, whole or
 * not at all. */
#ifndef OCF_CLI_FOUNDING_H
#define OCF_CLI_FOUNDING_H

#include <stdint.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/places.h"
#include "cli/command.h"

enum {
	FOUNDING_RETENTION_MS = 7 * MS_DAY,
	/* Below an hour the horizon, which goes in whole hours, would sweep what is fresh. */
	FOUNDING_RETENTION_MIN_MS = MS_HOUR,
	FOUNDING_ROWS_PER_NODE = 16384,
	FOUNDING_ROWS_PER_NODE_MAX = 1 << 20,
	FOUNDING_NAME_SIZE = LIMIT_NODE_NAME_BYTES_MAX + 1,
};

/* Above a year the table would remember for longer than anyone does; too large for an enum. */
#define FOUNDING_RETENTION_MAX_MS (366 * (ms_t)MS_DAY)

/* `given`, or the host's name up to its first dot. A name that cannot be one ends the
 * program with a usage error. */
void founding_name(const struct cli *cli, const char *given, char ret_name[FOUNDING_NAME_SIZE]);
/* Find the places, become their owner, check the file system, the socket's path. Returns an
 * exit status; on EXIT_SUCCESS the caller has places_fini() to call. */
int founding_places(const struct cli *cli, struct places *ret_places);
/* Make the data folder (0750), and refuse one that has a store but no identity: it may hold
 * what is left of a node. Returns an exit status. */
int founding_prepare(const struct places *places);

struct founding {
	struct id cluster;
	ms_t retention_ms;
	uint32_t rows_per_node;
	const char *name;	/* of this node */
	const char *seeds_json; /* an array of addresses, or NULL */
};

/* Make <data>/store with the constants, and in it the name and the seeds. On failure the
 * store is gone again. Returns an exit status. */
int founding_make_store(const struct places *places, const struct founding *f);
/* Undo: remove the folder <data>/`name` and the files in it. Only for what this process made. */
void founding_remove(const struct places *places, const char *name);

#endif
