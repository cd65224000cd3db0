/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "coordinator/calibrate.h"
#include "coordinator/run_directory.h"

/* Calibration with what this machine measured. */

/* The values of every noninferior test of a run. */
static int record_run(const struct tg_plan *plan, const struct tg_rows *rows,
                      struct tg_noise_record *record, struct tg_error *err)
{
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        struct tg_rounds rounds = {0};
        if (strcmp(plan->policy.rules[test->rule].rule, "noninferior") != 0) continue;
        if (tg_judge_gather(plan, i, rows, &rounds, err) < 0) return -1;
        int rc = tg_noise_record_add(record, rounds.values, rounds.count, err);
        tg_evidence_release(&rounds);
        if (rc < 0) return -1;
    }
    return 0;
}

int tg_calibrate_record(const char *path, struct tg_noise_record *record, struct tg_error *err)
{
    struct stat is;
    struct tg_run run;
    struct tg_plan plan;
    struct tg_rows *rows = NULL;
    struct tg_noise_record read = {0};
    if (stat(path, &is) < 0 || !S_ISDIR(is.st_mode)) return tg_noise_record_read(path, record, err);
    if (tg_run_directory_open(path, NULL, &run, &plan, err) < 0) return -1;
    int rc = tg_rows_create(&plan, &rows, err);
    for (size_t i = 0; i < run.count && rc == 0; i++) rc = tg_rows_add(rows, &run.rows[i], err);
    if (rc == 0) rc = record_run(&plan, rows, &read, err);
    if (rc == 0 && read.test_count == 0)
        rc = tg_fail(err, "run '%s' has no noninferior test of enough rounds", path);
    tg_rows_destroy(rows);
    tg_plan_release(&plan);
    tg_store_release(&run);
    if (rc < 0)
        tg_noise_record_release(&read);
    else
        *record = read;
    return rc;
}
