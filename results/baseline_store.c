/* SPDX-License-Identifier: Apache-2.0 */
#include "results/baseline_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 + 300 };

static int make_directory(const char *store, const char *name, struct tg_error *err)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", store, name);
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return 0;
    return tg_fail(err, "cannot make '%s': %s", path, strerror(errno));
}

/* Waits for whoever promotes now; what is promoted then sees what they wrote. */
static int lock_store(const char *store, struct tg_error *err)
{
    char path[PATH_SIZE];
    if (make_directory(store, "", err) < 0 || make_directory(store, "entries", err) < 0 ||
        make_directory(store, "libraries", err) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/lock", store);
    int lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (lock < 0) return tg_fail(err, "cannot lock '%s': %s", path, strerror(errno));
    while (flock(lock, LOCK_EX) < 0) {
        if (errno == EINTR) continue;
        tg_fail(err, "cannot lock '%s': %s", path, strerror(errno));
        close(lock);
        return -1;
    }
    return lock;
}

/* To disk, and then in its place; `beside` is removed if that cannot be. */
static int put_in_place(FILE *f, bool good, const char *beside, const char *path,
                        struct tg_error *err)
{
    if (good && (fflush(f) != 0 || fsync(fileno(f)) < 0)) good = false;
    if (fclose(f) != 0) good = false;
    if (good && rename(beside, path) == 0) return 0;
    int why = errno;
    remove(beside);
    return tg_fail(err, "cannot write '%s': %s", path, strerror(why));
}

static bool copy_bytes(FILE *from, FILE *to)
{
    static char bytes[1 << 16];
    size_t got;
    while ((got = fread(bytes, 1, sizeof bytes, from)) > 0)
        if (fwrite(bytes, 1, got, to) != got) return false;
    return !ferror(from);
}

int tg_baseline_store_library(const char *store, const char *digest, char *path, size_t size,
                              struct tg_error *err)
{
    char found[PATH_SIZE], is[TG_DIGEST_SIZE];
    snprintf(found, sizeof found, "%s/libraries/%s.so", store, digest);
    if (access(found, R_OK) < 0)
        return tg_fail(err, "its library %.16s is not in the store", digest);
    if (tg_digest_file(found, is, err) < 0) return -1;
    if (strcmp(is, digest) != 0) return tg_fail(err, "its library %.16s was changed", digest);
    snprintf(path, size, "%s", found);
    return 0;
}

static int keep_library(const char *store, const char *digest, const char *library,
                        struct tg_error *err)
{
    char path[PATH_SIZE], beside[PATH_SIZE], is[TG_DIGEST_SIZE];
    if (tg_baseline_store_library(store, digest, path, sizeof path, NULL) == 0) return 0;
    snprintf(path, sizeof path, "%s/libraries/%s.so", store, digest);
    snprintf(beside, sizeof beside, "%s/libraries/%s.new", store, digest);
    FILE *from = fopen(library, "rb");
    if (!from) return tg_fail(err, "cannot read library '%s': %s", library, strerror(errno));
    FILE *to = fopen(beside, "wb");
    if (!to) {
        fclose(from);
        return tg_fail(err, "cannot write '%s': %s", beside, strerror(errno));
    }
    bool good = copy_bytes(from, to) && fflush(to) == 0;
    fclose(from);
    int rc = good ? tg_digest_file(beside, is, err) : 0;
    if (good && rc == 0 && strcmp(is, digest) != 0)
        rc = tg_fail(err, "library '%s' is not the one that the runs measured", library);
    if (rc == 0) return put_in_place(to, good, beside, path, err);
    fclose(to);
    remove(beside);
    return -1;
}

static int keep_entry(const char *store, const char *name, const struct tg_baseline *b,
                      struct tg_error *err)
{
    char path[PATH_SIZE], beside[PATH_SIZE], folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%s/entries", store);
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    snprintf(beside, sizeof beside, "%s/%s.new", folder, name);
    struct tg_json *json = tg_baseline_to_json(b, err);
    if (!json) return -1;
    char *text = tg_json_print(json, true);
    tg_json_free(json);
    FILE *f = fopen(beside, "w");
    if (!f) {
        free(text);
        return tg_fail(err, "cannot write '%s': %s", beside, strerror(errno));
    }
    bool good = fprintf(f, "%s\n", text) > 0;
    free(text);
    if (put_in_place(f, good, beside, path, err) < 0) return -1;
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        fsync(directory);
        close(directory);
    }
    return 0;
}

/* Reads one file; that it was edited, or has the wrong name, is an error. */
static int read_entry(const char *store, const char *name, struct tg_baseline *b,
                      struct tg_error *err)
{
    char path[PATH_SIZE], wanted[TG_TEXT_SIZE];
    struct tg_json_file file;
    struct tg_baseline read = {0};
    snprintf(path, sizeof path, "%s/entries/%s.json", store, name);
    if (tg_json_read(path, &file, err) < 0) return -1;
    int rc = tg_baseline_from_json(&file, file.root, &read, err);
    tg_json_release(&file);
    if (rc < 0) return -1;
    if (tg_baseline_name(&read, wanted, err) < 0)
        rc = -1;
    else if (strcmp(wanted, name) != 0)
        rc = tg_fail(err, "it was renamed: what it holds is '%s'", wanted);
    if (rc == 0)
        *b = read;
    else
        tg_baseline_release(&read);
    return rc;
}

static bool has_expired(const struct tg_baseline *b, const char *now)
{
    return strcmp(b->expires, now) <= 0;
}

/* The sessions that the store has under the name, before those of *b. */
static int join_stored(const char *store, const char *name, struct tg_baseline *b, const char *now,
                       struct tg_error *err)
{
    char path[PATH_SIZE];
    struct tg_baseline stored;
    snprintf(path, sizeof path, "%s/entries/%s.json", store, name);
    if (access(path, F_OK) < 0) return 0;
    if (read_entry(store, name, &stored, err) < 0)
        return tg_fail_in(err, "'%s' cannot be added to; remove it first", path);
    if (has_expired(&stored, now)) {
        tg_baseline_release(&stored);
        return 0;
    }
    memcpy(stored.created, b->created, sizeof stored.created);
    memcpy(stored.expires, b->expires, sizeof stored.expires);
    if (tg_baseline_merge(&stored, b, err) < 0) {
        tg_baseline_release(&stored);
        return -1;
    }
    tg_baseline_release(b);
    *b = stored;
    return 0;
}

int tg_baseline_store_promote(const char *store, struct tg_baseline *b, const char *library,
                              const char *now, struct tg_error *err)
{
    char name[TG_TEXT_SIZE];
    if (tg_baseline_agree(b, err) < 0 || tg_baseline_name(b, name, err) < 0) return -1;
    int lock = lock_store(store, err);
    if (lock < 0) return -1;
    int rc = join_stored(store, name, b, now, err);
    if (rc == 0) rc = tg_baseline_agree(b, err);
    if (rc == 0) rc = keep_library(store, b->library, library, err);
    if (rc == 0) rc = keep_entry(store, name, b, err);
    close(lock);
    return rc;
}

static int is_entry(const struct dirent *entry)
{
    return fnmatch("*.json", entry->d_name, FNM_PERIOD) == 0 &&
           strlen(entry->d_name) < TG_TEXT_SIZE;
}

/* The newest first, what cannot be used last; else by name, so that the order is always the same.
 */
static int by_age(const void *a, const void *b)
{
    const struct tg_baseline_entry *x = a, *y = b;
    if (!*x->error != !*y->error) return *x->error ? 1 : -1;
    int order = strcmp(y->baseline.created, x->baseline.created);
    return order ? order : strcmp(x->name, y->name);
}

int tg_baseline_store_read(const char *store, struct tg_baseline_entries *entries,
                           struct tg_error *err)
{
    char folder[PATH_SIZE];
    struct dirent **files;
    struct tg_baseline_entries read = {0};
    snprintf(folder, sizeof folder, "%s/entries", store);
    int count = scandir(folder, &files, is_entry, alphasort);
    if (count < 0) return tg_fail(err, "no store of baselines at '%s': %s", store, strerror(errno));
    read.list = calloc((size_t)count + 1, sizeof *read.list);
    for (int i = 0; i < count; i++) {
        if (read.list) {
            struct tg_baseline_entry *entry = &read.list[read.count++];
            struct tg_error why;
            snprintf(entry->name, sizeof entry->name, "%.*s", (int)strlen(files[i]->d_name) - 5,
                     files[i]->d_name);
            if (read_entry(store, entry->name, &entry->baseline, &why) < 0)
                snprintf(entry->error, sizeof entry->error, "%s", why.text);
        }
        free(files[i]);
    }
    free(files);
    if (!read.list) return tg_fail(err, "out of memory");
    qsort(read.list, read.count, sizeof *read.list, by_age);
    *entries = read;
    return 0;
}

void tg_baseline_store_release(struct tg_baseline_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) tg_baseline_release(&entries->list[i].baseline);
    free(entries->list);
    *entries = (struct tg_baseline_entries){0};
}

/* Which canaries run is known only when they did: until then any will do. */
static struct tg_baseline_key any_canary(const struct tg_baseline_key *key,
                                         const struct tg_baseline *b)
{
    struct tg_baseline_key wanted = *key;
    if (!*wanted.canary) memcpy(wanted.canary, b->key.canary, sizeof wanted.canary);
    return wanted;
}

const struct tg_baseline *tg_baseline_store_choose(const struct tg_baseline_entries *entries,
                                                   const struct tg_baseline_key *key,
                                                   const char *now, char *why, size_t size)
{
    size_t nearest = SIZE_MAX; /* length of the difference of the one that comes nearest */
    snprintf(why, size, "the store is empty");
    for (size_t i = 0; i < entries->count; i++) {
        const struct tg_baseline_entry *entry = &entries->list[i];
        char difference[900];
        if (*entry->error) {
            if (nearest == SIZE_MAX) snprintf(why, size, "%s: %s", entry->name, entry->error);
            continue;
        }
        const struct tg_baseline_key wanted = any_canary(key, &entry->baseline);
        tg_baseline_difference(&wanted, &entry->baseline.key, difference, sizeof difference);
        if (!*difference && !has_expired(&entry->baseline, now)) return &entry->baseline;
        if (strlen(difference) >= nearest) continue;
        nearest = strlen(difference);
        if (*difference)
            snprintf(why, size, "%s differs: %s", entry->name, difference);
        else
            snprintf(why, size, "%s expired on %s", entry->name, entry->baseline.expires);
    }
    return NULL;
}
