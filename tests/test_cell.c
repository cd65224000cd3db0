/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/cell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/known_words.h"

static struct tg_cell cell_of(const char *text)
{
    struct tg_cell cell;
    struct tg_error err;
    if (tg_cell_parse(text, &cell, &err) < 0) fail_msg("%s", err.text);
    return cell;
}

static void a_cell_has_one_text(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"batch=8 kernel=i2s_avx2 probe=kernel", "probe=kernel kernel=i2s_avx2 batch=8"},
        {"probe=kernel build=head batch=1 cache=hot threads=1", "probe=kernel"},
        {"probe=kernel build=base layer=640x2560 threads=02",
         "probe=kernel build=base layer=640x2560 threads=2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[TG_CELL_TEXT_SIZE];
        struct tg_cell cell = cell_of(rows[i][0]);
        assert_string_equal(tg_cell_text(&cell, text), rows[i][1]);
        struct tg_cell again = cell_of(text);
        assert_memory_equal(&cell, &again, sizeof cell);
    }
}

/* Two long cells that differ only at their ends are two. */
static void the_longest_text_has_room(void **state)
{
    (void)state;
    struct tg_cell cell;
    char longest[TG_TEXT_SIZE], text[TG_CELL_TEXT_SIZE];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    tg_record_init(&tg_cell_type, &cell);
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        const char *value = field->kind == TG_TEXT ? longest : "-9223372036854775808";
        assert_int_equal(tg_record_set(&tg_cell_type, &cell, field->name, value, NULL), 0);
    }
    assert_true(tg_record_format(&tg_cell_type, &cell, text, sizeof text) < sizeof text);
    struct tg_cell again = cell_of(text);
    assert_memory_equal(&cell, &again, sizeof cell);
}

static void a_text_that_is_no_cell_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"kernels=a", "cell 'kernels=a': unknown axis 'kernels'"},
        {"batch", "cell 'batch': 'batch' is not of the form axis=value"},
        {"batch=2 batch=3", "cell 'batch=2 batch=3': axis 'batch' is given twice"},
        {"batch=two", "cell 'batch=two': axis 'batch': unusable value 'two'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_cell cell = cell_of("batch=7");
        struct tg_error err;
        assert_int_equal(tg_cell_parse(rows[i][0], &cell, &err), -1);
        assert_string_equal(err.text, rows[i][1]);
        assert_int_equal(cell.batch, 7);
    }
}

static void patterns_and_traits_match(void **state)
{
    (void)state;
    static const struct {
        const char *where;
        bool matches;
    } rows[] = {
        {"", true},
        {"  ", true},
        {"kernel=i2s_avx2", true},
        {"kernel=i2s_*", true},
        {"kernel=i2s_avx", false},
        {"kernel=*", true},
        {"kernel=i2s_[ab]vx?", true},
        {"batch=8", true},
        {"batch=?", true},
        {"batch=08", false},
        {"batch=1", false},
        {"kernel=i2s_* batch=8", true},
        {"kernel=i2s_* batch=1", false},
        {"build=head cache=hot", true},
        {"model=", true},
        {"model=?*", false},
        {"device=cpu", true},
        {"device=cuda", false},
        {"op=product isa=avx*", true},
        {"op=unpack", false},
        {"format=i2s", true},
        {"nature=sampled", false},
        {"colour=*", false},
    };
    struct tg_cell cell = cell_of("probe=kernel kernel=i2s_avx2 batch=8");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tg_cell_matches(&cell, rows[i].where, &known) != rows[i].matches)
            fail_msg("'%s'", rows[i].where);

    struct tg_cell unknown = cell_of("probe=kernel kernel=tl9_avx2");
    assert_true(tg_cell_matches(&unknown, "kernel=tl9_*", &known));
    assert_false(tg_cell_matches(&unknown, "op=*", &known));
}

static void a_where_names_only_what_there_is(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",        "kernel=i2s_avx2 batch=8", "kernel=tl9_*", "op=product isa=avx2", "op=p*",
        "model=",  "layer=640x2560",          "layer=attn_q", "threads=64",          "batch=[12]",
        "build=*",
    };
    static const char *const bad[][2] = {
        {"kernels=a", "unknown axis 'kernels' in 'kernels=a'"},
        {"sign=positive", "unknown axis 'sign' in 'sign=positive'"},
        {"cells=*", "unknown axis 'cells' in 'cells=*'"},
        {"kernel=tl9", "'kernel=tl9': no such kernel 'tl9'"},
        {"batch=1 model=huge", "'batch=1 model=huge': no such model 'huge'"},
        {"op=pack", "no op 'pack' is known, in 'op=pack'"},
        {"kernel", "'kernel' is not of the form axis=pattern"},
        {"=x", "'=x' is not of the form axis=pattern"},
        {"kernel=* oops", "'kernel=* oops' is not of the form axis=pattern"},
        {"batch=one", "'batch=one': axis 'batch': unusable value 'one'"},
        {"batch=08", "'batch=08': axis 'batch': '08' is written '8'"},
        {"batch=0", "'batch=0': axis 'batch': unusable value '0', it is less than 1"},
        {"layer=0x5", "'layer=0x5': no such layer '0x5'"},
    };
    struct tg_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (tg_cell_check_where(good[i], &known, &err) < 0) fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tg_cell_check_where(bad[i][0], &known, &err) == 0) fail_msg("'%s'", bad[i][0]);
        assert_string_equal(err.text, bad[i][1]);
    }
}

static void a_cell_is_made_of_known_words(void **state)
{
    (void)state;
    static const char *const good[] = {
        "probe=kernel",
        "probe=kernel kernel=i2s_avx2 build=copy model=small layer=ffn_up batch=8 threads=2",
        "probe=kernel kernel=i2s_scalar layer=640x2560",
        "probe=kernel layer=1x1",
        "probe=kernel layer=99999999x99999999",
        "probe=kernel kernel=tl9_*",
    };
    static const char *const bad[][2] = {
        {"", "axis 'probe' is missing"},
        {"kernel=i2s_avx2", "axis 'probe' is missing"},
        {"probe=kernels", "no such probe 'kernels'"},
        {"probe=kernel kernel=tl9", "no such kernel 'tl9'"},
        {"probe=kernel batch=0", "axis 'batch': unusable value '0', it is less than 1"},
        {"probe=kernel batch=-8", "axis 'batch': unusable value '-8', it is less than 1"},
        {"probe=kernel threads=0", "axis 'threads': unusable value '0', it is less than 1"},
        {"probe=kernel layer=attn", "no such layer 'attn'"},
        {"probe=kernel layer=640x", "no such layer '640x'"},
        {"probe=kernel layer=x2560", "no such layer 'x2560'"},
        {"probe=kernel layer=640X2560", "no such layer '640X2560'"},
        {"probe=kernel layer=640x2560x2", "no such layer '640x2560x2'"},
        {"probe=kernel layer=-640x2560", "no such layer '-640x2560'"},
        {"probe=kernel layer=640x-1", "no such layer '640x-1'"},
        {"probe=kernel layer=+640x2560", "no such layer '+640x2560'"},
        {"probe=kernel layer=0640x2560", "no such layer '0640x2560'"},
        {"probe=kernel layer=0x2560", "no such layer '0x2560'"},
        {"probe=kernel layer=640x0", "no such layer '640x0'"},
        {"probe=kernel layer=123456789x1", "no such layer '123456789x1'"},
    };
    struct tg_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct tg_cell cell = cell_of(good[i]);
        if (tg_cell_check(&cell, &known, &err) < 0) fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tg_cell cell = cell_of(bad[i][0]);
        if (tg_cell_check(&cell, &known, &err) == 0) fail_msg("'%s'", bad[i][0]);
        assert_string_equal(err.text, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cell_has_one_text),
        cmocka_unit_test(the_longest_text_has_room),
        cmocka_unit_test(a_text_that_is_no_cell_is_refused),
        cmocka_unit_test(patterns_and_traits_match),
        cmocka_unit_test(a_where_names_only_what_there_is),
        cmocka_unit_test(a_cell_is_made_of_known_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
