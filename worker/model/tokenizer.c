/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/tokenizer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "worker/model/byte_text.h"
#include "worker/model/pretokenizer.h"
#include "worker/model/token_list.h"
#include "worker/model/token_merge.h"
#include "worker/model/token_table.h"

enum { BYTES = 256, TOKENS_MOST = 1 << 24 };

/* How SentencePiece writes a blank: U+2581. */
static const struct tg_gguf_text blank = {"\xe2\x96\x81", 3};

struct tg_tokenizer {
    bool is_spm;                          /* kind `llama`, else `gpt2` */
    bool has_bos, has_prefix;             /* a blank is put before a text */
    struct tg_pretokenizer *pretokenizer; /* gpt2 */
    int32_t bos, eos, eot, unknown;
    struct tg_token_list list;
    struct tg_token_table *ranks; /* gpt2: of merges */
    int32_t *specials;            /* control, user-defined and unknown, the longest first */
    size_t special_count;
    int32_t bytes[BYTES];       /* spm: the token of each byte, or -1 */
    bool begins_special[BYTES]; /* whether a special token begins with that byte */
};

static struct tg_gguf_text text_of(const char *bytes, size_t size)
{
    return (struct tg_gguf_text){bytes, size};
}

static int open_pretokenizer(struct tg_tokenizer *t, const struct tg_gguf *g, struct tg_error *err)
{
    char name[64] = "";
    if (tg_gguf_get_text(g, "tokenizer.ggml.pre", true, name, sizeof name, err) < 0 ||
        tg_pretokenizer_open(name, &t->pretokenizer, err) < 0)
        return -1;
    t->has_bos = tg_pretokenizer_has_bos(t->pretokenizer);
    return 0;
}

static int open_merges(struct tg_tokenizer *t, const struct tg_gguf *g, struct tg_error *err)
{
    const struct tg_gguf_value *merges;
    if (tg_token_list_array(g, "tokenizer.ggml.merges", false, 0, &merges, err) < 0) return -1;
    if (merges->kind != TG_GGUF_STRING || merges->count > TOKENS_MOST)
        return tg_fail(err, "key 'tokenizer.ggml.merges' has no texts");
    t->ranks = tg_token_table_create(merges->count, err);
    if (!t->ranks) return -1;
    const uint8_t *at = merges->bytes;
    for (uint64_t i = 0; i < merges->count; i++)
        tg_token_table_add(t->ranks, tg_gguf_next_text(merges, &at), (int32_t)i);
    return 0;
}

/* "<0x0A>": the token of a byte. */
static void open_bytes(struct tg_tokenizer *t)
{
    static const char digits[] = "0123456789ABCDEF";
    for (int b = 0; b < BYTES; b++) {
        const char name[6] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        t->bytes[b] = tg_token_table_find(t->list.table, text_of(name, sizeof name));
    }
}

static int by_length(const void *a, const void *b, void *context)
{
    const struct tg_token *tokens = context;
    const int32_t one = *(const int32_t *)a, other = *(const int32_t *)b;
    const uint64_t size = tokens[one].text.size, other_size = tokens[other].text.size;
    if (size != other_size) return size > other_size ? -1 : 1;
    return (one > other) - (one < other);
}

static bool is_special(const struct tg_token *token)
{
    return token->kind == TG_TOKEN_CONTROL || token->kind == TG_TOKEN_USER_DEFINED ||
           token->kind == TG_TOKEN_UNKNOWN;
}

/* Where a file does not say them, SentencePiece's own: "<unk>", "<s>" and "</s>" are 0, 1, 2. */
static bool is_usual(const struct tg_tokenizer *t, int64_t id)
{
    return t->is_spm && id >= 0 && (size_t)id < t->list.count &&
           t->list.tokens[id].kind == (id == 0 ? TG_TOKEN_UNKNOWN : TG_TOKEN_CONTROL);
}

static int open_ids(struct tg_tokenizer *t, const struct tg_gguf *g, struct tg_error *err)
{
    const struct {
        const char *key;
        int32_t *id;
        int64_t usual;
    } ids[] = {{"tokenizer.ggml.bos_token_id", &t->bos, 1},
               {"tokenizer.ggml.eos_token_id", &t->eos, 2},
               {"tokenizer.ggml.eot_token_id", &t->eot, -1},
               {"tokenizer.ggml.unknown_token_id", &t->unknown, 0}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int64_t id = is_usual(t, ids[i].usual) ? ids[i].usual : -1;
        if (tg_gguf_get_count(g, ids[i].key, true, 0, (int64_t)t->list.count - 1, &id, err) < 0)
            return -1;
        *ids[i].id = (int32_t)id;
    }
    return 0;
}

static int open_specials(struct tg_tokenizer *t, const struct tg_gguf *g, struct tg_error *err)
{
    int64_t has_bos = t->has_bos, has_prefix = t->is_spm;
    if (tg_gguf_get_count(g, "tokenizer.ggml.add_bos_token", true, 0, 1, &has_bos, err) < 0 ||
        tg_gguf_get_count(g, "tokenizer.ggml.add_space_prefix", true, 0, 1, &has_prefix, err) < 0)
        return -1;
    t->has_bos = has_bos && t->bos >= 0;
    t->has_prefix = has_prefix && t->is_spm;
    t->specials = malloc(t->list.count * sizeof *t->specials);
    if (!t->specials) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < t->list.count; i++) {
        const struct tg_token *token = &t->list.tokens[i];
        if (!is_special(token) || token->text.size == 0) continue;
        t->specials[t->special_count++] = (int32_t)i;
        t->begins_special[(unsigned char)token->text.bytes[0]] = true;
    }
    if (t->special_count > 1)
        qsort_r(t->specials, t->special_count, sizeof *t->specials, by_length, t->list.tokens);
    return 0;
}

static int open_all(struct tg_tokenizer *t, const struct tg_gguf *g, struct tg_error *err)
{
    char model[32];
    if (tg_gguf_get_text(g, "tokenizer.ggml.model", false, model, sizeof model, err) < 0) return -1;
    t->is_spm = strcmp(model, "llama") == 0;
    t->has_bos = t->is_spm;
    if (!t->is_spm && strcmp(model, "gpt2") != 0)
        return tg_fail(err, "tokenizer '%s' is not known here, only gpt2 and llama", model);
    if (!t->is_spm && open_pretokenizer(t, g, err) < 0) return -1;
    if (tg_token_list_read(g, t->is_spm, &t->list, err) < 0 ||
        (!t->is_spm && open_merges(t, g, err) < 0) || open_ids(t, g, err) < 0 ||
        open_specials(t, g, err) < 0)
        return -1;
    open_bytes(t);
    return 0;
}

int tg_tokenizer_open(const struct tg_gguf *gguf, struct tg_tokenizer **tokenizer,
                      struct tg_error *err)
{
    struct tg_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return tg_fail(err, "out of memory");
    if (open_all(t, gguf, err) < 0) {
        tg_tokenizer_close(t);
        return -1;
    }
    *tokenizer = t;
    return 0;
}

void tg_tokenizer_close(struct tg_tokenizer *t)
{
    if (!t) return;
    tg_pretokenizer_close(t->pretokenizer);
    tg_token_table_destroy(t->ranks);
    tg_token_list_release(&t->list);
    free(t->specials);
    free(t);
}

int64_t tg_tokenizer_count(const struct tg_tokenizer *t)
{
    return (int64_t)t->list.count;
}

int32_t tg_tokenizer_bos(const struct tg_tokenizer *t)
{
    return t->bos;
}

int32_t tg_tokenizer_eos(const struct tg_tokenizer *t)
{
    return t->eos;
}

bool tg_tokenizer_is_end(const struct tg_tokenizer *t, int32_t id)
{
    static const char *const names[] = {"<|eot_id|>",    "<|eom_id|>",      "<|im_end|>",
                                        "<|end|>",       "<end_of_turn>",   "<EOT>",
                                        "<|endoftext|>", "<|end_of_text|>", "</s>"};
    if (id < 0 || (size_t)id >= t->list.count) return false;
    if (id == t->eos || id == t->eot) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tg_gguf_is(t->list.tokens[id].text, names[i]))
            return t->list.tokens[id].kind != TG_TOKEN_NORMAL;
    return false;
}

static int add(struct tg_tokens *tokens, int32_t id, struct tg_error *err)
{
    if (tokens->count == tokens->room) {
        const size_t room = 2 * tokens->room + 64;
        int32_t *ids = realloc(tokens->ids, room * sizeof *ids);
        if (!ids) return tg_fail(err, "out of memory");
        tokens->ids = ids;
        tokens->room = room;
    }
    tokens->ids[tokens->count++] = id;
    return 0;
}

/* A token that text may become by itself: not one that only its id means. */
static int32_t find_plain(const struct tg_tokenizer *t, struct tg_gguf_text text)
{
    const int32_t id = tg_token_table_find(t->list.table, text);
    if (id < 0 || (t->list.tokens[id].kind != TG_TOKEN_NORMAL &&
                   t->list.tokens[id].kind != TG_TOKEN_USER_DEFINED))
        return -1;
    return id;
}

static bool rank(const void *context, struct tg_gguf_text left, struct tg_gguf_text right,
                 double *goodness)
{
    const struct tg_tokenizer *t = context;
    const int32_t number = tg_token_table_find_pair(t->ranks, left, right);
    *goodness = -(double)number;
    return number >= 0;
}

static bool score(const void *context, struct tg_gguf_text left, struct tg_gguf_text right,
                  double *goodness)
{
    const struct tg_tokenizer *t = context;
    const int32_t id = find_plain(t, text_of(left.bytes, left.size + right.size));
    *goodness = id < 0 ? 0 : (double)t->list.tokens[id].score;
    return id >= 0;
}

struct encoding {
    const struct tg_tokenizer *t;
    struct tg_tokens *tokens;
};

static int add_unknown(const struct encoding *e, struct tg_error *err)
{
    if (e->t->unknown < 0)
        return tg_fail(err, "the vocabulary has no token for a byte of the text");
    return add(e->tokens, e->t->unknown, err);
}

/* gpt2: a piece is the characters of bytes, and told by them if it is no token. A byte that the
 * vocabulary lacks is left out, as these tokenizers do. */
static int add_characters(const struct encoding *e, struct tg_gguf_text piece, struct tg_error *err)
{
    int32_t id = find_plain(e->t, piece);
    if (id >= 0) return add(e->tokens, id, err);
    for (size_t i = 0, size; i < piece.size; i += size) {
        size = (unsigned char)piece.bytes[i] < 0x80 ? 1 : 2;
        id = find_plain(e->t, text_of(piece.bytes + i, size));
        if (id >= 0 && add(e->tokens, id, err) < 0) return -1;
    }
    return 0;
}

/* llama: one that is no token is told byte by byte. */
static int add_bytes(const struct encoding *e, struct tg_gguf_text piece, struct tg_error *err)
{
    for (size_t i = 0; i < piece.size; i++) {
        const int32_t id = e->t->bytes[(unsigned char)piece.bytes[i]];
        if ((id >= 0 ? add(e->tokens, id, err) : add_unknown(e, err)) < 0) return -1;
    }
    return 0;
}

/* Merges the pieces, and adds what is left of them. */
static int add_merged(const struct encoding *e, struct tg_gguf_text *pieces, size_t count,
                      struct tg_error *err)
{
    const bool is_spm = e->t->is_spm;
    int rc = tg_token_merge_all(pieces, &count, is_spm ? score : rank, e->t, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const int32_t id = is_spm ? find_plain(e->t, pieces[i]) : -1;
        if (!is_spm)
            rc = add_characters(e, pieces[i], err);
        else
            rc = id >= 0 ? add(e->tokens, id, err) : add_bytes(e, pieces[i], err);
    }
    return rc;
}

static int encode_word(void *context, struct tg_gguf_text word, struct tg_error *err)
{
    const struct encoding *e = context;
    char *written = malloc(2 * word.size);
    struct tg_gguf_text *pieces = malloc(word.size * sizeof *pieces);
    size_t size = 0;
    int rc = written && pieces ? 0 : tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < word.size; i++) {
        pieces[i].bytes = written + size;
        size += pieces[i].size = tg_byte_text_write((unsigned char)word.bytes[i], written + size);
    }
    if (rc == 0) {
        const int32_t id = tg_pretokenizer_takes_whole(e->t->pretokenizer)
                               ? find_plain(e->t, text_of(written, size))
                               : -1;
        rc = id >= 0 ? add(e->tokens, id, err) : add_merged(e, pieces, word.size, err);
    }
    free(written);
    free(pieces);
    return rc;
}

/* Text in which blanks have been replaced, and which has none that was written as one. */
static int encode_pieces(const struct encoding *e, struct tg_gguf_text text, struct tg_error *err)
{
    struct tg_gguf_text *pieces = malloc((text.size + 1) * sizeof *pieces);
    size_t count = 0;
    if (!pieces) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < text.size; i += pieces[count++].size) {
        const size_t size = tg_pretokenizer_character(text_of(text.bytes + i, text.size - i));
        pieces[count] = text_of(text.bytes + i, size ? size : 1);
    }
    const int rc = add_merged(e, pieces, count, err);
    free(pieces);
    return rc;
}

/* A character that means a blank and stands in the text is told by its bytes, so that it stays. */
static int encode_sentence(const struct encoding *e, struct tg_gguf_text text, struct tg_error *err)
{
    char *written = malloc(blank.size * (text.size + 1));
    size_t size = 0;
    int rc = written ? 0 : tg_fail(err, "out of memory");
    if (rc == 0 && e->t->has_prefix) {
        memcpy(written, blank.bytes, blank.size);
        size = blank.size;
    }
    for (size_t i = 0; rc == 0 && i < text.size; i++) {
        const bool is_blank = text.bytes[i] == ' ';
        if (text.size - i >= blank.size && memcmp(text.bytes + i, blank.bytes, blank.size) == 0 &&
            e->t->bytes[(unsigned char)blank.bytes[0]] >= 0) {
            rc = encode_pieces(e, text_of(written, size), err);
            if (rc == 0) rc = add_bytes(e, blank, err);
            i += blank.size - 1;
            size = 0;
            continue;
        }
        memcpy(written + size, is_blank ? blank.bytes : text.bytes + i, is_blank ? blank.size : 1);
        size += is_blank ? blank.size : 1;
    }
    if (rc == 0) rc = encode_pieces(e, text_of(written, size), err);
    free(written);
    return rc;
}

/* The special token with which a text begins, the longest, or -1. */
static int32_t special_at(const struct tg_tokenizer *t, struct tg_gguf_text text, bool has_control)
{
    if (!t->begins_special[(unsigned char)text.bytes[0]]) return -1;
    for (size_t i = 0; i < t->special_count; i++) {
        const struct tg_token *token = &t->list.tokens[t->specials[i]];
        if (token->kind != TG_TOKEN_USER_DEFINED && !has_control) continue;
        if (token->text.size <= text.size &&
            memcmp(token->text.bytes, text.bytes, token->text.size) == 0)
            return t->specials[i];
    }
    return -1;
}

/* What stands before, between or behind specials; a blank is put before each such text. */
static int encode_plain(const struct encoding *e, struct tg_gguf_text text, struct tg_error *err)
{
    struct encoding copy = *e;
    if (text.size == 0) return 0;
    if (e->t->is_spm) return encode_sentence(e, text, err);
    return tg_pretokenizer_cut(e->t->pretokenizer, text, encode_word, &copy, err);
}

int tg_tokenizer_encode(const struct tg_tokenizer *t, const char *text, size_t size,
                        bool has_specials, struct tg_tokens *tokens, struct tg_error *err)
{
    const struct encoding e = {t, tokens};
    size_t begin = 0;
    if (has_specials && t->has_bos && add(tokens, t->bos, err) < 0) return -1;
    for (size_t i = 0; i < size;) {
        const int32_t id = special_at(t, text_of(text + i, size - i), has_specials);
        if (id < 0) {
            i++;
            continue;
        }
        if (encode_plain(&e, text_of(text + begin, i - begin), err) < 0 || add(tokens, id, err) < 0)
            return -1;
        begin = i += t->list.tokens[id].text.size;
    }
    return encode_plain(&e, text_of(text + begin, size - begin), err);
}

struct output {
    char *bytes;
    size_t size, room;
};

static int put(struct output *o, const char *bytes, size_t size, struct tg_error *err)
{
    if (size >= o->room - o->size) { /* a zero byte follows */
        const size_t room = 2 * (o->room + size) + 64;
        char *more = realloc(o->bytes, room);
        if (!more) return tg_fail(err, "out of memory");
        o->bytes = more;
        o->room = room;
    }
    memcpy(o->bytes + o->size, bytes, size);
    o->size += size;
    o->bytes[o->size] = 0;
    return 0;
}

/* llama: blanks are blanks again; the first may be the one that was put before the text. */
static int put_sentence(struct output *o, struct tg_gguf_text text, bool is_first,
                        struct tg_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < text.size; i++) {
        const bool is_blank = text.size - i >= blank.size &&
                              memcmp(text.bytes + i, blank.bytes, blank.size) == 0;
        if (!is_blank)
            rc = put(o, text.bytes + i, 1, err);
        else if (i > 0 || !is_first)
            rc = put(o, " ", 1, err);
        i += is_blank ? blank.size - 1 : 0;
    }
    return rc;
}

static int put_characters(struct output *o, struct tg_gguf_text text, struct tg_error *err)
{
    int rc = 0;
    for (size_t i = 0, size; rc == 0 && i < text.size; i += size) {
        const int byte = tg_byte_text_read(text_of(text.bytes + i, text.size - i), &size);
        const char value = (char)byte;
        rc = byte >= 0 ? put(o, &value, 1, err) : put(o, text.bytes + i, size, err);
    }
    return rc;
}

static int put_token(const struct tg_tokenizer *t, struct output *o, int32_t id, bool is_first,
                     bool has_specials, struct tg_error *err)
{
    const struct tg_token *token = &t->list.tokens[id];
    if (token->kind == TG_TOKEN_CONTROL || token->kind == TG_TOKEN_UNKNOWN)
        return has_specials ? put(o, token->text.bytes, token->text.size, err) : 0;
    if (token->kind == TG_TOKEN_USER_DEFINED)
        return put(o, token->text.bytes, token->text.size, err);
    if (!t->is_spm) return put_characters(o, token->text, err);
    if (token->text.size == 6 && token->text.bytes[0] == '<')
        for (int b = 0; b < BYTES; b++) {
            const char value = (char)b;
            if (t->bytes[b] == id) return put(o, &value, 1, err);
        }
    return put_sentence(o, token->text, is_first, err);
}

/* Whether the text of tokens begins behind this one, so that a blank was put before it. */
static bool is_beginning(const struct tg_tokenizer *t, int32_t before)
{
    return before < 0 || (size_t)before >= t->list.count || is_special(&t->list.tokens[before]);
}

int tg_tokenizer_decode(const struct tg_tokenizer *t, int32_t before, const int32_t *ids,
                        size_t count, bool has_specials, char **text, size_t *size,
                        struct tg_error *err)
{
    struct output o = {0};
    int rc = put(&o, "", 0, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const bool is_first = is_beginning(t, i > 0 ? ids[i - 1] : before);
        if (ids[i] < 0 || (size_t)ids[i] >= t->list.count)
            rc = tg_fail(err, "there is no token %" PRId32, ids[i]);
        else
            rc = put_token(t, &o, ids[i], is_first && t->has_prefix, has_specials, err);
    }
    if (rc < 0) {
        free(o.bytes);
        return -1;
    }
    *text = o.bytes;
    *size = o.size;
    return 0;
}

void tg_tokens_release(struct tg_tokens *tokens)
{
    free(tokens->ids);
    *tokens = (struct tg_tokens){0};
}
