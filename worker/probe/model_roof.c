/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_roof.h"

#include <math.h>
#include <stdio.h>

#include "worker/probe/roof.h"

/* Multiply-adds of int8 that one token needs. */
static double multiply_adds(const struct tg_session *s)
{
    double sum = 0;
    for (int64_t i = 0; i < s->weights.count; i++)
        sum += (double)s->weights.matrices[i].rows * (double)s->weights.matrices[i].cols;
    return sum;
}

static void limit(const struct tg_session *s, const struct tg_profile *p, struct tg_facts *facts)
{
    const double token_s = (double)tg_session_token_bytes(s, p->prompt) / facts->read_rate;
    const double read_s = (double)facts->packed_bytes / facts->read_rate;
    const double dot_s = facts->dot_rate > 0
                             ? multiply_adds(s) * (double)p->prompt / facts->dot_rate
                             : 0;
    const double prompt_s = fmax(read_s, dot_s);
    const bool is_prompt = p->call == TG_CALL_PREFILL || p->call == TG_CALL_TEXT;
    facts->limit_s = is_prompt                  ? prompt_s
                     : p->call == TG_CALL_TOKEN ? token_s
                                                : prompt_s + (double)(p->tokens - 1) * token_s;
    snprintf(facts->limited_by, sizeof facts->limited_by, "%s",
             is_prompt && dot_s > read_s ? "dot" : "read");
}

void tg_model_roof_measure(struct tg_session *s, const struct tg_model_device *device,
                           const struct tg_profile *p, struct tg_facts *facts)
{
    if (device->device) {
        tg_model_device_rates(device, facts);
    } else {
        facts->read_rate = tg_session_read_rate(s);
        facts->dot_rate = tg_roof_dot_rate(s->pool);
        tg_pool_rest(s->pool);
    }
    if (facts->read_rate > 0) limit(s, p, facts);
}
