/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/fake.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct tg_field fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_fake, name), fallback, unit, meaning},
#include "worker/probe/fake.def"
#undef FIELD
};

static const struct tg_record_type type = {"manner of the fake device", fields,
                                           sizeof fields / sizeof *fields, sizeof(struct tg_fake)};

int tg_fake_read(const char *library, struct tg_fake *fake, struct tg_error *err)
{
    const char *text = getenv("TRITGATE_FAKE_GPU");
    struct tg_fake read;
    tg_record_init(&type, &read);
    if (text && tg_record_parse(&type, &read, text, err) < 0)
        return tg_fail_in(err, "TRITGATE_FAKE_GPU");
    *fake = read;
    if (strncmp(library, read.only, strlen(read.only)) == 0) return 0;
    tg_record_init(&type, fake);
    memcpy(fake->uuid, read.uuid, sizeof fake->uuid);
    return 0;
}
