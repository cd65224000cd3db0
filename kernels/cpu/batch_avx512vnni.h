/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_BATCH_AVX512VNNI_H
#define TG_KERNELS_BATCH_AVX512VNNI_H

/*
 * Products with many columns of activations, for the kernels of any format on AVX-512 VNNI.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * A format brings one function, which cuts a chunk of matrix columns of two panels (16 rows each)
 * into codes of one byte, 0 to 2. That is done once for up to 128 columns of activations, and each
 * two registers of codes meet twelve of these. So the loop has neither mask nor shift:
 *
 *   codes     64 bytes of panel 0, columns 0..3; 64 of panel 1; both, columns 4..7; ...
 *   ordered   4 bytes of activation column 0, matrix columns 0..3; of column 1; ... of column 11;
 *             the same of matrix columns 4..7; ...
 *
 * Four neighbouring columns of a row are a 32-bit lane, so the sums of a register are results as
 * they are stored: there is nothing to add across lanes, and rows outside the call are masked. The
 * last tile may be of 8 or of 4, and is filled with zeros. From chunk to chunk the sums are kept in
 * the results: shorter chunks go through them more often, longer ones lose L1. A small batch has
 * few results, so its chunks are short.
 *
 * Limits: columns a multiple of 16 and below 2^23 (int32 sums). 206 KiB of stack. Only for kernels
 * that are compiled for AVX-512 VNNI; elsewhere there is nothing here.
 * Source: tiles and packing as in Goto and van de Geijn, Anatomy of High-Performance Matrix
 * Multiplication, ACM TOMS 34(3), 2008.
 */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/op.h"

enum {
    TG_BATCH_LANES = 16,        /* rows of a panel */
    TG_BATCH_STEP_COLUMNS = 16, /* chunks are a multiple of it, but for the last */
    TG_BATCH_STEP_BYTES = 64,
    TG_BATCH_PANELS = 2,
    TG_BATCH_TILE_COLUMNS = 12,
    TG_BATCH_BLOCK_COLUMNS = 128,
    TG_BATCH_CHUNK_COLUMNS = 1280,
    TG_BATCH_SLICE_COLUMNS = 64,
    TG_BATCH_SMALL = 32, /* columns of a small batch */
    TG_BATCH_SMALL_CHUNK_COLUMNS = 640
};

/*
 * Cuts `columns` matrix columns from `from` on of so many panels (1 or 2) from `panel` on: writes
 * 64 bytes for four columns of a panel, one row a 32-bit lane, as the order of `codes` above says.
 * Of rows that the matrix does not have anything may be written.
 */
typedef void (*tg_batch_avx512vnni_cut_fn)(const struct tg_problem *p, int64_t panel, int panels,
                                           int64_t from, int64_t columns, uint8_t *codes);

/* How a format is cut: chunks start at a multiple of column_multiple, pairs of panels at even. */
struct tg_batch_avx512vnni {
    tg_batch_avx512vnni_cut_fn cut;
    int64_t column_multiple; /* itself a multiple of TG_BATCH_STEP_COLUMNS, at most 576 */
    int is_paired;           /* two panels are always cut together */

    /* Of each 16 columns, those that codes have in their 16 places; NULL: in their order. */
    const int8_t *within;
};

struct tg_batch_four_columns {
    __v16si of[TG_BATCH_PANELS][4];
};

/* What the tiles of a chunk share: its matrix columns, and the activation columns of the block. */
struct tg_batch_block {
    const struct tg_problem *p;
    const struct tg_batch_avx512vnni *format;
    int64_t first, columns;
    int64_t chunk_from, chunk;
    __mmask16 rows[TG_BATCH_PANELS]; /* of the panels that are cut: which are of the call */
    int32_t minus[TG_BATCH_BLOCK_COLUMNS];
    _Alignas(64) uint8_t codes[TG_BATCH_PANELS * TG_BATCH_LANES * TG_BATCH_CHUNK_COLUMNS];
    _Alignas(64) int8_t ordered[TG_BATCH_BLOCK_COLUMNS * TG_BATCH_CHUNK_COLUMNS];
};

/* Four neighbouring activations in every lane. */
static inline __m512i tg_batch_avx512vnni_four(const int8_t *activations)
{
    int32_t bytes;

    memcpy(&bytes, activations, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
static inline __v16si tg_batch_avx512vnni_dot(__v16si sums, __m512i codes, __m512i activations)
{
    return (__v16si)_mm512_dpbusd_epi32((__m512i)sums, codes, activations);
}

/* The sum of one column of activations, of which there are a multiple of four. */
static inline int32_t tg_batch_avx512vnni_sum(const int8_t *activations, int64_t cols)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __v16si sums[2] = {(__v16si)_mm512_setzero_si512(), (__v16si)_mm512_setzero_si512()};
    int64_t c = 0;

    for (; c + 128 <= cols; c += 128) {
        sums[0] = tg_batch_avx512vnni_dot(sums[0], ones, _mm512_loadu_si512(activations + c));
        sums[1] = tg_batch_avx512vnni_dot(sums[1], ones, _mm512_loadu_si512(activations + c + 64));
    }
    for (; c < cols; c += 64) {
        const int64_t fours = cols - c < 64 ? (cols - c) / 4 : 16;
        const __mmask16 lanes = (__mmask16)((1 << fours) - 1);
        const __m512i last = _mm512_maskz_loadu_epi32(lanes, activations + c);
        sums[0] = tg_batch_avx512vnni_dot(sums[0], ones, last);
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32((__m512i)sums[0], (__m512i)sums[1]));
}

/* The lanes of a panel that are rows of the call. */
static inline __mmask16 tg_batch_avx512vnni_rows(const struct tg_problem *p, int64_t panel)
{
    const int64_t begin = p->row_begin - TG_BATCH_LANES * panel;
    const int64_t end = p->row_end - TG_BATCH_LANES * panel;
    const int above = end < TG_BATCH_LANES ? (1 << (end > 0 ? end : 0)) - 1 : 0xffff;
    const int below = begin < TG_BATCH_LANES ? (1 << (begin > 0 ? begin : 0)) - 1 : 0xffff;

    return (__mmask16)(above & ~below);
}

/* How many activation columns the next tile has when so many are left: 12, 8 or 4. */
static inline int64_t tg_batch_avx512vnni_width(int64_t left)
{
    return left > 8 ? TG_BATCH_TILE_COLUMNS : left > 4 ? 8 : 4;
}

/* Sixteen matrix columns of activation column b, or zeros where the block has no such column. */
static inline __m128i tg_batch_avx512vnni_sixteen(const struct tg_batch_block *block,
                                                  int64_t column, int64_t c)
{
    const int64_t at = (block->first + column) * block->p->cols + block->chunk_from + c;
    const int8_t *within = block->format->within;

    if (column >= block->columns) return _mm_setzero_si128();
    const __m128i activations = _mm_loadu_si128((const __m128i *)(block->p->activations + at));
    if (!within) return activations;
    return _mm_shuffle_epi8(activations, _mm_loadu_si128((const __m128i *)within));
}

/* Puts the chunk of four activation columns in the order in which a tile of that width has them. */
static inline void tg_batch_avx512vnni_order_four(const struct tg_batch_block *block,
                                                  int64_t column, int64_t width, int8_t *to)
{
    for (int64_t c = 0; c < block->chunk; c += TG_BATCH_STEP_COLUMNS) {
        const __m128i a0 = tg_batch_avx512vnni_sixteen(block, column, c);
        const __m128i a1 = tg_batch_avx512vnni_sixteen(block, column + 1, c);
        const __m128i a2 = tg_batch_avx512vnni_sixteen(block, column + 2, c);
        const __m128i a3 = tg_batch_avx512vnni_sixteen(block, column + 3, c);
        const __m128i low01 = _mm_unpacklo_epi32(a0, a1), high01 = _mm_unpackhi_epi32(a0, a1);
        const __m128i low23 = _mm_unpacklo_epi32(a2, a3), high23 = _mm_unpackhi_epi32(a2, a3);
        int8_t *at = to + c * width;
        _mm_storeu_si128((__m128i *)at, _mm_unpacklo_epi64(low01, low23));
        _mm_storeu_si128((__m128i *)(at + 4 * width), _mm_unpackhi_epi64(low01, low23));
        _mm_storeu_si128((__m128i *)(at + 8 * width), _mm_unpacklo_epi64(high01, high23));
        _mm_storeu_si128((__m128i *)(at + 12 * width), _mm_unpackhi_epi64(high01, high23));
    }
}

/* Puts the chunk of the block's activations in the order in which tiles meet them. */
static inline void tg_batch_avx512vnni_order(struct tg_batch_block *block)
{
    for (int64_t first = 0; first < block->columns; first += TG_BATCH_TILE_COLUMNS) {
        const int64_t width = tg_batch_avx512vnni_width(block->columns - first);
        for (int64_t j = 0; j < width; j += 4) {
            int8_t *to = block->ordered + first * block->chunk + 4 * j;
            tg_batch_avx512vnni_order_four(block, first + j, width, to);
        }
    }
}

/*
 * Adds a chunk's sums of a panel to the results of one column, which the first chunk makes. `rows`
 * are those of the call.
 */
static inline void tg_batch_avx512vnni_add(const struct tg_batch_block *block, __mmask16 rows,
                                           int64_t panel, int64_t column, __m512i sums)
{
    int32_t *results = (int32_t *)block->p->results + (block->first + column) * block->p->rows +
                       TG_BATCH_LANES * panel;
    const __m512i before = block->chunk_from == 0 ? _mm512_set1_epi32(-block->minus[column])
                                                  : _mm512_maskz_loadu_epi32(rows, results);

    _mm512_mask_storeu_epi32(results, rows, _mm512_add_epi32(before, sums));
}

/* Adds four matrix columns of so many panels and four columns of activations. */
static inline __attribute__((always_inline)) void
tg_batch_avx512vnni_add_four(int panels, const __m512i *codes, const int8_t *ordered,
                             struct tg_batch_four_columns *sums)
{
    for (int j = 0; j < 4; j++) {
        const __m512i activations = tg_batch_avx512vnni_four(ordered + 4 * j);
        for (int i = 0; i < panels; i++) {
            sums->of[i][j] = tg_batch_avx512vnni_dot(sums->of[i][j], codes[i], activations);
        }
    }
}

static inline __attribute__((always_inline)) void
tg_batch_avx512vnni_add_to_results(int panels, const struct tg_batch_block *block, int64_t panel,
                                   int64_t first, const struct tg_batch_four_columns *sums)
{
    for (int j = 0; j < 4; j++) {
        if (first + j < block->columns) {
            for (int i = 0; i < panels; i++) {
                tg_batch_avx512vnni_add(block, block->rows[i], panel + i, first + j,
                                        (__m512i)sums->of[i][j]);
            }
        }
    }
}

/* Columns that a tile meets at once: the first of a chunk has codes to be cut ahead of each. */
static inline int64_t tg_batch_avx512vnni_slice(const struct tg_batch_block *block, int64_t first)
{
    const int64_t multiple = block->format->column_multiple;

    return first > 0 ? block->chunk : (TG_BATCH_SLICE_COLUMNS + multiple - 1) / multiple * multiple;
}

/*
 * Multiplies a chunk of so many panels by so many columns, both constants. The columns are three
 * times four and not twelve: clang 14 leaves a loop of twelve as it is, and its sums in memory.
 * The first tile cuts the codes, a slice at a time: so that is done beside multiplying.
 */
static inline __attribute__((always_inline)) void
tg_batch_avx512vnni_tile(int panels, int columns, struct tg_batch_block *block, int64_t panel,
                         int64_t first)
{
    uint8_t *codes = block->codes;
    const int8_t *ordered = block->ordered + first * block->chunk;
    const int64_t slice = tg_batch_avx512vnni_slice(block, first);
    struct tg_batch_four_columns first_four = {0}, second_four = {0}, third_four = {0};

    for (int64_t from = 0, until; from < block->chunk; from = until) {
        until = from + slice < block->chunk ? from + slice : block->chunk;
        if (first == 0) {
            block->format->cut(block->p, panel, panels, block->chunk_from + from, until - from,
                               codes);
        }
        for (int64_t c = from; c < until; c += 4) {
            __m512i both[TG_BATCH_PANELS];
            for (int i = 0; i < panels; i++) {
                both[i] = _mm512_load_si512(codes + TG_BATCH_STEP_BYTES * i);
            }
            tg_batch_avx512vnni_add_four(panels, both, ordered, &first_four);
            if (columns > 4) tg_batch_avx512vnni_add_four(panels, both, ordered + 16, &second_four);
            if (columns > 8) tg_batch_avx512vnni_add_four(panels, both, ordered + 32, &third_four);
            codes += TG_BATCH_STEP_BYTES * panels;
            ordered += 4 * columns;
        }
    }
    tg_batch_avx512vnni_add_to_results(panels, block, panel, first, &first_four);
    if (columns > 4) {
        tg_batch_avx512vnni_add_to_results(panels, block, panel, first + 4, &second_four);
    }
    if (columns > 8) {
        tg_batch_avx512vnni_add_to_results(panels, block, panel, first + 8, &third_four);
    }
}

/* So many panels from `panel` on; `panels` is a constant. */
static inline __attribute__((always_inline)) void
tg_batch_avx512vnni_panels(int panels, struct tg_batch_block *block, int64_t panel)
{
    for (int i = 0; i < panels; i++) block->rows[i] = tg_batch_avx512vnni_rows(block->p, panel + i);
    for (int64_t first = 0; first < block->columns; first += TG_BATCH_TILE_COLUMNS) {
        const int64_t width = tg_batch_avx512vnni_width(block->columns - first);
        if (width == TG_BATCH_TILE_COLUMNS) {
            tg_batch_avx512vnni_tile(panels, TG_BATCH_TILE_COLUMNS, block, panel, first);
        }
        if (width == 8) tg_batch_avx512vnni_tile(panels, 8, block, panel, first);
        if (width == 4) tg_batch_avx512vnni_tile(panels, 4, block, panel, first);
    }
}

static void tg_batch_avx512vnni_chunk(struct tg_batch_block *block)
{
    const int64_t panels_end = (block->p->row_end + TG_BATCH_LANES - 1) / TG_BATCH_LANES;
    int64_t panel = block->p->row_begin / TG_BATCH_LANES;

    tg_batch_avx512vnni_order(block);
    if (block->format->is_paired) panel = panel / 2 * 2;
    for (; panel + 2 <= panels_end; panel += 2) tg_batch_avx512vnni_panels(2, block, panel);
    if (panel == panels_end) return;
    if (block->format->is_paired) {
        tg_batch_avx512vnni_panels(2, block, panel);
    } else {
        tg_batch_avx512vnni_panels(1, block, panel);
    }
}

/* The whole call; p->cols is a multiple of 16. */
static inline void tg_batch_avx512vnni_multiply(const struct tg_problem *p,
                                                const struct tg_batch_avx512vnni *format)
{
    const int64_t multiple = format->column_multiple;
    const int64_t most = p->batch <= TG_BATCH_SMALL ? TG_BATCH_SMALL_CHUNK_COLUMNS
                                                    : TG_BATCH_CHUNK_COLUMNS;
    const int64_t chunks = (p->cols + most / multiple * multiple - 1) /
                           (most / multiple * multiple);
    const int64_t pieces = ((p->cols + multiple - 1) / multiple + chunks - 1) / chunks;
    struct tg_batch_block block;

    assert(p->cols % TG_BATCH_STEP_COLUMNS == 0 && multiple % TG_BATCH_STEP_COLUMNS == 0);
    if (p->row_begin == p->row_end) return;
    block.p = p;
    block.format = format;
    for (block.first = 0; block.first < p->batch; block.first += TG_BATCH_BLOCK_COLUMNS) {
        const int64_t left = p->batch - block.first;
        block.columns = left < TG_BATCH_BLOCK_COLUMNS ? left : TG_BATCH_BLOCK_COLUMNS;
        for (int64_t b = 0; b < block.columns; b++) {
            const int8_t *activations = p->activations + (block.first + b) * p->cols;
            block.minus[b] = tg_batch_avx512vnni_sum(activations, p->cols);
        }
        for (block.chunk_from = 0; block.chunk_from < p->cols; block.chunk_from += block.chunk) {
            const int64_t rest = p->cols - block.chunk_from;
            block.chunk = multiple * pieces < rest ? multiple * pieces : rest;
            tg_batch_avx512vnni_chunk(&block);
        }
    }
}

#endif
#endif
