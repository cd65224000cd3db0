/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/join.h"
#include "coordinator/shard.h"

/*
 * merge: shards that were measured apart become one folder that gate and report read as one run.
 * Each shard's directory is copied as it is, without its reports, so that every digest in it still
 * speaks for its files.
 */

struct options {
    const char *out, **directories;
    size_t count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (!o->out)
            o->out = arg;
        else
            o->directories[o->count++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->count) argp_failure(state, TG_STATUS_USAGE, 0, "OUT and the shards are missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    NULL,
    parse,
    "OUT DIR...",
    "Joins the directories of shards (run --shard I/N) into a new folder OUT, which gate and "
    "report read as one run. They must be of the same matrix, policy and libraries, measured by "
    "one build of this program, and each once; that all are there is not asked: what is missing is "
    "named here, and by the gate.\v"
    "Exit status: 0, or 3 for shards that do not belong together.",
    NULL,
    NULL,
    NULL};

static int copy_file(const char *from, const char *to, struct tg_error *err)
{
    char bytes[1 << 16];
    size_t size;
    FILE *in = fopen(from, "rb"), *out = in ? fopen(to, "wbx") : NULL;
    int failed = !out;
    while (!failed && (size = fread(bytes, 1, sizeof bytes, in)) > 0)
        failed = fwrite(bytes, 1, size, out) != size;
    if (in) failed = ferror(in) || failed;
    if (out && fclose(out) != 0) failed = 1;
    if (failed) tg_fail(err, "cannot copy '%s' to '%s': %s", from, to, strerror(errno));
    if (in) fclose(in);
    return failed ? -1 : 0;
}

/* What digests.json speaks for, and it; not the reports, which are of the shard alone. */
static int is_evidence(const struct dirent *entry)
{
    static const char *const patterns[] = {"matrix.json",     "policy.json", "plan.json",
                                           "acceptance.json", "tries.json",  "digests.json",
                                           "sealed.json",     "worker-*.h5"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (fnmatch(patterns[i], entry->d_name, 0) == 0) return 1;
    return 0;
}

static int copy_directory(const char *from, const char *to, struct tg_error *err)
{
    struct dirent **entries;
    int count = scandir(from, &entries, is_evidence, alphasort);
    if (count < 0) return tg_fail(err, "cannot read '%s': %s", from, strerror(errno));
    int rc = mkdir(to, 0777) == 0 ? 0 : tg_fail(err, "cannot make '%s': %s", to, strerror(errno));
    for (int i = 0; i < count; i++) {
        char source[4096 + 300], target[4096 + 300];
        snprintf(source, sizeof source, "%s/%s", from, entries[i]->d_name);
        snprintf(target, sizeof target, "%s/%s", to, entries[i]->d_name);
        if (rc == 0) rc = copy_file(source, target, err);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* Which shard a run's directory has, by its plan. */
static int shard_of(const char *directory, size_t *shard, struct tg_error *err)
{
    char path[4096 + 16];
    struct tg_json_file plan;
    snprintf(path, sizeof path, "%s/plan.json", directory);
    if (tg_json_read(path, &plan, err) < 0) return -1;
    double number = tg_json_number(
        tg_json_get(tg_json_at(tg_json_get(plan.root, "workers"), 0), "shard"));
    tg_json_release(&plan);
    if (!(number >= 1 && number <= TG_SHARD_MOST))
        return tg_fail(err, "'%s' is no shard; gate judges several whole runs together", directory);
    *shard = (size_t)number;
    return 0;
}

/* Reads runs that can be judged together, for what they are: their evidence, and a sentence. */
static int look(const char *const paths[], size_t count, char evidence[65], char *note, size_t size,
                struct tg_error *err)
{
    struct tg_run run;
    struct tg_plan plan;
    char open[300];
    if (tg_join_open(paths, count, NULL, &run, &plan, err) < 0) return -1;
    memcpy(evidence, run.evidence, sizeof run.evidence);
    tg_shard_note(&plan, note, size);
    size_t used = strlen(note);
    if (*tg_shard_open_note(&plan, &run, open, sizeof open))
        snprintf(note + used, size - used, "; %s", open);
    tg_plan_release(&plan);
    tg_store_release(&run);
    return 0;
}

static int merge(const char *out, char *const paths[], size_t count, struct tg_error *err)
{
    char before[65], after[65], note[800], to[4096];
    size_t shard;
    for (size_t i = 0; i < count; i++)
        if (shard_of(paths[i], &shard, err) < 0) return -1;
    if (look((const char *const *)paths, count, before, note, sizeof note, err) < 0) return -1;
    if (mkdir(out, 0777) < 0) return tg_fail(err, "cannot make '%s': %s", out, strerror(errno));
    for (size_t i = 0; i < count; i++) {
        if (shard_of(paths[i], &shard, err) < 0) return -1;
        snprintf(to, sizeof to, "%s/shard-%04zu", out, shard);
        if (copy_directory(paths[i], to, err) < 0) return -1;
    }
    if (look(&out, 1, after, note, sizeof note, err) < 0) return -1;
    if (strcmp(before, after) != 0)
        return tg_fail(err, "'%s' does not hold what its shards do", out);
    printf("%s: %s\n", out, note);
    return 0;
}

int tg_command_merge(int argc, char **argv)
{
    struct options options = {.directories = calloc((size_t)argc, sizeof *options.directories)};
    struct tg_error err;
    char **paths;
    size_t count;
    if (!options.directories) return TG_STATUS_STOPPED;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int rc = tg_join_expand(options.directories, options.count, &paths, &count, &err);
    if (rc == 0) {
        rc = merge(options.out, paths, count, &err);
        tg_join_forget(paths, count);
    }
    free(options.directories);
    if (rc == 0) return 0;
    tg_log(TG_ERROR, "%s", err.text);
    return TG_STATUS_USAGE;
}
