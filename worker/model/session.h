/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_SESSION_H
#define TG_WORKER_MODEL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/choose.h"
#include "worker/model/forward.h"
#include "worker/model/forward_device.h"
#include "worker/model/model.h"
#include "worker/model/tokenizer.h"

/*
 * A model that is ready to run, from its file to its threads, and what an inference with it took:
 *
 *   open -> generate, generate, ... -> close
 *
 * Each generation begins with an empty context. Times are of the steady clock, in seconds.
 */

struct tg_session_options {
    const char *path;
    const char *kernel; /* of the ternary products; NULL: a fast one of this machine. A device has
                           its own but for batches, and the library's row is of that device */
    const struct tg_library *library; /* whose kernel that is; NULL: this program's own */
    const char *layout;               /* of matrices of type 36; NULL: as the file shows */
    const int *cores; /* one for each thread, of which the caller is on the first; or NULL */
    int threads;
    int64_t context;    /* tokens kept, at most; never more than those that the model has */
    int64_t batch;      /* tokens computed together, at most */
    bool is_wide;       /* keys and values are float32, else float16 */
    bool has_no_text;   /* the file's tokenizer is not opened */
    const char *device; /* that computes, a row of forward_devices.def; NULL: the host */
};

struct tg_session {
    struct tg_gguf *gguf;
    struct tg_network network;
    struct tg_network_layout layout;
    struct tg_tokenizer *tokenizer; /* NULL if it was not opened */
    struct tg_pool *pool;
    struct tg_weights weights;
    struct tg_forward *forward;             /* NULL if a device computes: */
    const struct tg_forward_device *device; /* then this, and its state; else NULL */
    void *on_device;
    const struct tg_kernel *product; /* of its batches; NULL: a fast one of the program's */
    float *logits;                   /* of the last token; of a device's, when they are asked for */
    int32_t chosen;                  /* by the device, */
    bool is_chosen;                  /* if it is known */
    double load_s;     /* the file mapped, its values read; on a device, copied there */
    double quantise_s; /* ternary matrices packed for their kernels */
};

/* The vocabulary of a network's file; its head must have a row for each token. */
int tg_session_open_tokenizer(const struct tg_gguf *gguf, const struct tg_network *network,
                              struct tg_tokenizer **tokenizer, struct tg_error *err);

/* *session stays where it is until it is closed; after a failure there is nothing to close. */
int tg_session_open(const struct tg_session_options *options, struct tg_session *session,
                    struct tg_error *err);

/*
 * Piece by piece, whichever computes: tokens behind those that are kept; the token of the largest
 * logit behind the last, of equal ones the first; and the logits of the last, which are the
 * session's until the next piece.
 *
 *   rewind -> run (a prompt) -> choose -> step, choose, step, choose, ... -> logits
 */
int tg_session_run(struct tg_session *session, const int32_t *tokens, int64_t count,
                   struct tg_error *err);

/* The same, and the logits of each of them (count x vocabulary). */
int tg_session_run_all(struct tg_session *session, const int32_t *tokens, int64_t count,
                       float *logits, struct tg_error *err);

int tg_session_choose(struct tg_session *session, int32_t *token, struct tg_error *err);

/* Runs the token that was chosen at this position, in this pass or in an earlier one. */
int tg_session_step(struct tg_session *session, int32_t token, struct tg_error *err);

/* In no time that is told as a stage. */
const float *tg_session_logits(struct tg_session *session);

/* As tg_forward_rewind and tg_forward_revisit. */
void tg_session_rewind(struct tg_session *session, int64_t position);
void tg_session_revisit(struct tg_session *session, int64_t position);

struct tg_generation {
    struct tg_tokens prompt;
    struct tg_tokens tokens; /* that were generated; the one that ends a text is not among them */
    bool has_ended;          /* by such a token */
    double *token_s;         /* what each took, from the second on: tokens.count - 1 */
    double tokenize_s;       /* the prompt to tokens */
    double prefill_s;        /* the prompt computed */
    double first_token_s;    /* from the text to the first token, which may end it: these two, and
                                choosing it */
    double decode_s;         /* from the first token to the last */
    double end_s;            /* from there to the token that ended the text; 0: it is the first */
    double choose_s;         /* of these three: choosing tokens */
    struct tg_forward_times stages;        /* of prefill and decode */
    struct tg_forward_device_times device; /* instead, where a device computes */
};

/*
 * Generates at most `most` tokens behind a text, or behind prompt->ids if text is NULL (then
 * generation->prompt has been filled by the caller). With ignores_end, what ends a text is a token
 * like any other, so that measurements have as many as they ask for. Fails if a logit is not
 * finite; where a device chose by itself, one of the first or of the last. To be released.
 */
int tg_session_generate(struct tg_session *session, const char *text, int64_t most,
                        const struct tg_choice *choice, bool ignores_end,
                        struct tg_generation *generation, struct tg_error *err);

/* The p-th part (0..1) of the times of tokens, in order; NAN if there are none. */
double tg_session_token_s(const struct tg_generation *generation, double p);

/* Bytes that one token at this position reads: matrices, head, keys and values. */
int64_t tg_session_token_bytes(const struct tg_session *session, int64_t position);

/*
 * What the memory of a session depends on. A kernel of NULL is one of two bits a weight; for a file
 * of others neither kernel nor model is asked for.
 */
struct tg_session_size {
    const struct tg_model *model;
    const struct tg_kernel *kernel;
    int64_t context, batch;
    int threads;
    bool has_second; /* and a second forward pass, which the first is held against */
};

/* Bytes of private memory that a session of a synthetic model needs, at most, while it is opened.
 */
int64_t tg_session_bytes(const struct tg_session_size *size);

/* The same of a session of a file of others; -1 if it cannot be read. */
int64_t tg_session_file_bytes(const char *path, const struct tg_session_size *size);

/* Bytes of a device's memory that a session of a synthetic model needs there, at most, about, while
 * it is checked. */
int64_t tg_session_device_bytes(const struct tg_session_size *size);

/* Bytes a second that all threads read of the model's own pages: the best of three goes. */
double tg_session_read_rate(struct tg_session *session);

void tg_generation_release(struct tg_generation *generation);

/* May be called on what was never opened, if it was 0 throughout. */
void tg_session_close(struct tg_session *session);

#endif
