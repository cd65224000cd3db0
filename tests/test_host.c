/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/host.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Asserts that a text is a name, which a cell, a message or a column can hold. */
static void assert_name(const char *name)
{
    assert_in_range(strlen(name), 1, TG_TEXT_SIZE - 1);
    for (; *name; name++) assert_true(isgraph((unsigned char)*name));
}

static void a_node_is_named_by_slurm_or_by_itself(void **state)
{
    (void)state;
    char name[TG_TEXT_SIZE], own[256], wanted[TG_TEXT_SIZE];
    setenv("SLURMD_NODENAME", "node 7\t\xc3", 1);
    tg_host_name(name);
    assert_string_equal(name, "node_7__");

    char text[301];
    memset(text, 'n', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memset(wanted, 'n', sizeof wanted - 1);
    wanted[sizeof wanted - 1] = 0;
    setenv("SLURMD_NODENAME", text, 1);
    tg_host_name(name);
    assert_string_equal(name, wanted);

    setenv("SLURMD_NODENAME", "", 1);
    tg_host_name(wanted);
    unsetenv("SLURMD_NODENAME");
    tg_host_name(name);
    assert_string_equal(name, wanted);
    assert_name(name);
    if (gethostname(own, sizeof own) == 0 && strlen(own) < TG_TEXT_SIZE && !strchr(own, ' '))
        assert_string_equal(name, own);
}

static void facts_are_read_or_stay_unknown(void **state)
{
    (void)state;
    struct tg_facts facts;
    tg_record_init(&tg_facts_type, &facts);
    tg_host_read(100000, &facts);
    assert_string_equal(facts.governor, "unknown");
    assert_name(facts.cpu);
    assert_in_range(facts.virtualised + 1, 0, 2);
    assert_true(facts.load >= 0);
    int year, month, day, hour, minute, second, length = 0;
    assert_int_equal(sscanf(facts.date, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &length),
                     6);
    assert_int_equal(length, 20);
    assert_int_equal(facts.date[20], 0);
    assert_in_range(month, 1, 12);

    tg_host_read(0, &facts);
    assert_name(facts.governor);
    assert_string_equal(facts.host, "unknown");
}

static void stolen_time_never_runs_backwards(void **state)
{
    (void)state;
    double before = tg_host_steal(), after = tg_host_steal();
    assert_int_equal(isnan(before), isnan(after));
    if (!isnan(before)) assert_true(before >= 0 && after >= before);
}

static void available_memory_is_no_more_than_there_is(void **state)
{
    (void)state;
    int64_t available = tg_host_memory();
    int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    assert_true(available == -1 || (available > 0 && available <= all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_is_named_by_slurm_or_by_itself),
        cmocka_unit_test(facts_are_read_or_stay_unknown),
        cmocka_unit_test(stolen_time_never_runs_backwards),
        cmocka_unit_test(available_memory_is_no_more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
