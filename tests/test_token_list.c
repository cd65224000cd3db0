/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/token_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "worker/model/gguf_writer.h"

/* A vocabulary of three, with these kinds and scores; kinds and scores may be fewer. */
static const char *read_list(int kinds, int scores, int kind, bool needs_scores,
                             struct tg_token_list *list, struct tg_gguf **g)
{
    static struct tg_error err;
    const uint8_t *bytes;
    size_t size;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    tg_gguf_writer_array(w, "tokenizer.ggml.tokens", TG_GGUF_STRING, 3);
    for (int i = 0; i < 3; i++) tg_gguf_writer_add_text(w, "abc" + i, 1);
    if (kinds) tg_gguf_writer_array(w, "tokenizer.ggml.token_type", TG_GGUF_INT32, (uint64_t)kinds);
    for (int i = 0; i < kinds; i++) tg_gguf_writer_add_count(w, TG_GGUF_INT32, (uint64_t)kind);
    if (scores) tg_gguf_writer_array(w, "tokenizer.ggml.scores", TG_GGUF_FLOAT32, (uint64_t)scores);
    for (int i = 0; i < scores; i++) tg_gguf_writer_add_real(w, (float)i);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    tg_gguf_writer_destroy(w);
    if (tg_gguf_read(copy, size, g, &err) < 0) fail_msg("%s", err.text);
    err.text[0] = 0;
    tg_token_list_read(*g, needs_scores, list, &err);
    return err.text;
}

static void end(struct tg_token_list *list, struct tg_gguf *g)
{
    void *bytes = (void *)(uintptr_t)g->bytes;
    tg_token_list_release(list);
    tg_gguf_close(g);
    free(bytes);
}

static void tokens_have_texts_kinds_and_scores(void **state)
{
    (void)state;
    struct tg_token_list list = {0};
    struct tg_gguf *g;
    assert_string_equal(read_list(3, 3, TG_TOKEN_CONTROL, true, &list, &g), "");
    assert_int_equal(list.count, 3);
    assert_true(tg_gguf_is(list.tokens[2].text, "c") && list.tokens[2].score == 2);
    assert_int_equal(list.tokens[0].kind, TG_TOKEN_CONTROL);
    assert_int_equal(tg_token_table_find(list.table, list.tokens[1].text), 1);
    end(&list, g);
    assert_string_equal(read_list(0, 0, 0, false, &list, &g), "");
    assert_true(list.tokens[1].kind == TG_TOKEN_NORMAL && list.tokens[1].score == 0);
    end(&list, g);
}

static void what_does_not_fit_the_tokens_is_refused(void **state)
{
    (void)state;
    static const struct {
        int kinds, scores, kind;
        const char *sentence;
    } rows[] = {{2, 3, 1, "key 'tokenizer.ggml.token_type' has 2 elements, and must have 3"},
                {3, 0, 1, "there is no key 'tokenizer.ggml.scores'"},
                {3, 4, 1, "key 'tokenizer.ggml.scores' has 4 elements, and must have 3"},
                {3, 3, 7, "token 0 is of kind 7, which there is not"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_token_list list = {0};
        struct tg_gguf *g;
        assert_string_equal(read_list(rows[i].kinds, rows[i].scores, rows[i].kind, true, &list, &g),
                            rows[i].sentence);
        end(&list, g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_have_texts_kinds_and_scores),
        cmocka_unit_test(what_does_not_fit_the_tokens_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
