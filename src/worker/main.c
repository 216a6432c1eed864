/* SPDX-License-Identifier: Apache-2.0 */
/* ocf-worker: turns a command or a local HTTP server into a worker. */
#include "config.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/places.h"
#include "worker/command.h"
#include "worker/commands.h"
#include "worker/fetch.h"
#include "worker/guard.h"
#include "worker/health.h"
#include "worker/multi.h"
#include "worker/options.h"
#include "worker/worker.h"

enum {
	/* Kept beside one for each slot: those that ask for health and models. */
	PROGRAM_CONNECTIONS_MORE = 2,
};

struct program {
	struct options options;
	struct loop *loop;
	struct worker *worker;
	int status;
	/* Command mode */
	char *path;
	struct guard *guard;
	struct commands commands;
	/* --http */
	struct multi *multi;
	struct fetcher fetcher;
	struct health *health;
	int matches_left_out;
};

static void
program_on_signal(void *arg)
{
	struct program *p = arg;

	worker_drain(p->worker);
}

static void
program_on_stopped(void *arg, const char *why)
{
	struct program *p = arg;

	if (why != NULL) {
		log_error("worker", "%s", why);
		p->status = EXIT_STATUS_CONFIG;
	}
	loop_stop(p->loop);
}

/* --- a server --- */

static void
program_on_unreachable(void *arg, const char *why)
{
	struct program *p = arg;

	health_unreachable(p->health, why);
}

static void
program_on_doubtful(void *arg)
{
	struct program *p = arg;

	health_doubt(p->health);
}

static void
program_on_health(void *arg, bool is_well, const struct models *models)
{
	struct program *p = arg;

	if (models != NULL) {
		int room = worker_set_matches(p->worker, models->len, models->matches);
		int left_out = models->len - room;

		if (left_out != p->matches_left_out && left_out > 0)
			log_warn("worker",
				 "an announcement has no room for %d of the models, they "
				 "are left out",
				 left_out);
		p->matches_left_out = left_out;
	}
	worker_set_ready(p->worker, is_well);
}

static void
program_open_server(struct program *p)
{
	p->multi = multi_new(p->loop, p->options.worker.slots + PROGRAM_CONNECTIONS_MORE);
	p->fetcher = (struct fetcher){ .loop = p->loop,
				       .multi = p->multi,
				       .target = &p->options.target,
				       .unreachable = program_on_unreachable,
				       .doubtful = program_on_doubtful,
				       .arg = p };
	fetcher_init(&p->fetcher);
	p->options.worker.backend = &p->fetcher.backend;
}

static void
program_open_command(struct program *p)
{
	struct commands_config config = { .path = p->path,
					  .argv = p->options.argv,
					  .guard = p->guard,
					  .is_streaming = p->options.is_streaming };

	commands_init(&p->commands, p->loop, &config);
	p->options.worker.backend = &p->commands.backend;
}

/* --- the program --- */

static void
program_go(struct program *p)
{
	struct health_config config = { .target = &p->options.target,
					.multi = p->multi,
					.path = p->options.health,
					.wants_models = p->options.discovers,
					.changed = program_on_health,
					.arg = p };

	if (p->multi != NULL)
		p->health = health_new(p->loop, &config);
	else
		worker_set_ready(p->worker, true);
	loop_signal(p->loop, SIGTERM, program_on_signal, p);
	loop_signal(p->loop, SIGINT, program_on_signal, p);
	loop_run(p->loop);
}

static int
program_run(struct program *p)
{
	struct errmsg err = { "" };

	p->loop = loop_new();
	p->options.worker.stopped = program_on_stopped;
	p->options.worker.arg = p;
	if (p->options.http != NULL)
		program_open_server(p);
	else
		program_open_command(p);
	if (worker_open(p->loop, &p->options.worker, &p->worker, &err) < 0) {
		log_error("worker", "%s", err.text);
		p->status = EXIT_STATUS_CONFIG;
	} else {
		program_go(p);
		worker_close(p->worker);
	}
	health_free(p->health);
	multi_free(p->multi);
	loop_free(p->loop);
	return p->status;
}

/* libcurl would say no more than that something is wrong with it, with each request. */
static int
program_check_ca(const char *file, struct errmsg *err)
{
	const struct bus_access access = { .ca = file };
	SSL_CTX *tls = NULL;
	int rc = access_tls(&access, &tls, err);

	if (rc < 0)
		return error_prefix(err, rc, "--http-ca");
	SSL_CTX_free(tls);
	return 0;
}

/* What must be there before any thread: the guard of commands, libcurl's globals. */
static int
program_prepare(struct program *p)
{
	struct errmsg err = { "" };

	if (p->options.http_ca != NULL &&
	    program_check_ca(p->options.http_ca, &err) < 0) {
		fprintf(stderr, "ocf-worker: %s\n", err.text);
		return EXIT_STATUS_CONFIG;
	}
	if (p->options.http != NULL) {
		curl_global_init(CURL_GLOBAL_DEFAULT);
		return 0;
	}
	if (command_find(p->options.argv[0], &p->path, &err) < 0) {
		fprintf(stderr, "ocf-worker: %s\n", err.text);
		return EXIT_STATUS_CONFIG;
	}
	p->guard = guard_start();
	if (p->guard == NULL) {
		log_error("worker", "cannot start a process: %s", strerror(errno));
		return EXIT_STATUS_IO;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct program p = { 0 };
	struct places places = { 0 };
	struct errmsg err = { "" };
	char *run_file = NULL;
	int status;

	file_hold_streams();
	status = options_read(&p.options, argc, argv);
	if (status != 0) {
		options_fini(&p.options);
		return status < 0 ? 0 : status;
	}
	log_configure(p.options.is_verbose ? LOG_DEBUG : LOG_INFO, LOG_FORMAT_TEXT);
	status = program_prepare(&p);
	if (status == 0) {
		if (places_find(geteuid(), p.options.data, &places, &err) == 0)
			run_file = mem_printf("%s/run.json", places.data);
		p.options.worker.run_file = run_file;
		status = program_run(&p);
	}
	if (p.guard != NULL)
		guard_stop(p.guard);
	if (p.multi != NULL)
		curl_global_cleanup();
	places_fini(&places);
	free(run_file);
	free(p.path);
	options_fini(&p.options);
	return status;
}
