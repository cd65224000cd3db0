/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/place.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Recorded machines, made by: lstopo -i "pack:2 numa:4 core:2 pu:2" --of xml NAME.xml */

static struct tg_place find(const char *name, int index)
{
    char path[4096];
    struct tg_place place = {.core = 77};
    struct tg_error err;
    snprintf(path, sizeof path, TG_TEST_DATA "/%s.xml", name);
    if (tg_place_find(path, index, &place, &err) < 0) fail_msg("%s", err.text);
    return place;
}

static void a_worker_is_placed_on_the_last_core_of_its_domain(void **state)
{
    (void)state;
    static const struct {
        const char *topology;
        int index;
        const char *domain;
        int core;
        bool is_shared;
    } rows[] = {
        {"one_socket", 0, "numa0", 3, false},
        {"one_socket", 1, "numa0", 3, false},
        /* The first hardware thread of the last core, and domain by domain. */
        {"two_sockets", 0, "numa0", 2, false},
        {"two_sockets", 1, "numa1", 6, false},
        {"two_sockets", 4, "numa4", 18, false},
        {"two_sockets", 7, "numa7", 30, false},
        {"two_sockets", 8, "numa0", 2, false},
        {"two_sockets", 17, "numa1", 6, false},
        /* One core: its second hardware thread is no other core. */
        {"one_core", 0, "numa0", 0, true},
        {"one_core", 1, "numa0", 0, true},
        /* Two kinds of memory at the same cores are one domain. */
        {"two_memories", 0, "numa0", 1, false},
        {"two_memories", 1, "numa2", 3, false},
        {"two_memories", 2, "numa0", 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_place place = find(rows[i].topology, rows[i].index);
        if (strcmp(place.domain, rows[i].domain) != 0 || place.core != rows[i].core ||
            place.is_shared != rows[i].is_shared)
            fail_msg("row %zu: %s, core %d, shared %d", i, place.domain, place.core,
                     place.is_shared);
    }
}

static void a_topology_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct tg_place place = {.core = 77};
    struct tg_error err;
    static const char *const paths[] = {"/nowhere.xml", TG_TEST_DATA "/gate.json", "/dev/null"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(tg_place_find(paths[i], 0, &place, &err), -1);
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
    if (tg_place_find(NULL, 0, &place, &err) < 0) fail_msg("%s", err.text);
    assert_memory_equal(place.domain, "numa", 4);
    assert_true(place.core >= 0);
}

/* In a process of its own, since it is bound. Exits with 0, or with the step that failed. */
static int bind_and_leave(void)
{
    struct tg_place place;
    struct tg_error err;
    cpu_set_t set;
    if (tg_place_find(NULL, 0, &place, &err) < 0) return 1;
    if (tg_place_leave(&err) < 0 || sched_getaffinity(0, sizeof set, &set) < 0) return 2;
    if (CPU_COUNT(&set) < 1 || (!place.is_shared && CPU_ISSET((size_t)place.core, &set))) return 3;
    if (tg_place_bind(place.core, &err) < 0 || sched_getaffinity(0, sizeof set, &set) < 0) return 4;
    if (CPU_COUNT(&set) != 1 || !CPU_ISSET((size_t)place.core, &set)) return 5;
    if (tg_place_bind(CPU_SETSIZE, &err) == 0 || strcmp(err.text, "no core 1024") != 0) return 6;
    if (tg_place_bind(-1, &err) == 0 || tg_place_bind(CPU_SETSIZE - 1, &err) == 0) return 7;
    return strcmp(err.text, "cannot bind to core 1023: Invalid argument") == 0 ? 0 : 8;
}

static void ranks_leave_the_timed_core_and_cells_are_bound_to_it(void **state)
{
    (void)state;
    int status;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(bind_and_leave());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_is_placed_on_the_last_core_of_its_domain),
        cmocka_unit_test(a_topology_that_cannot_be_read_is_refused),
        cmocka_unit_test(this_machine_has_a_place),
        cmocka_unit_test(ranks_leave_the_timed_core_and_cells_are_bound_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
