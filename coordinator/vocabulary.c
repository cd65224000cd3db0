/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/vocabulary.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rule.h"
#include "kernels/kernel.h"
#include "results/metric.h"
#include "worker/model/model.h"
#include "worker/probe/probe.h"

struct list {
    struct tg_word *words;
    size_t count, room;
    bool failed;
    const char *relabelled; /* a name that two libraries label differently */
};

static void add(struct list *list, const char *axis, const char *name, const char *traits)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->words[i].axis, axis) != 0 || strcmp(list->words[i].name, name) != 0)
            continue;
        /* A kernel that changed its labels would leave the rules that select by them. */
        if (strcmp(list->words[i].traits, traits) != 0) list->relabelled = list->words[i].name;
        return;
    }
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct tg_word *words = realloc(list->words, room * sizeof *words);
        if (!words) {
            list->failed = true;
            return;
        }
        list->words = words;
        list->room = room;
    }
    char *copy = strdup(traits);
    if (!copy) list->failed = true;
    if (copy) list->words[list->count++] = (struct tg_word){axis, name, copy};
}

static void add_kernel(struct list *list, const char *name, const char *device, const char *op,
                       const char *format, const char *isa)
{
    char traits[512];
    snprintf(traits, sizeof traits, "device=%s op=%s format=%s isa=%s", device, op, format, isa);
    add(list, "kernel", name, traits);
}

static void add_tables(struct list *list)
{
    static const char *const builds[] = {"head", "base", "copy"};
    char traits[64];
    for (size_t i = 0; i < 3; i++) add(list, "build", builds[i], "");
    add(list, "cache", "hot", "");
    add(list, "cache", "stream", "");
    for (size_t i = 0; i < tg_probe_count(); i++) add(list, "probe", tg_probe_at(i)->name, "");
    for (size_t i = 0; i < tg_model_count(); i++) add(list, "model", tg_model_at(i)->name, "");
    for (size_t i = 0; i < tg_model_layer_count(); i++) add(list, "layer", tg_model_layer(i), "");
    for (size_t i = 0; i < tg_rule_count(); i++) {
        snprintf(traits, sizeof traits, "cells=%s reading=%s", tg_rule_at(i)->cells,
                 tg_rule_at(i)->reading);
        add(list, "rule", tg_rule_at(i)->name, traits);
    }
    for (size_t i = 0; i < tg_metric_count(); i++) {
        const struct tg_metric *m = tg_metric_at(i);
        snprintf(traits, sizeof traits, "nature=%s sign=%s unit=%s",
                 m->nature == TG_SAMPLED ? "sampled" : "fixed",
                 m->sign == TG_POSITIVE ? "positive" : "any", m->unit);
        add(list, "metric", m->name, traits);
    }
}

int tg_vocabulary_gather(const struct tg_survey *const surveys[], size_t count,
                         struct tg_words *words, struct tg_error *err)
{
    struct list list = {0};
    const struct tg_library *own = tritgate_kernels_v1();
    for (uint64_t i = 0; i < own->kernel_count; i++) {
        const struct tg_kernel *k = &own->kernels[i];
        add_kernel(&list, k->name, k->device, k->op, k->format, k->isa);
    }
    for (size_t s = 0; s < count; s++) {
        for (size_t i = 0; surveys[s] && i < surveys[s]->count; i++) {
            const struct tg_survey_kernel *k = &surveys[s]->kernels[i];
            add_kernel(&list, k->name, k->device, k->op, k->format, k->isa);
        }
    }
    add_tables(&list);
    words->words = list.words;
    words->count = list.count;
    if (!list.failed && !list.relabelled) return 0;
    int rc = list.failed ? tg_fail(err, "out of memory")
                         : tg_fail(err,
                                   "kernel '%s' has another operation, format, instruction set or "
                                   "device in another build; a changed kernel needs a new name",
                                   list.relabelled);
    tg_vocabulary_release(words);
    return rc;
}

void tg_vocabulary_release(struct tg_words *words)
{
    for (size_t i = 0; i < words->count; i++) free((char *)(uintptr_t)words->words[i].traits);
    free((struct tg_word *)(uintptr_t)words->words);
    *words = (struct tg_words){0};
}
