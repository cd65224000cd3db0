/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/lookout.h"
#include "coordinator/shard.h"
#include "coordinator/vocabulary.h"
#include "results/digest.h"
#include "results/metric.h"
#include "worker/model/model_source.h"
#include "worker/probe/probe.h"

char *tg_plan_text(const struct tg_asked *asked, const struct tg_capability *workers,
                   size_t worker_count)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_plan", 1);
    tg_json_add_text(root, "version", TRITGATE_VERSION);
    if (*asked->program) tg_json_add_text(root, "program", asked->program);
    tg_json_add_text(root, "seed", asked->seed);
    tg_json_add_text(root, "filter", asked->filter);
    tg_json_add_text(root, "flow", asked->flow);
    tg_json_add_text(root, "step", asked->step);
    tg_json_add_number(root, "budget_s", asked->budget_s);
    if (*asked->alarms) tg_json_add_text(root, "alarms", asked->alarms);
    if (asked->shard_count) tg_json_add_number(root, "shards", (double)asked->shard_count);
    tg_json_add_boolean(root, "is_same", asked->is_same);
    tg_json_add_boolean(root, "is_fail_fast", asked->is_fail_fast);
    if (asked->is_imported) {
        struct tg_json *imported = tg_json_object(root, "imported");
        tg_json_add_boolean(imported, "is_matrix_seen", asked->is_matrix_seen);
    }
    if (*asked->acceptance) tg_json_add_text(root, "acceptance", asked->acceptance);
    tg_changed_add(root, &asked->changed);
    tg_inherit_add(root, &asked->inherit);
    if (*asked->baseline_note) tg_json_add_text(root, "baseline_note", asked->baseline_note);
    struct tg_json *list = asked->baseline_count ? tg_json_array(root, "baselines") : NULL;
    for (size_t i = 0; i < asked->baseline_count; i++) {
        struct tg_json *baseline = tg_baseline_to_json(&asked->baselines[i], NULL);
        if (baseline) tg_json_add(list, NULL, baseline);
    }
    list = tg_json_array(root, "workers");
    for (size_t i = 0; i < worker_count; i++) {
        struct tg_json *worker = tg_json_object(list, NULL);
        tg_json_add_text(worker, "host", workers[i].host);
        tg_json_add_text(worker, "domain", workers[i].domain);
        tg_json_add_text(worker, "share", workers[i].share);
        tg_json_add_text(worker, "hardware", workers[i].hardware);
        tg_json_add_text(worker, "machine", workers[i].machine);
        if (*workers[i].gpu) tg_json_add_text(worker, "gpu", workers[i].gpu);
        if (workers[i].shard) tg_json_add_number(worker, "shard", (double)workers[i].shard);
        tg_survey_add(worker, "head", &workers[i].head);
        if (workers[i].has_base) tg_survey_add(worker, "base", &workers[i].base);
    }
    char *text = tg_json_print(root, true);
    tg_json_free(root);
    return text;
}

int tg_plan_capability(const struct tg_json_file *file, const struct tg_json *announced,
                       struct tg_capability *worker, struct tg_error *err)
{
    struct tg_capability read = {0};
    const char *error = tg_json_text(tg_json_get(announced, "error"));
    const struct tg_json *base = tg_json_get(announced, "base");
    snprintf(read.host, sizeof read.host, "%s", tg_json_text(tg_json_get(announced, "host")));
    snprintf(read.domain, sizeof read.domain, "%s", tg_json_text(tg_json_get(announced, "domain")));
    snprintf(read.share, sizeof read.share, "%s", tg_json_text(tg_json_get(announced, "share")));
    const char *hardware = tg_json_text(tg_json_get(announced, "hardware"));
    snprintf(read.hardware, sizeof read.hardware, "%s", *hardware ? hardware : "unknown");
    snprintf(read.machine, sizeof read.machine, "%s",
             tg_json_text(tg_json_get(announced, "machine")));
    snprintf(read.gpu, sizeof read.gpu, "%s", tg_json_text(tg_json_get(announced, "gpu")));
    if (*error) return tg_fail(err, "%s", error);
    if (tg_shard_number(file, tg_json_get(announced, "shard"), &read.shard, err) < 0) return -1;
    if (tg_survey_parse(file, tg_json_get(announced, "head"), &read.head, err) < 0) return -1;
    if (base && tg_survey_parse(file, base, &read.base, err) < 0) {
        tg_survey_release(&read.head);
        return -1;
    }
    read.has_base = base != NULL;
    *worker = read;
    return 0;
}

void tg_plan_capability_release(struct tg_capability *worker)
{
    tg_survey_release(&worker->head);
    tg_survey_release(&worker->base);
}

bool tg_plan_is_of(const struct tg_plan *plan, const struct tg_block *block,
                   const struct tg_measurement *row)
{
    return strcmp(row->block, block->text) == 0 &&
           strcmp(row->facts.hardware, plan->classes[block->hardware]) == 0;
}

bool tg_plan_is_optional(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    if (!*rule->hardware) return rule->optional != 0;
    for (size_t i = 0; i < plan->worker_count; i++)
        if (strcmp(plan->workers[i].hardware, plan->classes[t->hardware]) == 0 &&
            (!*plan->workers[i].machine ||
             tg_hardware_matches(plan->workers[i].machine, rule->hardware)))
            return false; /* of a machine that nobody knows it counts, too */
    return true;
}

/* Whether lines of a block's kernels came from the worker's hardware, or may still be missing. */
static bool was_seen(const struct tg_capability *worker, const struct tg_block *block, char *reason,
                     size_t size)
{
    for (size_t i = 0; i < block->cell_count; i++) {
        const struct tg_survey_kernel *k = tg_survey_find(&worker->head, block->cells[i].kernel);
        if (k && !tg_survey_has_build(k, &block->cells[i], reason, size)) return false;
        if (!k || k->here) continue;
        snprintf(reason, size, "kernel '%s' has no line from this hardware", k->name);
        return false;
    }
    return true;
}

/* Whether a block's processes fit into what the worker's node has left for them, as far as known.
 */
static bool fits(const struct tg_plan *plan, const struct tg_capability *worker,
                 const struct tg_block *block, char *reason, size_t size)
{
    double most = 0, share = plan->policy.limits.memory_share * (double)worker->head.memory_bytes;
    for (size_t i = 0; i < block->cell_count; i++) {
        double bytes = (double)tg_probe_bytes(&block->cells[i], "");
        if (bytes > most) most = bytes;
    }
    double need = most * (double)block->cell_count;
    if (worker->head.memory_bytes <= 0 || need <= share) return true;
    snprintf(reason, size, "%.0f bytes of memory are needed, %.0f are available to the block", need,
             share);
    return false;
}

bool tg_plan_can_run(const struct tg_plan *plan, const struct tg_capability *worker,
                     const struct tg_block *block, char *reason, size_t size)
{
    if (strcmp(worker->hardware, plan->classes[block->hardware]) != 0) {
        snprintf(reason, size, "it is asked of other hardware");
        return false;
    }
    if (block->shard && worker->shard != block->shard) {
        snprintf(reason, size, "it is of shard %zu/%zu", block->shard, plan->asked.shard_count);
        return false;
    }
    if (plan->asked.is_imported) return was_seen(worker, block, reason, size);
    for (size_t i = 0; i < block->cell_count; i++)
        if (!tg_survey_can_run(&worker->head, worker->has_base ? &worker->base : NULL,
                               &block->cells[i], reason, size))
            return false;
    return fits(plan, worker, block, reason, size);
}

bool tg_plan_needs_device(const struct tg_plan *plan, const struct tg_block *block)
{
    for (size_t i = 0; i < block->cell_count; i++) {
        char device[TG_TEXT_SIZE] = "";
        const struct tg_word *word = tg_words_find(&plan->words, "kernel", block->cells[i].kernel);
        if (word) tg_words_trait(word, "device", device, sizeof device);
        if (*device && strcmp(device, "cpu") != 0) return true;
    }
    return false;
}

bool tg_plan_share_gpu(const struct tg_capability *a, const struct tg_capability *b)
{
    return *a->gpu && strcmp(a->gpu, b->gpu) == 0 && strcmp(a->host, b->host) == 0;
}

size_t tg_plan_devices(const struct tg_plan *plan, const struct tg_block *block)
{
    size_t count = 0;
    char why[400];
    if (plan->asked.is_imported || !tg_plan_needs_device(plan, block)) return 0;
    for (size_t w = 0; w < plan->worker_count; w++) {
        bool is_new = tg_plan_can_run(plan, &plan->workers[w], block, why, sizeof why);
        for (size_t i = 0; i < w && is_new; i++)
            is_new = !tg_plan_share_gpu(&plan->workers[i], &plan->workers[w]);
        count += is_new;
    }
    return count;
}

int tg_plan_liken(const struct tg_capability workers[], size_t count, size_t first[],
                  struct tg_error *err)
{
    const struct tg_asked nothing = {.seed = ""};
    char **texts = calloc(count + 1, sizeof *texts);
    int rc = texts ? 0 : tg_fail(err, "out of memory");
    for (size_t w = 0; rc == 0 && w < count; w++) {
        struct tg_capability same = {
            .head = workers[w].head, .base = workers[w].base, .has_base = workers[w].has_base};
        memcpy(same.hardware, workers[w].hardware, sizeof same.hardware);
        texts[w] = tg_plan_text(&nothing, &same, 1);
        first[w] = 0;
        while (first[w] < w &&
               (first[first[w]] != first[w] || strcmp(texts[first[w]], texts[w]) != 0))
            first[w]++;
    }
    for (size_t w = 0; texts && w < count; w++) free(texts[w]);
    free(texts);
    return rc;
}

/* One run compares two builds, not four: all have the same libraries, and model if it is asked. */
static int check_workers(const struct tg_plan *p, struct tg_error *err)
{
    const struct tg_capability *first = &p->workers[0];
    const bool has_file = tg_spec_has_model(&p->spec, TG_MODEL_FILE);
    for (size_t i = 1; i < p->worker_count; i++) {
        const struct tg_capability *w = &p->workers[i];
        if (strcmp(w->head.digest, first->head.digest) != 0)
            return tg_fail(err, "head on node '%s' is not the file it is on node '%s'", w->host,
                           first->host);
        if (has_file && strcmp(w->head.model_digest, first->head.model_digest) != 0)
            return tg_fail(err, "the model file on node '%s' is not that on node '%s'", w->host,
                           first->host);
        if (w->has_base != first->has_base ||
            (w->has_base && strcmp(w->base.digest, first->base.digest) != 0))
            return tg_fail(err, "base on node '%s' is not the file it is on node '%s'", w->host,
                           first->host);
    }
    if (first->has_base && !p->asked.is_same && strcmp(first->head.digest, "unknown") != 0 &&
        strcmp(first->head.digest, first->base.digest) == 0)
        return tg_fail(err, "base and head are the same file; --same compares it with itself");
    return 0;
}

static int read_baselines(const struct tg_json_file *file, struct tg_plan *p, struct tg_error *err)
{
    const struct tg_json *list = tg_json_get(file->root, "baselines");
    snprintf(p->asked.baseline_note, sizeof p->asked.baseline_note, "%s",
             tg_json_text(tg_json_get(file->root, "baseline_note")));
    if (!list) return 0;
    char *text = tg_json_print(list, false);
    int rc = tg_digest_text(text, p->baseline_digest, err);
    free(text);
    p->baselines = calloc(tg_json_count(list) + 1, sizeof *p->baselines);
    if (!p->baselines) return tg_fail(err, "out of memory");
    p->asked.baselines = p->baselines;
    for (size_t i = 0; rc == 0 && i < tg_json_count(list); i++) {
        rc = tg_baseline_from_json(file, tg_json_at(list, i), &p->baselines[i], err);
        if (rc == 0) p->asked.baseline_count++;
    }
    return rc == 0 ? 0 : tg_fail_in(err, "baseline");
}

static void copy_text(const struct tg_json *root, const char *key, char *to, size_t size)
{
    snprintf(to, size, "%s", tg_json_text(tg_json_get(root, key)));
}

static int read_plan(const struct tg_json_file *file, struct tg_plan *p, struct tg_error *err)
{
    static const char *const keys[] = {
        "tritgate_plan", "version",   "seed",    "filter", "budget_s",   "is_same", "shards",
        "is_fail_fast",  "imported",  "step",    "flow",   "acceptance", "changed", "inherited",
        "baseline_note", "baselines", "workers", "alarms", "program",    NULL};
    const struct tg_json *root = file->root, *list = tg_json_get(root, "workers");
    const struct tg_json *imported = tg_json_get(root, "imported");
    if (tg_json_only(file, root, keys, err) < 0) return -1;
    if (tg_json_number(tg_json_get(root, "tritgate_plan")) != 1 || tg_json_count(list) == 0)
        return tg_json_fail(file, root, err, "not a plan of this version");
    copy_text(root, "version", p->version, sizeof p->version);
    copy_text(root, "program", p->asked.program, sizeof p->asked.program);
    copy_text(root, "seed", p->asked.seed, sizeof p->asked.seed);
    copy_text(root, "filter", p->asked.filter, sizeof p->asked.filter);
    copy_text(root, "flow", p->asked.flow, sizeof p->asked.flow);
    copy_text(root, "step", p->asked.step, sizeof p->asked.step);
    copy_text(root, "alarms", p->asked.alarms, sizeof p->asked.alarms);
    copy_text(root, "acceptance", p->asked.acceptance, sizeof p->asked.acceptance);
    p->asked.budget_s = tg_json_number(tg_json_get(root, "budget_s"));
    p->asked.is_same = tg_json_number(tg_json_get(root, "is_same")) != 0;
    p->asked.is_imported = imported != NULL;
    p->asked.is_matrix_seen = tg_json_number(tg_json_get(imported, "is_matrix_seen")) != 0;
    p->asked.is_fail_fast = tg_json_number(tg_json_get(root, "is_fail_fast")) != 0;
    if (tg_changed_parse(file, tg_json_get(root, "changed"), &p->asked.changed, err) < 0 ||
        tg_inherit_parse(file, tg_json_get(root, "inherited"), &p->asked.inherit, err) < 0)
        return -1;
    p->workers = calloc(tg_json_count(list), sizeof *p->workers);
    if (!p->workers) return tg_fail(err, "out of memory");
    for (; p->worker_count < tg_json_count(list); p->worker_count++)
        if (tg_plan_capability(file, tg_json_at(list, p->worker_count),
                               &p->workers[p->worker_count], err) < 0)
            return -1;
    p->has_base = p->workers[0].has_base;
    if (tg_shard_number(file, tg_json_get(root, "shards"), &p->asked.shard_count, err) < 0)
        return -1;
    return read_baselines(file, p, err);
}

/* The classes of hardware that the workers have. */
static int find_classes(struct tg_plan *p, struct tg_error *err)
{
    p->classes = calloc(p->worker_count, sizeof *p->classes);
    if (!p->classes) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < p->worker_count; i++) {
        size_t c = 0;
        while (c < p->class_count && strcmp(p->classes[c], p->workers[i].hardware) != 0) c++;
        if (c == p->class_count)
            memcpy(p->classes[p->class_count++], p->workers[i].hardware, sizeof *p->classes);
    }
    return 0;
}

/*
 * Whether a worker of the block's class and shard can run it; if none can, `reason` is that of the
 * first.
 */
static bool anyone_can(const struct tg_plan *p, const struct tg_block *block, char *reason,
                       size_t size)
{
    char first[400] = "";
    for (size_t i = 0; i < p->worker_count; i++) {
        char why[400];
        if (strcmp(p->workers[i].hardware, p->classes[block->hardware]) != 0) continue;
        if (block->shard && p->workers[i].shard != block->shard) continue;
        if (tg_plan_can_run(p, &p->workers[i], block, why, sizeof why)) return true;
        if (!*first) snprintf(first, sizeof first, "%s", why);
    }
    snprintf(reason, size, "%s", first);
    return false;
}

static bool is_built(const struct tg_survey *survey, const char *kernel)
{
    const struct tg_survey_kernel *k = tg_survey_find(survey, kernel);
    return k && k->built;
}

/*
 * Whether some worker of the block's class could run it if head had the kernels of base. To ask for
 * base itself would not do: whole models on a device have no cells of it.
 */
static bool could_with_base(const struct tg_plan *p, const struct tg_block *block)
{
    for (size_t i = 0; i < p->worker_count && !p->asked.is_imported; i++) {
        struct tg_capability like = p->workers[i];
        char why[400];
        if (!like.has_base) continue;
        like.head.kernels = like.base.kernels;
        like.head.count = like.base.count;
        if (tg_plan_can_run(p, &like, block, why, sizeof why)) return true;
    }
    return false;
}

/* Whether base's kernel runs there and head's does not: it was lost between them. */
static bool was_lost(const struct tg_plan *p, const struct tg_block *block, size_t place,
                     char *reason, size_t size)
{
    char why[300] = "";
    const struct tg_cell *cell = &block->cells[place];
    struct tg_block one = {.cells = {*cell}, .cell_count = 1};
    one.hardware = block->hardware;
    one.shard = block->shard;
    if (strcmp(cell->build, "base") == 0 || anyone_can(p, &one, why, sizeof why) ||
        !could_with_base(p, &one))
        return false;
    if (is_built(&p->workers[0].head, cell->kernel))
        snprintf(reason, size, "base can run it here and head cannot: %s", why);
    else
        snprintf(reason, size, "kernel '%s' is missing in head", cell->kernel);
    return true;
}

/* What will become of a test: measured, or skipped or failed for want of a kernel or a machine. */
static void foresee(const struct tg_plan *p, size_t test, struct tg_prospect *prospect)
{
    const struct tg_block *block = &p->spec.blocks[p->spec.tests[test].block];
    const char *kernel = p->spec.tests[test].of.kernel;
    if (tg_shard_is_missing(p, block->shard)) {
        prospect->fate = TG_TO_MISS;
        snprintf(prospect->reason, sizeof prospect->reason, "shard %zu/%zu is missing",
                 block->shard, p->asked.shard_count);
        return;
    }
    if (anyone_can(p, block, prospect->reason, sizeof prospect->reason)) return;
    prospect->fate = TG_TO_SKIP;
    for (size_t i = 0; i < block->cell_count; i++) {
        if (!was_lost(p, block, i, prospect->reason, sizeof prospect->reason)) continue;
        prospect->fate = TG_TO_FAIL;
        return;
    }
    if (p->has_base || !p->lookouts[test].cell || is_built(&p->workers[0].head, kernel)) return;
    prospect->fate = TG_TO_FAIL;
    snprintf(prospect->reason, sizeof prospect->reason,
             "kernel '%s' is missing in head; the stored baseline has it", kernel);
}

static int foresee_all(struct tg_plan *p, struct tg_error *err)
{
    p->prospects = calloc(p->spec.test_count, sizeof *p->prospects);
    if (!p->prospects) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < p->spec.test_count; i++) {
        const struct tg_test *test = &p->spec.tests[i];
        const struct tg_metric *metric = tg_metric_find(p->policy.rules[test->rule].metric);
        foresee(p, i, &p->prospects[i]);
        if ((p->prospects[i].fate == TG_TO_MEASURE || p->prospects[i].fate == TG_TO_MISS) &&
            !test->is_shadow && !tg_plan_is_optional(p, i) && metric->nature == TG_SAMPLED)
            p->required_count++;
    }
    return 0;
}

static int make(const char *path, struct tg_json_file files[3], struct tg_plan *p,
                struct tg_error *err)
{
    const struct tg_survey *surveys[2] = {NULL, NULL};
    if (read_plan(&files[2], p, err) < 0) return -1;
    surveys[0] = &p->workers[0].head;
    surveys[1] = p->has_base ? &p->workers[0].base : NULL;
    if (tg_vocabulary_gather(surveys, 2, &p->words, err) < 0) return -1;
    if (p->asked.is_imported && tg_vocabulary_add_values(&p->words, &files[0], err) < 0) return -1;
    if (tg_policy_parse(&files[1], &p->words, &p->policy, err) < 0)
        return tg_fail_in(err, "policy");
    /* A step is one of the flow that was asked for; another flow's policy has its own. */
    bool is_its_flow = !*p->asked.flow || strcmp(p->asked.flow, p->policy.flow) == 0;
    if (tg_policy_choose(&p->policy, is_its_flow ? p->asked.step : "", err) < 0)
        return tg_fail_in(err, "policy");
    if (tg_spec_parse(&files[0], &p->words, &p->spec, err) < 0)
        return tg_fail_in(err, "matrix '%s'", path);
    if (*p->asked.filter && tg_spec_filter(&p->spec, p->asked.filter, &p->words, err) < 0)
        return -1;
    if (find_classes(p, err) < 0 ||
        tg_spec_plan(&p->spec, &p->policy, &p->words, p->has_base, p->class_count, err) < 0 ||
        tg_changed_filter(&p->asked.changed, &p->spec, &p->words, err) < 0 ||
        check_workers(p, err) < 0 || tg_lookout_attach(p, err) < 0 || tg_shard_deal(p, err) < 0)
        return -1;
    return foresee_all(p, err);
}

int tg_plan_make(const char *matrix, const char *path, const char *policy, const char *plan_text,
                 struct tg_plan *plan, struct tg_error *err)
{
    const char *const texts[] = {matrix, policy, plan_text};
    static const char *const names[] = {"matrix", "policy", "plan.json"};
    struct tg_json_file files[3] = {0};
    struct tg_plan made = {0};
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++)
        if (tg_json_parse(texts[i], &files[i], err) < 0) rc = tg_fail_in(err, "%s", names[i]);
    made.is_own_policy = made.is_own_text = true;
    made.is_own_acceptance = true;
    if (rc == 0) rc = tg_digest_text(matrix, made.matrix_digest, err);
    if (rc == 0) rc = tg_digest_text(policy, made.policy_digest, err);
    if (rc == 0) rc = make(path, files, &made, err);
    if (made.asked.is_fail_fast) made.policy.limits.fail_fast = 1;
    if (made.asked.budget_s > 0) made.policy.limits.budget_s = made.asked.budget_s;
    for (int i = 0; i < 3; i++) tg_json_release(&files[i]);
    if (rc < 0)
        tg_plan_release(&made);
    else
        *plan = made;
    return rc;
}

int tg_plan_accept(struct tg_plan *plan, const char *text, struct tg_error *err)
{
    struct tg_acceptance read = {0};
    char digest[65] = "";
    if (text && (tg_acceptance_parse(text, &plan->words, &read, err) < 0 ||
                 tg_digest_text(text, digest, err) < 0)) {
        tg_acceptance_release(&read);
        return tg_fail_in(err, "acceptance");
    }
    tg_acceptance_release(&plan->acceptance);
    plan->acceptance = read;
    plan->is_own_acceptance = strcmp(digest, plan->asked.acceptance) == 0;
    return 0;
}

void tg_plan_release(struct tg_plan *plan)
{
    tg_acceptance_release(&plan->acceptance);
    for (size_t i = 0; i < plan->worker_count; i++) tg_plan_capability_release(&plan->workers[i]);
    free(plan->workers);
    for (size_t i = 0; i < plan->asked.baseline_count; i++)
        tg_baseline_release(&plan->baselines[i]);
    free(plan->baselines);
    free(plan->lookouts);
    free(plan->prospects);
    free(plan->classes);
    free(plan->sessions);
    tg_spec_release(&plan->spec);
    tg_policy_release(&plan->policy);
    tg_vocabulary_release(&plan->words);
    *plan = (struct tg_plan){0};
}
