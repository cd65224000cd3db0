/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/probe.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/kernel.h"
#include "tests/made_gguf.h"
#include "tests/model_cell.h"
#include "worker/model/profile.h"
#include "worker/probe/pool.h"

/* Whole models as cells: on a tiny one, by each profile that it has room for. */

/* A kernel that does not make the tests slow. */
static const char *fast(void)
{
    const struct tg_kernel *kernel = tg_kernel_find("i2s_avx2");
    return kernel->run && kernel->here() ? "i2s_avx2" : "i2s_scalar";
}

static void each_profile_gives_the_samples_of_its_metric(void **state)
{
    (void)state;
    static const char *const beside[] = {"held_memory",  "peak_memory", "activation_time",
                                         "product_time", "head_time",   "attention_time"};
    for (size_t i = 0; i < tg_profile_count(); i++) {
        const struct tg_profile *p = tg_profile_at(i);
        char axes[128];
        if (tg_profile_context(p) > 512 || p->call == TG_CALL_NONE) continue;
        snprintf(axes, sizeof axes, "kernel=%s profile=%s", fast(), p->name);
        const struct tg_setup setup = setup_of(axes);
        struct tg_measurement m = measure(&setup, 3);
        if (m.outcome != TG_MEASURED) fail_msg("%s: %s", p->name, m.reason);
        const struct tg_series *s = tg_measurement_series(&m, p->metric);
        assert_true(s && s->count == 3);
        assert_null(tg_measurement_series(&m, "call_time"));
        for (int k = 0; k < 3; k++) assert_true(isfinite(s->samples[k]) && s->samples[k] > 0);
        for (int k = 0; k < 6; k++) {
            const struct tg_series *other = tg_measurement_series(&m, beside[k]);
            if (!other || other->count != 3) fail_msg("%s lacks %s", p->name, beside[k]);
            assert_memory_equal(other->turns, s->turns, 3 * sizeof *s->turns);
        }
        assert_int_equal(tg_measurement_series(&m, "tokenize_rate") != NULL,
                         p->call == TG_CALL_TEXT);
        assert_true(only_sample(&m, "load_time") > 0 && only_sample(&m, "pack_time") > 0);
        assert_string_equal(m.facts.model_source, "synthetic");
        assert_true(m.facts.limit_s > 0 && m.facts.read_rate > 0 && m.facts.packed_bytes > 0);
        tg_measurement_free(&m);
    }
}

/* A rate is tokens over seconds: the stages of a call take about what the call does. */
static void a_rate_is_tokens_a_second(void **state)
{
    (void)state;
    char axes[128];
    snprintf(axes, sizeof axes, "kernel=%s profile=prefill_128", fast());
    const struct tg_setup setup = setup_of(axes);
    struct tg_measurement m = measure(&setup, 5);
    const struct tg_series *rate = tg_measurement_series(&m, "prefill_rate");
    for (size_t i = 0; i < 5; i++) {
        double sum = 0;
        static const char *const stages[] = {"activation_time", "product_time", "attention_time",
                                             "head_time"};
        for (int k = 0; k < 4; k++) sum += tg_measurement_series(&m, stages[k])->samples[i];
        const double call_s = 128 / rate->samples[i];
        assert_true(sum <= call_s && sum > 0.5 * call_s);
    }
    tg_measurement_free(&m);
    double value = tg_probe_value(&setup.cell, 0.25);
    assert_true(value == 512);
    assert_string_equal(tg_probe_metric(&setup.cell), "prefill_rate");
    const struct tg_setup whole = setup_of("kernel=i2s_scalar profile=slo_128");
    assert_true(tg_probe_value(&whole.cell, 0.25) == 0.25);
    assert_true(tg_probe_call_s(&setup.cell, "prefill_rate", 512) == 0.25);
    assert_true(tg_probe_call_s(&whole.cell, "end_to_end_time", 8) == 8);
    assert_true(isnan(tg_probe_call_s(&setup.cell, "decode_rate", 512)));
}

static void tokens_and_logits_depend_on_neither_kernel_nor_threads_nor_round(void **state)
{
    (void)state;
    static const char *const ways[] = {"kernel=i2s_scalar", "kernel=i2s_scalar threads=2",
                                       "kernel=tl2_scalar", "kernel=panel_scalar threads=3"};
    double wanted = 0;
    for (int i = 0; i < 4; i++) {
        char axes[128];
        snprintf(axes, sizeof axes, "%s profile=decode_32", ways[i]);
        struct tg_setup setup = setup_of(axes);
        snprintf(setup.seed, sizeof setup.seed, "%d", 100 + i);
        struct tg_measurement m = measure(&setup, 1);
        if (m.outcome != TG_MEASURED) fail_msg("%s: %s", axes, m.reason);
        const double sum = only_sample(&m, "output_checksum");
        if (i == 0) wanted = sum;
        assert_true(sum == wanted && sum > 0 && sum < 0x1p53);
        tg_measurement_free(&m);
    }
}

static void accuracy_is_not_timed(void **state)
{
    (void)state;
    const struct tg_setup setup = setup_of("kernel=i2s_scalar threads=2 profile=accuracy");
    assert_null(tg_probe_metric(&setup.cell));
    struct tg_measurement m = measure(&setup, 5);
    assert_int_equal(m.outcome, TG_MEASURED);
    const double cosine = only_sample(&m, "logit_cosine");
    assert_true(cosine > 0.9 && cosine < 1); /* int8 activations: close, and never the same */
    assert_true(only_sample(&m, "top1_agreement") > 0.5);
    const double divergence = only_sample(&m, "logit_divergence");
    assert_true(divergence > 0 && divergence < 1);
    assert_null(tg_measurement_series(&m, "held_memory"));
    assert_true(isnan(m.facts.call_s));
    tg_measurement_free(&m);
}

/* The short check looks at one block. */
static void a_wrong_kernel_has_no_speed(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"stub_wrong", "differs from the reference"},
        {"stub_crowd", "differs from the reference"},
        {"stub_sparse", "differs from the reference"},
        {"stub_tires", "than the checked one"},
        {"stub_falls", "was called"},
    };
    int found = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct tg_kernel *kernel = tg_kernel_find(rows[i][0]);
        if (!kernel || !kernel->run || !kernel->here()) continue;
        char axes[128];
        snprintf(axes, sizeof axes, "kernel=%s profile=decode_32", rows[i][0]);
        struct tg_setup setup = setup_of(axes);
        setup.is_complete = false;
        struct tg_measurement m = measure(&setup, 50);
        assert_int_equal(m.outcome, TG_WRONG);
        if (!strstr(m.reason, rows[i][1])) fail_msg("%s: %s", rows[i][0], m.reason);
        assert_null(tg_measurement_series(&m, "decode_rate"));
        assert_null(tg_measurement_series(&m, "head_time"));
        tg_measurement_free(&m);
        found++;
    }
    if (!found) skip(); /* this build has no stubs */
}

static void a_model_whose_logits_are_no_numbers_has_no_speed(void **state)
{
    (void)state;
    char axes[128];
    snprintf(axes, sizeof axes, "kernel=%s profile=decode_32", fast());
    const struct tg_setup setup = setup_of(axes);
    assert_int_equal(tiny_spoil(tiny_path, "output_norm.weight"), 0);
    struct tg_measurement m = measure(&setup, 3);
    assert_int_equal(m.outcome, TG_WRONG);
    assert_string_equal(m.reason, "a logit is not finite");
    tg_measurement_free(&m);
}

static void what_is_said_of_a_model_is_held_against_its_file(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_measurement m;
    struct tg_setup setup = setup_of("kernel=i2s_scalar profile=decode_32");
    tg_record_set(&tg_cell_type, &setup.cell, "model", "gguf", NULL);
    assert_int_equal(tg_probe_run_alone(&setup, 1, &m, &err), -1);
    if (!strstr(err.text, "is a synthetic model, and no real one")) fail_msg("%s", err.text);
    setup = setup_of("kernel=i2s_scalar profile=long_context_4096");
    assert_int_equal(tg_probe_run_alone(&setup, 1, &m, &err), -1);
    assert_string_equal(err.text,
                        "profile long_context_4096 needs a context of 4096, the model has 512");
    setup = setup_of("kernel=i2s_scalar profile=decode");
    assert_int_equal(tg_probe_run_alone(&setup, 1, &m, &err), -1);
    assert_string_equal(err.text, "no such profile 'decode'");
    setup = setup_of("kernel=i2s_scalar_unpack profile=decode_32");
    assert_int_equal(tg_probe_run_alone(&setup, 1, &m, &err), -1);
    if (!strstr(err.text, "computes no ternary product")) fail_msg("%s", err.text);
}

static void the_memory_of_a_model_is_known_before_it_is_run(void **state)
{
    (void)state;
    static const struct {
        const char *cell;
        double least, most; /* GB */
    } rows[] = {
        {"probe=model kernel=i2s_avx2 model=bitnet-2b profile=decode_128", 1.1, 2},
        {"probe=model kernel=i2s_avx2 model=falcon3-7b profile=decode_128", 2.4, 4},
        {"probe=model kernel=i2s_avx2 model=bitnet-2b profile=long_context_4096", 1.5, 2.5},
        {"probe=model kernel=i2s_avx2 model=bitnet-2b profile=accuracy", 1.8, 3.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_cell cell;
        assert_int_equal(tg_cell_parse(rows[i].cell, &cell, NULL), 0);
        const double gigabytes = (double)tg_probe_bytes(&cell, "") * 1e-9;
        if (gigabytes < rows[i].least || gigabytes > rows[i].most)
            fail_msg("%s: %.3g GB", rows[i].cell, gigabytes);
    }
    struct tg_cell cell;
    assert_int_equal(tg_cell_parse("probe=model model=gguf profile=decode_128", &cell, NULL), 0);
    assert_int_equal(tg_probe_bytes(&cell, ""), -1);
}

/*
 * Three times the file; a head of a type without a dot product of its own is copied as F32, and
 * `accuracy` has two, and logits of its 64 tokens; and each thread checks products in batches.
 */
static void the_memory_of_a_file_is_that_of_its_head_and_threads(void **state)
{
    (void)state;
    enum { ROWS = 1 << 14 };
    static const struct {
        const char *type, *profile;
        int wider; /* copies */
        int held, batch;
    } rows[] = {{"F16", "decode_128", 0, 0, 128},
                {"F16", "accuracy", 0, 64, 64},
                {"Q4_0", "decode_128", 1, 0, 128},
                {"Q4_0", "accuracy", 2, 64, 64},
                {"F16", "batch_32", 0, 0, 32}};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const int threads = i % 2 ? 64 : 1, row = (int)i / 2;
        struct made_gguf made = {.head = rows[row].type, .vocabulary = ROWS};
        const int64_t matrix = MADE_FFN * MADE_HIDDEN;
        const int64_t each = TG_POOL_STACK_BYTES + matrix + (5 * rows[row].batch + 64) * MADE_FFN;
        const int64_t second = rows[row].held ? matrix + 8 * rows[row].held * ROWS : 0;
        char file[] = "/tmp/tg_head_XXXXXX", text[128];
        const int descriptor = mkstemp(file);
        struct tg_cell cell;
        assert_true(descriptor >= 0 && close(descriptor) == 0);
        made_gguf(&made);
        made_write(&made, file);
        free(made.bytes);
        snprintf(text, sizeof text,
                 "probe=model kernel=i2s_scalar model=gguf profile=%s threads=%d",
                 rows[row].profile, threads);
        assert_int_equal(tg_cell_parse(text, &cell, NULL), 0);
        const int64_t bytes = tg_probe_bytes(&cell, file);
        unlink(file);
        /* Four bytes a number, instead of 18 for 32. */
        const int64_t wider = ROWS * MADE_HIDDEN / 32 * (32 * 4 - 18);
        assert_int_equal(bytes, 3 * (int64_t)made.size + rows[row].wider * wider + second +
                                    threads * each);
        assert_int_equal(tg_probe_bytes(&cell, file), -1);
    }
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_profile_gives_the_samples_of_its_metric),
        cmocka_unit_test(a_rate_is_tokens_a_second),
        cmocka_unit_test(tokens_and_logits_depend_on_neither_kernel_nor_threads_nor_round),
        cmocka_unit_test(accuracy_is_not_timed),
        cmocka_unit_test(a_wrong_kernel_has_no_speed),
        cmocka_unit_test(what_is_said_of_a_model_is_held_against_its_file),
        cmocka_unit_test(the_memory_of_a_model_is_known_before_it_is_run),
        cmocka_unit_test(a_model_whose_logits_are_no_numbers_has_no_speed),
        cmocka_unit_test(the_memory_of_a_file_is_that_of_its_head_and_threads),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
