/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/child.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/worker_cell.h"

/* Children are this program again, with a manner; what they say goes by lines on 3 and 4. */

#define SOON    0.1 /* the deadline of what never comes */
#define AT_MOST 30  /* the deadline of what comes */

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vdprintf(4, format, arguments);
    va_end(arguments);
}

static void play_echo(void)
{
    char *line = NULL;
    size_t size = 0;
    FILE *asked = fdopen(3, "r");
    while (asked && getline(&line, &size, asked) > 0) say("heard %s", line);
    free(line);
    if (asked) fclose(asked);
}

static const char *const names[] = {"OMPI_A", "PMIX_A", "ORTE_A",
                                    "PRTE_A", "PMI_A",  "OTHER_OMPI_A"};

static void play_environment(void)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) say("%d", getenv(names[i]) != NULL);
    const char *padding = getenv("TRITGATE_PAD");
    say(" %zu\n", padding ? strlen(padding) : 9999);
}

static void play_descriptors(void)
{
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0) say("%d ", fd);
    say("\n");
}

static void play_passed(void)
{
    char text[64];
    ssize_t got = pread(5, text, sizeof text, 0);
    say("%.*s\n", (int)(got > 0 ? got : 0), text);
}

static void play_talker(void)
{
    for (int i = 0; i < 20000; i++) printf("line %d\n", i);
    fflush(stdout);
    fprintf(stderr, "the\tlast\nwords\x7f\xc3\xa9");
}

/* Starts a child of its own that is tied to it, and tells both process ids. */
static void play_parent(void)
{
    char number[32];
    const char *line;
    struct tg_child *child;
    snprintf(number, sizeof number, "%ld", (long)getpid());
    const char *const argv[] = {"/proc/self/exe", "play", "tied", number, NULL};
    if (tg_child_start(argv, NULL, 0, 0, &child, NULL) < 0) exit(1);
    if (tg_child_receive(child, tg_now() + AT_MOST, &line) != TG_CHILD_LINE) exit(1);
    say("%ld %s\n", (long)getpid(), line);
    for (;;) pause();
}

static void play_tied(const char *parent)
{
    struct tg_error err = {""};
    if (tg_child_tie(strtol(parent, NULL, 10), &err) < 0) {
        say("%s\n", err.text);
        return;
    }
    if (raise(SIGTERM) == 0 && raise(SIGINT) == 0 && raise(SIGHUP) == 0)
        say("%ld\n", (long)getpid());
    for (;;) pause();
}

static void play_family(void)
{
    pid_t grandchild = fork();
    if (grandchild) say("%ld\n", (long)grandchild);
    for (;;) pause();
}

static void play_holder(const char *bytes)
{
    hold_for_a_moment(strtoul(bytes, NULL, 10));
}

static int play(const char *manner, const char *told)
{
    if (strcmp(manner, "echo") == 0) play_echo();
    if (strcmp(manner, "environment") == 0) play_environment();
    if (strcmp(manner, "variable") == 0) say("%s\n", getenv(told) ? getenv(told) : "unset");
    if (strcmp(manner, "descriptors") == 0) play_descriptors();
    if (strcmp(manner, "passed") == 0) play_passed();
    if (strcmp(manner, "talker") == 0) play_talker();
    if (strcmp(manner, "parent") == 0) play_parent();
    if (strcmp(manner, "tied") == 0) play_tied(told);
    if (strcmp(manner, "family") == 0) play_family();
    if (strcmp(manner, "holder") == 0) play_holder(told);
    if (strcmp(manner, "two") == 0) say("one\ntwo\nhalf");
    while (strcmp(manner, "hung") == 0) pause();
    if (strcmp(manner, "aborts") == 0) abort();
    if (strcmp(manner, "killed") == 0) raise(SIGKILL);
    if (strcmp(manner, "fails") == 0) {
        puts("to the output");
        fflush(stdout);
        fputs("to the errors", stderr);
        return 7;
    }
    if (strcmp(manner, "mute") == 0) {
        close(1);
        close(2);
        play_echo();
        _exit(0);
    }
    if (strcmp(manner, "deaf") == 0) {
        close(4);
        for (;;) pause();
    }
    return 0;
}

static struct tg_child *start(const char *manner, const char *told)
{
    const char *const argv[] = {"/proc/self/exe", "play", manner, told, NULL};
    struct tg_child *child = NULL;
    struct tg_error err;
    if (tg_child_start(argv, NULL, 0, 0, &child, &err) < 0) fail_msg("%s", err.text);
    return child;
}

static const char *receive(struct tg_child *child)
{
    const char *line = NULL;
    assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_LINE);
    return line;
}

static struct tg_child_end stop(struct tg_child *child)
{
    struct tg_child_end end;
    tg_child_stop(child, &end);
    return end;
}

static void lines_go_both_ways(void **state)
{
    (void)state;
    struct tg_child *child = start("echo", "");
    char line[32], wanted[48];
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "line %d", i);
        snprintf(wanted, sizeof wanted, "heard %s", line);
        tg_child_send(child, line);
        assert_string_equal(receive(child), wanted);
    }
    for (int i = 0; i < 3; i++) tg_child_send(child, "again 100% %s");
    for (int i = 0; i < 3; i++) assert_string_equal(receive(child), "heard again 100% %s");
    struct tg_child_end end;
    tg_child_finish(child, tg_now() + AT_MOST, &end);
    assert_true(end.signal == 0 && end.status == 0);
    assert_false(end.by_us);
    assert_string_equal(end.tail, "");
}

static void a_hung_child_is_killed_at_its_deadline(void **state)
{
    (void)state;
    struct tg_child *child = start("hung", "");
    const char *line = "untouched";
    double deadline_s = tg_now() + SOON;
    assert_int_equal(tg_child_receive(child, deadline_s, &line), TG_CHILD_LATE);
    assert_true(tg_now() >= deadline_s);
    assert_string_equal(line, "untouched");
    struct tg_child_end end = stop(child);
    assert_int_equal(end.signal, SIGKILL);
    assert_true(end.by_us);

    tg_child_finish(start("hung", ""), tg_now() + SOON, &end);
    assert_int_equal(end.signal, SIGKILL);
    assert_true(end.by_us);
}

/* Waits until the process behind a descriptor of SYS_pidfd_open is gone. */
static void assert_goes(int process)
{
    struct pollfd gone = {.fd = process, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, AT_MOST * 1000), 1);
    close(process);
}

static int open_process(long pid)
{
    int process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    assert_true(process >= 0);
    return process;
}

static void the_whole_group_of_a_child_dies(void **state)
{
    (void)state;
    struct tg_child *child = start("family", "");
    int grandchild = open_process(strtol(receive(child), NULL, 10));
    struct pollfd gone = {.fd = grandchild, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, 0), 0);
    assert_int_equal(stop(child).signal, SIGKILL);
    assert_goes(grandchild);
}

static void a_tied_child_dies_with_its_parent_alone(void **state)
{
    (void)state;
    long parent, tied;
    struct tg_child *child = start("parent", "");
    assert_int_equal(sscanf(receive(child), "%ld %ld", &parent, &tied), 2);
    int process = open_process(tied);
    assert_int_equal(kill((pid_t)parent, SIGKILL), 0);
    assert_goes(process);
    struct tg_child_end end = stop(child);
    assert_int_equal(end.signal, SIGKILL);
}

static void a_child_is_not_tied_to_a_parent_that_is_gone(void **state)
{
    (void)state;
    struct tg_child *child = start("tied", "1");
    assert_string_equal(receive(child), "the parent is gone");
    stop(child);
}

static void how_a_child_ended_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *manner, *tail;
        int signal, status;
    } rows[] = {{"aborts", "", SIGABRT, 0},
                {"killed", "", SIGKILL, 0},
                {"fails", "to the output to the errors", 0, 7},
                {"nothing", "", 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *line;
        struct tg_child *child = start(rows[i].manner, "");
        assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_DIED);
        struct tg_child_end end = stop(child);
        assert_int_equal(end.signal, rows[i].signal);
        assert_int_equal(end.status, rows[i].status);
        assert_false(end.by_us);
        assert_string_equal(end.tail, rows[i].tail);
    }
}

static void the_memory_of_a_child_is_its_own_or_unknown(void **state)
{
    (void)state;
    struct tg_child_end end;
    tg_child_finish(start("holder", "200000000"), tg_now() + AT_MOST, &end);
    assert_in_range(end.peak_bytes, 200000000, 399999999);
    hold_for_a_moment(400000000);
    tg_child_finish(start("holder", "1"), tg_now() + AT_MOST, &end);
    assert_true(end.peak_bytes == -1);
}

static void the_last_words_are_kept(void **state)
{
    (void)state;
    struct tg_child_end end;
    tg_child_finish(start("talker", ""), tg_now() + AT_MOST, &end);
    assert_int_equal(end.status, 0);
    assert_int_equal(strlen(end.tail), sizeof end.tail - 1);
    const char *last = "line 19998 line 19999 the last words   ";
    assert_string_equal(end.tail + sizeof end.tail - 1 - strlen(last), last);
}

static void a_line_of_a_child_that_is_gone_is_still_there(void **state)
{
    (void)state;
    const char *line;
    struct tg_child *child = start("two", "");
    poll(NULL, 0, (int)(SOON * 1000));
    assert_string_equal(receive(child), "one");
    assert_string_equal(receive(child), "two");
    assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_DIED);
    assert_int_equal(tg_child_receive(child, 0, &line), TG_CHILD_DIED);
    assert_int_equal(stop(child).status, 0);
}

static void a_child_that_is_gone_takes_a_line_without_error(void **state)
{
    (void)state;
    const char *line;
    struct tg_child *child = start("nothing", "");
    assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_DIED);
    for (int i = 0; i < 3; i++) tg_child_send(child, "is anybody there");
    assert_int_equal(stop(child).status, 0);
}

static void a_child_that_closes_its_output_lives_on(void **state)
{
    (void)state;
    struct tg_child *child = start("mute", "");
    for (int i = 0; i < 3; i++) {
        tg_child_send(child, "still here");
        assert_string_equal(receive(child), "heard still here");
        poll(NULL, 0, 10);
    }
    struct tg_child_end end;
    tg_child_finish(child, tg_now() + AT_MOST, &end);
    assert_int_equal(end.signal, 0);
}

static void a_child_that_closes_the_talk_counts_as_dead(void **state)
{
    (void)state;
    const char *line;
    struct tg_child *child = start("deaf", "");
    assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_DIED);
    struct tg_child_end end = stop(child);
    assert_int_equal(end.signal, SIGKILL);
    assert_true(end.by_us);
}

static void the_variables_of_the_launcher_do_not_reach_a_child(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) setenv(names[i], "1", 1);
    struct tg_child *child = start("environment", "");
    assert_string_equal(receive(child), "000001 0");
    stop(child);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

static void assert_variable(const char *name, const char *wanted)
{
    struct tg_child *child = start("variable", name);
    assert_string_equal(receive(child), wanted);
    stop(child);
}

static void a_child_sees_the_gpu_it_was_given_and_no_other(void **state)
{
    (void)state;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
    assert_variable("CUDA_MODULE_LOADING", "unset");
    assert_variable("CUDA_VISIBLE_DEVICES", "0,1");
    tg_child_give_gpu("GPU-a0");
    assert_variable("CUDA_VISIBLE_DEVICES", "GPU-a0");
    tg_child_give_gpu("");
    assert_variable("CUDA_VISIBLE_DEVICES", "");
}

static void padding_makes_the_environment_larger(void **state)
{
    (void)state;
    static const size_t paddings[] = {0, 1, 1000, 4096};
    const char *const argv[] = {"/proc/self/exe", "play", "environment", "", NULL};
    for (size_t i = 0; i < sizeof paddings / sizeof *paddings; i++) {
        struct tg_child *child;
        assert_int_equal(tg_child_start(argv, NULL, 0, paddings[i], &child, NULL), 0);
        const char *line = receive(child);
        assert_int_equal(strtoul(line + 6, NULL, 10), paddings[i]);
        stop(child);
    }
}

static void a_child_has_the_descriptors_it_was_given_and_no_other(void **state)
{
    (void)state;
    int extra[20];
    for (int i = 0; i < 20; i++) extra[i] = dup(2);
    struct tg_child *child = start("descriptors", "");
    assert_string_equal(receive(child), "0 1 2 3 4 ");
    stop(child);

    int passed = memfd_create("passed", 0);
    assert_int_equal(write(passed, "by descriptor", 13), 13);
    const int descriptors[] = {passed, extra[0]};
    const char *const argv[] = {"/proc/self/exe", "play", "descriptors", "", NULL};
    const char *const reader[] = {"/proc/self/exe", "play", "passed", "", NULL};
    assert_int_equal(tg_child_start(argv, descriptors, 2, 0, &child, NULL), 0);
    assert_string_equal(receive(child), "0 1 2 3 4 5 6 ");
    stop(child);
    assert_int_equal(tg_child_start(reader, descriptors, 1, 0, &child, NULL), 0);
    assert_string_equal(receive(child), "by descriptor");
    stop(child);
    close(passed);
    for (int i = 0; i < 20; i++) close(extra[i]);
}

/* Waits for so long. */
static int wait_for(struct tg_child *const children[3], double within_s)
{
    double deadline_s = tg_now() + within_s;
    return tg_child_wait(children, 3, &deadline_s);
}

static void the_child_that_has_something_to_say_is_found(void **state)
{
    (void)state;
    struct tg_child *const children[] = {start("hung", ""), start("echo", ""), start("echo", "")};
    assert_int_equal(wait_for(children, SOON), -1);
    tg_child_send(children[2], "a");
    assert_int_equal(wait_for(children, AT_MOST), 2);
    assert_int_equal(wait_for(children, 0), 2);
    assert_string_equal(receive(children[2]), "heard a");
    assert_int_equal(wait_for(children, SOON), -1);
    for (int i = 0; i < 3; i++) stop(children[i]);
}

static void a_program_that_is_not_there_cannot_be_started(void **state)
{
    (void)state;
    const char *const argv[] = {"/nowhere/program", NULL};
    const int none[] = {-1};
    const char *const self[] = {"/proc/self/exe", "play", "hung", "", NULL};
    struct tg_child *child = NULL;
    struct tg_error err;
    assert_int_equal(tg_child_start(argv, NULL, 0, 0, &child, &err), -1);
    assert_string_equal(err.text, "cannot start '/nowhere/program': No such file or directory");
    assert_null(child);
    assert_int_equal(tg_child_start(self, none, 1, 0, &child, &err), -1);
    assert_string_equal(err.text, "cannot start '/proc/self/exe': Bad file descriptor");
    assert_null(child);
    tg_child_stop(NULL, NULL);
}

static size_t descriptors_before;

static int look_before(void **state)
{
    (void)state;
    descriptors_before = open_descriptors();
    return 0;
}

static int nothing_is_left_behind(void **state)
{
    (void)state;
    return has_children() || open_descriptors() != descriptors_before ? -1 : 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, look_before, nothing_is_left_behind)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "play") == 0) return play(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        TEST(lines_go_both_ways),
        TEST(a_hung_child_is_killed_at_its_deadline),
        TEST(the_whole_group_of_a_child_dies),
        TEST(a_tied_child_dies_with_its_parent_alone),
        TEST(a_child_is_not_tied_to_a_parent_that_is_gone),
        TEST(how_a_child_ended_is_told),
        TEST(the_memory_of_a_child_is_its_own_or_unknown),
        TEST(the_last_words_are_kept),
        TEST(a_line_of_a_child_that_is_gone_is_still_there),
        TEST(a_child_that_is_gone_takes_a_line_without_error),
        TEST(a_child_that_closes_its_output_lives_on),
        TEST(a_child_that_closes_the_talk_counts_as_dead),
        TEST(the_variables_of_the_launcher_do_not_reach_a_child),
        TEST(a_child_sees_the_gpu_it_was_given_and_no_other),
        TEST(padding_makes_the_environment_larger),
        TEST(a_child_has_the_descriptors_it_was_given_and_no_other),
        TEST(the_child_that_has_something_to_say_is_found),
        TEST(a_program_that_is_not_there_cannot_be_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
