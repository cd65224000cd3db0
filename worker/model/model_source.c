/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/model_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/model/model_cache.h"
#include "worker/model/session.h"

void tg_model_source_init(struct tg_model_source *source, const char *cache, const char *file)
{
    const char *folder = *cache ? cache : getenv("TRITGATE_MODEL_CACHE");
    const char *theirs = getenv("BITNET_GGUF");
    /* Absolute: a run may be gone on with from another folder. */
    char *resolved = theirs && !*file ? realpath(theirs, NULL) : NULL;
    const char *named = *file ? file : resolved ? resolved : theirs;
    if (folder && *folder)
        snprintf(source->cache, sizeof source->cache, "%s", folder);
    else
        snprintf(source->cache, sizeof source->cache, "/var/tmp/tritgate-%ld/models",
                 (long)getuid());
    snprintf(source->file, sizeof source->file, "%s", named ? named : "");
    free(resolved);
}

int tg_model_source_find(const struct tg_model_source *source, const char *model, char *path,
                         size_t size, bool *is_there, struct tg_error *err)
{
    if (strcmp(model, TG_MODEL_FILE) == 0) {
        if (!*source->file)
            return tg_fail(
                err, "there is no model file: neither BITNET_GGUF nor --model of run names one");
        snprintf(path, size, "%s", source->file);
        *is_there = access(path, R_OK) == 0;
        return 0;
    }
    const struct tg_model *row = tg_model_find(model);
    if (!row) return tg_fail(err, "no such model '%s'", model);
    const struct tg_synthetic what = {row, tg_synthetic_ternary(row), "F16", 1};
    return tg_model_cache_find(source->cache, &what, path, size, is_there, err);
}

int tg_model_source_check_weights(const struct tg_network *n, struct tg_error *err)
{
    const struct tg_gguf_tensor *t = n->blocks[0].layers[TG_LAYER_attn_k];
    float scale;
    if (tg_network_find_scale(n, 0, TG_LAYER_attn_k, &scale, err) < 0) return -1;
    if (!tg_network_is_plain(t)) return 0;
    int8_t *scratch = malloc((size_t)(t->dimensions[0] * t->dimensions[1]));
    if (!scratch) return tg_fail(err, "out of memory");
    const int rc = tg_network_plain_unpack(t, scratch, err);
    free(scratch);
    return rc;
}

int tg_model_source_check_layout(const struct tg_network_layout *layout, struct tg_error *err)
{
    if (!layout->is_assumed || layout->possible) return 0;
    return tg_fail(err,
                   "how the matrices lie is not known: no file says the tiles of %s, and these "
                   "are of no published model",
                   layout->format->name);
}

/* What a session does with it before it loads all weights, and one matrix of these. */
static int check(const struct tg_gguf *gguf, bool has_text, struct tg_network_layout *layout,
                 struct tg_error *err)
{
    struct tg_network network;
    struct tg_tokenizer *tokenizer = NULL;
    if (tg_network_read(gguf, &network, err) < 0) return -1;
    int rc = tg_network_find_layout(&network, NULL, layout, err);
    if (rc == 0) rc = tg_model_source_check_weights(&network, err);
    if (rc == 0 && has_text) rc = tg_session_open_tokenizer(gguf, &network, &tokenizer, err);
    tg_tokenizer_close(tokenizer);
    tg_network_release(&network);
    return rc;
}

int tg_model_source_check(const char *path, bool has_text, struct tg_error *err)
{
    struct tg_gguf *gguf;
    struct tg_network_layout layout;
    if (tg_gguf_open(path, &gguf, err) < 0) return -1;
    int rc = check(gguf, has_text, &layout, err);
    if (rc < 0)
        tg_fail_in(err, "'%s'", path);
    else if (tg_gguf_find(gguf, "tritgate.synthetic"))
        rc = tg_fail(err, "'%s' is a synthetic model, and no real one", path);
    else if ((rc = tg_model_source_check_layout(&layout, err)) < 0)
        tg_fail_in(err, "'%s'", path);
    tg_gguf_close(gguf);
    return rc;
}
