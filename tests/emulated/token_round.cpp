/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/token_round.cuh"

/* The norm and the rounding of a token by one block, of which no row of the table has any. */
extern "C" float tg_emulated_token_round(const float *x, const float *norm, int8_t *q)
{
    constexpr int THREADS = 128, COLS = 4 * THREADS;
    alignas(16) static struct tg_token_sums sums;
    float scale = 0;
    emulated_launch(dim3(1), dim3(THREADS), 0, [&] {
        float4 own = ((const float4 *)x)[threadIdx.x];
        const float4 weight = ((const float4 *)norm)[threadIdx.x];
        const struct tg_token token = tg_token_round<1, THREADS>(
            &own, &weight, true, COLS, 1e-5f, &sums,
            [&](int j, int32_t four) { ((int32_t *)q)[j] = four; });
        if (threadIdx.x == 0) scale = token.scale;
    });
    return scale;
}

extern "C" float tg_emulated_token_gate(int is_squared_relu, float gate, float up)
{
    return tg_token_gate(is_squared_relu, gate, up);
}
