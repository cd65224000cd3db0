/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/gpu_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tg_gpu_list list;

static void load(const char *name)
{
    char path[4096];
    struct tg_error err;
    snprintf(path, sizeof path, TG_TEST_DATA "/%s.txt", name);
    if (tg_gpu_list_read(path, &list, &err) < 0) fail_msg("%s", err.text);
}

/* The first digits of the uuids that are left, or the reason. */
static const char *left(void)
{
    static char text[1024];
    text[0] = 0;
    for (size_t i = 0; i < list.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.2s", i ? " " : "",
                 list.gpus[i].uuid + 4);
    return list.count ? text : list.reason;
}

static void recorded_gpus_are_read(void **state)
{
    (void)state;
    load("gpus_8");
    assert_int_equal(list.count, 8);
    assert_string_equal(list.reason, "");
    assert_string_equal(list.gpus[5].name, "NVIDIA_H100_80GB_HBM3");
    assert_int_equal(list.gpus[5].index, 5);
    assert_int_equal(list.gpus[5].numa, 1);
    assert_string_equal(list.gpus[5].parent, "none");
    load("gpus_none");
    assert_int_equal(list.count, 0);
    assert_string_equal(list.reason, "the NVIDIA driver is not loaded");
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    struct tg_error err;
    char path[] = "/tmp/tritgate-gpus-XXXXXX", sentence[256];
    int file = mkstemp(path);
    assert_true(file >= 0);
    list.count = 7;
    assert_int_equal(tg_gpu_list_read("/nowhere", &list, &err), -1);
    assert_string_equal(err.text, "cannot read GPUs '/nowhere': No such file or directory");
    write_file(path, "uuid=GPU-1 numa=x\n");
    assert_int_equal(tg_gpu_list_read(path, &list, &err), -1);
    snprintf(sentence, sizeof sentence, "%s: field of a GPU 'numa': unusable value 'x'", path);
    assert_string_equal(err.text, sentence);
    FILE *many = fopen(path, "w");
    assert_non_null(many);
    for (int i = 0; i <= TG_GPU_MOST; i++) fputs("uuid=GPU-1\n", many);
    assert_int_equal(fclose(many), 0);
    assert_int_equal(tg_gpu_list_read(path, &list, &err), -1);
    assert_non_null(strstr(err.text, ": more than 64 GPUs"));
    assert_int_equal(list.count, 7);
    write_file(path, "# nothing\n\n");
    assert_int_equal(tg_gpu_list_read(path, &list, &err), 0);
    assert_string_equal(left(), "no GPU is recorded");
    close(file);
    assert_int_equal(remove(path), 0);
}

static void a_list_survives_a_line_of_json(void **state)
{
    (void)state;
    static const char *const names[] = {"gpus_8", "gpus_mig", "gpus_none"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tg_json *root = tg_json_object(NULL, NULL);
        struct tg_json_file file;
        struct tg_error err;
        load(names[i]);
        struct tg_gpu_list *before = malloc(sizeof *before);
        assert_non_null(before);
        *before = list;
        tg_gpu_list_add(root, &list);
        char *text = tg_json_print(root, false);
        memset(&list, 0, sizeof list);
        if (tg_json_parse(text, &file, &err) < 0) fail_msg("%s", err.text);
        if (tg_gpu_list_parse(&file, file.root, &list, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(list.count, before->count);
        assert_string_equal(list.reason, before->reason);
        for (size_t k = 0; k < list.count; k++) {
            char a[2048], b[2048];
            tg_record_format(&tg_gpu_type, &list.gpus[k], a, sizeof a);
            tg_record_format(&tg_gpu_type, &before->gpus[k], b, sizeof b);
            assert_string_equal(a, b);
        }
        tg_json_release(&file);
        tg_json_free(root);
        free(text);
        free(before);
    }
}

static void json_that_is_no_list_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"{}", "{\"gpus\":[]}", "{\"gpus\":[],\"reason\":\"\"}",
                                       "{\"gpus\":[{}],\"reason\":\"why\"}",
                                       "{\"gpus\":[{\"uuid\":\"a b\"}],\"reason\":\"\"}"};
    list.count = 7;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_json_file file;
        assert_int_equal(tg_json_parse(rows[i], &file, NULL), 0);
        assert_int_equal(tg_gpu_list_parse(&file, file.root, &list, NULL), -1);
        assert_int_equal(list.count, 7);
        tg_json_release(&file);
    }
}

/* Each list has uuids whose first digits are those wanted here. */
static void those_are_left_that_cuda_would_show(void **state)
{
    (void)state;
    static const char unlike[] =
        "CUDA_VISIBLE_DEVICES counts GPUs that are not alike: name them by "
        "uuid, or set CUDA_DEVICE_ORDER=PCI_BUS_ID";
    static const struct {
        const char *list, *visible, *order, *wanted;
    } rows[] = {
        {"gpus_4", NULL, NULL, "a0 a1 b2 c3"},
        {"gpus_4", "2", NULL, "b2"},
        {"gpus_4", "2,1", NULL, "b2 a1"},
        {"gpus_4", " 3 , 0", "FASTEST_FIRST", "c3 a0"},
        /* From the first that names none, the rest is not seen. */
        {"gpus_4", "0,2,-1,1", NULL, "a0 b2"},
        {"gpus_4", "1,4,2", NULL, "a1"},
        {"gpus_4", "1,,2", NULL, "a1"},
        {"gpus_4", "1,2,", NULL, "a1 b2"},
        {"gpus_4", "1,1,2", NULL, "a1"},
        {"gpus_4", "3,GPU-c3", NULL, "c3"},
        {"gpus_4", "0x1", NULL, "CUDA_VISIBLE_DEVICES='0x1' shows no GPU of this node"},
        {"gpus_4", "", NULL, "CUDA_VISIBLE_DEVICES='' shows no GPU of this node"},
        {"gpus_4", "-1", NULL, "CUDA_VISIBLE_DEVICES='-1' shows no GPU of this node"},
        {"gpus_4", "NoDevFiles", NULL,
         "CUDA_VISIBLE_DEVICES='NoDevFiles' shows no GPU of this node"},
        {"gpus_4", "99999999999999999999", NULL,
         "CUDA_VISIBLE_DEVICES='99999999999999999999' shows no GPU of this node"},
        /* Uuids, cut short as long as they name one. */
        {"gpus_4", "GPU-c3,GPU-a1", NULL, "c3 a1"},
        {"gpus_4", "GPU-b2222222-1111-1111-1111-111111111111", NULL, "b2"},
        {"gpus_4", "GPU-b", NULL, "b2"},
        {"gpus_4", "GPU-c,GPU-a,GPU-b", NULL, "c3"},
        {"gpus_4", "GPU-d", NULL, "CUDA_VISIBLE_DEVICES='GPU-d' shows no GPU of this node"},
        {"gpus_4", "b2222222", NULL, "CUDA_VISIBLE_DEVICES='b2222222' shows no GPU of this node"},
        /* Instances: each is one, and a GPU means all of its own. */
        {"gpus_mig", NULL, NULL, "00 01 02 10 11 22"},
        {"gpus_mig", "0", NULL, "00 01 02"},
        {"gpus_mig", "2,1", NULL, "22 10 11"},
        {"gpus_mig", "GPU-1", NULL, "10 11"},
        {"gpus_mig", "MIG-11,MIG-00,GPU-2", NULL, "11 00 22"},
        {"gpus_mig", "MIG-01,0", NULL, "01"},
        {"gpus_mig", "MIG-0", NULL, "CUDA_VISIBLE_DEVICES='MIG-0' shows no GPU of this node"},
        {"gpus_mig", "GPU-3", NULL, "the GPU is divided (MIG) and has no instance"},
        /* Numbers have no meaning where the fastest is first and nobody says which that is. */
        {"gpus_unlike", "0", NULL, unlike},
        {"gpus_unlike", " 1", "FASTEST_FIRST", unlike},
        {"gpus_unlike", "GPU-b,0", NULL, unlike},
        {"gpus_unlike", "1", "PCI_BUS_ID", "b1"},
        {"gpus_unlike", "GPU-b", NULL, "b1"},
        {"gpus_unlike", NULL, NULL, "a0 b1"},
        {"gpus_none", "0", NULL, "the NVIDIA driver is not loaded"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        load(rows[i].list);
        tg_gpu_list_choose(&list, rows[i].visible, rows[i].order);
        if (strcmp(left(), rows[i].wanted) != 0) fail_msg("row %zu: '%s'", i, left());
        if (list.count) assert_string_equal(list.reason, "");
    }
}

static void a_gpu_belongs_to_the_class_of_its_machine(void **state)
{
    (void)state;
    struct tg_hardware hardware;
    char text[TG_HARDWARE_TEXT_SIZE];
    tg_record_init(&tg_hardware_type, &hardware);
    load("gpus_8");
    tg_gpu_list_describe(&list.gpus[0], &hardware);
    tg_record_format(&tg_hardware_type, &hardware, text, sizeof text);
    assert_string_equal(text, "gpu=NVIDIA_H100_80GB_HBM3 gpu_memory_hz=2619000000 "
                              "gpu_power_w=700 gpu_ecc=on gpu_mig=off gpu_driver=580");
    /* One that says nothing is still not a machine without a GPU. */
    tg_record_init(&tg_gpu_type, &list.gpus[0]);
    tg_gpu_list_describe(&list.gpus[0], &hardware);
    tg_record_format(&tg_hardware_type, &hardware, text, sizeof text);
    assert_string_equal(text, "gpu=unknown gpu_ecc=unknown gpu_mig=unknown gpu_driver=unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_gpus_are_read),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(a_list_survives_a_line_of_json),
        cmocka_unit_test(json_that_is_no_list_is_refused),
        cmocka_unit_test(those_are_left_that_cuda_would_show),
        cmocka_unit_test(a_gpu_belongs_to_the_class_of_its_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
