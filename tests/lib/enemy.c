/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/enemy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static const char *enemy_program = "enemy";

void
enemy_init(const char *program)
{
	enemy_program = program;
}

void
enemy_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", enemy_program, what, strerror(errno));
	exit(2);
}

long long
enemy_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int
enemy_connect(const char *source, const char *address_port)
{
	struct sockaddr_in from = { .sin_family = AF_INET }, to = from;
	const char *colon = strrchr(address_port, ':');
	char address[INET_ADDRSTRLEN] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	errno = EINVAL;
	if (colon == NULL || colon - address_port >= (int)sizeof(address))
		enemy_die(address_port);
	memcpy(address, address_port, (size_t)(colon - address_port));
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		enemy_die(address_port);
	if (source != NULL && (inet_pton(AF_INET, source, &from.sin_addr) != 1 ||
			       bind(fd, (const void *)&from, sizeof(from)) != 0))
		enemy_die(source);
	if (fd < 0 || connect(fd, (const void *)&to, sizeof(to)) != 0)
		enemy_die(address_port);
	return fd;
}
