/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/token_table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing, at most half full. */
struct entry {
    struct tg_gguf_text text; /* bytes NULL: free */
    int32_t number;
};

struct tg_token_table {
    struct entry *entries;
    size_t mask, count, most;
};

/* FNV-1a, 64 bits, of one piece after the other. Source: Fowler, Noll and Vo, RFC 9923. */
static uint64_t hash(uint64_t state, struct tg_gguf_text text)
{
    for (uint64_t i = 0; i < text.size; i++)
        state = (state ^ (unsigned char)text.bytes[i]) * 0x100000001b3u;
    return state;
}

static const uint64_t begin = 0xcbf29ce484222325u;

struct tg_token_table *tg_token_table_create(size_t most, struct tg_error *err)
{
    struct tg_token_table *t = calloc(1, sizeof *t);
    size_t size = 16;
    while (size < 2 * most) size *= 2;
    if (t) t->entries = calloc(size, sizeof *t->entries);
    if (!t || !t->entries) {
        free(t);
        tg_fail(err, "out of memory");
        return NULL;
    }
    t->mask = size - 1;
    t->most = most;
    return t;
}

static bool is_same(struct tg_gguf_text a, struct tg_gguf_text b)
{
    return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

void tg_token_table_add(struct tg_token_table *t, struct tg_gguf_text text, int32_t number)
{
    size_t at = hash(begin, text) & t->mask;
    while (t->entries[at].text.bytes && !is_same(t->entries[at].text, text))
        at = (at + 1) & t->mask;
    t->count += !t->entries[at].text.bytes;
    assert(t->count <= t->most);
    t->entries[at] = (struct entry){text, number};
}

int32_t tg_token_table_find(const struct tg_token_table *t, struct tg_gguf_text text)
{
    size_t at = hash(begin, text) & t->mask;
    for (; t->entries[at].text.bytes; at = (at + 1) & t->mask)
        if (is_same(t->entries[at].text, text)) return t->entries[at].number;
    return -1;
}

static bool is_pair(struct tg_gguf_text whole, struct tg_gguf_text left, struct tg_gguf_text right)
{
    return whole.size == left.size + 1 + right.size && whole.bytes[left.size] == ' ' &&
           memcmp(whole.bytes, left.bytes, left.size) == 0 &&
           memcmp(whole.bytes + left.size + 1, right.bytes, right.size) == 0;
}

int32_t tg_token_table_find_pair(const struct tg_token_table *t, struct tg_gguf_text left,
                                 struct tg_gguf_text right)
{
    const struct tg_gguf_text blank = {" ", 1};
    size_t at = hash(hash(hash(begin, left), blank), right) & t->mask;
    for (; t->entries[at].text.bytes; at = (at + 1) & t->mask)
        if (is_pair(t->entries[at].text, left, right)) return t->entries[at].number;
    return -1;
}

void tg_token_table_destroy(struct tg_token_table *t)
{
    if (!t) return;
    free(t->entries);
    free(t);
}
