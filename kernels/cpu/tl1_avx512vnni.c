/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/batch_avx512vnni.h"
#include "kernels/cpu/tables_avx512vnni.h"
#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl1_avx512vnni: ternary product by tables of sums, a block at a time; many columns by codes.
 *
 *   results[b][r] = sum over twos of table[b][two][index[r][two]]
 *
 * Few columns: for a chunk of columns the tables of kernels/cpu/tables_avx2.h are made once, as
 *
 *   bytes   0..31   low halves of columns 0 and 1, then of columns 4 and 5, of each 8
 *   bytes  32..63   high halves of these
 *   bytes  64..127  the same of columns 2 and 3, and of 6 and 7
 *
 * A block of 64 bytes has in its quarters 16 rows and 4 columns each, which meet the table of these
 * columns: two tables side by side where stripes have 32 rows, one table where they have 64. Eight
 * looked up halves later they are joined to 16-bit sums, and these after 512 columns to 32 bits.
 * Where a stripe has 32 rows, the two quarters of a row are added at its end.
 *
 * More columns: as kernels/cpu/batch_avx512vnni.h says. An index looks up two codes as half of a
 * 32-bit word.
 *
 * Limits: cols a multiple of 8 and below 2^23 (int32 sums); activations -127..127; indices that
 * weights have. 206 KiB of stack.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880; the rest is ours.
 */

enum {
    BLOCK_BYTES = 64,
    LINE_BYTES = 128,
    LINE_COLUMNS = 8,
    CHUNK_COLUMNS = 8704, /* a multiple of all tiles */
    NARROW_BLOCKS = 64,   /* 32512 is the largest sum */
    FEW_COLUMNS = 5,
    PANELS = 4 /* of 16 rows, in a block at most */
};

struct sums {
    __m512i of[PANELS]; /* a quarter of a block each */
};

/* What a half of a line is for a block: `stripe` is a constant, `block` counts in the stripe. */
static inline __attribute__((always_inline)) __m512i half_line(int stripe, const int8_t *half,
                                                               int64_t block)
{
    if (stripe == 32) return _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)half));
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(half + 16 * (block % 2))));
}

/* Adds the looked up sums of two indices of each byte of a block. */
static inline __attribute__((always_inline)) void look_up(int stripe, const uint8_t *block,
                                                          const int8_t *line, int64_t i,
                                                          struct tg_tables_halves *sums)
{
    const __m512i four_bits = _mm512_set1_epi8(15);
    const __m512i indices = _mm512_loadu_si512(block);
    const __m512i first = _mm512_and_si512(_mm512_srli_epi16(indices, 4), four_bits);
    const __m512i last = _mm512_and_si512(indices, four_bits);
    const __m512i low01 = _mm512_shuffle_epi8(half_line(stripe, line, i), first);
    const __m512i high01 = _mm512_shuffle_epi8(half_line(stripe, line + 32, i), first);
    const __m512i low23 = _mm512_shuffle_epi8(half_line(stripe, line + 64, i), last);
    const __m512i high23 = _mm512_shuffle_epi8(half_line(stripe, line + 96, i), last);

    sums->low = _mm512_add_epi8(sums->low, _mm512_add_epi8(low01, low23));
    sums->high = _mm512_add_epi8(sums->high, _mm512_add_epi8(high01, high23));
}

static inline void widen(const __m512i narrow[2], struct sums *sums)
{
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __m512i quarters[2] = {_mm512_permutex2var_epi64(narrow[0], first, narrow[1]),
                                 _mm512_permutex2var_epi64(narrow[0], last, narrow[1])};

    for (int i = 0; i < PANELS; i += 2) {
        const __m512i both = quarters[i / 2];
        const __m512i low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(both));
        const __m512i high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(both, 1));
        sums->of[i] = _mm512_add_epi32(sums->of[i], low);
        sums->of[i + 1] = _mm512_add_epi32(sums->of[i + 1], high);
    }
}

/* Adds blocks that follow each other, from an even one on; a line has two where a stripe is 64. */
static inline __attribute__((always_inline)) void
add_run(int stripe, const uint8_t *blocks, int64_t count, const int8_t *lines, struct sums *sums)
{
    for (int64_t begin = 0; begin < count; begin += NARROW_BLOCKS) {
        const int64_t end = begin + NARROW_BLOCKS < count ? begin + NARROW_BLOCKS : count;
        __m512i narrow[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        int64_t i = begin;
        for (; i + 4 <= end; i += 4) {
            struct tg_tables_halves halves = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            for (int64_t k = i; k < i + 4; k++) {
                const int8_t *line = lines + (stripe == 32 ? k : k / 2) * LINE_BYTES;
                const uint8_t *block = blocks + BLOCK_BYTES * k;
                tg_ahead_fetch(block);
                look_up(stripe, block, line, k, &halves);
            }
            tg_tables_avx512vnni_join(&halves, narrow);
        }
        for (; i < end; i++) {
            struct tg_tables_halves halves = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            const int8_t *line = lines + (stripe == 32 ? i : i / 2) * LINE_BYTES;
            look_up(stripe, blocks + BLOCK_BYTES * i, line, i, &halves);
            tg_tables_avx512vnni_join(&halves, narrow);
        }
        widen(narrow, sums);
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

/* Adds the chunk's sums of a panel to the results, which the first chunk makes. */
static inline void store(const struct tg_problem *p, int64_t b, int64_t panel, int is_first,
                         __m512i sums)
{
    const __mmask16 rows = tg_batch_avx512vnni_rows(p, panel);
    int32_t *results = (int32_t *)p->results + b * p->rows + TG_BATCH_LANES * panel;
    const __m512i before = _mm512_maskz_loadu_epi32(is_first ? 0 : rows, results);

    _mm512_mask_storeu_epi32(results, rows, _mm512_add_epi32(before, sums));
}

/* All rows of the call and one chunk of columns; `stripe` is a constant. */
static inline __attribute__((always_inline)) void add_chunk(int stripe, const struct tg_problem *p,
                                                            const struct tg_tiles *t, int64_t b,
                                                            const struct chunk *chunk)
{
    const int64_t run_cols = t->rows == stripe ? chunk->cols : t->cols;
    const int64_t tile_bytes = t->rows * t->cols / 4;

    for (int64_t row = p->row_begin / stripe * stripe; row < p->row_end; row += stripe) {
        const uint8_t *blocks = p->weights + row / t->rows * (t->rows * p->cols / 4) +
                                row % t->rows * t->cols / 4 + chunk->from / t->cols * tile_bytes;
        struct sums sums = {0};
        for (int64_t c = 0; c < chunk->cols; c += run_cols) {
            add_run(stripe, blocks, run_cols * stripe / 256,
                    chunk->lines + c / LINE_COLUMNS * LINE_BYTES, &sums);
            blocks += tile_bytes;
        }
        if (stripe == 32) {
            sums.of[0] = _mm512_add_epi32(sums.of[0], sums.of[1]);
            sums.of[1] = _mm512_add_epi32(sums.of[2], sums.of[3]);
        }
        for (int i = 0; i < stripe / TG_BATCH_LANES; i++) {
            store(p, b, row / TG_BATCH_LANES + i, chunk->from == 0, sums.of[i]);
        }
    }
}

static void few_columns(const struct tg_problem *p, const struct tg_tiles *t)
{
    struct chunk chunk;

    for (int64_t b = 0; b < p->batch; b++) {
        for (chunk.from = 0; chunk.from < p->cols; chunk.from += chunk.cols) {
            const int64_t left = p->cols - chunk.from;
            chunk.cols = left < CHUNK_COLUMNS ? left : CHUNK_COLUMNS;
            make_lines(p, b, &chunk);
            if (t->stripe == 32) {
                add_chunk(32, p, t, b, &chunk);
            } else {
                add_chunk(64, p, t, b, &chunk);
            }
        }
    }
}

/* Cuts blocks that follow each other; `stripe` is a constant. */
static inline __attribute__((always_inline)) uint8_t *cut_run(int stripe, const uint8_t *blocks,
                                                              int64_t count, uint8_t *codes)
{
    for (int64_t i = 0; i < count; i++) {
        for (int four = 0; four < 64 / stripe; four++) {
            const __m128i *first = (const __m128i *)(blocks + BLOCK_BYTES * i) + four;
            const __m128i *last = first + (stripe == 32 ? 2 : 1);
            _mm512_store_si512(codes, tg_tables_avx512vnni_codes(_mm_loadu_si128(first)));
            _mm512_store_si512(codes + TG_BATCH_STEP_BYTES,
                               tg_tables_avx512vnni_codes(_mm_loadu_si128(last)));
            codes += 2 * TG_BATCH_STEP_BYTES;
        }
    }
    return codes;
}

/* Cuts columns of two panels, which are a stripe or half of one. */
static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    const struct tg_tiles t = tg_tiles_of_tl1(p->rows, p->cols);
    const int64_t row = TG_BATCH_LANES * panel, aside = row % t.stripe;
    const int64_t run_cols = t.rows == t.stripe ? columns : t.cols;
    const uint8_t *blocks = p->weights + row / t.rows * (t.rows * p->cols / 4) +
                            (row % t.rows - aside) * t.cols / 4 + from * t.rows / 4 + aside;

    assert(panels == 2 && panel % 2 == 0);
    (void)panels;
    for (int64_t c = 0; c < columns; c += run_cols) {
        codes = t.stripe == 32 ? cut_run(32, blocks, run_cols / 8, codes)
                               : cut_run(64, blocks, run_cols / 4, codes);
        blocks += run_cols * t.rows / 4;
    }
}

void tg_kernel_tl1_avx512vnni(const struct tg_problem *p)
{
    const struct tg_tiles t = tg_tiles_of_tl1(p->rows, p->cols);
    const struct tg_batch_avx512vnni batch = {cut, t.cols < 16 ? 16 : t.cols, 1, NULL};

    assert(p->cols % t.cols == 0 && p->cols < 1 << 23 && (t.stripe == 32 || t.stripe == 64));
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->batch <= FEW_COLUMNS || p->cols % TG_BATCH_STEP_COLUMNS != 0) {
        few_columns(p, &t);
    } else {
        tg_batch_avx512vnni_multiply(p, &batch);
    }
}
