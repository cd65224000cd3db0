/* SPDX-License-Identifier: Apache-2.0 */
#include "results/distributions.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

/*
 * What Stirling's formula leaves out: ln Gamma(z) - (z - 1/2) ln z + z - ln(2 pi) / 2. Below 16
 * from the values above it, since the series is good for large z only.
 */
static double stirling_rest(double z)
{
    double sum = 0;

    for (; z < 16; z++) sum += (z + 0.5) * log1p(1 / z) - 1;
    const double w = 1 / (z * z);
    return sum + (1.0 / 12 - w * (1.0 / 360 - w * (1.0 / 1260 - w * (1.0 / 1680 - w / 1188)))) / z;
}

/* a ln(x / x0) + b ln(y / y0), where x0 = a / (a + b) and y0 = 1 - x0 make it largest, 0. */
static double log_below_top(double a, double b, double x, double y)
{
    const double excess = x * b - y * a;
    const double u = excess / a;
    const double v = -excess / b;
    const double left = fabs(u) < 0.5 ? log1p(u) : log(x) - log(a / (a + b));
    const double right = fabs(v) < 0.5 ? log1p(v) : log(y) - log(b / (a + b));
    return a * left + b * right;
}

/* The continued fraction without its factor; converges quickly for x < (a + 1) / (a + b + 2). */
static double fraction(double a, double b, double x)
{
    static const double TINY = 1e-300; /* stands for a denominator of 0 */
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double result = d;

    for (double m = 1; m <= 1e5; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        if (fabs(c) < TINY) c = TINY;
        result *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        if (fabs(c) < TINY) c = TINY;
        result *= d * c;
        if (fabs(d * c - 1) < 1e-15) break;
    }
    return result;
}

/* I_x(a, b) where the fraction converges quickly. */
static double lower_part(double a, double b, double x, double y)
{
    const double top = 0.5 * log(a * b / (a + b) / (2 * PI)) + stirling_rest(a + b) -
                       stirling_rest(a) - stirling_rest(b);
    return exp(log_below_top(a, b, x, y) + top) / a * fraction(a, b, x);
}

double tg_distributions_beta(double a, double b, double x, double y)
{
    assert(a > 0 && b > 0 && x >= 0 && y >= 0);
    if (x <= 0) return 0;
    if (y <= 0) return 1;
    if (x < (a + 1) / (a + b + 2)) return fmin(1, lower_part(a, b, x, y));
    return fmax(0, 1 - lower_part(b, a, y, x));
}

double tg_distributions_f_tail(double f, double df1, double df2)
{
    if (f <= 0) return 1;
    if (isinf(f)) return 0;
    const double ratio = df2 / df1 / f;
    return tg_distributions_beta(df2 / 2, df1 / 2, isinf(ratio) ? 1 : ratio / (1 + ratio),
                                 1 / (1 + ratio));
}

double tg_distributions_t_tail(double t, double df)
{
    if (t == 0) return 0.5;
    const double ratio = df / t / t;
    const double x = isinf(ratio) ? 1 : ratio / (1 + ratio);
    const double half = tg_distributions_beta(df / 2, 0.5, x, 1 / (1 + ratio)) / 2;
    return t > 0 ? half : 1 - half;
}

/*
 * Positive doubles have the order of their bits, so halving a range of bits reaches the smallest
 * one whose tail is no more than `tail`, without a tolerance.
 */
double tg_distributions_t_quantile(double p, double df)
{
    const double largest = DBL_MAX;
    const double tail = p < 0.5 ? p : 1 - p;
    uint64_t low = 0;
    uint64_t high;
    double value;

    assert(p > 0 && p < 1 && df > 0);
    if (p == 0.5) return 0;
    memcpy(&high, &largest, sizeof high);
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        memcpy(&value, &middle, sizeof value);
        if (tg_distributions_t_tail(value, df) <= tail)
            high = middle;
        else
            low = middle + 1;
    }
    memcpy(&value, &low, sizeof value);
    return p < 0.5 ? -value : value;
}

double tg_distributions_normal_tail(double z)
{
    return 0.5 * erfc(z * sqrt(0.5));
}

double tg_distributions_normal_quantile(double p)
{
    const double tail = p < 0.5 ? p : 1 - p;

    assert(p > 0 && p < 1);
    if (p == 0.5) return 0;
    const double t = sqrt(-2 * log(tail));
    double z = t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                       (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    for (int i = 0; i < 3; i++) {
        const double density = exp(-0.5 * z * z) / sqrt(2 * PI);
        const double step = (tg_distributions_normal_tail(z) - tail) / density;
        z += step / (1 - 0.5 * z * step);
    }
    return p < 0.5 ? -z : z;
}
