/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "results/digest.h"
#include "results/store_file.h"
#include "worker/parcel.h"

/* A file under way. */
struct arrival {
    struct tg_crew *crew;
    size_t worker;
    const char *directory, *name;
    FILE *out;
    struct tg_digest *digest;
    double bytes; /* taken so far */
};

/* Asks a worker for the part behind what is there; *left is what comes behind it. */
static int take_part(struct arrival *a, double *left, struct tg_error *err)
{
    char digest[TG_DIGEST_SIZE];
    unsigned char *bytes = NULL;
    size_t size = 0;
    struct tg_json_file answer;
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "do", "read");
    tg_json_add_text(root, "directory", a->directory);
    tg_json_add_text(root, "file", a->name);
    tg_json_add_number(root, "at", a->bytes);
    char *message = tg_json_print(root, false);
    int rc = tg_crew_ask(a->crew, a->worker, message, "part", &answer, err);
    free(message);
    tg_json_free(root);
    if (rc < 0) return -1;
    rc = tg_parcel_decode(tg_json_text(tg_json_get(answer.root, "part")), &bytes, &size, err);
    *left = tg_json_number(tg_json_get(answer.root, "left"));
    if (rc == 0) {
        tg_digest_update(a->digest, bytes, size);
        a->bytes += (double)size;
        if (fwrite(bytes, 1, size, a->out) != size)
            rc = tg_fail(err, "%s", strerror(errno));
        else if (size == 0 && *left > 0)
            rc = tg_fail(err, "it ends before its end");
    }
    if (rc == 0 && *left <= 0) rc = tg_digest_finish(a->digest, digest, err);
    if (rc == 0 && *left <= 0 &&
        strcmp(digest, tg_json_text(tg_json_get(answer.root, "digest"))) != 0)
        rc = tg_fail(err, "its digest is not that of what was written");
    free(bytes);
    tg_json_release(&answer);
    return rc;
}

/* All of a file, into `path`. */
static int take_file(struct tg_crew *crew, size_t worker, const char *directory, const char *name,
                     const char *path, struct tg_error *err)
{
    struct arrival a = {.crew = crew, .worker = worker, .directory = directory, .name = name};
    double left = 1;
    if (!(a.digest = tg_digest_create(err))) return -1;
    a.out = fopen(path, "w");
    int rc = a.out ? 0 : tg_fail(err, "%s", strerror(errno));
    while (rc == 0 && left > 0) rc = take_part(&a, &left, err);
    if (a.out && fclose(a.out) != 0 && rc == 0) rc = tg_fail(err, "%s", strerror(errno));
    tg_digest_destroy(a.digest);
    return rc;
}

/* Whether the directory has a file of this name, and how long it is: -1 if it has none. */
static double bytes_there(const char *path)
{
    struct stat is;
    int file = open(path, O_RDONLY | O_CLOEXEC); /* what another node has closed is seen by this */
    int rc = file < 0 ? -1 : fstat(file, &is);
    if (file >= 0) close(file);
    return rc < 0 ? -1 : (double)is.st_size;
}

/*
 * A file that a worker tells of. Returns 1 if it came, 0 if it was there or is of another run. One
 * that is longer than the one here has grown since that came: it has all its rows.
 */
static int take_one(struct tg_crew *crew, size_t worker, const char *directory,
                    const struct tg_json *told, const struct tg_store_plan *run,
                    struct tg_error *err)
{
    char path[4096 + 300], part[4096 + 310];
    struct tg_error why;
    const char *name = tg_json_text(tg_json_get(told, "name"));
    if (!tg_parcel_is_name(name)) return tg_fail(err, "no worker has a file '%s'", name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(part, sizeof part, "%s.part", path);
    double there = bytes_there(path);
    if (there >= tg_json_number(tg_json_get(told, "bytes"))) return 0;
    int rc = take_file(crew, worker, directory, name, part, err), came = 1, fits = 0;
    if (rc == 0) fits = tg_store_check_plan(part, run, &why);
    if (rc == 0 && fits < 0) {
        tg_log(TG_WARN, "'%s' of worker %zu is left out: %s", path, worker + 1, why.text);
        came = 0;
    } else if (rc == 0 && fits == 1 && there >= 0) {
        rc = tg_fail(err, "it is damaged, and there is another one here");
    } else if (rc == 0 && (tg_store_file_sync(part) < 0 || rename(part, path) < 0)) {
        rc = tg_fail(err, "%s", strerror(errno));
    }
    if (rc < 0 || !came) remove(part);
    return rc == 0 ? came : tg_fail_in(err, "cannot bring '%s' from worker %zu", path, worker + 1);
}

static int take_all(struct tg_crew *crew, size_t worker, const char *message, const char *directory,
                    const struct tg_store_plan *run, size_t *count, struct tg_error *err)
{
    struct tg_json_file answer;
    if (tg_crew_ask(crew, worker, message, "files", &answer, err) < 0) return -1;
    const struct tg_json *files = tg_json_get(answer.root, "files");
    int rc = 0;
    for (size_t i = 0; i < tg_json_count(files); i++) {
        int came = take_one(crew, worker, directory, tg_json_at(files, i), run, err);
        if (came < 0)
            rc = -1;
        else
            *count += (size_t)came;
    }
    tg_json_release(&answer);
    return rc;
}

int tg_gather(struct tg_crew *crew, const char *directory, const struct tg_store_plan *run,
              size_t *count, struct tg_error *err)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "do", "files");
    tg_json_add_text(root, "directory", directory);
    tg_parcel_list(directory, NULL, NULL, tg_json_array(root, "have"));
    char *message = tg_json_print(root, false);
    tg_json_free(root);
    int rc = 0;
    *count = 0;
    for (size_t w = 0; w < tg_crew_count(crew); w++) {
        if (tg_crew_is_dead(crew, w)) continue;
        if (tg_crew_is_lost(crew, w))
            rc = tg_fail(err, "the file of worker %zu, which is lost, may be elsewhere", w + 1);
        else if (take_all(crew, w, message, directory, run, count, err) < 0)
            rc = -1;
    }
    free(message);
    return rc;
}
