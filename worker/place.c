/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/place.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

/* How many cores a domain has; hardware threads where cores are not known. */
static int core_count(hwloc_topology_t topology, hwloc_const_cpuset_t set)
{
    int cores = hwloc_get_nbobjs_inside_cpuset_by_type(topology, set, HWLOC_OBJ_CORE);
    return cores < 1 ? hwloc_bitmap_weight(set) : cores;
}

/* The first hardware thread of a domain's core, `back` cores before the last. */
static int core_at(hwloc_topology_t topology, hwloc_const_cpuset_t set, int back)
{
    int cores = hwloc_get_nbobjs_inside_cpuset_by_type(topology, set, HWLOC_OBJ_CORE);
    hwloc_obj_type_t type = cores < 1 ? HWLOC_OBJ_PU : HWLOC_OBJ_CORE;
    int index = core_count(topology, set) - 1 - back;
    hwloc_obj_t core = hwloc_get_obj_inside_cpuset_by_type(topology, set, type, (unsigned)index);
    return core ? hwloc_bitmap_first(core->cpuset) : hwloc_bitmap_last(set);
}

/* What is left for the ranks: all cores but the timed ones (with all their hardware threads). */
static hwloc_bitmap_t rest_of(hwloc_topology_t topology)
{
    hwloc_bitmap_t rest = hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(topology));
    int count = domains(topology, -1, NULL);
    for (int i = 0; i < count; i++) {
        hwloc_obj_t node = NULL;
        domains(topology, i, &node);
        int timed = core_at(topology, node->cpuset, 0);
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

/*
 * The most threads of a cell that leave the ranks a core, if all domains had cells of as many: what
 * the largest domain has but one.
 */
static int unshared(hwloc_topology_t topology)
{
    int most = 0, count = domains(topology, -1, NULL);
    for (int i = 0; i < count; i++) {
        hwloc_obj_t node = NULL;
        domains(topology, i, &node);
        int cores = core_count(topology, node->cpuset);
        if (cores > most) most = cores;
    }
    return most - 1;
}

/* The last level of cache that a core sees, or NULL. */
static hwloc_obj_t last_cache(hwloc_topology_t topology, int core)
{
    hwloc_obj_t last = NULL;
    hwloc_obj_t o = hwloc_get_pu_obj_by_os_index(topology, (unsigned)core);
    for (; o; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type)) last = o;
    return last;
}

/* Adds up the caches of a place's cores, each once, and 0 from the first unknown one on. */
static void measure_caches(hwloc_topology_t topology, struct tg_place *place)
{
    int64_t sum = 0;
    for (int i = 0; i < place->core_count; i++) {
        hwloc_obj_t cache = last_cache(topology, place->cores[i]);
        bool is_new = true;
        for (int k = 0; k < i && is_new; k++)
            is_new = last_cache(topology, place->cores[k]) != cache;
        if (!cache || cache->attr->cache.size == 0) return;
        if (is_new) sum += (int64_t)cache->attr->cache.size;
        place->cache_bytes[i] = sum;
    }
}

/* The domain, of `count`, that the i-th GPU is attached to. */
static int domain_of(hwloc_topology_t topology, int count, const struct tg_gpu_list *gpus, int i)
{
    const struct tg_gpu *gpu = &gpus->gpus[i];
    hwloc_bitmap_t near = hwloc_bitmap_alloc();
    hwloc_obj_t node = hwloc_get_numanode_obj_by_os_index(topology, (unsigned)gpu->numa);
    if (gpu->numa >= 0 && node && node->cpuset)
        hwloc_bitmap_copy(near, node->cpuset);
    else
        hwloc_bitmap_list_sscanf(near, gpu->cores);
    int found = i % count;
    for (int k = count - 1; k >= 0; k--) {
        domains(topology, k, &node);
        if (hwloc_bitmap_intersects(near, node->cpuset)) found = k;
    }
    hwloc_bitmap_free(near);
    return found;
}

/* The domain, of `count`, of the index-th worker, which may have a GPU. */
static int domain_of_worker(hwloc_topology_t topology, int count, const struct tg_gpu_list *gpus,
                            int index)
{
    int gpu_count = gpus ? (int)gpus->count : 0, free_count = 0;
    if (index < gpu_count) return domain_of(topology, count, gpus, index);
    hwloc_bitmap_t taken = hwloc_bitmap_alloc();
    for (int i = 0; i < gpu_count; i++)
        hwloc_bitmap_set(taken, (unsigned)domain_of(topology, count, gpus, i));
    for (int k = 0; k < count; k++) free_count += !hwloc_bitmap_isset(taken, (unsigned)k);
    int wanted = (index - gpu_count) % (free_count ? free_count : count), found = wanted;
    for (int k = 0; k < count && free_count; k++)
        if (!hwloc_bitmap_isset(taken, (unsigned)k) && wanted-- == 0) found = k;
    hwloc_bitmap_free(taken);
    return found;
}

int tg_place_find(const char *path, const struct tg_gpu_list *gpus, int index,
                  struct tg_place *place, struct tg_error *err)
{
    hwloc_topology_t topology;
    if (load(path, &topology, err) < 0) return -1;
    int count = domains(topology, -1, NULL), rc = 0;
    hwloc_obj_t node = NULL;
    if (count < 1) {
        rc = tg_fail(err, "no memory domain with a core that may be used");
    } else {
        int domain = domain_of_worker(topology, count, gpus, index);
        domains(topology, domain, &node);
        memset(place, 0, sizeof *place);
        place->gpu = gpus && index < (int)gpus->count ? index : -1;
        for (int i = 0; i < place->gpu; i++)
            place->gpus_before += domain_of(topology, count, gpus, i) == domain;
        snprintf(place->domain, sizeof place->domain, "numa%u", node->os_index);
        place->core_count = core_count(topology, node->cpuset);
        if (place->core_count > TG_PLACE_CORES) place->core_count = TG_PLACE_CORES;
        for (int i = 0; i < place->core_count; i++)
            place->cores[i] = core_at(topology, node->cpuset, i);
        place->core = place->cores[0];
        place->unshared = unshared(topology);
        measure_caches(topology, place);
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

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void tg_place_text(const int *cores, int count, char text[TG_TEXT_SIZE])
{
    int sorted[TG_PLACE_CORES];
    size_t used = 0;
    if (count > TG_PLACE_CORES) count = TG_PLACE_CORES;
    if (count > 0) memcpy(sorted, cores, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_number);
    text[0] = 0;
    for (int first = 0, last; first < count; first = last + 1) {
        char part[64];
        int step = first + 1 < count ? sorted[first + 1] - sorted[first] : 1;
        for (last = first; last + 1 < count && sorted[last + 1] - sorted[last] == step;) last++;
        if (last == first + 1 && step > 1) last = first;
        if (last == first)
            snprintf(part, sizeof part, "%d", sorted[first]);
        else if (step == 1)
            snprintf(part, sizeof part, "%d-%d", sorted[first], sorted[last]);
        else
            snprintf(part, sizeof part, "%d-%d:%d", sorted[first], sorted[last], step);
        if (used + strlen(part) + 2 > TG_TEXT_SIZE) return;
        used += (size_t)snprintf(text + used, TG_TEXT_SIZE - used, "%s%s", used ? "," : "", part);
    }
}
