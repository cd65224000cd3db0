/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_heap.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * HDF5 File Format Specification 3.0, III.E "Global Heap": a heap begins with "GCOL", the version,
 * three bytes, and its size; its objects with their index (0: what is free, this head included),
 * six bytes, and their size, filled up to a multiple of 8. A reference to one, where an element has
 * a text, is the text's length, the heap's address (0: no text), and the index.
 */
#define HEAD_BYTES      16 /* of a heap, and of an object in it */
#define HEAP_LEAST      4096
#define REFERENCE_BYTES 16
#define TEXTS_MOST      8

/* The heap that was looked at last: texts that follow each other mostly share one. */
struct heap {
    int descriptor;
    uint64_t file_bytes, address, size;
    unsigned char *bytes; /* NULL: none yet */
    bool has_failed;      /* to read: there was no memory, or the disk failed */
};

/* Where an element has references, as it is stored. */
struct texts {
    size_t offsets[TEXTS_MOST], count, element_bytes;
};

static uint64_t number_at(const unsigned char *bytes, int size)
{
    uint64_t number = 0;
    while (size-- > 0) number = number << 8 | bytes[size];
    return number;
}

/* So many bytes of the file, for the caller to free; NULL if it has not that many there. */
static unsigned char *read_at(struct heap *h, uint64_t address, uint64_t size)
{
    if (address > h->file_bytes || size > h->file_bytes - address) return NULL;
    unsigned char *bytes = malloc(size);
    h->has_failed = h->has_failed || !bytes;
    for (uint64_t taken = 0; bytes && taken < size;) {
        ssize_t more = pread(h->descriptor, bytes + taken, size - taken, (off_t)(address + taken));
        if (more <= 0) {
            h->has_failed = h->has_failed || more < 0;
            free(bytes);
            return NULL;
        }
        taken += (uint64_t)more;
    }
    return bytes;
}

static int take_heap(struct heap *h, uint64_t address)
{
    if (h->bytes && h->address == address) return 0;
    free(h->bytes);
    h->bytes = NULL;
    unsigned char *head = read_at(h, address, HEAD_BYTES);
    if (head && memcmp(head, "GCOL\1", 5) == 0) {
        h->address = address;
        h->size = number_at(head + 8, 8);
        if (h->size >= HEAP_LEAST) h->bytes = read_at(h, address, h->size);
    }
    free(head);
    return h->bytes ? 0 : -1;
}

/* Whether the heap is objects from its begin to its end, and one is this text, which has no NUL. */
static bool has_text(const struct heap *h, uint64_t index, uint64_t length)
{
    bool has = false;
    uint64_t need;
    for (uint64_t at = HEAD_BYTES; h->size - at >= HEAD_BYTES; at += need) {
        uint64_t is = number_at(h->bytes + at, 2), size = number_at(h->bytes + at + 8, 8);
        if (size > h->size - at) return false;
        need = is ? HEAD_BYTES + (size + 7) / 8 * 8 : size;
        if (need < HEAD_BYTES || need > h->size - at) return false;
        if (is > 0 && is == index) /* of two, HDF5 takes the last */
            has = size == length && !memchr(h->bytes + at + HEAD_BYTES, 0, size);
    }
    return has;
}

/* How many elements that lie side by side have all their texts, up to the first that has not. */
static uint64_t check_elements(struct heap *h, const struct texts *texts, uint64_t address,
                               uint64_t count)
{
    unsigned char *elements = read_at(h, address, count * texts->element_bytes);
    uint64_t sound = 0;
    for (bool is_sound = elements != NULL; is_sound && sound < count; sound += is_sound)
        for (size_t i = 0; i < texts->count && is_sound; i++) {
            const unsigned char *reference = elements + sound * texts->element_bytes +
                                             texts->offsets[i];
            uint64_t at = number_at(reference + 4, 8);
            is_sound = at == 0 ||
                       (take_heap(h, at) == 0 &&
                        has_text(h, number_at(reference + 12, 4), number_at(reference, 4)));
        }
    free(elements);
    return sound;
}

/* A chunk that has no place in the file is none: HDF5 gives blank elements for it. */
static uint64_t check_chunks(struct heap *h, const struct texts *texts, hid_t set, hsize_t chunk,
                             uint64_t count)
{
#if H5_VERSION_GE(1, 10, 5) /* those before do not say where a chunk is */
    for (hsize_t first = 0; first < count; first += chunk) {
        unsigned filters;
        haddr_t address;
        hsize_t bytes;
        uint64_t here = count - first < chunk ? count - first : chunk, sound = here;
        if (H5Dget_chunk_info_by_coord(set, &first, &filters, &address, &bytes) < 0) return first;
        if (address == HADDR_UNDEF) continue;
        if (bytes != chunk * texts->element_bytes) return first;
        sound = check_elements(h, texts, address, here);
        if (sound < here) return first + sound;
    }
#endif
    return count;
}

/* The type is as HDF5 has it in memory, where a text is a pointer. */
static int find_texts(hid_t set, struct texts *texts)
{
    hid_t type = H5Dget_type(set);
    bool is_row = H5Tget_class(type) == H5T_COMPOUND;
    int members = is_row ? H5Tget_nmembers(type) : 1, rc = 0;
    *texts = (struct texts){.element_bytes = H5Tget_size(type)};
    for (unsigned i = 0; (int)i < members && rc == 0; i++) {
        hid_t member = is_row ? H5Tget_member_type(type, i) : H5Tcopy(type);
        bool is_text = H5Tis_variable_str(member) > 0;
        H5Tclose(member);
        if (is_text && texts->count == TEXTS_MOST) rc = -1;
        if (!is_text || rc < 0) continue;
        size_t grown = REFERENCE_BYTES - sizeof(char *);
        texts->offsets[texts->count] = (is_row ? H5Tget_member_offset(type, i) : 0) +
                                       texts->count * grown;
        texts->element_bytes += grown;
        texts->count++;
    }
    H5Tclose(type);
    return rc;
}

/* Whether addresses and sizes have 8 bytes and count from the file's begin, as in our files. */
static bool has_our_numbers(hid_t file)
{
    size_t address = 0, size = 0;
    hsize_t before = 1;
    hid_t properties = H5Fget_create_plist(file);
    H5Pget_sizes(properties, &address, &size);
    H5Pget_userblock(properties, &before);
    H5Pclose(properties);
    return address == 8 && size == 8 && before == 0;
}

int tg_store_heap_check(int64_t file, int64_t set, uint64_t count, uint64_t *sound)
{
    int *descriptor;
    struct stat is;
    struct texts texts;
    hsize_t chunk = 0;
    *sound = 0;
    if (find_texts(set, &texts) < 0) return 0;
    if (texts.count == 0 || count == 0) {
        *sound = count;
        return 0;
    }
    if (!has_our_numbers(file)) return 0;
    if (H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&descriptor) < 0 ||
        fstat(*descriptor, &is) != 0)
        return -1;
    struct heap heap = {.descriptor = *descriptor, .file_bytes = (uint64_t)is.st_size};
    hid_t properties = H5Dget_create_plist(set);
    if (H5Pget_layout(properties) != H5D_CHUNKED) {
        haddr_t address = H5Dget_offset(set);
        if (address != HADDR_UNDEF) *sound = check_elements(&heap, &texts, address, count);
    } else if (H5Pget_chunk(properties, 1, &chunk) == 1 && chunk > 0) {
        *sound = check_chunks(&heap, &texts, set, chunk, count);
    }
    H5Pclose(properties);
    free(heap.bytes);
    return heap.has_failed ? -1 : 0;
}
