/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_OPERANDS_H
#define TG_WORKER_PROBE_OPERANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "matrix/cell.h"

/*
 * The memory that calls read: one packed matrix, or a set of equal ones, and the activations. Both
 * processes of a block read the same pages, if both would fill them alike: two mappings of their
 * own would differ in where their pages lie, which is worth up to 1 % of time by itself.
 *
 *   offset | matrix 0 | matrix 1 | ... | to the next page | offset | activations
 *
 * Matrices follow each other at multiples of 64 bytes. They are called in a drawn order (`walk`),
 * so that hardware that fetches what follows in memory fetches nothing that is called next, and
 * that none comes again before all others have been read.
 *
 * The caller sets the first part of the struct; tg_operands_open the rest; tg_operands_close ends
 * it. Nothing can be written through these pointers, and nothing to a file that was sealed.
 */

struct tg_operands {
    int64_t packed_bytes, activation_bytes; /* of one matrix; of the activations */
    int64_t offset;                         /* bytes, a multiple of 64, less than a page */
    int64_t over_bytes,
        most_bytes; /* what the set is to be larger than, and at most; 0: one matrix */
    uint64_t seed;  /* of the walk */

    int64_t count;        /* matrices */
    const uint8_t **walk; /* in the order of calls: call i reads walk[i % count] */
    const int8_t *activations;
    void *mapped;
    size_t mapped_bytes;
};

/* Where operands come from. */
struct tg_operands_from {
    const uint8_t *packed; /* packed_bytes and activation_bytes, of which copies are made */
    const int8_t *activations;
    int shared;    /* descriptor of what both sides read, or -1 */
    bool is_maker; /* fill it */
    bool is_same;  /* else read it: its maker has packed the same bytes */
};

/*
 * Makes or maps them; *is_shared becomes whether they are in `shared`. What another side has made
 * is used only if its first matrix and its activations are those of `from`; the other matrices are
 * compared by tg_operands_check. Releases what it made if it fails.
 */
int tg_operands_open(struct tg_operands *operands, const struct tg_operands_from *from,
                     bool *is_shared, struct tg_error *err);

/* Reads all of the set. Returns the first matrix that differs from the first one, or -1. */
int64_t tg_operands_check(const struct tg_operands *operands);

/*
 * Bytes of private memory that a process with operands of this cell's kernel needs, at most; -1 if
 * its matrix has no shape. It has no file.
 */
int64_t tg_operands_bytes(const struct tg_cell *cell, const char *file);

/* May be called on what was never opened, if it was 0 throughout. */
void tg_operands_close(struct tg_operands *operands);

#endif
