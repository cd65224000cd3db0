/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_WORKER_CELL_H
#define TG_TESTS_WORKER_CELL_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "worker/child.h"
#include "worker/probe/probe.h"
#include "worker/survey.h"

/*
 * The worker starts its children as "/proc/self/exe cell ...". In a test that is the test program
 * itself, which then plays the cell's process, as the program does.
 */

static inline bool is_cell(int argc, char **argv)
{
    return argc > 2 && strcmp(argv[1], "cell") == 0;
}

static inline int play_cell(char **argv)
{
    struct tg_error err = {""};
    /* A sanitizer would make an exit status of the signal. */
    signal(SIGSEGV, SIG_DFL);
    if (strcmp(argv[2], "--gpus") == 0) return tg_survey_answer_gpus(TG_ANSWER, &err) < 0 ? 3 : 0;
    if (strcmp(argv[2], "--survey") == 0)
        return tg_survey_answer(argv[3], TG_ANSWER, &err) < 0 ? 3 : 0;
    if (strcmp(argv[2], "--conducted") != 0) return 3;
    return tg_child_tie(strtol(argv[3], NULL, 10), &err) < 0 || tg_probe_run(NULL, &err) < 0 ? 4
                                                                                             : 0;
}

/* The kernels of this build, which lie beside the program and not beside its tests. */
static inline const char *kernel_library(void)
{
    const char *path = getenv("TRITGATE_LIB");
    if (!path) fail_msg("TRITGATE_LIB is not set: run the tests by ctest");
    return path;
}

/* A library that is none of ours (tests/data/foreign.c); its manner is TG_FOREIGN. */
static inline const char *foreign_library(const char *manner)
{
    const char *path = getenv("TG_FOREIGN_LIB");
    if (!path) fail_msg("TG_FOREIGN_LIB is not set: run the tests by ctest");
    setenv("TG_FOREIGN", manner, 1);
    return path;
}

/* Gives processes that are started from then on a GPU driver: "new", "old" or "" for none. */
static inline void set_driver(const char *which, const char *manner)
{
    const char *folder = strcmp(which, "old") == 0 ? getenv("TG_OLD_DRIVER")
                                                   : getenv("TG_NEW_DRIVER");
    if (!folder) fail_msg("TG_NEW_DRIVER is not set: run the tests by ctest");
    setenv("LD_LIBRARY_PATH", *which ? folder : "/nowhere", 1);
    setenv("TG_FAKE_NVML", manner, 1);
}

/* Holds so much memory, and no longer. */
static inline void hold_for_a_moment(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    memset(memory, 1, bytes);
    munmap(memory, bytes);
}

static inline size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static inline bool has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

#endif
