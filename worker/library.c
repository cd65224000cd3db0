/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/digest.h"

/* Whether a kernel's code is not in the file of the table: that file's digest would say nothing. */
static int lies_elsewhere(const struct tg_library *library, const void *table)
{
    Dl_info file, found;
    if (!dladdr(table, &file)) return 1;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        void *run;
        memcpy(&run, &library->kernels[i].run, sizeof run);
        if (run && (!dladdr(run, &found) || found.dli_fbase != file.dli_fbase)) return 1;
    }
    return 0;
}

int tg_library_open(const char *path, const struct tg_library **library, struct tg_error *err)
{
    struct stat is;
    if (stat(path, &is) == 0 && S_ISFIFO(is.st_mode)) /* opening it would wait for a writer */
        return tg_fail(err, "'%s' is not a kernel library: it is no file", path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return tg_fail(err, "'%s' is not a kernel library: %s", path, dlerror());
    void *symbol = dlsym(handle, "tritgate_kernels_v1");
    if (!symbol) return tg_fail(err, "'%s' is not a kernel library: it has no table", path);
    tg_library_fn table;
    memcpy(&table, &symbol, sizeof table);
    const struct tg_library *found = table();
    if (!found) return tg_fail(err, "'%s' has no kernel table", path);
    if (found->abi < TG_LIBRARY_OLDEST || found->abi > TG_LIBRARY_ABI)
        return tg_fail(err,
                       "'%s' has kernel table version %u, this program reads versions %u to %u",
                       path, found->abi, TG_LIBRARY_OLDEST, TG_LIBRARY_ABI);
    if (found->problem_bytes != sizeof(struct tg_problem) ||
        found->kernel_bytes != sizeof(struct tg_kernel))
        return tg_fail(
            err,
            "'%s' has a kernel table of other sizes than this program: build it anew, with "
            "the program's kernels/kernel.h",
            path);
    if (lies_elsewhere(found, symbol))
        return tg_fail(err, "a kernel of '%s' lies in another file, whose digest is not known",
                       path);
    *library = found;
    return 0;
}

int tg_library_open_kernel(const char *path, const char *name, struct tg_facts *facts,
                           const struct tg_library **library, const struct tg_kernel **kernel,
                           struct tg_error *err)
{
    const struct tg_library *opened;
    if (tg_library_open(path, &opened, err) < 0 || tg_digest_file(path, facts->library, err) < 0)
        return -1;
    facts->injected_percent = opened->injected_percent;
    facts->is_debug = opened->is_debug;
    const struct tg_kernel *found = tg_library_find(opened, name);
    if (!found) return tg_fail(err, "no kernel '%s' in this library", name);
    if (!found->run || !found->here()) return tg_fail(err, "kernel '%s' cannot run here", name);
    snprintf(facts->isa_requested, sizeof facts->isa_requested, "%s", found->isa);
    *library = opened;
    *kernel = found;
    return 0;
}

const struct tg_kernel *tg_library_find(const struct tg_library *library, const char *name)
{
    for (uint64_t i = 0; i < library->kernel_count; i++)
        if (strcmp(library->kernels[i].name, name) == 0) return &library->kernels[i];
    return NULL;
}

bool tg_library_was_changed(const char *path, const char *digest)
{
    char now[TG_DIGEST_SIZE];
    return tg_digest_file(path, now, NULL) < 0 || strcmp(now, digest) != 0;
}

int tg_library_own_path(char *path, size_t size, struct tg_error *err)
{
    static const char name[] = "libtritgate-kernels.so";
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length < 0) return tg_fail(err, "cannot find this program: %s", strerror(errno));
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + sizeof name > size)
        return tg_fail(err, "cannot find this program's folder");
    memcpy(slash + 1, name, sizeof name);
    return 0;
}
