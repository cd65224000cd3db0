/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/supply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/child.h"

static int make(const struct tg_model_source *source, const char *model, int threads,
                double within_s, struct tg_error *err)
{
    char count[16], parent[32];
    snprintf(count, sizeof count, "%d", threads);
    const char *const argv[] = {"/proc/self/exe", "model",       "make",      model,
                                "--model-cache",  source->cache, "--threads", count,
                                "--tied",         parent,        NULL};
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    struct tg_child *child;
    struct tg_child_end end;
    const double begun = tg_now();
    tg_log(TG_INFO, "making the synthetic model %s in %s, once for this node", model,
           source->cache);
    if (tg_child_start(argv, NULL, 0, 0, &child, err) < 0) return -1;
    tg_child_finish(child, begun + within_s, &end);
    if (end.by_us)
        return tg_fail(err, "making the model '%s' took longer than %.15g s", model, within_s);
    if (end.signal || end.status)
        return tg_fail(err, "the model '%s' cannot be made; its process said: %s", model, end.tail);
    return 0;
}

int tg_supply_model(const struct tg_model_source *source, const char *model, int threads,
                    double within_s, char *path, size_t size, struct tg_error *err)
{
    struct stat status;
    bool is_there;
    if (tg_model_source_find(source, model, path, size, &is_there, err) < 0) return -1;
    if (!is_there && strcmp(model, TG_MODEL_FILE) != 0 &&
        make(source, model, threads, within_s, err) < 0)
        return -1;
    if (stat(path, &status) < 0)
        return tg_fail(err, "cannot open model '%s': %s", path, strerror(errno));
    return 0;
}
