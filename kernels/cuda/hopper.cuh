/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_HOPPER_CUH
#define TG_KERNELS_CUDA_HOPPER_CUH

#include <cstdint>
#include <cudaTypedefs.h>

#include "kernels/cuda/launch.cuh"

/*
 * Instructions of Hopper (9.0, target sm_90a) that CUDA C++ has no words for: barriers that count
 * bytes, the copy engine, and the matrix instruction of four warps. Shared memory is given by its
 * 32-bit address.
 *
 * A stage goes round like this: a thread expects bytes at the barrier `full` and starts copies to
 * it; all others wait for `full`, use the bytes, and arrive at `empty`; the thread waits for
 * `empty`, and fills the stage again. The parity of a wait is that of the round, from 0.
 *
 * A batch of matrix instructions: registers are written, tg_hopper_ready, instructions,
 * tg_hopper_end; their registers belong to them until tg_hopper_multiplied says that no more than
 * so many batches run.
 *
 * Source: PTX ISA 9.0, "mbarrier", "cp.async.bulk.tensor", "wgmma.mma_async".
 */

static __device__ inline void tg_hopper_init(uint32_t barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals)
                 : "memory");
}

/* After all barriers of a block were initialised, before the copy engine counts at one. */
static __device__ inline void tg_hopper_initialised()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

static __device__ inline void tg_hopper_expect(uint32_t barrier, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

static __device__ inline void tg_hopper_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

static __device__ inline void tg_hopper_wait(uint32_t barrier, int parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "AGAIN:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra DONE;\n"
                 "bra AGAIN;\n"
                 "DONE:\n"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* All threads of all blocks of the cluster; what they wrote before can be read behind. */
static __device__ inline void tg_hopper_cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

/* The same for blocks that have nothing to tell each other but that they are done. */
static __device__ inline void tg_hopper_cluster_meet()
{
    asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

/* Four int32 at a shared address in the block of that rank in the cluster; 16-byte aligned. */
static __device__ inline int4 tg_hopper_four_of(uint32_t at, int rank)
{
    int4 four;

    asm volatile("{\n"
                 ".reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %4, %5;\n"
                 "ld.shared::cluster.v4.s32 {%0, %1, %2, %3}, [there];\n"
                 "}"
                 : "=r"(four.x), "=r"(four.y), "=r"(four.z), "=r"(four.w)
                 : "r"(at), "r"(rank)
                 : "memory");
    return four;
}

/* The copy engine. An array's description is to be a kernel's parameter (__grid_constant__). */
static __device__ inline void tg_hopper_prefetch_description(const CUtensorMap *array)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(array) : "memory");
}

/* Copies the box at (x, y); outside of the array are zeros. Its bytes are counted at the barrier.
 */
static __device__ inline void tg_hopper_copy(uint32_t to, const CUtensorMap *array, int x, int y,
                                             uint32_t barrier)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
                 "l"(array), "r"(x), "r"(y), "r"(barrier)
                 : "memory");
}

static __device__ inline void tg_hopper_copy(uint32_t to, const CUtensorMap *array, int x, int y,
                                             int z, uint32_t barrier)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
                 "l"(array), "r"(x), "r"(y), "r"(z), "r"(barrier)
                 : "memory");
}

/* Brings the box into the second-level cache only. */
static __device__ inline void tg_hopper_prefetch(const CUtensorMap *array, int x, int y)
{
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global [%0, {%1, %2}];" ::"l"(array), "r"(x),
                 "r"(y)
                 : "memory");
}

/*
 * Describes an array of bytes, of which boxes are copied. The rows of a box (32, 64 or 128 bytes)
 * are swizzled: the 16-byte pieces of 128 bytes change places by the number of the 128 bytes.
 * size and box have `dimensions` numbers, the first for neighbouring bytes; pitch has one less, in
 * bytes, multiples of 16.
 */
static inline CUtensorMap tg_hopper_describe(const void *bytes, int dimensions,
                                             const cuuint64_t *size, const cuuint64_t *pitch,
                                             const cuuint32_t *box)
{
    static PFN_cuTensorMapEncodeTiled_v12000 encode;
    const cuuint32_t every[] = {1, 1, 1};
    const CUtensorMapSwizzle swizzle = box[0] == 32   ? CU_TENSOR_MAP_SWIZZLE_32B
                                       : box[0] == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                      : CU_TENSOR_MAP_SWIZZLE_128B;
    CUtensorMap array;

    if (!encode) {
        cudaDriverEntryPointQueryResult found;
        tg_cuda_launched(cudaGetDriverEntryPointByVersion(
            "cuTensorMapEncodeTiled", (void **)&encode, 12000, cudaEnableDefault, &found));
        if (!encode) tg_cuda_launched(cudaErrorSymbolNotFound);
    }
    if (encode(&array, CU_TENSOR_MAP_DATA_TYPE_UINT8, (cuuint32_t)dimensions, (void *)bytes, size,
               pitch, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS) {
        tg_cuda_launched(cudaErrorInvalidValue);
    }
    return array;
}

static __device__ inline void tg_hopper_ready()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ inline void tg_hopper_end()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int PENDING> static __device__ inline void tg_hopper_multiplied()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/*
 * sums += 64 rows of 32 columns (registers) times 32 columns of TOKENS tokens (shared memory), all
 * int8. Of a warp, whose rows are 16 times its number among the four: register a[i] of a thread has
 * row lane / 4 + 8 * (i % 2), columns 16 * (i / 2) + 4 * (lane % 4) and the next three; sums[i]
 * row lane / 4 + 8 * (i / 2 % 2), token 8 * (i / 4) + 2 * (lane % 4) + i % 2.
 *
 * The tile of tokens is rows of 128 bytes, swizzled as the copy engine does it, from a multiple of
 * 1024 bytes on; it is named by the address of its 32 columns, divided by 16.
 */
template <int TOKENS>
static __device__ void tg_hopper_multiply_add(int (&sums)[TOKENS / 2], const uint32_t (&a)[4],
                                              uint32_t tile);

#define TG_SUMS4(i)  "+r"(sums[i]), "+r"(sums[i + 1]), "+r"(sums[i + 2]), "+r"(sums[i + 3])
#define TG_SUMS8(i)  TG_SUMS4(i), TG_SUMS4(i + 4)
#define TG_SUMS16(i) TG_SUMS8(i), TG_SUMS8(i + 8)
#define TG_SUMS32(i) TG_SUMS16(i), TG_SUMS16(i + 16)
#define TG_SUMS64(i) TG_SUMS32(i), TG_SUMS32(i + 32)
#define TG_NAMES4    "%0,%1,%2,%3"
#define TG_NAMES8    TG_NAMES4 ",%4,%5,%6,%7"
#define TG_NAMES16   TG_NAMES8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define TG_NAMES32   TG_NAMES16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define TG_NAMES64                                                                                 \
    TG_NAMES32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51," \
               "%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

/* A tile's descriptor: 1024 bytes from eight tokens to the next eight, swizzled by 128 bytes. */
#define TG_TILE(low) (1ull << 62 | 64ull << 32 | 1ull << 16 | ((low)&0x3fffu))

#define TG_MULTIPLY_ADD(TOKENS, NAMES, OPERANDS, SUMS)                                             \
    template <>                                                                                    \
    __device__ inline void tg_hopper_multiply_add<TOKENS>(int(&sums)[TOKENS / 2],                  \
                                                          const uint32_t(&a)[4], uint32_t tile)    \
    {                                                                                              \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" #TOKENS "k32.s32.s8.s8 {" NAMES           \
                     "}, " OPERANDS ", 1;"                                                         \
                     : SUMS(0)                                                                     \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(TG_TILE(tile)));            \
    }

TG_MULTIPLY_ADD(8, TG_NAMES4, "{%4,%5,%6,%7}, %8", TG_SUMS4)
TG_MULTIPLY_ADD(16, TG_NAMES8, "{%8,%9,%10,%11}, %12", TG_SUMS8)
TG_MULTIPLY_ADD(32, TG_NAMES16, "{%16,%17,%18,%19}, %20", TG_SUMS16)
TG_MULTIPLY_ADD(64, TG_NAMES32, "{%32,%33,%34,%35}, %36", TG_SUMS32)
TG_MULTIPLY_ADD(128, TG_NAMES64, "{%64,%65,%66,%67}, %68", TG_SUMS64)

#endif
