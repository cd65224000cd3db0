/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/roof.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/canary.h"
#include "kernels/peak.h"
#include "results/digest.h"

enum { BYTES = 1 << 16 };

static struct tg_measurement fresh(void)
{
    struct tg_measurement m;
    tg_measurement_init(&m);
    return m;
}

static uint8_t *memory(void)
{
    uint8_t *bytes = aligned_alloc(64, BYTES);
    assert_non_null(bytes);
    memset(bytes, 1, BYTES);
    return bytes;
}

static struct tg_pool *make_pool(int count)
{
    struct tg_pool *pool;
    assert_int_equal(tg_pool_create(count, NULL, &pool, NULL), 0);
    return pool;
}

static void the_canaries_are_timed_and_named_by_their_code(void **state)
{
    (void)state;
    struct tg_measurement m = fresh();
    size_t size;
    char digest[TG_DIGEST_SIZE];
    assert_true(isnan(m.facts.canary_dot_s) && isnan(m.facts.canary_read_s));
    tg_roof_time_canaries(&m.facts);
    assert_true(m.facts.canary_dot_s > 0 && isfinite(m.facts.canary_dot_s));
    assert_true(m.facts.canary_read_s > 0 && isfinite(m.facts.canary_read_s));
    const unsigned char *code = tg_canary_code(&size);
    assert_int_equal(tg_digest_bytes(code, size, digest, NULL), 0);
    assert_int_equal(strlen(m.facts.canary), 16);
    assert_memory_equal(m.facts.canary, digest, 16);
}

static void the_limit_is_the_largest_of_three(void **state)
{
    (void)state;
    uint8_t *weights = memory(), *results = memory();
    const bool has_dot = tg_peak_widest()->dot != NULL;
    const struct {
        int64_t read, written;
        double done;
        const char *by;
    } rows[] = {{BYTES, 64, 0, "read"},
                {BYTES, 64, 1, "read"},
                {64, BYTES, 1, "write"},
                {64, 64, 1e12, has_dot ? "dot" : NULL}};
    for (size_t k = 0; k < 3 * sizeof rows / sizeof *rows; k++) {
        const size_t i = k / 3;
        struct tg_pool *pool = make_pool(1 + (int)k % 3);
        struct tg_measurement m = fresh();
        const struct tg_facts *f = &m.facts;
        const uint8_t *const walk[] = {weights};
        const struct tg_roof_call call = {"scalar",        walk,        1, 0, rows[i].read, results,
                                          rows[i].written, rows[i].done};
        tg_roof_measure(&call, pool, &m.facts);
        assert_true(f->read_rate > 0 && isfinite(f->read_rate));
        assert_true(f->write_rate > 0 && isfinite(f->write_rate));
        assert_true(has_dot ? f->dot_rate > 0 && isfinite(f->dot_rate) : isnan(f->dot_rate));
        double read_s = (double)rows[i].read / f->read_rate;
        double write_s = (double)rows[i].written / f->write_rate;
        double dot_s = has_dot ? rows[i].done / f->dot_rate : 0;
        assert_true(f->limit_s == fmax(read_s, fmax(write_s, dot_s)));
        /* More threads than cores find any limit. */
        if (rows[i].by && k % 3 == 0) assert_string_equal(f->limited_by, rows[i].by);
        tg_pool_destroy(pool);
    }
    free(weights);
    free(results);
}

/* What calls leave is compared after the last sample: it must not be there before. */
static void results_are_overwritten_and_weights_are_not(void **state)
{
    (void)state;
    static const int64_t sizes[] = {4, 64, 1000, BYTES - 64};
    uint8_t *weights = memory(), *results = memory();
    for (size_t i = 0; i < 3 * sizeof sizes / sizeof *sizes; i++) {
        struct tg_pool *pool = make_pool(1 + (int)i % 3);
        const int64_t size = sizes[i / 3];
        struct tg_measurement m = fresh();
        const uint8_t *const walk[] = {weights};
        const struct tg_roof_call call = {"scalar", walk, 1, 0, BYTES, results, size, 1};
        memset(results, 1, BYTES);
        tg_roof_measure(&call, pool, &m.facts);
        for (int64_t k = 0; k < BYTES; k++) {
            assert_int_equal(results[k], k < size ? 0x5a : 1);
            assert_int_equal(weights[k], 1);
        }
        tg_pool_destroy(pool);
    }
    free(weights);
    free(results);
}

/* From any call on, with any number of threads, sets of any size. */
static void the_matrices_of_a_set_are_read_and_left_as_they_are(void **state)
{
    (void)state;
    enum { MATRICES = 20, MATRIX = BYTES / 32 };
    uint8_t *weights = memory(), *results = memory();
    const uint8_t *walk[MATRICES];
    for (int i = 0; i < MATRICES; i++) walk[i] = weights + (i * 7 % MATRICES) * MATRIX;
    for (int count = 2; count <= MATRICES; count += 3) {
        struct tg_pool *pool = make_pool(1 + count % 3);
        for (int64_t first = 0; first < 2 * count; first++) {
            struct tg_measurement m = fresh();
            const struct tg_roof_call call = {"scalar", walk, count, first, MATRIX, results, 64, 1};
            tg_roof_measure(&call, pool, &m.facts);
            assert_true(m.facts.read_rate > 0 && isfinite(m.facts.read_rate));
            assert_true(m.facts.limit_s >= MATRIX / m.facts.read_rate);
        }
        tg_pool_destroy(pool);
    }
    for (int64_t k = 0; k < BYTES; k++) assert_int_equal(weights[k], 1);
    free(weights);
    free(results);
}

static void an_instruction_set_that_is_not_known_has_no_limit(void **state)
{
    (void)state;
    uint8_t *weights = memory(), *results = memory();
    struct tg_pool *pool = make_pool(1);
    struct tg_measurement m = fresh();
    const uint8_t *const walk[] = {weights};
    const struct tg_roof_call call = {"avx9000", walk, 1, 0, BYTES, results, 64, 1e12};
    tg_roof_measure(&call, pool, &m.facts);
    assert_true(m.facts.read_rate > 0);
    assert_true(isnan(m.facts.limit_s));
    assert_string_equal(m.facts.limited_by, "unknown");
    tg_pool_destroy(pool);
    free(weights);
    free(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canaries_are_timed_and_named_by_their_code),
        cmocka_unit_test(the_limit_is_the_largest_of_three),
        cmocka_unit_test(results_are_overwritten_and_weights_are_not),
        cmocka_unit_test(the_matrices_of_a_set_are_read_and_left_as_they_are),
        cmocka_unit_test(an_instruction_set_that_is_not_known_has_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
