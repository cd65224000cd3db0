/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/shard.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/budget.h"
#include "kernels/fill.h"

/* About what a block takes beside what budget.h reckons, to start processes and make operands. */
#define BESIDES_S 1
#define MOST_S    1e9 /* that is reckoned with, whatever a policy says */

int tg_shard_parse(const char *text, size_t *shard, size_t *count, struct tg_error *err)
{
    unsigned long numbers[2] = {0, 0};
    const char *p = text;
    for (int i = 0; i < 2; i++) {
        char *end = NULL;
        numbers[i] = isdigit((unsigned char)*p) ? strtoul(p, &end, 10) : 0;
        if (!end || *end != (i ? 0 : '/'))
            return tg_fail(err, "unusable shard '%s': like 2/4", text);
        p = end + 1;
    }
    if (numbers[0] < 1 || numbers[0] > numbers[1] || numbers[1] > TG_SHARD_MOST)
        return tg_fail(err, "unusable shard '%s': from 1/N to N/N, and at most %d", text,
                       TG_SHARD_MOST);
    *shard = numbers[0];
    *count = numbers[1];
    return 0;
}

int tg_shard_number(const struct tg_json_file *file, const struct tg_json *value, size_t *number,
                    struct tg_error *err)
{
    double read = tg_json_number(value);
    if (!(read >= 0 && read <= TG_SHARD_MOST && floor(read) == read))
        return tg_json_fail(file, value, err, "%g is no number of shards: 0 to %d", read,
                            TG_SHARD_MOST);
    *number = (size_t)read;
    return 0;
}

/* A block to be dealt: all blocks of one text are one. */
struct card {
    const char *text;
    uint64_t draw; /* by the text: neighbours in the matrix are alike and go to different shards */
    int64_t length_ms;
    bool on_device;
    size_t shard;
};

/* The longest first. */
static int by_length(const void *a, const void *b)
{
    const struct card *x = a, *y = b;
    if (x->length_ms != y->length_ms) return x->length_ms > y->length_ms ? -1 : 1;
    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    return strcmp(x->text, y->text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct card *)a)->text, ((const struct card *)b)->text);
}

/* FNV-1a (Fowler, Noll, Vo; 64 bits), stirred once more. */
static uint64_t draw_of(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return tg_fill_next(&hash);
}

/* One card for each text, of those that tests need; returns how many. */
static size_t make_cards(const struct tg_plan *plan, struct card *cards)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < plan->spec.test_count; i++)
        cards[count++].text = plan->spec.blocks[plan->spec.tests[i].block].text;
    qsort(cards, count, sizeof *cards, by_text);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || by_text(&cards[kept - 1], &cards[i]) != 0) cards[kept++] = cards[i];
    return kept;
}

/*
 * How long a card is, as its block of the first class of hardware says: others are asked alike, and
 * who knows one class only must reckon as who knows all. So must machines whose last bits differ.
 */
static void look_at(const struct tg_plan *plan, const struct tg_block *block, struct card *card)
{
    if (block->hardware > 0) return;
    card->draw = draw_of(card->text);
    card->on_device = tg_plan_needs_device(plan, block);
    card->length_ms = llround(1000 * fmin(MOST_S, BESIDES_S + tg_budget_block_s(plan, block)));
}

/*
 * How many of the shards those on devices get: as many as make the longer of the two pools' means
 * shortest, where none is empty.
 */
static size_t shards_of_devices(size_t shards, const struct card *cards, size_t count)
{
    double on_device_ms = 0, others_ms = 0, least_ms = INFINITY;
    size_t on_device = 0, best = 0;
    for (size_t i = 0; i < count; i++) {
        on_device += cards[i].on_device;
        *(cards[i].on_device ? &on_device_ms : &others_ms) += (double)cards[i].length_ms;
    }
    if (on_device == 0 || on_device == count || shards == 1) return on_device ? shards : 0;
    for (size_t i = 1; i < shards; i++) {
        double longest_ms = fmax(on_device_ms / (double)i, others_ms / (double)(shards - i));
        if (i > on_device || shards - i > count - on_device || longest_ms > least_ms) continue;
        least_ms = longest_ms;
        best = i;
    }
    return best;
}

/*
 * Gives each block, the longest first, to the shard that has least yet: no shard is then longer
 * than their mean and one block. Those that there are no blocks for are the last.
 */
static int deal(const struct tg_plan *plan, struct card *cards, size_t count, struct tg_error *err)
{
    size_t shards = plan->asked.shard_count < count ? plan->asked.shard_count : count;
    size_t last = shards_of_devices(shards, cards, count);
    size_t first = last == shards ? shards : shards - last; /* one shard alone has them all */
    int64_t *dealt_ms = calloc(shards + 1, sizeof *dealt_ms);
    if (!dealt_ms) return tg_fail(err, "out of memory");
    qsort(cards, count, sizeof *cards, by_length);
    for (size_t i = 0; i < count; i++) {
        struct card *card = &cards[i];
        card->shard = card->on_device ? shards : 1;
        for (size_t k = 1; k < (card->on_device ? last : first); k++) {
            size_t other = card->on_device ? shards - k : 1 + k;
            if (dealt_ms[other] < dealt_ms[card->shard]) card->shard = other;
        }
        dealt_ms[card->shard] += card->length_ms;
    }
    free(dealt_ms);
    return 0;
}

static bool has_worker(const struct tg_plan *plan, size_t shard, size_t hardware)
{
    for (size_t w = 0; w < plan->worker_count; w++)
        if (plan->workers[w].shard == shard &&
            strcmp(plan->workers[w].hardware, plan->classes[hardware]) == 0)
            return true;
    return false;
}

/* Keeps the tests that their shard is asked; those of a shard that is missing once. */
static void keep_tests(struct tg_plan *plan)
{
    struct tg_spec *spec = &plan->spec;
    size_t kept = 0;
    for (size_t i = 0; i < spec->test_count; i++) {
        const struct tg_test *test = &spec->tests[i];
        size_t shard = spec->blocks[test->block].shard;
        if (tg_shard_is_missing(plan, shard) ? test->hardware == 0
                                             : has_worker(plan, shard, test->hardware))
            spec->tests[kept++] = *test;
    }
    spec->test_count = kept;
}

/* The card of a block, NULL if no test needs it; they are sorted by their texts. */
static struct card *card_of(const struct tg_block *block, struct card *cards, size_t count)
{
    return bsearch(&(struct card){.text = block->text}, cards, count, sizeof *cards, by_text);
}

int tg_shard_deal(struct tg_plan *plan, struct tg_error *err)
{
    struct tg_spec *spec = &plan->spec;
    size_t shards = plan->asked.shard_count;
    for (size_t w = 0; w < plan->worker_count; w++)
        if (plan->workers[w].shard > shards || (shards && !plan->workers[w].shard))
            return tg_fail(err, "a worker of the plan is of no shard of it");
    if (shards == 0) return 0;
    struct card *cards = calloc(spec->test_count + 1, sizeof *cards);
    if (!cards) return tg_fail(err, "out of memory");
    size_t count = make_cards(plan, cards);
    for (size_t b = 0; b < spec->block_count; b++) {
        struct card *card = card_of(&spec->blocks[b], cards, count);
        if (card) look_at(plan, &spec->blocks[b], card);
    }
    int rc = deal(plan, cards, count, err);
    qsort(cards, count, sizeof *cards, by_text);
    for (size_t b = 0; rc == 0 && b < spec->block_count; b++) {
        const struct card *card = card_of(&spec->blocks[b], cards, count);
        if (card) spec->blocks[b].shard = card->shard;
    }
    free(cards);
    if (rc == 0) keep_tests(plan);
    return rc;
}

bool tg_shard_is_missing(const struct tg_plan *plan, size_t shard)
{
    for (size_t w = 0; w < plan->worker_count; w++)
        if (plan->workers[w].shard == shard) return false;
    return shard > 0;
}

size_t tg_shard_blocks(const struct tg_plan *plan, size_t shard, bool *needs_device)
{
    size_t count = 0;
    *needs_device = false;
    for (size_t b = 0; b < plan->spec.block_count; b++) {
        const struct tg_block *block = &plan->spec.blocks[b];
        if (block->shard != shard) continue;
        count++;
        *needs_device = *needs_device || tg_plan_needs_device(plan, block);
    }
    return count;
}

/* Shards that are there, that have tests and are not, and that were not ended in order. */
enum which { HERE, LACKING, OPEN };

static bool is_such(const struct tg_plan *plan, size_t shard, enum which which)
{
    bool needs_device, is_missing = tg_shard_is_missing(plan, shard);
    if (which == HERE) return !is_missing;
    if (which == LACKING) return is_missing && tg_shard_blocks(plan, shard, &needs_device) > 0;
    for (size_t s = 0; s < plan->session_count; s++)
        if (plan->sessions[s].shard == shard) return !plan->sessions[s].is_sealed;
    return plan->session_count == 0 && !is_missing; /* a shard alone, of a run that is not sealed */
}

/* "1, 3-4": such shards; returns how many. */
static size_t list(const struct tg_plan *plan, enum which which, char *out, size_t size)
{
    size_t count = 0, begun = 0, used = 0;
    out[0] = 0;
    for (size_t shard = 1; shard <= plan->asked.shard_count + 1; shard++) {
        bool is_one = shard <= plan->asked.shard_count && is_such(plan, shard, which);
        count += is_one;
        if (is_one && !begun) begun = shard;
        if (is_one || !begun) continue;
        if (used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%zu", used ? ", " : "", begun);
        if (shard - 1 > begun && used < size)
            used += (size_t)snprintf(out + used, size - used, "-%zu", shard - 1);
        begun = 0;
    }
    return count;
}

bool tg_shard_note(const struct tg_plan *plan, char *out, size_t size)
{
    char here[150], missing[150];
    size_t tests = 0, count = plan->asked.shard_count;
    out[0] = 0;
    if (count == 0) return true;
    size_t here_count = list(plan, HERE, here, sizeof here);
    size_t missing_count = list(plan, LACKING, missing, sizeof missing);
    for (size_t i = 0; i < plan->spec.test_count; i++)
        tests += plan->prospects[i].fate == TG_TO_MISS;
    if (missing_count == 0) {
        snprintf(out, size, "all shards of %zu that have tests are there", count);
        return true;
    }
    snprintf(out, size, "%s %s of %zu: cannot pass without %s %s, which %s %zu of %zu tests",
             here_count == 1 ? "shard" : "shards", here, count,
             missing_count == 1 ? "shard" : "shards", missing, missing_count == 1 ? "has" : "have",
             tests, plan->spec.test_count);
    return false;
}

char *tg_shard_open_note(const struct tg_plan *plan, const struct tg_run *run, char *out,
                         size_t size)
{
    char open[150];
    out[0] = 0;
    if (run->is_sealed) return out;
    size_t count = list(plan, OPEN, open, sizeof open);
    if (count == 0)
        snprintf(out, size, "the run was not ended in order; run --resume ends it");
    else
        snprintf(out, size, "%s %s of %zu %s not ended in order; run --resume ends %s",
                 count == 1 ? "shard" : "shards", open, plan->asked.shard_count,
                 count == 1 ? "was" : "were", count == 1 ? "it" : "them");
    return out;
}
