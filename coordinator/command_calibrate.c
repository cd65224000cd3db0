/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/calibrate.h"
#include "coordinator/command.h"
#include "coordinator/import.h"
#include "coordinator/run_directory.h"
#include "coordinator/vocabulary.h"
#include "worker/place.h"

/* How well the gate keeps its promises, simulated or on this machine. */

struct options {
    struct tg_calibrate_options simulation;
    struct tg_farm_options farm;
    const char *policy, *noise, *json, *plot;
    double effects[TG_EFFECT_MOST];
    bool is_simulated;
    bool has_simulated, has_real; /* an option was given that only the one, or the other, has */
};

enum {
    SIMULATE = 256,
    BUDGET,
    JSON,
    HEAD, /* to HISTORY: only without --simulate */
    RUNS,
    HISTORY,
    GATES, /* and what follows: only with it */
    CELLS,
    TESTS,
    LAW,
    PLOT,
    SD,
    EFFECT,
    SEED,
    ABLATION,
    NOISE,
    THREADS,
    FAMILIES
};

static const struct argp_option option_list[] = {
    {"simulate", SIMULATE, NULL, 0,
     "simulate the rounds: the truth is known, the machine is not "
     "used",
     0},
    {"policy", 'p', "FILE", 0,
     "whose numbers are used, a file or a name (default: the matrix's; simulated: kernels, as "
     "built in)",
     0},
    {"json", JSON, "FILE", 0, "write all numbers here", 0},
    {"budget", BUDGET, "SECONDS", 0, "begin nothing later than this", 0},
    {NULL, 0, NULL, 0, "Without --simulate, on this machine:", 1},
    {"runs", RUNS, "N", 0, "runs of each kind (default: 20)", 0},
    {"head", HEAD, "LIB", 0, "run this library, which is slower, as well", 0},
    {"history", HISTORY, "STORE", 0,
     "add the runs of a build against itself to this history, and say how many false alarms it has",
     1},
    {"out", 'o', "DIR", 0, "keep the runs here; must not exist (default: they are not kept)", 0},
    {NULL, 0, NULL, 0, "With --simulate:", 2},
    {"gates", GATES, "N", 0, "gates without a slow-down (default: 2000)", 0},
    {"cells", CELLS, "N", 0, "tests of a gate (default: 300)", 0},
    {"tests", TESTS, "N", 0, "tests of every other kind (default: 5000)", 0},
    {"law", LAW, "NAME", 0,
     "noise of gates and power: normal, skewed (default), t3, ar1, drift, "
     "drift_fixed, recorded, or all",
     0},
    {"noise", NOISE, "PATH", 0, "recorded noise: a run's directory, or a file with one D a line",
     0},
    {"sd", SD, "PERCENT", 0, "of D, where tests do not differ in it (default: 1.5)", 0},
    {"effect", EFFECT, "LIST", 0, "slow-downs of the power table, as 2,5,10 (per cent)", 0},
    {"plot", PLOT, "FILE", 0, "draw power by effect into this SVG file; not with --ablation", 0},
    {"ablation", ABLATION, "NAME", 0,
     "only compare the method with itself less one thing: "
     "fixed-order, pooled-samples, peeking, no-multiplicity",
     0},
    {"families", FAMILIES, "on|off", 0, "watch families or not (default: as the policy says)", 0},
    {"seed", SEED, "N", 0, "draw other noise (default: 1)", 0},
    {"threads", THREADS, "N", 0, "at a time (default: one a core); the result is the same", 0},
    {0}};

/* A whole number from 1 to 10 million. */
static size_t number(struct argp_state *state, const char *what, const char *arg)
{
    char *end;
    unsigned long value = strtoul(arg, &end, 10);
    if (*arg < '0' || *arg > '9' || *end || value < 1 || value > 10000000)
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable %s '%s': a number from 1 to 10000000",
                     what, arg);
    return value;
}

/* A percentage above `least`, as a share. *end: where it ends, NULL: the whole text. */
static double percent(struct argp_state *state, const char *what, const char *arg, double least,
                      const char **rest)
{
    char *end;
    double value = strtod(arg, &end);
    bool is_whole = *end == 0 || (rest && *end == ',' && end[1]);
    if (end == arg || !is_whole || !(value > least && value <= 1000))
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable %s '%s': per cent above %g", what, arg,
                     least);
    if (rest) *rest = *end ? end + 1 : NULL;
    return value / 100;
}

static void take_effects(struct argp_state *state, struct options *o, const char *arg)
{
    size_t count = 0;
    while (arg) {
        if (count == TG_EFFECT_MOST)
            argp_failure(state, TG_STATUS_USAGE, 0, "at most %d effects", TG_EFFECT_MOST);
        o->effects[count++] = percent(state, "effect", arg, -90, &arg);
    }
    o->simulation.effects = o->effects;
    o->simulation.effect_count = count;
}

static int on_or_off(struct argp_state *state, const char *arg)
{
    if (strcmp(arg, "on") == 0) return 1;
    if (strcmp(arg, "off") != 0)
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable families '%s': on or off", arg);
    return 0;
}

static const char *law(struct argp_state *state, const char *arg)
{
    if (strcmp(arg, "all") != 0 && !tg_noise_find(arg))
        argp_failure(state, TG_STATUS_USAGE, 0, "no such law of noise '%s'; see --help", arg);
    return arg;
}

static void take_ablation(struct argp_state *state, struct tg_calibrate_options *o, const char *arg)
{
    int found = tg_ablation_find(arg);
    if (found < 0) argp_failure(state, TG_STATUS_USAGE, 0, "no such ablation '%s'", arg);
    o->has_ablation = true;
    o->ablation = (enum tg_ablation)found;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    struct tg_calibrate_options *s = &o->simulation;
    o->has_real |= (key >= HEAD && key <= HISTORY) || key == 'o' || key == ARGP_KEY_ARG;
    o->has_simulated |= key >= GATES && key <= FAMILIES;
    switch (key) {
    case SIMULATE: o->is_simulated = true; return 0;
    case 'p': o->policy = arg; return 0;
    case JSON: o->json = arg; return 0;
    case NOISE: o->noise = arg; return 0;
    case GATES: s->gates = number(state, "number of gates", arg); return 0;
    case CELLS: s->cells = number(state, "number of cells", arg); return 0;
    case TESTS: s->tests = number(state, "number of tests", arg); return 0;
    case THREADS: s->threads = number(state, "number of threads", arg); return 0;
    case LAW: s->law = law(state, arg); return 0;
    case SD: s->sd = percent(state, "sd", arg, 0, NULL); return 0;
    case EFFECT: take_effects(state, o, arg); return 0;
    case ABLATION: take_ablation(state, s, arg); return 0;
    case FAMILIES: s->families = on_or_off(state, arg); return 0;
    case SEED: s->seed = strtoull(tg_command_seed(state, arg), NULL, 10); return 0;
    case BUDGET:
        s->budget_s = o->farm.budget_s = tg_command_seconds(state, "budget", arg);
        return 0;
    case HEAD: o->farm.head = arg; return 0;
    case RUNS: o->farm.runs = number(state, "number of runs", arg); return 0;
    case HISTORY: o->farm.history = arg; return 0;
    case PLOT: o->plot = arg; return 0;
    case 'o': o->farm.out = arg; return 0;
    case ARGP_KEY_ARG: tg_command_take(state, "matrix", &o->farm.matrix, arg); return 0;
    case ARGP_KEY_END:
        if (!o->is_simulated && !o->farm.matrix)
            argp_failure(state, TG_STATUS_USAGE, 0, "a matrix or --simulate is missing");
        if (o->is_simulated && o->has_real)
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "--simulate measures nothing: it takes no matrix, --head, --out, --runs "
                         "or --history");
        if (!o->is_simulated && o->has_simulated)
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "an option was given that means nothing without --simulate; see --help");
        if (o->plot && s->has_ablation)
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "--plot draws power by effect, and --ablation has none to draw");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "MATRIX\n--simulate",
    "Says how well the gate keeps its promises: false alarms, slow-downs found and missed, rounds, "
    "intervals and severities, each with its exact bounds.\v"
    "Exit status: 0 no promise was broken, 1 one was, 3 unusable input, 4 stopped.",
    NULL,
    NULL,
    NULL};

/* The path of the policy that a matrix names. */
static int find_policy(const char *matrix, char *path, size_t size, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_read(matrix, &file, err) < 0) return tg_fail_in(err, "matrix");
    int rc = tg_command_policy(NULL, &file, matrix, path, size, err);
    tg_json_release(&file);
    return rc;
}

/* The policy given, else the matrix's, else the one that was built in. */
static int read_policy(const struct options *o, struct tg_policy *policy, struct tg_error *err)
{
    char path[4096] = "";
    struct tg_json_file file;
    struct tg_words words;
    if (o->policy && tg_command_policy(o->policy, NULL, o->farm.matrix, path, sizeof path, err) < 0)
        return -1;
    if (!o->policy && !o->is_simulated && find_policy(o->farm.matrix, path, sizeof path, err) < 0)
        return -1;
    int rc = *path ? tg_json_read(path, &file, err)
                   : tg_json_parse((const char *)tg_import_policy, &file, err);
    if (rc < 0) return tg_fail_in(err, "policy");
    rc = tg_vocabulary_gather(NULL, 0, &words, err);
    if (rc == 0) {
        rc = tg_policy_parse(&file, &words, policy, err);
        if (rc < 0) tg_fail_in(err, "policy");
        tg_vocabulary_release(&words);
    }
    tg_json_release(&file);
    return rc;
}

static int calibrate(struct options *o, int *status, struct tg_error *err)
{
    struct tg_policy policy;
    struct tg_noise_record record = {0};
    struct tg_calibration calibration = {0};
    if (o->is_simulated && strcmp(o->simulation.law, "recorded") == 0 && !o->noise)
        return tg_fail(err, "the law 'recorded' needs --noise");
    if (o->json && tg_json_can_write(o->json, err) < 0) return -1;
    if (tg_run_directory_can_write(o->plot, err) < 0) return -1;
    if (read_policy(o, &policy, err) < 0) return -1;
    int rc = tg_calibrate_begin(&policy, &calibration, err);
    if (rc == 0 && o->noise) rc = tg_calibrate_record(o->noise, &record, err);
    if (rc == 0 && o->noise) o->simulation.record = &record;
    o->farm.policy = o->policy;
    if (rc == 0)
        rc = o->is_simulated ? tg_calibrate_simulate(&o->simulation, &calibration, err)
                             : tg_calibrate_farm(&o->farm, &calibration, err);
    if (rc == 0) tg_calibrate_print(stdout, &calibration);
    if (rc == 0 && o->json) rc = tg_calibrate_write(o->json, &calibration, err);
    if (rc == 0 && o->plot) rc = tg_calibrate_plot(o->plot, &calibration, err);
    if (rc == 0)
        *status = tg_calibrate_is_broken(&calibration);
    else if (calibration.point_count > 0)
        *status = TG_STATUS_STOPPED;
    tg_calibrate_release(&calibration);
    tg_noise_record_release(&record);
    tg_policy_release(&policy);
    return rc;
}

int tg_command_calibrate(int argc, char **argv)
{
    struct options options = {.farm.runs = 20};
    struct tg_error err = {""};
    int status = TG_STATUS_USAGE;
    tg_calibrate_defaults(&options.simulation);
    options.simulation.threads = (size_t)tg_place_processors();
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (calibrate(&options, &status, &err) == 0) return status;
    tg_log(TG_ERROR, "%s", err.text);
    return status;
}
