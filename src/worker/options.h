/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of ocf-worker. */
#ifndef OCF_WORKER_OPTIONS_H
#define OCF_WORKER_OPTIONS_H

#include <stdbool.h>

#include "base/limits.h"
#include "worker/target.h"
#include "worker/worker.h"

enum {
	OPTIONS_META_MAX = 64,
	OPTIONS_HEALTH_BYTES_MAX = 1024,
};

struct options {
	struct worker_config worker; /* but bus, run_file, backend, stopped */
	const char *match[LIMIT_MATCHES_MAX];
	const char *meta[OPTIONS_META_MAX];
	const char *data;
	char id[LIMIT_WORKER_ID_BYTES_MAX + 1];
	bool is_verbose;
	/* Either a command … */
	char *const *argv;
	bool is_streaming;
	/* … or a server. */
	const char *http;
	const char *http_ca;
	struct target target;
	const char *health;
	bool discovers;
};

/* 0; an exit status after a sentence on standard error; or -1: done well. The texts are
 * argv's. Free with options_fini(). */
int options_read(struct options *o, int argc, char **argv);
void options_fini(struct options *o);

#endif
