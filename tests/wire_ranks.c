/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/wire.h"

/*
 * Three ranks (tests/test_wire_ranks.sh). Rank 1 takes what was sent to it only when rank 2 has
 * taken what was sent later: so rank 0 must send to the one while the other does not listen. It
 * prints what they say.
 */

#define MARK     "rank-2-was-served"
#define WITHIN_S 20 /* then rank 1 listens all the same, and says so */

enum { LENGTH = 3000 }; /* more than MPI takes as its own where nobody listens */

static void fill(char *text, char with)
{
    memset(text, with, LENGTH);
    text[LENGTH] = 0;
}

static int coordinate(struct tg_wire *wire, struct tg_error *err)
{
    static const int ranks[] = {1, 2, 2};
    char text[LENGTH + 1], *answer;
    for (int i = 0; i < 3; i++) {
        fill(text, (char)('a' + i));
        if (tg_wire_send(wire, ranks[i], text, err) < 0) return -1;
    }
    for (int i = 0; i < 2; i++) {
        int rank;
        if (tg_wire_receive(wire, tg_now() + 2 * WITHIN_S, &rank, &answer, err) != 1)
            return tg_fail(err, "a rank says nothing");
        printf("rank %d: %s\n", rank, answer);
        free(answer);
    }
    return 0;
}

/* Whether what comes next is that text. */
static bool hears(struct tg_wire *wire, char with, struct tg_error *err)
{
    char wanted[LENGTH + 1], *text;
    int rank;
    fill(wanted, with);
    if (tg_wire_receive(wire, tg_now() + 2 * WITHIN_S, &rank, &text, err) != 1) return false;
    bool is_it = rank == 0 && strcmp(text, wanted) == 0;
    free(text);
    return is_it;
}

static int be_late(struct tg_wire *wire, struct tg_error *err)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    double deadline_s = tg_now() + WITHIN_S;
    while (access(MARK, F_OK) != 0 && tg_now() < deadline_s) nanosleep(&pause, NULL);
    bool is_first = access(MARK, F_OK) != 0;
    const char *said = !hears(wire, 'a', err) ? "another text" : is_first ? "first" : "last";
    return tg_wire_send(wire, 0, said, err);
}

static int be_quick(struct tg_wire *wire, struct tg_error *err)
{
    bool is_right = hears(wire, 'b', err);
    int mark = open(MARK, O_CREAT | O_WRONLY, 0600);
    if (mark >= 0) close(mark);
    is_right = hears(wire, 'c', err) && is_right;
    return tg_wire_send(wire, 0, is_right ? "both in order" : "other texts", err);
}

int main(void)
{
    struct tg_wire *wire;
    struct tg_error err;
    if (tg_wire_open(&wire, &err) < 0 || tg_wire_size(wire) != 3) return 1;
    int rank = tg_wire_rank(wire);
    int rc = rank == 0   ? coordinate(wire, &err)
             : rank == 1 ? be_late(wire, &err)
                         : be_quick(wire, &err);
    if (rc < 0) fprintf(stderr, "rank %d: %s\n", rank, err.text);
    fflush(stdout);
    tg_wire_close(wire, rc < 0);
    return rc < 0;
}
