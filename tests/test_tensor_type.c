/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/made_gguf.h"

#include <math.h>

static void types_have_the_bytes_that_files_have(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t rows, cols, bytes;
    } rows[] = {
        {"F32", 1, 2560, 10240},       {"F16", 128256, 2560, 656670720},
        {"I2_S", 2560, 6912, 4423712}, {"TL1", 3200, 8640, 6912032},
        {"TL2", 3200, 3200, 2167520}, /* (2944 * 3200 / 3 * 5 + 256 * 3200 / 2 * 4) / 8, and 32 */
        {"TL2", 3200, 128, -1},        {"TQ1_0", 2, 512, 216},
        {"TQ2_0", 2, 512, 264},        {"TQ2_0", 2, 500, -1},
        {"Q8_0", 3, 64, 204},          {"Q6_K", 3, 256, 630},
        {"MXFP4", 2, 64, 68},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(
            tg_tensor_type_bytes(tg_tensor_type_find(rows[i].name), rows[i].rows, rows[i].cols),
            rows[i].bytes);
    assert_int_equal(tg_tensor_type_scale_at(tg_tensor_type_find("I2_S"), 4, 128), 128);
    assert_int_equal(tg_tensor_type_scale_at(tg_tensor_type_find("F16"), 4, 128), -1);
    assert_null(tg_tensor_type_find("Q9"));
}

/* Whatever a codec of ours needs must fit in what the file has before its scale. */
static void the_codes_of_a_format_fit_before_the_scale(void **state)
{
    (void)state;
    static const struct {
        const char *type, *format;
        int64_t rows, cols;
    } rows[] = {{"I2_S", "i2s", 2560, 6912},  {"TL1", "tl1", 3200, 8640},
                {"TL2", "tl2", 3200, 3200},   {"TL2", "tl2", 1536, 4096},
                {"TL2", "tl2", 14336, 4096},  {"TL2", "tl2", 256, 512},
                {"TQ1_0", "tq1", 2560, 6912}, {"TQ2_0", "tq2", 2560, 6912}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct tg_tensor_type *type = tg_tensor_type_find(rows[i].type);
        const int64_t scale = tg_tensor_type_scale_at(type, rows[i].rows, rows[i].cols);
        const int64_t have = scale < 0 ? tg_tensor_type_bytes(type, rows[i].rows, rows[i].cols)
                                       : scale;
        assert_true(tg_format_find(rows[i].format)->packed_bytes(rows[i].rows, rows[i].cols) <=
                    have);
    }
}

static void every_half_is_exact_and_comes_back(void **state)
{
    (void)state;
    assert_true(tg_tensor_type_f16(0x3c00) == 1 && tg_tensor_type_f16(0x0001) == 0x1p-24f);
    assert_true(tg_tensor_type_f16(0x7bff) == 65504 && tg_tensor_type_f16(0x0400) == 0x1p-14f);
    assert_true(isinf(tg_tensor_type_f16(0xfc00)) && isnan(tg_tensor_type_f16(0x7c01)));
    assert_true(signbit(tg_tensor_type_f16(0x8000)));
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = tg_tensor_type_f16((uint16_t)bits);
        if (!isnan(value)) assert_int_equal(tg_tensor_type_to_f16(value), bits);
    }
    assert_true(tg_tensor_type_bf16(0x3f80) == 1);
}

static void numbers_are_rounded_to_the_nearest_half(void **state)
{
    (void)state;
    static const struct {
        float value;
        uint16_t bits;
    } rows[] = {{1 + 0x1p-11f, 0x3c00},
                {1 + 0x3p-11f, 0x3c02},
                {1 + 0x1p-11f + 0x1p-20f, 0x3c01},
                {65519, 0x7bff},
                {65520, 0x7c00},
                {0x1p-25f, 0x0000},
                {0x1.8p-25f, 0x0001},
                {-0x1p-14f + 0x1p-26f, 0x8400},
                {INFINITY, 0x7c00},
                {1e-30f, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(tg_tensor_type_to_f16(rows[i].value), rows[i].bits);
    assert_true(isnan(tg_tensor_type_f16(tg_tensor_type_to_f16(NAN))));
}

/* A block with one number that is not 0, wherever it is. */
static void blocks_of_q6_k_and_q8_0_have_their_numbers_in_order(void **state)
{
    (void)state;
    float out[256];
    for (int i = 0; i < 256; i++) {
        uint8_t block[210] = {0};
        const int quarter = i % 128 / 32, at = i % 32, code = 37; /* 37 - 32 = 5 */
        memset(block + 128, 0xaa, 64); /* high bits 2, with low bits 0: 32, which is 0 */
        memset(block + 192, 1, 16);
        block[192 + i / 16] = (uint8_t)-3;
        memcpy(block + 208, "\0\x38", 2); /* 0.5 */
        block[64 * (i / 128) + 32 * (quarter % 2) + at] = (uint8_t)(code % 16 << (quarter / 2 * 4));
        assert_int_equal(tg_tensor_type_decode(tg_tensor_type_find("Q6_K"), block, 256, out), 0);
        for (int k = 0; k < 256; k++) assert_true(out[k] == (k == i ? -7.5f : 0));
    }
    uint8_t block[68] = {0};
    memcpy(block + 34, "\0\x40\1\xff", 4); /* 2; 1, -1 */
    assert_int_equal(tg_tensor_type_decode(tg_tensor_type_find("Q8_0"), block, 64, out), 0);
    assert_true(out[31] == 0 && out[32] == 2 && out[33] == -2);
    assert_int_equal(tg_tensor_type_decode(tg_tensor_type_find("Q4_0"), block, 32, out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_the_bytes_that_files_have),
        cmocka_unit_test(the_codes_of_a_format_fit_before_the_scale),
        cmocka_unit_test(every_half_is_exact_and_comes_back),
        cmocka_unit_test(numbers_are_rounded_to_the_nearest_half),
        cmocka_unit_test(blocks_of_q6_k_and_q8_0_have_their_numbers_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
