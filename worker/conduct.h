/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_CONDUCT_H
#define TG_WORKER_CONDUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "matrix/policy.h"
#include "matrix/spec.h"
#include "results/measurement.h"
#include "worker/model/model_source.h"
#include "worker/place.h"

/*
 * One round of one block: a fresh process for each cell, all alive together on the same core. They
 * are prepared, checked and warmed up one after the other, then take their samples in turn, in an
 * order drawn by coin (turns.h), while this process sleeps.
 *
 *   conductor                         child (tritgate cell --conducted)
 *   {"do":"prepare", setup}       ->  operands; answers its measurement so far
 *   {"do":"warm"}                 ->  check, warm-up; answers
 *   {"do":"turns", "side":0}      ->  samples in turn; answers
 *   end of file                   ->  exits
 */

struct tg_order {
    struct tg_block block;
    int64_t round, attempt;
    uint64_t seed;    /* of the operands and of all draws */
    bool is_complete; /* compare every result with the reference */
    bool is_apart;    /* others of the domain are timed beside it: it takes cores before theirs */
    double wait_s;    /* for other runs, at most: its time is over then */
    /* Why nothing is started, and all is skipped; NULL to measure. */
    const char *left_out;
};

/* Where a round is conducted, and with what. */
struct tg_bench {
    char head[4096], base[4096];   /* the kernel libraries; base may be "" */
    struct tg_model_source models; /* where whole models come from */
    struct tg_limits limits;
    struct tg_place place;
    int64_t memory_bytes; /* its part of the node's, where others are timed on others; else 0 */
    char host[TG_TEXT_SIZE];
    char hardware[TG_TEXT_SIZE]; /* class of the machine; may be "" */
    int rank;
};

/*
 * Conducts a round and writes one measurement for each cell of the block; they are to be freed.
 * How the cells went is in their outcomes. A cell whose partner broke is marked unpaired and keeps
 * the samples it has. Fails only if the round could not be begun.
 */
int tg_conduct(const struct tg_bench *bench, const struct tg_order *order,
               struct tg_measurement measurements[2], struct tg_error *err);

#endif
