/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/options.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/query.h"
#include "base/rng.h"
#include "bus/protocol.h"

enum {
	OPTION_CA = 256, /* without a letter */
	OPTION_CERT,
	OPTION_CREDENTIALS,
	OPTION_HTTP_CA,
	OPTION_KEY,
	OPTIONS_ID_STEM_BYTES_MAX = 40, /* of the service, in an id made from it */
};

/* clang-format off: as it is printed */
static const char usage_text[] =
	"Usage: ocf-worker --service NAME [OPTION]... -- COMMAND [ARGUMENT]...\n"
	"       ocf-worker --service NAME [OPTION]... --http URL\n"
	"Offer a command as a service: it runs once for each query, gets the body on its\n"
	"standard input, and what it prints is the reply. Or offer an HTTP server: it gets\n"
	"each query as a request, and what it answers is the reply.\n"
	"\n"
	"  -s, --service NAME   the service that it offers\n"
	"  -m, --match K=V      what queries it takes: k=v, k=* or all; may be repeated;\n"
	"                       without: every query of the service\n"
	"  -n, --slots N        queries at once (1)\n"
	"      --stream         send the reply piece by piece as the command prints it; without,\n"
	"                       its first 60 KiB wait until the command has ended or printed\n"
	"                       more, so that a failure can still be told by its status\n"
	"      --http URL       http://HOST[:PORT][/PATH], https://... or unix:PATH\n"
	"      --http-ca FILE   certificates by which an https:// server is known, instead of\n"
	"                       the system's\n"
	"      --discover KIND  openai: serve the models that URL lists at /v1/models, as\n"
	"                       model=ID; the service is llm unless --service says otherwise\n"
	"      --health PATH    ask URL for it every 3 s; without a 2xx nothing is taken\n"
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
	"A server is waited for, and while it cannot be reached its queries go elsewhere.\n"
	"A command sees OCF_REQUEST_ID, OCF_SERVICE, OCF_MATCH, OCF_METHOD, OCF_PATH and\n"
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
	if (o->worker.meta_len == OPTIONS_META_MAX)
		return usage_error("more than %d times --meta", OPTIONS_META_MAX);
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
option_http(struct options *o, const char *value)
{
	struct errmsg err = { "" };

	if (o->http != NULL)
		return usage_error("--http is given twice; start a worker for each");
	if (target_parse(value, &o->target, &err) < 0)
		return usage_error("--http: %s", err.text);
	o->http = value;
	return 0;
}

static int
option_discover(struct options *o, const char *value)
{
	if (strcmp(value, "openai") != 0)
		return usage_error("--discover %s: the only kind is openai", value);
	o->discovers = true;
	return 0;
}

static int
option_health(struct options *o, const char *value)
{
	struct target none = { .base = (char *)"" };
	struct errmsg err = { "" };
	char *path;

	if (strstr(value, "://") != NULL)
		return usage_error("--health %s: give the path alone, it is asked of "
				   "--http's URL",
				   value);
	if (value[0] != '/')
		return usage_error("--health %s: a path begins with /; did you mean /%s?",
				   value, value);
	if (strlen(value) > OPTIONS_HEALTH_BYTES_MAX)
		return usage_error("--health: a path has at most %d bytes",
				   OPTIONS_HEALTH_BYTES_MAX);
	if (target_join(&none, value, &path, &err) < 0)
		return usage_error("--health %s: it holds a character that must be "
				   "percent-encoded",
				   value);
	free(path);
	o->health = value;
	return 0;
}

/* What goes together and what does not. */
static int
options_check(const struct options *o)
{
	size_t len = o->http != NULL ? strlen(o->target.base) : 0;

	if (o->http == NULL && o->discovers)
		return usage_error(
			"--discover is for a server; give its URL with --http");
	if (o->http == NULL && o->health != NULL)
		return usage_error("--health is for a server; give its URL with --http");
	if (o->http_ca != NULL &&
	    (o->http == NULL || strncmp(o->target.origin, "https:", 6) != 0))
		return usage_error(
			"--http-ca is for a server that speaks TLS; give its URL "
			"with --http https://...");
	if (o->http != NULL && o->argv[0] != NULL)
		return usage_error(
			"--http and a command: a worker offers one of them; start "
			"another worker for the other");
	if (o->http != NULL && o->is_streaming)
		return usage_error("--stream is for commands; what a server answers is "
				   "always sent as it comes, leave it out");
	if (o->discovers && len >= 3 && strcmp(o->target.base + len - 3, "/v1") == 0)
		return usage_error("--http %s: leave /v1 out, the queries' paths begin "
				   "with it",
				   o->http);
	if (o->worker.service == NULL)
		return usage_error("--service is missing");
	if (o->http == NULL && o->argv[0] == NULL)
		return usage_error("the command is missing: it follows after -- (or give "
				   "a server's URL with --http)");
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
	case OPTION_HTTP_CA:
		o->http_ca = value;
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
		o->is_streaming = true;
		return 0;
	case 'H':
		return option_http(o, value);
	case 'D':
		return option_discover(o, value);
	case 'E':
		return option_health(o, value);
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
	char stem[OPTIONS_ID_STEM_BYTES_MAX + 1];
	size_t len = 0;

	for (const char *p = o->worker.service; *p != '\0' && len < sizeof(stem) - 1; p++)
		stem[len++] = (char)(isascii(*p) && isalnum((unsigned char)*p) ? *p
									       : '-');
	stem[len] = '\0';
	snprintf(o->id, sizeof(o->id), "%s-%08" PRIx32, stem,
		 (uint32_t)rng_seed_from_os());
}

int
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
		{ "http", required_argument, NULL, 'H' },
		{ "http-ca", required_argument, NULL, OPTION_HTTP_CA },
		{ "discover", required_argument, NULL, 'D' },
		{ "health", required_argument, NULL, 'E' },
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
	o->argv = argv + optind;
	if (o->worker.service == NULL && o->discovers)
		o->worker.service = "llm";
	status = options_check(o);
	if (status != 0)
		return status;
	if (o->id[0] == '\0')
		options_make_id(o);
	o->target.ca = o->http_ca;
	o->worker.id = o->id;
	o->worker.match = o->match;
	o->worker.meta = o->meta;
	return 0;
}

void
options_fini(struct options *o)
{
	target_fini(&o->target);
}
