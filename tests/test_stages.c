/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/stages.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tg_run run;
static struct tg_stages *list;
static size_t count;

/* A row of a round of this cell. */
static struct tg_measurement *add_row(const char *cell)
{
    run.rows = realloc(run.rows, (run.count + 1) * sizeof *run.rows);
    assert_non_null(run.rows);
    struct tg_measurement *m = &run.rows[run.count++];
    tg_measurement_init(m);
    assert_int_equal(tg_cell_parse(cell, &m->cell, NULL), 0);
    return m;
}

static void add(struct tg_measurement *m, const char *metric, size_t samples, const double *values)
{
    struct tg_series *s = tg_measurement_add(m, metric, samples);
    assert_non_null(s);
    memcpy(s->samples, values, samples * sizeof *values);
}

static void find(void)
{
    struct tg_error err;
    free(list);
    if (tg_stages_find(&run, &list, &count, &err) < 0) fail_msg("%s", err.text);
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < run.count; i++) tg_measurement_free(&run.rows[i]);
    free(run.rows);
    free(list);
    list = NULL;
    memset(&run, 0, sizeof run);
    return 0;
}

#define DECODE "probe=model kernel=a model=tiny profile=decode_32"

static void a_stage_is_the_median_of_rounds_beside_that_of_base(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        const double load[] = {1 + round}, head[] = {5, 1, 3}, rates[] = {10, 20, 40};
        struct tg_measurement *m = add_row(DECODE);
        add(m, "load_time", 1, load);
        add(m, "head_time", 3, head);
        add(m, "decode_rate", 3, rates);
        const double slower[] = {4};
        add(add_row("probe=model kernel=a build=base model=tiny profile=decode_32"), "product_time",
            1, slower);
    }
    find();
    assert_int_equal(count, 1);
    assert_int_equal(list[0].rounds, 3);
    assert_true(list[0].seconds[TG_STAGE_load] == 2 && list[0].seconds[TG_STAGE_head] == 3);
    assert_true(list[0].before[TG_STAGE_products] == 4 && isnan(list[0].before[TG_STAGE_head]));
    assert_true(isnan(list[0].seconds[TG_STAGE_products]));
    assert_true(list[0].token_p50 == 0.05 && list[0].token_p95 == 0.1);
}

static void another_class_of_hardware_has_stages_of_its_own(void **state)
{
    (void)state;
    static const char base[] = "probe=model kernel=a build=base model=tiny profile=decode_32";
    for (int round = 0; round < 3; round++) {
        const double seconds[] = {round ? 4 : 1}, rate[] = {round ? 10 : 100};
        struct tg_measurement *m = add_row(DECODE);
        snprintf(m->facts.hardware, sizeof m->facts.hardware, round ? "B" : "A");
        add(m, "product_time", 1, seconds);
        add(m, "decode_rate", 1, rate);
    }
    const double before[] = {5};
    struct tg_measurement *m = add_row(base);
    snprintf(m->facts.hardware, sizeof m->facts.hardware, "B");
    add(m, "product_time", 1, before);
    find();
    assert_int_equal(count, 2);
    assert_string_equal(list[0].hardware, "A");
    assert_true(list[0].rounds == 1 && list[0].token_p50 == 0.01 && list[0].token_p95 == 0.01);
    assert_true(list[0].seconds[TG_STAGE_products] == 1 &&
                isnan(list[0].before[TG_STAGE_products]));
    assert_string_equal(list[1].hardware, "B");
    assert_true(list[1].rounds == 2 && list[1].token_p50 == 0.1);
    assert_true(list[1].seconds[TG_STAGE_products] == 4);
    assert_true(list[1].before[TG_STAGE_products] == 5);
}

static void a_rate_of_tokens_is_the_time_of_the_prompt(void **state)
{
    (void)state;
    const double rate[] = {1600};
    struct tg_measurement *m = add_row("probe=model kernel=a model=tiny profile=first_token");
    add(m, "tokenize_rate", 1, rate);
    find();
    assert_int_equal(count, 1);
    assert_true(list[0].seconds[TG_STAGE_tokenize] == 0.01);
    assert_true(isnan(list[0].token_p50));
}

static void a_stage_of_devices_is_shown_where_one_has_it(void **state)
{
    (void)state;
    const double seconds[] = {5};
    add(add_row(DECODE), "head_time", 1, seconds);
    find();
    assert_true(tg_stages_has(list, count, TG_STAGE_head));
    assert_true(tg_stages_has(list, count, TG_STAGE_tokenize)); /* though it has none */
    assert_false(tg_stages_has(list, count, TG_STAGE_step));
    add(add_row("probe=model kernel=b model=tiny profile=decode_32"), "step_time", 1, seconds);
    find();
    assert_true(tg_stages_has(list, count, TG_STAGE_step));
    assert_false(tg_stages_has(list, count, TG_STAGE_copy_in));
}

static void what_is_no_measured_model_of_head_has_no_stages(void **state)
{
    (void)state;
    const double head[] = {5};
    add_row("probe=kernel kernel=a layer=1x128");
    add_row("probe=engine model=tiny");
    add_row("probe=model kernel=a model=tiny profile=accuracy");
    add(add_row("probe=model kernel=a build=copy model=tiny profile=decode_32"), "head_time", 1,
        head);
    add_row(DECODE)->outcome = TG_WRONG;
    find();
    assert_int_equal(count, 0);
    add(add_row(DECODE), "head_time", 1, head);
    find();
    assert_int_equal(count, 1);
    assert_int_equal(list[0].rounds, 1);
    assert_true(isnan(list[0].before[TG_STAGE_head])); /* this program's, whatever the build */
    assert_string_equal(tg_stages_title(TG_STAGE_load), "Model Load");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_stage_is_the_median_of_rounds_beside_that_of_base, end),
        cmocka_unit_test_teardown(another_class_of_hardware_has_stages_of_its_own, end),
        cmocka_unit_test_teardown(a_rate_of_tokens_is_the_time_of_the_prompt, end),
        cmocka_unit_test_teardown(a_stage_of_devices_is_shown_where_one_has_it, end),
        cmocka_unit_test_teardown(what_is_no_measured_model_of_head_has_no_stages, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
