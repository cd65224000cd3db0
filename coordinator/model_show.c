/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/model_show.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/digest.h"
#include "worker/model/gguf.h"
#include "worker/model/model.h"
#include "worker/model/model_source.h"
#include "worker/model/session.h"

enum { TEXT_MOST = 60 };

/* Bytes of a file as they may be printed: what is not printable ASCII is shown by its number. */
static void printable(struct tg_gguf_text text, char *out, size_t size)
{
    size_t at = 0;
    for (uint64_t i = 0; i < text.size && at + 8 < size; i++) {
        const unsigned char byte = (unsigned char)text.bytes[i];
        if (i == TEXT_MOST) {
            snprintf(out + at, size - at, "...");
            return;
        }
        at += (size_t)snprintf(out + at, size - at, isprint(byte) ? "%c" : "\\x%02x", byte);
    }
    out[at] = 0;
}

static void add_text(struct tg_json *object, const char *key, struct tg_gguf_text text)
{
    char buffer[512] = "";
    printable(text, buffer, sizeof buffer);
    tg_json_add_text(object, key, buffer);
}

static const char *type_name(const struct tg_gguf_tensor *t)
{
    return t->type ? t->type->name : "unknown";
}

/* Every integer up to there is a number of JSON as we read it, a double. */
static const int64_t exact_most = INT64_C(1) << 53;

static void add_number(struct tg_json *item, const struct tg_gguf_value *v)
{
    char digits[32];
    int64_t count;
    double real;
    if (tg_gguf_count_at(v, 0, &count)) {
        if (count >= -exact_most && count <= exact_most) {
            tg_json_add_number(item, "value", (double)count);
            return;
        }
        snprintf(digits, sizeof digits, "%" PRId64, count);
    } else if (tg_gguf_real_at(v, 0, &real)) {
        if (isfinite(real)) {
            tg_json_add_number(item, "value", real);
            return;
        }
        snprintf(digits, sizeof digits, "%s", isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
    } else { /* above what a count can be */
        uint64_t bits = 0;
        for (int i = 7; i >= 0; i--) bits = bits << 8 | v->bytes[i];
        snprintf(digits, sizeof digits, "%" PRIu64, bits);
    }
    tg_json_add_text(item, "value", digits);
}

static void add_values(struct tg_json *object, const struct tg_gguf *g)
{
    struct tg_json *values = tg_json_array(object, "values");
    for (size_t i = 0; i < g->value_count; i++) {
        const struct tg_gguf_value *v = &g->values[i];
        struct tg_json *item = tg_json_object(values, NULL);
        const uint8_t *at = v->bytes;
        add_text(item, "key", v->key);
        tg_json_add_text(item, "kind", tg_gguf_kinds[v->kind].name);
        if (v->is_array)
            tg_json_add_number(item, "count", (double)v->count);
        else if (v->kind == TG_GGUF_STRING)
            add_text(item, "value", tg_gguf_next_text(v, &at));
        else
            add_number(item, v);
    }
}

static void add_tensors(struct tg_json *object, const struct tg_gguf *g)
{
    struct tg_json *tensors = tg_json_array(object, "tensors");
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct tg_gguf_tensor *t = &g->tensors[i];
        struct tg_json *item = tg_json_object(tensors, NULL);
        add_text(item, "name", t->name);
        tg_json_add_text(item, "type", type_name(t));
        tg_json_add_number(item, "number", t->number);
        struct tg_json *dimensions = tg_json_array(item, "dimensions");
        for (int k = 0; k < t->dimension_count; k++)
            tg_json_add_number(dimensions, NULL, (double)t->dimensions[k]);
        tg_json_add_number(item, "offset", (double)t->offset);
        tg_json_add_number(item, "bytes", (double)(t->type ? t->bytes : (int64_t)t->room));
    }
}

/* Each type that a tensor has, in the order in which they come. */
static void add_types(struct tg_json *object, const struct tg_gguf *g)
{
    struct tg_json *types = tg_json_array(object, "types");
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct tg_gguf_tensor *first = &g->tensors[i];
        size_t before = 0, count = 0;
        double bytes = 0;
        while (before < i && (g->tensors[before].number != first->number ||
                              g->tensors[before].type != first->type))
            before++;
        if (before < i) continue;
        for (size_t k = i; k < g->tensor_count; k++) {
            const struct tg_gguf_tensor *t = &g->tensors[k];
            if (t->number != first->number || t->type != first->type) continue;
            count++;
            bytes += (double)(t->type ? t->bytes : (int64_t)t->room);
        }
        struct tg_json *item = tg_json_object(types, NULL);
        tg_json_add_text(item, "name", type_name(first));
        tg_json_add_number(item, "number", first->number);
        tg_json_add_number(item, "tensors", (double)count);
        tg_json_add_number(item, "bytes", bytes);
    }
}

static void add_network(struct tg_json *object, const struct tg_network *n)
{
    struct tg_json *to = tg_json_object(object, "network");
    const struct tg_model *like = tg_network_like(n);
    const struct {
        const char *name;
        double number;
    } numbers[] = {{"hidden", (double)n->hidden},
                   {"ffn", (double)n->ffn},
                   {"layers", (double)n->layers},
                   {"heads", (double)n->heads},
                   {"key_value_heads", (double)n->key_value_heads},
                   {"head_dimension", (double)n->head_dimension},
                   {"vocabulary", (double)n->vocabulary},
                   {"context", (double)n->context},
                   {"rope_dimensions", (double)n->rope_dimensions},
                   {"rope_base", n->rope_base},
                   {"epsilon", n->epsilon}};
    tg_json_add_text(to, "architecture", n->architecture->name);
    tg_json_add_text(to, "gate", n->gate == TG_GATE_SILU ? "SiLU" : "squared ReLU");
    tg_json_add_text(to, "pairing",
                     n->architecture->pairing == TG_PAIRING_HALVES ? "halves" : "neighbours");
    tg_json_add_text(to, "like", like ? like->name : "");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        tg_json_add_number(to, numbers[i].name, numbers[i].number);
    tg_json_add_text(to, "head", (n->output ? n->output : n->embedding)->type->name);
    tg_json_add_boolean(to, "is_tied", !n->output);
    tg_json_add_boolean(to, "has_sub_norms", n->blocks[0].attn_sub_norm != NULL);
    tg_json_add_text(to, "ternary", n->blocks[0].layers[0]->type->name);
}

static void add_layout(struct tg_json *object, const struct tg_network *n)
{
    struct tg_json *to = tg_json_object(object, "layout");
    struct tg_network_layout layout;
    struct tg_error err;
    if (tg_network_find_layout(n, NULL, &layout, &err) < 0 ||
        tg_model_source_check_weights(n, &err) < 0) {
        tg_json_add_text(to, "not_run", err.text);
        return;
    }
    tg_json_add_text(to, "format", layout.format->name);
    tg_json_add_boolean(to, "is_assumed", layout.is_assumed);
    struct tg_json *possible = tg_json_array(to, "possible");
    for (size_t i = 0; i < tg_format_count(); i++)
        if (layout.possible >> i & 1) tg_json_add_text(possible, NULL, tg_format_at(i)->name);
}

static void add_vocabulary(struct tg_json *object, const struct tg_gguf *g,
                           const struct tg_network *n)
{
    struct tg_json *to = tg_json_object(object, "text");
    struct tg_tokenizer *tokenizer;
    struct tg_error err;
    if (tg_session_open_tokenizer(g, n, &tokenizer, &err) < 0) {
        tg_json_add_text(to, "not_run", err.text);
        return;
    }
    tg_json_add_number(to, "tokens", (double)tg_tokenizer_count(tokenizer));
    tg_tokenizer_close(tokenizer);
}

int tg_model_show_read(const char *path, struct tg_json_file *object, struct tg_error *err)
{
    char digest[TG_DIGEST_SIZE];
    struct tg_gguf *g;
    struct tg_network n;
    struct tg_error reason;
    if (tg_gguf_open(path, &g, err) < 0) return -1;
    if (tg_digest_file(path, digest, err) < 0) {
        tg_gguf_close(g);
        return -1;
    }
    struct tg_json *to = tg_json_object(NULL, NULL);
    tg_json_add_text(to, "file", path);
    tg_json_add_number(to, "bytes", (double)g->size);
    tg_json_add_text(to, "sha256", digest);
    tg_json_add_number(to, "version", g->version);
    tg_json_add_number(to, "alignment", (double)g->alignment);
    if (tg_network_read(g, &n, &reason) == 0) {
        add_network(to, &n);
        add_layout(to, &n);
        add_vocabulary(to, g, &n);
        tg_network_release(&n);
    } else {
        tg_json_add_text(tg_json_object(to, "network"), "not_run", reason.text);
    }
    add_types(to, g);
    add_values(to, g);
    add_tensors(to, g);
    tg_gguf_close(g);
    char *printed = tg_json_print(to, false); /* what was added is not yet to be read */
    const int rc = tg_json_parse(printed, object, err);
    free(printed);
    tg_json_free(to);
    return rc;
}

static double number(const struct tg_json *object, const char *key)
{
    return tg_json_number(tg_json_get(object, key));
}

static const char *text(const struct tg_json *object, const char *key)
{
    return tg_json_text(tg_json_get(object, key));
}

static void print_layout(const struct tg_json *n, const struct tg_json *layout)
{
    const struct tg_json *possible = tg_json_get(layout, "possible");
    if (tg_json_get(layout, "not_run")) {
        printf("not run       %s\n", text(layout, "not_run"));
        return;
    }
    printf("layout        %s as %s", text(n, "ternary"), text(layout, "format"));
    if (number(layout, "is_assumed") != 0)
        printf(", assumed: %s",
               tg_json_count(possible) > 0 ? "nothing tells it from" : "no file says its tiles");
    for (size_t i = 0; number(layout, "is_assumed") != 0 && i < tg_json_count(possible); i++)
        if (strcmp(tg_json_text(tg_json_at(possible, i)), text(layout, "format")) != 0)
            printf(" %s", tg_json_text(tg_json_at(possible, i)));
    if (number(layout, "is_assumed") != 0 && tg_json_count(possible) > 0)
        printf(", nor from four columns in a byte, which are not read here");
    printf("\n");
}

static void print_network(const struct tg_json *o)
{
    const struct tg_json *n = tg_json_get(o, "network"), *own = tg_json_get(o, "text");
    if (tg_json_get(n, "not_run")) {
        printf("not run       %s\n", text(n, "not_run"));
        return;
    }
    printf("architecture  %s: %s, RoPE turns %s, %s sub-norms\n", text(n, "architecture"),
           text(n, "gate"), text(n, "pairing"), number(n, "has_sub_norms") != 0 ? "with" : "no");
    printf("shape         hidden %.0f, ffn %.0f, layers %.0f, heads %.0f and %.0f of %.0f, "
           "vocabulary %.0f, context %.0f\n",
           number(n, "hidden"), number(n, "ffn"), number(n, "layers"), number(n, "heads"),
           number(n, "key_value_heads"), number(n, "head_dimension"), number(n, "vocabulary"),
           number(n, "context"));
    printf("like          %s\n", *text(n, "like") ? text(n, "like") : "none of the table");
    printf("head          %s, %s\n", text(n, "head"),
           number(n, "is_tied") != 0 ? "tied to the embedding" : "its own");
    print_layout(n, tg_json_get(o, "layout"));
    if (tg_json_get(own, "not_run")) printf("not run       %s\n", text(own, "not_run"));
}

void tg_model_show_print(const struct tg_json *o, bool has_tensors)
{
    const struct tg_json *item = tg_json_at(tg_json_get(o, "types"), 0);
    printf("file          %s, %.0f bytes\n", text(o, "file"), number(o, "bytes"));
    printf("sha256        %s\n", text(o, "sha256"));
    printf("GGUF          version %.0f, alignment %.0f, %zu values, %zu tensors\n",
           number(o, "version"), number(o, "alignment"), tg_json_count(tg_json_get(o, "values")),
           tg_json_count(tg_json_get(o, "tensors")));
    print_network(o);
    for (; item; item = tg_json_next(item))
        printf("type          %.0f %s: %.0f tensors, %.0f bytes\n", number(item, "number"),
               text(item, "name"), number(item, "tensors"), number(item, "bytes"));
    item = tg_json_at(tg_json_get(o, "values"), 0);
    for (; item; item = tg_json_next(item)) {
        printf("value         %s = ", text(item, "key"));
        if (tg_json_get(item, "count"))
            printf("%.0f of %s\n", number(item, "count"), text(item, "kind"));
        else if (tg_json_kind(tg_json_get(item, "value")) == TG_JSON_TEXT)
            printf("%s\n", text(item, "value"));
        else /* an integer, too: those above 2^53 are texts */
            printf("%.*g\n", strcmp(text(item, "kind"), "float32") == 0 ? 9 : 17,
                   number(item, "value"));
    }
    item = has_tensors ? tg_json_at(tg_json_get(o, "tensors"), 0) : NULL;
    for (; item; item = tg_json_next(item)) {
        const struct tg_json *dimensions = tg_json_get(item, "dimensions");
        printf("tensor        %s %s", text(item, "name"), text(item, "type"));
        for (size_t i = 0; i < tg_json_count(dimensions); i++)
            printf("%s%.0f", i ? " x " : " ", tg_json_number(tg_json_at(dimensions, i)));
        printf(", %.0f bytes at %.0f\n", number(item, "bytes"), number(item, "offset"));
    }
}
