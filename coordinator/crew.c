/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/crew.h"

#include <stdlib.h>

struct tg_crew {
    struct tg_wire *wire;
    struct tg_worker *own; /* in a run of one rank */
    char *answer;          /* of the own worker, not yet heard */
};

int tg_crew_open(struct tg_wire *wire, const struct tg_identity *identity, struct tg_crew **crew,
                 struct tg_error *err)
{
    struct tg_crew *c = calloc(1, sizeof *c);
    if (!c) return tg_fail(err, "out of memory");
    c->wire = wire;
    if (tg_wire_size(wire) == 1 && tg_serve_open(0, 0, identity, &c->own, err) < 0) {
        free(c);
        return -1;
    }
    *crew = c;
    return 0;
}

size_t tg_crew_count(const struct tg_crew *crew)
{
    return crew->own ? 1 : (size_t)tg_wire_size(crew->wire) - 1;
}

int tg_crew_tell(struct tg_crew *crew, size_t worker, const char *message, struct tg_error *err)
{
    if (!crew->own) return tg_wire_send(crew->wire, (int)worker + 1, message, err);
    free(crew->answer);
    crew->answer = NULL;
    return tg_serve_answer(crew->own, message, &crew->answer, err);
}

int tg_crew_tell_all(struct tg_crew *crew, const char *message, struct tg_error *err)
{
    for (size_t i = 0; i < tg_crew_count(crew); i++)
        if (tg_crew_tell(crew, i, message, err) < 0) return -1;
    return 0;
}

int tg_crew_hear(struct tg_crew *crew, double deadline_s, size_t *worker, char **answer,
                 struct tg_error *err)
{
    int rank;
    if (crew->own) {
        if (!crew->answer) return 0;
        *worker = 0;
        *answer = crew->answer;
        crew->answer = NULL;
        return 1;
    }
    int rc = tg_wire_receive(crew->wire, deadline_s, &rank, answer, err);
    if (rc == 1) *worker = (size_t)rank - 1;
    return rc;
}

void tg_crew_close(struct tg_crew *crew)
{
    if (!crew) return;
    tg_serve_close(crew->own);
    free(crew->answer);
    free(crew);
}
