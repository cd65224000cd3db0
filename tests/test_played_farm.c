/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/played_farm.h"

static struct farm_asked asked(size_t workers, size_t blocks)
{
    return (struct farm_asked){.workers = workers,
                               .blocks = blocks,
                               .rounds_min = 5,
                               .round_s = 1,
                               .answer_s = 50e-6,
                               .latency_s = 0.008,
                               .seed = 7};
}

static void all_rounds_are_measured_and_nobody_waits_while_there_is_work(void **state)
{
    (void)state;
    static const struct {
        size_t workers, blocks;
        double busy; /* at least */
    } rows[] = {{1, 20, 0.95}, {4, 400, 0.95}, {64, 2000, 0.95}, {1000, 20000, 0.9}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct farm_asked a = asked(rows[i].workers, rows[i].blocks);
        struct farm_seen seen;
        assert_true(farm_play(&a, &seen));
        if (rows[i].workers >= FARM_KINDS) /* of all kinds: somebody can run each block */
            assert_in_range(seen.rounds, 5 * a.blocks, 6 * a.blocks);
        if (seen.busy < rows[i].busy)
            fail_msg("%zu workers: %g of their time in rounds", a.workers, seen.busy);
    }
}

/* The cost of a round: the least of three, since other work may be in its way. */
static double round_cost_s(size_t workers, size_t blocks)
{
    double least_s = INFINITY;
    for (int i = 0; i < 3; i++) {
        struct farm_asked a = asked(workers, blocks);
        struct farm_seen seen;
        assert_true(farm_play(&a, &seen));
        least_s = fmin(least_s, seen.cpu_s / (double)seen.rounds);
    }
    return least_s;
}

/* A queue that looks at all blocks for each round would take twenty times as long. */
static void twenty_times_the_blocks_are_not_much_dearer_each(void **state)
{
    (void)state;
    double few_s = round_cost_s(50, 2000), many_s = round_cost_s(50, 40000);
    if (many_s > 6 * few_s) fail_msg("a round costs %g s, and %g s of few blocks", many_s, few_s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rounds_are_measured_and_nobody_waits_while_there_is_work),
        cmocka_unit_test(twenty_times_the_blocks_are_not_much_dearer_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
