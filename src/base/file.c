/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/file.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

static int
file_read_all(int fd, size_t max, struct buf *out)
{
	size_t start = out->len;

	for (;;) {
		uint8_t chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (out->len - start + (size_t)n > max)
			return -OCF_ELIMIT;
		buf_put(out, chunk, (size_t)n);
	}
}

static int
file_read_checked(const char *path, size_t max, bool is_secret, struct buf *out,
		  struct errmsg *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, error_text(-errno));
	if (is_secret && fstat(fd, &st) == 0 && (st.st_mode & 077) != 0) {
		close(fd);
		return error_set(err, -EPERM,
				 "%s can be read by others; run: chmod 600 '%s'", path,
				 path);
	}
	rc = file_read_all(fd, max, out);
	close(fd);
	if (rc == -OCF_ELIMIT)
		return error_set(err, rc, "%s is larger than %zu bytes", path, max);
	if (rc != 0)
		return error_set(err, rc, "%s: %s", path, error_text(rc));
	return 0;
}

int
file_read(const char *path, size_t max, struct buf *out, struct errmsg *err)
{
	return file_read_checked(path, max, false, out, err);
}

int
file_read_secret(const char *path, size_t max, struct buf *out, struct errmsg *err)
{
	return file_read_checked(path, max, true, out, err);
}

int
file_put(int fd, struct bytes v)
{
	while (v.len > 0) {
		ssize_t n = write(fd, v.data, v.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		v.data += n;
		v.len -= (size_t)n;
	}
	return 0;
}

int
file_sync_folder(const char *path)
{
	char *copy = mem_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	free(copy);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return rc;
}

/* A new file without a name in the folder of `path`; not every file system has them. */
static int
file_open_beside(const char *path)
{
	char *copy = mem_strdup(path);
	int fd = -1;

	if (access("/proc/self/fd", X_OK) == 0) /* which gives them one */
		fd = open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	free(copy);
	return fd;
}

int
file_open_unnamed(const char *folder)
{
	char *temp = mem_printf("%s/XXXXXX", folder);
	int fd = file_open_beside(temp), rc;

	if (fd < 0) {
		fd = mkostemp(temp, O_CLOEXEC);
		if (fd >= 0)
			unlink(temp);
	}
	rc = fd >= 0 ? fd : -errno;
	free(temp);
	return rc;
}

/* Give a file without a name the name that `temp` (it ends in XXXXXX) leads to. */
static int
file_link(int fd, char *temp)
{
	char *from = mem_printf("/proc/self/fd/%d", fd), *end = temp + strlen(temp) - 6;
	int rc = -EEXIST;

	for (int i = 0; i < 100 && rc == -EEXIST; i++) {
		snprintf(end, 7, "%06x", (unsigned)(rng_seed_from_os() & 0xffffff));
		rc = linkat(AT_FDCWD, from, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) == 0
			     ? 0
			     : -errno;
	}
	free(from);
	return rc;
}

int
file_write_with(const char *path, mode_t mode, int (*fn)(void *arg, int fd), void *arg,
		struct errmsg *err)
{
	char *temp = mem_printf("%s.XXXXXX", path);
	int fd = file_open_beside(path), rc;
	bool is_unnamed = fd >= 0;

	if (!is_unnamed)
		fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		goto out;
	}
	rc = fchmod(fd, mode) == 0 ? fn(arg, fd) : -errno;
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (rc == 0 && is_unnamed) {
		rc = file_link(fd, temp);
		is_unnamed = rc != 0;
	}
	close(fd);
	if (rc == 0 && rename(temp, path) != 0)
		rc = -errno;
	if (rc == 0)
		rc = file_sync_folder(path);
	else if (!is_unnamed)
		unlink(temp);
out:
	free(temp);
	if (rc != 0)
		return error_set(err, rc, "%s: %s", path, error_text(rc));
	return 0;
}

static int
file_write_bytes(void *arg, int fd)
{
	return file_put(fd, *(struct bytes *)arg);
}

int
file_write(const char *path, struct bytes content, mode_t mode, struct errmsg *err)
{
	return file_write_with(path, mode, file_write_bytes, &content, err);
}

int
file_make_dirs(const char *path, mode_t mode, struct errmsg *err)
{
	char *copy = mem_strdup(path);
	int rc = 0;

	for (char *p = copy + 1; rc == 0; p++) {
		char old = *p;

		if (old != '/' && old != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) != 0 && errno != EEXIST)
			rc = error_set(err, -errno, "%s: %s", copy, error_text(-errno));
		*p = old;
		if (old == '\0')
			break;
	}
	free(copy);
	return rc;
}

void
file_hold_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* Open for the wrong direction: EBADF, as of a closed one. */
		int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags) != fd)
			abort();
	}
}
