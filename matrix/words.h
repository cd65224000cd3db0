/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_MATRIX_WORDS_H
#define TG_MATRIX_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The names that a matrix and a policy may use: of kernels, models, metrics, kinds of rule. This
 * room does not look them up; who knows them passes them in.
 */

struct tg_word {
    const char *axis; /* what it names a value of: an axis, "rule" or "metric" */
    const char *name;
    const char *traits; /* "device=cpu op=product", or "" */
};

struct tg_words {
    const struct tg_word *words;
    size_t count;
};

/* Whether the values of this axis are all named; others take any value. */
bool tg_words_cover(const struct tg_words *words, const char *axis);

/* The word of that axis and name, or NULL. */
const struct tg_word *tg_words_find(const struct tg_words *words, const char *axis,
                                    const char *name);

/* Copies the value of a trait of a word (at most size - 1 bytes). False if it has none. */
bool tg_words_trait(const struct tg_word *word, const char *trait, char *value, size_t size);

/* Whether any word of the axis has this trait, with this value if value is not NULL. */
bool tg_words_have_trait(const struct tg_words *words, const char *axis, const char *trait,
                         const char *value);

/* Whether text has a character of a pattern: * ? or [. */
bool tg_words_is_pattern(const char *text);

#endif
