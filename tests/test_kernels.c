/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/fill.h"
#include "kernels/format.h"
#include "kernels/kernel.h"
#include "worker/probe/device.h"

/*
 * Every kernel that this machine can run, against the reference of its operation. Each operand ends
 * (or begins) at a page that cannot be touched, and results are compared with all that was around
 * them, so that a kernel which reads or writes one byte too much does not pass.
 */

enum { POISON = 0x5a };

enum side { AFTER, BEFORE }; /* where the page that cannot be touched lies */

struct guarded {
    uint8_t *data;
    void *map;
    size_t map_bytes;
};

static struct guarded guarded_create(int64_t bytes, enum side side)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inside = ((size_t)bytes + page - 1) / page * page;
    struct guarded g = {.map_bytes = inside + 2 * page};

    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect((uint8_t *)g.map + page, inside, PROT_READ | PROT_WRITE), 0);
    g.data = (uint8_t *)g.map + page + (side == AFTER ? inside - (size_t)bytes : 0);
    memset(g.data, POISON, (size_t)bytes);
    return g;
}

static void guarded_destroy(const struct guarded *g)
{
    munmap(g->map, g->map_bytes);
}

/* A problem to try: its shape, the rows of the call, its weights and activations. */
struct trial {
    int64_t rows, cols, batch, row_begin, row_end;
    enum side side;
    void (*fill)(int8_t *ternary, int8_t *activations, const struct trial *t);
    int64_t inputs; /* numbers of the activations, set before `fill` is called */
};

static void random_values(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    tg_fill_ternary(1, ternary, (size_t)(t->rows * t->cols));
    tg_fill_int8(2, activations, (size_t)t->inputs);
}

static void all_plus_one(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    memset(ternary, 1, (size_t)(t->rows * t->cols));
    memset(activations, 127, (size_t)t->inputs);
}

static void all_minus_one(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    memset(ternary, -1, (size_t)(t->rows * t->cols));
    memset(activations, -127, (size_t)t->inputs);
}

static void opposite_signs(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    memset(ternary, 1, (size_t)(t->rows * t->cols));
    memset(activations, -127, (size_t)t->inputs);
}

static void checkerboard(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    for (int64_t i = 0; i < t->rows * t->cols; i++) {
        ternary[i] = (int8_t)((i / t->cols + i) % 2 ? 1 : -1);
    }
    for (int64_t i = 0; i < t->inputs; i++) activations[i] = (int8_t)(i % 2 ? 127 : -127);
}

/* Of which two or three have sums whose halves are the largest (kernels/cpu/tables_avx2.h). */
static void all_alike(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    static const int8_t alike[] = {7, 23, 5, 36, 70};

    memset(ternary, 1, (size_t)(t->rows * t->cols));
    for (int64_t i = 0; i < t->inputs; i++) activations[i] = alike[i / t->cols % 5];
}

static void one_weight(int8_t *ternary, int8_t *activations, const struct trial *t)
{
    memset(ternary, 0, (size_t)(t->rows * t->cols));
    ternary[(t->row_end - 1) * t->cols + t->cols - 1] = -1;
    tg_fill_int8(3, activations, (size_t)t->inputs);
}

/*
 * The activations as the operation has them. Where these are no integers, halves are multiplied, so
 * that sums are exact in any order, and what is rounded is no multiple of anything.
 */
static void fill_activations(const struct tg_op *op, const int8_t *plain, int64_t count, void *to)
{
    const float unit = !op->activations->is_float ? 1 : op->has_weights ? 0.5f : 0.37f;

    for (int64_t i = 0; i < count; i++) op->activations->put(to, (size_t)i, (float)plain[i] * unit);
}

/* Runs the kernel. Returns 1 when it wrote what the reference did and nothing else. */
static int is_right(const struct tg_kernel *kernel, const struct trial *t)
{
    const struct tg_op *op = tg_op_find(kernel->op);
    struct tg_problem p = {.rows = t->rows,
                           .cols = t->cols,
                           .batch = t->batch,
                           .row_begin = t->row_begin,
                           .row_end = t->row_end};
    const int64_t result_bytes = op->result_bytes(&p);
    const int64_t weight_bytes = kernel->packed_bytes(t->rows, t->cols);
    const struct guarded weights = guarded_create(weight_bytes, t->side);
    const struct guarded activations = guarded_create(tg_op_activation_bytes(op, &p), t->side);
    const struct guarded results = guarded_create(result_bytes, t->side);
    struct trial filled = *t;
    filled.inputs = tg_op_activation_count(op, &p);
    int8_t *ternary = test_malloc((size_t)(t->rows * t->cols));
    int8_t *plain = test_malloc((size_t)filled.inputs);
    void *wanted = test_malloc((size_t)result_bytes);
    int is_equal = 1;

    filled.fill(ternary, plain, &filled);
    fill_activations(op, plain, filled.inputs, activations.data);
    kernel->pack(ternary, t->rows, t->cols, weights.data);
    p.weights = weights.data;
    p.activations = (const int8_t *)activations.data;

    memset(wanted, POISON, (size_t)result_bytes);
    p.results = wanted;
    for (int64_t b = 0; b < op->columns(&p); b++) op->reference(ternary, &p, b);
    p.results = results.data;
    assert_int_equal(tg_device_call(kernel, op, &p, NULL), 0);
    for (int64_t b = 0; b < op->columns(&p); b++) is_equal &= op->differs(&p, wanted, b) == -1;
    is_equal &= memcmp(results.data, wanted, (size_t)result_bytes) == 0;

    test_free(wanted);
    test_free(plain);
    test_free(ternary);
    guarded_destroy(&results);
    guarded_destroy(&activations);
    guarded_destroy(&weights);
    return is_equal;
}

/* The trial with as many columns as the kernel's format allows, at least those asked for. */
static int is_right_near(const struct tg_kernel *kernel, struct trial t)
{
    const int64_t multiple = kernel->column_multiple;

    t.cols = (t.cols + multiple - 1) / multiple * multiple;
    return is_right(kernel, &t);
}

static int never_comes_back(const struct tg_kernel *kernel)
{
    return !strcmp(kernel->name, "stub_crash") || !strcmp(kernel->name, "stub_hang") ||
           !strcmp(kernel->name, "stub_eats");
}

/* Stubs that are right at some edges, or for a while, or never come back: others test those. */
static int is_right_at_times(const struct tg_kernel *kernel)
{
    return strncmp(kernel->name, "stub_", 5) == 0 && strcmp(kernel->name, "stub_twice") != 0 &&
           strcmp(kernel->name, "stub_wrong") != 0;
}

/* Fails unless every kernel that can be called here is right; stub_wrong must not be. */
static void try_every_kernel(const struct trial *t)
{
    const struct tg_library *library = tritgate_kernels_v1();

    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        if (!kernel->run || !kernel->here() || is_right_at_times(kernel)) continue;
        if (is_right_near(kernel, *t) == (strcmp(kernel->name, "stub_wrong") != 0)) continue;
        fail_msg("%s, %ld x %ld, batch %ld, rows %ld to %ld", kernel->name, (long)t->rows,
                 (long)t->cols, (long)t->batch, (long)t->row_begin, (long)t->row_end);
    }
}

static void every_kernel_is_right_at_the_edges(void **state)
{
    static const int64_t rows[] = {1, 2, 3, 5, 7, 17}, cols[] = {128, 256, 384, 640, 2560};
    static const int64_t batches[] = {1, 2, 3, 7, 8, 9};

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) {
            for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
                struct trial t = {rows[r], cols[c], batches[b], 0, rows[r], AFTER, random_values};
                try_every_kernel(&t);
                t.side = BEFORE;
                try_every_kernel(&t);
            }
        }
    }
}

/* Every remainder that a layout may have, of columns and of rows. */
static void every_kernel_is_right_on_small_multiples_of_its_columns(void **state)
{
    static const int64_t rows[] = {1, 15, 16, 31, 33, 65};
    const struct tg_library *library = tritgate_kernels_v1();

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        if (!kernel->run || !kernel->here() || strncmp(kernel->name, "stub_", 5) == 0) continue;
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            const int64_t most = kernel->column_multiple > 8 ? 9 : 72 / kernel->column_multiple;
            for (int64_t multiples = 1; multiples <= most; multiples++) {
                const struct trial t = {
                    rows[r],      multiples * kernel->column_multiple, 2, 0, rows[r], AFTER,
                    random_values};
                if (is_right(kernel, &t)) continue;
                fail_msg("%s, %ld x %ld", kernel->name, (long)t.rows, (long)t.cols);
            }
        }
    }
}

/* Columns of a layer that is no multiple of 128: a kernel whose format cannot have them gets more.
 */
static void every_kernel_is_right_on_8640_columns(void **state)
{
    const struct trial t = {18, 8640, 2, 0, 18, AFTER, all_plus_one};

    (void)state;
    try_every_kernel(&t);
}

/* Published shapes, whose tiles are larger than the smallest, and ranges within and across them. */
static void lookup_kernels_are_right_in_published_tiles(void **state)
{
    static const struct trial trials[] = {
        {1536, 1536, 2, 37, 150, AFTER, random_values},
        {1536, 1536, 9, 480, 577, BEFORE, random_values},
        {1024, 4096, 1, 240, 272, AFTER, random_values},
        {1024, 4096, 6, 1000, 1024, AFTER, all_minus_one},
        {1536, 1536, 5, 120, 200, AFTER, all_plus_one},
        {1536, 1536, 5, 120, 200, AFTER, all_alike},
        {3200, 3200, 1, 310, 390, AFTER, random_values},
        {3200, 3200, 7, 3160, 3200, AFTER, random_values},
        {1024, 4096, 37, 990, 1024, BEFORE, random_values},
    };
    const struct tg_library *library = tritgate_kernels_v1();

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        if (!kernel->run || !kernel->here() || is_right_at_times(kernel)) continue;
        if (strncmp(kernel->format, "tl", 2) != 0) continue;
        if (strcmp(kernel->op, "product") != 0) continue;
        for (size_t j = 0; j < sizeof trials / sizeof *trials; j++) {
            const struct trial *t = &trials[j];
            if (is_right(kernel, t)) continue;
            fail_msg("%s, %ld x %ld, batch %ld", kernel->name, (long)t->rows, (long)t->cols,
                     (long)t->batch);
        }
    }
}

static void a_row_range_leaves_the_other_rows_alone(void **state)
{
    static const int64_t ranges[][2] = {{0, 1},  {0, 4},  {3, 4},  {5, 11},
                                        {4, 16}, {9, 17}, {16, 17}};

    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        for (int64_t batch = 1; batch <= 3; batch += 2) {
            const struct trial t = {17,           384,   batch,        ranges[i][0],
                                    ranges[i][1], AFTER, random_values};
            try_every_kernel(&t);
        }
    }
}

static void no_sum_overflows_on_the_worst_operands(void **state)
{
    static const int64_t cols[] = {2560, 6912, 14336};
    const struct trial patterns[] = {
        {.fill = all_plus_one}, {.fill = all_minus_one}, {.fill = opposite_signs},
        {.fill = checkerboard}, {.fill = one_weight},    {.fill = random_values},
        {.fill = all_alike},
    };

    (void)state;
    for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) {
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            struct trial t = {5, cols[c], 3, 0, 5, AFTER, patterns[i].fill};
            try_every_kernel(&t);
            t.batch = 7; /* for which kernels cut codes */
            try_every_kernel(&t);
            t.batch = 33; /* for which some have another loop */
            if (cols[c] == 2560) try_every_kernel(&t);
        }
    }
}

/* The most columns that every kernel takes, far more than a layer has. */
static void no_sum_overflows_at_the_limit_of_columns(void **state)
{
    const struct trial t = {4, 1 << 17, 1, 0, 4, AFTER, all_plus_one};

    (void)state;
    try_every_kernel(&t);
}

static void an_empty_row_range_writes_nothing(void **state)
{
    const struct tg_library *library = tritgate_kernels_v1();
    const struct trial t = {5, 256, 2, 2, 2, AFTER, all_plus_one};

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        if (!kernel->run || !kernel->here() || never_comes_back(kernel)) continue;
        assert_true(is_right_near(kernel, t));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_is_right_at_the_edges),
        cmocka_unit_test(every_kernel_is_right_on_small_multiples_of_its_columns),
        cmocka_unit_test(every_kernel_is_right_on_8640_columns),
        cmocka_unit_test(lookup_kernels_are_right_in_published_tiles),
        cmocka_unit_test(a_row_range_leaves_the_other_rows_alone),
        cmocka_unit_test(no_sum_overflows_on_the_worst_operands),
        cmocka_unit_test(no_sum_overflows_at_the_limit_of_columns),
        cmocka_unit_test(an_empty_row_range_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
