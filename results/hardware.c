/* SPDX-License-Identifier: Apache-2.0 */
#include "results/hardware.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "results/digest.h"

enum { CLASS_DIGITS = 16, NAMED_MOST = 3 };

static const struct tg_field hardware_fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_hardware, name), fallback, unit, meaning},
#include "results/hardware.def"
#undef FIELD
};

const struct tg_record_type tg_hardware_type = {"field of hardware", hardware_fields,
                                                sizeof hardware_fields / sizeof *hardware_fields,
                                                sizeof(struct tg_hardware)};

int tg_hardware_class(const struct tg_hardware *hardware, char out[TG_TEXT_SIZE],
                      struct tg_error *err)
{
    char text[TG_HARDWARE_TEXT_SIZE], digest[TG_DIGEST_SIZE];
    tg_record_format(&tg_hardware_type, hardware, text, sizeof text);
    if (!*text) {
        snprintf(out, TG_TEXT_SIZE, "unknown");
        return 0;
    }
    if (tg_digest_text(text, digest, err) < 0) return -1;
    snprintf(out, TG_TEXT_SIZE, "%.*s", CLASS_DIGITS, digest);
    return 0;
}

char *tg_hardware_difference(const struct tg_hardware *here, const struct tg_hardware *there,
                             char *out, size_t size)
{
    size_t used = 0, differing = 0;
    out[0] = 0;
    for (size_t i = 0; i < tg_hardware_type.field_count; i++) {
        const struct tg_field *field = &tg_hardware_type.fields[i];
        char a[TG_TEXT_SIZE], b[TG_TEXT_SIZE];
        tg_record_get(field, here, a, sizeof a);
        tg_record_get(field, there, b, sizeof b);
        if (strcmp(a, b) == 0 || ++differing > NAMED_MOST || used >= size) continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s %s here, %s there",
                                 used ? "; " : "", field->name, a, b);
    }
    if (differing > NAMED_MOST && used < size)
        snprintf(out + used, size - used, "; and %zu more", differing - NAMED_MOST);
    return out;
}

bool tg_hardware_matches(const char *machine, const char *where)
{
    struct tg_hardware hardware;
    char name[256], pattern[256], value[TG_TEXT_SIZE];
    int more;
    tg_record_init(&tg_hardware_type, &hardware);
    if (!*machine || tg_record_parse(&tg_hardware_type, &hardware, machine, NULL) < 0) return false;
    while ((more = tg_record_term(&where, name, pattern, sizeof name)) == 1) {
        const struct tg_field *field = tg_record_field(&tg_hardware_type, name);
        if (!field) return false;
        tg_record_get(field, &hardware, value, sizeof value);
        if (fnmatch(pattern, value, 0) != 0) return false;
    }
    return more == 0;
}
