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
 * How many of the first `count` elements of a dataset, a text each or rows with texts, can be read,
 * up to the first that cannot: all of them where there is no text. File and dataset are hid_t.
 * Returns -1 where something other than the file stood in the way, as errno says.
 */
int tg_store_heap_check(int64_t file, int64_t set, uint64_t count, uint64_t *sound);

#endif
