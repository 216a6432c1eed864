/* SPDX-License-Identifier: Apache-2.0 */
/* ocf-worker: turns a command into a worker. One process a query: body on its standard
 * input, reply from its standard output. */
#include "config.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/places.h"
#include "base/query.h"
#include "base/rng.h"
#include "bus/protocol.h"
#include "worker/command.h"
#include "worker/worker.h"

enum {
	OPTION_CA = 256, /* without a letter */
	OPTION_CERT,
	OPTION_CREDENTIALS,
	OPTION_KEY,
	MAIN_META_MAX = 64,
	MAIN_ID_STEM_BYTES_MAX = 40, /* of the service, in an id made from it */
};

struct options {
	struct worker_config worker;
	const char *match[LIMIT_MATCHES_MAX];
	const char *meta[MAIN_META_MAX];
	const char *data;
	char id[LIMIT_WORKER_ID_BYTES_MAX + 1];
	bool is_verbose;
};

struct program {
	struct loop *loop;
	struct worker *worker;
	int status;
};

/* clang-format off: as it is printed */
static const char usage_text[] =
	"Usage: ocf-worker --service NAME [OPTION]... -- COMMAND [ARGUMENT]...\n"
	"Offer a command as a service: it runs once for each query, gets the body on its\n"
	"standard input, and what it prints is the reply.\n"
	"\n"
	"  -s, --service NAME   the service that it offers\n"
	"  -m, --match K=V      what queries it takes: k=v, k=* or all; may be repeated;\n"
	"                       without: every query of the service\n"
	"  -n, --slots N        commands at once (1)\n"
	"      --stream         send the reply piece by piece as the command prints it; without,\n"
	"                       its first 60 KiB wait until the command has ended or printed\n"
	"                       more, so that a failure can still be told by its status\n"
	"  -b, --bus URL        host:port, nats:// or tls:// URL of the node's bus, or several\n"
	"                       with commas; default: the one in the local daemon's run.json,\n"
	"                       else 127.0.0.1:8094\n"
	"      --credentials FILE  what is shown to a bus that asks: a NATS credentials file,\n"
	"                       or a line with an NKEY seed, user:password or a token\n"
	"      --ca FILE        certificates by which the bus is known; demands TLS\n"
	"      --cert FILE      the certificate shown to the bus; demands TLS\n"
	"      --key FILE       its key\n"
	"  -d, --data DIR       the daemon's data folder, to find its run.json\n"
	"  -i, --id ID          1 to 64 of [A-Za-z0-9._-]; default: the service and 8 digits\n"
	"  -M, --meta K=V       metadata for the table; may be repeated\n"
	"  -v, --verbose        log more\n"
	"  -h, --help           print this and exit\n"
	"  -V, --version        print the version and exit\n"
	"\n"
	"The command sees OCF_REQUEST_ID, OCF_SERVICE, OCF_MATCH, OCF_METHOD, OCF_PATH and\n"
	"CONTENT_TYPE. An exit status other than 0 is an error, with the tail of its standard\n"
	"error. SIGTERM drains: what runs is finished; twice ends at once.\n";
/* clang-format on */

static int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int
usage_error(const char *fmt, ...)
{
	va_list ap;

	fputs("ocf-worker: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; see ocf-worker --help\n", stderr);
	return EXIT_STATUS_USAGE;
}

static int
option_service(struct options *o, const char *value)
{
	if (o->worker.service != NULL)
		return usage_error(
			"--service is given twice; one worker offers one service");
	if (!query_service_is_valid(value))
		return usage_error("--service: a name has 1 to %d bytes and no control "
				   "characters",
				   LIMIT_SERVICE_BYTES_MAX);
	o->worker.service = value;
	return 0;
}

static int
option_match(struct options *o, const char *value)
{
	if (o->worker.match_len == LIMIT_MATCHES_MAX)
		return usage_error("more than %d times --match", LIMIT_MATCHES_MAX);
	if (strcmp(value, "all") != 0 && !query_selector_is_valid(value))
		return usage_error(
			"--match %s: it must be k=v, k=* or all, at most %d bytes", value,
			LIMIT_MATCH_BYTES_MAX);
	o->match[o->worker.match_len++] = value;
	return 0;
}

static int
option_meta(struct options *o, const char *value)
{
	if (o->worker.meta_len == MAIN_META_MAX)
		return usage_error("more than %d times --meta", MAIN_META_MAX);
	if (!query_selector_is_valid(value))
		return usage_error("--meta %s: it must be k=v, at most %d bytes", value,
				   LIMIT_MATCH_BYTES_MAX);
	o->meta[o->worker.meta_len++] = value;
	return 0;
}

static int
option_slots(struct options *o, const char *value)
{
	uint64_t slots;

	if (bus_protocol_number(value, LIMIT_SLOTS_MAX, &slots) < 0 || slots < 1)
		return usage_error("--slots %s: it must be a number from 1 to %d", value,
				   LIMIT_SLOTS_MAX);
	o->worker.slots = (int)slots;
	return 0;
}

static int
option_id(struct options *o, const char *value)
{
	if (!bus_protocol_id_is_valid(value))
		return usage_error(
			"--id %s: it must be 1 to %d of [A-Za-z0-9._-], no empty "
			"part between dots",
			value, LIMIT_WORKER_ID_BYTES_MAX);
	snprintf(o->id, sizeof(o->id), "%s", value);
	return 0;
}

static int
options_take(struct options *o, int option, const char *value)
{
	switch (option) {
	case 's':
		return option_service(o, value);
	case 'm':
		return option_match(o, value);
	case 'n':
		return option_slots(o, value);
	case 'b':
		o->worker.bus = value;
		return 0;
	case OPTION_CREDENTIALS:
		o->worker.access.credentials = value;
		return 0;
	case OPTION_CA:
		o->worker.access.ca = value;
		return 0;
	case OPTION_CERT:
		o->worker.access.cert = value;
		return 0;
	case OPTION_KEY:
		o->worker.access.key = value;
		return 0;
	case 'd':
		o->data = value;
		return 0;
	case 'i':
		return option_id(o, value);
	case 'M':
		return option_meta(o, value);
	case 'S':
		o->worker.is_streaming = true;
		return 0;
	case 'v':
		o->is_verbose = true;
		return 0;
	default:
		fputs("See ocf-worker --help\n", stderr);
		return EXIT_STATUS_USAGE;
	}
}

/* "wc-1a2b3c4d": what it is, and which one. */
static void
options_make_id(struct options *o)
{
	char stem[MAIN_ID_STEM_BYTES_MAX + 1];
	size_t len = 0;

	for (const char *p = o->worker.service; *p != '\0' && len < sizeof(stem) - 1; p++)
		stem[len++] = (char)(isascii(*p) && isalnum((unsigned char)*p) ? *p
									       : '-');
	stem[len] = '\0';
	snprintf(o->id, sizeof(o->id), "%s-%08" PRIx32, stem,
		 (uint32_t)rng_seed_from_os());
}

/* 0, an exit status, or -1: done well. */
static int
options_read(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "service", required_argument, NULL, 's' },
		{ "match", required_argument, NULL, 'm' },
		{ "slots", required_argument, NULL, 'n' },
		{ "bus", required_argument, NULL, 'b' },
		{ "ca", required_argument, NULL, OPTION_CA },
		{ "cert", required_argument, NULL, OPTION_CERT },
		{ "credentials", required_argument, NULL, OPTION_CREDENTIALS },
		{ "data", required_argument, NULL, 'd' },
		{ "id", required_argument, NULL, 'i' },
		{ "key", required_argument, NULL, OPTION_KEY },
		{ "meta", required_argument, NULL, 'M' },
		{ "stream", no_argument, NULL, 'S' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int option, status;

	*o = (struct options){ .worker = { .slots = 1 } };
	while ((option = getopt_long(argc, argv, "+s:m:n:b:d:i:M:vhV", table, NULL)) !=
	       -1) {
		if (option == 'h') {
			fputs(usage_text, stdout);
			return -1;
		}
		if (option == 'V') {
			printf("ocf-worker (ocf) %s\nLicence: Apache-2.0\n",
			       PACKAGE_VERSION);
			return -1;
		}
		status = options_take(o, option, optarg);
		if (status != 0)
			return status;
	}
	if (o->worker.service == NULL)
		return usage_error("--service is missing");
	if (optind == argc)
		return usage_error("the command is missing: it follows after --");
	if (o->id[0] == '\0')
		options_make_id(o);
	o->worker.id = o->id;
	o->worker.match = o->match;
	o->worker.meta = o->meta;
	o->worker.argv = argv + optind;
	return 0;
}

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

static int
program_run(struct options *o)
{
	struct program p = { 0 };
	struct errmsg err = { "" };
	int status = 0;

	o->worker.guard = guard_start();
	if (o->worker.guard == NULL) {
		log_error("worker", "cannot start a process: %s", strerror(errno));
		return EXIT_STATUS_IO;
	}
	p.loop = loop_new();
	o->worker.stopped = program_on_stopped;
	o->worker.arg = &p;
	if (worker_open(p.loop, &o->worker, &p.worker, &err) < 0) {
		log_error("worker", "%s", err.text);
		status = EXIT_STATUS_CONFIG;
	} else {
		loop_signal(p.loop, SIGTERM, program_on_signal, &p);
		loop_signal(p.loop, SIGINT, program_on_signal, &p);
		loop_run(p.loop);
		status = p.status;
		worker_close(p.worker);
	}
	loop_free(p.loop);
	guard_stop(o->worker.guard);
	return status;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct places places = { 0 };
	struct errmsg err = { "" };
	char *path = NULL, *run_file = NULL;
	int status;

	file_hold_streams();
	status = options_read(&o, argc, argv);
	if (status != 0)
		return status < 0 ? 0 : status;
	log_configure(o.is_verbose ? LOG_DEBUG : LOG_INFO, LOG_FORMAT_TEXT);
	if (command_find(o.worker.argv[0], &path, &err) < 0) {
		fprintf(stderr, "ocf-worker: %s\n", err.text);
		return EXIT_STATUS_CONFIG;
	}
	o.worker.path = path;
	if (places_find(geteuid(), o.data, &places, &err) == 0)
		run_file = mem_printf("%s/run.json", places.data);
	o.worker.run_file = run_file;
	status = program_run(&o);
	places_fini(&places);
	free(run_file);
	free(path);
	return status;
}
