/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_STORE_FILE_H
#define TG_RESULTS_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The parts of an HDF5 file that all stores have: the number of its schema, texts, and lists that
 * are read whole. Files and types are hid_t, as int64_t. What is read may be foreign: a part that
 * is not there, or of another kind, is no error here; the caller says what is wrong with the file.
 */

/* Writes the attribute of that name, a 32-bit integer. Returns 0, or -1. */
int tg_store_file_write_number(int64_t file, const char *name, int value);

/* The attribute of that name; -1 if there is none. */
int tg_store_file_read_number(int64_t file, const char *name);

/* Writes a text of any length. Returns 0, or -1. */
int tg_store_file_write_text(int64_t file, const char *name, const char *text);

/* The text of that name, for the caller to free, or NULL. */
char *tg_store_file_read_text(int64_t file, const char *name);

/* Writes a whole list, packed: elements of type `memory`, stored as `type`. Returns 0, or -1. */
int tg_store_file_write_list(int64_t file, const char *name, int64_t type, int64_t memory,
                             const void *elements, size_t count);

/*
 * Reads a whole list of elements of `size` bytes; the caller frees. From the first on whose texts
 * cannot be read all are zeros (store_heap.h). NULL if it is not there, has another type than
 * `type`, or cannot be read.
 */
void *tg_store_file_read_list(int64_t file, const char *name, int64_t type, int64_t memory,
                              size_t size, size_t *count);

/* Has the disk take what a file that was closed has. Returns 0, or -1 with errno. */
int tg_store_file_sync(const char *path);

/* Whether a list is there, but of another type. */
bool tg_store_file_has_other_type(int64_t file, const char *name, int64_t type);

#endif
