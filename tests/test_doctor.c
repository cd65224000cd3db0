/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/recorded_root.h"
#include "worker/gpu.h"

/* A machine on which nothing disturbs, and each thing that does put upon it. */

static struct tg_gpu_list gpus;

static const struct {
    const char *path, *text;
} quiet[] = {
    {"/sys/devices/system/cpu/online", "0-3\n"},
    {"/proc/self/status", "Name:\ttritgate\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n"},
    {"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"},
    {"/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance\n"},
    {"/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"},
    {"/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "0\n"},
    {"/sys/devices/system/cpu/smt/active", "0\n"},
    {"/proc/self/cgroup", "0::/a/b\n"},
    {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
    {"/proc/loadavg", "0.50 3.00 3.00 1/200 4711\n"},
    {"/proc/stat", "cpu  900 0 50 49000 40 0 10 50 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"},
    {"/proc/pressure/cpu", "some avg10=9.00 avg60=5.00 avg300=9.00 total=7\n"},
    {"/proc/pressure/memory", "some avg10=9.00 avg60=0.00 avg300=9.00 total=7\n"},
    {"/proc/pressure/io", "some avg10=9.00 avg60=0.31 avg300=9.00 total=7\n"},
    {"/proc/meminfo", "MemTotal: 8000000 kB\nSwapTotal: 2048 kB\nSwapFree: 2048 kB\n"},
    {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
    {"/proc/sys/kernel/numa_balancing", "0\n"},
    {"/sys/devices/system/node/has_cpu", "0-1\n"},
};

/* A GPU on which nothing disturbs either. */
static int begin(void **state)
{
    if (root_make(state) < 0) return -1;
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) put(quiet[i].path, quiet[i].text);
    gpus.count = 1;
    tg_record_init(&tg_gpu_type, &gpus.gpus[0]);
    return tg_record_parse(&tg_gpu_type, &gpus.gpus[0],
                           "compute_mode=default persistence=on processes=0 throttle=1", NULL);
}

static struct tg_ailment ailments[64];

/* Looks, and finds that ailment. */
static const struct tg_ailment *look(const char *name)
{
    assert_true(tg_doctor_count() <= 64);
    tg_doctor_look(root, &gpus, ailments);
    for (size_t i = 0; i < tg_doctor_count(); i++)
        if (strcmp(ailments[i].name, name) == 0) return &ailments[i];
    fail_msg("no ailment %s", name);
    return NULL;
}

static void assert_all(enum tg_ailment_state state)
{
    look("load");
    for (size_t i = 0; i < tg_doctor_count(); i++) {
        if (ailments[i].state != state) fail_msg("%s: %s", ailments[i].name, ailments[i].seen);
        assert_true(strlen(ailments[i].advice) > 0 && strlen(ailments[i].seen) > 0);
    }
}

static void a_quiet_machine_is_fine(void **state)
{
    (void)state;
    assert_all(TG_AILMENT_FINE);
    assert_string_equal(look("cpuset")->seen, "4 of 4 are this process's");
    assert_string_equal(look("steal")->seen, "0.10 %");
}

static void a_machine_that_says_nothing_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(root_remove(state), 0);
    assert_int_equal(root_make(state), 0);
    tg_gpu_list_none(&gpus, "no driver");
    gpus.count = 0;
    assert_all(TG_AILMENT_UNKNOWN);
    assert_string_equal(look("gpu_mode")->seen, "no driver");
}

#define GOVERNOR "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor"
#define HUGE     "/sys/kernel/mm/transparent_hugepage/enabled"
#define QUOTA    "the time of 1.5 cores"

/* A file's text that is put upon the quiet machine, and what is found then, and nothing else. */
static void each_is_found_by_itself(void **state)
{
    static const struct {
        const char *path, *text, *name, *seen;
    } rows[] = {
        {GOVERNOR, "powersave\n", "governor", "powersave on 1 of 2 cores"},
        {"/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n", "turbo", "on"},
        {"/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "7\n", "throttling",
         "7 times on all cores together"},
        {"/sys/devices/system/cpu/smt/active", "1\n", "smt", "on"},
        {"/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n", "quota", QUOTA},
        {"/sys/fs/cgroup/a/cpu.max", "150000 100000\n", "quota", QUOTA}, /* of one around it */
        {"/sys/fs/cgroup/cpu.max", "150000 100000\n", "quota", QUOTA},
        {"/proc/self/status", "Cpus_allowed_list:\t0,3\n", "cpuset", "2 of 4 are this process's"},
        {"/proc/loadavg", "0.51 0.00 0.00 1/200 4711\n", "load", "0.51"},
        {"/proc/stat", "cpu  900 0 50 48990 0 0 0 60 0 0\n", "steal", "0.12 %"},
        {"/proc/pressure/cpu", "some avg10=0.00 avg60=5.01 avg300=0.00 total=7\n", "cpu_pressure",
         "5.01 %"},
        {"/proc/pressure/memory", "some avg10=0.00 avg60=0.01 avg300=0.00 total=7\n",
         "memory_pressure", "0.01 %"},
        {"/proc/pressure/io", "some avg10=0.00 avg60=12.00 avg300=0.00 total=7\n", "io_pressure",
         "12.00 %"},
        {"/proc/meminfo", "SwapTotal: 2048 kB\nSwapFree: 1024 kB\n", "swap", "1 of 2 MiB are used"},
        {HUGE, "[always] madvise never\n", "huge_pages", "always"},
        {"/proc/sys/kernel/numa_balancing", "1\n", "numa_balancing", "on"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put(rows[i].path, rows[i].text);
        const struct tg_ailment *a = look(rows[i].name);
        if (a->state != TG_AILMENT_FOUND || strcmp(a->seen, rows[i].seen) != 0)
            fail_msg("%s: %s %s", rows[i].path, tg_doctor_word(a->state), a->seen);
        for (size_t k = 0; k < tg_doctor_count(); k++)
            if (&ailments[k] != a && ailments[k].state == TG_AILMENT_FOUND)
                fail_msg("%s beside %s", ailments[k].name, rows[i].path);
        root_remove(state);
        assert_int_equal(begin(state), 0);
    }
}

static void quotas_of_the_first_version_of_cgroups_are_found(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:memory:/m\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n");
    put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
    assert_int_equal(look("quota")->state, TG_AILMENT_FINE);
    put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(look("quota")->state, TG_AILMENT_FOUND);
    assert_string_equal(look("quota")->seen, QUOTA);
}

static void one_core_is_too_few(void **state)
{
    (void)state;
    put("/sys/devices/system/cpu/online", "0\n");
    put("/proc/self/status", "Cpus_allowed_list:\t0\n");
    assert_int_equal(look("cores")->state, TG_AILMENT_FOUND);
    assert_int_equal(look("cpuset")->state, TG_AILMENT_FINE);
}

/* Where pages have one place only, nothing can move them. */
static void one_memory_domain_is_balanced(void **state)
{
    (void)state;
    put("/proc/sys/kernel/numa_balancing", "1\n");
    put("/sys/devices/system/node/has_cpu", "0\n");
    assert_int_equal(look("numa_balancing")->state, TG_AILMENT_FINE);
}

static void gpus_are_looked_at_all_together(void **state)
{
    (void)state;
    static const struct {
        const char *gpu, *name, *seen;
    } rows[] = {
        {"processes=2", "gpu_processes", "2 on 2 GPUs"},
        {"throttle=64", "gpu_throttling", "1 on 2 GPUs"},
        {"persistence=off", "gpu_persistence", "1 on 2 GPUs"},
        {"compute_mode=exclusive", "gpu_mode", "1 on 2 GPUs"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gpus.count = 2;
        tg_record_init(&tg_gpu_type, &gpus.gpus[1]);
        assert_int_equal(tg_record_parse(&tg_gpu_type, &gpus.gpus[1], rows[i].gpu, NULL), 0);
        const struct tg_ailment *a = look(rows[i].name);
        assert_int_equal(a->state, TG_AILMENT_FOUND);
        assert_string_equal(a->seen, rows[i].seen);
    }
    gpus.gpus[1].throttle = TG_GPU_POWER_CAP | TG_GPU_IDLE; /* as is usual */
    assert_int_equal(look("gpu_throttling")->state, TG_AILMENT_FINE);
}

static void this_machine_can_be_looked_at(void **state)
{
    (void)state;
    tg_doctor_look("", &gpus, ailments);
    for (size_t i = 0; i < tg_doctor_count(); i++) assert_true(strlen(ailments[i].seen) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, root_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_quiet_machine_is_fine),
        TEST(a_machine_that_says_nothing_is_unknown),
        TEST(each_is_found_by_itself),
        TEST(quotas_of_the_first_version_of_cgroups_are_found),
        TEST(one_core_is_too_few),
        TEST(one_memory_domain_is_balanced),
        TEST(gpus_are_looked_at_all_together),
        TEST(this_machine_can_be_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
