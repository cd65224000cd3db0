/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/host.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/recorded_root.h"

/* Asserts that a text is a name, which a cell, a message or a column can hold. */
static void assert_name(const char *name)
{
    assert_in_range(strlen(name), 1, TG_TEXT_SIZE - 1);
    for (; *name; name++) assert_true(isgraph((unsigned char)*name));
}

static void a_node_is_named_by_slurm_or_by_itself(void **state)
{
    (void)state;
    char name[TG_TEXT_SIZE], own[256], wanted[TG_TEXT_SIZE];
    setenv("SLURMD_NODENAME", "node 7\t\xc3", 1);
    tg_host_name(name);
    assert_string_equal(name, "node_7__");

    char text[301];
    memset(text, 'n', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memset(wanted, 'n', sizeof wanted - 1);
    wanted[sizeof wanted - 1] = 0;
    setenv("SLURMD_NODENAME", text, 1);
    tg_host_name(name);
    assert_string_equal(name, wanted);

    setenv("SLURMD_NODENAME", "", 1);
    tg_host_name(wanted);
    unsetenv("SLURMD_NODENAME");
    tg_host_name(name);
    assert_string_equal(name, wanted);
    assert_name(name);
    if (gethostname(own, sizeof own) == 0 && strlen(own) < TG_TEXT_SIZE && !strchr(own, ' '))
        assert_string_equal(name, own);
}

static void facts_are_read_or_stay_unknown(void **state)
{
    (void)state;
    struct tg_facts facts;
    tg_record_init(&tg_facts_type, &facts);
    tg_host_read(100000, &facts);
    assert_string_equal(facts.governor, "unknown");
    assert_name(facts.cpu);
    assert_in_range(facts.virtualised + 1, 0, 2);
    assert_true(facts.load >= 0);
    int year, month, day, hour, minute, second, length = 0;
    assert_int_equal(sscanf(facts.date, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &length),
                     6);
    assert_int_equal(length, 20);
    assert_int_equal(facts.date[20], 0);
    assert_in_range(month, 1, 12);

    tg_host_read(0, &facts);
    assert_name(facts.governor);
    assert_string_equal(facts.host, "unknown");
}

static void available_memory_is_no_more_than_there_is(void **state)
{
    (void)state;
    int64_t available = tg_host_memory("");
    int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    assert_true(available == -1 || (available > 0 && available <= all));
}

/* A limit of 700 MB that 675 MB of files stand at, which the kernel gives back when it is asked. */
static void pages_of_files_are_not_taken(void **state)
{
    (void)state;
    assert_int_equal(tg_host_memory(root), -1);
    put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n");
    assert_int_equal(tg_host_memory(root), INT64_C(4096000000));

    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "699965440\n");
    assert_int_equal(tg_host_memory(root), INT64_C(4096000000));
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "700000000\n");
    assert_int_equal(tg_host_memory(root), 34560);
    put("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\nactive_file 2\n"
                                             "total_inactive_file 600000000\n"
                                             "total_active_file 75000000\n");
    assert_int_equal(tg_host_memory(root), 675034560);

    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/memory.current", "690000000\n");
    assert_int_equal(tg_host_memory(root), 675034560);
    put("/sys/fs/cgroup/memory.max", "700000000\n");
    put("/sys/fs/cgroup/memory.stat", "anon 5000\ninactive_file 600000000\nactive_file 20000000\n");
    assert_int_equal(tg_host_memory(root), 630000000);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory.stat", "inactive_file 690000001\n");
    assert_int_equal(tg_host_memory(root), 700000000);
}

/* Batch systems and systemd set a limit where the process is, or around it, and not at the top. */
static void memory_is_of_the_own_cgroup_and_those_around_it(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemAvailable:    4000000 kB\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/memory.max", "700000000\n");
    put("/sys/fs/cgroup/a/memory.current", "100000000\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.current", "90000000\n");
    assert_int_equal(tg_host_memory(root), 600000000);
    put("/sys/fs/cgroup/a/b/memory.max", "120000000\n");
    assert_int_equal(tg_host_memory(root), 30000000);

    put("/proc/self/cgroup", "9:cpu:/a/b\n4:memory:/slurm/job_7\n0::/\n");
    put("/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "500000000\n");
    put("/sys/fs/cgroup/memory/slurm/memory.usage_in_bytes", "1000000\n");
    assert_int_equal(tg_host_memory(root), 499000000);

    /* In version 1 it is not where it is in version 2. */
    put("/proc/self/cgroup", "4:memory:/slurm/job_7\n0::/service\n");
    put("/sys/fs/cgroup/memory/service/memory.limit_in_bytes", "200000000\n");
    put("/sys/fs/cgroup/memory/service/memory.usage_in_bytes", "50000000\n");
    assert_int_equal(tg_host_memory(root), 499000000);
}

static void assert_hardware(const char *wanted)
{
    struct tg_hardware hardware;
    char text[TG_HARDWARE_TEXT_SIZE];
    tg_host_hardware(root, &hardware);
    tg_record_format(&tg_hardware_type, &hardware, text, sizeof text);
    assert_string_equal(text, wanted);
}

/* The hardware threads of a hardware thread's core, and the number of its processor. */
static void put_core(int i, const char *threads, const char *package)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
    put(path, threads);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", i);
    put(path, package);
}

static void a_machine_is_read_from_what_its_kernel_says(void **state)
{
    (void)state;
    assert_hardware("");

    put("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n"
                         "model\t\t: 143\nmodel name\t: Xeon(R) 8480\nstepping\t: 8\n"
                         "microcode\t: 0x2b000461\nflags\t\t: fpu vme hypervisor avx2\n\n"
                         "processor\t: 1\nstepping\t: 9\n");
    put("/proc/meminfo", "MemFree: 1 kB\nMemTotal: 257912345 kB\n");
    put("/proc/sys/kernel/osrelease", "6.8.0-45-generic\n");
    put("/sys/devices/system/cpu/online", "0-7,9\n");
    static const char *const threads[] = {"0,4", "1,5", "2,6", "3,7"};
    for (int i = 0; i < 8; i++) put_core(i, threads[i % 4], i % 4 < 2 ? "0" : "1");
    put_core(9, "9", "1");
    put("/sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n");
    put("/sys/devices/system/cpu/cpu0/cache/index3/size", "105M\n");
    put("/sys/devices/system/node/has_cpu", "0-1\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
    assert_hardware("vendor=GenuineIntel cpu=Xeon(R)_8480 family=6 model=143 stepping=8 "
                    "microcode=0x2b000461 sockets=2 cores=5 threads=2 domains=2 cache_kib=107520 "
                    "memory_gib=256 kernel=6.8 governor=performance turbo=off hypervisor=unnamed");

    put("/sys/class/dmi/id/sys_vendor", "Some Cloud\n");
    put("/proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
                         "CPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n");
    assert_hardware("vendor=0x41 family=8 model=0xd40.0x1 stepping=1 sockets=2 cores=5 threads=2 "
                    "domains=2 cache_kib=107520 memory_gib=256 kernel=6.8 governor=performance "
                    "turbo=off");
}

/* A virtual machine numbers them 0, 2, 4, 6. */
static void processors_are_counted_whatever_their_numbers(void **state)
{
    (void)state;
    put("/sys/devices/system/cpu/online", "0-7\n");
    for (int i = 0; i < 8; i++) {
        char own[16], package[16];
        snprintf(own, sizeof own, "%d", i);
        snprintf(package, sizeof package, "%d", i / 2 * 2);
        put_core(i, own, package);
    }
    assert_hardware("sockets=4 cores=8 threads=1");
}

/* 6 big cores with two hardware threads each and 8 little ones with one. */
static void cores_are_counted_where_not_all_have_as_many_threads(void **state)
{
    (void)state;
    put("/sys/devices/system/cpu/online", "0-19\n");
    for (int i = 0; i < 20; i++) {
        char threads[16];
        snprintf(threads, sizeof threads, i < 12 ? "%d-%d" : "%d", i < 12 ? i / 2 * 2 : i,
                 i / 2 * 2 + 1);
        put_core(i, threads, "0");
    }
    assert_hardware("sockets=1 cores=14 threads=2");
}

/*
 * What a machine keeps of its memory for itself differs from one start to the next. What a virtual
 * one says of a memory domain may be wrong, and is not asked.
 */
static void memory_is_of_the_class_that_was_sold(void **state)
{
    (void)state;
    static const struct {
        const char *kilobytes, *wanted;
    } rows[] = {{"24684084", "memory_gib=24"},    {"24190000", "memory_gib=24"},
                {"16266000", "memory_gib=16"},    {"15340000", "memory_gib=16"},
                {"32620000", "memory_gib=32"},    {"507000", "memory_gib=1"},
                {"2113500000", "memory_gib=2048"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64];
        snprintf(text, sizeof text, "MemTotal: %s kB\n", rows[i].kilobytes);
        put("/proc/meminfo", text);
        put("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: 6815744 kB\n");
        assert_hardware(rows[i].wanted);
    }
}

static void this_machine_stays_what_it_is(void **state)
{
    (void)state;
    struct tg_hardware before, after;
    char difference[200];
    tg_host_hardware("", &before);
    tg_host_hardware("", &after);
    assert_string_equal(tg_hardware_difference(&before, &after, difference, sizeof difference), "");
    assert_true(before.memory_gib > 0);
    assert_string_not_equal(before.kernel, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_is_named_by_slurm_or_by_itself),
        cmocka_unit_test(facts_are_read_or_stay_unknown),
        cmocka_unit_test(available_memory_is_no_more_than_there_is),
        cmocka_unit_test_setup_teardown(pages_of_files_are_not_taken, root_make, root_remove),
        cmocka_unit_test_setup_teardown(memory_is_of_the_own_cgroup_and_those_around_it, root_make,
                                        root_remove),
        cmocka_unit_test_setup_teardown(a_machine_is_read_from_what_its_kernel_says, root_make,
                                        root_remove),
        cmocka_unit_test_setup_teardown(processors_are_counted_whatever_their_numbers, root_make,
                                        root_remove),
        cmocka_unit_test_setup_teardown(cores_are_counted_where_not_all_have_as_many_threads,
                                        root_make, root_remove),
        cmocka_unit_test_setup_teardown(memory_is_of_the_class_that_was_sold, root_make,
                                        root_remove),
        cmocka_unit_test(this_machine_stays_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
