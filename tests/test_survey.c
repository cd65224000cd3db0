/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/survey.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/kernel.h"
#include "results/digest.h"
#include "tests/worker_cell.h"
#include "worker/model/forward_device.h"

/*
 * The clock and the sleep of this program run faster than those of the world where a test says so:
 * nobody wants to see how long the program waits for a library that hangs.
 */
static int haste = 1;

int clock_gettime(clockid_t clock, struct timespec *time)
{
    long rc = syscall(SYS_clock_gettime, clock, time);
    int64_t now = ((int64_t)time->tv_sec * 1000000000 + time->tv_nsec) * haste;
    time->tv_sec = now / 1000000000;
    time->tv_nsec = now % 1000000000;
    return (int)rc;
}

int poll(struct pollfd *polled, nfds_t count, int milliseconds)
{
    const struct timespec time = {.tv_sec = milliseconds / haste / 1000,
                                  .tv_nsec = (milliseconds / haste % 1000) * 1000000L};
    return (int)syscall(SYS_ppoll, polled, count, milliseconds < 0 ? NULL : &time, NULL, 0);
}

static struct tg_survey take(const char *path)
{
    struct tg_survey survey;
    struct tg_error err;
    if (tg_survey_take(path, &survey, &err) < 0) fail_msg("%s", err.text);
    return survey;
}

static void assert_same(const struct tg_survey *a, const struct tg_survey *b)
{
    assert_string_equal(a->path, b->path);
    assert_string_equal(a->digest, b->digest);
    assert_string_equal(a->build, b->build);
    assert_int_equal(a->cores, b->cores);
    assert_string_equal(a->no_gpu, b->no_gpu);
    assert_int_equal(a->gpu_bytes, b->gpu_bytes);
    assert_int_equal(a->memory_bytes, b->memory_bytes);
    assert_true(a->injected_percent == b->injected_percent && a->is_debug == b->is_debug);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->kernels, b->kernels, a->count * sizeof *a->kernels);
}

static void the_library_of_this_build_says_what_it_holds(void **state)
{
    (void)state;
    const struct tg_library *own = tritgate_kernels_v1();
    struct tg_survey survey = take(kernel_library());
    char digest[TG_DIGEST_SIZE];
    assert_int_equal(tg_digest_file(kernel_library(), digest, NULL), 0);
    assert_string_equal(survey.digest, digest);
    assert_string_equal(survey.path, kernel_library());
    assert_string_equal(survey.build, own->build);
    assert_int_equal(survey.cores, 0); /* it is the rank that knows */
    survey.cores = 7;
    snprintf(survey.no_gpu, sizeof survey.no_gpu, "the NVIDIA driver has no GPU");
    survey.gpu_bytes = 80000000000;
    survey.memory_bytes = 64000000000;
    assert_int_equal(survey.is_debug, own->is_debug);
    assert_int_equal(survey.injected_percent, 0);
    assert_int_equal(survey.count, own->kernel_count);
    for (size_t i = 0; i < survey.count; i++) {
        const struct tg_survey_kernel *k = &survey.kernels[i];
        assert_string_equal(k->name, own->kernels[i].name);
        assert_string_equal(k->op, own->kernels[i].op);
        assert_string_equal(k->format, own->kernels[i].format);
        assert_string_equal(k->isa, own->kernels[i].isa);
        assert_string_equal(k->device, own->kernels[i].device);
        assert_int_equal(k->built, own->kernels[i].run != NULL);
        assert_int_equal(k->here, k->built && own->kernels[i].here());
        assert_int_equal(k->column_multiple, own->kernels[i].column_multiple);
        assert_ptr_equal(tg_survey_find(&survey, k->name), k);
    }
    assert_null(tg_survey_find(&survey, "i2s_9"));
    assert_null(tg_survey_find(NULL, "i2s_scalar"));

    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_survey_add(root, "head", &survey);
    char *text = tg_json_print(root, true);
    struct tg_json_file file;
    struct tg_survey again;
    assert_int_equal(tg_json_parse(text, &file, NULL), 0);
    assert_int_equal(tg_survey_parse(&file, tg_json_get(file.root, "head"), &again, NULL), 0);
    assert_same(&survey, &again);
    tg_json_release(&file);
    tg_json_free(root);
    free(text);
    tg_survey_release(&again);
    tg_survey_release(&survey);
    assert_null(survey.kernels);
}

static void what_is_marked_in_a_library_is_told(void **state)
{
    (void)state;
    struct tg_survey survey = take(foreign_library(""));
    assert_int_equal(survey.count, 0);
    assert_int_equal(survey.injected_percent, 7);
    assert_true(survey.is_debug);
    assert_string_equal(survey.build, "foreign");
    tg_survey_release(&survey);
}

static void assert_refused(const char *path, const char *wanted)
{
    struct tg_survey survey = {.count = 77};
    struct tg_error err;
    char sentence[5000];
    size_t before = open_descriptors();
    snprintf(sentence, sizeof sentence, wanted, path);
    assert_int_equal(tg_survey_take(path, &survey, &err), -1);
    if (strncmp(err.text, sentence, strlen(sentence)) != 0) fail_msg("%s", err.text);
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(survey.count, 77);
    assert_false(has_children());
    assert_int_equal(open_descriptors(), before);
}

static void what_is_no_library_of_ours_is_refused_in_a_sentence(void **state)
{
    (void)state;
    assert_refused("/nowhere.so", "cannot open library '%s': No such file or directory");
    assert_refused(TG_TEST_DATA "/gate.json", "'%1$s' is not a kernel library: %1$s: ");
    assert_refused("/bin/true", "'%1$s' is not a kernel library: %1$s: ");
    assert_refused("/", "'%s' is not a kernel library: ");
    assert_refused(foreign_library("newer"),
                   "'%s' has kernel table version 3, this program reads versions 1 to 2");
    assert_refused(foreign_library("larger"), "'%s' has a kernel table of other sizes");
    assert_refused(foreign_library("empty"), "'%s' has no kernel table");
}

static void a_library_that_ends_its_process_is_refused(void **state)
{
    (void)state;
    static const char aborted[] =
        "'%s' is not a kernel library: loading it ends the process (Aborted)";
    static const char exited[] =
        "'%s' is not a kernel library: loading it ends the process (exit status 5)";
    assert_refused(foreign_library("crashes"), aborted);
    assert_refused(foreign_library("exits"), exited);
}

static void a_library_that_hangs_is_refused(void **state)
{
    (void)state;
    haste = 20;
    assert_refused(foreign_library("hangs"), "'%s' is not a kernel library: loading it hangs");
    haste = 1;
}

static void assert_gpus(const char *driver, const char *manner, size_t count, const char *reason)
{
    struct tg_gpu_list *list = malloc(sizeof *list);
    struct tg_error err;
    size_t before = open_descriptors();
    assert_non_null(list);
    set_driver(driver, manner);
    if (tg_survey_take_gpus(list, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(list->count, count);
    if (strncmp(list->reason, reason, strlen(reason)) != 0) fail_msg("%s", list->reason);
    assert_true(count > 0 || *list->reason);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(list->gpus[i].name, "NVIDIA_H100_80GB_HBM3");
        assert_int_equal(list->gpus[i].index, i);
    }
    assert_false(has_children());
    assert_int_equal(open_descriptors(), before);
    free(list);
}

static void a_child_asks_the_driver_for_gpus(void **state)
{
    (void)state;
    assert_gpus("new", "gpus=8", 8, "");
    assert_gpus("old", "gpus=2", 2, "");
    assert_gpus("new", "gpus=0", 0, "the NVIDIA driver has no GPU");
    assert_gpus("new", "start=9", 0, "the NVIDIA driver is not loaded");
}

static void a_driver_that_breaks_its_process_is_a_reason(void **state)
{
    (void)state;
    assert_gpus("new", "crash=1", 0, "asking the NVIDIA driver ends the process (Aborted)");
    haste = 20;
    assert_gpus("new", "hang=1", 0, "the NVIDIA driver hangs: no answer in 30 s");
    haste = 1;
}

static void a_text_that_is_no_survey_is_refused(void **state)
{
    (void)state;
    static const char kernel[] = "\"op\":\"a\",\"format\":\"a\",\"isa\":\"a\",\"device\":\"a\"";
    static const struct {
        const char *kernel, *part;
    } rows[] = {
        {"\"name\":\"\",\"column_multiple\":1", "a kernel without a usable 'name'"},
        {"\"name\":\"a b\",\"column_multiple\":1", "a kernel without a usable 'name'"},
        {"\"name\":\"i2s_*\",\"column_multiple\":1", "a kernel without a usable 'name'"},
        {"\"name\":7,\"column_multiple\":1", "a kernel without a usable 'name'"},
        {"\"name\":\"a\",\"column_multiple\":0", "a kernel without a usable 'column_multiple'"},
        {"\"name\":\"a\",\"column_multiple\":1e10", "a kernel without a usable 'column_multiple'"},
        {"\"name\":\"a\"", "a kernel without a usable 'column_multiple'"},
    };
    struct tg_json_file file;
    struct tg_survey survey = {.count = 77};
    struct tg_error err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1000];
        snprintf(text, sizeof text, "{\"digest\":\"d\",\"kernels\":[{%s,%s}]}", rows[i].kernel,
                 kernel);
        if (tg_json_parse(text, &file, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(tg_survey_parse(&file, file.root, &survey, &err), -1);
        if (!strstr(err.text, rows[i].part)) fail_msg("%s", err.text);
        tg_json_release(&file);
    }
    static const char *const others[] = {"{\"kernels\":[]}", "{\"digest\":\"d\"}", "[]"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(tg_json_parse(others[i], &file, &err), 0);
        assert_int_equal(tg_survey_parse(&file, file.root, &survey, &err), -1);
        assert_non_null(strstr(err.text, "not a survey"));
        tg_json_release(&file);
    }
    assert_int_equal(survey.count, 77);
}

static void what_a_machine_cannot_run_has_its_reason(void **state)
{
    (void)state;
    struct tg_survey_kernel head_kernels[] = {
        {"here", "product", "i2s", "scalar", "cpu", true, true, 128},
        {"unbuilt", "product", "i2s", "neon", "cpu", false, false, 128},
        {"elsewhere", "product", "i2s", "amx", "cpu", true, false, 128},
        {"new", "product", "i2s", "scalar", "cpu", true, true, 128},
    };
    const struct tg_survey head = {
        .kernels = head_kernels, .count = 4, .cores = 2, .no_model = "there is none"};
    const struct tg_survey base = {.kernels = head_kernels, .count = 3};
    static const struct {
        const char *cell, *reason; /* NULL: it can be run */
        bool has_base;
    } rows[] = {
        {"probe=kernel kernel=here layer=1x128", NULL, false},
        {"probe=kernel kernel=here build=copy layer=1x128", NULL, false},
        {"probe=kernel kernel=here build=base layer=1x128", NULL, true},
        {"probe=kernel kernel=here model=bitnet-2b layer=attn_q batch=8", NULL, false},
        {"probe=kernel kernel=i2s_* layer=1x128", "no kernel of this build matches 'i2s_*'", false},
        {"probe=engine kernel=here layer=1x128", "probe 'engine' is unknown", false},
        {"probe=kernel kernel=here cache=stream layer=1x128", NULL, false},
        {"probe=kernel kernel=here cache=cold layer=1x128", "cache 'cold' is unknown", false},
        {"probe=kernel kernel=here threads=2 layer=1x128", NULL, false},
        {"probe=kernel kernel=here threads=3 layer=1x128",
         "3 threads need as many cores, a cell here has at most 2", false},
        {"probe=kernel kernel=here build=base layer=1x128", "build 'base' was not given", false},
        {"probe=kernel kernel=old layer=1x128", "kernel 'old' is not in head", true},
        {"probe=kernel layer=1x128", "axis 'kernel' is missing", false},
        {"probe=kernel kernel=new layer=1x128", NULL, true},
        {"probe=kernel kernel=new build=base layer=1x128", "kernel 'new' is not in base", true},
        {"probe=kernel kernel=unbuilt layer=1x128", "kernel 'unbuilt' is not in this build", false},
        {"probe=kernel kernel=elsewhere layer=1x128",
         "instruction set 'amx' is not on this machine", false},
        {"probe=kernel kernel=here model=bitnet-9b layer=attn_q", "no such model 'bitnet-9b'",
         false},
        {"probe=kernel kernel=here layer=1x131072", NULL, false},
        {"probe=kernel kernel=here layer=1x131200", "131200 columns are more than 131072", false},
        {"probe=kernel kernel=here layer=1x130",
         "130 columns are not a multiple of 128, as format i2s needs", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_cell cell;
        char reason[256] = "";
        assert_int_equal(tg_cell_parse(rows[i].cell, &cell, NULL), 0);
        bool can = tg_survey_can_run(&head, rows[i].has_base ? &base : NULL, &cell, reason,
                                     sizeof reason);
        if (can != (rows[i].reason == NULL)) fail_msg("%s: %s", rows[i].cell, reason);
        if (!can) assert_string_equal(reason, rows[i].reason);
    }
}

static void a_whole_model_needs_a_profile_and_a_kernel_that_holds_its_layers(void **state)
{
    (void)state;
    struct tg_survey_kernel kernels[] = {
        {"here", "product", "i2s", "scalar", "cpu", true, true, 128}};
    const struct tg_survey head = {
        .kernels = kernels, .count = 1, .cores = 2, .no_model = "there is none"};
    static const struct {
        const char *cell, *reason; /* NULL: it can be run */
    } rows[] = {
        {"probe=model kernel=here model=bitnet-2b profile=decode_32", NULL},
        {"probe=model kernel=here model=bitnet-2b profile=decode_32 threads=2", NULL},
        {"probe=model kernel=here model=gguf profile=decode_32", "there is none"},
        {"probe=model kernel=here model=bitnet-2b", "axis 'profile' is missing"},
        {"probe=model kernel=here model=bitnet-2b layer=attn_q profile=decode_32",
         "layer 'attn_q' is none of a whole model"},
        {"probe=model kernel=here model=bitnet-2b profile=decode_32 batch=8",
         "profile 'decode_32' says itself what is computed"},
        {"probe=model kernel=here model=tiny profile=long_context_4096",
         "profile long_context_4096 needs a context of 4096, tiny has 512"},
        {"probe=model kernel=here model=bitnet-3b profile=decode_32",
         "8640 columns of ffn_down are not a multiple of 128, as format i2s needs"},
        {"probe=model kernel=here model=bitnet-9b profile=decode_32", "no such model 'bitnet-9b'"},
        {"probe=kernel kernel=here layer=1x128 profile=decode_32",
         "profile 'decode_32' is of whole models"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_cell cell;
        char reason[256] = "";
        assert_int_equal(tg_cell_parse(rows[i].cell, &cell, NULL), 0);
        bool can = tg_survey_can_run(&head, NULL, &cell, reason, sizeof reason);
        if (can != (rows[i].reason == NULL)) fail_msg("%s: %s", rows[i].cell, reason);
        if (!can) assert_string_equal(reason, rows[i].reason);
    }
}

static void a_whole_model_on_a_device_is_one_build_of_i2s(void **state)
{
    (void)state;
    struct tg_survey_kernel kernels[] = {
        {"fake", "product", "i2s", "fake", "fake", true, true, 128},
        {"other", "product", "tq2", "fake", "fake", true, true, 256},
        {"abacus", "product", "i2s", "beads", "abacus", true, true, 128},
        {"quantise", "quantise", "f32", "fake", "fake", true, true, 1},
    };
    const struct tg_survey survey = {.kernels = kernels, .count = 4, .cores = 2};
    static const struct {
        const char *axes, *reason; /* NULL: it can be run */
    } rows[] = {
        {"kernel=fake", NULL},
        {"kernel=fake build=base",
         "build 'base' is of kernels: whole models on a device are this program's own"},
        {"kernel=other", "kernel 'other' is not of i2s, as models on a device are"},
        {"kernel=abacus", "device 'abacus' runs no whole models in this build"},
        {"kernel=quantise", "kernel 'quantise' is no ternary product"},
    };
    if (!tg_forward_device_find("fake")) skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_cell cell;
        char text[256], reason[256] = "";
        snprintf(text, sizeof text, "probe=model model=bitnet-2b profile=decode_32 %s",
                 rows[i].axes);
        assert_int_equal(tg_cell_parse(text, &cell, NULL), 0);
        bool can = tg_survey_can_run(&survey, &survey, &cell, reason, sizeof reason);
        if (can != (rows[i].reason == NULL)) fail_msg("%s: %s", text, reason);
        if (!can) assert_string_equal(reason, rows[i].reason);
    }
}

/* Twice a model of a gigabyte or more; where the build has no CUDA it is that. */
static void a_whole_model_needs_a_gpu_with_room(void **state)
{
    (void)state;
    struct tg_survey_kernel kernels[] = {
        {"there", "product", "i2s", "cuda", "cuda", true, true, 128}};
    struct tg_survey survey = {.kernels = kernels, .count = 1, .cores = 2};
    struct tg_cell cell;
    char reason[256] = "";
    assert_int_equal(
        tg_cell_parse("probe=model kernel=there model=bitnet-2b profile=decode_32", &cell, NULL),
        0);
    if (!tg_forward_device_find("cuda")) skip();
    survey.gpu_bytes = INT64_C(2) << 30;
    assert_false(tg_survey_can_run(&survey, NULL, &cell, reason, sizeof reason));
    assert_non_null(strstr(reason, " bytes of the GPU's memory are needed, 2147483648 are free"));
    survey.gpu_bytes = INT64_C(6) << 30; /* a second head beside a block that is checked */
    assert_false(tg_survey_can_run(&survey, NULL, &cell, reason, sizeof reason));
    survey.gpu_bytes = INT64_C(8) << 30;
    assert_true(tg_survey_can_run(&survey, NULL, &cell, reason, sizeof reason));
}

static void a_kernel_of_a_gpu_needs_one_with_room(void **state)
{
    (void)state;
    static const char none[] = "the NVIDIA driver has no GPU";
    struct tg_survey_kernel kernels[] = {
        {"there", "product", "i2s", "cuda", "cuda", true, true, 128},
        {"unbuilt", "product", "i2s", "cuda", "cuda", false, false, 128},
        {"later", "product", "i2s", "cuda_sm90a", "cuda", true, false, 128},
        {"cpu", "product", "i2s", "scalar", "cpu", true, true, 128},
        {"tokens", "quantise", "f32", "cuda", "cuda", true, true, 1},
    };
    static const struct {
        const char *cell, *no_gpu, *reason; /* NULL: it can be run */
        int64_t bytes;
    } rows[] = {
        {"probe=kernel kernel=there layer=1x128", "", NULL, 0},
        {"probe=kernel kernel=there layer=1x128", none, none, 0},
        {"probe=kernel kernel=there layer=1x128", "gpu-exclusive-mode", "gpu-exclusive-mode", 0},
        {"probe=kernel kernel=cpu layer=1x128", none, NULL, 0},
        /* The first of several reasons. */
        {"probe=kernel kernel=unbuilt layer=1x128", none, "kernel 'unbuilt' is not in this build",
         0},
        {"probe=kernel kernel=later layer=1x128", none, none, 0},
        {"probe=kernel kernel=later layer=1x128", "",
         "instruction set 'cuda_sm90a' is not on this machine", 0},
        /* 100 x 256 weights of 2 bits, 3 columns of int8 twice and of int32, all twice. */
        {"probe=kernel kernel=there layer=100x256 batch=3", "", NULL,
         2 * (100 * 64 + 3 * (2 * 256 + 400))},
        {"probe=kernel kernel=there layer=100x256 batch=3", "",
         "18272 bytes of the GPU's memory are needed, 18271 are free",
         2 * (100 * 64 + 3 * (2 * 256 + 400)) - 1},
        {"probe=kernel kernel=cpu layer=100x256 batch=3", "", NULL, 1},
        /* 3 tokens of f32 thrice, of int8 with scales and sums: of the layer's rows nothing. */
        {"probe=kernel kernel=tokens layer=100x256 batch=3", "", NULL,
         2 * 3 * (3 * 256 * 4 + 256 + 8)},
        {"probe=kernel kernel=tokens layer=100x256 batch=3", "",
         "20016 bytes of the GPU's memory are needed, 20015 are free",
         2 * 3 * (3 * 256 * 4 + 256 + 8) - 1},
        {"probe=kernel kernel=tokens layer=13824x2560 batch=256", "", NULL, 20000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_survey head = {.kernels = kernels, .count = 5, .gpu_bytes = rows[i].bytes};
        struct tg_cell cell;
        char reason[256] = "";
        snprintf(head.no_gpu, sizeof head.no_gpu, "%s", rows[i].no_gpu);
        assert_int_equal(tg_cell_parse(rows[i].cell, &cell, NULL), 0);
        bool can = tg_survey_can_run(&head, NULL, &cell, reason, sizeof reason);
        if (can != (rows[i].reason == NULL)) fail_msg("%s: %s", rows[i].cell, reason);
        if (!can) assert_string_equal(reason, rows[i].reason);
    }
}

static void cuda_is_not_started_where_it_is_to_show_nothing(void **state)
{
    (void)state;
    setenv("TG_FOREIGN", "cuda", 1);
    for (int shown = 0; shown < 2; shown++) {
        setenv("CUDA_VISIBLE_DEVICES", shown ? "GPU-1" : "", 1);
        struct tg_survey survey = take(foreign_library("cuda"));
        assert_int_equal(survey.count, 1);
        assert_int_equal(survey.kernels[0].built, 1);
        assert_int_equal(survey.kernels[0].here, shown);
        tg_survey_release(&survey);
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_of_this_build_says_what_it_holds),
        cmocka_unit_test(what_is_marked_in_a_library_is_told),
        cmocka_unit_test(what_is_no_library_of_ours_is_refused_in_a_sentence),
        cmocka_unit_test(a_library_that_ends_its_process_is_refused),
        cmocka_unit_test(a_library_that_hangs_is_refused),
        cmocka_unit_test(a_child_asks_the_driver_for_gpus),
        cmocka_unit_test(a_driver_that_breaks_its_process_is_a_reason),
        cmocka_unit_test(a_whole_model_on_a_device_is_one_build_of_i2s),
        cmocka_unit_test(a_whole_model_needs_a_gpu_with_room),
        cmocka_unit_test(a_kernel_of_a_gpu_needs_one_with_room),
        cmocka_unit_test(cuda_is_not_started_where_it_is_to_show_nothing),
        cmocka_unit_test(a_text_that_is_no_survey_is_refused),
        cmocka_unit_test(what_a_machine_cannot_run_has_its_reason),
        cmocka_unit_test(a_whole_model_needs_a_profile_and_a_kernel_that_holds_its_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
