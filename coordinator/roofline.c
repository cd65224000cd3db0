/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/roofline.h"

#include <math.h>
#include <string.h>

#define TIE 1e-9

static bool has_limit(const struct tg_measurement *m)
{
    return m->outcome == TG_MEASURED && m->facts.limit_s > 0;
}

const struct tg_measurement *tg_roofline_lowest(const struct tg_measurement *const rows[],
                                                size_t count)
{
    const struct tg_measurement *lowest = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct tg_measurement *m = rows[i];
        if (!has_limit(m)) continue;
        if (!lowest || m->facts.limit_s < lowest->facts.limit_s) lowest = m;
    }
    return lowest;
}

double tg_roofline_share(const struct tg_measurement *m, double call_s)
{
    return m->facts.limit_s > 0 && call_s > 0 ? m->facts.limit_s / call_s : NAN;
}

bool tg_roofline_is_impossible(const struct tg_measurement *const rows[], size_t count,
                               double call_s)
{
    const struct tg_measurement *lowest = tg_roofline_lowest(rows, count);
    double most = 1 + TG_ROOFLINE_SLACK;
    size_t limits = 0;
    for (size_t i = 0; i < count; i++) limits += has_limit(rows[i]);
    if (limits < TG_ROOFLINE_ROWS) return false;
    if (strcmp(lowest->facts.limited_by, "dot") == 0) most *= TG_ROOFLINE_LOOKUP;
    double share = tg_roofline_share(lowest, call_s);
    return isfinite(share) && log(share) > log(most) + TIE;
}
