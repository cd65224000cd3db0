/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cstdint>
#include <cuda_pipeline.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/kernel.h"

/*
 * i2s_cuda_mma: ternary product of a batch, by the int8 matrix instructions of 7.5 and later.
 *
 *   results[b][r] = (sum over c of 64 * weight[r][c] * activations[b][c]) / 64
 *
 * 64 times a weight is a byte whose two upper bits are the weight in two's complement (11, 00, 01
 * for -1, 0, +1) and whose others are 0. A code (00, 01, 10) becomes its weight where it lies:
 *
 *   lower bit = not code's lower       upper bit = neither of code's
 *
 * which takes a shift and one three-way operation for the sixteen codes of a word; each field is
 * then one shift and one mask. So the matrix instruction multiplies weights, not codes, and no sum
 * of activations has to be taken off. 64 * 128 * 131072 is below 2^31, and the shift back is exact.
 *
 * A step is 256 columns: 64 bytes of codes of a row, in which thread t of four (lane % 4) loads
 * bytes 16t to 16t + 15. Field f of word m of these has the four columns
 *
 *   128 * (t / 2) + 32 * f + 16 * (t % 2) + 4 * m + 0..3
 *
 * The instruction (16 rows x 32 columns, times 32 columns x 8 tokens) wants of thread t, for rows
 * lane / 4 and 8 more, four columns of each half of its 32. Which columns these are is free, if
 * weights and activations agree: words 2i and 2i + 1 of a field are the halves of one instruction.
 * So codes go from memory into registers, 16 bytes a load, used once; and the activations that a
 * thread needs for a field, both i, are 16 bytes in a row, read from shared memory at once.
 *
 * Shared memory has some stages of STEP columns of activations as they lie in memory, but for the
 * places of their 16-byte pieces: piece c of token b is at c ^ 2 * (bit 3 of c) ^ 4 * (b % 2) of
 * its eight, so that no two of the eight threads that read together meet in a bank. Tokens and
 * columns that are not there are zeros; so are weights.
 *
 * The warps of a block share its rows, its tokens, and the columns of a stage; partial sums of
 * different columns are added in shared memory at the end. Small batches are bound by the reading
 * of weights: few rows a block, all of whose weights are on their way before the first is used.
 *
 * Limits: cols a multiple of 128 and at most 131072. 64 KiB of shared memory, all that 7.5 has.
 */

namespace
{

constexpr int GROUP_COLUMNS = 128;
constexpr int WARP = 32;
constexpr int STEP_COLUMNS = 2 * GROUP_COLUMNS; /* of a warp */
constexpr int STEP_BYTES = 64;
constexpr int FIELDS = 4;
constexpr uint32_t ZEROS = 0x55555555u; /* sixteen codes of weight 0 */
constexpr int64_t MANY_ROWS = 8192;     /* enough that 64 of them a block keep a chip busy */

struct call {
    const uint8_t *weights;
    const int8_t *activations;
    int32_t *results;
    int rows, cols, batch, row_begin, row_end;
};

/* How a block is cut: tiles of 16 rows and of 8 tokens of a warp, and warps along each side. */
template <int ROW_TILES_, int TOKEN_TILES_, int ROW_WARPS_, int TOKEN_WARPS_, int COLUMN_WARPS_,
          int STAGES_, int AHEAD_>
struct cut {
    static constexpr int ROW_TILES = ROW_TILES_, TOKEN_TILES = TOKEN_TILES_;
    static constexpr int ROW_WARPS = ROW_WARPS_, TOKEN_WARPS = TOKEN_WARPS_;
    static constexpr int COLUMN_WARPS = COLUMN_WARPS_;
    static constexpr int STAGES = STAGES_; /* of activations in shared memory */
    static constexpr int AHEAD = AHEAD_;   /* steps of weights in registers */
    static constexpr int ROWS = 16 * ROW_TILES * ROW_WARPS;
    static constexpr int TOKENS = 8 * TOKEN_TILES * TOKEN_WARPS;
    static constexpr int THREADS = WARP * ROW_WARPS * TOKEN_WARPS * COLUMN_WARPS;
    static constexpr int COLUMNS = STEP_COLUMNS * COLUMN_WARPS; /* of a stage */
    static constexpr int PIECES = COLUMNS / 16;                 /* of a token */
    static constexpr int STAGE_BYTES = TOKENS * COLUMNS;
    static constexpr int SUMS_PITCH = ROWS + 4; /* so that stores of a warp meet all banks */
    static constexpr int SUMS_BYTES = COLUMN_WARPS * TOKENS * SUMS_PITCH * 4;
    static constexpr int SHARED_BYTES = STAGES * STAGE_BYTES > SUMS_BYTES || COLUMN_WARPS == 1
                                            ? STAGES *STAGE_BYTES
                                            : SUMS_BYTES;
    static_assert(SHARED_BYTES <= 64 * 1024, "more than 7.5 has");
};

/* Where a warp works, and where in it a thread. */
struct place {
    int row, token;                   /* of the call */
    int row_in_block, token_in_block; /* of the warp's first */
    int column_warp, eighth, quarter;
};

template <class Cut> __device__ place place_of(const call &c)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int row_warp = warp / Cut::TOKEN_WARPS % Cut::ROW_WARPS;
    place p;

    p.row_in_block = 16 * Cut::ROW_TILES * row_warp;
    p.token_in_block = 8 * Cut::TOKEN_TILES * (warp % Cut::TOKEN_WARPS);
    p.row = c.row_begin + blockIdx.x * Cut::ROWS;
    p.token = blockIdx.y * Cut::TOKENS;
    p.column_warp = warp / (Cut::TOKEN_WARPS * Cut::ROW_WARPS);
    p.eighth = lane / 4;
    p.quarter = lane % 4;
    return p;
}

/* Sixteen codes to sixteen weights, two bits each. */
__device__ uint32_t weights_of(uint32_t codes)
{
    return ~(codes | (codes << 1 & 0xaaaaaaaau));
}

/* Codes of the thread's rows in a step, those that are there. */
template <class Cut>
__device__ void load_codes(const call &c, const place &p, int step,
                           uint4 (&codes)[Cut::ROW_TILES][2])
{
    const int at = (step * Cut::COLUMN_WARPS + p.column_warp) * STEP_BYTES + 16 * p.quarter;
    const int row = p.row + p.row_in_block + p.eighth;

#pragma unroll
    for (int i = 0; i < 2 * Cut::ROW_TILES; i++) {
        const bool is_there = row + 8 * i < c.row_end && at < c.cols / 4;
        const uint8_t *from = c.weights + (int64_t)(row + 8 * i) * (c.cols / 4) + at;
        codes[i / 2][i % 2] = is_there ? __ldcs((const uint4 *)from)
                                       : make_uint4(ZEROS, ZEROS, ZEROS, ZEROS);
    }
}

/* Begins to copy the activations of a step into its stage. */
template <class Cut> __device__ void stage(const call &c, const place &p, int step, uint4 *shared)
{
    uint4 *to = shared + step % Cut::STAGES * (Cut::STAGE_BYTES / 16);

#pragma unroll 4
    for (int i = threadIdx.x; i < Cut::STAGE_BYTES / 16; i += Cut::THREADS) {
        const int token = i / Cut::PIECES, piece = i % Cut::PIECES;
        const int column = step * Cut::COLUMNS + 16 * piece;
        const bool is_there = p.token + token < c.batch && column < c.cols;
        const int64_t from = is_there ? (int64_t)(p.token + token) * c.cols + column : 0;
        const int swapped = piece ^ (piece >> 2 & 2) ^ (token & 1) << 2;
        __pipeline_memcpy_async(to + token * Cut::PIECES + swapped, c.activations + from, 16,
                                is_there ? 0 : 16);
    }
}

/* Multiplies the codes of a step with its stage. */
template <class Cut>
__device__ void multiply(const place &p, int step, const uint4 (&codes)[Cut::ROW_TILES][2],
                         const uint4 *shared, int (&sums)[Cut::ROW_TILES][Cut::TOKEN_TILES][4])
{
    const uint4 *from = shared + step % Cut::STAGES * (Cut::STAGE_BYTES / 16) +
                        (p.token_in_block + p.eighth) * Cut::PIECES + 16 * p.column_warp +
                        8 * (p.quarter / 2);
    uint32_t weights[Cut::ROW_TILES][2][4];

#pragma unroll
    for (int i = 0; i < 2 * Cut::ROW_TILES; i++) {
        const uint4 &of = codes[i / 2][i % 2];
        const uint32_t words[4] = {of.x, of.y, of.z, of.w};
        for (int m = 0; m < 4; m++) weights[i / 2][i % 2][m] = weights_of(words[m]);
    }
#pragma unroll
    for (int f = 0; f < FIELDS; f++) {
        const int piece = (2 * f + p.quarter % 2) ^ (p.quarter & 2) ^ (p.eighth & 1) << 2;
        uint32_t a[Cut::ROW_TILES][2][4];
#pragma unroll
        for (int i = 0; i < 8 * Cut::ROW_TILES; i++) {
            const int m = 2 * (i / 4 % 2) + i / 2 % 2;
            a[i / 8][i / 4 % 2][i % 4] = weights[i / 8][i % 2][m] << 2 * f & 0xc0c0c0c0u;
        }
#pragma unroll
        for (int j = 0; j < Cut::TOKEN_TILES; j++) {
            const uint4 b = from[8 * j * Cut::PIECES + piece];
#pragma unroll
            for (int i = 0; i < Cut::ROW_TILES; i++) {
                tg_mma_s8(sums[i][j], a[i][0], {b.x, b.y});
                tg_mma_s8(sums[i][j], a[i][1], {b.z, b.w});
            }
        }
    }
}

/* Of sum e of a tile: its row and its token in the tile. */
__device__ int row_of(const place &p, int e)
{
    return p.eighth + 8 * (e / 2);
}

__device__ int token_of(const place &p, int e)
{
    return 2 * p.quarter + e % 2;
}

__device__ void give(const call &c, int row, int token, int sum)
{
    if (row < c.row_end && token < c.batch) c.results[(int64_t)token * c.rows + row] = sum >> 6;
}

/* Adds what the warps of different columns have, and gives it. */
template <class Cut>
__device__ void give_added(const call &c, const place &p, int *shared,
                           const int (&sums)[Cut::ROW_TILES][Cut::TOKEN_TILES][4])
{
    constexpr int SUMS = Cut::TOKENS * Cut::SUMS_PITCH;

    __pipeline_wait_prior(0);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4 * Cut::ROW_TILES * Cut::TOKEN_TILES; i++) {
        const int row = p.row_in_block + 16 * (i / 4 / Cut::TOKEN_TILES) + row_of(p, i % 4);
        const int token = p.token_in_block + 8 * (i / 4 % Cut::TOKEN_TILES) + token_of(p, i % 4);
        shared[p.column_warp * SUMS + token * Cut::SUMS_PITCH + row] =
            sums[i / 4 / Cut::TOKEN_TILES][i / 4 % Cut::TOKEN_TILES][i % 4];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < Cut::TOKENS * Cut::ROWS; i += Cut::THREADS) {
        const int token = i / Cut::ROWS, row = i % Cut::ROWS;
        int sum = 0;
        for (int k = 0; k < Cut::COLUMN_WARPS; k++) {
            sum += shared[k * SUMS + token * Cut::SUMS_PITCH + row];
        }
        give(c, p.row + row, p.token + token, sum);
    }
}

template <class Cut>
__device__ void give_own(const call &c, const place &p,
                         const int (&sums)[Cut::ROW_TILES][Cut::TOKEN_TILES][4])
{
#pragma unroll
    for (int i = 0; i < 4 * Cut::ROW_TILES * Cut::TOKEN_TILES; i++) {
        const int row = p.row_in_block + 16 * (i / 4 / Cut::TOKEN_TILES) + row_of(p, i % 4);
        const int token = p.token_in_block + 8 * (i / 4 % Cut::TOKEN_TILES) + token_of(p, i % 4);
        give(c, p.row + row, p.token + token,
             sums[i / 4 / Cut::TOKEN_TILES][i / 4 % Cut::TOKEN_TILES][i % 4]);
    }
}

template <class Cut> __global__ void __launch_bounds__(Cut::THREADS, 1) product(call c)
{
    uint4 *const shared = (uint4 *)tg_shared();
    const place p = place_of<Cut>(c);
    const int steps = (c.cols + Cut::COLUMNS - 1) / Cut::COLUMNS;
    int sums[Cut::ROW_TILES][Cut::TOKEN_TILES][4] = {};
    uint4 codes[Cut::AHEAD][Cut::ROW_TILES][2];

#pragma unroll
    for (int i = 0; i < Cut::AHEAD; i++) load_codes<Cut>(c, p, i, codes[i]);
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int step = 0; step < Cut::STAGES - 1; step++) {
        if (step < steps) stage<Cut>(c, p, step, shared);
        __pipeline_commit();
    }
    for (int first = 0; first < steps; first += Cut::AHEAD) {
#pragma unroll
        for (int i = 0; i < Cut::AHEAD; i++) {
            const int step = first + i;
            if (step == steps) break;
            __pipeline_wait_prior(Cut::STAGES - 2);
            __syncthreads();
            if (step + Cut::STAGES - 1 < steps) stage<Cut>(c, p, step + Cut::STAGES - 1, shared);
            __pipeline_commit();
            multiply<Cut>(p, step, codes[i], shared, sums);
            load_codes<Cut>(c, p, step + Cut::AHEAD, codes[i]);
        }
    }
    if (Cut::COLUMN_WARPS == 1) {
        give_own<Cut>(c, p, sums);
    } else {
        give_added<Cut>(c, p, (int *)shared, sums);
    }
}

template <class Cut> void launch(const struct tg_problem *p)
{
    static const cudaError_t allowed = cudaFuncSetAttribute(
        product<Cut>, cudaFuncAttributeMaxDynamicSharedMemorySize, Cut::SHARED_BYTES);
    const dim3 grid((unsigned)((p->row_end - p->row_begin + Cut::ROWS - 1) / Cut::ROWS),
                    (unsigned)((p->batch + Cut::TOKENS - 1) / Cut::TOKENS));
    const call c = {p->weights,   p->activations, (int32_t *)p->results, (int)p->rows,
                    (int)p->cols, (int)p->batch,  (int)p->row_begin,     (int)p->row_end};

    tg_cuda_launched(allowed);
    tg_cuda_launch(product<Cut>, grid, Cut::THREADS, Cut::SHARED_BYTES, p->stream, c);
}

} // namespace

extern "C" void tg_kernel_i2s_cuda_mma(const struct tg_problem *p)
{
    assert(p->cols % GROUP_COLUMNS == 0 && p->cols <= TG_COLUMNS_MOST);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end || p->batch == 0) return;
    if (p->batch <= 8 && p->row_end - p->row_begin > MANY_ROWS) {
        launch<cut<1, 1, 4, 1, 2, 4, 4>>(p);
    } else if (p->batch <= 8) {
        launch<cut<1, 1, 1, 1, 8, 3, 4>>(p);
    } else if (p->batch <= 32) {
        launch<cut<1, 4, 4, 1, 2, 3, 3>>(p);
    } else if (p->batch <= 64) {
        launch<cut<2, 8, 2, 1, 2, 2, 2>>(p);
    } else {
        launch<cut<2, 8, 4, 2, 1, 2, 2>>(p);
    }
}
