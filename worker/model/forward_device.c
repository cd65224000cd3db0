/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/forward_device.h"

#include <string.h>

static const struct tg_forward_device *const devices[] = {
#define FORWARD(name) &tg_forward_device_##name,
#include "worker/model/forward_devices.def"
#undef FORWARD
    NULL};

const struct tg_forward_device *tg_forward_device_find(const char *name)
{
    for (size_t i = 0; devices[i]; i++)
        if (strcmp(devices[i]->name, name) == 0) return devices[i];
    return NULL;
}

int tg_forward_device_check(const struct tg_network *n, const struct tg_weights *weights,
                            const struct tg_forward_options *options, struct tg_error *err)
{
    const struct tg_gguf_tensor *const halves[] = {n->embedding, n->output};
    for (int i = 0; i < 2; i++)
        if (halves[i] && strcmp(halves[i]->type->name, "F16") != 0)
            return tg_fail(err, "on a device embedding and head are F16, not %s",
                           halves[i]->type->name);
    for (int64_t i = 0; i < weights->count; i++)
        if (strcmp(weights->matrices[i].kernel->format, "i2s") != 0)
            return tg_fail(err, "on a device matrices are packed as i2s, not %s",
                           weights->matrices[i].kernel->format);
    if (options->is_wide) return tg_fail(err, "on a device keys and values are float16");
    if (options->is_plain) return tg_fail(err, "on a device activations are int8");
    return 0;
}
