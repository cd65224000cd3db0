/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/shard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/budget.h"
#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_novel\","     \
    " \"i2s_avx2\"], \"layer\": [\"640x2560\"], \"batch\": [1, 2, 3, 4, 5, 6]}}"
#define POLICY                                                                                     \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": ["                                  \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\","                  \
    " \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05},"                 \
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}]}"

enum { BLOCKS = 24 }; /* of twelve cells: each in a pair of builds, and alone for its accuracy */

/* A worker of a shard, on hardware of this class. */
static struct tg_capability worker_of(size_t shard, const char *hardware)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    snprintf(worker.hardware, sizeof worker.hardware, "%s", hardware);
    snprintf(made_kernel(&worker.head, "i2s_scalar")->name, TG_TEXT_SIZE, "i2s_novel");
    snprintf(made_kernel(&worker.base, "i2s_scalar")->name, TG_TEXT_SIZE, "i2s_novel");
    worker.shard = shard;
    return worker;
}

/* The plan of these workers, in so many shards. */
static void plan_of(size_t shards, struct tg_capability *workers, size_t count,
                    struct tg_plan *plan)
{
    struct tg_asked asked = made_asked;
    asked.shard_count = shards;
    made_plan(MATRIX, POLICY, workers, count, &asked, plan);
}

static void a_shard_is_read_and_nothing_like_it(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "2",    "2/",   "/4",    "0/4", "5/4",
                                      "2/4 ",    "+2/4", "2/ 4", "a/b",   "2:4", "1/0",
                                      "1/99999", "-1/4", "2/4/", "2/4.5", "/",   "2//4"};
    struct tg_error err;
    size_t shard = 77, count = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tg_shard_parse(bad[i], &shard, &count, &err), -1);
        assert_non_null(strstr(err.text, "unusable shard"));
        assert_int_equal(shard + count, 2 * 77);
    }
    assert_int_equal(tg_shard_parse("2/4", &shard, &count, &err), 0);
    assert_true(shard == 2 && count == 4);
    assert_int_equal(tg_shard_parse("9999/9999", &shard, &count, &err), 0);
}

static void a_whole_run_has_no_shards(void **state)
{
    (void)state;
    char text[200];
    struct tg_plan plan;
    struct tg_capability worker = worker_of(0, "unknown");
    plan_of(0, &worker, 1, &plan);
    assert_int_equal(plan.spec.block_count, BLOCKS);
    for (size_t b = 0; b < plan.spec.block_count; b++)
        assert_int_equal(plan.spec.blocks[b].shard, 0);
    assert_false(tg_shard_is_missing(&plan, 0));
    assert_true(tg_shard_note(&plan, text, sizeof text));
    assert_string_equal(text, "");
    tg_plan_release(&plan);
}

/* Seconds of each shard's blocks, from 1, with one for each that is not reckoned; the longest of a
 * block. */
static double lengths_of(const struct tg_plan *plan, double *seconds)
{
    double longest = 0;
    for (size_t b = 0; b < plan->spec.block_count; b++) {
        double block_s = 1 + tg_budget_block_s(plan, &plan->spec.blocks[b]);
        assert_in_range(plan->spec.blocks[b].shard, 1, plan->asked.shard_count);
        seconds[plan->spec.blocks[b].shard] += block_s;
        longest = fmax(longest, block_s);
    }
    return longest;
}

static void every_shard_deals_alike_and_all_blocks_are_dealt(void **state)
{
    (void)state;
    for (size_t shards = 1; shards <= 7; shards++) {
        struct tg_plan first, plan;
        struct tg_capability worker = worker_of(1, "unknown");
        size_t dealt[8] = {0}, timed[8] = {0};
        plan_of(shards, &worker, 1, &first);
        for (size_t shard = 2; shard <= shards; shard++) {
            worker = worker_of(shard, "another");
            plan_of(shards, &worker, 1, &plan);
            assert_int_equal(plan.spec.block_count, first.spec.block_count);
            assert_int_equal(plan.required_count, first.required_count);
            for (size_t b = 0; b < BLOCKS; b++)
                assert_int_equal(plan.spec.blocks[b].shard, first.spec.blocks[b].shard);
            tg_plan_release(&plan);
        }
        for (size_t b = 0; b < BLOCKS; b++) {
            assert_in_range(first.spec.blocks[b].shard, 1, shards);
            dealt[first.spec.blocks[b].shard]++;
            timed[first.spec.blocks[b].shard] += first.spec.blocks[b].is_timed;
        }
        for (size_t shard = 1; shard <= shards; shard++) {
            bool needs_device;
            assert_int_equal(tg_shard_blocks(&first, shard, &needs_device), dealt[shard]);
            assert_false(needs_device);
            assert_in_range(timed[shard], 12 / shards, (12 + shards - 1) / shards);
        }
        tg_plan_release(&first);
    }
}

static void who_knows_other_machines_deals_alike(void **state)
{
    (void)state;
    struct tg_plan one, all;
    struct tg_capability worker = worker_of(3, "old");
    struct tg_capability workers[] = {worker_of(2, "new"), worker_of(1, "other"),
                                      worker_of(3, "old")};
    worker.head.cores = 1;
    worker.head.memory_bytes = 1000;
    snprintf(worker.head.no_gpu, sizeof worker.head.no_gpu, "no GPU");
    for (size_t i = 0; i < worker.head.count; i++) worker.head.kernels[i].here = false;
    plan_of(3, &worker, 1, &one);
    plan_of(3, workers, 3, &all);
    assert_int_equal(all.spec.block_count, 3 * BLOCKS);
    for (size_t b = 0; b < all.spec.block_count; b++)
        for (size_t k = 0; k < BLOCKS; k++)
            if (strcmp(all.spec.blocks[b].text, one.spec.blocks[k].text) == 0)
                assert_int_equal(all.spec.blocks[b].shard, one.spec.blocks[k].shard);
    tg_plan_release(&one);
    tg_plan_release(&all);
}

#define MODELS                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"],"      \
    " \"model\": [\"bitnet-2b\", \"falcon3-1b\", \"falcon3-7b\"], \"threads\": [1, 2, 4],"         \
    " \"profile\": [\"decode_128\", \"prefill_128\", \"prefill_512\", \"accuracy\"]}}"
#define MODELS_POLICY                                                                              \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["                                       \
    "{\"rule\": \"ceiling\", \"metric\": \"decode_rate\", \"limit\": 1e9, \"where\":"              \
    " \"profile=decode_128\"},"                                                                    \
    "{\"rule\": \"ceiling\", \"metric\": \"prefill_rate\", \"limit\": 1e9, \"where\":"             \
    " \"profile=prefill*\"},"                                                                      \
    "{\"rule\": \"floor\", \"metric\": \"logit_cosine\", \"limit\": 0.9, \"where\":"               \
    " \"profile=accuracy\"}]}"

/* A model of 7 billion weights takes some hundred times as long as one that decodes a token. */
static void shards_take_about_as_long_as_each_other(void **state)
{
    (void)state;
    for (size_t shards = 2; shards <= 6; shards++) {
        struct tg_plan plan;
        struct tg_asked asked = made_asked;
        struct tg_capability worker = worker_of(1, "unknown");
        double seconds[7] = {0}, most = 0, least = INFINITY, sum = 0;
        asked.shard_count = shards;
        made_plan(MODELS, MODELS_POLICY, &worker, 1, &asked, &plan);
        assert_int_equal(plan.spec.block_count, 36);
        double longest = lengths_of(&plan, seconds);
        for (size_t shard = 1; shard <= shards; shard++) {
            most = fmax(most, seconds[shard]);
            least = fmin(least, seconds[shard]);
            sum += seconds[shard];
        }
        assert_true(most <= fmax(longest, 1.02 * sum / (double)shards));
        assert_true(longest > sum / (double)shards || least >= 0.98 * sum / (double)shards);
        tg_plan_release(&plan);
    }
}

static void more_shards_than_blocks_leave_the_last_without(void **state)
{
    (void)state;
    static const bool on_device[] = {false, true};
    for (size_t i = 0; i < 2; i++) {
        struct tg_plan plan;
        struct tg_capability worker = worker_of(1, "unknown");
        for (int k = 0; on_device[i] && k < 2; k++)
            snprintf(made_kernel(k ? &worker.head : &worker.base, "i2s_novel")->device,
                     TG_TEXT_SIZE, "cuda");
        plan_of(30, &worker, 1, &plan);
        for (size_t shard = 1; shard <= 30; shard++) {
            bool needs_device;
            assert_int_equal(tg_shard_blocks(&plan, shard, &needs_device), shard <= BLOCKS);
        }
        tg_plan_release(&plan);
    }
}

static void what_needs_a_device_is_dealt_to_the_last_shards(void **state)
{
    (void)state;
    static const struct {
        size_t shards, on_device; /* how many of the shards */
    } rows[] = {{1, 1}, {2, 1}, {3, 2}, {4, 2}, {12, 6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        struct tg_capability worker = worker_of(1, "unknown");
        snprintf(made_kernel(&worker.head, "i2s_novel")->device, TG_TEXT_SIZE, "cuda");
        snprintf(made_kernel(&worker.base, "i2s_novel")->device, TG_TEXT_SIZE, "cuda");
        plan_of(rows[i].shards, &worker, 1, &plan);
        for (size_t shard = 1; shard <= rows[i].shards; shard++) {
            bool needs_device;
            assert_true(tg_shard_blocks(&plan, shard, &needs_device) > 0);
            assert_int_equal(needs_device, shard > rows[i].shards - rows[i].on_device);
        }
        tg_plan_release(&plan);
    }
}

static void a_shard_measures_its_own_blocks_and_counts_the_others(void **state)
{
    (void)state;
    char text[400];
    struct tg_plan plan;
    struct tg_capability worker = worker_of(2, "unknown");
    size_t mine = 0, missing = 0;
    plan_of(4, &worker, 1, &plan);
    for (size_t i = 0; i < plan.spec.test_count; i++) {
        const struct tg_block *block = &plan.spec.blocks[plan.spec.tests[i].block];
        bool is_mine = block->shard == 2;
        assert_int_equal(plan.prospects[i].fate, is_mine ? TG_TO_MEASURE : TG_TO_MISS);
        assert_int_equal(tg_plan_can_run(&plan, &plan.workers[0], block, text, sizeof text),
                         is_mine);
        mine += is_mine;
        missing += !is_mine;
        assert_true(tg_gate_is_required(&plan, i));
    }
    assert_int_equal(mine, 6);
    assert_int_equal(missing, 18);
    assert_int_equal(plan.required_count, 12); /* as in the whole: the error rate is shared alike */
    assert_false(tg_shard_note(&plan, text, sizeof text));
    assert_string_equal(text, "shard 2 of 4: cannot pass without shards 1, 3-4, which have 18 of 24"
                              " tests");
    tg_plan_release(&plan);
}

static void what_no_shard_can_run_has_its_own_reason(void **state)
{
    (void)state;
    struct tg_plan plan;
    struct tg_capability workers[] = {worker_of(1, "unknown"), worker_of(2, "unknown")};
    size_t skipped = 0;
    for (int w = 0; w < 2; w++) made_kernel(&workers[w].head, "i2s_novel")->here = false;
    plan_of(2, workers, 2, &plan);
    for (size_t i = 0; i < plan.spec.test_count; i++) {
        if (plan.prospects[i].fate == TG_TO_MEASURE) continue;
        assert_null(strstr(plan.prospects[i].reason, "shard"));
        skipped++;
    }
    assert_int_equal(skipped, 12);
    tg_plan_release(&plan);
}

static void each_shard_is_asked_for_the_hardware_it_has(void **state)
{
    (void)state;
    char text[400];
    struct tg_plan plan;
    struct tg_capability workers[] = {worker_of(1, "new"), worker_of(2, "old"),
                                      worker_of(2, "new")};
    plan_of(3, workers, 3, &plan);
    assert_int_equal(plan.class_count, 2);
    size_t tests[4] = {0};
    for (size_t i = 0; i < plan.spec.test_count; i++)
        tests[plan.spec.blocks[plan.spec.tests[i].block].shard]++;
    assert_int_equal(tests[1], 8);
    assert_int_equal(tests[2], 16);
    assert_int_equal(tests[3], 8); /* once, since nobody knows on what */
    assert_false(tg_shard_note(&plan, text, sizeof text));
    assert_string_equal(text, "shards 1-2 of 3: cannot pass without shard 3, which has 8 of 32"
                              " tests");
    tg_plan_release(&plan);
}

/* Rows of every test that a shard of the plan has (0: any), in their order; one of them fails. */
static void measure(struct tg_run *run, const struct tg_plan *plan, size_t shard)
{
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        if (shard && plan->spec.blocks[test->block].shard != shard) continue;
        double d = test->of.batch == 3 && strcmp(test->of.kernel, "i2s_avx2") == 0 ? 0.2 : 0;
        if (test->has_to)
            made_rounds(run, plan, i, 0, 40, d, 0.003);
        else
            for (int64_t round = 0; round < 5; round++) made_fixed(run, plan, i, round, 0.95);
    }
    run->is_sealed = 1;
}

static void shards_together_decide_as_one_run_of_the_same_rows(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_plan whole, parts;
    struct tg_run one = {0}, joined = {0};
    struct tg_decision of_one, of_parts;
    struct tg_capability alone = worker_of(0, "unknown");
    struct tg_capability workers[] = {worker_of(3, "unknown"), worker_of(1, "unknown"),
                                      worker_of(2, "unknown")};
    plan_of(0, &alone, 1, &whole);
    plan_of(3, workers, 3, &parts);
    measure(&one, &whole, 0);
    for (size_t shard = 3; shard > 0; shard--) {
        size_t before = joined.count;
        measure(&joined, &parts, shard);
        for (size_t i = before; i < joined.count; i++) joined.rows[i].session = (int)shard;
    }
    assert_int_equal(joined.count, one.count);
    assert_int_equal(tg_gate_decide(&whole, &one, &of_one, &err), 0);
    assert_int_equal(tg_gate_decide(&parts, &joined, &of_parts, &err), 0);
    assert_int_equal(of_one.answer, TG_FAIL);
    assert_int_equal(of_parts.answer, TG_FAIL);
    assert_int_equal(of_one.verdict_count, of_parts.verdict_count);
    for (size_t i = 0; i < of_one.verdict_count; i++) {
        const struct tg_verdict *a = &of_one.verdicts[i], *b = &of_parts.verdicts[i];
        assert_int_equal(a->answer, b->answer);
        assert_string_equal(a->word, b->word);
        assert_int_equal(a->rounds, b->rounds);
        if (!whole.spec.tests[i].has_to) continue;
        assert_true(a->estimate == b->estimate && a->log_fail == b->log_fail);
        assert_true(a->log_fail_line == b->log_fail_line && a->interval.low == b->interval.low);
    }
    assert_string_equal(of_parts.notes[0], "all shards of 3 that have tests are there");
    tg_gate_release(&of_one);
    tg_gate_release(&of_parts);
    tg_store_release(&one);
    tg_store_release(&joined);
    tg_plan_release(&whole);
    tg_plan_release(&parts);
}

static void a_missing_shard_is_inconclusive_unless_the_others_fail(void **state)
{
    (void)state;
    for (size_t there = 1; there <= 3; there++) {
        struct tg_error err;
        struct tg_plan plan;
        struct tg_run run = {0};
        struct tg_decision decision;
        struct tg_capability worker = worker_of(there, "unknown");
        plan_of(3, &worker, 1, &plan);
        measure(&run, &plan, there);
        bool has_slow = plan.prospects[made_test(&plan, 0, "i2s_avx2", 3)].fate == TG_TO_MEASURE;
        assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
        assert_int_equal(decision.answer, has_slow ? TG_FAIL : TG_INCONCLUSIVE);
        assert_int_equal(decision.inconclusive, 16);
        assert_non_null(strstr(decision.notes[0], "cannot pass without shard"));
        for (size_t i = 0; i < decision.verdict_count; i++)
            if (plan.prospects[i].fate == TG_TO_MISS)
                assert_non_null(strstr(decision.verdicts[i].reason, "/3 is missing"));
        tg_gate_release(&decision);
        tg_store_release(&run);
        tg_plan_release(&plan);
    }
}

static void a_shard_that_was_not_ended_in_order_is_named(void **state)
{
    (void)state;
    struct tg_plan plan;
    struct tg_run run = {0};
    struct tg_capability workers[] = {worker_of(1, "unknown"), worker_of(2, "unknown"),
                                      worker_of(3, "unknown")};
    char text[200];
    plan_of(3, workers, 3, &plan);
    plan.session_count = 3;
    assert_non_null(plan.sessions = calloc(3, sizeof *plan.sessions));
    for (size_t s = 0; s < 3; s++) {
        plan.sessions[s].shard = 3 - s;
        plan.sessions[s].is_sealed = s != 1;
    }
    assert_string_equal(tg_shard_open_note(&plan, &run, text, sizeof text),
                        "shard 2 of 3 was not ended in order; run --resume ends it");
    plan.sessions[0].is_sealed = false;
    assert_string_equal(tg_shard_open_note(&plan, &run, text, sizeof text),
                        "shards 2-3 of 3 were not ended in order; run --resume ends them");
    run.is_sealed = 1;
    assert_string_equal(tg_shard_open_note(&plan, &run, text, sizeof text), "");
    tg_plan_release(&plan);
    run.is_sealed = 0;
    workers[0] = worker_of(2, "unknown");
    plan_of(3, workers, 1, &plan);
    assert_string_equal(tg_shard_open_note(&plan, &run, text, sizeof text),
                        "shard 2 of 3 was not ended in order; run --resume ends it");
    tg_plan_release(&plan);
    workers[0] = worker_of(0, "unknown");
    plan_of(0, workers, 1, &plan);
    assert_string_equal(tg_shard_open_note(&plan, &run, text, sizeof text),
                        "the run was not ended in order; run --resume ends it");
    tg_plan_release(&plan);
}

static void a_worker_of_no_shard_is_refused(void **state)
{
    (void)state;
    static const size_t rows[][2] = {{0, 1}, {3, 0}, {3, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err;
        struct tg_plan plan;
        struct tg_asked asked = made_asked;
        struct tg_capability worker = worker_of(rows[i][1], "unknown");
        asked.shard_count = rows[i][0];
        assert_int_equal(made_try(MATRIX, POLICY, &worker, 1, &asked, &plan, &err), -1);
        assert_non_null(strstr(err.text, "of no shard"));
    }
}

/* As somebody, or a disk, may have written it; such a number of shards would be gone through. */
static void a_number_of_shards_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"1e15", "-1", "2.5", "10000", "-0.5"};
    static const char *const keys[] = {"\"shards\": 4", "\"shard\": 2"};
    struct tg_asked asked = made_asked;
    asked.shard_count = 4;
    struct tg_capability worker = worker_of(2, "unknown");
    char *text = tg_plan_text(&asked, &worker, 1);
    for (size_t k = 0; k < 2; k++) {
        const char *at = strstr(text, keys[k]);
        assert_non_null(at);
        int before = (int)(at - text + (ptrdiff_t)strlen(keys[k]) - 1);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            struct tg_plan plan;
            struct tg_error err;
            size_t size = strlen(text) + 32;
            char *other = malloc(size);
            assert_non_null(other);
            snprintf(other, size, "%.*s%s%s", before, text, bad[i], text + before + 1);
            if (tg_plan_make(MATRIX, "a.json", POLICY, other, &plan, &err) == 0)
                fail_msg("%s %s was taken", keys[k], bad[i]);
            if (!strstr(err.text, "is no number of shards: 0 to 9999")) fail_msg("%s", err.text);
            free(other);
        }
    }
    free(text);
    tg_plan_capability_release(&worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_is_read_and_nothing_like_it),
        cmocka_unit_test(a_whole_run_has_no_shards),
        cmocka_unit_test(every_shard_deals_alike_and_all_blocks_are_dealt),
        cmocka_unit_test(who_knows_other_machines_deals_alike),
        cmocka_unit_test(shards_take_about_as_long_as_each_other),
        cmocka_unit_test(more_shards_than_blocks_leave_the_last_without),
        cmocka_unit_test(what_needs_a_device_is_dealt_to_the_last_shards),
        cmocka_unit_test(a_shard_measures_its_own_blocks_and_counts_the_others),
        cmocka_unit_test(what_no_shard_can_run_has_its_own_reason),
        cmocka_unit_test(each_shard_is_asked_for_the_hardware_it_has),
        cmocka_unit_test(shards_together_decide_as_one_run_of_the_same_rows),
        cmocka_unit_test(a_missing_shard_is_inconclusive_unless_the_others_fail),
        cmocka_unit_test(a_shard_that_was_not_ended_in_order_is_named),
        cmocka_unit_test(a_worker_of_no_shard_is_refused),
        cmocka_unit_test(a_number_of_shards_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
