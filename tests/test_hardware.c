/* SPDX-License-Identifier: Apache-2.0 */
#include "results/hardware.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tg_hardware machine(const char *text)
{
    struct tg_hardware hardware;
    struct tg_error err;
    tg_record_init(&tg_hardware_type, &hardware);
    if (tg_record_parse(&tg_hardware_type, &hardware, text, &err) < 0) fail_msg("%s", err.text);
    return hardware;
}

static void equal_machines_have_one_class_and_others_another(void **state)
{
    (void)state;
    struct tg_hardware a = machine("vendor=GenuineIntel model=207 cores=32 memory_gib=256"), b = a;
    char first[TG_TEXT_SIZE], second[TG_TEXT_SIZE], known[TG_TEXT_SIZE];
    assert_int_equal(tg_hardware_class(&a, known, NULL), 0);
    /* sha256sum of the text above */
    assert_string_equal(known, "1d150ff0e891f55b");
    for (size_t i = 0; i < tg_hardware_type.field_count; i++) {
        const struct tg_field *field = &tg_hardware_type.fields[i];
        b = a;
        assert_int_equal(tg_hardware_class(&b, first, NULL), 0);
        assert_string_equal(first, known);
        assert_int_equal(tg_record_set(&tg_hardware_type, &b, field->name, "77", NULL), 0);
        assert_int_equal(tg_hardware_class(&b, second, NULL), 0);
        assert_string_not_equal(second, known);
    }
}

static void a_machine_of_which_nothing_is_known_has_no_class(void **state)
{
    (void)state;
    struct tg_hardware hardware = machine("");
    char name[TG_TEXT_SIZE];
    assert_int_equal(tg_hardware_class(&hardware, name, NULL), 0);
    assert_string_equal(name, "unknown");
}

/* Every field at its longest fits into the text, and so counts in the class. */
static void the_longest_record_has_room(void **state)
{
    (void)state;
    struct tg_hardware hardware = machine("");
    char text[TG_HARDWARE_TEXT_SIZE], longest[TG_TEXT_SIZE];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    for (size_t i = 0; i < tg_hardware_type.field_count; i++) {
        const struct tg_field *field = &tg_hardware_type.fields[i];
        const char *value = field->kind == TG_TEXT ? longest : "-9223372036854775807";
        assert_int_equal(tg_record_set(&tg_hardware_type, &hardware, field->name, value, NULL), 0);
    }
    size_t length = tg_record_format(&tg_hardware_type, &hardware, text, sizeof text);
    assert_true(length < sizeof text);
}

static void a_difference_is_named_with_both_values(void **state)
{
    (void)state;
    char text[400], small[12];
    struct tg_hardware a = machine("model=207 microcode=0x2b000461 cores=32"), b = a;
    assert_string_equal(tg_hardware_difference(&a, &b, text, sizeof text), "");
    b = machine("model=207 microcode=0x2b000590 cores=32");
    assert_string_equal(tg_hardware_difference(&a, &b, text, sizeof text),
                        "microcode 0x2b000461 here, 0x2b000590 there");
    b = machine("model=207 cores=16 kernel=6.8 governor=powersave turbo=on");
    assert_string_equal(tg_hardware_difference(&a, &b, text, sizeof text),
                        "microcode 0x2b000461 here, unknown there; cores 32 here, 16 there; "
                        "kernel unknown here, 6.8 there; and 2 more");
    assert_string_equal(tg_hardware_difference(&a, &b, small, sizeof small), "microcode 0");
}

static void a_machine_matches_patterns_of_its_fields(void **state)
{
    (void)state;
    static const char machine[] = "cpu=AMD_Ryzen_9_9950X3D cores=16 turbo=on";
    static const struct {
        const char *where;
        bool matches;
    } rows[] = {{"", true},
                {"cpu=*9950X3D*", true},
                {"cpu=*9950X3D* cores=16", true},
                {"cpu=*9950X3D* cores=8", false},
                {"cpu=*EPYC*", false},
                {"governor=unknown", true}, /* what is not known has its default */
                {"speed=9", false},
                {"cpu", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tg_hardware_matches(machine, rows[i].where) != rows[i].matches)
            fail_msg("'%s'", rows[i].where);
    assert_false(tg_hardware_matches("", ""));
    assert_false(tg_hardware_matches("speed=9", "cpu=*"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_machines_have_one_class_and_others_another),
        cmocka_unit_test(a_machine_of_which_nothing_is_known_has_no_class),
        cmocka_unit_test(the_longest_record_has_room),
        cmocka_unit_test(a_difference_is_named_with_both_values),
        cmocka_unit_test(a_machine_matches_patterns_of_its_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
