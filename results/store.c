/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "results/digest.h"
#include "results/store_file.h"
#include "results/store_layout.h"

/* More than a row adds to the file beside its samples: a chunk of each list, nodes, texts. */
#define RESERVE_BYTES (1u << 20)

struct tg_store {
    hid_t file, runs, series, samples, turn, begun;
    char path[4096];
    char digest[TG_DIGEST_SIZE]; /* of the last row, or of the plan */
    hsize_t row_count, series_count, sample_count;
    bool broken;
};

/* An empty list that can grow. */
static hid_t create_list(hid_t file, const char *name, hid_t type, hsize_t chunk)
{
    hsize_t none = 0, unlimited = H5S_UNLIMITED;
    hid_t space = H5Screate_simple(1, &none, &unlimited);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 1, &chunk);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    H5Pclose(properties);
    H5Sclose(space);
    return set;
}

int tg_store_create(const char *path, const struct tg_store_plan *plan, struct tg_store **store,
                    struct tg_error *err)
{
    H5dont_atexit(); /* it would write what is not to be written, see tg_store_close */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    struct tg_store *s = calloc(1, sizeof *s);
    if (!s) return tg_fail(err, "out of memory");
    snprintf(s->path, sizeof s->path, "%s", path);
    s->file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
    if (s->file < 0) {
        free(s);
        return tg_fail(err, "cannot create '%s': %s", path, strerror(errno));
    }
    struct tg_store_columns all;
    tg_store_layout_columns(-1, &all);
    hid_t row_type = tg_store_layout_row_type(&all), series_type = tg_store_layout_series_type();
    s->runs = create_list(s->file, "runs", row_type, 64);
    s->series = create_list(s->file, "series", series_type, 128);
    s->samples = create_list(s->file, "samples", H5T_IEEE_F64LE, 4096);
    s->turn = create_list(s->file, "turn", H5T_STD_I64LE, 4096);
    s->begun = create_list(s->file, "begun", H5T_STD_I64LE, 4096);
    H5Tclose(row_type);
    H5Tclose(series_type);
    bool good = s->runs >= 0 && s->series >= 0 && s->samples >= 0 && s->turn >= 0 && s->begun >= 0;
    if (!good || tg_store_file_write_number(s->file, "tritgate_schema", TG_STORE_SCHEMA) < 0 ||
        tg_store_file_write_text(s->file, "matrix", plan->matrix) < 0 ||
        tg_store_file_write_text(s->file, "policy", plan->policy) < 0 ||
        tg_store_file_write_text(s->file, "plan", plan->plan) < 0 ||
        tg_store_layout_plan_digest(plan, s->digest, NULL) < 0 ||
        H5Fflush(s->file, H5F_SCOPE_GLOBAL) < 0) {
        tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
        s->broken = true;
        tg_store_close(s, NULL);
        unlink(path);
        return -1;
    }
    *store = s;
    return 0;
}

/* Appends `count` elements of `type` behind the `*length` there are. */
static int extend(hid_t set, hid_t type, hsize_t *length, hsize_t count, const void *elements)
{
    hsize_t grown = *length + count;
    if (count == 0) return 0;
    if (H5Dset_extent(set, &grown) < 0) return -1;
    hid_t space = H5Dget_space(set), memory = H5Screate_simple(1, &count, NULL);
    herr_t rc = H5Sselect_hyperslab(space, H5S_SELECT_SET, length, NULL, &count, NULL);
    if (rc >= 0) rc = H5Dwrite(set, type, memory, space, H5P_DEFAULT, elements);
    H5Sclose(memory);
    H5Sclose(space);
    if (rc < 0) return -1;
    *length = grown;
    return 0;
}

/*
 * Has the disk keep free behind the file's end what a flush can add to it: a flush that fails
 * midway leaves a file that nobody can read, so it must not be begun. Where the file system cannot
 * keep room, there must at least be some.
 */
static int reserve(const struct tg_store *s, const struct tg_measurement *m, struct tg_error *err)
{
    struct statvfs disk;
    struct stat file;
    struct rlimit most;
    int *descriptor, rc;
    size_t wanted = RESERVE_BYTES + sizeof(struct tg_store_row);
    for (size_t i = 0; i < m->series_count; i++) wanted += 64 * 1024 + 24 * m->series[i].count;
    if (H5Fget_vfd_handle(s->file, H5P_DEFAULT, (void **)&descriptor) < 0 ||
        fstat(*descriptor, &file) != 0 || getrlimit(RLIMIT_FSIZE, &most) != 0)
        return tg_fail(err, "cannot write '%s': %s", s->path, strerror(errno));
    if (most.rlim_cur != RLIM_INFINITY && most.rlim_cur < (rlim_t)file.st_size + wanted)
        return tg_fail(err, "cannot write '%s': %s", s->path, strerror(EFBIG));
    do rc = fallocate(*descriptor, FALLOC_FL_KEEP_SIZE, file.st_size, (off_t)wanted);
    while (rc != 0 && errno == EINTR);
    if (rc == 0) return 0;
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
        if (fstatvfs(*descriptor, &disk) == 0 &&
            (double)disk.f_bavail * (double)disk.f_frsize > (double)wanted)
            return 0;
        errno = ENOSPC;
    }
    tg_fail(err, "cannot write '%s': %s", s->path, strerror(errno));
    rc = ftruncate(*descriptor, file.st_size); /* gives back what was kept; it may stay, too */
    return -1;
}

static int append_series(struct tg_store *s, const struct tg_measurement *m,
                         struct tg_store_series *rows)
{
    hsize_t first = s->sample_count;
    for (size_t i = 0; i < m->series_count; i++) {
        const struct tg_series *series = &m->series[i];
        hsize_t turns = s->sample_count, begun = s->sample_count;
        rows[i] = (struct tg_store_series){.run = (int64_t)s->row_count,
                                           .sample_first = (int64_t)s->sample_count,
                                           .sample_count = (int64_t)series->count};
        snprintf(rows[i].metric, sizeof rows[i].metric, "%s", series->metric);
        if (extend(s->samples, H5T_NATIVE_DOUBLE, &s->sample_count, series->count,
                   series->samples) < 0 ||
            extend(s->turn, H5T_NATIVE_INT64, &turns, series->count, series->turns) < 0 ||
            extend(s->begun, H5T_NATIVE_INT64, &begun, series->count, series->begun) < 0)
            return -1;
    }
    return s->sample_count == first || H5Fflush(s->file, H5F_SCOPE_GLOBAL) >= 0 ? 0 : -1;
}

static int append_row(struct tg_store *s, const struct tg_measurement *m,
                      const struct tg_store_series *series, const char *digest)
{
    struct tg_store_row row;
    struct tg_store_columns all;
    tg_store_layout_columns(-1, &all);
    tg_store_layout_to_row(m, digest, &row);
    hid_t row_memory = tg_store_layout_row_memory(&all),
          series_memory = tg_store_layout_series_memory();
    int rc = -1;
    if (extend(s->series, series_memory, &s->series_count, m->series_count, series) == 0 &&
        extend(s->runs, row_memory, &s->row_count, 1, &row) == 0 &&
        H5Fflush(s->file, H5F_SCOPE_GLOBAL) >= 0)
        rc = 0;
    H5Tclose(row_memory);
    H5Tclose(series_memory);
    return rc;
}

int tg_store_append(struct tg_store *store, const struct tg_measurement *m, struct tg_error *err)
{
    if (store->broken) return tg_fail(err, "'%s' is not written after a failure", store->path);
    char digest[TG_DIGEST_SIZE];
    struct tg_store_series *series = calloc(m->series_count + 1, sizeof *series);
    int rc = series ? tg_store_layout_row_digest(store->digest, m, &tg_facts_type, digest, err)
                    : tg_fail(err, "out of memory");
    if (rc == 0) rc = reserve(store, m, err);
    if (rc == 0 && append_series(store, m, series) < 0)
        rc = tg_fail(err, "cannot write '%s': %s", store->path, strerror(errno));
    if (rc == 0) rc = reserve(store, m, err); /* flushing gave back what was kept */
    if (rc == 0 && append_row(store, m, series, digest) < 0)
        rc = tg_fail(err, "cannot write '%s': %s", store->path, strerror(errno));
    free(series);
    if (rc < 0)
        store->broken = true;
    else
        memcpy(store->digest, digest, sizeof digest);
    return rc;
}

int tg_store_close(struct tg_store *store, struct tg_error *err)
{
    if (!store) return 0;
    /* Closing would write what could not be written: the file stays as the last flush left it. */
    if (store->broken) {
        tg_fail(err, "'%s' could not be written to its end", store->path);
        free(store);
        return -1;
    }
    hid_t sets[] = {store->runs, store->series, store->samples, store->turn, store->begun};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) H5Dclose(sets[i]);
    int rc = H5Fclose(store->file) < 0 ? tg_fail(err, "cannot close '%s'", store->path) : 0;
    /* What is there no more is missed where the rows of all are counted. */
    if (rc == 0 && tg_store_file_sync(store->path) < 0 && errno != ENOENT)
        rc = tg_fail(err, "cannot write '%s': %s", store->path, strerror(errno));
    free(store);
    return rc;
}

int tg_store_check_plan(const char *path, const struct tg_store_plan *plan, struct tg_error *err)
{
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return 1;
    char *matrix = tg_store_file_read_text(file, "matrix");
    char *policy = tg_store_file_read_text(file, "policy");
    char *text = tg_store_file_read_text(file, "plan");
    H5Fclose(file);
    int rc = 0;
    if (!matrix || !policy || !text)
        rc = 1;
    else if (strcmp(matrix, plan->matrix) != 0 || strcmp(policy, plan->policy) != 0 ||
             strcmp(text, plan->plan) != 0)
        rc = tg_fail(err, "it belongs to another run");
    free(matrix);
    free(policy);
    free(text);
    return rc;
}
