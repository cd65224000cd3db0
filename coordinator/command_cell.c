/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/vocabulary.h"
#include "worker/child.h"
#include "worker/library.h"
#include "worker/probe/probe.h"
#include "worker/seat.h"
#include "worker/supply.h"
#include "worker/survey.h"

/* One cell in this process: by hand, or conducted by a rank (worker/conduct.h). */

struct options {
    const char *text, *library, *survey, *conducted, *device, *seed;
    size_t samples;
    bool gpus;
};

enum { LIBRARY = 256, SAMPLES, SEED, CONDUCTED, DEVICE, SURVEY, GPUS, TIED };

static const struct argp_option option_list[] = {
    {"library", LIBRARY, "LIB", 0, "whose kernels (default: those beside this program)", 0},
    {"samples", SAMPLES, "N", 0, "how many samples (default: 20)", 0},
    {"seed", SEED, "N", 0, "of the operands (default: 1)", 0},
    {"conducted", CONDUCTED, "PID", OPTION_HIDDEN, "talk with that parent", 0},
    {"device", DEVICE, "NAME", OPTION_HIDDEN, "start its driver while that parent prepares", 0},
    {"survey", SURVEY, "LIB", OPTION_HIDDEN, "say what a library holds", 0},
    {"gpus", GPUS, NULL, OPTION_HIDDEN, "say what GPUs the driver has", 0},
    {"tied", TIED, "PID", OPTION_HIDDEN, "die with that parent", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    char *end;
    switch (key) {
    case LIBRARY: o->library = arg; return 0;
    case CONDUCTED: o->conducted = arg; return 0;
    case DEVICE: o->device = arg; return 0;
    case SURVEY: o->survey = arg; return 0;
    case GPUS: o->gpus = true; return 0;
    case TIED: tg_command_tie(state, arg); return 0;
    case SEED: o->seed = tg_command_seed(state, arg); return 0;
    case SAMPLES:
        o->samples = strtoul(arg, &end, 10);
        if (end == arg || *end || *arg == '-' || o->samples < 1 || o->samples > 1000000)
            argp_failure(state, TG_STATUS_USAGE, 0, "unusable number of samples '%s': 1 to 1000000",
                         arg);
        return 0;
    case ARGP_KEY_ARG: tg_command_take(state, "cell", &o->text, arg); return 0;
    case ARGP_KEY_END:
        if (!o->text && !o->conducted && !o->survey && !o->gpus)
            argp_failure(state, TG_STATUS_USAGE, 0, "a cell is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "'CELL'",
    "Makes one measurement in this process, and prints it as a line of JSON (docs/RESULTS.md).\v"
    "For example:\n  tritgate cell 'probe=kernel kernel=i2s_avx2 model=bitnet-2b layer=attn_q'\n"
    "Exit status: 0 measured, 1 wrong, 3 unusable cell.",
    NULL,
    NULL,
    NULL};

/* Whether this machine can run it; the survey opens the library in a process of its own. */
static int check_cell(const struct tg_setup *setup, const struct tg_seat *seat,
                      const struct tg_model_source *models, struct tg_error *err)
{
    struct tg_survey survey;
    struct tg_words words;
    char reason[400];
    if (tg_survey_take(setup->library, &survey, err) < 0) return -1;
    const struct tg_survey *surveys[] = {&survey};
    tg_seat_mark(seat, &survey);
    tg_survey_mark_model(&survey, models);
    int rc = tg_vocabulary_gather(surveys, 1, &words, err);
    if (rc == 0) {
        rc = tg_cell_check(&setup->cell, &words, err);
        tg_vocabulary_release(&words);
    }
    if (rc == 0 && !tg_survey_can_run(&survey, &survey, &setup->cell, reason, sizeof reason))
        rc = tg_fail(err, "%s", reason);
    tg_survey_release(&survey);
    return rc;
}

static int run_by_hand(const struct options *o, struct tg_error *err)
{
    struct tg_setup setup;
    const struct tg_node here = {NULL, NULL};
    struct tg_seat seat;
    struct tg_measurement m;
    tg_probe_setup_init(&setup);
    if (tg_cell_parse(o->text, &setup.cell, err) < 0) return TG_STATUS_USAGE;
    if (tg_words_is_pattern(o->text)) {
        tg_fail(err, "a cell is one, '%s' has a pattern in it", o->text);
        return TG_STATUS_USAGE;
    }
    if (strcmp(setup.cell.build, "base") == 0 && !o->library) {
        tg_fail(err, "build=base needs its library: --library LIB");
        return TG_STATUS_USAGE;
    }
    if (o->library)
        snprintf(setup.library, sizeof setup.library, "%s%s", strchr(o->library, '/') ? "" : "./",
                 o->library);
    else if (tg_library_own_path(setup.library, sizeof setup.library, err) < 0)
        return TG_STATUS_USAGE;
    if (tg_seat_find(&here, &tg_place_alone, &seat, err) < 0) return TG_STATUS_USAGE;
    setup.core_count = seat.place.core_count;
    memcpy(setup.cores, seat.place.cores, sizeof setup.cores);
    if (setup.cell.threads >= 1 && setup.cell.threads <= seat.place.core_count)
        setup.cache_bytes = seat.place.cache_bytes[setup.cell.threads - 1];
    struct tg_model_source models;
    struct tg_limits limits;
    tg_model_source_init(&models, "", "");
    tg_record_init(&tg_limits_type, &limits);
    if (check_cell(&setup, &seat, &models, err) < 0) return TG_STATUS_USAGE;
    if (tg_probe_find(setup.cell.probe)->has_model &&
        tg_supply_model(&models, setup.cell.model,
                        seat.place.core_count > 0 ? seat.place.core_count : 1, limits.make_s,
                        setup.model_path, sizeof setup.model_path, err) < 0)
        return TG_STATUS_USAGE;
    if (seat.place.gpu >= 0) setenv("CUDA_VISIBLE_DEVICES", seat.gpu.uuid, 1);
    snprintf(setup.seed, sizeof setup.seed, "%s", o->seed);
    if (tg_probe_run_alone(&setup, o->samples, &m, err) < 0) return TG_STATUS_USAGE;
    char *line = tg_measurement_to_json(&m);
    puts(line);
    free(line);
    int status = m.outcome == TG_MEASURED ? 0 : 1;
    tg_measurement_free(&m);
    return status;
}

int tg_command_cell(int argc, char **argv)
{
    struct options options = {.samples = 20, .seed = "1"};
    struct tg_error err = {""};
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int status;
    if (options.survey)
        status = tg_survey_answer(options.survey, TG_ANSWER, &err) < 0 ? TG_STATUS_USAGE : 0;
    else if (options.gpus)
        status = tg_survey_answer_gpus(TG_ANSWER, &err) < 0 ? TG_STATUS_USAGE : 0;
    else if (options.conducted)
        status = tg_child_tie(strtol(options.conducted, NULL, 10), &err) < 0 ||
                         tg_probe_run(options.device, &err) < 0
                     ? TG_STATUS_STOPPED
                     : 0;
    else
        status = run_by_hand(&options, &err);
    if (status >= TG_STATUS_USAGE) tg_log(TG_ERROR, "%s", err.text);
    return status;
}
