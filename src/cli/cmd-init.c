/* SPDX-License-Identifier: Apache-2.0 */
/* ocf init: a new cluster, with this machine as its first node. Works on the data folder; no
 * daemon runs yet. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/founding.h"
#include "ident/identity.h"

static int
init_refuse(const struct places *places)
{
	struct identity *identity;
	struct errmsg err = { "" };
	char cluster[ID_TEXT_SIZE];
	int status;

	if (identity_load(places->data, &identity, &err) != 0)
		return cli_fail(
			EXIT_FAILURE,
			"there is an identity in %s already, which cannot be read (%s); "
			"nothing was changed",
			places->data, err.text);
	status = cli_fail(
		EXIT_FAILURE,
		"the node in %s belongs to cluster %s already; nothing was changed. "
		"For another node on this machine use --data",
		places->data, id_text(&identity->cluster_id, cluster));
	identity_free(identity);
	return status;
}

static int
init_make(const struct places *places, struct founding *f)
{
	struct identity *identity;
	struct errmsg err = { "" };
	char cluster[ID_TEXT_SIZE], node[ID_TEXT_SIZE];
	int status = founding_prepare(places);

	if (status != EXIT_SUCCESS)
		return status;
	if (identity_create(places->data, &identity, &err) != 0)
		return cli_fail(EXIT_STATUS_IO, "%s", err.text);
	f->cluster = identity->cluster_id;
	status = founding_make_store(places, f);
	if (status != EXIT_SUCCESS) {
		founding_remove(places, "keys");
	} else {
		printf("Made cluster %s\n", id_text(&identity->cluster_id, cluster));
		printf("and its first node, %s (%s), in %s.\n\n", f->name,
		       id_text(&identity->node_id, node), places->data);
		printf("%s/keys/ca.key lets machines in: keep a copy in a safe place.\n"
		       "Next: start the node with 'ocfd', then let others in with "
		       "'ocf invite'.\n",
		       places->data);
	}
	identity_free(identity);
	return status;
}

int
cmd_init(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "retention", required_argument, NULL, 'r' },
		{ "rows-per-node", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct founding f = { .retention_ms = FOUNDING_RETENTION_MS };
	int64_t rows = FOUNDING_ROWS_PER_NODE;
	char name[FOUNDING_NAME_SIZE];
	const char *given = NULL;
	struct places places;
	int c, status;

	while ((c = cli_option(cli, argc, argv, "", options)) != -1) {
		if (c == 'n')
			given = optarg;
		if (c == 'r' && (clock_parse_span(optarg, &f.retention_ms) != 0 ||
				 f.retention_ms < FOUNDING_RETENTION_MIN_MS ||
				 f.retention_ms > FOUNDING_RETENTION_MAX_MS))
			cli_usage_error(cli, "--retention '%s' is not from 1h to 366d",
					optarg);
		if (c == 'w' && !cli_number(optarg, 1, FOUNDING_ROWS_PER_NODE_MAX, &rows))
			cli_usage_error(cli, "--rows-per-node '%s' is not from 1 to %d",
					optarg, FOUNDING_ROWS_PER_NODE_MAX);
	}
	cli_arguments(cli, argc, argv, 0, 0);
	founding_name(cli, given, name);
	f.name = name;
	f.rows_per_node = (uint32_t)rows;
	status = founding_places(cli, &places);
	if (status != EXIT_SUCCESS)
		return status;
	status = identity_exists(places.data) ? init_refuse(&places)
					      : init_make(&places, &f);
	places_fini(&places);
	return status;
}
