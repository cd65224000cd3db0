/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/attention.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT INT64_C(64)

int64_t tg_attention_bytes(const struct tg_attention *a, int64_t blocks)
{
    return 2 * blocks * a->block_bytes;
}

/* Angles in double, so that every machine has the same float of their cosine but for ties. */
static int make_angles(const struct tg_network *n, struct tg_attention *a, struct tg_error *err)
{
    const int64_t pairs = a->rope_dimensions / 2;
    const size_t size = (size_t)(a->context * pairs) * sizeof(float);
    float factor = 1;
    a->cosines = malloc(size + 1);
    a->sines = malloc(size + 1);
    if (!a->cosines || !a->sines) return tg_fail(err, "out of memory");
    for (int64_t i = 0; i < pairs; i++) {
        const struct tg_gguf_tensor *t = n->rope_factors;
        if (t) tg_tensor_type_decode(t->type, t->data + i * t->type->block_bytes, 1, &factor);
        if (!(factor > 0)) return tg_fail(err, "a factor of RoPE is %g", (double)factor);
        const double speed = pow(n->rope_base, -2.0 * (double)i / (double)a->rope_dimensions) /
                             (double)factor;
        for (int64_t p = 0; p < a->context; p++) {
            a->cosines[p * pairs + i] = (float)cos((double)p * speed);
            a->sines[p * pairs + i] = (float)sin((double)p * speed);
        }
    }
    return 0;
}

int tg_attention_open(const struct tg_network *n, int64_t context, bool is_wide,
                      const struct tg_vector *vector, struct tg_attention *attention,
                      struct tg_error *err)
{
    struct tg_attention a = {.vector = vector,
                             .heads = n->heads,
                             .key_value_heads = n->key_value_heads,
                             .dimension = n->head_dimension,
                             .context = context,
                             .rope_dimensions = n->rope_dimensions,
                             .pairing = n->architecture->pairing,
                             .number_bytes = is_wide ? 4 : 2,
                             .scale = 1.0f / sqrtf((float)n->head_dimension)};
    const int64_t bytes = n->key_value_heads * context * n->head_dimension * a.number_bytes;
    a.block_bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    a.keys = aligned_alloc(ALIGNMENT, (size_t)(n->layers * a.block_bytes));
    a.values = aligned_alloc(ALIGNMENT, (size_t)(n->layers * a.block_bytes));
    if (!a.keys || !a.values) {
        tg_attention_close(&a);
        return tg_fail(
            err, "%" PRId64 " bytes for keys and values of %" PRId64 " tokens are not to be had",
            2 * n->layers * bytes, context);
    }
    if (make_angles(n, &a, err) < 0) {
        tg_attention_close(&a);
        return -1;
    }
    *attention = a;
    return 0;
}

static void turn(const struct tg_attention *a, int64_t position, float *head)
{
    const int64_t pairs = a->rope_dimensions / 2;
    const float *cosines = a->cosines + position * pairs, *sines = a->sines + position * pairs;
    const int64_t apart = a->pairing == TG_PAIRING_HALVES ? pairs : 1;
    const int64_t step = a->pairing == TG_PAIRING_HALVES ? 1 : 2;
    for (int64_t i = 0; i < pairs; i++) {
        float *x = head + i * step, *y = x + apart;
        const float turned = *x * cosines[i] - *y * sines[i];
        *y = *x * sines[i] + *y * cosines[i];
        *x = turned;
    }
}

/* The place of a position in a cache. */
static uint8_t *place(const struct tg_attention *a, uint8_t *cache, int64_t block, int64_t head,
                      int64_t position)
{
    return cache + block * a->block_bytes +
           (head * a->context + position) * a->dimension * a->number_bytes;
}

static void keep(const struct tg_attention *a, const float *numbers, uint8_t *to)
{
    if (a->number_bytes == 4)
        memcpy(to, numbers, (size_t)a->dimension * sizeof *numbers);
    else
        a->vector->to_f16(numbers, a->dimension, (uint16_t *)(void *)to);
}

void tg_attention_keep(const struct tg_attention *a, int64_t block, int64_t position,
                       float *queries, float *keys, const float *values)
{
    assert(position < a->context);
    for (int64_t h = 0; h < a->heads; h++) turn(a, position, queries + h * a->dimension);
    for (int64_t i = 0; i < a->heads * a->dimension; i++) queries[i] *= a->scale;
    for (int64_t h = 0; h < a->key_value_heads; h++) {
        turn(a, position, keys + h * a->dimension);
        keep(a, keys + h * a->dimension, place(a, a->keys, block, h, position));
        keep(a, values + h * a->dimension, place(a, a->values, block, h, position));
    }
}

void tg_attention_mix(const struct tg_attention *a, int64_t block, int64_t position, int64_t head,
                      int64_t many, const float *queries, float *scores, float *out)
{
    const int64_t shared = head / (a->heads / a->key_value_heads), n = a->dimension;
    const int64_t row_bytes = n * a->number_bytes, count = position + 1;
    const uint8_t *keys = place(a, a->keys, block, shared, 0);
    const uint8_t *values = place(a, a->values, block, shared, 0);
    const struct tg_vector *v = a->vector;
    const bool is_wide = a->number_bytes == 4;
    for (int64_t q = 0; is_wide && q < many; q++)
        v->dots_f32(keys, row_bytes, count, queries + q * n, n, scores + q * count);
    if (!is_wide) v->dots_f16_many(keys, row_bytes, count, queries, many, n, scores);
    for (int64_t q = 0; q < many; q++) v->softmax(scores + q * count, count);
    for (int64_t q = 0; is_wide && q < many; q++)
        v->mix_f32(values, row_bytes, count, scores + q * count, n, out + q * n);
    if (!is_wide) v->mix_f16_many(values, row_bytes, count, scores, many, n, out);
}

void tg_attention_close(struct tg_attention *a)
{
    free(a->keys);
    free(a->values);
    free(a->cosines);
    free(a->sines);
    *a = (struct tg_attention){0};
}
