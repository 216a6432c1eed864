/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA_VISIBLE_DEVICES, as CUDA's programming guide (environment variables) and the MIG user
 * guide (device names) describe it. Pure. */
#include "config.h"

#include "hw/gpu.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The only one whose UUID begins so; -1: none, or several. */
static int
cuda_by_uuid(const char *prefix, size_t prefix_len, bool is_slice,
	     const struct hw_cuda_device *devices, int len)
{
	int found = -1;

	for (int i = 0; i < len; i++) {
		if (devices[i].is_slice != is_slice ||
		    strncasecmp(devices[i].uuid, prefix, prefix_len) != 0)
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

/* Of a processor in MIG mode CUDA takes the first slice. */
static int
cuda_as_used(int whole, const struct hw_cuda_device *devices, int len)
{
	if (whole < 0 || !devices[whole].is_cut)
		return whole;
	for (int i = whole; i < len; i++)
		if (devices[i].is_slice && devices[i].gpu == devices[whole].gpu)
			return i;
	return -1;
}

static bool
cuda_number(const char **at, const char *end, char stop, unsigned *ret)
{
	char *behind = NULL;
	unsigned long number;

	if (*at >= end || !isdigit((unsigned char)**at))
		return false;
	number = strtoul(*at, &behind, 10);
	if (number > INT_MAX || behind > end || (behind < end && *behind != stop) ||
	    (behind == end && stop != '\0'))
		return false;
	*ret = (unsigned)number;
	*at = behind + (behind < end);
	return true;
}

/* "GPU-<UUID>/1/0", the older name of a slice. One of a processor whose slices are not known
 * counts as that processor. */
static int
cuda_by_instance(const char *entry, size_t entry_len,
		 const struct hw_cuda_device *devices, int len)
{
	const char *end = entry + entry_len, *at = memchr(entry, '/', entry_len);
	unsigned instance, compute;
	int whole;

	if (at == NULL)
		return -1;
	whole = cuda_by_uuid(entry, (size_t)(at - entry), false, devices, len);
	at++;
	if (whole < 0 || !cuda_number(&at, end, '/', &instance) ||
	    !cuda_number(&at, end, '\0', &compute))
		return -1;
	if (!devices[whole].is_cut)
		return whole;
	for (int i = whole; i < len; i++)
		if (devices[i].is_slice && devices[i].gpu == devices[whole].gpu &&
		    devices[i].instance == instance && devices[i].compute == compute)
			return i;
	return -1;
}

/* Which device an entry names; -1: none. */
static int
cuda_entry(const char *entry, size_t entry_len, const struct hw_cuda_device *devices,
	   int len)
{
	const char *at = entry;
	unsigned index;

	if (entry_len > 8 && strncmp(entry, "MIG-GPU-", 8) == 0)
		return cuda_by_instance(entry + 4, entry_len - 4, devices, len);
	if (entry_len > 4 && strncmp(entry, "MIG-", 4) == 0)
		return cuda_by_uuid(entry, entry_len, true, devices, len);
	if (entry_len > 4 && strncmp(entry, "GPU-", 4) == 0)
		return cuda_as_used(cuda_by_uuid(entry, entry_len, false, devices, len),
				    devices, len);
	if (!cuda_number(&at, entry + entry_len, '\0', &index))
		return -1;
	for (int i = 0; i < len; i++)
		if (!devices[i].is_slice && (unsigned)devices[i].gpu == index)
			return cuda_as_used(i, devices, len);
	return -1;
}

void
hw_cuda_visible(const char *value, const struct hw_cuda_device *devices, int len,
		bool *ret_visible)
{
	for (int i = 0; i < len; i++)
		ret_visible[i] = value == NULL && !devices[i].is_cut;
	while (value != NULL && *value != '\0') {
		size_t entry_len;
		int named;

		value += strspn(value, " ");
		entry_len = strcspn(value, ", ");
		named = cuda_entry(value, entry_len, devices, len);
		if (named < 0)
			return;
		ret_visible[named] = true;
		value += entry_len;
		value += strspn(value, " ");
		if (*value == ',')
			value++;
	}
}
