/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_HEAP_H
#define TG_COORDINATOR_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Numbers in groups, the first of which is always at hand: of one group, or of all groups but one.
 * A heap for each group, and one of the groups by their first numbers; everything takes as many
 * steps as the logarithm of what is in it. Keys lie in the heap itself, four children side by side:
 * with a million numbers nearly every step is a cache miss, so there are few.
 *
 * Source: Williams, Algorithm 232, CACM 7(6) 1964, doi:10.1145/512274.512284; with d children,
 * Johnson, Inf. Process. Lett. 4(3) 1975, doi:10.1016/0020-0190(75)90001-0.
 */

struct tg_heap;

#define TG_HEAP_NONE SIZE_MAX

/* The least key is first: by major, then by minor, then by draw. */
struct tg_heap_key {
    uint64_t major, draw;
    uint32_t minor;
};

bool tg_heap_is_before(const struct tg_heap_key *a, const struct tg_heap_key *b);

/* Where a number is: its group, and its place there from 1, 0 if it is in none. */
struct tg_heap_place {
    uint32_t group, at;
};

/*
 * For groups below `group_count`. `places` has an element for each number, all zero, and is
 * borrowed; heaps may share it, if no number is in two of them. NULL without memory.
 */
struct tg_heap *tg_heap_create(struct tg_heap_place *places, size_t group_count);
void tg_heap_destroy(struct tg_heap *heap); /* accepts NULL */

/* Adds a number that is in none. Returns false without memory. */
bool tg_heap_add(struct tg_heap *heap, size_t number, size_t group, struct tg_heap_key key);

/* Takes a number out, if it is in. */
void tg_heap_remove(struct tg_heap *heap, size_t number);

/*
 * The first number of a group, and its key; of all others, where the group need not be one of the
 * heap's. TG_HEAP_NONE if there is none.
 */
size_t tg_heap_first(const struct tg_heap *heap, size_t group, struct tg_heap_key *key);
size_t tg_heap_first_but(const struct tg_heap *heap, size_t group, struct tg_heap_key *key);

#endif
