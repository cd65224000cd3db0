/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_accuracy.h"

#include <math.h>
#include <stdlib.h>

/* ln of the sum of exp, without overflow. */
static double log_sum(const float *x, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, (double)x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - most);
    return most + log(sum);
}

static double divergence_of(const float *x, const float *reference, int64_t n)
{
    double own = log_sum(x, n), theirs = log_sum(reference, n), sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double p = (double)reference[i] - theirs, q = (double)x[i] - own;
        sum += exp(p) * (p - q);
    }
    return fmax(sum, 0); /* what is below is rounding */
}

/* One position: its cosine, what its norm is of that wanted, and whether the best token is the
 * same.
 */
static double cosine_of(const float *x, const float *reference, int64_t n, double *scale,
                        bool *is_same)
{
    double product = 0, squares[2] = {0, 0};
    int64_t best = 0, wanted = 0;
    for (int64_t i = 0; i < n; i++) {
        product += (double)x[i] * (double)reference[i];
        squares[0] += (double)x[i] * (double)x[i];
        squares[1] += (double)reference[i] * (double)reference[i];
        if (x[i] > x[best]) best = i;
        if (reference[i] > reference[wanted]) wanted = i;
    }
    *is_same = best == wanted;
    *scale = sqrt(squares[0] / squares[1]);
    return product / sqrt(squares[0] * squares[1]);
}

void tg_model_accuracy_compare(const float *logits, const float *reference, int64_t positions,
                               int64_t vocabulary, struct tg_model_accuracy *accuracy)
{
    struct tg_model_accuracy a = {.cosine = 1, .scale = 1};
    for (int64_t p = 0; p < positions; p++) {
        const float *x = logits + p * vocabulary, *wanted = reference + p * vocabulary;
        bool is_same;
        double scale, cosine = cosine_of(x, wanted, vocabulary, &scale, &is_same);
        bool is_finite = isfinite(cosine);
        if (!is_finite) scale = INFINITY;
        if (fabs(log(scale)) > fabs(log(a.scale))) a.scale = scale;
        a.cosine = fmin(a.cosine, is_finite ? cosine : -1);
        a.agreement += is_finite && is_same;
        a.divergence += is_finite ? divergence_of(x, wanted, vocabulary) : INFINITY;
    }
    a.agreement /= (double)positions;
    a.divergence /= (double)positions;
    *accuracy = a;
}

/* On a device some of them together and the others one by one, which are two ways there. */
static int run_all(struct tg_session *s, const int32_t *tokens, int64_t count, int64_t together,
                   float *logits, struct tg_error *err)
{
    if (together <= 0) together = (count + 1) / 2;
    if (!s->device || together > count) together = count;
    tg_session_rewind(s, 0);
    if (tg_session_run_all(s, tokens, together, logits, err) < 0) return -1;
    for (int64_t i = together; i < count; i++)
        if (tg_session_run_all(s, tokens + i, 1, logits + i * s->network.vocabulary, err) < 0)
            return -1;
    return 0;
}

int tg_model_accuracy_measure(struct tg_session *s, const int32_t *tokens, int64_t count,
                              bool is_plain, struct tg_model_accuracy *accuracy,
                              struct tg_error *err)
{
    const struct tg_network *n = &s->network;
    const struct tg_forward_options options = {
        .context = count, .batch = count, .is_plain = is_plain};
    const size_t bytes = (size_t)(count * n->vocabulary) * sizeof(float);
    float *logits = malloc(bytes), *wanted = malloc(bytes);
    struct tg_forward *forward = NULL;
    int rc = logits && wanted ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) rc = tg_forward_open(n, &s->weights, s->pool, &options, &forward, err);
    if (rc == 0) rc = tg_forward_run(forward, tokens, count, wanted, count, err);
    if (rc == 0) rc = run_all(s, tokens, count, accuracy->together, logits, err);
    if (rc == 0) tg_model_accuracy_compare(logits, wanted, count, n->vocabulary, accuracy);
    tg_forward_close(forward);
    free(logits);
    free(wanted);
    return rc;
}
