/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/heap.h"

#include <stdlib.h>

enum { CHILDREN = 4 };

/* A number with its key; or a group with that of its first number. */
struct item {
    struct tg_heap_key key;
    uint32_t number;
};

struct list {
    struct item *items;
    uint32_t count, room;
};

struct tg_heap {
    struct list *groups, all; /* all: of groups */
    struct tg_heap_place *places;
    uint32_t *orders; /* of groups in `all`: the place from 1 */
    size_t group_count;
};

struct tg_heap *tg_heap_create(struct tg_heap_place *places, size_t group_count)
{
    struct tg_heap *h = calloc(1, sizeof *h);
    if (!h || group_count >= UINT32_MAX) {
        free(h);
        return NULL;
    }
    h->places = places;
    h->group_count = group_count;
    h->groups = calloc(group_count + 1, sizeof *h->groups);
    h->orders = calloc(group_count + 1, sizeof *h->orders);
    h->all.items = calloc(group_count + 1, sizeof *h->all.items);
    if (h->groups && h->orders && h->all.items) return h;
    tg_heap_destroy(h);
    return NULL;
}

void tg_heap_destroy(struct tg_heap *heap)
{
    if (!heap) return;
    for (size_t g = 0; heap->groups && g < heap->group_count; g++) free(heap->groups[g].items);
    free(heap->groups);
    free(heap->orders);
    free(heap->all.items);
    free(heap);
}

bool tg_heap_is_before(const struct tg_heap_key *a, const struct tg_heap_key *b)
{
    if (a->major != b->major) return a->major < b->major;
    if (a->minor != b->minor) return a->minor < b->minor;
    return a->draw < b->draw;
}

static void put(struct tg_heap *h, struct list *list, uint32_t at, struct item item)
{
    list->items[at] = item;
    if (list == &h->all)
        h->orders[item.number] = at + 1;
    else
        h->places[item.number].at = at + 1;
}

/* Puts an item where it belongs, beginning at a place that is free. */
static void settle(struct tg_heap *h, struct list *list, uint32_t at, struct item item)
{
    while (at > 0) {
        uint32_t above = (at - 1) / CHILDREN;
        if (!tg_heap_is_before(&item.key, &list->items[above].key)) break;
        put(h, list, at, list->items[above]);
        at = above;
    }
    for (;;) {
        uint32_t begin = CHILDREN * at + 1, first = begin;
        if (begin >= list->count) break;
        for (uint32_t i = begin + 1; i < begin + CHILDREN && i < list->count; i++)
            if (tg_heap_is_before(&list->items[i].key, &list->items[first].key)) first = i;
        if (!tg_heap_is_before(&list->items[first].key, &item.key)) break;
        put(h, list, at, list->items[first]);
        at = first;
    }
    put(h, list, at, item);
}

static void take_out(struct tg_heap *h, struct list *list, uint32_t at)
{
    uint32_t last = --list->count;
    if (at != last) settle(h, list, at, list->items[last]);
}

/* Puts a group whose first number may be another where it belongs. */
static void settle_group(struct tg_heap *h, uint32_t group)
{
    const struct list *list = &h->groups[group];
    uint32_t order = h->orders[group];
    if (list->count == 0) {
        h->orders[group] = 0;
        if (order) take_out(h, &h->all, order - 1);
        return;
    }
    settle(h, &h->all, order ? order - 1 : h->all.count++,
           (struct item){list->items[0].key, group});
}

bool tg_heap_add(struct tg_heap *heap, size_t number, size_t group, struct tg_heap_key key)
{
    struct list *list = &heap->groups[group];
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : CHILDREN;
        struct item *grown = realloc(list->items, room * sizeof *grown);
        if (!grown) return false;
        list->items = grown;
        list->room = room;
    }
    heap->places[number].group = (uint32_t)group;
    settle(heap, list, list->count++, (struct item){key, (uint32_t)number});
    if (heap->places[number].at == 1) settle_group(heap, (uint32_t)group);
    return true;
}

void tg_heap_remove(struct tg_heap *heap, size_t number)
{
    struct tg_heap_place *place = &heap->places[number];
    if (place->at == 0) return;
    uint32_t at = place->at - 1;
    place->at = 0;
    take_out(heap, &heap->groups[place->group], at);
    if (at == 0) settle_group(heap, place->group);
}

size_t tg_heap_first(const struct tg_heap *heap, size_t group, struct tg_heap_key *key)
{
    const struct list *list = &heap->groups[group];
    if (list->count == 0) return TG_HEAP_NONE;
    *key = list->items[0].key;
    return list->items[0].number;
}

size_t tg_heap_first_but(const struct tg_heap *heap, size_t group, struct tg_heap_key *key)
{
    const struct list *all = &heap->all;
    const struct item *first = NULL;
    /* The first group, or, if that is the one, the first of those right behind it. */
    for (uint32_t at = 0; at < all->count && at <= CHILDREN; at++) {
        const struct item *item = &all->items[at];
        if (item->number == group) continue;
        if (!first || tg_heap_is_before(&item->key, &first->key)) first = item;
        if (at == 0) break;
    }
    return first ? tg_heap_first(heap, first->number, key) : TG_HEAP_NONE;
}
