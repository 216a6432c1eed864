/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on the addresses of the node: read from /proc/net, so that nobody is called and
 * no log has a line of it. Of a node that does not run, its addresses are bound for a moment,
 * without listening, which tells whether it could. */
#include "config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/output.h"
#include "net/stream.h"

enum { PORTS_TCP_LISTEN = 0x0a }; /* of /proc/net/tcp */

/* ---- who has it? ---- */

/* The inode of the socket that listens on the port, in /proc/net/tcp or tcp6; 0: none does. */
static unsigned long
ports_inode_in(const char *path, int port)
{
	FILE *file = fopen(path, "re");
	unsigned long inode, found = 0;
	unsigned local, state;
	char line[512];

	while (file != NULL && found == 0 && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line,
			   "%*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu",
			   &local, &state, &inode) == 3 &&
		    state == PORTS_TCP_LISTEN && local == (unsigned)port)
			found = inode;
	}
	if (file != NULL)
		fclose(file);
	return found;
}

static unsigned long
ports_inode(int port)
{
	unsigned long inode = ports_inode_in("/proc/net/tcp", port);

	return inode != 0 ? inode : ports_inode_in("/proc/net/tcp6", port);
}

static bool
ports_has_socket(const char *pid, const char *wanted)
{
	char *path = mem_printf("/proc/%s/fd", pid), link[64];
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool has = false;

	while (dir != NULL && !has && (entry = readdir(dir)) != NULL) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, link,
					 sizeof(link) - 1);

		link[len > 0 ? len : 0] = '\0';
		has = strcmp(link, wanted) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	free(path);
	return has;
}

/* "nginx (pid 12)", "" when it is not to be seen: other users' files are root's to see. */
static char *
ports_owner(unsigned long inode)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	char *wanted = mem_printf("socket:[%lu]", inode), *owner = NULL;

	while (dir != NULL && owner == NULL && inode != 0 &&
	       (entry = readdir(dir)) != NULL) {
		struct buf name = BUF_INIT;
		char *path;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !ports_has_socket(entry->d_name, wanted))
			continue;
		path = mem_printf("/proc/%s/comm", entry->d_name);
		if (file_read(path, 256, &name, NULL) == 0)
			owner = mem_printf("%.*s (pid %s)",
					   (int)strcspn(buf_text(&name), "\n"),
					   buf_text(&name), entry->d_name);
		buf_fini(&name);
		free(path);
	}
	if (dir != NULL)
		closedir(dir);
	free(wanted);
	return owner != NULL ? owner : mem_strdup("");
}

/* ---- could it be had? ---- */

/* As net/listener.c binds it; without listening it stands in nobody's way. 0, or why not. */
static int
ports_try(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;
	int rc;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	rc = bind(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : -errno;
	close(fd);
	return rc;
}

static const char *
ports_state(const char *host, int port, bool is_running)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char service[16];
	int rc;

	if (is_running)
		return ports_inode(port) != 0 ? "listening" : "silent";
	if (port == 0)
		return "free"; /* the kernel picks one */
	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		return "unresolved";
	rc = ports_try(list);
	freeaddrinfo(list);
	switch (-rc) {
	case 0:
		return "free";
	case EADDRINUSE:
		return "taken";
	case EACCES:
	case EPERM:
		return "denied";
	case EADDRNOTAVAIL:
		return "elsewhere"; /* no address of this machine */
	default:
		return "unknown";
	}
}

static void
ports_look(json_t *list, const char *option, const char *address, bool is_running)
{
	char host[STREAM_ADDRESS_SIZE], *by = NULL;
	const char *state;
	int port;

	if (address_split(address, host, sizeof(host), &port) != 0)
		return; /* "none", or not there */
	state = ports_state(host, port, is_running);
	if (strcmp(state, "taken") == 0)
		by = ports_owner(ports_inode(port));
	json_array_append_new(list,
			      json_pack("{s:s, s:o, s:s, s:o}", "option", option,
					"address", doctor_string(address), "state", state,
					"by", doctor_string(by != NULL ? by : "")));
	free(by);
}

/* Of a node that runs: where it says that it listens, or, when it answers nobody, where it
 * once said so in run.json. */
static void
ports_of_node(const json_t *facts, json_t *list)
{
	bool answers = output_member(facts, "node.reply") != NULL;

	ports_look(list, "peer.listen",
		   doctor_text(facts, answers ? "node.reply.peer" : "run.peer"), true);
	ports_look(list, "http.listen",
		   doctor_text(facts, answers ? "node.reply.http" : "run.http"), true);
	if (answers && doctor_is(facts, "node.reply.status.bus.embedded"))
		ports_look(list, "bus.listen",
			   doctor_text(facts, "node.reply.status.bus.url"), true);
}

static void
ports_of_options(const json_t *facts, json_t *list)
{
	ports_look(list, "peer.listen", doctor_option(facts, "peer.listen"), false);
	ports_look(list, "http.listen", doctor_option(facts, "http.listen"), false);
	if (doctor_option(facts, "bus.url")[0] == '\0' &&
	    strcmp(doctor_option(facts, "bus.server"), "none") != 0)
		ports_look(list, "bus.listen", doctor_option(facts, "bus.listen"), false);
}

json_t *
doctor_look_at_ports(const struct cli *cli, const json_t *facts)
{
	json_t *list = json_array();

	(void)cli;
	if (output_member(facts, "node.reply") != NULL ||
	    doctor_is(facts, "run.is_alive"))
		ports_of_node(facts, list);
	else
		ports_of_options(facts, list);
	return list;
}
