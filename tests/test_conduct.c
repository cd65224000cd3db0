/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/conduct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/kernel.h"
#include "tests/conducted.h"

/* Rounds of real kernels and of the stubs, whose manners are known. */

static void assert_no_samples(const struct tg_measurement *m)
{
    const struct tg_series *s = tg_measurement_series(m, "call_time");
    assert_true(!s || s->count == 0);
}

static void need_stubs(void)
{
    const struct tg_kernel *stub = tg_kernel_find("stub_hang");
    if (!stub || !stub->run) skip();
}

static void a_pair_is_measured_in_turns_on_the_same_operands(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=i2s_scalar build=copy");
    struct tg_measurement m[2];
    order.round = 3;
    order.attempt = 2;
    snprintf(bench.hardware, sizeof bench.hardware, "0123456789abcdef");
    hold_for_a_moment(300000000); /* which is none of a cell's memory */
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        const struct tg_facts *facts = &m[i].facts;
        if (m[i].outcome != TG_MEASURED) fail_msg("side %d: %s", i, m[i].reason);
        assert_string_equal(m[i].reason, "");
        assert_string_equal(m[i].block, order.block.text);
        assert_memory_equal(&m[i].cell, &order.block.cells[i], sizeof m[i].cell);
        assert_true(m[i].round == 3 && m[i].attempt == 2 && m[i].unpaired == 0);
        assert_string_equal(facts->host, "node-a");
        assert_string_equal(facts->domain, "numa0");
        assert_string_equal(facts->hardware, "0123456789abcdef");
        assert_string_equal(facts->seed, "5");
        assert_string_equal(facts->operands, "shared");
        assert_int_equal(facts->checked, 2 * 64 * 3); /* all, before and after */
        assert_true(facts->end_signal == 0 && facts->shared_core == 0 && facts->call_s > 0);
        assert_true(facts->pid > 0 && facts->peak_bytes > 0 && facts->peak_bytes < 200000000);
        assert_int_equal(tg_measurement_series(&m[i], "kernel_accuracy")->count, 1);
    }
    assert_int_not_equal(m[0].facts.pid, m[1].facts.pid);
    assert_string_equal(m[0].facts.operands_digest, m[1].facts.operands_digest);
    assert_string_equal(m[0].facts.draws, m[1].facts.draws);
    assert_string_equal(m[0].facts.library, m[1].facts.library);
    assert_int_equal(m[0].facts.calls, m[1].facts.calls);
    assert_string_equal(m[0].facts.canary, m[1].facts.canary);
    assert_int_equal(strlen(m[0].facts.canary), 16);
    for (int i = 0; i < 2; i++) {
        assert_true(m[i].facts.sampled_s > 0 && m[i].facts.sampled_s == m[0].facts.sampled_s);
        assert_true(m[i].facts.turn_switches >= 0 && m[i].facts.turn_faults >= 0);
        assert_in_range(m[i].facts.turn_switches, 0, m[i].facts.switches);
        assert_true(m[i].facts.canary_dot_s > 0 && m[i].facts.canary_read_s > 0);
        assert_true(m[i].facts.read_rate > 0 && m[i].facts.limit_s > 0);
    }
    assert_turns_are_quads(m, m[0].facts.quads);
    free_both(m);
}

static void a_side_sleeps_while_the_other_has_its_turns(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=i2s_scalar build=copy");
    struct tg_measurement m[2];
    int64_t yields = 0; /* beside other work there may be none in a round */
    for (int round = 0; round < 20 && yields <= 0; round++, free_both(m)) {
        conduct(&bench, &order, m);
        yields = m[0].facts.turn_yields + m[1].facts.turn_yields;
    }
    assert_true(yields > 0);
}

static void two_kernels_of_a_format_share_their_operands(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_measurement m[2];
    need_stubs();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=stub_twice");
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[i].outcome, TG_MEASURED);
        assert_string_equal(m[i].facts.operands, "shared");
    }
    assert_string_equal(m[0].facts.operands_digest, m[1].facts.operands_digest);
    assert_turns_are_quads(m, m[0].facts.quads);
    free_both(m);
}

static void operands_that_are_not_the_same_are_not_shared(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=i2s_scalar");
    struct tg_measurement m[2];
    snprintf(order.block.cells[1].layer, TG_TEXT_SIZE, "64x384");
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[i].outcome, TG_MEASURED);
        assert_string_equal(m[i].facts.operands, "own");
    }
    assert_string_not_equal(m[0].facts.operands_digest, m[1].facts.operands_digest);
    free_both(m);
}

static void a_seed_repeats_all_that_is_drawn(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=i2s_scalar build=copy");
    struct tg_measurement first[2], again[2], other[2];
    bench.limits.quads_max = bench.limits.quads_min = 8;
    conduct(&bench, &order, first);
    conduct(&bench, &order, again);
    order.seed = 6;
    conduct(&bench, &order, other);
    assert_string_equal(first[0].facts.draws, again[0].facts.draws);
    assert_string_equal(first[0].facts.operands_digest, again[0].facts.operands_digest);
    assert_string_not_equal(first[0].facts.draws, other[0].facts.draws);
    assert_string_not_equal(first[0].facts.operands_digest, other[0].facts.operands_digest);
    const struct tg_series *a = tg_measurement_series(&first[0], "call_time");
    const struct tg_series *b = tg_measurement_series(&again[0], "call_time");
    assert_int_equal(a->count, 16);
    assert_int_equal(b->count, 16);
    assert_memory_equal(a->turns, b->turns, 16 * sizeof *a->turns);
    free_both(first);
    free_both(again);
    free_both(other);
}

static void a_cell_alone_is_a_block(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", NULL);
    struct tg_measurement m[2];
    conduct(&bench, &order, m);
    assert_int_equal(m[0].outcome, TG_MEASURED);
    assert_int_equal(m[0].unpaired, 0);
    const struct tg_series *s = tg_measurement_series(&m[0], "call_time");
    assert_int_equal(s->count, 4 * m[0].facts.quads);
    for (size_t i = 0; i < s->count; i++) assert_int_equal(s->turns[i], i);
    tg_measurement_free(&m[0]);
}

static void only_what_is_asked_for_is_measured(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar_unpack", NULL);
    struct tg_measurement m[2];
    order.block.is_timed = false;
    conduct(&bench, &order, m);
    assert_int_equal(m[0].outcome, TG_MEASURED);
    assert_no_samples(&m[0]);
    assert_true(tg_measurement_series(&m[0], "codec_exact")->samples[0] == 1);
    tg_measurement_free(&m[0]);

    order.block.is_timed = true;
    order.block.is_fixed = false;
    order.is_complete = false;
    conduct(&bench, &order, m);
    assert_int_equal(m[0].outcome, TG_MEASURED);
    assert_null(tg_measurement_series(&m[0], "codec_exact"));
    assert_true(tg_measurement_series(&m[0], "call_time")->count > 0);
    tg_measurement_free(&m[0]);
}

/* A round of a cell that breaks beside one that does not; the first is its measurement. */
static struct tg_measurement conduct_broken(const struct tg_bench *bench, const char *kernel,
                                            uint64_t seed)
{
    struct tg_measurement m[2];
    struct tg_order order = make_order(kernel, "kernel=i2s_scalar");
    order.seed = seed;
    conduct(bench, &order, m);
    assert_int_equal(m[1].outcome, TG_MEASURED);
    assert_int_equal(m[1].unpaired, 1);
    assert_int_equal(m[0].unpaired, 0);
    assert_int_equal(m[1].facts.end_signal, 0);
    assert_no_samples(&m[0]);
    assert_no_samples(&m[1]);
    assert_string_equal(m[0].facts.host, "node-a");
    assert_string_equal(m[0].block, order.block.text);
    tg_measurement_free(&m[1]);
    return m[0];
}

static void what_is_wrong_is_not_timed_and_its_partner_is_unpaired(void **state)
{
    (void)state;
    need_stubs();
    const struct tg_bench bench = make_bench();
    /* Either side starts, by seed. */
    for (uint64_t seed = 1; seed < 5; seed++) {
        struct tg_measurement m = conduct_broken(&bench, "kernel=stub_wrong", seed);
        assert_int_equal(m.outcome, TG_WRONG);
        assert_string_equal(m.reason, "row 63 of column 0 differs from the reference");
        assert_null(tg_measurement_series(&m, "kernel_accuracy"));
        tg_measurement_free(&m);
    }
}

static void a_kernel_that_crashes_costs_its_cell_alone(void **state)
{
    (void)state;
    need_stubs();
    const struct tg_bench bench = make_bench();
    for (uint64_t seed = 1; seed < 5; seed++) {
        struct tg_measurement m = conduct_broken(&bench, "kernel=stub_crash", seed);
        assert_int_equal(m.outcome, TG_CRASHED);
        assert_int_equal(m.facts.end_signal, SIGSEGV);
        assert_memory_equal(m.reason, "signal 11 (Segmentation fault)", 30);
        tg_measurement_free(&m);
    }
}

static void a_kernel_that_hangs_is_late(void **state)
{
    (void)state;
    need_stubs();
    struct tg_bench bench = make_bench();
    bench.limits.deadline_s = 2;
    struct tg_measurement m = conduct_broken(&bench, "kernel=stub_hang", 1);
    assert_int_equal(m.outcome, TG_LATE);
    assert_string_equal(m.reason, "killed after 2 s");
    tg_measurement_free(&m);
}

static void a_kernel_that_eats_memory_is_stopped_by_its_limit(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* no limit is set beside a sanitizer */
#else
    need_stubs();
    const struct tg_bench bench = make_bench();
    struct tg_measurement m = conduct_broken(&bench, "kernel=stub_eats", 1);
    assert_int_equal(m.outcome, TG_CRASHED);
    assert_int_equal(m.facts.end_signal, SIGABRT);
    const char *said = strstr(m.reason, "; it said: out of memory after ");
    assert_non_null(said);
    assert_in_range(strtol(said + 31, NULL, 10), 64, 640);
    tg_measurement_free(&m);
#endif
}

static void a_block_that_does_not_fit_is_skipped_with_the_bytes_it_needs(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=i2s_scalar build=copy");
    struct tg_measurement m[2];
    for (int i = 0; i < 2; i++)
        snprintf(order.block.cells[i].layer, TG_TEXT_SIZE, "99999999x99999968");
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[i].outcome, TG_SKIPPED);
        assert_true(strtod(m[i].reason, NULL) > 4 * 99999999.0 * 99999968.0);
        assert_non_null(strstr(m[i].reason, " bytes of memory are needed, "));
        assert_int_equal(m[i].facts.pid, -1);
        assert_int_equal(m[i].series_count, 0);
        assert_string_equal(m[i].facts.host, "node-a");
    }
    free_both(m);

    bench.memory_bytes = 1000; /* its part of the node's; of that it may need 0.7 */
    order = make_order("kernel=i2s_scalar", NULL);
    conduct(&bench, &order, m);
    assert_non_null(strstr(m[0].reason, " are needed, 700 are available to the block"));
    tg_measurement_free(&m[0]);
}

static void a_cell_that_cannot_be_run_says_why(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"kernel=i2s_9", "no kernel 'i2s_9' in this library"},
        {"probe=magic", "no such probe 'magic'"},
        {"kernel=i2s_scalar build=base", "'' is not a kernel library: "},
    };
    const struct tg_bench bench = make_bench();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_measurement m = conduct_broken(&bench, rows[i][0], 1);
        assert_int_equal(m.outcome, TG_SKIPPED);
        if (strstr(m.reason, rows[i][1]) != m.reason) fail_msg("%s", m.reason);
        tg_measurement_free(&m);
    }
}

static void cells_are_bound_to_the_core_of_their_place(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", "kernel=i2s_scalar build=copy");
    struct tg_measurement m[2];
    char core[16];
    assert_int_equal(tg_place_find(NULL, NULL, &tg_place_alone, &bench.place, NULL), 0);
    snprintf(core, sizeof core, "%d", bench.place.core);
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[i].outcome, TG_MEASURED);
        assert_string_equal(m[i].facts.cores, core);
        assert_int_equal(m[i].facts.shared_core, bench.place.unshared < 1);
    }
    free_both(m);
}

/* Others are timed on the last core meanwhile; a GPU after another begins at a core of its own. */
static void what_is_apart_takes_a_core_before_the_last(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar", NULL);
    struct tg_measurement m[2];
    assert_int_equal(tg_place_find(NULL, NULL, &tg_place_alone, &bench.place, NULL), 0);
    order.is_apart = true;
    for (int before = 0; before < 4; before++) {
        char core[16];
        int count = bench.place.core_count;
        bench.place.gpus_before = before;
        int wanted = bench.place.cores[count > 1 ? 1 + before % (count - 1) : 0];
        snprintf(core, sizeof core, "%d", wanted);
        conduct(&bench, &order, m);
        if (m[0].outcome != TG_MEASURED) fail_msg("%s", m[0].reason);
        assert_string_equal(m[0].facts.cores, core);
        assert_int_equal(m[0].facts.shared_core, 1);
        tg_measurement_free(&m[0]);
    }
}

/* A place with so many cores: this machine's, or unbound where it has fewer. */
static struct tg_bench make_bench_of(int threads)
{
    struct tg_bench bench = make_bench();
    struct tg_place place;
    assert_int_equal(tg_place_find(NULL, NULL, &tg_place_alone, &place, NULL), 0);
    if (place.core_count >= threads) bench.place = place;
    return bench;
}

static void sides_with_threads_take_turns_on_the_same_cores(void **state)
{
    (void)state;
    const struct tg_bench bench = make_bench_of(2);
    struct tg_order order = make_order("kernel=i2s_scalar threads=2",
                                       "kernel=i2s_scalar build=copy threads=2");
    struct tg_measurement m[2];
    char cores[TG_TEXT_SIZE] = "unknown";
    if (bench.place.core >= 0) tg_place_text(bench.place.cores, 2, cores);
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        if (m[i].outcome != TG_MEASURED) fail_msg("side %d: %s", i, m[i].reason);
        assert_string_equal(m[i].facts.cores, cores);
        assert_string_equal(m[i].facts.operands, "shared");
        assert_int_equal(m[i].facts.shared_core, bench.place.unshared < 2);
        assert_int_equal(m[i].facts.checked, 2 * 64 * 3);
    }
    assert_turns_are_quads(m, m[0].facts.quads);
    free_both(m);
}

static void sides_that_stream_share_a_set(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_measurement m[2];
    bench.place.core_count = 2; /* unbound, with caches that are told */
    bench.place.cache_bytes[0] = 30000;
    bench.place.cache_bytes[1] = 60000;
    for (int threads = 1; threads <= 2; threads++) {
        char first[64], second[64];
        snprintf(first, sizeof first, "kernel=i2s_scalar cache=stream threads=%d", threads);
        snprintf(second, sizeof second, "kernel=i2s_scalar build=copy cache=stream threads=%d",
                 threads);
        struct tg_order order = make_order(first, second);
        conduct(&bench, &order, m);
        for (int i = 0; i < 2; i++) {
            if (m[i].outcome != TG_MEASURED) fail_msg("side %d: %s", i, m[i].reason);
            assert_string_equal(m[i].facts.operands, "shared");
            assert_int_equal(m[i].facts.packed_bytes, 4096);
            assert_int_equal(m[i].facts.set_bytes, (threads * 120000 / 4096 + 1) * 4096);
            assert_true(m[i].facts.set_share > 4 && m[i].facts.set_share < 4.3);
            assert_int_equal(m[i].facts.checked, 2 * 64 * 3);
        }
        assert_turns_are_quads(m, m[0].facts.quads);
        free_both(m);
    }
}

static void a_set_that_does_not_fit_is_skipped_with_the_bytes_it_needs(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=i2s_scalar cache=stream",
                                       "kernel=i2s_scalar build=copy cache=stream");
    struct tg_measurement m[2];
    bench.limits.stream_bytes = INT64_C(1) << 50;
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[i].outcome, TG_SKIPPED);
        assert_true(strtod(m[i].reason, NULL) > 0x1p51);
        assert_non_null(strstr(m[i].reason, " bytes of memory are needed, "));
    }
    free_both(m);
}

/* The host has one matrix of it, however large a set the host's own cells would have. */
static void the_set_of_a_device_is_no_memory_of_the_host(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    const struct tg_kernel *kernel = tg_kernel_find("fake_product");
    struct tg_order order = make_order("kernel=fake_product cache=stream",
                                       "kernel=fake_product build=copy cache=stream");
    struct tg_measurement m[2];
    if (!kernel || !kernel->run) skip();
    bench.limits.stream_bytes = INT64_C(1) << 50;
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        if (m[i].outcome != TG_MEASURED) fail_msg("side %d: %s", i, m[i].reason);
        assert_true(m[i].facts.set_share >= 4);
    }
    free_both(m);
}

static void a_kernel_that_breaks_over_a_set_is_found(void **state)
{
    (void)state;
    need_stubs();
    const struct tg_bench bench = make_bench();
    struct tg_measurement m = conduct_broken(&bench, "kernel=stub_wrong cache=stream", 1);
    assert_int_equal(m.outcome, TG_WRONG);
    assert_string_equal(m.reason, "row 63 of column 0 differs from the reference");
    tg_measurement_free(&m);
}

static void threads_of_a_kernel_s_own_are_found_among_those_of_its_cell(void **state)
{
    (void)state;
    need_stubs();
    const struct tg_bench bench = make_bench_of(2);
    struct tg_order order = make_order("kernel=stub_stays threads=2", NULL);
    struct tg_measurement alone[2];
    conduct(&bench, &order, alone);
    assert_int_equal(alone[0].outcome, TG_WRONG);
    assert_string_equal(alone[0].reason, "it left threads running beside the timed calls");
    assert_no_samples(&alone[0]);
    tg_measurement_free(&alone[0]);
    /* What is wrong in the last row of a range is wrong, whichever thread's it is. */
    struct tg_measurement m = conduct_broken(&bench, "kernel=stub_wrong threads=2", 1);
    assert_int_equal(m.outcome, TG_WRONG);
    assert_string_equal(m.reason, "row 31 of column 0 differs from the reference");
    tg_measurement_free(&m);
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_measured_in_turns_on_the_same_operands),
        cmocka_unit_test(a_side_sleeps_while_the_other_has_its_turns),
        cmocka_unit_test(two_kernels_of_a_format_share_their_operands),
        cmocka_unit_test(operands_that_are_not_the_same_are_not_shared),
        cmocka_unit_test(a_seed_repeats_all_that_is_drawn),
        cmocka_unit_test(a_cell_alone_is_a_block),
        cmocka_unit_test(only_what_is_asked_for_is_measured),
        cmocka_unit_test(what_is_wrong_is_not_timed_and_its_partner_is_unpaired),
        cmocka_unit_test(a_kernel_that_crashes_costs_its_cell_alone),
        cmocka_unit_test(a_kernel_that_hangs_is_late),
        cmocka_unit_test(a_kernel_that_eats_memory_is_stopped_by_its_limit),
        cmocka_unit_test(a_block_that_does_not_fit_is_skipped_with_the_bytes_it_needs),
        cmocka_unit_test(a_cell_that_cannot_be_run_says_why),
        cmocka_unit_test(cells_are_bound_to_the_core_of_their_place),
        cmocka_unit_test(what_is_apart_takes_a_core_before_the_last),
        cmocka_unit_test(sides_with_threads_take_turns_on_the_same_cores),
        cmocka_unit_test(sides_that_stream_share_a_set),
        cmocka_unit_test(a_set_that_does_not_fit_is_skipped_with_the_bytes_it_needs),
        cmocka_unit_test(the_set_of_a_device_is_no_memory_of_the_host),
        cmocka_unit_test(a_kernel_that_breaks_over_a_set_is_found),
        cmocka_unit_test(threads_of_a_kernel_s_own_are_found_among_those_of_its_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
