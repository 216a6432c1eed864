/* SPDX-License-Identifier: Apache-2.0 */
/* ocf doctor: what is wrong here, and what to do about it. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/output.h"

/* State, check, and what there is to say. */
static void
doctor_print_line(const char *state, const char *check, const char *text)
{
	struct buf safe = BUF_INIT;

	buf_put_text(&safe, text);
	output_make_safe(&safe);
	printf("%-8s %-13s %s\n", state, check, buf_text(&safe));
	buf_fini(&safe);
}

/* Those that nothing is known of for the same reason stand in one line. */
static bool
doctor_is_like(const json_t *a, const json_t *b)
{
	return doctor_state_of(a) == DOCTOR_UNKNOWN &&
	       json_is_null(json_object_get(a, "remedy")) &&
	       json_equal(json_object_get(a, "state"), json_object_get(b, "state")) &&
	       json_equal(json_object_get(a, "text"), json_object_get(b, "text"));
}

static void
doctor_print(const json_t *findings)
{
	size_t len = json_array_size(findings), i = 0;

	while (i < len) {
		const json_t *finding = json_array_get(findings, i++);
		const char *remedy = doctor_text(finding, "remedy");
		struct buf text = BUF_INIT;
		int likes = 0;

		buf_put_text(&text, doctor_text(finding, "text"));
		for (; i < len && doctor_is_like(finding, json_array_get(findings, i));
		     i++)
			buf_printf(&text, "%s%s", likes++ == 0 ? "; likewise: " : ", ",
				   doctor_text(json_array_get(findings, i), "check"));
		doctor_print_line(doctor_text(finding, "state"),
				  doctor_text(finding, "check"), buf_text(&text));
		if (remedy[0] != '\0')
			doctor_print_line("", "  remedy:", remedy);
		buf_fini(&text);
	}
}

static void
doctor_print_sum(const json_t *findings)
{
	int counts[DOCTOR_PROBLEM + 1] = { 0 };

	for (size_t i = 0; i < json_array_size(findings); i++)
		counts[doctor_state_of(json_array_get(findings, i))]++;
	cli_say("%d %s, %d %s", counts[DOCTOR_PROBLEM],
		counts[DOCTOR_PROBLEM] == 1 ? "problem" : "problems",
		counts[DOCTOR_WARNING],
		counts[DOCTOR_WARNING] == 1 ? "warning" : "warnings");
}

int
cmd_doctor(struct cli *cli, int argc, char **argv)
{
	json_t *facts, *findings;
	int status;

	while (cli_option(cli, argc, argv, "", NULL) != -1)
		;
	cli_arguments(cli, argc, argv, 0, 0);
	if (cli->url != NULL)
		return cli_fail(EXIT_STATUS_PERMISSION,
				"'ocf doctor' works on the node itself, through its unix "
				"socket, and not over a URL");
	facts = doctor_look(cli);
	findings = doctor_judge(facts);
	status = doctor_exit_status(findings);
	if (cli->is_json) {
		output_json(findings);
	} else {
		doctor_print(findings);
		doctor_print_sum(findings);
	}
	json_decref(findings);
	json_decref(facts);
	return status;
}
