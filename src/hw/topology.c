/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "hw/topology.h"

#include <string.h>

#ifdef HAVE_HWLOC
#include <hwloc.h>

void
hw_topology_read(struct hw_inventory *inv)
{
	hwloc_topology_t topology;
	hwloc_cpuset_t bound;
	hwloc_obj_t root;
	const char *model;

	if (hwloc_topology_init(&topology) < 0)
		return;
	if (hwloc_topology_load(topology) == 0) {
		bound = hwloc_bitmap_alloc();
		root = hwloc_get_root_obj(topology);
		if (hwloc_get_cpubind(topology, bound, HWLOC_CPUBIND_PROCESS) == 0)
			inv->cpus = hwloc_bitmap_weight(bound);
		model = hwloc_obj_get_info_by_name(root, "CPUModel");
		if (model == NULL &&
		    hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0) != NULL)
			model = hwloc_obj_get_info_by_name(
				hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0),
				"CPUModel");
		if (model != NULL)
			hw_set_name(inv->cpu_name, model, strlen(model));
		hwloc_bitmap_free(bound);
	}
	if (inv->cpus < 0)
		inv->cpus = 0;
	hwloc_topology_destroy(topology);
}
#else
void
hw_topology_read(struct hw_inventory *inv)
{
	(void)inv;
}
#endif
