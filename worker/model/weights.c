/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/weights.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "worker/library.h"

/* Kernels for whole models, the fastest first: for batches, and for single tokens. */
static const struct {
    const char *many, *one;
} fastest[] = {{"panel_avx512vnni", "panel_avx512vnni_stream"},
               {"panel_avxvnni", "panel_avxvnni"},
               {"panel_avx2", "panel_avx2"},
               {"panel_i8mm", "panel_neondot"},
               {"panel_neondot", "panel_neondot"}};

enum { ALIGNMENT = 64, LOADERS_MOST = 4 };

#define LARGE_PAGE (INT64_C(2) << 20)

static bool is_product(const struct tg_kernel *k)
{
    return strcmp(k->op, "product") == 0 && strcmp(k->device, "cpu") == 0 && k->run && k->here();
}

static int find_named(const struct tg_library *library, const char *name, int64_t cols,
                      const struct tg_kernel **kernel, struct tg_error *err)
{
    const struct tg_kernel *k = tg_library_find(library, name);
    if (!k) return tg_fail(err, "no kernel '%s'", name);
    if (!is_product(k))
        return tg_fail(err, "kernel '%s' computes no ternary product on this processor", name);
    if (cols % k->column_multiple != 0)
        return tg_fail(err, "kernel '%s' cannot hold %" PRId64 " columns", name, cols);
    *kernel = k;
    return 0;
}

/* Without a name: fast ones, or the scalar one of `format`, which always fits. */
static int find_kernels(const struct tg_library *library, const char *format, const char *name,
                        struct tg_matrix *m, struct tg_error *err)
{
    char plain[64];
    snprintf(plain, sizeof plain, "%s_scalar", format);
    for (size_t i = 0; !name && i < sizeof fastest / sizeof *fastest; i++) {
        if (find_named(library, fastest[i].many, m->cols, &m->kernel, NULL) < 0) continue;
        if (find_named(library, fastest[i].one, m->cols, &m->one, NULL) < 0) m->one = m->kernel;
        return 0;
    }
    if (find_named(library, name ? name : plain, m->cols, &m->kernel, err) < 0) return -1;
    m->one = m->kernel;
    return 0;
}

/* How a matrix of the file becomes weights: the fastest kernel that unpacks its format, or NULL. */
static const struct tg_kernel *find_unpack(const struct tg_library *library,
                                           const struct tg_format *format)
{
    const struct tg_kernel *found = NULL;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *k = &library->kernels[i];
        if (strcmp(k->op, "unpack") == 0 && strcmp(k->device, "cpu") == 0 &&
            strcmp(k->format, format->name) == 0 && k->run && k->here())
            found = k; /* narrow ones come first */
    }
    return found;
}

struct load {
    const struct tg_network *network;
    const struct tg_format *format;
    const struct tg_kernel *unpack;
    struct tg_weights *weights;
    uint8_t **targets; /* where a matrix is packed to; NULL: it stays in the file */
    int loaders;
    int64_t most; /* weights of the largest matrix */
    _Atomic int64_t next;
    _Atomic bool has_failed;
    atomic_flag is_told;
    struct tg_error *err;
};

static const struct tg_gguf_tensor *tensor_of(const struct tg_network *n, int64_t i)
{
    return n->blocks[i / TG_LAYERS].layers[i % TG_LAYERS];
}

/* Two bits that are both set: code 3, in formats of type 36. */
static bool has_threes(const uint8_t *bytes, int64_t count)
{
    uint8_t found = 0;
    for (int64_t i = 0; i < count; i++) found |= bytes[i] & bytes[i] >> 1 & 0x55;
    return found != 0;
}

/* The first failure is told; of several threads only one writes. */
static void fail_load(struct load *l, const struct tg_error *why)
{
    if (!atomic_flag_test_and_set(&l->is_told)) tg_fail(l->err, "%s", why->text);
    atomic_store(&l->has_failed, true);
}

static int unpack(const struct load *l, int64_t i, int8_t *ternary, struct tg_error *err)
{
    const struct tg_gguf_tensor *t = tensor_of(l->network, i);
    const int64_t rows = t->dimensions[1], cols = t->dimensions[0];
    const struct tg_problem problem = {
        .weights = t->data, .results = ternary, .rows = rows, .cols = cols, .row_end = rows};
    int64_t bad = -1;
    if (tg_network_is_plain(t)) return tg_network_plain_unpack(t, ternary, err);
    if (l->unpack && strncmp(l->format->name, "i2s", 3) == 0 &&
        !has_threes(t->data, l->format->packed_bytes(rows, cols)))
        l->unpack->run(&problem);
    else
        bad = l->format->unpack(t->data, rows, cols, ternary);
    if (bad < 0) return 0;
    return tg_fail(
        err, "tensor '%.*s' has a code that stands for nothing, row %" PRId64 " column %" PRId64,
        (int)t->name.size, t->name.bytes, bad / cols, bad % cols);
}

/* One of several threads: takes the next matrix until there is none. */
static void load_some(void *work, int part)
{
    struct load *l = work;
    struct tg_error err;
    if (part >= l->loaders) return;
    int8_t *ternary = malloc((size_t)l->most);
    if (!ternary) {
        tg_fail(&err, "out of memory");
        fail_load(l, &err);
        return;
    }
    for (int64_t i;
         !atomic_load(&l->has_failed) && (i = atomic_fetch_add(&l->next, 1)) < l->weights->count;) {
        const struct tg_matrix *m = &l->weights->matrices[i];
        if (unpack(l, i, ternary, &err) < 0)
            fail_load(l, &err);
        else if (l->targets[i])
            m->kernel->pack(ternary, m->rows, m->cols, l->targets[i]);
    }
    free(ternary);
}

/* Kernel, scale and place of each matrix; the region is as large as what is packed anew. */
static int plan(struct load *l, const struct tg_library *library, const char *name,
                struct tg_error *err)
{
    struct tg_weights *w = l->weights;
    int64_t at = 0;
    for (int64_t i = 0; i < w->count; i++) {
        const struct tg_gguf_tensor *t = tensor_of(l->network, i);
        const bool is_plain = tg_network_is_plain(t);
        struct tg_matrix *m = &w->matrices[i];
        m->rows = t->dimensions[1];
        m->cols = t->dimensions[0];
        if (find_kernels(library, is_plain ? "i2sx4" : l->format->name, name, m, err) < 0 ||
            tg_network_find_scale(l->network, i / TG_LAYERS, (int)(i % TG_LAYERS), &m->scale, err) <
                0)
            return -1;
        m->packed_bytes = m->kernel->packed_bytes(m->rows, m->cols);
        w->bytes += m->packed_bytes;
        if (m->rows * m->cols > l->most) l->most = m->rows * m->cols;
        if (!is_plain && strcmp(m->kernel->format, l->format->name) == 0 &&
            (uintptr_t)t->data % ALIGNMENT == 0) {
            m->packed = t->data;
            continue;
        }
        at += (m->packed_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        w->repacked += m->packed_bytes;
    }
    w->region_bytes = (size_t)((at + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
    return 0;
}

static int map_region(struct load *l, struct tg_error *err)
{
    struct tg_weights *w = l->weights;
    int64_t at = 0;
    if (w->region_bytes == 0) return 0;
    void *region = mmap(NULL, w->region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (region == MAP_FAILED)
        return tg_fail(err, "cannot have %zu bytes of memory: %s", w->region_bytes,
                       strerror(errno));
    madvise(region, w->region_bytes, MADV_HUGEPAGE);
    w->region = region;
    for (int64_t i = 0; i < w->count; i++) {
        struct tg_matrix *m = &w->matrices[i];
        if (m->packed) continue;
        m->packed = l->targets[i] = (uint8_t *)region + at;
        at += (m->packed_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return 0;
}

int tg_weights_load(const struct tg_network *network, const struct tg_network_layout *layout,
                    const struct tg_library *library, const char *kernel, struct tg_pool *pool,
                    struct tg_weights *weights, struct tg_error *err)
{
    struct tg_weights w = {.count = network->layers * TG_LAYERS};
    struct load l = {.network = network,
                     .format = layout->format,
                     .unpack = find_unpack(library, layout->format),
                     .weights = &w,
                     .is_told = ATOMIC_FLAG_INIT,
                     .err = err};
    int rc = 0;
    l.loaders = tg_pool_count(pool) < LOADERS_MOST ? tg_pool_count(pool) : LOADERS_MOST;
    w.matrices = calloc((size_t)w.count, sizeof *w.matrices);
    l.targets = calloc((size_t)w.count, sizeof *l.targets);
    if (!w.matrices || !l.targets) rc = tg_fail(err, "out of memory");
    if (rc == 0) rc = plan(&l, library, kernel, err);
    if (rc == 0) rc = map_region(&l, err);
    if (rc == 0) {
        tg_pool_run(pool, load_some, &l);
        rc = atomic_load(&l.has_failed) ? -1 : 0;
    }
    free(l.targets);
    if (rc < 0)
        tg_weights_release(&w);
    else
        *weights = w;
    return rc;
}

void tg_weights_release(struct tg_weights *weights)
{
    if (weights->region) munmap(weights->region, weights->region_bytes);
    free(weights->matrices);
    *weights = (struct tg_weights){0};
}
