/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sampler.h"

#include <math.h>
#include <stdbool.h>

#include "kernels/fill.h"

#define CALLS_MOST 1000000
#define SLOW       10 /* rounds that one quad takes: then one is enough of a side that is alone */
#define LONGEST    50 /* samples of the slower side take at most so many times sample_s */

static int64_t calls_of(double sample_s, double call_s)
{
    double calls = call_s > 0 ? ceil(sample_s / call_s) : CALLS_MOST;
    return calls < 1 ? 1 : calls > CALLS_MOST ? CALLS_MOST : (int64_t)calls;
}

struct tg_sampling tg_sampler_plan(const struct tg_limits *limits, const double call_s[2],
                                   const double beside_s[2], int same_kernel, int untimed)
{
    struct tg_sampling plan = {.calls = {calls_of(limits->sample_s, call_s[0]), 0}};
    double quad_s = 0;
    if (call_s[1] > 0) plan.calls[1] = calls_of(limits->sample_s, call_s[1]);
    if (same_kernel && plan.calls[1] > 0) {
        int64_t most = plan.calls[0] > plan.calls[1] ? plan.calls[0] : plan.calls[1];
        double slower_s = call_s[0] > call_s[1] ? call_s[0] : call_s[1];
        int64_t bound = calls_of(LONGEST * limits->sample_s, slower_s);
        if (most > bound) most = bound;
        plan.calls[0] = plan.calls[1] = most;
    }
    for (int side = 0; side < 2; side++)
        if (plan.calls[side])
            quad_s += 2 * ((double)(plan.calls[side] + untimed) * call_s[side] + beside_s[side]);
    if (!plan.calls[1]) quad_s *= 2; /* alone, it takes all four samples */
    double quads = quad_s > 0 ? floor(limits->round_s / quad_s) : 0;
    const bool is_slow_alone = !plan.calls[1] && quad_s > SLOW * limits->round_s;
    const double least = is_slow_alone ? 1 : (double)limits->quads_min;
    if (quads < least) quads = least;
    if (quads > (double)limits->quads_max) quads = (double)limits->quads_max;
    /* The other half is for a machine that is busier by then: no kernel is late for that. */
    const double most = quad_s > 0 ? floor(limits->deadline_s / 2 / quad_s) : quads;
    if (quads > most) quads = fmax(most, 1);
    plan.quads = (int64_t)quads;
    plan.quad_s = quad_s;
    return plan;
}

int tg_sampler_blame(const struct tg_limits *limits, const double call_s[2],
                     const double beside_s[2], int same_kernel, int untimed)
{
    const int slower = call_s[1] > call_s[0];
    const double other_s = call_s[1 - slower], both_s[2] = {other_s, other_s};
    if (!(other_s > 0)) return -1;
    const struct tg_sampling plan = tg_sampler_plan(limits, both_s, beside_s, same_kernel, untimed);
    return plan.quad_s > limits->deadline_s ? -1 : slower;
}

void tg_sampler_draw(uint64_t *state, int64_t quads, int sides, uint8_t *order)
{
    for (int64_t q = 0; q < quads; q++) {
        uint8_t first = sides == 2 ? (uint8_t)(tg_fill_next(state) >> 63) : 0;
        uint8_t second = sides == 2 ? (uint8_t)(1 - first) : 0;
        order[4 * q] = order[4 * q + 3] = first;
        order[4 * q + 1] = order[4 * q + 2] = second;
    }
}
