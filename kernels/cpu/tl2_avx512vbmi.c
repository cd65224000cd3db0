/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/batch_avx512vnni.h"
#include "kernels/cpu/tables_avx512vnni.h"
#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl2_avx512vbmi: ternary product by tables of sums, 64 rows at a time; many columns by codes.
 *
 *   results[b][r] = sum over threes and twos of table[b][group][index[r][group]]
 *
 * Few columns: for a chunk of columns the tables of kernels/cpu/tables_avx2.h are made once, a line
 * of 64 bytes each:
 *
 *   bytes  0..15   low halves of the sums of index 0..13     bytes 32..47   high halves
 *   bytes 16..31   the same with the other sign              bytes 48..63   the other sign
 *
 * A register has the indices of two stripes of 32 rows. A sign that is brought to bit 4 makes with
 * the four bits of an index the place in half a line; the permutation of bytes that VBMI has looks
 * it up for 64 rows. To bring the signs there, the 16-bit word of rows r and r + 16 is spread over
 * the bytes that have the indices of these rows: the high byte is of the first four threes, the low
 * byte of the others, and what is not in place is shifted. Bit 5 may be anything, since both halves
 * of the register have the same table. Eight threes later the halves are joined to 16-bit sums, and
 * after 192 columns these to 32 bits. Two stripes are two streams of indices and two of signs,
 * prefetched as the one of each that they are.
 *
 * More columns: as kernels/cpu/batch_avx512vnni.h says. Here a sign and an index look up three
 * codes as a 32-bit word; four of them are three words of four codes.
 *
 * Limits: cols a multiple of 32 and below 2^23 (int32 sums); activations -127..127; indices that
 * weights have. 209 KiB of stack.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880; the rest is ours.
 */

enum {
    BLOCK_BYTES = 32,
    SIGNED_COLUMNS = 24, /* whose signs are a block */
    SIGNED_THREES = 8,
    LINE_BYTES = 64,
    CHUNK_COLUMNS = 9216,
    NARROW_COLUMNS = 192, /* a multiple of all tiles: 24384 is the largest sum */
    FEW_COLUMNS = 5,
    STRIPES = 2,
    STRIPE_ROWS = 32,
    PANELS = 4,     /* of 16 rows, in two stripes */
    AHEAD_TILES = 2 /* of what is fetched near ahead where tiles are large */
};

/* Where the blocks of a stripe are from some column on, and how far it is to the tile beside it. */
struct run {
    const uint8_t *indices, *signs;
    int64_t indices_step, signs_step;
};

/*
 * From the tile `tile` on of the threes, and of the twos, as tg_tiles_block has them, but with one
 * division: where chunks are short, divisions would take as long as sums.
 */
static struct run threes_at(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t row,
                            int64_t tile)
{
    const struct tg_tiles *t = &d->threes;
    const int64_t above = row / t->rows, stripe = row % t->rows / STRIPE_ROWS;
    const int64_t step = t->rows * t->cols / SIGNED_COLUMNS;
    const int64_t bytes = above * (t->rows * d->three_cols / SIGNED_COLUMNS) +
                          stripe * (STRIPE_ROWS * t->cols / SIGNED_COLUMNS) + tile * step;

    return (struct run){p->weights + 4 * bytes, p->weights + d->signs + bytes, 4 * step, step};
}

static struct run twos_at(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t row)
{
    const struct tg_tiles *t = &d->twos;
    const int64_t above = row / t->rows, stripe = row % t->rows / STRIPE_ROWS;
    const int64_t bytes = above * (t->rows * d->two_cols / 4) +
                          stripe * (STRIPE_ROWS * t->cols / 4);

    return (struct run){.indices = p->weights + d->tail + bytes,
                        .indices_step = t->rows * t->cols / 4};
}

static void walk(struct run *run)
{
    run->indices += run->indices_step;
    run->signs += run->signs_step;
}

/* Where the stripes are that are summed now, and how far ahead of them is fetched. */
struct ahead {
    struct run at; /* its steps are what lies between the tiles of two stripes */
    int64_t near_bytes, signs_near_bytes;
};

static struct ahead ahead_of(const struct run *run, const struct tg_tiles *t)
{
    const int64_t summed = STRIPES * STRIPE_ROWS * t->cols / SIGNED_COLUMNS;
    struct ahead ahead = {
        {run->indices, run->signs, 0, 0}, TG_AHEAD_NEAR_BYTES, TG_AHEAD_NEAR_BYTES};

    if (t->rows == STRIPE_ROWS) return ahead;
    ahead.at.indices_step = run->indices_step - 4 * summed;
    ahead.at.signs_step = run->signs_step - summed;
    ahead.near_bytes = run->indices_step * AHEAD_TILES;
    ahead.signs_near_bytes = run->signs_step * AHEAD_TILES;
    return ahead;
}

/* The sums of the rows of two stripes: four panels. */
struct sums {
    __m512i of[PANELS];
};

/* A block of the first stripe below one of the second. */
static inline __m512i both(const uint8_t *first, const uint8_t *second)
{
    const __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)first));

    return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i *)second), 1);
}

static inline __m512i half_line(const int8_t *half)
{
    return _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)half));
}

/* Adds what a line has at the places. */
static inline __attribute__((always_inline)) void look_up(const int8_t *line, __m512i places,
                                                          struct tg_tables_halves *sums)
{
    const __m512i low = _mm512_permutexvar_epi8(places, half_line(line));
    const __m512i high = _mm512_permutexvar_epi8(places, half_line(line + 32));

    sums->low = _mm512_add_epi8(sums->low, low);
    sums->high = _mm512_add_epi8(sums->high, high);
}

/* Where the bits of `mask` are set those of a, elsewhere those of b. The instruction loses a. */
static inline __m512i chosen(__m512i mask, __m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(a, b, mask, 0xe4);
}

static inline void widen(const __m512i narrow[2], struct sums *sums)
{
    for (int i = 0; i < PANELS; i++) {
        const __m256i panel = i < 2 ? _mm512_castsi512_si256(narrow[i])
                                    : _mm512_extracti64x4_epi64(narrow[i - 2], 1);
        sums->of[i] = _mm512_add_epi32(sums->of[i], _mm512_cvtepi16_epi32(panel));
    }
}

/* Adds the threes of 24 columns. */
static inline __attribute__((always_inline)) void add_threes(const struct run runs[STRIPES],
                                                             const int8_t *lines, __m512i narrow[2])
{
    const __m512i low_bytes = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14));
    const __m512i aside = _mm512_broadcast_i32x4(_mm_setr_epi16(1, 1, 1, 1, 0, 0, 0, 0));
    const __m512i four_bits = _mm512_set1_epi8(15), one = _mm512_set1_epi8(1);
    const __m512i signs = both(runs[0].signs, runs[1].signs);
    const __m512i spread[2] = {
        _mm512_srlv_epi16(_mm512_shuffle_epi8(signs, _mm512_or_si512(low_bytes, one)), aside),
        _mm512_srlv_epi16(_mm512_shuffle_epi8(signs, low_bytes), aside)};
    struct tg_tables_halves halves = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    for (int i = 0; i < 2; i++) {
        const __m512i in_place[4] = {_mm512_srli_epi16(spread[i], 2), spread[i],
                                     _mm512_slli_epi16(spread[i], 2),
                                     _mm512_slli_epi16(spread[i], 4)};
        for (int k = 0; k < 2; k++) {
            const int block = 2 * i + k;
            const __m512i indices = both(runs[0].indices + BLOCK_BYTES * block,
                                         runs[1].indices + BLOCK_BYTES * block);
            const __m512i shifted = _mm512_srli_epi16(indices, 4);
            const int8_t *line = lines + LINE_BYTES * 2 * block;
            look_up(line, chosen(four_bits, shifted, in_place[2 * k]), &halves);
            look_up(line + LINE_BYTES, chosen(four_bits, indices, in_place[2 * k + 1]), &halves);
        }
    }
    tg_tables_avx512vnni_join(&halves, narrow);
}

/*
 * Fetches 24 columns of two stripes, which are beside each other, near and far ahead: where tiles
 * are small, of the one stream that all stripes are; else some tiles to the right.
 */
static inline __attribute__((always_inline)) void prefetch(const struct ahead *ahead)
{
    const char *indices = (const char *)ahead->at.indices + ahead->near_bytes;
    const char *signs = (const char *)ahead->at.signs + ahead->signs_near_bytes;

    for (int i = 0; i < 4 * STRIPES * BLOCK_BYTES; i += 64) {
        _mm_prefetch(indices + ahead->near_bytes + i, _MM_HINT_T1);
        _mm_prefetch(indices + i, _MM_HINT_T0);
    }
    _mm_prefetch(signs + ahead->signs_near_bytes, _MM_HINT_T1);
    _mm_prefetch(signs, _MM_HINT_T0);
}

/* Adds threes of so many columns that 16 bits hold their sums. */
static inline void add_narrow(struct run runs[STRIPES], int64_t cols, int64_t tile_cols,
                              const int8_t *lines, struct ahead *ahead, struct sums *sums)
{
    __m512i narrow[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    for (int64_t tile = 0; tile < cols; tile += tile_cols) {
        struct run at[STRIPES] = {runs[0], runs[1]};
        for (int64_t c = 0; c < tile_cols; c += SIGNED_COLUMNS) {
            prefetch(ahead);
            ahead->at.indices += 4 * STRIPES * BLOCK_BYTES;
            ahead->at.signs += STRIPES * BLOCK_BYTES;
            add_threes(at, lines, narrow);
            for (int i = 0; i < STRIPES; i++) {
                at[i].indices += 4 * BLOCK_BYTES;
                at[i].signs += BLOCK_BYTES;
            }
            lines += LINE_BYTES * SIGNED_THREES;
        }
        for (int i = 0; i < STRIPES; i++) walk(&runs[i]);
        walk(&ahead->at);
    }
    widen(narrow, sums);
}

/* Adds a tile of twos, which has 32 columns. */
static inline void add_tail(const struct run runs[STRIPES], const int8_t *lines, struct sums *sums)
{
    const __m512i four_bits = _mm512_set1_epi8(15);
    __m512i narrow[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    for (int block = 0; block < 8; block += 4) {
        struct tg_tables_halves halves = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        for (int i = block; i < block + 4; i++) {
            const __m512i indices = both(runs[0].indices + BLOCK_BYTES * i,
                                         runs[1].indices + BLOCK_BYTES * i);
            const __m512i shifted = _mm512_srli_epi16(indices, 4);
            const int8_t *line = lines + LINE_BYTES * 2 * i;
            look_up(line, _mm512_and_si512(shifted, four_bits), &halves);
            look_up(line + LINE_BYTES, _mm512_and_si512(indices, four_bits), &halves);
        }
        tg_tables_avx512vnni_join(&halves, narrow);
    }
    widen(narrow, sums);
}

/* The columns whose tables are there at once: threes, then twos. */
struct chunk {
    int64_t from, cols, two_cols;
    _Alignas(64) int8_t lines[LINE_BYTES * (CHUNK_COLUMNS / 3 + 160 / 2)];
};

static void make_lines(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t b,
                       struct chunk *chunk)
{
    const int8_t *threes = p->activations + b * p->cols + chunk->from;
    const int8_t *twos = p->activations + b * p->cols + d->three_cols;
    __m256i *to = (__m256i *)(chunk->lines + LINE_BYTES * (chunk->cols / 3));
    int8_t raised[CHUNK_COLUMNS + 1];

    for (int64_t c = 0; c < chunk->cols; c += 32) {
        const __m256i as_is = _mm256_loadu_si256((const __m256i *)(threes + c));
        const __m256i by_128 = _mm256_xor_si256(as_is, _mm256_set1_epi8(-128));
        _mm256_storeu_si256((__m256i *)(raised + c), by_128);
    }
    raised[chunk->cols] = 0;
    tg_tables_avx512vbmi_lines(raised, chunk->cols, chunk->lines);
    for (int64_t c = 0; c < chunk->two_cols; c += 2) {
        const __m256i sums = tg_tables_avx2_twos(twos + c);
        _mm256_store_si256(to++, sums);
        _mm256_store_si256(to++, _mm256_permute2x128_si256(sums, sums, 0x11));
    }
}

/* Adds the chunk's sums of two stripes from `row` on to the results, which the first makes. */
static inline void store(const struct tg_problem *p, int64_t b, int64_t row, int is_first,
                         const struct sums *sums)
{
    int32_t *results = (int32_t *)p->results + b * p->rows + row;

    for (int i = 0; i < PANELS; i++) {
        const __mmask16 rows = tg_batch_avx512vnni_rows(p, row / TG_BATCH_LANES + i);
        const __m512i before = _mm512_maskz_loadu_epi32(is_first ? 0 : rows,
                                                        results + TG_BATCH_LANES * i);
        _mm512_mask_storeu_epi32(results + TG_BATCH_LANES * i, rows,
                                 _mm512_add_epi32(before, sums->of[i]));
    }
}

/* Adds a chunk of columns of two stripes from `row` on. */
static inline void add_stripes(const struct tg_problem *p, const struct tg_tiles_tl2 *d,
                               int64_t row, const struct chunk *chunk, struct sums *sums)
{
    const int64_t tile = chunk->from / d->threes.cols;
    const int64_t last = tg_tiles_rows(&d->threes, p->rows) - STRIPE_ROWS;
    const int64_t second = row < last ? row + STRIPE_ROWS : row;
    const int8_t *lines = chunk->lines;
    struct run runs[STRIPES] = {threes_at(p, d, row, tile), threes_at(p, d, second, tile)};
    struct ahead ahead = ahead_of(&runs[0], &d->threes);

    for (int64_t c = 0; c < chunk->cols; c += NARROW_COLUMNS) {
        const int64_t cols = chunk->cols - c < NARROW_COLUMNS ? chunk->cols - c : NARROW_COLUMNS;
        add_narrow(runs, cols, d->threes.cols, lines, &ahead, sums);
        lines += LINE_BYTES * (cols / 3);
    }
    if (chunk->two_cols == 0) return;
    runs[0] = twos_at(p, d, row);
    runs[1] = twos_at(p, d, second);
    for (int64_t c = 0; c < chunk->two_cols; c += d->twos.cols) {
        add_tail(runs, lines, sums);
        for (int i = 0; i < STRIPES; i++) walk(&runs[i]);
        lines += LINE_BYTES * (d->twos.cols / 2);
    }
}

/* All rows of the call and one chunk of columns. */
static void add_chunk(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t b,
                      const struct chunk *chunk)
{
    for (int64_t row = p->row_begin / STRIPE_ROWS * STRIPE_ROWS; row < p->row_end;
         row += STRIPES * STRIPE_ROWS) {
        struct sums sums = {0};
        add_stripes(p, d, row, chunk, &sums);
        store(p, b, row, chunk->from == 0, &sums);
    }
}

static void few_columns(const struct tg_problem *p, const struct tg_tiles_tl2 *d)
{
    const int64_t tiles = d->three_cols / d->threes.cols;
    const int64_t most = CHUNK_COLUMNS / d->threes.cols;
    const int64_t chunks = tiles > most ? (tiles + most - 1) / most : 1;
    const int64_t cols = (tiles + chunks - 1) / chunks * d->threes.cols;
    struct chunk chunk;

    for (int64_t b = 0; b < p->batch; b++) {
        chunk.cols = 0;
        for (chunk.from = 0; chunk.from < p->cols; chunk.from += chunk.cols + chunk.two_cols) {
            const int64_t left = d->three_cols - chunk.from;
            chunk.cols = left < cols ? left : cols;
            chunk.two_cols = chunk.cols == left ? d->two_cols : 0;
            make_lines(p, d, b, &chunk);
            add_chunk(p, d, b, &chunk);
        }
    }
}

/* The places of the threes of 24 columns of a stripe; rows are bytes, in their order. */
static inline void places_of(const struct run *run, __m256i places[SIGNED_THREES])
{
    const __m256i rows = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                          0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                          30);
    const __m256i aside = _mm256_setr_epi16(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i four_bits = _mm256_set1_epi8(15), five_bits = _mm256_set1_epi8(31);
    const __m256i signs = _mm256_loadu_si256((const __m256i *)run->signs);

    for (int i = 0; i < 2; i++) {
        const __m256i from = i == 0 ? _mm256_or_si256(rows, _mm256_set1_epi8(1)) : rows;
        const __m256i spread = _mm256_srlv_epi16(_mm256_permutexvar_epi8(from, signs), aside);
        const __m256i in_place[4] = {_mm256_srli_epi16(spread, 2), spread,
                                     _mm256_slli_epi16(spread, 2), _mm256_slli_epi16(spread, 4)};
        for (int k = 0; k < 4; k++) {
            const uint8_t *block = run->indices + BLOCK_BYTES * (2 * i + k / 2);
            const __m256i bytes = _mm256_loadu_si256((const __m256i *)block);
            const __m256i indices = _mm256_permute4x64_epi64(bytes, 0xd8);
            const __m256i digits = k % 2 == 0 ? _mm256_srli_epi16(indices, 4) : indices;
            const __m256i place = _mm256_ternarylogic_epi32(four_bits, digits, in_place[k], 0xca);
            places[4 * i + k] = _mm256_and_si256(place, five_bits);
        }
    }
}

/* The 16 bytes of a panel of a stripe, as 32-bit lanes. */
static inline __m512i lanes_of(__m256i bytes, int panel)
{
    return _mm512_cvtepu8_epi32(panel == 0 ? _mm256_castsi256_si128(bytes)
                                           : _mm256_extracti128_si256(bytes, 1));
}

/* Cuts the threes of 24 columns of a stripe into codes of one byte. */
static void cut_threes(const struct run *run, uint8_t *codes)
{
    const __m512i plus = _mm512_setr_epi32(
        TG_TABLES_CODES(0), TG_TABLES_CODES(1), TG_TABLES_CODES(2), TG_TABLES_CODES(3),
        TG_TABLES_CODES(4), TG_TABLES_CODES(5), TG_TABLES_CODES(6), TG_TABLES_CODES(7),
        TG_TABLES_CODES(8), TG_TABLES_CODES(9), TG_TABLES_CODES(10), TG_TABLES_CODES(11),
        TG_TABLES_CODES(12), TG_TABLES_CODES(13), 0, 0);
    const __m512i minus = _mm512_setr_epi32(
        TG_TABLES_CODES(0), TG_TABLES_CODES(-1), TG_TABLES_CODES(-2), TG_TABLES_CODES(-3),
        TG_TABLES_CODES(-4), TG_TABLES_CODES(-5), TG_TABLES_CODES(-6), TG_TABLES_CODES(-7),
        TG_TABLES_CODES(-8), TG_TABLES_CODES(-9), TG_TABLES_CODES(-10), TG_TABLES_CODES(-11),
        TG_TABLES_CODES(-12), TG_TABLES_CODES(-13), 0, 0);
    __m256i places[SIGNED_THREES];

    places_of(run, places);
    for (int i = 0; i < SIGNED_THREES; i += 4) {
        for (int panel = 0; panel < 2; panel++) {
            uint8_t *to = codes + TG_BATCH_STEP_BYTES * (6 * (i / 4) + panel);
            __m512i w[4];
            for (int k = 0; k < 4; k++) {
                w[k] = _mm512_permutex2var_epi32(plus, lanes_of(places[i + k], panel), minus);
            }
            _mm512_store_si512(to, _mm512_or_si512(w[0], _mm512_slli_epi32(w[1], 24)));
            _mm512_store_si512(
                to + 2 * TG_BATCH_STEP_BYTES,
                _mm512_or_si512(_mm512_srli_epi32(w[1], 8), _mm512_slli_epi32(w[2], 16)));
            _mm512_store_si512(
                to + 4 * TG_BATCH_STEP_BYTES,
                _mm512_or_si512(_mm512_srli_epi32(w[2], 16), _mm512_slli_epi32(w[3], 8)));
        }
    }
}

/* Cuts the twos of 32 columns of a stripe into codes of one byte. */
static void cut_twos(const struct run *run, uint8_t *codes)
{
    for (int block = 0; block < 8; block++) {
        const uint8_t *at = run->indices + BLOCK_BYTES * block;
        const __m256i bytes = _mm256_loadu_si256((const __m256i *)at);
        const __m256i indices = _mm256_permute4x64_epi64(bytes, 0xd8);
        uint8_t *to = codes + 2 * TG_BATCH_STEP_BYTES * block;
        const __m512i first = tg_tables_avx512vnni_codes(_mm256_castsi256_si128(indices));
        const __m512i last = tg_tables_avx512vnni_codes(_mm256_extracti128_si256(indices, 1));
        _mm512_store_si512(to, first);
        _mm512_store_si512(to + TG_BATCH_STEP_BYTES, last);
    }
}

/* Cuts columns of two panels, which are a stripe. */
static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(p->rows, p->cols);
    const int64_t row = TG_BATCH_LANES * panel, end = from + columns;
    const int64_t three_end = end < d.three_cols ? end : d.three_cols;
    struct run run = threes_at(p, &d, row, from / d.threes.cols);

    assert(panels == 2 && panel % 2 == 0);
    (void)panels;
    for (int64_t c = from; c < three_end; c += d.threes.cols) {
        for (int64_t i = 0; i < d.threes.cols / SIGNED_COLUMNS; i++) {
            const struct run at = {run.indices + 4 * BLOCK_BYTES * i, run.signs + BLOCK_BYTES * i};
            cut_threes(&at, codes);
            codes += TG_BATCH_LANES * 2 * SIGNED_COLUMNS;
        }
        walk(&run);
    }
    run = twos_at(p, &d, row);
    for (int64_t c = three_end; c < end; c += d.twos.cols) {
        cut_twos(&run, codes);
        codes += TG_BATCH_LANES * 2 * d.twos.cols;
        walk(&run);
    }
}

void tg_kernel_tl2_avx512vbmi(const struct tg_problem *p)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(p->rows, p->cols);
    const struct tg_batch_avx512vnni batch = {cut, d.threes.cols, 1, NULL};

    assert(p->cols % 32 == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->batch <= FEW_COLUMNS) {
        few_columns(p, &d);
    } else {
        tg_batch_avx512vnni_multiply(p, &batch);
    }
}
