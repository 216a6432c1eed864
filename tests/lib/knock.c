/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody who connects and never says a word: COUNT connections from SOURCE, an address of
 * this machine, to ADDRESS:PORT, held until the other side closes them, SECONDS have passed,
 * or standard input ends. Prints "connected N" once, "closed MS" for each that the other side
 * closed (ms since then), and "open N" in the end.
 *
 * usage: knock SOURCE ADDRESS:PORT COUNT SECONDS      numeric IPv4 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 1000 };

static struct pollfd fds[COUNT_MAX + 1]; /* the last is standard input */

static void
knock_die(const char *what)
{
	fprintf(stderr, "knock: %s: %s\n", what, strerror(errno));
	exit(2);
}

static long long
knock_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
knock_connect(const char *source, const struct sockaddr_in *to)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || inet_pton(AF_INET, source, &from.sin_addr) != 1 ||
	    bind(fd, (const void *)&from, sizeof(from)) != 0)
		knock_die(source);
	if (connect(fd, (const void *)to, sizeof(*to)) != 0)
		knock_die("connect");
	return fd;
}

/* How many are open in the end. */
static int
knock_wait(int count, long long limit_ms)
{
	long long start = knock_now_ms(), now = start;
	int open = count;

	while (open > 0 && now - start < limit_ms) {
		if (poll(fds, (nfds_t)count + 1, (int)(limit_ms - (now - start))) < 0 &&
		    errno != EINTR)
			knock_die("poll");
		now = knock_now_ms();
		for (int i = 0; i < count; i++) {
			char c;

			if (fds[i].fd < 0 || fds[i].revents == 0 ||
			    recv(fds[i].fd, &c, 1, 0) > 0)
				continue;
			close(fds[i].fd);
			fds[i].fd = -1;
			open--;
			printf("closed %lld\n", now - start);
		}
		fflush(stdout);
		if (fds[count].revents != 0)
			break;
	}
	return open;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char *colon = argc == 5 ? strrchr(argv[2], ':') : NULL;
	int count = argc == 5 ? atoi(argv[3]) : 0;

	if (colon == NULL || count < 1 || count > COUNT_MAX) {
		fprintf(stderr, "usage: knock SOURCE ADDRESS:PORT COUNT SECONDS\n");
		return 2;
	}
	*colon = '\0';
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
		knock_die(argv[2]);
	for (int i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = knock_connect(argv[1], &to),
					  .events = POLLIN };
	fds[count] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	printf("connected %d\n", count);
	fflush(stdout);
	printf("open %d\n", knock_wait(count, atoi(argv[4]) * 1000LL));
	return 0;
}
