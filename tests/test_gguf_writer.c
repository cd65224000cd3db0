/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/made_gguf.h"

static void what_is_written_is_what_the_specification_says(void **state)
{
    (void)state;
    static const uint8_t wanted[64] =
        "GGUF\3\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0" /* magic, version, tensors, values */
        "\1\0\0\0\0\0\0\0k\0\0\0\0\7"                  /* key, uint8, 7 */
        "\1\0\0\0\0\0\0\0t\1\0\0\0\3\0\0\0\0\0\0\0";   /* name, dimensions, columns */
    struct tg_error err;
    const uint8_t *bytes;
    size_t size;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    tg_gguf_writer_count(w, "k", TG_GGUF_UINT8, 7);
    assert_int_equal(tg_gguf_writer_tensor(w, "t", tg_tensor_type_find("F32"), 0, 3), 12);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    assert_int_equal(size, 96);
    assert_memory_equal(bytes, wanted, 59);
    for (size_t i = 59; i < size; i++) assert_int_equal(bytes[i], 0); /* type 0, offset 0 */
    tg_gguf_writer_destroy(w);
}

static void tensors_follow_each_other_aligned(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_gguf *g;
    const uint8_t *bytes;
    size_t size;
    struct tg_gguf_writer *w = tg_gguf_writer_create(128, &err);
    assert_int_equal(tg_gguf_writer_tensor(w, "a", tg_tensor_type_find("F32"), 0, 3), 12);
    assert_int_equal(tg_gguf_writer_tensor(w, "b", tg_tensor_type_find("F16"), 2, 5), 20);
    assert_int_equal(tg_gguf_writer_tensor(w, "c", tg_tensor_type_find("TQ2_0"), 2, 5), -1);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    uint8_t *whole = calloc(size + 128 + 20, 1);
    memcpy(whole, bytes, size);
    if (tg_gguf_read(whole, size + 128 + 20, &g, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(g->tensors[0].offset, size);
    assert_int_equal(g->tensors[0].dimension_count, 1);
    assert_int_equal(g->tensors[1].offset, size + 128);
    assert_int_equal(g->tensors[1].dimensions[0], 5);
    assert_int_equal(g->tensors[1].dimensions[1], 2);
    tg_gguf_close(g);
    free(whole);
    tg_gguf_writer_destroy(w);
    tg_gguf_writer_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_what_the_specification_says),
        cmocka_unit_test(tensors_follow_each_other_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
