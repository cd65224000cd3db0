/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/peak.h"

#include <assert.h>
#include <string.h>

#include "kernels/isa.h"

#define PASTE_TOKENS(a, b) a##b
#define PASTE(a, b)        PASTE_TOKENS(a, b)

/* What a row takes from the instruction set that it names. */
static const struct {
#define ISA(NAME, name, device, processor, flags, test) char NAME[sizeof #name];
#include "kernels/isa.def"
#undef ISA
} isa_text = {
#define ISA(NAME, name, device, processor, flags, test) #name,
#include "kernels/isa.def"
#undef ISA
};

/* The build says of each instruction set, as TG_ISA_<NAME>, whether it is BUILT (see isa.c). */
#define ROW_BUILT(ISA, name, dot, how)                                                             \
    {isa_text.ISA, how, tg_isa_here_##ISA, tg_peak_read_##name, tg_peak_write_##name, dot},
#define ROW_UNBUILT(ISA, name, dot, how)
#define ROW_ABSENT(ISA, name, dot, how)

static const struct tg_peak peaks[] = {
#define PEAK(ISA, name, dot, how) PASTE(ROW_, TG_ISA_##ISA)(ISA, name, dot, how)
#include "kernels/peaks.def"
#undef PEAK
};

size_t tg_peak_count(void)
{
    return sizeof peaks / sizeof peaks[0];
}

const struct tg_peak *tg_peak_at(size_t i)
{
    assert(i < tg_peak_count());
    return &peaks[i];
}

const struct tg_peak *tg_peak_find(const char *isa)
{
    for (size_t i = 0; i < tg_peak_count(); i++) {
        if (strcmp(peaks[i].isa, isa) == 0) return &peaks[i];
    }
    return NULL;
}

const struct tg_peak *tg_peak_widest(void)
{
    const struct tg_peak *widest = tg_peak_find("scalar");

    for (size_t i = 0; i < tg_peak_count(); i++) {
        if (peaks[i].here()) widest = &peaks[i];
    }
    return widest;
}
