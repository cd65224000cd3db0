/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <string.h>

#include "kernels/format.h"
#include "kernels/isa.h"

/*
 * The build says of each kernel, as TG_KERNEL_<name>, whether it is BUILT, SLOWED (built, and
 * slower by TG_INJECTED_PERCENT on purpose), UNBUILT (of another processor) or ABSENT (a stub,
 * where they are not wanted), and as TG_BUILD how it compiled them all.
 */
#define PASTE_TOKENS(a, b) a##b
#define PASTE(a, b)        PASTE_TOKENS(a, b)

/* The calls of this thread, and where an instruction set stands in them. */
static _Thread_local struct tg_calls calls[] = {
#define ISA(NAME, name, device, processor, flags, test) {#name, 0},
#include "kernels/isa.def"
#undef ISA
};

enum {
#define ISA(NAME, name, device, processor, flags, test) CALLS_##NAME,
#include "kernels/isa.def"
#undef ISA
    ISA_COUNT
};

static struct tg_calls *calls_of_thread(void)
{
    return calls;
}

/* The dispatch: counts, then goes to the kernel, which the build has named tg_body_<name>. */
#define COUNT_BUILT(name, isa)                                                                     \
    void tg_body_##name(const struct tg_problem *p);                                               \
    void tg_kernel_##name(const struct tg_problem *p)                                              \
    {                                                                                              \
        calls[CALLS_##isa].count++;                                                                \
        tg_body_##name(p);                                                                         \
    }
#define COUNT_SLOWED(name, isa) COUNT_BUILT(name, isa)
#define COUNT_UNBUILT(name, isa)
#define COUNT_ABSENT(name, isa)
#define KERNEL(name, op, format, isa, source) PASTE(COUNT_, TG_KERNEL_##name)(name, isa)
#include "kernels/kernels.def"
#undef KERNEL

#if TG_INJECTED_PERCENT > 0

/* Where repeated work goes. Threads of one call write rows of their own, here as in its results. */
static char scratch[64 << 20];

/* Computes the first percent of the call's rows once more, so that it takes longer by as much. */
static void repeat(tg_kernel_fn run, int64_t result_bytes, const struct tg_problem *p)
{
    const int64_t rows = p->row_end - p->row_begin;
    const int64_t repeated = (rows * TG_INJECTED_PERCENT + 99) / 100;
    struct tg_problem again = *p;

    if (result_bytes <= (int64_t)sizeof scratch) again.results = scratch;
    for (int64_t left = repeated; left > 0; left -= rows) {
        again.row_end = p->row_begin + (left < rows ? left : rows);
        run(&again);
    }
}

/*
 * On a device a second launch costs more than its rows: there so many calls in a hundred are made
 * twice, which makes a sample of many calls longer by as much.
 */
static void repeat_some(tg_kernel_fn run, int64_t *owed, const struct tg_problem *p)
{
    for (*owed += TG_INJECTED_PERCENT; *owed >= 100; *owed -= 100) run(p);
}

#define IS_HOST_cpu  1
#define IS_HOST_cuda 0
#define IS_HOST_fake 0
enum {
#define ISA(NAME, name, device, processor, flags, test) HOST_##NAME = IS_HOST_##device,
#include "kernels/isa.def"
#undef ISA
};

#define SLOW_SLOWED(name, op, isa)                                                                 \
    static void slowed_##name(const struct tg_problem *p)                                          \
    {                                                                                              \
        static int64_t owed;                                                                       \
        tg_kernel_##name(p);                                                                       \
        if (HOST_##isa)                                                                            \
            repeat(tg_kernel_##name, tg_op_##op##_result_bytes(p), p);                             \
        else                                                                                       \
            repeat_some(tg_kernel_##name, &owed, p);                                               \
    }
#define SLOW_BUILT(name, op, isa)
#define SLOW_UNBUILT(name, op, isa)
#define SLOW_ABSENT(name, op, isa)
#define KERNEL(name, op, format, isa, source) PASTE(SLOW_, TG_KERNEL_##name)(name, op, isa)
#include "kernels/kernels.def"
#undef KERNEL

#endif

/* What a row takes from the instruction set that it names. */
static const struct {
#define ISA(NAME, name, device, processor, flags, test)                                            \
    char NAME[sizeof #name], NAME##_device[sizeof #device];
#include "kernels/isa.def"
#undef ISA
} isa_text = {
#define ISA(NAME, name, device, processor, flags, test) #name, #device,
#include "kernels/isa.def"
#undef ISA
};

/* What a row takes from the format that it names. */
enum {
#define FORMAT(name, column_multiple, meaning) MULTIPLE_##name = column_multiple,
#include "kernels/formats.def"
#undef FORMAT
};

#define ROW(name, op, format, isa, source, run)                                                    \
    {#name,                                                                                        \
     #op,                                                                                          \
     #format,                                                                                      \
     isa_text.isa,                                                                                 \
     isa_text.isa##_device,                                                                        \
     source,                                                                                       \
     run,                                                                                          \
     tg_isa_here_##isa,                                                                            \
     tg_format_##format##_pack,                                                                    \
     tg_format_##format##_packed_bytes,                                                            \
     MULTIPLE_##format},
#define ROW_BUILT(name, op, format, isa, source)                                                   \
    ROW(name, op, format, isa, source, tg_kernel_##name)
#define ROW_SLOWED(name, op, format, isa, source)  ROW(name, op, format, isa, source, slowed_##name)
#define ROW_UNBUILT(name, op, format, isa, source) ROW(name, op, format, isa, source, NULL)
#define ROW_ABSENT(name, op, format, isa, source)

static const struct tg_kernel kernels[] = {
#define KERNEL(name, op, format, isa, source)                                                      \
    PASTE(ROW_, TG_KERNEL_##name)(name, op, format, isa, source)
#include "kernels/kernels.def"
#undef KERNEL
};

enum { KERNEL_COUNT = sizeof kernels / sizeof kernels[0] };

static const struct tg_library library = {
    .abi = TG_LIBRARY_ABI,
    .problem_bytes = sizeof(struct tg_problem),
    .kernel_bytes = sizeof(struct tg_kernel),
    .injected_percent = TG_INJECTED_PERCENT,
#ifndef NDEBUG
    .is_debug = 1,
#endif
    .build = TG_BUILD,
    .kernels = kernels,
    .kernel_count = KERNEL_COUNT,
    .isa_count = ISA_COUNT,
    .calls = calls_of_thread,
};

const struct tg_library *tritgate_kernels_v1(void)
{
    return &library;
}

const struct tg_kernel *tg_kernel_find(const char *name)
{
    for (size_t i = 0; i < KERNEL_COUNT; i++) {
        if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
    }
    return NULL;
}
