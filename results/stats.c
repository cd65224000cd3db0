/* SPDX-License-Identifier: Apache-2.0 */
#include "results/stats.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static const double SLACK = 1e-9;

enum {
    MOST_COPIED = 1024, /* values that are copied to be sorted; of more, all is counted each time */
    FEW = 16            /* candidates that are gathered rather than halved again */
};

/*
 * Doubles numbered in their order, so that halving a range of numbers reaches any double in 64
 * steps and stops at an exact one: a search without tolerance, copy or sort.
 */
static uint64_t number_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static double double_of(uint64_t number)
{
    const uint64_t bits = number >> 63 ? number & ~(UINT64_C(1) << 63) : ~number;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Some numbers to be ranked: values, or the means of any two of them (Walsh averages). */
struct sample {
    const double *values;
    size_t count;
    bool is_walsh;
};

/* How many of the sample's numbers are at most `limit`, and the smallest that is above it. */
static size_t count_at_most(const struct sample *s, double limit, double *next)
{
    size_t at_most = 0;

    *next = INFINITY;
    for (size_t i = 0; i < s->count; i++) {
        const size_t last = s->is_walsh ? s->count - 1 : i;
        for (size_t k = i; k <= last; k++) {
            const double x = s->values[i] / 2 + s->values[k] / 2;
            if (x <= limit)
                at_most++;
            else if (x < *next)
                *next = x;
        }
    }
    return at_most;
}

/* The number of the sample that has rank `rank` (1 is the smallest) and the one that follows it. */
static double searched(const struct sample *s, size_t rank, double *following)
{
    uint64_t low = number_of(-DBL_MAX);
    uint64_t high = number_of(DBL_MAX);
    double next;

    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (count_at_most(s, double_of(middle), &next) >= rank)
            high = middle;
        else
            low = middle + 1;
    }
    const double found = double_of(low) + 0.0; /* a zero has no sign here */
    *following = count_at_most(s, found, &next) > rank ? found : next;
    return found;
}

double tg_stats_select(double *numbers, size_t count, size_t k)
{
    ptrdiff_t left = 0;
    ptrdiff_t right = (ptrdiff_t)count - 1;

    assert(k < count);
    while (left < right) {
        const double pivot = numbers[k];
        ptrdiff_t i = left;
        ptrdiff_t j = right;
        while (i <= j) {
            while (numbers[i] < pivot) i++;
            while (pivot < numbers[j]) j--;
            if (i > j) break;
            const double swapped = numbers[i];
            numbers[i++] = numbers[j];
            numbers[j--] = swapped;
        }
        if (j < (ptrdiff_t)k) left = i;
        if ((ptrdiff_t)k < i) right = j;
    }
    return numbers[k];
}

/* As searched, of numbers that may be moved. */
static double selected(double *numbers, size_t count, size_t rank, double *following)
{
    const double found = tg_stats_select(numbers, count, rank - 1) + 0.0;

    *following = INFINITY;
    for (size_t i = rank; i < count; i++)
        if (numbers[i] < *following) *following = numbers[i];
    return found;
}

/* Shell's sort, Commun. ACM 2 (1959) 30-32, with the gaps of Ciura (2001). */
static void sort(double *values, size_t count)
{
    static const size_t gaps[] = {301, 132, 57, 23, 10, 4, 1};

    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
        for (size_t i = gaps[g]; i < count; i++) {
            const double value = values[i];
            size_t place = i;
            for (; place >= gaps[g] && values[place - gaps[g]] > value; place -= gaps[g])
                values[place] = values[place - gaps[g]];
            values[place] = value;
        }
    }
}

/*
 * The means of two of `count` values, in rows: row i has halves[i] plus halves[i] and plus all that
 * follow. With the halves in ascending order, rows and columns ascend, also after rounding: numbers
 * below a limit are the beginning of each row, shorter from row to row, and one walk along that
 * edge counts them.
 */
struct triangle {
    double halves[MOST_COPIED]; /* of the values */
    size_t count;
    uint16_t from[MOST_COPIED], to[MOST_COPIED]; /* of each row, the columns still in question */
    uint16_t edge[MOST_COPIED];                  /* of each row, where the last walk went */
};

/* How many numbers are below the limit, or, with ties, at most it. */
static size_t walk(struct triangle *t, double limit, bool with_ties)
{
    size_t counted = 0;
    size_t end = t->count;

    for (size_t i = 0; i < t->count; i++) {
        const double half = t->halves[i];
        while (end > i) {
            const double x = half + t->halves[end - 1];
            if (x < limit || (with_ties && x == limit)) break;
            end--;
        }
        t->edge[i] = (uint16_t)(end > i ? end : i);
        counted += t->edge[i] - i;
    }
    return counted;
}

/* The smallest number from the given columns on. */
static double smallest_from(const struct triangle *t, const uint16_t *columns)
{
    double smallest = INFINITY;

    for (size_t i = 0; i < t->count; i++) {
        if (columns[i] == t->count) continue;
        const double x = t->halves[i] + t->halves[columns[i]];
        if (x < smallest) smallest = x;
    }
    return smallest;
}

/* The middle one of the row that has the middle one of `left` numbers in question. */
static double pick(const struct triangle *t, size_t left)
{
    size_t passed = 0;
    size_t i = 0;

    for (; passed + (size_t)(t->to[i] - t->from[i]) <= left / 2; i++)
        passed += t->to[i] - t->from[i];
    return t->halves[i] + t->halves[(t->from[i] + t->to[i]) / 2];
}

/* The number of that rank, where `below` are smaller than the `left` ones in question. */
static double gathered(const struct triangle *t, size_t rank, size_t below, double *following)
{
    double few[FEW];
    size_t count = 0;

    for (size_t i = 0; i < t->count; i++)
        for (size_t k = t->from[i]; k < t->to[i]; k++) few[count++] = t->halves[i] + t->halves[k];
    const double found = selected(few, count, rank - below, following);
    if (rank - below == count) *following = smallest_from(t, t->to);
    return found;
}

/*
 * The mean of two values that has rank `rank`, and the one that follows it: a number in question
 * is picked, all smaller ones and its equals are counted, and one side is dropped.
 *
 * Source: Johnson & Mizoguchi, SIAM J. Comput. 7 (1978) 147-153; Monahan, ACM Trans. Math. Softw.
 * 10 (1984) 265-270.
 */
static double walsh_ranked(const double *values, size_t count, size_t rank, double *following)
{
    struct triangle t;
    size_t left = count * (count + 1) / 2;
    size_t below = 0;

    memcpy(t.halves, values, count * sizeof *values);
    if (left > FEW) sort(t.halves, count);
    t.count = count;
    for (size_t i = 0; i < count; i++) {
        t.halves[i] /= 2;
        t.from[i] = (uint16_t)i;
        t.to[i] = (uint16_t)count;
    }
    while (left > FEW) {
        const double picked = pick(&t, left);
        const size_t smaller = walk(&t, picked, false);
        if (rank <= smaller) {
            memcpy(t.to, t.edge, count * sizeof *t.to);
            left = smaller - below;
            continue;
        }
        const size_t at_most = walk(&t, picked, true);
        if (rank <= at_most) {
            *following = rank < at_most ? picked : smallest_from(&t, t.edge);
            return picked + 0.0;
        }
        memcpy(t.from, t.edge, count * sizeof *t.from);
        left -= at_most - below;
        below = at_most;
    }
    return gathered(&t, rank, below, following);
}

/* The number of the sample that has rank `rank` (1 is the smallest) and the one that follows it. */
static double ranked(const struct sample *s, size_t rank, double *following)
{
    double copied[MOST_COPIED];

    if (s->count > MOST_COPIED) return searched(s, rank, following);
    if (s->is_walsh) return walsh_ranked(s->values, s->count, rank, following);
    memcpy(copied, s->values, s->count * sizeof *copied);
    return selected(copied, s->count, rank, following);
}

static double middle_of(const struct sample *s)
{
    const size_t numbers = s->is_walsh ? s->count * (s->count + 1) / 2 : s->count;
    double following;

    assert(s->count > 0);
    const double lower = ranked(s, (numbers + 1) / 2, &following);
    return numbers % 2 ? lower : lower / 2 + following / 2;
}

struct tg_interval tg_stats_ratios(struct tg_interval logarithms)
{
    /* expm1(-INFINITY) is -1, as if it were known that nothing can be less. */
    return (struct tg_interval){isfinite(logarithms.low) ? expm1(logarithms.low) : logarithms.low,
                                expm1(logarithms.high)};
}

bool tg_stats_is_over(double log_value, double log_line)
{
    return log_value > log_line + SLACK;
}

double tg_stats_median(const double *values, size_t count)
{
    return middle_of(&(struct sample){values, count, false});
}

double tg_stats_hodges_lehmann(const double *values, size_t count)
{
    return middle_of(&(struct sample){values, count, true});
}

double tg_stats_round_value(const struct tg_quad *quads, size_t count, double *values)
{
    for (size_t i = 0; i < count; i++) {
        const struct tg_quad *q = &quads[i];
        assert(q->head[0] > 0 && q->head[1] > 0 && q->base[0] > 0 && q->base[1] > 0);
        values[i] = (log(q->head[0]) + log(q->head[1]) - log(q->base[0]) - log(q->base[1])) / 2;
    }
    return tg_stats_median(values, count);
}

/* The logarithm of how many ways there are to choose `some` of `all`. */
static double log_choose(size_t some, size_t all)
{
    const size_t fewer = some < all - some ? some : all - some;
    double sum = 0;

    for (size_t i = 1; i <= fewer; i++) sum += log((double)(all - fewer + i) / (double)i);
    return sum;
}

/*
 * The logarithm of the chance of at most `events` in `trials`, each with chance p, where q = 1 - p
 * and log_ways = log_choose(events, trials). Adds the terms from the last one down, relative to it,
 * until they no longer count. May be too large, even infinite, where it should be 0.
 */
static double log_at_most(size_t events, size_t trials, double p, double q, double log_ways)
{
    const double last = log_ways + (double)events * log(p) + (double)(trials - events) * log(q);
    double term = 1;
    double sum = 1;

    for (size_t i = events; i > 0 && isfinite(sum); i--) {
        const double step = (double)i * q / ((double)(trials - i + 1) * p);
        term *= step;
        sum += term;
        if (step < 1 && term < sum * 1e-18) break;
    }
    return last + log(sum);
}

/*
 * One end of the Clopper-Pearson interval, not at 0 or 1: the chance under which as many events as
 * were seen or more (low end), or as many or fewer (high end), have a chance of `tail`.
 */
static double binomial_end(size_t events, size_t trials, double tail, bool is_high)
{
    const double log_ways = log_choose(events, trials);
    uint64_t low = number_of(DBL_MIN);
    uint64_t high = number_of(1);

    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const double p = double_of(middle);
        const bool is_past = is_high ? log_at_most(events, trials, p, 1 - p, log_ways) <= log(tail)
                                     : log_at_most(trials - events, trials, 1 - p, p, log_ways) >=
                                           log(tail);
        if (is_past)
            high = middle;
        else
            low = middle + 1;
    }
    return double_of(low);
}

struct tg_interval tg_stats_clopper_pearson(size_t events, size_t trials, double confidence)
{
    const double tail = (1 - confidence) / 2;

    assert(events <= trials && trials > 0);
    assert(confidence > 0 && confidence < 1);
    return (struct tg_interval){
        events == 0 ? 0 : binomial_end(events, trials, tail, false),
        events == trials ? 1 : binomial_end(events, trials, tail, true),
    };
}
