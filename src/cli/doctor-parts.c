/* SPDX-License-Identifier: Apache-2.0 */
/* A process for each thing that is looked at: a disk, a directory of users or a daemon that
 * hangs costs that one answer and its time, and neither the others nor the end. Who does not
 * come in time is killed and not waited for, since a process that waits for a dead disk cannot
 * even die. */
#include "config.h"

#include "cli/doctor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { PARTS_MAX = 8 };

struct part {
	const struct doctor_part *what;
	pid_t pid;
	int fd; /* -1: it has ended */
	struct buf text;
};

json_t *
doctor_string(const char *text)
{
	json_t *value = json_string(text);
	char *copy;

	if (value != NULL)
		return value;
	copy = mem_strdup(text);
	for (char *p = copy; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	value = json_string(copy);
	free(copy);
	return value;
}

_Noreturn static void
part_child(const struct doctor_part *what, const struct cli *cli, const json_t *facts,
	   int to)
{
	bool is_told;
	json_t *fact;
	char *text;

	/* A group of its own, so that programs that it starts end with it. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fact = what->look(cli, facts);
	text = fact != NULL ? json_dumps(fact, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	is_told = text != NULL && file_put(to, bytes_text(text)) == 0;
	free(text);
	json_decref(fact);
	_exit(is_told ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void
part_start(struct part *part, const struct doctor_part *what, const struct cli *cli,
	   const json_t *facts)
{
	int fds[2];

	*part = (struct part){ .what = what, .pid = -1, .fd = -1 };
	if (pipe2(fds, O_CLOEXEC) != 0)
		return;
	part->pid = fork();
	if (part->pid == 0)
		part_child(what, cli, facts, fds[1]);
	close(fds[1]);
	if (part->pid < 0)
		close(fds[0]);
	else
		part->fd = fds[0];
}

/* What it wrote, to its end or to the limit of time. */
static void
part_end(struct part *part, json_t *facts, bool is_whole)
{
	json_t *fact = NULL;

	if (is_whole)
		fact = json_loadb((const char *)part->text.data, part->text.len,
				  JSON_DECODE_ANY, NULL);
	if (fact != NULL)
		json_object_set_new(facts, part->what->name, fact);
	close(part->fd);
	part->fd = -1;
	buf_fini(&part->text);
	if (kill(-part->pid, SIGKILL) != 0)
		kill(part->pid, SIGKILL);
	waitpid(part->pid, NULL, is_whole ? 0 : WNOHANG);
}

static void
part_read(struct part *part, json_t *facts)
{
	uint8_t chunk[64 * 1024];
	ssize_t n = read(part->fd, chunk, sizeof(chunk));

	if (n > 0 && part->text.len + (size_t)n <= DOCTOR_FACT_BYTES_MAX)
		buf_put(&part->text, chunk, (size_t)n);
	else if (n >= 0 || errno != EINTR)
		part_end(part, facts, n == 0);
}

void
doctor_look_at(const struct cli *cli, const struct doctor_part *list, int len,
	       ms_t limit_ms, json_t *facts)
{
	ms_t until = clock_mono_ms() + limit_ms, left = limit_ms;
	struct part parts[PARTS_MAX];
	int open = 0;

	if (len > PARTS_MAX)
		abort();
	fflush(NULL);
	for (int i = 0; i < len; i++) {
		part_start(&parts[i], &list[i], cli, facts);
		open += parts[i].fd >= 0;
	}
	while (open > 0 && left > 0) {
		struct pollfd polls[PARTS_MAX];

		for (int i = 0; i < len; i++)
			polls[i] = (struct pollfd){ .fd = parts[i].fd, .events = POLLIN };
		poll(polls, (nfds_t)len, (int)left);
		for (int i = 0; i < len; i++) {
			if (parts[i].fd < 0 || polls[i].revents == 0)
				continue;
			part_read(&parts[i], facts);
			open -= parts[i].fd < 0;
		}
		left = until - clock_mono_ms();
	}
	for (int i = 0; i < len; i++) {
		if (parts[i].fd >= 0)
			part_end(&parts[i], facts, false);
	}
}

/* ---- programs ---- */

static void
run_read(int fd, size_t max, struct buf *out)
{
	uint8_t chunk[4096];
	off_t at = 0;
	ssize_t n;

	while ((size_t)at < max && (n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		buf_put(out, chunk, (size_t)n);
		at += n;
	}
	close(fd);
}

int
doctor_run(char *const argv[], struct buf *out, char error[512])
{
	int out_fd = memfd_create("stdout", MFD_CLOEXEC);
	int error_fd = memfd_create("stderr", MFD_CLOEXEC);
	struct buf words = BUF_INIT;
	int how = 0;
	pid_t pid;

	error[0] = '\0';
	pid = out_fd >= 0 && error_fd >= 0 ? fork() : -1;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out_fd, STDOUT_FILENO);
		dup2(error_fd, STDERR_FILENO);
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
		;
	run_read(out_fd, DOCTOR_PROGRAM_BYTES_MAX, out);
	run_read(error_fd, DOCTOR_PROGRAM_BYTES_MAX, &words);
	snprintf(error, 512, "%.*s", (int)strcspn(buf_text(&words), "\n"),
		 buf_text(&words));
	buf_fini(&words);
	return WIFEXITED(how) ? WEXITSTATUS(how) : -EINTR;
}
