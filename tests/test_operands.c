/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/operands.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/fill.h"
#include "tests/worker_cell.h"

enum { PACKED = 1000, ACTIVATIONS = 77, STRIDE = 1024, SET = 9 };

static uint8_t packed[PACKED];
static int8_t activations[ACTIVATIONS];

static int fill(void **state)
{
    (void)state;
    tg_fill_int8(1, (int8_t *)packed, sizeof packed);
    tg_fill_int8(2, activations, sizeof activations);
    return 0;
}

static struct tg_operands set_of(int64_t over, int64_t most)
{
    return (struct tg_operands){.packed_bytes = PACKED,
                                .activation_bytes = ACTIVATIONS,
                                .offset = 192,
                                .over_bytes = over,
                                .most_bytes = most,
                                .seed = 5};
}

static bool open_from(struct tg_operands *o, int shared, bool is_maker, bool is_same)
{
    struct tg_error err;
    bool is_shared = false;
    const struct tg_operands_from from = {packed, activations, shared, is_maker, is_same};
    if (tg_operands_open(o, &from, &is_shared, &err) < 0) fail_msg("%s", err.text);
    return is_shared;
}

static int make_file(void)
{
    int file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(file >= 0);
    return file;
}

static void seal(int file)
{
    assert_int_equal(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
}

/* Each matrix lies in the walk once, is what was packed, begins in line, and overlaps no other. */
static void assert_whole(const struct tg_operands *o)
{
    const uint8_t *first = (const uint8_t *)o->mapped + o->offset;
    unsigned char *seen = calloc((size_t)o->count, 1);
    assert_non_null(seen);
    for (int64_t i = 0; i < o->count; i++) {
        int64_t distance = o->walk[i] - first;
        assert_true(distance % STRIDE == 0 && distance / STRIDE < o->count);
        assert_int_equal(seen[distance / STRIDE]++, 0);
        assert_memory_equal(o->walk[i], packed, PACKED);
        assert_int_equal((uintptr_t)o->walk[i] % 64, 0);
    }
    assert_memory_equal(o->activations, activations, ACTIVATIONS);
    assert_int_equal((uintptr_t)o->activations % 4096, o->offset);
    assert_int_equal(tg_operands_check(o), -1);
    free(seen);
}

static void a_set_is_the_first_over_its_size_and_not_over_the_most(void **state)
{
    (void)state;
    static const struct {
        int64_t over, most, count;
    } rows[] = {
        {0, 0, 1},       {0, 9000, 1},      {1, 9000, 2},     {7999, 9000, 8}, {8000, 9000, 9},
        {9000, 9000, 9}, {9000, 10000, 10}, {10000, 4999, 4}, {10000, 0, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_operands o = set_of(rows[i].over, rows[i].most);
        assert_false(open_from(&o, -1, true, false));
        assert_int_equal(o.count, rows[i].count);
        assert_whole(&o);
        tg_operands_close(&o);
    }
}

/* Matrices of a byte are as many as there are cache lines in what the set is to be over. */
static void small_matrices_take_a_cache_line_each(void **state)
{
    (void)state;
    const int64_t over = 1 << 20;
    struct tg_operands o = set_of(over, 2 * over);
    o.packed_bytes = 1;
    open_from(&o, -1, true, false);
    assert_int_equal(o.count, over / 64 + 1);
    assert_true(o.mapped_bytes <= (size_t)over + 4 * 4096);
    tg_operands_close(&o);
}

static void the_walk_is_the_seed_s_and_not_the_order_in_memory(void **state)
{
    (void)state;
    struct tg_operands one = set_of(40000, 90000), same = one, other = one;
    other.seed = 6;
    open_from(&one, -1, true, false);
    open_from(&same, -1, true, false);
    open_from(&other, -1, true, false);
    int64_t follows = 0, differs = 0;
    for (int64_t i = 0; i < one.count; i++) {
        int64_t at = one.walk[i] - (uint8_t *)one.mapped;
        assert_int_equal(at, same.walk[i] - (uint8_t *)same.mapped);
        differs += at != other.walk[i] - (uint8_t *)other.mapped;
        if (i > 0) follows += one.walk[i] == one.walk[i - 1] + STRIDE;
    }
    assert_true(follows < 5 && differs > 30);
    tg_operands_close(&one);
    tg_operands_close(&same);
    tg_operands_close(&other);
}

static void the_other_side_reads_what_the_maker_made(void **state)
{
    (void)state;
    size_t before = open_descriptors();
    int file = make_file();
    struct tg_operands maker = set_of(8000, 9000), other = maker;
    assert_true(open_from(&maker, file, true, false));
    seal(file); /* nobody can write any more, not even the maker's mapping */
    assert_true(open_from(&other, file, false, true));
    assert_int_equal(other.count, SET);
    assert_whole(&maker);
    assert_whole(&other);
    for (int64_t i = 0; i < SET; i++)
        assert_int_equal(maker.walk[i] - (uint8_t *)maker.mapped,
                         other.walk[i] - (uint8_t *)other.mapped);
    tg_operands_close(&maker);
    tg_operands_close(&other);
    close(file);
    assert_int_equal(open_descriptors(), before);
}

static void what_is_not_the_same_is_made_anew(void **state)
{
    (void)state;
    enum { DIGEST, SIZE, MATRIX, INPUT, WAYS };
    for (int way = 0; way < WAYS; way++) {
        int file = make_file();
        struct tg_operands maker = set_of(8000, 9000), other = maker;
        assert_true(open_from(&maker, file, true, false));
        if (way == SIZE) other.offset = 4032;
        const char wrong = 0x33;
        int64_t at = way == MATRIX ? maker.offset + 500
                                   : maker.activations - (int8_t *)maker.mapped + 5;
        if (way == MATRIX || way == INPUT) assert_int_equal(pwrite(file, &wrong, 1, at), 1);
        assert_false(open_from(&other, file, false, way != DIGEST));
        assert_whole(&other);
        tg_operands_close(&maker);
        tg_operands_close(&other);
        close(file);
    }
}

static void a_matrix_that_is_not_as_the_others_is_found(void **state)
{
    (void)state;
    for (int64_t matrix = 1; matrix < SET; matrix++) {
        int file = make_file();
        struct tg_operands maker = set_of(8000, 9000), other = maker;
        assert_true(open_from(&maker, file, true, false));
        const char wrong = 0x33;
        int64_t at = maker.offset + matrix * STRIDE + PACKED - 1;
        assert_int_equal(pwrite(file, &wrong, 1, at), 1);
        assert_true(open_from(&other, file, false, true));
        assert_int_equal(tg_operands_check(&other), matrix);
        tg_operands_close(&maker);
        tg_operands_close(&other);
        close(file);
    }
}

static void what_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct tg_error err;
    bool is_shared = true;
    int file = make_file();
    struct tg_operands o = set_of(8000, 9000);
    const struct tg_operands_from from = {packed, activations, file, true, false};
    seal(file);
    assert_int_equal(tg_operands_open(&o, &from, &is_shared, &err), -1);
    assert_non_null(strstr(err.text, " bytes of operands: Operation not permitted"));
    assert_true(is_shared && !o.mapped && !o.walk);
    tg_operands_close(&o);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_the_first_over_its_size_and_not_over_the_most),
        cmocka_unit_test(small_matrices_take_a_cache_line_each),
        cmocka_unit_test(the_walk_is_the_seed_s_and_not_the_order_in_memory),
        cmocka_unit_test(the_other_side_reads_what_the_maker_made),
        cmocka_unit_test(what_is_not_the_same_is_made_anew),
        cmocka_unit_test(a_matrix_that_is_not_as_the_others_is_found),
        cmocka_unit_test(what_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
