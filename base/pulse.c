/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pulse.h"

#include <signal.h>
#include <stddef.h>

static bool (*beat_of)(void *whom);
static void *beaten;
static volatile sig_atomic_t is_ending;

void tg_pulse_set(bool (*beat)(void *whom), void *whom)
{
    beat_of = beat;
    beaten = whom;
}

bool tg_pulse(void)
{
    return !beat_of || beat_of(beaten);
}

static void end(int signal)
{
    (void)signal;
    is_ending = 1;
}

void tg_pulse_heed_signals(void)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_RESETHAND};
    struct sigaction before;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

bool tg_pulse_is_ending(void)
{
    return is_ending != 0;
}
