/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "worker/model/gguf_writer.h"
#include "worker/model/synthetic.h"

/* A vocabulary in memory, and its tokenizer. */
struct opened {
    uint8_t *bytes;
    struct tg_gguf *gguf;
    struct tg_tokenizer *tokenizer;
};

/* Opens what was written; the sentence if it is refused, else "". */
static const char *open_written(struct tg_gguf_writer *w, struct opened *o)
{
    static struct tg_error err;
    const uint8_t *bytes;
    size_t size;
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    o->bytes = malloc(size);
    memcpy(o->bytes, bytes, size);
    tg_gguf_writer_destroy(w);
    if (tg_gguf_read(o->bytes, size, &o->gguf, &err) < 0) fail_msg("%s", err.text);
    err.text[0] = 0;
    tg_tokenizer_open(o->gguf, &o->tokenizer, &err);
    return err.text;
}

static void end(struct opened *o)
{
    tg_tokenizer_close(o->tokenizer);
    tg_gguf_close(o->gguf);
    free(o->bytes);
    *o = (struct opened){0};
}

static struct tg_gguf_writer *writer(void)
{
    struct tg_error err;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    assert_non_null(w);
    return w;
}

static void open_synthetic(struct opened *o)
{
    struct tg_gguf_writer *w = writer();
    tg_synthetic_tokenizer(w, 5000);
    assert_string_equal(open_written(w, o), "");
}

static const struct {
    const char *text;
    float score;
    int kind;
} sentence_tokens[] = {
    {"<unk>", 0, 2},
    {"<s>", 0, 3},
    {"</s>", 0, 3},
    {"\xe2\x96\x81", -10, 1},
    {"a", -20, 1},
    {"b", -21, 1},
    {"ab", -5, 1},
    {"\xe2\x96\x81"
     "a",
     -3, 1},
    {"ba", -2, 1},
    {"<tool>", 0, 4},
    {"\xc3\xa9", -12, 1},
    {"\xe2\x96\x81\xe2\x96\x81", -1, 1},
};

enum { SENTENCE_TOKENS = sizeof sentence_tokens / sizeof *sentence_tokens };

/* A vocabulary as SentencePiece has it: these tokens, then those of bytes. */
static void open_sentence_as(struct opened *o, bool has_bytes, bool says_ids)
{
    struct tg_gguf_writer *w = writer();
    const uint64_t count = SENTENCE_TOKENS + (has_bytes ? 256 : 0);
    char name[8];
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "llama");
    tg_gguf_writer_array(w, "tokenizer.ggml.tokens", TG_GGUF_STRING, count);
    for (int i = 0; i < SENTENCE_TOKENS; i++)
        tg_gguf_writer_add_text(w, sentence_tokens[i].text, strlen(sentence_tokens[i].text));
    for (int b = 0; has_bytes && b < 256; b++) {
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        tg_gguf_writer_add_text(w, name, 6);
    }
    tg_gguf_writer_array(w, "tokenizer.ggml.scores", TG_GGUF_FLOAT32, count);
    for (uint64_t i = 0; i < count; i++)
        tg_gguf_writer_add_real(w, i < SENTENCE_TOKENS ? sentence_tokens[i].score : 0);
    tg_gguf_writer_array(w, "tokenizer.ggml.token_type", TG_GGUF_INT32, count);
    for (uint64_t i = 0; i < count; i++)
        tg_gguf_writer_add_count(w, TG_GGUF_INT32,
                                 i < SENTENCE_TOKENS ? (uint64_t)sentence_tokens[i].kind : 6);
    if (says_ids) {
        tg_gguf_writer_count(w, "tokenizer.ggml.bos_token_id", TG_GGUF_UINT32, 1);
        tg_gguf_writer_count(w, "tokenizer.ggml.eos_token_id", TG_GGUF_UINT32, 2);
        tg_gguf_writer_count(w, "tokenizer.ggml.unknown_token_id", TG_GGUF_UINT32, 0);
    }
    assert_string_equal(open_written(w, o), "");
}

static void open_sentence(struct opened *o, bool has_bytes)
{
    open_sentence_as(o, has_bytes, true);
}

/* Tokens as numbers with blanks between. */
static void encodes(const struct opened *o, const char *text, bool has_specials, const char *wanted)
{
    struct tg_tokens tokens = {0};
    struct tg_error err;
    char got[256] = "";
    size_t at = 0;
    if (tg_tokenizer_encode(o->tokenizer, text, strlen(text), has_specials, &tokens, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < tokens.count; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%s%d", i ? " " : "", tokens.ids[i]);
    assert_string_equal(got, wanted);
    tg_tokens_release(&tokens);
}

static void comes_back(const struct opened *o, const char *text, size_t size)
{
    struct tg_tokens tokens = {0};
    struct tg_error err;
    char *again = NULL;
    size_t again_size = 0;
    if (tg_tokenizer_encode(o->tokenizer, text, size, false, &tokens, &err) < 0 ||
        tg_tokenizer_decode(o->tokenizer, -1, tokens.ids, tokens.count, false, &again, &again_size,
                            &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, text, size);
    assert_int_equal(again[again_size], 0);
    free(again);
    tg_tokens_release(&tokens);
}

/* Pairs of letters have the least ranks; a blank and a letter rank before them. */
static void bytes_are_merged_by_rank(void **state)
{
    (void)state;
    struct opened o = {0};
    open_synthetic(&o);
    const int ab = 256 + 26 + 1, cd = 256 + 26 + 2 * 26 + 3, blank_a = 256;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%d %d", ab, cd);
    encodes(&o, "abcd", false, wanted);
    snprintf(wanted, sizeof wanted, "4998 %d 98 33", blank_a);
    encodes(&o, " aB!", true, "4998 256 66 33");
    encodes(&o, "\x80\xff", false, "128 255");
    encodes(&o, "<|end_of_text|>", true, "4998 4999");
    encodes(&o, "", false, "");
    assert_int_equal(tg_tokenizer_bos(o.tokenizer), 4998);
    assert_int_equal(tg_tokenizer_eos(o.tokenizer), 4999);
    assert_true(tg_tokenizer_is_end(o.tokenizer, 4999) && !tg_tokenizer_is_end(o.tokenizer, -1));
    assert_int_equal(tg_tokenizer_count(o.tokenizer), 5000);
    end(&o);
}

static void sentences_are_merged_by_score(void **state)
{
    (void)state;
    struct opened o = {0};
    open_sentence(&o, true);
    encodes(&o, "ab", false, "7 5");    /* "_a" has a better score than "ab" */
    encodes(&o, "bab", false, "3 8 5"); /* "ba" before "ab" */
    encodes(&o, "a", true, "1 7");      /* <s> first */
    encodes(&o, "c", false, "3 111");   /* 12 + 'c' */
    encodes(&o, "\xc3\xa9", false, "3 10");
    encodes(&o, " a", false, "11 4");
    encodes(&o, "<tool>a", false, "9 7"); /* user-defined: always; a blank before each text */
    encodes(&o, "a<s>a</s> a", true, "1 7 1 7 2 11 4");
    encodes(&o, "<unk>a", true, "1 0 7");
    encodes(&o, "<unk>", false, "3 72 129 122 119 74");
    encodes(&o, "</s>", true, "1 2");
    encodes(&o, "</s>", false, "3 72 59 127 74");
    end(&o);
}

static void a_byte_without_a_token_is_unknown_or_left_out(void **state)
{
    (void)state;
    struct opened o = {0};
    open_sentence(&o, false);
    encodes(&o, "c", false, "3 0");
    end(&o);
    struct tg_gguf_writer *w = writer();
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "gpt2");
    tg_gguf_writer_array(w, "tokenizer.ggml.tokens", TG_GGUF_STRING, 3);
    for (int i = 0; i < 3; i++) tg_gguf_writer_add_text(w, &"abu"[i], 1);
    tg_gguf_writer_array(w, "tokenizer.ggml.merges", TG_GGUF_STRING, 1);
    tg_gguf_writer_add_text(w, "a b", 3);
    tg_gguf_writer_count(w, "tokenizer.ggml.unknown_token_id", TG_GGUF_UINT32, 2);
    assert_string_equal(open_written(w, &o), "");
    encodes(&o, "acb\xff", false, "0 1");
    end(&o);
}

static void ids_that_a_file_does_not_say_are_those_of_sentencepiece(void **state)
{
    (void)state;
    struct opened o = {0};
    open_sentence_as(&o, false, false);
    assert_int_equal(tg_tokenizer_bos(o.tokenizer), 1);
    assert_int_equal(tg_tokenizer_eos(o.tokenizer), 2);
    encodes(&o, "ac", true, "1 7 0");
    end(&o);
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "  a",
                                        "a ",
                                        "Hello, world! 12345",
                                        "\n\n\t x",
                                        "\xe2\x96\x81"
                                        "a\xe2\x96\x81",
                                        "na\xc3\xafve \xf0\x9f\x98\x80",
                                        "\xff\xc3(",
                                        "<|end_of_text|>",
                                        "<s>ab</s>",
                                        "<tool>a<tool> b<tool><tool>",
                                        "<unk> a<unk>",
                                        "<0x41>",
                                        "<tool> x",
                                        "I'VE it's",
                                        "\xc4\xa0 \xc5\x83"};
    struct opened both[2] = {{0}};
    uint64_t random = 9;
    char text[400];
    open_synthetic(&both[0]);
    open_sentence(&both[1], true);
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            comes_back(&both[k], texts[i], strlen(texts[i]));
        for (int i = 0; i < 500; i++) {
            const size_t size = tg_fill_next(&random) % sizeof text;
            for (size_t b = 0; b < size; b++) {
                static const char usual[] = " ab\xe2\x96\x81\xc3\xa9<s>'\n0";
                const uint64_t drawn = tg_fill_next(&random);
                text[b] = i % 2 ? (char)(drawn >> 8) : usual[drawn % (sizeof usual - 1)];
            }
            comes_back(&both[k], text, size);
        }
        end(&both[k]);
    }
}

static void specials_are_shown_where_asked(void **state)
{
    (void)state;
    static const int32_t ids[] = {4998, 'h', 'i', 4999}, bad[] = {5000};
    struct opened o = {0};
    struct tg_error err;
    char *text;
    size_t size;
    open_synthetic(&o);
    assert_int_equal(tg_tokenizer_decode(o.tokenizer, -1, ids, 4, false, &text, &size, &err), 0);
    assert_string_equal(text, "hi");
    free(text);
    assert_int_equal(tg_tokenizer_decode(o.tokenizer, -1, ids, 4, true, &text, &size, &err), 0);
    assert_string_equal(text, "<|begin_of_text|>hi<|end_of_text|>");
    free(text);
    assert_int_equal(tg_tokenizer_decode(o.tokenizer, -1, bad, 1, true, &text, &size, &err), -1);
    assert_string_equal(err.text, "there is no token 5000");
    end(&o);
}

static void text_behind_a_prompt_keeps_its_blank(void **state)
{
    (void)state;
    static const struct {
        int32_t before;
        const char *text;
    } rows[] = {{-1, "a b"}, {5, " a b"}, {9, "a b"}, {1, "a b"}, {1000, "a b"}};
    static const int32_t ids[] = {7, 3, 5}; /* "_a", "_", "b" */
    struct opened o = {0};
    struct tg_error err;
    char *text;
    size_t size;
    open_sentence(&o, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            tg_tokenizer_decode(o.tokenizer, rows[i].before, ids, 3, false, &text, &size, &err), 0);
        assert_string_equal(text, rows[i].text);
        free(text);
    }
    end(&o);
}

static void a_text_ends_by_id_or_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int kind;
        bool is_end;
    } rows[] = {{"x", 1, false},         {"<|im_end|>", 3, true}, {"<|im_end|>", 1, false},
                {"<|eot_id|>", 3, true}, {"<|other|>", 3, false}, {"y", 3, true}};
    enum { ROWS = sizeof rows / sizeof *rows };
    struct opened o = {0};
    struct tg_gguf_writer *w = writer();
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "gpt2");
    tg_gguf_writer_array(w, "tokenizer.ggml.tokens", TG_GGUF_STRING, ROWS);
    for (int i = 0; i < ROWS; i++) tg_gguf_writer_add_text(w, rows[i].text, strlen(rows[i].text));
    tg_gguf_writer_array(w, "tokenizer.ggml.token_type", TG_GGUF_INT32, ROWS);
    for (int i = 0; i < ROWS; i++)
        tg_gguf_writer_add_count(w, TG_GGUF_INT32, (uint64_t)rows[i].kind);
    tg_gguf_writer_array(w, "tokenizer.ggml.merges", TG_GGUF_STRING, 1);
    tg_gguf_writer_add_text(w, "x y", 3);
    tg_gguf_writer_count(w, "tokenizer.ggml.eot_token_id", TG_GGUF_UINT32, 5);
    assert_string_equal(open_written(w, &o), "");
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(tg_tokenizer_is_end(o.tokenizer, i), rows[i].is_end);
    assert_false(tg_tokenizer_is_end(o.tokenizer, ROWS));
    end(&o);
}

/* Against the plainest byte-pair encoding: the best pair, searched for anew each time. */
static void long_words_are_merged_as_the_plainest_way_would(void **state)
{
    (void)state;
    struct opened o = {0};
    uint64_t random = 4;
    open_synthetic(&o);
    for (int round = 0; round < 50; round++) {
        char word[41] = "";
        struct tg_tokens tokens = {0};
        struct tg_error err;
        int ids[40], count = 20 + round % 20;
        for (int i = 0; i < count; i++) {
            word[i] = (char)('a' + tg_fill_next(&random) % 26);
            ids[i] = word[i];
        }
        assert_int_equal(tg_tokenizer_encode(o.tokenizer, word, strlen(word), false, &tokens, &err),
                         0);
        for (;;) { /* token t and letter x make token 256 + 702 + 26 (t - 256) + x, or a pair */
            int best = -1, made = 0;
            for (int i = 0; i + 1 < count; i++) {
                if (ids[i + 1] >= 256) continue;
                const int x = ids[i + 1] - 'a';
                const int id = ids[i] < 256 ? 256 + 26 + 26 * (ids[i] - 'a') + x
                                            : 256 + 702 + 26 * (ids[i] - 256) + x;
                if (id < 4998 && (best < 0 || id < made)) {
                    best = i;
                    made = id;
                }
            }
            if (best < 0) break;
            ids[best] = made;
            memmove(ids + best + 1, ids + best + 2, (size_t)(--count - best - 1) * sizeof *ids);
        }
        assert_int_equal(tokens.count, count);
        for (int i = 0; i < count; i++) assert_int_equal(tokens.ids[i], ids[i]);
        tg_tokens_release(&tokens);
    }
    end(&o);
}

static void what_is_not_known_is_refused(void **state)
{
    (void)state;
    struct opened o = {0};
    struct tg_gguf_writer *w = writer();
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "bert");
    assert_string_equal(open_written(w, &o),
                        "tokenizer 'bert' is not known here, only gpt2 and llama");
    end(&o);
    w = writer();
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "gpt2");
    tg_gguf_writer_text(w, "tokenizer.ggml.pre", "tekken");
    assert_string_equal(open_written(w, &o), "pre-tokenizer 'tekken' is not known here");
    end(&o);
    w = writer();
    tg_gguf_writer_text(w, "general.name", "x");
    assert_string_equal(open_written(w, &o), "there is no key 'tokenizer.ggml.model'");
    end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_merged_by_rank),
        cmocka_unit_test(sentences_are_merged_by_score),
        cmocka_unit_test(a_byte_without_a_token_is_unknown_or_left_out),
        cmocka_unit_test(ids_that_a_file_does_not_say_are_those_of_sentencepiece),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(specials_are_shown_where_asked),
        cmocka_unit_test(text_behind_a_prompt_keeps_its_blank),
        cmocka_unit_test(a_text_ends_by_id_or_by_name),
        cmocka_unit_test(long_words_are_merged_as_the_plainest_way_would),
        cmocka_unit_test(what_is_not_known_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
