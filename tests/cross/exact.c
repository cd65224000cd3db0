/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/isa.h"
#include "kernels/kernel.h"
#include "kernels/number.h"
#include "kernels/peak.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

/*
 * Tries every kernel of one or more instruction sets against the reference of its operation, where
 * tests/test_kernels.c cannot run: on emulated processors. Names each kernel and what became of it.
 *
 *   exact [--planted] ISA|KERNEL...     status 1: a kernel, or an instruction set's peak, is wrong
 *                                              2: there is no such kernel here
 *
 * With --planted the last byte of each result is changed, so that every kernel must be wrong.
 */

enum { POISON = 0x5a };

enum values { RANDOM, ALL_PLUS, ALL_MINUS, OPPOSITE, ALIKE, VALUES };

struct trial {
    int64_t rows, multiples, columns_least, batch, row_begin, row_end;
};

/* Columns are so many multiples of what the format needs, or the next multiple from a least on. */
static const struct trial trials[] = {
    {1, 1, 0, 1, 0, 1},           {3, 1, 0, 2, 0, 3},      {17, 2, 0, 3, 0, 17},
    {33, 3, 0, 7, 1, 32},         {16, 5, 0, 8, 5, 11},    {65, 7, 0, 9, 30, 63},
    {2, 4, 0, 33, 0, 2},          {35, 1, 0, 31, 16, 35},  {5, 0, 2560, 3, 0, 5},
    {37, 0, 2560, 1, 0, 37},      {3, 0, 6912, 2, 0, 3},   {4, 0, 14336, 1, 0, 4},
    {19, 0, 8640, 4, 2, 19},      {2, 0, 131072, 1, 0, 2}, {1536, 0, 1536, 1, 120, 136},
    {1024, 0, 4096, 2, 240, 272},
};

/* Memory that ends where nothing may be read. */
static void *ending(int64_t bytes)
{
#ifdef __linux__
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inside = ((size_t)bytes + page - 1) / page * page;
    uint8_t *map = mmap(NULL, inside + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (map == MAP_FAILED || mprotect(map + inside, page, PROT_NONE) != 0) exit(3);
    return map + inside - (size_t)bytes;
#else
    void *memory = malloc((size_t)bytes);
    if (!memory) exit(3);
    return memory;
#endif
}

static void release(void *memory, int64_t bytes)
{
#ifdef __linux__
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inside = ((size_t)bytes + page - 1) / page * page;
    munmap((uint8_t *)memory + (size_t)bytes - inside, inside + page);
#else
    (void)bytes;
    free(memory);
#endif
}

/* `first` is where among the numbers of ALIKE the first token begins. */
static void fill(int8_t *ternary, int8_t *activations, const struct tg_problem *p,
                 enum values values, size_t first)
{
    /* Of which two or three have sums whose halves are the largest (kernels/cpu/tables_avx2.h). */
    static const int8_t alike[] = {7, 23, 5, 36, 70};
    const size_t weights = (size_t)(p->rows * p->cols), inputs = (size_t)(p->batch * p->cols);

    tg_fill_ternary(1, ternary, weights);
    tg_fill_int8(2, activations, inputs);
    if (values == RANDOM) return;
    memset(ternary, values == ALL_MINUS ? -1 : 1, weights);
    memset(activations, values == ALL_PLUS ? 127 : -127, inputs);
    for (size_t i = 0; values == ALIKE && i < inputs; i++)
        activations[i] = alike[(first + i / (size_t)p->cols) % 5];
}

/* Whether the kernel writes what the reference does, and nothing else. */
static int is_right(const struct tg_kernel *kernel, const struct trial *t, enum values values,
                    int planted)
{
    const struct tg_op *op = tg_op_find(kernel->op);
    const int64_t multiple = kernel->column_multiple;
    struct tg_problem p = {.rows = t->rows,
                           .cols = t->columns_least == 0
                                       ? t->multiples * multiple
                                       : (t->columns_least + multiple - 1) / multiple * multiple,
                           .batch = t->batch,
                           .row_begin = t->row_begin,
                           .row_end = t->row_end};
    const int64_t packed_bytes = kernel->packed_bytes(p.rows, p.cols);
    const int64_t result_bytes = op->result_bytes(&p);
    int8_t *ternary = ending(p.rows * p.cols), *activations = ending(p.batch * p.cols);
    uint8_t *packed = ending(packed_bytes);
    void *results = ending(result_bytes), *wanted = ending(result_bytes);

    fill(ternary, activations, &p, values, (size_t)(t - trials));
    kernel->pack(ternary, p.rows, p.cols, packed);
    p.weights = packed;
    p.activations = activations;
    memset(wanted, POISON, (size_t)result_bytes);
    memset(results, POISON, (size_t)result_bytes);
    p.results = wanted;
    for (int64_t b = 0; b < op->columns(&p); b++) op->reference(ternary, &p, b);
    p.results = results;
    kernel->run(&p);
    if (planted) ((uint8_t *)results)[result_bytes - 1] ^= 1;
    const int is_equal = memcmp(results, wanted, (size_t)result_bytes) == 0;

    release(ternary, p.rows * p.cols);
    release(activations, p.batch * p.cols);
    release(packed, packed_bytes);
    release(results, result_bytes);
    release(wanted, result_bytes);
    return is_equal;
}

/* Whether the operation has the activations that trials fill, or none; others are not tried. */
static int is_tried(const struct tg_op *op)
{
    return op && op->has_weights &&
           (!strcmp(op->activations->name, "int8") || !strcmp(op->activations->name, "none"));
}

/* The number of trials in which the kernel is wrong. */
static int wrong_trials(const struct tg_kernel *kernel, int planted)
{
    int wrong = 0;

    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        for (int values = RANDOM; values < VALUES; values++) {
            if (is_right(kernel, &trials[i], (enum values)values, planted)) continue;
            printf("%s: wrong in trial %zu, values %d\n", kernel->name, i, values);
            wrong++;
        }
    }
    return wrong;
}

/* Whether the peak of that instruction set reads and multiplies what it says; 0 if there is none.
 */
static int is_peak_right(const char *isa)
{
    static _Alignas(64) int8_t activations[2 * TG_PEAK_COLUMNS];
    static _Alignas(64) uint64_t words[70];
    const struct tg_peak *peak = tg_peak_find(isa);
    uint8_t codes[2][32];
    uint64_t all = 0;
    int64_t sum = 0;

    if (!peak) return 0;
    for (int i = 0; i < 70; i++) all ^= words[i] = tg_fill_next(&(uint64_t){(uint64_t)i});
    if (peak->read(words, 70) != all) return 0;
    peak->write(words, 69, 7, 0);
    for (int i = 0; i < 69; i++) {
        if (words[i] != 7) return 0;
    }
    if (!peak->dot) return 1;
    tg_fill_int8(3, activations, sizeof activations);
    for (int i = 0; i < 64; i++) codes[i / 32][i % 32] = (uint8_t)(i * 7 % 3);
    for (int i = 0; i < 2 * 2 * TG_PEAK_COLUMNS; i++) {
        const int c = i % (2 * TG_PEAK_COLUMNS);
        sum += codes[i / (2 * TG_PEAK_COLUMNS)][c % 32] * activations[c];
    }
    return peak->dot((const uint8_t(*)[32])codes, activations, 2 * TG_PEAK_COLUMNS, 65) == 65 * sum;
}

int main(int argc, char **argv)
{
    const struct tg_library *library = tritgate_kernels_v1();
    const int planted = argc > 1 && strcmp(argv[1], "--planted") == 0;
    int wrong = 0;

    for (int a = 1 + planted; a < argc; a++) {
        int tried = 0;
        for (uint64_t i = 0; i < library->kernel_count; i++) {
            const struct tg_kernel *kernel = &library->kernels[i];
            if (strcmp(kernel->isa, argv[a]) != 0 && strcmp(kernel->name, argv[a]) != 0) continue;
            if (!kernel->run || !kernel->here() || !is_tried(tg_op_find(kernel->op))) continue;
            const int wrongs = wrong_trials(kernel, planted);
            printf("%s: %s\n", kernel->name, wrongs ? "wrong" : "right");
            wrong += wrongs;
            tried++;
        }
        if (tried == 0) {
            printf("%s: no kernel here\n", argv[a]);
            return 2;
        }
        if (tg_isa_find(argv[a]) && !is_peak_right(argv[a])) {
            printf("%s: no peak, or a wrong one\n", argv[a]);
            wrong++;
        }
    }
    return wrong ? 1 : 0;
}
