/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/token_list.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TOKENS_MOST = 1 << 24 };

int tg_token_list_array(const struct tg_gguf *gguf, const char *key, bool is_optional,
                        uint64_t count, const struct tg_gguf_value **out, struct tg_error *err)
{
    *out = tg_gguf_find(gguf, key);
    if (!*out && is_optional) return 0;
    if (!*out) return tg_fail(err, "there is no key '%s'", key);
    if (!(*out)->is_array) return tg_fail(err, "key '%s' is no array", key);
    if (count && (*out)->count != count)
        return tg_fail(err, "key '%s' has %" PRIu64 " elements, and must have %" PRIu64, key,
                       (*out)->count, count);
    return 0;
}

static int read_tokens(const struct tg_gguf *g, bool needs_scores, struct tg_token_list *l,
                       struct tg_error *err)
{
    const struct tg_gguf_value *texts, *scores, *kinds;
    if (tg_token_list_array(g, "tokenizer.ggml.tokens", false, 0, &texts, err) < 0) return -1;
    if (texts->kind != TG_GGUF_STRING || texts->count < 1 || texts->count > TOKENS_MOST)
        return tg_fail(err, "key 'tokenizer.ggml.tokens' is no vocabulary");
    l->count = texts->count;
    if (tg_token_list_array(g, "tokenizer.ggml.scores", !needs_scores, l->count, &scores, err) <
            0 ||
        tg_token_list_array(g, "tokenizer.ggml.token_type", true, l->count, &kinds, err) < 0)
        return -1;
    l->tokens = calloc(l->count, sizeof *l->tokens);
    l->table = tg_token_table_create(l->count, err);
    if (!l->tokens || !l->table) return tg_fail(err, "out of memory");
    const uint8_t *at = texts->bytes;
    for (size_t i = 0; i < l->count; i++) {
        double score = 0;
        int64_t kind = TG_TOKEN_NORMAL;
        l->tokens[i].text = tg_gguf_next_text(texts, &at);
        if (scores && !tg_gguf_real_at(scores, i, &score))
            return tg_fail(err, "key 'tokenizer.ggml.scores' has no numbers");
        if (kinds && !tg_gguf_count_at(kinds, i, &kind))
            return tg_fail(err, "key 'tokenizer.ggml.token_type' has no numbers");
        if (kind == 0) kind = TG_TOKEN_NORMAL; /* not said */
        if (kind < TG_TOKEN_NORMAL || kind > TG_TOKEN_BYTE)
            return tg_fail(err, "token %zu is of kind %" PRId64 ", which there is not", i, kind);
        l->tokens[i].score = (float)score;
        l->tokens[i].kind = (enum tg_token_kind)kind;
        tg_token_table_add(l->table, l->tokens[i].text, (int32_t)i);
    }
    return 0;
}

int tg_token_list_read(const struct tg_gguf *gguf, bool needs_scores, struct tg_token_list *list,
                       struct tg_error *err)
{
    struct tg_token_list l = {0};
    if (read_tokens(gguf, needs_scores, &l, err) < 0) {
        tg_token_list_release(&l);
        return -1;
    }
    *list = l;
    return 0;
}

void tg_token_list_release(struct tg_token_list *list)
{
    tg_token_table_destroy(list->table);
    free(list->tokens);
    *list = (struct tg_token_list){0};
}
