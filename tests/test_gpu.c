/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/gpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * The driver's library is opened once a process and found by LD_LIBRARY_PATH, which is read when a
 * program starts. So each question is asked by this program started anew, which prints what it got.
 */

#define GPU(i) "GPU-" #i "0000000-aaaa-bbbb-cccc-dddddddddddd"
#define MIG(i) "MIG-" #i "000000-aaaa-bbbb-cccc-dddddddddddd"

static void print_list(void)
{
    static struct tg_gpu_list list;
    tg_gpu_read(&list);
    for (size_t i = 0; i < list.count; i++) {
        char text[2048];
        tg_record_format(&tg_gpu_type, &list.gpus[i], text, sizeof text);
        puts(text);
    }
    if (*list.reason) puts(list.reason);
}

static void print_look(const char *uuid)
{
    struct tg_gpu_look look;
    struct tg_error err;
    for (int i = 0; i < 2; i++) {
        if (tg_gpu_look(uuid, &look, &err) < 0) {
            puts(err.text);
            return;
        }
    }
    printf("%lld %g %g %g %g\n", (long long)look.throttle, look.power_held_s, look.heat_held_s,
           look.temperature_c, look.power_w);
}

/* Asks for the list (uuid NULL) or for a look; the driver is "" for none. Returns what is said. */
static const char *ask(const char *driver, const char *manner, const char *uuid)
{
    static char text[1 << 16];
    int ends[2], status;
    size_t used = 0;
    ssize_t got;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *folder = *driver ? getenv(driver) : "/nowhere";
        if (!folder) _exit(9);
        setenv("LD_LIBRARY_PATH", folder, 1);
        setenv("TG_FAKE_NVML", manner, 1);
        dup2(ends[1], 1);
        execl("/proc/self/exe", "test_gpu", uuid ? uuid : "list", (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    while ((got = read(ends[0], text + used, sizeof text - 1 - used)) > 0) used += (size_t)got;
    text[used] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s: ended with %d; set TG_NEW_DRIVER: run it by ctest", manner, status);
    return text;
}

static void assert_said(const char *driver, const char *manner, const char *wanted)
{
    assert_string_equal(ask(driver, manner, NULL), wanted);
}

static void without_a_gpu_one_reason_is_named(void **state)
{
    (void)state;
    const char *none = ask("", "", NULL);
    static const char no_driver[] = "no NVIDIA driver: libnvidia-ml.so.1: ";
    if (strncmp(none, no_driver, sizeof no_driver - 1) != 0 && !strstr(none, "uuid="))
        fail_msg("%s", none);
    static const struct {
        const char *manner, *reason;
    } rows[] = {
        {"start=9", "the NVIDIA driver is not loaded\n"},
        {"start=999", "the NVIDIA driver does not answer: Other\n"},
        {"gpus=0", "the NVIDIA driver has no GPU\n"},
        {"gpus=2 index=15", "the NVIDIA driver does not answer: GPU is lost\n"},
        {"gpus=1 denied=0", "no GPU of this node may be used by this process\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_said("TG_NEW_DRIVER", rows[i].manner, rows[i].reason);
}

static void a_gpu_is_read_whole(void **state)
{
    (void)state;
    assert_said(
        "TG_NEW_DRIVER", "gpus=1",
        "uuid=" GPU(0) " name=NVIDIA_H100_80GB_HBM3 index=0 mig=off pci=0000:1b:00.0 "
                       "capability=9.0 memory_bytes=85520809984 free_bytes=84983939072 "
                       "memory_clock_hz=2619000000 sm_clock_hz=1980000000 power_limit_w=700 ecc=on "
                       "compute_mode=default driver=580.65.06 persistence=off throttle=0\n");
}

static void what_disturbs_a_gpu_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *manner, *wanted;
    } rows[] = {
        {"persistence=1 processes=3 throttle=0x48", " persistence=on processes=3 throttle=72\n"},
        {"processes=0", " persistence=off processes=0 throttle=0\n"},
        {"plain=1", " driver=580.65.06\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strstr(ask("TG_NEW_DRIVER", rows[i].manner, NULL), rows[i].wanted))
            fail_msg("%s: %s", rows[i].manner, ask("TG_NEW_DRIVER", rows[i].manner, NULL));
}

static void what_an_old_driver_lacks_stays_unknown(void **state)
{
    (void)state;
    assert_said(
        "TG_OLD_DRIVER", "gpus=1 mig=2",
        "uuid=" GPU(0) " name=NVIDIA_H100_80GB_HBM3 index=0 mig=off pci=0000:1b:00.0 "
                       "memory_bytes=85520809984 free_bytes=84983939072 memory_clock_hz=2619000000 "
                       "sm_clock_hz=1980000000 power_limit_w=650 ecc=on compute_mode=default "
                       "driver=580.65.06 throttle=0\n");
    assert_said("TG_NEW_DRIVER", "gpus=1 plain=1",
                "uuid=" GPU(0) " name=NVIDIA_H100_80GB_HBM3 index=0 mig=off pci=0000:1b:00.0 "
                               "capability=9.0 ecc=none driver=580.65.06\n");
}

/* The uuids (first 14 bytes), indices and divisions that a manner gives. */
static void assert_uuids(const char *manner, const char *wanted)
{
    char seen[4096] = "";
    const char *text = ask("TG_NEW_DRIVER", manner, NULL);
    for (const char *at = text; (at = strstr(at, "uuid=")); at++) {
        const char *index = strstr(at, "index="), *mig = strstr(at, "mig=");
        size_t used = strlen(seen);
        snprintf(seen + used, sizeof seen - used, "%.7s:%c:%.*s ", at + 5, index[6],
                 (int)strcspn(mig + 4, " "), mig + 4);
    }
    assert_string_equal(seen, wanted);
}

static void gpus_are_in_the_order_of_their_addresses(void **state)
{
    (void)state;
    assert_uuids("gpus=2", "GPU-000:0:off GPU-100:1:off ");
    assert_uuids("gpus=4", "GPU-000:0:off GPU-100:1:off GPU-200:2:off GPU-300:3:off ");
    assert_uuids("gpus=8", "GPU-000:0:off GPU-100:1:off GPU-200:2:off GPU-300:3:off "
                           "GPU-400:4:off GPU-500:5:off GPU-600:6:off GPU-700:7:off ");
    /* NVML's last, number 3, is the first; without it the others move up. */
    assert_uuids("gpus=4 denied=3", "GPU-100:0:off GPU-200:1:off GPU-300:2:off ");
}

static void a_divided_gpu_is_its_instances(void **state)
{
    (void)state;
    assert_uuids("gpus=2 mig=2", "MIG-000:0:1g.10gb MIG-010:0:1g.10gb MIG-100:1:1g.10gb "
                                 "MIG-110:1:1g.10gb ");
    assert_uuids("gpus=2 mig_on=1", "GPU-000:0:on GPU-100:1:on ");
    const char *text = ask("TG_NEW_DRIVER", "mig=1 mode=3", NULL);
    assert_string_equal(text, "uuid=" MIG(00) " name=NVIDIA_H100_80GB_HBM3 index=0 parent=" GPU(
                                  0) " mig=1g.10gb pci=0000:1b:00.0 capability=9.0 "
                                     "memory_bytes=10334765056 free_bytes=9797894144 "
                                     "memory_clock_hz=2619000000 sm_clock_hz=1980000000 "
                                     "power_limit_w=700 ecc=on compute_mode=exclusive "
                                     "driver=580.65.06 persistence=off throttle=0\n");
}

static void more_gpus_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    const char *text = ask("TG_NEW_DRIVER", "gpus=9 mig=8", NULL);
    size_t count = 0;
    for (; *text; text++) count += *text == '\n';
    assert_int_equal(count, 9 * 7 < TG_GPU_MOST ? 9 * 7 : TG_GPU_MOST);
}

static void compute_modes_have_names(void **state)
{
    (void)state;
    static const char *const modes[] = {"default", "exclusive", "prohibited", "exclusive"};
    for (int i = 0; i < 4; i++) {
        char manner[32], wanted[64];
        snprintf(manner, sizeof manner, "mode=%d", i);
        snprintf(wanted, sizeof wanted, " compute_mode=%s ", modes[i]);
        assert_non_null(strstr(ask("TG_NEW_DRIVER", manner, NULL), wanted));
    }
}

static void a_look_says_what_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *driver, *manner, *uuid, *wanted;
    } rows[] = {
        {"TG_NEW_DRIVER", "gpus=2 throttle=0x24", GPU(1), "36 2.5 0 41 112.345\n"},
        {"TG_OLD_DRIVER", "throttle=1", GPU(0), "1 nan nan 41 112.345\n"},
        /* All of an instance is of the whole. */
        {"TG_NEW_DRIVER", "mig=3", MIG(02), "0 2.5 0 41 112.345\n"},
        {"TG_NEW_DRIVER", "plain=1", GPU(0), "-1 nan nan nan nan\n"},
        {"TG_NEW_DRIVER", "gpus=1", "GPU-9", "cannot look at GPU 'GPU-9': Other\n"},
        {"TG_NEW_DRIVER", "start=9", GPU(0), "the NVIDIA driver is not loaded\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(ask(rows[i].driver, rows[i].manner, rows[i].uuid), rows[i].wanted);
}

static void reasons_between_two_looks_are_added_up(void **state)
{
    (void)state;
    const struct tg_gpu_look blind = {.throttle = -1, .power_held_s = NAN, .heat_held_s = NAN};
    struct tg_gpu_look before = {.throttle = TG_GPU_IDLE, .power_held_s = 1, .heat_held_s = 2};
    struct tg_gpu_look after = before;
    assert_int_equal(tg_gpu_throttle(&before, &after), TG_GPU_IDLE);
    after.throttle = TG_GPU_DISPLAY;
    assert_int_equal(tg_gpu_throttle(&before, &after), TG_GPU_IDLE | TG_GPU_DISPLAY);
    after.power_held_s = 1.001;
    before.throttle = after.throttle = 0;
    assert_int_equal(tg_gpu_throttle(&before, &after), TG_GPU_POWER_CAP);
    after.heat_held_s = 2.5;
    assert_int_equal(tg_gpu_throttle(&before, &after), TG_GPU_POWER_CAP | TG_GPU_HEAT);
    before.throttle = after.throttle = -1;
    assert_int_equal(tg_gpu_throttle(&before, &after), TG_GPU_POWER_CAP | TG_GPU_HEAT);
    assert_int_equal(tg_gpu_throttle(&blind, &blind), -1);
    assert_int_equal(tg_gpu_throttle(&blind, &after), -1);
    after.throttle = 0;
    assert_int_equal(tg_gpu_throttle(&blind, &after), 0);
}

static void reasons_have_names(void **state)
{
    (void)state;
    char text[200], small[8];
    assert_string_equal(tg_gpu_throttle_text(-1, text, sizeof text), "unknown");
    assert_string_equal(tg_gpu_throttle_text(0, text, sizeof text), "none");
    assert_string_equal(tg_gpu_throttle_text(0x24, text, sizeof text), "power_cap,heat");
    assert_string_equal(tg_gpu_throttle_text(0x800, text, sizeof text), "other");
    assert_string_equal(tg_gpu_throttle_text(0xfff, text, sizeof text),
                        "idle,clocks_set,power_cap,hardware,sync_boost,heat,hardware_heat,"
                        "power_brake,display,other");
    assert_string_equal(tg_gpu_throttle_text(0x24, small, sizeof small), "power_c");
}

static void a_process_knows_the_gpu_it_was_given(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {GPU(3), GPU(3)}, {MIG(01), MIG(01)}, {"", ""}, {"0", ""}, {GPU(3) "," GPU(4), ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setenv("CUDA_VISIBLE_DEVICES", rows[i][0], 1);
        assert_string_equal(tg_gpu_own(), rows[i][1]);
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
    assert_string_equal(tg_gpu_own(), "");
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void a_gpu_is_located_by_its_address(void **state)
{
    (void)state;
    char root[] = "/tmp/tritgate-gpu-XXXXXX", folder[128], path[256], longest[400] = "0-1";
    struct tg_gpu gpu;
    tg_record_init(&tg_gpu_type, &gpu);
    snprintf(gpu.pci, sizeof gpu.pci, "0000:3b:00.0");
    assert_non_null(mkdtemp(root));
    tg_gpu_locate(root, &gpu);
    assert_int_equal(gpu.numa, -1);
    assert_string_equal(gpu.cores, "unknown");

    static const char *const parts[] = {"/sys", "/bus", "/pci", "/devices", "/0000:3b:00.0"};
    snprintf(folder, sizeof folder, "%s", root);
    for (size_t i = 0; i < 5; i++) {
        snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "%s", parts[i]);
        assert_int_equal(mkdir(folder, 0777), 0);
    }
    put(folder, "numa_node", "3\n");
    put(folder, "local_cpulist", "0-27,56-83\n");
    tg_gpu_locate(root, &gpu);
    assert_int_equal(gpu.numa, 3);
    assert_string_equal(gpu.cores, "0-27,56-83");

    for (int i = 1; i < 50; i++)
        snprintf(longest + strlen(longest), sizeof longest - strlen(longest), ",%d", 100 + i);
    put(folder, "numa_node", "-1\n");
    put(folder, "local_cpulist", longest);
    tg_gpu_locate(root, &gpu);
    assert_int_equal(gpu.numa, -1);
    assert_in_range(strlen(gpu.cores), TG_TEXT_SIZE - 5, TG_TEXT_SIZE - 1);
    assert_memory_equal(gpu.cores, longest, strlen(gpu.cores));
    assert_int_equal(longest[strlen(gpu.cores)], ',');

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "numa_node" : "local_cpulist");
        assert_int_equal(unlink(path), 0);
    }
    for (; strlen(folder) >= strlen(root); *strrchr(folder, '/') = 0)
        assert_int_equal(rmdir(folder), 0);
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        if (strcmp(argv[1], "list") == 0)
            print_list();
        else
            print_look(argv[1]);
        return fflush(stdout);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_gpu_one_reason_is_named),
        cmocka_unit_test(a_gpu_is_read_whole),
        cmocka_unit_test(what_disturbs_a_gpu_is_told),
        cmocka_unit_test(what_an_old_driver_lacks_stays_unknown),
        cmocka_unit_test(gpus_are_in_the_order_of_their_addresses),
        cmocka_unit_test(a_divided_gpu_is_its_instances),
        cmocka_unit_test(more_gpus_than_there_is_room_for_are_left_out),
        cmocka_unit_test(compute_modes_have_names),
        cmocka_unit_test(a_look_says_what_goes_on),
        cmocka_unit_test(reasons_between_two_looks_are_added_up),
        cmocka_unit_test(reasons_have_names),
        cmocka_unit_test(a_process_knows_the_gpu_it_was_given),
        cmocka_unit_test(a_gpu_is_located_by_its_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
