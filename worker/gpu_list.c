/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/gpu_list.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tg_field gpu_fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_gpu, name), fallback, unit, meaning},
#include "worker/gpu.def"
#undef FIELD
};

const struct tg_record_type tg_gpu_type = {
    "field of a GPU", gpu_fields, sizeof gpu_fields / sizeof *gpu_fields, sizeof(struct tg_gpu)};

void tg_gpu_list_none(struct tg_gpu_list *list, const char *format, ...)
{
    va_list arguments;
    list->count = 0;
    va_start(arguments, format);
    vsnprintf(list->reason, sizeof list->reason, format, arguments);
    va_end(arguments);
}

/* One line of a recorded list, without its end. */
static int read_line(const char *line, struct tg_gpu_list *list, struct tg_error *err)
{
    static const char reason[] = "reason ";
    if (*line == 0 || *line == '#') return 0;
    if (strncmp(line, reason, sizeof reason - 1) == 0) {
        snprintf(list->reason, sizeof list->reason, "%s", line + sizeof reason - 1);
        return 0;
    }
    if (list->count == TG_GPU_MOST) return tg_fail(err, "more than %d GPUs", TG_GPU_MOST);
    struct tg_gpu *gpu = &list->gpus[list->count];
    tg_record_init(&tg_gpu_type, gpu);
    if (tg_record_parse(&tg_gpu_type, gpu, line, err) < 0) return -1;
    list->count++;
    return 0;
}

int tg_gpu_list_read(const char *path, struct tg_gpu_list *list, struct tg_error *err)
{
    char line[4096];
    int rc = 0;
    FILE *f = fopen(path, "r");
    if (!f) return tg_fail(err, "cannot read GPUs '%s': %s", path, strerror(errno));
    struct tg_gpu_list *read = calloc(1, sizeof *read);
    if (!read) rc = tg_fail(err, "out of memory");
    while (rc == 0 && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        rc = read_line(line, read, err);
        if (rc < 0) tg_fail_in(err, "%s", path);
    }
    if (rc == 0 && read->count == 0 && !*read->reason) tg_gpu_list_none(read, "no GPU is recorded");
    if (rc == 0 && read->count > 0) read->reason[0] = 0;
    if (rc == 0) *list = *read;
    free(read);
    fclose(f);
    return rc;
}

void tg_gpu_list_add(struct tg_json *object, const struct tg_gpu_list *list)
{
    struct tg_json *array = tg_json_array(object, "gpus");
    for (size_t i = 0; i < list->count; i++)
        tg_json_add_record(array, NULL, &tg_gpu_type, &list->gpus[i]);
    tg_json_add_text(object, "reason", list->reason);
}

int tg_gpu_list_parse(const struct tg_json_file *file, const struct tg_json *object,
                      struct tg_gpu_list *list, struct tg_error *err)
{
    const struct tg_json *array = tg_json_get(object, "gpus");
    const char *reason = tg_json_text(tg_json_get(object, "reason"));
    size_t count = tg_json_count(array);
    if (!array || count > TG_GPU_MOST || (count == 0) == (*reason == 0))
        return tg_json_fail(file, object, err, "not a list of GPUs");
    struct tg_gpu_list *parsed = calloc(1, sizeof *parsed);
    if (!parsed) return tg_fail(err, "out of memory");
    int rc = 0;
    for (; parsed->count < count && rc == 0; parsed->count++) {
        struct tg_gpu *gpu = &parsed->gpus[parsed->count];
        tg_record_init(&tg_gpu_type, gpu);
        rc = tg_json_read_record(file, tg_json_at(array, parsed->count), &tg_gpu_type, gpu, err);
    }
    snprintf(parsed->reason, sizeof parsed->reason, "%s", reason);
    if (rc == 0) *list = *parsed;
    free(parsed);
    return rc;
}

/* The uuid of the whole GPU. */
static const char *whole(const struct tg_gpu *gpu)
{
    return strcmp(gpu->parent, "none") == 0 ? gpu->uuid : gpu->parent;
}

static bool are_alike(const struct tg_gpu_list *list)
{
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(list->gpus[i].name, list->gpus[0].name) != 0) return false;
    return true;
}

static bool begins(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool is_number(const char *word)
{
    return *word && strspn(word, "0123456789") == strlen(word);
}

/* Whether one word of CUDA_VISIBLE_DEVICES means this GPU. */
static bool is_named(const struct tg_gpu *gpu, const char *word)
{
    if (is_number(word)) return strtoll(word, NULL, 10) == gpu->index;
    if (begins(word, "MIG-")) return begins(gpu->uuid, word);
    return begins(word, "GPU-") && begins(whole(gpu), word);
}

/* Adds what a word names to `chosen`: false if it names none, several, or one again. */
static bool take(const struct tg_gpu_list *list, bool taken[TG_GPU_MOST], const char *word,
                 struct tg_gpu_list *chosen)
{
    const struct tg_gpu *first = NULL;
    bool is_instance = begins(word, "MIG-");
    for (size_t i = 0; i < list->count; i++) {
        const struct tg_gpu *gpu = &list->gpus[i];
        if (!is_named(gpu, word)) continue;
        if (taken[i]) return false;
        if (first && (is_instance || strcmp(whole(first), whole(gpu)) != 0)) return false;
        if (!first) first = gpu;
    }
    for (size_t i = 0; first && i < list->count; i++) {
        if (!is_named(&list->gpus[i], word)) continue;
        taken[i] = true;
        chosen->gpus[chosen->count++] = list->gpus[i];
    }
    return first != NULL;
}

/* What the words of `visible` name, up to the first that names nothing. */
static void take_all(const struct tg_gpu_list *list, const char *visible,
                     struct tg_gpu_list *chosen)
{
    bool taken[TG_GPU_MOST] = {false};
    for (const char *at = visible; at;) {
        char word[TG_TEXT_SIZE];
        size_t length;
        at += strspn(at, " \t");
        length = strcspn(at, ",");
        size_t kept = length;
        while (kept > 0 && strchr(" \t\n", at[kept - 1])) kept--;
        if (kept == 0 || kept >= sizeof word) return;
        memcpy(word, at, kept);
        word[kept] = 0;
        if (!take(list, taken, word, chosen)) return;
        at = at[length] ? at + length + 1 : NULL;
    }
}

static bool has_numbers(const char *visible)
{
    const char *at = visible + strspn(visible, " \t");
    for (; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (strchr("0123456789", at[strspn(at, " \t")]) && at[strspn(at, " \t")]) return true;
    return false;
}

/* A divided GPU without an instance is nothing that a process could use. */
static void drop_empty(struct tg_gpu_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->gpus[i].mig, "on") != 0) list->gpus[kept++] = list->gpus[i];
    if (kept == 0 && list->count > 0)
        tg_gpu_list_none(list, "the GPU is divided (MIG) and has no instance");
    list->count = kept;
}

void tg_gpu_list_choose(struct tg_gpu_list *list, const char *visible, const char *order)
{
    if (list->count == 0) return;
    if (!visible) {
        drop_empty(list);
        return;
    }
    if (has_numbers(visible) && !are_alike(list) && (!order || strcmp(order, "PCI_BUS_ID") != 0)) {
        tg_gpu_list_none(list, "CUDA_VISIBLE_DEVICES counts GPUs that are not alike: name them by "
                               "uuid, or set CUDA_DEVICE_ORDER=PCI_BUS_ID");
        return;
    }
    struct tg_gpu_list *chosen = calloc(1, sizeof *chosen);
    if (!chosen) {
        tg_gpu_list_none(list, "out of memory");
        return;
    }
    take_all(list, visible, chosen);
    *list = *chosen;
    free(chosen);
    if (list->count == 0)
        tg_gpu_list_none(list, "CUDA_VISIBLE_DEVICES='%s' shows no GPU of this node", visible);
    drop_empty(list);
}

void tg_gpu_list_describe(const struct tg_gpu *gpu, struct tg_hardware *hardware)
{
    memcpy(hardware->gpu, gpu->name, sizeof hardware->gpu);
    memcpy(hardware->gpu_mig, gpu->mig, sizeof hardware->gpu_mig);
    memcpy(hardware->gpu_ecc, gpu->ecc, sizeof hardware->gpu_ecc);
    hardware->gpu_memory_hz = gpu->memory_clock_hz;
    hardware->gpu_power_w = isnan(gpu->power_limit_w) ? -1 : lround(gpu->power_limit_w);
    snprintf(hardware->gpu_driver, sizeof hardware->gpu_driver, "%.*s",
             (int)strcspn(gpu->driver, "."), gpu->driver);
}
