/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_TENSOR_TYPE_H
#define TG_WORKER_MODEL_TENSOR_TYPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a tensor of a file may be made of: tensor_types.def, with the bytes of a matrix, and its
 * numbers where they are ordinary ones. Ternary matrices are read by kernels/format.h; here is
 * only where the codes end and the scale stands.
 */

enum tg_tensor_origin { TG_ORIGIN_ANY, TG_ORIGIN_BITNET, TG_ORIGIN_UPSTREAM };

struct tg_tensor_type {
    uint32_t number;
    const char *name;
    enum tg_tensor_origin origin; /* who has given the number, where two have */
    int64_t block_weights, block_bytes;
};

/* The rows in order; tg_tensor_type_at(i) for i < tg_tensor_type_count(). */
size_t tg_tensor_type_count(void);
const struct tg_tensor_type *tg_tensor_type_at(size_t i);

/* The first row of that name, or NULL. */
const struct tg_tensor_type *tg_tensor_type_find(const char *name);

/*
 * What a number is to the programs that write it, where no row has it: "IQ2_BN of ik_llama.cpp".
 * NULL where nothing is known. For sentences: nothing of such a type is read.
 */
const char *tg_tensor_type_elsewhere(uint32_t number);

/*
 * Bytes of rows x cols, with the scale of the types that have one behind their codes; -1 if such a
 * matrix cannot be (columns that are no whole blocks). rows * cols is below 2^48.
 */
int64_t tg_tensor_type_bytes(const struct tg_tensor_type *type, int64_t rows, int64_t cols);

/*
 * Of I2_S, TL1 and TL2: the byte where the float32 scale of the whole matrix stands, behind the
 * codes. -1 for types that have none.
 */
int64_t tg_tensor_type_scale_at(const struct tg_tensor_type *type, int64_t rows, int64_t cols);

/*
 * `count` numbers from the beginning of a block, of F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K,
 * TQ1_0 or TQ2_0; count is whole blocks, or 0. Returns -1 for another type, and writes nothing.
 */
int tg_tensor_type_decode(const struct tg_tensor_type *type, const uint8_t *bytes, int64_t count,
                          float *out);

/* IEEE 754 binary16 and bfloat16 to float, exactly. */
float tg_tensor_type_f16(uint16_t bits);
float tg_tensor_type_bf16(uint16_t bits);

/* Little-endian numbers at any address. */
uint16_t tg_tensor_type_u16(const uint8_t *bytes);
float tg_tensor_type_f32(const uint8_t *bytes);

#endif
