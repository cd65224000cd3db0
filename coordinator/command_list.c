/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "coordinator/catalogue.h"
#include "coordinator/command.h"
#include "coordinator/course.h"
#include "coordinator/report.h"
#include "coordinator/rule.h"
#include "coordinator/terminal.h"
#include "kernels/format.h"
#include "kernels/isa.h"
#include "kernels/kernel.h"
#include "matrix/cell.h"
#include "matrix/policy.h"
#include "results/hardware.h"
#include "results/measurement.h"
#include "results/metric.h"
#include "worker/model/model.h"
#include "worker/model/profile.h"
#include "worker/probe/probe.h"
#include "worker/seat.h"

/* The tables, each a list of rows of named texts. */

enum { TEXTS_MOST = TG_TERMINAL_COLUMNS, TEXT_SIZE = 400 };

struct row {
    char texts[TEXTS_MOST][TEXT_SIZE];
};

struct table {
    const char *name;
    const char *columns[TEXTS_MOST + 1]; /* ends with NULL */
    size_t (*count)(void);
    void (*fill)(size_t i, struct row *row);
    const struct tg_record_type *fields; /* whose fields are the rows, instead of those two */
};

static void set(struct row *row, int column, const char *text)
{
    snprintf(row->texts[column], TEXT_SIZE, "%s", text);
}

static void set_number(struct row *row, int column, int64_t number)
{
    snprintf(row->texts[column], TEXT_SIZE, "%lld", (long long)number);
}

static void fill_field(const struct tg_record_type *type, size_t i, struct row *row)
{
    const struct tg_field *f = &type->fields[i];
    set(row, 0, f->name);
    set(row, 1, f->kind == TG_TEXT ? "text" : f->kind == TG_COUNT ? "count" : "real");
    set(row, 2, f->fallback);
    set(row, 3, f->unit);
    set(row, 4, f->meaning);
}

static size_t kernel_count(void)
{
    return (size_t)tritgate_kernels_v1()->kernel_count;
}

static void fill_kernel(size_t i, struct row *row)
{
    const struct tg_kernel *k = &tritgate_kernels_v1()->kernels[i];
    set(row, 0, k->name);
    set(row, 1, k->op);
    set(row, 2, k->format);
    set(row, 3, k->isa);
    set(row, 4, k->device);
    set(row, 5, !k->run ? "not in this build" : k->here() ? "yes" : "not on this machine");
    set(row, 6, k->source);
}

static void fill_format(size_t i, struct row *row)
{
    set(row, 0, tg_format_at(i)->name);
    set_number(row, 1, tg_format_at(i)->column_multiple);
    set(row, 2, tg_format_at(i)->meaning);
}

static void fill_op(size_t i, struct row *row)
{
    set(row, 0, tg_op_at(i)->name);
    set(row, 1, tg_op_at(i)->activations->name);
    set(row, 2, tg_op_at(i)->has_weights ? "weights" : "tokens");
    set(row, 3, tg_op_at(i)->meaning);
}

static void fill_isa(size_t i, struct row *row)
{
    const struct tg_isa *isa = tg_isa_at(i);
    set(row, 0, isa->name);
    set(row, 1, isa->processor);
    set(row, 2, !isa->is_built ? "not in this build" : isa->here() ? "yes" : "not on this machine");
    set(row, 3, isa->flags);
}

/* What the driver says, asked before the table is printed. */
static struct tg_gpu_list gpus;

static size_t gpu_count(void)
{
    return gpus.count;
}

static void fill_gpu(size_t i, struct row *row)
{
    static const char *const names[] = {"uuid", "name",         "memory_bytes", "numa",
                                        "mig",  "compute_mode", "pci",          "driver"};
    for (int c = 0; c < TEXTS_MOST; c++)
        tg_record_get(tg_record_field(&tg_gpu_type, names[c]), &gpus.gpus[i], row->texts[c],
                      TEXT_SIZE);
}

static void fill_metric(size_t i, struct row *row)
{
    const struct tg_metric *m = tg_metric_at(i);
    set(row, 0, m->name);
    set(row, 1, m->unit);
    set(row, 2, m->better == TG_LOWER ? "lower" : "higher");
    set(row, 3, m->nature == TG_SAMPLED ? "sampled" : "fixed");
    set(row, 4, m->meaning);
}

static void fill_model(size_t i, struct row *row)
{
    const struct tg_model *m = tg_model_at(i);
    set(row, 0, m->name);
    set_number(row, 1, m->hidden);
    set_number(row, 2, m->ffn);
    set_number(row, 3, m->layers);
    set_number(row, 4, m->heads);
    set_number(row, 5, m->key_value_heads);
    set_number(row, 6, m->vocabulary);
    set(row, 7, m->source);
}

static size_t layer_count(void)
{
    return tg_model_count() * tg_model_layer_count();
}

static void fill_layer(size_t i, struct row *row)
{
    const char *model = tg_model_at(i / tg_model_layer_count())->name;
    const char *layer = tg_model_layer(i % tg_model_layer_count());
    int64_t rows = -1, cols = -1;
    struct tg_error err;
    tg_model_shape(model, layer, &rows, &cols, &err); /* which all of these names have */
    set(row, 0, model);
    set(row, 1, layer);
    set_number(row, 2, rows);
    set_number(row, 3, cols);
}

static void fill_profile(size_t i, struct row *row)
{
    const struct tg_profile *p = tg_profile_at(i);
    set(row, 0, p->name);
    set_number(row, 1, p->prompt);
    set_number(row, 2, p->tokens);
    set(row, 3, p->metric);
    set(row, 4, p->meaning);
}

static void fill_probe(size_t i, struct row *row)
{
    set(row, 0, tg_probe_at(i)->name);
    set(row, 1, tg_probe_at(i)->meaning);
}

static void fill_rule(size_t i, struct row *row)
{
    set(row, 0, tg_rule_at(i)->name);
    set(row, 1, tg_rule_at(i)->cells);
    set(row, 2, tg_rule_at(i)->reading);
    set(row, 3, tg_rule_at(i)->meaning);
}

static void fill_report(size_t i, struct row *row)
{
    set(row, 0, tg_report_at(i)->name);
    set(row, 1, *tg_report_at(i)->file ? tg_report_at(i)->file : "-");
    set(row, 2, tg_report_at(i)->meaning);
}

/* The matrices or policies beside the program, found before the table is printed. */
static struct tg_catalogue files;

static size_t file_count(void)
{
    return files.count;
}

/* What can be read of one; nothing but its name if it is no JSON. */
static void fill_policy(size_t i, struct row *row)
{
    struct tg_json_file file;
    struct tg_limits limits;
    set(row, 0, files.entries[i].name);
    for (int c = 1; c <= 4; c++) set(row, c, "");
    tg_record_init(&tg_limits_type, &limits);
    if (tg_json_read(files.entries[i].path, &file, NULL) < 0) return;
    const struct tg_json *given = tg_json_get(tg_json_get(file.root, "limits"), "budget_s");
    set_number(row, 1, (int64_t)tg_json_count(tg_json_get(file.root, "steps")));
    set_number(row, 2, (int64_t)tg_json_count(tg_json_get(file.root, "rules")));
    snprintf(row->texts[3], TEXT_SIZE, "%g", given ? tg_json_number(given) : limits.budget_s);
    set(row, 4, tg_json_text(tg_json_get(file.root, "meaning")));
    tg_json_release(&file);
}

static void fill_matrix(size_t i, struct row *row)
{
    struct tg_json_file file;
    set(row, 0, files.entries[i].path);
    for (int c = 1; c <= 2; c++) set(row, c, "");
    if (tg_json_read(files.entries[i].path, &file, NULL) < 0) return;
    set(row, 1, tg_json_text(tg_json_get(file.root, "policy")));
    set(row, 2, tg_json_text(tg_json_get(file.root, "meaning")));
    tg_json_release(&file);
}

#define FIELDS "name", "kind", "default", "unit", "meaning"

static const struct table tables[] = {
    {"axes", {FIELDS}, NULL, NULL, &tg_cell_type},
    {"kernels",
     {"name", "op", "format", "isa", "device", "here", "source"},
     kernel_count,
     fill_kernel},
    {"formats", {"name", "columns", "meaning"}, tg_format_count, fill_format},
    {"ops", {"name", "activations", "rows", "meaning"}, tg_op_count, fill_op},
    {"isas", {"name", "processor", "here", "flags"}, tg_isa_count, fill_isa},
    {"gpus",
     {"uuid", "name", "memory_bytes", "numa", "mig", "compute_mode", "pci", "driver"},
     gpu_count,
     fill_gpu},
    {"metrics", {"name", "unit", "better", "nature", "meaning"}, tg_metric_count, fill_metric},
    {"facts", {FIELDS}, NULL, NULL, &tg_facts_type},
    {"hardware", {FIELDS}, NULL, NULL, &tg_hardware_type},
    {"limits", {FIELDS}, NULL, NULL, &tg_limits_type},
    {"models",
     {"name", "hidden", "ffn", "layers", "heads", "kv_heads", "vocabulary", "source"},
     tg_model_count,
     fill_model},
    {"layers", {"model", "layer", "rows", "cols"}, layer_count, fill_layer},
    {"probes", {"name", "meaning"}, tg_probe_count, fill_probe},
    {"profiles",
     {"name", "prompt", "new_tokens", "metric", "meaning"},
     tg_profile_count,
     fill_profile},
    {"rules", {"name", "cells", "reading", "meaning"}, tg_rule_count, fill_rule},
    {"reports", {"name", "file", "meaning"}, tg_report_count, fill_report},
    {"matrices", {"file", "policy", "meaning"}, file_count, fill_matrix},
    {"policies", {"name", "steps", "rules", "budget_s", "meaning"}, file_count, fill_policy},
    {"watch", {FIELDS}, NULL, NULL, &tg_watch_type},
};

static size_t count_of(const struct table *table)
{
    return table->fields ? table->fields->field_count : table->count();
}

static void fill(const struct table *table, size_t i, struct row *row)
{
    if (table->fields)
        fill_field(table->fields, i, row);
    else
        table->fill(i, row);
}

/* Elsewhere than on a terminal a row has all its blanks. */
static void print_row(const struct tg_terminal_table *table, const char *const texts[])
{
    if (table->terminal) {
        tg_terminal_row(stdout, table, texts, TG_PLAIN);
        return;
    }
    for (int c = 0; c < table->columns; c++) {
        bool is_last = c + 1 == table->columns;
        int rest = is_last ? 0 : (int)(table->widths[c] - tg_terminal_letters(texts[c]));
        printf("%s%*s%s", texts[c], rest, "", is_last ? "\n" : "  ");
    }
}

static void print_text(const struct table *table)
{
    struct tg_terminal_table layout = {.first = 1, .indent = 4, .least = 20};
    const char *texts[TEXTS_MOST];
    struct row row;
    int columns = 0;
    for (; table->columns[columns]; columns++) {
        layout.widths[columns] = strlen(table->columns[columns]);
        texts[columns] = row.texts[columns];
    }
    layout.columns = columns;
    for (size_t i = 0; i < count_of(table); i++) {
        fill(table, i, &row);
        for (int c = 0; c < columns; c++) {
            size_t letters = tg_terminal_letters(texts[c]);
            if (letters > layout.widths[c]) layout.widths[c] = letters;
        }
    }
    tg_terminal_fit(stdout, &layout);
    print_row(&layout, table->columns);
    for (size_t i = 0; i < count_of(table); i++) {
        fill(table, i, &row);
        print_row(&layout, texts);
    }
}

static void print_json(const struct table *table)
{
    struct row row;
    struct tg_json *root = tg_json_array(NULL, NULL);
    for (size_t i = 0; i < count_of(table); i++) {
        struct tg_json *item = tg_json_object(root, NULL);
        fill(table, i, &row);
        for (int c = 0; table->columns[c]; c++)
            tg_json_add_text(item, table->columns[c], row.texts[c]);
    }
    char *text = tg_json_print(root, true);
    puts(text);
    free(text);
    tg_json_free(root);
}

/* Every field of every GPU, or the reason why there is none. */
static void print_gpus(bool json)
{
    if (json) {
        struct tg_json *root = tg_json_object(NULL, NULL);
        tg_gpu_list_add(root, &gpus);
        char *text = tg_json_print(root, true);
        puts(text);
        free(text);
        tg_json_free(root);
    } else {
        puts(gpus.reason);
    }
}

struct options {
    const struct table *table;
    bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j': o->json = true; return 0;
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
            if (strcmp(tables[i].name, arg) == 0) o->table = &tables[i];
        if (!o->table || state->arg_num > 0)
            argp_failure(state, TG_STATUS_USAGE, 0, "no such table '%s'; see tritgate list --help",
                         arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->table)
            argp_failure(state, TG_STATUS_USAGE, 0, "a table is missing; see tritgate list --help");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Finds what a table lists beside what is built in. Returns an exit status. */
static int look_around(const struct table *table)
{
    const struct tg_node here = {NULL, NULL};
    char sources[4096], folder[sizeof sources + 8];
    const char *const folders[] = {folder};
    bool is_policies = table->fill == fill_policy;
    struct tg_error err;
    int rc = 0;
    tg_command_sources(sources, sizeof sources);
    snprintf(folder, sizeof folder, "%s%s", sources, *sources && is_policies ? "/policy" : "");
    if (table->fill == fill_gpu)
        rc = tg_seat_gpus(&here, &gpus, &err);
    else if (is_policies || table->fill == fill_matrix)
        rc = tg_catalogue_find(folders, 1, &files, &err);
    if (rc < 0) tg_log(TG_ERROR, "%s", err.text);
    return rc < 0 ? TG_STATUS_STOPPED : 0;
}

int tg_command_list(int argc, char **argv)
{
    static const struct argp_option option_list[] = {{"json", 'j', NULL, 0, "as JSON", 0}, {0}};
    static const struct argp argp = {option_list,
                                     parse,
                                     "TABLE",
                                     "Prints a table: axes, kernels, formats, ops, isas, metrics, "
                                     "facts, gpus, hardware, limits, models, layers, probes, "
                                     "profiles, rules, reports, watch, or the matrices or policies "
                                     "that lie beside the program.\v"
                                     "Exit status: 0, or 3 for a table that is not there.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct options options = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int status = look_around(options.table);
    if (status) return status;
    if (options.table->fill == fill_gpu && (options.json || gpus.count == 0))
        print_gpus(options.json);
    else if (options.json)
        print_json(options.table);
    else
        print_text(options.table);
    tg_catalogue_release(&files);
    return 0;
}
