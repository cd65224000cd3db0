/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_notes.h"

#include <stdlib.h>

#include "worker/host.h"

void tg_model_notes_stages(const struct tg_session *s, double share, struct tg_model_note *note)
{
    if (s->device) {
        const struct tg_forward_device_times t = s->device->times(s->on_device);
        note->device.copy_in += share * t.copy_in;
        note->device.prompt += share * t.prompt;
        note->device.step += share * t.step;
        note->device.copy_out += share * t.copy_out;
    } else {
        const struct tg_forward_times t = tg_forward_times(s->forward);
        note->stages.prepare += share * t.prepare;
        note->stages.products += share * t.products;
        note->stages.attention += share * t.attention;
        note->stages.head += share * t.head;
    }
}

void tg_model_notes_take(struct tg_model_notes *notes, const struct tg_model_note *note)
{
    if (notes->count == notes->room) {
        const size_t room = notes->room ? 2 * notes->room : 64;
        struct tg_model_note *list = realloc(notes->list, room * sizeof *list);
        if (!list) return; /* its series are then too short, which their rules see */
        notes->list = list;
        notes->room = room;
    }
    struct tg_model_note *own = &notes->list[notes->count++];
    *own = *note;
    tg_host_process_memory(&own->held_bytes, &own->peak_bytes);
}

static double held(const struct tg_model_note *n)
{
    return (double)n->held_bytes;
}

static double peak(const struct tg_model_note *n)
{
    return (double)n->peak_bytes;
}

static double activation(const struct tg_model_note *n)
{
    return n->stages.prepare;
}

static double product(const struct tg_model_note *n)
{
    return n->stages.products;
}

static double attention(const struct tg_model_note *n)
{
    return n->stages.attention;
}

static double head(const struct tg_model_note *n)
{
    return n->stages.head;
}

static double choice(const struct tg_model_note *n)
{
    return n->choose_s;
}

static double tokenize(const struct tg_model_note *n)
{
    return n->tokenize_rate;
}

static double copy_in(const struct tg_model_note *n)
{
    return n->device.copy_in;
}

static double prompt(const struct tg_model_note *n)
{
    return n->device.prompt;
}

static double step(const struct tg_model_note *n)
{
    return n->device.step;
}

static double copy_out(const struct tg_model_note *n)
{
    return n->device.copy_out;
}

static double gpu(const struct tg_model_note *n)
{
    return (double)n->gpu_bytes;
}

static const struct {
    const char *metric;
    double (*value)(const struct tg_model_note *note);
} quantities[] = {
    {"held_memory", held},     {"peak_memory", peak},         {"activation_time", activation},
    {"product_time", product}, {"attention_time", attention}, {"head_time", head},
    {"choose_time", choice},   {"tokenize_rate", tokenize},   {"copy_in_time", copy_in},
    {"prompt_time", prompt},   {"step_time", step},           {"copy_out_time", copy_out},
    {"gpu_memory", gpu}};

void tg_model_notes_add(const struct tg_model_notes *notes, struct tg_measurement *m)
{
    for (size_t q = 0; q < sizeof quantities / sizeof *quantities; q++) {
        size_t known = 0;
        while (known < notes->count && quantities[q].value(&notes->list[known]) > 0) known++;
        if (known == 0 || known < notes->count) continue;
        struct tg_series *series = tg_measurement_add(m, quantities[q].metric, known);
        for (size_t i = 0; series && i < known; i++) {
            series->samples[i] = quantities[q].value(&notes->list[i]);
            series->turns[i] = (int64_t)notes->list[i].turn;
            series->begun[i] = notes->list[i].begun;
        }
    }
}

void tg_model_notes_release(struct tg_model_notes *notes)
{
    free(notes->list);
    *notes = (struct tg_model_notes){0};
}
