/* SPDX-License-Identifier: Apache-2.0 */
#include "results/metric.h"

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

size_t tg_metric_count(void)
{
    return sizeof metrics / sizeof *metrics;
}

const struct tg_metric *tg_metric_at(size_t i)
{
    return &metrics[i];
}
