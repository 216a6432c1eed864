/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/doctor: all that `ocf doctor` asks a node, of one moment: what the views
 * show, and beside it what only somebody who looks for trouble wants to know. Nothing is
 * judged here. */
#include "config.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "daemon/daemon.h"
#include "http/server.h"
#include "mesh/mesh.h"
#include "net/stream.h"

/* All links and all clients on the unix socket at once, links that are not known yet, and our
 * own files; those of HTTP over TCP come on top. */
enum { DOCTOR_FILES_NEEDED = MESH_LINKS_MAX + HTTP_SOCKET_CONNECTIONS_MAX + 512 };

static json_t *
doctor_files(const struct daemon *d)
{
	json_int_t needed = DOCTOR_FILES_NEEDED + d->config->http.max_connections;
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit = { 0, 0 };
	json_int_t open = 0;

	while (dir != NULL && readdir(dir) != NULL)
		open++;
	if (dir != NULL)
		closedir(dir);
	getrlimit(RLIMIT_NOFILE, &limit);
	/* Not ".", ".." and the folder itself. */
	return json_pack("{s:I, s:I, s:I}", "limit", (json_int_t)limit.rlim_cur, "open",
			 open > 3 ? open - 3 : (json_int_t)0, "needed", needed);
}

static json_t *
doctor_store(struct daemon *d)
{
	char *path = mem_printf("%s/store/data.mdb", d->places->data);
	struct store_stats stats;
	struct stat st = { .st_blocks = 0 };
	uint64_t faults = 0;

	store_stats(d->store, &stats);
	for (int i = 0; i < STORE_FAULTS; i++)
		faults += stats.faults[i];
	if (stat(path, &st) != 0)
		st.st_blocks = 0;
	free(path);
	return json_pack("{s:I, s:I, s:I, s:I, s:s?, s:I, s:I, s:I}", "bytes",
			 (json_int_t)st.st_blocks * 512, "rows", (json_int_t)stats.rows,
			 "pending_rows", (json_int_t)stats.pending_rows, "pending_bytes",
			 (json_int_t)stats.pending_bytes, "error",
			 stats.error != 0 ? error_text(stats.error) : NULL, "damaged",
			 (json_int_t)stats.damaged, "faults", (json_int_t)faults,
			 "repaired", (json_int_t)stats.repaired);
}

static json_t *
doctor_bus(struct daemon *d)
{
	struct bus_stats stats = { 0 };

	if (d->bus != NULL)
		bus_get_stats(d->bus, &stats);
	return json_pack("{s:I, s:I, s:I}", "restarts", (json_int_t)stats.server_restarts,
			 "reconnects", (json_int_t)stats.reconnects, "bad_announcements",
			 (json_int_t)stats.announcements_bad);
}

static json_t *
doctor_addresses(const struct daemon *d)
{
	json_t *list = json_array();

	for (int i = 0; i < d->addresses_len; i++)
		json_array_append_new(list, json_string(d->addresses[i]));
	return list;
}

/* A path as JSON can hold it; null where it is not UTF-8. */
static json_t *
doctor_path(const char *path)
{
	return utf8_is_valid(path) ? json_string(path) : json_null();
}

int
doctor_admin(struct daemon *d, const json_t *body, json_t **ret_reply, struct errmsg *err)
{
	static const struct {
		const char *name;
		enum api_view view;
	} views[] = {
		{ "status", API_VIEW_STATUS },
		{ "nodes", API_VIEW_NODES },
		{ "peers", API_VIEW_PEERS },
	};
	const char *http = api_address(d->api);
	struct query_headers all = { 0 };
	json_t *reply;

	(void)body;
	(void)err;
	reply = json_pack(
		"{s:i, s:o, s:o, s:I, s:b, s:s, s:s, s:b, s:I, s:o}", "pid",
		(int)getpid(), "data", doctor_path(d->places->data), "config",
		doctor_path(d->places->config_file), "wall_ms",
		(json_int_t)clock_wall_ms(), "ready", d->is_ready && !d->is_stopping,
		"http", http != NULL ? http : "", "peer",
		listener_address(d->peer_listener), "ca_key", d->identity->ca_key != NULL,
		"sync_interval_ms", (json_int_t)d->config->sync.interval, "addresses",
		doctor_addresses(d));
	query_headers_add(&all, "all", "1");
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		json_object_set_new(reply, views[i].name,
				    views_read(d, views[i].view, &all));
	query_headers_fini(&all);
	links_tell_doctor(d->links, reply);
	json_object_set_new(reply, "files", doctor_files(d));
	json_object_set_new(reply, "store", doctor_store(d));
	json_object_set_new(reply, "bus", doctor_bus(d));
	*ret_reply = reply;
	return 200;
}
