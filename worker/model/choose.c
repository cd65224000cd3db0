/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/choose.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/fill.h"
#include "kernels/vector.h"

struct candidate {
    float logit;
    int32_t id;
};

int32_t tg_choose_best(const float *logits, int64_t vocabulary)
{
    float most = -INFINITY;
    int64_t best = 0;
    for (int64_t i = 0; i < vocabulary; i++) {
        if (!(logits[i] > most)) continue;
        most = logits[i];
        best = i;
    }
    return (int32_t)best;
}

int tg_choose_check(const float *logits, int64_t vocabulary, struct tg_error *err)
{
    int64_t finite = 0;
    for (int64_t i = 0; i < vocabulary; i++) finite += isfinite(logits[i]) ? 1 : 0;
    return finite == vocabulary ? 0 : tg_fail(err, "a logit is not finite");
}

/* The better first; of equal ones the first of the vocabulary. */
static int by_logit(const void *a, const void *b)
{
    const struct candidate *one = a, *other = b;
    if (one->logit != other->logit) return one->logit > other->logit ? -1 : 1;
    return (one->id > other->id) - (one->id < other->id);
}

/* How many of the best there are until their shares sum up to top_p; at least one. */
static int64_t count_of(const float *shares, int64_t count, double top_p)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)shares[i];
        if (sum >= top_p) return i + 1;
    }
    return count;
}

static int64_t draw(const float *shares, int64_t count, uint64_t *seed)
{
    double total = 0, sum = 0;
    for (int64_t i = 0; i < count; i++) total += (double)shares[i];
    const double at = (double)(tg_fill_next(seed) >> 11) * 0x1p-53 * total;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)shares[i];
        if (at < sum) return i;
    }
    return count - 1;
}

int32_t tg_choose_token(const float *logits, int64_t vocabulary, struct tg_choice *choice,
                        struct tg_error *err)
{
    if (tg_choose_check(logits, vocabulary, err) < 0) return -1;
    if (choice->temperature <= 0) return tg_choose_best(logits, vocabulary);
    struct candidate *candidates = malloc((size_t)vocabulary * sizeof *candidates);
    float *shares = malloc((size_t)vocabulary * sizeof *shares);
    int32_t id = -1;
    if (candidates && shares) {
        int64_t count = choice->top_k > 0 && choice->top_k < vocabulary ? choice->top_k
                                                                        : vocabulary;
        for (int64_t i = 0; i < vocabulary; i++)
            candidates[i] = (struct candidate){logits[i], (int32_t)i};
        qsort(candidates, (size_t)vocabulary, sizeof *candidates, by_logit);
        /* Behind the best, so that a temperature just above 0 leaves 0 of it and -inf of others. */
        const double best = (double)candidates[0].logit;
        for (int64_t i = 0; i < count; i++)
            shares[i] = (float)(((double)candidates[i].logit - best) / choice->temperature);
        tg_vector_widest()->softmax(shares, count);
        count = count_of(shares, count, choice->top_p);
        id = candidates[draw(shares, count, &choice->seed)].id;
    } else {
        tg_fail(err, "out of memory");
    }
    free(candidates);
    free(shares);
    return id;
}
