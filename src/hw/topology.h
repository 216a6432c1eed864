/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCF_HW_TOPOLOGY_H
#define OCF_HW_TOPOLOGY_H

#include <stddef.h>

#include "hw/hw.h"

/* CPUs that this process is bound to and their model, by hwloc; built without it, or when it
 * cannot tell, the fields stay zero and hw.c asks the kernel. Not the memory: hwloc sums what
 * the NUMA nodes' files say, which leave hot-plugged memory out (measured: 6 of 24 GB). */
void hw_topology_read(struct hw_inventory *inv);

/* Printable ASCII of `text`, trimmed and cut. */
void hw_set_name(char out[HW_NAME_SIZE], const char *text, size_t len);

#endif
