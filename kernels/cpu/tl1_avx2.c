/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/tables_avx2.h"
#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl1_avx2: ternary product by tables of sums, a block at a time.
 *
 *   results[b][r] = sum over twos of table[b][two][index[r][two]]
 *
 * For a chunk of columns the tables of kernels/cpu/tables_avx2.h are made once, as
 *
 *   bytes   0..31   low halves of columns 0 and 1, then of columns 4 and 5, of each 8
 *   bytes  32..63   high halves of these
 *   bytes  64..127  the same of columns 2 and 3, and of 6 and 7
 *
 * A block of 64 bytes is two registers, whose halves have 16 rows and 4 columns each and meet the
 * table of these columns: two tables side by side where stripes have 32 rows, one where they have
 * 64. Eight looked up halves later they are joined to 16-bit sums, and these after 512 columns to
 * 32 bits. Where a stripe has 32 rows, the two halves of a row are added at its end.
 *
 * Limits: cols a multiple of 8 and below 2^23 (int32 sums), rows below 2^31; activations
 * -127..127; indices that weights have. 139 KiB of stack.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880; the rest is ours.
 */

enum {
    BLOCK_BYTES = 64,
    LINE_BYTES = 128,
    LINE_COLUMNS = 8,
    CHUNK_COLUMNS = 8704, /* a multiple of all tiles */
    NARROW_BLOCKS = 64,   /* 32512 is the largest sum */
    JOINED_BLOCKS = 4
};

/* Of each register of a block, of each half of it, eight rows and eight more. */
struct sums {
    __m256i of[2][2][2];
};

/* A half of a line, or the part of it for a block of a stripe of 64 rows. */
static inline __attribute__((always_inline)) __m256i half_line(int stripe, const int8_t *half,
                                                               int64_t block)
{
    if (stripe == 32) return _mm256_load_si256((const __m256i *)half);
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)half + block % 2));
}

/* Adds the looked up sums of two indices of each byte of a register of the block. */
static inline __attribute__((always_inline)) void look_up(int stripe, const uint8_t *bytes,
                                                          const int8_t *line, int64_t block,
                                                          struct tg_tables_avx2_halves *sums)
{
    const __m256i four_bits = _mm256_set1_epi8(15);
    const __m256i indices = _mm256_loadu_si256((const __m256i *)bytes);
    const __m256i first = _mm256_and_si256(_mm256_srli_epi16(indices, 4), four_bits);

    tg_tables_avx2_add(half_line(stripe, line, block), half_line(stripe, line + 32, block), first,
                       sums);
    tg_tables_avx2_add(half_line(stripe, line + 64, block), half_line(stripe, line + 96, block),
                       _mm256_and_si256(indices, four_bits), sums);
}

/* Adds `count` blocks from block i, even, on, few enough for bytes, to one register's sums. */
static inline __attribute__((always_inline)) void add_few(int stripe, const uint8_t *bytes,
                                                          int64_t i, int64_t count,
                                                          const int8_t *lines, __m256i narrow[2])
{
    const __m256i zero = _mm256_setzero_si256();
    struct tg_tables_avx2_halves halves = {zero, zero};

    for (int64_t k = 0; k < count; k++) {
        const int8_t *line = lines + (stripe == 32 ? i + k : (i + k) / 2) * LINE_BYTES;
        look_up(stripe, bytes + BLOCK_BYTES * (i + k), line, k, &halves);
    }
    tg_tables_avx2_join(&halves, narrow);
}

/* Adds blocks that follow each other, from an even one on; a line has two where a stripe is 64. */
static inline __attribute__((always_inline)) void
add_run(int stripe, const uint8_t *blocks, int64_t count, const int8_t *lines, struct sums *sums)
{
    const __m256i zero = _mm256_setzero_si256();

    for (int64_t begin = 0; begin < count; begin += NARROW_BLOCKS) {
        const int64_t end = begin + NARROW_BLOCKS < count ? begin + NARROW_BLOCKS : count;
        __m256i narrow[2][2] = {{zero, zero}, {zero, zero}};
        int64_t i = begin;
        for (; i + JOINED_BLOCKS <= end; i += JOINED_BLOCKS) {
            for (int k = 0; k < JOINED_BLOCKS; k++) {
                tg_ahead_fetch(blocks + BLOCK_BYTES * (i + k));
            }
            add_few(stripe, blocks, i, JOINED_BLOCKS, lines, narrow[0]);
            add_few(stripe, blocks + 32, i, JOINED_BLOCKS, lines, narrow[1]);
        }
        if (i < end) {
            add_few(stripe, blocks, i, end - i, lines, narrow[0]);
            add_few(stripe, blocks + 32, i, end - i, lines, narrow[1]);
        }
        for (int k = 0; k < 2; k++) {
            __m256i eights[2] = {zero, zero};
            tg_tables_avx2_widen(narrow[k][0], eights);
            sums->of[k][0][0] = _mm256_add_epi32(sums->of[k][0][0], eights[0]);
            sums->of[k][1][0] = _mm256_add_epi32(sums->of[k][1][0], eights[1]);
            eights[0] = eights[1] = zero;
            tg_tables_avx2_widen(narrow[k][1], eights);
            sums->of[k][0][1] = _mm256_add_epi32(sums->of[k][0][1], eights[0]);
            sums->of[k][1][1] = _mm256_add_epi32(sums->of[k][1][1], eights[1]);
        }
    }
}

/* The columns whose tables are there at once. */
struct chunk {
    int64_t from, cols;
    _Alignas(64) int8_t lines[LINE_BYTES * (CHUNK_COLUMNS / LINE_COLUMNS)];
};

static void make_lines(const struct tg_problem *p, int64_t b, struct chunk *chunk)
{
    const int8_t *activations = p->activations + b * p->cols + chunk->from;
    __m256i *to = (__m256i *)chunk->lines;

    for (int64_t c = 0; c < chunk->cols; c += LINE_COLUMNS) {
        for (int64_t i = c; i < c + 4; i += 2) {
            const __m256i near = tg_tables_avx2_twos(activations + i);
            const __m256i far = tg_tables_avx2_twos(activations + i + 4);
            _mm256_store_si256(to++, _mm256_permute2x128_si256(near, far, 0x20));
            _mm256_store_si256(to++, _mm256_permute2x128_si256(near, far, 0x31));
        }
    }
}

static inline void store(const struct tg_problem *p, int64_t b, int64_t row, int stripe,
                         int is_first, const struct sums *sums)
{
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 2; i++) {
            const __m256i low = sums->of[k][0][i], high = sums->of[k][1][i];
            if (stripe == 32) {
                const __m256i both = _mm256_add_epi32(low, high);
                tg_tables_avx2_store(p, b, row + 16 * k + 8 * i, is_first, both);
            } else {
                tg_tables_avx2_store(p, b, row + 32 * k + 8 * i, is_first, low);
                tg_tables_avx2_store(p, b, row + 32 * k + 16 + 8 * i, is_first, high);
            }
        }
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
        struct sums sums = {0};
        for (int64_t c = 0; c < chunk->cols; c += run_cols) {
            add_run(stripe, blocks, run_cols * stripe / 256,
                    chunk->lines + c / LINE_COLUMNS * LINE_BYTES, &sums);
            blocks += run_cols * t->rows / 4;
        }
        store(p, b, row, stripe, chunk->from == 0, &sums);
    }
}

void tg_kernel_tl1_avx2(const struct tg_problem *p)
{
    const struct tg_tiles t = tg_tiles_of_tl1(p->rows, p->cols);
    struct chunk chunk;

    assert(p->cols % t.cols == 0 && p->cols < 1 << 23 && (t.stripe == 32 || t.stripe == 64));
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (chunk.from = 0; chunk.from < p->cols; chunk.from += chunk.cols) {
            const int64_t left = p->cols - chunk.from;
            chunk.cols = left < CHUNK_COLUMNS ? left : CHUNK_COLUMNS;
            make_lines(p, b, &chunk);
            if (t.stripe == 32) {
                add_chunk(32, p, &t, b, &chunk);
            } else {
                add_chunk(64, p, &t, b, &chunk);
            }
        }
    }
}
