/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/output.h"

enum doctor_need {
	DOCTOR_NEEDS_NOTHING,
	DOCTOR_NEEDS_FOLDER, /* to know which folder is meant */
	DOCTOR_NEEDS_DATA,   /* and that it is there */
	DOCTOR_NEEDS_NODE,   /* that answers */
};

static const struct doctor_check {
	const char *name;
	enum doctor_need need;
	void (*judge)(struct doctor *d, const json_t *facts);
} doctor_checks[] = {
	{ "daemon", DOCTOR_NEEDS_NOTHING, doctor_judge_daemon },
	{ "configuration", DOCTOR_NEEDS_FOLDER, doctor_judge_configuration },
	{ "folder", DOCTOR_NEEDS_FOLDER, doctor_judge_folder },
	{ "disk", DOCTOR_NEEDS_DATA, doctor_judge_disk },
	{ "keys", DOCTOR_NEEDS_DATA, doctor_judge_keys },
	{ "certificates", DOCTOR_NEEDS_DATA, doctor_judge_certificates },
	{ "ca", DOCTOR_NEEDS_DATA, doctor_judge_ca },
	{ "ports", DOCTOR_NEEDS_FOLDER, doctor_judge_ports },
	{ "bus", DOCTOR_NEEDS_FOLDER, doctor_judge_bus },
	{ "files", DOCTOR_NEEDS_FOLDER, doctor_judge_files },
	{ "memory", DOCTOR_NEEDS_FOLDER, doctor_judge_memory },
	{ "clock", DOCTOR_NEEDS_NODE, doctor_judge_clock },
	{ "links", DOCTOR_NEEDS_NODE, doctor_judge_links },
	{ "inbound", DOCTOR_NEEDS_NODE, doctor_judge_inbound },
	{ "addresses", DOCTOR_NEEDS_NODE, doctor_judge_addresses },
	{ "nodes", DOCTOR_NEEDS_NODE, doctor_judge_nodes },
	{ "versions", DOCTOR_NEEDS_NODE, doctor_judge_versions },
	{ "table", DOCTOR_NEEDS_NODE, doctor_judge_table },
	{ "store", DOCTOR_NEEDS_NODE, doctor_judge_store },
};

static const char *const doctor_states[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_UNKNOWN] = "unknown",
	[DOCTOR_WARNING] = "warning",
	[DOCTOR_PROBLEM] = "problem",
};

void
doctor_say(struct doctor *d, enum doctor_state state, char *remedy, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	json_array_append_new(
		d->findings,
		json_pack("{s:s, s:s, s:o, s:o}", "check", d->check, "state",
			  doctor_states[state], "text", doctor_string(text), "remedy",
			  remedy != NULL ? doctor_string(remedy) : json_null()));
	free(text);
	free(remedy);
}

static bool
doctor_is_met(struct doctor *d, enum doctor_need need, const json_t *facts)
{
	bool is_answering = output_member(facts, "node.reply") != NULL;

	if (is_answering || need == DOCTOR_NEEDS_NOTHING)
		return true;
	if (need == DOCTOR_NEEDS_NODE)
		doctor_say(d, DOCTOR_UNKNOWN, NULL,
			   "only an ocfd that runs and answers knows");
	else if (doctor_is(facts, "is_named"))
		doctor_say(d, DOCTOR_UNKNOWN, NULL,
			   "whose node it is, only the ocfd of that socket knows");
	else if (need == DOCTOR_NEEDS_DATA && doctor_is(facts, "folder.is_missing"))
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "there is no %s yet",
			   doctor_text(facts, "folder.path"));
	else
		return true;
	return false;
}

json_t *
doctor_judge(const json_t *facts)
{
	struct doctor d = { .findings = json_array() };

	for (size_t i = 0; i < sizeof(doctor_checks) / sizeof(doctor_checks[0]); i++) {
		size_t before = json_array_size(d.findings);

		d.check = doctor_checks[i].name;
		if (doctor_is_met(&d, doctor_checks[i].need, facts))
			doctor_checks[i].judge(&d, facts);
		if (json_array_size(d.findings) == before)
			doctor_say(&d, DOCTOR_UNKNOWN, NULL,
				   "could not be looked at in time: does the disk hang?");
	}
	return d.findings;
}

enum doctor_state
doctor_state_of(const json_t *finding)
{
	const char *name = doctor_text(finding, "state");

	for (int i = 0; i <= DOCTOR_PROBLEM; i++) {
		if (strcmp(name, doctor_states[i]) == 0)
			return (enum doctor_state)i;
	}
	return DOCTOR_UNKNOWN;
}

int
doctor_exit_status(const json_t *findings)
{
	bool is_seen = false, is_bad = false;
	const json_t *finding;
	size_t i;

	json_array_foreach((json_t *)findings, i, finding)
	{
		enum doctor_state state = doctor_state_of(finding);
		/* That it does not answer is all that is known of it. */
		bool is_daemon = strcmp(doctor_text(finding, "check"), "daemon") == 0;

		is_bad = is_bad || state == DOCTOR_PROBLEM;
		is_seen = is_seen || state == DOCTOR_OK ||
			  (!is_daemon && state != DOCTOR_UNKNOWN);
	}
	if (!is_seen)
		return EXIT_STATUS_UNREACHABLE;
	return is_bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- facts ---- */

const char *
doctor_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(output_member(object, path));

	return text != NULL ? text : "";
}

double
doctor_number(const json_t *object, const char *path, double none)
{
	const json_t *value = output_member(object, path);

	return json_is_number(value) ? json_number_value(value) : none;
}

bool
doctor_is(const json_t *object, const char *path)
{
	return json_is_true(output_member(object, path));
}

const char *
doctor_option(const json_t *facts, const char *name)
{
	/* The name has a dot of its own. */
	const char *text = json_string_value(
		json_object_get(output_member(facts, "config.options"), name));

	return text != NULL ? text : "";
}

static bool
doctor_is_service(const json_t *facts)
{
	return strcmp(doctor_text(facts, "folder.path"), "/var/lib/ocf") == 0;
}

const char *
doctor_start(const json_t *facts)
{
	return doctor_is_service(facts) ? "systemctl start ocfd" : "ocfd";
}

const char *
doctor_log(const json_t *facts)
{
	return doctor_is_service(facts) ? "journalctl -u ocfd -n 50" : "the log of ocfd";
}
