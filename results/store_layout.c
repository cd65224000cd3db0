/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_layout.h"

#include <assert.h>
#include <hdf5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hid_t fixed_text(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    return type;
}

int64_t tg_store_layout_text_type(void)
{
    return fixed_text(H5T_VARIABLE);
}

static void insert(hid_t compound, const char *name, size_t offset, hid_t type)
{
    H5Tinsert(compound, name, offset, type);
    H5Tclose(type);
}

static void insert_record(hid_t compound, const struct tg_record_type *record, size_t offset)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const struct tg_field *field = &record->fields[i];
        hid_t type = field->kind == TG_TEXT    ? fixed_text(TG_TEXT_SIZE)
                     : field->kind == TG_COUNT ? H5Tcopy(H5T_NATIVE_INT64)
                                               : H5Tcopy(H5T_NATIVE_DOUBLE);
        insert(compound, field->name, offset + field->offset, type);
    }
}

static void take_columns(hid_t type, const struct tg_record_type *all, struct tg_field *fields,
                         struct tg_record_type *taken)
{
    assert(all->field_count <= TG_STORE_FIELDS_MOST);
    *taken = *all;
    taken->fields = fields;
    taken->field_count = 0;
    for (size_t i = 0; i < all->field_count; i++)
        if (type < 0 || H5Tget_member_index(type, all->fields[i].name) >= 0)
            fields[taken->field_count++] = all->fields[i];
}

void tg_store_layout_columns(int64_t type, struct tg_store_columns *columns)
{
    bool is_compound = type >= 0 && H5Tget_class(type) == H5T_COMPOUND;
    take_columns(is_compound ? type : -1, &tg_cell_type, columns->axis_fields, &columns->axes);
    take_columns(is_compound ? type : -1, &tg_facts_type, columns->fact_fields, &columns->facts);
}

int64_t tg_store_layout_row_memory(const struct tg_store_columns *columns)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(struct tg_store_row));
    insert_record(row, &columns->axes, offsetof(struct tg_store_row, cell));
    insert(row, "block", offsetof(struct tg_store_row, block), fixed_text(H5T_VARIABLE));
    insert(row, "round", offsetof(struct tg_store_row, round), H5Tcopy(H5T_NATIVE_INT64));
    insert(row, "attempt", offsetof(struct tg_store_row, attempt), H5Tcopy(H5T_NATIVE_INT64));
    insert(row, "unpaired", offsetof(struct tg_store_row, unpaired), H5Tcopy(H5T_NATIVE_INT64));
    insert(row, "outcome", offsetof(struct tg_store_row, outcome), fixed_text(16));
    insert(row, "reason", offsetof(struct tg_store_row, reason), fixed_text(H5T_VARIABLE));
    insert_record(row, &columns->facts, offsetof(struct tg_store_row, facts));
    insert(row, "digest", offsetof(struct tg_store_row, digest), fixed_text(TG_DIGEST_SIZE));
    return row;
}

int64_t tg_store_layout_series_memory(void)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(struct tg_store_series));
    insert(row, "run", offsetof(struct tg_store_series, run), H5Tcopy(H5T_NATIVE_INT64));
    insert(row, "metric", offsetof(struct tg_store_series, metric), fixed_text(TG_TEXT_SIZE));
    insert(row, "sample_first", offsetof(struct tg_store_series, sample_first),
           H5Tcopy(H5T_NATIVE_INT64));
    insert(row, "sample_count", offsetof(struct tg_store_series, sample_count),
           H5Tcopy(H5T_NATIVE_INT64));
    return row;
}

static hid_t packed(hid_t memory)
{
    H5Tpack(memory);
    return memory;
}

int64_t tg_store_layout_row_type(const struct tg_store_columns *columns)
{
    return packed(tg_store_layout_row_memory(columns));
}

int64_t tg_store_layout_series_type(void)
{
    return packed(tg_store_layout_series_memory());
}

void tg_store_layout_to_row(const struct tg_measurement *m, const char *digest,
                            struct tg_store_row *row)
{
    memset(row, 0, sizeof *row);
    row->cell = m->cell;
    row->block = (char *)(uintptr_t)m->block;
    row->round = m->round;
    row->attempt = m->attempt;
    row->unpaired = m->unpaired;
    snprintf(row->outcome, sizeof row->outcome, "%s", tg_measurement_outcome(m->outcome));
    row->reason = (char *)(uintptr_t)m->reason;
    row->facts = m->facts;
    memcpy(row->digest, digest, TG_DIGEST_SIZE);
}

/*
 * Copies the fields that a file has. It may have filled a text to its last byte, or hidden bytes
 * behind its end.
 */
static void copy_fields(const struct tg_record_type *type, const void *from, void *to)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct tg_field *field = &type->fields[i];
        const char *source = (const char *)from + field->offset;
        char *target = (char *)to + field->offset;
        if (field->kind != TG_TEXT) {
            memcpy(target, source, 8); /* a count or a real */
            continue;
        }
        size_t length = strnlen(source, TG_TEXT_SIZE - 1);
        memset(target, 0, TG_TEXT_SIZE);
        memcpy(target, source, length);
    }
}

int tg_store_layout_from_row(const struct tg_store_row *row, const struct tg_store_columns *columns,
                             struct tg_measurement *m, struct tg_error *err)
{
    tg_measurement_init(m);
    copy_fields(&columns->axes, &row->cell, &m->cell);
    copy_fields(&columns->facts, &row->facts, &m->facts);
    m->round = row->round;
    m->attempt = row->attempt;
    m->unpaired = row->unpaired;
    snprintf(m->block, sizeof m->block, "%s", row->block ? row->block : "");
    snprintf(m->reason, sizeof m->reason, "%s", row->reason ? row->reason : "");
    for (int o = TG_MEASURED; o <= TG_SKIPPED; o++) {
        if (strcmp(row->outcome, tg_measurement_outcome((enum tg_outcome)o)) != 0) continue;
        m->outcome = (enum tg_outcome)o;
        return 0;
    }
    return tg_fail(err, "no such outcome '%.15s'", row->outcome);
}

static int digest_texts(const char *const texts[], size_t count, char digest[TG_DIGEST_SIZE],
                        struct tg_error *err)
{
    struct tg_digest *d = tg_digest_create(err);
    if (!d) return -1;
    for (size_t i = 0; i < count; i++) tg_digest_update(d, texts[i], strlen(texts[i]) + 1);
    int rc = tg_digest_finish(d, digest, err);
    tg_digest_destroy(d);
    return rc;
}

int tg_store_layout_plan_digest(const struct tg_store_plan *plan, char digest[TG_DIGEST_SIZE],
                                struct tg_error *err)
{
    const char *const texts[] = {plan->matrix, plan->policy, plan->plan};
    return digest_texts(texts, 3, digest, err);
}

int tg_store_layout_row_digest(const char *before, const struct tg_measurement *m,
                               const struct tg_record_type *facts, char digest[TG_DIGEST_SIZE],
                               struct tg_error *err)
{
    char *line = tg_measurement_to_json_with(m, facts);
    const char *const texts[] = {before, line};
    int rc = digest_texts(texts, 2, digest, err);
    free(line);
    return rc;
}
