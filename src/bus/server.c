/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/fork.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "bus/protocol.h"

enum {
	SERVER_POLL_MS = 10,	      /* between looks for the ports file */
	SERVER_LINE_BYTES_MAX = 4096, /* of its log; longer ones are cut */
	SERVER_FIRST_FAILURES = 3, /* before it was ever ready: then a person must look */
};

struct bus_server {
	struct loop *loop;
	const struct bus_server_handler *handler;
	void *arg;
	char *program, *folder, *name, *host;
	char *config_path;
	int port; /* asked for, then what it got */
	char node_password[BUS_SERVER_PASSWORD_SIZE];
	char sys_password[BUS_SERVER_PASSWORD_SIZE];
	char worker_password[BUS_SERVER_PASSWORD_SIZE];

	pid_t pid; /* 0: none */
	int pidfd, log_fd;
	struct loop_watch *exit_watch, *log_watch;
	struct loop_timer *timer; /* ready polls while starting; the restart while down */
	struct buf line;
	char reason[256]; /* the line that ended it, or its first error while starting */
	struct log_limit log_limit;
	bool is_ready, was_ready;
	ms_t started_ms;
	ms_t retry_ms;
	unsigned restarts;
};

static void server_on_timer(void *arg);

const char *
bus_server_node_password(const struct bus_server *s)
{
	return s->node_password;
}

const char *
bus_server_sys_password(const struct bus_server *s)
{
	return s->sys_password;
}

unsigned
bus_server_restarts(const struct bus_server *s)
{
	return s->restarts;
}

int
bus_server_find(const char *wanted, char **ret_path, struct errmsg *err)
{
	char *found;

	if (wanted != NULL && strcmp(wanted, "auto") != 0) {
		if (!program_is_one(wanted))
			return error_set(
				err, -ENOENT,
				"bus.server: %s is not a program that can be run; "
				"give the path of nats-server, or `auto`",
				wanted);
		*ret_path = mem_strdup(wanted);
		return 0;
	}
	found = program_find("nats-server");
	if (found == NULL)
		return error_set(
			err, -ENOENT,
			"nats-server was not found in PATH, /usr/sbin or "
			"/usr/local/sbin: install the Debian package nats-server, "
			"or set bus.url to a NATS server that runs already, or "
			"bus.server = none for a node without workers");
	*ret_path = found;
	return 0;
}

int
bus_server_parse_listen(const char *listen, char **ret_host, int *ret_port,
			struct errmsg *err)
{
	const char *colon = strrchr(listen, ':');
	uint64_t port = 0;
	struct in_addr v4;
	struct in6_addr v6;
	char host[64] = "";
	size_t len;

	if (colon == NULL || bus_protocol_number(colon + 1, 65535, &port) < 0)
		return error_set(err, -EINVAL,
				 "bus.listen = %s: it must be an address and a "
				 "port, as 127.0.0.1:8094",
				 listen);
	len = (size_t)(colon - listen);
	if (len > 2 && listen[0] == '[' && listen[len - 1] == ']')
		snprintf(host, sizeof(host), "%.*s", (int)len - 2, listen + 1);
	else
		snprintf(host, sizeof(host), "%.*s", (int)len, listen);
	if (strcmp(host, "localhost") == 0)
		snprintf(host, sizeof(host), "127.0.0.1");
	if (!(inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) &&
	    !(inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6)))
		return error_set(
			err, -EINVAL,
			"bus.listen = %s: the embedded bus must listen on a loopback "
			"address, since workers attach without credentials; for "
			"workers on other machines run a nats-server of your own and "
			"set bus.url",
			listen);
	*ret_host = mem_strdup(host);
	*ret_port = (int)port;
	return 0;
}

/* Quoted for the configuration; the caller refused control characters. */
static void
server_put_quoted(struct buf *out, const char *text)
{
	buf_put_u8(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, (uint8_t)*text);
	}
	buf_put_u8(out, '"');
}

static void
server_put_path(struct buf *out, const char *key, const char *folder, const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);

	buf_put_text(out, key);
	server_put_quoted(out, path);
	buf_put_text(out, "\n");
	free(path);
}

/* A wildcard subscription of a worker is allowed and does not get what is denied (the
 * server filters each delivery; tested). */
static void
server_put_accounts(const struct bus_server *s, struct buf *out)
{
	buf_printf(out,
		   "system_account: SYS\n"
		   "no_auth_user: worker\n"
		   "accounts {\n"
		   "  SYS { users: [ { user: sys, password: \"%s\", permissions: {\n"
		   "    publish: [\"$SYS.REQ.ACCOUNT.OCF.CONNZ\"]\n"
		   "    subscribe: [\"$SYS.ACCOUNT.OCF.CONNECT\", "
		   "\"$SYS.ACCOUNT.OCF.DISCONNECT\", \"_INBOX.>\"] } } ] "
		   "}\n",
		   s->sys_password);
	buf_printf(out,
		   "  OCF { jetstream: enabled, users: [\n"
		   "    { user: node, password: \"%s\", permissions: {\n"
		   "      publish: { allow: [\">\"]\n"
		   "        deny: [\"$SYS.>\", \"$JS.>\", \"worker:status\", "
		   "\"ocf.r.>\"] }\n"
		   "      subscribe: [\"worker:status\", \"ocf.node\", \"ocf.r.>\", "
		   "\"ocf.n.>\"] } }\n",
		   s->node_password);
	buf_printf(out,
		   "    { user: worker, password: \"%s\", permissions: {\n"
		   "      publish: [\"worker:status\", \"ocf.r.>\", \"ocf.node\", "
		   "\"_INBOX.>\"]\n"
		   "      subscribe: { allow: [\">\"]\n"
		   "        deny: [\"worker:status\", \"ocf.r.>\", \"ocf.n.>\", "
		   "\"ocf.node\", "
		   "\"$JS.>\", \"$SYS.>\"] } } }\n"
		   "  ] }\n"
		   "}\n",
		   s->worker_password);
}

static int
server_write_config(struct bus_server *s, struct errmsg *err)
{
	struct buf out = BUF_INIT;
	int rc;

	buf_put_text(&out,
		     "# Written by ocfd at each start; changes are lost.\nserver_name: ");
	server_put_quoted(&out, s->name);
	buf_printf(&out, "\nhost: \"%s\"\nport: %d\n", s->host,
		   s->port == 0 ? -1 : s->port);
	server_put_path(&out, "pid_file: ", s->folder, "nats-server.pid");
	server_put_path(&out, "ports_file_dir: ", s->folder, "ports");
	buf_printf(&out,
		   "max_payload: %d\nmax_pending: 67108864\nmax_control_line: 4096\n"
		   "ping_interval: \"5s\"\nping_max: 3\nwrite_deadline: \"10s\"\n"
		   "logtime: false\njetstream {\n",
		   BUS_SERVER_PAYLOAD_BYTES_MAX);
	server_put_path(&out, "  store_dir: ", s->folder, "jetstream");
	buf_put_text(&out, "}\n");
	server_put_accounts(s, &out);
	rc = file_write(s->config_path, buf_bytes(&out), 0600, err);
	buf_fini(&out);
	return rc;
}

/* --- a server that an earlier life left behind --- */

static int
server_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static bool
server_pid_is_ours(const struct bus_server *s, pid_t pid)
{
	char *path = mem_printf("/proc/%d/cmdline", (int)pid);
	struct buf cmdline = BUF_INIT;
	bool is_ours = false;

	if (file_read(path, 65536, &cmdline, NULL) == 0 && cmdline.len > 0) {
		buf_text(&cmdline);
		for (size_t at = 0; at < cmdline.len && !is_ours;
		     at += strlen((char *)cmdline.data + at) + 1)
			is_ours = strcmp((char *)cmdline.data + at, s->config_path) == 0;
	}
	buf_fini(&cmdline);
	free(path);
	return is_ours;
}

static void
server_end_process(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	/* One that was stopped cannot take the signal before it runs again. */
	syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
	if (poll(&p, 1, BUS_SERVER_STOP_MS) == 1)
		return;
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	poll(&p, 1, BUS_SERVER_STOP_MS);
}

static void
server_replace_left_over(struct bus_server *s)
{
	char *path = mem_printf("%s/nats-server.pid", s->folder);
	struct buf text = BUF_INIT;
	pid_t pid = 0;

	if (file_read(path, 64, &text, NULL) == 0)
		pid = (pid_t)strtol(buf_text(&text), NULL, 10);
	if (pid > 1) {
		/* The descriptor first: then the check and the signal are about one process. */
		int fd = server_pidfd(pid);

		if (fd >= 0 && server_pid_is_ours(s, pid)) {
			log_debug("bus", "ending the nats-server %d of an earlier life",
				  (int)pid);
			server_end_process(fd);
		}
		if (fd >= 0)
			close(fd);
	}
	unlink(path);
	buf_fini(&text);
	free(path);
}

static void
server_clear_ports(const struct bus_server *s)
{
	char *folder = mem_printf("%s/ports", s->folder);
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (strstr(entry->d_name, ".ports") != NULL)
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	free(folder);
}

/* --- the child --- */

/* Its line is "[PID] [LEVEL] text"; what is no such line came from the program before it had
 * a log, or from the Go runtime that ends it. Returns the text. */
static const char *
server_split_line(const char *line, char ret_level[4])
{
	const char *at = line;

	snprintf(ret_level, 4, "%s", "ERR");
	if (*at == '[')
		at += 1 + strspn(at + 1, "0123456789");
	if (strncmp(at, "] [", 3) != 0 || strlen(at) < 7 || at[6] != ']')
		return line;
	snprintf(ret_level, 4, "%.3s", at + 3);
	at += 7;
	return at + strspn(at, " ");
}

/* The passwords are of one life of ours, 128 random bits, in a file that is ours alone. */
static bool
server_is_expected(const char *text)
{
	return strstr(text, "Plaintext passwords detected") != NULL;
}

/* As lines of ours: "nats-server PID LEVEL: text"; a warning what it thinks to be one, and
 * worse. What ends it is told with its end, by whoever hears of that. */
static void
server_log_line(struct bus_server *s, const char *line)
{
	char level[4];
	const char *text = server_split_line(line, level);
	bool is_fatal = strcmp(level, "FTL") == 0, is_error = strcmp(level, "ERR") == 0;

	/* Once it is ready an error is a client's, mostly; but a panic is no line of its log. */
	if (is_fatal ||
	    (is_error && s->reason[0] == '\0' && (!s->is_ready || text == line)))
		snprintf(s->reason, sizeof(s->reason), "%s", text);
	if ((!is_error && strcmp(level, "WRN") != 0) || server_is_expected(text))
		log_debug("bus", "nats-server %d %s: %s", (int)s->pid, level, text);
	else if (log_limit_pass(&s->log_limit, "bus"))
		log_warn("bus", "nats-server %d %s: %s", (int)s->pid, level, text);
}

static void
server_read_log(struct bus_server *s)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(s->log_fd, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (chunk[i] != '\n') {
				if (s->line.len < SERVER_LINE_BYTES_MAX)
					buf_put_u8(&s->line, (uint8_t)chunk[i]);
				continue;
			}
			buf_text(&s->line);
			server_log_line(s, (char *)s->line.data);
			buf_clear(&s->line);
		}
	}
	if (n == 0)
		loop_watch_set(s->log_watch, 0);
}

static void
server_on_log(void *arg, int ready)
{
	(void)ready;
	server_read_log(arg);
}

/* After fork(2) in a process with threads: async-signal-safe calls only. */
static void
server_child(const struct bus_server *s, int log_fd, pid_t parent)
{
	char *const argv[] = { (char *)"nats-server", (char *)"-c", s->config_path,
			       NULL };

	/* Of its own group: an interrupt typed at us is not meant for it before we drained. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	int null_fd = open("/dev/null", O_RDWR);
	dup2(null_fd, STDIN_FILENO);
	dup2(log_fd, STDOUT_FILENO);
	dup2(log_fd, STDERR_FILENO);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	fork_unblock();
	execv(s->program, argv);
	static const char text[] = "nats-server: the program could not be run\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	_exit(127);
}

static void server_on_exit(void *arg, int ready);

static int
server_spawn(struct bus_server *s, struct errmsg *err)
{
	pid_t parent = getpid(), pid;
	int fds[2], rc;

	rc = server_write_config(s, err);
	if (rc < 0)
		return rc;
	server_clear_ports(s);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set(err, -errno, "no pipe for nats-server: %s",
				 strerror(errno));
	/* Its end must block, or it would lose log lines. */
	fcntl(fds[1], F_SETFL, 0);
	pid = fork_blocked();
	if (pid == 0)
		server_child(s, fds[1], parent);
	close(fds[1]);
	s->pidfd = pid > 0 ? server_pidfd(pid) : -1;
	if (s->pidfd < 0) {
		int error = errno;

		close(fds[0]);
		if (pid > 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		return error_set(err, -error, "cannot start nats-server: %s",
				 strerror(error));
	}
	s->pid = pid;
	s->log_fd = fds[0];
	s->is_ready = false;
	s->reason[0] = '\0';
	s->started_ms = clock_mono_ms();
	s->exit_watch = loop_watch_new(s->loop, s->pidfd, server_on_exit, s);
	s->log_watch = loop_watch_new(s->loop, s->log_fd, server_on_log, s);
	loop_watch_set(s->exit_watch, LOOP_READ);
	loop_watch_set(s->log_watch, LOOP_READ);
	loop_timer_set(s->timer, SERVER_POLL_MS);
	return 0;
}

void
bus_server_replace(struct bus_server *s, const char *reason)
{
	if (s->pid == 0)
		return;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
	kill(s->pid, SIGKILL);
}

/* Take the exit status and let go of everything of the child. */
static void
server_reap(struct bus_server *s)
{
	int status = 0;

	server_read_log(s);
	waitpid(s->pid, &status, 0);
	if (s->reason[0] == '\0' && WIFSIGNALED(status))
		snprintf(s->reason, sizeof(s->reason), "killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (s->reason[0] == '\0')
		snprintf(s->reason, sizeof(s->reason), "exit status %d",
			 WEXITSTATUS(status));
	loop_watch_free(s->exit_watch);
	loop_watch_free(s->log_watch);
	s->exit_watch = s->log_watch = NULL;
	close(s->pidfd);
	close(s->log_fd);
	s->pid = 0;
	s->is_ready = false;
	buf_clear(&s->line);
}

static void
server_restart_later(struct bus_server *s)
{
	loop_timer_set(s->timer, s->retry_ms);
	s->retry_ms = s->retry_ms == 0 ? 100 : s->retry_ms * 2;
	if (s->retry_ms > BUS_SERVER_RETRY_MS_MAX)
		s->retry_ms = BUS_SERVER_RETRY_MS_MAX;
}

/* Nobody need start the node again for that: there may be room in a while. */
static bool
server_is_full(const struct bus_server *s)
{
	return strstr(s->reason, strerror(ENOSPC)) != NULL ||
	       strstr(s->reason, "no space left on device") != NULL;
}

static void
server_on_exit(void *arg, int ready)
{
	struct bus_server *s = arg;
	bool is_taken;

	(void)ready;
	if (s->is_ready && clock_mono_ms() - s->started_ms > BUS_SERVER_STEADY_MS)
		s->retry_ms = 0;
	server_reap(s);
	s->restarts++;
	is_taken = strstr(s->reason, "address already in use") != NULL;
	if (!s->was_ready &&
	    (is_taken || (s->restarts >= SERVER_FIRST_FAILURES && !server_is_full(s)))) {
		char text[512];

		if (is_taken)
			snprintf(text, sizeof(text),
				 "%s:%d is in use by another program; end it, or set "
				 "bus.listen to another port",
				 s->host, s->port);
		else
			snprintf(text, sizeof(text),
				 "nats-server (%s) does not start with %s: %.200s",
				 s->program, s->config_path, s->reason);
		s->handler->died(s->arg, text, true);
		return;
	}
	server_restart_later(s);
	s->handler->died(s->arg, s->reason, false);
}

/* The ports file, {"nats":["nats://127.0.0.1:4222"]}: written once it listens. */
static int
server_read_port(const struct bus_server *s)
{
	char *path = mem_printf("%s/ports/nats-server_%d.ports", s->folder, (int)s->pid);
	struct buf text = BUF_INIT;
	json_t *root = NULL;
	const char *url, *colon;
	int port = 0;

	if (file_read(path, 4096, &text, NULL) == 0)
		root = json_loadb((const char *)text.data, text.len, 0, NULL);
	url = json_string_value(json_array_get(json_object_get(root, "nats"), 0));
	colon = url != NULL ? strrchr(url, ':') : NULL;
	if (colon != NULL)
		port = (int)strtol(colon + 1, NULL, 10);
	json_decref(root);
	buf_fini(&text);
	free(path);
	return port > 0 && port < 65536 ? port : 0;
}

/* What it complained of may be why. */
static void
server_is_late(struct bus_server *s)
{
	char *last = mem_strdup(s->reason);

	snprintf(s->reason, sizeof(s->reason), "it did not listen within %d s%s%.200s",
		 BUS_SERVER_READY_MS / MS_SECOND, last[0] != '\0' ? ": " : "", last);
	free(last);
}

static void
server_on_timer(void *arg)
{
	struct bus_server *s = arg;
	struct errmsg err = { "" };
	int port;

	if (s->pid == 0) {
		if (server_spawn(s, &err) < 0) {
			server_restart_later(s);
			s->handler->died(s->arg, err.text, false);
		}
		return;
	}
	port = server_read_port(s);
	if (port > 0) {
		s->port = port;
		s->is_ready = s->was_ready = true;
		s->reason[0] = '\0';
		s->handler->ready(s->arg, port);
	} else if (clock_mono_ms() - s->started_ms > BUS_SERVER_READY_MS) {
		server_is_late(s);
		kill(s->pid, SIGKILL);
	} else {
		loop_timer_set(s->timer, SERVER_POLL_MS);
	}
}

static void
server_make_password(char out[BUS_SERVER_PASSWORD_SIZE])
{
	uint8_t random[(BUS_SERVER_PASSWORD_SIZE - 1) / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort();
	hex_encode(random, sizeof(random), out);
}

static int
server_make_folder(struct bus_server *s, const char *folder, struct errmsg *err)
{
	char *ports, *real;
	int rc = file_make_dirs(folder, 0700, err);

	if (rc < 0)
		return rc;
	real = realpath(folder, NULL);
	if (real == NULL)
		return error_set(err, -errno, "%s: %s", folder, strerror(errno));
	for (const char *p = real; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			free(real);
			return error_set(err, -EINVAL,
					 "a data folder's path may not hold "
					 "control characters");
		}
	}
	s->folder = real;
	s->config_path = mem_printf("%s/nats-server.conf", real);
	ports = mem_printf("%s/ports", real);
	rc = file_make_dirs(ports, 0700, err);
	free(ports);
	return rc;
}

static void
server_free(struct bus_server *s)
{
	loop_timer_free(s->timer);
	buf_fini(&s->line);
	free(s->program);
	free(s->folder);
	free(s->name);
	free(s->host);
	free(s->config_path);
	free(s);
}

int
bus_server_open(struct loop *loop, const struct bus_server_config *config,
		const struct bus_server_handler *handler, void *arg,
		struct bus_server **ret_server, struct errmsg *err)
{
	struct bus_server *s = mem_calloc(1, sizeof(*s));
	int rc;

	s->loop = loop;
	s->handler = handler;
	s->arg = arg;
	s->program = mem_strdup(config->program);
	s->name = mem_strdup(config->name);
	s->host = mem_strdup(config->host);
	s->port = config->port;
	s->timer = loop_timer_new(loop, server_on_timer, s);
	s->log_limit = (struct log_limit){ .span_ms = MS_MINUTE,
					   .burst = BUS_SERVER_WARNINGS_MAX };
	server_make_password(s->node_password);
	server_make_password(s->sys_password);
	server_make_password(s->worker_password);
	rc = server_make_folder(s, config->folder, err);
	if (rc == 0) {
		server_replace_left_over(s);
		rc = server_spawn(s, err);
		/* Of its files, not of the folders: tried again, and told, by the timer. */
		if (rc == -ENOSPC || rc == -EDQUOT) {
			server_restart_later(s);
			rc = 0;
		}
	}
	if (rc < 0) {
		server_free(s);
		return rc;
	}
	*ret_server = s;
	return 0;
}

void
bus_server_close(struct bus_server *s)
{
	char *path;

	if (s == NULL)
		return;
	if (s->pid > 0) {
		server_end_process(s->pidfd);
		server_reap(s);
		server_clear_ports(s);
	}
	path = mem_printf("%s/nats-server.pid", s->folder);
	unlink(path);
	free(path);
	server_free(s);
}
