/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are: the data folder, the configuration and the daemon's socket, by the
 * same rules for every program, so that `ocf` finds the `ocfd` of the same person.
 *
 *   root, XDG_STATE_HOME unset   /var/lib/ocf   /etc/ocf/ocf.conf   /run/ocf/ocfd.sock
 *   everybody else, and root     $XDG_STATE_HOME/ocf   $XDG_CONFIG_HOME/ocf/ocf.conf
 *   with it set                  $XDG_RUNTIME_DIR/ocf/ocfd.sock
 *   --data DIR                   DIR, <the same configuration>, DIR/ocfd.sock
 *
 * Defaults of the XDG variables: ~/.local/state, ~/.config; without a runtime folder the
 * socket is <data>/ocfd.sock. As the XDG base directory specification asks, a value that
 * is not an absolute path counts as unset.
 *
 * Nothing here makes a file or a folder. Not for use beside threads that change the
 * environment. */
#ifndef OCF_BASE_PLACES_H
#define OCF_BASE_PLACES_H

#include <sys/types.h>

#include "base/error.h"

enum {
	/* sun_path of sockaddr_un holds 108 bytes, its NUL included (unix(7)). */
	PLACES_SOCKET_BYTES_MAX = 107,
};

/* Absolute paths; owned, free with _fini. None needs to exist. */
struct places {
	char *data;	     /* identity, store, bus state, run.json */
	char *config_file;   /* ocf.conf */
	char *config_folder; /* ocf.conf.d: its *.conf are read after it, in order of name
			      */
	char *socket;	     /* the daemon's unix socket */
};

/* Find the places of user `uid` (geteuid(2) in programs). `data` is the value of --data,
 * or NULL. -EINVAL for an empty `data` or when there is no home to be found. */
int places_find(uid_t uid, const char *data, struct places *ret_places,
		struct errmsg *err);
void places_fini(struct places *p);

/* -ENAMETOOLONG, with the remedy in words, for a socket path over
 * PLACES_SOCKET_BYTES_MAX; -EINVAL for one that is not UTF-8. Programs exit 78. */
int places_check_socket(const char *path, struct errmsg *err);
/* -EOPNOTSUPP, with the remedy in words, for a data folder on a network file system: the
 * store maps its file into memory and locks it, and neither works there. A folder that
 * does not exist yet is judged by its nearest parent that does. -EINVAL for a path that is
 * not UTF-8. Programs exit 78. */
int places_check_data(const char *path, struct errmsg *err);
/* When root works on an existing data folder of another user, go on as that user for good
 * (all ids and groups), so that every file made there is theirs. Does nothing for others
 * or when the folder does not exist. Before any thread is started. */
int places_become_owner(const char *data, struct errmsg *err);

#endif
