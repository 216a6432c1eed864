/* SPDX-License-Identifier: Apache-2.0 */
/* Judges what of this machine a node needs, with a daemon or without one. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/output.h"

enum {
	/* Below it a commit, which may copy many pages, can fail at any moment. */
	LOCAL_DISK_BYTES_LOW = 64 * 1024 * 1024,
	/* Below it a person has time to do something. */
	LOCAL_DISK_BYTES_SCARCE = 1024 * 1024 * 1024,
	LOCAL_MEMORY_PERCENT_LOW = 5,
	/* What daemon/doctor.c says; for a node that does not run. */
	LOCAL_FILES_NEEDED = 2688,
	/* Of the limit; then a burst of clients reaches it. */
	LOCAL_FILES_PERCENT_HIGH = 80,
};

static bool
local_has_reply(const json_t *facts)
{
	return output_member(facts, "node.reply") != NULL;
}

/* ---- folder, disk ---- */

void
doctor_judge_folder(struct doctor *d, const json_t *facts)
{
	const char *path = doctor_text(facts, "folder.path");
	const char *error = doctor_text(facts, "folder.error");
	const char *owner = doctor_text(facts, "folder.owner");
	const char *strange = doctor_text(facts, "folder.strange");
	int mode = (int)doctor_number(facts, "folder.mode", 0);
	int uid = (int)doctor_number(facts, "folder.uid", -1);
	int user = (int)doctor_number(facts, "user", -1);
	size_t before = json_array_size(d->findings);

	if (output_member(facts, "folder") == NULL)
		return;
	if (doctor_text(facts, "folder.file_system")[0] != '\0')
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("move it to a local disk, and name it with --data "
				      "or XDG_STATE_HOME"),
			   "%s", doctor_text(facts, "folder.file_system"));
	if (doctor_is(facts, "folder.is_missing")) {
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "there is no %s yet", path);
		return;
	}
	if (error[0] != '\0') {
		doctor_say(d, DOCTOR_UNKNOWN, mem_strdup("sudo ocf doctor"), "%s: %s",
			   path, error);
		return;
	}
	if (!doctor_is(facts, "folder.is_folder"))
		doctor_say(d, DOCTOR_PROBLEM, mem_strdup("name another with --data"),
			   "%s is not a folder", path);
	if (uid != user && user != 0 && !local_has_reply(facts))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("run ocfd and ocf as that user: sudo -u %s ocf "
				      "doctor",
				      owner),
			   "%s belongs to another user, %s", path, owner);
	if ((mode & 022) != 0)
		doctor_say(
			d, DOCTOR_PROBLEM, mem_printf("chmod 750 '%s'", path),
			"others may write in %s (mode %04o), and so replace the node's "
			"keys",
			path, mode);
	else if ((mode & 07) != 0)
		doctor_say(d, DOCTOR_WARNING, mem_printf("chmod 750 '%s'", path),
			   "everybody on this machine may look into %s (mode %04o)", path,
			   mode);
	if (strange[0] != '\0')
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("chown -R --reference='%s' '%s'/*", path, path),
			   "%s belongs to another user than its folder does, %s", strange,
			   owner);
	if (json_array_size(d->findings) == before)
		doctor_say(d, DOCTOR_OK, NULL, "%s, of user %s, mode %04o", path, owner,
			   mode);
}

void
doctor_judge_disk(struct doctor *d, const json_t *facts)
{
	const char *path = doctor_text(facts, "folder.path");
	const char *error = doctor_text(facts, "node.reply.store.error");
	double free_bytes = doctor_number(facts, "folder.free", -1);
	/* Who may not look into the folder knows it from the node. */
	double store = doctor_number(facts, "folder.store_bytes",
				     doctor_number(facts, "node.reply.store.bytes", 0));
	char left[FORMAT_SIZE], has[FORMAT_SIZE];

	if (output_member(facts, "folder") == NULL)
		return;
	format_bytes((int64_t)free_bytes, left);
	format_bytes((int64_t)store, has);
	if (strcmp(error, error_text(-ENOSPC)) == 0 ||
	    strcmp(error, error_text(-EDQUOT)) == 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("make room on the file system of %s", path),
			   "the disk is full (%s): this node takes nothing new", error);
	else if (free_bytes < 0)
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "how much room %s has, is not known",
			   path);
	else if (doctor_is(facts, "folder.is_read_only"))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("dmesg says why; mend the disk, or mount it to be "
				      "written"),
			   "the file system of %s can only be read", path);
	else if (doctor_is(facts, "folder.has_no_files_left"))
		doctor_say(
			d, DOCTOR_PROBLEM, mem_strdup("remove files: df -i shows where"),
			"the file system of %s has room, but for no further file", path);
	else if (free_bytes < LOCAL_DISK_BYTES_LOW)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("make room on the file system of %s", path),
			   "%s are free for %s; without room the node takes nothing new",
			   left, path);
	else if (free_bytes < LOCAL_DISK_BYTES_SCARCE || free_bytes < store)
		doctor_say(d, DOCTOR_WARNING,
			   mem_printf("make room on the file system of %s", path),
			   "%s are free for %s; the store has %s, and a backup takes as "
			   "much",
			   left, path, has);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%s are free for %s; the store has %s",
			   left, path, has);
}

/* ---- ports ---- */

static void
local_judge_port(struct doctor *d, const json_t *port)
{
	const char *option = doctor_text(port, "option");
	const char *address = doctor_text(port, "address");
	const char *state = doctor_text(port, "state"), *by = doctor_text(port, "by");

	if (strcmp(state, "taken") == 0)
		doctor_say(
			d, DOCTOR_PROBLEM,
			mem_printf("end that program, or set %s to another port", option),
			"%s %s is in use by %s", option, address,
			by[0] != '\0' ? by : "another program (as root: which)");
	else if (strcmp(state, "denied") == 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("set %s to a port above 1023", option),
			   "%s %s: only root may listen there", option, address);
	else if (strcmp(state, "elsewhere") == 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("set %s to an address that `ip address` shows",
				      option),
			   "%s %s: this machine has no such address", option, address);
	else if (strcmp(state, "unresolved") == 0)
		doctor_say(
			d, DOCTOR_PROBLEM,
			mem_printf("set %s to a number, such as 127.0.0.1:8092", option),
			"%s %s: nobody knows that name", option, address);
	else if (strcmp(state, "silent") == 0)
		doctor_say(d, DOCTOR_WARNING,
			   mem_strdup("nothing, if ocfd runs in a container: then only "
				      "what its network lets through can be reached"),
			   "%s %s: nobody listens in this network namespace", option,
			   address);
}

void
doctor_judge_ports(struct doctor *d, const json_t *facts)
{
	const json_t *ports = output_member(facts, "ports"), *port;
	size_t before = json_array_size(d->findings), i;
	struct buf list = BUF_INIT;

	if (ports == NULL)
		return;
	json_array_foreach((json_t *)ports, i, port)
	{
		local_judge_port(d, port);
		buf_printf(&list, "%s%s %s", i > 0 ? ", " : "",
			   doctor_text(port, "option"), doctor_text(port, "address"));
	}
	if (json_array_size(ports) == 0)
		doctor_say(d, DOCTOR_UNKNOWN, NULL,
			   "a configuration that is not valid tells no ports");
	else if (json_array_size(d->findings) == before)
		doctor_say(d, DOCTOR_OK, NULL,
			   local_has_reply(facts) || doctor_is(facts, "run.is_alive")
				   ? "listening: %s"
				   : "free: %s",
			   buf_text(&list));
	buf_fini(&list);
}

/* ---- bus ---- */

/* A user and a password may stand in it. */
static const char *
local_bus_url(const char *url)
{
	const char *at = strrchr(url, '@');

	return at != NULL ? at + 1 : url;
}

/* Of the version that Debian 12 has and all tests run with: 2.9. */
static bool
local_is_old_server(const char *version)
{
	int major = 0, minor = 0;

	return sscanf(version, "%d.%d", &major, &minor) == 2 &&
	       (major < 2 || (major == 2 && minor < 9));
}

static bool
local_judge_server(struct doctor *d, const char *version)
{
	if (!local_is_old_server(version))
		return false;
	doctor_say(d, DOCTOR_WARNING, mem_strdup("install nats-server 2.9 or newer"),
		   "nats-server %s is older than 2.9, with which this is tested",
		   version);
	return true;
}

static void
local_judge_bus_idle(struct doctor *d, const json_t *facts)
{
	const char *wanted = doctor_option(facts, "bus.server");
	const char *url = doctor_option(facts, "bus.url");
	const char *version = doctor_text(facts, "server.version");

	if (strcmp(wanted, "none") == 0)
		doctor_say(d, DOCTOR_OK, NULL,
			   "none (bus.server = none): a node without workers");
	else if (url[0] != '\0')
		doctor_say(d, DOCTOR_UNKNOWN, NULL,
			   "whether the bus at %s answers, ocfd finds out",
			   local_bus_url(url));
	else if (doctor_text(facts, "server.program")[0] == '\0' &&
		 (wanted[0] == '\0' || strcmp(wanted, "auto") == 0))
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("apt install nats-server; or in ocf.conf, [bus]: "
				      "url = a NATS server that runs, or server = none "
				      "for a node without workers"),
			   "nats-server was not found in PATH, /usr/sbin or "
			   "/usr/local/sbin");
	else if (doctor_text(facts, "server.program")[0] == '\0')
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("in ocf.conf, [bus]: server = the path of "
				      "nats-server, or auto"),
			   "bus.server: %s is not a program that can be run", wanted);
	else if (!local_judge_server(d, version))
		doctor_say(d, DOCTOR_OK, NULL, "nats-server %s is at %s", version,
			   doctor_text(facts, "server.program"));
}

void
doctor_judge_bus(struct doctor *d, const json_t *facts)
{
	const char *state = doctor_text(facts, "node.reply.status.bus.state");
	const char *url = local_bus_url(doctor_text(facts, "node.reply.status.bus.url"));
	const char *version = doctor_text(facts, "server.version");
	const char *trouble = doctor_text(facts, "node.reply.status.bus.trouble");
	int restarts = (int)doctor_number(facts, "node.reply.bus.restarts", 0);
	bool is_own = doctor_is(facts, "node.reply.status.bus.embedded");

	if (!local_has_reply(facts)) {
		if (output_member(facts, "server") != NULL)
			local_judge_bus_idle(d, facts);
		return;
	}
	if (strcmp(state, "none") == 0)
		doctor_say(d, DOCTOR_OK, NULL,
			   "none (bus.server = none): a node without workers");
	else if (strcmp(state, "up") != 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   is_own ? mem_printf("what nats-server says, see %s",
					       doctor_log(facts))
				  : mem_strdup("is that NATS server up, and are bus.url "
					       "and bus.credentials right?"),
			   "the bus%s%s is down: no worker of this node is reached%s%s",
			   url[0] != '\0' ? " at " : "", url,
			   trouble[0] != '\0' ? "; " : "", trouble);
	else if (restarts > 0)
		doctor_say(d, DOCTOR_WARNING,
			   mem_printf("why, see %s; is there memory enough?",
				      doctor_log(facts)),
			   "nats-server at %s is up, but ended %d %s since ocfd started",
			   url, restarts, restarts == 1 ? "time" : "times");
	else if (!local_judge_server(d, version))
		doctor_say(d, DOCTOR_OK, NULL, "%s%s%s at %s, up",
			   is_own ? "nats-server" : "a bus of yours",
			   version[0] != '\0' ? " " : "", version, url);
}

/* ---- open files, memory ---- */

void
doctor_judge_files(struct doctor *d, const json_t *facts)
{
	bool is_running = local_has_reply(facts);
	double limit = is_running ? doctor_number(facts, "node.reply.files.limit", -1)
				  : doctor_number(facts, "system.files", -1);
	double open = doctor_number(facts, "node.reply.files.open", 0);
	double needed = doctor_number(facts, "node.reply.files.needed",
				      LOCAL_FILES_NEEDED);
	char *remedy = mem_strdup("ulimit -Hn 8192 before ocfd is started, or for the "
				  "service: LimitNOFILE=8192 with systemctl edit ocfd");

	if (limit < 0) {
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "the limit is not known");
		free(remedy);
	} else if (open * 100 >= limit * LOCAL_FILES_PERCENT_HIGH) {
		doctor_say(d, DOCTOR_PROBLEM, remedy,
			   "%.0f of the %.0f files that ocfd may have open are: soon it "
			   "takes no further link or client",
			   open, limit);
	} else if (limit < needed) {
		doctor_say(
			d, DOCTOR_WARNING, remedy,
			"ocfd may have %.0f files open; with all the links and clients "
			"that it allows it needs %.0f",
			limit, needed);
	} else {
		free(remedy);
		if (is_running)
			doctor_say(d, DOCTOR_OK, NULL,
				   "%.0f are open, %.0f may be, %.0f are needed at most",
				   open, limit, needed);
		else
			doctor_say(d, DOCTOR_OK, NULL,
				   "%.0f may be open, %.0f are needed at most", limit,
				   needed);
	}
}

void
doctor_judge_memory(struct doctor *d, const json_t *facts)
{
	double total = doctor_number(facts, "system.memory", -1);
	double free_bytes = doctor_number(facts, "system.memory_free", -1);
	char left[FORMAT_SIZE], all[FORMAT_SIZE];

	if (total <= 0 || free_bytes < 0) {
		doctor_say(d, DOCTOR_UNKNOWN, NULL, "/proc/meminfo does not tell");
		return;
	}
	format_bytes((int64_t)free_bytes, left);
	format_bytes((int64_t)total, all);
	if (free_bytes * 100 < total * LOCAL_MEMORY_PERCENT_LOW)
		doctor_say(
			d, DOCTOR_WARNING,
			mem_strdup("end what takes it (ps --sort=-rss aux), or give "
				   "workers less"),
			"%s of %s can be had: the kernel may soon end ocfd, its bus or "
			"a worker",
			left, all);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%s of %s can be had", left, all);
}
