/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/synthetic.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kernels/fill.h"
#include "kernels/format.h"
#include "kernels/number.h"
#include "worker/model/network.h"
#include "worker/model/part_file.h"

/*
 * Weights are drawn in blocks of 64 rows, each from a seed of its own, so that any thread can make
 * any block, and written in groups of blocks. Formats whose rows do not follow each other (TL1,
 * TL2) are packed as whole matrices.
 */

enum { BLOCK_ROWS = 64, GROUP_BLOCKS = 32, ALIGNMENT = 64, NAME_SIZE = 96, TENSORS_MOST = 1024 };

/* What the numbers of a tensor are. */
enum content { TERNARY, TABLE, NORM };

struct tensor {
    char name[NAME_SIZE];
    enum content content;
    const struct tg_tensor_type *type;
    int64_t rows, cols; /* rows 0: one dimension */
};

struct plan {
    const struct tg_synthetic *what;
    const struct tg_format *format; /* of the ternary matrices */
    struct tensor tensors[TENSORS_MOST];
    size_t count;
};

static const struct {
    const char *type, *format;
    int file_type; /* general.file_type of llama.cpp or BitNet; -1: not known */
} ternary_types[] = {{"I2_S", "i2s", 40},
                     {"TL1", "tl1", -1},
                     {"TL2", "tl2", -1},
                     {"TQ1_0", "tq1", 36},
                     {"TQ2_0", "tq2", 37}};

static int64_t rows_of(const struct tensor *t)
{
    return t->rows ? t->rows : 1;
}

static void add(struct plan *p, enum content content, const char *type, int64_t rows, int64_t cols,
                const char *name)
{
    struct tensor *t = &p->tensors[p->count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->content = content;
    t->type = tg_tensor_type_find(type);
    t->rows = rows;
    t->cols = cols;
}

static void add_block(struct plan *p, const struct tg_network *shape, int64_t block)
{
    const struct tg_model *m = p->what->model;
    const struct {
        const char *name;
        int64_t cols;
    } norms[] = {{"attn_norm", m->hidden},
                 {"ffn_norm", m->hidden},
                 {"attn_sub_norm", m->heads * m->head_dimension},
                 {"ffn_sub_norm", m->ffn}};
    char name[NAME_SIZE];
    for (int i = 0; i < (m->has_sub_norms ? 4 : 2); i++) {
        snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", block, norms[i].name);
        add(p, NORM, "F32", 0, norms[i].cols, name);
    }
    for (int layer = 0; layer < TG_LAYERS; layer++) {
        int64_t rows, cols;
        tg_network_shape(shape, layer, &rows, &cols);
        snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", block,
                 tg_model_layer((size_t)layer));
        add(p, TERNARY, p->what->ternary, rows, cols, name);
    }
}

static int make_plan(const struct tg_synthetic *what, struct plan *p, struct tg_error *err)
{
    const struct tg_model *m = what->model;
    const struct tg_network shape = {.hidden = m->hidden,
                                     .ffn = m->ffn,
                                     .heads = m->heads,
                                     .key_value_heads = m->key_value_heads,
                                     .head_dimension = m->head_dimension};
    *p = (struct plan){.what = what};
    for (size_t i = 0; i < sizeof ternary_types / sizeof *ternary_types; i++)
        if (strcmp(ternary_types[i].type, what->ternary) == 0)
            p->format = tg_format_find(ternary_types[i].format);
    if (!p->format) return tg_fail(err, "'%s' is no type of ternary matrices", what->ternary);
    if (!strstr(" F16 BF16 F32 Q8_0 Q6_K ", what->head) || strchr(what->head, ' ') ||
        !tg_tensor_type_find(what->head))
        return tg_fail(err, "'%s' is no type of heads", what->head);
    add(p, TABLE, what->head, m->vocabulary, m->hidden, "token_embd.weight");
    if (!m->is_tied) add(p, TABLE, what->head, m->vocabulary, m->hidden, "output.weight");
    add(p, NORM, "F32", 0, m->hidden, "output_norm.weight");
    for (int64_t i = 0; i < m->layers; i++) add_block(p, &shape, i);
    for (size_t i = 0; i < p->count; i++) {
        const struct tensor *t = &p->tensors[i];
        if (tg_tensor_type_bytes(t->type, rows_of(t), t->cols) < 0 ||
            (t->content == TERNARY && t->cols % p->format->column_multiple != 0))
            return tg_fail(err, "%s has a matrix of %" PRId64 " columns, which %s cannot hold",
                           m->name, t->cols, t->type->name);
    }
    return 0;
}

const char *tg_synthetic_ternary(const struct tg_model *model)
{
    const int64_t group = tg_format_find("i2s")->column_multiple;
    const int64_t inner = model->heads * model->head_dimension;
    return model->hidden % group || model->ffn % group || inner % group ? "TL2" : "I2_S";
}

/* The head of the file; the writer owns the bytes. */
static int write_head(const struct plan *p, struct tg_gguf_writer *w, const uint8_t **bytes,
                      size_t *size, struct tg_error *err)
{
    const struct tg_model *m = p->what->model;
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {{"vocab_size", m->vocabulary},
                  {"context_length", m->context},
                  {"embedding_length", m->hidden},
                  {"block_count", m->layers},
                  {"feed_forward_length", m->ffn},
                  {"rope.dimension_count", m->head_dimension},
                  {"attention.head_count", m->heads},
                  {"attention.head_count_kv", m->key_value_heads},
                  {"attention.key_length", m->head_dimension},
                  {"attention.value_length", m->head_dimension}};
    char key[NAME_SIZE];
    tg_gguf_writer_text(w, "general.architecture", m->architecture);
    snprintf(key, sizeof key, "synthetic %s", m->name);
    tg_gguf_writer_text(w, "general.name", key);
    tg_gguf_writer_text(w, "tritgate.synthetic", m->name);
    tg_gguf_writer_count(w, "tritgate.seed", TG_GGUF_UINT64, p->what->seed);
    for (size_t i = 0; i < sizeof ternary_types / sizeof *ternary_types; i++)
        if (strcmp(ternary_types[i].type, p->what->ternary) == 0 && ternary_types[i].file_type >= 0)
            tg_gguf_writer_count(w, "general.file_type", TG_GGUF_UINT32,
                                 (uint64_t)ternary_types[i].file_type);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        snprintf(key, sizeof key, "%s.%s", m->architecture, counts[i].key);
        tg_gguf_writer_count(w, key, TG_GGUF_UINT32, (uint64_t)counts[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", m->architecture);
    tg_gguf_writer_real(w, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.freq_base", m->architecture);
    tg_gguf_writer_real(w, key, (float)m->rope_base);
    tg_synthetic_tokenizer(w, m->vocabulary);
    for (size_t i = 0; i < p->count; i++)
        tg_gguf_writer_tensor(w, p->tensors[i].name, p->tensors[i].type, p->tensors[i].rows,
                              p->tensors[i].cols);
    return tg_gguf_writer_finish(w, bytes, size, err);
}

/* A group of blocks, made by all threads. */
struct job {
    const struct plan *plan;
    const struct tensor *tensor;
    size_t index;
    int64_t first, count; /* blocks */
    int threads;
    int8_t *ternary; /* of a whole matrix, or scratch of a block for each thread */
    float *values;   /* the same of numbers */
    uint8_t *out;    /* of the group */
};

static uint64_t seed_of(const struct job *j, int64_t block)
{
    uint64_t state = j->plan->what->seed;
    state = tg_fill_next(&state) ^ (uint64_t)j->index;
    state = tg_fill_next(&state) ^ (uint64_t)block;
    return tg_fill_next(&state);
}

static bool is_linear(const struct plan *p, const struct tensor *t)
{
    const struct tg_format *f = p->format;
    if (t->content != TERNARY) return true;
    return f->packed_bytes(1, t->cols) * BLOCK_ROWS == f->packed_bytes(BLOCK_ROWS, t->cols) &&
           f->packed_bytes(1, t->cols) * t->rows == f->packed_bytes(t->rows, t->cols);
}

static void put_half(uint8_t *out, float value)
{
    const uint16_t bits = tg_number_to_f16(value);
    out[0] = (uint8_t)bits;
    out[1] = (uint8_t)(bits >> 8);
}

static int clamp(float value, int least, int most)
{
    const float rounded = rintf(value);
    return rounded < (float)least ? least : rounded > (float)most ? most : (int)rounded;
}

/* Numbers in one scale for all blocks; a Q6_K block has codes 32 more than its numbers. */
static void encode_blocks(const struct tg_tensor_type *type, const float *values, int64_t count,
                          float scale, uint8_t *out)
{
    const bool is_q6 = strcmp(type->name, "Q6_K") == 0;
    const int64_t block = type->block_weights;
    for (int64_t b = 0; b < count / block; b++, out += type->block_bytes) {
        memset(out, 0, (size_t)type->block_bytes);
        put_half(out + (is_q6 ? 208 : 0), is_q6 ? scale / 8 : scale / 32);
        for (int64_t i = 0; i < block; i++) {
            const float value = values[b * block + i];
            if (!is_q6) {
                out[2 + i] = (uint8_t)clamp(value * 32, -127, 127);
                continue;
            }
            const int code = clamp(value * 8, -32, 31) + 32;
            const int64_t half = i / 128, quarter = i % 128 / 32, at = i % 32;
            out[64 * half + 32 * (quarter % 2) + at] |= (uint8_t)((code & 15) << quarter / 2 * 4);
            out[128 + 32 * half + at] |= (uint8_t)(code >> 4 << 2 * quarter);
            out[192 + i / 16] = 1;
        }
    }
}

/* Embeddings with a deviation of 1/20, so that no token only repeats itself; norms close to 1. */
static void encode(const struct tensor *t, const float *values, int64_t count, uint8_t *out)
{
    const float scale = t->content == NORM ? 1.0f / 8 : 1.0f / 20;
    const float mean = t->content == NORM ? 1 : 0;
    if (t->type->block_weights > 1) {
        encode_blocks(t->type, values, count, scale, out);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const float value = mean + values[i] * scale;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (t->type->block_bytes == 4) {
            for (int k = 0; k < 4; k++) out[4 * i + k] = (uint8_t)(bits >> 8 * k);
        } else if (strcmp(t->type->name, "BF16") == 0) {
            out[2 * i] = (uint8_t)(bits >> 16);
            out[2 * i + 1] = (uint8_t)(bits >> 24);
        } else {
            put_half(out + 2 * i, value);
        }
    }
}

/* Results are to be as large as activations. */
static float scale_of(const struct tensor *t)
{
    return sqrtf(1.5f / (float)t->cols);
}

/* Some rows, the first of which is row `at` of the group; types of blocks have a scale in each. */
static void pack_rows(const struct tg_format *format, const struct tensor *t, const int8_t *ternary,
                      int64_t rows, int64_t at, uint8_t *group)
{
    uint8_t *to = group + format->packed_bytes(1, t->cols) * at;
    const int64_t bytes = format->packed_bytes(rows, t->cols), block = t->type->block_bytes;
    format->pack(ternary, rows, t->cols, to);
    for (int64_t end = block; block > 0 && end <= bytes; end += block)
        put_half(to + end - 2, scale_of(t));
}

static void make_blocks(void *work, int part)
{
    const struct job *j = work;
    const struct tensor *t = j->tensor;
    const bool linear = is_linear(j->plan, t);
    const int64_t rows = rows_of(t);
    for (int64_t i = part; i < j->count; i += j->threads) {
        const int64_t block = j->first + i, row = block * BLOCK_ROWS;
        const int64_t count = (rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS) * t->cols;
        const int64_t at = i * BLOCK_ROWS; /* row of the group */
        if (t->content == TERNARY) {
            int8_t *to = j->ternary + (linear ? part * BLOCK_ROWS : row) * t->cols;
            tg_fill_ternary(seed_of(j, block), to, (size_t)count);
            if (linear) pack_rows(j->plan->format, t, to, count / t->cols, at, j->out);
        } else {
            float *to = j->values + part * BLOCK_ROWS * t->cols;
            tg_fill_normal(seed_of(j, block), to, (size_t)count);
            encode(t, to, count, j->out + tg_tensor_type_bytes(t->type, 1, t->cols) * at);
        }
    }
}

static int write_all(int descriptor, const void *bytes, int64_t size, struct tg_error *err)
{
    const char *at = bytes;
    while (size > 0) {
        const ssize_t written = write(descriptor, at, (size_t)size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return tg_fail(err, "cannot write: %s", strerror(errno));
        at += written;
        size -= written;
    }
    return 0;
}

/* The bytes behind the codes of a ternary matrix: what the file budgets, the scale, the rest. */
static int write_tail(int descriptor, const struct tensor *t, int64_t written, struct tg_error *err)
{
    const int64_t scale_at = tg_tensor_type_scale_at(t->type, rows_of(t), t->cols);
    const int64_t bytes = tg_tensor_type_bytes(t->type, rows_of(t), t->cols);
    const int64_t end = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    const float scale = scale_of(t);
    uint8_t *tail = calloc(1, (size_t)(end - written) + 1);
    if (!tail) return tg_fail(err, "out of memory");
    if (t->content == TERNARY && scale_at >= 0)
        for (int k = 0; k < 4; k++) {
            uint32_t bits;
            memcpy(&bits, &scale, sizeof bits);
            tail[scale_at - written + k] = (uint8_t)(bits >> 8 * k);
        }
    const int rc = write_all(descriptor, tail, end - written, err);
    free(tail);
    return rc;
}

static int write_tensor(const struct plan *p, size_t index, struct tg_pool *pool, int descriptor,
                        struct tg_error *err)
{
    const struct tensor *t = &p->tensors[index];
    const bool linear = is_linear(p, t), is_ternary = t->content == TERNARY;
    const int64_t rows = rows_of(t), blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const int64_t group = linear && blocks > GROUP_BLOCKS ? GROUP_BLOCKS : blocks;
    const int threads = tg_pool_count(pool);
    const int64_t scratch = (linear ? threads * BLOCK_ROWS : rows) * t->cols;
    const int64_t whole = is_ternary ? p->format->packed_bytes(rows, t->cols)
                                     : tg_tensor_type_bytes(t->type, rows, t->cols);
    const int64_t row_bytes = linear ? whole / rows : 0;
    struct job j = {.plan = p, .tensor = t, .index = index, .threads = threads};
    int rc = 0;
    j.ternary = is_ternary ? malloc((size_t)scratch) : NULL;
    j.values = is_ternary ? NULL : malloc((size_t)scratch * sizeof(float));
    j.out = malloc((size_t)(linear ? group * BLOCK_ROWS * row_bytes : whole));
    if ((!j.ternary && !j.values) || !j.out) rc = tg_fail(err, "out of memory");
    for (; rc == 0 && j.first < blocks; j.first += j.count) {
        j.count = blocks - j.first < group ? blocks - j.first : group;
        tg_pool_run(pool, make_blocks, &j);
        const int64_t row = j.first * BLOCK_ROWS, left = rows - row;
        const int64_t made = left < j.count * BLOCK_ROWS ? left : j.count * BLOCK_ROWS;
        if (!linear) p->format->pack(j.ternary, rows, t->cols, j.out);
        rc = write_all(descriptor, j.out, linear ? made * row_bytes : whole, err);
    }
    if (rc == 0) rc = write_tail(descriptor, t, whole, err);
    free(j.ternary);
    free(j.values);
    free(j.out);
    return rc;
}

static int64_t bytes_of(const struct plan *p, size_t head)
{
    int64_t bytes = (int64_t)head;
    for (size_t i = 0; i < p->count; i++) {
        const struct tensor *t = &p->tensors[i];
        const int64_t own = tg_tensor_type_bytes(t->type, rows_of(t), t->cols);
        bytes += (own + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return bytes;
}

/* The plan and the head of a file; both to be freed by the caller, also after a failure. */
static int prepare(const struct tg_synthetic *what, struct plan **p, struct tg_gguf_writer **w,
                   const uint8_t **head, size_t *size, struct tg_error *err)
{
    *w = NULL;
    *p = malloc(sizeof **p);
    if (!*p) return tg_fail(err, "out of memory");
    if (make_plan(what, *p, err) < 0) return -1;
    *w = tg_gguf_writer_create(ALIGNMENT, err);
    return *w ? write_head(*p, *w, head, size, err) : -1;
}

int tg_synthetic_bytes(const struct tg_synthetic *what, int64_t *bytes, struct tg_error *err)
{
    struct plan *p;
    struct tg_gguf_writer *w;
    const uint8_t *head;
    size_t size;
    const int rc = prepare(what, &p, &w, &head, &size, err);
    if (rc == 0) *bytes = bytes_of(p, size);
    tg_gguf_writer_destroy(w);
    free(p);
    return rc;
}

static int check_room(int descriptor, int64_t bytes, struct tg_error *err)
{
    struct statvfs disk;
    if (fstatvfs(descriptor, &disk) < 0) return 0;
    const double room = (double)disk.f_bavail * (double)disk.f_frsize;
    if (room >= (double)bytes) return 0;
    return tg_fail(err, "%" PRId64 " bytes are needed, and the disk has %.0f left", bytes, room);
}

static int write_file(const struct plan *p, const uint8_t *head, size_t size, struct tg_pool *pool,
                      int descriptor, struct tg_error *err)
{
    if (check_room(descriptor, bytes_of(p, size), err) < 0 ||
        write_all(descriptor, head, (int64_t)size, err) < 0)
        return -1;
    for (size_t i = 0; i < p->count; i++)
        if (write_tensor(p, i, pool, descriptor, err) < 0) return -1;
    return 0;
}

int tg_synthetic_write(const struct tg_synthetic *what, struct tg_pool *pool, const char *path,
                       struct tg_error *err)
{
    struct plan *p;
    struct tg_gguf_writer *w;
    const uint8_t *head;
    size_t size;
    struct tg_part_file part;
    int rc = prepare(what, &p, &w, &head, &size, err);
    if (rc == 0 && (rc = tg_part_file_open(path, &part, err)) == 0) {
        rc = write_file(p, head, size, pool, part.descriptor, err);
        if (tg_part_file_end(&part, rc == 0, err) < 0) rc = -1;
        if (rc < 0) tg_fail_in(err, "'%s'", path);
    }
    tg_gguf_writer_destroy(w);
    free(p);
    return rc;
}
