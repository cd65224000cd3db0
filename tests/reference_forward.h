/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_REFERENCE_FORWARD_H
#define TG_TESTS_REFERENCE_FORWARD_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/number.h"
#include "worker/model/network.h"

/*
 * The forward pass as plainly as it can be said, in double, one token after the other: what
 * worker/model/forward.c must agree with. Shares no code with it but the reading of files. It keeps
 * what it had at each point of each block, so that a test can feed that to the other.
 */

enum { REFERENCE_TOKENS = 64, REFERENCE_WIDE = 512, REFERENCE_BLOCKS = 4, REFERENCE_POINTS = 4 };

struct reference_matrix {
    int8_t *ternary;
    double scale;
};

struct reference {
    const struct tg_network *n;
    bool is_plain;   /* activations are not rounded */
    bool has_halves; /* keys and values are rounded to float16, as what is kept of them is */
    struct reference_matrix matrices[REFERENCE_BLOCKS][TG_LAYERS];
    /* kept of each block and token */
    double input[REFERENCE_BLOCKS][REFERENCE_TOKENS][REFERENCE_WIDE];
    double result[REFERENCE_BLOCKS][REFERENCE_TOKENS][REFERENCE_WIDE];
    double keys[REFERENCE_BLOCKS][REFERENCE_TOKENS][REFERENCE_WIDE];
    double values[REFERENCE_BLOCKS][REFERENCE_TOKENS][REFERENCE_WIDE];
    double q[REFERENCE_BLOCKS][REFERENCE_POINTS][REFERENCE_TOKENS][REFERENCE_WIDE];
    double scales[REFERENCE_BLOCKS][REFERENCE_POINTS][REFERENCE_TOKENS];
};

static inline struct reference *reference_open(const struct tg_network *n,
                                               const struct tg_format *format)
{
    struct reference *r = calloc(1, sizeof *r);
    r->n = n;
    for (int64_t b = 0; b < n->layers; b++) {
        for (int layer = 0; layer < TG_LAYERS; layer++) {
            const struct tg_gguf_tensor *t = n->blocks[b].layers[layer];
            struct reference_matrix *m = &r->matrices[b][layer];
            struct tg_error err;
            float scale = 0;
            m->ternary = malloc((size_t)(t->dimensions[0] * t->dimensions[1]));
            if (tg_network_is_plain(t))
                tg_network_plain_unpack(t, m->ternary, &err);
            else
                format->unpack(t->data, t->dimensions[1], t->dimensions[0], m->ternary);
            tg_network_find_scale(n, b, layer, &scale, &err);
            m->scale = (double)scale;
        }
    }
    return r;
}

static inline void reference_close(struct reference *r)
{
    for (int64_t b = 0; b < r->n->layers; b++)
        for (int layer = 0; layer < TG_LAYERS; layer++) free(r->matrices[b][layer].ternary);
    free(r);
}

static inline void reference_numbers(const struct tg_gguf_tensor *t, int64_t row, int64_t count,
                                     double *out)
{
    const int64_t row_bytes = t->bytes / t->dimensions[1];
    float *numbers = malloc((size_t)count * sizeof *numbers);
    tg_tensor_type_decode(t->type, t->data + row * row_bytes, count, numbers);
    for (int64_t i = 0; i < count; i++) out[i] = (double)numbers[i];
    free(numbers);
}

static inline void reference_norm(const struct reference *r, const struct tg_gguf_tensor *t,
                                  const double *x, int64_t count, double *out)
{
    double weight[REFERENCE_WIDE], squares = 0;
    memmove(out, x, (size_t)count * sizeof *x);
    if (!t) return;
    reference_numbers(t, 0, count, weight);
    for (int64_t i = 0; i < count; i++) squares += out[i] * out[i];
    for (int64_t i = 0; i < count; i++)
        out[i] *= weight[i] / sqrt(squares / (double)count + r->n->epsilon);
}

static inline void reference_quantise(struct reference *r, int64_t block, int point, int64_t token,
                                      const double *x, int64_t count)
{
    double most = 1e-5;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(x[i]));
    r->scales[block][point][token] = 127 / most;
    for (int64_t i = 0; i < count; i++)
        r->q[block][point][token][i] = r->is_plain ? x[i] * 127 / most : rint(x[i] * 127 / most);
}

static inline void reference_product(const struct reference *r, int64_t block, int point,
                                     int64_t token, int layer, double *out)
{
    const struct reference_matrix *m = &r->matrices[block][layer];
    const double *q = r->q[block][point][token];
    int64_t rows, cols;
    tg_network_shape(r->n, layer, &rows, &cols);
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0; /* exact, where all are integers */
        for (int64_t c = 0; c < cols; c++) sum += m->ternary[row * cols + c] * q[c];
        out[row] = sum / r->scales[block][point][token] * m->scale;
    }
}

static inline void reference_turn(const struct reference *r, int64_t token, double *head)
{
    const int64_t pairs = r->n->rope_dimensions / 2;
    const bool is_halves = r->n->architecture->pairing == TG_PAIRING_HALVES;
    for (int64_t i = 0; i < pairs; i++) {
        const double angle = (double)token * pow(r->n->rope_base, -(double)i / (double)pairs);
        double *x = is_halves ? head + i : head + 2 * i, *y = is_halves ? x + pairs : x + 1;
        const double turned = *x * cos(angle) - *y * sin(angle);
        *y = *x * sin(angle) + *y * cos(angle);
        *x = turned;
    }
}

static inline void reference_attend(const struct reference *r, int64_t block, int64_t token,
                                    const double *queries, double *out)
{
    const struct tg_network *n = r->n;
    const int64_t d = n->head_dimension;
    for (int64_t h = 0; h < n->heads; h++) {
        const int64_t shared = h / (n->heads / n->key_value_heads) * d;
        double shares[REFERENCE_TOKENS], sum = 0, most = -INFINITY;
        for (int64_t t = 0; t <= token; t++) {
            shares[t] = 0;
            for (int64_t i = 0; i < d; i++)
                shares[t] += queries[h * d + i] * r->keys[block][t][shared + i] / sqrt((double)d);
            most = fmax(most, shares[t]);
        }
        for (int64_t t = 0; t <= token; t++) sum += shares[t] = exp(shares[t] - most);
        for (int64_t i = 0; i < d; i++) {
            out[h * d + i] = 0;
            for (int64_t t = 0; t <= token; t++)
                out[h * d + i] += shares[t] / sum * r->values[block][t][shared + i];
        }
    }
}

static inline void reference_block(struct reference *r, int64_t block, int64_t token, double *x)
{
    const struct tg_network *n = r->n;
    const struct tg_network_block *b = &n->blocks[block];
    const int64_t inner = n->heads * n->head_dimension, d = n->head_dimension;
    double wide[REFERENCE_WIDE], queries[REFERENCE_WIDE], up[REFERENCE_WIDE];
    memcpy(r->input[block][token], x, (size_t)n->hidden * sizeof *x);
    reference_norm(r, b->attn_norm, x, n->hidden, wide);
    reference_quantise(r, block, 0, token, wide, n->hidden);
    reference_product(r, block, 0, token, TG_LAYER_attn_q, queries);
    reference_product(r, block, 0, token, TG_LAYER_attn_k, r->keys[block][token]);
    reference_product(r, block, 0, token, TG_LAYER_attn_v, r->values[block][token]);
    for (int64_t h = 0; h < n->heads; h++) reference_turn(r, token, queries + h * d);
    for (int64_t h = 0; h < n->key_value_heads; h++)
        reference_turn(r, token, r->keys[block][token] + h * d);
    for (int64_t i = 0; r->has_halves && i < n->key_value_heads * d; i++) {
        double *const both[] = {&r->keys[block][token][i], &r->values[block][token][i]};
        for (int k = 0; k < 2; k++)
            *both[k] = (double)tg_tensor_type_f16(tg_number_to_f16((float)*both[k]));
    }
    reference_attend(r, block, token, queries, wide);
    reference_norm(r, b->attn_sub_norm, wide, inner, wide);
    reference_quantise(r, block, 1, token, wide, inner);
    reference_product(r, block, 1, token, TG_LAYER_attn_output, wide);
    for (int64_t i = 0; i < n->hidden; i++) x[i] += wide[i];
    reference_norm(r, b->ffn_norm, x, n->hidden, wide);
    reference_quantise(r, block, 2, token, wide, n->hidden);
    reference_product(r, block, 2, token, TG_LAYER_ffn_gate, wide);
    reference_product(r, block, 2, token, TG_LAYER_ffn_up, up);
    for (int64_t i = 0; i < n->ffn; i++) {
        const double g = wide[i];
        const bool is_silu = n->gate == TG_GATE_SILU;
        wide[i] = (is_silu ? g / (1 + exp(-g)) : g > 0 ? g * g : 0) * up[i];
    }
    reference_norm(r, b->ffn_sub_norm, wide, n->ffn, wide);
    reference_quantise(r, block, 3, token, wide, n->ffn);
    reference_product(r, block, 3, token, TG_LAYER_ffn_down, wide);
    for (int64_t i = 0; i < n->hidden; i++) x[i] += wide[i];
    memcpy(r->result[block][token], x, (size_t)n->hidden * sizeof *x);
}

/* Token number `token` of a text, of which those before have been run; logits of the vocabulary. */
static inline void reference_run(struct reference *r, int64_t token, int32_t id, double *logits)
{
    const struct tg_network *n = r->n;
    double x[REFERENCE_WIDE], row[REFERENCE_WIDE];
    reference_numbers(n->embedding, id, n->hidden, x);
    for (int64_t b = 0; b < n->layers; b++) reference_block(r, b, token, x);
    reference_norm(r, n->output_norm, x, n->hidden, x);
    for (int64_t i = 0; i < n->vocabulary; i++) {
        reference_numbers(n->output ? n->output : n->embedding, i, n->hidden, row);
        logits[i] = 0;
        for (int64_t c = 0; c < n->hidden; c++) logits[i] += row[c] * x[c];
    }
}

#endif
