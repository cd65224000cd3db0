/* SPDX-License-Identifier: Apache-2.0 */
#include <vector>

#include "kernels/cuda/decode_head.cuh"

/*
 * The last two kernels of a token, of which no row of the table has any: the head's logits of `x`,
 * and the token that is chosen.
 */
extern "C" int32_t tg_emulated_decode_head(const uint16_t *weights, const float *x, int rows,
                                           int cols, float *logits)
{
    const std::vector<float> norm(cols, 1.0f);
    std::vector<tg_best> best(TG_HEAD_BLOCKS * EMULATED_MULTIPROCESSORS);
    int32_t tokens[2] = {-1, -1}, position = 0;
    struct tg_decode_head p = {};
    p.weights = weights;
    p.norm = norm.data();
    p.x = x;
    p.logits = logits;
    p.best = best.data();
    p.tokens = tokens;
    p.position = &position;
    p.epsilon = 1e-5f;
    p.cols = cols;
    p.rows = rows;
    p.blocks = (int)best.size();
    tg_decode_head(&p, NULL);
    return position == 1 ? tokens[1] : -1;
}
