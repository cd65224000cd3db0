/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "worker/model/byte_text.h"
#include "worker/model/synthetic.h"

/*
 * A vocabulary of any size: bytes; a blank and a letter; then every token that ends with a letter,
 * in order, with each letter behind it. Token i of these is made by one merge, of rank i.
 */

enum { BYTES = 256, LETTERS = 26, TOKEN_SIZE = 64, SPECIALS = 2 };
enum { NORMAL = 1, CONTROL = 3 }; /* kinds of tokens, as llama.cpp numbers them */

/* The token `number` of those behind the bytes: which token it continues, and with which letter. */
static void parts_of(int64_t number, int64_t *first, int *letter)
{
    *letter = (int)(number % LETTERS);
    if (number < LETTERS)
        *first = ' ';
    else if (number < LETTERS + LETTERS * LETTERS)
        *first = 'a' + (number - LETTERS) / LETTERS;
    else
        *first = BYTES + (number - LETTERS - LETTERS * LETTERS) / LETTERS;
}

/* Writes a token, and returns its bytes; *left those of the part before its last letter. */
static size_t token(int64_t id, char out[TOKEN_SIZE], size_t *left)
{
    int64_t first;
    int letters[TOKEN_SIZE], count = 0;
    while (id >= BYTES) {
        parts_of(id - BYTES, &first, &letters[count++]);
        id = first;
    }
    size_t size = tg_byte_text_write((int)id, out);
    *left = 0;
    while (count > 0) {
        *left = size;
        out[size++] = (char)('a' + letters[--count]);
    }
    return size;
}

void tg_synthetic_tokenizer(struct tg_gguf_writer *w, int64_t vocabulary)
{
    const int64_t normal = vocabulary - SPECIALS;
    char text[TOKEN_SIZE + 1];
    size_t size, left;
    tg_gguf_writer_text(w, "tokenizer.ggml.model", "gpt2");
    tg_gguf_writer_text(w, "tokenizer.ggml.pre", "llama-bpe");
    tg_gguf_writer_array(w, "tokenizer.ggml.tokens", TG_GGUF_STRING, (uint64_t)vocabulary);
    for (int64_t i = 0; i < normal; i++) {
        size = token(i, text, &left);
        tg_gguf_writer_add_text(w, text, size);
    }
    tg_gguf_writer_add_text(w, "<|begin_of_text|>", strlen("<|begin_of_text|>"));
    tg_gguf_writer_add_text(w, "<|end_of_text|>", strlen("<|end_of_text|>"));
    tg_gguf_writer_array(w, "tokenizer.ggml.token_type", TG_GGUF_INT32, (uint64_t)vocabulary);
    for (int64_t i = 0; i < vocabulary; i++)
        tg_gguf_writer_add_count(w, TG_GGUF_INT32, i < normal ? NORMAL : CONTROL);
    tg_gguf_writer_array(w, "tokenizer.ggml.merges", TG_GGUF_STRING, (uint64_t)(normal - BYTES));
    for (int64_t i = BYTES; i < normal; i++) {
        size = token(i, text, &left);
        memmove(text + left + 1, text + left, size - left);
        text[left] = ' ';
        tg_gguf_writer_add_text(w, text, size + 1);
    }
    tg_gguf_writer_count(w, "tokenizer.ggml.bos_token_id", TG_GGUF_UINT32, (uint64_t)normal);
    tg_gguf_writer_count(w, "tokenizer.ggml.eos_token_id", TG_GGUF_UINT32, (uint64_t)normal + 1);
    tg_gguf_writer_count(w, "tokenizer.ggml.add_bos_token", TG_GGUF_BOOL, 1);
}
