/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cstdint>

#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/kernel.h"

/*
 * i2s_cuda_wgmma: ternary product of a batch, by Hopper's matrix instruction of four warps.
 *
 *   results[b][r] = (sum over c of 64 * weight[r][c] * activations[b][c]) / 64
 *
 * Why 64: see i2s_cuda_mma. The rows of weights are the instruction's rows (64, from registers),
 * tokens its columns (from shared memory), 32 columns of the matrix its depth. A thread (t = lane %
 * 4) gives it columns 4t to 4t + 3 and 16 more of two rows. Of a group of 128 columns, field f of
 * word t of 32 bytes is columns 32f + 4t to 32f + 4t + 3. So ldmatrix, which gives word t of 16
 * bytes of a row to thread t, loads the codes of four instructions at once, each a shift and a mask
 * away, and activations stay as they lie in memory.
 *
 *   stage     codes of the block's rows x GROUPS * 32 bytes, and activations of TOKENS x GROUPS *
 *             128 bytes; the copy engine swizzles them as ldmatrix and the matrix instruction want
 *             them. What lies outside of a matrix is zeros.
 *   block     warp groups of 64 rows each, which share the activations, and one warp that fills
 *             stages: a thread that multiplied, too, would hold up its whole warp group. While the
 *             instructions of a group of columns run, the codes of the next are cut into bytes.
 *   cluster   blocks of the same rows, each with its part of the columns; their sums are added
 *             through the shared memory of the cluster. Used where rows are few and columns many.
 *
 * The weights of the first stages are fetched before the kernel ahead in the stream has ended.
 * Small batches take little shared memory, so that a processor has room for a block of the next
 * call, too. Where there would be fewer blocks than processors, rows are dealt so that there are as
 * many: else some processor gets two of one call, and that call is late.
 *
 * Limits: cols a multiple of 128 and at most 131072.
 * Source: PTX ISA 9.0, "Register fragments for wgmma.mma_async.m64nNk32".
 */

namespace
{

constexpr int GROUP_COLUMNS = 128;
constexpr int GROUP_BYTES = 32;
constexpr int WARP = 32;
constexpr int FIELDS = 4;
constexpr int GROUP_ROWS = 64;   /* of four warps */
constexpr int ALIGNMENT = 1024;  /* of what is swizzled */
constexpr int AHEAD_STAGES = 32; /* of weights, into the second-level cache */
constexpr int PART_GROUPS = 20;  /* fewer columns are not worth a part */
constexpr int MOST_PARTS = 8;    /* blocks of a cluster, on any Hopper */

struct call {
    int32_t *results;
    int rows, row_begin, row_end, batch;
    int block_rows;
    int groups; /* of columns */
    int parts;  /* of them, one a block of a cluster */
};

/* How a block is cut; BLOCKS of it are to fit on a processor. */
template <int TOKENS_, int WARP_GROUPS_, int GROUPS_, int STAGES_, int BLOCKS_> struct cut {
    static constexpr int TOKENS = TOKENS_;
    static constexpr int WARP_GROUPS = WARP_GROUPS_;
    static constexpr int GROUPS = GROUPS_; /* of columns in a stage: 2 or 4 */
    static constexpr int STAGES = STAGES_;
    static constexpr int BLOCKS = BLOCKS_;
    static constexpr int ROWS = GROUP_ROWS * WARP_GROUPS;
    static constexpr int WARPS = 4 * WARP_GROUPS; /* that multiply */
    static constexpr int THREADS = WARP * (WARPS + 1);
    static constexpr int CODE_BYTES = ROWS * GROUP_BYTES * GROUPS;
    static constexpr int TILE_BYTES = TOKENS * GROUP_COLUMNS; /* activations of a group */
    static constexpr int STAGE_BYTES = CODE_BYTES + TILE_BYTES * GROUPS;
    static constexpr int SUMS_PITCH = ROWS + 4; /* so that stores of a warp meet all banks */
    static constexpr int SHARED_BYTES = STAGES * STAGE_BYTES + ALIGNMENT;
    static_assert(GROUPS % 2 == 0, "groups are multiplied in pairs");
    static_assert(TOKENS * SUMS_PITCH * 4 <= STAGES * STAGE_BYTES, "sums go where stages were");
};

/* What a thread knows of its block. */
struct block {
    const CUtensorMap *weights, *activations;
    uint32_t stages;         /* shared addresses: the first stage, */
    uint32_t full, empty;    /* and barriers of stages, 8 bytes each */
    int row, row_end, token; /* the first, behind the last, the first */
    int first, count;        /* stages of columns: those of this part */
    int warp;                /* the same in all its threads, as the compiler can see */
};

template <class Cut>
__device__ block block_of(const call &c, const CUtensorMap *weights, const CUtensorMap *activations,
                          uint32_t shared, uint32_t barriers)
{
    const int stages = (c.groups + Cut::GROUPS - 1) / Cut::GROUPS, part = blockIdx.z;
    block b;

    b.weights = weights;
    b.activations = activations;
    b.stages = (shared + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    b.full = barriers;
    b.empty = barriers + 8 * Cut::STAGES;
    b.row = c.row_begin + blockIdx.x * c.block_rows;
    b.row_end = min(c.row_end, b.row + c.block_rows);
    b.token = blockIdx.y * Cut::TOKENS;
    b.first = stages * part / c.parts;
    b.count = stages * (part + 1) / c.parts - b.first;
    b.warp = __shfl_sync(~0u, threadIdx.x / WARP, 0);
    return b;
}

/* Fetches the codes of stage i of this part, and makes its barrier expect all of the stage. */
template <class Cut> __device__ void fetch_codes(const call &c, const block &b, int i)
{
    const int slot = i % Cut::STAGES;

    tg_hopper_expect(b.full + 8 * slot,
                     (c.block_rows * GROUP_BYTES + Cut::TILE_BYTES) * Cut::GROUPS);
    tg_hopper_copy(b.stages + slot * Cut::STAGE_BYTES, b.weights,
                   (b.first + i) * Cut::GROUPS * GROUP_BYTES, b.row, b.full + 8 * slot);
}

template <class Cut> __device__ void fetch_activations(const block &b, int i)
{
    const int slot = i % Cut::STAGES;

    tg_hopper_copy(b.stages + slot * Cut::STAGE_BYTES + Cut::CODE_BYTES, b.activations, 0, b.token,
                   (b.first + i) * Cut::GROUPS, b.full + 8 * slot);
}

/* What the thread that fills stages does before the kernel ahead has ended, and after. */
template <class Cut> __device__ void fetch_begin(const call &c, const block &b)
{
    for (int i = 0; i < Cut::STAGES; i++) {
        tg_hopper_init(b.full + 8 * i, 1);
        tg_hopper_init(b.empty + 8 * i, Cut::WARPS);
    }
    tg_hopper_initialised();
    for (int i = 0; i < min(b.count, Cut::STAGES); i++) fetch_codes<Cut>(c, b, i);
    tg_hopper_prefetch_description(b.activations);
    if (Cut::BLOCKS > 1) {
        for (int i = Cut::STAGES; i < min(b.count, Cut::STAGES + AHEAD_STAGES); i++) {
            tg_hopper_prefetch(b.weights, (b.first + i) * Cut::GROUPS * GROUP_BYTES, b.row);
        }
    }
}

template <class Cut> __device__ void fetch_rest(const call &c, const block &b)
{
    tg_cuda_wait();
    for (int i = 0; i < b.count; i++) {
        if (i >= Cut::STAGES) {
            tg_hopper_wait(b.empty + 8 * (i % Cut::STAGES), (i / Cut::STAGES - 1) % 2);
            fetch_codes<Cut>(c, b, i);
        }
        fetch_activations<Cut>(b, i);
    }
}

/* Sixteen codes to sixteen weights, two bits each. */
__device__ uint32_t weights_of(uint32_t codes)
{
    return ~(codes | (codes << 1 & 0xaaaaaaaau));
}

/* Loads the codes of group g of a stage. */
template <class Cut>
__device__ void load_codes(const block &b, uint32_t stage, int g, uint32_t (&codes)[4])
{
    constexpr uint32_t SWIZZLE = 16 * (2 * Cut::GROUPS - 1);
    const int lane = threadIdx.x % WARP;
    const uint32_t at = ((b.warp * 16 + lane % 16) * Cut::GROUPS + g) * GROUP_BYTES +
                        lane / 16 * 16;

    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(codes[0]), "=r"(codes[1]), "=r"(codes[2]), "=r"(codes[3])
                 : "r"(stage + (at ^ (at >> 3 & SWIZZLE)))
                 : "memory");
}

/* Keeps the registers of a batch from other use until here. */
__device__ void in_use(const uint32_t (&a)[FIELDS][4])
{
#pragma unroll
    for (int f = 0; f < FIELDS; f++) {
        asm volatile("" ::"r"(a[f][0]), "r"(a[f][1]), "r"(a[f][2]), "r"(a[f][3]) : "memory");
    }
}

/* One group of columns: cuts its codes into `a`, starts its batch, waits for the one before. */
template <class Cut>
__device__ void step(const uint32_t (&codes)[4], uint32_t tile, uint32_t (&a)[FIELDS][4],
                     const uint32_t (&before)[FIELDS][4], int (&sums)[Cut::TOKENS / 2])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t weights = weights_of(codes[i]);
#pragma unroll
        for (int f = 0; f < FIELDS; f++) {
            a[f][i] = weights << 2 * f & 0xc0c0c0c0u;
            asm volatile("" : "+r"(a[f][i])::"memory"); /* here, not between instructions */
        }
    }
    tg_hopper_ready();
#pragma unroll
    for (int f = 0; f < FIELDS; f++) tg_hopper_multiply_add<Cut::TOKENS>(sums, a[f], tile + 2 * f);
    tg_hopper_end();
    tg_hopper_multiplied<1>();
    in_use(before);
}

/* All stages of the part. A stage is left when the first batch of the next has been started. */
template <class Cut> __device__ void multiply(const block &b, int (&sums)[Cut::TOKENS / 2])
{
    uint32_t even[FIELDS][4] = {}, odd[FIELDS][4] = {};
    int slot = 0, parity = 0;

#pragma unroll
    for (int k = 0; k < Cut::TOKENS / 2; k++) sums[k] = 0;
    for (int i = 0; i < b.count; i++) {
        const uint32_t stage = b.stages + slot * Cut::STAGE_BYTES;
        const uint32_t tiles = __shfl_sync(~0u, (stage + Cut::CODE_BYTES) / 16, 0);
        tg_hopper_wait(b.full + 8 * slot, parity);
#pragma unroll 1
        for (int g = 0; g < Cut::GROUPS; g += 2) {
            uint32_t codes[2][4];
            load_codes<Cut>(b, stage, g, codes[0]);
            load_codes<Cut>(b, stage, g + 1, codes[1]);
            step<Cut>(codes[0], tiles + g * (Cut::TILE_BYTES / 16), even, odd, sums);
            if (g == 0 && i > 0 && threadIdx.x % WARP == 0) {
                tg_hopper_arrive(b.empty + 8 * (slot == 0 ? Cut::STAGES - 1 : slot - 1));
            }
            __syncwarp();
            step<Cut>(codes[1], tiles + (g + 1) * (Cut::TILE_BYTES / 16), odd, even, sums);
        }
        slot = slot == Cut::STAGES - 1 ? 0 : slot + 1;
        parity ^= slot == 0;
    }
    tg_hopper_multiplied<0>();
    in_use(even);
    in_use(odd);
#pragma unroll
    for (int k = 0; k < Cut::TOKENS / 2; k++) asm volatile("" : "+r"(sums[k])::"memory");
}

/* Row of a thread's sums, and 8 more; token of sum i. Both in the block. */
__device__ int row_of(const block &b)
{
    return b.warp * 16 + threadIdx.x % WARP / 4;
}

__device__ int token_of(int i)
{
    return i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
}

template <class Cut>
__device__ void give_own(const call &c, const block &b, const int (&sums)[Cut::TOKENS / 2])
{
    const int row = b.row + row_of(b);
    int32_t *const results = c.results + (int64_t)b.token * c.rows + row;
    const bool is_first = row < b.row_end, is_second = row + 8 < b.row_end;

#pragma unroll
    for (int i = 0; i < Cut::TOKENS / 2; i += 4) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const int token = token_of(i + e);
            int32_t *to = results + (int64_t)token * c.rows;
            if (b.token + token >= c.batch) continue;
            if (is_first) to[0] = sums[i + e] >> 6;
            if (is_second) to[8] = sums[i + 2 + e] >> 6;
        }
    }
}

/* Keeps the sums of this part where the stages were. */
template <class Cut> __device__ void keep(const block &b, const int (&sums)[Cut::TOKENS / 2])
{
    asm volatile("bar.sync 1, %0;" ::"n"(WARP * Cut::WARPS) : "memory"); /* all left the stages */
#pragma unroll
    for (int i = 0; i < Cut::TOKENS / 2; i++) {
        const int row = row_of(b) + 8 * (i / 2 % 2);
        asm volatile(
            "st.shared.s32 [%0], %1;" ::"r"(b.stages + 4 * (token_of(i) * Cut::SUMS_PITCH + row)),
            "r"(sums[i])
            : "memory");
    }
}

/* Adds what all parts kept, each block for its share of tokens, and gives it. */
template <class Cut> __device__ void give_added(const call &c, const block &b)
{
    constexpr int FOURS = Cut::ROWS / 4;
    const int tokens = min(Cut::TOKENS, c.batch - b.token);

    for (int i = threadIdx.x; i < Cut::TOKENS * FOURS; i += Cut::THREADS) {
        const int token = i / FOURS * c.parts + blockIdx.z, row = i % FOURS * 4;
        const uint32_t at = b.stages + 4 * (token * Cut::SUMS_PITCH + row);
        int4 sum = {0, 0, 0, 0};
        if (token >= tokens) break;
#pragma unroll 4
        for (int k = 0; k < c.parts; k++) {
            const int4 of = tg_hopper_four_of(at, k);
            sum = {sum.x + of.x, sum.y + of.y, sum.z + of.z, sum.w + of.w};
        }
        int32_t *to = c.results + (int64_t)(b.token + token) * c.rows + b.row + row;
        if (b.row + row < b.row_end) to[0] = sum.x >> 6;
        if (b.row + row + 1 < b.row_end) to[1] = sum.y >> 6;
        if (b.row + row + 2 < b.row_end) to[2] = sum.z >> 6;
        if (b.row + row + 3 < b.row_end) to[3] = sum.w >> 6;
    }
}

template <class Cut>
__global__ void __launch_bounds__(Cut::THREADS, Cut::BLOCKS)
    product(const __grid_constant__ CUtensorMap weights,
            const __grid_constant__ CUtensorMap activations, const call c)
{
    extern __shared__ uint8_t shared[];
    __shared__ alignas(8) uint64_t barriers[2 * Cut::STAGES];
    const block b = block_of<Cut>(c, &weights, &activations,
                                  (uint32_t)__cvta_generic_to_shared(shared),
                                  (uint32_t)__cvta_generic_to_shared(barriers));
    const bool fetches = threadIdx.x == WARP * Cut::WARPS;

    if (fetches) fetch_begin<Cut>(c, b);
    __syncthreads();
    tg_cuda_let_next();
    if (b.warp == Cut::WARPS) {
        if (fetches) fetch_rest<Cut>(c, b);
        __syncwarp();
    } else {
        int sums[Cut::TOKENS / 2];
        multiply<Cut>(b, sums);
        if (c.parts == 1) {
            give_own<Cut>(c, b, sums);
        } else {
            keep<Cut>(b, sums);
        }
    }
    if (c.parts > 1) {
        tg_hopper_cluster_sync();
        give_added<Cut>(c, b);
        tg_hopper_cluster_meet(); /* nobody leaves while others look */
    }
}

/* Bytes of a row, rows. */
template <class Cut> CUtensorMap describe_weights(const struct tg_problem *p, int block_rows)
{
    const cuuint64_t size[] = {(cuuint64_t)p->cols / 4, (cuuint64_t)p->rows};
    const cuuint64_t pitch[] = {(cuuint64_t)p->cols / 4};
    const cuuint32_t box[] = {GROUP_BYTES * Cut::GROUPS, (cuuint32_t)block_rows};

    return tg_hopper_describe(p->weights, 2, size, pitch, box);
}

/* Columns of a group, tokens, groups. */
template <class Cut> CUtensorMap describe_activations(const struct tg_problem *p)
{
    const cuuint64_t size[] = {GROUP_COLUMNS, (cuuint64_t)p->batch,
                               (cuuint64_t)p->cols / GROUP_COLUMNS};
    const cuuint64_t pitch[] = {(cuuint64_t)p->cols, GROUP_COLUMNS};
    const cuuint32_t box[] = {GROUP_COLUMNS, Cut::TOKENS, Cut::GROUPS};

    return tg_hopper_describe(p->activations, 3, size, pitch, box);
}

int processors()
{
    static int count;
    int device = 0;

    if (count > 0) return count;
    tg_cuda_launched(cudaGetDevice(&device));
    tg_cuda_launched(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
    return count;
}

int divide_up(int64_t a, int64_t b)
{
    return (int)((a + b - 1) / b);
}

template <class Cut> void launch(const struct tg_problem *p)
{
    static const cudaError_t allowed = cudaFuncSetAttribute(
        product<Cut>, cudaFuncAttributeMaxDynamicSharedMemorySize, Cut::SHARED_BYTES);
    const int64_t rows = p->row_end - p->row_begin;
    const int groups = (int)(p->cols / GROUP_COLUMNS);
    const int token_tiles = divide_up(p->batch, Cut::TOKENS);
    const int tiles = divide_up(rows, Cut::ROWS) * token_tiles;
    int parts = 1, block_rows = Cut::ROWS;

    tg_cuda_launched(allowed);
    while (parts < MOST_PARTS && (parts + 1) * tiles <= processors() &&
           (parts + 1) * PART_GROUPS <= groups) {
        parts++;
    }
    if (Cut::BLOCKS > 1 && parts * tiles <= processors()) {
        const int dealt = divide_up(rows, processors() / (parts * token_tiles));
        if (2 * dealt >= Cut::ROWS) block_rows = dealt;
    }
    const dim3 cluster(1, 1, parts);
    const dim3 grid(divide_up(rows, block_rows), token_tiles, parts);
    const call c = {(int32_t *)p->results,
                    (int)p->rows,
                    (int)p->row_begin,
                    (int)p->row_end,
                    (int)p->batch,
                    block_rows,
                    groups,
                    parts};
    tg_cuda_launch_clusters(product<Cut>, grid, Cut::THREADS, cluster, Cut::SHARED_BYTES, p->stream,
                            describe_weights<Cut>(p, block_rows), describe_activations<Cut>(p), c);
}

} // namespace

extern "C" void tg_kernel_i2s_cuda_wgmma(const struct tg_problem *p)
{
    assert(p->cols % GROUP_COLUMNS == 0 && p->cols <= TG_COLUMNS_MOST);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end || p->batch == 0) return;
    if (p->batch <= 8) {
        launch<cut<8, 1, 4, 5, 2>>(p);
    } else if (p->batch <= 16) {
        launch<cut<16, 1, 4, 5, 2>>(p);
    } else if (p->batch <= 32) {
        launch<cut<32, 1, 4, 4, 2>>(p);
    } else if (p->batch <= 64) {
        launch<cut<64, 1, 2, 4, 2>>(p);
    } else if (divide_up(p->row_end - p->row_begin, 2 * GROUP_ROWS) * divide_up(p->batch, 128) <
               processors() / 2) {
        launch<cut<128, 1, 2, 6, 1>>(p);
    } else {
        launch<cut<128, 2, 2, 5, 1>>(p);
    }
}
