/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/noise.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "results/stats.h"

enum { LEAST_VALUES = 4 };

double tg_noise_uniform(uint64_t *state)
{
    return ((double)(tg_fill_next(state) >> 11) + 0.5) * 0x1p-53;
}

double tg_noise_normal(uint64_t *state)
{
    const double radius = sqrt(-2 * log(tg_noise_uniform(state)));
    return radius * cos(6.283185307179586 * tg_noise_uniform(state));
}

/*
 * Normal, and in one round of ten a spike as well, which only lengthens: an exponential of mean 3.
 * The variance of the sum is 1 + 0.1 * 2 * 9 - 0.3^2 = 2.71. Its mean falls out of e_H - e_B.
 */
static double skewed(uint64_t *state)
{
    double e = tg_noise_normal(state);
    if (tg_noise_uniform(state) < 0.1) e -= 3 * log(tg_noise_uniform(state));
    return e / 1.646207763315433;
}

/* Student's t with 3 degrees of freedom, whose variance is 3. */
static double student3(uint64_t *state)
{
    const double a = tg_noise_normal(state), b = tg_noise_normal(state), c = tg_noise_normal(state);
    return tg_noise_normal(state) / sqrt(a * a + b * b + c * c);
}

static const struct tg_noise_law laws[] = {
    {"normal", "normal noise", tg_noise_normal, 0, 0, false, true},
    {"skewed", "normal, and in one round of ten a spike that only lengthens", skewed, 0, 0, false,
     true},
    {"t3", "heavy tails: Student's t with 3 degrees of freedom", student3, 0, 0, false, true},
    {"ar1", "normal, each round is like the one before: lag-1 0.6, not tied to order",
     tg_noise_normal, 0.6, 0, false, false},
    {"drift", "normal and a drift as large, lag-1 0.9, the order of the sides drawn",
     tg_noise_normal, 0, 0.9, false, true},
    {"drift_fixed", "the same, the order of the sides always the same: what tritgate does not do",
     tg_noise_normal, 0, 0.9, true, false},
    {"recorded", "the rounds of a run or file, in blocks (--noise)", NULL, 0, 0, false, true},
};

size_t tg_noise_law_count(void)
{
    return sizeof laws / sizeof *laws;
}

const struct tg_noise_law *tg_noise_law(size_t i)
{
    return &laws[i];
}

const struct tg_noise_law *tg_noise_find(const char *name)
{
    for (size_t i = 0; i < tg_noise_law_count(); i++)
        if (strcmp(laws[i].name, name) == 0) return &laws[i];
    return NULL;
}

uint64_t tg_noise_seed(uint64_t seed, uint64_t part)
{
    uint64_t state = seed ^ tg_fill_next(&part);
    return tg_fill_next(&state);
}

int tg_noise_record_add(struct tg_noise_record *record, const double *values, size_t count,
                        struct tg_error *err)
{
    if (count < LEAST_VALUES) return 0;
    double *grown = realloc(record->values, (record->count + count) * sizeof *grown);
    if (grown) record->values = grown;
    size_t *ends = realloc(record->ends, (record->test_count + 1) * sizeof *ends);
    if (ends) record->ends = ends;
    if (!grown || !ends) return tg_fail(err, "out of memory");
    const double median = tg_stats_median(values, count);
    const double stretch = sqrt((double)count / (double)(count - 1));
    for (size_t i = 0; i < count; i++)
        record->values[record->count++] = (values[i] - median) * stretch;
    record->ends[record->test_count++] = record->count;
    return 0;
}

/* A line of a record: 1 for a number, 0 for an empty line, -1 for anything else. */
static int number_of(const char *line, double *value)
{
    char *end;
    line += strspn(line, " \t\r\n");
    if (!*line) return 0;
    *value = strtod(line, &end);
    if (end == line || end[strspn(end, " \t\r\n")] || !(fabs(*value) < 100)) return -1;
    return 1;
}

static int read_lines(FILE *file, struct tg_noise_record *record, struct tg_error *err)
{
    char line[256];
    double *values = NULL;
    size_t count = 0, room = 0, number = 0;
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof line, file)) {
        double value;
        int kind = number_of(line, &value);
        number++;
        if (kind < 0) {
            rc = tg_fail(err, "line %zu: not a logarithm of a ratio, one number", number);
        } else if (kind == 0) {
            rc = tg_noise_record_add(record, values, count, err);
            count = 0;
        } else if (count == room) {
            room = room ? 2 * room : 64;
            double *grown = realloc(values, room * sizeof *values);
            if (grown) values = grown;
            if (!grown) rc = tg_fail(err, "out of memory");
        }
        if (rc == 0 && kind > 0) values[count++] = value;
    }
    if (rc == 0) rc = tg_noise_record_add(record, values, count, err);
    free(values);
    return rc;
}

int tg_noise_record_read(const char *path, struct tg_noise_record *record, struct tg_error *err)
{
    struct tg_noise_record read = {0};
    FILE *file = fopen(path, "r");
    if (!file) return tg_fail(err, "cannot open noise '%s': %s", path, strerror(errno));
    int rc = read_lines(file, &read, err);
    if (rc < 0)
        tg_fail_in(err, "noise '%s'", path);
    else if (ferror(file))
        rc = tg_fail(err, "cannot read noise '%s': %s", path, strerror(errno));
    else if (read.test_count == 0)
        rc = tg_fail(err, "noise '%s' has no test of %d rounds or more", path, LEAST_VALUES);
    fclose(file);
    if (rc < 0)
        tg_noise_record_release(&read);
    else
        *record = read;
    return rc;
}

void tg_noise_record_release(struct tg_noise_record *record)
{
    free(record->values);
    free(record->ends);
    *record = (struct tg_noise_record){0};
}

void tg_noise_begin(struct tg_noise *noise, const struct tg_noise_law *law,
                    const struct tg_noise_record *record, double sd, bool is_fixed, uint64_t seed)
{
    assert(law->side || (record && record->test_count > 0));
    *noise = (struct tg_noise){.law = law,
                               .record = record,
                               .sd = sd,
                               .is_fixed = is_fixed || law->is_fixed,
                               .state = seed};
}

/* The test that value `at` belongs to: its first value and the one behind its last. */
static void test_around(const struct tg_noise_record *record, size_t at, size_t *begin, size_t *end)
{
    size_t i = 0;
    while (record->ends[i] <= at) i++;
    *begin = i > 0 ? record->ends[i - 1] : 0;
    *end = record->ends[i];
}

static double next_recorded(struct tg_noise *n)
{
    if (n->left == 0) {
        size_t begin, end;
        n->at = (size_t)(tg_noise_uniform(&n->state) * (double)n->record->count);
        test_around(n->record, n->at, &begin, &end);
        for (n->left = 1; n->left * n->left * n->left < end - begin;) n->left++;
        if (n->at + n->left > end) n->at = end - n->left; /* the last blocks a little more often */
    }
    n->left--;
    return n->record->values[n->at++];
}

/* The next value of an AR(1) series of standard deviation 1, whose first value is drawn, too. */
static double next_carried(double before, double lag, bool is_first, double fresh)
{
    return is_first ? fresh : lag * before + sqrt(1 - lag * lag) * fresh;
}

double tg_noise_next(struct tg_noise *noise)
{
    const struct tg_noise_law *law = noise->law;
    if (!law->side) return next_recorded(noise);
    const double head = law->side(&noise->state), base = law->side(&noise->state);
    const bool is_first = noise->rounds++ == 0;
    double d = (head - base) / 1.4142135623730951;
    if (law->carried > 0)
        d = noise->carried = next_carried(noise->carried, law->carried, is_first, d);
    if (law->drift > 0) {
        const double fresh = tg_noise_normal(&noise->state);
        const bool is_swapped = tg_fill_next(&noise->state) >> 63;
        noise->drift = next_carried(noise->drift, law->drift, is_first, fresh);
        d += !noise->is_fixed && is_swapped ? -noise->drift : noise->drift;
    }
    return noise->sd * d;
}
