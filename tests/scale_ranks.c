/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/dispatch.h"
#include "results/digest.h"
#include "worker/conduct.h"
#include "worker/probe/probe.h"
#include "worker/serve.h"
#include "worker/turns.h"
#include "worker/wire.h"

#include "tests/scale_parts.h"

/*
 * A farm of many ranks on one machine (tests/scale.sh): `scale_ranks run MATRIX TOPOLOGY ARG...`
 * under mpirun. Rank 0 is the real coordinator. Each of the others is the real worker, with
 * a host name and the recorded topology of its own, but its children only sleep: a round of theirs
 * takes SCALE_ROUND_S seconds and no core. Every worker tells how much of the time between the
 * begin of its first round and the end of its last was inside rounds, and the coordinator how long
 * it was busy for a round. The linker puts the functions here before those of the program (--wrap).
 */

#define TURNS 20 /* of the five quads that scale.sh asks for */

static double busy_s, begun_s, ended_s, waited_s, started_s, dispatched_s;
static size_t rounds;

int __real_tg_conduct(const struct tg_bench *bench, const struct tg_order *order,
                      struct tg_measurement m[2], struct tg_error *err);
int __wrap_tg_conduct(const struct tg_bench *bench, const struct tg_order *order,
                      struct tg_measurement m[2], struct tg_error *err);
int __real_tg_dispatch(struct tg_crew *crew, const struct tg_capability *workers,
                       const struct tg_plan *plan, const struct tg_run *run, const char *directory,
                       int64_t attempt, struct tg_dispatched *dispatched, struct tg_error *err);
int __wrap_tg_dispatch(struct tg_crew *crew, const struct tg_capability *workers,
                       const struct tg_plan *plan, const struct tg_run *run, const char *directory,
                       int64_t attempt, struct tg_dispatched *dispatched, struct tg_error *err);
int __real_tg_crew_hear(struct tg_crew *crew, double deadline_s, size_t *worker, char **answer,
                        struct tg_error *err);
int __wrap_tg_crew_hear(struct tg_crew *crew, double deadline_s, size_t *worker, char **answer,
                        struct tg_error *err);

int __wrap_tg_conduct(const struct tg_bench *bench, const struct tg_order *order,
                      struct tg_measurement m[2], struct tg_error *err)
{
    double since_s = tg_now();
    if (begun_s == 0) begun_s = since_s;
    int rc = __real_tg_conduct(bench, order, m, err);
    ended_s = tg_now();
    busy_s += ended_s - since_s;
    return rc;
}

static double used_s(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

/* What is used here is used for waiting. */
int __wrap_tg_crew_hear(struct tg_crew *crew, double deadline_s, size_t *worker, char **answer,
                        struct tg_error *err)
{
    tg_parts_done();
    double since_s = used_s();
    if (started_s == 0) started_s = since_s;
    int rc = __real_tg_crew_hear(crew, deadline_s, worker, answer, err);
    if (rc == 1) tg_parts_cool();
    waited_s += used_s() - since_s;
    if (rc == 1) tg_parts_heard();
    return rc;
}

int __wrap_tg_dispatch(struct tg_crew *crew, const struct tg_capability *workers,
                       const struct tg_plan *plan, const struct tg_run *run, const char *directory,
                       int64_t attempt, struct tg_dispatched *dispatched, struct tg_error *err)
{
    waited_s = started_s = 0;
    tg_parts_begin();
    int rc = __real_tg_dispatch(crew, workers, plan, run, directory, attempt, dispatched, err);
    dispatched_s = used_s() - started_s - waited_s;
    rounds = dispatched->rounds;
    return rc;
}

static void sleep_turns(int side, double round_s)
{
    struct tg_turns *turns;
    int64_t calls, before;
    if (tg_turns_attach(TG_TURNS, &turns, NULL) < 0) exit(9);
    while (tg_turns_await(turns, side, &calls, &before)) {
        double turn_s = round_s / TURNS;
        long ns = (long)(1e9 * (turn_s - floor(turn_s)));
        int64_t begun = tg_now_ns();
        nanosleep(&(struct timespec){(time_t)turn_s, ns}, NULL);
        tg_turns_pass(turns, (struct tg_turn){.seconds = 1e-9 * (double)(tg_now_ns() - begun) / 3,
                                              .begun = begun});
    }
    tg_turns_close(turns);
}

/*
 * As much as a child knows of a real kernel, so that its line is as long. Its library is the one
 * that it was told: rows of another one would not be judged.
 */
static void know_facts(const char *library, struct tg_facts *f)
{
    char digest[TG_DIGEST_SIZE];
    if (tg_digest_file(library, digest, NULL) < 0) exit(9);
    f->pid = getpid();
    f->switches = 5;
    f->faults = 2;
    f->peak_bytes = 25571328;
    snprintf(f->library, sizeof f->library, "%s", digest);
    snprintf(f->isa_requested, sizeof f->isa_requested, "scalar");
    snprintf(f->isa_executed, sizeof f->isa_executed, "scalar");
    f->isa_calls = 2552;
    snprintf(f->operands, sizeof f->operands, "shared");
    snprintf(f->operands_digest, sizeof f->operands_digest, "%s", digest);
    f->packed_bytes = f->set_bytes = 262144;
    f->set_share = 0.0009615384615384616;
    f->checked = 2048;
    f->calls = 12;
    f->warmup_s = 0.05044492000160972;
    snprintf(f->canary, sizeof f->canary, "e82cde6f11124361");
    f->canary_dot_s = 0.000145257;
    f->canary_read_s = 0.000312844;
    f->read_rate = 118016432189.08272;
    f->write_rate = 96758881609.30145;
    f->dot_rate = 358000233073.06836;
    f->limit_s = 2.928981333333334e-06;
    snprintf(f->limited_by, sizeof f->limited_by, "dot");
}

/* A child that says what real ones do, and sleeps instead of calling a kernel. */
static int sleep_through(double round_s)
{
    struct tg_measurement m;
    char *line = NULL;
    size_t size = 0;
    FILE *asked = fdopen(TG_ASK, "r");
    tg_measurement_init(&m);
    while (asked && getline(&line, &size, asked) > 0) {
        struct tg_json_file file;
        struct tg_setup setup;
        if (tg_json_parse(line, &file, NULL) < 0) exit(9);
        const char *what = tg_json_text(tg_json_get(file.root, "do"));
        if (strcmp(what, "prepare") == 0) {
            if (tg_probe_setup_read(&file, &setup, NULL) < 0) exit(9);
            m.cell = setup.cell;
            know_facts(setup.library, &m.facts);
        } else if (strcmp(what, "warm") == 0) {
            m.facts.call_s = 1e-3;
        } else {
            sleep_turns((int)tg_json_number(tg_json_get(file.root, "side")), round_s);
        }
        tg_json_release(&file);
        char *said = tg_measurement_to_json(&m);
        dprintf(TG_ANSWER, "%s\n", said);
        free(said);
    }
    free(line);
    return 0;
}

static int work(struct tg_wire *wire, const char *topology, struct tg_error *err)
{
    char host[64];
    struct tg_worker *worker;
    const struct tg_identity identity = {.host = host, .topology = topology};
    snprintf(host, sizeof host, "node-%03d", tg_wire_rank(wire));
    if (tg_serve_open(tg_wire_rank(wire), 0, 1, &identity, &worker, err) < 0) return -1;
    int rc = tg_serve(wire, worker, err);
    tg_serve_close(worker);
    if (ended_s > 0)
        printf("worker %s: %.3f s of %.3f s inside rounds\n", host, busy_s, ended_s - begun_s);
    return rc;
}

static int rank(int argc, char **argv)
{
    struct tg_wire *wire;
    struct tg_error err;
    if (tg_wire_launched_rank() == 0) {
        char *passed[64] = {"tritgate run", argv[2]};
        int count = 2;
        for (int i = 4; i < argc && count < 63; i++) passed[count++] = argv[i];
        int status = tg_command_run(count, passed);
        printf("coordinator: %zu rounds, %.6f s of its core, and %.6f s for waiting\n", rounds,
               dispatched_s, waited_s);
        tg_parts_tell(stdout);
        return status;
    }
    if (tg_wire_open(&wire, &err) < 0) return 4;
    int rc = work(wire, argv[3], &err);
    if (rc < 0) tg_log(TG_ERROR, "%s", err.text);
    fflush(stdout);
    tg_wire_close(wire, rc < 0 ? 4 : 0);
    return rc < 0 ? 4 : 0;
}

int main(int argc, char **argv)
{
    const char *round_s = getenv("SCALE_ROUND_S");
    if (argc > 3 && strcmp(argv[1], "run") == 0) return rank(argc, argv);
    if (argc > 2 && strcmp(argv[1], "cell") == 0 && strcmp(argv[2], "--conducted") == 0)
        return sleep_through(round_s ? strtod(round_s, NULL) : 1);
    return argc > 1 ? tg_command_cell(argc - 1, argv + 1) : 3;
}
