/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files: keys, tokens, run.json. Blocking; not for the network loop's hot path. */
#ifndef OCF_BASE_FILE_H
#define OCF_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/error.h"

/* Append the file's content to `out`. -OCF_ELIMIT when it holds more than `max` bytes. */
int file_read(const char *path, size_t max, struct buf *out, struct errmsg *err);
/* As file_read, but refuse (-EPERM) a file that group or others can read or write. */
int file_read_secret(const char *path, size_t max, struct buf *out, struct errmsg *err);
/* Replace the file: written beside it with `mode`, synced, renamed, the folder synced. */
int file_write(const char *path, struct bytes content, mode_t mode, struct errmsg *err);
/* As file_write; fn(arg, fd) writes the content, and returns 0 or a negative code. Where the
 * file system knows files without names, a program that is killed leaves nothing behind. */
int file_write_with(const char *path, mode_t mode, int (*fn)(void *arg, int fd),
		    void *arg, struct errmsg *err);
/* A file without a name in `folder`, open to read and write, that is gone when it is closed;
 * or a negative code. */
int file_open_unnamed(const char *folder);
/* Write all of it. */
int file_put(int fd, struct bytes content);
/* The entry of `path` in its folder is on the disk. */
int file_sync_folder(const char *path);
/* Make a folder and its parents; new ones get `mode`. An existing folder is fine. */
int file_make_dirs(const char *path, mode_t mode, struct errmsg *err);
/* First thing in main(): take the numbers of standard streams that are closed, so that no
 * socket and no store gets one and is then written to. Using such a stream still fails. */
void file_hold_streams(void);

#endif
