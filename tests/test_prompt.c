/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/tiny_model.h"

static void the_tokens_are_the_same_each_time_and_none_of_control(void **state)
{
    (void)state;
    int32_t one[500], other[500];
    tg_prompt_draw(2048, 500, one);
    tg_prompt_draw(2048, 500, other);
    assert_memory_equal(one, other, sizeof one);
    int unlike = 0;
    for (int i = 0; i < 500; i++) {
        assert_true(0 <= one[i] && one[i] < 2048 - 256);
        unlike += one[i] != one[0];
    }
    assert_true(unlike > 400);
    tg_prompt_draw(96, 500, one);
    for (int i = 0; i < 500; i++) assert_true(0 <= one[i] && one[i] < 96);
}

static void a_text_is_found_that_has_so_many_tokens(void **state)
{
    (void)state;
    struct tg_gguf *gguf;
    struct tg_tokenizer *tokenizer;
    struct tg_error err;
    if (tg_gguf_open(tiny_path, &gguf, &err) < 0 || tg_tokenizer_open(gguf, &tokenizer, &err) < 0)
        fail_msg("%s", err.text);
    static const int64_t counts[] = {2, 4, 16, 64};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct tg_tokens tokens = {0};
        size_t size = 0;
        if (tg_prompt_find(tokenizer, counts[i], &size, &err) < 0) fail_msg("%s", err.text);
        assert_true(size > 0 && size <= strlen(tg_prompt_passage));
        assert_int_equal(
            tg_tokenizer_encode(tokenizer, tg_prompt_passage, size, true, &tokens, &err), 0);
        assert_int_equal(tokens.count, counts[i]);
        tg_tokens_release(&tokens);
    }
    size_t size = 77;
    assert_int_equal(tg_prompt_find(tokenizer, 100000, &size, &err), -1);
    assert_string_equal(err.text, "no beginning of the prompt has 100000 tokens");
    assert_int_equal(size, 77);
    tg_tokenizer_close(tokenizer);
    tg_gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tokens_are_the_same_each_time_and_none_of_control),
        cmocka_unit_test(a_text_is_found_that_has_so_many_tokens),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
