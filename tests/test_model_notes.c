/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_notes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static struct tg_model_note note_of(size_t turn)
{
    const double t = (double)turn + 1;
    return (struct tg_model_note){.turn = turn,
                                  .begun = 1000 + (int64_t)turn,
                                  .stages = {t, 2 * t, 3 * t, 4 * t},
                                  .choose_s = 5 * t,
                                  .device = {0, 6 * t, 7 * t, 8 * t, 9 * t},
                                  .gpu_bytes = 10 * ((int64_t)turn + 1)};
}

static void each_quantity_becomes_a_series_with_the_turns_of_the_samples(void **state)
{
    (void)state;
    static const char *const metrics[] = {
        "activation_time", "product_time", "attention_time", "head_time",     "choose_time",
        "copy_in_time",    "prompt_time",  "step_time",      "copy_out_time", "gpu_memory"};
    struct tg_model_notes notes = {0};
    struct tg_measurement m;
    for (size_t i = 0; i < 100; i++) {
        const struct tg_model_note note = note_of(2 * i);
        tg_model_notes_take(&notes, &note);
    }
    tg_measurement_init(&m);
    tg_model_notes_add(&notes, &m);
    for (int k = 0; k < 10; k++) {
        const struct tg_series *s = tg_measurement_series(&m, metrics[k]);
        assert_non_null(s);
        assert_int_equal(s->count, 100);
        for (size_t i = 0; i < 100; i++) {
            assert_true(s->samples[i] == (k + 1) * (2.0 * (double)i + 1));
            assert_int_equal(s->turns[i], 2 * i);
            assert_int_equal(s->begun[i], 1000 + 2 * i);
        }
    }
    assert_null(tg_measurement_series(&m, "tokenize_rate")); /* no text was read */
    tg_measurement_free(&m);
    tg_model_notes_release(&notes);
    assert_null(notes.list);
}

/* A leak of a MiB a sample is a rise of the memory held, and of the peak. */
static void memory_is_that_of_the_process_after_the_sample(void **state)
{
    (void)state;
    enum { SAMPLES = 12, LEAK = 1 << 20 };
    struct tg_model_notes notes = {0};
    struct tg_measurement m;
    char *kept[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct tg_model_note note = note_of(i);
        kept[i] = malloc(LEAK);
        memset(kept[i], 1, LEAK);
        tg_model_notes_take(&notes, &note);
    }
    tg_measurement_init(&m);
    tg_model_notes_add(&notes, &m);
    const struct tg_series *held = tg_measurement_series(&m, "held_memory");
    const struct tg_series *peak = tg_measurement_series(&m, "peak_memory");
    assert_true(held && peak && held->count == SAMPLES && peak->count == SAMPLES);
    const double grown = held->samples[SAMPLES - 1] - held->samples[0];
    assert_true(grown > 0.8 * (SAMPLES - 1) * LEAK && grown < 2.0 * SAMPLES * LEAK);
    assert_true(peak->samples[SAMPLES - 1] >= held->samples[SAMPLES - 1]);
    for (size_t i = 0; i < SAMPLES; i++) free(kept[i]);
    tg_measurement_free(&m);
    tg_model_notes_release(&notes);
}

static void what_one_sample_lacks_is_no_series(void **state)
{
    (void)state;
    struct tg_model_notes notes = {0};
    struct tg_measurement m;
    for (size_t i = 0; i < 4; i++) {
        struct tg_model_note note = note_of(i);
        note.tokenize_rate = i == 2 ? 0 : 100;
        tg_model_notes_take(&notes, &note);
    }
    tg_measurement_init(&m);
    tg_model_notes_add(&notes, &m);
    assert_null(tg_measurement_series(&m, "tokenize_rate"));
    assert_non_null(tg_measurement_series(&m, "head_time"));
    tg_measurement_free(&m);
    tg_model_notes_release(&notes);
    tg_measurement_init(&m);
    tg_model_notes_add(&notes, &m);
    assert_int_equal(m.series_count, 0);
    tg_measurement_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_quantity_becomes_a_series_with_the_turns_of_the_samples),
        cmocka_unit_test(memory_is_that_of_the_process_after_the_sample),
        cmocka_unit_test(what_one_sample_lacks_is_no_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
