/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_COMMAND_H
#define TG_COORDINATOR_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

/*
 * The subcommands: each takes its own arguments (argv[0] is "tritgate NAME") and returns the exit
 * status. What goes wrong is one sentence on standard error.
 */

/* Exit statuses; run and gate also use those of tg_gate_status, 0 to 2. */
enum {
    TG_STATUS_USAGE = 3,  /* wrong arguments or unusable input; nothing was measured */
    TG_STATUS_STOPPED = 4 /* it could not go on; what was measured by then, if anything, is kept */
};

struct tg_command {
    const char *name;
    const char *meaning;
    int (*run)(int argc, char **argv);
};

int tg_command_run(int argc, char **argv);
int tg_command_launch(int argc, char **argv);
int tg_command_gate(int argc, char **argv);
int tg_command_report(int argc, char **argv);
int tg_command_merge(int argc, char **argv);
int tg_command_import(int argc, char **argv);
int tg_command_history(int argc, char **argv);
int tg_command_cell(int argc, char **argv);
int tg_command_calibrate(int argc, char **argv);
int tg_command_check(int argc, char **argv);
int tg_command_matrix(int argc, char **argv);
int tg_command_baseline(int argc, char **argv);
int tg_command_model(int argc, char **argv);
int tg_command_doctor(int argc, char **argv);
int tg_command_list(int argc, char **argv);

/* Reads the arguments of run, which are checked; silently, if another rank says what is wrong. */
struct tg_wishes;
int tg_command_read_run(int argc, char **argv, bool is_silent, struct tg_wishes *wishes);

/*
 * For the parsers of their arguments; what is unusable ends the program with one sentence.
 *
 *   take     the one positional argument, a `what`, into *slot
 *   seed     at most 15 digits
 *   seconds  above 0; `what` they are for
 *   tie      of a child: its parent, with which it is to die (worker/child.h)
 */
void tg_command_take(struct argp_state *state, const char *what, const char **slot,
                     const char *arg);
const char *tg_command_seed(struct argp_state *state, const char *arg);
double tg_command_seconds(struct argp_state *state, const char *what, const char *arg);
void tg_command_tie(struct argp_state *state, const char *arg);

/* BITNET_SEED, a number of at most 15 digits; NULL where it is not there or empty. */
int tg_command_environment_seed(const char **seed, struct tg_error *err);

/*
 * The path of the policy to use: `given` if it is a file, or a name, NAME.json, of the folder
 * policy/ beside the matrix or beside the program's sources; without it, the one that the matrix
 * names. `matrix` and its path may be NULL: then it is "" if none is given. Fails for a name that
 * is none of these, and says which there are; for a file that is no matrix; and if it names none.
 */
int tg_command_policy(const char *given, const struct tg_json_file *matrix, const char *path,
                      char *out, size_t size, struct tg_error *err);

/* The folder of matrices beside which the program was built or bundled; "" if that is unknown. */
void tg_command_sources(char *out, size_t size);

/* Writes UTC as it will be in so many seconds, as 2026-03-31T12:00:00Z. */
int tg_command_date(long later_s, char out[TG_TEXT_SIZE], struct tg_error *err);

#endif
