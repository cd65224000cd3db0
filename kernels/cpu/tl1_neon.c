/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <assert.h>

#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl1_neon: ternary product by tables of sums, a block at a time.
 *
 *   results[b][r] = sum over twos of table[b][two][index[r][two]]
 *
 * A lookup gives a byte, and a sum of two activations needs nine bits. So each sum v is split into
 * two bytes that can be added up as bytes eight times,
 *
 *   v = 31 * high + low,  -15 <= low <= 15,  -8 <= high <= 8
 *
 * and then joined to 16-bit sums, after 64 blocks to 32 bits. For a chunk of columns the tables are
 * made once; of each four columns they are
 *
 *   bytes  0..15   low halves of the sums of columns 0 and 1     bytes 16..31   high halves
 *   bytes 32..47   those of columns 2 and 3                      bytes 48..63   high halves
 *
 * A block of 64 bytes has in its quarters 16 rows and 4 columns each: two times four columns of 32
 * rows, or four columns of 64 rows, as the stripes have.
 *
 * Limits: cols a multiple of 8 and below 2^23 (int32 sums); activations -127..127; indices that
 * weights have. 136 KiB of stack.
 * Source: the layout and the lookup are bitnet.cpp's, arXiv:2502.11880; the split by 31 is ours.
 */

enum {
    BLOCK_BYTES = 64,
    QUARTERS = 4,
    LINE_BYTES = 64, /* of four columns */
    RADIX = 31,
    INVERSE = 1057,       /* 2^15 / 31: every v is divided and rounded right */
    CHUNK_COLUMNS = 8704, /* a multiple of all tiles */
    JOINED_BLOCKS = 4,    /* of two sums each */
    NARROW_BLOCKS = 64    /* 32512 is the largest sum */
};

struct chunk {
    int64_t from, cols;
    _Alignas(64) int8_t lines[LINE_BYTES * (CHUNK_COLUMNS / 4)];
};

/* The 16 rows of each quarter of a block: four times four. */
struct sums {
    int32x4_t of[QUARTERS][4];
};

struct halves {
    int8x16_t low[QUARTERS], high[QUARTERS];
};

/* The low and the high halves of the sums of two activations, of index 3 * w[0] + w[1] + 4. */
static void make_line(const int8_t *activations, int8_t *line)
{
    static const int16_t first[16] = {-1, -1, -1, 0, 0, 0, 1, 1, 1};
    static const int16_t second[16] = {-1, 0, 1, -1, 0, 1, -1, 0, 1};
    int8x8_t low[2], high[2];

    for (int i = 0; i < 2; i++) {
        const int16x8_t sum = vmlaq_n_s16(vmulq_n_s16(vld1q_s16(first + 8 * i), activations[0]),
                                          vld1q_s16(second + 8 * i), activations[1]);
        const int16x8_t quotient = vqrdmulhq_n_s16(sum, INVERSE);
        high[i] = vmovn_s16(quotient);
        low[i] = vmovn_s16(vmlsq_n_s16(sum, quotient, RADIX));
    }
    vst1q_s8(line, vcombine_s8(low[0], low[1]));
    vst1q_s8(line + 16, vcombine_s8(high[0], high[1]));
}

/* Adds the looked up sums of a block; `stripe` is a constant, `block` counts from the chunk on. */
static inline __attribute__((always_inline)) void
look_up(int stripe, const uint8_t *bytes, const int8_t *lines, int64_t block, struct halves *sums)
{
    for (int q = 0; q < QUARTERS; q++) {
        const uint8x16_t indices = vld1q_u8(bytes + 16 * q);
        const uint8x16_t first = vshrq_n_u8(indices, 4), last = vandq_u8(indices, vdupq_n_u8(15));
        const int8_t *line = lines + LINE_BYTES * (stripe == 32 ? 2 * block + q % 2 : block);
        const int8x16_t low = vaddq_s8(vqtbl1q_s8(vld1q_s8(line), first),
                                       vqtbl1q_s8(vld1q_s8(line + 32), last));
        const int8x16_t high = vaddq_s8(vqtbl1q_s8(vld1q_s8(line + 16), first),
                                        vqtbl1q_s8(vld1q_s8(line + 48), last));
        sums->low[q] = vaddq_s8(sums->low[q], low);
        sums->high[q] = vaddq_s8(sums->high[q], high);
    }
}

/* Adds blocks from `begin` to `end` - 1, few enough for bytes, to the 16-bit sums. */
static inline __attribute__((always_inline)) void add_few(int stripe, const uint8_t *blocks,
                                                          int64_t begin, int64_t end,
                                                          const int8_t *lines,
                                                          int16x8_t narrow[QUARTERS][2])
{
    const int8x16_t radix = vdupq_n_s8(RADIX);
    struct halves halves;

    for (int q = 0; q < QUARTERS; q++) halves.low[q] = halves.high[q] = vdupq_n_s8(0);
    for (int64_t i = begin; i < end; i++) {
        look_up(stripe, blocks + BLOCK_BYTES * i, lines, i, &halves);
    }
    for (int q = 0; q < QUARTERS; q++) {
        const int8x16_t low = halves.low[q], high = halves.high[q];
        narrow[q][0] = vmlal_s8(vaddw_s8(narrow[q][0], vget_low_s8(low)), vget_low_s8(high),
                                vget_low_s8(radix));
        narrow[q][1] = vmlal_high_s8(vaddw_high_s8(narrow[q][1], low), high, radix);
    }
}

/* Adds blocks that follow each other. */
static inline __attribute__((always_inline)) void
add_run(int stripe, const uint8_t *blocks, int64_t count, const int8_t *lines, struct sums *sums)
{
    for (int64_t begin = 0; begin < count; begin += NARROW_BLOCKS) {
        const int64_t end = begin + NARROW_BLOCKS < count ? begin + NARROW_BLOCKS : count;
        int16x8_t narrow[QUARTERS][2];
        for (int q = 0; q < QUARTERS; q++) narrow[q][0] = narrow[q][1] = vdupq_n_s16(0);
        for (int64_t i = begin; i < end; i += JOINED_BLOCKS) {
            add_few(stripe, blocks, i, i + JOINED_BLOCKS < end ? i + JOINED_BLOCKS : end, lines,
                    narrow);
        }
        for (int q = 0; q < QUARTERS; q++) {
            for (int i = 0; i < 2; i++) {
                int32x4_t *of = sums->of[q] + 2 * i;
                of[0] = vaddw_s16(of[0], vget_low_s16(narrow[q][i]));
                of[1] = vaddw_high_s16(of[1], narrow[q][i]);
            }
        }
    }
}

/* Makes four results from `row` on, or adds to them; those that are of the call. */
static inline void store(const struct tg_problem *p, int64_t b, int64_t row, int is_first,
                         int32x4_t sums)
{
    int32_t *results = (int32_t *)p->results + b * p->rows;
    int32_t lanes[4];

    vst1q_s32(lanes, sums);
    for (int i = 0; i < 4; i++) {
        if (row + i < p->row_begin || p->row_end <= row + i) continue;
        results[row + i] = (is_first ? 0 : results[row + i]) + lanes[i];
    }
}

/* All rows of the call and one chunk of columns; `stripe` is a constant. */
static inline __attribute__((always_inline)) void add_chunk(int stripe, const struct tg_problem *p,
                                                            const struct tg_tiles *t, int64_t b,
                                                            const struct chunk *chunk)
{
    const int64_t run_cols = t->rows == stripe ? chunk->cols : t->cols;

    for (int64_t row = p->row_begin / stripe * stripe; row < p->row_end; row += stripe) {
        const uint8_t *blocks = p->weights + row / t->rows * (t->rows * p->cols / 4) +
                                row % t->rows * t->cols / 4 + chunk->from * t->rows / 4;
        struct sums sums;
        for (int q = 0; q < QUARTERS; q++) {
            for (int i = 0; i < 4; i++) sums.of[q][i] = vdupq_n_s32(0);
        }
        for (int64_t c = 0; c < chunk->cols; c += run_cols) {
            add_run(stripe, blocks, run_cols * stripe / 256, chunk->lines + c / 4 * LINE_BYTES,
                    &sums);
            blocks += run_cols * t->rows / 4;
        }
        for (int i = 0; i < stripe / 4; i++) {
            const int q = i / 4;
            const int32x4_t sum = stripe == 32
                                      ? vaddq_s32(sums.of[2 * q][i % 4], sums.of[2 * q + 1][i % 4])
                                      : sums.of[q][i % 4];
            store(p, b, row + 4 * i, chunk->from == 0, sum);
        }
    }
}

void tg_kernel_tl1_neon(const struct tg_problem *p)
{
    const struct tg_tiles t = tg_tiles_of_tl1(p->rows, p->cols);
    struct chunk chunk;

    assert(p->cols % t.cols == 0 && p->cols < 1 << 23 && (t.stripe == 32 || t.stripe == 64));
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (chunk.from = 0; chunk.from < p->cols; chunk.from += chunk.cols) {
            const int8_t *activations = p->activations + b * p->cols + chunk.from;
            const int64_t left = p->cols - chunk.from;
            chunk.cols = left < CHUNK_COLUMNS ? left : CHUNK_COLUMNS;
            for (int64_t c = 0; c < chunk.cols; c += 2) {
                make_line(activations + c, chunk.lines + c / 2 * (LINE_BYTES / 2));
            }
            if (t.stripe == 32) {
                add_chunk(32, p, &t, b, &chunk);
            } else {
                add_chunk(64, p, &t, b, &chunk);
            }
        }
    }
}
