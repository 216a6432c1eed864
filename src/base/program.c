/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

bool
program_is_one(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *
program_find(const char *name)
{
	const char *env = getenv("PATH");
	char *places = mem_printf("%s:/usr/sbin:/usr/local/sbin",
				  env != NULL ? env : "/usr/bin");
	char *rest = places, *folder, *found = NULL;

	while (found == NULL && (folder = strsep(&rest, ":")) != NULL) {
		char *path = mem_printf("%s/%s", folder, name);

		if (folder[0] == '/' && program_is_one(path))
			found = path;
		else
			free(path);
	}
	free(places);
	return found;
}
