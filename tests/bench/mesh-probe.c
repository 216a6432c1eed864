/* SPDX-License-Identifier: Apache-2.0 */
/* What bench-mesh.sh cannot do in shell.
 *
 * mesh-probe watch [OPTION…] MEMBER VALUE HOST:PORT…
 *   Ask all these nodes for GET /v1/status, over connections that stay open, until MEMBER
 *   (as cluster.alive) has VALUE at each. A line per node: its place in the list, the ms
 *   from the start to its first answer that has it (-1: none in time), and the ms between
 *   the question before, whose answer did not have it, and that answer: when it came about
 *   is known no better than that. Exit status 1 unless all had it.
 *     --say LINE FILE    the start: this line is written into the file
 *     --kill NUMBER PID  the start: this signal is sent
 *     --first MS         before the first question (0): what is asked less disturbs less
 *     --every MS         between two questions to one node (10)
 *     --limit S          give up after it (60)
 *
 * mesh-probe weigh <DUMP
 *   Of each row of `ocf-sync dump`: its kind, its owner, its name, the bytes of its value and
 *   the bytes that it has on a link (key and state, crdt/codec.h), a line each. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "crdt/codec.h"
#include "ident/sha256.h"
#include "table/dump.h"

enum { NODES_MAX = 256, REPLY_BYTES_MAX = 64 * 1024 };

struct node {
	int fd;
	bool is_asked; /* an answer is to come */
	double asked_ms, next_ms,
		no_ms; /* no_ms: the last question whose answer was no */
	double yes_ms; /* -1: not yet */
	double gap_ms;
	char in[REPLY_BYTES_MAX];
	size_t in_len;
};

struct watch {
	const char *member, *value;
	const char *line, *file;
	int signal, pid;
	double first_ms, every_ms, limit_ms;
	int nodes_len, missing;
};

static struct node nodes[NODES_MAX];

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "mesh-probe: %s: %s\n", what, why);
	exit(2);
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- watch ---- */

static void
node_dial(struct node *n, const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(address, ':');
	int one = 1;
	char *host;

	if (colon == NULL)
		die(address, "no address");
	host = mem_dup(address, (size_t)(colon - address));
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die(address, "no address");
	free(host);
	n->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0 || connect(n->fd, (const void *)&to, sizeof(to)) != 0)
		die(address, strerror(errno));
	setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	n->yes_ms = -1;
}

static void
node_ask(struct node *n, double now)
{
	static const char
		question[] = "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

	if (send(n->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) !=
	    (ssize_t)sizeof(question) - 1)
		die("a node", "it takes no questions any more");
	n->is_asked = true;
	n->asked_ms = now;
}

static bool
answer_has_value(const struct watch *w, const char *body, size_t len)
{
	json_t *root = json_loadb(body, len, 0, NULL), *at = root;
	char *path = mem_strdup(w->member), *rest = path, *word;
	char number[32] = "";
	bool is_so;

	while ((word = strsep(&rest, ".")) != NULL)
		at = json_object_get(at, word);
	if (at == NULL)
		die(w->member, "no member of a node's status");
	if (json_is_integer(at))
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(at));
	is_so = strcmp(json_is_string(at) ? json_string_value(at) : number, w->value) ==
		0;
	free(path);
	json_decref(root);
	return is_so;
}

static void
node_take_in(struct watch *w, struct node *n)
{
	ssize_t got = recv(n->fd, n->in + n->in_len, sizeof(n->in) - 1 - n->in_len, 0);
	const char *length, *body;
	size_t len;
	double now;

	if (got <= 0)
		die("a node", "it does not answer any more");
	n->in_len += (size_t)got;
	n->in[n->in_len] = '\0';
	body = strstr(n->in, "\r\n\r\n");
	length = strcasestr(n->in, "\r\nContent-Length:");
	if (body == NULL)
		return;
	if (length == NULL || length > body || strncmp(n->in, "HTTP/1.1 200", 12) != 0)
		die("a node answers", n->in);
	body += 4;
	len = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	if (n->in_len - (size_t)(body - n->in) < len)
		return;
	now = now_ms();
	n->is_asked = false;
	n->in_len = 0;
	n->next_ms = n->asked_ms + w->every_ms;
	if (!answer_has_value(w, body, len)) {
		n->no_ms = n->asked_ms;
		return;
	}
	n->yes_ms = now;
	n->gap_ms = now - n->no_ms;
	w->missing--;
}

static void
watch_begin(const struct watch *w)
{
	int fd;

	if (w->file != NULL) {
		fd = open(w->file, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || dprintf(fd, "%s\n", w->line) < 0)
			die(w->file, strerror(errno));
		close(fd);
	}
	if (w->pid > 0 && kill(w->pid, w->signal) != 0)
		die("kill", strerror(errno));
}

/* Until all have it, or it is time. */
static void
watch_run(struct watch *w, double start)
{
	struct pollfd polls[NODES_MAX];

	for (;;) {
		double now = now_ms(), wait = start + w->limit_ms - now;

		if (w->missing == 0 || wait <= 0)
			return;
		for (int i = 0; i < w->nodes_len; i++) {
			struct node *n = &nodes[i];

			if (n->yes_ms < 0 && !n->is_asked && n->next_ms <= now)
				node_ask(n, now);
			if (n->yes_ms < 0 && !n->is_asked && n->next_ms - now < wait)
				wait = n->next_ms - now;
			polls[i] = (struct pollfd){ .fd = n->is_asked ? n->fd : -1,
						    .events = POLLIN };
		}
		if (poll(polls, (nfds_t)w->nodes_len, (int)wait + 1) < 0 &&
		    errno != EINTR)
			die("poll", strerror(errno));
		for (int i = 0; i < w->nodes_len; i++)
			if (polls[i].revents != 0)
				node_take_in(w, &nodes[i]);
	}
}

static char **
watch_options(struct watch *w, char **arg)
{
	for (; *arg != NULL && strncmp(*arg, "--", 2) == 0; arg++) {
		if (strcmp(*arg, "--say") == 0 && arg[1] != NULL && arg[2] != NULL) {
			w->line = *++arg;
			w->file = *++arg;
		} else if (strcmp(*arg, "--kill") == 0 && arg[1] != NULL &&
			   arg[2] != NULL) {
			w->signal = (int)strtol(*++arg, NULL, 10);
			w->pid = (int)strtol(*++arg, NULL, 10);
		} else if (strcmp(*arg, "--first") == 0 && arg[1] != NULL) {
			w->first_ms = strtod(*++arg, NULL);
		} else if (strcmp(*arg, "--every") == 0 && arg[1] != NULL) {
			w->every_ms = strtod(*++arg, NULL);
		} else if (strcmp(*arg, "--limit") == 0 && arg[1] != NULL) {
			w->limit_ms = strtod(*++arg, NULL) * 1e3;
		} else {
			die(*arg, "no such option");
		}
	}
	return arg;
}

static int
watch(char **arg)
{
	struct watch w = { .every_ms = 10, .limit_ms = 60e3 };
	double start;

	arg = watch_options(&w, arg);
	if (arg[0] == NULL || arg[1] == NULL || arg[2] == NULL)
		die("watch", "MEMBER VALUE HOST:PORT... are to be given");
	w.member = arg[0];
	w.value = arg[1];
	for (arg += 2; *arg != NULL; arg++) {
		if (w.nodes_len == NODES_MAX)
			die(*arg, "too many nodes");
		node_dial(&nodes[w.nodes_len++], *arg);
	}
	w.missing = w.nodes_len;
	start = now_ms();
	for (int i = 0; i < w.nodes_len; i++) {
		nodes[i].no_ms = start;
		nodes[i].next_ms = start + w.first_ms;
	}
	watch_begin(&w);
	watch_run(&w, start);
	for (int i = 0; i < w.nodes_len; i++)
		printf("%d %.2f %.2f\n", i,
		       nodes[i].yes_ms < 0 ? -1 : nodes[i].yes_ms - start,
		       nodes[i].gap_ms);
	return w.missing == 0 ? 0 : 1;
}

/* ---- weigh ---- */

static void
weigh_row(const struct row_key *key, const struct row *row)
{
	static const char *const kinds[] = {
		[ROW_NODE] = "node", [ROW_WORKER] = "worker"
	};
	const struct version *v = row_visible(row);
	struct buf encoded = BUF_INIT;
	char owner[ID_TEXT_SIZE];
	const char *kind = key->kind == ROW_NODE || key->kind == ROW_WORKER
				   ? kinds[key->kind]
				   : "other";

	codec_put_key(&encoded, key);
	codec_put_row(&encoded, row);
	printf("%s %s %s %zu %zu\n", kind, id_text(&key->owner, owner),
	       key->name[0] != '\0' ? key->name : "-", v != NULL ? v->value.len : 0,
	       encoded.len);
	buf_fini(&encoded);
}

static int
weigh(void)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t len;
	bool is_head = true;

	while ((len = getline(&text, &size, stdin)) > 0) {
		struct errmsg err = { "" };
		struct dump_line line;

		if (!is_head && dump_read_line(bytes_of(text, (size_t)len), 16384,
					       ident_sha256, &line, &err) != 0)
			die("a dump's line", err.text);
		if (!is_head && !line.is_end) {
			weigh_row(&line.key, &line.row);
			row_fini(&line.row);
		}
		is_head = false;
	}
	free(text);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "watch") == 0)
		return watch(argv + 2);
	if (argc == 2 && strcmp(argv[1], "weigh") == 0)
		return weigh();
	fprintf(stderr, "usage: mesh-probe watch [OPTION...] MEMBER VALUE HOST:PORT...\n"
			"       mesh-probe weigh <DUMP\n");
	return 2;
}
