/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/child.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "results/measurement.h"

/* Children that say much: this program again, with a manner. */

#define SOON    0.1 /* the deadline of what never comes */
#define AT_MOST 30  /* the deadline of what comes */

static char much[1 << 16];

/* A line of so many bytes on the talk. */
static void play_long(size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(4, much, bytes < sizeof much ? bytes : sizeof much);
        if (wrote <= 0) return;
        bytes -= (size_t)wrote;
    }
    dprintf(4, "\n");
}

/* Prints for ever, as four processes, into as large a pipe as anybody may have. */
static void play_flood(void)
{
    fcntl(1, F_SETPIPE_SZ, 1 << 20);
    (void)!fork();
    (void)!fork();
    while (write(1, much, sizeof much) > 0) continue;
}

/* Leaves somebody behind who prints for ever, out of its group, and tells who. */
static void play_leaver(void)
{
    if (fork() == 0) {
        setsid();
        dprintf(4, "%ld\n", (long)getpid());
        play_flood();
        _exit(0);
    }
    for (;;) pause();
}

static int play(const char *manner, const char *told)
{
    memset(much, 'm', sizeof much);
    if (strcmp(manner, "long") == 0) play_long(strtoul(told, NULL, 10));
    if (strcmp(manner, "flood") == 0) play_flood();
    if (strcmp(manner, "leaver") == 0) play_leaver();
    return 0;
}

static struct tg_child *start(const char *manner, const char *told)
{
    const char *const argv[] = {"/proc/self/exe", "play", manner, told, NULL};
    struct tg_child *child = NULL;
    struct tg_error err;
    if (tg_child_start(argv, NULL, 0, 0, &child, &err) < 0) fail_msg("%s", err.text);
    return child;
}

static const char *receive(struct tg_child *child)
{
    const char *line = NULL;
    assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_LINE);
    return line;
}

static void the_longest_line_is_taken_and_a_longer_one_is_none(void **state)
{
    (void)state;
    static const unsigned lengths[] = {1048575, 1048576, 9000000, TG_CHILD_LINE_MOST - 1};
    char length[32];
    const char *line;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(length, sizeof length, "%u", lengths[i]);
        struct tg_child *child = start("long", length);
        assert_int_equal(strlen(receive(child)), lengths[i]);
        tg_child_stop(child, NULL);
    }
    snprintf(length, sizeof length, "%u", TG_CHILD_LINE_MOST);
    struct tg_child *child = start("long", length);
    assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_DIED);
    tg_child_stop(child, NULL);
}

/* Seven series of as many samples as quads_max may ask for, with all digits that they can have. */
static void the_largest_answer_that_a_policy_may_ask_for_is_a_line(void **state)
{
    (void)state;
    enum { SERIES = 7, SOME = 1000, MOST = 4 * 100000 };
    struct tg_measurement m;
    tg_measurement_init(&m);
    for (int i = 0; i < SERIES; i++) {
        struct tg_series *s = tg_measurement_add(&m, "call_time", SOME);
        assert_non_null(s);
        for (size_t k = 0; k < SOME; k++) {
            s->samples[k] = -1.2345678901234567e-100 * (double)(k + 1);
            s->turns[k] = MOST - 1;
            s->begun[k] = INT64_C(1) << 53;
        }
    }
    char *line = tg_measurement_to_json(&m);
    assert_true(strlen(line) / SOME * MOST < TG_CHILD_LINE_MOST);
    free(line);
    tg_measurement_free(&m);
}

static void assert_is_stopped(struct tg_child *child)
{
    const char *line;
    struct tg_child_end end;
    const double began = tg_now();
    assert_int_equal(tg_child_receive(child, began + SOON, &line), TG_CHILD_LATE);
    tg_child_stop(child, &end);
    assert_true(tg_now() - began < AT_MOST);
    assert_int_equal(end.signal, SIGKILL);
    assert_true(end.by_us);
    assert_int_equal(strspn(end.tail, "m"), sizeof end.tail - 1);
}

static void what_prints_for_ever_is_stopped_at_its_deadline(void **state)
{
    (void)state;
    assert_is_stopped(start("flood", ""));
}

static void so_is_one_whose_own_child_goes_on_printing(void **state)
{
    (void)state;
    struct tg_child *child = start("leaver", "");
    const pid_t left_behind = (pid_t)strtol(receive(child), NULL, 10);
    assert_is_stopped(child);
    assert_true(left_behind > 0);
    kill(-left_behind, SIGKILL);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "play") == 0) return play(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_line_is_taken_and_a_longer_one_is_none),
        cmocka_unit_test(the_largest_answer_that_a_policy_may_ask_for_is_a_line),
        cmocka_unit_test(what_prints_for_ever_is_stopped_at_its_deadline),
        cmocka_unit_test(so_is_one_whose_own_child_goes_on_printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
