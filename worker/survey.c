/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/survey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/format.h"
#include "kernels/op.h"
#include "results/digest.h"
#include "worker/child.h"
#include "worker/gpu.h"
#include "worker/library.h"
#include "worker/model/forward_device.h"
#include "worker/model/model.h"
#include "worker/model/profile.h"
#include "worker/model/session.h"
#include "worker/probe/probe.h"

#define ANSWER_WITHIN_S 30
#define NAME_LETTERS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static void add_kernel(struct tg_json *list, const struct tg_survey_kernel *k)
{
    struct tg_json *row = tg_json_object(list, NULL);
    tg_json_add_text(row, "name", k->name);
    tg_json_add_text(row, "op", k->op);
    tg_json_add_text(row, "format", k->format);
    tg_json_add_text(row, "isa", k->isa);
    tg_json_add_text(row, "device", k->device);
    tg_json_add_boolean(row, "built", k->built);
    tg_json_add_boolean(row, "here", k->here);
    tg_json_add_number(row, "column_multiple", (double)k->column_multiple);
}

void tg_survey_add(struct tg_json *parent, const char *key, const struct tg_survey *survey)
{
    struct tg_json *object = tg_json_object(parent, key);
    tg_json_add_text(object, "path", survey->path);
    tg_json_add_text(object, "digest", survey->digest);
    tg_json_add_text(object, "build", survey->build);
    tg_json_add_number(object, "injected_percent", (double)survey->injected_percent);
    tg_json_add_boolean(object, "is_debug", survey->is_debug);
    tg_json_add_number(object, "cores", (double)survey->cores);
    if (*survey->no_gpu) tg_json_add_text(object, "no_gpu", survey->no_gpu);
    if (survey->gpu_bytes) tg_json_add_number(object, "gpu_bytes", (double)survey->gpu_bytes);
    if (survey->memory_bytes)
        tg_json_add_number(object, "memory_bytes", (double)survey->memory_bytes);
    if (*survey->no_model) tg_json_add_text(object, "no_model", survey->no_model);
    if (*survey->model_path) tg_json_add_text(object, "model_path", survey->model_path);
    if (*survey->model_digest) tg_json_add_text(object, "model_digest", survey->model_digest);
    struct tg_json *list = tg_json_array(object, "kernels");
    for (size_t i = 0; i < survey->count; i++) add_kernel(list, &survey->kernels[i]);
}

static void copy(char *to, const char *from)
{
    snprintf(to, TG_TEXT_SIZE, "%s", from);
}

/* Asks a kernel whether it can run here; CUDA is not started where it is to show no GPU. */
static bool is_here(const struct tg_kernel *kernel)
{
    const char *shown = getenv("CUDA_VISIBLE_DEVICES");
    bool is_hidden = strcmp(kernel->device, "cuda") == 0 && shown && !*shown;
    return kernel->run && !is_hidden && kernel->here();
}

static int look(const char *path, struct tg_survey *survey, struct tg_error *err)
{
    const struct tg_library *library;
    if (tg_library_open(path, &library, err) < 0 || tg_digest_file(path, survey->digest, err) < 0)
        return -1;
    survey->kernels = calloc(library->kernel_count + 1, sizeof *survey->kernels);
    if (!survey->kernels) return tg_fail(err, "out of memory");
    snprintf(survey->path, sizeof survey->path, "%s", path);
    snprintf(survey->build, sizeof survey->build, "%s", library->build);
    survey->injected_percent = library->injected_percent;
    survey->is_debug = library->is_debug != 0;
    for (; survey->count < library->kernel_count; survey->count++) {
        const struct tg_kernel *from = &library->kernels[survey->count];
        struct tg_survey_kernel *to = &survey->kernels[survey->count];
        copy(to->name, from->name);
        copy(to->op, from->op);
        copy(to->format, from->format);
        copy(to->isa, from->isa);
        copy(to->device, from->device);
        to->built = from->run != NULL;
        to->here = is_here(from);
        to->column_multiple = from->column_multiple;
    }
    return 0;
}

/* Prints an object as a line and frees it. */
static int say(struct tg_json *root, int descriptor, struct tg_error *err)
{
    char *line = tg_json_print(root, false);
    int rc = dprintf(descriptor, "%s\n", line) < 0 ? tg_fail(err, "nobody listens") : 0;
    free(line);
    tg_json_free(root);
    return rc;
}

int tg_survey_answer(const char *path, int descriptor, struct tg_error *err)
{
    struct tg_survey survey = {0};
    struct tg_json *root = tg_json_object(NULL, NULL);
    int rc = look(path, &survey, err);
    if (rc < 0)
        tg_json_add_text(root, "error", err->text);
    else
        tg_survey_add(root, "survey", &survey);
    if (say(root, descriptor, err) < 0) rc = -1;
    tg_survey_release(&survey);
    return rc;
}

void tg_survey_mark_model(struct tg_survey *survey, const struct tg_model_source *models)
{
    bool is_there = false;
    struct tg_error why;
    char path[sizeof models->file];
    survey->no_model[0] = survey->model_path[0] = survey->model_digest[0] = 0;
    if (tg_model_source_find(models, TG_MODEL_FILE, path, sizeof path, &is_there, &why) < 0 ||
        tg_digest_file(path, survey->model_digest, &why) < 0)
        snprintf(survey->no_model, sizeof survey->no_model, "%.250s", why.text);
    else
        snprintf(survey->model_path, sizeof survey->model_path, "%.1000s", path);
}

int tg_survey_answer_gpus(int descriptor, struct tg_error *err)
{
    struct tg_gpu_list *list = malloc(sizeof *list);
    if (!list) return tg_fail(err, "out of memory");
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_gpu_read(list);
    tg_gpu_list_add(root, list);
    free(list);
    return say(root, descriptor, err);
}

static int read_answer(const char *line, struct tg_survey *survey, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_parse(line, &file, err) < 0) return -1;
    const char *error = tg_json_text(tg_json_get(file.root, "error"));
    int rc = *error ? tg_fail(err, "%s", error)
                    : tg_survey_parse(&file, tg_json_get(file.root, "survey"), survey, err);
    tg_json_release(&file);
    return rc;
}

/* How a child ended that did not answer, and what it said. */
static void describe_end(const struct tg_child_end *end, char *out, size_t size)
{
    char how[64];
    if (end->signal)
        snprintf(how, sizeof how, "%s", strsignal(end->signal));
    else
        snprintf(how, sizeof how, "exit status %d", end->status);
    snprintf(out, size, "ends the process (%s)%s%s", how, *end->tail ? "; it said: " : "",
             end->tail);
}

int tg_survey_take(const char *path, struct tg_survey *survey, struct tg_error *err)
{
    char parent[32];
    const char *const argv[] = {"/proc/self/exe", "cell", "--survey", path, "--tied", parent, NULL};
    struct tg_child *child;
    struct tg_child_end end;
    const char *line;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    if (access(path, R_OK) != 0)
        return tg_fail(err, "cannot open library '%s': %s", path, strerror(errno));
    if (tg_child_start(argv, NULL, 0, 0, &child, err) < 0) return -1;
    enum tg_child_answer answer = tg_child_receive(child, tg_now() + ANSWER_WITHIN_S, &line);
    int rc = answer == TG_CHILD_LINE ? read_answer(line, survey, err) : -1;
    tg_child_stop(child, &end);
    if (answer == TG_CHILD_LATE)
        return tg_fail(err, "'%s' is not a kernel library: loading it hangs", path);
    if (answer == TG_CHILD_LINE) return rc;
    char how[1200];
    describe_end(&end, how, sizeof how);
    return tg_fail(err, "'%s' is not a kernel library: loading it %s", path, how);
}

int tg_survey_take_gpus(struct tg_gpu_list *list, struct tg_error *err)
{
    char parent[32];
    const char *const argv[] = {"/proc/self/exe", "cell", "--gpus", "--tied", parent, NULL};
    struct tg_child *child;
    struct tg_child_end end;
    struct tg_json_file file;
    const char *line;
    char how[1200];
    int rc = 0;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    if (tg_child_start(argv, NULL, 0, 0, &child, err) < 0) return -1;
    enum tg_child_answer answer = tg_child_receive(child, tg_now() + ANSWER_WITHIN_S, &line);
    if (answer == TG_CHILD_LINE && (rc = tg_json_parse(line, &file, err)) == 0) {
        rc = tg_gpu_list_parse(&file, file.root, list, err);
        tg_json_release(&file);
    }
    tg_child_stop(child, &end);
    describe_end(&end, how, sizeof how);
    if (answer == TG_CHILD_LATE)
        tg_gpu_list_none(list, "the NVIDIA driver hangs: no answer in %d s", ANSWER_WITHIN_S);
    if (answer == TG_CHILD_DIED) tg_gpu_list_none(list, "asking the NVIDIA driver %s", how);
    return rc;
}

static int parse_kernel(const struct tg_json_file *file, const struct tg_json *row,
                        struct tg_survey_kernel *k, struct tg_error *err)
{
    const struct {
        const char *key;
        char *to;
    } texts[] = {{"name", k->name},
                 {"op", k->op},
                 {"format", k->format},
                 {"isa", k->isa},
                 {"device", k->device}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = tg_json_text(tg_json_get(row, texts[i].key));
        if (!*text || strlen(text) >= TG_TEXT_SIZE || strspn(text, NAME_LETTERS) != strlen(text))
            return tg_json_fail(file, row, err, "a kernel without a usable '%s'", texts[i].key);
        copy(texts[i].to, text);
    }
    k->built = tg_json_number(tg_json_get(row, "built")) != 0;
    k->here = tg_json_number(tg_json_get(row, "here")) != 0;
    double multiple = tg_json_number(tg_json_get(row, "column_multiple"));
    if (!(multiple >= 1 && multiple <= 1e9))
        return tg_json_fail(file, row, err, "a kernel without a usable 'column_multiple'");
    k->column_multiple = (int64_t)multiple;
    return 0;
}

int tg_survey_parse(const struct tg_json_file *file, const struct tg_json *object,
                    struct tg_survey *survey, struct tg_error *err)
{
    struct tg_survey parsed = {0};
    const struct tg_json *list = tg_json_get(object, "kernels");
    snprintf(parsed.path, sizeof parsed.path, "%s", tg_json_text(tg_json_get(object, "path")));
    copy(parsed.digest, tg_json_text(tg_json_get(object, "digest")));
    snprintf(parsed.build, sizeof parsed.build, "%s", tg_json_text(tg_json_get(object, "build")));
    parsed.injected_percent = (int64_t)tg_json_number(tg_json_get(object, "injected_percent"));
    parsed.is_debug = tg_json_number(tg_json_get(object, "is_debug")) != 0;
    parsed.cores = (int64_t)tg_json_number(tg_json_get(object, "cores"));
    snprintf(parsed.no_gpu, sizeof parsed.no_gpu, "%s",
             tg_json_text(tg_json_get(object, "no_gpu")));
    snprintf(parsed.no_model, sizeof parsed.no_model, "%s",
             tg_json_text(tg_json_get(object, "no_model")));
    snprintf(parsed.model_path, sizeof parsed.model_path, "%s",
             tg_json_text(tg_json_get(object, "model_path")));
    snprintf(parsed.model_digest, sizeof parsed.model_digest, "%s",
             tg_json_text(tg_json_get(object, "model_digest")));
    parsed.gpu_bytes = (int64_t)tg_json_number(tg_json_get(object, "gpu_bytes"));
    parsed.memory_bytes = (int64_t)tg_json_number(tg_json_get(object, "memory_bytes"));
    if (!*parsed.digest || !list) return tg_json_fail(file, object, err, "not a survey");
    parsed.kernels = calloc(tg_json_count(list) + 1, sizeof *parsed.kernels);
    if (!parsed.kernels) return tg_fail(err, "out of memory");
    for (; parsed.count < tg_json_count(list); parsed.count++) {
        if (parse_kernel(file, tg_json_at(list, parsed.count), &parsed.kernels[parsed.count], err) <
            0) {
            tg_survey_release(&parsed);
            return -1;
        }
    }
    *survey = parsed;
    return 0;
}

void tg_survey_release(struct tg_survey *survey)
{
    free(survey->kernels);
    *survey = (struct tg_survey){0};
}

const struct tg_survey_kernel *tg_survey_find(const struct tg_survey *survey, const char *name)
{
    for (size_t i = 0; survey && i < survey->count; i++)
        if (strcmp(survey->kernels[i].name, name) == 0) return &survey->kernels[i];
    return NULL;
}

static bool cannot(char *reason, size_t size, const char *axis, const char *value, const char *why)
{
    if (*value)
        snprintf(reason, size, "%s '%s' %s", axis, value, why);
    else
        snprintf(reason, size, "axis '%s' is missing", axis);
    return false;
}

/* A pattern that no word matched, on any axis. */
static bool has_pattern(const struct tg_cell *cell, char *reason, size_t size)
{
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        const char *value = (const char *)cell + field->offset;
        if (field->kind != TG_TEXT || !tg_words_is_pattern(value)) continue;
        snprintf(reason, size, "no %s of this build matches '%s'", field->name, value);
        return true;
    }
    return false;
}

/* Whether both processes have room on the GPU: a matrix, activations twice, and results each. */
static bool has_room(const struct tg_survey *survey, const struct tg_survey_kernel *k,
                     const struct tg_cell *cell, int64_t rows, int64_t cols, char *reason,
                     size_t size)
{
    const struct tg_format *format = tg_format_find(k->format);
    const struct tg_op *op = tg_op_find(k->op);
    if (strcmp(k->device, "cuda") != 0 || survey->gpu_bytes <= 0 || !format || !op) return true;
    /* Without weights a token is a row, and the matrix has as many. */
    const struct tg_problem one = {.rows = op->has_weights ? rows : 1, .cols = cols, .batch = 1};
    const double tokens = (double)cell->batch, matrices = op->has_weights ? 1 : tokens;
    double need = 2 * (matrices * (double)format->packed_bytes(one.rows, cols) +
                       tokens * (2 * (double)tg_op_activation_bytes(op, &one) +
                                 (double)op->result_bytes(&one)));
    if (need <= (double)survey->gpu_bytes) return true;
    snprintf(reason, size, "%.0f bytes of the GPU's memory are needed, %lld are free", need,
             (long long)survey->gpu_bytes);
    return false;
}

/* Whether the machine has what the kernel runs on. */
static bool has_device(const struct tg_survey *survey, const struct tg_survey_kernel *k,
                       char *reason, size_t size)
{
    if (!k->built) return cannot(reason, size, "kernel", k->name, "is not in this build");
    if (strcmp(k->device, "cuda") == 0 && *survey->no_gpu) {
        snprintf(reason, size, "%s", survey->no_gpu);
        return false;
    }
    return k->here || cannot(reason, size, "instruction set", k->isa, "is not on this machine");
}

/* Whether the layers of a whole model can be multiplied by the kernel. */
static bool has_layers(const struct tg_survey_kernel *k, const struct tg_cell *cell, char *reason,
                       size_t size)
{
    for (size_t i = 0; i < tg_model_layer_count(); i++) {
        int64_t rows, cols;
        struct tg_error why;
        if (tg_model_shape(cell->model, tg_model_layer(i), &rows, &cols, &why) < 0) {
            snprintf(reason, size, "%s", why.text);
            return false;
        }
        if (cols % k->column_multiple == 0) continue;
        snprintf(reason, size, "%lld columns of %s are not a multiple of %lld, as format %s needs",
                 (long long)cols, tg_model_layer(i), (long long)k->column_multiple, k->format);
        return false;
    }
    return true;
}

bool tg_survey_has_build(const struct tg_survey_kernel *kernel, const struct tg_cell *cell,
                         char *reason, size_t size)
{
    const struct tg_probe *probe = tg_probe_find(cell->probe);
    if (strcmp(kernel->device, "cpu") == 0 || !probe || !probe->has_model ||
        strcmp(cell->build, "base") != 0)
        return true;
    return cannot(reason, size, "build", "base",
                  "is of kernels: whole models on a device are this program's own");
}

/* Whether this program runs whole models on the kernel's device, as it packs them, in this build.
 */
static bool can_run_there(const struct tg_survey_kernel *k, const struct tg_cell *cell,
                          char *reason, size_t size)
{
    if (!tg_forward_device_find(k->device))
        return cannot(reason, size, "device", k->device, "runs no whole models in this build");
    if (strcmp(k->format, "i2s") != 0)
        return cannot(reason, size, "kernel", k->name, "is not of i2s, as models on a device are");
    return tg_survey_has_build(k, cell, reason, size);
}

/* Whether both processes have room for a model on the GPU. */
static bool has_model_room(const struct tg_survey *survey, const struct tg_survey_kernel *k,
                           const struct tg_cell *cell, char *reason, size_t size)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    const struct tg_session_size session = {.model = tg_model_find(cell->model),
                                            .context = tg_profile_context(profile),
                                            .batch = profile->batch};
    if (strcmp(k->device, "cuda") != 0 || survey->gpu_bytes <= 0) return true;
    const double need = 2 * (double)tg_session_device_bytes(&session);
    if (need <= (double)survey->gpu_bytes) return true;
    snprintf(reason, size, "%.0f bytes of the GPU's memory are needed, %lld are free", need,
             (long long)survey->gpu_bytes);
    return false;
}

/* Whether a whole model can be run by a kernel that is here. */
static bool can_run_model(const struct tg_survey *survey, const struct tg_survey_kernel *k,
                          const struct tg_cell *cell, char *reason, size_t size)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    const struct tg_model *model = tg_model_find(cell->model);
    if (!profile) return cannot(reason, size, "profile", cell->profile, "is unknown");
    if (*cell->layer) return cannot(reason, size, "layer", cell->layer, "is none of a whole model");
    if (cell->batch != 1 || strcmp(cell->cache, "hot") != 0)
        return cannot(reason, size, "profile", cell->profile, "says itself what is computed");
    if (strcmp(k->op, "product") != 0)
        return cannot(reason, size, "kernel", k->name, "is no ternary product");
    if (strcmp(k->device, "cpu") != 0 && !can_run_there(k, cell, reason, size)) return false;
    if (strcmp(cell->model, TG_MODEL_FILE) == 0) {
        snprintf(reason, size, "%s", survey->no_model);
        return !*survey->no_model;
    }
    if (model && tg_profile_context(profile) > model->context) {
        snprintf(reason, size, "profile %s needs a context of %lld, %s has %lld", profile->name,
                 (long long)tg_profile_context(profile), model->name, (long long)model->context);
        return false;
    }
    return has_layers(k, cell, reason, size) &&
           (!model || has_model_room(survey, k, cell, reason, size));
}

bool tg_survey_can_run(const struct tg_survey *head, const struct tg_survey *base,
                       const struct tg_cell *cell, char *reason, size_t size)
{
    struct tg_error why;
    int64_t rows, cols;
    if (has_pattern(cell, reason, size)) return false;
    if (!tg_probe_find(cell->probe))
        return cannot(reason, size, "probe", cell->probe, "is unknown");
    if (strcmp(cell->cache, "hot") != 0 && strcmp(cell->cache, "stream") != 0)
        return cannot(reason, size, "cache", cell->cache, "is unknown");
    if (cell->threads > TG_PLACE_CORES || (head->cores > 0 && cell->threads > head->cores)) {
        snprintf(reason, size, "%lld threads need as many cores, a cell here has at most %lld",
                 (long long)cell->threads,
                 (long long)(head->cores > 0 ? head->cores : TG_PLACE_CORES));
        return false;
    }
    bool is_base = strcmp(cell->build, "base") == 0;
    if (is_base && !base) return cannot(reason, size, "build", "base", "was not given");
    const struct tg_survey_kernel *k = tg_survey_find(is_base ? base : head, cell->kernel);
    if (!k)
        return cannot(reason, size, "kernel", cell->kernel,
                      is_base ? "is not in base" : "is not in head");
    if (!has_device(head, k, reason, size)) return false;
    if (tg_probe_find(cell->probe)->has_model) return can_run_model(head, k, cell, reason, size);
    if (*cell->profile) return cannot(reason, size, "profile", cell->profile, "is of whole models");
    if (tg_model_shape(cell->model, cell->layer, &rows, &cols, &why) < 0) {
        snprintf(reason, size, "%s", why.text);
        return false;
    }
    if (cols > TG_COLUMNS_MOST) {
        snprintf(reason, size, "%lld columns are more than %d", (long long)cols, TG_COLUMNS_MOST);
        return false;
    }
    if (cols % k->column_multiple != 0) {
        snprintf(reason, size, "%lld columns are not a multiple of %lld, as format %s needs",
                 (long long)cols, (long long)k->column_multiple, k->format);
        return false;
    }
    return has_room(head, k, cell, rows, cols, reason, size);
}
