/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCF_HW_GPU_H
#define OCF_HW_GPU_H

#include <stdbool.h>

#include "hw/hw.h"

/* Graphics processors from PCI class 03xx in sysfs; NVIDIA's by NVML where that is there.
 * Not those whose device file this process may not open. */
void hw_gpus_read(const char *root, struct hw_inventory *inv);

/* NVIDIA's, as CUDA_VISIBLE_DEVICES leaves them. False: there is no NVML, or it does not
 * work, and nothing was added. */
bool hw_nvml_read(struct hw_inventory *inv);

/* What CUDA_VISIBLE_DEVICES may name: a processor, or a slice of one in MIG mode. */
struct hw_cuda_device {
	const char *uuid; /* "GPU-<UUID>" or "MIG-<UUID>"; "" not known */
	int gpu;	  /* the processor's index */
	bool is_slice;
	bool is_cut; /* a processor in MIG mode, which runs nothing but in its slices */
	unsigned instance,
		compute; /* a slice's numbers: GPU instance, compute instance */
};

/* Which of the devices the value of CUDA_VISIBLE_DEVICES leaves; each processor stands before
 * its slices. NULL leaves all that can run something. Entries are an index, "GPU-<UUID>" (of a
 * processor that is cut: its first slice), "MIG-<UUID>" or "MIG-GPU-<UUID>/<instance>/
 * <compute>"; of a UUID so much as makes it the only one. An entry that names nothing ends
 * the list, as in CUDA. */
void hw_cuda_visible(const char *value, const struct hw_cuda_device *devices, int len,
		     bool *ret_visible);

#endif
