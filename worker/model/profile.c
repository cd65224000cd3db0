/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/profile.h"

#include <string.h>

static const struct tg_profile profiles[] = {
#define PROFILE(name, call, prompt, tokens, batch, metric, meaning)                                \
    {#name, TG_CALL_##call, prompt, tokens, batch, #metric, meaning},
#include "worker/model/profiles.def"
#undef PROFILE
};

const struct tg_profile *tg_profile_find(const char *name)
{
    for (size_t i = 0; i < tg_profile_count(); i++)
        if (strcmp(profiles[i].name, name) == 0) return &profiles[i];
    return NULL;
}

size_t tg_profile_count(void)
{
    return sizeof profiles / sizeof *profiles;
}

const struct tg_profile *tg_profile_at(size_t i)
{
    return &profiles[i];
}

int64_t tg_profile_call_tokens(const struct tg_profile *profile)
{
    switch (profile->call) {
    case TG_CALL_PREFILL: return profile->prompt;
    case TG_CALL_WHOLE: return profile->tokens;
    case TG_CALL_TOKEN:
    case TG_CALL_TEXT:
    case TG_CALL_NONE: break;
    }
    return 1;
}

void tg_profile_batches(const struct tg_profile *profile, int64_t batches[TG_PROFILE_BATCHES])
{
    batches[0] = profile->prompt < profile->batch ? profile->prompt : profile->batch;
    batches[1] = profile->prompt % batches[0];
}

int64_t tg_profile_context(const struct tg_profile *profile)
{
    return profile->prompt + profile->tokens;
}
