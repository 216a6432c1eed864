/* SPDX-License-Identifier: Apache-2.0 */
/* Start and stop. Parts are opened in the order in which they need each other and closed
 * the other way round; a part that cannot be opened ends the start with one sentence that
 * says what to do. The HTTP side opens last: who is answered finds everything there. */
#include "config.h"

#include "daemon/daemon.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/stream.h"
#include "net/tls.h"

enum {
	DAEMON_SOCKET_MODE = 0660,
	DAEMON_FOLDER_MODE = 0750,
	DAEMON_BUS_MS = 10 * MS_SECOND, /* the start waits for the bus no longer */
	DAEMON_GOODBYE_MS = 200,	/* for goodbyes and last replies to leave */
	/* Descriptors, beside those of HTTP's connections over TCP. */
	DAEMON_FILES_MAX = 8192,
};

/* ---- run.json ---- */

static char *
daemon_run_path(const struct daemon *d)
{
	return mem_printf("%s/run.json", d->places->data);
}

static void
daemon_write_run_file(struct daemon *d)
{
	char *path = daemon_run_path(d), *text;
	const char *http = api_address(d->api);
	struct errmsg err = { "" };
	json_t *run = json_pack("{s:i, s:s, s:s, s:s, s:s}", "pid", (int)getpid(), "http",
				http != NULL ? http : "", "peer",
				listener_address(d->peer_listener), "bus", d->bus_url,
				"socket", d->places->socket);

	text = json_dumps(run, JSON_COMPACT);
	d->is_run_written = file_write(path, bytes_text(text), 0644, &err) == 0;
	if (!d->is_run_written)
		log_error("node", "%s", err.text);
	else if (d->run_text == NULL || strcmp(d->run_text, text) != 0)
		log_info("node", "ready: %s", text);
	json_decref(run);
	free(d->run_text);
	d->run_text = text;
	free(path);
}

void
daemon_check_ready(struct daemon *d)
{
	bool is_bus_up = d->bus == NULL || d->bus_state != BUS_DOWN;

	if (d->api == NULL || d->is_stopping)
		return;
	if (!is_bus_up && !d->is_ready && !d->is_bus_late)
		return;
	d->is_ready = true;
	daemon_write_run_file(d);
	/* Workers and `ocf` look there for us: a full disk must not hide us for good. */
	if (!d->is_run_written && d->ready_timer != NULL)
		loop_timer_set(d->ready_timer, DAEMON_BUS_MS);
}

/* A node whose bus does not come up serves the workers of others all the same. */
static void
daemon_on_bus_late(void *arg)
{
	struct daemon *d = arg;

	if (d->is_ready && d->is_run_written)
		return;
	if (!d->is_ready)
		log_warn("node",
			 "the bus is not up yet; going on without it until it is");
	d->is_bus_late = true;
	daemon_check_ready(d);
}

/* ---- parts ---- */

static void
daemon_on_store_report(void *arg, int rc, const char *text)
{
	(void)arg;
	if (rc == 0)
		log_info("store", "%s", text);
	else
		log_error("store", "%s", text);
}

/* Nothing is merged before the table was read. */
static void
daemon_trim(void *arg, const struct row_key *key, struct row *row)
{
	struct daemon *d = arg;

	rows_trim(d->rows, key, row);
}

static int
daemon_open_store(struct daemon *d, struct errmsg *err)
{
	char *dir = mem_printf("%s/store", d->places->data);
	struct store_config config = {
		.dir = dir,
		.sha256 = ident_sha256,
		.trim = daemon_trim,
		.trim_arg = d,
		.report = daemon_on_store_report,
		.is_genuine = scrub_is_genuine,
		.is_genuine_arg = d,
	};
	int rc = store_open(&config, &d->store, err);

	free(dir);
	if (rc == -EBUSY)
		return error_set(err, rc,
				 "another ocfd runs on %s: stop it, or give this one a "
				 "folder of its own with --data",
				 d->places->data);
	if (rc == -ENOENT) /* its keys are here */
		return error_set(
			err, rc,
			"the store of this node is gone from %s/store; restore a "
			"backup, or move %s away and join again",
			d->places->data, d->places->data);
	if (rc == 0 &&
	    !id_equal(&store_constants(d->store)->cluster, &d->identity->cluster_id))
		return error_set(err, -OCF_EFOREIGN,
				 "the store in %s is of another cluster than its keys",
				 d->places->data);
	return rc;
}

static int
daemon_open_identity(struct daemon *d, struct errmsg *err)
{
	int rc;

	if (!identity_exists(d->places->data))
		return error_set(
			err, -ENOENT,
			"there is no node in %s yet; make a cluster with 'ocf init' or "
			"join one with 'ocf join -'",
			d->places->data);
	rc = identity_load(d->places->data, &d->identity, err);
	/* Others would refuse an expired certificate; better to say it here. */
	if (rc == 0)
		rc = cert_check(buf_bytes(&d->identity->node_cert),
				buf_bytes(&d->identity->ca_cert), clock_wall_ms(), NULL,
				NULL, err);
	if (rc == -OCF_EEXPIRED)
		error_prefix(err, rc, "this node's certificate, or this machine's clock");
	return rc;
}

static void
daemon_fill_access(const struct config *c, struct access_config *access)
{
	*access = (struct access_config){
		.local_tokens = c->http.local_tokens,
		.is_public = c->http.public_,
		.token_file = c->http.token_file[0] != '\0' ? c->http.token_file : NULL,
		.names = (const char *const *)c->http.names.items,
		.names_len = c->http.names.len,
		.sha256 = ident_sha256,
	};
}

/* Of the HTTP API; NULL without a certificate. */
static int
daemon_open_tls(const struct config *c, struct tls **ret_tls, struct errmsg *err)
{
	int rc;

	*ret_tls = NULL;
	if (c->http.cert[0] == '\0')
		return 0;
	rc = tls_new_http(c->http.cert, c->http.key, ret_tls, err);
	return rc < 0 ? error_prefix(err, rc, "http.cert, http.key") : 0;
}

int
daemon_check(const struct config *config, struct errmsg *err)
{
	struct access_config access;
	struct bus_config bus;
	struct tls *tls = NULL;
	int rc;

	workers_configure(config, &bus);
	rc = bus_check(&bus, err);
	if (rc < 0 || strcmp(config->http.listen, "none") == 0)
		return rc;
	rc = daemon_open_tls(config, &tls, err);
	tls_free(tls);
	if (rc < 0)
		return rc;
	daemon_fill_access(config, &access);
	return api_check_access_config(&access, config->http.listen, err);
}

int
daemon_reload_tokens(struct daemon *d, struct errmsg *err)
{
	struct access_config access;
	int rc;

	daemon_fill_access(d->config, &access);
	rc = api_reload(d->api, &access, err);
	if (rc == 0 && access.token_file != NULL)
		log_info("node", "http.token_file was read again: %d tokens",
			 api_tokens(d->api));
	return rc;
}

/* Who may use the socket: the group of the data folder. Where this user may not give it to
 * that group it stays with its own. */
static void
daemon_share_socket(const struct daemon *d)
{
	struct stat st;

	if (stat(d->places->data, &st) == 0 &&
	    lchown(d->places->socket, (uid_t)-1, st.st_gid) != 0)
		log_debug("node", "%s: %s", d->places->socket, error_text(-errno));
}

static int
daemon_open_http(struct daemon *d, struct errmsg *err)
{
	struct api_config config = {
		.loop = d->loop,
		.metrics = d->metrics,
		.version = PACKAGE_VERSION,
		.body_max = d->config->http.max_body,
		.timeout_ms = d->config->dispatch.timeout,
		.access_log = d->config->http.access_log,
		.connections_max = (int)d->config->http.max_connections,
		.address_connections_max = (int)d->config->http.max_address_connections,
	};
	struct tls *tls = NULL;
	char *socket = mem_printf("unix:%s", d->places->socket);
	char *folder = mem_dup(
		d->places->socket,
		(size_t)(strrchr(d->places->socket, '/') - d->places->socket));
	int rc;

	config.host = (struct api_host){
		.arg = d,
		.read = views_read,
		.watch = views_watch,
		.ready = views_ready,
		.admin = admin_run,
		.work_open = works_start,
		.work_more = works_more,
		.work_cancel = works_cancel,
		.connections = views_connections,
		.connections_cancel = views_connections_cancel,
	};
	queries_fill_host(&config.host);
	daemon_fill_access(d->config, &config.access);
	rc = file_make_dirs(folder, DAEMON_FOLDER_MODE, err);
	if (rc == 0)
		rc = api_new(&config, &d->api, err);
	if (rc == 0)
		rc = api_listen(d->api, socket, NULL, DAEMON_SOCKET_MODE, err);
	if (rc == 0)
		daemon_share_socket(d);
	if (rc == 0)
		rc = daemon_open_tls(d->config, &tls, err);
	if (rc == 0 && strcmp(d->config->http.listen, "none") != 0) {
		rc = api_listen(d->api, d->config->http.listen, tls, 0, err);
		/* -EPERM: the rules for addresses, which a person mends in the options.
		 */
		if (rc == -EPERM)
			rc = -EINVAL;
		else if (rc != 0)
			error_prefix(err, rc, "http.listen");
	}
	tls_free(tls);
	free(folder);
	free(socket);
	return rc;
}

/* The files that the options name are read anew: all of them, or else none. */
static void
daemon_on_hangup(void *arg)
{
	struct daemon *d = arg;
	struct tls *tls = NULL;
	struct errmsg err = { "" };
	int rc = daemon_open_tls(d->config, &tls, &err);

	if (rc == 0)
		rc = daemon_reload_tokens(d, &err);
	if (rc == 0) {
		api_set_tls(d->api, tls);
		log_info("node", "HTTP's certificate and key were read again");
	} else {
		log_error("node", "nothing was read again, all stays as it was: %s",
			  err.text);
	}
	tls_free(tls);
}

static void
daemon_on_signal(void *arg)
{
	struct daemon *d = arg;

	if (leave_give_up(d)) {
		log_info("node", "told to stop: it stays a member of the cluster");
	} else if (d->is_leaving || d->is_stopping) {
		log_info("node", "stopping at once");
		daemon_stop(d, d->status);
	} else {
		drain_and_stop(d);
	}
}

/* ---- start and stop ---- */

static int
daemon_open(struct daemon *d, struct errmsg *err)
{
	int rc = places_check_socket(d->places->socket, err);

	if (rc == 0)
		rc = places_check_data(d->places->data, err);
	if (rc == 0)
		rc = places_become_owner(d->places->data, err);
	if (rc == 0)
		rc = daemon_open_identity(d, err);
	if (rc != 0)
		return rc;
	d->loop = loop_new();
	d->metrics = metrics_new();
	d->catalog = catalog_new();
	rc = daemon_open_store(d, err);
	if (rc == 0)
		rc = tls_new(d->identity, &d->tls, err);
	if (rc == 0)
		rc = invite_open(d, err);
	if (rc == 0) {
		d->rows = rows_open(d);
		d->bars = bars_open(d);
		d->ca = ca_open(d);
		d->repair = repair_open(d);
		rc = links_open(d, err);
	}
	if (rc == 0)
		rc = queries_open(d);
	if (rc != 0)
		return rc;
	rows_load(d->rows);
	self_announce(d);
	self_follow_addresses(d);
	rc = workers_open(d, err);
	if (rc != 0)
		return rc;
	views_add_metrics(d);
	d->audits = audits_open(d);
	d->works = works_open(d);
	d->scrub = scrub_open(d);
	rc = daemon_open_http(d, err);
	if (rc != 0)
		return rc;
	d->ready_timer = loop_timer_new(d->loop, daemon_on_bus_late, d);
	loop_timer_set(d->ready_timer, DAEMON_BUS_MS);
	daemon_check_ready(d);
	return 0;
}

/* The other way round. Timers first: closing the rows turns the loop. */
static void
daemon_close(struct daemon *d)
{
	if (d->loop != NULL) {
		loop_timer_free(d->ready_timer);
		loop_timer_free(d->address_timer);
		loop_timer_free(d->stop_timer);
		drain_close(d);
	}
	if (d->is_ready) {
		char *path = daemon_run_path(d);

		unlink(path);
		free(path);
	}
	api_free(d->api);
	works_close(d->works);
	leave_close(d);
	scrub_close(d->scrub);
	audits_close(d->audits);
	workers_close(d->workers);
	links_close(d->links);
	d->links = NULL;
	repair_close(d->repair);
	queries_close(d->queries);
	rows_close(d->rows);
	ca_close(d->ca);
	bars_close(d->bars);
	invite_close(d);
	listener_close(d->peer_listener);
	tls_free(d->tls);
	self_close(d);
	if (d->fatal != NULL)
		log_error("node", "%s", d->fatal);
	if (d->store != NULL && store_close(d->store) != 0 && d->status == 0)
		d->status = EXIT_STATUS_IO;
	catalog_free(d->catalog);
	metrics_free(d->metrics);
	identity_free(d->identity);
	loop_free(d->loop);
	free(d->run_text);
	free(d->fatal);
}

static void
daemon_on_stopped(void *arg)
{
	struct daemon *d = arg;

	loop_stop(d->loop);
}

void
daemon_stop(struct daemon *d, int status)
{
	d->status = status;
	if (d->is_stopping) {
		loop_stop(d->loop);
		return;
	}
	d->is_stopping = true;
	leave_stopping(d);
	if (d->queries != NULL)
		queries_stop(d->queries);
	if (d->api != NULL)
		api_stop(d->api);
	if (d->links != NULL)
		links_stop(d->links);
	d->stop_timer = loop_timer_new(d->loop, daemon_on_stopped, d);
	loop_timer_set(d->stop_timer, DAEMON_GOODBYE_MS);
}

/* The exit status that fits what kept the node from starting. */
static int
daemon_exit_status(int rc)
{
	switch (-rc) {
	case EACCES:
	case EPERM:
		return EXIT_STATUS_PERMISSION;
	case EIO:
	case ENOSPC:
	case OCF_ECORRUPT:
		return EXIT_STATUS_IO;
	case EINVAL:
	case ENOENT:
	case ENAMETOOLONG:
	case EOPNOTSUPP:
	case OCF_EMALFORMED:
	case OCF_EFOREIGN:
	case OCF_EVERSION:
	case OCF_EEXPIRED:
		return EXIT_STATUS_CONFIG;
	default:
		return EXIT_FAILURE;
	}
}

/* The usual 1,024 are for programs that use select(2): here a crowd of HTTP clients would
 * keep the other nodes out. */
static void
daemon_raise_limits(const struct config *config)
{
	rlim_t wanted = DAEMON_FILES_MAX + (rlim_t)config->http.max_connections;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
		return;
	files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
	setrlimit(RLIMIT_NOFILE, &files);
}

int
daemon_run(const struct config *config, const struct places *places)
{
	struct daemon d = { .config = config, .places = places };
	struct errmsg err = { "" };
	int rc;

	rng_init(&d.rng, rng_seed_from_os());
	d.started_ms = clock_mono_ms();
	d.started_wall_ms = clock_wall_ms();
	signal(SIGPIPE, SIG_IGN);
	daemon_raise_limits(config);
	rc = daemon_open(&d, &err);
	if (rc == 0) {
		loop_signal(d.loop, SIGTERM, daemon_on_signal, &d);
		loop_signal(d.loop, SIGINT, daemon_on_signal, &d);
		loop_signal(d.loop, SIGHUP, daemon_on_hangup, &d);
		loop_run(d.loop);
	} else {
		log_error("node", "%s", err.text[0] != '\0' ? err.text : error_text(rc));
		d.status = daemon_exit_status(rc);
	}
	daemon_close(&d);
	return d.status;
}
