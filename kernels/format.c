/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/format.h"

#include <assert.h>
#include <string.h>

static const struct tg_format formats[] = {
#define FORMAT(name, column_multiple, meaning)                                                     \
    {#name,                                                                                        \
     meaning,                                                                                      \
     column_multiple,                                                                              \
     tg_format_##name##_packed_bytes,                                                              \
     tg_format_##name##_pack,                                                                      \
     tg_format_##name##_unpack},
#include "kernels/formats.def"
#undef FORMAT
};

size_t tg_format_count(void)
{
    return sizeof formats / sizeof formats[0];
}

const struct tg_format *tg_format_at(size_t i)
{
    assert(i < tg_format_count());
    return &formats[i];
}

const struct tg_format *tg_format_find(const char *name)
{
    for (size_t i = 0; i < tg_format_count(); i++) {
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    }
    return NULL;
}
