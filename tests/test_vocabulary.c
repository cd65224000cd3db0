/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

static void assert_trait(const struct tg_words *words, const char *axis, const char *name,
                         const char *trait, const char *wanted)
{
    char value[64];
    const struct tg_word *word = tg_words_find(words, axis, name);
    if (!word) fail_msg("no %s '%s'", axis, name);
    assert_true(tg_words_trait(word, trait, value, sizeof value));
    assert_string_equal(value, wanted);
}

static void the_words_are_those_of_the_tables(void **state)
{
    (void)state;
    struct tg_words words;
    assert_int_equal(tg_vocabulary_gather(NULL, 0, &words, NULL), 0);
    assert_trait(&words, "kernel", "i2s_avx2", "isa", "avx2");
    assert_trait(&words, "kernel", "i2s_scalar_unpack", "op", "unpack");
    assert_trait(&words, "kernel", "i2s_scalar", "device", "cpu");
    assert_trait(&words, "kernel", "i2s_scalar", "format", "i2s");
    assert_trait(&words, "rule", "ratio", "cells", "pair");
    assert_trait(&words, "rule", "ceiling", "cells", "one");
    assert_trait(&words, "metric", "call_time", "nature", "sampled");
    assert_trait(&words, "metric", "kernel_accuracy", "nature", "fixed");
    assert_trait(&words, "metric", "kernel_accuracy", "sign", "share");
    static const char *const others[][2] = {
        {"probe", "kernel"},     {"build", "head"},        {"build", "base"},
        {"build", "copy"},       {"model", "bitnet-2b"},   {"layer", "attn_q"},
        {"cache", "hot"},        {"model", "falcon3-7b"},  {"layer", "ffn_down"},
        {"rule", "noninferior"}, {"metric", "codec_exact"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_non_null(tg_words_find(&words, others[i][0], others[i][1]));
    assert_false(tg_words_cover(&words, "batch"));
    tg_vocabulary_release(&words);
    assert_int_equal(words.count, 0);
    tg_vocabulary_release(&words);
}

static void a_kernel_may_not_change_its_labels(void **state)
{
    (void)state;
    struct tg_words words;
    struct tg_survey head;
    struct tg_error err;
    made_survey(MADE_HEAD, &head);
    snprintf(head.kernels[1].isa, TG_TEXT_SIZE, "avx10");
    const struct tg_survey *const surveys[] = {&head};
    assert_int_equal(tg_vocabulary_gather(surveys, 1, &words, &err), -1);
    assert_non_null(strstr(err.text, "a changed kernel needs a new name"));
    tg_survey_release(&head);
}

static void the_kernels_of_surveys_are_words_once(void **state)
{
    (void)state;
    struct tg_words words;
    struct tg_survey head, base;
    made_survey(MADE_HEAD, &head);
    made_survey(MADE_BASE, &base);
    snprintf(head.kernels[0].name, TG_TEXT_SIZE, "i2s_novel");
    snprintf(base.kernels[0].name, TG_TEXT_SIZE, "i2s_antique");
    const struct tg_survey *const surveys[] = {&head, &base, NULL};
    assert_int_equal(tg_vocabulary_gather(surveys, 3, &words, NULL), 0);
    assert_trait(&words, "kernel", "i2s_novel", "op", "product");
    assert_trait(&words, "kernel", "i2s_antique", "isa", "scalar");
    for (size_t i = 0; i < words.count; i++)
        for (size_t k = 0; k < i; k++)
            assert_false(strcmp(words.words[i].axis, words.words[k].axis) == 0 &&
                         strcmp(words.words[i].name, words.words[k].name) == 0);
    tg_vocabulary_release(&words);
    tg_survey_release(&head);
    tg_survey_release(&base);
}

static void a_matrix_adds_the_names_that_it_writes_out(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"axes\": {\"probe\": [\"engine\", \"kernel\"], \"model\": [\"theirs\", \"x*\"],"
        " \"kernel\": [\"mine\"], \"build\": [\"new\"], \"batch\": [2], \"colour\": [\"red\"]}}",
        "{\"axes\": [{\"probe\": [\"engine\"]}, {\"model\": [\"theirs\"]}]}",
        "{\"axes\": [[\"engine\"], 5, {\"probe\": 7}]}", "{\"axes\": 5}", "{}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tg_json_file matrix;
        struct tg_words words;
        assert_int_equal(tg_json_parse(texts[i], &matrix, NULL), 0);
        assert_int_equal(tg_vocabulary_gather(NULL, 0, &words, NULL), 0);
        size_t before = words.count;
        assert_int_equal(tg_vocabulary_add_values(&words, &matrix, NULL), 0);
        tg_json_release(&matrix); /* the words do not need it */
        assert_int_equal(words.count - before, i < 2 ? 2 : 0);
        assert_true(!!tg_words_find(&words, "probe", "engine") == (i < 2));
        assert_true(!!tg_words_find(&words, "model", "theirs") == (i < 2));
        tg_vocabulary_release(&words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_are_those_of_the_tables),
        cmocka_unit_test(a_kernel_may_not_change_its_labels),
        cmocka_unit_test(the_kernels_of_surveys_are_words_once),
        cmocka_unit_test(a_matrix_adds_the_names_that_it_writes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
