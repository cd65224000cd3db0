/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/place.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct tg_place_wish tg_place_alone = {0, 1, TG_EXCLUSIVE_MEMORY};

#define SYNTHETIC "synthetic:"

static int choose(hwloc_topology_t topology, const char *path)
{
    if (!path) return 0;
    if (strncmp(path, SYNTHETIC, strlen(SYNTHETIC)) == 0)
        return hwloc_topology_set_synthetic(topology, path + strlen(SYNTHETIC));
    return hwloc_topology_set_xml(topology, path);
}

static int load(const char *path, bool is_whole, hwloc_topology_t *topology, struct tg_error *err)
{
    if (hwloc_topology_init(topology) < 0) return tg_fail(err, "cannot read this machine");
    if (is_whole) hwloc_topology_set_flags(*topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (choose(*topology, path) < 0) {
        hwloc_topology_destroy(*topology);
        return tg_fail(err, "cannot read topology '%s': %s", path, strerror(errno));
    }
    if (hwloc_topology_load(*topology) < 0) {
        hwloc_topology_destroy(*topology);
        return tg_fail(err, "cannot read %s", path ? path : "this machine");
    }
    if (is_whole) return 0;
    /* Only what this process may use: taskset, mpirun and batch systems say so by its affinity. */
    hwloc_bitmap_t mine = hwloc_bitmap_alloc();
    if (!path && hwloc_get_cpubind(*topology, mine, HWLOC_CPUBIND_PROCESS) == 0 &&
        !hwloc_bitmap_iszero(mine))
        hwloc_topology_restrict(*topology, mine, 0);
    hwloc_bitmap_free(mine);
    return 0;
}

/* A memory domain and its cores that may be timed. */
struct domain {
    unsigned number;
    hwloc_bitmap_t cores;
    int group; /* the first domain that sees the same last-level cache */
};

struct machine {
    hwloc_topology_t topology;
    struct domain *domains;
    int count;
    bool has_slow; /* cores that are never timed */
};

/* The last level of cache that a core sees, or NULL. */
static hwloc_obj_t last_cache(hwloc_topology_t topology, int core)
{
    hwloc_obj_t last = NULL;
    hwloc_obj_t o = hwloc_get_pu_obj_by_os_index(topology, (unsigned)core);
    for (; o; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type)) last = o;
    return last;
}

/* The cores of the fastest kind; all where kinds are not known. The caller frees. */
static hwloc_bitmap_t fastest(hwloc_topology_t topology)
{
    hwloc_bitmap_t fast = hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(topology));
    hwloc_bitmap_t kind = hwloc_bitmap_alloc();
    int efficiency = -1, last = hwloc_cpukinds_get_nr(topology, 0) - 1;
    /* Kinds are in the order of their speed, if it is known. */
    if (last > 0 &&
        hwloc_cpukinds_get_info(topology, (unsigned)last, kind, &efficiency, NULL, NULL, 0) == 0 &&
        efficiency >= 0 && hwloc_bitmap_intersects(fast, kind))
        hwloc_bitmap_and(fast, fast, kind);
    hwloc_bitmap_free(kind);
    return fast;
}

/* The first domain, up to this one, with a core that sees a last-level cache of this one's. */
static int group_of(const struct machine *m, int domain)
{
    unsigned core;
    hwloc_bitmap_foreach_begin(core, m->domains[domain].cores)
    {
        hwloc_obj_t cache = last_cache(m->topology, (int)core);
        for (int k = 0; cache && k < domain; k++)
            if (hwloc_bitmap_intersects(cache->cpuset, m->domains[k].cores))
                return m->domains[k].group;
    }
    hwloc_bitmap_foreach_end();
    return domain;
}

static void release(struct machine *m)
{
    for (int i = 0; i < m->count; i++) hwloc_bitmap_free(m->domains[i].cores);
    free(m->domains);
    hwloc_topology_destroy(m->topology);
}

/*
 * Finds the memory domains with a core that may be timed; of the whole machine all, also those that
 * are others' to use. A second kind of memory at the same cores (such as HBM beside DDR) is not
 * another domain.
 */
static int read_machine(const char *path, bool is_whole, struct machine *m, struct tg_error *err)
{
    hwloc_obj_t node = NULL;
    *m = (struct machine){0};
    if (load(path, is_whole, &m->topology, err) < 0) return -1;
    int most = hwloc_get_nbobjs_by_type(m->topology, HWLOC_OBJ_NUMANODE);
    m->domains = calloc((size_t)(most > 0 ? most : 1), sizeof *m->domains);
    hwloc_bitmap_t fast = is_whole
                              ? hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(m->topology))
                              : fastest(m->topology);
    hwloc_bitmap_t seen = hwloc_bitmap_alloc();
    m->has_slow = !hwloc_bitmap_isequal(fast, hwloc_topology_get_topology_cpuset(m->topology));
    while (m->domains &&
           (node = hwloc_get_next_obj_by_type(m->topology, HWLOC_OBJ_NUMANODE, node))) {
        if (!node->cpuset || !hwloc_bitmap_intersects(node->cpuset, fast)) continue;
        if (hwloc_bitmap_intersects(seen, node->cpuset)) continue;
        hwloc_bitmap_or(seen, seen, node->cpuset);
        struct domain *d = &m->domains[m->count];
        d->number = node->os_index;
        d->cores = hwloc_bitmap_dup(node->cpuset);
        hwloc_bitmap_and(d->cores, d->cores, fast);
        d->group = group_of(m, m->count);
        m->count++;
    }
    hwloc_bitmap_free(seen);
    hwloc_bitmap_free(fast);
    if (m->count > 0) return 0;
    release(m);
    return tg_fail(err, "no memory domain with a core that may be used");
}

/* How many cores a set has; hardware threads where cores are not known. */
static int core_count(const struct machine *m, hwloc_const_cpuset_t set)
{
    int cores = hwloc_get_nbobjs_inside_cpuset_by_type(m->topology, set, HWLOC_OBJ_CORE);
    return cores < 1 ? hwloc_bitmap_weight(set) : cores;
}

/* The first hardware thread of a set's core, `back` cores before the last. */
static int core_at(const struct machine *m, hwloc_const_cpuset_t set, int back)
{
    int cores = hwloc_get_nbobjs_inside_cpuset_by_type(m->topology, set, HWLOC_OBJ_CORE);
    hwloc_obj_type_t type = cores < 1 ? HWLOC_OBJ_PU : HWLOC_OBJ_CORE;
    unsigned index = (unsigned)(core_count(m, set) - 1 - back);
    hwloc_obj_t core = hwloc_get_obj_inside_cpuset_by_type(m->topology, set, type, index);
    return core ? hwloc_bitmap_first(core->cpuset) : hwloc_bitmap_last(set);
}

/*
 * The parts of a domain: on `cache` the cores that see the same last-level cache, of which what
 * sees no known one is a part, too; else the domain is one. Returns how many there are; `part`
 * becomes the index-th of them, if there is one.
 */
static int cut(const struct machine *m, int domain, enum tg_exclusive exclusive, int index,
               hwloc_bitmap_t part)
{
    int count = 0;
    unsigned core;
    hwloc_bitmap_t left = hwloc_bitmap_dup(m->domains[domain].cores), own = hwloc_bitmap_alloc();
    while (!hwloc_bitmap_iszero(left)) {
        hwloc_obj_t cache = last_cache(m->topology, hwloc_bitmap_first(left));
        hwloc_bitmap_zero(own);
        hwloc_bitmap_foreach_begin(core, left)
        {
            if (exclusive != TG_EXCLUSIVE_CACHE || last_cache(m->topology, (int)core) == cache)
                hwloc_bitmap_set(own, core);
        }
        hwloc_bitmap_foreach_end();
        hwloc_bitmap_andnot(left, left, own);
        if (count++ == index) hwloc_bitmap_copy(part, own);
    }
    hwloc_bitmap_free(own);
    hwloc_bitmap_free(left);
    return count;
}

/* The core of a hardware thread, NULL where cores are not known. */
static hwloc_obj_t core_of(const struct machine *m, int number)
{
    hwloc_obj_t thread = hwloc_get_pu_obj_by_os_index(m->topology, (unsigned)number);
    return thread ? hwloc_get_ancestor_obj_by_type(m->topology, HWLOC_OBJ_CORE, thread) : NULL;
}

static int first_thread(const struct machine *m, int number)
{
    hwloc_obj_t core = core_of(m, number);
    return core ? hwloc_bitmap_first(core->cpuset) : number;
}

/* Takes a core, with all its hardware threads, out of a set. */
static void remove_core(const struct machine *m, hwloc_bitmap_t set, int number)
{
    hwloc_obj_t core = core_of(m, number);
    if (core)
        hwloc_bitmap_andnot(set, set, core->cpuset);
    else
        hwloc_bitmap_clr(set, (unsigned)number);
}

/* What is left for the ranks. The caller frees. */
static hwloc_bitmap_t rest_of(const struct machine *m, enum tg_exclusive exclusive)
{
    hwloc_bitmap_t rest = hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(m->topology));
    hwloc_bitmap_t part = hwloc_bitmap_alloc();
    for (int d = 0; d < m->count; d++) {
        int timed = exclusive == TG_EXCLUSIVE_CORE ? core_count(m, m->domains[d].cores) - 1 : 1;
        for (int k = 0; k < cut(m, d, exclusive, k, part); k++)
            for (int i = 0; i < timed || i == 0; i++) remove_core(m, rest, core_at(m, part, i));
    }
    hwloc_bitmap_free(part);
    return rest;
}

/* The domain that the i-th GPU is attached to. */
static int domain_of(const struct machine *m, const struct tg_gpu_list *gpus, int i)
{
    const struct tg_gpu *gpu = &gpus->gpus[i];
    hwloc_bitmap_t near = hwloc_bitmap_alloc();
    hwloc_obj_t node = hwloc_get_numanode_obj_by_os_index(m->topology, (unsigned)gpu->numa);
    if (gpu->numa >= 0 && node && node->cpuset)
        hwloc_bitmap_copy(near, node->cpuset);
    else
        hwloc_bitmap_list_sscanf(near, gpu->cores);
    int found = i % m->count;
    for (int k = m->count - 1; k >= 0; k--)
        if (hwloc_bitmap_intersects(near, m->domains[k].cores)) found = k;
    hwloc_bitmap_free(near);
    return found;
}

/* The domain of the index-th worker, which may have a GPU. */
static int domain_of_worker(const struct machine *m, const struct tg_gpu_list *gpus, int index)
{
    int gpu_count = gpus ? (int)gpus->count : 0, free_count = 0;
    if (index < gpu_count) return domain_of(m, gpus, index);
    hwloc_bitmap_t taken = hwloc_bitmap_alloc();
    for (int i = 0; i < gpu_count; i++) hwloc_bitmap_set(taken, (unsigned)domain_of(m, gpus, i));
    for (int k = 0; k < m->count; k++) free_count += !hwloc_bitmap_isset(taken, (unsigned)k);
    int wanted = (index - gpu_count) % (free_count ? free_count : m->count), found = wanted;
    for (int k = 0; k < m->count && free_count; k++)
        if (!hwloc_bitmap_isset(taken, (unsigned)k) && wanted-- == 0) found = k;
    hwloc_bitmap_free(taken);
    return found;
}

/* How many of the workers up to one are in its domain. */
static int workers_in(const struct machine *m, const struct tg_gpu_list *gpus, int domain,
                      int before)
{
    int count = 0;
    for (int i = 0; i < before; i++) count += domain_of_worker(m, gpus, i) == domain;
    return count;
}

/*
 * The most threads of a cell of this place that leave the ranks a core, if all parts had cells of
 * as many: what the largest part has but one, unless there are cores for the ranks alone.
 */
static int unshared(const struct machine *m, const struct tg_place *place)
{
    int most = 0;
    hwloc_bitmap_t part = hwloc_bitmap_alloc();
    for (int d = 0; d < m->count; d++)
        for (int k = 0; k < cut(m, d, place->exclusive, k, part); k++)
            if (core_count(m, part) > most) most = core_count(m, part);
    hwloc_bitmap_free(part);
    bool is_apart = m->has_slow || (place->exclusive == TG_EXCLUSIVE_CORE && most > 1);
    return is_apart ? place->core_count : most - 1;
}

/* Deals a worker its cores of the domain; it is the rank-th of `count` workers there. */
static void deal_cores(const struct machine *m, int domain, int rank, int count,
                       struct tg_place *place)
{
    hwloc_bitmap_t part = hwloc_bitmap_alloc();
    int first = 0, parts = cut(m, domain, place->exclusive, -1, part);
    cut(m, domain, place->exclusive, rank % parts, part);
    int cores = core_count(m, part);
    if (place->exclusive == TG_EXCLUSIVE_CORE && cores > 1) {
        int usable = cores - 1, each = count < usable ? usable / count : 1;
        first = rank % (usable / each) * each;
        cores = each;
    }
    place->core_count = cores < TG_PLACE_CORES ? cores : TG_PLACE_CORES;
    for (int i = 0; i < place->core_count; i++) place->cores[i] = core_at(m, part, first + i);
    place->core = place->cores[0];
    place->unshared = unshared(m, place);
    hwloc_bitmap_free(part);
}

/*
 * The names of what the worker's part is in. They are the whole machine's: another run, or rank,
 * may be allowed other cores of the same cache, or another hardware thread of the same core.
 */
static void name_shares(const struct machine *whole, struct tg_place *place)
{
    char cores[TG_TEXT_SIZE];
    int home = whole->count - 1;
    while (home > 0 && !hwloc_bitmap_isset(whole->domains[home].cores, (unsigned)place->core))
        home--;
    snprintf(place->shares[TG_EXCLUSIVE_NODE], TG_TEXT_SIZE, "node");
    snprintf(place->shares[TG_EXCLUSIVE_MEMORY], TG_TEXT_SIZE, "numa%u",
             whole->domains[whole->domains[home].group].number);
    for (int i = 0; i < place->core_count; i++) {
        hwloc_obj_t cache = last_cache(whole->topology, place->cores[i]);
        place->caches[i] = cache ? hwloc_bitmap_first(cache->cpuset) : -1;
        place->held[i] = first_thread(whole, place->cores[i]);
    }
    if (place->caches[0] >= 0)
        snprintf(place->shares[TG_EXCLUSIVE_CACHE], TG_TEXT_SIZE, "cache%d", place->caches[0]);
    else
        memcpy(place->shares[TG_EXCLUSIVE_CACHE], place->shares[TG_EXCLUSIVE_MEMORY], TG_TEXT_SIZE);
    tg_place_text(place->cores, place->core_count, cores);
    snprintf(place->shares[TG_EXCLUSIVE_CORE], TG_TEXT_SIZE, "cores%.*s", TG_TEXT_SIZE - 6, cores);
}

/* Adds up the caches of a place's cores, each once, and 0 from the first unknown one on. */
static void measure_caches(const struct machine *m, struct tg_place *place)
{
    int64_t sum = 0;
    for (int i = 0; i < place->core_count; i++) {
        hwloc_obj_t cache = last_cache(m->topology, place->cores[i]);
        bool is_new = true;
        for (int k = 0; k < i && is_new; k++)
            is_new = last_cache(m->topology, place->cores[k]) != cache;
        if (!cache || cache->attr->cache.size == 0) return;
        if (is_new) sum += (int64_t)cache->attr->cache.size;
        place->cache_bytes[i] = sum;
    }
}

int tg_place_find(const char *path, const struct tg_gpu_list *gpus,
                  const struct tg_place_wish *wish, struct tg_place *place, struct tg_error *err)
{
    struct machine m, whole;
    if (read_machine(path, false, &m, err) < 0) return -1;
    if (read_machine(path, true, &whole, err) < 0) {
        release(&m);
        return -1;
    }
    int domain = domain_of_worker(&m, gpus, wish->index);
    memset(place, 0, sizeof *place);
    place->exclusive = wish->exclusive;
    place->gpu = gpus && wish->index < (int)gpus->count ? wish->index : -1;
    for (int i = 0; i < place->gpu; i++) place->gpus_before += domain_of(&m, gpus, i) == domain;
    int all = wish->count > wish->index ? wish->count : wish->index + 1;
    deal_cores(&m, domain, workers_in(&m, gpus, domain, wish->index),
               workers_in(&m, gpus, domain, all), place);
    snprintf(place->domain, sizeof place->domain, "numa%u", m.domains[domain].number);
    name_shares(&whole, place);
    release(&whole);
    measure_caches(&m, place);
    hwloc_bitmap_t rest = rest_of(&m, wish->exclusive);
    char *ranks = NULL;
    if (hwloc_bitmap_list_asprintf(&ranks, rest) >= 0)
        snprintf(place->ranks, sizeof place->ranks, "%s", ranks);
    free(ranks);
    hwloc_bitmap_free(rest);
    release(&m);
    return 0;
}

int tg_place_processors(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) <
        0) /* there are more than it has room for */
        return (int)sysconf(_SC_NPROCESSORS_ONLN);
    return CPU_COUNT(&allowed);
}

int tg_place_leave(enum tg_exclusive exclusive, struct tg_error *err)
{
    struct machine m;
    if (read_machine(NULL, false, &m, err) < 0) return -1;
    hwloc_bitmap_t rest = rest_of(&m, exclusive);
    int rc = 0;
    if (!hwloc_bitmap_iszero(rest) &&
        hwloc_set_cpubind(m.topology, rest, HWLOC_CPUBIND_PROCESS) < 0)
        rc = tg_fail(err, "cannot leave the timed cores: %s", strerror(errno));
    hwloc_bitmap_free(rest);
    release(&m);
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
