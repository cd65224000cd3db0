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

#define OF(member) offsetof(struct tg_model_note, member)

static const struct {
    const char *metric;
    enum tg_kind kind; /* TG_COUNT or TG_REAL */
    size_t offset;
} quantities[] = {
    {"held_memory", TG_COUNT, OF(held_bytes)},
    {"peak_memory", TG_COUNT, OF(peak_bytes)},
    {"activation_time", TG_REAL, OF(stages.prepare)},
    {"product_time", TG_REAL, OF(stages.products)},
    {"attention_time", TG_REAL, OF(stages.attention)},
    {"head_time", TG_REAL, OF(stages.head)},
    {"choose_time", TG_REAL, OF(choose_s)},
    {"tokenize_rate", TG_REAL, OF(tokenize_rate)},
    {"copy_in_time", TG_REAL, OF(device.copy_in)},
    {"prompt_time", TG_REAL, OF(device.prompt)},
    {"step_time", TG_REAL, OF(device.step)},
    {"copy_out_time", TG_REAL, OF(device.copy_out)},
    {"gpu_memory", TG_COUNT, OF(gpu_bytes)},
};

static double value_of(const struct tg_model_note *note, size_t quantity)
{
    const void *at = (const char *)note + quantities[quantity].offset;
    return quantities[quantity].kind == TG_COUNT ? (double)*(const int64_t *)at
                                                 : *(const double *)at;
}

void tg_model_notes_add(const struct tg_model_notes *notes, struct tg_measurement *m)
{
    for (size_t q = 0; q < sizeof quantities / sizeof *quantities; q++) {
        size_t known = 0;
        while (known < notes->count && value_of(&notes->list[known], q) > 0) known++;
        if (known == 0 || known < notes->count) continue;
        struct tg_series *series = tg_measurement_add(m, quantities[q].metric, known);
        for (size_t i = 0; series && i < known; i++) {
            series->samples[i] = value_of(&notes->list[i], q);
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
