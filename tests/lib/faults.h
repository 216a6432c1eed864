/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fails when a test wants it: what LMDB writes in this process goes through
 * here (pwrite, writev, fdatasync). All threads of the process; nothing by default. */
#ifndef OCF_TESTS_FAULTS_H
#define OCF_TESTS_FAULTS_H

#include <stddef.h>

enum faults_mode {
	FAULTS_NONE,
	FAULTS_KILL,  /* SIGKILL in place of it */
	FAULTS_ERROR, /* it fails with the errno given, and so do all that follow */
	FAULTS_LATE,  /* likewise, but the first is done before it fails */
	FAULTS_META,  /* it fails if it is LMDB's last of a commit, as do all such */
	FAULTS_SHORT, /* half of it is written, and so on; syncing works */
};

/* The `after`-th write or sync from now on (0: the next one) meets this. */
void faults_set(enum faults_mode mode, int after, int error);
/* Writes and syncs since faults_set(). */
int faults_seen(void);
/* What statvfs(3) says is free from now on, in bytes; negative: what is so. */
void faults_set_free(long long bytes);

#endif
