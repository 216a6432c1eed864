/* SPDX-License-Identifier: Apache-2.0 */
/* A library that a driver's libnvidia-ml.so.1 could be, for machines without one: four
 * processors of two kinds, one of which cannot be asked for its memory. OCF_TEST_NVML names
 * it to src/hw/nvml.c; OCF_TEST_NVML_FAULT says what does not work:
 *
 *	init    there is no driver: nothing works
 *	count   nobody knows how many there are
 *	many    it says that there are a thousand
 *	handle  the second one cannot be opened
 *	name    names fill their room without an end, PCI addresses are not known
 *
 * With OCF_TEST_NVML_MIG the second one is cut into two slices, with a hole between their
 * indexes, and the fourth is in MIG mode and has none. */
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 4, SUCCESS = 0, UNKNOWN = 999 };

struct memory {
	unsigned long long total, free, used;
};

struct pci {
	char bus_id_legacy[16];
	unsigned domain, bus, device;
	unsigned pci_device_id, pci_subsystem_id;
	char bus_id[32];
};

struct device {
	const char *name, *uuid;
	struct memory memory;
	unsigned bus;
};

static const struct device devices[DEVICES] = {
	{ "NVIDIA Test 80GB",
	  "GPU-aaaa1111",
	  { 85899345920, 84825604096, 1073741824 },
	  0x3b },
	{ "NVIDIA Test 80GB", "GPU-bbbb2222", { 85899345920, 85899345920, 0 }, 0x5e },
	{ "NVIDIA Test 24GB", "GPU-cccc3333", { 25769803776, 25769803776, 0 }, 0xaf },
	{ "NVIDIA Test 24GB", "GPU-dddd4444", { 0, 0, 0 }, 0xd8 },
};

/* The slices of devices[1]; their indexes are 0 and 2. */
static const struct device slices[] = {
	{ "NVIDIA Test 80GB MIG 3g.40gb",
	  "MIG-1111aaaa",
	  { 42949672960, 42949672960, 0 },
	  0 },
	{ NULL, "MIG-1122bbbb", { 10737418240, 10737418240, 0 }, 0 },
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *ret);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, const struct device **ret);
int nvmlDeviceGetName(const struct device *device, char *out, unsigned size);
int nvmlDeviceGetUUID(const struct device *device, char *out, unsigned size);
int nvmlDeviceGetMemoryInfo(const struct device *device, struct memory *ret);
int nvmlDeviceGetPciInfo_v3(const struct device *device, struct pci *ret);
int nvmlDeviceGetMigMode(const struct device *device, unsigned *now, unsigned *pending);
int nvmlDeviceGetMaxMigDeviceCount(const struct device *device, unsigned *ret);
int nvmlDeviceGetMigDeviceHandleByIndex(const struct device *device, unsigned index,
					const struct device **ret);
int nvmlDeviceGetGpuInstanceId(const struct device *device, unsigned *ret);
int nvmlDeviceGetComputeInstanceId(const struct device *device, unsigned *ret);

static int
has_fault(const char *name)
{
	const char *fault = getenv("OCF_TEST_NVML_FAULT");

	return fault != NULL && strcmp(fault, name) == 0;
}

static int
copy(const char *text, char *out, unsigned size)
{
	size_t len = strlen(text);

	if (len >= size)
		return UNKNOWN;
	memcpy(out, text, len + 1);
	return SUCCESS;
}

int
nvmlInit_v2(void)
{
	return has_fault("init") ? UNKNOWN : SUCCESS;
}

int
nvmlShutdown(void)
{
	return SUCCESS;
}

int
nvmlDeviceGetCount_v2(unsigned *ret)
{
	*ret = has_fault("many") ? 1000 : DEVICES;
	return has_fault("count") ? UNKNOWN : SUCCESS;
}

int
nvmlDeviceGetHandleByIndex_v2(unsigned index, const struct device **ret)
{
	if ((index == 1 && has_fault("handle")) ||
	    (index >= DEVICES && !has_fault("many")))
		return UNKNOWN;
	*ret = &devices[index % DEVICES];
	return SUCCESS;
}

int
nvmlDeviceGetName(const struct device *device, char *out, unsigned size)
{
	if (device->name == NULL)
		return UNKNOWN;
	if (!has_fault("name"))
		return copy(device->name, out, size);
	memset(out, 'n', size);
	return SUCCESS;
}

int
nvmlDeviceGetUUID(const struct device *device, char *out, unsigned size)
{
	return copy(device->uuid, out, size);
}

int
nvmlDeviceGetMemoryInfo(const struct device *device, struct memory *ret)
{
	if (device->memory.total == 0)
		return UNKNOWN;
	*ret = device->memory;
	return SUCCESS;
}

int
nvmlDeviceGetPciInfo_v3(const struct device *device, struct pci *ret)
{
	if (has_fault("name"))
		return UNKNOWN;
	*ret = (struct pci){ .bus = device->bus };
	return SUCCESS;
}

static int
is_slice(const struct device *device)
{
	return device == &slices[0] || device == &slices[1];
}

int
nvmlDeviceGetMigMode(const struct device *device, unsigned *now, unsigned *pending)
{
	*pending = 1;
	*now = getenv("OCF_TEST_NVML_MIG") != NULL &&
	       (device == &devices[1] || device == &devices[3]);
	return is_slice(device) ? UNKNOWN : SUCCESS;
}

int
nvmlDeviceGetMaxMigDeviceCount(const struct device *device, unsigned *ret)
{
	*ret = 7;
	return is_slice(device) ? UNKNOWN : SUCCESS;
}

int
nvmlDeviceGetMigDeviceHandleByIndex(const struct device *device, unsigned index,
				    const struct device **ret)
{
	if (device != &devices[1] || (index != 0 && index != 2))
		return UNKNOWN;
	*ret = &slices[index / 2];
	return SUCCESS;
}

int
nvmlDeviceGetGpuInstanceId(const struct device *device, unsigned *ret)
{
	*ret = device == &slices[0] ? 2 : 9;
	return is_slice(device) ? SUCCESS : UNKNOWN;
}

int
nvmlDeviceGetComputeInstanceId(const struct device *device, unsigned *ret)
{
	*ret = 0;
	return is_slice(device) ? SUCCESS : UNKNOWN;
}
