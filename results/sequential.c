/* SPDX-License-Identifier: Apache-2.0 */
#include "results/sequential.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* What is staked on each round, as a share of what is there; their mean spares choosing one. */
const double tg_sequential_stakes[TG_SEQUENTIAL_STAKES] = {.1, .3, .5, .75, .9, .99};

const double tg_sequential_score_scale = 0.8;
const double tg_sequential_prior = 0.1; /* precision of theta / sd: about 3 is expected */

static const double LARGEST = 1e100; /* its square is finite, and sums of it */
static const double TIE = 1e-9;      /* as of lines: what is that close to the floor is at it */

static double clip(double value, double limit)
{
    return fmax(-limit, fmin(limit, value));
}

/* The median of numbers in ascending order; 0 of none. */
static double median_of_sorted(const double *sorted, size_t count)
{
    if (count == 0) return 0;
    return sorted[(count - 1) / 2] / 2 + sorted[count / 2] / 2;
}

void tg_sequential_symmetry_init(struct tg_symmetry *s, double floor, double *distances,
                                 size_t room)
{
    *s = (struct tg_symmetry){.floor = floor, .distances = distances, .room = room};
}

/* The score of a shift from the floor, from the rounds before it only: the bet must be placed
 * blind. */
static double score(const struct tg_symmetry *s, double shift)
{
    const double scale = tg_sequential_score_scale * median_of_sorted(s->distances, s->rounds);

    if (s->rounds < 2) return shift > 0 ? 1 : -1;
    if (scale > 0) return clip(shift / scale, 1);
    return (shift > 0) - (shift < 0);
}

static void insert_distance(struct tg_symmetry *s, double distance)
{
    size_t place = s->rounds;

    while (place > 0 && s->distances[place - 1] > distance) place--;
    memmove(&s->distances[place + 1], &s->distances[place],
            (s->rounds - place) * sizeof *s->distances);
    s->distances[place] = distance;
    s->rounds++;
}

/* The logarithm of the mean of the products, measured from the largest so that nothing overflows.
 */
static double log_mean(const double *log_products)
{
    double largest = log_products[0];
    double sum = 0;

    for (size_t i = 1; i < TG_SEQUENTIAL_STAKES; i++) largest = fmax(largest, log_products[i]);
    for (size_t i = 0; i < TG_SEQUENTIAL_STAKES; i++) sum += exp(log_products[i] - largest);
    return largest + log(sum / TG_SEQUENTIAL_STAKES);
}

double tg_sequential_symmetry_add(struct tg_symmetry *s, double d)
{
    assert(isfinite(d) && s->rounds < s->room);
    const double shift = fabs(d - s->floor) < TIE ? 0 : clip(d - s->floor, DBL_MAX);
    const double z = score(s, shift);

    for (size_t i = 0; i < TG_SEQUENTIAL_STAKES; i++)
        s->log_products[i] += log1p(tg_sequential_stakes[i] * z);
    insert_distance(s, fabs(shift));
    return log_mean(s->log_products);
}

void tg_sequential_student_add(struct tg_student *t, double d)
{
    assert(isfinite(d));
    const double value = clip(d, LARGEST);
    const double step = value - t->mean;

    t->rounds++;
    t->mean += step / (double)t->rounds;
    t->squares += step * (value - t->mean);
}

/*
 * With the gap g between mean and centre, S = n g and V = squares + n g^2, so that the formula's
 * denominator becomes (n + c2) squares + c2 n g^2: a sum, where S and V would leave a difference of
 * nearly equal numbers when rounds hardly vary.
 */
double tg_sequential_student_log_e(const struct tg_student *t, double centre)
{
    const double n = (double)t->rounds;
    const double gap = clip(t->mean - centre, LARGEST);
    const double numerator = (n + tg_sequential_prior) * (t->squares + n * gap * gap);
    const double denominator = (n + tg_sequential_prior) * t->squares +
                               tg_sequential_prior * n * gap * gap;
    const double prior = 0.5 * log(tg_sequential_prior / (n + tg_sequential_prior));

    if (!(denominator > 0)) return prior;
    return prior + 0.5 * n * log(numerator / denominator);
}

bool tg_sequential_student_is_below(const struct tg_student *t, double margin, double log_line)
{
    return t->mean < margin && tg_stats_is_over(tg_sequential_student_log_e(t, margin), log_line);
}

struct tg_interval tg_sequential_student_interval(const struct tg_student *t, double confidence)
{
    const double n = (double)t->rounds;
    const double alpha = 1 - confidence;

    assert(confidence > 0 && confidence < 1);
    if (t->rounds == 0) return (struct tg_interval){-INFINITY, INFINITY};
    const double k = -expm1(
        (2 * log(alpha) + log(tg_sequential_prior / (n + tg_sequential_prior))) / n);
    const double denominator = n * (n / (n + tg_sequential_prior) - k);
    if (!(denominator > 0)) return (struct tg_interval){-INFINITY, INFINITY};
    const double half = sqrt(t->squares * k / denominator);
    return (struct tg_interval){t->mean - half, t->mean + half};
}
