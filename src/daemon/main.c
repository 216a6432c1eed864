/* SPDX-License-Identifier: Apache-2.0 */
/* ocfd: the node daemon. Stays in the foreground, logs to standard error, writes
 * <data>/run.json once it is ready, and ends on SIGTERM or SIGINT. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/places.h"
#include "bus/access.h"
#include "daemon/daemon.h"
#include "daemon/options.h"

extern char **environ;

/* What the command line asks for, beside single options. */
struct arguments {
	const char *data;
	const char *config_file;
	bool is_check;
	bool is_print;
};

static void
main_usage(void)
{
	printf("Usage: ocfd [--config FILE] [--data DIR] [--check-config | --print-config] "
	       "[--section.key=value]...\n"
	       "Run a node of the Open Compute Framework in the foreground.\n\n"
	       "  --config FILE    read FILE and the *.conf files of FILE.d\n"
	       "  --data DIR       keep the node's data and its socket in DIR\n"
	       "  --check-config   say whether the configuration is valid, and exit\n"
	       "  --print-config   print all options as they are in force, and exit\n"
	       "  -h, --help       print this and exit\n"
	       "  -V, --version    print the version and exit\n\n"
	       "Options of the configuration file may be given here or as variables\n"
	       "(OCF_HTTP_LISTEN for http.listen):\n\n");
	config_print_options();
	printf("\nManual: ocfd(8), ocf.conf(5).\n");
}

static void
main_version(void)
{
	printf("ocfd (ocf) %s\n"
	       "License Apache-2.0: <https://www.apache.org/licenses/LICENSE-2.0>.\n"
	       "There is no warranty, to the extent permitted by law.\n",
	       PACKAGE_VERSION);
}

static void
main_wrong_usage(const char *what, const char *argument)
{
	/* It may be a bus.url in the wrong place. */
	char *shown = access_hide(argument);

	fprintf(stderr, "ocfd: %s '%s'\nTry 'ocfd --help'.\n", what, shown);
	free(shown);
	exit(EXIT_STATUS_USAGE);
}

/* The value of "--name VALUE" or "--name=VALUE"; NULL when argv[*i] is another option. */
static const char *
main_value(const char *name, int argc, char **argv, int *i)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	if (argv[*i][len] != '\0')
		return NULL;
	if (*i + 1 == argc)
		main_wrong_usage("a value is missing after", name);
	return argv[++*i];
}

static bool
main_is(const char *argument, const char *brief, const char *name)
{
	return strcmp(argument, brief) == 0 || strcmp(argument, name) == 0;
}

static struct arguments
main_parse(int argc, char **argv)
{
	struct arguments args = { 0 };

	for (int i = 1; i < argc; i++) {
		const char *value;

		if (main_is(argv[i], "-h", "--help")) {
			main_usage();
			exit(EXIT_SUCCESS);
		} else if (main_is(argv[i], "-V", "--version")) {
			main_version();
			exit(EXIT_SUCCESS);
		} else if (strcmp(argv[i], "--check-config") == 0) {
			args.is_check = true;
		} else if (strcmp(argv[i], "--print-config") == 0) {
			args.is_print = true;
		} else if ((value = main_value("--data", argc, argv, &i)) != NULL) {
			args.data = value;
		} else if ((value = main_value("--config", argc, argv, &i)) != NULL) {
			args.config_file = value;
		} else if (strncmp(argv[i], "--", 2) != 0) {
			main_wrong_usage("unexpected argument", argv[i]);
		} else if (strchr(argv[i], '.') == NULL) {
			main_wrong_usage("unknown option", argv[i]);
		}
	}
	return args;
}

/* Defaults, file, environment, then the arguments that name options. */
static int
main_configure(const struct arguments *args, int argc, char **argv,
	       const struct places *places, struct config *config, struct errmsg *err)
{
	const char *file = args->config_file != NULL ? args->config_file
						     : places->config_file;
	int rc;

	config_init(config);
	rc = config_read(config, file, args->config_file != NULL, err);
	if (rc == 0)
		rc = config_read_environment(config, environ, err);
	for (int i = 1; i < argc && rc == 0; i++) {
		if (strcmp(argv[i], "--data") == 0 || strcmp(argv[i], "--config") == 0)
			i++;
		else if (strncmp(argv[i], "--data=", 7) != 0 &&
			 strncmp(argv[i], "--config=", 9) != 0 &&
			 strchr(argv[i], '.') != NULL)
			rc = config_read_argument(config, argv[i] + 2, err);
	}
	return rc == 0 ? config_check(config, err) : rc;
}

static void
main_configure_log(const struct config *config)
{
	enum log_level level = LOG_INFO;

	log_parse_level(config->log.level, &level);
	log_configure(level, strcmp(config->log.format, "json") == 0 ? LOG_FORMAT_JSON
								     : LOG_FORMAT_TEXT);
}

/* `ocf doctor`, which may run in another folder, is told which file it is. */
static void
main_note_config(const struct arguments *args, struct places *places)
{
	char *path;

	if (args->config_file == NULL)
		return;
	path = realpath(args->config_file, NULL);
	free(places->config_file);
	places->config_file = path != NULL ? path : mem_strdup(args->config_file);
}

int
main(int argc, char **argv)
{
	struct arguments args;
	struct errmsg err = { "" };
	struct places places;
	struct config config;
	int status, rc;

	file_hold_streams();
	args = main_parse(argc, argv);
	if (places_find(geteuid(), args.data, &places, &err) != 0) {
		fprintf(stderr, "ocfd: %s\n", err.text);
		return EXIT_STATUS_CONFIG;
	}
	main_note_config(&args, &places);
	rc = main_configure(&args, argc, argv, &places, &config, &err);
	/* Also of one that breaks a rule: `ocf token` looks here for the file that is missing. */
	if (rc == 0 && args.is_print)
		config_print(&config);
	if (rc == 0 && (args.is_check || args.is_print))
		rc = daemon_check(&config, &err);
	if (rc != 0) {
		fprintf(stderr, "ocfd: %s\n", err.text);
		status = EXIT_STATUS_CONFIG;
	} else if (args.is_print) {
		status = EXIT_SUCCESS;
	} else if (args.is_check) {
		printf("The configuration is valid.\n");
		status = EXIT_SUCCESS;
	} else {
		main_configure_log(&config);
		status = daemon_run(&config, &places);
	}
	config_fini(&config);
	places_fini(&places);
	return status;
}
