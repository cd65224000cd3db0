/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "worker/model/forward.h"
#include "worker/model/gguf.h"
#include "worker/model/network.h"
#include "worker/model/tokenizer.h"
#include "worker/model/weights.h"

/* Any bytes as a file: refused with a sentence, or read without harm. For libFuzzer. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A few tokens, where that is soon done. */
static void run(const struct tg_network *n, const struct tg_network_layout *layout)
{
    static const int32_t tokens[] = {0, 0, 0, 0, 0};
    const struct tg_forward_options options = {.context = 5, .batch = 4};
    struct tg_pool *pool;
    struct tg_weights weights;
    struct tg_forward *forward;
    struct tg_error err;

    if (n->hidden + n->ffn > 4096 || n->layers > 4 || n->vocabulary > 4096) return;
    float *logits = malloc((size_t)n->vocabulary * sizeof *logits);
    if (!logits || tg_pool_create(2, NULL, &pool, &err) < 0) abort();
    if (tg_weights_load(n, layout, tritgate_kernels_v1(), NULL, pool, &weights, &err) == 0) {
        if (tg_forward_open(n, &weights, pool, &options, &forward, &err) == 0) {
            tg_forward_run(forward, tokens, 5, logits, 1, &err);
            tg_forward_close(forward);
        }
        tg_weights_release(&weights);
    }
    tg_pool_destroy(pool);
    free(logits);
}

static void use(const struct tg_gguf *g)
{
    struct tg_network n;
    struct tg_network_layout layout;
    struct tg_error err;
    float scale;

    for (size_t i = 0; i < g->value_count; i++) {
        const struct tg_gguf_value *v = &g->values[i];
        const uint8_t *at = v->bytes;
        double real;
        int64_t count;
        for (uint64_t k = 0; k < v->count && k < 64; k++) {
            if (v->kind == TG_GGUF_STRING)
                tg_gguf_next_text(v, &at);
            else if (v->kind != TG_GGUF_ARRAY)
                tg_gguf_count_at(v, k, &count), tg_gguf_real_at(v, k, &real);
        }
    }
    if (tg_network_read(g, &n, &err) < 0) return;
    if (tg_network_find_layout(&n, NULL, &layout, &err) == 0) {
        tg_network_find_scale(&n, 0, TG_LAYER_attn_k, &scale, &err);
        run(&n, &layout);
    }
    tg_network_release(&n);
}

/* The vocabulary, and a text with it. */
static void use_tokenizer(const struct tg_gguf *g)
{
    static const char text[] = " It's 123 <s>\xff\xe2\x96\x81\n";
    struct tg_tokenizer *t;
    struct tg_tokens tokens = {0};
    struct tg_error err;
    char *again;
    size_t size;

    if (tg_tokenizer_open(g, &t, &err) < 0) return;
    if (tg_tokenizer_encode(t, text, sizeof text - 1, true, &tokens, &err) == 0 &&
        tg_tokenizer_decode(t, -1, tokens.ids, tokens.count, true, &again, &size, &err) == 0)
        free(again);
    tg_tokens_release(&tokens);
    tg_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct tg_gguf *g;
    struct tg_error err;

    if (tg_gguf_read(bytes, size, &g, &err) < 0) return 0;
    use(g);
    use_tokenizer(g);
    tg_gguf_close(g);
    return 0;
}
