/* SPDX-License-Identifier: Apache-2.0 */
#include "base/record.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct animal {
    TG_MEMBER_TEXT(name)
    TG_MEMBER_COUNT(legs)
    TG_MEMBER_REAL(weight_kg)
    TG_MEMBER_REAL(speed)
    TG_MEMBER_TEXT(home)
};

static const struct tg_field fields[] = {
    {"name", TG_TEXT, offsetof(struct animal, name), "", "", "what it is"},
    {"legs", TG_COUNT, offsetof(struct animal, legs), "4", "1", "how many"},
    {"weight_kg", TG_REAL, offsetof(struct animal, weight_kg), "0.5", "kg", "how heavy"},
    {"speed", TG_REAL, offsetof(struct animal, speed), "none", "m/s", "how fast, if known"},
    {"home", TG_TEXT, offsetof(struct animal, home), "wood", "", "where it lives"},
};

static const struct tg_record_type type = {"trait", fields, 5, sizeof(struct animal)};

static struct animal parsed(const char *text)
{
    struct animal a;
    struct tg_error err;
    tg_record_init(&type, &a);
    if (tg_record_parse(&type, &a, text, &err) < 0) fail_msg("%s", err.text);
    return a;
}

static const char *formatted(const struct animal *a)
{
    static char text[512];
    size_t length = tg_record_format(&type, a, text, sizeof text);
    assert_int_equal(length, strlen(text));
    return text;
}

static void a_new_record_has_its_defaults(void **state)
{
    (void)state;
    struct animal a;
    memset(&a, 0x55, sizeof a);
    tg_record_init(&type, &a);
    assert_string_equal(a.name, "");
    assert_int_equal(a.legs, 4);
    assert_true(a.weight_kg == 0.5);
    assert_true(isnan(a.speed));
    assert_string_equal(a.home, "wood");
    for (size_t i = 4; i < sizeof a.home; i++) assert_int_equal(a.home[i], 0);
}

static void text_comes_back_in_the_order_of_the_table_without_defaults(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"   ", ""},
        {"home=sea name=crab legs=10", "name=crab legs=10 home=sea"},
        {"  legs=4   home=wood speed=none weight_kg=0.50", ""},
        {"legs=004 weight_kg=5e-1", ""},
        {"name=a=b", "name=a=b"},
        {"name=i2s_avx2|x:1/2", "name=i2s_avx2|x:1/2"},
        {"home=", "home="},
        {"legs=-9223372036854775808", "legs=-9223372036854775808"},
        {"legs=9223372036854775807", "legs=9223372036854775807"},
        {"speed=0.1", "speed=0.10000000000000001"},
        {"speed=5e-324", "speed=4.9406564584124654e-324"},
        {"speed=-1.7976931348623157e308", "speed=-1.7976931348623157e+308"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct animal a = parsed(rows[i][0]);
        assert_string_equal(formatted(&a), rows[i][1]);
        struct animal again = parsed(rows[i][1]);
        assert_string_equal(formatted(&again), rows[i][1]);
        if (!isnan(a.speed)) assert_true(a.speed == again.speed);
    }
}

static void what_is_unusable_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"colour=red", "unknown trait 'colour'"},
        {"Name=crab", "unknown trait 'Name'"},
        {"=crab", "unknown trait ''"},
        {"legs", "'legs' is not of the form trait=value"},
        {"legs=4 legs=4", "trait 'legs' is given twice"},
        {"name=a legs=4 name=b", "trait 'name' is given twice"},
        {"legs=many", "trait 'legs': unusable value 'many'"},
        {"legs=", "trait 'legs': unusable value ''"},
        {"legs=+5", "trait 'legs': unusable value '+5'"},
        {"legs=5.0", "trait 'legs': unusable value '5.0'"},
        {"legs=5x", "trait 'legs': unusable value '5x'"},
        {"legs=0x5", "trait 'legs': unusable value '0x5'"},
        {"legs=\t5", "trait 'legs': unusable value '\t5'"},
        {"legs=\r5", "trait 'legs': unusable value '\r5'"},
        {"legs=9223372036854775808", "trait 'legs': unusable value '9223372036854775808'"},
        {"legs=-9223372036854775809", "trait 'legs': unusable value '-9223372036854775809'"},
        {"legs=none", "trait 'legs': unusable value 'none'"},
        {"speed=1e999", "trait 'speed': unusable value '1e999'"},
        {"speed=-1e999", "trait 'speed': unusable value '-1e999'"},
        {"speed=nan", "trait 'speed': unusable value 'nan'"},
        {"speed=inf", "trait 'speed': unusable value 'inf'"},
        {"speed=+1", "trait 'speed': unusable value '+1'"},
        {"speed=1,5", "trait 'speed': unusable value '1,5'"},
        {"speed=\v1", "trait 'speed': unusable value '\v1'"},
        {"speed=", "trait 'speed': unusable value ''"},
        {"name=a\tb", "trait 'name': unusable value 'a\tb'"},
        {"name=a\x7f", "trait 'name': unusable value 'a\x7f'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct animal a;
        struct tg_error err;
        tg_record_init(&type, &a);
        if (tg_record_parse(&type, &a, rows[i][0], &err) == 0) fail_msg("'%s'", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
        assert_int_equal(tg_record_parse(&type, &a, rows[i][0], NULL), -1);
    }
}

static void a_text_with_a_blank_cannot_be_set(void **state)
{
    (void)state;
    struct animal a;
    struct tg_error err;
    tg_record_init(&type, &a);
    assert_int_equal(tg_record_set(&type, &a, "name", "a b", &err), -1);
    assert_string_equal(err.text, "trait 'name': unusable value 'a b', "
                                  "a name has at most 95 bytes and no blanks");
    assert_string_equal(a.name, "");
}

static void a_text_may_have_95_bytes_and_no_more(void **state)
{
    (void)state;
    struct animal a;
    struct tg_error err;
    char text[400], value[97];
    memset(value, 'y', sizeof value);
    value[95] = 0;
    tg_record_init(&type, &a);
    assert_int_equal(tg_record_set(&type, &a, "name", value, &err), 0);
    assert_string_equal(a.name, value);
    value[95] = 'y';
    value[96] = 0;
    assert_int_equal(tg_record_set(&type, &a, "name", value, &err), -1);
    assert_int_equal(strlen(a.name), 95);

    memset(text, 'y', sizeof text - 1);
    memcpy(text, "name=", 5);
    text[sizeof text - 1] = 0;
    assert_int_equal(tg_record_parse(&type, &a, text, &err), -1);
    assert_string_equal(err.text, "trait text is too long");
}

static void a_shorter_text_leaves_nothing_of_the_longer(void **state)
{
    (void)state;
    struct animal a = parsed("name=elephant"), b = parsed("name=ant");
    assert_int_equal(tg_record_set(&type, &a, "name", "ant", NULL), 0);
    assert_memory_equal(a.name, b.name, sizeof a.name);
}

static void too_little_room_cuts_and_says_the_whole_length(void **state)
{
    (void)state;
    struct animal a = parsed("name=crab legs=10 home=sea");
    const char *whole = "name=crab legs=10 home=sea";
    for (size_t size = 0; size <= strlen(whole) + 1; size++) {
        char text[64];
        memset(text, '?', sizeof text);
        assert_int_equal(tg_record_format(&type, &a, text, size), strlen(whole));
        assert_int_equal(text[size], '?');
        if (size == 0) continue;
        assert_int_equal(strlen(text), size - 1);
        assert_memory_equal(text, whole, size - 1);
    }
}

static void a_field_is_found_by_its_name(void **state)
{
    (void)state;
    char text[32];
    struct animal a = parsed("legs=8");
    assert_ptr_equal(tg_record_field(&type, "legs"), &fields[1]);
    assert_null(tg_record_field(&type, "leg"));
    assert_string_equal(tg_record_get(&fields[1], &a, text, sizeof text), "8");
    assert_string_equal(tg_record_get(&fields[2], &a, text, sizeof text), "0.5");
    assert_string_equal(tg_record_get(&fields[3], &a, text, sizeof text), "none");
    assert_string_equal(tg_record_get(&fields[4], &a, text, 3), "wo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_record_has_its_defaults),
        cmocka_unit_test(text_comes_back_in_the_order_of_the_table_without_defaults),
        cmocka_unit_test(what_is_unusable_is_refused_with_its_reason),
        cmocka_unit_test(a_text_with_a_blank_cannot_be_set),
        cmocka_unit_test(a_text_may_have_95_bytes_and_no_more),
        cmocka_unit_test(a_shorter_text_leaves_nothing_of_the_longer),
        cmocka_unit_test(too_little_room_cuts_and_says_the_whole_length),
        cmocka_unit_test(a_field_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
