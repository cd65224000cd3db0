/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cstdint>

#include "kernels/cuda/chunks_i2s.cuh"

/*
 * i2s_cuda_tokens: ternary product of 2 to 16 tokens, by int8 matrix instructions on codes.
 *
 *   result[b][r] = sum over c of code[r][c] * x[b][c]  -  sum over c of x[b][c]
 *
 * mma.m16n8k32 multiplies bytes of 16 rows and of 8 tokens. A field of a word, shifted down and
 * masked, is four codes as bytes, unsigned; activations are signed. Thread t of a row has the codes
 * of two words for one instruction, and its activations, for token g, are 16 bytes in a row for the
 * four words of a field (kernels/cuda/chunks_i2s.cuh).
 *
 * Activations come in whole lines, two tokens a load, and pass through a warp's own shared memory,
 * 320 bytes a token and chunk; those of the next chunk are on their way meanwhile. All weights of a
 * block's first round are asked for before tg_cuda_wait: they do not depend on the kernel ahead.
 * The warps of a block share its columns; their sums are added in shared memory.
 *
 * What bounds it, besides the weights, is that every block reads all activations: more tokens than
 * about 16 want tiles of more rows, as those of i2s_cuda_mma and i2s_cuda_wgmma. Others work, 16 at
 * a time. Instructions of 8.0 are four of 7.5.
 *
 * Limits: cols a multiple of 128, at most 131072: 2 * 128 * 131072 is below 2^31.
 */

using namespace i2s;

constexpr int THREADS = 512;
constexpr int SHARED_MOST = 60 * 1024; /* with what is static below the 64 KiB of 7.5 */

template <int FIELD> static __device__ inline uint32_t field(uint32_t word)
{
    return word >> (6 - 2 * FIELD) & 0x03030303u;
}

template <int FIELD>
static __device__ inline void add_field(int (&s)[4], const codes &w, const uint4 &x)
{
    tg_mma_u8_s8(s,
                 {field<FIELD>(w.upper.x), field<FIELD>(w.lower.x), field<FIELD>(w.upper.y),
                  field<FIELD>(w.lower.y)},
                 {x.x, x.y});
    tg_mma_u8_s8(s,
                 {field<FIELD>(w.upper.z), field<FIELD>(w.lower.z), field<FIELD>(w.upper.w),
                  field<FIELD>(w.lower.w)},
                 {x.z, x.w});
}

/* The chunk of activations that a warp is at: in registers on its way, then spread in memory. */
template <int TOKENS> struct activations {
    const int8_t *from; /* of this thread: 16 bytes of every second token */
    uint8_t *to;
    int cols, groups, tokens, piece;
    uint4 v[TOKENS / 2];

    __device__ activations(const call &c, int token0, int count, uint8_t *spread, int lane)
        : from(c.activations + (int64_t)(token0 + lane / 16) * c.cols + 16 * (lane % 16)),
          to(spread + CHUNK_SPREAD * (lane / 16) + GROUP_SPREAD * (lane % 16 / 8) +
             16 * (lane % 8)),
          cols(c.cols), groups(c.cols / GROUP_COLUMNS - lane % 16 / 8), tokens(count - lane / 16)
    {
    }

    __device__ void ask(int chunk)
    {
#pragma unroll
        for (int j = 0; j < TOKENS / 2; j++) {
            v[j] = make_uint4(0, 0, 0, 0);
            if (2 * chunk < groups && 2 * j < tokens)
                v[j] = tg_load_written(from + (int64_t)2 * j * cols + CHUNK_COLUMNS * chunk);
        }
    }

    __device__ void put()
    {
#pragma unroll
        for (int j = 0; j < TOKENS / 2; j++) *(uint4 *)(to + 2 * j * CHUNK_SPREAD) = v[j];
        __syncwarp();
    }
};

/* Adds chunk k of all tiles, with the activations spread from `near` on. */
template <int TILES, int CHUNKS, int TOKENS>
static __device__ inline void add_chunk(int (&s)[TILES][TOKENS / 8][4],
                                        const codes (&w)[TILES][CHUNKS], int k, const uint8_t *near)
{
#pragma unroll
    for (int n = 0; n < TOKENS / 8; n++) {
        const uint8_t *eight = near + 8 * CHUNK_SPREAD * n;
        const uint4 x0 = *(const uint4 *)eight, x1 = *(const uint4 *)(eight + 32);
        const uint4 x2 = *(const uint4 *)(eight + 64), x3 = *(const uint4 *)(eight + 96);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            add_field<0>(s[i][n], w[i][k], x0);
            add_field<1>(s[i][n], w[i][k], x1);
            add_field<2>(s[i][n], w[i][k], x2);
            add_field<3>(s[i][n], w[i][k], x3);
        }
    }
}

/* Sums of a token in shared memory, placed so that no banks collide. */
template <int TILES> constexpr int column = 16 * TILES + 4;

/* Adds a warp's sums to those of its block. */
template <int TILES, int TOKENS>
static __device__ inline void settle(const int (&s)[TILES][TOKENS / 8][4], int *sums, int tokens,
                                     const place &at)
{
#pragma unroll
    for (int i = 0; i < TILES * TOKENS / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int tile = i / (TOKENS / 8), eight = i % (TOKENS / 8);
            const int token = 8 * eight + 2 * at.t + j % 2, row = 16 * tile + 8 * (j / 2) + at.g;
            if (token < tokens) atomicAdd(&sums[token * column<TILES> + row], s[tile][eight][j]);
        }
    }
}

/* At most 16 * TILES - 1 rows a block, CHUNKS chunks a warp and round. */
template <int TILES, int CHUNKS, int TOKENS>
__global__ static void __launch_bounds__(THREADS) multiply_tokens(const call c, int rounds)
{
    constexpr int ROWS = 16 * TILES - 1;
    __shared__ int sums[TOKENS * column<TILES>];
    const place at = here();
    const int64_t row0 = c.row_begin + (int64_t)blockIdx.x * ROWS;
    const int rows = (int)min((int64_t)ROWS, c.row_end - row0);
    const int token0 = blockIdx.y * TOKENS, tokens = min(TOKENS, c.batch - token0);
    const int groups = c.cols / GROUP_COLUMNS, row_bytes = c.cols / 4;
    const int first = at.warp * CHUNKS, step = (int)blockDim.x / WARP * CHUNKS;
    const uint8_t *weights = c.weights + row0 * row_bytes +
                             (at.g * row_bytes + 16 * at.t + CHUNK_BYTES * first);
    uint8_t *const own = tg_shared() + at.warp * TOKENS * CHUNK_SPREAD;
    const uint8_t *const near = own + CHUNK_SPREAD * at.g + GROUP_SPREAD * (at.t / 2) +
                                16 * (at.t % 2);
    codes w[TILES][CHUNKS];
    int s[TILES][TOKENS / 8][4] = {};

    auto load = [&](int i, int k, int round) {
        const bool inside = 2 * (round * step + first + k) + at.t / 2 < groups;
        w[i][k] = load_codes(weights + (16 * i * row_bytes + CHUNK_BYTES * (round * step + k)),
                             row_bytes, rows - 16 * i - at.g, inside);
    };
#pragma unroll
    for (int i = 0; i < TILES * CHUNKS; i++) load(i / CHUNKS, i % CHUNKS, 0);
    tg_cuda_let_next();
    for (int i = threadIdx.x; i < TOKENS * column<TILES>; i += blockDim.x) sums[i] = 0;
    activations<TOKENS> x(c, token0, tokens, own, at.lane);
    __syncthreads();
    tg_cuda_wait();

    x.ask(first);
#pragma unroll 1
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const bool again = round + 1 < rounds;
            x.put();
            if (k + 1 < CHUNKS)
                x.ask(round * step + first + k + 1);
            else if (again)
                x.ask((round + 1) * step + first);
            add_chunk<TILES, CHUNKS, TOKENS>(s, w, k, near);
#pragma unroll
            for (int i = 0; i < TILES; i++)
                if (again) load(i, k, round + 1);
            __syncwarp();
        }
    }

    settle<TILES, TOKENS>(s, sums, tokens, at);
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * TILES * tokens; i += blockDim.x) {
        const int r = i % (16 * TILES), token = i / (16 * TILES);
        const int *own_sums = sums + token * column<TILES>;
        if (r < rows)
            c.results[(token0 + token) * c.rows + row0 + r] = own_sums[r] - own_sums[rows];
    }
}

/* Blocks beyond one a multiprocessor have half the warps: others are there then. */
template <int TILES, int CHUNKS, int TOKENS> static void launch(const call &c, void *stream)
{
    constexpr int ROWS = 16 * TILES - 1, WARP_BYTES = TOKENS * CHUNK_SPREAD;
    const auto kernel = multiply_tokens<TILES, CHUNKS, TOKENS>;
    const int64_t blocks = (c.row_end - c.row_begin + ROWS - 1) / ROWS;
    const int fit = SHARED_MOST / WARP_BYTES, most = THREADS / WARP;
    const int half = blocks > this_device().multiprocessors ? most / 2 : most;
    const int chunks = chunks_of(c), at_once = CHUNKS * (half < fit ? half : fit);
    const int rounds = (chunks + at_once - 1) / at_once;
    const int warps = (chunks + CHUNKS * rounds - 1) / (CHUNKS * rounds);
    static bool may = false;
    if (!may)
        tg_cuda_launched(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_MOST));
    may = true;
    tg_cuda_launch(kernel, dim3((unsigned)blocks, (unsigned)((c.batch + TOKENS - 1) / TOKENS)),
                   dim3((unsigned)(WARP * warps)), (size_t)(warps * WARP_BYTES), stream, c, rounds);
}

/*
 * Four tiles a block where the matrix is larger than what the registers of the device can hold:
 * then fewer readings of the activations matter more than many blocks.
 */
extern "C" void tg_kernel_i2s_cuda_tokens(const struct tg_problem *p)
{
    constexpr int64_t HELD_BYTES = 96 * 1024; /* a multiprocessor */
    const call c = call_of(p);
    const int64_t bytes = (p->row_end - p->row_begin) * p->cols / 4;
    assert(p->cols % GROUP_COLUMNS == 0 && p->cols <= TG_COLUMNS_MOST);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (bytes == 0 || p->batch == 0) return;
    const bool large = bytes > HELD_BYTES * this_device().multiprocessors;
    if (p->batch > 8 && (large || p->cols > 4096))
        launch<2, 2, 16>(c, p->stream);
    else if (p->batch > 8)
        launch<2, 1, 16>(c, p->stream);
    else if (large)
        launch<4, 1, 8>(c, p->stream);
    else if (p->cols > 4096)
        launch<2, 2, 8>(c, p->stream);
    else
        launch<2, 1, 8>(c, p->stream);
}
