/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/forecast.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#include "results/distributions.h"
#include "results/sequential.h"
#include "results/stats.h"

enum {
    NODES = 12,         /* of the quadrature over scores between -1 and 1 */
    SCORES = NODES + 2, /* and the two ends, where scores are cut */
    MOST_ROUNDS_OF_SPREAD = 256,
    FORTUNES = 5,
    SPREADS = 3
};

static const double MOST_ROUNDS = 1e9;  /* more are never */
static const double LARGEST_SHIFT = 64; /* in sd: with more, no round is ever lost */
static const double EXPECTED_ROUNDS = 4;

/* Gauss and Legendre's nodes and weights, the positive half: Abramowitz & Stegun, table 25.4. */
static const double NODE[NODES / 2] = {0.125233408511469, 0.367831498998180, 0.587317954286617,
                                       0.769902674194305, 0.904117256370475, 0.981560634246719};
static const double WEIGHT[NODES / 2] = {0.249147045813403, 0.233492536538355, 0.203167426723066,
                                         0.160078328543346, 0.106939325995318, 0.047175336386512};

/* The normal quantiles of .1, .3, .5, .7 and .9. */
static const double fortunes[FORTUNES] = {-1.2815515655446, -0.524400512708041, 0,
                                          0.524400512708041, 1.2815515655446};

/* Scores at which the law of a round is looked at, and the logarithms of what stakes then pay. */
struct bets {
    double scores[SCORES]; /* the nodes, then -1 and 1 */
    double logs[TG_SEQUENTIAL_STAKES][SCORES];
};

/* What a round adds to the logarithm of each stake's product. */
struct growth {
    double mean[TG_SEQUENTIAL_STAKES];
    double sd[TG_SEQUENTIAL_STAKES];
    double start[TG_SEQUENTIAL_STAKES]; /* the first two, whose score is a sign, add so much more */
};

static struct bets place_bets(void)
{
    struct bets b;

    for (int i = 0; i < NODES / 2; i++) {
        b.scores[2 * i] = -NODE[i];
        b.scores[2 * i + 1] = NODE[i];
    }
    b.scores[NODES] = -1;
    b.scores[NODES + 1] = 1;
    for (int l = 0; l < TG_SEQUENTIAL_STAKES; l++)
        for (int i = 0; i < SCORES; i++)
            b.logs[l][i] = log1p(tg_sequential_stakes[l] * b.scores[i]);
    return b;
}

static double density(double z)
{
    return 0.39894228040143268 * exp(-0.5 * z * z);
}

/* The median of |X| for X ~ N(shift, 1), shift at least 0, by Newton's method. */
static double median_distance(double shift)
{
    double m = hypot(0.67448975019608174, shift);

    for (int i = 0; i < 8; i++) {
        const double excess = tg_distributions_normal_tail(shift - m) -
                              tg_distributions_normal_tail(shift + m) - 0.5;
        const double step = excess / (density(m - shift) + density(m + shift));
        m -= step;
        if (fabs(step) < 1e-7) break;
    }
    return m;
}

/* The growth where theta lies `shift` (at least 0) standard deviations above the floor. */
static struct growth grow(const struct bets *b, double shift)
{
    const double scale = tg_sequential_score_scale * median_distance(shift);
    const double up = tg_distributions_normal_tail(-shift);
    struct growth g;
    double chances[SCORES];
    double all = 0;

    for (int i = 0; i < NODES; i++)
        chances[i] = WEIGHT[i / 2] * scale * density(scale * b->scores[i] - shift);
    chances[NODES] = tg_distributions_normal_tail(shift + scale);
    chances[NODES + 1] = tg_distributions_normal_tail(scale - shift);
    for (int i = 0; i < SCORES; i++) all += chances[i];
    for (int l = 0; l < TG_SEQUENTIAL_STAKES; l++) {
        const double *logs = b->logs[l];
        double mean = 0;
        double square = 0;
        for (int i = 0; i < SCORES; i++) {
            mean += chances[i] / all * logs[i];
            square += chances[i] / all * logs[i] * logs[i];
        }
        g.mean[l] = mean;
        g.sd[l] = sqrt(fmax(0, square - mean * mean));
        g.start[l] = 2 * (up * logs[NODES + 1] + (1 - up) * logs[NODES] - mean);
    }
    return g;
}

/*
 * Whether E+ has crossed its line within n rounds with the chance of being more than -z, z standard
 * normal. A path that was over the line may be under it again at n: of one with drift that ends x
 * spreads above a line which was l spreads above its start, the share Phi(-x) - exp(2 l (x + l))
 * Phi(-x - 2 l), about Phi(-x - 1 / (x + 2 l)), never was over it. So z may be smaller by that
 * much.
 */
static bool is_over_after(const struct growth *g, double log_line, double n, double z)
{
    const double far = 2 * (log_line + log(TG_SEQUENTIAL_STAKES));
    double logs[TG_SEQUENTIAL_STAKES];
    double largest = -INFINITY;
    double sum = 0;

    for (int l = 0; l < TG_SEQUENTIAL_STAKES; l++) {
        const double spread = sqrt(n) * g->sd[l];
        const double before = spread * spread / (far + fmax(z, 0) * spread);
        logs[l] = n * g->mean[l] + g->start[l] - z * spread + before;
        largest = fmax(largest, logs[l]);
    }
    for (int l = 0; l < TG_SEQUENTIAL_STAKES; l++) sum += exp(logs[l] - largest);
    return largest + log(sum / TG_SEQUENTIAL_STAKES) >= log_line;
}

/* How many sd lie between two values; without noise they are as far apart as can be. */
static double standardised(double distance, double sd)
{
    if (distance == 0) return 0;
    return fmax(-LARGEST_SHIFT, fmin(LARGEST_SHIFT, distance / fmax(sd, 0)));
}

/*
 * Whether E- has crossed its line within n (at least 2) rounds. It is over it where
 *
 *   margin - mean >= k spread,  k^2 = (n - 1) (n + c2) (r - 1) / (n (n + c2 - c2 r)),
 *   r = exp(2 l / n),  l = log line + ln((n + c2) / c2) / 2.
 *
 * The variance of mean + k spread is that of the mean, sd^2 / n, and k^2 sd^2 / (2 (n - 1)). The
 * line bends, and its tangent at n lies about sqrt(2 l) / 2 spreads above the start of a path; z is
 * smaller as in is_over_after.
 */
static bool is_clean_after(const struct tg_outlook *o, double theta, double n, double z)
{
    const double c2 = tg_sequential_prior;
    const double twice = 2 * o->log_clean_line + log((n + c2) / c2);
    const double r = exp(twice / n);
    const double room = n + c2 - c2 * r;

    if (!(room > 0)) return false;
    const double k2 = (n - 1) * (n + c2) * (r - 1) / (n * room);
    const double before = 1 / (sqrt(fmax(twice, 0)) + fmax(z, 0));
    return o->margin - theta >=
           o->sd * (sqrt(k2) + (z - before) * sqrt(1 / n + k2 / (2 * (n - 1))));
}

/* What is asked of a number of rounds: E+ if there is a growth, else E-. */
struct question {
    const struct tg_outlook *outlook;
    const struct growth *growth;
    double theta, z;
};

static bool is_enough(const struct question *q, double n)
{
    if (!q->growth) return is_clean_after(q->outlook, q->theta, n, q->z);
    return is_over_after(q->growth, q->outlook->log_fail_line, n, q->z);
}

/* The fewest whole rounds that are enough, from `least` on: by doubling, then halving. */
static double fewest(const struct question *q, double least)
{
    double low = least - 1;
    double high = least;

    while (!is_enough(q, high)) {
        low = high;
        high *= 2;
        if (high > MOST_ROUNDS) return INFINITY;
    }
    while (high - low > 1) {
        const double middle = floor((low + high) / 2);
        if (is_enough(q, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

static double fail_rounds(const struct tg_outlook *o, const struct growth *g, double z)
{
    return fewest(&(struct question){o, g, 0, z}, 1);
}

static double clean_rounds(const struct tg_outlook *o, double theta, double z)
{
    if (!(theta < o->margin)) return INFINITY;
    return fewest(&(struct question){o, NULL, theta, z}, fmax(2, (double)o->rounds_min));
}

double tg_forecast_fail_rounds(const struct tg_outlook *o, double theta, double power)
{
    const double shift = standardised(theta - o->floor, o->sd);

    if (!(shift > 0)) return INFINITY;
    const struct bets bets = place_bets();
    const struct growth growth = grow(&bets, shift);
    return fail_rounds(o, &growth, tg_distributions_normal_quantile(power));
}

double tg_forecast_clean_rounds(const struct tg_outlook *o, double theta, double power)
{
    return clean_rounds(o, theta, tg_distributions_normal_quantile(power));
}

double tg_forecast_effect(const struct tg_outlook *o, double rounds, double power)
{
    const struct bets bets = place_bets();
    const double z = tg_distributions_normal_quantile(power);
    const double n = floor(fmax(rounds, 0));
    struct growth growth = grow(&bets, LARGEST_SHIFT);
    double low = 0;
    double high = LARGEST_SHIFT;

    if (n < 1 || !is_over_after(&growth, o->log_fail_line, n, z)) return INFINITY;
    for (int i = 0; i < 14; i++) { /* to some thousandths of itself */
        const double middle = low > 0 ? sqrt(low * high) : high / 8;
        growth = grow(&bets, middle);
        if (is_over_after(&growth, o->log_fail_line, n, z))
            high = middle;
        else
            low = middle;
    }
    return o->floor + high * o->sd;
}

double tg_forecast_rounds(const struct tg_outlook *o, double theta)
{
    const double shift = standardised(theta - o->floor, o->sd);
    struct growth growth;
    double sum = 0;

    if (shift > 0) {
        const struct bets bets = place_bets();
        growth = grow(&bets, shift);
    }
    for (int i = 0; i < FORTUNES; i++) {
        const double fail = shift > 0 ? fail_rounds(o, &growth, fortunes[i]) : INFINITY;
        sum += fmin(fail, clean_rounds(o, theta, -fortunes[i])) / FORTUNES;
    }
    return sum;
}

/* One of the futures of an open test: a truth that the rounds seen leave open. */
struct truth {
    double theta, sd;
    struct growth growth; /* of E+, where theta is above the floor */
    bool may_fail;
};

/* An open test, and its futures. */
struct open {
    const struct tg_outlook *outlook;
    const struct tg_student *seen;
    double log_rest; /* what E+ lacks */
    struct truth truths[SPREADS * FORTUNES];
};

/* The noise of a variance that was estimated with so many degrees of freedom: Wilson & Hilferty's
 * quantiles of chi square, Proc. Natl. Acad. Sci. USA 17 (1931) 684-688. */
static double possible_sd(double sd, double df, double z)
{
    const double root = 1 - 2 / (9 * df) + z * sqrt(2 / (9 * df));
    return sd / sqrt(root * root * root);
}

static void imagine(struct open *open)
{
    /* the normal quantiles of 1/6, 1/2 and 5/6 */
    static const double spreads[SPREADS] = {-0.967421566101701, 0, 0.967421566101701};
    const double n = (double)open->seen->rounds;
    const double sd = fmax(sqrt(open->seen->squares / (n - 1)), open->outlook->sd);
    const struct bets bets = place_bets();

    for (int i = 0; i < SPREADS * FORTUNES; i++) {
        struct truth *t = &open->truths[i];
        t->sd = possible_sd(sd, n - 1, spreads[i / FORTUNES]);
        t->theta = open->seen->mean + fortunes[i % FORTUNES] * t->sd / sqrt(n);
        const double shift = standardised(t->theta - open->outlook->floor, t->sd);
        t->may_fail = shift > 0;
        if (t->may_fail) t->growth = grow(&bets, shift);
    }
}

/* Whether E- is over its line after m rounds more whose mean is z standard errors off. */
static bool is_clean_later(const struct open *open, const struct truth *t, double m, double z)
{
    const struct tg_outlook *o = open->outlook;
    const double n = (double)open->seen->rounds;
    const double later = t->theta + z * t->sd / sqrt(m);
    const double step = later - open->seen->mean;
    const double mean = open->seen->mean + step * m / (n + m);
    const double squares = open->seen->squares + (m - 1) * t->sd * t->sd +
                           step * step * n * m / (n + m);
    const struct tg_student all = {open->seen->rounds + (size_t)m, mean, fmax(0, squares)};
    return n + m >= (double)o->rounds_min &&
           tg_sequential_student_is_below(&all, o->margin, o->log_clean_line);
}

/* The share of the futures that are decided after m rounds more. */
static double share_decided(const struct open *open, double m)
{
    int decided = 0;

    for (int i = 0; i < SPREADS * FORTUNES; i++)
        for (int k = 0; k < FORTUNES; k++) {
            const struct truth *t = &open->truths[i];
            decided += (t->may_fail &&
                        is_over_after(&t->growth, open->log_rest, m, -fortunes[k])) ||
                       is_clean_later(open, t, m, fortunes[k]);
        }
    return (double)decided / (SPREADS * FORTUNES * FORTUNES);
}

/* The fewest rounds more after which so large a share is decided. */
static double rounds_until(const struct open *open, double share)
{
    double low = 0;
    double high = 1;

    while (share_decided(open, high) < share) {
        low = high;
        high *= 2;
        if (high > MOST_ROUNDS) return INFINITY;
    }
    while (high - low > 1) {
        const double middle = floor((low + high) / 2);
        if (share_decided(open, middle) >= share)
            high = middle;
        else
            low = middle;
    }
    return high;
}

struct tg_interval tg_forecast_rest(const struct tg_outlook *o, const struct tg_student *seen,
                                    double log_fail)
{
    struct open open = {.outlook = o, .seen = seen};

    open.log_rest = fmax(0, o->log_fail_line - log_fail);
    if (seen->rounds < 2) { /* a round doubles E+ at most */
        const double clean = (double)o->rounds_min - (double)seen->rounds;
        const double least = fmin(clean, ceil(open.log_rest / 0.69314718055994531));
        return (struct tg_interval){fmax(1, least), INFINITY};
    }
    imagine(&open);
    return (struct tg_interval){rounds_until(&open, 0.1), rounds_until(&open, 0.9)};
}

/* Of 2 to MOST_ROUNDS_OF_SPREAD values. */
static double robust_sd(const double *values, size_t count)
{
    static const double factors[] = {1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107};
    const double n = (double)count;
    const double centre = tg_stats_median(values, count);
    double distances[MOST_ROUNDS_OF_SPREAD];

    assert(count >= 2 && count <= MOST_ROUNDS_OF_SPREAD);
    for (size_t i = 0; i < count; i++) distances[i] = fabs(values[i] - centre);
    return (count < 10 ? factors[count - 2] : n / (n - 0.8)) * 1.4826022185056 *
           tg_stats_median(distances, count);
}

double tg_forecast_sd(const double *values, size_t count, double expected_sd)
{
    const size_t used = count < MOST_ROUNDS_OF_SPREAD ? count : MOST_ROUNDS_OF_SPREAD;
    const double expected = expected_sd > 0 ? expected_sd : 0;
    const double rounds = (double)used;

    if (used < 2) return expected;
    const double seen = robust_sd(values + (count - used), used);
    if (expected == 0) return seen;
    return (EXPECTED_ROUNDS * expected + (rounds - 1) * seen) / (EXPECTED_ROUNDS + rounds - 1);
}
