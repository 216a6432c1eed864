/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody who connects and never says a word: COUNT connections from SOURCE, an address of
 * this machine, to ADDRESS:PORT, held until the other side closes them, SECONDS have passed,
 * or standard input ends. Prints "connected N" once, "closed MS" for each that the other side
 * closed (ms since then), and "open N" in the end.
 *
 * usage: knock SOURCE ADDRESS:PORT COUNT SECONDS      numeric IPv4 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/enemy.h"

enum { COUNT_MAX = 1000 };

static struct pollfd fds[COUNT_MAX + 1]; /* the last is standard input */

/* How many are open in the end. */
static int
knock_wait(int count, long long limit_ms)
{
	long long start = enemy_now_ms(), now = start;
	int open = count;

	while (open > 0 && now - start < limit_ms) {
		if (poll(fds, (nfds_t)count + 1, (int)(limit_ms - (now - start))) < 0 &&
		    errno != EINTR)
			enemy_die("poll");
		now = enemy_now_ms();
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
	int count = argc == 5 ? atoi(argv[3]) : 0;

	if (count < 1 || count > COUNT_MAX) {
		fprintf(stderr, "usage: knock SOURCE ADDRESS:PORT COUNT SECONDS\n");
		return 2;
	}
	enemy_init("knock");
	for (int i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = enemy_connect(argv[1], argv[2]),
					  .events = POLLIN };
	fds[count] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	printf("connected %d\n", count);
	fflush(stdout);
	printf("open %d\n", knock_wait(count, atoi(argv[4]) * 1000LL));
	return 0;
}
