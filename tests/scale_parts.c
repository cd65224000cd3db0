/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scale_parts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "coordinator/crew.h"
#include "coordinator/family.h"
#include "coordinator/judge.h"
#include "coordinator/queue.h"
#include "coordinator/rows.h"
#include "results/telegram.h"
#include "worker/serve.h"

#define ANSWERS_MOST 100000

enum part { READ, QUEUE, JUDGE, FAMILY, ORDER, SEND, ALL, PARTS };

static const char *const names[PARTS] = {"reading", "queue",   "judging", "families",
                                         "writing", "sending", "all"};

static int64_t (*answers)[PARTS]; /* nanoseconds */
static bool *is_end;              /* of a round */
static size_t count;
static int depth; /* a part within a part is the outer one's */

static int64_t enter(void)
{
    return depth++ == 0 ? tg_now_ns() : 0;
}

static void leave(enum part part, int64_t since)
{
    if (--depth == 0 && answers) answers[count][part] += tg_now_ns() - since;
}

void tg_parts_begin(void)
{
    free(answers);
    free(is_end);
    answers = calloc(ANSWERS_MOST + 1, sizeof *answers);
    is_end = calloc(ANSWERS_MOST + 1, sizeof *is_end);
    if (!answers || !is_end) abort();
    count = 0;
}

void tg_parts_cool(void)
{
    static volatile char *room;
    const char *megabytes = getenv("SCALE_COLD");
    const size_t size = megabytes ? strtoul(megabytes, NULL, 10) << 20 : 0;
    if (size && !room && !(room = calloc(size, 1))) abort();
    for (size_t i = 0; i < size; i += 64) room[i]++;
}

void tg_parts_heard(void)
{
    if (count == ANSWERS_MOST || !answers) return;
    memset(answers[count], 0, sizeof answers[count]);
    is_end[count] = false;
    answers[count][ALL] = tg_now_ns();
}

void tg_parts_done(void)
{
    if (count == ANSWERS_MOST || !answers || answers[count][ALL] == 0) return;
    answers[count][ALL] = tg_now_ns() - answers[count][ALL];
    count++;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* In microseconds, over the answers that end a round; `part` PARTS is what is in no part. */
static double median_us(enum part part)
{
    int64_t *of = calloc(count + 1, sizeof *of);
    size_t there = 0;
    if (!of) abort();
    for (size_t i = 0; i < count; i++) {
        if (!is_end[i]) continue;
        of[there] = answers[i][part == PARTS ? ALL : part];
        for (int p = 0; part == PARTS && p < ALL; p++) of[there] -= answers[i][p];
        there++;
    }
    qsort(of, there, sizeof *of, ascending);
    double median = there ? 1e-3 * (double)of[there / 2] : 0;
    free(of);
    return median;
}

void tg_parts_tell(FILE *out)
{
    for (int p = 0; p < ALL; p++)
        fprintf(out, "part %-10s %6.1f us\n", names[p], median_us((enum part)p));
    fprintf(out, "part %-10s %6.1f us\n", "the rest", median_us(PARTS));
    fprintf(out, "part %-10s %6.1f us\n", names[ALL], median_us(ALL));
}

/* clang-format off */
#define BEFORE(result, name, ...)                                                                  \
    result __real_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__)
/* clang-format on */

BEFORE(int, tg_json_parse, const char *text, struct tg_json_file *file, struct tg_error *err)
{
    int64_t since = enter();
    int rc = __real_tg_json_parse(text, file, err);
    leave(READ, since);
    return rc;
}

BEFORE(void, tg_json_release, struct tg_json_file *file)
{
    int64_t since = enter();
    __real_tg_json_release(file);
    leave(READ, since);
}

BEFORE(struct tg_measurement *, tg_telegrams_next, char **at, const struct tg_measurement *before,
       struct tg_error *err)
{
    int64_t since = enter();
    struct tg_measurement *m = __real_tg_telegrams_next(at, before, err);
    leave(READ, since);
    return m;
}

BEFORE(int, tg_rows_keep, struct tg_rows *rows, struct tg_measurement *row, struct tg_error *err)
{
    int64_t since = enter();
    int rc = __real_tg_rows_keep(rows, row, err);
    leave(READ, since);
    return rc;
}

BEFORE(void, tg_queue_done, struct tg_queue *queue, size_t block, size_t worker, double took_s)
{
    int64_t since = enter();
    if (answers) is_end[count] = true;
    __real_tg_queue_done(queue, block, worker, took_s);
    leave(QUEUE, since);
}

BEFORE(bool, tg_queue_next, struct tg_queue *queue, size_t worker, double time_left_s,
       size_t *block, int64_t *round)
{
    int64_t since = enter();
    bool has_one = __real_tg_queue_next(queue, worker, time_left_s, block, round);
    leave(QUEUE, since);
    return has_one;
}

BEFORE(void, tg_queue_urge, struct tg_queue *queue, size_t block, double urgency)
{
    int64_t since = enter();
    __real_tg_queue_urge(queue, block, urgency);
    leave(QUEUE, since);
}

BEFORE(void, tg_queue_close, struct tg_queue *queue, size_t block)
{
    int64_t since = enter();
    __real_tg_queue_close(queue, block);
    leave(QUEUE, since);
}

BEFORE(int, tg_judge_test, const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
       const struct tg_rounds *own, struct tg_verdict *verdict, struct tg_error *err)
{
    int64_t since = enter();
    int rc = __real_tg_judge_test(plan, test, rows, own, verdict, err);
    leave(JUDGE, since);
    return rc;
}

BEFORE(int, tg_judge_gather, const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
       struct tg_rounds *rounds, struct tg_error *err)
{
    int64_t since = enter();
    int rc = __real_tg_judge_gather(plan, test, rows, rounds, err);
    leave(JUDGE, since);
    return rc;
}

BEFORE(int, tg_family_take, struct tg_families *families, size_t test, const double *values,
       size_t value_count, struct tg_error *err)
{
    int64_t since = enter();
    int rc = __real_tg_family_take(families, test, values, value_count, err);
    leave(FAMILY, since);
    return rc;
}

BEFORE(bool, tg_family_wants, struct tg_families *families, size_t test)
{
    if (!answers) return __real_tg_family_wants(families, test);
    int64_t since = enter();
    bool wants = __real_tg_family_wants(families, test);
    leave(FAMILY, since);
    return wants;
}

BEFORE(char *, tg_serve_order_text, const struct tg_block *block, int64_t round, uint64_t seed,
       bool is_complete, bool is_apart, double wait_s)
{
    int64_t since = enter();
    char *text = __real_tg_serve_order_text(block, round, seed, is_complete, is_apart, wait_s);
    leave(ORDER, since);
    return text;
}

BEFORE(int, tg_crew_tell, struct tg_crew *crew, size_t worker, const char *message,
       struct tg_error *err)
{
    int64_t since = enter();
    int rc = __real_tg_crew_tell(crew, worker, message, err);
    leave(SEND, since);
    return rc;
}
