/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The plot's text; the caller frees. */
static char *drawn(const struct tg_plot *plot)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tg_plot_write(plot, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strlen(text), size);
    return text;
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) count++;
    return count;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("no '%s' in:\n%s", part, text);
}

/* Every element that is opened is closed, in order, and nothing stands outside of them. */
static void assert_well_formed(const char *text)
{
    char open[32][32];
    int depth = 0;
    for (const char *t = strchr(text + 2, '<'); t; t = strchr(t + 1, '<')) {
        const char *end = strchr(t, '>');
        assert_non_null(end);
        char name[32] = "";
        sscanf(t + 1 + (t[1] == '/'), "%31[a-z]", name);
        if (t[1] == '/')
            assert_string_equal(open[--depth], name);
        else if (end[-1] != '/')
            memcpy(open[depth++], name, sizeof name);
        assert_in_range(depth, 0, 30);
    }
    assert_int_equal(depth, 0);
}

static void ticks_are_round(void **state)
{
    (void)state;
    static const struct {
        double low, high;
        int most;
        struct tg_plot_ticks wanted;
    } rows[] = {
        {0, 10, 6, {0, 2, 6, 0}},
        {0.3, 9.9, 11, {1, 1, 9, 0}},
        {-0.013, 0.049, 7, {-0.01, 0.01, 6, 2}},
        {-1, 1, 5, {-1, 0.5, 5, 1}},
        {0, 1, 2, {0, 1, 2, 0}},
        {1234, 98765, 6, {20000, 20000, 4, 0}},
        {3.1e-5, 3.4e-5, 7, {3.1e-5, 5e-7, 7, 7}},
        {99.98, 100.01, 5, {99.98, 0.01, 4, 2}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct tg_plot_ticks t = tg_plot_ticks(rows[i].low, rows[i].high, rows[i].most);
        if (fabs(t.first - rows[i].wanted.first) > 1e-9 * fabs(rows[i].wanted.first) ||
            fabs(t.step - rows[i].wanted.step) > 1e-9 * t.step || t.count != rows[i].wanted.count ||
            t.decimals != rows[i].wanted.decimals)
            fail_msg("%g to %g: from %g by %g, %d of them, %d decimals", rows[i].low, rows[i].high,
                     t.first, t.step, t.count, t.decimals);
    }
}

static void each_kind_of_series_is_drawn(void **state)
{
    (void)state;
    const struct tg_plot_point points[] = {{0, 0, NAN, NAN}, {5, 10, 8, 12}, {10, 5, NAN, NAN}};
    const struct tg_plot_series series[] = {{"a line", TG_PLOT_LINE, 0, points, 3},
                                            {"dots", TG_PLOT_POINTS, 1, points, 3},
                                            {"", TG_PLOT_STEPS, 2, points, 3}};
    const struct tg_plot_mark line = {7, "a limit"}, marks[] = {{5, "first"}, {5.2, "second"}};
    const struct tg_plot_panel panels[] = {
        {"one", "runs", "percent", series, 3, &line, 1, marks, 2},
        {"two", "x", "y", series, 1, NULL, 0, NULL, 0}};
    const struct tg_plot plot = {"a plot", panels, 2};
    char *text = drawn(&plot);
    assert_well_formed(text);
    assert_int_equal(occurrences(text, "<circle"), 3);
    assert_int_equal(occurrences(text, "<path"), 3);
    const char *const labels[] = {">a line<", ">dots<",    ">a limit<", ">first<", ">second<",
                                  ">runs<",   ">percent<", ">one<",     ">two<"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) assert_has(text, labels[i]);
    /* Of the first path: one move, two lines. Of the steps: two more, across. */
    assert_int_equal(occurrences(text, "M"), 3);
    char *again = drawn(&plot);
    assert_string_equal(again, text);
    free(again);
    free(text);
}

/* The axes span 0 to 10 and a fiftieth more on either side, from x = 78 to 876. */
static void a_point_is_where_its_numbers_say(void **state)
{
    (void)state;
    const struct tg_plot_point points[] = {
        {0, 0, NAN, NAN}, {5, 50, NAN, NAN}, {10, 100, NAN, NAN}};
    const struct tg_plot_series series = {"", TG_PLOT_POINTS, 0, points, 3};
    const struct tg_plot_panel panel = {"", "", "", &series, 1, NULL, 0, NULL, 0};
    const struct tg_plot plot = {"", &panel, 1};
    char *text = drawn(&plot);
    assert_has(text, "<circle cx=\"477.0\" cy=\"165.0\"");
    assert_has(text, "<circle cx=\"93.3\" cy=\"251.6\"");
    assert_has(text, "<circle cx=\"860.7\" cy=\"78.4\"");
    free(text);
}

static void counts_have_no_ticks_between(void **state)
{
    (void)state;
    const struct tg_plot_point points[] = {{1, 0, NAN, NAN}, {3, 1, NAN, NAN}};
    const struct tg_plot_series series = {"", TG_PLOT_LINE, 0, points, 2};
    for (int counts = 0; counts < 2; counts++) {
        const struct tg_plot_panel panel = {.title = "",
                                            .x_title = "",
                                            .y_title = "",
                                            .series = &series,
                                            .series_count = 1,
                                            .has_counts = counts};
        const struct tg_plot plot = {"", &panel, 1};
        char *text = drawn(&plot);
        assert_int_equal(occurrences(text, "\"middle\">2.2<"), !counts);
        assert_int_equal(occurrences(text, "\"middle\">2<"), counts);
        free(text);
    }
}

static void texts_cannot_break_out(void **state)
{
    (void)state;
    const struct tg_plot_mark line = {0, "</text><script>\"&'\x1b\xff\xc3\xa9\xed\xa0\x80"};
    const struct tg_plot_panel panel = {"<", "&", ">", NULL, 0, &line, 1, NULL, 0};
    const struct tg_plot plot = {"a & b", &panel, 1};
    char *text = drawn(&plot);
    assert_well_formed(text);
    assert_has(text, ">&lt;/text&gt;&lt;script&gt;&quot;&amp;'?"
                     "?\xc3\xa9?"
                     "?"
                     "?<");
    assert_has(text, "<title>a &amp; b</title>");
    assert_null(strstr(text, "<script"));
    free(text);
}

static void what_is_not_finite_is_left_out(void **state)
{
    (void)state;
    const struct tg_plot_point points[] = {{0, 1, -INFINITY, INFINITY},
                                           {NAN, 2, 1, 3},
                                           {2, INFINITY, 1, INFINITY},
                                           {3, 2, 1.5, INFINITY}};
    const struct tg_plot_mark bad = {NAN, "nowhere"};
    for (int kind = TG_PLOT_LINE; kind <= TG_PLOT_STEPS; kind++) {
        const struct tg_plot_series series = {"s", (enum tg_plot_kind)kind, 7, points, 4};
        const struct tg_plot_panel panel = {"p", "x", "y", &series, 1, &bad, 1, &bad, 1};
        const struct tg_plot plot = {"t", &panel, 1};
        char *text = drawn(&plot);
        assert_well_formed(text);
        assert_null(strstr(text, "nan"));
        assert_null(strstr(text, "inf"));
        assert_null(strstr(text, "nowhere"));
        if (kind == TG_PLOT_POINTS) assert_int_equal(occurrences(text, "<circle"), 2);
        free(text);
    }
}

static void a_panel_without_points_has_its_axes(void **state)
{
    (void)state;
    const struct tg_plot_point one = {1e9, 0, NAN, NAN};
    const struct tg_plot_series series = {"", TG_PLOT_LINE, 0, &one, 1};
    for (size_t count = 0; count < 2; count++) {
        const struct tg_plot_panel panel = {"empty", "x", "y", &series, count, NULL, 0, NULL, 0};
        const struct tg_plot plot = {"t", &panel, 1};
        char *text = drawn(&plot);
        assert_well_formed(text);
        assert_has(text, ">empty<");
        assert_true(occurrences(text, "<line") > 3);
        assert_null(strstr(text, "nan"));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round),
        cmocka_unit_test(each_kind_of_series_is_drawn),
        cmocka_unit_test(a_point_is_where_its_numbers_say),
        cmocka_unit_test(counts_have_no_ticks_between),
        cmocka_unit_test(texts_cannot_break_out),
        cmocka_unit_test(what_is_not_finite_is_left_out),
        cmocka_unit_test(a_panel_without_points_has_its_axes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
