/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "coordinator/report.h"

/* A file of the run on its way: it is written beside its place, and then put there. */
struct text_file {
    char path[4096 + 64], beside[4096 + 80];
};

static int write_beside(const char *directory, const char *name, const char *text,
                        struct text_file *file, struct tg_error *err)
{
    snprintf(file->path, sizeof file->path, "%s/%s", directory, name);
    snprintf(file->beside, sizeof file->beside, "%s.new", file->path);
    FILE *f = fopen(file->beside, "w");
    int good = f && fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f && fclose(f) != 0) good = 0;
    if (good) return 0;
    tg_fail(err, "cannot write '%s': %s", file->path, strerror(errno));
    unlink(file->beside);
    return -1;
}

static int put_in_place(const struct text_file *file, struct tg_error *err)
{
    if (rename(file->beside, file->path) == 0) return 0;
    return tg_fail(err, "cannot write '%s': %s", file->path, strerror(errno));
}

/* Whole, or not at all, also where the machine stops. */
static int write_text(const char *directory, const char *name, const char *text,
                      struct tg_error *err)
{
    struct text_file file;
    if (write_beside(directory, name, text, &file, err) < 0) return -1;
    return put_in_place(&file, err);
}

int tg_run_directory_date(int number, char *path, size_t size, struct tg_error *err)
{
    char date[32];
    struct tm utc;
    time_t now = time(NULL);
    if (mkdir("runs", 0777) < 0 && errno != EEXIST)
        return tg_fail(err, "cannot make 'runs': %s", strerror(errno));
    if (!gmtime_r(&now, &utc)) return tg_fail(err, "no date");
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", &utc);
    if (number == 0)
        snprintf(path, size, "runs/%s", date);
    else
        snprintf(path, size, "runs/%s.%d", date, number);
    return 0;
}

static int make_dated(char *path, size_t size, struct tg_error *err)
{
    for (int i = 0; i < 100; i++) {
        if (tg_run_directory_date(i, path, size, err) < 0) return -1;
        if (mkdir(path, 0777) == 0) return 0;
        if (errno != EEXIST) break;
    }
    return tg_fail(err, "cannot make '%s': %s", path, strerror(errno));
}

int tg_run_directory_is_free(const char *wanted, struct tg_error *err)
{
    struct stat there; /* also of a link that leads nowhere */
    if (!wanted || lstat(wanted, &there) < 0) return 0;
    return tg_fail(err, "'%s' exists; --resume goes on with a run, --out names a new one", wanted);
}

/* The plan comes last: what has one is a run. */
static int fill(const char *path, const struct tg_run *texts, struct tg_error *err)
{
    if (texts->acceptance && write_text(path, "acceptance.json", texts->acceptance, err) < 0)
        return -1;
    if (write_text(path, "matrix.json", texts->matrix, err) < 0 ||
        write_text(path, "policy.json", texts->policy, err) < 0)
        return -1;
    return write_text(path, "plan.json", texts->plan, err);
}

void tg_run_directory_unmake(const char *path)
{
    static const char *const texts[] = {"acceptance.json", "matrix.json", "policy.json",
                                        "plan.json"};
    char name[4096 + 32];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(name, sizeof name, "%s/%s", path, texts[i]);
        unlink(name);
        snprintf(name, sizeof name, "%s/%s.new", path, texts[i]);
        unlink(name);
    }
    rmdir(path);
}

int tg_run_directory_make(const char *wanted, const struct tg_run *texts, char *path, size_t size,
                          struct tg_error *err)
{
    char made[4096];
    if (tg_run_directory_is_free(wanted, err) < 0) return -1;
    if (!wanted) {
        if (make_dated(made, sizeof made, err) < 0) return -1;
    } else if (mkdir(wanted, 0777) == 0) {
        snprintf(made, sizeof made, "%s", wanted);
    } else {
        return tg_fail(err, "cannot make '%s': %s", wanted, strerror(errno));
    }
    char *resolved = realpath(made, NULL);
    if (!resolved) return tg_fail(err, "cannot find '%s': %s", made, strerror(errno));
    snprintf(path, size, "%s", resolved);
    free(resolved);
    if (tg_run_directory_lock(path, err) < 0) return -1;
    if (fill(path, texts, err) == 0) return 0;
    tg_run_directory_unmake(path);
    return -1;
}

char *tg_run_directory_word(const char *directory, char *out, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";
    size_t used;
    bool is_plain = true;
    for (const char *p = directory; *p; p++)
        is_plain = is_plain && ((unsigned char)*p >= 0x80 || strchr(plain, *p));
    if (is_plain) {
        snprintf(out, size, "%s", directory);
        return out;
    }
    used = (size_t)snprintf(out, size, "'");
    for (const char *p = directory; *p && used + 6 < size; p++)
        used += (size_t)snprintf(out + used, size - used, *p == '\'' ? "'\\''" : "%.1s", p);
    snprintf(out + used, size - used, "'");
    return out;
}

int tg_run_directory_lock(const char *path, struct tg_error *err)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return tg_fail(err, "cannot read run '%s': %s", path, strerror(errno));
    if (flock(directory, LOCK_EX | LOCK_NB) == 0) return 0; /* held until the process ends */
    int why = errno;
    close(directory);
    return why == EWOULDBLOCK ? tg_fail(err, "run '%s' is still going on", path) : 0;
}

void tg_run_directory_await(const char *path, double most_s)
{
    const struct timespec nap = {.tv_nsec = 50000000};
    const double end_s = tg_now() + most_s;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    while (flock(directory, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK && tg_now() < end_s)
        nanosleep(&nap, NULL);
    close(directory);
}

/* The last attempt that a run was gone on with: its files may be on other hosts; 1 for none. */
static int last_try(const struct tg_run *run, long long *last, struct tg_error *err)
{
    struct tg_retry *list;
    size_t count;
    *last = 1;
    if (tg_retry_read(run->tries, &list, &count, err) < 0) return -1;
    for (size_t i = 0; i < count; i++)
        if (list[i].attempt > *last) *last = list[i].attempt;
    free(list);
    return 0;
}

/* One more than any worker file and any try has. */
static int next_attempt(const char *path, const struct tg_run *run, int64_t *attempt,
                        struct tg_error *err)
{
    long long rank, last, number;
    if (last_try(run, &last, err) < 0) return -1;
    DIR *directory = opendir(path);
    if (!directory) return tg_fail(err, "cannot read '%s': %s", path, strerror(errno));
    for (struct dirent *e = readdir(directory); e; e = readdir(directory))
        if (sscanf(e->d_name, "worker-%lld.%lld.h5", &rank, &number) == 2 && number > last)
            last = number;
    closedir(directory);
    *attempt = last + 1;
    return 0;
}

/* What was decided before is not what will be; but the files that it was decided on must stay. */
static int break_seal(const char *path, struct tg_error *err)
{
    char name[4096 + 64], kept[4096 + 64];
    snprintf(name, sizeof name, "%s/digests.json", path);
    snprintf(kept, sizeof kept, "%s/sealed.json", path);
    if (rename(name, kept) < 0 && errno != ENOENT)
        return tg_fail(err, "cannot write '%s': %s", name, strerror(errno));
    for (size_t i = 0; i < tg_report_count(); i++) {
        snprintf(name, sizeof name, "%s/%s", path, tg_report_at(i)->file);
        if (*tg_report_at(i)->file) remove(name);
    }
    return 0;
}

int tg_run_directory_go_on(const char *path, const struct tg_run *run, struct tg_retry *retry,
                           struct tg_error *err)
{
    struct text_file file;
    struct tg_retry *list;
    size_t count;
    if (next_attempt(path, run, &retry->attempt, err) < 0 ||
        tg_retry_read(run->tries, &list, &count, err) < 0)
        return -1;
    struct tg_retry *grown = realloc(list, (count + 1) * sizeof *grown);
    if (!grown) {
        free(list);
        return tg_fail(err, "out of memory");
    }
    grown[count] = *retry;
    char *text = tg_retry_text(grown, count + 1);
    free(grown);
    /* The seal speaks for the list: where there is no room for a new one, both stay. */
    int rc = write_beside(path, "tries.json", text, &file, err);
    if (rc == 0) rc = break_seal(path, err);
    if (rc == 0) rc = put_in_place(&file, err);
    free(text);
    return rc;
}

int tg_run_directory_can_write(const char *file, struct tg_error *err)
{
    struct stat there;
    /* Who reads a pipe would take opening it, and closing it again, for all there is. */
    if (file && stat(file, &there) == 0 && S_ISFIFO(there.st_mode) && access(file, W_OK) == 0)
        return 0;
    FILE *out = file ? fopen(file, "a") : NULL;
    if (file && !out) return tg_fail(err, "cannot write '%s': %s", file, strerror(errno));
    if (out) fclose(out);
    return 0;
}

static bool is_same_file(const struct stat *a, int descriptor)
{
    struct stat b;
    return fstat(descriptor, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

void tg_run_directory_empty_receipt(const char *file)
{
    struct stat there;
    if (!file || stat(file, &there) != 0 || !S_ISREG(there.st_mode)) return;
    if (is_same_file(&there, STDOUT_FILENO) || is_same_file(&there, STDERR_FILENO)) return;
    int rc = truncate(file, 0);
    (void)rc; /* where it cannot be written, tg_run_directory_can_write says so */
}

int tg_run_directory_skip(const char *file, const char *flow, const char *reason, int status,
                          struct tg_error *err)
{
    if (!file) return 0;
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_receipt", 1);
    tg_json_add_text(root, "version", TRITGATE_VERSION);
    tg_json_add_text(root, "flow", flow);
    tg_json_add_text(root, "answer", "skipped");
    tg_json_add_text(root, "reason", reason);
    tg_json_add_number(root, "status", status);
    int rc = tg_json_write(root, file, err);
    tg_json_free(root);
    return rc;
}

int tg_run_directory_copy_receipt(const char *file, const struct tg_plan *plan,
                                  const struct tg_decision *decision, struct tg_error *err)
{
    return file ? tg_report_write(tg_report_find("receipt"), file, plan, decision, err) : 0;
}

int tg_run_directory_accept(const char *path, const struct tg_run *run, struct tg_plan *plan,
                            struct tg_error *err)
{
    struct tg_json_file file = {0};
    if (path && tg_json_read(path, &file, err) < 0) return tg_fail_in(err, "acceptance");
    int rc = tg_plan_accept(plan, path ? file.text : run->acceptance, err);
    tg_json_release(&file);
    if (rc == 0 && !path && !plan->is_own_acceptance)
        rc = tg_fail(err, "'acceptance.json' is not the one that the run was begun with");
    return rc;
}

int tg_run_directory_open(const char *path, const char *policy, struct tg_run *run,
                          struct tg_plan *plan, struct tg_error *err)
{
    struct tg_json_file other = {0};
    if (policy && tg_json_read(policy, &other, err) < 0) return tg_fail_in(err, "policy");
    struct tg_run read;
    if (tg_store_read(path, &read, err) < 0) {
        tg_json_release(&other);
        return -1;
    }
    int rc = tg_plan_make(read.matrix, "matrix.json", policy ? other.text : read.policy, read.plan,
                          plan, err);
    if (rc == 0 && policy)
        plan->is_own_policy = plan->is_own_text = strcmp(other.text, read.policy) == 0;
    if (rc == 0 && tg_run_directory_accept(NULL, &read, plan, err) < 0) {
        tg_plan_release(plan);
        rc = -1;
    }
    tg_json_release(&other);
    if (rc < 0) {
        tg_store_release(&read);
        return tg_fail_in(err, "run '%s'", path);
    }
    *run = read;
    return 0;
}

int tg_run_directory_take_step(const char *step, const char *policy, const struct tg_run *run,
                               struct tg_plan *plan, struct tg_error *err)
{
    struct tg_json_file other = {0};
    struct tg_plan made;
    struct tg_asked asked = plan->asked;
    if (strlen(step) >= sizeof asked.step) return tg_fail(err, "no step '%s'", step);
    const struct tg_flow *flow = &plan->policy.process;
    if (flow->step_count && strcmp(step, flow->steps[flow->step].name) == 0) return 0;
    if (policy && tg_json_read(policy, &other, err) < 0) return tg_fail_in(err, "policy");
    snprintf(asked.step, sizeof asked.step, "%s", step);
    asked.flow[0] = 0;
    char *text = tg_plan_text(&asked, plan->workers, plan->worker_count);
    int rc = tg_plan_make(run->matrix, "matrix.json", policy ? other.text : run->policy, text,
                          &made, err);
    if (rc == 0) {
        made.is_own_policy = false;
        made.is_own_text = plan->is_own_text;
        made.sessions = plan->sessions;
        made.session_count = plan->session_count;
        made.accepts_imported = plan->accepts_imported;
        plan->sessions = NULL;
        plan->session_count = 0;
        tg_plan_release(plan);
        *plan = made;
        rc = tg_run_directory_accept(NULL, run, plan, err);
    }
    free(text);
    tg_json_release(&other);
    return rc;
}
