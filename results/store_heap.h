/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_STORE_HEAP_H
#define TG_RESULTS_STORE_HEAP_H

#include <stdint.h>

/*
 * A look at texts of variable length in an HDF5 file, before HDF5 reads them: it trusts the global
 * heaps in which they lie. A page of one that never reached the disk has it loop for ever, and a
 * reference to what is not there reads beyond its memory.
 *
 * What is followed are the references themselves, to the bytes that HDF5 would take. So whatever
 * other parts of the file hold, a sound one is found sound.
 */

/*
 * Whether the first `count` elements of a dataset, a text each or rows with texts, can be read: 0,
 * also where there is no text, or -1. File and dataset are hid_t. errno says what stood in the way,
 * if it was not the file.
 */
int tg_store_heap_check(int64_t file, int64_t set, uint64_t count);

#endif
