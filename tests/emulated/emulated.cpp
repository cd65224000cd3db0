/* SPDX-License-Identifier: Apache-2.0 */
#include <cstdio>
#include <vector>

#include "cuda_runtime.h"

/*
 * Goes from one stack to another: keeps what a function must keep, as the System V ABI of x86-64
 * says, on the one, and takes it from the other. Fibers change places millions of times, and those
 * of the C library ask the kernel each time.
 */
extern "C" void emulated_switch(void **from, void *const *to);

asm(".text\n"
    ".type emulated_switch, @function\n"
    "emulated_switch:\n"
    "push %rbp\n"
    "push %rbx\n"
    "push %r12\n"
    "push %r13\n"
    "push %r14\n"
    "push %r15\n"
    "mov %rsp, (%rdi)\n"
    "mov (%rsi), %rsp\n"
    "pop %r15\n"
    "pop %r14\n"
    "pop %r13\n"
    "pop %r12\n"
    "pop %rbx\n"
    "pop %rbp\n"
    "ret\n"
    ".size emulated_switch, . - emulated_switch\n");

dim3 threadIdx, blockIdx, blockDim, gridDim;
uint8_t *emulated_shared;

namespace
{

constexpr size_t STACK_WORDS = 16 * 1024;
constexpr unsigned KEPT_WORDS = 6, WARP = 32;

enum state { RUNS, AT_WARP, AT_BLOCK, ENDED };

struct fiber {
    enum state state;
    void *at; /* where its stack ends, while it rests */
    std::vector<uint64_t> stack;
    const void *offered;
};

std::vector<fiber> fibers; /* of the most threads that a block had */
const std::function<void()> *code;
void *scheduler;

/* From a fiber to the scheduler, until that has it go on. */
void rest(enum state state)
{
    fiber &self = fibers[threadIdx.x];
    self.state = state;
    emulated_switch(&self.at, &scheduler);
}

void live(void)
{
    (*code)();
    rest(ENDED);
}

void go_on(unsigned thread)
{
    threadIdx = dim3(thread, 0, 0);
    emulated_switch(&scheduler, &fibers[thread].at);
}

/* Stacks as they are when `live` has just been called: 8 bytes below a multiple of 16. */
void begin(unsigned threads)
{
    if (fibers.size() < threads) fibers.resize(threads);
    for (unsigned i = 0; i < threads; i++) {
        fiber &f = fibers[i];
        f.stack.resize(STACK_WORDS);
        uint64_t *top = f.stack.data() + STACK_WORDS - 2;
        top -= (uintptr_t)top % 16 == 0;
        top[0] = 0;
        top[-1] = (uint64_t)(uintptr_t)live;
        f.at = top - 1 - KEPT_WORDS;
        f.state = RUNS;
    }
}

/* If all of these threads that have not ended are in that state, they go on. Whether there are any.
 */
bool wake(unsigned first, unsigned end, enum state state)
{
    bool any = false;
    for (unsigned i = first; i < end; i++) {
        if (fibers[i].state != state && fibers[i].state != ENDED) return false;
        any |= fibers[i].state == state;
    }
    for (unsigned i = first; i < end; i++)
        if (fibers[i].state == state) fibers[i].state = RUNS;
    return any;
}

void fail(const char *what)
{
    fprintf(stderr, "emulated: %s\n", what);
    abort();
}

/* Runs a block to its end. */
void run(unsigned threads)
{
    bool go = true;
    begin(threads);
    for (bool forward = true; go; forward = !forward) {
        for (unsigned i = 0; i < threads; i++) {
            const unsigned thread = forward ? i : threads - 1 - i;
            if (fibers[thread].state == RUNS) go_on(thread);
        }
        go = false;
        for (unsigned i = 0; i < threads; i += WARP) go |= wake(i, min(i + WARP, threads), AT_WARP);
        if (!go) go = wake(0, threads, AT_BLOCK);
    }
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].state != ENDED) fail("threads of a block wait for each other");
}

} // namespace

void emulated_meet_block(void)
{
    rest(AT_BLOCK);
}

void emulated_meet_warp(void)
{
    rest(AT_WARP);
}

void emulated_offer(const void *mine)
{
    fibers[threadIdx.x].offered = mine;
    rest(AT_WARP);
}

const void *emulated_offered_by(unsigned lane)
{
    const fiber &f = fibers[threadIdx.x / WARP * WARP + lane];
    if (f.state == ENDED) fail("a lane that has ended is asked");
    return f.offered;
}

void emulated_end_offer(void)
{
    rest(AT_WARP);
}

void emulated_launch(dim3 grid, dim3 block, size_t shared_bytes,
                     const std::function<void()> &kernel)
{
    void *shared = NULL;
    if (posix_memalign(&shared, 128, shared_bytes) != 0) fail("no memory");
    code = &kernel;
    blockDim = block;
    gridDim = grid;
    emulated_shared = (uint8_t *)shared;
    for (unsigned i = 0; i < grid.x * grid.y; i++) {
        blockIdx = dim3(i % grid.x, i / grid.x, 0);
        memset(shared, 0xa5, shared_bytes);
        run(block.x);
    }
    free(shared);
}
