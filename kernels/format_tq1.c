/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"

/*
 * TQ1_0: five weights in a byte and a scale for 256, blocks of 54 bytes (1.6875 bits a weight).
 *
 *               d0       d1       d2       d3       d4
 *   byte  0   w[  0]   w[ 32]   w[ 64]   w[ 96]   w[128]
 *    ...
 *   byte 31   w[ 31]   w[ 63]   w[ 95]   w[127]   w[159]
 *   byte 32   w[160]   w[176]   w[192]   w[208]   w[224]
 *    ...
 *   byte 47   w[175]   w[191]   w[207]   w[223]   w[239]
 *   byte 48   w[240]   w[244]   w[248]   w[252]     -
 *    ...
 *   byte 51   w[243]   w[247]   w[251]   w[255]     -
 *   byte 52   scale of the block, float16, low byte first
 *   byte 53
 *
 * A digit is a weight plus one, 0 where there is none. With n = 81 d0 + 27 d1 + 9 d2 + 3 d3 + d4,
 * which is below 243, the byte is 256 n / 243 rounded up: a fraction of 256 whose digits to the
 * base of three come out in front one after the other. d[i] is the part above 255 of three times
 * (3^i byte, modulo 256). No n gives one of the 13 other bytes, and these stand for nothing, as do
 * those of the last four bytes whose d4 is not 0.
 *
 * Rows are whole blocks and follow each other without padding. Ternary weights have no scale of
 * their own: packing writes 1 into every block, and unpacking and the kernels leave scales out. A
 * block of a file means scale times these weights, so that a row's exact product is the sum over
 * its blocks of scale times the integer product of the block.
 *
 * Source: block_tq1_0 of ggml, GGUF tensor type 34.
 */

enum {
    BLOCK_WEIGHTS = 256,
    BLOCK_BYTES = 54,
    CODE_BYTES = 52,
    ONE_LOW = 0x00,
    ONE_HIGH = 0x3c,
};

int64_t tg_format_tq1_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % BLOCK_WEIGHTS == 0);
    return rows * (cols / BLOCK_WEIGHTS) * BLOCK_BYTES;
}

/* The weights of a byte of a block: the first, from one to the next, and how many. */
struct digits {
    int first, step, count;
};

static struct digits digits_of(int byte)
{
    if (byte < 32) return (struct digits){byte, 32, 5};
    if (byte < 48) return (struct digits){160 + byte - 32, 16, 5};
    return (struct digits){240 + byte - 48, 4, 4};
}

void tg_format_tq1_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const int64_t blocks = tg_format_tq1_packed_bytes(rows, cols) / BLOCK_BYTES;

    for (int64_t block = 0; block < blocks; block++) {
        uint8_t *to = packed + block * BLOCK_BYTES;
        for (int i = 0; i < CODE_BYTES; i++) {
            const struct digits d = digits_of(i);
            int n = 0;
            for (int k = 0; k < 5; k++) {
                const int there = k < d.count;
                const int8_t weight = there ? ternary[block * BLOCK_WEIGHTS + d.first + k * d.step]
                                            : -1;
                assert(-1 <= weight && weight <= 1);
                n = 3 * n + weight + 1;
            }
            to[i] = (uint8_t)((256 * n + 242) / 243);
        }
        to[CODE_BYTES] = ONE_LOW;
        to[CODE_BYTES + 1] = ONE_HIGH;
    }
}

/* The number n that a byte of `count` digits stands for, or -1. */
static int number_of(uint8_t byte, int count)
{
    const int n = byte * 243 / 256;

    if ((256 * n + 242) / 243 != byte || (count == 4 && n % 3 != 0)) return -1;
    return n;
}

int64_t tg_format_tq1_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    static const int power[5] = {81, 27, 9, 3, 1};
    const int64_t blocks = tg_format_tq1_packed_bytes(rows, cols) / BLOCK_BYTES;
    int64_t first_invalid = -1;

    for (int64_t block = 0; block < blocks; block++) {
        for (int i = 0; i < CODE_BYTES; i++) {
            const struct digits d = digits_of(i);
            const int64_t first = block * BLOCK_WEIGHTS + d.first;
            const int n = number_of(packed[block * BLOCK_BYTES + i], d.count);
            if (n < 0 && (first_invalid < 0 || first < first_invalid)) first_invalid = first;
            for (int k = 0; k < d.count; k++)
                ternary[first + k * d.step] = (int8_t)(n < 0 ? 0 : n / power[k] % 3 - 1);
        }
    }
    return first_invalid;
}
