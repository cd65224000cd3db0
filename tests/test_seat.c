/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/seat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/worker_cell.h"

/* A worker's seat on recorded nodes, and what its children then see. */

static struct tg_seat seat;

static const struct tg_node *node(const char *topology, const char *gpus)
{
    static char paths[2][4096];
    static struct tg_node made;
    snprintf(paths[0], sizeof paths[0], TG_TEST_DATA "/%s.xml", topology);
    snprintf(paths[1], sizeof paths[1], TG_TEST_DATA "/%s.txt", gpus ? gpus : "");
    made = (struct tg_node){paths[0], gpus ? paths[1] : NULL};
    return &made;
}

static void sit(const char *topology, const char *gpus, int index)
{
    struct tg_error err;
    const struct tg_place_wish wish = {index, index + 1, TG_EXCLUSIVE_MEMORY};
    if (tg_seat_find(node(topology, gpus), &wish, &seat, &err) < 0) fail_msg("%s", err.text);
}

static void a_worker_gets_a_gpu_or_the_reason_why_not(void **state)
{
    (void)state;
    static const char others[] = "other workers have the GPUs of this node";
    static const struct {
        const char *topology, *gpus, *visible;
        int index;
        const char *uuid, *domain, *no_gpu;
    } rows[] = {
        {"two_memories", NULL, NULL, 0, "unknown", "numa0", "no GPU is recorded"},
        {"two_memories", "gpus_none", NULL, 1, "unknown", "numa2",
         "the NVIDIA driver is not loaded"},
        {"two_sockets", "gpus_8", NULL, 0, "GPU-a0000000", "numa0", ""},
        {"two_sockets", "gpus_8", NULL, 7, "GPU-a7777777", "numa1", ""},
        {"two_sockets", "gpus_8", NULL, 8, "unknown", "numa2", others},
        {"two_sockets", "gpus_8", NULL, 9, "unknown", "numa3", others},
        {"two_sockets", "gpus_8", "6,1", 0, "GPU-a6666666", "numa1", ""},
        {"two_sockets", "gpus_8", "6,1", 1, "GPU-a1111111", "numa0", ""},
        {"two_sockets", "gpus_8", "6,1", 2, "unknown", "numa2", others},
        {"two_sockets", "gpus_8", "", 0, "unknown", "numa0",
         "CUDA_VISIBLE_DEVICES='' shows no GPU of this node"},
        {"one_socket", "gpus_4", NULL, 3, "GPU-c3333333", "numa0", ""},
        {"one_socket", "gpus_4", "GPU-b,GPU-c", 1, "GPU-c3333333", "numa0", ""},
        {"two_sockets", "gpus_mig", NULL, 2, "MIG-02", "numa0", ""},
        {"two_sockets", "gpus_mig", NULL, 5, "MIG-22", "numa1", ""},
        {"two_sockets", "gpus_mig", NULL, 6, "unknown", "numa2", others},
        {"two_sockets", "gpus_mig", "MIG-11", 0, "MIG-11", "numa1", ""},
        {"one_socket", "gpus_exclusive", NULL, 0, "GPU-a0", "numa0", "gpu-exclusive-mode"},
        {"one_socket", "gpus_exclusive", NULL, 1, "GPU-b1", "numa0", "gpu-prohibited-mode"},
        {"one_socket", "gpus_exclusive", NULL, 2, "GPU-c2", "numa0", ""},
        {"one_core", "gpus_unlike", "1", 0, "unknown", "numa0",
         "CUDA_VISIBLE_DEVICES counts GPUs that are not alike: name them by uuid, or set "
         "CUDA_DEVICE_ORDER=PCI_BUS_ID"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].visible)
            setenv("CUDA_VISIBLE_DEVICES", rows[i].visible, 1);
        else
            unsetenv("CUDA_VISIBLE_DEVICES");
        sit(rows[i].topology, rows[i].gpus, rows[i].index);
        if (strncmp(seat.gpu.uuid, rows[i].uuid, strlen(rows[i].uuid)) != 0 ||
            strcmp(seat.place.domain, rows[i].domain) != 0 ||
            strcmp(seat.no_gpu, rows[i].no_gpu) != 0)
            fail_msg("row %zu: %s, %s, %s", i, seat.gpu.uuid, seat.place.domain, seat.no_gpu);
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
}

static void a_survey_is_marked_with_what_cells_can_be_given(void **state)
{
    (void)state;
    struct tg_survey survey = {.count = 0};
    sit("two_sockets", "gpus_8", 3);
    tg_seat_mark(&seat, &survey);
    assert_int_equal(survey.cores, 2);
    assert_string_equal(survey.no_gpu, "");
    assert_int_equal(survey.gpu_bytes, 84983939072);
    int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    assert_true(survey.memory_bytes >= 0 && survey.memory_bytes <= all);
    sit("one_socket", "gpus_none", 3);
    tg_seat_mark(&seat, &survey);
    assert_int_equal(survey.cores, 4);
    assert_string_equal(survey.no_gpu, "the NVIDIA driver is not loaded");
    assert_int_equal(survey.gpu_bytes, 0);
}

static void class_of(const char *gpus, int index, char class[TG_TEXT_SIZE])
{
    sit("one_socket", gpus, index);
    assert_int_equal(tg_hardware_class(&seat.machine, class, NULL), 0);
}

static void workers_of_a_node_with_equal_gpus_are_of_one_class(void **state)
{
    (void)state;
    char without[TG_TEXT_SIZE], with[TG_TEXT_SIZE], other[TG_TEXT_SIZE];
    class_of("gpus_none", 0, without);
    class_of(NULL, 0, other);
    assert_string_equal(without, other);
    class_of("gpus_4", 0, with);
    assert_string_not_equal(with, without);
    class_of("gpus_4", 3, other);
    assert_string_equal(with, other);
    class_of("gpus_4", 4, other); /* without a GPU of its own */
    assert_string_equal(with, other);
    class_of("gpus_unlike", 0, with);
    class_of("gpus_unlike", 1, other);
    assert_string_not_equal(with, other);
    class_of("gpus_unlike", 2, other);
    assert_string_equal(with, other);
}

/* A child asks the library of the driver, which is told what it has; then it is given to children.
 */
static void the_driver_is_asked_where_nothing_is_recorded(void **state)
{
    (void)state;
    static const struct tg_node here = {NULL, NULL};
    static struct tg_gpu_list list;
    struct tg_error err;
    set_driver("new", "gpus=2");
    if (tg_seat_gpus(&here, &list, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(list.count, 2);
    if (tg_seat_find(&here, &(struct tg_place_wish){1, 3, TG_EXCLUSIVE_MEMORY}, &seat, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(seat.gpu.uuid, list.gpus[1].uuid);
    assert_string_equal(seat.no_gpu, "");
    if (tg_seat_find(&here, &(struct tg_place_wish){2, 3, TG_EXCLUSIVE_MEMORY}, &seat, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(seat.no_gpu, "other workers have the GPUs of this node");
    set_driver("new", "gpus=2 crash=1");
    if (tg_seat_find(&here, &(struct tg_place_wish){0, 3, TG_EXCLUSIVE_MEMORY}, &seat, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(seat.no_gpu, "asking the NVIDIA driver ends the process", 41);
    assert_false(has_children());
}

static void a_node_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(tg_seat_find(node("nowhere", "gpus_4"), &tg_place_alone, &seat, &err), -1);
    assert_non_null(strstr(err.text, "cannot read topology"));
    assert_int_equal(tg_seat_find(node("one_core", "nowhere"), &tg_place_alone, &seat, &err), -1);
    assert_non_null(strstr(err.text, "cannot read GPUs"));
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("CUDA_DEVICE_ORDER");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_gets_a_gpu_or_the_reason_why_not),
        cmocka_unit_test(a_survey_is_marked_with_what_cells_can_be_given),
        cmocka_unit_test(workers_of_a_node_with_equal_gpus_are_of_one_class),
        cmocka_unit_test(the_driver_is_asked_where_nothing_is_recorded),
        cmocka_unit_test(a_node_that_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
