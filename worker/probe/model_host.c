/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_host.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "worker/probe/model_accuracy.h"

#define BLOCK_COSINE 0.999
#define WHOLE_COSINE 0.98
#define SCALE_MOST   1.1

/* What is compared, and how it is called. */
struct text {
    const int32_t *tokens;
    int64_t count, together;
    const char *what;
};

static int compare(struct tg_session *s, const struct text *text, double least,
                   struct tg_model_host *host, struct tg_error *err)
{
    struct tg_model_accuracy a = {.together = text->together};
    if (tg_model_accuracy_measure(s, text->tokens, text->count, false, &a, err) < 0) return -1;
    host->checked += text->count * s->network.vocabulary;
    if (a.cosine >= least && fabs(log(a.scale)) <= log(SCALE_MOST)) return 0;
    int used = snprintf(host->reason, sizeof host->reason,
                        "its logits are not those of the host: %s, a cosine of %.6f", text->what,
                        a.cosine);
    if (a.cosine >= least)
        snprintf(host->reason + used, sizeof host->reason - (size_t)used,
                 ", and %.4g times as large", a.scale);
    return 0;
}

/* A model of one block of this one, which is on the device beside it for so long. */
static int compare_block(const struct tg_session *s, int64_t block, const struct text *text,
                         struct tg_model_host *host, struct tg_error *err)
{
    const struct tg_forward_options options = {
        .context = text->count, .batch = text->together, .product = s->product};
    struct tg_session one = *s;
    struct text named = *text;
    char what[80];
    one.network.layers = 1;
    one.network.blocks += block;
    one.weights.matrices += block * TG_LAYERS;
    one.weights.count = TG_LAYERS;
    if (one.device->open(&one.network, &one.weights, &options, &one.on_device, err) < 0) return -1;
    snprintf(what, sizeof what, "block %" PRId64 " by itself%s", block, text->what);
    named.what = what;
    int rc = compare(&one, &named, BLOCK_COSINE, host, err);
    one.device->close(one.on_device);
    return rc;
}

int tg_model_host_compare(struct tg_session *s, const int32_t *tokens, int64_t count,
                          struct tg_model_host *host, struct tg_error *err)
{
    const int64_t few = count < TG_MODEL_HOST_TOKENS ? count : TG_MODEL_HOST_TOKENS;
    const struct text begun = {tokens, few, (few + 1) / 2, ""};
    const struct text all = {tokens, few, (few + 1) / 2, "all blocks"};
    const struct text whole = {tokens, count, host->together, ", on a text that goes on"};
    const int64_t one = (int64_t)(host->draw % (uint64_t)s->network.layers);
    assert(s->device && count <= TG_MODEL_HOST_LONG);
    host->checked = 0;
    host->reason[0] = 0;
    for (int64_t i = 0; i < s->network.layers && !*host->reason; i++)
        if ((host->is_complete || i == one) && compare_block(s, i, &begun, host, err) < 0)
            return -1;
    if (!*host->reason && compare(s, &all, WHOLE_COSINE, host, err) < 0) return -1;
    if (!*host->reason && host->is_complete && compare_block(s, one, &whole, host, err) < 0)
        return -1;
    tg_session_rewind(s, 0);
    return 0;
}
