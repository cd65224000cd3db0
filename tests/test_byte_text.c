/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/byte_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void every_byte_has_a_character_of_its_own(void **state)
{
    (void)state;
    static const struct {
        int byte;
        const char *written;
    } rows[] = {{'!', "!"},         {' ', "\xc4\xa0"},  {0, "\xc4\x80"},
                {'\n', "\xc4\x8a"}, {127, "\xc4\xa1"},  {0xad, "\xc5\x83"},
                {0xa0, "\xc5\x82"}, {0xe9, "\xc3\xa9"}, {0xff, "\xc3\xbf"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[2];
        assert_int_equal(tg_byte_text_write(rows[i].byte, out), strlen(rows[i].written));
        assert_memory_equal(out, rows[i].written, strlen(rows[i].written));
    }
    for (int byte = 0; byte < 256; byte++) {
        char out[2];
        size_t size = 0;
        const size_t written = tg_byte_text_write(byte, out);
        assert_int_equal(tg_byte_text_read((struct tg_gguf_text){out, written}, &size), byte);
        assert_int_equal(size, written);
    }
}

static void what_stands_for_no_byte_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"",     " ",    "\n",       "\xc5\x84", "\xe2\x96\x81",
                                        "\xc4", "\x80", "\xc2\xad", "\xc2\xa0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t size;
        assert_int_equal(
            tg_byte_text_read((struct tg_gguf_text){texts[i], strlen(texts[i])}, &size), -1);
        assert_true(size == 1 || size == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_has_a_character_of_its_own),
        cmocka_unit_test(what_stands_for_no_byte_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
