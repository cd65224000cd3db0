/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/model_run.h"
#include "coordinator/model_show.h"
#include "worker/model/model_cache.h"
#include "worker/place.h"

/* Whole models, as files. */

struct options {
    const char *verb, *name, *out, *cache, *ternary, *head, *seed;
    int threads;
    bool json, tensors;
};

enum { TENSORS = 256, OUT, SEED, TERNARY, HEAD, THREADS, CACHE, TIED };

static const struct argp_option option_list[] = {
    {"json", 'j', NULL, 0, "show: as JSON, with all tensors", 0},
    {"tensors", TENSORS, NULL, 0, "show: all tensors", 0},
    {"out", OUT, "FILE", 0, "make: the file to write; must not exist", 0},
    {"model-cache", CACHE, "DIR", 0, "make: keep it there, and print its path", 0},
    {"seed", SEED, "N", 0, "make: of the weights (default: 1)", 0},
    {"ternary", TERNARY, "TYPE", 0,
     "make: I2_S, TL1, TL2, TQ1_0 or TQ2_0 (default: I2_S, or TL2 where I2_S cannot be)", 0},
    {"head", HEAD, "TYPE", 0, "make: F16, BF16, F32, Q8_0 or Q6_K (default: F16)", 0},
    {"threads", THREADS, "N", 0, "make: so many (default: one for each core)", 0},
    {"tied", TIED, "PID", OPTION_HIDDEN, "die with that parent", 0},
    {NULL, 0, NULL, 0, "run:", 1},
#define OPTION(KEY, name, argument, meaning)                                                       \
    {"--" name "=" argument, 0, NULL, OPTION_DOC, meaning, 1},
#define FLAG(KEY, name, meaning) {"--" name, 0, NULL, OPTION_DOC, meaning, 1},
#include "coordinator/model_run.def"
#undef OPTION
#undef FLAG
    {0}};

static const struct {
    const char *verb, *needs;
} verbs[] = {{"show", "a file"}, {"make", "the name of a model"}};

static void check(struct argp_state *state, const struct options *o)
{
    const char *needs = NULL;
    if (!o->verb) argp_failure(state, TG_STATUS_USAGE, 0, "show, make or run is expected");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(o->verb, verbs[i].verb) == 0) needs = verbs[i].needs;
    if (!needs)
        argp_failure(state, TG_STATUS_USAGE, 0, "no such verb '%s': show, make or run", o->verb);
    if (!o->name) argp_failure(state, TG_STATUS_USAGE, 0, "%s needs %s", o->verb, needs);
    if (strcmp(o->verb, "make") == 0 && !o->out == !o->cache)
        argp_failure(state, TG_STATUS_USAGE, 0, "make needs either --out or --model-cache");
}

static int threads_of(struct argp_state *state, const char *arg)
{
    char *end;
    const long threads = strtol(arg, &end, 10);
    if (end == arg || *end || threads < 1 || threads > TG_PLACE_CORES)
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable threads '%s': 1 to %d", arg,
                     TG_PLACE_CORES);
    return (int)threads;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j': o->json = true; return 0;
    case TENSORS: o->tensors = true; return 0;
    case OUT: o->out = arg; return 0;
    case CACHE: o->cache = arg; return 0;
    case SEED: o->seed = tg_command_seed(state, arg); return 0;
    case TERNARY: o->ternary = arg; return 0;
    case HEAD: o->head = arg; return 0;
    case TIED: tg_command_tie(state, arg); return 0;
    case THREADS: o->threads = threads_of(state, arg); return 0;
    case ARGP_KEY_ARG:
        if (!o->verb)
            o->verb = arg;
        else
            tg_command_take(state, "name", &o->name, arg);
        return 0;
    case ARGP_KEY_END: check(state, o); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "show FILE\nmake NAME --out FILE\nrun FILE --prompt TEXT",
    "Whole models. show prints what a GGUF file holds, and whether and how it would be run; make "
    "writes a GGUF file of the shape of a row of 'tritgate list models', with random weights "
    "(docs/MODELS.md).\v"
    "Exit status: 0, 3 for a file or name that is unusable, 4 if the file could not be written.",
    NULL,
    NULL,
    NULL};

static int show(const struct options *o, struct tg_error *err)
{
    struct tg_json_file object;
    if (tg_model_show_read(o->name, &object, err) < 0) return TG_STATUS_USAGE;
    if (o->json) {
        char *text = tg_json_print(object.root, true);
        puts(text);
        free(text);
    } else {
        tg_model_show_print(object.root, o->tensors);
    }
    tg_json_release(&object);
    return 0;
}

static int make(const struct options *o, struct tg_error *err)
{
    struct tg_synthetic what = {tg_model_find(o->name), o->ternary, o->head,
                                strtoull(o->seed, NULL, 10)};
    struct tg_place place;
    struct tg_pool *pool;
    struct stat there; /* also of a link that leads nowhere */
    char path[4096];
    int64_t bytes;
    bool was_made = true;
    int threads = o->threads;
    if (!what.model) {
        tg_fail(err, "no such model '%s'; tritgate list models has them", o->name);
        return TG_STATUS_USAGE;
    }
    if (!what.ternary) what.ternary = tg_synthetic_ternary(what.model);
    if (tg_synthetic_bytes(&what, &bytes, err) < 0) return TG_STATUS_USAGE;
    if (o->out && lstat(o->out, &there) == 0) {
        tg_fail(err, "'%s' exists; --out names a new file", o->out);
        return TG_STATUS_USAGE;
    }
    if (threads == 0)
        threads = tg_place_find(NULL, NULL, &tg_place_alone, &place, NULL) == 0 ? place.core_count
                                                                                : 1;
    if (tg_pool_create(threads, NULL, &pool, err) < 0) return TG_STATUS_STOPPED;
    const double began = tg_now();
    int rc = o->cache ? tg_model_cache_get(o->cache, &what, pool, path, sizeof path, &was_made, err)
                      : tg_synthetic_write(&what, pool, o->out, err);
    tg_pool_destroy(pool);
    if (rc < 0) return TG_STATUS_STOPPED;
    if (o->cache) puts(path);
    if (was_made) tg_log(TG_INFO, "%s made in %.1f s", o->name, tg_now() - began);
    return 0;
}

int tg_command_model(int argc, char **argv)
{
    struct options options = {.seed = "1", .head = "F16"};
    struct tg_error err = {""};
    static char title[] = "tritgate model run";
    if (argc > 1 && strcmp(argv[1], "run") == 0) {
        argv[1] = title;
        return tg_model_run_command(argc - 1, argv + 1);
    }
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    const int status = strcmp(options.verb, "show") == 0 ? show(&options, &err)
                                                         : make(&options, &err);
    if (status != 0) tg_log(TG_ERROR, "%s", err.text);
    return status;
}
