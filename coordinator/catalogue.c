/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/catalogue.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ENDING[] = ".json";

/* How long the name of a file is without its ending, 0 for a file that is not looked for. */
static size_t name_length(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    if (*entry->d_name == '.' || length < sizeof ENDING) return 0;
    length -= sizeof ENDING - 1;
    return length < TG_TEXT_SIZE && strcmp(entry->d_name + length, ENDING) == 0 ? length : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tg_catalogue_entry *)a)->name,
                  ((const struct tg_catalogue_entry *)b)->name);
}

static int add_folder(const char *folder, struct tg_catalogue *c, struct tg_error *err)
{
    DIR *directory = *folder ? opendir(folder) : NULL;
    int rc = 0;
    if (!directory) return 0;
    for (struct dirent *e; rc == 0 && (e = readdir(directory));) {
        struct tg_catalogue_entry new, *entries;
        size_t length = name_length(e);
        if (length == 0) continue;
        snprintf(new.name, sizeof new.name, "%.*s", (int)length, e->d_name);
        snprintf(new.path, sizeof new.path, "%s/%s", folder, e->d_name);
        if (tg_catalogue_path(c, new.name)) continue;
        entries = realloc(c->entries, (c->count + 1) * sizeof *entries);
        if (entries) {
            c->entries = entries;
            c->entries[c->count++] = new;
        } else {
            rc = tg_fail(err, "out of memory");
        }
    }
    closedir(directory);
    return rc;
}

int tg_catalogue_find(const char *const folders[], size_t folder_count,
                      struct tg_catalogue *catalogue, struct tg_error *err)
{
    struct tg_catalogue found = {0};
    for (size_t i = 0; i < folder_count; i++)
        if (add_folder(folders[i], &found, err) < 0) {
            tg_catalogue_release(&found);
            return -1;
        }
    if (found.count) qsort(found.entries, found.count, sizeof *found.entries, by_name);
    *catalogue = found;
    return 0;
}

const char *tg_catalogue_path(const struct tg_catalogue *catalogue, const char *name)
{
    for (size_t i = 0; i < catalogue->count; i++)
        if (strcmp(catalogue->entries[i].name, name) == 0) return catalogue->entries[i].path;
    return NULL;
}

char *tg_catalogue_names(const struct tg_catalogue *catalogue, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "none");
    for (size_t i = 0; i < catalogue->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s",
                                 i == 0                     ? ""
                                 : i + 1 < catalogue->count ? ", "
                                                            : " and ",
                                 catalogue->entries[i].name);
    return out;
}

void tg_catalogue_release(struct tg_catalogue *catalogue)
{
    free(catalogue->entries);
    *catalogue = (struct tg_catalogue){0};
}
