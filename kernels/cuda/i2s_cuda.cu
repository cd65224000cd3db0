/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cstdint>

#include "kernels/cuda/planes_i2s.cuh"

/*
 * i2s_cuda: ternary product of one token, by matrix instructions on single bits.
 *
 * The bits of the weights are taken as they lie in memory (kernels/cuda/planes_i2s.cuh), so what
 * bounds the kernel is reading them, and what it takes to begin and to end. Activations come in
 * whole lines and are spread through a warp's own shared memory.
 *
 * The warps of a block share its columns. A call takes microseconds, so it must begin before the
 * one ahead of it has ended: all weights of a block are on their way before tg_cuda_wait, in
 * registers (in_registers) or, where these hold too few of them for several calls to be there at
 * once, in shared memory, by the bulk copies of 9.0 (in_shared). After the wait come activations,
 * planes, counts and results, which is what a small matrix waits for. Few blocks with many rows
 * each do best, while there is one for most multiprocessors. The next kernel is let in when the
 * weights have been asked for, not before: its blocks would ask first, and this one wait for them.
 *
 * More tokens than one are i2s_cuda_tokens's.
 *
 * Limits: cols a multiple of 128, at most 131072: 3 * 128 * 131072 is below 2^31.
 */

using namespace i2s;

constexpr int SHARED_TILE = 16; /* rows of in_shared, the one of codes 1 included */

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

    auto load = [&](int i, int k, int round) {
        const bool inside = 2 * (round * step + first + k) + at.t / 2 < groups;
        w[i][k] = load_codes(weights + (16 * i * row_bytes + CHUNK_BYTES * (round * step + k)),
                             row_bytes, rows - 16 * i - at.g, inside);
    };
#pragma unroll
    for (int i = 0; i < TILES * CHUNKS; i++) load(i / CHUNKS, i % CHUNKS, 0);
    tg_cuda_let_next();
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
    settle(counts, sums, at);
    __syncthreads();
    for (int r = threadIdx.x; r < rows; r += blockDim.x) c.results[row0 + r] = sums[r] - sums[rows];
}

/*
 * Bulk copies, of 9.0 and later, and the barrier that has seen all their bytes arrive; it is begun
 * ahead of a barrier of the block.
 */
static __device__ inline void begin(uint64_t *barrier)
{
#if __CUDA_ARCH__ >= 900
    const uint32_t b = (uint32_t)__cvta_generic_to_shared(barrier);
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(b) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

static __device__ inline void expect(uint64_t *barrier, int bytes)
{
#if __CUDA_ARCH__ >= 900
    const uint32_t b = (uint32_t)__cvta_generic_to_shared(barrier);
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

    if (threadIdx.x == 0) begin(&barrier);
    if (threadIdx.x < SHARED_TILE) sums[threadIdx.x] = 0, ones[threadIdx.x] = ONES;
    __syncthreads();
    if (threadIdx.x == 0) expect(&barrier, rows * row_bytes);
    if ((int)threadIdx.x < rows)
        copy(shelf + threadIdx.x * stride, c.weights + (row0 + threadIdx.x) * row_bytes, row_bytes,
             &barrier);
    tg_cuda_let_next();
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
    settle(counts, sums, at);
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
