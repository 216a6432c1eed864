/* SPDX-License-Identifier: Apache-2.0 */
/* Judges whether the daemon runs and answers, and its configuration. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/output.h"

static void
daemon_judge_answering(struct doctor *d, const json_t *facts)
{
	const char *socket = doctor_text(facts, "node.socket");
	const char *wanted = doctor_text(facts, "places.socket");
	int pid = (int)doctor_number(facts, "node.reply.pid", 0);
	char up[FORMAT_SIZE];

	format_span(doctor_number(facts, "node.reply.status.node.uptime_s", 0), up);
	if (strcmp(socket, wanted) != 0)
		doctor_say(d, DOCTOR_WARNING,
			   mem_printf("export OCF_SOCKET=%s, or give both the same "
				      "XDG_RUNTIME_DIR",
				      socket),
			   "ocfd (pid %d) answers at %s, and not at %s, where ocf looks "
			   "for it",
			   pid, socket, wanted);
	else if (!doctor_is(facts, "node.reply.ready"))
		doctor_say(d, DOCTOR_WARNING,
			   mem_printf("wait a moment; if it stays so, see %s",
				      doctor_log(facts)),
			   "ocfd (pid %d) is starting or stopping", pid);
	else
		doctor_say(d, DOCTOR_OK, NULL, "ocfd %s (pid %d) answers at %s, up %s",
			   doctor_text(facts, "node.reply.status.node.version"), pid,
			   socket, up);
}

/* It takes connections, or seems to, and says nothing. */
static void
daemon_judge_hanging(struct doctor *d, const json_t *facts)
{
	const char *state = doctor_text(facts, "run.state");
	int pid = (int)doctor_number(facts, "run.pid", 0);
	const char *socket = doctor_text(facts, "places.socket");

	if (doctor_is(facts, "run.is_alive") && state[0] == 'T')
		doctor_say(d, DOCTOR_PROBLEM, mem_printf("kill -CONT %d", pid),
			   "ocfd (pid %d) was stopped by a signal and answers nobody",
			   pid);
	else if (doctor_is(facts, "run.is_alive") && state[0] == 'D')
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("dmesg shows what the disk says; wait, or mend the "
				      "disk"),
			   "ocfd (pid %d) waits for the disk and answers nobody", pid);
	else
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("see %s; if it stays so, start it again",
				      doctor_log(facts)),
			   "somebody takes connections at %s and gives no answer within "
			   "%g s",
			   socket, (double)DOCTOR_ASK_MS / MS_SECOND);
}

static void
daemon_judge_absent(struct doctor *d, const json_t *facts)
{
	const char *socket = doctor_text(facts, "places.socket");
	const char *data = doctor_text(facts, "folder.path");
	int pid = (int)doctor_number(facts, "run.pid", 0);
	bool is_node = doctor_is(facts, "keys.is_there");

	if (doctor_is(facts, "is_named"))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("start that ocfd, or name another with --socket or "
				      "OCF_SOCKET"),
			   "no ocfd answers at %s (%s)", socket,
			   doctor_text(facts, "node.why"));
	else if (!is_node && doctor_is(facts, "folder.is_system_there"))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("sudo ocf doctor, or ocf doctor --socket "
				      "/run/ocf/ocfd.sock"),
			   "there is no node in %s, but one of the whole machine", data);
	else if (!is_node && !doctor_is(facts, "keys.denied"))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("ocf init makes a cluster, ocf join - joins "
				      "one; then: %s",
				      doctor_start(facts)),
			   "there is no node in %s yet", data);
	else if (doctor_is(facts, "run.is_alive"))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("end it (kill %d), and start it again: %s", pid,
				      doctor_start(facts)),
			   "ocfd (pid %d) runs, but its socket %s is gone", pid, socket);
	else if (pid > 0)
		doctor_say(
			d, DOCTOR_PROBLEM,
			mem_printf("start it: %s; why it ended, see %s",
				   doctor_start(facts), doctor_log(facts)),
			"ocfd does not run: it (pid %d) was killed, or it crashed, for "
			"it left its run.json behind",
			pid);
	else
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("start it: %s (first mend what is a problem below)",
				      doctor_start(facts)),
			   "ocfd does not run: nobody listens at %s", socket);
}

static void
daemon_judge_denied(struct doctor *d, const json_t *facts)
{
	const char *group = doctor_text(facts, "node.group");
	/* Of root's group nobody should become a member for this. */
	bool is_root = strcmp(group, "root") == 0 || group[0] == '\0';

	doctor_say(d, DOCTOR_PROBLEM,
		   is_root ? mem_strdup("sudo ocf doctor")
			   : mem_printf("sudo ocf doctor; for good: sudo usermod -aG %s "
					"$USER, and log in anew",
					group),
		   "the socket %s is for members of the group '%s' only",
		   doctor_text(facts, "node.socket"), group);
}

void
doctor_judge_daemon(struct doctor *d, const json_t *facts)
{
	int rc = (int)doctor_number(facts, "node.rc", 0);
	int status = (int)doctor_number(facts, "node.status", EXIT_STATUS_TRY_LATER);

	if (output_member(facts, "node.reply") != NULL)
		daemon_judge_answering(d, facts);
	else if (rc == -EACCES || rc == -EPERM)
		daemon_judge_denied(d, facts);
	else if (rc != 0)
		daemon_judge_absent(d, facts);
	else if (status == EXIT_STATUS_TRY_LATER || status == EXIT_STATUS_UNREACHABLE)
		daemon_judge_hanging(d, facts);
	else
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("is it an ocfd of this version? If so, start it "
				      "again"),
			   "who answers at %s says: %s",
			   doctor_text(facts, "places.socket"),
			   doctor_text(facts, "node.said"));
}

/* ---- configuration ---- */

void
doctor_judge_configuration(struct doctor *d, const json_t *facts)
{
	const char *file = doctor_text(facts, "config.file");
	int status = (int)doctor_number(facts, "config.status", 0);

	if (output_member(facts, "config") == NULL)
		return;
	if (status == -EACCES)
		doctor_say(d, DOCTOR_UNKNOWN, mem_strdup("sudo ocf doctor"),
			   "%s is not for this user to read", file);
	else if (doctor_text(facts, "config.program")[0] == '\0')
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("make install, or put its folder into PATH"),
			   "the program ocfd was not found beside ocf, in PATH, "
			   "/usr/sbin or /usr/local/sbin");
	else if (status == -ENOENT)
		doctor_say(d, DOCTOR_OK, NULL, "there is no %s: the defaults hold", file);
	else if (status != 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("mend that, then: ocfd --check-config"), "%s",
			   status > 0 ? doctor_text(facts, "config.said")
				      : "ocfd could not be asked");
	else if (doctor_is(facts, "config.is_there"))
		doctor_say(d, DOCTOR_OK, NULL, "%s and what goes with it is valid", file);
	else
		doctor_say(d, DOCTOR_OK, NULL, "there is no %s: the defaults hold", file);
}
