/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "hw/hw.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "hw/gpu.h"
#include "lib/tap.h"

static char *root;

static void
put(const char *path, const char *text)
{
	char *full = mem_printf("%s%s", root, path), *slash;

	slash = strrchr(full, '/');
	*slash = '\0';
	CU_ASSERT_FATAL(file_make_dirs(full, 0755, NULL) == 0);
	*slash = '/';
	CU_ASSERT_FATAL(file_write(full, bytes_text(text), 0644, NULL) == 0);
	free(full);
}

static void
start(const char *name)
{
	free(root);
	root = mem_printf("%s/%s", tap_folder(), name);
	put("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");
	put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Foo(R) 3000  \n\n"
			     "processor\t: 1\nmodel name\t: Foo(R) 3000\n\n"
			     "processor\t: 2\n\nprocessor\t: 3\n");
}

static void
test_proc_is_read(void)
{
	struct hw_inventory inv;

	start("proc");
	hw_inventory_read(root, &inv);
	CU_ASSERT_EQUAL(inv.cpus, 4);
	CU_ASSERT_EQUAL(inv.memory, 16384 * 1024);
	CU_ASSERT_STRING_EQUAL(inv.cpu_name, "Foo(R) 3000");
	CU_ASSERT_EQUAL(inv.gpus_len, 0);
}

static void
test_control_groups_limit(void)
{
	struct hw_inventory inv;

	start("cgroup2");
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
	put("/sys/fs/cgroup/a/memory.max", "1048576\n");
	hw_inventory_read(root, &inv);
	CU_ASSERT_EQUAL(inv.cpus, 2);
	CU_ASSERT_EQUAL(inv.memory, 1048576);

	start("cgroup1");
	put("/proc/self/cgroup",
	    "3:cpu,cpuacct:/x\n4:memory:/x\n5:cpuset:/x\nnonsense\n");
	put("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
	put("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
	hw_inventory_read(root, &inv);
	CU_ASSERT_EQUAL(inv.cpus, 1);
	CU_ASSERT_EQUAL(inv.memory, 16384 * 1024);
}

static void
put_gpu(const char *pci, const char *class, const char *vendor, const char *vram,
	const char *render)
{
	char path[200];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", pci);
	put(path, class);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", pci);
	put(path, vendor);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", pci);
	put(path, "0x74a1\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/mem_info_vram_total", pci);
	if (vram != NULL)
		put(path, vram);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/drm/%s/dev", pci, render);
	if (render != NULL)
		put(path, "226:128\n");
}

static void
test_gpus_are_those_that_can_be_opened(void)
{
	struct hw_inventory inv;

	start("gpus");
	put("/dev/dri/renderD128", "");
	put("/dev/dri/renderD129", "");
	put_gpu("0000:43:00.0", "0x038000\n", "0x1002\n", "206141652992\n", "renderD129");
	put_gpu("0000:03:00.0", "0x038000\n", "0x1002\n", "206141652992\n", "renderD128");
	put_gpu("0000:04:00.0", "0x030000\n", "0x1a03\n", NULL, "renderD128");
	put_gpu("0000:05:00.0", "0x020000\n", "0x1002\n", NULL, "renderD128");
	put_gpu("0000:06:00.0", "0x030000\n", "0x1002\n", NULL, "renderD130");
	hw_inventory_read(root, &inv);
	CU_ASSERT_EQUAL_FATAL(inv.gpus_len, 2);
	CU_ASSERT_STRING_EQUAL(inv.gpus[0].pci, "0000:03:00.0");
	CU_ASSERT_STRING_EQUAL(inv.gpus[0].name, "AMD 74a1");
	CU_ASSERT_EQUAL(inv.gpus[1].memory, 206141652992ull);
}

/* Three processors and, when the second is cut, its two slices as `a` and `b`. */
static const struct hw_cuda_device wholes[] = {
	{ .uuid = "GPU-aaaa", .gpu = 0 },
	{ .uuid = "GPU-abcd", .gpu = 1 },
	{ .uuid = "GPU-cccc", .gpu = 2 },
};
static const struct hw_cuda_device cut[] = {
	{ .uuid = "GPU-aaaa", .gpu = 0 },
	{ .uuid = "GPU-abcd", .gpu = 1, .is_cut = true },
	{ .uuid = "MIG-77aa", .gpu = 1, .is_slice = true, .instance = 2 },
	{ .uuid = "MIG-77bb", .gpu = 1, .is_slice = true, .instance = 9, .compute = 1 },
	{ .uuid = "GPU-cccc", .gpu = 2 },
};

static void
check_visible(const char *value, const struct hw_cuda_device *devices, int len,
	      const char *names, const char *want)
{
	bool is_visible[8];
	char seen[8] = "";

	hw_cuda_visible(value, devices, len, is_visible);
	for (int k = 0; k < len; k++)
		if (is_visible[k])
			seen[strlen(seen)] = names[k];
	if (strcmp(seen, want) != 0)
		tap_note("%s: %s, not %s", value, seen, want);
	CU_ASSERT_STRING_EQUAL(seen, want);
}

static void
test_cuda_visible_devices(void)
{
	static const struct {
		const char *value;
		const char *seen;
	} table[] = {
		{ NULL, "012" },
		{ "", "" },
		{ "1", "1" },
		{ "2,0", "02" },
		{ "0, 1", "01" },
		{ "-1", "" },
		{ "0,7,1", "0" },
		{ "NoDevFiles", "" },
		{ "GPU-ab", "1" },
		{ "gpu-ab", "" },
		{ "GPU-AB", "1" },
		{ "GPU-", "" },
		{ "GPU-a,1", "" }, /* of two */
		{ "GPU-abcde", "" },
		{ "GPU-cccc,0", "02" },
		{ "GPU-zz,0", "" },
		/* Where nothing is known of slices. */
		{ "MIG-GPU-aaaa/1/0", "0" },
		{ "MIG-GPU-aaaa", "" },
		{ "MIG-GPU-aaaa/1", "" },
		{ "MIG-GPU-aaaa/1/", "" },
		{ "MIG-GPU-aaaa/x/0", "" },
		{ "MIG-GPU-aaaa/1/0/0", "" },
		{ "MIG-77aa", "" },
		{ "1x", "" },
		{ "99999999999999999999", "" },
		{ "4294967296", "" },
		{ "0,,1", "0" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		check_visible(table[i].value, wholes, 3, "012", table[i].seen);
}

static void
test_cuda_slices(void)
{
	static const struct {
		const char *value;
		const char *seen;
	} table[] = {
		{ NULL, "0ab2" },
		{ "", "" },
		{ "MIG-77bb", "b" },
		{ "MIG-77BB,0", "0b" },
		{ "MIG-77", "" }, /* of two */
		{ "MIG-", "" },
		{ "MIG-77bbc", "" },
		{ "MIG-abcd", "" }, /* a processor's */
		{ "GPU-77bb", "" }, /* a slice's */
		{ "MIG-GPU-abcd/2/0", "a" },
		{ "MIG-GPU-ab/9/1,2", "b2" },
		{ "MIG-GPU-abcd/9/0", "" },
		{ "MIG-GPU-abcd/7/0,0", "" },
		/* CUDA takes the first slice of one that is cut. */
		{ "1", "a" },
		{ "GPU-abcd", "a" },
		{ "2,1,0", "0a2" },
	};
	static const struct hw_cuda_device empty = { .uuid = "GPU-a", .is_cut = true };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		check_visible(table[i].value, cut, 5, "01ab2", table[i].seen);
	check_visible(NULL, &empty, 1, "0", "");
	check_visible("0", &empty, 1, "0", "");
	check_visible("MIG-GPU-a/1/0", &empty, 1, "0", "");
}

/* As the driver's library is asked: which of its processors, of which memory, are ours. */
static bool
read_nvml(const char *visible, const char *fault, struct hw_inventory *inv)
{
	const char *builddir = getenv("OCF_TEST_BUILDDIR");
	char *library = mem_printf("%s/tests/lib/nvml.so",
				   builddir != NULL ? builddir : ".");
	bool works;

	memset(inv, 0, sizeof(*inv));
	setenv("OCF_TEST_NVML", library, 1);
	unsetenv("CUDA_VISIBLE_DEVICES");
	unsetenv("OCF_TEST_NVML_FAULT");
	if (visible != NULL)
		setenv("CUDA_VISIBLE_DEVICES", visible, 1);
	if (fault != NULL)
		setenv("OCF_TEST_NVML_FAULT", fault, 1);
	works = hw_nvml_read(inv);
	unsetenv("OCF_TEST_NVML");
	unsetenv("CUDA_VISIBLE_DEVICES");
	unsetenv("OCF_TEST_NVML_FAULT");
	free(library);
	return works;
}

static void
test_nvml(void)
{
	struct hw_inventory inv;

	CU_ASSERT_FATAL(read_nvml(NULL, NULL, &inv));
	CU_ASSERT_EQUAL_FATAL(inv.gpus_len, 4);
	CU_ASSERT_STRING_EQUAL(inv.gpus[0].name, "NVIDIA Test 80GB");
	CU_ASSERT_STRING_EQUAL(inv.gpus[0].pci, "0000:3b:00.0");
	CU_ASSERT(inv.gpus[0].memory == 85899345920 &&
		  inv.gpus[0].memory_used == 1073741824);
	CU_ASSERT_STRING_EQUAL(inv.gpus[2].name, "NVIDIA Test 24GB");
	CU_ASSERT(inv.gpus[2].memory == 25769803776 && inv.gpus[2].memory_used == 0);
	CU_ASSERT(inv.gpus[3].memory == 0);

	CU_ASSERT(read_nvml("2,GPU-bb", NULL, &inv) && inv.gpus_len == 2);
	CU_ASSERT_STRING_EQUAL(inv.gpus[0].pci, "0000:5e:00.0");
	CU_ASSERT_STRING_EQUAL(inv.gpus[1].pci, "0000:af:00.0");
	CU_ASSERT(read_nvml("", NULL, &inv) && inv.gpus_len == 0);
	CU_ASSERT(read_nvml("4", NULL, &inv) && inv.gpus_len == 0);
}

static void
test_nvml_slices(void)
{
	struct hw_inventory inv;

	setenv("OCF_TEST_NVML_MIG", "yes", 1);
	CU_ASSERT_FATAL(read_nvml(NULL, NULL, &inv) && inv.gpus_len == 4);
	CU_ASSERT_STRING_EQUAL(inv.gpus[0].pci, "0000:3b:00.0");
	CU_ASSERT_STRING_EQUAL(inv.gpus[1].name, "NVIDIA Test 80GB MIG 3g.40gb");
	CU_ASSERT_STRING_EQUAL(inv.gpus[1].pci, "0000:5e:00.0");
	CU_ASSERT(inv.gpus[1].memory == 42949672960);
	/* One whose name is not told has its processor's. */
	CU_ASSERT_STRING_EQUAL(inv.gpus[2].name, "NVIDIA Test 80GB");
	CU_ASSERT(inv.gpus[2].memory == 10737418240);
	CU_ASSERT_STRING_EQUAL(inv.gpus[3].pci, "0000:af:00.0");

	CU_ASSERT(read_nvml("MIG-1122", NULL, &inv) && inv.gpus_len == 1);
	CU_ASSERT(inv.gpus[0].memory == 10737418240);
	CU_ASSERT(read_nvml("MIG-GPU-bbbb2222/2/0,2", NULL, &inv) && inv.gpus_len == 2);
	CU_ASSERT(inv.gpus[0].memory == 42949672960);
	CU_ASSERT(read_nvml("1", NULL, &inv) && inv.gpus_len == 1);
	CU_ASSERT(inv.gpus[0].memory == 42949672960);
	CU_ASSERT(read_nvml("3", NULL, &inv) && inv.gpus_len == 0);
	CU_ASSERT(read_nvml("MIG-11", NULL, &inv) && inv.gpus_len == 0);
	unsetenv("OCF_TEST_NVML_MIG");
	CU_ASSERT(read_nvml("MIG-1122", NULL, &inv) && inv.gpus_len == 0);
}

static void
test_nvml_that_fails(void)
{
	struct hw_inventory inv;

	CU_ASSERT(!read_nvml(NULL, "init", &inv) && inv.gpus_len == 0);
	CU_ASSERT(read_nvml(NULL, "count", &inv) && inv.gpus_len == 0);
	CU_ASSERT(read_nvml(NULL, "many", &inv) && inv.gpus_len == HW_GPUS_MAX);
	CU_ASSERT(read_nvml(NULL, "handle", &inv) && inv.gpus_len == 3);
	CU_ASSERT_STRING_EQUAL(inv.gpus[1].pci, "0000:af:00.0");
	CU_ASSERT(read_nvml("1", "handle", &inv) && inv.gpus_len == 0);
	CU_ASSERT(read_nvml(NULL, "name", &inv) && inv.gpus_len == 4);
	CU_ASSERT(strlen(inv.gpus[0].name) == HW_NAME_SIZE - 1 &&
		  inv.gpus[0].pci[0] == '\0');
	memset(&inv, 0, sizeof(inv));
	setenv("OCF_TEST_NVML", "/no/such/library.so", 1);
	CU_ASSERT(!hw_nvml_read(&inv) && inv.gpus_len == 0);
	/* A library, but another one. */
	setenv("OCF_TEST_NVML", "libc.so.6", 1);
	CU_ASSERT(!hw_nvml_read(&inv) && inv.gpus_len == 0);
	unsetenv("OCF_TEST_NVML");
}

static void
test_real_machine(void)
{
	struct hw_inventory inv;
	cpu_set_t all, one;
	size_t cpu = 0;

	hw_inventory_read("", &inv);
	CU_ASSERT(inv.cpus >= 1 && inv.cpus <= sysconf(_SC_NPROCESSORS_CONF));
	CU_ASSERT(inv.memory > 1024 * 1024);
	tap_note("%d cpus (%s), %llu bytes, %d gpus", inv.cpus, inv.cpu_name,
		 (unsigned long long)inv.memory, inv.gpus_len);
	for (int i = 0; i < inv.gpus_len; i++)
		tap_note("gpu %s at %s, %llu bytes", inv.gpus[i].name, inv.gpus[i].pci,
			 (unsigned long long)inv.gpus[i].memory);
	CU_ASSERT_FATAL(sched_getaffinity(0, sizeof(all), &all) == 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CU_ASSERT_FATAL(sched_setaffinity(0, sizeof(one), &one) == 0);
	hw_inventory_read("", &inv);
	CU_ASSERT_EQUAL(inv.cpus, 1);
	sched_setaffinity(0, sizeof(all), &all);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "cpus, memory and model come from proc", test_proc_is_read },
		{ "limits of control groups count, in both versions",
		  test_control_groups_limit },
		{ "gpus are display controllers of known makers that can be opened",
		  test_gpus_are_those_that_can_be_opened },
		{ "CUDA_VISIBLE_DEVICES is read as CUDA does",
		  test_cuda_visible_devices },
		{ "slices of processors are named by UUID or number, or not at all",
		  test_cuda_slices },
		{ "NVIDIA's slices are asked for their names and memory",
		  test_nvml_slices },
		{ "NVIDIA's processors and their memory come from NVML", test_nvml },
		{ "an NVML that fails makes no harm", test_nvml_that_fails },
		{ "the real machine has a cpu, and affinity counts", test_real_machine },
	};
	int status = TAP_MAIN(argc, argv, tests);

	free(root);
	return status;
}
