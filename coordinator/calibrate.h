/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_CALIBRATE_H
#define TG_COORDINATOR_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "coordinator/history.h"
#include "coordinator/simulate.h"

/*
 * How well the gate keeps its promises: scenes whose truth is known are run, simulated or on this
 * machine, and what was promised is put beside what was seen, with its exact interval.
 *
 * A calibration is begun under a policy, filled by tg_calibrate_simulate or tg_calibrate_farm, then
 * told by tg_calibrate_print and its kin (calibrate_report.c), and released.
 */

enum { TG_EFFECT_MOST = 32 };

struct tg_calibrate_options {
    size_t gates, cells;   /* simulated gates without a slow-down, and the tests of each */
    size_t tests;          /* simulated at every other point */
    double sd;             /* of D there */
    const char *law;       /* of the gates and of power; "all": each in turn */
    const double *effects; /* of the power points, as ratios less 1 */
    size_t effect_count;   /* at most TG_EFFECT_MOST */
    uint64_t seed;
    int families;      /* watched: 1 or 0; -1: as the policy says */
    bool has_ablation; /* run this one beside the whole method, and nothing else */
    enum tg_ablation ablation;
    const struct tg_noise_record *record; /* or NULL */
    size_t threads;
    double budget_s; /* no point is begun later than this; 0: no limit */
};

/* The defaults: what GATE-sized pull requests look like, on a machine of moderate noise. */
void tg_calibrate_defaults(struct tg_calibrate_options *options);

/* One truth, looked at many times. */
struct tg_point {
    const char *part; /* "gates", "boundary", "power", "drift", "severity", "ablation", "farm" */
    const char *name; /* of the law, ablation or library; borrowed */
    double effect;    /* the truth, as a ratio less 1; NAN: unknown */
    double sd, sigma; /* of D and of its spread, as in tg_scene; NAN: unknown */
    bool is_done;     /* false: the budget was spent before */
    double seconds;   /* that its rounds take, all together */
    struct tg_tally seen;
};

enum tg_promise_state { TG_KEPT, TG_OPEN, TG_BROKEN };

/* What was promised: that a share is at most or at least so much. */
struct tg_promise {
    char text[120];
    bool is_least; /* at least; else at most */
    double share;  /* that was promised */
    size_t events, trials;
    struct tg_interval bounds; /* Clopper & Pearson, 95 % */
    enum tg_promise_state state;
};

/* Room for the points of all seven laws: of each its effects, and at most 12 more. */
enum { TG_POINT_MOST = 320, TG_PROMISE_MOST = 96 };

struct tg_calibration {
    const struct tg_policy *policy; /* borrowed */
    const struct tg_rule *rule;     /* its first noninferior rule */
    struct tg_limits limits;        /* its limits, with families watched or not as was asked, and
                                       with nothing held for want of sessions */
    size_t required_count;          /* N */
    bool is_simulated;
    uint64_t seed;
    struct tg_point *points;
    size_t point_count;
    struct tg_promise *promises;
    size_t promise_count;
    bool has_alarms;
    struct tg_alarms alarms; /* of this farm's history, with the runs that were just added */
};

/* Finds the rule in the policy; fails if it has none of the kind noninferior. */
int tg_calibrate_begin(const struct tg_policy *policy, struct tg_calibration *calibration,
                       struct tg_error *err);

/* Runs every scene of the options; says on standard error how far it is. */
int tg_calibrate_simulate(const struct tg_calibrate_options *options,
                          struct tg_calibration *calibration, struct tg_error *err);

struct tg_farm_options {
    const char *matrix;
    const char *policy;  /* a file, or NULL: the matrix's own */
    const char *head;    /* a library that is slower than this program's, or NULL: A/A only */
    const char *out;     /* the directory that keeps the runs; must not exist. NULL: none is kept */
    const char *history; /* the store that the A/A runs are added to, or NULL */
    size_t runs;         /* of each kind */
    double budget_s;     /* no run is begun later than this; 0: no limit */
};

/*
 * Runs this program on this machine, one run after the other (calibrate_farm.c): this program's
 * library against itself and, if there is a `head`, that against this program's. The truth of a
 * library that was slowed on purpose is what it says of itself, for the tests that its run calls
 * slower. Fails if a run could not be made; SIGINT and SIGTERM end the run that is under way.
 */
int tg_calibrate_farm(const struct tg_farm_options *options, struct tg_calibration *calibration,
                      struct tg_error *err);

/*
 * Adds a decided run to its point. A library that is slowed in some kernels only does not say in
 * which, so that no interval of its runs can be held against a truth.
 */
void tg_calibrate_count(struct tg_calibration *calibration, const struct tg_plan *plan,
                        const struct tg_decision *decision, struct tg_point *point);

/*
 * Noise that was recorded (calibrate_noise.c): of a file as tg_noise_record_read reads it, or of
 * the directory of a run, from its noninferior tests. To be released by tg_noise_record_release.
 */
int tg_calibrate_record(const char *path, struct tg_noise_record *record, struct tg_error *err);

void tg_calibrate_release(struct tg_calibration *calibration);

/*
 * Adds a promise about events among trials (0 of them: nothing is added). It is kept when even the
 * far end of the interval is within, broken when even the near end is not, and open between.
 */
void tg_calibrate_promise(struct tg_calibration *calibration, bool is_least, double share,
                          size_t events, size_t trials, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/*
 * The least slow-down that is promised to fail, as the rule names it: where what fails begins, and
 * the tolerance above that, since at the cut itself every second test is called milder.
 */
double tg_calibrate_sure(const struct tg_rule *rule);

/* Whether any promise was broken. */
bool tg_calibrate_is_broken(const struct tg_calibration *calibration);

/* "kept", "open", "broken". */
const char *tg_calibrate_word(enum tg_promise_state state);

/* As a table, as JSON into a file (calibrate_report.c), and the power of each noise as a plot, SVG
 * (calibrate_plot.c). */
void tg_calibrate_print(FILE *out, const struct tg_calibration *calibration);
int tg_calibrate_write(const char *path, const struct tg_calibration *calibration,
                       struct tg_error *err);
int tg_calibrate_plot(const char *path, const struct tg_calibration *calibration,
                      struct tg_error *err);

#endif
