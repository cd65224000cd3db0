/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cstdint>

#include "kernels/cuda/chunks_i2s.cuh"

/*
 * i2s_cuda: ternary product of one token, by matrix instructions on single bits.
 *
 *   code = weight + 1 = 2 * high + low              two bits, taken as they lie in memory
 *   x    = sum over n < 8 of value(n) * bit n of x  value(n) is 2^n, and -128 for n = 7
 *
 *   result = sum over n of value(n) * (2 * |high & plane n| + |low & plane n|) - sum of x
 *
 * Plane n has bit n of every activation; |a & b| is in how many columns both bits are set. That is
 * what mma.m16n8k256 with and.popc counts, for 16 rows times 8 columns, which here are the planes
 * of one token. So no code is ever unpacked: 1 KiB of them takes four instructions where masks and
 * dp4a take 64, and what bounds the kernel is reading the weights.
 *
 * Rows, chunks of 256 columns and the bits of a word are as kernels/cuda/chunks_i2s.cuh says.
 * A word of plane n has bit n of that activation at bit 6-2f of byte i, where it meets `low`;
 * shifted left by one it meets `high`. An activation is rotated to its place and masked, so a word
 * takes eight instructions, once for all rows of a block. Activations come in whole lines and are
 * spread through a warp's own shared memory.
 *
 * The warps of a block share its columns. A call takes microseconds, so it must begin before the
 * one ahead of it has ended: all weights of a block are on their way before tg_cuda_wait, in
 * registers (in_registers) or, where these hold too few of them for several calls to be there at
 * once, in shared memory, by the bulk copies of 9.0 (in_shared). After the wait come activations,
 * planes, counts and results, which is what a small matrix waits for. Few blocks with many rows
 * each do best, while there is one for most multiprocessors.
 *
 * More tokens than one are i2s_cuda_tokens's. Before 8.0 there is no such instruction: lanes then
 * pass their words around, which is right and slow.
 *
 * Limits: cols a multiple of 128, at most 131072: 3 * 128 * 131072 is below 2^31.
 * Source: PTX ISA 9.0, "Matrix fragments for mma.m16n8k256". Bit planes: Umuroglu, Rasnayake &
 * Sjalander, "BISMO", FPL 2018.
 */

using namespace i2s;

constexpr int SHARED_TILE = 16; /* rows of in_shared, the one of codes 1 included */

/* counts[i] += |row & column|, for rows g (i < 2) and g + 8, columns 2t and 2t + 1. */
static __device__ inline void count(int (&counts)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                    uint32_t a3, uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+r"(counts[0]), "+r"(counts[1]), "+r"(counts[2]), "+r"(counts[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    const int lane = threadIdx.x % WARP;
    for (int i = 0; i < 8; i++) { /* two columns times four lanes of them */
        const int from_row = lane / 4 * 4 + i / 2, from_column = (lane % 4 * 2 + i % 2) * 4 + i / 2;
        const uint32_t p0 = __shfl_sync(~0u, b0, from_column);
        const uint32_t p1 = __shfl_sync(~0u, b1, from_column);
        counts[i % 2] += __popc(__shfl_sync(~0u, a0, from_row) & p0) +
                         __popc(__shfl_sync(~0u, a2, from_row) & p1);
        counts[2 + i % 2] += __popc(__shfl_sync(~0u, a1, from_row) & p0) +
                             __popc(__shfl_sync(~0u, a3, from_row) & p1);
    }
#endif
}

/* The counts of a tile, of low and high bits. */
struct tile {
    int low[4], high[4];
};

static __device__ inline void count_chunk(tile &c, const codes &w, const uint4 &p)
{
    const uint4 &upper = w.upper, &lower = w.lower;
    count(c.low, upper.x, lower.x, upper.y, lower.y, p.x, p.y);
    count(c.high, upper.x, lower.x, upper.y, lower.y, p.x << 1, p.y << 1);
    count(c.low, upper.z, lower.z, upper.w, lower.w, p.z, p.w);
    count(c.high, upper.z, lower.z, upper.w, lower.w, p.z << 1, p.w << 1);
}

/* A word of plane n, of four words of activations that are 32 columns apart. */
static __device__ inline uint32_t plane(uint32_t x0, uint32_t x1, uint32_t x2, uint32_t x3, int n)
{
    return (__funnelshift_r(x0, x0, n - 6) & 0x40404040u) |
           (__funnelshift_r(x1, x1, n - 4) & 0x10101010u) |
           (__funnelshift_r(x2, x2, n - 2) & 0x04040404u) |
           (__funnelshift_r(x3, x3, n) & 0x01010101u);
}

static __device__ inline uint4 planes(const uint8_t *spread, int n)
{
    const uint4 a = *(const uint4 *)spread, b = *(const uint4 *)(spread + 32);
    const uint4 c = *(const uint4 *)(spread + 64), d = *(const uint4 *)(spread + 96);
    return make_uint4(plane(a.x, b.x, c.x, d.x, n), plane(a.y, b.y, c.y, d.y, n),
                      plane(a.z, b.z, c.z, d.z, n), plane(a.w, b.w, c.w, d.w, n));
}

/* Spreads a warp's CHUNKS chunks; `groups` are left from there on, the others are zeros. */
template <int CHUNKS>
static __device__ inline void spread(const int8_t *activations, int groups, uint8_t *to, int lane)
{
    constexpr int PIECES = 16 * CHUNKS, LOADS = (PIECES + WARP - 1) / WARP;
    uint4 v[LOADS];
#pragma unroll
    for (int j = 0; j < LOADS; j++) {
        const int i = lane + WARP * j;
        v[j] = make_uint4(0, 0, 0, 0);
        if (i / 8 < groups && i < PIECES) v[j] = load_activations(activations + 16 * i);
    }
#pragma unroll
    for (int j = 0; j < LOADS; j++) {
        const int i = lane + WARP * j;
        if (i < PIECES) *(uint4 *)(to + GROUP_SPREAD * (i / 8) + 16 * (i % 8)) = v[j];
    }
    __syncwarp();
}

/*
 * Adds the values of a warp's counts to sums[row]. Of each value four lanes have a part: a pair of
 * lanes exchanges halves of their values twice, so that one shuffle serves two of them.
 */
template <int TILES>
static __device__ inline void settle(const tile (&c)[TILES], int *sums, const place &at)
{
    const int value0 = 1 << (2 * at.t), value1 = at.t == 3 ? -128 : 2 << (2 * at.t);
    const bool odd = at.t % 2, high = at.t / 2;
    int half[TILES];
#pragma unroll
    for (int i = 0; i < TILES; i++) { /* rows g and g + 8 of tile i */
        const int up = (c[i].low[0] + 2 * c[i].high[0]) * value0 +
                       (c[i].low[1] + 2 * c[i].high[1]) * value1;
        const int down = (c[i].low[2] + 2 * c[i].high[2]) * value0 +
                         (c[i].low[3] + 2 * c[i].high[3]) * value1;
        half[i] = (odd ? down : up) + __shfl_xor_sync(~0u, odd ? up : down, 1);
    }
    if constexpr (TILES == 1) {
        half[0] += __shfl_xor_sync(~0u, half[0], 2);
        if (!high) atomicAdd(&sums[8 * at.t + at.g], half[0]);
    } else {
#pragma unroll
        for (int i = 0; i + 1 < TILES; i += 2) {
            const int kept = high ? half[i + 1] : half[i], sent = high ? half[i] : half[i + 1];
            const int whole = kept + __shfl_xor_sync(~0u, sent, 2);
            atomicAdd(&sums[16 * i + 8 * at.t + at.g], whole);
        }
    }
}

/* Weights in registers: at most 16 * TILES - 1 rows a block, CHUNKS chunks a warp and round. */
template <int TILES, int CHUNKS, bool ONE_ROUND, int THREADS, int BLOCKS>
__global__ static void __launch_bounds__(THREADS, BLOCKS) in_registers(const call c, int rounds)
{
    constexpr int ROWS = 16 * TILES - 1;
    __shared__ int sums[16 * TILES];
    __shared__ __align__(16) uint8_t near[THREADS / WARP][CHUNKS * CHUNK_SPREAD];
    const place at = here();
    const int64_t row0 = c.row_begin + (int64_t)blockIdx.x * ROWS;
    const int rows = (int)min((int64_t)ROWS, c.row_end - row0);
    const int groups = c.cols / GROUP_COLUMNS, row_bytes = c.cols / 4;
    const int first = at.warp * CHUNKS, step = (int)blockDim.x / WARP * CHUNKS;
    const uint8_t *weights = c.weights + row0 * row_bytes +
                             (at.g * row_bytes + 16 * at.t + CHUNK_BYTES * first);
    codes w[TILES][CHUNKS];
    tile counts[TILES] = {};

    tg_cuda_let_next();
    auto load = [&](int i, int k, int round) {
        const bool inside = 2 * (round * step + first + k) + at.t / 2 < groups;
        w[i][k] = load_codes(weights + (16 * i * row_bytes + CHUNK_BYTES * (round * step + k)),
                             row_bytes, rows - 16 * i - at.g, inside);
    };
#pragma unroll
    for (int i = 0; i < TILES * CHUNKS; i++) load(i / CHUNKS, i % CHUNKS, 0);
    for (int i = threadIdx.x; i < 16 * TILES; i += blockDim.x) sums[i] = 0;
    __syncthreads();
    tg_cuda_wait();

    for (int round = 0; round < (ONE_ROUND ? 1 : rounds); round++) {
        const int chunk = round * step + first;
        spread<CHUNKS>(c.activations + CHUNK_COLUMNS * chunk, groups - 2 * chunk, near[at.warp],
                       at.lane);
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const uint4 p = planes(
                near[at.warp] + GROUP_SPREAD * (2 * k + at.t / 2) + 16 * (at.t % 2), at.g);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                if (!ONE_ROUND && round > 0) load(i, k, round);
                count_chunk(counts[i], w[i][k], p);
            }
        }
        if (!ONE_ROUND) __syncwarp();
    }
    settle<TILES>(counts, sums, at);
    __syncthreads();
    for (int r = threadIdx.x; r < rows; r += blockDim.x) c.results[row0 + r] = sums[r] - sums[rows];
}

/* Bulk copies, of 9.0 and later, and the barrier that has seen all their bytes arrive. */
static __device__ inline void expect(uint64_t *barrier, int bytes)
{
#if __CUDA_ARCH__ >= 900
    const uint32_t b = (uint32_t)__cvta_generic_to_shared(barrier);
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(b) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(bytes)
                 : "memory");
#endif
}

static __device__ inline void copy(uint8_t *to, const uint8_t *from, int bytes, uint64_t *barrier)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], "
                 "%2, [%3];" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(bytes), "r"((uint32_t)__cvta_generic_to_shared(barrier))
                 : "memory");
#endif
}

static __device__ inline void arrived(uint64_t *barrier)
{
#if __CUDA_ARCH__ >= 900
    uint32_t done = 0;
    while (!done)
        asm volatile("{\n.reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n"
                     "selp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"((uint32_t)__cvta_generic_to_shared(barrier))
                     : "memory");
#endif
}

extern __shared__ __align__(128) uint8_t shelf[]; /* rows, `stride` bytes apart */

/* Weights in shared memory, of 9.0 and later: one tile a block, CHUNKS chunks a warp at most. */
template <int CHUNKS, int THREADS, int BLOCKS>
__global__ static void __launch_bounds__(THREADS, BLOCKS) in_shared(const call c, int stride)
{
    constexpr int ROWS = SHARED_TILE - 1;
    __shared__ uint64_t barrier;
    __shared__ int sums[SHARED_TILE];
    __shared__ __align__(16) uint32_t ones[16];
    __shared__ __align__(16) uint8_t near[THREADS / WARP][CHUNKS * CHUNK_SPREAD];
    const place at = here();
    const int64_t row0 = c.row_begin + (int64_t)blockIdx.x * ROWS;
    const int rows = (int)min((int64_t)ROWS, c.row_end - row0);
    const int groups = c.cols / GROUP_COLUMNS, row_bytes = c.cols / 4;
    const int first = at.warp * CHUNKS, last = (groups + 1) / 2 - 1 - first;
    const uint8_t *own = shelf + (at.g * stride + 16 * at.t + CHUNK_BYTES * first);
    const uint8_t *const spare = (const uint8_t *)ones + 16 * at.t;
    tile counts[1] = {};
    uint4 p[CHUNKS];

    tg_cuda_let_next();
    if (at.warp == 0) {
        if (at.lane == 0) expect(&barrier, rows * row_bytes);
        __syncwarp();
        if (at.lane < rows)
            copy(shelf + at.lane * stride, c.weights + (row0 + at.lane) * row_bytes, row_bytes,
                 &barrier);
    }
    if (threadIdx.x < SHARED_TILE) sums[threadIdx.x] = 0, ones[threadIdx.x] = ONES;
    __syncthreads();
    tg_cuda_wait();

    spread<CHUNKS>(c.activations + CHUNK_COLUMNS * first, groups - 2 * first, near[at.warp],
                   at.lane);
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
        p[k] = planes(near[at.warp] + GROUP_SPREAD * (2 * k + at.t / 2) + 16 * (at.t % 2), at.g);
    arrived(&barrier);
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
        const uint8_t *from = own + CHUNK_BYTES * min(k, last);
        codes w;
        w.upper = *(const uint4 *)(at.g < rows ? from : spare);
        w.lower = *(const uint4 *)(at.g + 8 < rows ? from + 8 * stride : spare);
        count_chunk(counts[0], w, p[k]);
    }
    settle<1>(counts, sums, at);
    __syncthreads();
    for (int r = threadIdx.x; r < rows; r += blockDim.x) c.results[row0 + r] = sums[r] - sums[rows];
}

/* As many warps as the chunks need, or as few as do it in the same number of rounds. */
template <int TILES, int CHUNKS, bool ONE_ROUND, int THREADS, int BLOCKS>
static void launch_in_registers(const call &c, void *stream)
{
    constexpr int ROWS = 16 * TILES - 1, MOST = THREADS / WARP * CHUNKS;
    const int chunks = chunks_of(c);
    const int rounds = (chunks + MOST - 1) / MOST;
    const int warps = (chunks + CHUNKS * rounds - 1) / (CHUNKS * rounds);
    const int64_t rows = c.row_end - c.row_begin;
    assert(!ONE_ROUND || rounds == 1);
    tg_cuda_launch(in_registers<TILES, CHUNKS, ONE_ROUND, THREADS, BLOCKS>,
                   dim3((unsigned)((rows + ROWS - 1) / ROWS)), dim3((unsigned)(WARP * warps)), 0,
                   stream, c, rounds);
}

template <int CHUNKS, int THREADS, int BLOCKS> void launch_in_shared(const call &c, void *stream)
{
    constexpr int ROWS = SHARED_TILE - 1, MOST_BYTES = 128 * 1024;
    const int chunks = chunks_of(c), row_bytes = c.cols / 4;
    const int stride = (row_bytes + 63) / 128 * 128 + 64; /* rows g and g + 1 in other banks */
    const int64_t rows = c.row_end - c.row_begin;
    const auto kernel = in_shared<CHUNKS, THREADS, BLOCKS>;
    static bool may = false;
    assert(chunks <= THREADS / WARP * CHUNKS && ROWS * stride <= MOST_BYTES);
    if (!may)
        tg_cuda_launched(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, MOST_BYTES));
    may = true;
    tg_cuda_launch(kernel, dim3((unsigned)((rows + ROWS - 1) / ROWS)),
                   dim3((unsigned)(WARP * ((chunks + CHUNKS - 1) / CHUNKS))),
                   (size_t)(ROWS * stride), stream, c, stride);
}

/*
 * The forms that were best on an H200 for layers of 2560 to 14336 rows and columns. Threads of a
 * block and blocks of a multiprocessor are what the registers are divided for.
 */
extern "C" void tg_kernel_i2s_cuda(const struct tg_problem *p)
{
    const call c = call_of(p);
    const int64_t rows = p->row_end - p->row_begin;
    assert(p->cols % GROUP_COLUMNS == 0 && p->cols <= TG_COLUMNS_MOST);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->batch > 1) {
        tg_kernel_i2s_cuda_tokens(p);
        return;
    }
    if (rows == 0 || p->batch == 0) return;
    const device &d = this_device();
    if (p->cols <= 4096 && rows <= 2 * 31 * d.multiprocessors)
        launch_in_registers<2, 1, true, 512, 2>(c, p->stream);
    else if (p->cols <= 4096)
        launch_in_registers<4, 1, true, 512, 2>(c, p->stream);
    else if (p->cols <= 7168)
        launch_in_registers<2, 2, true, 448, 2>(c, p->stream);
    else if (p->cols <= 14336 && d.major >= 9)
        launch_in_shared<7, 256, 3>(c, p->stream);
    else
        launch_in_registers<2, 1, false, 448, 2>(c, p->stream);
}
