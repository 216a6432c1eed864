/* SPDX-License-Identifier: Apache-2.0 */
/* A gate in front of a listener: whoever connects to it gets through to the listener, but of
 * what the listener says to a connection only so many bytes pass, and the rest waits. So a
 * test finds what takes long half done, however fast or slow the machine is.
 *
 * usage: gate TARGET LIMIT
 *
 * TARGET and LIMIT are files, read at each connection: the listener's HOST:PORT, and the
 * number of bytes; without the second all pass. Prints its own HOST:PORT and goes on until
 * it is killed. A process for each connection. */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void
gate_die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* The first line of the file; empty when there is none. */
static void
gate_read(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "r");

	line[0] = '\0';
	if (file == NULL)
		return;
	if (fgets(line, size, file) == NULL)
		line[0] = '\0';
	fclose(file);
}

static int
gate_connect(const char *path)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char line[64], *colon;

	gate_read(path, line, sizeof(line));
	colon = strchr(line, ':');
	if (colon == NULL)
		return -1;
	*colon = '\0';
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (fd < 0 || inet_pton(AF_INET, line, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return -1;
	return fd;
}

/* Some bytes from one side to the other; how many, or 0 when either has closed. */
static size_t
gate_pass(int from, int to, size_t max)
{
	char data[16384];
	ssize_t n = read(from, data, max < sizeof(data) ? max : sizeof(data));

	for (ssize_t done = 0, w; done < n; done += w) {
		w = write(to, data + done, (size_t)(n - done));
		if (w <= 0)
			return 0;
	}
	return n > 0 ? (size_t)n : 0;
}

static void
gate_serve(int client, const char *target, const char *limit)
{
	int listener = gate_connect(target);
	char line[32];
	size_t left;

	gate_read(limit, line, sizeof(line));
	left = line[0] != '\0' ? strtoul(line, NULL, 10) : SIZE_MAX;
	while (listener >= 0) {
		/* One that has had enough is still watched for its end. */
		struct pollfd fds[] = { { client, POLLIN, 0 },
					{ listener, left > 0 ? POLLIN : POLLRDHUP, 0 } };
		size_t n;

		if (poll(fds, 2, -1) < 0)
			gate_die("poll");
		if (fds[0].revents != 0 && gate_pass(client, listener, SIZE_MAX) == 0)
			return;
		if (fds[1].revents == 0)
			continue;
		n = left > 0 ? gate_pass(listener, client, left) : 0;
		if (n == 0)
			return;
		left -= n;
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(at);

	if (argc != 3) {
		fprintf(stderr, "usage: gate TARGET LIMIT\n");
		return EXIT_FAILURE;
	}
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		gate_die("a listener");
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	printf("127.0.0.1:%d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			gate_die("accept");
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(fd);
			gate_serve(client, argv[1], argv[2]);
			_exit(EXIT_SUCCESS);
		}
		close(client);
	}
}
