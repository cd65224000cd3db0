/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/place.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Recorded machines, made by: lstopo -i "pack:2 numa:4 core:2 pu:2" --of xml NAME.xml, and some
 * that need no file. In cgroup.xml most of two_sockets.xml is not allowed; big_little.xml has kinds
 * of cores; vm_two_cores.xml is a machine as it was found, whose memory is said wrong.
 */

static struct tg_place find_for(const char *name, struct tg_place_wish wish)
{
    char path[4096];
    struct tg_place place = {.core = 77};
    struct tg_error err;
    bool is_synthetic = strchr(name, ':') != NULL;
    snprintf(path, sizeof path, is_synthetic ? "synthetic:%s" : TG_TEST_DATA "/%s.xml", name);
    if (tg_place_find(path, NULL, &wish, &place, &err) < 0) fail_msg("%s: %s", name, err.text);
    return place;
}

static struct tg_place find(const char *name, int index)
{
    return find_for(name, (struct tg_place_wish){index, index + 1, TG_EXCLUSIVE_MEMORY});
}

static void a_worker_is_placed_on_the_last_core_of_its_domain(void **state)
{
    (void)state;
    static const struct {
        const char *topology;
        int index;
        const char *domain;
        int core, unshared;
    } rows[] = {
        {"one_socket", 0, "numa0", 3, 3},
        {"one_socket", 1, "numa0", 3, 3},
        /* The first hardware thread of the last core, and domain by domain. */
        {"two_sockets", 0, "numa0", 2, 1},
        {"two_sockets", 1, "numa1", 6, 1},
        {"two_sockets", 4, "numa4", 18, 1},
        {"two_sockets", 7, "numa7", 30, 1},
        {"two_sockets", 8, "numa0", 2, 1},
        {"two_sockets", 17, "numa1", 6, 1},
        /* One core: its second hardware thread is no other core. */
        {"one_core", 0, "numa0", 0, 0},
        {"one_core", 1, "numa0", 0, 0},
        /* Two kinds of memory at the same cores are one domain. */
        {"two_memories", 0, "numa0", 1, 1},
        {"two_memories", 1, "numa2", 3, 1},
        {"two_memories", 2, "numa0", 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_place place = find(rows[i].topology, rows[i].index);
        if (strcmp(place.domain, rows[i].domain) != 0 || place.core != rows[i].core ||
            place.unshared != rows[i].unshared)
            fail_msg("row %zu: %s, core %d, unshared %d", i, place.domain, place.core,
                     place.unshared);
    }
}

/* GPUs as "3,1,-,c5-6": attached to domain 3, to 1, nobody knows where, near cores 5 and 6. */
static void attach(const char *text, struct tg_gpu_list *list)
{
    memset(list, 0, sizeof *list);
    while (*text) {
        struct tg_gpu *gpu = &list->gpus[list->count++];
        size_t length = strcspn(text, ",");
        tg_record_init(&tg_gpu_type, gpu);
        if (*text == 'c')
            snprintf(gpu->cores, sizeof gpu->cores, "%.*s", (int)length - 1, text + 1);
        if (*text >= '0' && *text <= '9') gpu->numa = *text - '0';
        text += length + (text[length] == ',');
    }
}

/* All but its GPU is as that of a worker without one in the same domain. */
static void assert_placed(const char *topology, const struct tg_place *place)
{
    for (int i = 0; i < 8; i++) {
        struct tg_place alone = find(topology, i);
        if (strcmp(alone.domain, place->domain) != 0) continue;
        alone.gpu = place->gpu;
        alone.gpus_before = place->gpus_before;
        assert_memory_equal(&alone, place, sizeof alone);
        return;
    }
    fail_msg("no domain %s", place->domain);
}

/* Workers 0, 1, ... as "numa3:0 numa1:1 numa0:-1": each one's domain and GPU. */
static void the_first_workers_get_a_gpu_each_and_cores_near_it(void **state)
{
    (void)state;
    static const struct {
        const char *topology, *gpus, *wanted;
    } rows[] = {
        {"one_socket", "", "numa0:-1 numa0:-1"},
        /* One domain: all of its workers take turns. */
        {"one_socket", "0,0", "numa0:0 numa0:1 numa0:-1"},
        {"one_socket", "0,0,0,0", "numa0:0 numa0:1 numa0:2 numa0:3 numa0:-1"},
        {"one_socket", "0,0,0,0,0,0,0,0",
         "numa0:0 numa0:1 numa0:2 numa0:3 numa0:4 numa0:5 numa0:6 "
         "numa0:7 numa0:-1"},
        /* Two domains, of which 1 and 3 are memories beside 0 and 2. */
        {"two_memories", "2", "numa2:0 numa0:-1 numa0:-1"},
        {"two_memories", "2,0", "numa2:0 numa0:1 numa0:-1 numa2:-1"},
        {"two_memories", "0,1,2,3", "numa0:0 numa0:1 numa2:2 numa2:3 numa0:-1"},
        {"two_memories", "0,0,0,0,2,2,2,2",
         "numa0:0 numa0:1 numa0:2 numa0:3 numa2:4 numa2:5 "
         "numa2:6 numa2:7 numa0:-1"},
        /* Eight domains; whoever has no GPU stays away from those who have one. */
        {"two_sockets", "3",
         "numa3:0 numa0:-1 numa1:-1 numa2:-1 numa4:-1 numa5:-1 numa6:-1 "
         "numa7:-1 numa0:-1"},
        {"two_sockets", "3,1", "numa3:0 numa1:1 numa0:-1 numa2:-1"},
        {"two_sockets", "3,1,7,5",
         "numa3:0 numa1:1 numa7:2 numa5:3 numa0:-1 numa2:-1 numa4:-1 "
         "numa6:-1 numa0:-1"},
        {"two_sockets", "3,3,1,1,7,7,5,5",
         "numa3:0 numa3:1 numa1:2 numa1:3 numa7:4 numa7:5 "
         "numa5:6 numa5:7 numa0:-1"},
        {"two_sockets", "0,1,2,3,4,5,6,7",
         "numa0:0 numa1:1 numa2:2 numa3:3 numa4:4 numa5:5 "
         "numa6:6 numa7:7 numa0:-1 numa1:-1"},
        /* By the cores near it, the first domain that has one; else domains in turn. */
        {"two_sockets", "c12-15,c28", "numa3:0 numa7:1 numa0:-1"},
        {"two_sockets", "c16-31", "numa4:0"},
        {"two_sockets", "-,-,9,c99", "numa0:0 numa1:1 numa2:2 numa3:3 numa4:-1"},
        {"one_core", "-,-", "numa0:0 numa0:1 numa0:-1"},
    };
    static struct tg_gpu_list list;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[4096], seen[256] = "";
        struct tg_place place;
        attach(rows[i].gpus, &list);
        snprintf(path, sizeof path, TG_TEST_DATA "/%s.xml", rows[i].topology);
        for (int index = 0; strlen(seen) < strlen(rows[i].wanted); index++) {
            const struct tg_place_wish wish = {index, index + 1, TG_EXCLUSIVE_MEMORY};
            assert_int_equal(tg_place_find(path, &list, &wish, &place, NULL), 0);
            size_t used = strlen(seen);
            snprintf(seen + used, sizeof seen - used, "%s%s:%d", used ? " " : "", place.domain,
                     place.gpu);
            assert_placed(rows[i].topology, &place);
        }
        assert_string_equal(seen, rows[i].wanted);
    }
}

/* Workers 0, 1, ...: what each has for itself, and its cores from the first that it uses. */
static const struct {
    const char *topology;
    enum tg_exclusive exclusive;
    int workers;
    const char *wanted, *ranks;
} parts[] = {
    {"one_socket", TG_EXCLUSIVE_NODE, 2, "node 0-3 node 0-3", "0-2"},
    {"one_socket", TG_EXCLUSIVE_MEMORY, 2, "numa0 0-3 numa0 0-3", "0-2"},
    /* Its caches are not known: then a domain is as a cache. */
    {"one_socket", TG_EXCLUSIVE_CACHE, 2, "numa0 0-3 numa0 0-3", "0-2"},
    {"one_socket", TG_EXCLUSIVE_CORE, 1, "cores1-3 1-3", "0"},
    {"one_socket", TG_EXCLUSIVE_CORE, 2, "cores3 3 cores2 2", "0"},
    {"one_socket", TG_EXCLUSIVE_CORE, 4, "cores3 3 cores2 2 cores1 1 cores3 3", "0"},
    {"two_caches", TG_EXCLUSIVE_MEMORY, 2, "numa0 0-3 numa0 0-3", "0-2"},
    {"two_caches", TG_EXCLUSIVE_CACHE, 3, "cache0 0-1 cache2 2-3 cache0 0-1", "0,2"},
    /* SMT: the other thread of a timed core is nobody's. */
    {"pack:1 numa:1 l3:1 core:4 pu:2", TG_EXCLUSIVE_CORE, 3, "cores6 6 cores4 4 cores2 2", "0-1"},
    {"pack:1 numa:1 l3:1 core:4 pu:2", TG_EXCLUSIVE_CACHE, 1, "cache0 0-6:2", "0-5"},
    /* 2 sockets of 4 domains, each of two caches; and domains in turn. */
    {"pack:2 numa:4 l3:2 core:2 pu:2", TG_EXCLUSIVE_NODE, 2, "node 0-6:2 node 8-14:2",
     "0-5,8-13,16-21,24-29,32-37,40-45,48-53,56-61"},
    {"pack:2 numa:4 l3:2 core:2 pu:2", TG_EXCLUSIVE_MEMORY, 2, "numa0 0-6:2 numa1 8-14:2",
     "0-5,8-13,16-21,24-29,32-37,40-45,48-53,56-61"},
    {"pack:2 numa:2 l3:2 core:2 pu:1", TG_EXCLUSIVE_CACHE, 6,
     "cache0 0-1 cache4 4-5 cache8 8-9 cache12 12-13 cache2 2-3 cache6 6-7", "0,2,4,6,8,10,12,14"},
    {"pack:2 numa:2 l3:1 core:3 pu:1", TG_EXCLUSIVE_CORE, 6,
     "cores2 2 cores5 5 cores7-8 7-8 cores10-11 10-11 cores1 1 cores4 4", "0,3,6,9"},
    /* One cache over two domains: they take turns. */
    {"pack:2 l3:1 numa:2 core:2 pu:1", TG_EXCLUSIVE_MEMORY, 4,
     "numa0 0-1 numa0 2-3 numa2 4-5 numa2 6-7", "0,2,4,6"},
    {"pack:2 l3:1 numa:2 core:2 pu:1", TG_EXCLUSIVE_CACHE, 2, "cache0 0-1 cache0 2-3", "0,2,4,6"},
    /* Only what a cgroup leaves, from the first hardware thread that it leaves on. */
    {"cgroup", TG_EXCLUSIVE_MEMORY, 3, "numa0 1-2 numa5 20,22 numa0 1-2", "1,20-21"},
    {"cgroup", TG_EXCLUSIVE_CORE, 2, "cores2 2 cores22 22", "1,20-21"},
    /* Big cores are timed; ranks live on the little ones, too. */
    {"big_little", TG_EXCLUSIVE_MEMORY, 1, "numa0 4-7", "0-6"},
    {"big_little", TG_EXCLUSIVE_CACHE, 2, "cache4 4-7 cache4 4-7", "0-6"},
    {"big_little", TG_EXCLUSIVE_CORE, 2, "cores7 7 cores6 6", "0-4"},
    {"vm_two_cores", TG_EXCLUSIVE_MEMORY, 2, "numa0 0-1 numa0 0-1", "0"},
    {"vm_two_cores", TG_EXCLUSIVE_CORE, 2, "cores1 1 cores1 1", "0"},
    /* With one core there is nothing to deal. */
    {"one_core", TG_EXCLUSIVE_CORE, 2, "cores0 0 cores0 0", ""},
};

static void parts_share_nothing_that_blocks_may_not_share(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char seen[512] = "";
        for (int w = 0; w < parts[i].workers; w++) {
            char cores[TG_TEXT_SIZE];
            struct tg_place place = find_for(
                parts[i].topology, (struct tg_place_wish){w, parts[i].workers, parts[i].exclusive});
            tg_place_text(place.cores, place.core_count, cores);
            size_t used = strlen(seen);
            snprintf(seen + used, sizeof seen - used, "%s%s %s", used ? " " : "",
                     place.shares[place.exclusive], cores);
            if (strcmp(place.ranks, parts[i].ranks) != 0)
                fail_msg("row %zu: ranks have %s", i, place.ranks);
        }
        if (strcmp(seen, parts[i].wanted) != 0) fail_msg("row %zu: %s", i, seen);
    }
}

/* The topology's word for which cores are siblings is 2 hardware threads in a row. */
static void no_two_cores_of_places_are_hardware_threads_of_one(void **state)
{
    (void)state;
    static const char *const topologies[] = {"pack:1 numa:1 l3:1 core:8 pu:2",
                                             "pack:2 numa:4 l3:2 core:3 pu:2"};
    for (size_t t = 0; t < sizeof topologies / sizeof *topologies; t++) {
        for (int level = 0; level < TG_EXCLUSIVE_COUNT; level++) {
            char owners[64][TG_TEXT_SIZE] = {""}; /* of each core, as the part that has it */
            for (int w = 0; w < 12; w++) {
                struct tg_place place = find_for(
                    topologies[t], (struct tg_place_wish){w, 12, (enum tg_exclusive)level});
                for (int i = 0; i < place.core_count; i++) {
                    assert_int_equal(place.cores[i] % 2, 0);
                    char *owner = owners[place.cores[i] / 2];
                    if (*owner) assert_string_equal(owner, place.shares[level]);
                    memcpy(owner, place.shares[level], TG_TEXT_SIZE);
                }
            }
        }
    }
}

static void threads_that_take_no_core_of_the_ranks_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *topology;
        enum tg_exclusive exclusive;
        int workers, unshared;
    } rows[] = {
        {"two_caches", TG_EXCLUSIVE_MEMORY, 1, 3}, {"two_caches", TG_EXCLUSIVE_CACHE, 2, 1},
        {"two_caches", TG_EXCLUSIVE_CORE, 1, 3},   {"two_caches", TG_EXCLUSIVE_CORE, 3, 1},
        {"big_little", TG_EXCLUSIVE_MEMORY, 1, 4}, {"vm_two_cores", TG_EXCLUSIVE_MEMORY, 1, 1},
        {"vm_two_cores", TG_EXCLUSIVE_CORE, 1, 1}, {"one_core", TG_EXCLUSIVE_CORE, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct tg_place_wish wish = {0, rows[i].workers, rows[i].exclusive};
        struct tg_place place = find_for(rows[i].topology, wish);
        if (place.unshared != rows[i].unshared) fail_msg("row %zu: %d", i, place.unshared);
    }
}

static void gpus_of_one_domain_are_counted(void **state)
{
    (void)state;
    static const int before[] = {0, 1, 0, 2, 1, 0, 0};
    static struct tg_gpu_list list;
    struct tg_place place;
    attach("3,3,1,3,1,-", &list); /* the last falls on domain 5 */
    for (int i = 0; i < 7; i++) {
        const struct tg_place_wish wish = {i, 7, TG_EXCLUSIVE_MEMORY};
        assert_int_equal(tg_place_find(TG_TEST_DATA "/two_sockets.xml", &list, &wish, &place, NULL),
                         0);
        assert_int_equal(place.gpus_before, before[i]);
    }
}

static void threads_get_the_cores_of_the_domain_from_the_last_on(void **state)
{
    (void)state;
    static const struct {
        const char *topology;
        int index, count, cores[4];
    } rows[] = {
        {"one_socket", 0, 4, {3, 2, 1, 0}},
        /* The first hardware threads, and none of another domain. */
        {"two_sockets", 0, 2, {2, 0}},
        {"two_sockets", 7, 2, {30, 28}},
        {"one_core", 0, 1, {0}},
        {"two_memories", 1, 2, {3, 2}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_place place = find(rows[i].topology, rows[i].index);
        assert_int_equal(place.core_count, rows[i].count);
        assert_int_equal(place.core, place.cores[0]);
        assert_memory_equal(place.cores, rows[i].cores,
                            (size_t)rows[i].count * sizeof *place.cores);
    }
}

static void caches_of_the_cores_are_added_up_each_once(void **state)
{
    (void)state;
    struct tg_place place = find("two_caches", 0);
    assert_int_equal(place.core_count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(place.cache_bytes[i], (i < 2 ? 1 : 2) * (INT64_C(32) << 20));
    place = find("one_socket", 0);
    assert_int_equal(place.cache_bytes[0], 0);
}

static void cores_are_named_as_taskset_reads_them(void **state)
{
    (void)state;
    static const struct {
        int count, cores[6];
        const char *text;
    } rows[] = {
        {0, {0}, ""},
        {1, {7}, "7"},
        {2, {1, 0}, "0-1"},
        {2, {2, 0}, "0,2"},
        {3, {4, 2, 0}, "0-4:2"},
        {4, {8, 3, 2, 1}, "1-3,8"},
        {6, {30, 20, 10, 2, 1, 0}, "0-2,10-30:10"},
    };
    char text[TG_TEXT_SIZE];
    int many[TG_PLACE_CORES + 10];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tg_place_text(rows[i].cores, rows[i].count, text);
        assert_string_equal(text, rows[i].text);
    }
    for (int i = 0; i < TG_PLACE_CORES + 10; i++) many[i] = i * i;
    tg_place_text(many, TG_PLACE_CORES + 10, text);
    assert_memory_equal(text, "0-1,4,9,16,25,", 14);
    assert_in_range(strlen(text), TG_TEXT_SIZE - 8, TG_TEXT_SIZE - 1);
    assert_int_not_equal(text[strlen(text) - 1], ',');
}

static void a_topology_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct tg_place place = {.core = 77};
    struct tg_error err;
    static const char *const paths[] = {"/nowhere.xml", TG_TEST_DATA "/gate.json", "/dev/null",
                                        "synthetic:pack:0"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(tg_place_find(paths[i], NULL, &tg_place_alone, &place, &err), -1);
        assert_non_null(strstr(err.text, "cannot read topology '"));
        assert_non_null(strstr(err.text, paths[i]));
        assert_int_equal(place.core, 77);
    }
}

static void this_machine_has_a_place(void **state)
{
    (void)state;
    struct tg_place place;
    struct tg_error err;
    if (tg_place_find(NULL, NULL, &tg_place_alone, &place, &err) < 0) fail_msg("%s", err.text);
    assert_memory_equal(place.domain, "numa", 4);
    assert_true(place.core >= 0);
}

static void cores_are_held_by_their_first_thread_and_in_their_caches(void **state)
{
    (void)state;
    /* Of core 0-1 a cgroup leaves thread 1 alone. */
    struct tg_place place = find_for("cgroup", (struct tg_place_wish){0, 1, TG_EXCLUSIVE_MEMORY});
    assert_int_equal(place.core_count, 2);
    assert_int_equal(place.cores[1], 1);
    assert_int_equal(place.held[1], 0);
    assert_int_equal(place.held[0], 2);
    assert_int_equal(place.caches[0], -1);
    place = find_for("pack:1 numa:1 l3:2 core:2 pu:2",
                     (struct tg_place_wish){0, 1, TG_EXCLUSIVE_CORE});
    assert_int_equal(place.core_count, 3);
    assert_int_equal(place.caches[0], 4);
    assert_int_equal(place.caches[1], 4);
    assert_int_equal(place.caches[2], 0);
    assert_string_equal(place.shares[TG_EXCLUSIVE_CACHE], "cache4");
}

/* A part of this machine, for a process that may use one core of it. Exits as the next one. */
static int find_from_each_core(void)
{
    struct tg_place all, one;
    struct tg_error err;
    const struct tg_place_wish wish = {0, 1, TG_EXCLUSIVE_CACHE};
    if (tg_place_find(NULL, NULL, &wish, &all, &err) < 0) return 1;
    for (int i = 0; i < all.core_count; i++) {
        if (tg_place_bind(all.cores[i], &err) < 0) return 2;
        if (tg_place_find(NULL, NULL, &wish, &one, &err) < 0) return 3;
        if (one.core_count != 1 || one.core != all.cores[i]) return 4;
        for (int s = 0; s < TG_EXCLUSIVE_CORE; s++)
            if (strcmp(one.shares[s], all.shares[s]) != 0) return 5 + s;
    }
    return 0;
}

/* In a process of its own, since it is bound. Exits with 0, or with the step that failed. */
static int bind_and_leave(void)
{
    struct tg_place place;
    struct tg_error err;
    cpu_set_t set;
    if (tg_place_find(NULL, NULL, &tg_place_alone, &place, &err) < 0) return 1;
    if (tg_place_leave(TG_EXCLUSIVE_MEMORY, &err) < 0 || sched_getaffinity(0, sizeof set, &set) < 0)
        return 2;
    if (CPU_COUNT(&set) < 1 || (place.unshared > 0 && CPU_ISSET((size_t)place.core, &set)))
        return 3;
    if (tg_place_bind(place.core, &err) < 0 || sched_getaffinity(0, sizeof set, &set) < 0) return 4;
    if (CPU_COUNT(&set) != 1 || !CPU_ISSET((size_t)place.core, &set)) return 5;
    if (tg_place_processors() != 1) return 9;
    if (tg_place_bind(CPU_SETSIZE, &err) == 0 || strcmp(err.text, "no core 1024") != 0) return 6;
    if (tg_place_bind(-1, &err) == 0 || tg_place_bind(CPU_SETSIZE - 1, &err) == 0) return 7;
    return strcmp(err.text, "cannot bind to core 1023: Invalid argument") == 0 ? 0 : 8;
}

static void assert_goes_well(int (*steps)(void))
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(steps());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_part_has_one_name_whatever_cores_a_process_may_use(void **state)
{
    (void)state;
    assert_goes_well(find_from_each_core);
}

static void ranks_leave_the_timed_core_and_cells_are_bound_to_it(void **state)
{
    (void)state;
    assert_goes_well(bind_and_leave);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_is_placed_on_the_last_core_of_its_domain),
        cmocka_unit_test(the_first_workers_get_a_gpu_each_and_cores_near_it),
        cmocka_unit_test(parts_share_nothing_that_blocks_may_not_share),
        cmocka_unit_test(no_two_cores_of_places_are_hardware_threads_of_one),
        cmocka_unit_test(threads_that_take_no_core_of_the_ranks_are_counted),
        cmocka_unit_test(gpus_of_one_domain_are_counted),
        cmocka_unit_test(threads_get_the_cores_of_the_domain_from_the_last_on),
        cmocka_unit_test(caches_of_the_cores_are_added_up_each_once),
        cmocka_unit_test(cores_are_named_as_taskset_reads_them),
        cmocka_unit_test(a_topology_that_cannot_be_read_is_refused),
        cmocka_unit_test(this_machine_has_a_place),
        cmocka_unit_test(cores_are_held_by_their_first_thread_and_in_their_caches),
        cmocka_unit_test(a_part_has_one_name_whatever_cores_a_process_may_use),
        cmocka_unit_test(ranks_leave_the_timed_core_and_cells_are_bound_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
