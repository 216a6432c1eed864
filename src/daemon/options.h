/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of ocfd: one table of options, filled in this order, later wins: the
 * defaults, ocf.conf, the *.conf files of ocf.conf.d by name, OCF_SECTION_KEY variables,
 * and
 * --section.key=value arguments. INI is read by inih.
 *
 * Nothing is guessed: an unknown section, key or variable, a value out of its range and a
 * line too long for inih are errors that name the file, the line, the key and the nearest
 * valid one. Cluster constants are not in the file (they belong to the store). */
#ifndef OCF_DAEMON_OPTIONS_H
#define OCF_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

enum {
	CONFIG_LIST_MAX = 32,	     /* items of one list */
	CONFIG_LINE_BYTES_MAX = 199, /* inih's own buffer; it would split longer lines */
};

struct config_list {
	int len;
	char *items[CONFIG_LIST_MAX]; /* owned */
};

struct config {
	struct {
		char *name; /* "" = the one given at init or join */
		char *region;
		struct config_list labels; /* k=v */
		ms_t drain_timeout;
	} node;
	struct {
		char *listen;
		struct config_list advertise; /* addresses told to others */
		struct config_list seeds;
	} peer;
	struct {
		char *listen; /* "none": the unix socket only */
		char *token_file;
		bool local_tokens;
		bool public_;
		struct config_list names;
		int64_t max_body; /* bytes */
		int64_t max_connections, max_address_connections;
		bool access_log;
		char *cert, *key;
	} http;
	struct {
		char *url;
		char *listen;
		char *server; /* auto, none, or a path */
		char *credentials;
		char *ca, *cert, *key;
	} bus;
	struct {
		ms_t interval;
	} sync;
	struct {
		ms_t dead_grace;
	} mesh;
	struct {
		char *policy;
		int64_t queue_max;
		int64_t tenant_queue_max;
		int64_t buffer_max, tenant_buffer_max; /* bytes */
		ms_t wait_max;			       /* 0: none */
		ms_t timeout;
		int64_t retries;
		bool hedge;
	} dispatch;
	struct {
		char *level;
		char *format;
	} log;
};

/* All defaults. */
void config_init(struct config *c);
void config_fini(struct config *c);
/* Read `path`, and then the *.conf files of the folder `path`.d; a missing file is an
 * error only if `must_exist`. All config_… calls that fail return a negative code with
 * the place and the reason in `err`. */
int config_read(struct config *c, const char *path, bool must_exist, struct errmsg *err);
/* The process's OCF_… variables. */
int config_read_environment(struct config *c, char **environment, struct errmsg *err);
/* "section.key=value", as after `--`. */
int config_read_argument(struct config *c, const char *text, struct errmsg *err);
/* Rules between options. */
int config_check(const struct config *c, struct errmsg *err);
/* Print what is in force, "section.key=value" a line, a list's items with commas. */
void config_print(const struct config *c);
/* Print every option: section, key, default, unit and help. */
void config_print_options(void);

#endif
