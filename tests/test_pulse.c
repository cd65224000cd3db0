/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pulse.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct watcher {
    int beats, last;
};

/* Goes on until its last beat. */
static bool count(void *whom)
{
    struct watcher *w = whom;
    return ++w->beats < w->last;
}

static void without_a_watcher_waiting_goes_on(void **state)
{
    (void)state;
    assert_true(tg_pulse());
}

static void who_waits_hears_whether_to_go_on(void **state)
{
    (void)state;
    struct watcher w = {0, 3};
    tg_pulse_set(count, &w);
    assert_true(tg_pulse());
    assert_true(tg_pulse());
    assert_false(tg_pulse());
    assert_int_equal(w.beats, 3);
    tg_pulse_set(NULL, NULL);
    assert_true(tg_pulse());
    assert_int_equal(w.beats, 3);
}

/* Last: nothing takes it back. */
static void an_end_that_was_asked_for_is_seen(void **state)
{
    (void)state;
    assert_false(tg_pulse_is_ending());
    signal(SIGHUP, SIG_IGN);
    tg_pulse_heed_signals();
    raise(SIGHUP);
    assert_false(tg_pulse_is_ending());
    raise(SIGTERM);
    assert_true(tg_pulse_is_ending());
    assert_true(tg_pulse());                          /* what is under way goes on */
    assert_true(signal(SIGTERM, SIG_DFL) == SIG_DFL); /* the second one is as ever */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_watcher_waiting_goes_on),
        cmocka_unit_test(who_waits_hears_whether_to_go_on),
        cmocka_unit_test(an_end_that_was_asked_for_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
