/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/pretokenizer.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* White_Space of Unicode, within brackets; the \s of PCRE2 also has U+180E, which is none. */
#define SPACE      "\\t-\\r\\x{85}\\p{Z}"
#define MARKS      "[^" SPACE "\\p{L}\\p{N}]+"
#define SPACES     "[" SPACE "]+(?![^" SPACE "])"
#define GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?" MARKS "|" SPACES
#define LLAMA3_WORDS(digits)                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?" MARKS               \
    "[\\r\\n]*|[" SPACE "]*[\\r\\n]+|" SPACES "|[" SPACE "]+"
#define LLAMA3                                                                                     \
    {                                                                                              \
        LLAMA3_WORDS("\\p{N}{1,3}")                                                                \
    }
#define QWEN2                                                                                      \
    {                                                                                              \
        LLAMA3_WORDS("\\p{N}")                                                                     \
    }
#define GPT2                                                                                       \
    {                                                                                              \
        GPT2_WORDS "|[" SPACE "]+"                                                                 \
    }
#define FALCON                                                                                     \
    {                                                                                              \
        "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2_WORDS, "[0-9][0-9][0-9]"                                \
    }
#define FALCON_E                                                                                   \
    {                                                                                              \
        "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2_WORDS, "[0-9]"                                          \
    }
#define DIGITS                                                                                     \
    {                                                                                              \
        "\\p{N}", GPT2_WORDS                                                                       \
    }
#define DEFAULT                                                                                    \
    {                                                                                              \
        "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"                      \
    }

enum { PATTERNS_MOST = 4, STACK_LEAST = 32 << 10, STACK_MOST = 16 << 20 };

struct row {
    const char *name;
    const char *patterns[PATTERNS_MOST];
    bool takes_whole, has_bos;
};

static const struct row rows[] = {
#define PRETOKENIZER(name, patterns, takes_whole, has_bos) {name, patterns, takes_whole, has_bos},
#include "worker/model/pretokenizers.def"
#undef PRETOKENIZER
};

struct tg_pretokenizer {
    const struct row *row;
    pcre2_code *patterns[PATTERNS_MOST];
    pcre2_match_data *data[PATTERNS_MOST];
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static int compile(struct tg_pretokenizer *p, struct tg_error *err)
{
    p->context = pcre2_match_context_create(NULL);
    p->stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
    if (!p->context) return tg_fail(err, "out of memory");
    if (p->stack) pcre2_jit_stack_assign(p->context, NULL, p->stack); /* else nothing is compiled */
    for (int i = 0; i < PATTERNS_MOST && p->row->patterns[i]; i++) {
        int number;
        PCRE2_SIZE at;
        p->patterns[i] = pcre2_compile((PCRE2_SPTR)p->row->patterns[i], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &number, &at, NULL);
        if (!p->patterns[i])
            return tg_fail(err, "pattern %d of pre-tokenizer '%s' is refused at %zu: error %d", i,
                           p->row->name, at, number);
        pcre2_jit_compile(p->patterns[i], PCRE2_JIT_COMPLETE); /* if not, it is interpreted */
        p->data[i] = pcre2_match_data_create_from_pattern(p->patterns[i], NULL);
        if (!p->data[i]) return tg_fail(err, "out of memory");
    }
    return 0;
}

int tg_pretokenizer_open(const char *name, struct tg_pretokenizer **pretokenizer,
                         struct tg_error *err)
{
    struct tg_pretokenizer *p = calloc(1, sizeof *p);
    if (!p) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) p->row = &rows[i];
    if (!p->row) tg_fail(err, "pre-tokenizer '%s' is not known here", name);
    if (!p->row || compile(p, err) < 0) {
        tg_pretokenizer_close(p);
        return -1;
    }
    *pretokenizer = p;
    return 0;
}

bool tg_pretokenizer_takes_whole(const struct tg_pretokenizer *p)
{
    return p->row->takes_whole;
}

bool tg_pretokenizer_has_bos(const struct tg_pretokenizer *p)
{
    return p->row->has_bos;
}

/* The next match from `at` on; *from = *to = size if there is none. */
static int match(const struct tg_pretokenizer *p, int level, struct tg_gguf_text text, size_t at,
                 size_t *from, size_t *to, struct tg_error *err)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)text.bytes;
    pcre2_match_data *data = p->data[level];
    int rc = pcre2_match(p->patterns[level], subject, text.size, at, PCRE2_NO_UTF_CHECK, data,
                         p->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->patterns[level], subject, text.size, at,
                         PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, p->context);
    *from = *to = text.size;
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0)
        return tg_fail(err, "pre-tokenizer '%s' gave up on a text: error %d", p->row->name, rc);
    *from = pcre2_get_ovector_pointer(data)[0];
    *to = pcre2_get_ovector_pointer(data)[1];
    return 0;
}

struct cutting {
    const struct tg_pretokenizer *p;
    tg_pretokenizer_fn fn;
    void *context;
};

/* What lies between matches is a piece, too; each is cut by the pattern of the next level. */
static int cut(const struct cutting *c, int level, struct tg_gguf_text text, struct tg_error *err)
{
    if (text.size == 0) return 0;
    if (level == PATTERNS_MOST || !c->p->patterns[level]) return c->fn(c->context, text, err);
    for (size_t at = 0, from, to; at < text.size; at = to) {
        if (match(c->p, level, text, at, &from, &to, err) < 0) return -1;
        if (to == from) from = to = text.size;
        const struct tg_gguf_text between = {text.bytes + at, from - at};
        const struct tg_gguf_text matched = {text.bytes + from, to - from};
        if (cut(c, level + 1, between, err) < 0 || cut(c, level + 1, matched, err) < 0) return -1;
    }
    return 0;
}

size_t tg_pretokenizer_character(struct tg_gguf_text text)
{
    const unsigned char *b = (const unsigned char *)text.bytes;
    const size_t size = b[0] < 0x80                   ? 1
                        : b[0] >= 0xc2 && b[0] < 0xe0 ? 2
                        : b[0] >= 0xe0 && b[0] < 0xf0 ? 3
                        : b[0] >= 0xf0 && b[0] < 0xf5 ? 4
                                                      : 0;
    if (size > text.size) return 0;
    for (size_t i = 1; i < size; i++)
        if ((b[i] & 0xc0) != 0x80) return 0;
    if (b[0] == 0xe0 && b[1] < 0xa0) return 0;  /* overlong */
    if (b[0] == 0xf0 && b[1] < 0x90) return 0;  /* overlong */
    if (b[0] == 0xed && b[1] >= 0xa0) return 0; /* surrogates */
    if (b[0] == 0xf4 && b[1] >= 0x90) return 0; /* beyond U+10FFFF */
    return size;
}

int tg_pretokenizer_cut(const struct tg_pretokenizer *p, struct tg_gguf_text text,
                        tg_pretokenizer_fn fn, void *context, struct tg_error *err)
{
    const struct cutting c = {p, fn, context};
    size_t begin = 0;
    bool is_valid = true; /* what lies between begin and i */
    for (size_t i = 0; i < text.size;) {
        const struct tg_gguf_text rest = {text.bytes + i, text.size - i};
        const size_t size = tg_pretokenizer_character(rest);
        if (i > begin && is_valid != (size > 0)) {
            const struct tg_gguf_text run = {text.bytes + begin, i - begin};
            if ((is_valid ? cut(&c, 0, run, err) : fn(context, run, err)) < 0) return -1;
            begin = i;
        }
        is_valid = size > 0;
        i += size > 0 ? size : 1;
    }
    const struct tg_gguf_text run = {text.bytes + begin, text.size - begin};
    if (run.size == 0) return 0;
    return is_valid ? cut(&c, 0, run, err) : fn(context, run, err);
}

void tg_pretokenizer_close(struct tg_pretokenizer *p)
{
    if (!p) return;
    for (int i = 0; i < PATTERNS_MOST; i++) {
        pcre2_match_data_free(p->data[i]);
        pcre2_code_free(p->patterns[i]);
    }
    pcre2_match_context_free(p->context);
    pcre2_jit_stack_free(p->stack);
    free(p);
}
