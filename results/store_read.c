/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <hdf5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/pulse.h"
#include "results/digest.h"
#include "results/metric.h"
#include "results/store_file.h"
#include "results/store_layout.h"

/* What a seal speaks for beside the worker files, in this order. */
enum { PARTS = 6 };
static const char *const parts[PARTS] = {"matrix.json",     "policy.json", "plan.json",
                                         "acceptance.json", "tries.json",  "sealed.json"};

static int is_shard(const struct dirent *entry)
{
    return fnmatch("worker-*.h5", entry->d_name, 0) == 0;
}

/* Whether something is there that is no file, nor a link to one. */
static bool is_other(const char *directory, const char *name)
{
    char path[4096 + 300];
    struct stat is;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &is) == 0 && !S_ISREG(is.st_mode);
}

/* The worker files of a directory; returns how many, or -1. A link to a file is one, too. */
static int list_shards(const char *directory, struct dirent ***shards, struct tg_error *err)
{
    int kept = 0, count = scandir(directory, shards, is_shard, alphasort);
    if (count < 0) return tg_fail(err, "cannot read run '%s': %s", directory, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (is_other(directory, (*shards)[i]->d_name))
            free((*shards)[i]);
        else
            (*shards)[kept++] = (*shards)[i];
    }
    return kept;
}

/* A shard, as it lies in its file. */
struct shard {
    struct tg_store_row *rows;
    struct tg_store_series *series;
    double *samples;
    int64_t *turns, *begun;
    size_t row_count, series_count, sample_count, turn_count, begun_count;
    char *matrix, *policy, *plan;    /* what was asked, as this file has it */
    bool is_foreign;                 /* another version wrote it: no kill leaves that */
    struct tg_store_columns columns; /* of /runs */
};

static void free_shard(struct shard *s)
{
    for (size_t i = 0; s->rows && i < s->row_count; i++) {
        H5free_memory(s->rows[i].block);
        H5free_memory(s->rows[i].reason);
    }
    free(s->rows);
    free(s->series);
    free(s->samples);
    free(s->turns);
    free(s->begun);
    free(s->matrix);
    free(s->policy);
    free(s->plan);
}

/* Which columns the rows have; all, if that cannot be seen. */
static void find_columns(hid_t file, struct tg_store_columns *columns)
{
    hid_t set = H5Dopen2(file, "runs", H5P_DEFAULT), type = set >= 0 ? H5Dget_type(set) : -1;
    tg_store_layout_columns(type, columns);
    if (type >= 0) H5Tclose(type);
    if (set >= 0) H5Dclose(set);
}

/*
 * Opens a file to read it. HDF5 locks also what is only read, which fails while another program has
 * it open for writing, and on some file systems always. A file under a seal is not written any
 * more: it needs no lock. (HDF5 before 1.10.7, and 1.12.0, cannot do without.)
 */
static hid_t open_shard(const char *path, bool is_sealed)
{
    H5dont_atexit(); /* for a file that this process writes, see tg_store_close */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t how = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 11, 0))
    if (is_sealed) H5Pset_file_locking(how, 0, 1);
#endif
    errno = 0;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, how);
    int why = errno;
    H5Pclose(how);
    errno = why;
    return file;
}

/*
 * Whether errno says that a file could not be read now, which says nothing of what is in it. One
 * that is locked and not sealed is still being written.
 */
static bool is_passing(int why, bool is_sealed)
{
    static const int passing[] = {ENOMEM, EMFILE, ENFILE, EACCES, EPERM, EIO, ESTALE, ENOLCK};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (why == passing[i]) return true;
    return why == EWOULDBLOCK && is_sealed;
}

/*
 * The sentence does not name the file: the place of a run is in no report. errno says what stood in
 * the way, if it was not the file.
 */
static int read_shard(const char *path, bool is_sealed, struct shard *s, struct tg_error *err)
{
    hid_t file = open_shard(path, is_sealed);
    if (file < 0) return tg_fail(err, "not a whole HDF5 file");
    int schema = tg_store_file_read_number(file, "tritgate_schema");
    if (schema != TG_STORE_SCHEMA) {
        H5Fclose(file);
        if (schema == -1) return tg_fail(err, "it does not say its schema");
        s->is_foreign = true;
        return tg_fail(err, "it has schema %d, this version reads schema %d", schema,
                       TG_STORE_SCHEMA);
    }
    find_columns(file, &s->columns);
    hid_t row = tg_store_layout_row_type(&s->columns);
    hid_t row_memory = tg_store_layout_row_memory(&s->columns);
    hid_t series = tg_store_layout_series_type(), series_memory = tg_store_layout_series_memory();
    s->matrix = tg_store_file_read_text(file, "matrix");
    s->policy = tg_store_file_read_text(file, "policy");
    s->plan = tg_store_file_read_text(file, "plan");
    s->rows = tg_store_file_read_list(file, "runs", row, row_memory, sizeof *s->rows,
                                      &s->row_count);
    s->series = tg_store_file_read_list(file, "series", series, series_memory, sizeof *s->series,
                                        &s->series_count);
    s->samples = tg_store_file_read_list(file, "samples", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE,
                                         sizeof(double), &s->sample_count);
    s->turns = tg_store_file_read_list(file, "turn", H5T_STD_I64LE, H5T_NATIVE_INT64,
                                       sizeof(int64_t), &s->turn_count);
    s->begun = tg_store_file_read_list(file, "begun", H5T_STD_I64LE, H5T_NATIVE_INT64,
                                       sizeof(int64_t), &s->begun_count);
    bool other = tg_store_file_has_other_type(file, "runs", row) ||
                 tg_store_file_has_other_type(file, "series", series);
    H5Tclose(row);
    H5Tclose(row_memory);
    H5Tclose(series);
    H5Tclose(series_memory);
    H5Fclose(file);
    if (s->matrix && s->policy && s->plan && s->rows && s->series && s->samples && s->turns &&
        s->begun)
        return 0;
    free_shard(s);
    *s = (struct shard){.is_foreign = other};
    return tg_fail(err, other ? "it has other columns than this version's" : "it is damaged");
}

/* Adds the series of row r; *next is the first series row not yet taken. */
static int take_series(const struct shard *s, size_t r, size_t *next, struct tg_measurement *m)
{
    for (; *next < s->series_count && s->series[*next].run == (int64_t)r; ++*next) {
        const struct tg_store_series *from = &s->series[*next];
        size_t first = (size_t)from->sample_first, count = (size_t)from->sample_count;
        if (from->sample_first < 0 || from->sample_count < 0) return -1;
        if (first > s->sample_count || count > s->sample_count - first ||
            first + count > s->turn_count || first + count > s->begun_count)
            return -1;
        char metric[TG_TEXT_SIZE + 1];
        snprintf(metric, sizeof metric, "%.*s", TG_TEXT_SIZE - 1, from->metric);
        struct tg_series *to = tg_measurement_add(m, metric, count);
        if (!to) return -1;
        memcpy(to->samples, s->samples + first, count * sizeof *to->samples);
        memcpy(to->turns, s->turns + first, count * sizeof *to->turns);
        memcpy(to->begun, s->begun + first, count * sizeof *to->begun);
    }
    return 0;
}

static int check_row(const struct tg_measurement *m, const struct tg_record_type *facts,
                     const char *before, const char *stored, char digest[TG_DIGEST_SIZE],
                     struct tg_error *err)
{
    if (tg_store_layout_row_digest(before, m, facts, digest, err) < 0) return -1;
    if (strncmp(digest, stored, TG_DIGEST_SIZE) != 0) return tg_fail(err, "its digest differs");
    for (size_t i = 0; i < m->series_count; i++) {
        const struct tg_metric *metric = tg_metric_find(m->series[i].metric);
        for (size_t k = 0; metric && k < m->series[i].count; k++)
            if (metric->sign == TG_POSITIVE && !(m->series[i].samples[k] > 0))
                return tg_fail(err, "a sample of '%s' that is not above 0", metric->name);
    }
    return 0;
}

/*
 * How many rows there are up to the last that is not blank: where the machine went down, the disk
 * may have the length of the list and not yet its end.
 */
static size_t count_written(const struct shard *s)
{
    size_t count = s->row_count;
    while (count > 0 && !*s->rows[count - 1].digest) count--;
    return count;
}

/*
 * Appends so many rows of the shard to the run, checking the chain. Sets *taken to how many were
 * sound.
 */
static int take_rows(const struct shard *s, size_t count, struct tg_run *run,
                     struct tg_digest *evidence, size_t *taken, struct tg_error *err)
{
    const struct tg_store_plan plan = {s->matrix, s->policy, s->plan};
    char before[TG_DIGEST_SIZE], digest[TG_DIGEST_SIZE];
    size_t next = 0;
    *taken = 0;
    if (tg_store_layout_plan_digest(&plan, before, err) < 0) return -1;
    struct tg_measurement *rows = realloc(run->rows, (run->count + count + 1) * sizeof *run->rows);
    if (!rows) return tg_fail(err, "out of memory");
    run->rows = rows;
    for (size_t r = 0; r < count; r++) {
        struct tg_measurement *m = &run->rows[run->count];
        tg_pulse();
        if (tg_store_layout_from_row(&s->rows[r], &s->columns, m, err) < 0) return -1;
        if (take_series(s, r, &next, m) < 0 ||
            check_row(m, &s->columns.facts, before, s->rows[r].digest, digest, err) < 0) {
            char cell[TG_CELL_TEXT_SIZE];
            tg_fail(err, "row %zu (round %lld of cell '%s') was damaged or changed", r,
                    (long long)m->round, tg_cell_text(&m->cell, cell));
            tg_measurement_free(m);
            return -1;
        }
        memcpy(before, digest, sizeof before);
        if (!*run->beginning || m->attempt < run->first_attempt) {
            memcpy(run->beginning, digest, sizeof digest);
            run->first_attempt = m->attempt;
        }
        tg_digest_update(evidence, digest, sizeof digest);
        run->count++;
        ++*taken;
    }
    return 0;
}

/*
 * Names what a kill left damaged; a sealed run had it when it was sealed. A file that a broken seal
 * names, and that is another by now, lost what was sealed: that may be what failed.
 */
static int drop(struct tg_run *run, const struct tg_json *sealed, const char *path, const char *why,
                struct tg_error *err)
{
    char digest[TG_DIGEST_SIZE];
    size_t used = strlen(run->dropped);
    const char *name = strrchr(path, '/') + 1;
    const struct tg_json *was = tg_json_get(sealed, name);
    if (was && tg_digest_file(path, digest, err) < 0) return -1;
    if (was && strcmp(tg_json_text(was), digest) != 0)
        return tg_fail(err, "'%s' of an attempt that was sealed is damaged: %s", name, why);
    tg_log(TG_WARN, "'%s': %s; it is left out", path, why);
    snprintf(run->dropped + used, sizeof run->dropped - used, "%s'%s': %s", used ? "; " : "", name,
             why);
    return 0;
}

/* Appends the rows of a file; `sealed` are the files that a broken seal names, or NULL. */
static int read_into(const char *path, const struct tg_json *sealed, struct tg_run *run,
                     struct tg_digest *evidence, struct tg_error *err)
{
    struct shard s = {0};
    struct tg_error why;
    size_t taken = 0;
    if (access(path, F_OK) != 0) /* a link that leads nowhere: rows are missing */
        return tg_fail(err, "cannot read '%s': %s", path, strerror(errno));
    if (read_shard(path, run->is_sealed, &s, &why) < 0) {
        if (is_passing(errno, run->is_sealed))
            return tg_fail(err, "cannot read '%s': %s", path, strerror(errno));
        if (s.is_foreign) return tg_fail(err, "'%s': %s", path, why.text);
        return drop(run, sealed, path, why.text, err);
    }
    int rc = 0;
    size_t written = count_written(&s);
    errno = 0;
    if (strcmp(run->matrix, s.matrix) != 0 || strcmp(run->policy, s.policy) != 0 ||
        strcmp(run->plan, s.plan) != 0)
        rc = tg_fail(err, "'%s' belongs to another run", path);
    else if (take_rows(&s, written, run, evidence, &taken, &why) < 0 &&
             (taken + 1 < written || errno == ENOMEM))
        rc = tg_fail(err, "'%s': %s", path, why.text);
    else if (taken < written)
        rc = drop(run, sealed, path, why.text, err);
    else if (written < s.row_count)
        rc = drop(run, sealed, path, "its last rows did not all reach the disk", err);
    free_shard(&s);
    return rc;
}

/* The text of a JSON file of the run; the caller frees. */
static char *read_part(const char *directory, const char *name, struct tg_error *err)
{
    char path[4096 + 64];
    struct tg_json_file file;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (tg_json_read(path, &file, err) < 0) return NULL;
    char *text = file.text;
    file.text = NULL;
    tg_json_release(&file);
    return text;
}

static bool has_part(const char *directory, const char *name)
{
    char path[4096 + 64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

/* The text of digests.json as the files are now; the caller frees. */
static char *seal_text(const char *directory, struct dirent **shards, int shard_count,
                       struct tg_error *err)
{
    char path[4096 + 300], digest[TG_DIGEST_SIZE];
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_digests", 1);
    struct tg_json *files = tg_json_object(root, "files");
    int rc = 0;
    for (int i = 0; i < PARTS + shard_count && rc == 0; i++) {
        const char *name = i < PARTS ? parts[i] : shards[i - PARTS]->d_name;
        if (i >= 3 && i < PARTS && !has_part(directory, name)) continue; /* it need not be there */
        snprintf(path, sizeof path, "%s/%s", directory, name);
        rc = tg_digest_file(path, digest, err);
        if (rc == 0) tg_json_add_text(files, name, digest);
    }
    char *text = rc == 0 ? tg_json_print(root, true) : NULL;
    tg_json_free(root);
    return text;
}

/* Names the first file whose digest is not the sealed one. */
static int name_difference(const struct tg_json *sealed, const struct tg_json *now,
                           struct tg_error *err)
{
    for (size_t i = 0; i < tg_json_count(now); i++) {
        const struct tg_json *file = tg_json_at(now, i);
        const struct tg_json *was = tg_json_get(sealed, tg_json_key(file));
        if (!was) return tg_fail(err, "'%s' was added after the run", tg_json_key(file));
        if (strcmp(tg_json_text(was), tg_json_text(file)) != 0)
            return tg_fail(err, "'%s' was changed after the run: its digest differs",
                           tg_json_key(file));
    }
    for (size_t i = 0; i < tg_json_count(sealed); i++)
        if (!tg_json_get(now, tg_json_key(tg_json_at(sealed, i))))
            return tg_fail(err, "'%s' was removed after the run",
                           tg_json_key(tg_json_at(sealed, i)));
    return tg_fail(err, "'digests.json' was changed after the run");
}

/* digests.json must be, byte for byte, what sealing the files as they are would write. */
static int read_seal(const char *directory, struct dirent **shards, int shard_count,
                     struct tg_run *run, struct tg_error *err)
{
    char path[4096 + 64];
    struct tg_json_file seal, fresh;
    snprintf(path, sizeof path, "%s/digests.json", directory);
    if (access(path, F_OK) != 0) return 0;
    if (tg_json_read(path, &seal, err) < 0) return -1;
    char *now = seal_text(directory, shards, shard_count, err);
    size_t length = now ? strlen(now) : 0;
    int rc = now ? 0 : -1;
    if (now && (strncmp(seal.text, now, length) != 0 || strcmp(seal.text + length, "\n") != 0)) {
        rc = tg_json_parse(now, &fresh, err);
        if (rc == 0) {
            rc = name_difference(tg_json_get(seal.root, "files"), tg_json_get(fresh.root, "files"),
                                 err);
            tg_json_release(&fresh);
        }
    }
    free(now);
    tg_json_release(&seal);
    run->is_sealed = rc == 0;
    return rc;
}

/*
 * What the last seal that was broken speaks for is still there: it may be what failed. `seal` is to
 * be released; all zeros if there is none.
 */
static int read_broken_seal(const char *directory, struct tg_json_file *seal, struct tg_error *err)
{
    char path[4096 + 64];
    if (!has_part(directory, "sealed.json")) return 0;
    snprintf(path, sizeof path, "%s/sealed.json", directory);
    if (tg_json_read(path, seal, err) < 0) return -1;
    const struct tg_json *files = tg_json_get(seal->root, "files");
    if (tg_json_kind(files) != TG_JSON_OBJECT)
        return tg_fail(err, "sealed.json: a list of files is expected");
    for (size_t i = 0; i < tg_json_count(files); i++) {
        const char *name = tg_json_key(tg_json_at(files, i));
        if (fnmatch("worker-*.h5", name, 0) != 0) continue;
        if (!has_part(directory, name) || is_other(directory, name))
            return tg_fail(err, "'%s' of an attempt that was sealed is missing", name);
    }
    return 0;
}

static int read_run(const char *directory, struct dirent **shards, int shard_count,
                    const struct tg_json *sealed, struct tg_run *run, struct tg_error *err)
{
    char path[4096 + 300];
    if (!has_part(directory, "matrix.json"))
        return tg_fail(err, "it has no matrix.json: that is not the directory of a run");
    if (!(run->matrix = read_part(directory, "matrix.json", err)) ||
        !(run->policy = read_part(directory, "policy.json", err)) ||
        !(run->plan = read_part(directory, "plan.json", err)))
        return -1;
    if ((has_part(directory, "acceptance.json") &&
         !(run->acceptance = read_part(directory, "acceptance.json", err))) ||
        (has_part(directory, "tries.json") &&
         !(run->tries = read_part(directory, "tries.json", err))))
        return -1;
    struct tg_digest *evidence = tg_digest_create(err);
    int rc = evidence ? 0 : -1;
    for (int i = 0; i < shard_count && rc == 0; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, shards[i]->d_name);
        rc = read_into(path, sealed, run, evidence, err);
    }
    if (rc == 0) rc = tg_digest_finish(evidence, run->evidence, err);
    tg_digest_destroy(evidence);
    return rc;
}

int tg_store_read(const char *directory, struct tg_run *run, struct tg_error *err)
{
    struct dirent **shards;
    struct tg_run read = {0};
    struct tg_json_file broken = {0};
    int shard_count = list_shards(directory, &shards, err);
    if (shard_count < 0) return -1;
    int rc = read_seal(directory, shards, shard_count, &read, err);
    if (rc == 0) rc = read_broken_seal(directory, &broken, err);
    if (rc == 0) {
        const struct tg_json *sealed = tg_json_get(broken.root, "files");
        rc = read_run(directory, shards, shard_count, sealed, &read, err);
    }
    tg_json_release(&broken);
    for (int i = 0; i < shard_count; i++) free(shards[i]);
    free(shards);
    if (rc < 0) {
        tg_store_release(&read);
        return tg_fail_in(err, "run '%s'", directory);
    }
    *run = read;
    return 0;
}

void tg_store_release(struct tg_run *run)
{
    for (size_t i = 0; i < run->count; i++) tg_measurement_free(&run->rows[i]);
    free(run->rows);
    free(run->matrix);
    free(run->policy);
    free(run->plan);
    free(run->acceptance);
    free(run->tries);
    *run = (struct tg_run){0};
}

int tg_store_seal(const char *directory, struct tg_error *err)
{
    struct dirent **shards;
    struct tg_json_file seal;
    char path[4096 + 64];
    int shard_count = list_shards(directory, &shards, err);
    if (shard_count < 0) return -1;
    char *text = seal_text(directory, shards, shard_count, err);
    int rc = text ? tg_json_parse(text, &seal, err) : -1;
    if (rc == 0) {
        snprintf(path, sizeof path, "%s/digests.json", directory);
        rc = tg_json_write(seal.root, path, err);
        tg_json_release(&seal);
    }
    free(text);
    for (int i = 0; i < shard_count; i++) free(shards[i]);
    free(shards);
    return rc;
}
