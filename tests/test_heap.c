/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/fill.h"

enum { NUMBERS = 40, GROUPS = 6 };

/* What the heap should say: looked for among all numbers, which are in group - 1, or nowhere. */
static size_t first_of(const struct tg_heap_key *keys, const size_t *groups, size_t group, bool but)
{
    size_t first = TG_HEAP_NONE;
    for (size_t i = 0; i < NUMBERS; i++)
        if (groups[i] && (groups[i] - 1 == group) != but &&
            (first == TG_HEAP_NONE || tg_heap_is_before(&keys[i], &keys[first])))
            first = i;
    return first;
}

static void the_first_of_a_group_and_of_the_others_is_known_at_any_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct tg_heap_key keys[NUMBERS], found;
        uint64_t draws = seed;
        size_t groups[NUMBERS] = {0};
        struct tg_heap_place places[NUMBERS] = {{0}};
        struct tg_heap *h = tg_heap_create(places, GROUPS);
        assert_non_null(h);
        for (int step = 0; step < 2000; step++) {
            size_t number = tg_fill_next(&draws) % NUMBERS;
            bool grows = (step / 200) % 2 == 0; /* it is filled and emptied in turn */
            if (groups[number] && (!grows || step % 7 == 0)) {
                tg_heap_remove(h, number);
                groups[number] = 0;
            } else if (!groups[number] && (grows || step % 7 == 0)) {
                groups[number] = 1 + tg_fill_next(&draws) % GROUPS;
                keys[number] = (struct tg_heap_key){.major = tg_fill_next(&draws) % 3,
                                                    .minor = tg_fill_next(&draws) % 3,
                                                    .draw = tg_fill_next(&draws)};
                assert_true(tg_heap_add(h, number, groups[number] - 1, keys[number]));
            } else {
                tg_heap_remove(h, groups[number] ? NUMBERS - 1 : number);
                groups[groups[number] ? NUMBERS - 1 : number] = 0;
            }
            for (size_t g = 0; g < GROUPS; g++) {
                assert_int_equal(tg_heap_first(h, g, &found), first_of(keys, groups, g, false));
                assert_int_equal(tg_heap_first_but(h, g, &found), first_of(keys, groups, g, true));
            }
            assert_int_equal(tg_heap_first_but(h, 99, &found), first_of(keys, groups, 99, true));
        }
        tg_heap_destroy(h);
    }
}

static void an_empty_heap_has_no_first_number(void **state)
{
    (void)state;
    struct tg_heap_place place = {0};
    struct tg_heap_key key = {.major = 5}, found;
    struct tg_heap *h = tg_heap_create(&place, 1);
    assert_int_equal(tg_heap_first(h, 0, &found), TG_HEAP_NONE);
    assert_int_equal(tg_heap_first_but(h, 0, &found), TG_HEAP_NONE);
    tg_heap_remove(h, 0);
    assert_true(tg_heap_add(h, 0, 0, key));
    assert_int_equal(tg_heap_first(h, 0, &found), 0);
    assert_int_equal(found.major, 5);
    assert_int_equal(tg_heap_first_but(h, 0, &found), TG_HEAP_NONE);
    tg_heap_destroy(h);
    tg_heap_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_a_group_and_of_the_others_is_known_at_any_time),
        cmocka_unit_test(an_empty_heap_has_no_first_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
