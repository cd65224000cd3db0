/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_SURVEY_H
#define TG_WORKER_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "matrix/cell.h"
#include "worker/gpu_list.h"
#include "worker/model/model_source.h"

/*
 * What a kernel library holds, and which of it this machine can run. A child opens the library and
 * says it in one line of JSON; the rank keeps the answer. Surveys decide which cells a worker can
 * run, and for what reason it cannot. In the same way a child asks the driver for GPUs.
 */

struct tg_survey_kernel {
    char name[TG_TEXT_SIZE], op[TG_TEXT_SIZE], format[TG_TEXT_SIZE], isa[TG_TEXT_SIZE];
    char device[TG_TEXT_SIZE];
    bool built, here;
    int64_t column_multiple;
};

struct tg_survey {
    char path[4096];
    char digest[TG_TEXT_SIZE]; /* SHA-256 of the file */
    char build[512];           /* compiler, version and flags */
    int64_t injected_percent;
    bool is_debug;
    struct tg_survey_kernel *kernels;
    size_t count;
    /* What follows is of the worker, not of the library, and the rank's to say (seat.h). */
    int64_t cores;                   /* that one cell can be given, 0 if that is not known */
    char no_gpu[TG_GPU_REASON_SIZE]; /* why a cell cannot be given a GPU, "" if it can */
    int64_t gpu_bytes;               /* free memory of that GPU, 0 if that is not known */
    int64_t memory_bytes;            /* of the node, available to one block; 0 if not known */
    char model_path[1024];           /* the file of the model `gguf` */
    char model_digest[65];           /* its SHA-256 */
    char no_model[256];              /* why there is none, "" if there is one */
};

/* In the child: opens the library and prints its line on the descriptor. */
int tg_survey_answer(const char *path, int descriptor, struct tg_error *err);

/* In a rank: has a child open the library. The result is released by tg_survey_release. */
int tg_survey_take(const char *path, struct tg_survey *survey, struct tg_error *err);

/* Writes down the run's own model file, with its digest, or why it has none. */
void tg_survey_mark_model(struct tg_survey *survey, const struct tg_model_source *models);

/* In the child: asks the driver, and prints its line. */
int tg_survey_answer_gpus(int descriptor, struct tg_error *err);

/*
 * In a rank: has a child ask the driver for the GPUs of this node. A driver that hangs or ends the
 * child is a reason for none; it fails only if the child could not be started.
 */
int tg_survey_take_gpus(struct tg_gpu_list *list, struct tg_error *err);

/* Reads the object of a survey, as in its line and in plan.json. */
int tg_survey_parse(const struct tg_json_file *file, const struct tg_json *object,
                    struct tg_survey *survey, struct tg_error *err);

/* Adds the survey as an object to another. */
void tg_survey_add(struct tg_json *parent, const char *key, const struct tg_survey *survey);

void tg_survey_release(struct tg_survey *survey);

/* The kernel of that name, or NULL; survey may be NULL. */
const struct tg_survey_kernel *tg_survey_find(const struct tg_survey *survey, const char *name);

/*
 * Whether the cell's build is one of its kernel's: of whole models on a device there is only head.
 * If not, the reason is written.
 */
bool tg_survey_has_build(const struct tg_survey_kernel *kernel, const struct tg_cell *cell,
                         char *reason, size_t size);

/*
 * Whether a machine with these surveys (base may be NULL) can run the cell. If not, the reason is
 * written, as it stands behind "skipped".
 */
bool tg_survey_can_run(const struct tg_survey *head, const struct tg_survey *base,
                       const struct tg_cell *cell, char *reason, size_t size);

#endif
