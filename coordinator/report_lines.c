/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "coordinator/report.h"

/* Not the decision, but what it was made on: every measurement, for other programs or `import`. */

void tg_report_lines(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    (void)plan;
    for (size_t i = 0; i < d->run->count; i++) {
        char *line = tg_measurement_to_json(&d->run->rows[i]);
        fprintf(out, "%s\n", line);
        free(line);
    }
}
