/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_NETWORK_H
#define TG_WORKER_MODEL_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/format.h"
#include "worker/model/gguf.h"
#include "worker/model/model.h"

/*
 * The transformer that a GGUF file describes: its numbers, and which tensor is what.
 *
 *   tg_gguf_open -> tg_network_read -> ... -> tg_network_release -> tg_gguf_close
 *
 * Whether the tensors fit together is checked here: each that the architecture needs is there in
 * its shape, and none that it does not know, since a model that is computed in part is another
 * model. A block, with x of `hidden` numbers:
 *
 *   x += attn_output(attn_sub_norm(attention(rope(attn_q(n)), rope(attn_k(n)), attn_v(n))))
 *   x += ffn_down(ffn_sub_norm(gate(ffn_gate(m)) * ffn_up(m)))
 *
 * with n = attn_norm(x) and m = ffn_norm(x), and the logits are output(output_norm(x)), with the
 * embedding for `output` where there is none.
 */

enum tg_network_gate { TG_GATE_SILU, TG_GATE_SQUARED_RELU };

/* RoPE turns the numbers i and i + dimensions / 2 of a head, or 2 i and 2 i + 1. */
enum tg_network_pairing { TG_PAIRING_HALVES, TG_PAIRING_NEIGHBOURS };

/* A row of architectures.def. */
struct tg_architecture {
    const char *name;
    enum tg_network_gate gate; /* where the file names none */
    enum tg_network_pairing pairing;
    bool needs_sub_norms;
};

/* The rows of layers.def. */
enum {
#define LAYER(name, rows, cols) TG_LAYER_##name,
#include "worker/model/layers.def"
#undef LAYER
    TG_LAYERS
};

/* A tensor that is not there is NULL: sub-norms, and scales beside their matrices. */
struct tg_network_block {
    const struct tg_gguf_tensor *attn_norm, *attn_sub_norm, *ffn_norm, *ffn_sub_norm;
    const struct tg_gguf_tensor *layers[TG_LAYERS]; /* ternary */
    const struct tg_gguf_tensor *scales[TG_LAYERS]; /* one number that multiplies the products */
};

struct tg_network {
    const struct tg_architecture *architecture;
    enum tg_network_gate gate;
    int64_t hidden, ffn, layers, heads, key_value_heads, head_dimension, vocabulary, context;
    int64_t rope_dimensions; /* of each head that are turned, even */
    double rope_base, epsilon;
    const struct tg_gguf_tensor *embedding, *output_norm;
    const struct tg_gguf_tensor *output;       /* NULL: tied to the embedding */
    const struct tg_gguf_tensor *rope_factors; /* what frequencies are divided by, or NULL */
    struct tg_network_block *blocks;
};

/* Of a file, which must stay open. Released by the caller; nothing to release after a failure. */
int tg_network_read(const struct tg_gguf *gguf, struct tg_network *network, struct tg_error *err);

void tg_network_release(struct tg_network *network);

/* The row of models.def that has the numbers of this network, or NULL. */
const struct tg_model *tg_network_like(const struct tg_network *network);

/* The shape of a row of layers.def in this network. */
void tg_network_shape(const struct tg_network *network, int layer, int64_t *rows, int64_t *cols);

/*
 * How the ternary matrices of a network lie in memory. Type 36 (I2_S) is the number of several
 * layouts, which no byte of a file tells apart: see kernels/detect.h. What shapes, codes and the
 * zeros of rows leave is asked for i2s, the layout of all published files; anything else must be
 * named, or is refused.
 */
struct tg_network_layout {
    const struct tg_format *format;
    uint64_t
        possible;   /* the set of formats (kernels/detect.h) that evidence left; 0: by its type */
    int is_assumed; /* not known: of several that of all published files, or tiles of TL1 or TL2 */
};

/* `named` is a row of formats.def for the matrices of type 36, or NULL. */
int tg_network_find_layout(const struct tg_network *network, const char *named,
                           struct tg_network_layout *layout, struct tg_error *err);

/*
 * A matrix may also have its numbers written out, F32, F16 or BF16, as converters do before they
 * are packed: 0, the scale and the negative scale. All matrices may be so, or those of a file in
 * TQ1_0 or TQ2_0 whose columns are no whole blocks. Which are, the scale (of the first number that
 * is not 0; 0 if none is), and the weights (rows x cols), which fails where a number is another.
 */
bool tg_network_is_plain(const struct tg_gguf_tensor *tensor);
float tg_network_plain_scale(const struct tg_gguf_tensor *tensor);
int tg_network_plain_unpack(const struct tg_gguf_tensor *tensor, int8_t *ternary,
                            struct tg_error *err);

/* The scale of a matrix: the number by which its weights -1, 0, +1 are multiplied. */
int tg_network_find_scale(const struct tg_network *network, int64_t block, int layer, float *scale,
                          struct tg_error *err);

#endif
