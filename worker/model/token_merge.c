/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/token_merge.h"

#include <stdint.h>
#include <stdlib.h>

#define NONE SIZE_MAX

/* A pair that could be merged when it was found; it is out of date if a piece has grown since. */
struct pair {
    double goodness;
    size_t left, right;
    uint64_t size; /* of both */
};

struct merging {
    struct tg_gguf_text *pieces; /* size 0: merged into the one before */
    size_t *before, *behind;     /* the neighbours that are left */
    struct pair *heap;           /* the best first */
    size_t heap_count;
    tg_token_merge_fn fn;
    const void *context;
};

static bool is_better(const struct pair *a, const struct pair *b)
{
    return a->goodness != b->goodness ? a->goodness > b->goodness : a->left < b->left;
}

static void push(struct merging *m, struct pair pair)
{
    size_t at = m->heap_count++;
    for (; at > 0 && is_better(&pair, &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = pair;
}

static struct pair pop(struct merging *m)
{
    const struct pair best = m->heap[0], last = m->heap[--m->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < m->heap_count; at = child) {
        if (child + 1 < m->heap_count && is_better(&m->heap[child + 1], &m->heap[child])) child++;
        if (!is_better(&m->heap[child], &last)) break;
        m->heap[at] = m->heap[child];
    }
    m->heap[at] = last;
    return best;
}

static void consider(struct merging *m, size_t left, size_t right)
{
    struct pair pair = {0, left, right, 0};
    if (left == NONE || right == NONE) return;
    pair.size = m->pieces[left].size + m->pieces[right].size;
    if (m->fn(m->context, m->pieces[left], m->pieces[right], &pair.goodness)) push(m, pair);
}

static void merge(struct merging *m, const struct pair *pair)
{
    const size_t left = pair->left, right = pair->right;
    if (m->pieces[left].size == 0 || m->pieces[right].size == 0 || m->behind[left] != right ||
        m->pieces[left].size + m->pieces[right].size != pair->size)
        return;
    m->pieces[left].size = pair->size;
    m->pieces[right].size = 0;
    m->behind[left] = m->behind[right];
    if (m->behind[right] != NONE) m->before[m->behind[right]] = left;
    consider(m, m->before[left], left);
    consider(m, left, m->behind[left]);
}

int tg_token_merge_all(struct tg_gguf_text *pieces, size_t *count, tg_token_merge_fn fn,
                       const void *context, struct tg_error *err)
{
    const size_t n = *count;
    struct merging m = {.pieces = pieces, .fn = fn, .context = context};
    size_t left = 0;
    if (n < 2) return 0;
    m.before = malloc(n * sizeof *m.before);
    m.behind = malloc(n * sizeof *m.behind);
    m.heap = malloc(3 * n * sizeof *m.heap); /* n - 1 at first, and each merge takes 1, adds 2 */
    if (m.before && m.behind && m.heap) {
        for (size_t i = 0; i < n; i++) {
            m.before[i] = i > 0 ? i - 1 : NONE;
            m.behind[i] = i + 1 < n ? i + 1 : NONE;
        }
        for (size_t i = 0; i + 1 < n; i++) consider(&m, i, i + 1);
        while (m.heap_count > 0) {
            const struct pair best = pop(&m);
            merge(&m, &best);
        }
        for (size_t i = 0; i < n; i++)
            if (pieces[i].size > 0) pieces[left++] = pieces[i];
        *count = left;
    }
    const int rc = m.before && m.behind && m.heap ? 0 : tg_fail(err, "out of memory");
    free(m.before);
    free(m.behind);
    free(m.heap);
    return rc;
}
