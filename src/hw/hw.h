/* SPDX-License-Identifier: Apache-2.0 */
/* What this process may use of its machine: not what is built in, but what affinity, cgroup
 * limits and CUDA_VISIBLE_DEVICES leave. CPUs come from hwloc (or, built without it, from
 * the kernel), memory from the kernel, accelerators from PCI class 03xx in sysfs, their
 * memory from AMD's mem_info_vram_total or NVIDIA's NVML, loaded when it is there (OCF_TEST_NVML
 * in the environment names another library, for tests).
 *
 * Reads files and may load a library: some 30 ms. Any thread, but not several at once. */
#ifndef OCF_HW_HW_H
#define OCF_HW_HW_H

#include <stdint.h>

enum {
	HW_GPUS_MAX = 64,
	HW_NAME_SIZE = 96,
};

struct hw_gpu {
	char name[HW_NAME_SIZE]; /* "NVIDIA H100 80GB HBM3"; printable ASCII */
	char pci[16];		 /* "0000:3b:00.0"; "" when not known */
	uint64_t memory;	 /* bytes; 0 not known */
	uint64_t memory_used;	 /* bytes, at the time of asking; 0 not known */
};

struct hw_inventory {
	int cpus;	 /* logical CPUs this process may run on, or its CPU quota */
	uint64_t memory; /* bytes this process may use */
	char cpu_name[HW_NAME_SIZE]; /* "" when not known */
	int gpus_len;
	struct hw_gpu gpus[HW_GPUS_MAX];
};

/* Where to look: "" is the real machine; tests give a folder with `sys` and `proc` below it
 * (then affinity and NVML, which know only the real one, are not asked). */
void hw_inventory_read(const char *root, struct hw_inventory *ret_inventory);

#endif
