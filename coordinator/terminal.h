/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_TERMINAL_H
#define TG_COORDINATOR_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * What a stream that is a terminal may be given beside plain text. For every other stream, files
 * and pipes, there is no width and no colour: what they get is the same bytes everywhere.
 */

/*
 * The columns of a terminal: what COLUMNS says, else what the terminal says of itself, else 80. 0
 * for a stream that is none. Under mpirun, which gives a rank a terminal whatever its own output
 * is, only what `tritgate launch` has told by this variable of the environment counts.
 */
#define TG_TERMINAL_LAUNCHED "TRITGATE_TERMINAL"
size_t tg_terminal_width(FILE *out);

enum tg_terminal_color { TG_PLAIN, TG_RED, TG_GREEN, TG_YELLOW };

/*
 * What begins a colour on a stream, and with TG_PLAIN what ends it; "" where there is none: not a
 * terminal, TERM is dumb or missing, or NO_COLOR is set and not empty (no-color.org).
 */
const char *tg_terminal_color(FILE *out, enum tg_terminal_color color);

/*
 * Writes bytes that others chose: as they are, but to a terminal as UTF-8, where U+FFFD stands for
 * each byte that is no part of it and for each control character but tabs and ends of lines, since
 * a terminal obeys these.
 */
void tg_terminal_write(FILE *out, const char *bytes, size_t size);

/* How many letters a text in UTF-8 has, each a column wide. */
size_t tg_terminal_letters(const char *text);

/*
 * Writes text whose first letter stands in column `at` (from 0). What would go beyond `width`
 * columns is put on the next line, from column `indent` on, broken at blanks; a word that is longer
 * than a line is not broken. With width 0 nothing is.
 */
void tg_terminal_wrap(FILE *out, const char *text, size_t at, size_t indent, size_t width);

/*
 * A table: its columns and their widths are given, fit sees whether it must be broken, row writes
 * one. Columns are two blanks apart, and no line ends with blanks.
 *
 * On a terminal on which a column is not whole (the last one: has not `least` letters), it and
 * those behind it are a second line of each row, but column `first` is the first that may be. Where
 * the last one is not whole in its place there, second lines are loose: each column is two blanks
 * behind the one before, and the line is broken like any text.
 */
enum { TG_TERMINAL_COLUMNS = 8 };

struct tg_terminal_table {
    int columns, first;
    size_t indent; /* of second lines */
    size_t least;
    size_t widths[TG_TERMINAL_COLUMNS];
    size_t terminal; /* by fit: its columns, 0 for none */
    int split;       /* the first column of second lines, `columns` if there are none */
    bool is_loose;
};

void tg_terminal_fit(FILE *out, struct tg_terminal_table *table);

/* The first column has that colour. */
void tg_terminal_row(FILE *out, const struct tg_terminal_table *table, const char *const texts[],
                     enum tg_terminal_color color);

#endif
