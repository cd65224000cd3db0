/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/fields_i2s.cuh"
#include "kernels/cuda/planes_i2s.cuh"
#include "kernels/cuda/shelf.cuh"

/*
 * i2s_cuda: ternary product of one token, by matrix instructions on single bits where rows are
 * many (kernels/cuda/planes_i2s.cuh), by dot products of bytes where they are few, and before 8.0,
 * which has no such instructions (kernels/cuda/fields_i2s.cuh).
 *
 * A call takes microseconds, so it must begin before the one ahead of it has ended. All weights of
 * a block are on their way before tg_cuda_wait: in registers (held) and, where these hold too few,
 * in shared memory (shelved). And a call takes half of the multiprocessors, one block on each: so
 * the next one has the other half to itself, and its weights arrive while this one multiplies. With
 * blocks on more than half, it waits for these to end; a matrix whose rows do not fit into half of
 * them is read about a quarter slower. A small one, whose blocks are small enough for two on a
 * multiprocessor, has as many blocks as it has pairs of tiles.
 *
 * The warps of a block share its columns. Activations come in whole lines and are spread through a
 * warp's own shared memory. The next kernel is let in when the weights have been asked for, not
 * before: its blocks would ask first, and this one wait for them.
 *
 * More tokens than one are i2s_cuda_tokens's.
 *
 * Limits: cols a multiple of 128, at most 131072: 3 * 128 * 131072 is below 2^31.
 */

using namespace i2s;

/* How a block is cut: tiles of 16 rows in registers and on the shelf; chunks a warp. */
template <class Sums_, int HELD_, int SHELVED_, int CHUNKS_, int THREADS_, int BLOCKS_>
struct form {
    using Sums = Sums_;
    static constexpr int HELD = HELD_, SHELVED = SHELVED_, TILES = HELD_ + SHELVED_;
    static constexpr int CHUNKS = CHUNKS_, THREADS = THREADS_, BLOCKS = BLOCKS_;
    static constexpr int WARPS = THREADS_ / WARP;
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <class Form> using sums_of = row_sums;
#else
template <class Form> using sums_of = typename Form::Sums;
#endif

/* What is in shared memory, but for the shelf. */
template <class Form> struct room {
    uint64_t barrier;
    int sums[16 * Form::TILES], all; /* of codes and activations; of activations */
    __align__(16) uint32_t ones[16]; /* for rows that are not there */
    __align__(16) uint8_t near[Form::WARPS][Form::CHUNKS * CHUNK_SPREAD];
};

/* Spreads a warp's chunks, zeros behind the last of `groups`, and adds them to `all`. */
template <int CHUNKS>
static __device__ inline void spread(const int8_t *activations, int groups, uint8_t *to, int *all,
                                     int lane)
{
    constexpr int PIECES = 16 * CHUNKS, LOADS = (PIECES + WARP - 1) / WARP;
    uint4 v[LOADS];
    int sum = 0;
#pragma unroll
    for (int j = 0; j < LOADS; j++) {
        const int i = lane + WARP * j;
        v[j] = make_uint4(0, 0, 0, 0);
        if (i / 8 < groups && i < PIECES) v[j] = tg_load_written(activations + 16 * i);
    }
#pragma unroll
    for (int j = 0; j < LOADS; j++) {
        const int i = lane + WARP * j;
        const uint32_t words[4] = {v[j].x, v[j].y, v[j].z, v[j].w};
        if (i < PIECES) *(uint4 *)(to + GROUP_SPREAD * (i / 8) + 16 * (i % 8)) = v[j];
        for (int m = 0; m < 4; m++) sum = __dp4a((int)words[m], 0x01010101, sum);
    }
    __syncwarp();
    for (int apart = WARP / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0u, sum, apart);
    if (lane == 0) atomicAdd(all, sum);
}

/* Begins to bring the rows behind those that registers hold to the shelf, `stride` bytes apart. */
template <class Form>
static __device__ inline void bring(const call &c, int64_t row0, int rows, int stride,
                                    room<Form> *room)
{
    const int shelved = max(rows - 16 * Form::HELD, 0), row_bytes = c.cols / 4, i = threadIdx.x;
    if (i == 0) tg_shelf_begin(&room->barrier);
    if (i < 16) room->ones[i] = ONES;
    __syncthreads();
    if (i == 0) tg_shelf_expect(&room->barrier, shelved * row_bytes);
    for (int r = i; r < shelved; r += blockDim.x)
        tg_shelf_copy(tg_shared() + r * stride,
                      c.weights + (row0 + 16 * Form::HELD + r) * row_bytes, row_bytes,
                      &room->barrier);
}

/* A thread's codes of tile i, chunk k of its warp, from the shelf. */
template <class Form>
static __device__ inline codes from_shelf(int i, int k, int rows, int last, int stride,
                                          const room<Form> *room, const place &at)
{
    const uint8_t *from = tg_shared() + (16 * (i - Form::HELD) + at.g) * stride + 16 * at.t +
                          CHUNK_BYTES * (Form::CHUNKS * at.warp + max(0, min(k, last)));
    const uint8_t *ones = (const uint8_t *)room->ones + 16 * at.t;
    codes w;
    w.upper = *(const uint4 *)(16 * i + at.g < rows ? from : ones);
    w.lower = *(const uint4 *)(16 * i + at.g + 8 < rows ? from + 8 * stride : ones);
    return w;
}

template <class Form> using held_codes = codes[Form::HELD][Form::CHUNKS];

template <class Form>
static __device__ inline void multiply(tile (&counts)[Form::TILES], held_codes<Form> &held,
                                       const uint8_t *near, int rows, int last, int stride,
                                       room<Form> *room, const place &at)
{
    uint4 p[Form::CHUNKS];
#pragma unroll
    for (int k = 0; k < Form::CHUNKS; k++) {
        p[k] = planes(near + CHUNK_SPREAD * k, at.g);
#pragma unroll
        for (int i = 0; i < Form::HELD; i++) count_chunk(counts[i], prepared(held[i][k]), p[k]);
    }
    if (Form::SHELVED > 0) tg_shelf_arrived(&room->barrier);
#pragma unroll
    for (int i = Form::HELD; i < Form::TILES; i++)
#pragma unroll
        for (int k = 0; k < Form::CHUNKS; k++)
            count_chunk(counts[i], prepared(from_shelf<Form>(i, k, rows, last, stride, room, at)),
                        p[k]);
}

/* Of rows that are held: where there is a shelf, there are matrix instructions. */
template <class Form>
static __device__ inline void multiply(row_sums (&sums)[Form::TILES], held_codes<Form> &held,
                                       const uint8_t *near, int, int, int, room<Form> *,
                                       const place &)
{
    multiply_fields(sums, held, near);
}

template <class Form>
__global__ static void __launch_bounds__(Form::THREADS, Form::BLOCKS)
    one_token(const call c, int block_rows, int stride)
{
    __shared__ room<Form> room;
    const place at = here();
    const int64_t row0 = c.row_begin + (int64_t)blockIdx.x * block_rows;
    const int rows = (int)min((int64_t)block_rows, c.row_end - row0);
    const int groups = c.cols / GROUP_COLUMNS, row_bytes = c.cols / 4;
    const int first = at.warp * Form::CHUNKS, last = (groups + 1) / 2 - 1 - first;
    const uint8_t *weights = c.weights + (row0 + at.g) * row_bytes + 16 * at.t +
                             CHUNK_BYTES * first;
    uint8_t *near = room.near[at.warp];
    codes held[Form::HELD][Form::CHUNKS];
    sums_of<Form> sums[Form::TILES] = {};

    if (Form::SHELVED > 0) bring<Form>(c, row0, rows, stride, &room);
#pragma unroll
    for (int i = 0; i < Form::HELD; i++)
#pragma unroll
        for (int k = 0; k < Form::CHUNKS; k++)
            held[i][k] = load_codes(weights + (16 * i * row_bytes + CHUNK_BYTES * k), row_bytes,
                                    rows - 16 * i - at.g, 2 * (first + k) + at.t / 2 < groups);
    tg_cuda_let_next();
    for (int i = threadIdx.x; i < 16 * Form::TILES; i += blockDim.x) room.sums[i] = 0;
    if (threadIdx.x == 0) room.all = 0;
    __syncthreads();
    tg_cuda_wait();

    spread<Form::CHUNKS>(c.activations + CHUNK_COLUMNS * first, groups - 2 * first, near, &room.all,
                         at.lane);
    multiply<Form>(sums, held, near + GROUP_SPREAD * (at.t / 2) + 16 * (at.t % 2), rows, last,
                   stride, &room, at);
    settle(sums, room.sums, at);
    __syncthreads();
    for (int r = threadIdx.x; r < rows; r += blockDim.x)
        c.results[row0 + r] = room.sums[r] - room.all;
}

/* As many columns as there are, in rounds: of 32 rows and a chunk a warp. */
using wide = form<tile, 2, 0, 1, 448, 2>;

__global__ static void __launch_bounds__(wide::THREADS, wide::BLOCKS)
    in_rounds(const call c, int rounds)
{
    __shared__ room<wide> room;
    const place at = here();
    const int64_t row0 = c.row_begin + (int64_t)blockIdx.x * 16 * wide::TILES;
    const int rows = (int)min((int64_t)16 * wide::TILES, c.row_end - row0);
    const int groups = c.cols / GROUP_COLUMNS, row_bytes = c.cols / 4, step = blockDim.x / WARP;
    const uint8_t *weights = c.weights + (row0 + at.g) * row_bytes + 16 * at.t;
    uint8_t *near = room.near[at.warp];
    held_codes<wide> held;
    sums_of<wide> sums[wide::TILES] = {};

    auto load = [&](int chunk) {
#pragma unroll
        for (int i = 0; i < wide::TILES; i++)
            held[i][0] = load_codes(weights + (16 * i * row_bytes + CHUNK_BYTES * chunk), row_bytes,
                                    rows - 16 * i - at.g, 2 * chunk + at.t / 2 < groups);
    };
    load(at.warp);
    tg_cuda_let_next();
    for (int i = threadIdx.x; i < 16 * wide::TILES; i += blockDim.x) room.sums[i] = 0;
    if (threadIdx.x == 0) room.all = 0;
    __syncthreads();
    tg_cuda_wait();

    for (int round = 0; round < rounds; round++) {
        const int chunk = round * step + at.warp;
        if (round > 0) load(chunk);
        spread<1>(c.activations + CHUNK_COLUMNS * chunk, groups - 2 * chunk, near, &room.all,
                  at.lane);
        multiply<wide>(sums, held, near + GROUP_SPREAD * (at.t / 2) + 16 * (at.t % 2), rows, 0, 0,
                       &room, at);
        __syncwarp();
    }
    settle(sums, room.sums, at);
    __syncthreads();
    for (int r = threadIdx.x; r < rows; r += blockDim.x)
        c.results[row0 + r] = room.sums[r] - room.all;
}

static int64_t quotient(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* From a row on the shelf to the next: rows g and g + 1 are in other banks. */
static constexpr int stride_of(int cols)
{
    return (cols / 4 + 63) / 128 * 128 + 64;
}

/* Bytes of a block, that devices for a shelf have: 9.0 and 10.0, but not 12.0. */
static constexpr int MOST_SHARED = 227 * 1024;

template <class Form> static void launch(const call &c, int block_rows, void *stream)
{
    constexpr int SHELF = 16 * Form::SHELVED *
                          stride_of(CHUNK_COLUMNS * Form::WARPS * Form::CHUNKS);
    static_assert(SHELF == 0 || SHELF + sizeof(room<Form>) <= MOST_SHARED, "longest rows fit");
    static_assert(SHELF == 0 || std::is_same<typename Form::Sums, tile>::value, "of bits alone");
    const int stride = stride_of(c.cols);
    const auto kernel = one_token<Form>;
    static bool may = SHELF == 0;
    assert(block_rows <= 16 * Form::TILES && chunks_of(c) <= Form::WARPS * Form::CHUNKS);
    if (!may)
        tg_cuda_launched(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SHELF));
    may = true;
    tg_cuda_launch(kernel, dim3((unsigned)quotient(c.row_end - c.row_begin, block_rows)),
                   dim3((unsigned)(WARP * quotient(chunks_of(c), Form::CHUNKS))),
                   (size_t)(16 * Form::SHELVED * stride), stream, c, block_rows, stride);
}

static void launch_rounds(const call &c, void *stream)
{
    const int64_t chunks = chunks_of(c), rounds = quotient(chunks, wide::WARPS);
    tg_cuda_launch(in_rounds, dim3((unsigned)quotient(c.row_end - c.row_begin, 16 * wide::TILES)),
                   dim3((unsigned)(WARP * quotient(chunks, rounds))), 0, stream, c, (int)rounds);
}

/* A form, and how many chunks and tiles it is for. */
struct choice {
    int chunks, tiles;
    bool is_small, has_shelf;
    void (*launch)(const call &, int, void *);
};

template <class Form> static constexpr choice choice_of(bool is_small)
{
    return {Form::WARPS * Form::CHUNKS, Form::TILES, is_small, Form::SHELVED > 0, launch<Form>};
}

/*
 * Those that were best on an H200 for layers of 2560 to 14336 rows and columns: the first counts
 * that has room for all columns of a row and for the rows of a block; else the one of those for the
 * columns that has most rows, in more blocks.
 */
static const choice choices[] = {
    choice_of<form<row_sums, 2, 0, 1, 448, 2>>(true),
    choice_of<form<row_sums, 1, 0, 2, 448, 2>>(true),
    choice_of<form<row_sums, 4, 0, 1, 512, 1>>(false),
    choice_of<form<row_sums, 2, 0, 2, 512, 1>>(false),
    choice_of<form<tile, 8, 0, 1, 512, 1>>(false),
    choice_of<form<tile, 14, 0, 1, 320, 1>>(false),
    choice_of<form<tile, 5, 5, 1, 512, 1>>(false),
    choice_of<form<tile, 7, 7, 1, 512, 1>>(false),
    choice_of<form<tile, 4, 0, 2, 512, 1>>(false),
    choice_of<form<tile, 3, 0, 3, 512, 1>>(false),
    choice_of<form<tile, 2, 2, 4, 512, 1>>(false),
    choice_of<form<tile, 1, 2, 6, 512, 1>>(false),
};

extern "C" void tg_kernel_i2s_cuda(const struct tg_problem *p)
{
    constexpr int64_t SMALL_BYTES = 34 * 1024; /* a multiprocessor */
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
    const bool is_small = rows * p->cols / 4 <= SMALL_BYTES * d.multiprocessors;
    const int64_t half = d.multiprocessors > 1 ? d.multiprocessors / 2 : 1;
    const int64_t each = quotient(quotient(rows, half), 8) * 8;
    const choice *chosen = NULL;
    for (const choice &i : choices) {
        if (i.chunks < chunks_of(c) || (i.has_shelf && d.shared < MOST_SHARED)) continue;
        if (i.is_small && !is_small) continue;
        const bool has_room = i.is_small || each <= 16 * i.tiles;
        if (!chosen || has_room || i.tiles > chosen->tiles) chosen = &i;
        if (has_room) break;
    }
    if (!chosen)
        launch_rounds(c, p->stream);
    else if (chosen->is_small)
        chosen->launch(c, 16 * chosen->tiles, p->stream);
    else
        chosen->launch(c, (int)(each < 16 * chosen->tiles ? each : 16 * chosen->tiles), p->stream);
}
