/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/faults.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4 };

static struct tg_measurement made[MOST];
static const struct tg_measurement *rows[MOST];

/*
 * A round of two cells of a kernel for each letter and digit: how head ended on that device beside
 * base, which was measured for `a`, found right for `b`, and ended likewise else. Each has a block
 * of its own.
 */
static bool is_kernels(const char *kernel, const char *rounds)
{
    struct tg_faults *faults = tg_faults_create();
    assert_non_null(faults);
    struct tg_measurement all[2 * MOST];
    size_t count = strlen(rounds) / 2;
    for (size_t i = 0; i < 2 * count; i++) {
        const char how = rounds[i / 2 * 2], device = rounds[i / 2 * 2 + 1];
        struct tg_measurement *m = &all[i];
        bool is_base = i % 2 == 0;
        tg_measurement_init(m);
        snprintf(m->cell.kernel, TG_TEXT_SIZE, "%s", kernel);
        if (is_base) snprintf(m->cell.build, TG_TEXT_SIZE, "base");
        snprintf(m->block, sizeof m->block, "block %zu", i / 2);
        snprintf(m->facts.host, TG_TEXT_SIZE, "a");
        if (device != '?') snprintf(m->facts.gpu_uuid, TG_TEXT_SIZE, "%s-%c", "GPU", device);
        if (how == 'i') snprintf(m->facts.gpu_uuid, TG_TEXT_SIZE, "MIG-%c", device);
        m->facts.rank = 1;
        m->outcome = how == 'l'                                     ? TG_LATE
                     : how == 's'                                   ? TG_SKIPPED
                     : how == 'm' || (strchr("ab", how) && is_base) ? TG_MEASURED
                                                                    : TG_CRASHED;
        if (strchr("kt", how)) m->facts.end_signal = how == 'k' ? SIGKILL : SIGTERM;
        if (m->outcome != TG_MEASURED) continue;
        m->unpaired = how == 'a' || how == 'b';
        m->facts.checked = 640;
        if (how == 'b') continue;
        assert_non_null(tg_measurement_add(m, "call_time", 1));
    }
    for (size_t i = 0; i < 2 * count; i++) { /* base first, or head */
        rows[i % 2] = &all[count % 2 ? i / 2 * 2 + 1 - i % 2 : i];
        assert_int_equal(tg_faults_take(faults, rows, i % 2 + 1), 0);
    }
    struct tg_cell head = all[1].cell;
    bool is = tg_faults_is_kernels(faults, &head);
    snprintf(head.kernel, TG_TEXT_SIZE, "another");
    assert_false(tg_faults_is_kernels(faults, &head));
    tg_faults_destroy(faults);
    for (size_t i = 0; i < 2 * count; i++) tg_measurement_free(&all[i]);
    return is;
}

static void one_device_is_no_kernel_s_fault(void **state)
{
    (void)state;
    static const struct {
        const char *rounds;
        bool is;
    } cases[] = {
        {"c1", false},       {"c1c1c1", false},  {"c1m1m2", false}, /* one device */
        {"m1m1c1c1", false}, {"c1m2c1", false},                     /* lost in the middle */
        {"c1m1c1", true},    {"m1l1m1l1", true},                    /* now and then */
        {"c1c2", true},      {"l1m3c2", true},                      /* two of them */
        {"c1s2", false},     {"s1s2", false},                       /* one was not begun */
        {"c1k2", false},     {"k1k2", false},    {"c1t2", false},   /* killed from outside */
        {"a1", false},       {"a1a1", true},     {"a1c1", false},   /* it measures base */
        {"c?c?", false},     {"c1c?", false},                       /* which ones is not known */
        {"c1c?c2", true},    {"c?c1c2", true},                      /* ... of one of them */
        {"i1i2", false},     {"i1i2c3", true},                      /* parts of one GPU */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (is_kernels("i2s_cuda", cases[i].rounds) != cases[i].is)
            fail_msg("%s: not so", cases[i].rounds);
    /* On no device, beside base. */
    assert_true(is_kernels("i2s_avx2", "a?a?") && is_kernels("i2s_avx2", "a?m?a?"));
    assert_true(is_kernels("i2s_avx2", "b?b?")); /* ... which was found right, and not sampled */
    assert_false(is_kernels("i2s_avx2", "a?m?") || is_kernels("i2s_avx2", "a?c?c?"));
    assert_false(is_kernels("unknown", "a?a?"));
    assert_false(tg_faults_is_kernels(NULL, &made[0].cell));
    tg_faults_destroy(NULL);
}

/* Of head and base, each beside the other: who broke, and whether it is the fault of both. */
static void what_base_does_too_may_be_the_machine_s(void **state)
{
    (void)state;
    struct tg_measurement all[6];
    struct tg_faults *faults = tg_faults_create();
    assert_non_null(faults);
    for (size_t i = 0; i < 6; i++) {
        struct tg_measurement *m = &all[i];
        bool is_base = i % 2 == 0;
        tg_measurement_init(m);
        snprintf(m->cell.kernel, TG_TEXT_SIZE, "i2s_avx2");
        if (is_base) snprintf(m->cell.build, TG_TEXT_SIZE, "base");
        snprintf(m->block, sizeof m->block, "block %zu", i / 2);
        m->facts.rank = 1;
        m->facts.checked = 640;
        m->outcome = is_base == (i / 2 == 2) ? TG_CRASHED : TG_MEASURED; /* base, of the third */
        m->unpaired = m->outcome == TG_MEASURED;
        rows[i % 2] = m;
        assert_int_equal(tg_faults_take(faults, rows, i % 2 + 1), 0);
        if (i == 3) {
            assert_true(tg_faults_is_kernels(faults, &all[1].cell));
            assert_false(tg_faults_is_kernels(faults, &all[0].cell));
        }
    }
    assert_true(tg_faults_is_kernels(faults, &all[1].cell));
    assert_true(tg_faults_is_kernels(faults, &all[0].cell));
    assert_false(tg_faults_is_kernels_there(faults, &all[1].cell));
    tg_faults_destroy(faults);
}

/* Head beside its copy, in two blocks: each breaks once. */
static void head_and_its_copy_are_one_kernel(void **state)
{
    (void)state;
    struct tg_measurement all[4];
    struct tg_faults *faults = tg_faults_create();
    assert_non_null(faults);
    for (size_t i = 0; i < 4; i++) {
        struct tg_measurement *m = &all[i];
        tg_measurement_init(m);
        snprintf(m->cell.kernel, TG_TEXT_SIZE, "i2s_avx2");
        if (i % 2) snprintf(m->cell.build, TG_TEXT_SIZE, "copy");
        snprintf(m->block, sizeof m->block, "block %zu", i / 2);
        m->facts.rank = 1;
        m->facts.checked = 640;
        m->outcome = i == 0 || i == 3 ? TG_CRASHED : TG_MEASURED;
        m->unpaired = m->outcome == TG_MEASURED;
        rows[i % 2] = m;
        assert_int_equal(tg_faults_take(faults, rows, i % 2 + 1), 0);
        assert_int_equal(tg_faults_is_kernels(faults, &all[0].cell), i == 3);
    }
    tg_faults_destroy(faults);
}

static void a_device_is_told_by_its_name(void **state)
{
    (void)state;
    char name[TG_DEVICE_NAME_SIZE];
    for (int i = 0; i < 2; i++) {
        tg_measurement_init(&made[i]);
        snprintf(made[i].facts.host, TG_TEXT_SIZE, "a");
        snprintf(made[i].facts.gpu_uuid, TG_TEXT_SIZE, "GPU-%d", i);
    }
    assert_false(tg_faults_may_share(&made[0], &made[1]));
    assert_true(tg_faults_may_share(&made[0], &made[0]));
    assert_string_equal(tg_faults_device(&made[1], name), "GPU-1 of a");
    snprintf(made[1].facts.gpu_uuid, TG_TEXT_SIZE, "unknown");
    assert_true(tg_faults_may_share(&made[0], &made[1]));
    assert_false(tg_faults_is_named(&made[1]) || tg_faults_is_on_device(&made[1]));
    snprintf(made[1].facts.host, TG_TEXT_SIZE, "b");
    assert_false(tg_faults_may_share(&made[0], &made[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_device_is_no_kernel_s_fault),
                                       cmocka_unit_test(what_base_does_too_may_be_the_machine_s),
                                       cmocka_unit_test(head_and_its_copy_are_one_kernel),
                                       cmocka_unit_test(a_device_is_told_by_its_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
