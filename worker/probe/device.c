/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/device.h"

#include <string.h>

static const struct tg_device *const devices[] = {
#define DEVICE(name) &tg_device_##name,
#include "worker/probe/devices.def"
#undef DEVICE
    NULL};

const struct tg_device *tg_device_find(const char *name)
{
    for (size_t i = 0; devices[i]; i++)
        if (strcmp(devices[i]->name, name) == 0) return devices[i];
    return NULL;
}

int tg_device_open(const char *name, struct tg_facts *facts, const struct tg_device **device,
                   void **state, struct tg_error *err)
{
    const struct tg_device *found = tg_device_find(name);
    if (!found && strcmp(name, "cpu") != 0)
        return tg_fail(err, "this program has no device '%s'", name);
    if (found && found->open(facts, state, err) < 0) return -1;
    *device = found;
    return 0;
}

void tg_device_wake(const char *name)
{
    const struct tg_device *device = tg_device_find(name);
    struct tg_facts facts = {.host = ""};
    void *state;
    if (device && device->open(&facts, &state, NULL) == 0) device->close(state);
}

/* One call, as work. */
struct one_call {
    const struct tg_kernel *kernel;
    struct tg_problem problem;
};

static void put_call(void *state, int64_t first, int64_t calls)
{
    const struct one_call *call = state;
    (void)first;
    for (int64_t i = 0; i < calls; i++) call->kernel->run(&call->problem);
}

/* Memory of the device with a copy of the host's in it. */
static int copy_in(const struct tg_device *device, void *state, const void *from, int64_t bytes,
                   void **memory, struct tg_error *err)
{
    return device->allocate(state, bytes, memory, err) < 0
               ? -1
               : device->put(state, *memory, from, bytes, err);
}

int tg_device_call(const struct tg_kernel *kernel, const struct tg_op *op,
                   const struct tg_problem *problem, struct tg_error *err)
{
    const struct tg_device *device;
    struct one_call call = {kernel, *problem};
    const struct tg_device_work work = {put_call, &call};
    struct tg_facts facts = {.host = ""};
    void *state, *weights, *activations, *results;
    if (tg_device_open(kernel->device, &facts, &device, &state, err) < 0) return -1;
    if (!device) {
        kernel->run(problem);
        return 0;
    }
    const int64_t result_bytes = op->result_bytes(problem);
    int rc = -1;
    if (copy_in(device, state, problem->weights, kernel->packed_bytes(problem->rows, problem->cols),
                &weights, err) < 0 ||
        copy_in(device, state, problem->activations, tg_op_activation_bytes(op, problem),
                &activations, err) < 0 ||
        copy_in(device, state, problem->results, result_bytes, &results, err) < 0)
        goto out;
    call.problem.weights = weights;
    call.problem.activations = activations;
    call.problem.results = results;
    call.problem.stream = device->stream(state);
    device->run(state, &work, 0, 1);
    rc = device->get(state, problem->results, results, result_bytes, err);
out:
    device->close(state);
    return rc;
}
