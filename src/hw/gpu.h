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
/* Is device `index` with this UUID one that the value of CUDA_VISIBLE_DEVICES leaves? NULL
 * leaves all; an entry that is neither an index below `count` nor the start of a UUID ends
 * the list, as in CUDA. `uuids` holds `count` texts. */
bool hw_cuda_is_visible(const char *value, int index, int count, char *const *uuids);

#endif
