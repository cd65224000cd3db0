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
        {"MXFP4", 2, 64, 68},          {"Q2_0", 2, 64, 36},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(
            tg_tensor_type_bytes(tg_tensor_type_find(rows[i].name), rows[i].rows, rows[i].cols),
            rows[i].bytes);
    assert_int_equal(tg_tensor_type_scale_at(tg_tensor_type_find("I2_S"), 4, 128), 128);
    assert_int_equal(tg_tensor_type_scale_at(tg_tensor_type_find("F16"), 4, 128), -1);
    assert_null(tg_tensor_type_find("Q9"));
}

/* A name for what no row has. */
static void types_of_other_programs_have_names(void **state)
{
    (void)state;
    assert_string_equal(tg_tensor_type_elsewhere(135), "IQ2_BN of ik_llama.cpp");
    assert_null(tg_tensor_type_elsewhere(77));
    for (size_t i = 0; i < tg_tensor_type_count(); i++)
        assert_null(tg_tensor_type_elsewhere(tg_tensor_type_at(i)->number));
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
        if (!isnan(value)) assert_int_equal(tg_number_to_f16(value), bits);
    }
    assert_true(tg_tensor_type_bf16(0x3f80) == 1);
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
    assert_int_equal(tg_tensor_type_decode(tg_tensor_type_find("Q8_K"), block, 256, out), -1);
    assert_int_equal(tg_tensor_type_decode(tg_tensor_type_find("Q8_K"), block, 0, out), -1);
    assert_int_equal(tg_tensor_type_decode(tg_tensor_type_find("I2_S"), block, 128, out), -1);
}

/* Where a block has what: float16 d and m, low bits of codes, a bit above them; or -1. */
static const struct coded {
    const char *name;
    int d, m, low, low_bits, high, zero; /* the code that means 0 */
} coded[] = {
    {"Q4_0", 0, -1, 2, 4, -1, 8}, {"Q4_1", 0, 2, 4, 4, -1, 0},    {"Q5_0", 0, -1, 6, 4, 2, 16},
    {"Q5_1", 0, 2, 8, 4, 4, 0},   {"Q2_K", 80, 82, 16, 2, -1, 0}, {"Q3_K", 108, -1, 32, 2, 0, 4},
    {"Q4_K", 0, 2, 16, 4, -1, 0}, {"Q5_K", 0, 2, 48, 4, 16, 0},   {"TQ2_0", 64, -1, 0, 2, -1, 1}};

static void put_code(const struct coded *c, bool is_small, uint8_t *block, int i, int code)
{
    const int low = code & ((1 << c->low_bits) - 1), high = code >> c->low_bits;
    if (is_small) {
        block[c->low + i % 16] |= (uint8_t)(low << 4 * (i / 16));
        if (c->high >= 0) block[c->high + i / 8] |= (uint8_t)(high << i % 8);
        return;
    }
    if (c->low_bits == 4)
        block[c->low + 32 * (i / 64) + i % 32] |= (uint8_t)(low << 4 * (i / 32 % 2));
    else
        block[c->low + 32 * (i / 128) + i % 32] |= (uint8_t)(low << 2 * (i / 32 % 4));
    if (c->high >= 0) block[c->high + i % 32] |= (uint8_t)(high << i / 32);
}

/* Scale and offset number s of the larger blocks. */
static void put_scale(const char *name, uint8_t *block, int s, int scale, int offset)
{
    if (strcmp(name, "Q2_K") == 0) {
        block[s] = (uint8_t)(scale | offset << 4);
    } else if (strcmp(name, "Q3_K") == 0) {
        block[96 + s % 8] |= (uint8_t)((scale & 15) << 4 * (s / 8));
        block[104 + s % 4] |= (uint8_t)(scale >> 4 << 2 * (s / 4));
    } else if (s < 4) {
        block[4 + s] |= (uint8_t)scale;
        block[8 + s] |= (uint8_t)offset;
    } else {
        block[8 + s] = (uint8_t)((scale & 15) | (offset & 15) << 4);
        block[s] |= (uint8_t)(scale >> 4 << 6);
        block[4 + s] |= (uint8_t)(offset >> 4 << 6);
    }
}

static void codes_and_scales_are_where_their_types_have_them(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof coded / sizeof *coded; k++) {
        const struct coded *c = &coded[k];
        const struct tg_tensor_type *type = tg_tensor_type_find(c->name);
        const int count = (int)type->block_weights, is_small = count == 32;
        const bool is_plain = is_small || c->name[0] == 'T', is_q3 = strcmp(c->name, "Q3_K") == 0;
        const int group = strcmp(c->name, "Q2_K") == 0 || is_q3 ? 16 : 32;
        const int most = strcmp(c->name, "Q2_K") == 0 ? 16 : 64;
        const int codes = c->name[0] == 'T' ? 3 : 1 << (c->low_bits + (c->high >= 0));
        uint8_t block[256] = {0};
        float out[256];
        memcpy(block + c->d, "\0\x38", 2);                /* 0.5 */
        if (c->m >= 0) memcpy(block + c->m, "\0\x34", 2); /* 0.25 */
        for (int s = 0; !is_plain && s < count / group; s++)
            put_scale(c->name, block, s, (7 * s + 5) % most, c->m < 0 ? 0 : (11 * s + 3) % most);
        for (int i = 0; i < count; i++) put_code(c, is_small, block, i, (5 * i + i / 32) % codes);
        assert_int_equal(tg_tensor_type_decode(type, block, count, out), 0);
        for (int i = 0; i < count; i++) {
            const int s = i / group, code = (5 * i + i / 32) % codes - c->zero;
            const int scale = is_plain ? 1 : (7 * s + 5) % most - (is_q3 ? 32 : 0);
            const float offset = is_plain ? 1 : -(float)((11 * s + 3) % most);
            const float wanted = 0.5f * (float)(scale * code) + (c->m < 0 ? 0 : 0.25f * offset);
            if (out[i] != wanted) fail_msg("%s: number %d", c->name, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_the_bytes_that_files_have),
        cmocka_unit_test(types_of_other_programs_have_names),
        cmocka_unit_test(the_codes_of_a_format_fit_before_the_scale),
        cmocka_unit_test(every_half_is_exact_and_comes_back),
        cmocka_unit_test(blocks_of_q6_k_and_q8_0_have_their_numbers_in_order),
        cmocka_unit_test(codes_and_scales_are_where_their_types_have_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
