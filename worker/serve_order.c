/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/serve.h"

/* What an order begins with, as other messages do not: they are JSON. */
static const char round_word[] = "round ";

static char *add_text(char *at, const char *text)
{
    size_t length = strlen(text);
    memcpy(at, text, length + 1);
    return at + length;
}

static char *add_number(char *at, uint64_t number)
{
    char digits[24] = "", *first = digits + sizeof digits - 1;
    *--first = ' ';
    do *--first = (char)('0' + number % 10);
    while (number /= 10);
    return add_text(at, first);
}

/* By hand: all that printf has and reads would be driven out of the caches from round to round. */
char *tg_serve_order_text(const struct tg_block *block, int64_t round, uint64_t seed,
                          bool is_complete, bool is_apart, double wait_s)
{
    char flags[] = "---- ";
    if (block->is_timed) flags[0] = 't';
    if (block->is_fixed) flags[1] = 'f';
    if (is_complete) flags[2] = 'c';
    if (is_apart) flags[3] = 'a';
    char *text = malloc(strlen(round_word) + 3 * 24 + sizeof flags + strlen(block->text));
    if (!text) return NULL;
    char *at = add_number(add_text(text, round_word), (uint64_t)round);
    at = add_number(add_number(at, seed), (uint64_t)(1000 * fmin(fmax(wait_s, 0), 1e9)));
    add_text(add_text(at, flags), block->text);
    return text;
}

bool tg_serve_is_order(const char *message)
{
    return strncmp(message, round_word, strlen(round_word)) == 0;
}

int tg_serve_order_read(const char *message, struct tg_order *order, struct tg_error *err)
{
    struct tg_block *block = &order->block;
    uint64_t wait_ms;
    char flags[5];
    int at = 0;
    if (sscanf(message + strlen(round_word), "%" SCNd64 " %" SCNu64 " %" SCNu64 " %4[-tfca] %n",
               &order->round, &order->seed, &wait_ms, flags, &at) < 4 ||
        at == 0)
        return tg_fail(err, "an order that means nothing: '%.100s'", message);
    const char *text = message + strlen(round_word) + at;
    int count = tg_block_parse(text, block->cells, err);
    if (count < 0) return -1;
    memcpy(block->text, text, strlen(text) + 1);
    block->cell_count = (size_t)count;
    block->is_timed = strchr(flags, 't') != NULL;
    block->is_fixed = strchr(flags, 'f') != NULL;
    order->is_complete = strchr(flags, 'c') != NULL;
    order->is_apart = strchr(flags, 'a') != NULL;
    order->wait_s = (double)wait_ms / 1000;
    return 0;
}
