/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/changed.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/run_directory.h"

static bool matches(const struct tg_texts *patterns, const char *path)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (fnmatch(patterns->at[i], path, 0) == 0) return true;
    return false;
}

/*
 * Whether a pattern is of what lies in the path: a submodule, or a directory that became a link, is
 * listed by its own name, whatever in it was changed.
 */
static bool reach_into(const struct tg_texts *patterns, const char *path)
{
    char folder[4096];
    const size_t length = (size_t)snprintf(folder, sizeof folder, "%s/", path);
    for (size_t i = 0; i < patterns->count; i++)
        if (strncmp(patterns->at[i], folder, length) == 0 ||
            (fnmatch(patterns->at[i], path, 0) != 0 && fnmatch(patterns->at[i], folder, 0) == 0))
            return true;
    return false;
}

/* One character of a quoted path, and where the next begins. */
static char unquoted(const char **at)
{
    static const char from[] = "abtnvfr", to[] = "\a\b\t\n\v\f\r";
    const char *p = *at;
    *at = p + 1;
    if (*p != '\\') return *p;
    if (p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
        *at = p + 4;
        return (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
    }
    if (p[1]) *at = p + 2;
    const char *escape = p[1] ? strchr(from, p[1]) : NULL;
    return escape ? to[escape - from] : p[1];
}

static const char *cells_of(const struct tg_flow *flow, const char *path)
{
    for (size_t i = 0; i < flow->component_count; i++)
        if (matches(&flow->components[i].paths, path)) return flow->components[i].cells;
    return NULL;
}

/* Whether a path is a folder in which something is measured. */
static bool is_folder(const struct tg_flow *flow, const char *path)
{
    for (size_t i = 0; i < flow->component_count; i++)
        if (reach_into(&flow->components[i].paths, path)) return true;
    return reach_into(&flow->surface, path);
}

static bool is_quoted(const char *line, size_t length)
{
    return length >= 2 && line[0] == '"' && line[length - 1] == '"';
}

/* Makes the path of a line, in its place: without its end, quotes, a first "./", a last "/". */
static char *path_of(char *line)
{
    size_t length = strcspn(line, "\r\n");
    line[length] = 0;
    if (is_quoted(line, length)) {
        const char *from = line + 1, *end = line + length - 1;
        char *to = line;
        while (from < end) *to++ = unquoted(&from);
        *to = 0;
    }
    length = strlen(line);
    if (length > 1 && line[length - 1] == '/') line[length - 1] = 0;
    return strncmp(line, "./", 2) == 0 ? line + 2 : line;
}

/* Whether a directory of the path is "." or "..", so that patterns would not see where it leads. */
static bool has_dots(const char *path)
{
    for (const char *at = path; *at;) {
        size_t length = strcspn(at, "/");
        if ((length == 1 && *at == '.') || (length == 2 && strncmp(at, "..", 2) == 0)) return true;
        at += length + (at[length] == '/');
    }
    return false;
}

/*
 * What is wrong with a line, NULL if nothing is. Lists of another kind would name no path of the
 * surface, and a change that was not looked at would be skipped.
 */
static const char *flaw_of_line(const char *line, size_t length)
{
    static const char states[] = " MADRCTU?!";
    if (strlen(line) != length) return "it has a zero byte";
    length = strcspn(line, "\r\n");
    if (line[length] == '\r' && line[length + strspn(line + length, "\r\n")])
        return "it has a carriage return within";
    if (strncmp(line, "\xef\xbb\xbf", 3) == 0) return "it begins with a byte order mark";
    if (strchr(line, '\t')) return "it has a tab: paths only, as git diff --name-only gives them";
    bool is_status = length > 3 && strchr(states, line[0]) && strchr(states, line[1]);
    if (is_status && line[2] == ' ') return "it has a state: paths only";
    if (!is_quoted(line, length) && memchr(line, '\\', length))
        return "it has a backslash: paths with '/', as git diff --name-only gives them";
    bool has_blank = length > 0 && (line[0] == ' ' || line[length - 1] == ' ');
    return has_blank ? "it begins or ends with a blank" : NULL;
}

/*
 * Whether what follows a blank of the path, or what else lists are divided by, is a path that is
 * measured: then it is a second one.
 */
static bool has_second(char *path, const struct tg_flow *flow)
{
    static const char between[] = " ,;:|'\"[](){}";
    for (char *at = path + strcspn(path, between); *at; at += strcspn(at, between)) {
        at += strspn(at, between);
        if (strncmp(at, "./", 2) == 0) at += 2;
        char *end = at + strcspn(at, between);
        const char stop = *end;
        *end = 0;
        bool is_path = matches(&flow->surface, at) || cells_of(flow, at);
        *end = stop;
        if (is_path) return true;
    }
    return false;
}

static const char *flaw_of_path(char *path, const struct tg_flow *flow)
{
    if (path[0] == '/') return "a path from the top of the sources is expected";
    if (has_second(path, flow)) return "it has several paths: one on each line";
    return has_dots(path) ? "'.' and '..' are no directories of a list" : NULL;
}

static void take(const char *path, const struct tg_flow *flow, struct tg_changed *c)
{
    const bool is_whole = is_folder(flow, path);
    const char *cells = is_whole ? NULL : cells_of(flow, path);
    c->path_count++;
    for (size_t i = 0; cells && i < c->cell_count; i++)
        if (strcmp(c->cells[i], cells) == 0) return;
    if (!cells && !is_whole && flow->surface.count > 0 && !matches(&flow->surface, path)) return;
    if (cells && c->cell_count < TG_CHANGED_COMPONENTS && strlen(cells) < sizeof *c->cells)
        memcpy(c->cells[c->cell_count++], cells, strlen(cells) + 1);
    else if (!*c->unknown)
        snprintf(c->unknown, sizeof c->unknown, "%s", path);
}

int tg_changed_read(FILE *lines, const struct tg_flow *flow, struct tg_changed *changed,
                    struct tg_error *err)
{
    struct tg_changed read = {0};
    char *line = NULL;
    size_t room = 0, number = 0;
    const char *flaw = NULL;
    for (ssize_t length; !flaw && (length = getline(&line, &room, lines)) >= 0; number++) {
        flaw = flaw_of_line(line, (size_t)length);
        char *path = path_of(line);
        if (!flaw) flaw = flaw_of_path(path, flow);
        if (!flaw && *path) take(path, flow, &read);
    }
    free(line);
    if (flaw) return tg_fail(err, "line %zu: %s", number, flaw);
    if (ferror(lines)) return tg_fail(err, "cannot read the list of changed paths");
    if (read.path_count == 0) return tg_fail(err, "the list of changed paths is empty");
    *changed = read;
    return 0;
}

int tg_changed_read_file(const char *path, const struct tg_flow *flow, struct tg_changed *changed,
                         struct tg_error *err)
{
    FILE *lines = fopen(path, "r");
    int rc = lines ? tg_changed_read(lines, flow, changed, err)
                   : tg_fail(err, "%s", strerror(errno));
    if (lines) fclose(lines);
    return rc < 0 ? tg_fail_in(err, "'%s'", path) : 0;
}

bool tg_changed_is_nothing(const struct tg_changed *changed)
{
    return changed->path_count > 0 && changed->cell_count == 0 && !*changed->unknown;
}

int tg_changed_say_nothing(const struct tg_policy *policy, FILE *out, const char *json,
                           struct tg_error *err)
{
    const struct tg_texts *gates = &policy->process.writes;
    for (size_t i = 0; i < gates->count; i++)
        fprintf(out, "%s:gate:%s = skipped (no-surface)\n", policy->flow, gates->at[i]);
    if (gates->count == 0) fprintf(out, "%s = skipped (no-surface)\n", policy->flow);
    return tg_run_directory_skip(json, policy->flow, "no-surface", 0, err);
}

/* The patterns, with ", " between. */
static char *list(const struct tg_changed *changed, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < changed->cell_count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s'%s'", i ? ", " : "",
                                 changed->cells[i]);
    return out;
}

static bool has_cell(const struct tg_spec *spec, const char *pattern, const struct tg_words *words)
{
    for (size_t i = 0; i < spec->cell_count; i++)
        if (tg_cell_matches(&spec->cells[i], pattern, words)) return true;
    return false;
}

/* Whether a cell of the pattern is in the block of a test. */
static bool has_test(const struct tg_spec *spec, const char *pattern, const struct tg_words *words)
{
    for (size_t b = 0; b < spec->block_count; b++)
        for (size_t i = 0; i < spec->blocks[b].cell_count; i++)
            if (tg_cell_matches(&spec->blocks[b].cells[i], pattern, words)) return true;
    return false;
}

/* Says which patterns have no cell, or none with a test: what was changed would pass unseen. */
static void look_for_all(struct tg_changed *changed, const struct tg_spec *spec,
                         const struct tg_words *words)
{
    struct tg_changed no_cell = {0}, no_test = {0};
    char text[512];
    for (size_t i = 0; i < changed->cell_count; i++) {
        const char *pattern = changed->cells[i];
        struct tg_changed *lack = !has_cell(spec, pattern, words)   ? &no_cell
                                  : !has_test(spec, pattern, words) ? &no_test
                                                                    : NULL;
        if (lack) memcpy(lack->cells[lack->cell_count++], pattern, sizeof *lack->cells);
    }
    *changed->lacks = 0;
    if (no_cell.cell_count > 0 || changed->cell_count == 0)
        snprintf(changed->lacks, sizeof changed->lacks,
                 "the matrix has no cell of what was changed, %s",
                 list(&no_cell, text, sizeof text));
    else if (no_test.cell_count > 0)
        snprintf(changed->lacks, sizeof changed->lacks,
                 "no rule of the policy selects a cell of what was changed, %s",
                 list(&no_test, text, sizeof text));
}

int tg_changed_check(const struct tg_changed *changed, struct tg_error *err)
{
    return *changed->lacks ? tg_fail(err, "%s", changed->lacks) : 0;
}

int tg_changed_filter(struct tg_changed *changed, struct tg_spec *spec,
                      const struct tg_words *words, struct tg_error *err)
{
    const char *patterns[TG_CHANGED_COMPONENTS];
    if (changed->path_count == 0 || *changed->unknown) return 0;
    for (size_t i = 0; i < changed->cell_count; i++) {
        patterns[i] = changed->cells[i];
        if (tg_cell_check_where(patterns[i], words, err) < 0) return -1;
    }
    look_for_all(changed, spec, words);
    if (tg_spec_keep(spec, patterns, changed->cell_count, words, err) < 0) return -1;
    return spec->test_count > 0 ? 0 : tg_changed_check(changed, err);
}

char *tg_changed_note(const struct tg_changed *changed, char *out, size_t size)
{
    char text[300];
    out[0] = 0;
    if (changed->path_count == 0) return out;
    if (*changed->unknown)
        snprintf(out, size, "all cells: changed path '%s' belongs to no component",
                 changed->unknown);
    else
        snprintf(out, size, "only cells of what was changed: %s", list(changed, text, sizeof text));
    return out;
}

void tg_changed_add(struct tg_json *plan, const struct tg_changed *changed)
{
    if (changed->path_count == 0) return;
    struct tg_json *member = tg_json_object(plan, "changed");
    tg_json_add_number(member, "paths", (double)changed->path_count);
    struct tg_json *cells = tg_json_array(member, "cells");
    for (size_t i = 0; i < changed->cell_count; i++)
        tg_json_add_text(cells, NULL, changed->cells[i]);
    tg_json_add_text(member, "unknown", changed->unknown);
}

int tg_changed_parse(const struct tg_json_file *file, const struct tg_json *member,
                     struct tg_changed *changed, struct tg_error *err)
{
    static const char *const keys[] = {"paths", "cells", "unknown", NULL};
    const struct tg_json *cells = tg_json_get(member, "cells");
    struct tg_changed read = {0};
    if (!member) {
        *changed = read;
        return 0;
    }
    double paths = tg_json_number(tg_json_get(member, "paths"));
    if (tg_json_only(file, member, keys, err) < 0) return -1;
    if (!(paths >= 1 && paths < 1e9) || tg_json_count(cells) > TG_CHANGED_COMPONENTS)
        return tg_json_fail(file, member, err, "not what --changed leaves");
    read.path_count = (size_t)paths;
    for (size_t i = 0; i < tg_json_count(cells); i++)
        snprintf(read.cells[read.cell_count++], sizeof *read.cells, "%s",
                 tg_json_text(tg_json_at(cells, i)));
    snprintf(read.unknown, sizeof read.unknown, "%s", tg_json_text(tg_json_get(member, "unknown")));
    *changed = read;
    return 0;
}
