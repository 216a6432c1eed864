/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA's management library, found when the program runs: Debian's main archive has no
 * header for it, so the few functions used are declared here, as its reference manual has
 * them. The layouts have been stable since driver 450. */
#include "config.h"

#include "hw/gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "hw/topology.h"

enum {
	NVML_SUCCESS = 0,
	NVML_MIG_ENABLED = 1,
	NVML_NAME_SIZE = 96,
	NVML_UUID_SIZE = 96,
	NVML_SLICES_MAX = 16, /* of one processor; there are at most 7 today */
	NVML_NEEDED =
		8, /* symbols; a library without those of slices can do without them */
	NVML_DEVICES_MAX = HW_GPUS_MAX * (1 + NVML_SLICES_MAX),
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
	/* Slices; NULL in libraries older than 450 */
	int (*mig_mode)(nvml_device device, unsigned *ret_now, unsigned *ret_pending);
	int (*mig_count)(nvml_device device, unsigned *ret_max);
	int (*mig_by_index)(nvml_device device, unsigned index, nvml_device *ret);
	int (*instance)(nvml_device slice, unsigned *ret);
	int (*compute)(nvml_device slice, unsigned *ret);
};

/* A processor or a slice. */
struct nvml_found {
	nvml_device device, whole; /* the processor itself, or that of a slice */
	char uuid[NVML_UUID_SIZE];
};

struct nvml_list {
	int len;
	struct nvml_found found[NVML_DEVICES_MAX];
	struct hw_cuda_device cuda[NVML_DEVICES_MAX];
	bool is_visible[NVML_DEVICES_MAX];
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
		{ "nvmlDeviceGetMigMode", &n->mig_mode },
		{ "nvmlDeviceGetMaxMigDeviceCount", &n->mig_count },
		{ "nvmlDeviceGetMigDeviceHandleByIndex", &n->mig_by_index },
		{ "nvmlDeviceGetGpuInstanceId", &n->instance },
		{ "nvmlDeviceGetComputeInstanceId", &n->compute },
	};
	const char *other = secure_getenv("OCF_TEST_NVML"); /* tests/lib/nvml.c */

	*n = (struct nvml){ .library = dlopen(other != NULL ? other : "libnvidia-ml.so.1",
					      RTLD_NOW | RTLD_LOCAL) };
	if (n->library == NULL)
		return false;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(n->library, symbols[i].name);

		if (symbol == NULL && i < NVML_NEEDED) {
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

static void
nvml_note(const struct nvml *n, struct nvml_list *list, nvml_device device,
	  nvml_device whole, int gpu)
{
	struct nvml_found *found = &list->found[list->len];
	struct hw_cuda_device *cuda = &list->cuda[list->len++];

	found->device = device;
	found->whole = whole;
	*cuda = (struct hw_cuda_device){ .uuid = found->uuid, .gpu = gpu };
	if (n->uuid(device, found->uuid, sizeof(found->uuid)) != NVML_SUCCESS)
		found->uuid[0] = '\0';
	found->uuid[sizeof(found->uuid) - 1] = '\0';
}

/* There may be holes among the slices' indexes. */
static void
nvml_note_slices(const struct nvml *n, struct nvml_list *list, nvml_device whole, int gpu)
{
	struct hw_cuda_device *cut = &list->cuda[list->len - 1];
	unsigned now = 0, pending = 0, max = 0;

	if (n->mig_mode == NULL || n->mig_count == NULL || n->mig_by_index == NULL ||
	    n->mig_mode(whole, &now, &pending) != NVML_SUCCESS ||
	    now != NVML_MIG_ENABLED || n->mig_count(whole, &max) != NVML_SUCCESS)
		return;
	cut->is_cut = true;
	for (unsigned i = 0; i < max && i < NVML_SLICES_MAX; i++) {
		struct hw_cuda_device *slice = &list->cuda[list->len];
		nvml_device device = NULL;

		if (n->mig_by_index(whole, i, &device) != NVML_SUCCESS || device == NULL)
			continue;
		nvml_note(n, list, device, whole, gpu);
		slice->is_slice = true;
		if (n->instance != NULL)
			n->instance(device, &slice->instance);
		if (n->compute != NULL)
			n->compute(device, &slice->compute);
	}
}

/* Some libraries know the name of a slice, "NVIDIA H100 80GB HBM3 MIG 1g.10gb"; the others that
 * of its processor. */
static void
nvml_add(const struct nvml *n, const struct nvml_found *found, struct hw_inventory *inv)
{
	struct hw_gpu *gpu = &inv->gpus[inv->gpus_len];
	struct nvml_memory memory = { 0 };
	struct nvml_pci pci = { 0 };
	char name[NVML_NAME_SIZE] = "";

	*gpu = (struct hw_gpu){ 0 };
	if (n->name(found->device, name, sizeof(name)) != NVML_SUCCESS &&
	    n->name(found->whole, name, sizeof(name)) != NVML_SUCCESS)
		snprintf(name, sizeof(name), "NVIDIA");
	hw_set_name(gpu->name, name, strnlen(name, sizeof(name)));
	if (n->memory(found->device, &memory) == NVML_SUCCESS) {
		gpu->memory = memory.total;
		gpu->memory_used = memory.used;
	}
	if (n->pci(found->whole, &pci) == NVML_SUCCESS)
		snprintf(gpu->pci, sizeof(gpu->pci), "%04x:%02x:%02x.0",
			 pci.domain & 0xffff, pci.bus & 0xff, pci.device & 0xff);
	inv->gpus_len++;
}

bool
hw_nvml_read(struct hw_inventory *inv)
{
	struct nvml_list *list;
	unsigned count = 0;
	struct nvml n;

	if (!nvml_open(&n))
		return false;
	list = mem_calloc(1, sizeof(*list));
	if (n.count(&count) != NVML_SUCCESS)
		count = 0;
	for (unsigned i = 0; i < count && i < HW_GPUS_MAX; i++) {
		nvml_device device = NULL;

		/* Its index is still its own. */
		if (n.by_index(i, &device) != NVML_SUCCESS || device == NULL)
			continue;
		nvml_note(&n, list, device, device, (int)i);
		nvml_note_slices(&n, list, device, (int)i);
	}
	hw_cuda_visible(getenv("CUDA_VISIBLE_DEVICES"), list->cuda, list->len,
			list->is_visible);
	for (int i = 0; i < list->len && inv->gpus_len < HW_GPUS_MAX; i++)
		if (list->is_visible[i])
			nvml_add(&n, &list->found[i], inv);
	n.shutdown();
	dlclose(n.library);
	free(list);
	return true;
}
