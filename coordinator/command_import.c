/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/import.h"
#include "coordinator/run_directory.h"
#include "matrix/spec.h"

/* Puts lines of measurements, made elsewhere, into a run's directory. */

struct options {
    const char *lines, *out, *matrix, *policy;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'm': o->matrix = arg; return 0;
    case 'p': o->policy = arg; return 0;
    case ARGP_KEY_ARG:
        if (!o->lines)
            o->lines = arg;
        else
            tg_command_take(state, "directory", &o->out, arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->out)
            argp_failure(state, TG_STATUS_USAGE, 0, "lines and a new directory are expected");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"matrix", 'm', "FILE", 0, "what was asked (default: exactly what the lines have)", 0},
    {"policy", 'p', "FILE", 0,
     "what is demanded, a file or a name (default: the one that the matrix names, or kernels)", 0},
    {0}};

static const struct argp argp = {
    option_list,
    parse,
    "LINES OUT",
    "Makes a run of measurements that were made elsewhere: one JSON line each (docs/RESULTS.md), "
    "from a file, or from standard input if it is -.\v"
    "`tritgate gate --imported OUT` decides on it. Exit status: 0, 3 unusable lines, matrix or "
    "policy (nothing was written), 4 the run could not be written.",
    NULL,
    NULL,
    NULL};

static int read_lines(const char *path, struct tg_lines *lines, struct tg_error *err)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *in = is_input ? stdin : fopen(path, "re");
    if (!in) return tg_fail(err, "cannot open '%s': %s", path, strerror(errno));
    int rc = tg_import_read(in, lines, err);
    if (!is_input) fclose(in);
    return rc < 0 ? tg_fail_in(err, "'%s'", path) : 0;
}

/* The text of a file, which is the caller's to free; `policy` (of 4096 bytes) gets what it names.
 */
static char *read_text(const char *path, char *policy, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_read(path, &file, err) < 0) return NULL;
    if (policy) tg_spec_policy_path(&file, path, policy, 4096);
    char *text = file.text;
    file.text = NULL;
    tg_json_release(&file);
    return text;
}

/* Matrix, policy and plan: given, named, or made of the lines. `named` gets the policy's path. */
static int find_texts(const struct options *o, const struct tg_lines *lines, char named[4096],
                      struct tg_run *texts, struct tg_error *err)
{
    *named = 0;
    texts->matrix = o->matrix ? read_text(o->matrix, named, err) : tg_import_matrix(lines, err);
    if (!texts->matrix) return -1;
    if (o->policy && tg_command_policy(o->policy, NULL, o->matrix, named, 4096, err) < 0) return -1;
    texts->policy = *named ? read_text(named, NULL, err) : strdup((const char *)tg_import_policy);
    if (!texts->policy) return -1;
    texts->plan = tg_import_plan(lines, texts->matrix, !o->matrix, err);
    return texts->plan ? 0 : -1;
}

/* What can be looked at once it is known which blocks are asked for. */
static int check_rounds(const char *path, const struct tg_plan *plan, struct tg_lines *lines,
                        struct tg_error *err)
{
    if (tg_import_order(lines, plan, err) < 0 || tg_import_check_pairs(lines, err) < 0)
        return tg_fail_in(err, "'%s'", path);
    return 0;
}

/* How many rows are of no test. */
static int count_strays(const struct tg_plan *plan, const struct tg_lines *lines, size_t *strays,
                        struct tg_error *err)
{
    struct tg_rows *rows;
    if (tg_rows_create(plan, &rows, err) < 0) return -1;
    int rc = 0;
    for (size_t i = 0; i < lines->count && rc == 0; i++)
        rc = tg_rows_add(rows, &lines->rows[i], err);
    *strays = tg_rows_strays(rows);
    tg_rows_destroy(rows);
    return rc;
}

/* Everything that can be wrong is found before anything is made. */
static int import(const struct options *o, struct tg_lines *lines, struct tg_run *texts,
                  struct tg_error *err)
{
    struct tg_plan plan;
    char directory[4096], named[4096];
    size_t strays = 0;
    if (find_texts(o, lines, named, texts, err) < 0) return TG_STATUS_USAGE;
    if (tg_plan_make(texts->matrix, o->matrix ? o->matrix : "of the lines", texts->policy,
                     texts->plan, &plan, err) < 0) {
        if (!*named) tg_fail_in(err, "under the default policy (--policy chooses another)");
        return TG_STATUS_USAGE;
    }
    size_t workers = plan.worker_count;
    int rc = check_rounds(o->lines, &plan, lines, err);
    if (rc == 0) rc = count_strays(&plan, lines, &strays, err);
    tg_plan_release(&plan);
    if (rc == 0 && access(o->out, F_OK) == 0)
        rc = tg_fail(err, "'%s' exists: a new directory is expected", o->out);
    if (rc < 0) return TG_STATUS_USAGE;
    if (tg_run_directory_make(o->out, texts, directory, sizeof directory, err) < 0 ||
        tg_import_store(lines, texts, directory, err) < 0)
        return TG_STATUS_STOPPED;
    printf("%zu measurements of %zu worker%s in %s\n", lines->count, workers,
           workers == 1 ? "" : "s", o->out);
    if (strays)
        printf("%zu of them belong to no test of the matrix and policy%s\n", strays,
               *named ? "" : ", which is the default: --policy chooses another");
    return 0;
}

int tg_command_import(int argc, char **argv)
{
    struct options options = {0};
    struct tg_error err = {""};
    struct tg_lines lines = {0};
    struct tg_run texts = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int status = TG_STATUS_USAGE;
    if (read_lines(options.lines, &lines, &err) == 0)
        status = import(&options, &lines, &texts, &err);
    if (status) tg_log(TG_ERROR, "%s", err.text);
    tg_store_release(&texts);
    tg_import_release(&lines);
    return status;
}
