/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/noise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 200000 };

static double values[MANY];

static void draw(const char *law, double sd, bool is_fixed, uint64_t seed)
{
    struct tg_noise noise;
    tg_noise_begin(&noise, tg_noise_find(law), NULL, sd, is_fixed, seed);
    for (size_t i = 0; i < MANY; i++) values[i] = tg_noise_next(&noise);
}

static double mean_of(void)
{
    double sum = 0;
    for (size_t i = 0; i < MANY; i++) sum += values[i];
    return sum / MANY;
}

/* The covariance of values with those `lag` rounds later. */
static double covariance(size_t lag)
{
    const double mean = mean_of();
    double sum = 0;
    for (size_t i = 0; i + lag < MANY; i++) sum += (values[i] - mean) * (values[i + lag] - mean);
    return sum / (double)(MANY - lag);
}

static void assert_within(double value, double wanted, double off)
{
    if (!(fabs(value - wanted) <= off))
        fail_msg("%.6g is not %.6g within %.2g", value, wanted, off);
}

static void a_law_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_noise_law_count(); i++)
        assert_ptr_equal(tg_noise_find(tg_noise_law(i)->name), tg_noise_law(i));
    assert_null(tg_noise_find("nomal"));
}

/* Heavy tails reach their variance slowly. */
static void noise_has_its_size_and_no_side(void **state)
{
    (void)state;
    static const struct {
        const char *law;
        double sd, off;
    } rows[] = {{"normal", 1, 0.01},
                {"skewed", 1, 0.02},
                {"t3", 1, 0.15},
                {"ar1", 1, 0.02},
                {"drift", 1.4142, 0.02}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        draw(rows[i].law, 0.02, false, 3);
        assert_within(sqrt(covariance(0)) / 0.02, rows[i].sd, rows[i].off);
        assert_within(mean_of() / 0.02, 0, 0.02);
    }
}

static void rounds_hang_together_only_where_the_law_says_so(void **state)
{
    (void)state;
    static const struct {
        const char *law;
        double lag_1, lag_2;
        bool is_fixed;
    } rows[] = {{"normal", 0, 0, false},
                {"skewed", 0, 0, false},
                {"ar1", 0.6, 0.36, false},
                {"drift", 0, 0, false},
                {"drift", 0.45, 0.405, true}, /* half of D is drift */
                {"drift_fixed", 0.45, 0.405, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        draw(rows[i].law, 1, rows[i].is_fixed, 5);
        assert_within(covariance(1) / covariance(0), rows[i].lag_1, 0.015);
        assert_within(covariance(2) / covariance(0), rows[i].lag_2, 0.015);
    }
}

static void t3_has_the_tails_of_its_table(void **state)
{
    (void)state;
    const struct tg_noise_law *law = tg_noise_find("t3");
    uint64_t seed = 9;
    size_t beyond = 0;
    /* Of Student's t with 3 degrees of freedom, 1 % lies beyond 5.841; here it is over sqrt 3. */
    for (size_t i = 0; i < MANY; i++) beyond += fabs(law->side(&seed)) > 5.841 / sqrt(3);
    assert_within((double)beyond / MANY, 0.01, 0.001);
}

static void a_seed_gives_the_same_noise_again_and_another_gives_other(void **state)
{
    (void)state;
    draw("skewed", 1, false, 11);
    const double first = values[0], last = values[MANY - 1];
    draw("skewed", 1, false, 11);
    assert_true(values[0] == first && values[MANY - 1] == last);
    draw("skewed", 1, false, 12);
    assert_true(values[0] != first && values[MANY - 1] != last);
    assert_true(tg_noise_seed(1, 2) == tg_noise_seed(1, 2));
    assert_true(tg_noise_seed(1, 2) != tg_noise_seed(1, 3));
    assert_true(tg_noise_seed(1, 2) != tg_noise_seed(2, 2));
    assert_true(tg_noise_seed(1, 2) != tg_noise_seed(2, 1));
}

static void recorded_noise_is_centred_and_stretched(void **state)
{
    (void)state;
    const double few[] = {1, 2, 3}, four[] = {0.1, 0.2, 0.3, 0.4};
    struct tg_noise_record record = {0};
    assert_int_equal(tg_noise_record_add(&record, few, 3, NULL), 0);
    assert_int_equal(record.test_count, 0);
    assert_int_equal(tg_noise_record_add(&record, four, 4, NULL), 0);
    assert_int_equal(record.count, 4);
    assert_within(record.values[0], -0.15 * sqrt(4.0 / 3), 1e-12);
    assert_within(record.values[3], 0.15 * sqrt(4.0 / 3), 1e-12);
    tg_noise_record_release(&record);
}

/* Two tests, told apart by their size; a block of 3 for 27 rounds never crosses from one into the
 * other, and follows its test. */
static void recorded_noise_comes_in_blocks_of_one_test(void **state)
{
    (void)state;
    struct tg_noise_record record = {0};
    double rounds[27];
    bool seen[2] = {false, false};
    for (int i = 0; i < 27; i++) rounds[i] = i;
    assert_int_equal(tg_noise_record_add(&record, rounds, 27, NULL), 0);
    for (int i = 0; i < 27; i++) rounds[i] *= 1000;
    assert_int_equal(tg_noise_record_add(&record, rounds, 27, NULL), 0);
    const double step = record.values[1] - record.values[0];
    struct tg_noise noise;
    tg_noise_begin(&noise, tg_noise_find("recorded"), &record, NAN, false, 4);
    for (int i = 0; i < 1000; i++) {
        const double a = tg_noise_next(&noise), b = tg_noise_next(&noise);
        const double c = tg_noise_next(&noise);
        const bool is_second = b - a > 2 * step;
        seen[is_second] = true;
        assert_within((b - a) / step, is_second ? 1000 : 1, 1e-6);
        assert_within((c - b) / step, is_second ? 1000 : 1, 1e-6);
    }
    assert_true(seen[0] && seen[1]);
    tg_noise_record_release(&record);
}

/* Reads a file of that text. */
static int read_text(const char *text, struct tg_noise_record *record, struct tg_error *err)
{
    char path[] = "/tmp/noise_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    int rc = tg_noise_record_read(path, record, err);
    unlink(path);
    return rc;
}

static void a_file_of_noise_is_read_or_refused_with_its_line(void **state)
{
    (void)state;
    struct tg_noise_record record;
    struct tg_error err;
    assert_int_equal(read_text("0.1\n-0.1\n 0\n1e-3 \n\n\n1\n2\n3\n4\n5", &record, &err), 0);
    assert_int_equal(record.test_count, 2);
    assert_int_equal(record.ends[0], 4);
    assert_int_equal(record.ends[1], 9);
    tg_noise_record_release(&record);
    static const struct {
        const char *text, *sentence;
    } rows[] = {{"0.1\n0.2 0.3\n", "line 2: not a logarithm"},
                {"0.1\nfast\n", "line 2: not a logarithm"},
                {"0.1\n\nnan\n", "line 3: not a logarithm"},
                {"0.1\n0.2\n0.3\n\n0.4\n", "has no test of 4 rounds or more"},
                {"", "has no test of 4 rounds or more"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_text(rows[i].text, &record, &err), -1);
        if (!strstr(err.text, rows[i].sentence))
            fail_msg("'%s' in '%s'", rows[i].sentence, err.text);
    }
    assert_int_equal(tg_noise_record_read("/nowhere", &record, &err), -1);
    assert_non_null(strstr(err.text, "cannot open noise '/nowhere'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_law_is_found_by_its_name),
        cmocka_unit_test(noise_has_its_size_and_no_side),
        cmocka_unit_test(rounds_hang_together_only_where_the_law_says_so),
        cmocka_unit_test(t3_has_the_tails_of_its_table),
        cmocka_unit_test(a_seed_gives_the_same_noise_again_and_another_gives_other),
        cmocka_unit_test(recorded_noise_is_centred_and_stretched),
        cmocka_unit_test(recorded_noise_comes_in_blocks_of_one_test),
        cmocka_unit_test(a_file_of_noise_is_read_or_refused_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
