/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_AHEAD_H
#define TG_KERNELS_AHEAD_H

/*
 * Fetching ahead of one stream of weights, in two steps: far ahead into the second cache, and from
 * there, near, into the first.
 *
 * A core has few buffers for lines that its first cache misses, and a line that comes from memory
 * holds one for as long as that takes. To fetch far ahead into the first cache only is late or
 * displaces what is used now. To fetch into the second only leaves each load a miss of the first:
 * a short one, but it waits for a buffer when all of them wait for memory. With both, one thread
 * read 95 % of what plain reading did, and 89 % with the far step alone (family 6, model 207).
 *
 * Only for x86-64; elsewhere there is nothing here.
 */

#ifdef __x86_64__

#include <immintrin.h>

enum { TG_AHEAD_FAR_BYTES = 8192, TG_AHEAD_NEAR_BYTES = 4096 };

/*
 * Once for each 64 bytes of the stream, which is at `at`. What is fetched need not be there. It is
 * always inlined since gcc 12 leaves out calls of a function that does nothing else.
 */
static inline __attribute__((always_inline)) void tg_ahead_fetch(const void *at)
{
    _mm_prefetch((const char *)at + TG_AHEAD_FAR_BYTES, _MM_HINT_T1);
    _mm_prefetch((const char *)at + TG_AHEAD_NEAR_BYTES, _MM_HINT_T0);
}

#endif
#endif
