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
