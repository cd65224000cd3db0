/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_MADE_HISTORY_H
#define TG_TESTS_MADE_HISTORY_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/store_history.h"

/*
 * Histories that nobody measured: runs a day apart, of one test of head against base, or of another
 * that the caller puts in its place.
 */

static inline void made_history(struct tg_history *h)
{
    *h = (struct tg_history){.hardware = "class-a", .test_count = 1};
    h->runs = calloc(1000, sizeof *h->runs);
    h->tests = calloc(10, sizeof *h->tests);
    h->verdicts = calloc(1000, sizeof *h->verdicts);
    assert_true(h->runs && h->tests && h->verdicts);
    h->tests[0] = (struct tg_history_test){"noninferior", "call_time",
                                           "probe=kernel kernel=i2s_avx2 model=m layer=attn_q",
                                           "probe=kernel kernel=i2s_avx2 build=base model=m "
                                           "layer=attn_q"};
}

/* The digest of a library that is known by a number. */
static inline void made_library(int number, char out[TG_DIGEST_SIZE])
{
    snprintf(out, TG_DIGEST_SIZE, "%08x%056d", (unsigned)number * 2654435761u, number);
}

/*
 * Adds a run of the day after the last, of two libraries by their numbers (base 0: none), with a
 * verdict of test 0: head took e^d times as long as base, give or take `width`. `of` took
 * `seconds`.
 */
static inline struct tg_history_verdict *made_past(struct tg_history *h, int head, int base,
                                                   double d, double width, double seconds)
{
    struct tg_history_run *run = &h->runs[h->run_count];
    int day = (int)h->run_count;
    assert_true(h->run_count < 1000);
    *run = (struct tg_history_run){.version = "0.1.0", .flow = "review", .cpu = "A_Processor"};
    snprintf(run->date, sizeof run->date, "2026-%02d-%02dT03:04:05Z", 1 + day / 28, 1 + day % 28);
    snprintf(run->evidence, sizeof run->evidence, "%064d", day);
    made_library(head, run->head);
    if (base) made_library(base, run->base);
    struct tg_history_verdict *v = &h->verdicts[h->verdict_count++];
    *v = (struct tg_history_verdict){.run = (int64_t)h->run_count++,
                                     .answer = "pass",
                                     .word = "not slower",
                                     .rounds = 5,
                                     .estimate = expm1(d),
                                     .low = expm1(d - width),
                                     .high = expm1(d + width),
                                     .of_median = seconds,
                                     .to_median = seconds * exp(-d),
                                     .canary = "c1",
                                     .canary_dot_s = NAN,
                                     .canary_read_s = NAN};
    return v;
}

/* Noise in turn: the same for everybody, symmetric, without a trend. */
static inline double made_noise(int i)
{
    static const double values[] = {0.3,  -0.8, 0.9,  -0.2, -0.6, 0.7, 0.1,  -0.9, 0.5, -0.4,
                                    -0.1, 0.8,  -0.7, 0.2,  0.6,  -1,  -0.3, 0.4,  1,   -0.5};
    return values[i * 7 % 20];
}

#endif
