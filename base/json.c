/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JSON_FILE_MOST (64u << 20)

/* A tg_json is a cJSON under a name of ours. */
static const cJSON *in(const struct tg_json *value)
{
    return (const cJSON *)(const void *)value;
}

static const struct tg_json *out(const cJSON *value)
{
    return (const struct tg_json *)(const void *)value;
}

static cJSON *in_mutable(struct tg_json *value)
{
    return (cJSON *)(void *)value;
}

static struct tg_json *made(cJSON *value)
{
    if (!value) {
        fputs("tritgate: error: out of memory\n", stderr);
        abort();
    }
    return (struct tg_json *)(void *)value;
}

/*
 * Where a value stands. The values of a document in the order of its text are its tree in preorder,
 * so the n-th value of the tree is the n-th in the text.
 */
static bool find_value(const cJSON *at, const cJSON *wanted, size_t *index, char *path, size_t size)
{
    if (at == wanted) return true;
    ++*index;
    size_t length = strlen(path);
    int i = 0;
    for (const cJSON *c = at->child; c; c = c->next, i++) {
        if (cJSON_IsObject(at))
            snprintf(path + length, size - length, "%s%s", length ? "." : "", c->string);
        else
            snprintf(path + length, size - length, "[%d]", i);
        if (find_value(c, wanted, index, path, size)) return true;
        path[length] = 0;
    }
    return false;
}

/* What cJSON skips between two parts of a text. */
static const char *after_blanks(const char *p)
{
    while (*p && (unsigned char)*p <= ' ') p++;
    return p;
}

static const char *after_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1]) p++;
    return *p ? p + 1 : p;
}

static int line_of_value(const char *text, size_t index)
{
    int line = 1;
    const char *p = text;
    while (*p) {
        const char *end = p + 1;
        bool is_value = *p == '{' || *p == '[';
        if (*p == '\n') line++;
        if (*p == '"') {
            end = after_string(p);
            is_value = *after_blanks(end) != ':';
        } else if (strchr("-0123456789tfn", *p)) {
            end = p + strcspn(p, ",]} \t\r\n");
            is_value = true;
        }
        if (is_value && index-- == 0) return line;
        p = end;
    }
    return line;
}

int tg_json_fail(const struct tg_json_file *file, const struct tg_json *value, struct tg_error *err,
                 const char *format, ...)
{
    char sentence[600], path[300] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);

    size_t index = 0;
    if (!value || !find_value(in(file->root), in(value), &index, path, sizeof path)) {
        index = 0;
        path[0] = 0;
    }
    return tg_fail(err, "line %d: %s%s%s", line_of_value(file->text, index), path,
                   *path ? ": " : "", sentence);
}

static int check_tree(const struct tg_json_file *file, const cJSON *value, struct tg_error *err)
{
    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
        return tg_json_fail(file, out(value), err, "number out of range");
    for (const cJSON *c = value->child; c; c = c->next) {
        for (const cJSON *d = value->child; cJSON_IsObject(value) && d != c; d = d->next)
            if (d->string[0] == c->string[0] && strcmp(d->string, c->string) == 0)
                return tg_json_fail(file, out(c), err, "key '%s' is given twice", c->string);
        if (check_tree(file, c, err) < 0) return -1;
    }
    return 0;
}

static int line_at(const char *text, const char *place)
{
    int line = 1;
    for (; text < place && *text; text++)
        if (*text == '\n') line++;
    return line;
}

/* An escaped zero byte, at which cJSON would cut its string, or NULL. */
static const char *zero_escape(const char *text)
{
    for (const char *p = strchr(text, '\\'); p; p = strchr(p + 2, '\\'))
        if (strncmp(p, "\\u0000", 6) == 0) return p;
    return NULL;
}

int tg_json_parse(const char *text, struct tg_json_file *file, struct tg_error *err)
{
    const char *end = NULL;
    struct tg_json_file parsed = {.text = strdup(text)};
    if (!parsed.text) return tg_fail(err, "out of memory");
    cJSON *root = cJSON_ParseWithOpts(parsed.text, &end, 0);
    if (!root) {
        tg_fail(err, "line %d: not JSON", end ? line_at(parsed.text, end) : 1);
        free(parsed.text);
        return -1;
    }
    parsed.root = made(root);
    end += strspn(end, " \t\r\n");
    const char *zero = *end ? NULL : zero_escape(parsed.text);
    int rc = *end   ? tg_fail(err, "line %d: text after the end", line_at(parsed.text, end))
             : zero ? tg_fail(err, "line %d: '\\u0000' in a text", line_at(parsed.text, zero))
                    : check_tree(&parsed, root, err);
    if (rc < 0)
        tg_json_release(&parsed);
    else
        *file = parsed;
    return rc;
}

static char *read_text(const char *path, struct tg_error *err)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t used = 0, size = 0;
    if (!f) {
        tg_fail(err, "cannot open: %s", strerror(errno));
        return NULL;
    }
    for (;;) {
        if (used + 1 >= size) {
            size = size ? 2 * size : 4096;
            char *larger = size <= 2 * JSON_FILE_MOST ? realloc(text, size) : NULL;
            if (!larger) {
                tg_fail(err, "too large");
                break;
            }
            text = larger;
        }
        size_t got = fread(text + used, 1, size - used - 1, f);
        used += got;
        if (got) continue;
        if (ferror(f)) {
            tg_fail(err, "cannot read: %s", strerror(errno));
            break;
        }
        text[used] = 0;
        if (strlen(text) != used) {
            tg_fail(err, "not a text file");
            break;
        }
        fclose(f);
        return text;
    }
    free(text);
    fclose(f);
    return NULL;
}

int tg_json_read(const char *path, struct tg_json_file *file, struct tg_error *err)
{
    char *text = read_text(path, err);
    int rc = text ? tg_json_parse(text, file, err) : -1;
    free(text);
    return rc < 0 ? tg_fail_in(err, "'%s'", path) : 0;
}

void tg_json_release(struct tg_json_file *file)
{
    cJSON_Delete(in_mutable(file->root));
    free(file->text);
    *file = (struct tg_json_file){0};
}

enum tg_json_kind tg_json_kind(const struct tg_json *value)
{
    const cJSON *v = in(value);
    if (cJSON_IsObject(v)) return TG_JSON_OBJECT;
    if (cJSON_IsArray(v)) return TG_JSON_ARRAY;
    if (cJSON_IsString(v)) return TG_JSON_TEXT;
    if (cJSON_IsNumber(v)) return TG_JSON_NUMBER;
    if (cJSON_IsBool(v)) return TG_JSON_BOOLEAN;
    return TG_JSON_NULL;
}

size_t tg_json_count(const struct tg_json *value)
{
    size_t count = 0;
    for (const cJSON *c = value ? in(value)->child : NULL; c; c = c->next) count++;
    return count;
}

const struct tg_json *tg_json_at(const struct tg_json *value, size_t i)
{
    const cJSON *c = value ? in(value)->child : NULL;
    while (c && i--) c = c->next;
    return out(c);
}

const struct tg_json *tg_json_next(const struct tg_json *value)
{
    return out(in(value)->next);
}

const char *tg_json_key(const struct tg_json *value)
{
    return in(value)->string;
}

const struct tg_json *tg_json_get(const struct tg_json *value, const char *key)
{
    return value ? out(cJSON_GetObjectItemCaseSensitive(in(value), key)) : NULL;
}

const char *tg_json_text(const struct tg_json *value)
{
    return value && cJSON_IsString(in(value)) ? in(value)->valuestring : "";
}

double tg_json_number(const struct tg_json *value)
{
    if (value && cJSON_IsNumber(in(value))) return in(value)->valuedouble;
    return value && cJSON_IsTrue(in(value)) ? 1 : 0;
}

int tg_json_only(const struct tg_json_file *file, const struct tg_json *object,
                 const char *const keys[], struct tg_error *err)
{
    if (!object || tg_json_kind(object) != TG_JSON_OBJECT)
        return tg_json_fail(file, object, err, "an object is expected");
    for (const cJSON *c = in(object)->child; c; c = c->next) {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], c->string) != 0) i++;
        if (!keys[i]) return tg_json_fail(file, out(c), err, "unknown key '%s'", c->string);
    }
    return 0;
}

int tg_json_read_field(const struct tg_json_file *file, const struct tg_json *value,
                       const struct tg_record_type *type, void *record, const char *name,
                       struct tg_error *err)
{
    const struct tg_field *field = tg_record_field(type, name);
    if (!field) return tg_json_fail(file, value, err, "unknown %s '%s'", type->name, name);

    struct tg_error why;
    char number[64];
    const char *text = number;
    enum tg_json_kind kind = tg_json_kind(value);
    double real = tg_json_number(value);
    if (kind == TG_JSON_TEXT && field->kind == TG_TEXT)
        text = tg_json_text(value);
    else if (kind == TG_JSON_NUMBER && field->kind == TG_REAL)
        snprintf(number, sizeof number, "%.17g", real);
    else if ((kind == TG_JSON_NUMBER || kind == TG_JSON_BOOLEAN) && field->kind == TG_COUNT &&
             real == floor(real) && fabs(real) < 9e15)
        snprintf(number, sizeof number, "%.0f", real);
    else if (kind == TG_JSON_NULL && field->kind == TG_REAL)
        text = "none";
    else
        return tg_json_fail(file, value, err, "%s is expected",
                            field->kind == TG_TEXT    ? "a name"
                            : field->kind == TG_COUNT ? "a whole number"
                                                      : "a number");
    if (tg_record_set(type, record, name, text, &why) < 0)
        return tg_json_fail(file, value, err, "%s", why.text);
    return 0;
}

int tg_json_read_record(const struct tg_json_file *file, const struct tg_json *object,
                        const struct tg_record_type *type, void *record, struct tg_error *err)
{
    if (!object || tg_json_kind(object) != TG_JSON_OBJECT)
        return tg_json_fail(file, object, err, "an object is expected");
    for (const cJSON *c = in(object)->child; c; c = c->next)
        if (tg_json_read_field(file, out(c), type, record, c->string, err) < 0) return -1;
    return 0;
}

static struct tg_json *added(struct tg_json *parent, const char *key, cJSON *value)
{
    struct tg_json *new = made(value);
    if (!parent) return new;
    cJSON_bool done = key ? cJSON_AddItemToObject(in_mutable(parent), key, value)
                          : cJSON_AddItemToArray(in_mutable(parent), value);
    assert(done);
    (void)done;
    return new;
}

struct tg_json *tg_json_object(struct tg_json *parent, const char *key)
{
    return added(parent, key, cJSON_CreateObject());
}

struct tg_json *tg_json_array(struct tg_json *parent, const char *key)
{
    return added(parent, key, cJSON_CreateArray());
}

void tg_json_add(struct tg_json *parent, const char *key, struct tg_json *value)
{
    added(parent, key, in_mutable(value));
}

void tg_json_add_text(struct tg_json *parent, const char *key, const char *text)
{
    added(parent, key, cJSON_CreateString(text));
}

/* As few digits as read back as the same number; cJSON's own may be off in the last bit. */
static cJSON *exact(double number)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    return cJSON_CreateRaw(text);
}

void tg_json_add_number(struct tg_json *parent, const char *key, double number)
{
    added(parent, key, isfinite(number) ? exact(number) : cJSON_CreateNull());
}

void tg_json_add_rounded(struct tg_json *parent, const char *key, double number)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", number);
    tg_json_add_number(parent, key, strtod(text, NULL));
}

void tg_json_add_boolean(struct tg_json *parent, const char *key, bool value)
{
    added(parent, key, cJSON_CreateBool(value));
}

void tg_json_add_record(struct tg_json *parent, const char *key, const struct tg_record_type *type,
                        const void *record)
{
    struct tg_json *object = tg_json_object(parent, key);
    for (size_t i = 0; i < type->field_count; i++) {
        const struct tg_field *field = &type->fields[i];
        const char *source = (const char *)record + field->offset;
        if (field->kind == TG_TEXT)
            tg_json_add_text(object, field->name, source);
        else if (field->kind == TG_COUNT)
            tg_json_add_number(object, field->name, (double)*(const int64_t *)(const void *)source);
        else
            tg_json_add_number(object, field->name, *(const double *)(const void *)source);
    }
}

void tg_json_free(struct tg_json *root)
{
    cJSON_Delete(in_mutable(root));
}

/* cJSON indents with tabs, and puts one behind each colon; inside strings it escapes them. */
static char *with_blanks(char *text)
{
    size_t tabs = 0;
    for (const char *p = text; *p; p++) tabs += *p == '\t';
    char *wide = malloc(strlen(text) + tabs + 1);
    if (!wide) made(NULL);
    char *to = wide;
    for (const char *p = text; *p; p++) {
        *to++ = *p == '\t' ? ' ' : *p;
        if (*p == '\t' && p[-1] != ':') *to++ = ' ';
    }
    *to = 0;
    free(text);
    return wide;
}

char *tg_json_print(const struct tg_json *value, bool indented)
{
    char *text = indented ? cJSON_Print(in(value)) : cJSON_PrintUnformatted(in(value));
    if (!text) made(NULL);
    return indented ? with_blanks(text) : text;
}

enum { BESIDE_BYTES = 4200 };

/* Where it is written first; what is no file, as a pipe, or a link, as /dev/stdout, is written to,
 * and not replaced. Whether it is a file. */
static bool find_beside(const char *path, char beside[BESIDE_BYTES])
{
    struct stat there;
    bool is_file = lstat(path, &there) != 0 || S_ISREG(there.st_mode);
    snprintf(beside, BESIDE_BYTES, is_file ? "%s.new" : "%s", path);
    return is_file;
}

int tg_json_write(const struct tg_json *value, const char *path, struct tg_error *err)
{
    char beside[BESIDE_BYTES];
    char *text = tg_json_print(value, true);
    bool is_file = find_beside(path, beside);
    FILE *f = fopen(beside, "w");
    bool good = f && fprintf(f, "%s\n", text) > 0;
    /* Without power a name may be on the disk before what it names: then it would be empty. */
    if (good && is_file && (fflush(f) != 0 || fsync(fileno(f)) < 0)) good = false;
    if (f && fclose(f) != 0) good = false;
    free(text);
    if (good && (!is_file || rename(beside, path) == 0)) return 0;
    int why = errno;
    if (is_file) remove(beside);
    return tg_fail(err, "cannot write '%s': %s", path, strerror(why));
}

/* Whether this can be made, in the folder that it names. */
static bool can_make(char *path)
{
    struct stat there;
    if (lstat(path, &there) < 0 && errno != ENOENT) return false;
    char *slash = strrchr(path, '/');
    if (slash) slash[1] = 0;
    return access(slash ? path : ".", W_OK | X_OK) == 0;
}

int tg_json_can_write(const char *path, struct tg_error *err)
{
    char beside[BESIDE_BYTES];
    struct stat there;
    int why = 0;
    if (!*path)
        why = ENOENT;
    else if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
        why = EISDIR;
    else if (find_beside(path, beside))
        why = can_make(beside) ? 0 : errno;
    else if (access(path, W_OK) < 0 && errno != ENOENT) /* a link's file may be to come */
        why = errno;
    return why == 0 ? 0 : tg_fail(err, "cannot write '%s': %s", path, strerror(why));
}
