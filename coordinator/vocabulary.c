/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/vocabulary.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rule.h"
#include "kernels/kernel.h"
#include "matrix/spec.h"
#include "results/hardware.h"
#include "results/metric.h"
#include "worker/model/model.h"
#include "worker/model/model_source.h"
#include "worker/model/profile.h"
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
    add(list, "model", TG_MODEL_FILE, "");
    for (size_t i = 0; i < tg_model_layer_count(); i++) add(list, "layer", tg_model_layer(i), "");
    for (size_t i = 0; i < tg_profile_count(); i++)
        add(list, "profile", tg_profile_at(i)->name, "");
    for (size_t i = 0; i < tg_rule_count(); i++) {
        snprintf(traits, sizeof traits, "cells=%s reading=%s", tg_rule_at(i)->cells,
                 tg_rule_at(i)->reading);
        add(list, "rule", tg_rule_at(i)->name, traits);
    }
    for (size_t i = 0; i < tg_hardware_type.field_count; i++)
        add(list, "hardware", tg_hardware_type.fields[i].name, "");
    static const char *const signs[] = {"positive", "amount", "any", "share"};
    for (size_t i = 0; i < tg_metric_count(); i++) {
        const struct tg_metric *m = tg_metric_at(i);
        snprintf(traits, sizeof traits, "nature=%s sign=%s unit=%s",
                 m->nature == TG_SAMPLED ? "sampled" : "fixed", signs[m->sign], m->unit);
        add(list, "metric", m->name, traits);
    }
}

/* The kernels that head has and base has not. */
static void add_new(struct list *list, const struct tg_survey *head, const struct tg_survey *base)
{
    for (size_t i = 0; i < head->count; i++) {
        const struct tg_survey_kernel *k = tg_survey_find(base, head->kernels[i].name);
        if (head->kernels[i].built && !(k && k->built))
            add(list, TG_SPEC_NEW, head->kernels[i].name, "");
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
    if (count > 1 && surveys[0] && surveys[1]) add_new(&list, surveys[0], surveys[1]);
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

/* A value of a matrix, unless it is known, is a pattern, or its axis takes any value. */
static int add_value(struct tg_words *words, const char *axis, const char *value,
                     struct tg_error *err)
{
    const struct tg_field *field = tg_record_field(&tg_cell_type, axis);
    if (!field || field->kind != TG_TEXT || !*value || tg_words_is_pattern(value) ||
        strcmp(axis, "kernel") == 0 || strcmp(axis, "build") == 0 || !tg_words_cover(words, axis) ||
        tg_words_find(words, axis, value))
        return 0;
    struct tg_word *grown = realloc((struct tg_word *)(uintptr_t)words->words,
                                    (words->count + 1) * sizeof *grown);
    if (!grown) return tg_fail(err, "out of memory");
    words->words = grown;
    /* The name lies behind the traits, which are empty, and is freed with them. */
    size_t length = strlen(value);
    char *traits = calloc(1, length + 2);
    if (!traits) return tg_fail(err, "out of memory");
    memcpy(traits + 1, value, length);
    grown[words->count++] = (struct tg_word){field->name, traits + 1, traits};
    return 0;
}

static int add_axes(struct tg_words *words, const struct tg_json *axes, struct tg_error *err)
{
    if (tg_json_kind(axes) != TG_JSON_OBJECT) return 0; /* reading the matrix says so */
    for (size_t a = 0; a < tg_json_count(axes); a++) {
        const struct tg_json *list = tg_json_at(axes, a);
        for (size_t i = 0; i < tg_json_count(list); i++)
            if (add_value(words, tg_json_key(list), tg_json_text(tg_json_at(list, i)), err) < 0)
                return -1;
    }
    return 0;
}

int tg_vocabulary_add_values(struct tg_words *words, const struct tg_json_file *matrix,
                             struct tg_error *err)
{
    const struct tg_json *axes = tg_json_get(matrix->root, "axes");
    if (tg_json_kind(axes) != TG_JSON_ARRAY) return add_axes(words, axes, err);
    for (const struct tg_json *one = tg_json_count(axes) ? tg_json_at(axes, 0) : NULL; one;
         one = tg_json_next(one))
        if (add_axes(words, one, err) < 0) return -1;
    return 0;
}

void tg_vocabulary_release(struct tg_words *words)
{
    for (size_t i = 0; i < words->count; i++) free((char *)(uintptr_t)words->words[i].traits);
    free((struct tg_word *)(uintptr_t)words->words);
    *words = (struct tg_words){0};
}
