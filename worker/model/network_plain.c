/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "worker/model/network.h"

/* Ternary matrices whose numbers are written out: network.h. */

/* A whole number of blocks of any type that is read here. */
enum { CHUNK = 256 };

bool tg_network_is_plain(const struct tg_gguf_tensor *t)
{
    static const char *const names[] = {"F32", "F16", "BF16"};
    for (size_t i = 0; t->type && i < sizeof names / sizeof *names; i++)
        if (strcmp(t->type->name, names[i]) == 0) return true;
    return false;
}

/* Some numbers from `at` on, of at most CHUNK; returns how many. */
static int64_t some(const struct tg_gguf_tensor *t, int64_t at, float *numbers)
{
    const int64_t left = t->dimensions[0] * t->dimensions[1] - at;
    const int64_t count = left < CHUNK ? left : CHUNK;
    tg_tensor_type_decode(t->type, t->data + at * t->type->block_bytes, count, numbers);
    return count;
}

float tg_network_plain_scale(const struct tg_gguf_tensor *t)
{
    float numbers[CHUNK];
    for (int64_t at = 0, count; (count = some(t, at, numbers)) > 0; at += count)
        for (int64_t i = 0; i < count; i++)
            if (numbers[i] != 0) return fabsf(numbers[i]);
    return 0;
}

int tg_network_plain_unpack(const struct tg_gguf_tensor *t, int8_t *ternary, struct tg_error *err)
{
    const float scale = tg_network_plain_scale(t);
    float numbers[CHUNK];
    for (int64_t at = 0, count; (count = some(t, at, numbers)) > 0; at += count)
        for (int64_t i = 0; i < count; i++) {
            ternary[at + i] = (int8_t)((numbers[i] == scale) - (numbers[i] == -scale));
            if (ternary[at + i] == 0 && numbers[i] != 0)
                return tg_fail(err,
                               "tensor '%.*s' is %s and not ternary: row %" PRId64
                               " column %" PRId64 " is %g, and others are %g",
                               (int)t->name.size, t->name.bytes, t->type->name,
                               (at + i) / t->dimensions[0], (at + i) % t->dimensions[0],
                               (double)numbers[i], (double)scale);
        }
    return 0;
}
