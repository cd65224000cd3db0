/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/isa.h"

#include <assert.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif
#ifdef __aarch64__
#include <sys/auxv.h>
#endif

/*
 * The build says of each instruction set whether it is BUILT, UNBUILT (of another processor) or
 * ABSENT (the stubs, where they are not wanted), as TG_ISA_<NAME>. A test is compiled only where
 * it is BUILT: another processor's compiler may not know what it asks.
 */
#define PASTE_TOKENS(a, b) a##b
#define PASTE(a, b)        PASTE_TOKENS(a, b)

#define HERE_BUILT(test)   ((test) != 0)
#define HERE_UNBUILT(test) 0
#define HERE_ABSENT(test)  0

#define ISA(NAME, name, device, processor, flags, test)                                            \
    int tg_isa_here_##NAME(void)                                                                   \
    {                                                                                              \
        return PASTE(HERE_, TG_ISA_##NAME)(test);                                                  \
    }
#include "kernels/isa.def"
#undef ISA

#define ROW(NAME, name, device, processor, flags, is_built)                                        \
    {#name, #device, #processor, flags, is_built, tg_isa_here_##NAME},
#define ROW_BUILT(NAME, name, device, processor, flags) ROW(NAME, name, device, processor, flags, 1)
#define ROW_UNBUILT(NAME, name, device, processor, flags)                                          \
    ROW(NAME, name, device, processor, flags, 0)
#define ROW_ABSENT(NAME, name, device, processor, flags)

static const struct tg_isa isas[] = {
#define ISA(NAME, name, device, processor, flags, test)                                            \
    PASTE(ROW_, TG_ISA_##NAME)(NAME, name, device, processor, flags)
#include "kernels/isa.def"
#undef ISA
};

size_t tg_isa_count(void)
{
    return sizeof isas / sizeof isas[0];
}

const struct tg_isa *tg_isa_at(size_t i)
{
    assert(i < tg_isa_count());
    return &isas[i];
}

const struct tg_isa *tg_isa_find(const char *name)
{
    for (size_t i = 0; i < tg_isa_count(); i++) {
        if (strcmp(isas[i].name, name) == 0) return &isas[i];
    }
    return NULL;
}

int tg_isa_f16c(void)
{
#ifdef __x86_64__
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
#else
    return 0;
#endif
}

int tg_isa_avxvnni(void)
{
#ifdef __x86_64__
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & 1u << 4) != 0;
#else
    return 0;
#endif
}
