/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/conducted.h"
#include "worker/turns.h"

/*
 * Rounds in which the processes follow a script instead of running a kernel: the name of their
 * kernel says what they do, at a moment that real kernels do not choose.
 */

#define BREAKS_AT  7         /* samples that one takes before it breaks */
#define STALL_S    3         /* that a machine is stopped for */
#define MAKE_S     1         /* that a model is made for */
#define HELD_BYTES 200000000 /* before one dies: more than who conducts ever has */

static bool is(const struct tg_measurement *m, const char *manner)
{
    return strcmp(m->cell.kernel, manner) == 0;
}

/* Stops whoever conducts, as what stops a machine does; itself it only sleeps. */
static void stall(void)
{
    const struct timespec time = {.tv_sec = STALL_S};
    kill(getppid(), SIGSTOP);
    nanosleep(&time, NULL);
    kill(getppid(), SIGCONT);
}

static void play_turns(const struct tg_measurement *m, int side)
{
    struct tg_turns *turns;
    int64_t calls, before;
    if (tg_turns_attach(TG_TURNS, &turns, NULL) < 0) exit(9);
    for (int taken = 0; tg_turns_await(turns, side, &calls, &before); taken++) {
        if (taken == BREAKS_AT && is(m, "dies")) hold_for_a_moment(HELD_BYTES);
        if (taken == BREAKS_AT && is(m, "dies")) raise(SIGKILL);
        if (taken == BREAKS_AT && is(m, "leaves")) exit(9);
        while (taken == BREAKS_AT && is(m, "sleeps")) pause();
        if (taken == BREAKS_AT && (is(m, "stalls") || is(m, "sticks"))) stall();
        while (taken == BREAKS_AT && is(m, "sticks")) pause();
        double clock_hz = is(m, "clocked") ? 1e9 + 1e6 * taken : 0;
        if (taken == BREAKS_AT && is(m, "forgets")) clock_hz = NAN;
        if (taken != BREAKS_AT && is(m, "forgets")) clock_hz = 1e9;
        tg_turns_pass(
            turns, (struct tg_turn){.seconds = 1e-3, .begun = tg_now_ns(), .clock_hz = clock_hz});
    }
    tg_turns_close(turns);
    if (is(m, "dies_after")) raise(SIGKILL);
    const struct timespec moment = {.tv_nsec = 200000000};
    if (is(m, "lingers")) nanosleep(&moment, NULL);
}

/* Does what one line says. Exits where the script ends. */
static void play_line(const struct tg_json_file *file, struct tg_measurement *m)
{
    const char *what = tg_json_text(tg_json_get(file->root, "do"));
    struct tg_setup setup;
    if (strcmp(what, "prepare") == 0) {
        if (tg_probe_setup_read(file, &setup, NULL) < 0) exit(9);
        m->cell = setup.cell;
        m->facts.pid = getpid();
        snprintf(m->facts.operands, sizeof m->facts.operands, "shared");
        if (is(m, "dies_first")) raise(SIGKILL);
    } else if (strcmp(what, "warm") == 0) {
        m->facts.call_s = is(m, "slow") ? 1 : 1e-3;
        if (is(m, "babbles")) dprintf(TG_ANSWER, "a measurement, or so\n");
        if (is(m, "is_deaf")) close(TG_ANSWER);
        while (is(m, "is_deaf")) pause();
        if (is(m, "complains")) fprintf(stderr, "no such\nluck");
        if (is(m, "complains")) exit(3);
    } else {
        play_turns(m, (int)tg_json_number(tg_json_get(file->root, "side")));
    }
}

static int play_script(void)
{
    struct tg_measurement m;
    char *line = NULL;
    size_t size = 0;
    FILE *asked = fdopen(TG_ASK, "r");
    tg_measurement_init(&m);
    while (asked && getline(&line, &size, asked) > 0) {
        struct tg_json_file file;
        if (tg_json_parse(line, &file, NULL) < 0) exit(9);
        play_line(&file, &m);
        tg_json_release(&file);
        char *said = tg_measurement_to_json(&m);
        dprintf(TG_ANSWER, "%s\n", said);
        free(said);
    }
    tg_measurement_free(&m);
    free(line);
    if (asked) fclose(asked);
    return 0;
}

/* Makes a model: a file that nobody reads. */
static int play_maker(char **argv)
{
    struct tg_model_source source;
    char path[4096];
    bool is_there;
    tg_model_source_init(&source, argv[5], "");
    if (tg_model_source_find(&source, argv[3], path, sizeof path, &is_there, NULL) < 0) return 3;
    sleep(MAKE_S);
    return close(open(path, O_CREAT | O_WRONLY, 0600));
}

static size_t samples_of(const struct tg_measurement *m)
{
    const struct tg_series *s = tg_measurement_series(m, "call_time");
    return s ? s->count : 0;
}

static void a_script_that_keeps_to_its_turns_is_measured(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=good", "kernel=other");
    struct tg_measurement m[2];
    bench.limits.quads_min = bench.limits.quads_max = 20;
    conduct(&bench, &order, m);
    assert_turns_are_quads(m, 20);
    for (int i = 0; i < 2; i++) {
        const struct tg_series *s = tg_measurement_series(&m[i], "call_time");
        assert_int_equal(m[i].outcome, TG_MEASURED);
        assert_int_equal(m[i].facts.quads, 20);
        assert_int_equal(m[i].facts.calls, 1);
        for (size_t k = 0; k < s->count; k++) assert_true(s->samples[k] == 1e-3);
    }
    free_both(m);
}

static void a_side_whose_turns_have_a_clock_is_counted_in_cycles_too(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=clocked", "kernel=other");
    struct tg_measurement m[2];
    bench.limits.quads_min = bench.limits.quads_max = 20;
    conduct(&bench, &order, m);
    const struct tg_series *times = tg_measurement_series(&m[0], "call_time");
    const struct tg_series *cycles = tg_measurement_series(&m[0], "call_cycles");
    assert_non_null(times);
    assert_non_null(cycles);
    assert_int_equal(cycles->count, 40);
    assert_memory_equal(cycles->turns, times->turns, 40 * sizeof *times->turns);
    assert_memory_equal(cycles->begun, times->begun, 40 * sizeof *times->begun);
    for (size_t k = 0; k < 40; k++)
        assert_float_equal(cycles->samples[k], 1e-3 * (1e9 + 1e6 * (double)k), 1e-6);
    assert_true(m[0].facts.sm_clock_hz == 1e9 + 19.5e6 && m[0].facts.sm_clock_min_hz == 1e9);
    assert_null(tg_measurement_series(&m[1], "call_cycles"));
    assert_true(isnan(m[1].facts.sm_clock_hz) && isnan(m[1].facts.sm_clock_min_hz));
    free_both(m);
}

static void a_clock_that_was_not_read_at_every_sample_gives_no_cycles(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=forgets", NULL);
    struct tg_measurement m[2];
    bench.limits.quads_min = bench.limits.quads_max = 5;
    conduct(&bench, &order, m);
    assert_int_equal(m[0].outcome, TG_MEASURED);
    assert_int_equal(samples_of(&m[0]), 20);
    assert_null(tg_measurement_series(&m[0], "call_cycles"));
    assert_true(isnan(m[0].facts.sm_clock_hz));
    tg_measurement_free(&m[0]);
}

static void calls_and_quads_are_planned_from_the_warm_up(void **state)
{
    (void)state;
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=good", "kernel=slow");
    struct tg_measurement m[2];
    bench.limits.sample_s = 0.01;
    bench.limits.quads_min = 6;
    conduct(&bench, &order, m);
    assert_int_equal(m[0].facts.calls, 10);
    assert_int_equal(m[1].facts.calls, 1);
    assert_int_equal(m[0].facts.quads, 6);
    free_both(m);
}

/* One call takes 1 s, or 1 ms; two calls make a sample, and two samples of each side a quad. */
static void a_round_that_cannot_end_in_time_is_not_begun(void **state)
{
    (void)state;
    static const struct {
        const char *of, *to;
        double deadline_s;
        enum tg_outcome outcomes[2];
        int64_t quads;
    } rows[] = {
        {"kernel=slow", "kernel=good", 20, {TG_MEASURED, TG_MEASURED}, 2},
        {"kernel=slow", "kernel=good", 5, {TG_MEASURED, TG_MEASURED}, 1},
        {"kernel=slow", "kernel=good", 3, {TG_LATE, TG_MEASURED}, 0},
        {"kernel=good", "kernel=slow", 3, {TG_MEASURED, TG_LATE}, 0},
        {"kernel=slow", "kernel=slow build=copy", 3, {TG_SKIPPED, TG_SKIPPED}, 0},
        {"kernel=slow", NULL, 3, {TG_SKIPPED}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_bench bench = make_bench();
        struct tg_order order = make_order(rows[i].of, rows[i].to);
        struct tg_measurement m[2] = {0};
        bench.limits.quads_min = 6;
        bench.limits.deadline_s = rows[i].deadline_s;
        conduct(&bench, &order, m);
        for (size_t k = 0; k < order.block.cell_count; k++) {
            assert_int_equal(m[k].outcome, rows[i].outcomes[k]);
            assert_int_equal(m[k].facts.quads, rows[i].quads);
            assert_int_equal(samples_of(&m[k]), 2 * rows[i].quads);
            assert_int_equal(*m[k].reason != 0, m[k].outcome != TG_MEASURED);
        }
        free_both(m);
    }
}

/* Conducts a round in which the first breaks, and the second does not. */
static void conduct_broken(const char *kernel, double deadline_s, uint64_t seed,
                           struct tg_measurement m[2])
{
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order(kernel, "kernel=good");
    bench.limits.quads_min = bench.limits.quads_max = 20;
    bench.limits.deadline_s = deadline_s;
    order.seed = seed;
    conduct(&bench, &order, m);
    assert_int_equal(m[1].outcome, TG_MEASURED);
    assert_string_equal(m[1].reason, "");
    assert_int_equal(m[1].facts.end_signal, 0);
    assert_true(m[1].unpaired == 1 && m[0].unpaired == 0);
}

/* It took so many turns, and its partner those between. */
static void assert_samples_kept(const struct tg_measurement m[2])
{
    assert_int_equal(samples_of(&m[0]), BREAKS_AT);
    assert_in_range(samples_of(&m[1]), BREAKS_AT - 1, BREAKS_AT + 1);
}

static void who_dies_at_its_turn_is_to_blame(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    for (uint64_t seed = 1; seed < 9; seed++) {
        conduct_broken("kernel=dies", 60, seed, m);
        assert_int_equal(m[0].outcome, TG_CRASHED);
        assert_int_equal(m[0].facts.end_signal, SIGKILL);
        assert_memory_equal(m[0].reason, "signal 9 (Killed), at most ", 27);
        assert_in_range(m[0].facts.peak_bytes, HELD_BYTES, 2 * HELD_BYTES);
        assert_samples_kept(m);
        free_both(m);
    }
    conduct_broken("kernel=leaves", 60, 1, m);
    assert_int_equal(m[0].outcome, TG_CRASHED);
    assert_int_equal(m[0].facts.end_signal, 0);
    assert_string_equal(m[0].reason, "exit status 9");
    assert_samples_kept(m);
    free_both(m);
}

static void who_sleeps_at_its_turn_is_late_and_not_its_partner(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    conduct_broken("kernel=sleeps", 1, 2, m);
    assert_int_equal(m[0].outcome, TG_LATE);
    assert_string_equal(m[0].reason, "killed after 1 s");
    assert_samples_kept(m);
    free_both(m);
}

/* The deadline, of less than the stall, is put off by it, also for who answers last. */
static void a_machine_that_stalls_makes_nobody_late(void **state)
{
    (void)state;
    static const char *const others[] = {"kernel=good", "kernel=lingers"};
    for (int i = 0; i < 2; i++) {
        struct tg_measurement m[2];
        struct tg_bench bench = make_bench();
        struct tg_order order = make_order("kernel=stalls", others[i]);
        bench.limits.quads_min = bench.limits.quads_max = 20;
        bench.limits.deadline_s = 2;
        conduct(&bench, &order, m);
        for (int k = 0; k < 2; k++) {
            assert_string_equal(m[k].reason, "");
            assert_int_equal(m[k].outcome, TG_MEASURED);
        }
        assert_turns_are_quads(m, 20);
        free_both(m);
    }
}

static void who_hangs_where_a_machine_stalled_is_late_all_the_same(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    conduct_broken("kernel=sticks", 2, 2, m);
    assert_int_equal(m[0].outcome, TG_LATE);
    assert_string_equal(m[0].reason, "killed after 2 s");
    assert_samples_kept(m);
    free_both(m);
}

static void a_process_that_is_killed_from_outside_says_so(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    for (uint64_t seed = 1; seed < 5; seed++) {
        conduct_broken("kernel=dies_first", 60, seed, m);
        assert_int_equal(m[0].outcome, TG_CRASHED);
        assert_int_equal(m[0].facts.end_signal, SIGKILL);
        assert_int_equal(samples_of(&m[0]) + samples_of(&m[1]), 0);
        free_both(m);
    }
}

static void who_dies_after_its_last_turn_has_crashed(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=dies_after", NULL);
    conduct(&bench, &order, m);
    assert_int_equal(m[0].outcome, TG_CRASHED);
    assert_int_equal(m[0].facts.end_signal, SIGKILL);
    tg_measurement_free(&m[0]);
}

static void an_answer_that_cannot_be_read_is_no_answer(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    conduct_broken("kernel=babbles", 60, 1, m);
    assert_int_equal(m[0].outcome, TG_CRASHED);
    assert_memory_equal(m[0].reason, "an answer that cannot be read: ", 31);
    assert_int_equal(m[0].facts.end_signal, 0);
    free_both(m);
}

static void who_stops_answering_was_not_killed_from_outside(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    conduct_broken("kernel=is_deaf", 60, 1, m);
    assert_int_equal(m[0].outcome, TG_CRASHED);
    assert_string_equal(m[0].reason, "it stopped answering");
    assert_int_equal(m[0].facts.end_signal, 0);
    free_both(m);
}

static void the_last_words_are_the_reason(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    conduct_broken("kernel=complains", 60, 1, m);
    assert_int_equal(m[0].outcome, TG_CRASHED);
    assert_string_equal(m[0].reason, "exit status 3; it said: no such luck");
    free_both(m);
}

static void when_both_break_both_are_unpaired(void **state)
{
    (void)state;
    struct tg_measurement m[2];
    struct tg_bench bench = make_bench();
    struct tg_order order = make_order("kernel=dies_first", "kernel=complains");
    conduct(&bench, &order, m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[i].outcome, TG_CRASHED);
        assert_int_equal(m[i].unpaired, 1);
        assert_int_equal(samples_of(&m[i]), 0);
    }
    free_both(m);
}

/* Which only the first round of a node waits for: what the others take is known by it. */
static void the_making_of_a_model_is_not_what_its_round_takes(void **state)
{
    (void)state;
    static const char cell[] = "probe=model model=tiny kernel=i2s_scalar profile=decode_128";
    char folder[] = "/tmp/tg_conduct_XXXXXX", path[4096];
    bool is_there;
    struct tg_measurement m[2];
    struct tg_bench bench = make_bench();
    struct tg_order order = {.block = {.is_timed = true, .cell_count = 1}};
    assert_non_null(mkdtemp(folder));
    tg_model_source_init(&bench.models, folder, "");
    snprintf(order.block.text, sizeof order.block.text, "%s", cell);
    assert_int_equal(tg_cell_parse(cell, &order.block.cells[0], NULL), 0);
    for (int round = 0; round < 2; round++) {
        double begun_s = tg_now();
        conduct(&bench, &order, m);
        double left_s = tg_now() - begun_s - m[0].facts.took_s;
        assert_int_equal(m[0].outcome, TG_MEASURED);
        assert_true(m[0].facts.took_s > 0 && left_s >= (round == 0 ? MAKE_S : 0));
        tg_measurement_free(&m[0]);
    }
    tg_model_source_find(&bench.models, "tiny", path, sizeof path, &is_there, NULL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_script();
    if (argc > 5 && strcmp(argv[1], "model") == 0) return play_maker(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_that_keeps_to_its_turns_is_measured),
        cmocka_unit_test(a_side_whose_turns_have_a_clock_is_counted_in_cycles_too),
        cmocka_unit_test(a_clock_that_was_not_read_at_every_sample_gives_no_cycles),
        cmocka_unit_test(calls_and_quads_are_planned_from_the_warm_up),
        cmocka_unit_test(a_round_that_cannot_end_in_time_is_not_begun),
        cmocka_unit_test(who_dies_at_its_turn_is_to_blame),
        cmocka_unit_test(who_sleeps_at_its_turn_is_late_and_not_its_partner),
        cmocka_unit_test(a_machine_that_stalls_makes_nobody_late),
        cmocka_unit_test(who_hangs_where_a_machine_stalled_is_late_all_the_same),
        cmocka_unit_test(a_process_that_is_killed_from_outside_says_so),
        cmocka_unit_test(who_dies_after_its_last_turn_has_crashed),
        cmocka_unit_test(an_answer_that_cannot_be_read_is_no_answer),
        cmocka_unit_test(who_stops_answering_was_not_killed_from_outside),
        cmocka_unit_test(the_last_words_are_the_reason),
        cmocka_unit_test(when_both_break_both_are_unpaired),
        cmocka_unit_test(the_making_of_a_model_is_not_what_its_round_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
