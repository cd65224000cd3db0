/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_EMULATED_CUDA_PIPELINE_H
#define TG_TESTS_EMULATED_CUDA_PIPELINE_H

#include <cstring>
#include <cuda_runtime.h>
#include <deque>
#include <utility>
#include <vector>

/*
 * Copies beside a thread, as cuda_runtime.h here says: done when they are waited for, and not
 * before, so that who does not wait finds what was there. The last `zeros` bytes are zeros.
 */

struct emulated_copy {
    void *to;
    const void *from;
    size_t bytes, zeros;
};

/* Of each thread of a block: what is not committed yet, and what is, the oldest first. */
static struct emulated_pipeline {
    std::vector<emulated_copy> open;
    std::deque<std::vector<emulated_copy>> committed;
} emulated_pipelines[1024];

static inline void __pipeline_memcpy_async(void *to, const void *from, size_t bytes, size_t zeros)
{
    emulated_pipelines[threadIdx.x].open.push_back({to, from, bytes, zeros});
}

static inline void __pipeline_commit()
{
    emulated_pipeline &p = emulated_pipelines[threadIdx.x];
    p.committed.push_back(std::move(p.open));
    p.open.clear();
}

static inline void __pipeline_wait_prior(size_t left)
{
    emulated_pipeline &p = emulated_pipelines[threadIdx.x];
    for (; p.committed.size() > left; p.committed.pop_front())
        for (const emulated_copy &c : p.committed.front()) {
            memcpy(c.to, c.from, c.bytes - c.zeros);
            memset((char *)c.to + c.bytes - c.zeros, 0, c.zeros);
        }
}

#endif
