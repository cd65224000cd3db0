/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/pool.h"

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/fill.h"
#include "kernels/kernel.h"
#include "worker/place.h"

enum { THREADS = 5, CALLS = 200 };

static struct tg_pool *make_pool(int count)
{
    struct tg_pool *pool;
    struct tg_error err;
    if (tg_pool_create(count, NULL, &pool, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(tg_pool_count(pool), count);
    return pool;
}

static void every_row_is_in_one_range_and_ranges_begin_at_tiles(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 15, 16, 17, 100, 640, 641, 2560, 6912};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int count = 1; count <= 70; count++) {
            int64_t next = 0, least = INT64_MAX, most = 0;
            for (int part = 0; part < count; part++) {
                int64_t begin, end;
                tg_pool_rows(sizes[i], count, part, &begin, &end);
                assert_true(begin == next && end >= begin);
                assert_true(begin % TG_POOL_ROWS == 0 || begin == end);
                next = end;
                least = end - begin < least ? end - begin : least;
                most = end - begin > most ? end - begin : most;
            }
            assert_int_equal(next, sizes[i]);
            assert_true(most - least <= 2 * TG_POOL_ROWS - 1);
        }
    }
}

struct tally {
    _Atomic int done[THREADS];
    long threads[THREADS];
};

static void count_part(void *work, int part)
{
    struct tally *t = work;
    t->threads[part] = syscall(SYS_gettid);
    atomic_fetch_add(&t->done[part], 1);
}

static void each_part_is_done_once_a_call_by_a_thread_of_its_own(void **state)
{
    (void)state;
    for (int count = 1; count <= THREADS; count++) {
        struct tg_pool *pool = make_pool(count);
        struct tally t = {0}, before;
        for (int call = 1; call <= CALLS; call++) {
            before = t;
            tg_pool_run(pool, count_part, &t);
            for (int i = 0; i < THREADS; i++) assert_int_equal(t.done[i], i < count ? call : 0);
            for (int i = 0; i < count && call > 1; i++)
                assert_int_equal(t.threads[i], before.threads[i]);
            if (call % 50 == 0) tg_pool_rest(pool);
        }
        assert_int_equal(t.threads[0], syscall(SYS_gettid));
        for (int i = 0; i < count; i++)
            for (int k = 0; k < i; k++) assert_true(t.threads[i] != t.threads[k]);
        tg_pool_destroy(pool);
    }
    tg_pool_destroy(NULL);
}

struct product {
    const struct tg_kernel *kernel;
    struct tg_problem problem;
    int count;
};

static void run_rows(void *work, int part)
{
    const struct product *product = work;
    struct tg_problem p = product->problem;
    tg_pool_rows(p.rows, product->count, part, &p.row_begin, &p.row_end);
    product->kernel->run(&p);
}

static void the_rows_of_a_kernel_come_out_the_same_from_any_number_of_threads(void **state)
{
    (void)state;
    enum { ROWS = 100, COLS = 512, BATCH = 3, BYTES = ROWS * BATCH * 4 };
    struct product product = {.kernel = tg_kernel_find("i2s_scalar")};
    int8_t *ternary = malloc((size_t)ROWS * COLS);
    int8_t *activations = aligned_alloc(64, (size_t)BATCH * COLS);
    size_t packed_bytes = (size_t)product.kernel->packed_bytes(ROWS, COLS);
    uint8_t *packed = aligned_alloc(64, (packed_bytes + 63) / 64 * 64);
    int32_t *wanted = malloc(BYTES), *results = malloc(BYTES);
    assert_true(ternary && activations && packed && wanted && results);
    tg_fill_ternary(1, ternary, (size_t)ROWS * COLS);
    tg_fill_int8(2, activations, (size_t)BATCH * COLS);
    product.kernel->pack(ternary, ROWS, COLS, packed);
    product.problem = (struct tg_problem){.weights = packed,
                                          .activations = activations,
                                          .results = wanted,
                                          .rows = ROWS,
                                          .cols = COLS,
                                          .batch = BATCH,
                                          .row_end = ROWS};
    product.kernel->run(&product.problem);
    product.problem.results = results;
    for (product.count = 1; product.count <= THREADS; product.count++) {
        struct tg_pool *pool = make_pool(product.count);
        memset(results, 0x5a, BYTES);
        tg_pool_run(pool, run_rows, &product);
        assert_memory_equal(results, wanted, BYTES);
        tg_pool_destroy(pool);
    }
    free(ternary);
    free(activations);
    free(packed);
    free(wanted);
    free(results);
}

/* Threads of this process but its first, by their state in the kernel: "S" for each asleep. */
static void states(char *letters, size_t size)
{
    size_t used = 0;
    char path[300], line[256];
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *e; (e = readdir(tasks)) && used + 1 < size;) {
        if (e->d_name[0] == '.' || strtol(e->d_name, NULL, 10) == getpid()) continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue; /* it has just ended */
        const char *name = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
        if (name) letters[used++] = name[2];
        fclose(f);
    }
    closedir(tasks);
    letters[used] = 0;
}

/* A state is written a moment after the thread is said to sleep: it may take a few looks. */
static void assert_asleep(const char *wanted)
{
    char letters[64] = "";
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int looks = 0; looks < 5000; looks++) {
        states(letters, sizeof letters);
        if (strcmp(letters, wanted) == 0) return;
        nanosleep(&pause, NULL);
    }
    fail_msg("threads are '%s', not '%s'", letters, wanted);
}

static void threads_sleep_outside_of_calls_and_end_with_their_pool(void **state)
{
    (void)state;
    struct tally t = {0};
    assert_asleep("");
    struct tg_pool *pool = make_pool(4);
    assert_asleep("SSS");
    for (int i = 0; i < 20; i++) {
        tg_pool_run(pool, count_part, &t);
        tg_pool_rest(pool);
        tg_pool_rest(pool);
        assert_asleep("SSS");
    }
    assert_int_equal(t.done[3], 20);
    tg_pool_run(pool, count_part, &t);
    assert_asleep("SSS"); /* nor do they wait awake for ever */
    tg_pool_destroy(pool);
    assert_asleep("");
}

static void dawdle(void *work, int part)
{
    const int *slow = work;
    const struct timespec pause = {.tv_nsec = 30000000};
    if (part == *slow) nanosleep(&pause, NULL);
}

static void who_waits_long_sleeps_and_is_woken(void **state)
{
    (void)state;
    struct tg_pool *pool = make_pool(3);
    struct tally t = {0};
    for (int slow = 0; slow < 3; slow++) {
        tg_pool_run(pool, dawdle, &slow);
        tg_pool_run(pool, count_part, &t);
    }
    for (int i = 0; i < 3; i++) assert_int_equal(t.done[i], 3);
    tg_pool_destroy(pool);
}

static void read_core(void *work, int part)
{
    cpu_set_t bound, *bounds = work;
    if (sched_getaffinity(0, sizeof bound, &bound) == 0) bounds[part] = bound;
}

static void threads_are_bound_to_their_cores_and_the_first_is_its_callers(void **state)
{
    (void)state;
    struct tg_place place;
    struct tg_pool *pool;
    struct tg_error err;
    cpu_set_t bounds[3], before;
    if (tg_place_find(NULL, NULL, &tg_place_alone, &place, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const int last = place.cores[place.core_count - 1];
    const int cores[] = {-7, place.core, last}; /* of the first no use is made */
    assert_int_equal(tg_pool_create(3, cores, &pool, &err), 0);
    tg_pool_run(pool, read_core, bounds);
    assert_true(CPU_EQUAL(&bounds[0], &before));
    for (int i = 1; i < 3; i++)
        assert_true(CPU_COUNT(&bounds[i]) == 1 && CPU_ISSET((size_t)cores[i], &bounds[i]));
    tg_pool_destroy(pool);

    const int nowhere[] = {place.core, CPU_SETSIZE - 1, last};
    pool = NULL;
    assert_int_equal(tg_pool_create(3, nowhere, &pool, &err), -1);
    assert_string_equal(err.text, "cannot bind a thread to core 1023");
    assert_null(pool);
    assert_asleep("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_in_one_range_and_ranges_begin_at_tiles),
        cmocka_unit_test(each_part_is_done_once_a_call_by_a_thread_of_its_own),
        cmocka_unit_test(the_rows_of_a_kernel_come_out_the_same_from_any_number_of_threads),
        cmocka_unit_test(threads_sleep_outside_of_calls_and_end_with_their_pool),
        cmocka_unit_test(who_waits_long_sleeps_and_is_woken),
        cmocka_unit_test(threads_are_bound_to_their_cores_and_the_first_is_its_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
