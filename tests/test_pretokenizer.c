/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/pretokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The pieces of a text, one behind the other with bars between. */
struct joined {
    char text[400];
};

static int join(void *context, struct tg_gguf_text piece, struct tg_error *err)
{
    struct joined *j = context;
    const size_t at = strlen(j->text);
    (void)err;
    snprintf(j->text + at, sizeof j->text - at, "%s%.*s", at ? "|" : "", (int)piece.size,
             piece.bytes);
    return 0;
}

static void text_is_cut_as_the_patterns_say(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *wanted;
    } rows[] = {
        {"llama-bpe", "I've 12345 apples!!\n\n  x", "I|'ve| |123|45| apples|!!\n\n| | x"},
        {"llama-bpe", "WE'LL \xc3\xa9t\xc3\xa9\r\n\t", "WE|'LL| \xc3\xa9t\xc3\xa9|\r\n|\t"},
        {"falcon3", "x=1;", "x|=|1|;"},
        {"falcon-h1", "x=1234;", "x|=|123|4|;"},
        {"gpt-2", "I've 12345  x", "I|'ve| 12345| | x"},
        {"gpt-2", "I'VE", "I|'|VE"},
        {"falcon", "a+b 1234", "a|+|b| |123|4"},
        {"", "a+b 1234", "a|+|b| |123|4"},
        {"falcon_e", "a+b 1234 ''x", "a|+|b| |1|2|3|4| |''|x"},
        {"olmo", "I've 12345  x", "I|'ve| 12345| | x"},
        {"smollm", "I've 123 \xc2\xbd  x", "I|'ve| |1|2|3| |\xc2\xbd| | x"},
        {"qwen2", "I'VE 123!\n", "I|'VE| |1|2|3|!\n"},
        {"smaug-bpe", "x 1234", "x| |123|4"},
        {"llama-bpe",
         "\xff\xfe"
         "abc\xc3",
         "\xff\xfe|abc|\xc3"},
        {"llama-bpe", "a  \xe1\xa0\x8e!", "a| | \xe1\xa0\x8e!"}, /* U+180E is no space */
        {"gpt-2", "a  \xe1\xa0\x8e!", "a| | \xe1\xa0\x8e!"},
        {"falcon", "a  \xe1\xa0\x8e b", "a| | \xe1\xa0\x8e| b"},
        {"llama-bpe", "a\xe1\xa0\x8e\n", "a|\xe1\xa0\x8e\n"},
        {"llama-bpe", "a\xc2\xa0\xc2\x85 \xe3\x80\x80 b", "a|\xc2\xa0\xc2\x85 \xe3\x80\x80| b"},
        {"llama-bpe", "   ", "   "},
        {"llama-bpe", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_pretokenizer *p;
        struct tg_error err;
        struct joined j = {""};
        if (tg_pretokenizer_open(rows[i].name, &p, &err) < 0) fail_msg("%s", err.text);
        const struct tg_gguf_text text = {rows[i].text, strlen(rows[i].text)};
        if (tg_pretokenizer_cut(p, text, join, &j, &err) < 0) fail_msg("%s", err.text);
        assert_string_equal(j.text, rows[i].wanted);
        const bool is_llama3 = rows[i].name[0] == 'l' || i == 2 || i == 3;
        assert_int_equal(tg_pretokenizer_takes_whole(p), is_llama3);
        assert_int_equal(tg_pretokenizer_has_bos(p), is_llama3);
        tg_pretokenizer_close(p);
    }
}

static int count(void *context, struct tg_gguf_text piece, struct tg_error *err)
{
    (void)err;
    *(size_t *)context += piece.size;
    return 0;
}

static void a_long_word_is_no_trouble(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", " ", "\n", "!", "1", "\x80"};
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG);
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        struct tg_pretokenizer *p;
        struct tg_error err;
        size_t total = 0;
        memset(text, letters[i][0], LONG);
        assert_int_equal(tg_pretokenizer_open("llama-bpe", &p, &err), 0);
        if (tg_pretokenizer_cut(p, (struct tg_gguf_text){text, LONG}, count, &total, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(total, LONG);
        tg_pretokenizer_close(p);
    }
    free(text);
}

static void an_unknown_one_is_refused(void **state)
{
    (void)state;
    struct tg_pretokenizer *p;
    struct tg_error err;
    assert_int_equal(tg_pretokenizer_open("bloom", &p, &err), -1);
    assert_string_equal(err.text, "pre-tokenizer 'bloom' is not known here");
    tg_pretokenizer_close(NULL);
}

static void characters_are_those_of_utf_8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } rows[] = {{"a", 1},
                {"\xc3\xa9", 2},
                {"\xe2\x96\x81", 3},
                {"\xf0\x9f\x98\x80", 4},
                {"\x80", 0},
                {"\xc0\x80", 0},
                {"\xc3", 0},
                {"\xe0\x80\x80", 0},
                {"\xed\xa0\x80", 0},
                {"\xf0\x80\x80\x80", 0},
                {"\xf4\x90\x80\x80", 0},
                {"\xf5\x80\x80\x80", 0},
                {"\xe2\x96"
                 "a",
                 0},
                {"\xff", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(
            tg_pretokenizer_character((struct tg_gguf_text){rows[i].text, strlen(rows[i].text)}),
            rows[i].size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_as_the_patterns_say),
        cmocka_unit_test(a_long_word_is_no_trouble),
        cmocka_unit_test(an_unknown_one_is_refused),
        cmocka_unit_test(characters_are_those_of_utf_8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
