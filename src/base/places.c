/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/places.h"

#include <grp.h>
#include <libgen.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Not in linux/magic.h: file systems kept outside the kernel. */
enum {
	PLACES_MAGIC_LUSTRE = 0x0bd00bd0,
	PLACES_MAGIC_GPFS = 0x47504653,
};

/* The variable's value if it is an absolute path, else NULL. */
static const char *
places_variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] == '/' ? value : NULL;
}

static int
places_home(uid_t uid, char **ret_home, struct errmsg *err)
{
	const char *home = places_variable("HOME");
	const struct passwd *pw;

	if (home == NULL) {
		pw = getpwuid(uid);
		home = pw != NULL && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
	}
	if (home == NULL)
		return error_set(
			err, -EINVAL,
			"no home folder: set HOME or XDG_STATE_HOME, or use --data");
	*ret_home = mem_strdup(home);
	return 0;
}

/* An XDG base folder: its variable, else `fallback` under the home folder. */
static int
places_base(uid_t uid, const char *name, const char *fallback, char **ret_path,
	    struct errmsg *err)
{
	const char *value = places_variable(name);
	char *home = NULL;
	int rc;

	if (value != NULL) {
		*ret_path = mem_strdup(value);
		return 0;
	}
	rc = places_home(uid, &home, err);
	if (rc != 0)
		return rc;
	*ret_path = mem_printf("%s/%s", home, fallback);
	free(home);
	return 0;
}

static int
places_absolute(const char *path, char **ret_path, struct errmsg *err)
{
	char *cwd;
	size_t len;

	if (path[0] == '/') {
		*ret_path = mem_strdup(path);
	} else {
		cwd = getcwd(NULL, 0);
		if (cwd == NULL)
			return error_set(err, -errno, "the current folder: %s",
					 error_text(-errno));
		*ret_path = mem_printf("%s/%s", cwd, path);
		free(cwd);
	}
	len = strlen(*ret_path);
	while (len > 1 && (*ret_path)[len - 1] == '/')
		(*ret_path)[--len] = '\0';
	return 0;
}

static int
places_find_xdg(uid_t uid, struct places *p, struct errmsg *err)
{
	const char *runtime = places_variable("XDG_RUNTIME_DIR");
	char *config, *state;
	int rc;

	rc = places_base(uid, "XDG_CONFIG_HOME", ".config", &config, err);
	if (rc != 0)
		return rc;
	p->config_file = mem_printf("%s/ocf/ocf.conf", config);
	p->config_folder = mem_printf("%s/ocf/ocf.conf.d", config);
	free(config);
	rc = places_base(uid, "XDG_STATE_HOME", ".local/state", &state, err);
	if (rc != 0)
		return rc;
	p->data = mem_printf("%s/ocf", state);
	free(state);
	p->socket = runtime != NULL ? mem_printf("%s/ocf/ocfd.sock", runtime)
				    : mem_printf("%s/ocfd.sock", p->data);
	return 0;
}

static void
places_find_system(struct places *p)
{
	p->config_file = mem_strdup("/etc/ocf/ocf.conf");
	p->config_folder = mem_strdup("/etc/ocf/ocf.conf.d");
	p->data = mem_strdup("/var/lib/ocf");
	p->socket = mem_strdup("/run/ocf/ocfd.sock");
}

int
places_find(uid_t uid, const char *data, struct places *ret_places, struct errmsg *err)
{
	struct places p = { NULL, NULL, NULL, NULL };
	int rc = 0;

	if (data != NULL && data[0] == '\0')
		return error_set(err, -EINVAL, "--data needs the path of a folder");
	if (uid == 0 && places_variable("XDG_STATE_HOME") == NULL)
		places_find_system(&p);
	else
		rc = places_find_xdg(uid, &p, err);
	if (rc == 0 && data != NULL) {
		free(p.data);
		free(p.socket);
		p.data = p.socket = NULL;
		rc = places_absolute(data, &p.data, err);
		if (rc == 0)
			p.socket = mem_printf("%s/ocfd.sock", p.data);
	}
	if (rc != 0) {
		places_fini(&p);
		return rc;
	}
	*ret_places = p;
	return 0;
}

void
places_fini(struct places *p)
{
	free(p->data);
	free(p->config_file);
	free(p->config_folder);
	free(p->socket);
	*p = (struct places){ NULL, NULL, NULL, NULL };
}

/* run.json and replies name them, and JSON holds nothing else. */
static int
places_check_text(const char *path, struct errmsg *err)
{
	if (utf8_is_valid(path))
		return 0;
	return error_set(err, -EINVAL, "this path is not valid UTF-8; choose another: %s",
			 path);
}

int
places_check_socket(const char *path, struct errmsg *err)
{
	if (places_check_text(path, err) != 0)
		return -EINVAL;
	if (strlen(path) <= PLACES_SOCKET_BYTES_MAX)
		return 0;
	return error_set(
		err, -ENAMETOOLONG,
		"the socket's path is %zu bytes long, and the system allows %d; set "
		"XDG_RUNTIME_DIR to a shorter folder, or use --data with one: %s",
		strlen(path), PLACES_SOCKET_BYTES_MAX, path);
}

static const char *
places_network_name(unsigned long magic)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} table[] = {
		{ NFS_SUPER_MAGIC, "NFS" },    { SMB_SUPER_MAGIC, "SMB" },
		{ CIFS_SUPER_MAGIC, "CIFS" },  { SMB2_SUPER_MAGIC, "SMB" },
		{ AFS_SUPER_MAGIC, "AFS" },    { CODA_SUPER_MAGIC, "Coda" },
		{ CEPH_SUPER_MAGIC, "Ceph" },  { PLACES_MAGIC_LUSTRE, "Lustre" },
		{ PLACES_MAGIC_GPFS, "GPFS" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].magic == (magic & 0xffffffff))
			return table[i].name;
	}
	return NULL;
}

int
places_check_data(const char *path, struct errmsg *err)
{
	char *copy = mem_strdup(path), *at = copy;
	const char *name;
	struct statfs fs;
	int rc = places_check_text(path, err);

	if (rc != 0) {
		free(copy);
		return rc;
	}
	for (;;) {
		rc = statfs(at, &fs) == 0 ? 0 : -errno;
		if ((rc != -ENOENT && rc != -ENOTDIR) || strcmp(at, "/") == 0 ||
		    strcmp(at, ".") == 0)
			break;
		at = dirname(at);
	}
	if (rc != 0) {
		rc = error_set(err, rc, "%s: %s", at, error_text(rc));
		free(copy);
		return rc;
	}
	free(copy);
	name = places_network_name((unsigned long)fs.f_type);
	if (name == NULL)
		return 0;
	return error_set(
		err, -EOPNOTSUPP,
		"the data folder %s is on a network file system (%s), where the store "
		"would not be safe; use --data with a folder on a local disk",
		path, name);
}

int
places_become_owner(const char *data, struct errmsg *err)
{
	const struct passwd *pw;
	struct stat st;

	if (geteuid() != 0 || stat(data, &st) != 0 || st.st_uid == 0)
		return 0;
	pw = getpwuid(st.st_uid);
	if ((pw != NULL ? initgroups(pw->pw_name, st.st_gid) : setgroups(0, NULL)) != 0 ||
	    setresgid(st.st_gid, st.st_gid, st.st_gid) != 0 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) != 0)
		return error_set(err, -errno, "taking the owner's rights to %s: %s", data,
				 error_text(-errno));
	return 0;
}
