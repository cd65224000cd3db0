/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_NUMBER_H
#define TG_KERNELS_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What activations are made of: the types of their numbers, and how many of one are filled.
 *
 *   int8   -127..127
 *   f32    IEEE 754 binary32, 1 sign, 8 bits of exponent, 23 of fraction
 *   f16    IEEE 754 binary16, 1 sign, 5 bits of exponent, 10 of fraction
 *   bf16   the upper half of an f32: 1 sign, 8 bits of exponent, 7 of fraction
 *   none   for an operation without activations: 0 bytes each
 *
 * f16 and bf16 are held as uint16_t, for C17 has no type for them.
 */

struct tg_number {
    const char *name;
    int64_t bytes; /* of one */
    int is_float;

    /* Fills with random numbers: int8 as tg_fill_int8, others close to a standard normal. */
    void (*fill)(uint64_t seed, void *values, size_t count);

    /* Sets number i to the nearest of the type, halfway to the even one; int8 must hold value. */
    void (*put)(void *values, size_t i, float value);

    /* Number i, exactly. */
    float (*get)(const void *values, size_t i);
};

extern const struct tg_number tg_number_int8, tg_number_f32, tg_number_f16, tg_number_bf16,
    tg_number_none;

/* The nearest f16 or bf16, halfway to the even one; too large is infinite, NaN stays NaN. */
uint16_t tg_number_to_f16(float value);
uint16_t tg_number_to_bf16(float value);

/* The same number as an f32, exactly. */
float tg_number_of_f16(uint16_t half);
float tg_number_of_bf16(uint16_t half);

#ifdef __cplusplus
}
#endif
#endif
