/* SPDX-License-Identifier: Apache-2.0 */
/* What is looked at, each by a process of its own (doctor-parts.c), and always to read only. */
#include "config.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/places.h"
#include "base/program.h"
#include "cli/client.h"
#include "cli/doctor.h"
#include "cli/explain.h"
#include "cli/output.h"
#include "net/stream.h"

/* ---- the daemon ---- */

/* What run.json says, or NULL. */
static json_t *
look_read_run(const char *data)
{
	enum { RUN_BYTES_MAX = 64 * 1024 };
	char *path = mem_printf("%s/run.json", data);
	struct buf text = BUF_INIT;
	json_t *run = NULL;

	if (file_read(path, RUN_BYTES_MAX, &text, NULL) == 0)
		run = json_loadb((const char *)text.data, text.len, 0, NULL);
	buf_fini(&text);
	free(path);
	return run;
}

/* The socket to ask: the one that is meant, or where nobody is there the one that the node
 * wrote into its folder. */
static char *
look_find_socket(const json_t *facts, int *ret_rc)
{
	const char *socket = doctor_text(facts, "places.socket");
	json_t *run;
	char *found;

	*ret_rc = explain_connect(socket);
	if (*ret_rc == 0 || *ret_rc == -EACCES || doctor_is(facts, "is_named"))
		return mem_strdup(socket);
	run = look_read_run(doctor_text(facts, "places.data"));
	found = mem_strdup(doctor_text(run, "socket"));
	json_decref(run);
	if (found[0] == '\0' || strcmp(found, socket) == 0 ||
	    explain_connect(found) != 0) {
		free(found);
		return mem_strdup(socket);
	}
	*ret_rc = 0;
	return found;
}

static int
look_ask(struct cli *cli, const char *socket, json_t **ret_reply)
{
	struct client_request request = CLIENT_REQUEST_INIT;
	struct client_reply reply;
	int status;

	cli->socket = socket;
	cli->url = NULL;
	request.method = "POST";
	request.path = "/v1/admin/doctor";
	request.is_admin = true;
	request.timeout_ms = DOCTOR_ASK_MS;
	status = client_send(cli, &request, &reply);
	if (status == EXIT_SUCCESS)
		*ret_reply = json_loadb((const char *)reply.body.data, reply.body.len, 0,
					NULL);
	if (status == EXIT_SUCCESS && !json_is_object(*ret_reply))
		status = cli_fail(EXIT_FAILURE, "the reply is not JSON: is it an ocfd?");
	client_reply_fini(&reply);
	return status;
}

static json_t *
look_at_node(const struct cli *given, const json_t *facts)
{
	struct cli cli = *given;
	json_t *reply = NULL, *node;
	int rc, status, words = memfd_create("stderr", MFD_CLOEXEC);
	char *socket = look_find_socket(facts, &rc), said[512] = "";
	ssize_t len = 0;

	/* What keeps it from answering is said there, in one sentence. */
	if (words >= 0)
		dup2(words, STDERR_FILENO);
	status = look_ask(&cli, socket, &reply);
	if (words >= 0)
		len = pread(words, said, sizeof(said) - 1, 0);
	said[len > 0 ? len : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	node = json_pack("{s:o, s:i, s:s, s:i, s:o, s:o*}", "socket",
			 doctor_string(socket), "rc", rc, "why", error_text(rc), "status",
			 status, "said",
			 doctor_string(strncmp(said, "ocf: ", 5) == 0 ? said + 5 : said),
			 "reply", reply);
	if (rc == -EACCES) {
		char *group = explain_group(socket);

		json_object_set_new(node, "group", doctor_string(group));
		free(group);
	}
	free(socket);
	return node;
}

/* "ocfd" and "S" of "12 (ocfd) S …". */
static void
look_at_process(json_int_t pid, json_t *run)
{
	char *path = mem_printf("/proc/%lld/stat", (long long)pid);
	struct buf text = BUF_INIT;
	const char *open, *close;
	char state[2] = "";

	if (file_read(path, 4096, &text, NULL) == 0) {
		open = strchr(buf_text(&text), '(');
		close = strrchr(buf_text(&text), ')');
		if (open != NULL && close != NULL && close[1] == ' ') {
			state[0] = close[2];
			json_object_set_new(
				run, "is_alive",
				json_boolean(strncmp(open, "(ocfd)", 6) == 0 &&
					     state[0] != 'Z'));
			json_object_set_new(run, "state", doctor_string(state));
		}
	}
	buf_fini(&text);
	free(path);
}

static json_t *
look_at_run(const struct cli *cli, const json_t *facts)
{
	json_t *run = look_read_run(doctor_text(facts, "places.data"));

	(void)cli;
	if (json_is_object(run))
		look_at_process((json_int_t)doctor_number(run, "pid", 0), run);
	if (json_is_object(run))
		return run;
	json_decref(run);
	return json_object();
}

/* ---- the configuration ---- */

char *
doctor_find_ocfd(void)
{
	char self[PATH_MAX], *path = NULL;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len > 0) {
		self[len] = '\0';
		path = mem_printf("%s/../sbin/ocfd", dirname(self));
	}
	if (path != NULL && program_is_one(path))
		return path;
	free(path);
	return program_find("ocfd");
}

/* "section.key=value" a line. */
static json_t *
look_parse_options(struct buf *out)
{
	json_t *options = json_object();
	char *text, *line;

	buf_text(out); /* ended by a NUL */
	text = (char *)out->data;
	while ((line = strsep(&text, "\n")) != NULL) {
		char *value = strchr(line, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		json_object_set_new(options, line, doctor_string(value));
	}
	return options;
}

static json_t *
look_at_config(const struct cli *cli, const json_t *facts)
{
	const char *usual = doctor_text(facts, "places.config");
	const char *told = doctor_text(facts, "node.reply.config");
	bool is_usual = told[0] == '\0' || strcmp(told, usual) == 0;
	char *file = mem_strdup(is_usual ? usual : told), *ocfd = doctor_find_ocfd();
	char print[] = "--print-config", option[] = "--config", said[512] = "";
	char *argv[] = { ocfd, print, is_usual ? NULL : option, file, NULL };
	struct buf out = BUF_INIT;
	bool is_there = access(file, F_OK) == 0;
	json_t *config;
	int status = -ENOENT;

	(void)cli;
	if (access(file, R_OK) != 0 && errno != ENOENT)
		status = -EACCES;
	else if (ocfd != NULL && (is_usual || is_there))
		status = doctor_run(argv, &out, said);
	config = json_pack(
		"{s:o, s:o, s:b, s:i, s:o, s:o}", "program",
		ocfd != NULL ? doctor_string(ocfd) : json_null(), "file",
		doctor_string(file), "is_there", is_there, "status", status, "said",
		doctor_string(strncmp(said, "ocfd: ", 6) == 0 ? said + 6 : said),
		"options", look_parse_options(&out));
	buf_fini(&out);
	free(ocfd);
	free(file);
	return config;
}

/* ---- nats-server ---- */

/* Each one says at once who it is: INFO {"server_id":…,"version":"2.9.10",…}. */
static json_t *
look_at_info(const char *address)
{
	char line[4096], host[STREAM_ADDRESS_SIZE];
	struct timeval limit = { .tv_sec = 1 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	json_t *info = NULL, *version;
	size_t len = 0;
	ssize_t n = 1;
	int port, fd;

	/* Embedded ones listen on loopback; others are not ours to call. */
	if (address_split(address, host, sizeof(host), &port) != 0 ||
	    !address_is_loopback(address) || inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return NULL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	in.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0)
		n = 0;
	while (n > 0 && len < sizeof(line) - 1 && memchr(line, '\n', len) == NULL) {
		n = read(fd, line + len, sizeof(line) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (len > 5 && strncmp(line, "INFO ", 5) == 0)
		info = json_loadb(line + 5, len - 5, JSON_DISABLE_EOF_CHECK, NULL);
	version = json_object_get(info, "version");
	json_incref(version);
	json_decref(info);
	return version;
}

/* The program that a node would start, when none runs. */
static void
look_at_server_program(const char *wanted, json_t *server)
{
	bool is_auto = wanted[0] == '\0' || strcmp(wanted, "auto") == 0;
	char *path = is_auto ? program_find("nats-server") : mem_strdup(wanted);
	char option[] = "--version", error[512];
	char *argv[] = { path, option, NULL };
	struct buf out = BUF_INIT;
	const char *version;

	/* Never one of whatever folder this was started in. */
	if (path != NULL && path[0] == '/' && program_is_one(path)) {
		json_object_set_new(server, "program", doctor_string(path));
		if (doctor_run(argv, &out, error) == 0) {
			version = buf_text(&out);
			version += strcspn(version, "0123456789");
			json_object_set_new(
				server, "version",
				json_stringn(version, strcspn(version, " \r\n")));
		}
		buf_fini(&out);
	}
	free(path);
}

static json_t *
look_at_server(const struct cli *cli, const json_t *facts)
{
	json_t *server = json_object(), *version;

	(void)cli;
	if (output_member(facts, "node.reply") == NULL) {
		look_at_server_program(doctor_option(facts, "bus.server"), server);
	} else if (doctor_is(facts, "node.reply.status.bus.embedded")) {
		version = look_at_info(doctor_text(facts, "node.reply.status.bus.url"));
		if (version != NULL)
			json_object_set_new(server, "version", version);
	}
	return server;
}

/* ---- the machine ---- */

static double
look_at_meminfo(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at != NULL ? strtod(at + strlen(name), NULL) * 1024 : -1;
}

static json_t *
look_at_system(const struct cli *cli, const json_t *facts)
{
	json_t *system = json_object();
	struct buf text = BUF_INIT;
	struct timex clock = { .modes = 0 };
	struct rlimit files;

	(void)cli;
	(void)facts;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		json_object_set_new(system, "files",
				    json_integer(files.rlim_max > INT_MAX
							 ? INT_MAX
							 : (json_int_t)files.rlim_max));
	if (file_read("/proc/meminfo", 65536, &text, NULL) == 0) {
		json_object_set_new(
			system, "memory",
			json_real(look_at_meminfo(buf_text(&text), "MemTotal:")));
		json_object_set_new(
			system, "memory_free",
			json_real(look_at_meminfo(buf_text(&text), "MemAvailable:")));
	}
	buf_fini(&text);
	/* Only reads, with no modes; the kernel says whether a time service steers it. */
	if (adjtimex(&clock) >= 0)
		json_object_set_new(system, "is_clock_kept",
				    json_boolean((clock.status & STA_UNSYNC) == 0));
	return system;
}

/* ---- all of it ---- */

static json_t *
look_at_places(const struct cli *cli)
{
	const char *variable = getenv("OCF_SOCKET"), *socket = cli->socket;
	bool is_named;
	struct places places;
	json_t *facts;

	if (socket == NULL && cli->data == NULL && variable != NULL &&
	    variable[0] != '\0')
		socket = variable;
	cli_places(cli, &places);
	is_named = socket != NULL && strcmp(socket, places.socket) != 0;
	facts = json_pack("{s:I, s:i, s:b, s:{s:o, s:o, s:o}}", "now_ms",
			  (json_int_t)clock_wall_ms(), "user", (int)geteuid(), "is_named",
			  is_named, "places", "data", doctor_string(places.data),
			  "config", doctor_string(places.config_file), "socket",
			  doctor_string(socket != NULL ? socket : places.socket));
	places_fini(&places);
	return facts;
}

json_t *
doctor_look(const struct cli *cli)
{
	static const struct doctor_part first[] = {
		{ "node", look_at_node },
		{ "run", look_at_run },
		{ "system", look_at_system },
	};
	static const struct doctor_part second[] = {
		{ "config", look_at_config },
		{ "folder", doctor_look_at_folder },
		{ "keys", doctor_look_at_keys },
	};
	static const struct doctor_part third[] = {
		{ "ports", doctor_look_at_ports },
		{ "server", look_at_server },
	};
	json_t *facts = look_at_places(cli);
	bool is_known;

	doctor_look_at(cli, first, 3, DOCTOR_NODE_MS, facts);
	is_known = output_member(facts, "node.reply") != NULL ||
		   !doctor_is(facts, "is_named");
	if (is_known)
		doctor_look_at(cli, second, 3, DOCTOR_PHASE_MS, facts);
	if (is_known)
		doctor_look_at(cli, third, 2, DOCTOR_PHASE_MS, facts);
	return facts;
}
