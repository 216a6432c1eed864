/* SPDX-License-Identifier: Apache-2.0 */
/* A PCI display controller is not yet an accelerator: servers carry a management chip of
 * class 0300 and virtual machines an emulated one, so only the makers of compute-capable
 * processors count. */
#include "config.h"

#include "hw/gpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"

enum {
	GPU_VENDOR_AMD = 0x1002,
	GPU_VENDOR_NVIDIA = 0x10de,
	GPU_VENDOR_INTEL = 0x8086,
	GPU_CLASS_DISPLAY = 0x03,
};

/* A number in a file of one device, 0 when it cannot be read; sysfs writes 0x1002 or 16. */
static uint64_t
gpu_number(const char *device, const char *name)
{
	char *path = mem_printf("%s/%s", device, name);
	struct buf text = BUF_INIT;
	uint64_t number = 0;

	if (file_read(path, 4096, &text, NULL) == 0)
		number = strtoull(buf_text(&text), NULL, 0);
	buf_fini(&text);
	free(path);
	return number;
}

/* The render node is what a program opens to compute; without it, or without the right to
 * open it, the processor is not ours to offer. */
static bool
gpu_may_be_opened(const char *root, const char *device)
{
	char *folder = mem_printf("%s/drm", device);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool may = false;

	while (dir != NULL && !may && (entry = readdir(dir)) != NULL) {
		char *node;

		if (strncmp(entry->d_name, "renderD", 7) != 0)
			continue;
		node = mem_printf("%s/dev/dri/%s", root, entry->d_name);
		may = access(node, R_OK | W_OK) == 0;
		free(node);
	}
	if (dir != NULL)
		closedir(dir);
	free(folder);
	return may;
}

static void
gpu_add(const char *root, const char *device, const char *pci, bool has_nvml,
	struct hw_inventory *inv)
{
	uint64_t vendor = gpu_number(device, "vendor");
	struct hw_gpu *gpu = &inv->gpus[inv->gpus_len];
	const char *maker;

	if (gpu_number(device, "class") >> 16 != GPU_CLASS_DISPLAY ||
	    inv->gpus_len == HW_GPUS_MAX)
		return;
	if (vendor == GPU_VENDOR_AMD)
		maker = "AMD";
	else if (vendor == GPU_VENDOR_INTEL)
		maker = "Intel";
	else if (vendor == GPU_VENDOR_NVIDIA && !has_nvml)
		maker = "NVIDIA";
	else
		return;
	if (!gpu_may_be_opened(root, device))
		return;
	*gpu = (struct hw_gpu){ .memory = gpu_number(device, "mem_info_vram_total"),
				.memory_used = gpu_number(device, "mem_info_vram_used") };
	snprintf(gpu->name, sizeof(gpu->name), "%s %04x", maker,
		 (unsigned)gpu_number(device, "device") & 0xffff);
	snprintf(gpu->pci, sizeof(gpu->pci), "%.15s", pci);
	inv->gpus_len++;
}

static int
gpu_compare(const void *a, const void *b)
{
	return strcmp(((const struct hw_gpu *)a)->pci, ((const struct hw_gpu *)b)->pci);
}

void
hw_gpus_read(const char *root, struct hw_inventory *inv)
{
	char *folder = mem_printf("%s/sys/bus/pci/devices", root);
	bool has_nvml = root[0] == '\0' && hw_nvml_read(inv);
	int first = inv->gpus_len;
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char *device;

		if (entry->d_name[0] == '.')
			continue;
		device = mem_printf("%s/%s", folder, entry->d_name);
		gpu_add(root, device, entry->d_name, has_nvml, inv);
		free(device);
	}
	if (dir != NULL)
		closedir(dir);
	qsort(&inv->gpus[first], (size_t)(inv->gpus_len - first), sizeof(inv->gpus[0]),
	      gpu_compare);
	free(folder);
}
