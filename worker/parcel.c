/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/parcel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/digest.h"

bool tg_parcel_is_name(const char *name)
{
    int length = 0;
    long long rank, attempt;
    return sscanf(name, "worker-%lld.%lld.h5%n", &rank, &attempt, &length) == 2 && length > 0 &&
           name[length] == 0;
}

static bool is_had(const struct tg_json *had, const char *name, double bytes)
{
    for (const struct tg_json *file = had ? tg_json_at(had, 0) : NULL; file;
         file = tg_json_next(file))
        if (strcmp(tg_json_text(tg_json_get(file, "name")), name) == 0)
            return tg_json_number(tg_json_get(file, "bytes")) == bytes;
    return false;
}

/* Adds a file if it is one, and not had. */
static void add(const char *directory, const char *name, const struct tg_json *had,
                struct tg_json *list)
{
    char path[4096 + 300];
    struct stat is;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!tg_parcel_is_name(name) || stat(path, &is) < 0 || !S_ISREG(is.st_mode)) return;
    if (is_had(had, name, (double)is.st_size)) return;
    struct tg_json *file = tg_json_object(list, NULL);
    tg_json_add_text(file, "name", name);
    tg_json_add_number(file, "bytes", (double)is.st_size);
}

void tg_parcel_list(const char *directory, const char *only, const struct tg_json *had,
                    struct tg_json *list)
{
    if (only) {
        add(directory, only, had, list);
        return;
    }
    DIR *files = opendir(directory);
    if (!files) return;
    for (struct dirent *e = readdir(files); e; e = readdir(files))
        add(directory, e->d_name, had, list);
    closedir(files);
}

/* Reads until the buffer is full or the file ends. Returns the bytes read, or -1. */
static ssize_t read_part(int file, unsigned char *bytes, size_t room, int64_t at)
{
    size_t used = 0;
    while (used < room) {
        ssize_t got = pread(file, bytes + used, room - used, at + (int64_t)used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static void add_digits(const unsigned char *bytes, size_t size, char *digits,
                       struct tg_json *answer)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        digits[2 * i] = digit[bytes[i] >> 4];
        digits[2 * i + 1] = digit[bytes[i] & 15];
    }
    digits[2 * size] = 0;
    tg_json_add_text(answer, "part", digits);
}

int tg_parcel_read(const char *directory, const char *name, int64_t at, struct tg_json *answer,
                   struct tg_error *err)
{
    char path[4096 + 300], digest[TG_DIGEST_SIZE] = "";
    struct stat is;
    if (!tg_parcel_is_name(name)) return tg_fail(err, "no worker has a file '%s'", name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    unsigned char *bytes = malloc(TG_PARCEL_PART_BYTES);
    char *digits = malloc(2 * TG_PARCEL_PART_BYTES + 1);
    int rc = -1, file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = -1;
    if (!bytes || !digits)
        tg_fail(err, "out of memory");
    else if (file < 0 || fstat(file, &is) < 0 ||
             (size = read_part(file, bytes, TG_PARCEL_PART_BYTES, at)) < 0)
        tg_fail(err, "cannot read '%s': %s", path, strerror(errno));
    else
        rc = at + size < is.st_size ? 0 : tg_digest_file(path, digest, err);
    if (rc == 0) {
        add_digits(bytes, (size_t)size, digits, answer);
        tg_json_add_number(answer, "left", (double)(is.st_size - at - size));
        if (*digest) tg_json_add_text(answer, "digest", digest);
    }
    if (file >= 0) close(file);
    free(digits);
    free(bytes);
    return rc;
}

static int value_of(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int tg_parcel_decode(const char *part, unsigned char **bytes, size_t *size, struct tg_error *err)
{
    size_t digits = strlen(part), count = digits / 2;
    unsigned char *decoded = malloc(count + 1);
    if (!decoded) return tg_fail(err, "out of memory");
    bool is_one = digits % 2 == 0;
    for (size_t i = 0; i < count && is_one; i++) {
        int high = value_of(part[2 * i]), low = value_of(part[2 * i + 1]);
        is_one = high >= 0 && low >= 0;
        decoded[i] = (unsigned char)(16 * high + low);
    }
    if (!is_one) {
        free(decoded);
        return tg_fail(err, "a part of a file that is none");
    }
    *bytes = decoded;
    *size = count;
    return 0;
}
