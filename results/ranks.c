/* SPDX-License-Identifier: Apache-2.0 */
#include "results/ranks.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Both are one question: of some numbers, made of pairs of values, how many lie below 0? Where
 * nothing is to be seen that many has a known law, symmetric over 0 to count, and chances[k] is the
 * chance of exactly k.
 */
struct pairs {
    double *numbers;
    double *chances; /* count + 1 of them */
    size_t count;
};

static int make_pairs(size_t count, struct pairs *p, struct tg_error *err)
{
    p->count = count;
    p->numbers = calloc(count + 1, sizeof *p->numbers);
    p->chances = calloc(count + 1, sizeof *p->chances);
    if (p->numbers && p->chances) return 0;
    free(p->numbers);
    free(p->chances);
    return tg_fail(err, "out of memory");
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The answer that the pairs give, which are freed. */
static void answer_pairs(struct pairs *p, double confidence, struct tg_rank_answer *answer)
{
    const double tail = (1 - confidence) / 2 * (1 + 1e-12); /* equal is meant to count as at most */
    double below = 0, sum = 0;
    size_t cut = 0;

    assert(confidence > 0 && confidence < 1 && p->count > 0);
    qsort(p->numbers, p->count, sizeof *p->numbers, by_size);
    for (size_t i = 0; i < p->count; i++)
        below += p->numbers[i] < 0 ? 1 : p->numbers[i] > 0 ? 0 : 0.5;
    const double fewer = ceil(fmin(below, (double)p->count - below));
    answer->p_value = 0;
    for (size_t k = 0; k <= p->count; k++) {
        if ((double)k <= fewer) answer->p_value += 2 * p->chances[k];
        sum += p->chances[k];
        if (sum <= tail) cut = k + 1;
    }
    answer->p_value = fmin(1, answer->p_value);
    answer->estimate = tg_stats_median(p->numbers, p->count);
    answer->interval = cut == 0
                           ? (struct tg_interval){-INFINITY, INFINITY}
                           : (struct tg_interval){p->numbers[cut - 1], p->numbers[p->count - cut]};
    free(p->numbers);
    free(p->chances);
}

int tg_ranks_centre(const double *values, size_t count, double confidence,
                    struct tg_rank_answer *answer, struct tg_error *err)
{
    struct pairs p;
    size_t made = 0;

    if (make_pairs(count * (count + 1) / 2, &p, err) < 0) return -1;
    for (size_t i = 0; i < count; i++)
        for (size_t k = i; k < count; k++) p.numbers[made++] = values[i] / 2 + values[k] / 2;
    /* Each rank 1 to count is on the lower side or not, by a fair coin. */
    p.chances[0] = 1;
    for (size_t rank = 1, top = 0; rank <= count; rank++) {
        top += rank;
        for (size_t k = top + 1; k-- > 0;)
            p.chances[k] = p.chances[k] / 2 + (k >= rank ? p.chances[k - rank] / 2 : 0);
    }
    answer_pairs(&p, confidence, answer);
    return 0;
}

/*
 * The law of how many of before x after pairs are out of order. With ways(m, n, u) orders of m and
 * n values that have u such pairs, the last value is either of `before`, and out of order with all
 * n others, or of `after`: ways(m, n, u) = ways(m - 1, n, u - n) + ways(m, n - 1, u). Here as
 * chances, in a table of one n.
 */
static int rank_sum_law(size_t m_count, size_t n_count, double *chances, struct tg_error *err)
{
    const size_t width = m_count * n_count + 1;
    double *table = calloc((m_count + 1) * width, sizeof *table);
    if (!table) return tg_fail(err, "out of memory");
    for (size_t m = 0; m <= m_count; m++) table[m * width] = 1; /* n is 0 */
    for (size_t n = 1; n <= n_count; n++)
        for (size_t m = 1; m <= m_count; m++) {
            const double share = (double)m / (double)(m + n);
            double *row = table + m * width;
            const double *less = row - width;
            for (size_t u = 0; u <= m * n; u++)
                row[u] = (1 - share) * row[u] + (u >= n ? share * less[u - n] : 0);
        }
    memcpy(chances, table + m_count * width, width * sizeof *chances);
    free(table);
    return 0;
}

int tg_ranks_shift(const double *before, size_t before_count, const double *after,
                   size_t after_count, double confidence, struct tg_rank_answer *answer,
                   struct tg_error *err)
{
    struct pairs p;
    size_t made = 0;

    if (make_pairs(before_count * after_count, &p, err) < 0) return -1;
    if (rank_sum_law(before_count, after_count, p.chances, err) < 0) {
        free(p.numbers);
        free(p.chances);
        return -1;
    }
    for (size_t i = 0; i < before_count; i++)
        for (size_t k = 0; k < after_count; k++) p.numbers[made++] = after[k] - before[i];
    answer_pairs(&p, confidence, answer);
    return 0;
}
