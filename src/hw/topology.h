/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCF_HW_TOPOLOGY_H
#define OCF_HW_TOPOLOGY_H

#include <stddef.h>

#include "hw/hw.h"

/* CPUs that this process is bound to, memory and CPU model, by hwloc; built without it, or
 * when it cannot tell, the fields stay zero and hw.c asks the kernel. */
void hw_topology_read(struct hw_inventory *inv);

/* Printable ASCII of `text`, trimmed and cut. */
void hw_set_name(char out[HW_NAME_SIZE], const char *text, size_t len);

#endif
