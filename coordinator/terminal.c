/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/terminal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "worker/model/pretokenizer.h"
#include "worker/wire.h"

/* The columns of the terminal behind a launcher, which gives each rank one of its own for stdout.
 */
static size_t launched_width(void)
{
    const char *told = getenv(TG_TERMINAL_LAUNCHED);
    return told ? strtoul(told, NULL, 10) : 0;
}

static bool is_terminal(FILE *out)
{
    int fd = fileno(out); /* a stream in memory has none */
    return fd >= 0 && isatty(fd) && (!tg_wire_is_launched() || launched_width() > 0);
}

size_t tg_terminal_width(FILE *out)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size = {0};
    if (!is_terminal(out)) return 0;
    if (tg_wire_is_launched()) return launched_width();
    size_t told = columns ? strtoul(columns, NULL, 10) : 0;
    if (told > 0) return told;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

const char *tg_terminal_color(FILE *out, enum tg_terminal_color color)
{
    static const char *const codes[] = {"\033[0m", "\033[31m", "\033[32m", "\033[33m"};
    const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
    bool is_colored = is_terminal(out) && term && *term && strcmp(term, "dumb") != 0 &&
                      !(none && *none);
    return is_colored ? codes[color] : "";
}

/* Whether a character of UTF-8 is one of C0 or C1, or DEL, which is none of a text. */
static bool is_control(const char *character, size_t size)
{
    const unsigned char first = (unsigned char)character[0];
    if (size == 1) return (first < ' ' && first != '\t' && first != '\n') || first == 0x7F;
    return size == 2 && first == 0xC2 && (unsigned char)character[1] < 0xA0;
}

void tg_terminal_write(FILE *out, const char *bytes, size_t size)
{
    const bool is_shown = is_terminal(out);
    if (!is_shown) fwrite(bytes, 1, size, out);
    for (size_t at = 0; is_shown && at < size;) {
        const struct tg_gguf_text rest = {bytes + at, size - at};
        const size_t own = tg_pretokenizer_character(rest);
        if (own == 0 || is_control(bytes + at, own))
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(bytes + at, 1, own, out);
        at += own ? own : 1;
    }
}

/* Of its first `size` bytes: those that do not go on with a letter. */
static size_t letters(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

size_t tg_terminal_letters(const char *text)
{
    return letters(text, strlen(text));
}

/* Behind so many blanks, which are left out where a line begins; returns where it ends. */
static size_t wrap(FILE *out, size_t gap, const char *text, size_t at, size_t indent, size_t width)
{
    for (; width && *text; gap = 0) {
        size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " ");
        if (at > indent && at + gap + blanks + letters(text + blanks, word) > width) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            text += blanks;
            blanks = gap = 0;
        }
        fprintf(out, "%*s%.*s", (int)gap, "", (int)(blanks + word), text);
        at += gap + blanks + letters(text + blanks, word);
        text += blanks + word;
    }
    fputs(text, out);
    return at;
}

void tg_terminal_wrap(FILE *out, const char *text, size_t at, size_t indent, size_t width)
{
    wrap(out, 0, text, at, indent, width);
}

void tg_terminal_fit(FILE *out, struct tg_terminal_table *table)
{
    size_t at = 0;
    table->terminal = tg_terminal_width(out);
    table->split = table->columns;
    for (int c = 0; table->terminal && c < table->columns; c++) {
        size_t needed = table->widths[c];
        if (c == table->columns - 1 && needed > table->least) needed = table->least;
        if (c >= table->first && at + needed > table->terminal && table->split == table->columns)
            table->split = c;
        at += table->widths[c] + 2;
    }
    at = table->indent;
    for (int c = table->split; c < table->columns - 1; c++) at += table->widths[c] + 2;
    table->is_loose = table->split < table->columns - 1 &&
                      at + table->widths[table->columns - 1] > table->terminal;
}

/* Whether anything stands from a column on. */
static bool has_more(const struct tg_terminal_table *table, const char *const texts[], int c)
{
    for (; c < table->columns; c++)
        if (*texts[c]) return true;
    return false;
}

/* The columns from c on as a second line, where it is loose. */
static void write_loose(FILE *out, const struct tg_terminal_table *table, const char *const texts[],
                        int c)
{
    const size_t indent = table->indent;
    size_t at = indent;
    fprintf(out, "\n%*s", (int)indent, "");
    for (; c < table->columns; c++)
        at = wrap(out, at > indent ? 2 : 0, texts[c], at, indent, table->terminal);
}

void tg_terminal_row(FILE *out, const struct tg_terminal_table *table, const char *const texts[],
                     enum tg_terminal_color color)
{
    size_t owed = 0, at = 0; /* blanks, once something follows them; where that begins */
    for (int c = 0; c < table->columns; c++) {
        bool is_last = c == table->columns - 1, is_colored = c == 0 && color != TG_PLAIN;
        if (c == table->split && has_more(table, texts, c)) {
            if (table->is_loose) {
                write_loose(out, table, texts, c);
                break;
            }
            fputc('\n', out);
            owed = at = table->indent;
        }
        if (*texts[c]) {
            fprintf(out, "%*s%s", (int)owed, "", is_colored ? tg_terminal_color(out, color) : "");
            tg_terminal_wrap(out, texts[c], at, at, is_last ? table->terminal : 0);
            if (is_colored) fputs(tg_terminal_color(out, TG_PLAIN), out);
            owed = 0;
        }
        owed += table->widths[c] - tg_terminal_letters(texts[c]) + 2;
        at += table->widths[c] + 2;
    }
    fputc('\n', out);
}
