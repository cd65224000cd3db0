/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dispatch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pulse.h"
#include "coordinator/evidence.h"
#include "coordinator/lease.h"
#include "coordinator/queue.h"
#include "coordinator/skipped.h"
#include "coordinator/standing.h"
#include "kernels/fill.h"
#include "results/telegram.h"

#define PLAIN_EVERY_S 10
#define LOOK_EVERY_S  0.1
#define SEEDS         1000000000000000u /* 15 digits, as `tritgate cell --seed` takes them */

struct dispatch {
    struct tg_crew *crew;
    const struct tg_capability *workers;
    const struct tg_plan *plan;
    struct tg_queue *queue;
    struct tg_standing *standing;
    struct tg_leases *leases;
    size_t last_worker; /* that answered */
    double looked_s;    /* when workers were last looked after */
    bool *apart;        /* of each block, see is_apart */
    int64_t *broken;    /* of each worker: rounds on its device that broke one after the other */
    struct tg_skipped *skipped;
    const struct tg_run *run; /* texts and rows of earlier attempts */
    struct tg_tally tally;
    uint64_t seeds;
    double begun_s, said_s;
    bool is_terminal;
    struct tg_dispatched *result;
};

/* Closes a block, or says how urgent it is. */
static void urge_block(struct dispatch *d, size_t block, double cost_s)
{
    struct tg_wish wish = tg_standing_wish(d->standing, block, cost_s);
    tg_queue_expect(d->queue, block, wish.rounds);
    if (wish.urgency >= 0)
        tg_queue_urge(d->queue, block, wish.urgency);
    else
        tg_queue_close(d->queue, block);
}

/* Judges the tests of a block again, after which more may be wanted of others, too. */
static int judge_block(struct dispatch *d, size_t block, double cost_s, struct tg_error *err)
{
    size_t count;
    if (tg_standing_judge(d->standing, block, err) < 0) return -1;
    urge_block(d, block, cost_s);
    const size_t *others = tg_standing_others(d->standing, &count);
    for (size_t i = 0; i < count; i++) urge_block(d, others[i], 1);
    d->tally = tg_standing_tally(d->standing);
    return 0;
}

static double time_left(const struct dispatch *d)
{
    return d->begun_s + d->plan->asked.budget_s - tg_now();
}

static void show_progress(struct dispatch *d, bool last)
{
    double now = tg_now();
    if (!last && now - d->said_s < (d->is_terminal ? 0.2 : PLAIN_EVERY_S)) return;
    d->said_s = now;
    double expected = tg_queue_expected_s(d->queue), left = fmin(expected, fmax(0, time_left(d)));
    const char *begin = d->is_terminal ? "\r\033[K" : "tritgate: ";
    fprintf(stderr, "%s%zu of %zu tests done, %zu round%s, %.0f s", begin, d->tally.done,
            d->tally.required, d->result->rounds, d->result->rounds == 1 ? "" : "s",
            now - d->begun_s);
    if (!last && expected > 0) fprintf(stderr, ", about %.0f s left", left); /* 0: not yet known */
    if (last || !d->is_terminal) fputc('\n', stderr);
    fflush(stderr);
}

/*
 * Whether a block leaves the domain of its worker to others, as the policy lets it: all of its
 * cells run on a device with a memory of its own.
 */
static bool is_apart(const struct dispatch *d, const struct tg_block *block)
{
    bool is_apart = d->plan->policy.limits.beside_gpu != 0;
    for (size_t i = 0; i < block->cell_count; i++) {
        const struct tg_survey_kernel *k = tg_survey_find(&d->workers[0].head,
                                                          block->cells[i].kernel);
        if (!k || strcmp(k->device, "cpu") == 0) is_apart = false;
    }
    return is_apart;
}

static char *order_text(struct dispatch *d, size_t block, int64_t round)
{
    uint64_t seed = tg_fill_next(&d->seeds) % SEEDS;
    bool is_complete = tg_standing_is_unchecked(d->standing, block);
    return tg_serve_order_text(&d->plan->spec.blocks[block], round, seed, is_complete,
                               d->apart[block], time_left(d) - tg_queue_cost_s(d->queue, block));
}

/*
 * Gives each idle worker a round, beginning behind the one that was busy last: where there is less
 * to do than workers, all of them come in turn.
 */
static int give_out(struct dispatch *d, struct tg_error *err)
{
    for (size_t i = 0; i < tg_crew_count(d->crew); i++) {
        size_t block, w = (d->last_worker + 1 + i) % tg_crew_count(d->crew);
        int64_t round;
        if (!tg_lease_is_idle(d->leases, w)) continue;
        if (!tg_queue_next(d->queue, w, time_left(d), &block, &round)) continue;
        char *order = order_text(d, block, round);
        tg_lease_give(
            d->leases, w, block, tg_crew_now(d->crew),
            tg_lease_length(&d->plan->policy.limits, d->plan->spec.blocks[block].cell_count));
        int rc = tg_crew_tell(d->crew, w, order, err);
        free(order);
        if (rc < 0) return -1;
    }
    return tg_queue_has_failed(d->queue) ? tg_fail(err, "out of memory") : 0;
}

static int take_copy(struct dispatch *d, const struct tg_measurement *row, struct tg_error *err)
{
    struct tg_measurement *copy = tg_measurement_copy(row);
    return copy ? tg_standing_take(d->standing, copy, err) : tg_fail(err, "out of memory");
}

/* Takes a round of a block that will not be measured, as rows that say why. */
static int skip_block(struct dispatch *d, size_t block, size_t worker, const char *why,
                      struct tg_error *err)
{
    char reason[1024];
    struct tg_measurement rows[2];
    int64_t round = tg_queue_take_number(d->queue, block);
    snprintf(reason, sizeof reason, "two workers were lost with it; the last: %.900s", why);
    if (tg_skipped_add(d->skipped, block, round, d->workers[worker].host, reason, rows, err) < 0)
        return -1;
    for (size_t i = 0; i < d->plan->spec.blocks[block].cell_count; i++)
        if (take_copy(d, &rows[i], err) < 0) return -1;
    return judge_block(d, block, 1, err);
}

/* A worker is lost: what it had goes to others once. */
static int lose_worker(struct dispatch *d, size_t worker, const char *why, struct tg_error *err)
{
    size_t block;
    int times;
    if (!tg_lease_lose(d->leases, worker, &block, &times)) return 0;
    snprintf(d->result->reason, sizeof d->result->reason, "worker %zu on %s %s", worker + 1,
             d->workers[worker].host, why);
    tg_log(TG_WARN, "%s%s", d->result->reason, tg_crew_count(d->crew) > 1 ? "; others go on" : "");
    tg_queue_lost(d->queue, worker, tg_crew_is_dead(d->crew, worker));
    if (times < 2) return 0;
    return skip_block(d, block, worker, d->result->reason, err);
}

/*
 * Looks for workers that are silent, or keep a round for longer than it may take; now and then,
 * however many answers come.
 */
static int look_after_workers(struct dispatch *d, struct tg_error *err)
{
    char why[160];
    double now_s = tg_now();
    if (now_s - d->looked_s < LOOK_EVERY_S) return 0;
    d->looked_s = now_s;
    for (size_t w = 0; w < tg_crew_count(d->crew); w++) {
        if (tg_crew_is_lost(d->crew, w))
            tg_crew_loss(d->crew, w, why, sizeof why);
        else if (tg_lease_is_over(d->leases, w, tg_crew_now(d->crew)))
            snprintf(why, sizeof why, "lives, but its round takes longer than all deadlines");
        else
            continue;
        if (lose_worker(d, w, why, err) < 0) return -1;
    }
    return 0;
}

/*
 * A device on which nothing ran `broken_most` times gets no more, as long as another one can run
 * it. Its worker would leave it out (serve.c).
 */
static void leave_device(struct dispatch *d, size_t worker)
{
    const struct tg_spec *spec = &d->plan->spec;
    bool others_can = false;
    for (size_t b = 0; b < spec->block_count; b++) {
        if (!tg_plan_needs_device(d->plan, &spec->blocks[b])) continue;
        others_can = others_can || tg_plan_devices(d->plan, &spec->blocks[b]) > 1;
        tg_queue_avoid(d->queue, b, worker);
    }
    if (others_can)
        tg_log(TG_WARN,
               "%" PRId64 " rounds on the device of worker %zu on %s broke, one after the "
               "other; other devices go on",
               d->broken[worker], worker + 1, d->workers[worker].host);
}

/* Cells of a round on a device: all; that came to an end there, were skipped, or broke there. */
struct ends {
    size_t count, ended, skipped, broke;
};

/*
 * A block that a device could not measure is another's: how the cells there ended says it. One side
 * that broke beside another that did not has to be tried there again: the device is in order.
 */
static void steer(struct dispatch *d, size_t worker, size_t block, struct ends ends)
{
    if (ends.skipped > 0 || (ends.count > 0 && ends.ended == 0))
        tg_queue_avoid(d->queue, block, worker);
    if (ends.ended > 0)
        d->broken[worker] = 0;
    else if (ends.broke > 0 && ++d->broken[worker] == d->plan->policy.limits.broken_most)
        leave_device(d, worker);
}

/*
 * Takes the rows of a round that is done, also of a worker that was lost: they are stored. They
 * know how long it took; the lease has what the worker waited for, too.
 */
static int take_rows(struct dispatch *d, size_t worker, size_t block, char *telegrams,
                     double *took_s, struct tg_error *err)
{
    struct ends ends = {0};
    struct tg_measurement *before = NULL;
    while (*telegrams) {
        struct tg_measurement *m = tg_telegrams_next(&telegrams, before, err);
        if (!m) return -1;
        if (tg_faults_is_on_device(m)) {
            ends.count++;
            ends.ended += m->outcome == TG_MEASURED || m->outcome == TG_WRONG;
            ends.skipped += m->outcome == TG_SKIPPED;
            ends.broke += tg_measurement_broke(m);
        }
        d->result->rows[worker]++;
        if (isfinite(m->facts.took_s)) *took_s = m->facts.took_s;
        if (tg_standing_take(d->standing, m, err) < 0) return -1;
        before = m;
    }
    steer(d, worker, block, ends);
    return 0;
}

/*
 * Takes the end of a round: its rows, or why its worker is lost. One for which another run left no
 * time was none.
 */
static int take_round(struct dispatch *d, size_t worker, char *telegrams,
                      const struct tg_json *said, struct tg_error *err)
{
    size_t block;
    double took_s;
    if (!tg_lease_return(d->leases, worker, tg_crew_now(d->crew), &block, &took_s)) return 0;
    d->last_worker = worker;
    if (tg_json_get(said, "over")) {
        tg_queue_done(d->queue, block, worker, NAN);
        tg_log(TG_WARN, "a round was not begun: %s", tg_json_text(tg_json_get(said, "over")));
        return 0;
    }
    /* A round that could not be stored is not a round: nothing unstored may decide anything. */
    if (telegrams) d->result->rounds++;
    tg_standing_expect(d->standing, block);
    if (telegrams && take_rows(d, worker, block, telegrams, &took_s, err) < 0) return -1;
    tg_queue_done(d->queue, block, worker, took_s);
    if (!telegrams && lose_worker(d, worker, tg_json_text(tg_json_get(said, "lost")), err) < 0)
        return -1;
    if (!telegrams) d->result->is_lost = true;
    return judge_block(d, block, took_s, err);
}

/* Takes what a worker says. */
static int take_answer(struct dispatch *d, size_t worker, char *answer, struct tg_error *err)
{
    struct tg_json_file file;
    char *telegrams = tg_telegrams_begin(answer);
    if (telegrams) return take_round(d, worker, telegrams, NULL, err);
    if (tg_json_parse(answer, &file, err) < 0) return -1;
    int rc = 0;
    if (tg_json_get(file.root, "waits"))
        tg_lease_hold(d->leases, worker);
    else if (tg_json_get(file.root, "begun"))
        tg_lease_begin(d->leases, worker, tg_crew_now(d->crew));
    else
        rc = take_round(d, worker, NULL, file.root, err);
    tg_json_release(&file);
    return rc;
}

static int run_rounds(struct dispatch *d, struct tg_error *err)
{
    for (;;) {
        size_t worker;
        char *answer;
        bool is_stopped = tg_pulse_is_ending();
        if (is_stopped && !d->result->is_lost) {
            d->result->is_lost = true;
            snprintf(d->result->reason, sizeof d->result->reason, "stopped by a signal");
        }
        bool is_enough = d->tally.has_failed || tg_standing_is_spoiled(d->standing);
        if (!is_stopped && !is_enough && give_out(d, err) < 0) return -1;
        if (!tg_queue_is_out(d->queue)) break;
        show_progress(d, false);
        int heard = tg_crew_hear(d->crew, tg_now() + 1, &worker, &answer, err);
        /* What was heard first: a run of one process hears nothing while its round goes on. */
        int rc = heard > 0 ? take_answer(d, worker, answer, err) : heard;
        if (heard > 0) free(answer);
        if (rc < 0 || look_after_workers(d, err) < 0) return -1;
    }
    /* What is open while there is time is open for want of those that were lost. */
    if (tg_lease_lost_count(d->leases) && d->tally.done < d->tally.required && time_left(d) > 0 &&
        !d->tally.has_failed)
        d->result->is_lost = true;
    return 0;
}

/* Workers that share on one node what blocks may not share have a number in common. */
static int domain_of(const struct tg_capability *workers, size_t worker)
{
    const struct tg_capability *w = &workers[worker];
    for (size_t i = 0; i < worker; i++)
        if (strcmp(workers[i].host, w->host) == 0 && strcmp(workers[i].share, w->share) == 0)
            return (int)i;
    return (int)worker;
}

/* Likewise those of one node. */
static int node_of(const struct tg_capability *workers, size_t worker)
{
    for (size_t i = 0; i < worker; i++)
        if (strcmp(workers[i].host, workers[worker].host) == 0) return (int)i;
    return (int)worker;
}

/* And those that have the same GPU, or parts of it. */
static int gpu_of(const struct tg_capability *workers, size_t worker)
{
    for (size_t i = 0; i < worker; i++)
        if (tg_plan_share_gpu(&workers[i], &workers[worker])) return (int)i;
    return (int)worker;
}

/* Whether a row is of a round of which nothing came to an end on its device. */
static bool broke_whole(const struct tg_run *run, size_t row)
{
    const struct tg_measurement *m = &run->rows[row];
    if (m->outcome == TG_SKIPPED || !tg_faults_failed_there(m)) return false;
    for (size_t i = row ? row - 1 : 0; i < run->count && i <= row + 1; i++) {
        const struct tg_measurement *other = &run->rows[i];
        bool has_ended = other->outcome == TG_MEASURED || other->outcome == TG_WRONG;
        if (has_ended && tg_faults_is_same_round(other, m) && tg_faults_is_on_device(other))
            return false;
    }
    return true;
}

/*
 * What broke on a device in an earlier attempt is another's in this one, as far as the device has a
 * name. What was skipped may be possible by now.
 */
static void steer_earlier(struct dispatch *d)
{
    for (size_t i = 0; i < d->run->count; i++) {
        const struct tg_measurement *m = &d->run->rows[i];
        if (!tg_faults_is_named(m) || !broke_whole(d->run, i)) continue;
        for (size_t w = 0; w < tg_crew_count(d->crew); w++) {
            if (strcmp(d->workers[w].host, m->facts.host) != 0 ||
                strcmp(d->workers[w].gpu, m->facts.gpu_uuid) != 0)
                continue;
            for (size_t b = 0; b < d->plan->spec.block_count; b++)
                if (tg_plan_is_of(d->plan, &d->plan->spec.blocks[b], m))
                    tg_queue_avoid(d->queue, b, w);
        }
    }
}

static int fill_queue(struct dispatch *d, struct tg_error *err)
{
    char reason[400];
    const struct tg_spec *spec = &d->plan->spec;
    size_t *first = calloc(tg_crew_count(d->crew), sizeof *first);
    int rc = first ? tg_plan_liken(d->workers, tg_crew_count(d->crew), first, err)
                   : tg_fail(err, "out of memory");
    for (size_t w = 0; rc == 0 && w < tg_crew_count(d->crew); w++) {
        tg_queue_place(d->queue, w, domain_of(d->workers, w));
        tg_queue_place_node(d->queue, w, node_of(d->workers, w));
        tg_queue_place_gpu(d->queue, w, gpu_of(d->workers, w));
        if (first[w] != w) tg_queue_liken(d->queue, w, first[w]);
        for (size_t b = 0; first[w] == w && b < spec->block_count; b++)
            if (tg_plan_can_run(d->plan, &d->workers[w], &spec->blocks[b], reason, sizeof reason))
                tg_queue_allow(d->queue, b, w);
    }
    free(first);
    if (rc < 0) return -1;
    steer_earlier(d);
    for (size_t b = 0; b < spec->block_count; b++) {
        d->apart[b] = is_apart(d, &spec->blocks[b]);
        if (d->apart[b]) tg_queue_set_apart(d->queue, b);
        tg_queue_resume(d->queue, b, tg_standing_rounds(d->standing, b));
        if (judge_block(d, b, 1, err) < 0) return -1;
    }
    return 0;
}

static int open_stores(struct dispatch *d, const struct tg_run *run, const char *directory,
                       int64_t attempt, struct tg_error *err)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "do", "open");
    tg_json_add_text(root, "directory", directory);
    tg_json_add_number(root, "attempt", (double)attempt);
    tg_json_add_text(root, "matrix", run->matrix);
    tg_json_add_text(root, "policy", run->policy);
    tg_json_add_text(root, "plan", run->plan);
    tg_json_add_record(root, "limits", &tg_limits_type, &d->plan->policy.limits);
    tg_crew_add_parts(d->workers, tg_crew_count(d->crew), root);
    char *line = tg_json_print(root, false);
    int rc = tg_crew_tell_all(d->crew, line, err);
    free(line);
    tg_json_free(root);
    return rc;
}

/* The rows of earlier attempts, as if they had just come. */
static int take_earlier(struct dispatch *d, const struct tg_run *earlier, struct tg_error *err)
{
    for (size_t i = 0; i < earlier->count; i++) {
        /* It may be possible by now; but wrong is wrong beside whatever was skipped. */
        if (tg_skipped_has(earlier, i) && earlier->rows[i].outcome != TG_WRONG) continue;
        tg_pulse();
        if (take_copy(d, &earlier->rows[i], err) < 0) return -1;
    }
    return 0;
}

static void free_dispatch(struct dispatch *d)
{
    tg_standing_destroy(d->standing);
    tg_lease_destroy(d->leases);
    free(d->apart);
    free(d->broken);
    tg_queue_destroy(d->queue);
}

int tg_dispatch(struct tg_crew *crew, const struct tg_capability *workers,
                const struct tg_plan *plan, const struct tg_run *run, const char *directory,
                int64_t attempt, struct tg_dispatched *dispatched, struct tg_error *err)
{
    struct dispatch d = {
        .crew = crew, .workers = workers, .plan = plan, .run = run, .result = dispatched};
    size_t worker_count = tg_crew_count(crew);
    /* Each attempt and shard draws anew: the same draws twice would be the same round twice. */
    d.seeds = strtoull(plan->asked.seed, NULL, 10) + (uint64_t)attempt * 0x9e3779b9u +
              ((uint64_t)plan->workers[0].shard << 48);
    d.is_terminal = isatty(STDERR_FILENO) && getenv("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
    d.queue = tg_queue_create(plan->spec.block_count, worker_count, plan->policy.limits.rounds_min,
                              tg_fill_next(&d.seeds));
    d.last_worker = worker_count - 1;
    d.leases = tg_lease_create(worker_count, plan->spec.block_count);
    d.apart = calloc(plan->spec.block_count + 1, sizeof *d.apart);
    d.broken = calloc(worker_count + 1, sizeof *d.broken);
    d.skipped = tg_skipped_open(plan, run, directory, attempt);
    *dispatched = (struct tg_dispatched){.rows = calloc(worker_count, sizeof(size_t))};

    int rc = -1;
    if (!d.queue || !d.apart || !d.broken || !d.leases || !d.skipped || !dispatched->rows)
        tg_fail(err, "out of memory");
    else if (tg_standing_create(plan, &d.standing, err) == 0 && take_earlier(&d, run, err) == 0 &&
             fill_queue(&d, err) == 0 && open_stores(&d, run, directory, attempt, err) == 0) {
        tg_pulse_heed_signals();
        d.begun_s = d.said_s = tg_now();
        rc = run_rounds(&d, err);
        show_progress(&d, true);
    }
    if (tg_skipped_close(d.skipped, rc == 0 ? err : NULL) < 0) rc = -1;
    free_dispatch(&d);
    return rc;
}
