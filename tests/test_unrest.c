/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/unrest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/recorded_root.h"

#define THROTTLES "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count"

static struct tg_facts between(const struct tg_unrest *before, const struct tg_unrest *after)
{
    struct tg_facts facts;
    tg_record_init(&tg_facts_type, &facts);
    tg_unrest_between(before, after, &facts);
    return facts;
}

/* A machine of three cores; stolen ticks of all, of 1 and of 2; waits in us; throttles of 1 and 2.
 */
static void put_counts(const int stolen[3], long wait_us, const int throttles[2])
{
    char text[512], path[128];
    snprintf(text, sizeof text,
             "cpu  9 8 7 6 5 4 3 %d 1 0\ncpu0 1 1 1 1 1 1 1 77 0 0\ncpu1 1 1 1 1 1 1 1 %d 0 0\n"
             "cpu2 1 1 1 1 1 1 1 %d 0 0\nintr 12 1 1 1 1 1 1 1 99\n",
             stolen[0], stolen[1], stolen[2]);
    put("/proc/stat", text);
    snprintf(text, sizeof text, "some avg10=0.10 avg60=1.00 avg300=0.00 total=%ld\nfull total=5\n",
             wait_us);
    put("/proc/pressure/cpu", text);
    snprintf(text, sizeof text, "some avg10=0.00 avg60=0.00 avg300=0.00 total=%ld\n", 2 * wait_us);
    put("/proc/pressure/memory", text);
    snprintf(text, sizeof text, "some avg10=0.00 avg60=0.00 avg300=0.00 total=%ld\n", 3 * wait_us);
    put("/proc/pressure/io", text);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, THROTTLES, i + 1);
        snprintf(text, sizeof text, "%d\n", throttles[i]);
        put(path, text);
    }
}

static void what_was_counted_between_two_looks_becomes_facts(void **state)
{
    (void)state;
    static const int cores[] = {2, 1};
    const double tick_s = 1 / (double)sysconf(_SC_CLK_TCK);
    struct tg_unrest before, after;
    put_counts((const int[]){1000, 200, 300}, 5000000, (const int[]){7, 8});
    tg_unrest_look(root, cores, 2, &before);
    put_counts((const int[]){1017, 203, 305}, 5250000, (const int[]){7, 10});
    tg_unrest_look(root, cores, 2, &after);
    struct tg_facts facts = between(&before, &after);
    assert_true(fabs(facts.steal_s - 17 * tick_s) < 1e-9);
    assert_true(fabs(facts.own_steal_s - 8 * tick_s) < 1e-9);
    assert_true(fabs(facts.cpu_wait_s - 0.25) < 1e-9);
    assert_true(fabs(facts.memory_wait_s - 0.5) < 1e-9);
    assert_true(fabs(facts.io_wait_s - 0.75) < 1e-9);
    assert_int_equal(facts.core_throttles, 2);
    assert_true(facts.sampled_s >= 0);

    tg_unrest_look(root, cores, 1, &before); /* core 2 alone */
    put_counts((const int[]){1017, 299, 306}, 5250000, (const int[]){9, 11});
    tg_unrest_look(root, cores, 1, &after);
    facts = between(&before, &after);
    assert_true(fabs(facts.own_steal_s - tick_s) < 1e-9);
    assert_int_equal(facts.core_throttles, 1);
    assert_true(facts.cpu_wait_s == 0);
}

static void assert_unknown(const struct tg_facts *facts)
{
    assert_true(isnan(facts->steal_s) && isnan(facts->own_steal_s) && isnan(facts->cpu_wait_s));
    assert_true(isnan(facts->memory_wait_s) && isnan(facts->io_wait_s));
    assert_int_equal(facts->core_throttles, -1);
}

static void what_no_file_says_is_unknown_and_not_nothing(void **state)
{
    (void)state;
    static const int cores[] = {1};
    struct tg_unrest before, after;
    tg_unrest_look(root, cores, 1, &before);
    tg_unrest_look(root, cores, 1, &after);
    struct tg_facts facts = between(&before, &after);
    assert_unknown(&facts);
    put("/proc/stat", "cpu  1 2 3\ncpu1 1 2 3\n"); /* as it was before steal was counted */
    put("/proc/pressure/cpu", "full avg10=0.00 total=7\n");
    put("/proc/pressure/memory", "");
    put("/proc/pressure/io", "some total=many\n");
    put("/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "none\n");
    tg_unrest_look(root, cores, 1, &before);
    tg_unrest_look(root, cores, 1, &after);
    facts = between(&before, &after);
    assert_unknown(&facts);
}

static void a_counter_that_goes_back_says_nothing(void **state)
{
    (void)state;
    static const int cores[] = {1, 2};
    struct tg_unrest before, after;
    put_counts((const int[]){1000, 200, 300}, 5000000, (const int[]){7, 8});
    tg_unrest_look(root, cores, 2, &before);
    put_counts((const int[]){10, 2, 3}, 50, (const int[]){0, 0});
    tg_unrest_look(root, cores, 2, &after);
    after.at_s = before.at_s;
    struct tg_facts facts = between(&before, &after);
    assert_unknown(&facts);
    /* One look knew, the other did not. */
    put("/proc/stat", "");
    tg_unrest_look(root, cores, 2, &after);
    after.throttles = -1;
    facts = between(&before, &after);
    assert_true(isnan(facts.steal_s));
    assert_int_equal(facts.core_throttles, -1);
}

static void this_node_can_be_looked_at(void **state)
{
    (void)state;
    static const int cores[] = {0};
    struct tg_unrest before, after;
    tg_unrest_look("", cores, 1, &before);
    tg_unrest_look("", cores, 1, &after);
    struct tg_facts facts = between(&before, &after);
    assert_true(facts.sampled_s >= 0);
    assert_int_equal(isnan(before.steal_s), isnan(facts.steal_s));
    assert_true(isnan(facts.steal_s) || facts.steal_s >= 0);
    assert_true(isnan(facts.cpu_wait_s) || facts.cpu_wait_s >= 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, root_make, root_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_counted_between_two_looks_becomes_facts),
        TEST(what_no_file_says_is_unknown_and_not_nothing),
        TEST(a_counter_that_goes_back_says_nothing),
        TEST(this_node_can_be_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
