/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/options.h"

#include <ctype.h>
#include <dirent.h>
#include <fnmatch.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "bus/access.h"
#include "net/stream.h"

enum option_type {
	OPTION_TEXT,	  /* char *; `choices` when set */
	OPTION_BUS_URL,	  /* char *: shown without its passwords and tokens */
	OPTION_LIST,	  /* struct config_list; commas, or the key repeated */
	OPTION_BOOL,	  /* bool: yes, no, true, false, on, off, 1, 0 */
	OPTION_NUMBER,	  /* int64_t from min to max */
	OPTION_SIZE,	  /* int64_t, bytes; K, M, G are powers of 1024 */
	OPTION_SPAN,	  /* ms_t; base/clock.h */
	OPTION_ADDRESS,	  /* char *: host:port, or one of `choices` */
	OPTION_ADDRESSES, /* struct config_list: host:port each */
};

struct option {
	const char *section;
	const char *key;
	enum option_type type;
	size_t offset;
	const char *text;    /* the default */
	int64_t min, max;    /* in the unit the value is kept in */
	const char *choices; /* separated by spaces; NULL: any text */
	const char *help;
};

#define AT(field) offsetof(struct config, field)

/* Every option of this version. All apply after a restart; the files that some name are read
 * again at SIGHUP. */
/* clang-format off: a table */
static const struct option options[] = {
	{ "node", "name", OPTION_TEXT, AT(node.name), "", 0, 0, NULL,
	  "the node's name for people; the one given at init or join by default" },
	{ "node", "region", OPTION_TEXT, AT(node.region), "", 0, 0, NULL,
	  "where the node stands, in a word of your choice" },
	{ "node", "labels", OPTION_LIST, AT(node.labels), "", 0, 0, NULL,
	  "k=v pairs shown with the node" },
	{ "node", "drain_timeout", OPTION_SPAN, AT(node.drain_timeout), "30s", 0, MS_HOUR,
	  NULL, "how long a node that is told to stop waits for running queries" },
	{ "peer", "listen", OPTION_ADDRESS, AT(peer.listen), "[::]:8093", 0, 0, NULL,
	  "where other nodes reach this one (TLS); port 0 picks one" },
	{ "peer", "advertise", OPTION_ADDRESSES, AT(peer.advertise), "", 0, 0, NULL,
	  "addresses told to others instead of this machine's own" },
	{ "peer", "seeds", OPTION_ADDRESSES, AT(peer.seeds), "", 0, 0, NULL,
	  "addresses of nodes to dial beside those in the table" },
	{ "http", "listen", OPTION_ADDRESS, AT(http.listen), "127.0.0.1:8092", 0, 0,
	  "none", "the HTTP API; none serves only the unix socket" },
	{ "http", "token_file", OPTION_TEXT, AT(http.token_file), "", 0, 0, NULL,
	  "bearer tokens, one name:sha256 a line, readable by the owner only" },
	{ "http", "local_tokens", OPTION_BOOL, AT(http.local_tokens), "no", 0, 0, NULL,
	  "ask for a token on loopback too" },
	{ "http", "public", OPTION_BOOL, AT(http.public_), "no", 0, 0, NULL,
	  "serve other addresses than loopback without tokens" },
	{ "http", "names", OPTION_LIST, AT(http.names), "", 0, 0, NULL,
	  "host names that requests may ask for beside loopback's" },
	{ "http", "max_body", OPTION_SIZE, AT(http.max_body), "64M", 1024,
	  (int64_t)16 << 30, NULL, "the largest request body" },
	{ "http", "max_connections", OPTION_NUMBER, AT(http.max_connections), "1024", 1,
	  100000, NULL, "connections over TCP; more wait until one ends" },
	{ "http", "max_address_connections", OPTION_NUMBER,
	  AT(http.max_address_connections), "256", 1, 100000, NULL,
	  "of these from one address, but for loopback; more are closed at once" },
	{ "http", "access_log", OPTION_BOOL, AT(http.access_log), "no", 0, 0, NULL,
	  "write a line to the log for each request" },
	{ "http", "cert", OPTION_TEXT, AT(http.cert), "", 0, 0, NULL,
	  "the certificate (PEM) of the HTTP API, which is then served by TLS only" },
	{ "http", "key", OPTION_TEXT, AT(http.key), "", 0, 0, NULL,
	  "the key (PEM) of http.cert, readable by the owner only" },
	{ "bus", "url", OPTION_BUS_URL, AT(bus.url), "", 0, 0, NULL,
	  "a NATS server or cluster of your own instead of the embedded one" },
	{ "bus", "listen", OPTION_ADDRESS, AT(bus.listen), "127.0.0.1:8094", 0, 0, NULL,
	  "where the embedded bus listens for workers; port 0 picks one" },
	{ "bus", "server", OPTION_TEXT, AT(bus.server), "auto", 0, 0, NULL,
	  "the nats-server program: auto, a path, or none for a node without workers" },
	{ "bus", "credentials", OPTION_TEXT, AT(bus.credentials), "", 0, 0, NULL,
	  "for bus.url: a NATS credentials file, or a line with an NKEY seed, "
	  "user:password or a token" },
	{ "bus", "ca", OPTION_TEXT, AT(bus.ca), "", 0, 0, NULL,
	  "certificates (PEM) by which the servers of bus.url are known; demands TLS" },
	{ "bus", "cert", OPTION_TEXT, AT(bus.cert), "", 0, 0, NULL,
	  "the certificate (PEM) shown to the servers of bus.url; demands TLS" },
	{ "bus", "key", OPTION_TEXT, AT(bus.key), "", 0, 0, NULL,
	  "the key (PEM) of bus.cert, readable by the owner only" },
	{ "sync", "interval", OPTION_SPAN, AT(sync.interval), "60s", MS_SECOND, MS_HOUR,
	  NULL, "how often the table is compared with that of some linked node" },
	{ "mesh", "dead_grace", OPTION_SPAN, AT(mesh.dead_grace), "24h", MS_MINUTE,
	  (int64_t)365 * MS_DAY, NULL,
	  "how long a dead node stays in the list of nodes" },
	{ "dispatch", "policy", OPTION_TEXT, AT(dispatch.policy), "best", 0, 0,
	  "best least-loaded random",
	  "how a node is chosen among those that offer a service" },
	{ "dispatch", "queue_max", OPTION_NUMBER, AT(dispatch.queue_max), "1024", 1,
	  1000000, NULL, "queries waiting for a worker here, of one service" },
	{ "dispatch", "tenant_queue_max", OPTION_NUMBER, AT(dispatch.tenant_queue_max),
	  "1024", 1, 1000000, NULL, "of these, queries of one tenant" },
	{ "dispatch", "wait_max", OPTION_SPAN, AT(dispatch.wait_max), "0s", 0, MS_DAY,
	  NULL,
	  "refuse a query that is expected to wait longer; 0s: one whose deadline is before" },
	{ "dispatch", "buffer_max", OPTION_SIZE, AT(dispatch.buffer_max), "256M", 1 << 20,
	  (int64_t)1 << 40, NULL, "memory for bodies of queries" },
	{ "dispatch", "tenant_buffer_max", OPTION_SIZE, AT(dispatch.tenant_buffer_max),
	  "128M", 1 << 20, (int64_t)1 << 40, NULL, "of this, for those of one tenant" },
	{ "dispatch", "timeout", OPTION_SPAN, AT(dispatch.timeout), "600s", MS_SECOND,
	  MS_DAY, NULL, "deadline of a query that names none" },
	{ "dispatch", "retries", OPTION_NUMBER, AT(dispatch.retries), "3", 0, 100, NULL,
	  "how often a query is tried elsewhere" },
	{ "dispatch", "hedge", OPTION_BOOL, AT(dispatch.hedge), "no", 0, 0, NULL,
	  "send a query that takes unusually long to a second worker, too" },
	{ "log", "level", OPTION_TEXT, AT(log.level), "info", 0, 0,
	  "error warn info debug", "the least important lines that are written" },
	{ "log", "format", OPTION_TEXT, AT(log.format), "text", 0, 0, "text json",
	  "plain lines, or an object a line" },
};
/* clang-format on */

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

/* ---- values ---- */

static bool
option_is_list(const struct option *o)
{
	return o->type == OPTION_LIST || o->type == OPTION_ADDRESSES;
}

static void
config_list_fini(struct config_list *list)
{
	for (int i = 0; i < list->len; i++)
		free(list->items[i]);
	list->len = 0;
}

static bool
config_is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (const char *p = choices; p != NULL && *p != '\0'; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (n == len && strncmp(p, value, n) == 0)
			return true;
		p += n;
	}
	return false;
}

static int
config_add_items(struct config_list *list, const char *value, struct errmsg *err)
{
	while (*value != '\0') {
		size_t n = strcspn(value, ",");
		const char *start = value, *end = value + n;

		while (start < end && isspace((unsigned char)*start))
			start++;
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
		if (end > start && list->len == CONFIG_LIST_MAX)
			return error_set(err, -OCF_ELIMIT, "more than %d items",
					 CONFIG_LIST_MAX);
		if (end > start)
			list->items[list->len++] = mem_dup(start, (size_t)(end - start));
		value += n + (value[n] == ',');
	}
	return 0;
}

static int
config_add_addresses(struct config_list *list, const char *value, struct errmsg *err)
{
	char host[STREAM_ADDRESS_SIZE];
	int at = list->len, port;
	int rc = config_add_items(list, value, err);

	for (; at < list->len && rc == 0; at++)
		if (address_split(list->items[at], host, sizeof(host), &port) != 0)
			rc = error_set(err, -EINVAL,
				       "'%s' is not an address such as 192.0.2.1:8093",
				       list->items[at]);
	return rc;
}

static int
config_parse_bool(const char *value, bool *ret, struct errmsg *err)
{
	if (config_is_choice("yes true on 1", value))
		*ret = true;
	else if (config_is_choice("no false off 0", value))
		*ret = false;
	else
		return error_set(err, -EINVAL, "'%s' is neither yes nor no", value);
	return 0;
}

static int
config_parse_number(const struct option *o, const char *value, int64_t *ret,
		    struct errmsg *err)
{
	int64_t unit = 1, n;
	char *end;

	errno = 0;
	n = strtoll(value, &end, 10);
	if (o->type == OPTION_SIZE && *end != '\0' && end[1] == '\0')
		unit = *end == 'K'   ? 1 << 10
		       : *end == 'M' ? 1 << 20
		       : *end == 'G' ? 1 << 30
				     : 0;
	else if (*end != '\0')
		unit = 0;
	if (errno != 0 || end == value || unit == 0)
		return error_set(err, -EINVAL, "'%s' is not a %s", value,
				 o->type == OPTION_SIZE
					 ? "size (bytes, or with K, M or G)"
					 : "number");
	if (n < o->min / unit || n > o->max / unit)
		return error_set(err, -EINVAL, "%s is not from %lld to %lld", value,
				 (long long)o->min, (long long)o->max);
	*ret = n * unit;
	return 0;
}

static int
config_parse_span(const struct option *o, const char *value, ms_t *ret,
		  struct errmsg *err)
{
	ms_t ms;

	if (clock_parse_span(value, &ms) != 0)
		return error_set(err, -EINVAL,
				 "'%s' is not a time span such as 30s, 10m or 7d", value);
	if (ms < o->min || ms > o->max)
		return error_set(err, -EINVAL, "%s is not from %llds to %llds", value,
				 (long long)o->min / 1000, (long long)o->max / 1000);
	*ret = ms;
	return 0;
}

static int
config_parse_text(const struct option *o, const char *value, char **ret,
		  struct errmsg *err)
{
	char host[STREAM_ADDRESS_SIZE];
	bool is_choice = config_is_choice(o->choices, value);
	int port;

	if (o->type == OPTION_TEXT && o->choices != NULL && !is_choice)
		return error_set(err, -EINVAL, "'%s' is none of: %s", value, o->choices);
	if (o->type == OPTION_ADDRESS && !is_choice &&
	    address_split(value, host, sizeof(host), &port) != 0)
		return error_set(err, -EINVAL,
				 "'%s' is not an address such as 127.0.0.1:8092", value);
	free(*ret);
	*ret = mem_strdup(value);
	return 0;
}

static int
config_set(struct config *c, const struct option *o, const char *value,
	   struct errmsg *err)
{
	void *field = (char *)c + o->offset;

	switch (o->type) {
	case OPTION_LIST:
		return config_add_items(field, value, err);
	case OPTION_ADDRESSES:
		return config_add_addresses(field, value, err);
	case OPTION_BOOL:
		return config_parse_bool(value, field, err);
	case OPTION_NUMBER:
	case OPTION_SIZE:
		return config_parse_number(o, value, field, err);
	case OPTION_SPAN:
		return config_parse_span(o, value, field, err);
	case OPTION_TEXT:
	case OPTION_BUS_URL:
	case OPTION_ADDRESS:
		return config_parse_text(o, value, field, err);
	}
	return -EINVAL;
}

void
config_init(struct config *c)
{
	*c = (struct config){ 0 };
	for (int i = 0; i < OPTIONS; i++)
		if (config_set(c, &options[i], options[i].text, NULL) != 0)
			abort();
}

void
config_fini(struct config *c)
{
	for (int i = 0; i < OPTIONS; i++) {
		void *field = (char *)c + options[i].offset;

		if (option_is_list(&options[i]))
			config_list_fini(field);
		else if (options[i].type == OPTION_TEXT ||
			 options[i].type == OPTION_BUS_URL ||
			 options[i].type == OPTION_ADDRESS)
			free(*(char **)field);
	}
	*c = (struct config){ 0 };
}

/* ---- names ---- */

/* Levenshtein's distance, for short names. */
static int
config_distance(const char *a, const char *b)
{
	enum { NAME_MAX_BYTES = 48 };
	int row[NAME_MAX_BYTES + 1], n = (int)strlen(b);

	if (n > NAME_MAX_BYTES)
		return n;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; a[i - 1] != '\0'; i++) {
		int diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static const struct option *
config_find(const char *section, const char *key)
{
	for (int i = 0; i < OPTIONS; i++)
		if (strcmp(options[i].section, section) == 0 &&
		    strcmp(options[i].key, key) == 0)
			return &options[i];
	return NULL;
}

/* "section.key" of the option whose name is nearest; NULL when none is near enough to be
 * what was meant: then at most a third of its letters differ. Free(3) it. */
static char *
config_nearest(const char *name)
{
	char *best_name = NULL;
	int best = INT32_MAX;

	for (int i = 0; i < OPTIONS; i++) {
		char *other = mem_printf("%s.%s", options[i].section, options[i].key);
		int distance = config_distance(name, other);

		if (distance < best && distance <= ((int)strlen(other) + 2) / 3) {
			best = distance;
			free(best_name);
			best_name = mem_strdup(other);
		}
		free(other);
	}
	return best_name;
}

static int
config_unknown(const char *section, const char *key, struct errmsg *err)
{
	char *name = mem_printf("%s.%s", section, key), *nearest = config_nearest(name);

	if (section[0] == '\0' && nearest != NULL)
		error_set(
			err, -EINVAL,
			"'%s' stands in front of the first [section]; write [%.*s] in a "
			"line, and below it: %s = …",
			key, (int)strcspn(nearest, "."), nearest,
			nearest + strcspn(nearest, ".") + 1);
	else if (section[0] == '\0')
		error_set(err, -EINVAL, "'%s' stands in front of the first [section]",
			  key);
	else if (nearest != NULL)
		error_set(err, -EINVAL, "unknown option %s; did you mean %s?", name,
			  nearest);
	else
		error_set(err, -EINVAL, "unknown option %s; 'ocfd --help' lists them",
			  name);
	free(nearest);
	free(name);
	return -EINVAL;
}

/* ---- files ---- */

struct config_source {
	struct config *config;
	FILE *file;
	const char *path;
	int line;
	bool has_list[OPTIONS]; /* lists that this file has begun: it replaces earlier
				   ones */
	struct errmsg *err;
	int rc;
};

static int
config_fail(struct config_source *s, int rc)
{
	if (s->rc == 0) {
		s->rc = rc;
		error_prefix(s->err, rc, "%s:%d", s->path, s->line);
	}
	return 0;
}

static int
config_on_pair(void *arg, const char *section, const char *key, const char *value)
{
	struct config_source *s = arg;
	const struct option *o = config_find(section, key);
	struct errmsg err = { "" };
	int rc;

	if (s->rc != 0)
		return 0;
	if (o == NULL) {
		rc = config_unknown(section, key, &err);
	} else {
		if (option_is_list(o) && !s->has_list[o - options]) {
			config_list_fini((void *)((char *)s->config + o->offset));
			s->has_list[o - options] = true;
		}
		rc = config_set(s->config, o, value, &err);
		if (rc != 0)
			error_prefix(&err, rc, "%s.%s", section, key);
	}
	if (rc == 0)
		return 1;
	error_set(s->err, rc, "%s", err.text);
	return config_fail(s, rc);
}

static char *
config_next_line(char *out, int size, void *arg)
{
	struct config_source *s = arg;
	char line[CONFIG_LINE_BYTES_MAX + 2];

	if (s->rc != 0)
		return NULL;
	if (fgets(line, sizeof(line), s->file) == NULL) {
		if (ferror(s->file)) /* a folder, for one */
			s->rc = error_set(s->err, -EIO, "%s: %s", s->path,
					  error_text(-errno));
		return NULL;
	}
	s->line++;
	if (strchr(line, '\n') == NULL && !feof(s->file)) {
		error_set(s->err, -EINVAL, "the line is longer than %d bytes",
			  CONFIG_LINE_BYTES_MAX);
		config_fail(s, -EINVAL);
		return NULL;
	}
	snprintf(out, (size_t)size, "%s", line);
	return out;
}

static int
config_read_file(struct config *c, const char *path, bool must_exist, struct errmsg *err)
{
	struct config_source s = { .config = c, .path = path, .err = err };
	int bad_line;

	s.file = fopen(path, "re");
	if (s.file == NULL && errno == ENOENT && !must_exist)
		return 0;
	if (s.file == NULL)
		return error_set(err, -errno, "%s: %s", path, error_text(-errno));
	bad_line = ini_parse_stream(config_next_line, &s, config_on_pair, &s);
	fclose(s.file);
	if (s.rc == 0 && bad_line != 0)
		return error_set(err, -EINVAL,
				 "%s:%d: neither [section], key = value nor ; comment",
				 path, bad_line);
	return s.rc;
}

static int
config_is_conf(const struct dirent *entry)
{
	return fnmatch("*.conf", entry->d_name, FNM_PERIOD) == 0;
}

int
config_read(struct config *c, const char *path, bool must_exist, struct errmsg *err)
{
	char *folder = mem_printf("%s.d", path);
	struct dirent **entries = NULL;
	int rc = config_read_file(c, path, must_exist, err), n;

	n = rc == 0 ? scandir(folder, &entries, config_is_conf, alphasort) : 0;
	for (int i = 0; i < n; i++) {
		char *file = mem_printf("%s/%s", folder, entries[i]->d_name);

		if (rc == 0)
			rc = config_read_file(c, file, true, err);
		free(file);
		free(entries[i]);
	}
	free(entries);
	free(folder);
	return rc;
}

/* ---- environment and arguments ---- */

static int
config_read_pair(struct config *c, const struct option *o, const char *where,
		 const char *value, struct errmsg *err)
{
	int rc;

	if (option_is_list(o))
		config_list_fini((void *)((char *)c + o->offset));
	rc = config_set(c, o, value, err);
	return rc == 0 ? 0 : error_prefix(err, rc, "%s", where);
}

/* The variable is told as such: OCF_HTTP_LISTEN for http.listen. */
static int
config_unknown_variable(const char *name, const char *dotted, struct errmsg *err)
{
	char *nearest = config_nearest(dotted);

	for (char *p = nearest; p != NULL && *p != '\0'; p++)
		*p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
	if (nearest != NULL)
		error_set(err, -EINVAL,
			  "unknown environment variable %s; did you mean OCF_%s?", name,
			  nearest);
	else
		error_set(err, -EINVAL,
			  "unknown environment variable %s: OCF_ variables are options "
			  "such as OCF_HTTP_LISTEN, and 'ocfd --help' lists those",
			  name);
	free(nearest);
	return -EINVAL;
}

/* "OCF_HTTP_MAX_BODY" is http.max_body: the first underscore after OCF_ ends the section.
 */
static int
config_read_variable(struct config *c, const char *name, const char *value,
		     struct errmsg *err)
{
	char *dotted = mem_strdup(name + strlen("OCF_")), *dot;
	const struct option *o = NULL;
	int rc;

	for (char *p = dotted; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	dot = strchr(dotted, '_');
	if (dot != NULL) {
		*dot = '\0';
		o = config_find(dotted, dot + 1);
		*dot = '.';
	}
	rc = o != NULL ? config_read_pair(c, o, name, value, err)
		       : config_unknown_variable(name, dotted, err);
	free(dotted);
	return rc;
}

int
config_read_environment(struct config *c, char **environment, struct errmsg *err)
{
	static const char *const others[] = { "OCF_SOCKET", "OCF_TOKEN", "OCF_URL",
					      "OCF_CA" };
	int rc = 0;

	for (char **e = environment; *e != NULL && rc == 0; e++) {
		size_t n = strcspn(*e, "=");
		bool is_other = strncmp(*e, "OCF_TEST_", 9) == 0;
		char *name;

		if (strncmp(*e, "OCF_", 4) != 0 || (*e)[n] == '\0')
			continue;
		name = mem_dup(*e, n);
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			is_other = is_other || strcmp(name, others[i]) == 0;
		if (!is_other)
			rc = config_read_variable(c, name, *e + n + 1, err);
		free(name);
	}
	return rc;
}

int
config_read_argument(struct config *c, const char *text, struct errmsg *err)
{
	size_t dot = strcspn(text, "."), equals = strcspn(text, "=");
	const struct option *o;
	char *section, *key;
	int rc;

	if (text[equals] == '\0' || dot > equals) {
		char *shown = access_hide(text);

		rc = error_set(err, -EINVAL, "--%s: not of the form --section.key=value",
			       shown);
		free(shown);
		return rc;
	}
	section = mem_dup(text, dot);
	key = mem_dup(text + dot + 1, equals - dot - 1);
	o = config_find(section, key);
	if (o == NULL) {
		rc = config_unknown(section, key, err);
	} else {
		char *where = mem_printf("--%s.%s", section, key);

		rc = config_read_pair(c, o, where, text + equals + 1, err);
		free(where);
	}
	free(section);
	free(key);
	return rc;
}

int
config_check(const struct config *c, struct errmsg *err)
{
	if (c->bus.url[0] != '\0' && strcmp(c->bus.server, "auto") != 0)
		return error_set(
			err, -EINVAL,
			"bus.url and bus.server exclude each other: with a bus of your "
			"own no server is started");
	if (c->bus.url[0] == '\0') {
		const char *const needing[] = { c->bus.credentials, "credentials",
						c->bus.ca,	    "ca",
						c->bus.cert,	    "cert",
						c->bus.key,	    "key" };

		for (int i = 0; i < 8; i += 2)
			if (needing[i][0] != '\0')
				return error_set(err, -EINVAL, "bus.%s needs bus.url",
						 needing[i + 1]);
	}
	if ((c->http.cert[0] == '\0') != (c->http.key[0] == '\0'))
		return error_set(err, -EINVAL, "http.cert and http.key need each other");
	if (!address_is_loopback(c->bus.listen))
		return error_set(
			err, -EINVAL,
			"bus.listen: the embedded bus serves this machine only; '%s' is "
			"not a loopback address (set bus.url for a bus elsewhere)",
			c->bus.listen);
	for (int i = 0; i < c->node.labels.len; i++)
		if (strchr(c->node.labels.items[i], '=') == NULL)
			return error_set(err, -EINVAL, "node.labels: '%s' is not k=v",
					 c->node.labels.items[i]);
	return 0;
}

static void
config_print_value(const struct option *o, const void *field)
{
	const struct config_list *list = field;
	char *shown;

	switch (o->type) {
	case OPTION_LIST:
	case OPTION_ADDRESSES:
		for (int i = 0; i < list->len; i++)
			printf("%s%s", i > 0 ? "," : "", list->items[i]);
		break;
	case OPTION_BOOL:
		printf("%s", *(const bool *)field ? "yes" : "no");
		break;
	case OPTION_NUMBER:
	case OPTION_SIZE:
		printf("%lld", (long long)*(const int64_t *)field);
		break;
	case OPTION_SPAN:
		printf("%lldms", (long long)*(const ms_t *)field);
		break;
	case OPTION_BUS_URL:
		shown = access_hide(*(char *const *)field);
		printf("%s", shown);
		free(shown);
		break;
	case OPTION_TEXT:
	case OPTION_ADDRESS:
		printf("%s", *(char *const *)field);
		break;
	}
}

void
config_print(const struct config *c)
{
	for (int i = 0; i < OPTIONS; i++) {
		printf("%s.%s=", options[i].section, options[i].key);
		config_print_value(&options[i], (const char *)c + options[i].offset);
		printf("\n");
	}
}

void
config_print_options(void)
{
	for (int i = 0; i < OPTIONS; i++) {
		const struct option *o = &options[i];

		printf("  --%s.%s=%s\n        %s%s%s%s\n", o->section, o->key,
		       o->text[0] != '\0' ? o->text : "…", o->help,
		       o->choices != NULL ? " (" : "",
		       o->choices != NULL ? o->choices : "",
		       o->choices != NULL ? ")" : "");
	}
}
