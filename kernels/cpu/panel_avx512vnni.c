/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/kernel.h"

/*
 * panel_avx512vnni: ternary product, one row a lane, for one column of activations and for many.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are a step: 16 rows and 16 columns. Field f of the 32-bit lane of a row (bits
 * 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has columns 4f to 4f + 3, and meets these four
 * activations, given to all lanes. The sums of a register are results as they are stored: there is
 * nothing to add across lanes, and rows outside the call are masked.
 *
 * One column, or two: four panels at once, so that 16 sums hide the latency of dpbusd and each four
 * activations are loaded once for 64 rows. A field is kept where it lies, by a mask; its sum is
 * 1, 4, 16 or 64 times too large, and divided by an exact shift at the end. The four streams are
 * prefetched as the one that they are.
 *
 * More columns: a chunk of columns of two panels is cut into codes of one byte, once for up to 128
 * columns of activations, and each two registers of codes meet twelve of these. So the loop has
 * neither mask nor shift:
 *
 *   codes     64 bytes of panel 0, columns 0..3; 64 of panel 1; both, columns 4..7; ...
 *   ordered   4 bytes of activation column 0, matrix columns 0..3; of column 1; ... of column 11;
 *             the same of matrix columns 4..7; ...
 *
 * The last tile may be of 8 or of 4, and is filled with zeros. From chunk to chunk the sums are
 * kept in the results: shorter chunks go through them more often, longer ones lose L1. A small
 * batch has few results, so its chunks are short.
 *
 * Limits: cols a multiple of 16 and at most 2^19: 128 * 128 * 2^17 is the largest sum of the last
 * field before the shift. 206 KiB of stack.
 * Source: tiles and packing as in Goto and van de Geijn, Anatomy of High-Performance Matrix
 * Multiplication, ACM TOMS 34(3), 2008.
 */

enum {
    LANES = 16,
    FIELDS = 4,
    STEP_COLUMNS = 16,
    STEP_BYTES = 64,
    RUN_PANELS = 4,
    TILE_PANELS = 2,
    TILE_COLUMNS = 12,
    BLOCK_COLUMNS = 128,
    CHUNK_COLUMNS = 1280,
    SMALL_BATCH = 32,
    SMALL_CHUNK_COLUMNS = 640,
    AHEAD_BYTES = 8192,
    AHEAD_OF_CUT_BYTES = 1024
};

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
struct run_sums {
    __v16si of[RUN_PANELS][FIELDS];
};

struct four_columns {
    __v16si of[TILE_PANELS][4];
};

/* What the tiles of a chunk share: its matrix columns, and the activation columns of the block. */
struct block {
    const struct tg_problem *p;
    int64_t first, columns;
    int64_t chunk_from, chunk;
    int32_t minus[BLOCK_COLUMNS];
    _Alignas(64) uint8_t codes[TILE_PANELS * LANES * CHUNK_COLUMNS];
    _Alignas(64) int8_t ordered[BLOCK_COLUMNS * CHUNK_COLUMNS];
};

/* Four neighbouring activations in every lane. */
static inline __m512i four(const int8_t *activations)
{
    int32_t bytes;

    memcpy(&bytes, activations, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

static inline __v16si dot(__v16si sums, __m512i codes, __m512i activations)
{
    return (__v16si)_mm512_dpbusd_epi32((__m512i)sums, codes, activations);
}

static int32_t sum_of(const int8_t *activations, int64_t cols)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __v16si sums[2] = {(__v16si)_mm512_setzero_si512(), (__v16si)_mm512_setzero_si512()};
    int64_t c = 0;

    for (; c + 128 <= cols; c += 128) {
        sums[0] = dot(sums[0], ones, _mm512_loadu_si512(activations + c));
        sums[1] = dot(sums[1], ones, _mm512_loadu_si512(activations + c + 64));
    }
    for (; c < cols; c += 64) {
        const int64_t fours = cols - c < 64 ? (cols - c) / 4 : 16;
        const __mmask16 lanes = (__mmask16)((1 << fours) - 1);
        sums[0] = dot(sums[0], ones, _mm512_maskz_loadu_epi32(lanes, activations + c));
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32((__m512i)sums[0], (__m512i)sums[1]));
}

/* The lanes of a panel that are rows of the call. */
static inline __mmask16 rows_of(const struct tg_problem *p, int64_t panel)
{
    const int64_t begin = p->row_begin - LANES * panel;
    const int64_t end = p->row_end - LANES * panel;
    const int above = end < LANES ? (1 << end) - 1 : 0xffff;

    return (__mmask16)(begin > 0 ? above & ~((1 << begin) - 1) : above);
}

/* Adds a step of so many panels; `panels` is a constant. */
static inline __attribute__((always_inline)) void add_step(int panels, const uint8_t *weights,
                                                           int64_t panel_bytes,
                                                           const int8_t *activations,
                                                           struct run_sums *sums)
{
    __m512i fours[FIELDS];

    for (int f = 0; f < FIELDS; f++) fours[f] = four(activations + 4 * f);
    for (int i = 0; i < panels; i++) {
        const __m512i codes = _mm512_loadu_si512(weights + i * panel_bytes);
        for (int f = 0; f < FIELDS; f++) {
            const __m512i mask = _mm512_set1_epi8((char)(0x03 << 2 * f));
            sums->of[i][f] = dot(sums->of[i][f], _mm512_and_si512(codes, mask), fours[f]);
        }
    }
}

/* The fields of a panel, all on the scale of codes. */
static inline __m512i joined(const __v16si of[FIELDS])
{
    const __m512i s01 = _mm512_add_epi32((__m512i)of[0], _mm512_srai_epi32((__m512i)of[1], 2));
    const __m512i s23 = _mm512_add_epi32(_mm512_srai_epi32((__m512i)of[2], 4),
                                         _mm512_srai_epi32((__m512i)of[3], 6));
    return _mm512_add_epi32(s01, s23);
}

/* So many panels from `panel`, and activation column b. */
static inline __attribute__((always_inline)) void run(int panels, const struct tg_problem *p,
                                                      int64_t panel, int64_t b, int32_t minus)
{
    const int64_t panel_bytes = 4 * p->cols;
    const uint8_t *weights = p->weights + panel * panel_bytes;
    const int8_t *activations = p->activations + b * p->cols;
    int32_t *results = (int32_t *)p->results + b * p->rows + LANES * panel;
    struct run_sums sums;

    for (int i = 0; i < panels; i++) {
        for (int f = 0; f < FIELDS; f++) sums.of[i][f] = (__v16si)_mm512_setzero_si512();
    }
    for (int64_t c = 0; c < p->cols; c += STEP_COLUMNS) {
        const char *ahead = (const char *)weights + panels * 4 * c + AHEAD_BYTES;
        for (int i = 0; i < panels; i++) _mm_prefetch(ahead + STEP_BYTES * i, _MM_HINT_T1);
        add_step(panels, weights + 4 * c, panel_bytes, activations + c, &sums);
    }
    for (int i = 0; i < panels; i++) {
        _mm512_mask_storeu_epi32(results + LANES * i, rows_of(p, panel + i),
                                 _mm512_sub_epi32(joined(sums.of[i]), _mm512_set1_epi32(minus)));
    }
}

static void few_columns(const struct tg_problem *p, int64_t panel, int64_t panel_end)
{
    int32_t minus[2];

    for (int64_t b = 0; b < p->batch; b++) {
        minus[b] = sum_of(p->activations + b * p->cols, p->cols);
    }
    for (; panel + RUN_PANELS <= panel_end; panel += RUN_PANELS) {
        for (int64_t b = 0; b < p->batch; b++) run(RUN_PANELS, p, panel, b, minus[b]);
    }
    for (; panel < panel_end; panel++) {
        for (int64_t b = 0; b < p->batch; b++) run(1, p, panel, b, minus[b]);
    }
}

/* How many activation columns the next tile has when so many are left: 12, 8 or 4. */
static int64_t width_of(int64_t left)
{
    return left > 8 ? TILE_COLUMNS : left > 4 ? 8 : 4;
}

/* Sixteen matrix columns of activation column b, or zeros where the block has no such column. */
static inline __m128i sixteen(const struct block *block, int64_t column, int64_t c)
{
    const int64_t b = block->first + column;

    if (column >= block->columns) return _mm_setzero_si128();
    return _mm_loadu_si128(
        (const __m128i *)(block->p->activations + b * block->p->cols + block->chunk_from + c));
}

/* Puts the chunk of four activation columns in the order in which a tile of that width has them. */
static void order_four(const struct block *block, int64_t column, int64_t width, int8_t *to)
{
    for (int64_t c = 0; c < block->chunk; c += STEP_COLUMNS) {
        const __m128i a0 = sixteen(block, column, c), a1 = sixteen(block, column + 1, c);
        const __m128i a2 = sixteen(block, column + 2, c), a3 = sixteen(block, column + 3, c);
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
static void order(struct block *block)
{
    for (int64_t first = 0; first < block->columns; first += TILE_COLUMNS) {
        const int64_t width = width_of(block->columns - first);
        for (int64_t j = 0; j < width; j += 4) {
            order_four(block, first + j, width, block->ordered + first * block->chunk + 4 * j);
        }
    }
}

/* Cuts the chunk of so many panels into codes of one byte. */
static void cut(struct block *block, int64_t panel, int panels)
{
    const __m512i mask = _mm512_set1_epi8(3);

    for (int i = 0; i < panels; i++) {
        const uint8_t *from = block->p->weights + 4 * (panel + i) * block->p->cols +
                              4 * block->chunk_from;
        uint8_t *to = block->codes + STEP_BYTES * i;
        for (int64_t step = 0; step < block->chunk / STEP_COLUMNS; step++) {
            const uint8_t *at = from + STEP_BYTES * step;
            const __m512i codes = _mm512_loadu_si512(at);
            const __m512i fields[FIELDS] = {codes, _mm512_srli_epi32(codes, 2),
                                            _mm512_srli_epi32(codes, 4),
                                            _mm512_srli_epi32(codes, 6)};
            _mm_prefetch((const char *)at + AHEAD_OF_CUT_BYTES, _MM_HINT_T0);
            for (int f = 0; f < FIELDS; f++) {
                _mm512_store_si512(to, _mm512_and_si512(fields[f], mask));
                to += STEP_BYTES * panels;
            }
        }
    }
}

/* Adds a chunk's sums of a panel to the results of one column, which the first chunk makes. */
static inline void add_to_results(const struct block *block, int64_t panel, int64_t column,
                                  __m512i sums)
{
    const __mmask16 rows = rows_of(block->p, panel);
    int32_t *results = (int32_t *)block->p->results + (block->first + column) * block->p->rows +
                       LANES * panel;
    const __m512i before = block->chunk_from == 0 ? _mm512_set1_epi32(-block->minus[column])
                                                  : _mm512_maskz_loadu_epi32(rows, results);

    _mm512_mask_storeu_epi32(results, rows, _mm512_add_epi32(before, sums));
}

/* Adds four matrix columns of so many panels and four columns of activations. */
static inline __attribute__((always_inline)) void
add_four(int panels, const __m512i *codes, const int8_t *ordered, struct four_columns *sums)
{
    for (int j = 0; j < 4; j++) {
        const __m512i activations = four(ordered + 4 * j);
        for (int i = 0; i < panels; i++) {
            sums->of[i][j] = dot(sums->of[i][j], codes[i], activations);
        }
    }
}

static inline __attribute__((always_inline)) void
add_four_to_results(int panels, const struct block *block, int64_t panel, int64_t first,
                    const struct four_columns *sums)
{
    for (int j = 0; j < 4; j++) {
        if (first + j < block->columns) {
            for (int i = 0; i < panels; i++) {
                add_to_results(block, panel + i, first + j, (__m512i)sums->of[i][j]);
            }
        }
    }
}

/*
 * Multiplies a chunk of so many panels by so many columns, both constants. The columns are three
 * times four and not twelve: clang 14 leaves a loop of twelve as it is, and its sums in memory.
 */
static inline __attribute__((always_inline)) void
tile(int panels, int columns, const struct block *block, int64_t panel, int64_t first)
{
    const uint8_t *codes = block->codes;
    const int8_t *ordered = block->ordered + first * block->chunk;
    struct four_columns first_four = {0}, second_four = {0}, third_four = {0};

    for (int64_t c = 0; c < block->chunk; c += 4) {
        __m512i both[TILE_PANELS];
        for (int i = 0; i < panels; i++) both[i] = _mm512_load_si512(codes + STEP_BYTES * i);
        add_four(panels, both, ordered, &first_four);
        if (columns > 4) add_four(panels, both, ordered + 16, &second_four);
        if (columns > 8) add_four(panels, both, ordered + 32, &third_four);
        codes += STEP_BYTES * panels;
        ordered += 4 * columns;
    }
    add_four_to_results(panels, block, panel, first, &first_four);
    if (columns > 4) add_four_to_results(panels, block, panel, first + 4, &second_four);
    if (columns > 8) add_four_to_results(panels, block, panel, first + 8, &third_four);
}

static void two_panels(struct block *block, int64_t panel)
{
    cut(block, panel, 2);
    for (int64_t first = 0; first < block->columns; first += TILE_COLUMNS) {
        const int64_t width = width_of(block->columns - first);
        if (width == TILE_COLUMNS) tile(2, TILE_COLUMNS, block, panel, first);
        if (width == 8) tile(2, 8, block, panel, first);
        if (width == 4) tile(2, 4, block, panel, first);
    }
}

static void one_panel(struct block *block, int64_t panel)
{
    cut(block, panel, 1);
    for (int64_t first = 0; first < block->columns; first += TILE_COLUMNS) {
        const int64_t width = width_of(block->columns - first);
        if (width == TILE_COLUMNS) tile(1, TILE_COLUMNS, block, panel, first);
        if (width == 8) tile(1, 8, block, panel, first);
        if (width == 4) tile(1, 4, block, panel, first);
    }
}

static void many_columns(const struct tg_problem *p, int64_t panel_begin, int64_t panel_end)
{
    const int64_t most = p->batch <= SMALL_BATCH ? SMALL_CHUNK_COLUMNS : CHUNK_COLUMNS;
    const int64_t chunks = (p->cols + most - 1) / most;
    const int64_t steps = (p->cols / STEP_COLUMNS + chunks - 1) / chunks;
    struct block block;

    block.p = p;
    for (block.first = 0; block.first < p->batch; block.first += BLOCK_COLUMNS) {
        const int64_t left = p->batch - block.first;
        block.columns = left < BLOCK_COLUMNS ? left : BLOCK_COLUMNS;
        for (int64_t b = 0; b < block.columns; b++) {
            block.minus[b] = sum_of(p->activations + (block.first + b) * p->cols, p->cols);
        }
        for (block.chunk_from = 0; block.chunk_from < p->cols; block.chunk_from += block.chunk) {
            int64_t panel = panel_begin;
            block.chunk = STEP_COLUMNS * steps;
            if (block.chunk > p->cols - block.chunk_from) {
                block.chunk = p->cols - block.chunk_from;
            }
            order(&block);
            for (; panel + 2 <= panel_end; panel += 2) two_panels(&block, panel);
            if (panel < panel_end) one_panel(&block, panel);
        }
    }
}

void tg_kernel_panel_avx512vnni(const struct tg_problem *p)
{
    const int64_t panel_begin = p->row_begin / LANES;
    const int64_t panel_end = (p->row_end + LANES - 1) / LANES;

    assert(p->cols % STEP_COLUMNS == 0 && p->cols <= 1 << 19);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end) return;
    if (p->batch <= 2) {
        few_columns(p, panel_begin, panel_end);
    } else {
        many_columns(p, panel_begin, panel_end);
    }
}
