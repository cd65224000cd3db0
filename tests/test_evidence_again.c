/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/evidence.h"
#include "coordinator/judge.h"
#include "kernels/fill.h"
#include "tests/made_run.h"

/*
 * What was gathered of fewer rows and is gathered again must be as if it were gathered anew; what
 * breaks where there is no base; and what is measured after something broke or was lost.
 */

enum { ROUNDS = 24, ROWS_MOST = 2 * ROUNDS + 8 };

static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             "\"kernel\": [\"i2s_avx2\"], \"layer\": [\"640x2560\"]}}";
static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"steal_share\": 0.1}, \"rules\": ["
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\","
    " \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05},"
    "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"limit\": 1}]}";

static struct tg_plan plan;
static struct tg_run run;

static int begin(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("node-1", MADE_BASE);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tg_plan_release(&plan);
    tg_store_release(&run);
    run = (struct tg_run){0};
    return 0;
}

/* Something that may happen to a round: it breaks, is disturbed, or is of another node or time. */
static void spoil(struct tg_measurement *of, struct tg_measurement *to, uint64_t what)
{
    switch (what % 16) {
    case 0: of->outcome = TG_CRASHED; break;
    case 1: to->outcome = TG_LATE; break;
    case 2: of->outcome = TG_SKIPPED; break;
    case 3: of->unpaired = to->unpaired = 1; break;
    case 4:
        of->facts.sampled_s = 1;
        of->facts.own_steal_s = 0.5;
        break;
    case 5: to->series[0].turns[0] = 3; break;
    case 6: snprintf(of->facts.host, TG_TEXT_SIZE, "elsewhere"); break;
    case 7:
        snprintf(of->facts.host, TG_TEXT_SIZE, "node-2");
        snprintf(to->facts.host, TG_TEXT_SIZE, "node-2");
        break;
    case 8: of->attempt = to->attempt = 2; break;
    case 9: of->facts.sm_clock_hz = 1e9; break;
    case 10: of->facts.sm_clock_hz = 2e9; break;
    case 11: snprintf(to->facts.gpu_uuid, TG_TEXT_SIZE, "GPU-1"); break;
    default: break;
    }
}

static bool is_same_number(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void assert_same(const struct tg_rounds *a, const struct tg_rounds *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t r = 0; r < a->count; r++) {
        assert_true(is_same_number(a->values[r], b->values[r]));
        assert_true(is_same_number(a->also_values[r], b->also_values[r]));
        assert_true(is_same_number(a->of_medians[r], b->of_medians[r]));
        assert_true(is_same_number(a->to_medians[r], b->to_medians[r]));
        assert_ptr_equal(a->of_rows[r], b->of_rows[r]);
        assert_ptr_equal(a->to_rows[r], b->to_rows[r]);
        assert_int_equal(a->nodes[r], b->nodes[r]);
        assert_int_equal(a->sessions[r], b->sessions[r]);
    }
    assert_int_equal(a->node_count, b->node_count);
    for (size_t n = 0; n < a->node_count; n++)
        assert_string_equal(a->node_names[n], b->node_names[n]);
    assert_ptr_equal(a->broken, b->broken);
    assert_ptr_equal(a->odd, b->odd);
    const size_t counts[][2] = {{a->also_count, b->also_count},
                                {a->wrong, b->wrong},
                                {a->of_broken, b->of_broken},
                                {a->of_killed, b->of_killed},
                                {a->else_broken, b->else_broken},
                                {a->else_heads, b->else_heads},
                                {a->skipped, b->skipped},
                                {a->unfit, b->unfit},
                                {a->spared, b->spared},
                                {a->apart, b->apart},
                                {a->hollow, b->hollow},
                                {a->lacking, b->lacking},
                                {a->since_broken, b->since_broken},
                                {(size_t)a->of_bytes, (size_t)b->of_bytes},
                                {(size_t)a->last, (size_t)b->last}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        assert_int_equal(counts[i][0], counts[i][1]);
    assert_memory_equal(&a->discards, &b->discards, sizeof a->discards);
    assert_memory_equal(&a->disturbed, &b->disturbed, sizeof a->disturbed);
}

static void gather(size_t test, const struct tg_measurement *const rows[], size_t count,
                   struct tg_rounds *rounds)
{
    const struct tg_test *t = &plan.spec.tests[test];
    struct tg_error err;
    assert_int_equal(tg_evidence_gather(rows, count, t, &plan.policy.rules[t->rule],
                                        &plan.policy.limits, NULL, rounds, &err),
                     0);
}

/* Rows come in any order, some twice as from two files, and are looked at after each. */
static void come_one_by_one(size_t test, uint64_t *seeds)
{
    const struct tg_measurement *rows[ROWS_MOST];
    struct tg_rounds again = {0};
    size_t count = run.count, twice = 4;
    assert_true(count + twice <= ROWS_MOST);
    for (size_t i = 0; i < count; i++) rows[i] = &run.rows[i];
    for (size_t i = 0; i < twice; i++) rows[count++] = &run.rows[tg_fill_next(seeds) % run.count];
    for (size_t i = count; i-- > 1;) { /* mostly near their place */
        size_t other = i - tg_fill_next(seeds) % (tg_fill_next(seeds) % 8 ? 2 : i + 1);
        const struct tg_measurement *kept = rows[i];
        rows[i] = rows[other];
        rows[other] = kept;
    }
    for (size_t i = 0; i <= count; i++) {
        struct tg_rounds anew = {0};
        gather(test, rows, i, &again);
        gather(test, rows, i, &anew);
        assert_same(&again, &anew);
        tg_evidence_release(&anew);
    }
    tg_evidence_release(&again);
}

static void gathered_again_is_as_gathered_anew(void **state)
{
    (void)state;
    uint64_t seeds = 1;
    for (int time = 0; time < 100; time++) {
        bool is_pair = time % 2;
        size_t test = made_test(&plan, is_pair ? 0 : 1, "i2s_avx2", 1);
        size_t cells = plan.spec.tests[test].has_to ? 2 : 1;
        assert_int_equal(cells, is_pair ? 2 : 1);
        for (int64_t r = 0; r < ROUNDS; r++) {
            double d = 1e-3 * (double)(tg_fill_next(&seeds) % 100);
            if (is_pair)
                made_round(&run, &plan, test, r, d);
            else
                made_samples(made_row(&run, &plan, test, 0, r, TG_MEASURED), "call_time", 0, 1 + d);
            spoil(&run.rows[run.count - cells], &run.rows[run.count - 1], tg_fill_next(&seeds));
        }
        come_one_by_one(test, &seeds);
        tg_store_release(&run);
        run = (struct tg_run){0};
    }
}

/* What stands for a base that there is not is head. */
static void what_breaks_in_head_s_copy_breaks_in_head(void **state)
{
    (void)state;
    static const struct {
        enum tg_outcome of, to;
        int of_signal, to_signal;
        size_t killed;
        const char *reason;
    } rows[] = {
        {TG_MEASURED, TG_CRASHED, 0, SIGSEGV, 0, "i2s_avx2 of copy crashed"},
        {TG_CRASHED, TG_CRASHED, SIGKILL, SIGSEGV, 0, "i2s_avx2 of copy crashed"},
        {TG_CRASHED, TG_CRASHED, SIGSEGV, SIGKILL, 0, "i2s_avx2 of head crashed"},
        {TG_CRASHED, TG_CRASHED, SIGKILL, SIGKILL, 1, "i2s_avx2 of head crashed"},
        {TG_MEASURED, TG_CRASHED, 0, SIGKILL, 1, "i2s_avx2 of copy crashed"},
    };
    struct tg_capability worker = made_worker("node-1", NULL);
    tg_plan_release(&plan);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    const struct tg_test *test = &plan.spec.tests[0];
    struct tg_rounds rounds = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        made_broken(&run, &plan, 0, 0, rows[i].of, rows[i].to, "");
        run.rows[0].facts.end_signal = rows[i].of_signal;
        run.rows[1].facts.end_signal = rows[i].to_signal;
        const struct tg_measurement *const list[] = {&run.rows[0], &run.rows[1]};
        assert_int_equal(tg_evidence_gather(list, 2, test, &plan.policy.rules[0],
                                            &plan.policy.limits, NULL, &rounds, NULL),
                         0);
        assert_int_equal(rounds.of_broken, 1);
        assert_int_equal(rounds.of_killed, rows[i].killed);
        assert_int_equal(rounds.else_broken, 0);
        char reason[TG_EVIDENCE_REASON_SIZE];
        if (!strstr(tg_evidence_reason(&rounds, reason), rows[i].reason)) fail_msg("%s", reason);
        size_t side = run.rows[0].outcome == TG_MEASURED; /* also where the other row was lost */
        gather(0, list + side, 1, &rounds);
        assert_int_equal(rounds.of_broken, 1);
        assert_int_equal(rounds.else_broken, 0);
        tg_store_release(&run);
    }
    tg_evidence_release(&rounds);
}

/* Of the pair, what all rows of the run say. */
static void gather_all(struct tg_rounds *rounds)
{
    const struct tg_measurement *rows[ROWS_MOST];
    assert_true(run.count <= ROWS_MOST);
    for (size_t i = 0; i < run.count; i++) rows[i] = &run.rows[i];
    gather(0, rows, run.count, rounds);
}

/* Workers that were lost with their rounds: what is skipped has a number behind theirs. */
static void a_skip_is_behind_what_another_attempt_measured_before_it(void **state)
{
    (void)state;
    struct tg_rounds rounds = {0};
    made_round(&run, &plan, 0, 0, 0.01);
    made_broken(&run, &plan, 0, 3, TG_SKIPPED, TG_SKIPPED, "why");
    gather_all(&rounds);
    assert_int_equal(rounds.skipped, 1);
    for (int64_t again = 1; again < 3; again++) {
        made_round(&run, &plan, 0, again, 0.01);
        run.rows[run.count - 2].attempt = run.rows[run.count - 1].attempt = 2;
        gather_all(&rounds);
        assert_int_equal(rounds.skipped, 0);
        assert_int_equal(rounds.count, again + 1);
        assert_int_equal(rounds.last, 3);
    }
    tg_evidence_release(&rounds);
}

/* A kill came between the two rows of a round, and another attempt went on. */
static void what_was_tried_again_lacks_no_row(void **state)
{
    (void)state;
    static const enum tg_outcome others[] = {TG_MEASURED, TG_CRASHED};
    struct tg_rounds rounds = {0};
    for (size_t i = 0; i < 2; i++) {
        made_row(&run, &plan, 0, 0, 0, TG_SKIPPED);
        gather_all(&rounds);
        assert_int_equal(rounds.skipped, 1);
        made_row(&run, &plan, 0, 0, 1, others[i]);
        made_row(&run, &plan, 0, 1, 1, TG_SKIPPED);
        gather_all(&rounds);
        assert_int_equal(rounds.skipped, 2);
        made_round(&run, &plan, 0, 2, 0.01);
        run.rows[run.count - 2].attempt = run.rows[run.count - 1].attempt = 2;
        gather_all(&rounds);
        assert_int_equal(rounds.count, 1);
        assert_int_equal(rounds.skipped + rounds.hollow + rounds.of_broken, 0);
        tg_store_release(&run);
        run = (struct tg_run){0};
    }
    tg_evidence_release(&rounds);
}

/* What head did is not forgotten; nor does it fail alone, for base may have done it, too. */
static void what_a_round_without_its_other_row_says_is_judged(void **state)
{
    (void)state;
    struct tg_rounds rounds = {0};
    struct tg_verdict v = {.answer = TG_PASS};
    made_rounds(&run, &plan, 0, 0, 8, 0, 1e-4);
    made_row(&run, &plan, 0, 0, 8, TG_CRASHED);
    gather_all(&rounds);
    assert_false(tg_judge_broken(&rounds, &v));
    tg_judge_complete(&plan.policy.limits, &rounds, &v);
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_non_null(strstr(v.reason, "not yet repeated: i2s_avx2 of head crashed"));
    made_round(&run, &plan, 0, 9, 0);
    gather_all(&rounds);
    v = (struct tg_verdict){.answer = TG_PASS};
    tg_judge_complete(&plan.policy.limits, &rounds, &v);
    assert_int_equal(v.answer, TG_PASS);
    assert_string_equal(v.word, "attention");
    made_row(&run, &plan, 0, 0, 10, TG_LATE);
    gather_all(&rounds);
    assert_true(tg_judge_broken(&rounds, &v));
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    made_row(&run, &plan, 0, 0, 11, TG_WRONG);
    gather_all(&rounds);
    assert_true(tg_judge_broken(&rounds, &v));
    assert_int_equal(v.answer, TG_FAIL);
    tg_evidence_release(&rounds);
}

static void few_values_among_rounds_that_lack_a_row_are_missing(void **state)
{
    (void)state;
    struct tg_rounds rounds = {0};
    for (int64_t r = 0; r < 17; r++) {
        struct tg_verdict v = {.answer = TG_PASS};
        if (r < 8)
            made_round(&run, &plan, 0, r, 0);
        else
            made_row(&run, &plan, 0, 0, r, TG_MEASURED);
        gather_all(&rounds);
        tg_judge_complete(&plan.policy.limits, &rounds, &v);
        assert_int_equal(v.answer, r < 16 ? TG_PASS : TG_INCONCLUSIVE);
        if (r == 16) assert_string_equal(v.reason, "9 of 17 rounds give no value");
    }
    tg_evidence_release(&rounds);
}

static void add_hollow(int64_t round)
{
    made_row(&run, &plan, 0, 0, round, TG_MEASURED);
    made_row(&run, &plan, 0, 1, round, TG_MEASURED);
}

/* A round without a value neither repeats what broke nor undoes its repetition. */
static void a_hollow_round_says_nothing_of_what_broke(void **state)
{
    (void)state;
    struct tg_rounds rounds = {0};
    made_broken(&run, &plan, 0, 0, TG_CRASHED, TG_MEASURED, "why");
    add_hollow(1);
    gather_all(&rounds);
    assert_int_equal(rounds.hollow, 1);
    assert_int_equal(rounds.since_broken, 0);
    made_round(&run, &plan, 0, 2, 0.01);
    add_hollow(3);
    gather_all(&rounds);
    assert_int_equal(rounds.hollow, 2);
    assert_int_equal(rounds.since_broken, 1);
    tg_evidence_release(&rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gathered_again_is_as_gathered_anew, begin, end),
        cmocka_unit_test_setup_teardown(what_breaks_in_head_s_copy_breaks_in_head, begin, end),
        cmocka_unit_test_setup_teardown(a_skip_is_behind_what_another_attempt_measured_before_it,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_was_tried_again_lacks_no_row, begin, end),
        cmocka_unit_test_setup_teardown(what_a_round_without_its_other_row_says_is_judged, begin,
                                        end),
        cmocka_unit_test_setup_teardown(few_values_among_rounds_that_lack_a_row_are_missing, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_hollow_round_says_nothing_of_what_broke, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
