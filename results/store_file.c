/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_file.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/store_heap.h"
#include "results/store_layout.h"

#define LIST_MOST       100000000u
#define LIST_BYTES_MOST (UINT64_C(1) << 32)

int tg_store_file_write_number(int64_t file, const char *name, int value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t rc = H5Awrite(attribute, H5T_NATIVE_INT, &value);
    H5Aclose(attribute);
    H5Sclose(space);
    return rc < 0 ? -1 : 0;
}

int tg_store_file_write_text(int64_t file, const char *name, const char *text)
{
    hid_t space = H5Screate(H5S_SCALAR), type = tg_store_layout_text_type();
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    herr_t rc = H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text);
    H5Dclose(set);
    H5Tclose(type);
    H5Sclose(space);
    return rc < 0 ? -1 : 0;
}

/* The length of a list, or -1. */
static int64_t list_length(hid_t set)
{
    hsize_t length = 0;
    hid_t space = H5Dget_space(set);
    int dimensions = H5Sget_simple_extent_ndims(space);
    if (dimensions == 1) H5Sget_simple_extent_dims(space, &length, NULL);
    H5Sclose(space);
    return dimensions == 1 && length <= LIST_MOST ? (int64_t)length : -1;
}

static herr_t read_first(hid_t set, hid_t memory, hsize_t count, void *elements)
{
    const hsize_t first = 0;
    hid_t from = H5Dget_space(set), to = H5Screate_simple(1, &count, NULL);
    herr_t rc = H5Sselect_hyperslab(from, H5S_SELECT_SET, &first, NULL, &count, NULL);
    if (rc >= 0) rc = H5Dread(set, memory, to, from, H5P_DEFAULT, elements);
    H5Sclose(from);
    H5Sclose(to);
    return rc;
}

void *tg_store_file_read_list(int64_t file, const char *name, int64_t type, int64_t memory,
                              size_t size, size_t *count)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0) return NULL;
    void *elements = NULL;
    hid_t actual = H5Dget_type(set);
    int64_t length = list_length(set);
    uint64_t sound = 0;
    if (length >= 0 && (uint64_t)length < LIST_BYTES_MOST / size && H5Tequal(actual, type) > 0 &&
        tg_store_heap_check(file, set, (uint64_t)length, &sound) == 0)
        elements = calloc((size_t)length + 1, size);
    if (elements && sound && read_first(set, memory, sound, elements) < 0) {
        free(elements);
        elements = NULL;
    }
    H5Tclose(actual);
    H5Dclose(set);
    if (elements) *count = (size_t)length;
    return elements;
}

bool tg_store_file_has_other_type(int64_t file, const char *name, int64_t type)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0) return false;
    hid_t actual = H5Dget_type(set);
    bool other = actual >= 0 && H5Tequal(actual, type) == 0;
    if (actual >= 0) H5Tclose(actual);
    H5Dclose(set);
    return other;
}

char *tg_store_file_read_text(int64_t file, const char *name)
{
    char *text = NULL, *copy = NULL;
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), type = tg_store_layout_text_type();
    hid_t space = set >= 0 ? H5Dget_space(set) : -1;
    uint64_t sound = 0;
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
        tg_store_heap_check(file, set, 1, &sound) == 0 && sound == 1 &&
        H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text) >= 0 && text) {
        copy = strdup(text);
        H5free_memory(text);
    }
    H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (set >= 0) H5Dclose(set);
    return copy;
}

int tg_store_file_read_number(int64_t file, const char *name)
{
    int number = -1;
    hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
    if (attribute < 0) return -1;
    hid_t space = H5Aget_space(attribute);
    if (H5Sget_simple_extent_npoints(space) == 1) H5Aread(attribute, H5T_NATIVE_INT, &number);
    H5Sclose(space);
    H5Aclose(attribute);
    return number;
}

int tg_store_file_write_list(int64_t file, const char *name, int64_t type, int64_t memory,
                             const void *elements, size_t count)
{
    hsize_t length = count, unlimited = H5S_UNLIMITED, chunk = 256;
    hid_t space = H5Screate_simple(1, &length, &unlimited);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 1, &chunk);
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 4);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    herr_t rc = set < 0 ? -1 : 0;
    if (rc >= 0 && count > 0) rc = H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements);
    if (set >= 0 && H5Dclose(set) < 0) rc = -1;
    H5Pclose(properties);
    H5Sclose(space);
    return rc < 0 ? -1 : 0;
}

int tg_store_file_sync(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int rc = descriptor < 0 ? -1 : fsync(descriptor);
    if (descriptor >= 0) close(descriptor);
    return rc;
}
