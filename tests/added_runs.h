/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_ADDED_RUNS_H
#define TG_TESTS_ADDED_RUNS_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results/store_history.h"
#include "tests/run_directory.h"

/* Runs that are added to the history of one class, in the run's directory, and read again. */

static inline struct tg_history_run a_run(int number)
{
    struct tg_history_run run = {.version = "0.1.0", .flow = "review", .cpu = "A_Processor"};
    snprintf(run.date, sizeof run.date, "2026-01-02T03:%02d:%02dZ", number / 60, number % 60);
    snprintf(run.evidence, sizeof run.evidence, "%064d", number);
    snprintf(run.head, sizeof run.head, "%064d", number + 1);
    if (number % 5 == 1) snprintf(run.model, sizeof run.model, "%064d", number);
    if (number % 5 == 1) snprintf(run.family, sizeof run.family, "pass");
    if (number % 2) snprintf(run.base, sizeof run.base, "%064d", number);
    return run;
}

static inline struct tg_history_test a_test(int number)
{
    struct tg_history_test test = {.rule = "noninferior", .metric = "call_time"};
    snprintf(test.of, sizeof test.of, "kernel=k%d", number);
    snprintf(test.to, sizeof test.to, "kernel=k%d build=base", number);
    return test;
}

static inline struct tg_history_verdict a_verdict(int64_t run, int64_t test, double estimate)
{
    return (struct tg_history_verdict){.run = run,
                                       .test = test,
                                       .answer = "pass",
                                       .word = "not slower",
                                       .rounds = 5,
                                       .estimate = estimate,
                                       .low = estimate - 0.01,
                                       .high = INFINITY,
                                       .of_median = 1e-4,
                                       .to_median = NAN,
                                       .canary = "c1",
                                       .canary_dot_s = NAN,
                                       .canary_read_s = 2e-3};
}

/* A run with the verdicts of two tests; the first is numbered as the run, so that it is new. */
struct made {
    struct tg_history_run run;
    struct tg_history_test tests[2];
    struct tg_history_verdict verdicts[2];
    struct tg_history history;
};

static inline const struct tg_history *make(struct made *m, int number)
{
    m->run = a_run(number);
    m->tests[0] = a_test(number % 3);
    m->tests[1] = a_test(7);
    m->verdicts[0] = a_verdict(0, 0, 0.001 * number);
    m->verdicts[1] = a_verdict(0, 1, -0.001 * number);
    m->history = (struct tg_history){"class-a", &m->run, m->tests, m->verdicts, 1, 2, 2};
    return &m->history;
}

static inline size_t add(int number)
{
    struct made m;
    struct tg_error err;
    size_t added = 77;
    if (tg_store_history_add(run_directory, make(&m, number), &added, &err) < 0)
        fail_msg("%s", err.text);
    return added;
}

static inline void read_history(struct tg_history *h)
{
    struct tg_error err;
    if (tg_store_history_read(run_directory, "class-a", h, &err) < 0) fail_msg("%s", err.text);
}

/* Asserts that run `i` is the one of that number, with its verdicts. */
static inline void assert_run(const struct tg_history *h, size_t i, int number)
{
    struct made m;
    int verdicts = 0;
    make(&m, number);
    assert_memory_equal(&h->runs[i], &m.run, sizeof m.run);
    for (size_t v = 0; v < h->verdict_count; v++) {
        if (h->verdicts[v].run != (int64_t)i) continue;
        const struct tg_history_verdict *wanted = &m.verdicts[verdicts];
        assert_memory_equal(&h->tests[h->verdicts[v].test], &m.tests[verdicts++], sizeof *h->tests);
        assert_true(h->verdicts[v].estimate == wanted->estimate);
        assert_true(h->verdicts[v].low == wanted->low && isinf(h->verdicts[v].high));
        assert_true(isnan(h->verdicts[v].canary_dot_s));
        assert_true(h->verdicts[v].canary_read_s == 2e-3);
        assert_string_equal(h->verdicts[v].word, "not slower");
    }
    assert_int_equal(verdicts, 2);
}

/* Adds a run of an origin, with another estimate of its first test the later it is. */
static inline size_t add_state(int number, const char *origin)
{
    struct made m;
    struct tg_error err;
    size_t added = 77;
    make(&m, number);
    snprintf(m.run.origin, sizeof m.run.origin, "%s", origin);
    if (tg_store_history_add(run_directory, &m.history, &added, &err) < 0) fail_msg("%s", err.text);
    return added;
}

#endif
