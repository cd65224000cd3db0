/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/tables_avx2.h"
#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl2_avx2: ternary product by tables of sums, 32 rows at a time.
 *
 *   results[b][r] = sum over threes and twos of sign[r][group] * table[b][group][index[r][group]]
 *
 * For a chunk of columns the tables of kernels/cpu/tables_avx2.h are made once, of each group the
 * low halves of its sums in 16 bytes and the high halves in the next. A block of 32 bytes has the
 * indices of 32 rows for two groups. The 16-bit words of signs, of rows r and r + 16, are spread
 * over the bytes that have the indices of these rows: the high byte is of the first four threes,
 * the low byte of the others; bytes of rows from 16 on are doubled, so that all have their sign in
 * the same bit; a shift brings it to the top, where psignb looks. It would make 0 of a byte that
 * is 0, so bit 0 is set before.
 *
 * Eight threes later the halves are joined to 16-bit sums, and these after 192 columns to 32 bits.
 *
 * Limits: cols a multiple of 32 and below 2^23 (int32 sums), rows below 2^31; activations
 * -127..127; indices that weights have. 103 KiB of stack.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880; the rest is ours.
 */

enum {
    BLOCK_BYTES = 32,
    SIGNED_COLUMNS = 24, /* whose signs are a block */
    SIGNED_THREES = 8,
    LINE_BYTES = 32,
    CHUNK_COLUMNS = 9216,
    MOST_TWO_COLUMNS = 160,
    NARROW_COLUMNS = 192, /* a multiple of all tiles; 24384 is the largest sum */
    STRIPE_ROWS = 32,
    AHEAD_TILES = 2 /* of what is fetched near ahead where tiles are large */
};

/* Where the blocks of a stripe are from some column on, and how far it is to the tile beside it. */
struct run {
    const uint8_t *indices, *signs;
    int64_t indices_step, signs_step;
};

/* The sums of the rows of a stripe, eight in each, and those of 16 bits, 16 in each. */
struct sums {
    __m256i of[4];
};

static inline void widen(const __m256i narrow[2], struct sums *sums)
{
    tg_tables_avx2_widen(narrow[0], sums->of);
    tg_tables_avx2_widen(narrow[1], sums->of + 2);
}

static inline void look_up(const int8_t *line, __m256i places, struct tg_tables_avx2_halves *sums)
{
    const __m128i *half = (const __m128i *)line;

    tg_tables_avx2_add(_mm256_broadcastsi128_si256(_mm_load_si128(half)),
                       _mm256_broadcastsi128_si256(_mm_load_si128(half + 1)), places, sums);
}

/* Adds what a line has at the places, with the signs that are in the top bits. */
static inline void look_up_signed(const int8_t *line, __m256i places, __m256i signs,
                                  struct tg_tables_avx2_halves *sums)
{
    const __m128i *half = (const __m128i *)line;
    const __m256i low = _mm256_broadcastsi128_si256(_mm_load_si128(half));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_load_si128(half + 1));

    sums->low = _mm256_add_epi8(sums->low,
                                _mm256_sign_epi8(_mm256_shuffle_epi8(low, places), signs));
    sums->high = _mm256_add_epi8(sums->high,
                                 _mm256_sign_epi8(_mm256_shuffle_epi8(high, places), signs));
}

/* Adds the threes of 24 columns. */
static inline __attribute__((always_inline)) void
add_threes(const uint8_t *indices, const uint8_t *signs, const int8_t *lines, __m256i narrow[2])
{
    const __m256i low_bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14));
    const __m256i from_16 = _mm256_setr_epi64x(0, -1, 0, -1), one = _mm256_set1_epi8(1);
    const __m256i four_bits = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    const __m256i words = _mm256_loadu_si256((const __m256i *)signs);
    struct tg_tables_avx2_halves halves = {zero, zero};

    for (int i = 0; i < 2; i++) {
        const __m256i bytes = i == 0 ? _mm256_or_si256(low_bytes, one) : low_bytes;
        const __m256i spread = _mm256_shuffle_epi8(words, bytes);
        const __m256i doubled = _mm256_add_epi8(spread, _mm256_and_si256(spread, from_16));
        const __m256i first = _mm256_or_si256(doubled, one);
        const __m256i in_place[4] = {first, _mm256_slli_epi16(first, 2),
                                     _mm256_slli_epi16(first, 4), _mm256_slli_epi16(first, 6)};
        for (int k = 0; k < 4; k += 2) {
            const int block = 2 * i + k / 2;
            const __m256i *at = (const __m256i *)(indices + BLOCK_BYTES * block);
            const __m256i both = _mm256_loadu_si256(at);
            const __m256i shifted = _mm256_srli_epi16(both, 4);
            const int8_t *line = lines + LINE_BYTES * 2 * block;
            look_up_signed(line, _mm256_and_si256(shifted, four_bits), in_place[k], &halves);
            look_up_signed(line + LINE_BYTES, _mm256_and_si256(both, four_bits), in_place[k + 1],
                           &halves);
        }
    }
    tg_tables_avx2_join(&halves, narrow);
}

/* Fetches 24 columns near and far ahead; ahead_bytes are of indices, and so far is near. */
static inline __attribute__((always_inline)) void
prefetch(const uint8_t *indices, const uint8_t *signs, int64_t ahead_bytes)
{
    for (int i = 0; i < 4 * BLOCK_BYTES; i += 64) {
        _mm_prefetch((const char *)indices + 2 * ahead_bytes + i, _MM_HINT_T1);
        _mm_prefetch((const char *)indices + ahead_bytes + i, _MM_HINT_T0);
    }
    _mm_prefetch((const char *)signs + ahead_bytes / 2, _MM_HINT_T1);
    _mm_prefetch((const char *)signs + ahead_bytes / 4, _MM_HINT_T0);
}

/* Adds threes of so many columns that 16 bits hold their sums. */
static inline void add_narrow(struct run *run, int64_t cols, int64_t tile_cols, const int8_t *lines,
                              struct sums *sums)
{
    const int is_one_run = run->signs_step == BLOCK_BYTES * (tile_cols / SIGNED_COLUMNS);
    const int64_t ahead_bytes = is_one_run ? TG_AHEAD_NEAR_BYTES : AHEAD_TILES * run->indices_step;
    __m256i narrow[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

    for (int64_t tile = 0; tile < cols; tile += tile_cols) {
        for (int64_t i = 0; i < tile_cols / SIGNED_COLUMNS; i++) {
            const uint8_t *indices = run->indices + 4 * BLOCK_BYTES * i;
            const uint8_t *signs = run->signs + BLOCK_BYTES * i;
            prefetch(indices, signs, ahead_bytes);
            add_threes(indices, signs, lines, narrow);
            lines += LINE_BYTES * SIGNED_THREES;
        }
        run->indices += run->indices_step;
        run->signs += run->signs_step;
    }
    widen(narrow, sums);
}

/* Adds a tile of twos, which has 32 columns. */
static inline void add_tail(const uint8_t *indices, const int8_t *lines, struct sums *sums)
{
    const __m256i four_bits = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    __m256i narrow[2] = {zero, zero};

    for (int block = 0; block < 8; block += 4) {
        struct tg_tables_avx2_halves halves = {zero, zero};
        for (int i = block; i < block + 4; i++) {
            const __m256i both = _mm256_loadu_si256((const __m256i *)indices + i);
            const __m256i shifted = _mm256_srli_epi16(both, 4);
            const int8_t *line = lines + LINE_BYTES * 2 * i;
            look_up(line, _mm256_and_si256(shifted, four_bits), &halves);
            look_up(line + LINE_BYTES, _mm256_and_si256(both, four_bits), &halves);
        }
        tg_tables_avx2_join(&halves, narrow);
    }
    widen(narrow, sums);
}

/* The columns whose tables are there at once: threes, then twos. */
struct chunk {
    int64_t from, cols, two_cols;
    _Alignas(64) int8_t lines[LINE_BYTES * (CHUNK_COLUMNS / 3 + MOST_TWO_COLUMNS / 2)];
};

static void make_lines(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t b,
                       struct chunk *chunk)
{
    const int8_t *threes = p->activations + b * p->cols + chunk->from;
    const int8_t *twos = p->activations + b * p->cols + d->three_cols;
    __m256i *to = (__m256i *)chunk->lines;

    for (int64_t c = 0; c < chunk->cols; c += 3) {
        _mm256_store_si256(to++, tg_tables_avx2_threes(threes + c));
    }
    for (int64_t c = 0; c < chunk->two_cols; c += 2) {
        _mm256_store_si256(to++, tg_tables_avx2_twos(twos + c));
    }
}

/* Adds the chunk's columns of the stripe that begins with `row`. */
static inline void add_stripe(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t row,
                              const struct chunk *chunk, struct sums *sums)
{
    const struct tg_tiles *t = &d->threes;
    const int64_t above = row / t->rows, stripe = row % t->rows;
    const int64_t signs = above * (t->rows * d->three_cols / SIGNED_COLUMNS) +
                          stripe * t->cols / SIGNED_COLUMNS +
                          chunk->from * t->rows / SIGNED_COLUMNS;
    const int64_t step = t->rows * t->cols / SIGNED_COLUMNS;
    const uint8_t *tail = p->weights + d->tail + above * (t->rows * d->two_cols / 4) + stripe * 8;
    const int8_t *lines = chunk->lines;
    struct run run = {p->weights + 4 * signs, p->weights + d->signs + signs, 4 * step, step};

    for (int64_t c = 0; c < chunk->cols; c += NARROW_COLUMNS) {
        const int64_t cols = chunk->cols - c < NARROW_COLUMNS ? chunk->cols - c : NARROW_COLUMNS;
        add_narrow(&run, cols, t->cols, lines, sums);
        lines += LINE_BYTES * (cols / 3);
    }
    for (int64_t c = 0; c < chunk->two_cols; c += d->twos.cols) {
        add_tail(tail, lines, sums);
        tail += t->rows * 8;
        lines += LINE_BYTES * (d->twos.cols / 2);
    }
}

/* All rows of the call and one chunk of columns. */
static void add_chunk(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t b,
                      const struct chunk *chunk)
{
    for (int64_t row = p->row_begin / STRIPE_ROWS * STRIPE_ROWS; row < p->row_end;
         row += STRIPE_ROWS) {
        const __m256i zero = _mm256_setzero_si256();
        struct sums sums = {{zero, zero, zero, zero}};
        add_stripe(p, d, row, chunk, &sums);
        for (int i = 0; i < 4; i++) {
            tg_tables_avx2_store(p, b, row + 8 * i, chunk->from == 0, sums.of[i]);
        }
    }
}

void tg_kernel_tl2_avx2(const struct tg_problem *p)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(p->rows, p->cols);
    const int64_t most = CHUNK_COLUMNS / d.threes.cols * d.threes.cols;
    struct chunk chunk;

    assert(p->cols % 32 == 0 && p->cols < 1 << 23 && d.two_cols <= MOST_TWO_COLUMNS);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (chunk.from = 0; chunk.from < p->cols; chunk.from += chunk.cols + chunk.two_cols) {
            const int64_t left = d.three_cols - chunk.from;
            chunk.cols = left < most ? left : most;
            chunk.two_cols = chunk.cols == left ? d.two_cols : 0;
            make_lines(p, &d, b, &chunk);
            add_chunk(p, &d, b, &chunk);
        }
    }
}
