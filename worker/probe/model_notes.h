/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_NOTES_H
#define TG_WORKER_PROBE_MODEL_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include "results/measurement.h"
#include "worker/model/session.h"

/*
 * What is known of the samples of a whole model besides their times: memory after each, and where
 * the time of a call went. Each becomes a series with the turns of the samples, so that two builds
 * are compared in it as in time, stage by stage.
 *
 *   take, take, ... -> add -> release
 */

struct tg_model_note {
    size_t turn;
    int64_t begun;                         /* monotonic nanoseconds, as of the sample */
    int64_t held_bytes, peak_bytes;        /* set by tg_model_notes_take */
    struct tg_forward_times stages;        /* seconds of one call, as are the next two */
    struct tg_forward_device_times device; /* instead, where a device computes */
    double choose_s;
    int64_t gpu_bytes;    /* of the device's memory that are taken, 0 where there is none */
    double tokenize_rate; /* tokens a second, 0 where no text was read */
};

struct tg_model_notes {
    struct tg_model_note *list;
    size_t count, room;
};

/* Adds so much of all that the session's stages took until now: -1 before a call, and 1 behind it.
 */
void tg_model_notes_stages(const struct tg_session *session, double share,
                           struct tg_model_note *note);

/* Reads the memory of this process, and keeps the note. Without memory it is lost. */
void tg_model_notes_take(struct tg_model_notes *notes, const struct tg_model_note *note);

/* Adds a series for each quantity that all notes have. */
void tg_model_notes_add(const struct tg_model_notes *notes, struct tg_measurement *m);

void tg_model_notes_release(struct tg_model_notes *notes);

#endif
