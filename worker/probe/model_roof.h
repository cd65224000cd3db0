/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_ROOF_H
#define TG_WORKER_PROBE_MODEL_ROOF_H

#include "results/measurement.h"
#include "worker/model/profile.h"
#include "worker/model/session.h"
#include "worker/probe/model_device.h"

/*
 * Measures read_rate, over the model's own pages and by its threads, and dot_rate; and sets limit_s
 * and limited_by, the least time of a profile's call: all that it must read, at that rate; or, of a
 * prompt, its multiply-adds, if they take longer. Without a rate there is no limit. Where a device
 * computes, they are its rates.
 */
void tg_model_roof_measure(struct tg_session *session, const struct tg_model_device *device,
                           const struct tg_profile *profile, struct tg_facts *facts);

#endif
