/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cublaslt.cuh"

#include <cassert>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/isa.h"

/*
 * D = A' B in the words of the library, whose matrices lie column by column:
 *
 *   A  cols x count, columns `cols` apart   weights: a row of ours is a column there
 *   B  cols x batch, columns `cols` apart   activations
 *   D  count x batch, columns `rows` apart  results, from row_begin on
 *
 * with count = row_end - row_begin. Sums are f32 (CUBLAS_COMPUTE_32F: no TF32), and where a sum is
 * split, its parts stay f32 until they are added. That is within the bound of dense.h.
 *
 * Source: cuBLAS documentation, "Using the cuBLASLt API".
 */

#define WORKSPACE_BYTES (32 << 20)
#define ALIGNMENT_MOST  256 /* more is asked by no algorithm */
#define PLANS           64

/* The functions of the library. */
struct calls {
    decltype(&cublasLtGetCudartVersion) cudart_version;
    decltype(&cublasLtGetStatusName) status_name;
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtMatmulDescCreate) make_product;
    decltype(&cublasLtMatmulDescDestroy) end_product;
    decltype(&cublasLtMatmulDescSetAttribute) set_product;
    decltype(&cublasLtMatrixLayoutCreate) make_layout;
    decltype(&cublasLtMatrixLayoutDestroy) end_layout;
    decltype(&cublasLtMatmulPreferenceCreate) make_preference;
    decltype(&cublasLtMatmulPreferenceDestroy) end_preference;
    decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
    decltype(&cublasLtMatmulAlgoGetHeuristic) choose;
    decltype(&cublasLtMatmul) multiply;
};

struct shape {
    enum tg_cublaslt_number number;
    int64_t count, cols, batch, rows;
    uint32_t weights_at, activations_at, results_at; /* alignments in bytes */
};

/* What is kept of a shape. */
struct plan {
    struct shape shape;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t weights, activations, results;
    cublasLtMatmulAlgo_t algorithm;
};

static struct calls calls;
static cublasLtHandle_t handle;
static void *workspace;
static struct plan plans[PLANS];
static int64_t planned; /* shapes so far: the next takes the place of the oldest */

template <typename Function> static bool find(void *library, const char *name, Function *function)
{
    *function = (Function)dlsym(library, name);
    return *function != NULL;
}

/* A library whose CUDA the driver has; what was opened is left open, as it is by those who link. */
static bool open_library(const char *path, int driver)
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    struct calls c;
    bool is_whole = library && find(library, "cublasLtGetCudartVersion", &c.cudart_version) &&
                    find(library, "cublasLtGetStatusName", &c.status_name) &&
                    find(library, "cublasLtCreate", &c.create) &&
                    find(library, "cublasLtMatmulDescCreate", &c.make_product) &&
                    find(library, "cublasLtMatmulDescDestroy", &c.end_product) &&
                    find(library, "cublasLtMatmulDescSetAttribute", &c.set_product) &&
                    find(library, "cublasLtMatrixLayoutCreate", &c.make_layout) &&
                    find(library, "cublasLtMatrixLayoutDestroy", &c.end_layout) &&
                    find(library, "cublasLtMatmulPreferenceCreate", &c.make_preference) &&
                    find(library, "cublasLtMatmulPreferenceDestroy", &c.end_preference) &&
                    find(library, "cublasLtMatmulPreferenceSetAttribute", &c.set_preference) &&
                    find(library, "cublasLtMatmulAlgoGetHeuristic", &c.choose) &&
                    find(library, "cublasLtMatmul", &c.multiply);
    if (!is_whole || (int)(c.cudart_version() / 1000) > driver / 1000) return false;
    calls = c;
    return true;
}

int tg_isa_cublaslt(void)
{
    static const char *const paths[] = {
        "libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13", "libcublasLt.so.12",
        "/usr/local/cuda/lib64/libcublasLt.so.12"};
    static bool is_known, is_here;
    int driver = 0;
    if (is_known) return is_here;
    is_known = true;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return 0;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !is_here; i++)
        is_here = open_library(paths[i], driver);
    return is_here;
}

/* A kernel cannot fail: see launch.cuh. */
static void must(cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS) return;
    fprintf(stderr, "cuBLASLt: cannot %s: %s\n", what, calls.status_name(status));
    abort();
}

static void begin()
{
    if (workspace) return;
    if (!tg_isa_cublaslt()) {
        fprintf(stderr, "cuBLASLt: there is no library\n");
        abort();
    }
    must(calls.create(&handle), "make a handle");
    tg_cuda_launched(cudaMalloc(&workspace, WORKSPACE_BYTES));
}

static uint32_t alignment_of(const void *pointer)
{
    const uintptr_t at = (uintptr_t)pointer | ALIGNMENT_MOST;
    return (uint32_t)(at & (~at + 1));
}

/* Chooses how products of the plan's shape are made: the first choice of the library. */
static void choose(struct plan *plan)
{
    const uint64_t workspace_bytes = WORKSPACE_BYTES;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* or none */
    const struct shape *s = &plan->shape;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t bytes;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &s->weights_at, sizeof s->weights_at},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &s->activations_at, sizeof s->activations_at},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &s->results_at, sizeof s->results_at},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &s->results_at, sizeof s->results_at}};
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found = {};
    int count = 0;
    must(calls.make_preference(&preference), "make a preference");
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        must(calls.set_preference(preference, wishes[i].name, wishes[i].value, wishes[i].bytes),
             "set a preference");
    must(calls.choose(handle, plan->product, plan->weights, plan->activations, plan->results,
                      plan->results, preference, 1, &found, &count),
         "choose an algorithm");
    must(count == 1 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED, "choose an algorithm");
    must(calls.end_preference(preference), "end a preference");
    plan->algorithm = found.algo;
}

static void make(const struct shape *s, struct plan *plan)
{
    static const cudaDataType_t types[] = {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF};
    const cudaDataType_t type = types[s->number];
    const cublasOperation_t turned = CUBLAS_OP_T;
    const uint64_t cols = (uint64_t)s->cols, count = (uint64_t)s->count;
    plan->shape = *s;
    must(calls.make_product(&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "make a product");
    must(calls.set_product(plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned),
         "turn a matrix");
    must(calls.make_layout(&plan->weights, type, cols, count, s->cols), "make a layout");
    must(calls.make_layout(&plan->activations, type, cols, (uint64_t)s->batch, s->cols),
         "make a layout");
    must(calls.make_layout(&plan->results, CUDA_R_32F, count, (uint64_t)s->batch, s->rows),
         "make a layout");
    choose(plan);
}

static void end(struct plan *plan)
{
    must(calls.end_product(plan->product), "end a product");
    must(calls.end_layout(plan->weights), "end a layout");
    must(calls.end_layout(plan->activations), "end a layout");
    must(calls.end_layout(plan->results), "end a layout");
}

static bool is_same(const struct shape *a, const struct shape *b)
{
    return a->number == b->number && a->count == b->count && a->cols == b->cols &&
           a->batch == b->batch && a->rows == b->rows && a->weights_at == b->weights_at &&
           a->activations_at == b->activations_at && a->results_at == b->results_at;
}

static const struct plan *plan_of(const struct shape *s)
{
    for (int64_t i = 0; i < planned && i < PLANS; i++)
        if (is_same(&plans[i].shape, s)) return &plans[i];
    struct plan *plan = &plans[planned % PLANS];
    if (planned >= PLANS) end(plan);
    make(s, plan);
    planned++;
    return plan;
}

void tg_cublaslt_product(const struct tg_problem *p, enum tg_cublaslt_number number)
{
    const float one = 1, zero = 0;
    const int64_t weight_bytes = number == TG_CUBLASLT_F32 ? 4 : 2;
    const uint8_t *weights = p->weights + p->row_begin * p->cols * weight_bytes;
    float *results = (float *)p->results + p->row_begin;
    const struct shape shape = {number,
                                p->row_end - p->row_begin,
                                p->cols,
                                p->batch,
                                p->rows,
                                alignment_of(weights),
                                alignment_of(p->activations),
                                alignment_of(results)};
    assert(p->row_begin >= 0 && p->row_end <= p->rows);
    if (shape.count <= 0 || shape.batch <= 0) return;
    begin();
    const struct plan *plan = plan_of(&shape);
    must(calls.multiply(handle, plan->product, &one, weights, plan->weights, p->activations,
                        plan->activations, &zero, results, plan->results, results, plan->results,
                        &plan->algorithm, workspace, WORKSPACE_BYTES, (cudaStream_t)p->stream),
         "multiply");
}
