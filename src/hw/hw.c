/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs: the affinity mask (as hwloc or the kernel gives it), then the CPU quota of every
 * cgroup above us, rounded up. Memory: what the machine has, then the lowest limit of every
 * cgroup above us. Control groups are read in both versions, since Debian 12 containers
 * still meet hosts with the first. */
#include "config.h"

#include "hw/hw.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "hw/gpu.h"
#include "hw/topology.h"

enum { HW_FILE_BYTES_MAX = 1024 * 1024 }; /* cpuinfo of 1,000 CPUs is about that */

/* The file as text, or NULL; free(3) it. */
static char *
hw_read(const char *root, const char *path)
{
	char *full = mem_printf("%s%s", root, path);
	struct buf text = BUF_INIT;
	int rc = file_read(full, HW_FILE_BYTES_MAX, &text, NULL);

	free(full);
	if (rc < 0) {
		buf_fini(&text);
		return NULL;
	}
	buf_text(&text);
	return (char *)text.data;
}

void
hw_set_name(char out[HW_NAME_SIZE], const char *text, size_t len)
{
	size_t n = 0;

	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\n'))
		len--;
	for (size_t i = 0; i < len && n + 1 < HW_NAME_SIZE; i++)
		if (text[i] >= 0x20 && text[i] < 0x7f)
			out[n++] = text[i];
	out[n] = '\0';
}

/* The value behind "key" and a colon, up to the line's end; NULL when it is not there. */
static const char *
hw_field(const char *text, const char *key, size_t *ret_len)
{
	size_t key_len = strlen(key);

	for (const char *line = text; line != NULL && *line != '\0';
	     line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL) {
		const char *p = line + key_len;

		if (strncmp(line, key, key_len) != 0)
			continue;
		p += strspn(p, " \t");
		if (*p++ != ':')
			continue;
		p += strspn(p, " \t");
		*ret_len = strcspn(p, "\n");
		return p;
	}
	return NULL;
}

static void
hw_read_proc(const char *root, struct hw_inventory *inv)
{
	char *meminfo = hw_read(root, "/proc/meminfo");
	char *cpuinfo = hw_read(root, "/proc/cpuinfo");
	const char *value;
	size_t len;

	if (meminfo != NULL && (value = hw_field(meminfo, "MemTotal", &len)) != NULL)
		inv->memory = strtoull(value, NULL, 10) * 1024;
	if (cpuinfo != NULL && inv->cpu_name[0] == '\0' &&
	    (value = hw_field(cpuinfo, "model name", &len)) != NULL)
		hw_set_name(inv->cpu_name, value, len);
	for (const char *p = cpuinfo; root[0] != '\0' && p != NULL;
	     p = strchr(p + 1, '\n'))
		inv->cpus += strncmp(p + (*p == '\n'), "processor", 9) == 0;
	free(meminfo);
	free(cpuinfo);
}

static void
hw_read_affinity(struct hw_inventory *inv)
{
	/* Larger than any machine, since the call fails when the mask does not fit. */
	enum { CPUS_MAX = 8192 };
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);

	if (set != NULL && sched_getaffinity(0, size, set) == 0)
		inv->cpus = CPU_COUNT_S(size, set);
	CPU_FREE(set);
}

/* --- control groups --- */

static uint64_t
hw_read_number(const char *root, const char *folder, const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);
	char *text = hw_read(root, path);
	uint64_t number = 0;

	if (text != NULL && text[0] >= '0' && text[0] <= '9')
		number = strtoull(text, NULL, 10);
	free(text);
	free(path);
	return number;
}

static void
hw_limit_cpus(struct hw_inventory *inv, uint64_t quota, uint64_t period)
{
	uint64_t cpus = period > 0 ? (quota + period - 1) / period : 0;

	if (quota > 0 && cpus > 0 && cpus < (uint64_t)inv->cpus)
		inv->cpus = (int)cpus;
}

static void
hw_limit_memory(struct hw_inventory *inv, uint64_t limit)
{
	if (limit > 0 && (inv->memory == 0 || limit < inv->memory))
		inv->memory = limit;
}

/* The limits of one group; version 2 in one folder, version 1 in one per controller. */
static void
hw_read_group(const char *root, const char *folder, struct hw_inventory *inv)
{
	char *path = mem_printf("%s/cpu.max", folder);
	char *text = hw_read(root, path);
	uint64_t quota, period;

	if (text != NULL && sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) == 2)
		hw_limit_cpus(inv, quota, period);
	free(text);
	free(path);
	hw_limit_cpus(inv, hw_read_number(root, folder, "cpu.cfs_quota_us"),
		      hw_read_number(root, folder, "cpu.cfs_period_us"));
	hw_limit_memory(inv, hw_read_number(root, folder, "memory.max"));
	hw_limit_memory(inv, hw_read_number(root, folder, "memory.limit_in_bytes"));
}

static void
hw_read_groups(const char *root, const char *mount, const char *group,
	       struct hw_inventory *inv)
{
	char *folder = mem_printf("%s%s", mount, group);
	size_t top = strlen(mount);

	for (;;) {
		char *slash;

		hw_read_group(root, folder, inv);
		slash = strrchr(folder, '/');
		if (strlen(folder) <= top || slash == NULL)
			break;
		*slash = '\0';
		if (strlen(folder) < top)
			break;
	}
	free(folder);
}

/* Lines of "number:controllers:path". */
static void
hw_read_cgroups(const char *root, struct hw_inventory *inv)
{
	char *text = hw_read(root, "/proc/self/cgroup"), *rest = text, *line;

	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
		char *number = strsep(&line, ":");
		char *controllers = strsep(&line, ":");

		if (number == NULL || controllers == NULL || line == NULL ||
		    strstr(line, "/..") != NULL)
			continue;
		if (controllers[0] == '\0')
			hw_read_groups(root, "/sys/fs/cgroup", line, inv);
		else if (strncmp(controllers, "cpu", 3) == 0 &&
			 strncmp(controllers, "cpuset", 6) != 0)
			hw_read_groups(root, "/sys/fs/cgroup/cpu", line, inv);
		else if (strcmp(controllers, "memory") == 0)
			hw_read_groups(root, "/sys/fs/cgroup/memory", line, inv);
	}
	free(text);
}

void
hw_inventory_read(const char *root, struct hw_inventory *ret_inventory)
{
	struct hw_inventory *inv = ret_inventory;

	memset(inv, 0, sizeof(*inv));
	if (root[0] == '\0') {
		hw_topology_read(inv);
		if (inv->cpus == 0)
			hw_read_affinity(inv);
	}
	hw_read_proc(root, inv);
	if (inv->cpus < 1)
		inv->cpus = 1;
	hw_read_cgroups(root, inv);
	hw_gpus_read(root, inv);
}
