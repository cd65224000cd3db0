/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_MODEL_RUN_H
#define TG_COORDINATOR_MODEL_RUN_H

#include "base/error.h"
#include "base/json.h"
#include "worker/model/session.h"

/*
 * tritgate model run: a text, what it took by stages, and the same as JSON.
 *
 * The JSON has the fields of the benchmark report of BitNet-rs (`xtask benchmark --json`), whose
 * times are whole milliseconds, and under `tritgate` the times as they were measured, in seconds,
 * and whether the model is synthetic.
 */

struct tg_model_run_report {
    const char *path, *prompt;
    const char *device; /* as asked for, NULL for the host */
    char *text;         /* generated: any bytes, zero bytes too */
    size_t text_size;
    const struct tg_session *session;
    const struct tg_generation *generation;
    double warmup_s;
    int64_t warmup_tokens;
    double read_rate;     /* bytes a second, in this process */
    int64_t memory_bytes; /* most that this process had; -1: unknown */
    const char *error;    /* a sentence, if there was no generation; else NULL */
};

/*
 * The text of what was generated behind a prompt, allocated. A model's head may have more rows than
 * its vocabulary has tokens: such tokens have no text, and *untold becomes how many there are.
 */
int tg_model_run_text(const struct tg_tokenizer *tokenizer, const struct tg_tokens *prompt,
                      const struct tg_tokens *tokens, char **text, size_t *size, size_t *untold,
                      struct tg_error *err);

/* To be freed by tg_json_free. */
struct tg_json *tg_model_run_json(const struct tg_model_run_report *report);

/* The table of stages and the rates, on standard output. */
void tg_model_run_print(const struct tg_model_run_report *report);

/* The command, of arguments behind "model run"; returns the exit status. */
int tg_model_run_command(int argc, char **argv);

#endif
