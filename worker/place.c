/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/place.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static int load(const char *path, hwloc_topology_t *topology, struct tg_error *err)
{
    if (hwloc_topology_init(topology) < 0) return tg_fail(err, "cannot read this machine");
    if (path && hwloc_topology_set_xml(*topology, path) < 0) {
        hwloc_topology_destroy(*topology);
        return tg_fail(err, "cannot read topology '%s': %s", path, strerror(errno));
    }
    if (hwloc_topology_load(*topology) < 0) {
        hwloc_topology_destroy(*topology);
        return tg_fail(err, "cannot read %s", path ? path : "this machine");
    }
    /* Only what this process may use: taskset, mpirun and batch systems say so by its affinity. */
    hwloc_bitmap_t mine = hwloc_bitmap_alloc();
    if (!path && hwloc_get_cpubind(*topology, mine, HWLOC_CPUBIND_PROCESS) == 0 &&
        !hwloc_bitmap_iszero(mine))
        hwloc_topology_restrict(*topology, mine, 0);
    hwloc_bitmap_free(mine);
    return 0;
}

/*
 * Number of memory domains with a core that this process may use, or the index-th such domain. A
 * second kind of memory at the same cores (such as HBM beside DDR) is not another domain.
 */
static int domains(hwloc_topology_t topology, int index, hwloc_obj_t *found)
{
    int count = 0;
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t seen = hwloc_bitmap_alloc();
    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node))) {
        if (!node->cpuset || hwloc_bitmap_iszero(node->cpuset)) continue;
        if (hwloc_bitmap_intersects(seen, node->cpuset)) continue;
        hwloc_bitmap_or(seen, seen, node->cpuset);
        if (count++ == index && found) *found = node;
    }
    hwloc_bitmap_free(seen);
    return count;
}

/* The last core of a domain: the first hardware thread of the last core. */
static int last_core(hwloc_topology_t topology, hwloc_const_cpuset_t set)
{
    int cores = hwloc_get_nbobjs_inside_cpuset_by_type(topology, set, HWLOC_OBJ_CORE);
    if (cores < 1) return hwloc_bitmap_last(set);
    hwloc_obj_t core = hwloc_get_obj_inside_cpuset_by_type(topology, set, HWLOC_OBJ_CORE,
                                                           (unsigned)cores - 1);
    return hwloc_bitmap_first(core->cpuset);
}

/* What is left for the ranks: all cores but the timed ones (with all their hardware threads). */
static hwloc_bitmap_t rest_of(hwloc_topology_t topology)
{
    hwloc_bitmap_t rest = hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(topology));
    int count = domains(topology, -1, NULL);
    for (int i = 0; i < count; i++) {
        hwloc_obj_t node = NULL;
        domains(topology, i, &node);
        int timed = last_core(topology, node->cpuset);
        hwloc_obj_t thread = hwloc_get_pu_obj_by_os_index(topology, (unsigned)timed);
        hwloc_obj_t core = thread ? hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, thread)
                                  : NULL;
        if (core)
            hwloc_bitmap_andnot(rest, rest, core->cpuset);
        else
            hwloc_bitmap_clr(rest, (unsigned)timed);
    }
    return rest;
}

int tg_place_find(const char *path, int index, struct tg_place *place, struct tg_error *err)
{
    hwloc_topology_t topology;
    if (load(path, &topology, err) < 0) return -1;
    int count = domains(topology, -1, NULL), rc = 0;
    hwloc_obj_t node = NULL;
    if (count < 1) {
        rc = tg_fail(err, "no memory domain with a core that may be used");
    } else {
        domains(topology, index % count, &node);
        hwloc_bitmap_t rest = rest_of(topology);
        memset(place, 0, sizeof *place);
        snprintf(place->domain, sizeof place->domain, "numa%u", node->os_index);
        place->core = last_core(topology, node->cpuset);
        place->is_shared = hwloc_bitmap_iszero(rest);
        hwloc_bitmap_free(rest);
    }
    hwloc_topology_destroy(topology);
    return rc;
}

int tg_place_leave(struct tg_error *err)
{
    hwloc_topology_t topology;
    if (load(NULL, &topology, err) < 0) return -1;
    hwloc_bitmap_t rest = rest_of(topology);
    int rc = 0;
    if (!hwloc_bitmap_iszero(rest) && hwloc_set_cpubind(topology, rest, HWLOC_CPUBIND_PROCESS) < 0)
        rc = tg_fail(err, "cannot leave the timed core: %s", strerror(errno));
    hwloc_bitmap_free(rest);
    hwloc_topology_destroy(topology);
    return rc;
}

int tg_place_bind(int core, struct tg_error *err)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (core < 0 || core >= CPU_SETSIZE) return tg_fail(err, "no core %d", core);
    CPU_SET((size_t)core, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        return tg_fail(err, "cannot bind to core %d: %s", core, strerror(errno));
    return 0;
}
