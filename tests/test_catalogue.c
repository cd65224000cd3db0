/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/catalogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = {"first/b.json",  "first/a.json",  "first/.json",
                                    "first/.c.json", "first/d.jso",   "first/json",
                                    "second/b.json", "second/c.json", "second/e.jsonx"};

static int make(void **state)
{
    static char folder[] = "/tmp/tritgate-catalogue-XXXXXX";
    *state = mkdtemp(folder);
    if (!*state || chdir(folder) < 0 || mkdir("first", 0700) < 0 || mkdir("second", 0700) < 0)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        FILE *file = fopen(names[i], "w");
        if (!file || fclose(file) != 0) return -1;
    }
    return 0;
}

static int unmake(void **state)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(names[i]);
    return rmdir("first") + rmdir("second") + rmdir(*state);
}

static void files_are_found_by_name_and_the_first_folder_has_it(void **state)
{
    (void)state;
    static const char *const folders[] = {"first", "", "nowhere", "second"};
    static const char *const wanted[][2] = {
        {"a", "first/a.json"}, {"b", "first/b.json"}, {"c", "second/c.json"}};
    struct tg_catalogue c;
    char text[64];
    assert_int_equal(tg_catalogue_find(folders, 4, &c, NULL), 0);
    assert_int_equal(c.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(c.entries[i].name, wanted[i][0]);
        assert_string_equal(tg_catalogue_path(&c, wanted[i][0]), wanted[i][1]);
    }
    assert_null(tg_catalogue_path(&c, "d"));
    assert_null(tg_catalogue_path(&c, "a.json"));
    assert_string_equal(tg_catalogue_names(&c, text, sizeof text), "a, b and c");
    assert_string_equal(tg_catalogue_names(&c, text, 6), "a, b "); /* cut, and no more */
    tg_catalogue_release(&c);
}

static void one_or_none_are_named_too(void **state)
{
    (void)state;
    static const char *const folders[] = {"nowhere", "second"};
    struct tg_catalogue c;
    char text[64];
    assert_int_equal(tg_catalogue_find(folders, 1, &c, NULL), 0);
    assert_int_equal(c.count, 0);
    assert_string_equal(tg_catalogue_names(&c, text, sizeof text), "none");
    tg_catalogue_release(&c);
    assert_int_equal(tg_catalogue_find(folders, 2, &c, NULL), 0);
    assert_string_equal(tg_catalogue_names(&c, text, sizeof text), "b and c");
    c.count = 1;
    assert_string_equal(tg_catalogue_names(&c, text, sizeof text), "b");
    tg_catalogue_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_found_by_name_and_the_first_folder_has_it),
        cmocka_unit_test(one_or_none_are_named_too),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
