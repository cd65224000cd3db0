/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job_matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/budget.h"
#include "coordinator/shard.h"

size_t tg_job_matrix_shards(const struct tg_plan *plan)
{
    double seconds = 0;
    bool needs_device = false;
    size_t blocks = tg_shard_blocks(plan, 0, &needs_device);
    for (size_t b = 0; b < blocks; b++) seconds += tg_budget_block_s(plan, &plan->spec.blocks[b]);
    double fair = fmax(needs_device ? 2 : 1, ceil(seconds / plan->policy.limits.budget_s));
    double most = fmin(TG_JOB_MATRIX_MOST, (double)blocks);
    return (size_t)fmin(fair, most);
}

/* The label that GitHub gives runners on such a processor by itself. */
static const char *label_of(const char *machine)
{
    static const char *const rows[][2] = {{"x86_64", "x64"}, {"aarch64", "arm64"}, {"arm", "arm"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strncmp(machine, rows[i][0], strlen(rows[i][0])) == 0) return rows[i][1];
    return machine;
}

void tg_job_matrix_write(FILE *out, const struct tg_plan *plan, const char *machine)
{
    struct tg_json *root = tg_json_object(NULL, NULL), *list = tg_json_array(root, "include");
    for (size_t shard = 1; shard <= plan->asked.shard_count; shard++) {
        bool needs_device;
        char text[64];
        double seconds = 0;
        size_t blocks = tg_shard_blocks(plan, shard, &needs_device);
        const char *pool = needs_device ? "gpu" : "cpu";
        if (blocks == 0) continue;
        for (size_t b = 0; b < plan->spec.block_count; b++)
            if (plan->spec.blocks[b].shard == shard)
                seconds += tg_budget_block_s(plan, &plan->spec.blocks[b]);
        struct tg_json *job = tg_json_object(list, NULL);
        snprintf(text, sizeof text, "%s-%zu", pool, shard);
        tg_json_add_text(job, "name", text);
        snprintf(text, sizeof text, "%zu/%zu", shard, plan->asked.shard_count);
        tg_json_add_text(job, "shard", text);
        tg_json_add_text(job, "pool", pool);
        struct tg_json *labels = tg_json_array(job, "labels");
        tg_json_add_text(labels, NULL, "self-hosted");
        tg_json_add_text(labels, NULL, "linux");
        tg_json_add_text(labels, NULL, label_of(machine));
        snprintf(text, sizeof text, "tritgate-%s", pool);
        tg_json_add_text(labels, NULL, text);
        tg_json_add_number(job, "blocks", (double)blocks);
        tg_json_add_number(job, "least_s", ceil(seconds));
    }
    char *line = tg_json_print(root, false);
    fprintf(out, "%s\n", line);
    free(line);
    tg_json_free(root);
}
