/* SPDX-License-Identifier: Apache-2.0 */
/* Judges the keys and certificates of this node, and who else holds the cluster's key. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/output.h"

enum { KEYS_DAYS_WARNED = 30 }; /* before a certificate ends */

/* "2036-11-20". */
static void
keys_date(ms_t at_ms, char out[CLOCK_TEXT_SIZE])
{
	clock_text(at_ms, out);
	out[10] = '\0';
}

void
doctor_judge_keys(struct doctor *d, const json_t *facts)
{
	const json_t *open = output_member(facts, "keys.open"), *file;
	const char *data = doctor_text(facts, "folder.path");
	const char *error = doctor_text(facts, "keys.error");
	size_t before = json_array_size(d->findings), i;

	if (output_member(facts, "keys") == NULL)
		return;
	json_array_foreach((json_t *)open, i, file)
	{
		int right = (int)doctor_number(file, "right", 0);

		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("chmod %o '%s'", right, doctor_text(file, "path")),
			   "%s can be %s by others (mode %04o); ocfd does not start so",
			   doctor_text(file, "path"), right == 0600 ? "read" : "written",
			   (int)doctor_number(file, "mode", 0));
	}
	if (doctor_is(facts, "keys.denied"))
		doctor_say(d, DOCTOR_UNKNOWN, mem_strdup("sudo ocf doctor"),
			   "%s/keys is for its owner alone to read", data);
	else if (!doctor_is(facts, "keys.is_there"))
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "there are none in %s", data);
	else if (error[0] != '\0')
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("ocf-sync restore FILE, of a backup; or move %s "
				      "away and ocf join TOKEN again",
				      data),
			   "%s", error);
	else if (json_array_size(d->findings) == before)
		doctor_say(d, DOCTOR_OK, NULL,
			   "%s/keys: key, certificate and CA fit together, and are for "
			   "their owner alone",
			   data);
}

static void
keys_judge_certificate(struct doctor *d, const json_t *cert, ms_t now_ms)
{
	const char *name = doctor_text(cert, "name");
	bool is_ca = strcmp(name, "ca.crt") == 0;
	ms_t from_ms = (ms_t)doctor_number(cert, "from_ms", 0);
	ms_t until_ms = (ms_t)doctor_number(cert, "until_ms", 0);
	char from[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
	char *renew = mem_strdup(is_ca ? "only a new cluster has a new CA: ocf init"
				       : "ocf drain, then move the data folder away and "
					 "ocf join TOKEN anew; ocf forget the old node");

	keys_date(from_ms, from);
	keys_date(until_ms, until);
	clock_text(now_ms, now);
	if (now_ms < from_ms)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("timedatectl set-ntp true, or date --set"),
			   "%s is not valid before %s, and this machine's clock shows "
			   "%.16s: it is behind",
			   name, from, now);
	else if (now_ms > until_ms)
		doctor_say(d, DOCTOR_PROBLEM, mem_strdup(renew),
			   "%s has expired on %s, and this machine's clock shows %.16s: "
			   "no node takes it",
			   name, until, now);
	else if (until_ms - now_ms < KEYS_DAYS_WARNED * (ms_t)MS_DAY)
		doctor_say(d, DOCTOR_WARNING, mem_strdup(renew),
			   "%s expires on %s, in %d days", name, until,
			   (int)((until_ms - now_ms) / MS_DAY));
	free(renew);
}

void
doctor_judge_certificates(struct doctor *d, const json_t *facts)
{
	const json_t *certs = output_member(facts, "keys.certs"), *cert;
	ms_t now_ms = (ms_t)doctor_number(facts, "now_ms", 0);
	size_t before = json_array_size(d->findings), i;
	struct buf list = BUF_INIT;

	if (output_member(facts, "keys") == NULL)
		return;
	json_array_foreach((json_t *)certs, i, cert)
	{
		char until[CLOCK_TEXT_SIZE];

		keys_judge_certificate(d, cert, now_ms);
		keys_date((ms_t)doctor_number(cert, "until_ms", 0), until);
		buf_printf(&list, "%s%s until %s", i > 0 ? ", " : "",
			   doctor_text(cert, "name"), until);
	}
	if (json_array_size(certs) == 0)
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "none could be read");
	else if (json_array_size(d->findings) == before)
		doctor_say(d, DOCTOR_OK, NULL, "valid: %s", buf_text(&list));
	buf_fini(&list);
}

void
doctor_judge_ca(struct doctor *d, const json_t *facts)
{
	const char *has = "the cluster's key (ca.key), by which nodes are invited and "
			  "banned,";
	bool is_here = doctor_is(facts, "node.reply.ca_key") ||
		       doctor_is(facts, "keys.has_ca_key");
	/* -1: no daemon answers. */
	int holders = (int)doctor_number(facts, "node.reply.status.cluster.ca_holders",
					 -1);

	if (output_member(facts, "keys") == NULL)
		return;
	if (holders > 1)
		doctor_say(d, DOCTOR_OK, NULL, "%d nodes hold the cluster's key%s",
			   holders, is_here ? ", this one among them" : "");
	else if (holders == 1)
		doctor_say(
			d, DOCTOR_WARNING,
			mem_printf(
				"let a second node have it: ocf invite --admin %s, and "
				"ocf join - on the new machine; and keep a backup "
				"(ocf backup)",
				is_here ? "here" : "at the node that has it"),
			"%s is at one node alone: if that is lost, it is lost", has);
	else if (holders == 0)
		doctor_say(d, DOCTOR_WARNING,
			   mem_strdup("bring back a node that has it, or a backup of one "
				      "(ocf-sync restore)"),
			   "%s is at no node that is seen", has);
	else if (is_here)
		doctor_say(d, DOCTOR_UNKNOWN,
			   mem_strdup("keep a backup: ocf backup FILE"),
			   "%s is held here; who else has it, is not known", has);
	else
		doctor_say(d, DOCTOR_UNKNOWN, NULL,
			   "%s is not held here; who has it, is not known", has);
}
