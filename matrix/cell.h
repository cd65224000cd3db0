/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_MATRIX_CELL_H
#define TG_MATRIX_CELL_H

#include <stdbool.h>

#include "base/error.h"
#include "base/record.h"
#include "matrix/words.h"

/*
 * A cell: one value for each axis of axes.def. Its text, "probe=kernel kernel=i2s_avx2 batch=8", is
 * its identity everywhere: in messages, on the command line, in files and reports. Axes that have
 * their default are left out, so that a new axis does not rename old cells.
 */

struct tg_cell {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "matrix/axes.def"
#undef FIELD
};

#define TG_CELL_TEXT_SIZE 1024 /* enough for every axis at its longest */

extern const struct tg_record_type tg_cell_type;

/* Reads a cell's text; axes that it does not name have their defaults. */
int tg_cell_parse(const char *text, struct tg_cell *cell, struct tg_error *err);

/* Writes the canonical text and returns out, of TG_CELL_TEXT_SIZE bytes. */
char *tg_cell_text(const struct tg_cell *cell, char *out);

/*
 * Whether a cell matches "axis=glob axis=glob": each named axis must match its shell pattern.
 * Traits of the cell's kernel (device, op, format, isa) may be named as if they were axes.
 */
bool tg_cell_matches(const struct tg_cell *cell, const char *where, const struct tg_words *words);

/* Fails if `where` is not of that form, or names an axis, trait or value that does not exist. */
int tg_cell_check_where(const char *where, const struct tg_words *words, struct tg_error *err);

/* Fails if this axis cannot have this value: it is of the wrong kind, spelled in another way than
 * the canonical one, or not one of the words of its axis. */
int tg_cell_check_value(const char *axis, const char *value, const struct tg_words *words,
                        struct tg_error *err);

/* Fails if a value of the cell is not one of the words of its axis. Patterns pass. */
int tg_cell_check(const struct tg_cell *cell, const struct tg_words *words, struct tg_error *err);

#endif
