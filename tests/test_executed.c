/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/executed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worker_cell.h"

enum { THREADS = 3, ROWS = 48, COLS = 256 };

/* A kernel of this library, called by the threads of a pool as a cell calls it. */
struct cell {
    struct tg_problem problem;
    struct tg_pool *pool;
    tg_kernel_fn run;
};

static void run_rows(void *opaque, int part)
{
    const struct cell *c = opaque;
    struct tg_problem p = c->problem;
    tg_pool_rows(p.rows, tg_pool_count(c->pool), part, &p.row_begin, &p.row_end);
    if (p.row_begin < p.row_end) c->run(&p);
}

/*
 * Calls it so many times and looks, as for a row of that instruction set. Returns the reason, empty
 * if all is well.
 */
static const char *look_at(tg_kernel_fn run, const char *requested, int calls, int threads,
                           const struct tg_library *library, struct tg_facts *facts)
{
    static char reason[TG_TEXT_SIZE * 4];
    static _Alignas(64) uint8_t weights[ROWS * COLS];
    static _Alignas(64) int8_t activations[COLS];
    static _Alignas(64) int32_t results[ROWS];
    struct cell c = {{.weights = weights,
                      .activations = activations,
                      .results = results,
                      .rows = ROWS,
                      .cols = COLS,
                      .batch = 1},
                     .run = run};
    struct tg_measurement m;
    tg_measurement_init(&m);
    m.outcome = TG_MEASURED;
    snprintf(m.facts.isa_requested, sizeof m.facts.isa_requested, "%s", requested);
    assert_int_equal(tg_pool_create(threads, NULL, &c.pool, NULL), 0);
    for (int i = 0; i < 5; i++) tg_pool_run(c.pool, run_rows, &c); /* forgotten */
    tg_executed_forget(library, c.pool);
    for (int i = 0; i < calls; i++) tg_pool_run(c.pool, run_rows, &c);
    tg_executed_look(library, c.pool, &m);
    assert_int_equal(m.outcome, *m.reason ? TG_WRONG : TG_MEASURED);
    snprintf(reason, sizeof reason, "%s", m.reason);
    *facts = m.facts;
    tg_pool_destroy(c.pool);
    tg_measurement_free(&m);
    return reason;
}

static void every_kernel_executes_what_its_row_says(void **state)
{
    (void)state;
    const struct tg_library *library = tritgate_kernels_v1();
    int seen = 0;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *k = &library->kernels[i];
        struct tg_facts facts;
        if (!k->run || !k->here() || strcmp(k->op, "product") != 0 ||
            strcmp(k->device, "cpu") != 0 || strncmp(k->name, "stub_", 5) == 0)
            continue;
        assert_string_equal(look_at(k->run, k->isa, 4, THREADS, library, &facts), "");
        assert_string_equal(facts.isa_executed, k->isa);
        assert_int_equal(facts.isa_calls, 4 * THREADS);
        seen++;
    }
    assert_true(seen > 8);
}

/* The rows of this library, but for one, whose function is the scalar kernel's. */
static void a_row_that_leads_to_the_scalar_kernel_is_caught_by_name(void **state)
{
    (void)state;
    struct tg_kernel row = *tg_kernel_find("i2s_avx2");
    struct tg_facts facts;
    row.run = tg_kernel_find("i2s_scalar")->run;
    for (int threads = 1; threads <= THREADS; threads++) {
        assert_string_equal(look_at(row.run, row.isa, 2, threads, tritgate_kernels_v1(), &facts),
                            "its row says 'avx2', and a kernel for 'scalar' was called");
        assert_string_equal(facts.isa_executed, "scalar");
        assert_int_equal(facts.isa_calls, 2 * threads);
    }
}

static void a_kernel_that_has_another_do_its_work_is_caught_by_name(void **state)
{
    (void)state;
    const struct tg_kernel *falls = tg_kernel_find("stub_falls"),
                           *twice = tg_kernel_find("stub_twice");
    struct tg_facts facts;
    if (!falls) skip();
    assert_string_equal(look_at(falls->run, falls->isa, 3, THREADS, tritgate_kernels_v1(), &facts),
                        "its row says 'stub_wide', and a kernel for 'scalar' was called");
    assert_string_equal(facts.isa_executed, "scalar+stub_wide");
    assert_int_equal(facts.isa_calls, 2 * 3 * THREADS);

    /* One that is compiled as the scalar kernel is may have it do its work, and is not silent. */
    assert_string_equal(look_at(twice->run, twice->isa, 3, THREADS, tritgate_kernels_v1(), &facts),
                        "");
    assert_string_equal(facts.isa_executed, "scalar+stub");
    assert_int_equal(facts.isa_calls, 3 * 3 * THREADS);
}

static void do_nothing(const struct tg_problem *p)
{
    (void)p;
}

static void what_was_not_counted_is_not_said_to_have_run(void **state)
{
    (void)state;
    struct tg_library library = *tritgate_kernels_v1();
    struct tg_facts facts;
    assert_string_equal(look_at(do_nothing, "avx2", 3, 1, &library, &facts),
                        "no call of a kernel was counted");
    assert_string_equal(facts.isa_executed, "none");
    assert_int_equal(facts.isa_calls, 0);

    library.abi = 1; /* its table ends before the counts */
    assert_string_equal(look_at(do_nothing, "avx2", 3, THREADS, &library, &facts), "");
    assert_string_equal(facts.isa_executed, "uncounted");
    assert_int_equal(facts.isa_calls, -1);
}

/* Right, but by the scalar kernel: its time would be called that of another instruction set. */
static void a_kernel_that_falls_back_silently_is_wrong(void **state)
{
    (void)state;
    static const char *const cells[] = {"probe=kernel kernel=stub_falls layer=64x256",
                                        "probe=kernel kernel=stub_falls layer=64x256 threads=2"};
    const struct tg_kernel *stub = tg_kernel_find("stub_falls");
    if (!stub || !stub->run) skip();
    for (int i = 0; i < 2; i++) {
        struct tg_measurement m;
        struct tg_error err;
        struct tg_setup setup;
        tg_probe_setup_init(&setup);
        assert_int_equal(tg_cell_parse(cells[i], &setup.cell, &err), 0);
        snprintf(setup.library, sizeof setup.library, "%s", kernel_library());
        setup.warmup_max_s = setup.warmup_min_s = 0.001;
        setup.sample_s = 1e-5;
        if (tg_probe_run_alone(&setup, 7, &m, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(m.outcome, TG_WRONG);
        assert_string_equal(m.reason,
                            "its row says 'stub_wide', and a kernel for 'scalar' was called");
        assert_string_equal(m.facts.isa_requested, "stub_wide");
        assert_string_equal(m.facts.isa_executed, "scalar+stub_wide");
        assert_int_equal(m.series_count, 0);
        tg_measurement_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_executes_what_its_row_says),
        cmocka_unit_test(a_row_that_leads_to_the_scalar_kernel_is_caught_by_name),
        cmocka_unit_test(a_kernel_that_has_another_do_its_work_is_caught_by_name),
        cmocka_unit_test(a_kernel_that_falls_back_silently_is_wrong),
        cmocka_unit_test(what_was_not_counted_is_not_said_to_have_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
