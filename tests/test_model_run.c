/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/model_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/made_gguf.h"
#include "tests/tiny_model.h"
#include "tests/worker_cell.h"

static char path[] = "/tmp/tg_model_run_XXXXXX";

/* As text and back: numbers are written, not kept. */
static struct tg_json_file printed(const struct tg_model_run_report *report)
{
    struct tg_json *json = tg_model_run_json(report);
    char *text = tg_json_print(json, true);
    struct tg_json_file file;
    struct tg_error err;
    if (tg_json_parse(text, &file, &err) < 0) fail_msg("%s", err.text);
    free(text);
    tg_json_free(json);
    return file;
}

static double number(const struct tg_json *object, const char *key)
{
    const struct tg_json *value = tg_json_get(object, key);
    assert_non_null(value);
    assert_int_equal(tg_json_kind(value), TG_JSON_NUMBER);
    return tg_json_number(value);
}

static void open_tiny(struct tg_session *s)
{
    const struct tg_synthetic what = {tg_model_find("tiny"), "I2_S", "F16", 5};
    const struct tg_session_options options = {
        .path = path, .threads = 1, .context = 64, .batch = 8};
    struct tg_pool *pool;
    struct tg_error err;
    assert_int_equal(tg_pool_create(1, NULL, &pool, &err), 0);
    assert_int_equal(tg_synthetic_write(&what, pool, path, &err), 0);
    tg_pool_destroy(pool);
    assert_int_equal(tg_session_open(&options, s, &err), 0);
}

static void the_json_has_the_fields_of_the_benchmark_report(void **state)
{
    (void)state;
    static const char *const timings[] = {"warmup_ms", "prefill_ms", "decode_ms", "generation_ms",
                                          "total_ms"};
    const struct tg_choice best = {0};
    struct tg_generation g = {0};
    struct tg_session s;
    struct tg_error err;
    open_tiny(&s);
    assert_int_equal(tg_session_generate(&s, "abc", 16, &best, true, &g, &err), 0);
    char text[] = "x\0\xff\n\xc3\xa9";
    const struct tg_model_run_report report = {
        path, "abc", NULL, text, sizeof text - 1, &s, &g, 0.0125, 4, 2e9, 1000, NULL};
    struct tg_json_file file = printed(&report);
    const struct tg_json *o = file.root, *own = tg_json_get(o, "tritgate");
    assert_string_equal(tg_json_text(tg_json_get(o, "generated_text")),
                        "x\xef\xbf\xbd\xef\xbf\xbd\n\xc3\xa9");
    assert_int_equal(tg_json_kind(tg_json_get(o, "tokenizer_path")), TG_JSON_NULL);
    assert_int_equal(tg_json_kind(tg_json_get(o, "error")), TG_JSON_NULL);
    assert_true(number(o, "tokens_generated") == 16 && number(o, "vocab") == 2048);
    assert_true(number(o, "warmup_tokens") == 4);
    for (size_t i = 0; i < sizeof timings / sizeof *timings; i++) {
        const double ms = number(tg_json_get(o, "timing"), timings[i]);
        assert_true(ms >= 0 && ms == (double)(long)ms);
    }
    assert_true(number(tg_json_get(o, "timing"), "warmup_ms") == 13);
    const struct tg_json *performance = tg_json_get(o, "performance");
    const double rate = number(performance, "tokens_per_sec");
    assert_true(rate > 0.999 * 15 / g.decode_s && rate < 1.001 * 15 / g.decode_s);
    assert_true(number(performance, "ms_per_token") > 0);
    assert_true(number(performance, "total_tokens_per_sec") > 0);
    assert_true(number(own, "token_bytes") > 0 && number(own, "bound_share") > 0);
    assert_int_equal(tg_json_number(tg_json_get(own, "is_synthetic")), 1);
    tg_json_release(&file);
    tg_generation_release(&g);
    tg_session_close(&s);
}

static void memory_is_that_of_the_run_and_not_of_who_started_it(void **state)
{
    (void)state;
    char json[] = "/tmp/tg_model_run_json_XXXXXX";
    const char *const argv[] = {"/proc/self/exe", "run", path, "--tokens", "2",
                                "--json",         json,  NULL};
    struct tg_session s;
    struct tg_child *child;
    struct tg_child_end end;
    struct tg_json_file file;
    struct tg_error err;
    open_tiny(&s);
    tg_session_close(&s);
    close(mkstemp(json));
    hold_for_a_moment(300000000);
    assert_int_equal(tg_child_start(argv, NULL, 0, 0, &child, &err), 0);
    tg_child_finish(child, tg_now() + 60, &end);
    assert_int_equal(end.status, 0);
    if (tg_json_read(json, &file, &err) < 0) fail_msg("%s", err.text);
    const double bytes = number(tg_json_get(file.root, "tritgate"), "memory_bytes");
    assert_true(bytes > 0 && bytes < 200e6);
    tg_json_release(&file);
    unlink(json);
}

/* What is printed, from its beginning. */
static FILE *print(const struct tg_model_run_report *report)
{
    FILE *out = tmpfile();
    assert_non_null(out);
    fflush(stdout);
    const int before = dup(STDOUT_FILENO);
    dup2(fileno(out), STDOUT_FILENO);
    tg_model_run_print(report);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    rewind(out);
    return out;
}

/* The greatest share that is printed, in percent. */
static double greatest_share(const struct tg_model_run_report *report)
{
    char line[256];
    double share, greatest = 0;
    FILE *out = print(report);
    while (fgets(line, sizeof line, out))
        if (sscanf(line, "%*18c %*f s %lf %%", &share) == 1 && share > greatest) greatest = share;
    fclose(out);
    return greatest;
}

/* A token that ends a text is computed as any other, though it is not among those that are told. */
static void the_token_that_ends_a_text_has_its_time(void **state)
{
    (void)state;
    struct tg_session s;
    open_tiny(&s);
    for (int i = 0; i < 2; i++) {
        const struct tg_generation g = {.prompt.count = 30,
                                        .tokens.count = (size_t)i,
                                        .has_ended = true,
                                        .tokenize_s = 20,
                                        .prefill_s = 300,
                                        .first_token_s = 321,
                                        .end_s = i * 100,
                                        .choose_s = 1,
                                        .stages.attention = 300 + i * 99};
        const struct tg_model_run_report report = {
            .path = path, .prompt = "abc", .session = &s, .generation = &g};
        struct tg_json_file file = printed(&report);
        const struct tg_json *timing = tg_json_get(file.root, "timing");
        const double load_ms = 1e3 * (s.load_s + s.quantise_s);
        assert_true(number(timing, "generation_ms") == (i ? 401e3 : 301e3));
        assert_true(number(timing, "total_ms") >= load_ms + (i ? 421e3 : 321e3) - 1);
        assert_true(number(timing, "decode_ms") == 0);
        assert_true(number(tg_json_get(file.root, "tritgate"), "end_s") == i * 100);
        assert_int_equal(tg_json_kind(tg_json_get(tg_json_get(file.root, "tritgate"), "read_rate")),
                         TG_JSON_NULL); /* a device's is not measured */
        const double share = greatest_share(&report);
        assert_true(share > 90 && share <= 100);
        tg_json_release(&file);
    }
    tg_session_close(&s);
}

/* Nothing is decoded behind one token, which is the prompt's. */
static void what_was_not_measured_is_no_number(void **state)
{
    (void)state;
    static const char *const unknown[] = {"decode_rate", "token_s_p50", "token_s_p95",
                                          "bound_share", "memory_bytes"};
    const struct tg_generation g = {
        .prompt.count = 30, .tokens.count = 1, .prefill_s = 3, .first_token_s = 3};
    struct tg_session s;
    char text[2048];
    open_tiny(&s);
    const struct tg_model_run_report report = {.path = path,
                                               .prompt = "abc",
                                               .session = &s,
                                               .generation = &g,
                                               .read_rate = 2e9,
                                               .memory_bytes = -1};
    struct tg_json_file file = printed(&report);
    const struct tg_json *own = tg_json_get(file.root, "tritgate");
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(tg_json_kind(tg_json_get(own, unknown[i])), TG_JSON_NULL);
    assert_true(number(own, "prefill_rate") == 10);
    assert_true(number(tg_json_get(file.root, "performance"), "tokens_per_sec") == 0);
    assert_true(number(tg_json_get(file.root, "performance"), "ms_per_token") == 0);
    FILE *out = print(&report);
    text[fread(text, 1, sizeof text - 1, out)] = 0;
    fclose(out);
    assert_non_null(strstr(text, "\nprompt     30 tokens, 10.0 tokens/s, first"));
    assert_non_null(strstr(text, "\ngenerated  1 tokens, - tokens/s, p50 - ms, p95 - ms\n"));
    assert_non_null(strstr(text, "\nmemory     - MB at most; "));
    assert_non_null(strstr(text, ", - % of what 2.0 GB/s allow\n"));
    tg_json_release(&file);
    tg_session_close(&s);
}

static void a_failure_is_told_in_the_same_form(void **state)
{
    (void)state;
    const struct tg_model_run_report report = {.path = "x", .prompt = "p", .error = "no such file"};
    struct tg_json_file file = printed(&report);
    assert_int_equal(tg_json_number(tg_json_get(file.root, "success")), 0);
    assert_string_equal(tg_json_text(tg_json_get(file.root, "error")), "no such file");
    assert_true(number(file.root, "tokens_generated") == 0);
    assert_null(tg_json_get(file.root, "tritgate"));
    tg_json_release(&file);
}

static void a_model_whose_logits_are_no_numbers_is_refused(void **state)
{
    (void)state;
    char *arguments[] = {"run", path, "--tokens", "2", NULL};
    struct tg_session s;
    open_tiny(&s);
    tg_session_close(&s);
    assert_int_equal(tg_model_run_command(4, arguments), 0);
    assert_int_equal(tiny_spoil(path, "output_norm.weight"), 0);
    assert_int_equal(tg_model_run_command(4, arguments), 3);
}

/* Tokens, and the text that a run tells of them. */
struct words {
    struct tg_gguf *gguf;
    struct tg_tokenizer *tokenizer;
    struct tg_tokens tokens;
    char *text;
    size_t size, untold;
};

static void open_words(const char *text, size_t bytes, struct words *w)
{
    struct tg_error err;
    *w = (struct words){0};
    assert_int_equal(tg_gguf_open(path, &w->gguf, &err), 0);
    assert_int_equal(tg_tokenizer_open(w->gguf, &w->tokenizer, &err), 0);
    assert_int_equal(tg_tokenizer_encode(w->tokenizer, text, bytes, false, &w->tokens, &err), 0);
}

static void tell(struct words *w)
{
    const struct tg_tokens prompt = {0};
    struct tg_error err;
    free(w->text);
    assert_int_equal(
        tg_model_run_text(w->tokenizer, &prompt, &w->tokens, &w->text, &w->size, &w->untold, &err),
        0);
}

static void close_words(struct words *w)
{
    free(w->text);
    tg_tokens_release(&w->tokens);
    tg_tokenizer_close(w->tokenizer);
    tg_gguf_close(w->gguf);
}

/* A head has more rows than there are tokens where these were filled up for the sake of speed. */
static void what_has_no_text_is_left_out_and_counted(void **state)
{
    (void)state;
    struct words w;
    open_words("abc xyz", 7, &w);
    tell(&w);
    assert_string_equal(w.text, "abc xyz");
    assert_int_equal(w.untold, 0);
    w.tokens.ids = realloc(w.tokens.ids, (w.tokens.count + 2) * sizeof *w.tokens.ids);
    assert_non_null(w.tokens.ids);
    memmove(w.tokens.ids + 1, w.tokens.ids, w.tokens.count * sizeof *w.tokens.ids);
    w.tokens.ids[0] = (int32_t)tg_tokenizer_count(w.tokenizer);
    w.tokens.ids[w.tokens.count + 1] = INT32_MAX;
    w.tokens.count += 2;
    tell(&w);
    assert_string_equal(w.text, "abc xyz");
    assert_int_equal(w.untold, 2);
    close_words(&w);
}

static void a_zero_byte_ends_no_text(void **state)
{
    (void)state;
    struct words w;
    open_words("x\0y", 3, &w);
    tell(&w);
    assert_int_equal(w.size, 3);
    assert_memory_equal(w.text, "x\0y", 3);
    close_words(&w);
}

/* As SentencePiece has it, without a blank: that is three bytes, and `a` is user-defined. */
static void write_bytes_only(struct tg_gguf_writer *w)
{
    enum { UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, BYTE = 6, FIRST = 3, COUNT = FIRST + 256 };
    static const char *const names[FIRST] = {"<unk>", "<s>", "a"};
    static const int kinds[FIRST] = {UNKNOWN, CONTROL, USER_DEFINED};
    char name[8];
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "llama");
    tg_gguf_writer_array(w, "tokenizer.ggml.tokens", TG_GGUF_STRING, COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)(i - FIRST) & 0xff);
        tg_gguf_writer_add_text(w, i < FIRST ? names[i] : name,
                                strlen(i < FIRST ? names[i] : name));
    }
    tg_gguf_writer_array(w, "tokenizer.ggml.scores", TG_GGUF_FLOAT32, COUNT);
    for (int i = 0; i < COUNT; i++) tg_gguf_writer_add_real(w, 0);
    tg_gguf_writer_array(w, "tokenizer.ggml.token_type", TG_GGUF_INT32, COUNT);
    for (int i = 0; i < COUNT; i++)
        tg_gguf_writer_add_count(w, TG_GGUF_INT32, (uint64_t)(i < FIRST ? kinds[i] : BYTE));
    tg_gguf_writer_count(w, "tokenizer.ggml.bos_token_id", TG_GGUF_UINT32, 1);
}

/* The context is reserved before the prompt's tokens are known. */
static void a_prompt_of_more_tokens_than_bytes_is_run(void **state)
{
    (void)state;
    char *arguments[] = {"run",      path, "--prompt",     "a a a a a a a a",
                         "--tokens", "6",  "--ignore-end", NULL};
    struct made_gguf made = {.vocabulary = 300, .write_tokens = write_bytes_only};
    made_gguf(&made);
    made_write(&made, path);
    free(made.bytes);
    assert_int_equal(tg_model_run_command(7, arguments),
                     0); /* 1 + 8 + 7 * 6 tokens, and 6, of 64 */
}

int main(int argc, char **argv)
{
    if (argc > 1) return tg_model_run_command(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_json_has_the_fields_of_the_benchmark_report),
        cmocka_unit_test(memory_is_that_of_the_run_and_not_of_who_started_it),
        cmocka_unit_test(the_token_that_ends_a_text_has_its_time),
        cmocka_unit_test(what_was_not_measured_is_no_number),
        cmocka_unit_test(a_model_whose_logits_are_no_numbers_is_refused),
        cmocka_unit_test(what_has_no_text_is_left_out_and_counted),
        cmocka_unit_test(a_zero_byte_ends_no_text),
        cmocka_unit_test(a_prompt_of_more_tokens_than_bytes_is_run),
        cmocka_unit_test(a_failure_is_told_in_the_same_form),
    };
    close(mkstemp(path));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
