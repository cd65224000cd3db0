/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_VECTOR_H
#define TG_KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a forward pass computes around its ternary products, in float, by an instruction set. All
 * rows of vectors.def give the same bits:
 *
 *   - a sum has 64 lanes: lane i % 64 takes term i, in order; then lanes 16 and 48 are added to 0
 *     and 32, 32 to 0, and the sixteen that are left in halves, 8 to 0, 4 to 0, 2 to 0, 1 to 0;
 *   - a product is rounded before it is added: nothing is fused;
 *   - exp is one polynomial, below;
 *   - what is not finite is so everywhere, float16 too: a NaN is a NaN in each row, of any bits.
 *
 * So logits do not depend on threads or on the machine. They are no rows of kernels.def: they have
 * no weights to pack, and what is under test are the products.
 *
 * exp(x), x in -87.3..88.3, or a NaN of one: n = rint(x / ln 2), r = x - n ln 2 in two steps, a
 * polynomial of degree 7 in r, times 2^n; relative error below 2e-7. Source: expf of Cephes,
 * Moshier 1989.
 */
struct tg_vector {
    const char *isa;
    const char *how;
    int (*here)(void); /* whether this machine can run it */

    /* RMSNorm: out = x / sqrt(mean(x^2) + epsilon) * weight, of n numbers; out may be x. */
    void (*norm)(const float *x, const float *weight, float epsilon, int64_t n, float *out);

    /*
     * Per-token int8: out = rint(x * a) with a = 127 / max(max |x|, 1e-5), which is returned; ties
     * to even. Of an x with a NaN or an infinity a is NaN and out is zeros, so that what is
     * computed of it is NaN. Source: BitNet b1.58, Ma et al. 2024, arXiv:2402.17764, section 2.
     */
    float (*quantise)(const float *x, int64_t n, int8_t *out);

    /* The results of a ternary product: out = sums / activation * weight. */
    void (*rescale)(const int32_t *sums, float activation, float weight, int64_t n, float *out);

    /* gate = g / (1 + exp(-g)) * up, and gate = max(g, 0)^2 * up; of a NaN a NaN. */
    void (*gate_silu)(float *gate, const float *up, int64_t n);
    void (*gate_squared_relu)(float *gate, const float *up, int64_t n);

    /* x = exp(x - max) / sum of these; all are NaN where one is, or the largest is infinite. */
    void (*softmax)(float *x, int64_t n);

    /*
     * out[r] = sum over i < n of row r times x; rows follow each other every row_bytes. n of q8_0
     * is a multiple of 32, of q6_k of 256 (the blocks of ggml).
     */
    void (*dots_f32)(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out);
    void (*dots_f16)(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out);
    void (*dots_bf16)(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out);
    void (*dots_q8_0)(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out);
    void (*dots_q6_k)(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out);

    /* out[i] = sum over r of shares[r] times number i of row r, in the order of rows. */
    void (*mix_f32)(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out);
    void (*mix_f16)(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out);

    /*
     * The same for `many` x, n numbers each, and for as many lists of `count` shares: rows that
     * several heads share are read once. The results of one follow those of the one before.
     */
    void (*dots_f16_many)(const void *rows, int64_t row_bytes, int64_t count, const float *x,
                          int64_t many, int64_t n, float *out);
    void (*mix_f16_many)(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                         int64_t many, int64_t n, float *out);

    /* To float16, to the nearest, ties to even; what is too large becomes infinite. */
    void (*to_f16)(const float *x, int64_t n, uint16_t *out);
};

/* The row of that instruction set, or NULL. */
const struct tg_vector *tg_vector_find(const char *isa);

/* The widest row that this machine can run; never NULL. */
const struct tg_vector *tg_vector_widest(void);

/* The rows of this build in order; tg_vector_at(i) for i < tg_vector_count(). */
size_t tg_vector_count(void);
const struct tg_vector *tg_vector_at(size_t i);

/* The functions of each row, as a table of its file; absent where it is not built. */
#define VECTOR(ISA, name, how) extern const struct tg_vector tg_vector_##name;
#include "kernels/vectors.def"
#undef VECTOR

#ifdef __cplusplus
}
#endif
#endif
