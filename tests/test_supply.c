/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/supply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * This program stands for tritgate: asked to make a model, it writes a file of the right size, or
 * does what TG_MAKER says.
 */

static char folder[] = "/tmp/tg_supply_XXXXXX";
static struct tg_model_source source;
static char path[4096];
static struct tg_error err;

static int play_maker(char **argv)
{
    const char *how = getenv("TG_MAKER");
    struct tg_model_source own;
    bool is_there;
    tg_model_source_init(&own, argv[5], "");
    if (how && strcmp(how, "fails") == 0) {
        fputs("no room on the disk\n", stderr);
        return 3;
    }
    if (how && strcmp(how, "hangs") == 0) pause();
    if (!argv[9] || strcmp(argv[8], "--tied") != 0 || strtol(argv[9], NULL, 10) != getppid())
        return 4;
    if (tg_model_source_find(&own, argv[3], path, sizeof path, &is_there, &err) < 0) return 3;
    return close(open(path, O_CREAT | O_WRONLY, 0600));
}

static int supply(const char *model, double within_s)
{
    path[0] = 0;
    return tg_supply_model(&source, model, 1, within_s, path, sizeof path, &err);
}

static void a_model_that_is_not_there_is_made(void **state)
{
    (void)state;
    unsetenv("TG_MAKER");
    if (supply("tiny", 60) < 0) fail_msg("%s", err.text);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(unlink(path), 0);
}

static void why_it_cannot_be_made_is_told(void **state)
{
    (void)state;
    setenv("TG_MAKER", "fails", 1);
    assert_int_equal(supply("tiny", 60), -1);
    assert_non_null(strstr(err.text, "the model 'tiny' cannot be made; its process said: no room"));
    setenv("TG_MAKER", "hangs", 1);
    assert_int_equal(supply("tiny", 0.2), -1);
    assert_string_equal(err.text, "making the model 'tiny' took longer than 0.2 s");
    assert_int_equal(supply("bitnet-9b", 60), -1);
    assert_string_equal(err.text, "no such model 'bitnet-9b'");
}

static void the_file_of_the_run_is_never_made(void **state)
{
    (void)state;
    setenv("TG_MAKER", "fails", 1);
    tg_model_source_init(&source, folder, "/proc/self/exe");
    if (supply("gguf", 60) < 0) fail_msg("%s", err.text);
    assert_string_equal(path, "/proc/self/exe");
    tg_model_source_init(&source, folder, "/not/there.gguf");
    assert_int_equal(supply("gguf", 60), -1);
    assert_string_equal(err.text, "cannot open model '/not/there.gguf': No such file or directory");
}

int main(int argc, char **argv)
{
    if (argc > 5 && strcmp(argv[1], "model") == 0) return play_maker(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_is_not_there_is_made),
        cmocka_unit_test(why_it_cannot_be_made_is_told),
        cmocka_unit_test(the_file_of_the_run_is_never_made),
    };
    if (!mkdtemp(folder)) return 1;
    tg_model_source_init(&source, folder, "");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
