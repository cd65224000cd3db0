/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/terminal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static int master = -1;

/* A terminal of so many columns that gives what is written to it as it is. */
static FILE *open_terminal(unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    struct termios how;
    master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0 && tcgetattr(slave, &how) == 0);
    how.c_oflag &= ~(tcflag_t)OPOST;
    assert_int_equal(tcsetattr(slave, TCSANOW, &how), 0);
    assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
    FILE *out = fdopen(slave, "w");
    assert_non_null(out);
    return out;
}

/* Ends what was written with a mark, reads until there, and closes the terminal. */
static char *close_terminal(FILE *out, char *text, size_t size)
{
    size_t count = 0;
    fputc('\1', out);
    fflush(out);
    do {
        ssize_t got = read(master, text + count, size - count);
        assert_true(got > 0 && count + (size_t)got < size);
        count += (size_t)got;
    } while (text[count - 1] != '\1');
    text[count - 1] = 0;
    fclose(out);
    close(master);
    return text;
}

static int set_up(void **state)
{
    (void)state;
    unsetenv("COLUMNS");
    unsetenv("NO_COLOR");
    unsetenv("OMPI_COMM_WORLD_RANK");
    unsetenv(TG_TERMINAL_LAUNCHED);
    return setenv("TERM", "xterm", 1);
}

static void a_terminal_has_a_width_and_nothing_else_has(void **state)
{
    (void)state;
    char text[64], *memory = NULL;
    size_t size = 0;
    FILE *out = open_terminal(97), *stream = open_memstream(&memory, &size), *file = tmpfile();
    assert_int_equal(tg_terminal_width(out), 97);
    setenv("COLUMNS", "61", 1);
    assert_int_equal(tg_terminal_width(out), 61);
    assert_int_equal(tg_terminal_width(stream), 0);
    assert_int_equal(tg_terminal_width(file), 0);
    setenv("COLUMNS", "wide", 1);
    assert_int_equal(tg_terminal_width(out), 97);
    close_terminal(out, text, sizeof text);
    out = open_terminal(0); /* it does not know */
    unsetenv("COLUMNS");
    assert_int_equal(tg_terminal_width(out), 80);
    close_terminal(out, text, sizeof text);
    fclose(stream);
    fclose(file);
    free(memory);
}

/* A terminal obeys control characters, and what others chose may have them. */
static void a_terminal_is_not_told_what_to_do(void **state)
{
    (void)state;
#define NO "\xef\xbf\xbd"
    static const struct {
        const char *bytes, *shown;
    } rows[] = {
        {"a\tb\nc", "a\tb\nc"},
        {"\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x98\x80"},
        {"\033[2J\a\b\r\x7f", NO "[2J" NO NO NO NO},
        {"\xc2\x9b"
         "2J\xc2\x80\xc2\x9f\xc2\xa0",
         NO "2J" NO NO "\xc2\xa0"}, /* C1 */
        {"\x9b"
         "2J\xc0\x9b\xe0\x80\x9b",
         NO "2J" NO NO NO NO NO}, /* no UTF-8 */
        {"a\xe2\x86", "a" NO NO}, /* ended in a character */
    };
    char text[64], *memory = NULL;
    size_t size = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        FILE *out = open_terminal(80), *stream = open_memstream(&memory, &size);
        tg_terminal_write(out, rows[i].bytes, strlen(rows[i].bytes));
        tg_terminal_write(stream, rows[i].bytes, strlen(rows[i].bytes));
        fclose(stream);
        assert_string_equal(close_terminal(out, text, sizeof text), rows[i].shown);
        assert_string_equal(memory, rows[i].bytes);
        free(memory);
    }
    FILE *out = open_terminal(80);
    tg_terminal_write(out, "a\0b", 3);
    assert_string_equal(close_terminal(out, text, sizeof text), "a" NO "b");
}

static void colours_are_for_terminals_that_have_them(void **state)
{
    (void)state;
    static const struct {
        const char *term, *none;
        bool is_colored;
    } rows[] = {{"xterm", NULL, true}, {"xterm", "", true}, {"xterm", "1", false},
                {"dumb", NULL, false}, {"", NULL, false},   {NULL, NULL, false}};
    char text[64];
    FILE *out = open_terminal(80), *file = tmpfile();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set_up(NULL);
        if (rows[i].term) setenv("TERM", rows[i].term, 1);
        if (!rows[i].term) unsetenv("TERM");
        if (rows[i].none) setenv("NO_COLOR", rows[i].none, 1);
        assert_string_equal(tg_terminal_color(out, TG_RED), rows[i].is_colored ? "\033[31m" : "");
        assert_string_equal(tg_terminal_color(out, TG_PLAIN), rows[i].is_colored ? "\033[0m" : "");
        assert_string_equal(tg_terminal_color(file, TG_RED), "");
    }
    fclose(file);
    close_terminal(out, text, sizeof text);
}

/* mpirun gives its ranks a terminal, even if what it writes goes to a file. */
static void a_launcher_s_terminal_is_none_but_for_what_is_told(void **state)
{
    (void)state;
    char text[64];
    FILE *out = open_terminal(97);
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    setenv("COLUMNS", "61", 1);
    assert_int_equal(tg_terminal_width(out), 0);
    assert_string_equal(tg_terminal_color(out, TG_GREEN), "");
    setenv(TG_TERMINAL_LAUNCHED, "", 1);
    assert_int_equal(tg_terminal_width(out), 0);
    setenv(TG_TERMINAL_LAUNCHED, "123", 1);
    assert_int_equal(tg_terminal_width(out), 123);
    assert_string_equal(tg_terminal_color(out, TG_GREEN), "\033[32m");
    close_terminal(out, text, sizeof text);
}

static void text_is_broken_at_blanks_and_hangs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at, indent, width;
        const char *wanted;
    } rows[] = {
        {"one two three", 0, 2, 0, "one two three"},
        {"one two three", 0, 2, 13, "one two three"},
        {"one two three", 0, 2, 12, "one two\n  three"},
        {"one two three", 4, 4, 7, "one\n    two\n    three"}, /* a word is not broken */
        {"one  two", 0, 0, 8, "one  two"},
        {"one  two", 0, 0, 7, "one\ntwo"},
        {"  one", 0, 3, 2, "  one"}, /* what a line begins with stays */
        {"", 0, 3, 2, ""},
        {"für ärgé", 0, 0, 8, "für ärgé"}, /* letters, not bytes */
        {"für ärgé", 0, 0, 7, "für\närgé"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        tg_terminal_wrap(out, rows[i].text, rows[i].at, rows[i].indent, rows[i].width);
        fclose(out);
        assert_string_equal(text, rows[i].wanted);
        free(text);
    }
}

/* Three rows of a table on a terminal of so many columns; 0 for a file. */
static void assert_table(unsigned short columns, const char *wanted)
{
    static const char *const rows[][4] = {{"pass", "a, b, c", "+1.00 %", "one two three four"},
                                          {"fail", "ä", "", "five"},
                                          {"pass", "e", "", ""}};
    struct tg_terminal_table t = {
        .columns = 4, .first = 2, .indent = 2, .least = 8, .widths = {4, 7, 7, 18}};
    char text[512] = "";
    FILE *out = columns ? open_terminal(columns) : tmpfile();
    tg_terminal_fit(out, &t);
    for (int i = 0; i < 3; i++) tg_terminal_row(out, &t, rows[i], i == 1 ? TG_RED : TG_PLAIN);
    if (columns) {
        close_terminal(out, text, sizeof text);
    } else {
        rewind(out);
        assert_true(fread(text, 1, sizeof text - 1, out) > 0);
        fclose(out);
    }
    assert_string_equal(text, wanted);
}

static void a_table_fits_the_terminal(void **state)
{
    (void)state;
    assert_table(0, "pass  a, b, c  +1.00 %  one two three four\n"
                    "fail  ä                 five\n"
                    "pass  e\n");
    assert_table(42, "pass  a, b, c  +1.00 %  one two three four\n"
                     "\033[31mfail\033[0m  ä                 five\n"
                     "pass  e\n");
    assert_table(38, "pass  a, b, c  +1.00 %  one two three\n"
                     "                        four\n"
                     "\033[31mfail\033[0m  ä                 five\n"
                     "pass  e\n");
    assert_table(31, "pass  a, b, c  +1.00 %\n" /* less than 8 letters would be left */
                     "  one two three four\n"
                     "\033[31mfail\033[0m  ä\n"
                     "  five\n"
                     "pass  e\n");
    assert_table(21, "pass  a, b, c\n" /* loose: the last column would not be whole in its place */
                     "  +1.00 %  one two\n"
                     "  three four\n"
                     "\033[31mfail\033[0m  ä\n"
                     "  five\n"
                     "pass  e\n");
    assert_table(9, "pass  a, b, c\n"
                    "  +1.00 %\n"
                    "  one two\n"
                    "  three\n"
                    "  four\n"
                    "\033[31mfail\033[0m  ä\n"
                    "  five\n"
                    "pass  e\n");
    assert_table(5, "pass  a, b, c\n" /* as far as it goes */
                    "  +1.00\n"
                    "  %\n"
                    "  one\n"
                    "  two\n"
                    "  three\n"
                    "  four\n"
                    "\033[31mfail\033[0m  ä\n"
                    "  five\n"
                    "pass  e\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_terminal_has_a_width_and_nothing_else_has, set_up),
        cmocka_unit_test_setup(a_terminal_is_not_told_what_to_do, set_up),
        cmocka_unit_test_setup(colours_are_for_terminals_that_have_them, set_up),
        cmocka_unit_test_setup(a_launcher_s_terminal_is_none_but_for_what_is_told, set_up),
        cmocka_unit_test(text_is_broken_at_blanks_and_hangs),
        cmocka_unit_test_setup(a_table_fits_the_terminal, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
