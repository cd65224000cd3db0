/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_NOTES_H
#define TG_WORKER_PROBE_MODEL_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include "results/measurement.h"
#include "worker/model/forward.h"

/*
 * What is known of the samples of a whole model besides their times: memory after each, and where
 * the time of a call went. Each becomes a series with the turns of the samples, so that two builds
 * are compared in it as in time, stage by stage.
 *
 *   take, take, ... -> add -> release
 */

struct tg_model_note {
    size_t turn;
    int64_t begun;                  /* monotonic nanoseconds, as of the sample */
    int64_t held_bytes, peak_bytes; /* set by tg_model_notes_take */
    struct tg_forward_times stages; /* seconds of one call, as is the next */
    double choose_s;
    double tokenize_rate; /* tokens a second, 0 where no text was read */
};

struct tg_model_notes {
    struct tg_model_note *list;
    size_t count, room;
};

/* Reads the memory of this process, and keeps the note. Without memory it is lost. */
void tg_model_notes_take(struct tg_model_notes *notes, const struct tg_model_note *note);

/* Adds a series for each quantity that all notes have. */
void tg_model_notes_add(const struct tg_model_notes *notes, struct tg_measurement *m);

void tg_model_notes_release(struct tg_model_notes *notes);

#endif
