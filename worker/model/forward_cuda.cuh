/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_FORWARD_CUDA_CUH
#define TG_WORKER_MODEL_FORWARD_CUDA_CUH

#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/decode_head.cuh"
#include "kernels/cuda/prefill.cuh"

extern "C" {
#include "worker/model/forward_device.h"
}

/*
 * The forward pass on a CUDA device: forward_cuda.cu has its life, forward_cuda_launch.cu puts the
 * kernels of one token, or of a batch, into its stream.
 *
 *   one token   embed | block: qkv, attention, output, gate and up, down | ... | head | choose
 *
 * Each of the five kernels of a block rounds its own input (decode_product.cuh). A batch goes
 * through the ternary products of the table of kernels, with what is between in prefill.cuh.
 */

struct tg_cuda_block {
    uint8_t *qkv, *output, *pair, *down; /* matrices of one input lie one after the other */
    float *attn_norm, *attn_sub_norm, *ffn_norm, *ffn_sub_norm; /* sub-norms may be NULL */
    __half *keys, *values;
    float scales[TG_LAYERS];
};

struct tg_cuda_forward {
    const struct tg_network *n;
    const struct tg_weights *weights;
    struct tg_forward_options options;
    const struct tg_kernel *product; /* of batches */
    struct tg_forward_device_times times;
    int64_t position;
    bool has_next; /* tokens[position] has been chosen */

    cudaStream_t stream;
    cudaGraphExec_t step;
    int processors;
    uint8_t *memory; /* all that follows lies in it */
    int64_t bytes;
    struct tg_cuda_block *blocks; /* but these pointers, which are the host's */
    __half *embedding, *head;
    float2 *turns;
    float *output_norm, *x, *qkv, *mixed, *gated, *logits;
    struct tg_best *best;
    int32_t *tokens, *place; /* context + 1 tokens; the position */
    float *batch_x, *queries, *batch_mixed, *scales;
    int32_t *products;
    int8_t *rounded;
};

static inline int64_t tg_cuda_inner(const struct tg_network *n)
{
    return n->heads * n->head_dimension;
}

static inline int64_t tg_cuda_shared(const struct tg_network *n)
{
    return n->key_value_heads * n->head_dimension;
}

/*
 * Puts into the stream: what the token tokens[*place] needs, and the choice of the next one; a
 * batch of tokens from there on, up to batch_x; the head of x, and the choice.
 */
void tg_cuda_launch_step(const struct tg_cuda_forward *f);
void tg_cuda_launch_batch(const struct tg_cuda_forward *f, int tokens);
void tg_cuda_launch_head(const struct tg_cuda_forward *f);

#endif
