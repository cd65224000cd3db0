/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_BASE_ERROR_H
#define TG_BASE_ERROR_H

/*
 * The only error type: a sentence for a person. Who decides that something is an error writes it;
 * callers that know more put it in front; main prints it once.
 */

struct tg_error {
    char text[1024];
};

/*
 * Writes the sentence (lower case, no full stop: what went wrong, the subject in quotes, why) and
 * returns -1, so that a function ends with `return tg_fail(err, ...)`. err may be NULL.
 */
int tg_fail(struct tg_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<where>: " in front of the sentence that err holds. Returns -1. err may be NULL. */
int tg_fail_in(struct tg_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
