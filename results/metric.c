/* SPDX-License-Identifier: Apache-2.0 */
#include "results/metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct tg_metric metrics[] = {
#define METRIC(name, unit, better, nature, sign, meaning)                                          \
    {#name, unit, TG_##better, TG_##nature, TG_##sign, meaning},
#include "results/metrics.def"
#undef METRIC
};

const struct tg_metric *tg_metric_find(const char *name)
{
    for (size_t i = 0; i < tg_metric_count(); i++)
        if (strcmp(metrics[i].name, name) == 0) return &metrics[i];
    return NULL;
}

bool tg_metric_is_of_time(const struct tg_metric *metric)
{
    return metric && metric->nature == TG_SAMPLED && strcmp(metric->unit, "B") != 0;
}

const char *tg_metric_worse(const struct tg_metric *metric)
{
    if (tg_metric_is_of_time(metric)) return "slower";
    return metric && strcmp(metric->unit, "B") == 0 ? "more memory" : "worse";
}

/* A number of bytes, in the greatest unit of which there is one. */
static void bytes_text(double bytes, char *out, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    for (; i + 1 < sizeof units / sizeof *units && fabs(bytes) >= 1024; i++) bytes /= 1024;
    snprintf(out, size, "%.4g %s", bytes, units[i]);
}

char *tg_metric_text(const struct tg_metric *metric, double value, char *out, size_t size)
{
    static const struct {
        double from, factor;
        const char *unit;
    } times[] = {{1, 1, "s"}, {1e-3, 1e3, "ms"}, {1e-6, 1e6, "us"}, {0, 1e9, "ns"}};
    size_t i = 0;
    if (!isfinite(value)) {
        snprintf(out, size, "none");
    } else if (strcmp(metric->unit, "1") == 0) {
        snprintf(out, size, "%.6g %%", 100 * value);
    } else if (strcmp(metric->unit, "-") == 0) {
        snprintf(out, size, "%.17g", value); /* a name that is a number */
    } else if (strcmp(metric->unit, "s") == 0) {
        while (fabs(value) < 0.9995 * times[i].from) i++;
        snprintf(out, size, "%.3g %s", value * times[i].factor, times[i].unit);
    } else if (strcmp(metric->unit, "B") == 0) {
        bytes_text(value, out, size);
    } else {
        snprintf(out, size, "%.6g %s", value, metric->unit);
    }
    return out;
}

size_t tg_metric_count(void)
{
    return sizeof metrics / sizeof *metrics;
}

const struct tg_metric *tg_metric_at(size_t i)
{
    return &metrics[i];
}
