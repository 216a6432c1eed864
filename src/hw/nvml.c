/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA's management library, found when the program runs: Debian's main archive has no
 * header for it, so the few functions used are declared here, as its reference manual has
 * them. The layouts have been stable since driver 450. */
#include "config.h"

#include "hw/gpu.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "hw/topology.h"

enum {
	NVML_SUCCESS = 0,
	NVML_NAME_SIZE = 96,
	NVML_UUID_SIZE = 96,
};

struct nvml_memory {
	unsigned long long total, free, used; /* bytes */
};

struct nvml_pci {
	char bus_id_legacy[16];
	unsigned domain, bus, device;
	unsigned pci_device_id, pci_subsystem_id;
	char bus_id[32]; /* "00000000:3B:00.0" */
};

typedef void *nvml_device;

struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *ret);
	int (*by_index)(unsigned index, nvml_device *ret);
	int (*name)(nvml_device device, char *out, unsigned size);
	int (*uuid)(nvml_device device, char *out, unsigned size);
	int (*memory)(nvml_device device, struct nvml_memory *ret);
	int (*pci)(nvml_device device, struct nvml_pci *ret);
};

static bool
nvml_open(struct nvml *n)
{
	const struct {
		const char *name;
		void *slot;
	} symbols[] = {
		{ "nvmlInit_v2", &n->init },
		{ "nvmlShutdown", &n->shutdown },
		{ "nvmlDeviceGetCount_v2", &n->count },
		{ "nvmlDeviceGetHandleByIndex_v2", &n->by_index },
		{ "nvmlDeviceGetName", &n->name },
		{ "nvmlDeviceGetUUID", &n->uuid },
		{ "nvmlDeviceGetMemoryInfo", &n->memory },
		{ "nvmlDeviceGetPciInfo_v3", &n->pci },
	};
	const char *other = getenv("OCF_TEST_NVML"); /* tests/lib/nvml.c */

	*n = (struct nvml){ .library = dlopen(other != NULL ? other : "libnvidia-ml.so.1",
					      RTLD_NOW | RTLD_LOCAL) };
	if (n->library == NULL)
		return false;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(n->library, symbols[i].name);

		if (symbol == NULL) {
			dlclose(n->library);
			return false;
		}
		memcpy(symbols[i].slot, &symbol, sizeof(symbol));
	}
	if (n->init() == NVML_SUCCESS)
		return true;
	dlclose(n->library);
	return false;
}

/* Which device an entry of CUDA_VISIBLE_DEVICES names; -1: none. */
static int
cuda_entry_index(const char *entry, size_t len, int count, char *const *uuids)
{
	char *end = NULL;
	long index;

	/* A slice of a processor, "MIG-<UUID>" or "MIG-GPU-<UUID>/1/0", counts as it. */
	if (len > 8 && strncmp(entry, "MIG-GPU-", 8) == 0) {
		entry += 4;
		len = strcspn(entry, "/,");
	}
	if (len > 4 && strncmp(entry, "GPU-", 4) == 0) {
		for (int i = 0; i < count; i++)
			if (strncasecmp(uuids[i], entry, len) == 0)
				return i;
		return -1;
	}
	if (len == 0 || !isdigit((unsigned char)entry[0]))
		return -1;
	index = strtol(entry, &end, 10);
	return end == entry + len && index < count ? (int)index : -1;
}

bool
hw_cuda_is_visible(const char *value, int index, int count, char *const *uuids)
{
	if (value == NULL)
		return true;
	while (*value != '\0') {
		size_t len;
		int named;

		value += strspn(value, " ");
		len = strcspn(value, ", ");
		named = cuda_entry_index(value, len, count, uuids);
		if (named < 0)
			return false;
		if (named == index)
			return true;
		value += len;
		value += strspn(value, " ");
		if (*value == ',')
			value++;
	}
	return false;
}

static void
nvml_add(const struct nvml *n, nvml_device device, struct hw_inventory *inv)
{
	struct hw_gpu *gpu = &inv->gpus[inv->gpus_len];
	struct nvml_memory memory = { 0 };
	struct nvml_pci pci = { 0 };
	char name[NVML_NAME_SIZE] = "";

	*gpu = (struct hw_gpu){ 0 };
	if (n->name(device, name, sizeof(name)) != NVML_SUCCESS)
		snprintf(name, sizeof(name), "NVIDIA");
	hw_set_name(gpu->name, name, strnlen(name, sizeof(name)));
	if (n->memory(device, &memory) == NVML_SUCCESS) {
		gpu->memory = memory.total;
		gpu->memory_used = memory.used;
	}
	if (n->pci(device, &pci) == NVML_SUCCESS)
		snprintf(gpu->pci, sizeof(gpu->pci), "%04x:%02x:%02x.0",
			 pci.domain & 0xffff, pci.bus & 0xff, pci.device & 0xff);
	inv->gpus_len++;
}

bool
hw_nvml_read(struct hw_inventory *inv)
{
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	nvml_device devices[HW_GPUS_MAX] = { NULL };
	char *uuids[HW_GPUS_MAX];
	unsigned count = 0;
	struct nvml n;

	if (!nvml_open(&n))
		return false;
	if (n.count(&count) != NVML_SUCCESS)
		count = 0;
	if (count > HW_GPUS_MAX)
		count = HW_GPUS_MAX;
	for (unsigned i = 0; i < count; i++) {
		char uuid[NVML_UUID_SIZE] = "";

		if (n.by_index(i, &devices[i]) != NVML_SUCCESS ||
		    n.uuid(devices[i], uuid, sizeof(uuid)) != NVML_SUCCESS)
			uuid[0] = '\0';
		uuids[i] = mem_strdup(uuid);
	}
	for (unsigned i = 0; i < count; i++)
		if (devices[i] != NULL && inv->gpus_len < HW_GPUS_MAX &&
		    hw_cuda_is_visible(visible, (int)i, (int)count, uuids))
			nvml_add(&n, devices[i], inv);
	for (unsigned i = 0; i < count; i++)
		free(uuids[i]);
	n.shutdown();
	dlclose(n.library);
	return true;
}
