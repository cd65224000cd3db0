/* SPDX-License-Identifier: Apache-2.0 */
#include "results/digest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pulse.h"

enum { DIGEST_BYTES = (TG_DIGEST_SIZE - 1) / 2, PORTION_BYTES = 16384 };

struct tg_digest {
    EVP_MD_CTX *context;
    bool usable; /* nothing has gone wrong since it began */
};

static void begin(struct tg_digest *digest)
{
    digest->usable = EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) == 1;
}

struct tg_digest *tg_digest_create(struct tg_error *err)
{
    struct tg_digest *digest = calloc(1, sizeof *digest);

    if (digest) digest->context = EVP_MD_CTX_new();
    if (!digest || !digest->context) {
        free(digest);
        tg_fail(err, "cannot begin a digest: no memory");
        return NULL;
    }
    begin(digest);
    return digest;
}

void tg_digest_update(struct tg_digest *digest, const void *bytes, size_t size)
{
    if (size == 0 || !digest->usable) return;
    digest->usable = EVP_DigestUpdate(digest->context, bytes, size) == 1;
}

int tg_digest_finish(struct tg_digest *digest, char hex[TG_DIGEST_SIZE], struct tg_error *err)
{
    static const char DIGITS[] = "0123456789abcdef";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    const bool usable = digest->usable && EVP_DigestFinal_ex(digest->context, bytes, &size) == 1;

    begin(digest);
    if (!usable) return tg_fail(err, "cannot compute a SHA-256 digest: libcrypto refused");
    assert(size == DIGEST_BYTES);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex[2 * i] = DIGITS[bytes[i] >> 4];
        hex[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
    hex[TG_DIGEST_SIZE - 1] = '\0';
    return 0;
}

void tg_digest_destroy(struct tg_digest *digest)
{
    if (!digest) return;
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

int tg_digest_file(const char *path, char hex[TG_DIGEST_SIZE], struct tg_error *err)
{
    int rc = -1;
    FILE *file = NULL;
    struct tg_digest *digest = NULL;
    unsigned char portion[PORTION_BYTES];
    struct stat is;
    size_t size;

    if (stat(path, &is) == 0 && S_ISFIFO(is.st_mode)) { /* opening it would wait for a writer */
        tg_fail(err, "'%s' is no file", path);
        goto out;
    }
    file = fopen(path, "rbe");
    if (!file) {
        tg_fail(err, "cannot open '%s': %s", path, strerror(errno));
        goto out;
    }
    digest = tg_digest_create(err);
    if (!digest) goto out;
    while ((size = fread(portion, 1, sizeof portion, file)) > 0) {
        tg_pulse();
        tg_digest_update(digest, portion, size);
    }
    if (ferror(file)) {
        tg_fail(err, "cannot read '%s': %s", path, strerror(errno));
        goto out;
    }
    rc = tg_digest_finish(digest, hex, err);
out:
    tg_digest_destroy(digest);
    if (file) fclose(file);
    return rc;
}

int tg_digest_bytes(const void *bytes, size_t size, char hex[TG_DIGEST_SIZE], struct tg_error *err)
{
    struct tg_digest *digest = tg_digest_create(err);
    if (!digest) return -1;
    tg_digest_update(digest, bytes, size);
    int rc = tg_digest_finish(digest, hex, err);
    tg_digest_destroy(digest);
    return rc;
}

int tg_digest_text(const char *text, char hex[TG_DIGEST_SIZE], struct tg_error *err)
{
    return tg_digest_bytes(text, strlen(text), hex, err);
}
