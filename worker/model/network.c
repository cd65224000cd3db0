/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/network.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/op.h"

/* More than any model of these architectures has. */
enum { BLOCKS_MOST = 1024, HEADS_MOST = 1024, VOCABULARY_MOST = 1 << 24, CONTEXT_MOST = 1 << 24 };

static const struct tg_architecture architectures[] = {
#define ARCHITECTURE(name, gate, pairing, needs_sub_norms, source)                                 \
    {name, TG_GATE_##gate, TG_PAIRING_##pairing, needs_sub_norms},
#include "worker/model/architectures.def"
#undef ARCHITECTURE
};

enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

/* What reading needs: the names of keys begin with that of the architecture. */
struct source {
    const struct tg_gguf *gguf;
    char architecture[64];
    size_t used; /* tensors */
};

static int count(const struct source *s, const char *key, bool is_optional, int64_t most,
                 int64_t *out, struct tg_error *err)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", s->architecture, key);
    return tg_gguf_get_count(s->gguf, name, is_optional, 1, most, out, err);
}

static int real(const struct source *s, const char *key, bool is_optional, double *out,
                struct tg_error *err)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", s->architecture, key);
    return tg_gguf_get_real(s->gguf, name, is_optional, out, err);
}

/* A model may be split over files, each of which has some of its tensors. */
static int check_whole(const struct source *s, struct tg_error *err)
{
    int64_t part = 0, parts = 1;
    if (tg_gguf_get_count(s->gguf, "split.count", true, 0, UINT16_MAX, &parts, err) < 0 ||
        tg_gguf_get_count(s->gguf, "split.no", true, 0, UINT16_MAX, &part, err) < 0)
        return -1;
    if (parts <= 1) return 0;
    return tg_fail(err,
                   "part %" PRId64 " of %" PRId64
                   " of a model: its parts must be merged into one file before it is run",
                   part + 1, parts);
}

static int read_architecture(struct source *s, struct tg_network *n, struct tg_error *err)
{
    const size_t size = sizeof s->architecture;
    if (tg_gguf_get_text(s->gguf, "general.architecture", false, s->architecture, size, err) < 0)
        return -1;
    for (size_t i = 0; i < ARCHITECTURES; i++)
        if (strcmp(architectures[i].name, s->architecture) == 0)
            n->architecture = &architectures[i];
    if (!n->architecture)
        return tg_fail(err, "architecture '%s' is not one of those that are computed here",
                       s->architecture);
    return 0;
}

/*
 * RoPE may be turned at other speeds by more keys than are computed here. A factor of no kind is
 * one of linear scaling, and so is that of the older key.
 */
static int read_rope(const struct source *s, struct tg_network *n, struct tg_error *err)
{
    char key[128], scaling[64] = "linear";
    double factor = 1, grown = 1, grown_too = 1;
    n->rope_dimensions = n->head_dimension;
    n->rope_base = 10000;
    if (count(s, "rope.dimension_count", true, n->head_dimension, &n->rope_dimensions, err) < 0 ||
        real(s, "rope.freq_base", true, &n->rope_base, err) < 0 ||
        real(s, "rope.scale_linear", true, &factor, err) < 0 ||
        real(s, "rope.scaling.factor", true, &factor, err) < 0 ||
        real(s, "rope.scaling.attn_factor", true, &grown, err) < 0 ||
        real(s, "rope.scaling.yarn_attn_factor", true, &grown_too, err) < 0)
        return -1;
    snprintf(key, sizeof key, "%s.rope.scaling.type", s->architecture);
    if (tg_gguf_get_text(s->gguf, key, true, scaling, sizeof scaling, err) < 0) return -1;
    if (strcmp(scaling, "none") != 0 && factor != 1)
        return tg_fail(err, "RoPE scaled '%s' by %g is not computed here", scaling, factor);
    if (grown * grown_too != 1)
        return tg_fail(err, "RoPE whose numbers are multiplied by %g is not computed here",
                       grown * grown_too);
    if (n->rope_dimensions % 2 != 0)
        return tg_fail(err, "RoPE turns %" PRId64 " numbers of a head, which is odd",
                       n->rope_dimensions);
    return 0;
}

/* Models of embeddings may let a token see those behind it. */
static int check_causal(const struct source *s, struct tg_error *err)
{
    char key[128];
    int64_t is_causal = 1;
    snprintf(key, sizeof key, "%s.attention.causal", s->architecture);
    if (tg_gguf_get_count(s->gguf, key, true, 0, 1, &is_causal, err) < 0) return -1;
    return is_causal ? 0 : tg_fail(err, "attention to later tokens is not computed here");
}

static int read_numbers(const struct source *s, struct tg_network *n, struct tg_error *err)
{
    int64_t value_length;
    if (count(s, "embedding_length", false, TG_COLUMNS_MOST, &n->hidden, err) < 0 ||
        count(s, "feed_forward_length", false, TG_COLUMNS_MOST, &n->ffn, err) < 0 ||
        count(s, "block_count", false, BLOCKS_MOST, &n->layers, err) < 0 ||
        count(s, "attention.head_count", false, HEADS_MOST, &n->heads, err) < 0)
        return -1;
    n->key_value_heads = n->heads;
    n->head_dimension = n->hidden / n->heads;
    n->context = 2048;
    if (count(s, "attention.head_count_kv", true, n->heads, &n->key_value_heads, err) < 0 ||
        count(s, "attention.key_length", true, TG_COLUMNS_MOST / n->heads, &n->head_dimension,
              err) < 0 ||
        count(s, "context_length", true, CONTEXT_MOST, &n->context, err) < 0 ||
        real(s, "attention.layer_norm_rms_epsilon", false, &n->epsilon, err) < 0)
        return -1;
    value_length = n->head_dimension;
    if (count(s, "attention.value_length", true, TG_COLUMNS_MOST, &value_length, err) < 0)
        return -1;
    if (value_length != n->head_dimension)
        return tg_fail(err,
                       "heads of %" PRId64 " keys and %" PRId64 " values are not computed here",
                       n->head_dimension, value_length);
    if (n->heads % n->key_value_heads != 0 || n->head_dimension < 1)
        return tg_fail(err, "%" PRId64 " heads cannot share %" PRId64 " of keys and values",
                       n->heads, n->key_value_heads);
    return check_causal(s, err) < 0 ? -1 : read_rope(s, n, err);
}

/* The tensor of that name and shape, or NULL in *out where it may be missing and is. */
static int take(struct source *s, const char *name, bool is_optional, int64_t rows, int64_t cols,
                const struct tg_gguf_tensor **out, struct tg_error *err)
{
    const struct tg_gguf_tensor *t = tg_gguf_tensor(s->gguf, name);
    *out = t;
    if (!t) return is_optional ? 0 : tg_fail(err, "there is no tensor '%s'", name);
    s->used++;
    if (t->dimensions[0] != cols || t->dimensions[1] != rows || t->dimensions[2] != 1 ||
        t->dimensions[3] != 1)
        return tg_fail(
            err, "tensor '%s' is %" PRId64 " x %" PRId64 ", and must be %" PRId64 " x %" PRId64,
            name, t->dimensions[1], t->dimensions[0], rows, cols);
    return 0;
}

static bool is_one_of(const struct tg_gguf_tensor *t, const char *names)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", t->type ? t->type->name : "?");
    return strstr(names, word) != NULL;
}

/* What a tensor is, for a sentence; `text` is where it is written if it is not of a known type. */
static const char *kind_of(const struct tg_gguf_tensor *t, char *text, size_t size)
{
    const char *elsewhere = tg_tensor_type_elsewhere(t->number);
    if (t->type) return t->type->name;
    if (elsewhere)
        snprintf(text, size, "of type %" PRIu32 " (%s)", t->number, elsewhere);
    else
        snprintf(text, size, "of type %" PRIu32 " with %" PRIu64 " bytes, which is not known",
                 t->number, t->room);
    return text;
}

/* Numbers that are computed with as they are. */
static int take_plain(struct source *s, const char *name, bool is_optional, int64_t cols,
                      const struct tg_gguf_tensor **out, struct tg_error *err)
{
    char kind[96];
    if (take(s, name, is_optional, 1, cols, out, err) < 0) return -1;
    if (*out && !is_one_of(*out, " F32 F16 BF16 "))
        return tg_fail(err, "tensor '%s' is %s, and must be F32, F16 or BF16", name,
                       kind_of(*out, kind, sizeof kind));
    return 0;
}

static int take_table(struct source *s, const char *name, bool is_optional, int64_t rows,
                      int64_t cols, const struct tg_gguf_tensor **out, struct tg_error *err)
{
    char kind[96];
    if (take(s, name, is_optional, rows, cols, out, err) < 0) return -1;
    if (*out && (!(*out)->type || tg_tensor_type_decode((*out)->type, NULL, 0, NULL) < 0))
        return tg_fail(err, "tensor '%s' is %s, whose numbers are not read here", name,
                       kind_of(*out, kind, sizeof kind));
    return 0;
}

/* A type of which two projects have given the number is told, not guessed. */
static int fail_ternary(const struct tg_gguf_tensor *t, struct tg_error *err)
{
    const int length = (int)t->name.size;
    char kind[96];
    if (t->type && t->type->origin == TG_ORIGIN_UPSTREAM)
        return tg_fail(err,
                       "tensor '%.*s' of type %" PRIu32 " is %s of llama.cpp by its %" PRIu64
                       " bytes, not the type of BitNet with that number",
                       length, t->name.bytes, t->number, t->type->name, t->room);
    if (t->type)
        return tg_fail(err, "tensor '%.*s' is %s, which is not ternary", length, t->name.bytes,
                       t->type->name);
    if (tg_tensor_type_elsewhere(t->number))
        return tg_fail(err, "tensor '%.*s' is %s, which is not read here", length, t->name.bytes,
                       kind_of(t, kind, sizeof kind));
    return tg_fail(err,
                   "tensor '%.*s' is of type %" PRIu32 ", of which its %" PRIu64
                   " bytes are no known matrix of %" PRId64 " x %" PRId64,
                   length, t->name.bytes, t->number, t->room, t->dimensions[1], t->dimensions[0]);
}

void tg_network_shape(const struct tg_network *n, int layer, int64_t *rows, int64_t *cols)
{
    const int64_t hidden = n->hidden, ffn = n->ffn, heads = n->heads;
    const int64_t key_value_heads = n->key_value_heads, head_dimension = n->head_dimension;
    switch (layer) {
#define LAYER(name, row_count, col_count)                                                          \
    case TG_LAYER_##name:                                                                          \
        *rows = row_count;                                                                         \
        *cols = col_count;                                                                         \
        return;
#include "worker/model/layers.def"
#undef LAYER
    default: assert(false);
    }
}

static int read_block(struct source *s, struct tg_network *n, int64_t i, struct tg_error *err)
{
    struct tg_network_block *b = &n->blocks[i];
    const bool has_choice = !n->architecture->needs_sub_norms;
    const struct {
        const char *name;
        bool is_optional;
        int64_t size;
        const struct tg_gguf_tensor **tensor;
    } norms[] = {{"attn_norm", false, n->hidden, &b->attn_norm},
                 {"attn_sub_norm", has_choice, n->heads * n->head_dimension, &b->attn_sub_norm},
                 {"ffn_norm", false, n->hidden, &b->ffn_norm},
                 {"ffn_sub_norm", has_choice, n->ffn, &b->ffn_sub_norm}};
    char name[96];
    for (size_t k = 0; k < sizeof norms / sizeof *norms; k++) {
        snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", i, norms[k].name);
        if (take_plain(s, name, norms[k].is_optional, norms[k].size, norms[k].tensor, err) < 0)
            return -1;
    }
    for (int layer = 0; layer < TG_LAYERS; layer++) {
        int64_t rows, cols;
        tg_network_shape(n, layer, &rows, &cols);
        if (rows > TG_COLUMNS_MOST || cols > TG_COLUMNS_MOST)
            return tg_fail(err, "a matrix of %" PRId64 " x %" PRId64 " is too large", rows, cols);
        snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", i, tg_model_layer((size_t)layer));
        if (take(s, name, false, rows, cols, &b->layers[layer], err) < 0) return -1;
        if (!is_one_of(b->layers[layer], " I2_S TL1 TL2 TQ1_0 TQ2_0 ") &&
            !tg_network_is_plain(b->layers[layer]))
            return fail_ternary(b->layers[layer], err);
        snprintf(name, sizeof name, "blk.%" PRId64 ".%s.scale", i, tg_model_layer((size_t)layer));
        if (take_plain(s, name, true, 1, &b->scales[layer], err) < 0) return -1;
    }
    return 0;
}

/* Of what need not be there the blocks have the same: else one of them has lost it. */
static int check_alike(const struct tg_network *n, int64_t i, struct tg_error *err)
{
    const struct tg_network_block *b = &n->blocks[i], *first = &n->blocks[0];
    char name[96] = "";
    if (!b->attn_sub_norm != !first->attn_sub_norm)
        snprintf(name, sizeof name, "attn_sub_norm.weight");
    if (!b->ffn_sub_norm != !first->ffn_sub_norm)
        snprintf(name, sizeof name, "ffn_sub_norm.weight");
    for (int layer = 0; layer < TG_LAYERS; layer++)
        if (!b->scales[layer] != !first->scales[layer])
            snprintf(name, sizeof name, "%s.scale", tg_model_layer((size_t)layer));
    if (!*name) return 0;
    return tg_fail(err, "of blocks 0 and %" PRId64 " one has '%s', and the other has not", i, name);
}

static int read_tensors(struct source *s, struct tg_network *n, struct tg_error *err)
{
    n->embedding = tg_gguf_tensor(s->gguf, "token_embd.weight");
    if (!n->embedding) return tg_fail(err, "there is no tensor 'token_embd.weight'");
    n->vocabulary = n->embedding->dimensions[1];
    if (n->vocabulary > VOCABULARY_MOST)
        return tg_fail(err, "a vocabulary of %" PRId64 " is too large", n->vocabulary);
    int64_t said = n->vocabulary;
    if (count(s, "vocab_size", true, n->vocabulary, &said, err) < 0 ||
        take_table(s, "token_embd.weight", false, n->vocabulary, n->hidden, &n->embedding, err) <
            0 ||
        take_plain(s, "output_norm.weight", false, n->hidden, &n->output_norm, err) < 0 ||
        take_table(s, "output.weight", true, n->vocabulary, n->hidden, &n->output, err) < 0 ||
        take_plain(s, "rope_freqs.weight", true, n->rope_dimensions / 2, &n->rope_factors, err) < 0)
        return -1;
    for (int64_t i = 0; i < n->layers; i++)
        if (read_block(s, n, i, err) < 0 || check_alike(n, i, err) < 0) return -1;
    return 0;
}

/* Whether a name is that of a tensor of a block, as it is written: blk.01 is none. */
static bool is_of_block(const char *name, const struct tg_network *n)
{
    static const char *const kinds[] = {"attn_norm.weight", "attn_sub_norm.weight",
                                        "ffn_norm.weight", "ffn_sub_norm.weight"};
    char rest[256], again[256];
    int64_t block;
    if (sscanf(name, "blk.%9" SCNd64 ".%200s", &block, rest) != 2 || block < 0 ||
        block >= n->layers)
        return false;
    snprintf(again, sizeof again, "blk.%" PRId64 ".%s", block, rest);
    if (strcmp(again, name) != 0) return false;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(rest, kinds[k]) == 0) return true;
    char *dot = strrchr(rest, '.');
    if (!dot || (strcmp(dot, ".weight") != 0 && strcmp(dot, ".scale") != 0)) return false;
    *dot = 0;
    for (size_t k = 0; k < tg_model_layer_count(); k++)
        if (strcmp(rest, tg_model_layer(k)) == 0) return true;
    return false;
}

/* A model that is computed without one of its tensors is another model. */
static int check_all_used(const struct source *s, const struct tg_network *n, struct tg_error *err)
{
    if (s->used == s->gguf->tensor_count) return 0;
    for (size_t i = 0; i < s->gguf->tensor_count; i++) {
        const struct tg_gguf_text name = s->gguf->tensors[i].name;
        char text[256];
        const bool is_known = tg_gguf_is(name, "token_embd.weight") ||
                              tg_gguf_is(name, "output.weight") ||
                              tg_gguf_is(name, "output_norm.weight") ||
                              tg_gguf_is(name, "rope_freqs.weight");
        snprintf(text, sizeof text, "%.*s", (int)name.size, name.bytes);
        if (!is_known && !is_of_block(text, n))
            return tg_fail(err, "tensor '%s' has no place in a %s of %" PRId64 " blocks", text,
                           n->architecture->name, n->layers);
    }
    return 0;
}

static bool has_numbers_of(const struct tg_network *n, const struct tg_model *m)
{
    return m->hidden == n->hidden && m->ffn == n->ffn && m->layers == n->layers &&
           m->heads == n->heads && m->key_value_heads == n->key_value_heads &&
           m->head_dimension == n->head_dimension;
}

const struct tg_model *tg_network_like(const struct tg_network *n)
{
    for (size_t i = 0; i < tg_model_count(); i++)
        if (has_numbers_of(n, tg_model_at(i))) return tg_model_at(i);
    return NULL;
}

/* 1bitLLM's of 1.3B, by its config.json: no row, since no synthetic model can have its ffn. */
static const struct tg_model rowless = {.name = "bitnet_b1_58-xl",
                                        .hidden = 2048,
                                        .ffn = 5460,
                                        .layers = 24,
                                        .heads = 32,
                                        .key_value_heads = 32,
                                        .head_dimension = 64,
                                        .architecture = "bitnet"};

/*
 * The file's gate, or that of its architecture. Converters have given one architecture to models of
 * both, so a known model that has the other one elsewhere must say which it has; but for dummies,
 * whose weights are random and right with either.
 */
static int read_gate(const struct source *s, struct tg_network *n, struct tg_error *err)
{
    char key[128], name[64];
    snprintf(key, sizeof key, "%s.hidden_activation", s->architecture);
    n->gate = n->architecture->gate;
    if (tg_gguf_find(s->gguf, key)) {
        if (tg_gguf_get_text(s->gguf, key, false, name, sizeof name, err) < 0) return -1;
        if (strcmp(name, "silu") != 0 && strcmp(name, "relu2") != 0)
            return tg_fail(err, "a gate of '%s' is not computed here", name);
        n->gate = strcmp(name, "silu") == 0 ? TG_GATE_SILU : TG_GATE_SQUARED_RELU;
        return 0;
    }
    const struct tg_model *like = has_numbers_of(n, &rowless) ? &rowless : tg_network_like(n);
    if (!like || strncmp(like->name, "dummy-", 6) == 0) return 0;
    for (size_t i = 0; i < ARCHITECTURES; i++)
        if (strcmp(architectures[i].name, like->architecture) == 0 &&
            architectures[i].gate != n->gate)
            return tg_fail(err,
                           "a %s of the numbers of %s may have the gate of %s: the key '%s' must "
                           "say 'silu' or 'relu2'",
                           s->architecture, like->name, like->architecture, key);
    return 0;
}

int tg_network_read(const struct tg_gguf *gguf, struct tg_network *network, struct tg_error *err)
{
    struct source s = {.gguf = gguf};
    struct tg_network n = {0};
    if (check_whole(&s, err) < 0 || read_architecture(&s, &n, err) < 0 ||
        read_numbers(&s, &n, err) < 0 || read_gate(&s, &n, err) < 0)
        return -1;
    n.blocks = calloc((size_t)n.layers, sizeof *n.blocks);
    if (!n.blocks) return tg_fail(err, "out of memory");
    if (read_tensors(&s, &n, err) < 0 || check_all_used(&s, &n, err) < 0) {
        tg_network_release(&n);
        return -1;
    }
    *network = n;
    return 0;
}

void tg_network_release(struct tg_network *network)
{
    free(network->blocks);
    network->blocks = NULL;
}
