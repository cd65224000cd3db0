/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/codes_avx2.h"
#include "kernels/cpu/fields_avx2.h"
#include "kernels/cpu/tables_avx2.h"
#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl2_avx2: ternary product by tables of sums, 32 rows at a time; many columns by codes.
 *
 *   results[b][r] = sum over threes and twos of sign[r][group] * table[b][group][index[r][group]]
 *
 * Few columns: for a chunk of columns the tables of kernels/cpu/tables_avx2.h are made once, of
 * each group the low halves of its sums in 16 bytes and the high halves in the next. A block of 32
 * bytes has the indices of 32 rows for two groups. The 16-bit words of signs, of rows r and r + 16,
 * are spread over the bytes that have the indices of these rows: the high byte is of the first four
 * threes, the low byte of the others; bytes of rows from 16 on are doubled, so that all have their
 * sign in the same bit; a shift brings it to the top, where psignb looks. It would make 0 of a byte
 * that is 0, so bit 0 is set before.
 *
 * Eight threes later the halves are joined to 16-bit sums, and these after 192 columns to 32 bits.
 *
 * More columns: as kernels/cpu/codes_avx2.h says. An index looks up its three weights, times 16, 4
 * and 1, in one byte, of which psignb makes the negative where it should; plus 21 these are three
 * codes of two bits. Four threes are turned at once, so the codes of a step are the first weights
 * of four threes, or the second, or the third.
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
    FEW_COLUMNS = 3,
    BLOCK_COLUMNS = 32,
    CUT_COLUMNS = 768, /* a multiple of all tiles */
    AHEAD_TILES = 2    /* of what is fetched near ahead where tiles are large */
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

/*
 * The signs of four threes of 24 columns, the first or the last, in the top bits of bytes that are
 * not 0.
 */
static inline __attribute__((always_inline)) void signs_of(const uint8_t *signs, int is_last,
                                                           __m256i in_place[4])
{
    const __m256i low_bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14));
    const __m256i from_16 = _mm256_setr_epi64x(0, -1, 0, -1), one = _mm256_set1_epi8(1);
    const __m256i words = _mm256_loadu_si256((const __m256i *)signs);
    const __m256i bytes = is_last ? low_bytes : _mm256_or_si256(low_bytes, one);
    const __m256i spread = _mm256_shuffle_epi8(words, bytes);
    const __m256i doubled = _mm256_add_epi8(spread, _mm256_and_si256(spread, from_16));

    in_place[0] = _mm256_or_si256(doubled, one);
    for (int k = 1; k < 4; k++) in_place[k] = _mm256_slli_epi16(in_place[0], 2 * k);
}

/* The indices of two threes, or twos, of a block. */
static inline void indices_of(const uint8_t *block, __m256i indices[2])
{
    const __m256i both = _mm256_loadu_si256((const __m256i *)block);
    const __m256i four_bits = _mm256_set1_epi8(15);

    indices[0] = _mm256_and_si256(_mm256_srli_epi16(both, 4), four_bits);
    indices[1] = _mm256_and_si256(both, four_bits);
}

/* Adds the threes of 24 columns. */
static inline __attribute__((always_inline)) void
add_threes(const uint8_t *indices, const uint8_t *signs, const int8_t *lines, __m256i narrow[2])
{
    struct tg_tables_avx2_halves halves = {_mm256_setzero_si256(), _mm256_setzero_si256()};

    for (int i = 0; i < 2; i++) {
        __m256i in_place[4];
        signs_of(signs, i, in_place);
        for (int k = 0; k < 4; k += 2) {
            const int block = 2 * i + k / 2;
            const int8_t *line = lines + LINE_BYTES * 2 * block;
            __m256i places[2];
            indices_of(indices + BLOCK_BYTES * block, places);
            look_up_signed(line, places[0], in_place[k], &halves);
            look_up_signed(line + LINE_BYTES, places[1], in_place[k + 1], &halves);
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
    const __m256i zero = _mm256_setzero_si256();
    __m256i narrow[2] = {zero, zero};

    for (int block = 0; block < 8; block += 4) {
        struct tg_tables_avx2_halves halves = {zero, zero};
        for (int i = block; i < block + 4; i++) {
            const int8_t *line = lines + LINE_BYTES * 2 * i;
            __m256i places[2];
            indices_of(indices + BLOCK_BYTES * i, places);
            look_up(line, places[0], &halves);
            look_up(line + LINE_BYTES, places[1], &halves);
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

/* Where the threes of the stripe that begins with `row` are from column `from` on. */
static inline struct run threes_at(const struct tg_problem *p, const struct tg_tiles_tl2 *d,
                                   int64_t row, int64_t from)
{
    const struct tg_tiles *t = &d->threes;
    const int64_t signs = row / t->rows * (t->rows * d->three_cols / SIGNED_COLUMNS) +
                          row % t->rows * t->cols / SIGNED_COLUMNS +
                          from * t->rows / SIGNED_COLUMNS;
    const int64_t step = t->rows * t->cols / SIGNED_COLUMNS;

    return (struct run){p->weights + 4 * signs, p->weights + d->signs + signs, 4 * step, step};
}

/* Its first tile of twos; the next is threes.rows * 8 bytes on. */
static inline const uint8_t *twos_at(const struct tg_problem *p, const struct tg_tiles_tl2 *d,
                                     int64_t row)
{
    const int64_t rows = d->threes.rows;

    return p->weights + d->tail + row / rows * (rows * d->two_cols / 4) + row % rows * 8;
}

/* Adds the chunk's columns of the stripe that begins with `row`. */
static inline void add_stripe(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t row,
                              const struct chunk *chunk, struct sums *sums)
{
    const struct tg_tiles *t = &d->threes;
    const uint8_t *tail = twos_at(p, d, row);
    const int8_t *lines = chunk->lines;
    struct run run = threes_at(p, d, row, chunk->from);

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

static void few_columns(const struct tg_problem *p, const struct tg_tiles_tl2 *d)
{
    const int64_t most = CHUNK_COLUMNS / d->threes.cols * d->threes.cols;
    struct chunk chunk;

    for (int64_t b = 0; b < p->batch; b++) {
        for (chunk.from = 0; chunk.from < p->cols; chunk.from += chunk.cols + chunk.two_cols) {
            const int64_t left = d->three_cols - chunk.from;
            chunk.cols = left < most ? left : most;
            chunk.two_cols = chunk.cols == left ? d->two_cols : 0;
            make_lines(p, d, b, &chunk);
            add_chunk(p, d, b, &chunk);
        }
    }
}

/* Three weights, v being 9, 3 and 1 times them, as two bits each. */
#define FIELDS(v) (16 * ((13 + (v)) / 9) + 4 * ((13 + (v)) / 3 % 3) + (13 + (v)) % 3)
#define SIGNED(v) (FIELDS(v) - FIELDS(0))

/* Cuts the threes of 24 columns into codes: of each four threes the first weights, the next, ... */
static void cut_threes(const uint8_t *indices, const uint8_t *signs, uint8_t *codes)
{
    const __m256i fields = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        SIGNED(0), SIGNED(1), SIGNED(2), SIGNED(3), SIGNED(4), SIGNED(5), SIGNED(6), SIGNED(7),
        SIGNED(8), SIGNED(9), SIGNED(10), SIGNED(11), SIGNED(12), SIGNED(13), 0, 0));
    const __m256i two_bits = _mm256_set1_epi8(3), zeros = _mm256_set1_epi8(FIELDS(0));
    __m256i *to = (__m256i *)codes;

    for (int i = 0; i < 2; i++) {
        __m256i in_place[4], places[4], turned[4];
        signs_of(signs, i, in_place);
        indices_of(indices + 2 * BLOCK_BYTES * i, places);
        indices_of(indices + 2 * BLOCK_BYTES * i + BLOCK_BYTES, places + 2);
        for (int k = 0; k < 4; k++) {
            const __m256i three = _mm256_sign_epi8(_mm256_shuffle_epi8(fields, places[k]),
                                                   in_place[k]);
            places[k] = _mm256_add_epi8(three, zeros);
        }
        tg_codes_avx2_turn(places, turned);
        for (int k = 0; k < 4; k++) {
            const __m256i second = _mm256_srli_epi16(turned[k], 2);
            const __m256i first = _mm256_srli_epi16(turned[k], 4);
            _mm256_store_si256(to + k, _mm256_and_si256(first, two_bits));
            _mm256_store_si256(to + k + 4, _mm256_and_si256(second, two_bits));
            _mm256_store_si256(to + k + 8, _mm256_and_si256(turned[k], two_bits));
        }
        to += 12;
    }
}

/* Cuts the twos of 4 columns. */
static void cut_twos(const uint8_t *block, uint8_t *codes)
{
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0));
    const __m256i second = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0));
    __m256i places[2], turned[4];

    indices_of(block, places);
    const __m256i rows[4] = {
        _mm256_shuffle_epi8(first, places[0]), _mm256_shuffle_epi8(second, places[0]),
        _mm256_shuffle_epi8(first, places[1]), _mm256_shuffle_epi8(second, places[1])};
    tg_codes_avx2_turn(rows, turned);
    for (int k = 0; k < 4; k++) _mm256_store_si256((__m256i *)codes + k, turned[k]);
}

/* Columns of a stripe as codes, and of a block of activations in the order of codes. */
struct cut {
    int64_t first, columns; /* of activations */
    int64_t from, cols, two_cols;
    int32_t minus[BLOCK_COLUMNS];
    _Alignas(64) uint8_t codes[STRIPE_ROWS * (CUT_COLUMNS + MOST_TWO_COLUMNS)];
    int8_t ordered[BLOCK_COLUMNS * (CUT_COLUMNS + MOST_TWO_COLUMNS)];
};

static void cut_stripe(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t row,
                       struct cut *cut)
{
    const uint8_t *tail = twos_at(p, d, row);
    struct run run = threes_at(p, d, row, cut->from);
    uint8_t *codes = cut->codes;

    for (int64_t tile = 0; tile < cut->cols; tile += d->threes.cols) {
        for (int64_t i = 0; i < d->threes.cols / SIGNED_COLUMNS; i++) {
            cut_threes(run.indices + 4 * BLOCK_BYTES * i, run.signs + BLOCK_BYTES * i, codes);
            codes += STRIPE_ROWS * SIGNED_COLUMNS;
        }
        run.indices += run.indices_step;
        run.signs += run.signs_step;
    }
    for (int64_t c = 0; c < cut->two_cols; c += TG_CODES_STEP_COLUMNS) {
        const int64_t tile = c / d->twos.cols, block = c % d->twos.cols / TG_CODES_STEP_COLUMNS;
        cut_twos(tail + tile * d->threes.rows * 8 + BLOCK_BYTES * block, codes);
        codes += TG_CODES_STEP_BYTES;
    }
}

/* Puts a column of activations in the order of codes; `to` is its place in the first step. */
static void order(const struct tg_problem *p, const struct tg_tiles_tl2 *d, const struct cut *cut,
                  int64_t b, int8_t *to)
{
    const int8_t *threes = p->activations + b * p->cols + cut->from;
    const int8_t *twos = p->activations + b * p->cols + d->three_cols;

    for (int64_t c = 0; c < cut->cols; c += 3 * TG_CODES_STEP_COLUMNS) {
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < TG_CODES_STEP_COLUMNS; k++) to[k] = threes[c + 3 * k + i];
            to += TG_CODES_ORDERED_BYTES;
        }
    }
    for (int64_t c = 0; c < cut->two_cols; c += TG_CODES_STEP_COLUMNS) {
        memcpy(to, twos + c, TG_CODES_STEP_COLUMNS);
        to += TG_CODES_ORDERED_BYTES;
    }
}

/* Multiplies the stripe that begins with `row` by the block of activations. */
static void multiply_stripe(const struct tg_problem *p, int64_t row, const struct cut *cut)
{
    const int64_t steps = (cut->cols + cut->two_cols) / TG_CODES_STEP_COLUMNS;
    const int is_first = cut->from == 0;
    int64_t j = 0;

    for (; j < cut->columns; j += TG_CODES_TILE_COLUMNS) {
        const int64_t b = cut->first + j, left = cut->columns - j;
        const int8_t *ordered = cut->ordered + j / 4 * TG_CODES_ORDERED_BYTES * steps;
        const int32_t *minus = cut->minus + j;
        if (left >= 4) {
            tg_codes_avx2_multiply(4, p, b, row, cut->codes, ordered, steps, is_first, minus);
        } else if (left == 3) {
            tg_codes_avx2_multiply(3, p, b, row, cut->codes, ordered, steps, is_first, minus);
        } else if (left == 2) {
            tg_codes_avx2_multiply(2, p, b, row, cut->codes, ordered, steps, is_first, minus);
        } else {
            tg_codes_avx2_multiply(1, p, b, row, cut->codes, ordered, steps, is_first, minus);
        }
    }
}

static void many_columns(const struct tg_problem *p, const struct tg_tiles_tl2 *d)
{
    struct cut cut;

    for (cut.first = 0; cut.first < p->batch; cut.first += BLOCK_COLUMNS) {
        const int64_t left = p->batch - cut.first;
        cut.columns = left < BLOCK_COLUMNS ? left : BLOCK_COLUMNS;
        for (int64_t j = 0; j < cut.columns; j++) {
            const int8_t *activations = p->activations + (cut.first + j) * p->cols;
            cut.minus[j] = tg_fields_avx2_activation_sum(activations, p->cols);
        }
        for (cut.from = 0; cut.from < p->cols; cut.from += cut.cols + cut.two_cols) {
            const int64_t rest = d->three_cols - cut.from;
            cut.cols = rest < CUT_COLUMNS ? rest : CUT_COLUMNS;
            cut.two_cols = cut.cols == rest ? d->two_cols : 0;
            for (int64_t j = 0; j < cut.columns; j++) {
                const int64_t steps = (cut.cols + cut.two_cols) / TG_CODES_STEP_COLUMNS;
                order(p, d, &cut, cut.first + j,
                      cut.ordered + j / 4 * TG_CODES_ORDERED_BYTES * steps + j % 4 * 4);
            }
            for (int64_t row = p->row_begin / STRIPE_ROWS * STRIPE_ROWS; row < p->row_end;
                 row += STRIPE_ROWS) {
                cut_stripe(p, d, row, &cut);
                multiply_stripe(p, row, &cut);
            }
        }
    }
}

void tg_kernel_tl2_avx2(const struct tg_problem *p)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(p->rows, p->cols);

    assert(p->cols % 32 == 0 && p->cols < 1 << 23 && d.two_cols <= MOST_TWO_COLUMNS);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->batch <= FEW_COLUMNS) {
        few_columns(p, &d);
    } else {
        many_columns(p, &d);
    }
}
