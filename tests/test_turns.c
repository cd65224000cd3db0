/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/turns.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/fill.h"

#define MOST 4000

static struct tg_turns *create(size_t capacity)
{
    struct tg_turns *turns = NULL;
    struct tg_error err;
    if (tg_turns_create(capacity, &turns, &err) < 0) fail_msg("%s", err.text);
    return turns;
}

/* What two processes see of each other. */
struct seen {
    atomic_int taking, taken, clashes;
    uint8_t order[MOST];
};

/* A process that takes the turns of a side, and how many calls it was told. */
static pid_t take_turns(int descriptor, int side, struct seen *seen)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    struct tg_turns *turns;
    int64_t calls = 0, before;
    if (tg_turns_attach(descriptor, &turns, NULL) < 0) _exit(255);
    close(descriptor);
    while (tg_turns_await(turns, side, &calls, &before)) {
        if (atomic_fetch_add(&seen->taking, 1) != 0) atomic_fetch_add(&seen->clashes, 1);
        int turn = atomic_fetch_add(&seen->taken, 1);
        seen->order[turn] = (uint8_t)side;
        atomic_fetch_sub(&seen->taking, 1);
        tg_turns_pass(turns,
                      (struct tg_turn){.seconds = side + 1, .begun = turn, .clock_hz = 100 + turn});
    }
    _exit((int)calls);
}

static void assert_ends(pid_t child, int wanted)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), wanted);
}

/* Two processes take `count` turns; the table is the caller's. */
static void take_all(struct tg_turns *turns, const uint8_t *order, size_t count, struct seen *seen)
{
    const int64_t calls[] = {11, 22};
    bool has[2] = {false, false};
    memset(seen, 0, sizeof *seen);
    tg_turns_lay(turns, order, count, calls);
    for (size_t i = 0; i < count; i++) has[order[i]] = true;
    pid_t second = take_turns(tg_turns_descriptor(turns), 1, seen);
    pid_t first = take_turns(tg_turns_descriptor(turns), 0, seen);
    assert_ends(first, has[0] ? 11 : 0);
    assert_ends(second, has[1] ? 22 : 0);
}

static void two_processes_take_turns_in_the_order_laid_down(void **state)
{
    (void)state;
    uint64_t random = 7;
    uint8_t order[MOST];
    struct tg_turns *turns = create(MOST);
    struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                             -1, 0);
    assert_ptr_not_equal(seen, MAP_FAILED);
    static const size_t counts[] = {MOST, 1, 2, 4, 100};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        size_t count = counts[k];
        for (size_t i = 0; i < count; i++) order[i] = (uint8_t)(tg_fill_next(&random) >> 63);
        take_all(turns, order, count, seen);
        assert_int_equal(seen->clashes, 0);
        assert_int_equal(seen->taken, count);
        assert_memory_equal(seen->order, order, count);
        assert_int_equal(tg_turns_count(turns), count);
        for (size_t i = 0; i < count; i++) {
            struct tg_turn taken = tg_turns_taken(turns, i);
            assert_int_equal(tg_turns_side(turns, i), order[i]);
            assert_int_equal(taken.begun, i);
            assert_true(taken.seconds == order[i] + 1 && taken.clock_hz == 100 + (double)i);
        }
    }
    munmap(seen, sizeof *seen);
    tg_turns_close(turns);
}

static void without_turns_nobody_waits(void **state)
{
    (void)state;
    int64_t calls = 77, before = 77;
    const int64_t none[] = {0, 0};
    struct tg_turns *turns = create(0);
    assert_int_equal(tg_turns_count(turns), 0);
    assert_int_equal(tg_turns_await(turns, 0, &calls, &before), 0);
    tg_turns_lay(turns, NULL, 0, none);
    assert_int_equal(tg_turns_await(turns, 0, &calls, &before), 0);
    assert_int_equal(tg_turns_await(turns, 1, &calls, &before), 0);
    assert_true(calls == 77 && before == 77);
    tg_turns_close(turns);
}

static void one_side_alone_takes_every_turn(void **state)
{
    (void)state;
    const uint8_t order[4] = {0};
    const int64_t laid[] = {5, 0};
    int64_t calls, before;
    struct tg_turns *turns = create(4);
    tg_turns_lay(turns, order, 4, laid);
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(tg_turns_await(turns, 0, &calls, &before), 1);
        assert_true(calls == 5 && before == 6 * i);
        tg_turns_pass(turns, (struct tg_turn){.seconds = 1, .begun = i});
    }
    assert_int_equal(tg_turns_await(turns, 0, &calls, &before), 0);
    tg_turns_close(turns);
}

static void calls_are_numbered_over_both_sides(void **state)
{
    (void)state;
    const uint8_t order[] = {0, 1, 1, 0, 1, 0};
    const int64_t laid[] = {5, 9}, wanted[] = {0, 6, 16, 26, 32, 42};
    int64_t calls, before;
    struct tg_turns *turns = create(6);
    tg_turns_lay(turns, order, 6, laid);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(tg_turns_await(turns, order[i], &calls, &before), 1);
        assert_true(calls == laid[order[i]] && before == wanted[i]);
        tg_turns_pass(turns, (struct tg_turn){.seconds = 1});
    }
    tg_turns_close(turns);
}

static void a_turn_not_taken_has_no_time_and_laying_clears_the_table(void **state)
{
    (void)state;
    const uint8_t order[] = {0, 1, 1, 0};
    const int64_t laid[] = {1, 1};
    int64_t calls, before;
    struct tg_turns *turns = create(4);
    for (int turn = 0; turn < 2; turn++) {
        tg_turns_lay(turns, order, 4, laid);
        for (size_t i = 0; i < 4; i++) assert_true(!(tg_turns_taken(turns, i).seconds > 0));
        assert_int_equal(tg_turns_await(turns, 0, &calls, &before), 1);
        tg_turns_pass(turns, (struct tg_turn){.seconds = 0.5, .begun = 9});
        assert_true(tg_turns_taken(turns, 0).seconds == 0.5);
        assert_true(!(tg_turns_taken(turns, 1).seconds > 0));
    }
    tg_turns_close(turns);
}

static void a_sample_outlives_the_process_that_took_it(void **state)
{
    (void)state;
    const uint8_t order[] = {0, 1};
    const int64_t laid[] = {1, 1};
    int status;
    struct tg_turns *turns = create(2);
    tg_turns_lay(turns, order, 2, laid);
    pid_t child = fork();
    if (child == 0) {
        struct tg_turns *own;
        int64_t calls, before;
        if (tg_turns_attach(tg_turns_descriptor(turns), &own, NULL) < 0) _exit(1);
        if (tg_turns_await(own, 0, &calls, &before))
            tg_turns_pass(own, (struct tg_turn){.seconds = 3});
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(tg_turns_taken(turns, 0).seconds == 3);
    tg_turns_close(turns);
}

static void what_is_no_table_is_not_attached(void **state)
{
    (void)state;
    struct tg_turns *turns = NULL;
    struct tg_error err;
    int empty = memfd_create("empty", MFD_CLOEXEC);
    char wanted[64];
    assert_int_equal(tg_turns_attach(empty, &turns, &err), -1);
    snprintf(wanted, sizeof wanted, "no table of turns on descriptor %d", empty);
    assert_string_equal(err.text, wanted);
    close(empty);
    assert_int_equal(tg_turns_attach(empty, &turns, &err), -1);
    assert_string_equal(err.text, wanted);
    assert_null(turns);
    tg_turns_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processes_take_turns_in_the_order_laid_down),
        cmocka_unit_test(without_turns_nobody_waits),
        cmocka_unit_test(one_side_alone_takes_every_turn),
        cmocka_unit_test(calls_are_numbered_over_both_sides),
        cmocka_unit_test(a_turn_not_taken_has_no_time_and_laying_clears_the_table),
        cmocka_unit_test(a_sample_outlives_the_process_that_took_it),
        cmocka_unit_test(what_is_no_table_is_not_attached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
