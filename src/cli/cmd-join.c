/* SPDX-License-Identifier: Apache-2.0 */
/* ocf join: become a node of the cluster that made the token. The key is made here and never
 * leaves; what comes back is checked against the token before anything is written. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/format.h"
#include "cli/founding.h"
#include "cli/tokenarg.h"
#include "ident/cert.h"
#include "ident/identity.h"
#include "ident/token.h"
#include "net/join.h"
#include "net/loop.h"

enum { JOIN_SKEW_MAX_MS = 5 * MS_MINUTE }; /* beyond it links carry no rows */

struct joining {
	const struct places *places;
	const char *name;
	struct loop *loop;
	int status;
};

/* What the inviter says of the cluster; the array of seeds as text in `ret_seeds` (free(3)
 * it). */
static int
join_read_constants(struct bytes constants, struct founding *f, char **ret_seeds)
{
	json_int_t retention_ms = 0, rows = 0;
	json_t *json, *seeds = NULL, *seed;
	size_t i;
	int rc = -OCF_EMALFORMED;

	json = json_loadb((const char *)constants.data, constants.len,
			  JSON_REJECT_DUPLICATES, NULL);
	if (json_unpack(json, "{s:I, s:I, s:o}", "retention_ms", &retention_ms,
			"rows_per_node", &rows, "seeds", &seeds) == 0 &&
	    retention_ms >= FOUNDING_RETENTION_MIN_MS &&
	    retention_ms <= FOUNDING_RETENTION_MAX_MS && rows >= 1 &&
	    rows <= FOUNDING_ROWS_PER_NODE_MAX && json_is_array(seeds))
		rc = 0;
	json_array_foreach(seeds, i, seed)
	{
		if (!json_is_string(seed) || strchr(json_string_value(seed), ':') == NULL)
			rc = -OCF_EMALFORMED;
	}
	if (rc == 0) {
		f->retention_ms = retention_ms;
		f->rows_per_node = (uint32_t)rows;
		*ret_seeds = json_dumps(seeds, JSON_COMPACT);
	}
	json_decref(json);
	return rc;
}

/* The inviter dated the certificate just now, by its own clock. */
static void
join_check_clock(const struct identity *identity)
{
	char span[FORMAT_SIZE];
	ms_t made, ahead;

	if (cert_made(buf_bytes(&identity->node_cert), &made) != 0)
		return;
	ahead = clock_wall_ms() - made;
	if (ahead >= -JOIN_SKEW_MAX_MS && ahead <= JOIN_SKEW_MAX_MS)
		return;
	cli_say("warning: this machine's clock is %s %s that of the inviting node. Nodes "
		"whose clocks are more than 5 min apart exchange no rows: set the one that "
		"is wrong%s",
		format_span((double)(ahead < 0 ? -ahead : ahead) / MS_SECOND, span),
		ahead < 0 ? "behind" : "ahead of",
		-ahead > CERT_BACKDATED_MS ? "; before that ocfd does not start here, "
					     "since its certificate is not valid yet"
					   : "");
}

/* Store first: an identity is what makes the folder a node. */
static int
join_save(struct joining *j, const struct join_result *result)
{
	struct founding f = { .cluster = result->identity->cluster_id, .name = j->name };
	char cluster[ID_TEXT_SIZE], node[ID_TEXT_SIZE];
	struct errmsg err = { "" };
	char *seeds = NULL;
	int status;

	if (join_read_constants(result->constants, &f, &seeds) != 0)
		return cli_fail(EXIT_FAILURE,
				"the inviting node's description of the cluster "
				"cannot be read; is it of another version?");
	f.seeds_json = seeds;
	status = founding_make_store(j->places, &f);
	free(seeds);
	if (status != EXIT_SUCCESS)
		return status;
	if (identity_save(result->identity, j->places->data, &err) != 0) {
		founding_remove(j->places, "store");
		return cli_fail(EXIT_STATUS_IO, "%s", err.text);
	}
	printf("Joined cluster %s\n", id_text(&result->identity->cluster_id, cluster));
	printf("as node %s (%s), in %s.\n", j->name,
	       id_text(&result->identity->node_id, node), j->places->data);
	printf("Next: start the node with 'ocfd'.\n");
	join_check_clock(result->identity);
	return EXIT_SUCCESS;
}

static int
join_status(int code)
{
	return code == -EHOSTUNREACH ? EXIT_STATUS_TRY_LATER : EXIT_FAILURE;
}

static void
join_say_attempt(const struct join_attempt *a)
{
	size_t len = strlen(a->address);

	if (a->code == 0)
		cli_say("%s answered", a->address);
	else if (a->code != -ECANCELED && strncmp(a->why.text, a->address, len) == 0)
		cli_say("%s", a->why.text);
	else if (a->code != -ECANCELED)
		cli_say("%s: %s", a->address, a->why.text);
}

static void
join_on_done(void *arg, const struct join_result *result)
{
	struct joining *j = arg;

	for (unsigned i = 0; i < result->attempts_len; i++)
		join_say_attempt(&result->attempts[i]);
	if (result->code == 0)
		j->status = join_save(j, result);
	else
		j->status = cli_fail(join_status(result->code), "%s", result->why.text);
	loop_stop(j->loop);
}

static int
join_run(const struct places *places, const char *name, const struct token *token)
{
	struct joining j = { places, name, NULL, EXIT_FAILURE };
	struct join_client *client;
	struct key *key;
	int status = founding_prepare(places);

	/* Before the invitation is used up. */
	if (status != EXIT_SUCCESS)
		return status;
	j.loop = loop_new();
	key = key_generate();
	client = join_client_new(j.loop, token, key, name, join_on_done, &j);
	loop_run(j.loop);
	join_client_free(client);
	key_free(key);
	loop_free(j.loop);
	if (j.status != EXIT_SUCCESS)
		rmdir(places->data); /* goes only when it is empty */
	return j.status;
}

/* A node already: fine when it is of this cluster. */
static int
join_again(const struct places *places, const struct token *token)
{
	struct identity *identity;
	struct errmsg err = { "" };
	char cluster[ID_TEXT_SIZE];
	int status = EXIT_SUCCESS;

	if (identity_load(places->data, &identity, &err) != 0)
		return cli_fail(
			EXIT_FAILURE,
			"there is an identity in %s already, which cannot be read (%s); "
			"nothing was changed",
			places->data, err.text);
	id_text(&identity->cluster_id, cluster);
	if (ident_equal(identity->fingerprint, token->fingerprint,
			sizeof(token->fingerprint)))
		printf("The node in %s is of this cluster (%s) already; nothing was "
		       "changed.\nOne that was banned or forgotten joins with an empty "
		       "folder: move this one away first\n(A NEW KEY in ocf(1)).\n",
		       places->data, cluster);
	else
		status = cli_fail(
			EXIT_FAILURE,
			"the node in %s belongs to another cluster, %s; nothing was "
			"changed. For a node of its own on this machine use --data",
			places->data, cluster);
	identity_free(identity);
	return status;
}

int
cmd_join(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	char name[FOUNDING_NAME_SIZE];
	const char *given = NULL;
	struct errmsg err = { "" };
	struct places places;
	struct token token;
	int status;

	while (cli_option(cli, argc, argv, "", options) != -1)
		given = optarg;
	cli_arguments(cli, argc, argv, 1, 1);
	founding_name(cli, given, name);
	status = tokenarg_read(argv[optind], &token);
	if (status != EXIT_SUCCESS)
		return status;
	status = founding_places(cli, &places);
	if (status != EXIT_SUCCESS)
		return status;
	if (identity_exists(places.data))
		status = join_again(&places, &token);
	else if (token_check_time(&token, clock_wall_ms(), &err) != 0)
		status = cli_fail(EXIT_FAILURE, "the token cannot be used: %s", err.text);
	else
		status = join_run(&places, name, &token);
	ident_wipe(&token, sizeof(token));
	places_fini(&places);
	return status;
}
