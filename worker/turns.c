/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/turns.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct table {
    _Atomic uint32_t turn; /* whose number it is; a futex */
    uint32_t count, capacity;
    int64_t calls[2];
    struct slot {
        struct tg_turn taken;
        uint64_t side;
    } slots[];
};

struct tg_turns {
    struct table *table;
    size_t bytes;
    int descriptor;
    size_t count;   /* as laid by this process, whatever a child may write into the table */
    uint8_t *order; /* likewise */
};

static int map_table(int descriptor, size_t bytes, struct tg_turns **turns, struct tg_error *err)
{
    struct tg_turns *t = calloc(1, sizeof *t);
    void *table = t ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) : NULL;
    if (!t || table == MAP_FAILED) {
        tg_fail(err, "cannot map the table of turns: %s", strerror(errno));
        free(t);
        return -1;
    }
    t->table = table;
    t->bytes = bytes;
    t->descriptor = descriptor;
    *turns = t;
    return 0;
}

int tg_turns_create(size_t capacity, struct tg_turns **turns, struct tg_error *err)
{
    size_t bytes = sizeof(struct table) + capacity * sizeof(struct slot);
    int descriptor = memfd_create("tritgate-turns", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)bytes) < 0 ||
        map_table(descriptor, bytes, turns, err) < 0) {
        tg_fail(err, "cannot make a table of turns: %s", strerror(errno));
        if (descriptor >= 0) close(descriptor);
        return -1;
    }
    fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    (*turns)->table->capacity = (uint32_t)capacity;
    (*turns)->order = calloc(capacity + 1, 1);
    if (!(*turns)->order) {
        tg_turns_close(*turns);
        return tg_fail(err, "out of memory");
    }
    return 0;
}

int tg_turns_descriptor(const struct tg_turns *turns)
{
    return turns->descriptor;
}

int tg_turns_attach(int descriptor, struct tg_turns **turns, struct tg_error *err)
{
    struct stat status;
    if (fstat(descriptor, &status) < 0 || (size_t)status.st_size < sizeof(struct table))
        return tg_fail(err, "no table of turns on descriptor %d", descriptor);
    if (map_table(descriptor, (size_t)status.st_size, turns, err) < 0) return -1;
    (*turns)->descriptor = -1;
    return 0;
}

void tg_turns_close(struct tg_turns *turns)
{
    if (!turns) return;
    munmap(turns->table, turns->bytes);
    if (turns->descriptor >= 0) close(turns->descriptor);
    free(turns->order);
    free(turns);
}

void tg_turns_lay(struct tg_turns *turns, const uint8_t *order, size_t count,
                  const int64_t calls[2])
{
    struct table *t = turns->table;
    assert(turns->bytes >= sizeof *t + count * sizeof *t->slots);
    if (count) memcpy(turns->order, order, count);
    turns->count = count;
    for (size_t i = 0; i < count; i++) t->slots[i] = (struct slot){.side = order[i]};
    t->calls[0] = calls[0];
    t->calls[1] = calls[1];
    t->count = (uint32_t)count;
    atomic_store(&t->turn, 0);
}

int tg_turns_await(struct tg_turns *turns, int side, int64_t *calls, int64_t *before)
{
    struct table *t = turns->table;
    for (;;) {
        uint32_t turn = atomic_load(&t->turn);
        if (turn >= t->count) return 0;
        if (t->slots[turn].side == (uint64_t)side) {
            *calls = t->calls[side];
            *before = 0;
            for (uint32_t i = 0; i < turn; i++) *before += t->calls[t->slots[i].side != 0] + 1;
            return 1;
        }
        syscall(SYS_futex, &t->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
    }
}

size_t tg_turns_now(const struct tg_turns *turns)
{
    return atomic_load(&turns->table->turn);
}

void tg_turns_pass(struct tg_turns *turns, struct tg_turn taken)
{
    struct table *t = turns->table;
    uint32_t turn = atomic_load(&t->turn);
    t->slots[turn].taken = taken;
    atomic_store(&t->turn, turn + 1);
    if (turn + 1 == t->count || t->slots[turn + 1].side != t->slots[turn].side)
        syscall(SYS_futex, &t->turn, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

size_t tg_turns_count(const struct tg_turns *turns)
{
    return turns->count;
}

int tg_turns_side(const struct tg_turns *turns, size_t i)
{
    return turns->order[i];
}

struct tg_turn tg_turns_taken(const struct tg_turns *turns, size_t i)
{
    return turns->table->slots[i].taken;
}
