/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/savefile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"

struct savefile {
	const char *path;
	int (*fn)(void *arg, FILE *to);
	void *arg;
	int status;
};

mode_t
savefile_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static int
savefile_fail(const char *path, int rc)
{
	return cli_fail(rc == -EACCES || rc == -EPERM ? EXIT_STATUS_PERMISSION
						      : EXIT_STATUS_IO,
			"%s: %s", path, error_text(rc));
}

/* What stands there is no plain file. */
static int
savefile_stream(const struct savefile *s)
{
	FILE *to = fopen(s->path, "we");
	int status;

	if (to == NULL)
		return savefile_fail(s->path, -errno);
	status = s->fn(s->arg, to);
	if (fclose(to) != 0 && status == EXIT_SUCCESS)
		status = savefile_fail(s->path, -errno);
	return status;
}

static int
savefile_fill(void *arg, int fd)
{
	struct savefile *s = arg;
	FILE *to = fdopen(dup(fd), "w+");
	int rc = 0;

	if (to == NULL)
		return -errno;
	s->status = s->fn(s->arg, to);
	if (fclose(to) != 0)
		rc = -errno;
	return s->status == EXIT_SUCCESS ? rc : -ECANCELED;
}

int
savefile_write(const char *path, mode_t mode, int (*fn)(void *arg, FILE *to), void *arg)
{
	struct savefile s = { .path = path, .fn = fn, .arg = arg };
	struct errmsg err = { "" };
	struct stat st;
	char *real;
	int rc;

	if (path == NULL || strcmp(path, "-") == 0)
		return fn(arg, stdout);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return cli_fail(EXIT_STATUS_IO, "%s is a folder, not a file", path);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return savefile_stream(&s);
	/* A link stays one. */
	real = realpath(path, NULL);
	rc = file_write_with(real != NULL ? real : path, mode, savefile_fill, &s, &err);
	free(real);
	if (rc == 0 || s.status != EXIT_SUCCESS)
		return s.status;
	return savefile_fail(path, rc);
}
