/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_BASE_LOG_H
#define TG_BASE_LOG_H

/* Lines on standard error: what goes on, with the rank it goes on in. Data goes to standard output.
 */

enum tg_level {
    TG_ERROR, /* it could not go on; only main says so */
    TG_WARN,  /* it goes on, but the reader should know */
    TG_INFO   /* a few lines a run */
};

/* Sets the rank that lines name (-1: none) and the level from which on they are left out. */
void tg_log_open(int rank, enum tg_level most);

/*
 * One line: lower case, `device %s` rather than `device=%s`, the cause and not a guess. Control
 * characters of what it names become '?'.
 */
void tg_log(enum tg_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
