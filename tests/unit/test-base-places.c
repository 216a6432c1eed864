/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of interfaces.md for the data folder, the configuration and the socket. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/places.h"
#include "lib/tap.h"

static void
clear(void)
{
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	setenv("HOME", "/home/ann", 1);
}

static void
expect(uid_t uid, const char *data, const char *want_data, const char *want_config,
       const char *want_socket)
{
	struct errmsg err = { "" };
	struct places p;

	CU_ASSERT_EQUAL_FATAL(places_find(uid, data, &p, &err), 0);
	CU_ASSERT_STRING_EQUAL(p.data, want_data);
	CU_ASSERT_STRING_EQUAL(p.config_file, want_config);
	CU_ASSERT_STRING_EQUAL(p.socket, want_socket);
	places_fini(&p);
}

static void
test_root_uses_the_system_places(void)
{
	clear();
	expect(0, NULL, "/var/lib/ocf", "/etc/ocf/ocf.conf", "/run/ocf/ocfd.sock");
	/* The other two variables alone do not make root a user of XDG places. */
	setenv("XDG_RUNTIME_DIR", "/run/user/0", 1);
	expect(0, NULL, "/var/lib/ocf", "/etc/ocf/ocf.conf", "/run/ocf/ocfd.sock");
	setenv("XDG_STATE_HOME", "/s", 1);
	expect(0, NULL, "/s/ocf", "/home/ann/.config/ocf/ocf.conf",
	       "/run/user/0/ocf/ocfd.sock");
}

static void
test_people_use_the_xdg_places(void)
{
	clear();
	expect(1000, NULL, "/home/ann/.local/state/ocf", "/home/ann/.config/ocf/ocf.conf",
	       "/home/ann/.local/state/ocf/ocfd.sock");
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_CONFIG_HOME", "/c", 1);
	setenv("XDG_RUNTIME_DIR", "/r", 1);
	expect(1000, NULL, "/s/ocf", "/c/ocf/ocf.conf", "/r/ocf/ocfd.sock");
	/* Not absolute, or empty: as if unset. */
	setenv("XDG_STATE_HOME", "s", 1);
	setenv("XDG_CONFIG_HOME", "", 1);
	setenv("XDG_RUNTIME_DIR", "./r", 1);
	expect(1000, NULL, "/home/ann/.local/state/ocf", "/home/ann/.config/ocf/ocf.conf",
	       "/home/ann/.local/state/ocf/ocfd.sock");
}

static void
test_data_moves_data_and_socket(void)
{
	char *cwd = getcwd(NULL, 0);
	char *data = mem_printf("%s/d", cwd), *socket = mem_printf("%s/d/ocfd.sock", cwd);
	struct errmsg err = { "" };
	struct places p;

	clear();
	setenv("XDG_RUNTIME_DIR", "/r", 1);
	expect(0, "/x/y//", "/x/y", "/etc/ocf/ocf.conf", "/x/y/ocfd.sock");
	expect(1000, "d", data, "/home/ann/.config/ocf/ocf.conf", socket);
	CU_ASSERT_EQUAL(places_find(0, "", &p, &err), -EINVAL);
	free(cwd);
	free(data);
	free(socket);
}

static void
test_long_socket_path_is_refused(void)
{
	char path[PLACES_SOCKET_BYTES_MAX + 2];
	struct errmsg err = { "" };

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[PLACES_SOCKET_BYTES_MAX] = '\0';
	CU_ASSERT_EQUAL(places_check_socket(path, &err), 0);
	path[PLACES_SOCKET_BYTES_MAX] = 'x';
	path[PLACES_SOCKET_BYTES_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(places_check_socket(path, &err), -ENAMETOOLONG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--data"));
}

static void
test_local_folder_is_accepted_before_it_exists(void)
{
	char *path = mem_printf("%s/not/there/yet", tap_folder());
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL(places_check_data(path, &err), 0);
	free(path);
}

static void
test_paths_are_utf8(void)
{
	struct errmsg err = { "" };

	CU_ASSERT_EQUAL(places_check_data("/tmp/\xff", &err), -EINVAL);
	CU_ASSERT_EQUAL(places_check_socket("/tmp/\xff", &err), -EINVAL);
	CU_ASSERT(strstr(err.text, "UTF-8") != NULL);
}

static void
test_own_folder_changes_no_rights(void)
{
	struct errmsg err = { "" };
	uid_t before = geteuid();

	CU_ASSERT_EQUAL(places_become_owner(tap_folder(), &err), 0);
	CU_ASSERT_EQUAL(places_become_owner("/not/there", &err), 0);
	CU_ASSERT_EQUAL(geteuid(), before);
}

static const struct tap_test tests[] = {
	{ "root uses the system's places unless XDG_STATE_HOME is set",
	  test_root_uses_the_system_places },
	{ "people use the XDG places, and relative values count as unset",
	  test_people_use_the_xdg_places },
	{ "--data moves the data folder and the socket, not the configuration",
	  test_data_moves_data_and_socket },
	{ "a socket path over 107 bytes is refused with a remedy",
	  test_long_socket_path_is_refused },
	{ "a local data folder is accepted before it exists",
	  test_local_folder_is_accepted_before_it_exists },
	{ "a path that is not UTF-8 is refused", test_paths_are_utf8 },
	{ "work on one's own folder changes no rights",
	  test_own_folder_changes_no_rights },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
