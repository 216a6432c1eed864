/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lib/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { META_BYTES = 2 * 4096 /* at the file's beginning */ };

static struct {
	enum faults_mode mode;
	int after, error, seen;
	long long free;
} faults = { .free = -1 };

void
faults_set(enum faults_mode mode, int after, int error)
{
	faults.seen = 0;
	faults.after = after;
	faults.error = error;
	__atomic_store_n(&faults.mode, mode, __ATOMIC_SEQ_CST);
}

int
faults_seen(void)
{
	return __atomic_load_n(&faults.seen, __ATOMIC_SEQ_CST);
}

void
faults_set_free(long long bytes)
{
	__atomic_store_n(&faults.free, bytes, __ATOMIC_SEQ_CST);
}

/* What this call meets; FAULTS_NONE: let it pass. */
static enum faults_mode
faults_meet(void)
{
	int n = __atomic_fetch_add(&faults.seen, 1, __ATOMIC_SEQ_CST);
	enum faults_mode mode = __atomic_load_n(&faults.mode, __ATOMIC_SEQ_CST);

	if (mode == FAULTS_NONE || n < faults.after)
		return FAULTS_NONE;
	if (mode == FAULTS_KILL)
		kill(getpid(), SIGKILL);
	if (mode == FAULTS_LATE && n > faults.after)
		mode = FAULTS_ERROR;
	if (mode == FAULTS_ERROR)
		errno = faults.error;
	return mode;
}

/* The result of what was done. */
static ssize_t
faults_done(enum faults_mode mode, ssize_t rc)
{
	if (mode != FAULTS_LATE)
		return rc;
	errno = faults.error;
	return -1;
}

/* In place of the C library's, also for LMDB: the program's own symbols come first. */
ssize_t faults_pwrite(int fd, const void *data, size_t len, off_t at) __asm__("pwrite");
ssize_t faults_writev(int fd, const struct iovec *parts, int n) __asm__("writev");
int faults_fdatasync(int fd) __asm__("fdatasync");
int faults_fstatvfs(int fd, struct statvfs *ret_vfs) __asm__("fstatvfs");

ssize_t
faults_pwrite(int fd, const void *data, size_t len, off_t at)
{
	enum faults_mode mode = faults_meet();

	if (mode == FAULTS_META && at < META_BYTES) {
		errno = faults.error;
		return -1;
	}
	if (mode == FAULTS_ERROR)
		return -1;
	return faults_done(mode, syscall(SYS_pwrite64, fd, data,
					 mode == FAULTS_SHORT ? len / 2 : len, at));
}

ssize_t
faults_writev(int fd, const struct iovec *parts, int n)
{
	enum faults_mode mode = faults_meet();
	struct iovec half = parts[0];

	if (mode == FAULTS_ERROR)
		return -1;
	if (mode == FAULTS_SHORT) {
		half.iov_len /= 2;
		return syscall(SYS_writev, fd, &half, 1);
	}
	return faults_done(mode, syscall(SYS_writev, fd, parts, n));
}

int
faults_fdatasync(int fd)
{
	enum faults_mode mode = faults_meet();

	if (mode == FAULTS_ERROR)
		return -1;
	return (int)faults_done(mode, syscall(SYS_fdatasync, fd));
}

int
faults_fstatvfs(int fd, struct statvfs *ret_vfs)
{
	int (*real)(int, struct statvfs *) = dlsym(RTLD_NEXT, "fstatvfs");
	int rc = real(fd, ret_vfs);

	if (rc == 0 && faults.free >= 0)
		ret_vfs->f_bavail = (fsblkcnt_t)faults.free / ret_vfs->f_frsize;
	return rc;
}
