/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_FAKE_H
#define TG_WORKER_PROBE_FAKE_H

#include "base/error.h"
#include "base/record.h"

/* The manners of the fake device (fake.def), as TRITGATE_FAKE_GPU='clock_hz=1.5e9 throttle=8'. */

struct tg_fake {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "worker/probe/fake.def"
#undef FIELD
};

/*
 * Reads what the environment asks for; what it does not ask for is as on a device in order, and all
 * of it but the name for a process of another library than those that `only` names.
 */
int tg_fake_read(const char *library, struct tg_fake *fake, struct tg_error *err);

#endif
