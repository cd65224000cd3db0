/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history_plot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_history.h"

/* Twenty-four heads: slower by a step, or in a line that creeps. */
static char *drawn(bool is_line)
{
    struct tg_history h;
    struct tg_watch watch;
    struct tg_history_report report;
    struct tg_error err;
    char *text = NULL;
    size_t size;
    made_history(&h);
    for (int i = 0; i < 24; i++)
        made_past(&h, is_line ? i + 2 : i + 100, is_line ? i + 1 : 1,
                  0.003 * made_noise(i) + (is_line  ? 0.005
                                           : i < 14 ? 0
                                                    : 0.03),
                  0.01, 1e-4 * exp(0.004 * made_noise(i + 4)));
    tg_record_init(&tg_watch_type, &watch);
    if (tg_history_report_make(&h, NULL, &watch, &report, &err) < 0) fail_msg("%s", err.text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (tg_history_plot_write(&report, 1, out, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(fclose(out), 0);
    tg_history_report_release(&report);
    tg_store_history_release(&h);
    return text;
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) count++;
    return count;
}

static void steps_are_marked_with_size_and_head(void **state)
{
    (void)state;
    char *text = drawn(false);
    assert_int_equal(occurrences(text, "<circle"), 48); /* two courses of 24 runs */
    assert_int_equal(
        occurrences(text, "font-weight=\"bold\">call_time, i2s_avx2, m, attn_q: head vs base<"), 2);
    assert_int_equal(occurrences(text, ">level<"), 2);
    assert_int_equal(occurrences(text, "fill=\"#a02238\""), 1); /* one mark */
    char library[TG_DIGEST_SIZE], label[64];
    made_library(114, library);
    snprintf(label, sizeof label, " %%, %.12s<", library);
    assert_non_null(strstr(text, label));
    assert_non_null(strstr(text, ">% off the median<"));
    assert_non_null(strstr(text, ">head against base; runs from 2026-01-01 to 2026-01-24, "
                                 "hardware class-a<"));
    char *again = drawn(false);
    assert_string_equal(again, text);
    free(again);
    free(text);
}

static void creep_has_its_line(void **state)
{
    (void)state;
    char *text = drawn(true);
    assert_int_equal(occurrences(text, ">creep<"), 1);
    assert_int_equal(occurrences(text, ">creep +"), 1);
    assert_int_equal(occurrences(text, ">level<"), 1); /* of the absolute course */
    assert_non_null(strstr(text, ">% slower<"));
    free(text);
}

static void nothing_to_draw_is_a_plot_without_panels(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(tg_history_plot_write(NULL, 0, out, NULL), 0);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "</svg>\n"));
    assert_null(strstr(text, "<circle"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_marked_with_size_and_head),
        cmocka_unit_test(creep_has_its_line),
        cmocka_unit_test(nothing_to_draw_is_a_plot_without_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
