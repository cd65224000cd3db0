/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/probe.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "kernels/kernel.h"
#include "tests/worker_cell.h"
#include "worker/probe/pool.h"

#define AT_MOST 60 /* seconds, for what comes */

static struct tg_setup setup_of(const char *text)
{
    struct tg_setup setup;
    struct tg_error err;
    tg_probe_setup_init(&setup);
    if (tg_cell_parse(text, &setup.cell, &err) < 0) fail_msg("%s", err.text);
    snprintf(setup.library, sizeof setup.library, "%s", kernel_library());
    setup.warmup_min_s = 0.001;
    setup.warmup_max_s = 0.01;
    setup.sample_s = 1e-5;
    return setup;
}

static void every_probe_is_found_by_its_name(void **state)
{
    (void)state;
    assert_true(tg_probe_count() >= 1);
    for (size_t i = 0; i < tg_probe_count(); i++) {
        const struct tg_probe *probe = tg_probe_at(i);
        assert_ptr_equal(tg_probe_find(probe->name), probe);
        assert_true(probe->metric && probe->bytes && probe->prepare && probe->check);
        assert_true(probe->roof && probe->sample && probe->recheck && probe->close);
        assert_true(*probe->meaning);
    }
    assert_ptr_equal(tg_probe_find("kernel"), &tg_probe_kernel);
    assert_null(tg_probe_find("kernels"));
}

static void a_setup_comes_back_as_it_was_sent(void **state)
{
    (void)state;
    struct tg_setup sent = setup_of("probe=kernel kernel=a build=base layer=1x128 batch=8"), got;
    snprintf(sent.seed, sizeof sent.seed, "%" PRIu64, UINT64_MAX);
    snprintf(sent.operands_digest, sizeof sent.operands_digest, "abc");
    snprintf(sent.library, sizeof sent.library, "/a \"path\"\\ \xc3\xa9.so");
    sent.is_complete = sent.is_fixed = false;
    sent.offset = 4032;
    sent.core_count = TG_PLACE_CORES;
    for (int i = 0; i < TG_PLACE_CORES; i++) sent.cores[i] = 1000 - i;
    sent.cache_bytes = INT64_C(260) << 20;
    sent.stream_bytes = INT64_C(1) << 40;
    sent.data_bytes = INT64_C(1) << 52;
    sent.warmup_min_s = 0.1;
    sent.warmup_max_s = 1.0 / 3;
    sent.sample_s = 1e-300;
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_probe_setup_add(root, &sent);
    char *line = tg_json_print(root, false);
    tg_json_free(root);

    struct tg_json_file file;
    struct tg_error err;
    assert_int_equal(tg_json_parse(line, &file, &err), 0);
    memset(&got, 0xa5, sizeof got);
    assert_int_equal(tg_probe_setup_read(&file, &got, &err), 0);
    assert_memory_equal(&got.cell, &sent.cell, sizeof got.cell);
    assert_string_equal(got.library, sent.library);
    assert_string_equal(got.seed, "18446744073709551615");
    assert_string_equal(got.operands_digest, "abc");
    assert_true(!got.is_complete && got.is_maker && !got.is_fixed);
    assert_true(got.offset == 4032 && got.core_count == TG_PLACE_CORES &&
                got.data_bytes == INT64_C(1) << 52);
    assert_true(got.cache_bytes == INT64_C(260) << 20 && got.stream_bytes == INT64_C(1) << 40);
    assert_memory_equal(got.cores, sent.cores, sizeof got.cores);
    assert_true(got.warmup_min_s == 0.1 && got.warmup_max_s == 1.0 / 3 && got.sample_s == 1e-300);
    tg_json_release(&file);
    free(line);

    assert_int_equal(tg_json_parse("{\"cell\":\"speed=9\"}", &file, &err), 0);
    assert_int_equal(tg_probe_setup_read(&file, &got, &err), -1);
    assert_non_null(strstr(err.text, "cell 'speed=9'"));
    tg_json_release(&file);
}

static int64_t bytes_of(const char *text)
{
    const struct tg_setup setup = setup_of(text);
    return tg_probe_bytes(&setup.cell, "");
}

static void the_memory_of_a_cell_is_known_before_it_is_run(void **state)
{
    (void)state;
    int64_t few = bytes_of("probe=kernel kernel=a layer=640x2560");
    assert_true(few >= 2 * 640 * 2560 && few < 10 * 640 * 2560);
    int64_t many = bytes_of("probe=kernel kernel=a layer=640x2560 batch=9");
    assert_true(many >= few + 8 * (640 * 8 + 2560));
    int64_t threads = bytes_of("probe=kernel kernel=a layer=640x2560 threads=3");
    assert_int_equal(threads - few, 2 * TG_POOL_STACK_BYTES);
    int64_t floats = bytes_of("probe=kernel kernel=i2s_scalar_unpack_f32 layer=640x2560");
    assert_true(floats >= few + 3 * 4 * 640 * 2560);
    assert_true(bytes_of("probe=kernel layer=9x9 batch=9000000000") == INT64_MAX);
    assert_true(bytes_of("probe=kernel layer=99999999x99999999") > INT64_C(10000000000000000));
    assert_int_equal(bytes_of("probe=kernel layer=attn_q model=x"), -1);
}

static void a_cell_that_is_right_is_measured(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    struct tg_setup setup = setup_of("probe=kernel kernel=i2s_scalar layer=32x256 batch=3");
    if (tg_probe_run_alone(&setup, 7, &m, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(m.outcome, TG_MEASURED);
    assert_string_equal(m.reason, "");
    assert_string_equal(m.block, "probe=kernel kernel=i2s_scalar layer=32x256 batch=3");
    const struct tg_series *times = tg_measurement_series(&m, "call_time");
    assert_non_null(times);
    assert_int_equal(times->count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_true(times->samples[i] > 0);
        assert_int_equal(times->turns[i], i);
        assert_true(i == 0 || times->begun[i] > times->begun[i - 1]);
    }
    const struct tg_series *accuracy = tg_measurement_series(&m, "kernel_accuracy");
    assert_int_equal(accuracy->count, 1);
    assert_true(accuracy->samples[0] > 0.999 && accuracy->samples[0] < 1);
    assert_int_equal(m.facts.checked, 2 * 3 * 32); /* before and after */
    assert_int_equal(m.facts.packed_bytes, tg_kernel_find("i2s_scalar")->packed_bytes(32, 256));
    assert_int_equal(strlen(m.facts.library), 64);
    assert_int_equal(strlen(m.facts.operands_digest), 64);
    assert_string_equal(m.facts.operands, "own");
    assert_string_equal(m.facts.isa_requested, "scalar");
    assert_string_equal(m.facts.isa_executed, "scalar");
    assert_true(m.facts.isa_calls >= 1 + 7 * m.facts.calls); /* checked and timed */
    assert_int_equal(m.facts.pid, getpid());
    assert_true(m.facts.calls >= 1 && m.facts.call_s > 0 && m.facts.warmup_s > 0);
    tg_measurement_free(&m);

    setup = setup_of("probe=kernel kernel=i2s_scalar_unpack layer=32x256");
    if (tg_probe_run_alone(&setup, 1, &m, &err) < 0) fail_msg("%s", err.text);
    assert_true(tg_measurement_series(&m, "codec_exact")->samples[0] == 1);
    assert_null(tg_measurement_series(&m, "kernel_accuracy"));
    tg_measurement_free(&m);
}

/* As one thread, on the cores of this machine as often as there are any. */
static void threads_share_the_rows_and_nothing_else_changes(void **state)
{
    (void)state;
    char digest[TG_TEXT_SIZE] = "", text[128], cores[TG_TEXT_SIZE];
    double accuracy = 0;
    for (int threads = 1; threads <= 4; threads++) {
        struct tg_measurement m;
        struct tg_error err;
        struct tg_place place;
        snprintf(text, sizeof text,
                 "probe=kernel kernel=i2s_scalar layer=50x256 batch=3 threads=%d", threads);
        struct tg_setup setup = setup_of(text);
        assert_int_equal(tg_place_find(NULL, NULL, &tg_place_alone, &place, &err), 0);
        for (int i = 0; i < threads && threads <= place.core_count; i++)
            setup.cores[setup.core_count++] = place.cores[i];
        tg_place_text(setup.cores, setup.core_count, cores);
        /* The process of a cell is bound: this test's must not stay so. */
        cpu_set_t before;
        assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
        if (tg_probe_run_alone(&setup, 5, &m, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
        assert_int_equal(m.outcome, TG_MEASURED);
        assert_int_equal(m.facts.checked, 2 * 3 * 50);
        if (setup.core_count > 0) assert_string_equal(m.facts.cores, cores);
        double seen = tg_measurement_series(&m, "kernel_accuracy")->samples[0];
        if (threads > 1) assert_true(accuracy == seen);
        if (threads > 1) assert_string_equal(m.facts.operands_digest, digest);
        assert_int_equal(tg_measurement_series(&m, "call_time")->count, 5);
        assert_true(m.facts.read_rate > 0 && m.facts.limit_s > 0);
        accuracy = seen;
        memcpy(digest, m.facts.operands_digest, sizeof digest);
        tg_measurement_free(&m);
    }
}

static void a_set_is_over_four_times_the_caches_as_far_as_it_may(void **state)
{
    (void)state;
    const struct tg_setup hot = setup_of("probe=kernel layer=1x128");
    const struct tg_setup stream = setup_of("probe=kernel layer=1x128 cache=stream");
    assert_int_equal(tg_probe_set_bytes(&hot.cell, 1000, 1000000), 0);
    assert_int_equal(tg_probe_set_bytes(&stream.cell, 1000, 1000000), 4000);
    assert_int_equal(tg_probe_set_bytes(&stream.cell, 1000, 3999), 3999);
    assert_int_equal(tg_probe_set_bytes(&stream.cell, INT64_MAX, 5000), 5000);
    assert_int_equal(tg_probe_set_bytes(&stream.cell, 0, 5000), 5000);
}

static void a_stream_is_measured_over_its_set_as_a_hot_cell_over_its_matrix(void **state)
{
    (void)state;
    static const char *const cells[] = {
        "probe=kernel kernel=i2s_scalar layer=32x256 batch=3",
        "probe=kernel kernel=i2s_scalar layer=32x256 batch=3 cache=stream",
        "probe=kernel kernel=i2s_scalar layer=32x256 batch=3 cache=stream threads=2",
        "probe=kernel kernel=i2s_scalar_unpack layer=32x256 cache=stream"};
    static const int64_t sets[] = {1, 5, 5, 5};
    char digest[TG_TEXT_SIZE];
    for (int i = 0; i < 4; i++) {
        struct tg_measurement m;
        struct tg_error err;
        struct tg_setup setup = setup_of(cells[i]);
        setup.cache_bytes = 2048; /* a matrix */
        if (tg_probe_run_alone(&setup, 7, &m, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(m.outcome, TG_MEASURED);
        assert_int_equal(m.facts.packed_bytes, 2048);
        assert_int_equal(m.facts.set_bytes, sets[i] * 2048);
        assert_true(m.facts.set_share == (double)sets[i]);
        assert_true(m.facts.read_rate > 0 && m.facts.limit_s > 0);
        if (i == 0) memcpy(digest, m.facts.operands_digest, sizeof digest);
        assert_string_equal(m.facts.operands_digest, digest); /* of one matrix */
        tg_measurement_free(&m);
        /* What it may not, and what is not known. */
        setup.stream_bytes = 3 * 2048;
        setup.cache_bytes = i % 2 ? 0 : 2048;
        if (tg_probe_run_alone(&setup, 1, &m, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(m.facts.set_bytes, (i == 0 ? 1 : 3) * 2048);
        assert_true(i % 2 ? isnan(m.facts.set_share) : m.facts.set_share == (i == 0 ? 1 : 3));
        tg_measurement_free(&m);
    }
}

static void an_operation_on_tokens_has_a_row_for_each_of_its_batch(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    struct tg_setup setup = setup_of(
        "probe=kernel kernel=f32_scalar_quantise layer=32x100 batch=5");
    if (tg_probe_run_alone(&setup, 3, &m, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(m.outcome, TG_MEASURED);
    assert_int_equal(m.facts.checked, 2 * 5);
    assert_int_equal(m.facts.packed_bytes, 5 * 100 * 4);
    assert_string_equal(m.facts.limited_by, "read");
    tg_measurement_free(&m);

    setup = setup_of("probe=kernel kernel=f32_scalar_quantise layer=32x100 cache=stream");
    assert_int_equal(tg_probe_run_alone(&setup, 3, &m, &err), -1);
    assert_string_equal(err.text,
                        "operation 'quantise' reads no weights: there is no set to stream");
}

static void what_is_wrong_has_no_samples(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    const struct tg_kernel *stub = tg_kernel_find("stub_wrong");
    if (!stub || !stub->run) skip();
    struct tg_setup setup = setup_of("probe=kernel kernel=stub_wrong layer=32x256 batch=3");
    if (tg_probe_run_alone(&setup, 7, &m, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(m.outcome, TG_WRONG);
    assert_string_equal(m.reason, "row 31 of column 0 differs from the reference");
    assert_int_equal(m.series_count, 0);
    tg_measurement_free(&m);
}

static void a_kernel_that_goes_wrong_while_it_is_timed_is_wrong(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    const struct tg_kernel *stub = tg_kernel_find("stub_tires");
    if (!stub || !stub->run) skip();
    struct tg_setup setup = setup_of("probe=kernel kernel=stub_tires layer=64x256");
    /* A sample is two calls or more: it is over a hundred, however slow. */
    if (tg_probe_run_alone(&setup, 100, &m, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(m.outcome, TG_WRONG);
    assert_non_null(strstr(m.reason, "differs from the reference after the timed calls"));
    const struct tg_series *times = tg_measurement_series(&m, "call_time");
    assert_true(!times || times->count == 0); /* wrong has no speed */
    tg_measurement_free(&m);
}

/* A kernel that launches into a stream of its own: in no graph, so in no time, and yet right. */
static void what_works_outside_of_its_stream_is_wrong(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    const struct tg_kernel *kernel = tg_kernel_find("fake_product");
    if (!kernel || !kernel->run) skip();
    struct tg_setup setup = setup_of("probe=kernel kernel=fake_product layer=64x256");
    setenv("TRITGATE_FAKE_GPU", "strays=1", 1);
    if (tg_probe_run_alone(&setup, 5, &m, &err) < 0) fail_msg("%s", err.text);
    unsetenv("TRITGATE_FAKE_GPU");
    assert_int_equal(m.outcome, TG_WRONG);
    assert_non_null(strstr(m.reason, "outside of the stream"));
    assert_null(tg_measurement_series(&m, "call_time"));
    tg_measurement_free(&m);
}

/* As of a conducted cell: cycles of some samples, or of none that took a time, are none. */
static void a_clock_that_cannot_be_read_in_every_sample_gives_no_cycles(void **state)
{
    (void)state;
    static const char *const manners[] = {"low_hz=1.5e9", "low_hz=0"};
    const struct tg_kernel *kernel = tg_kernel_find("fake_product");
    if (!kernel || !kernel->run) skip();
    for (int i = 0; i < 2; i++) {
        struct tg_measurement m;
        struct tg_error err;
        struct tg_setup setup = setup_of("probe=kernel kernel=fake_product layer=64x256");
        setenv("TRITGATE_FAKE_GPU", manners[i], 1);
        if (tg_probe_run_alone(&setup, 6, &m, &err) < 0) fail_msg("%s", err.text);
        unsetenv("TRITGATE_FAKE_GPU");
        assert_int_equal(m.outcome, TG_MEASURED);
        assert_int_equal(tg_measurement_series(&m, "call_time")->count, 6);
        assert_int_equal(tg_measurement_series(&m, "call_cycles") != NULL, i == 0);
        assert_int_equal(m.facts.sm_clock_hz > 0, i == 0);
        tg_measurement_free(&m);
    }
}

static void the_short_check_compares_one_column_and_the_last_rows(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    struct tg_setup setup = setup_of("probe=kernel kernel=i2s_scalar layer=100x256 batch=3");
    setup.is_complete = setup.is_fixed = false;
    if (tg_probe_run_alone(&setup, 1, &m, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(m.outcome, TG_MEASURED);
    assert_int_equal(m.facts.checked, 100 + 2 * 32 + 3 * 100); /* before, and all after */
    assert_null(tg_measurement_series(&m, "kernel_accuracy"));
    tg_measurement_free(&m);
}

static void operands_depend_on_their_seed_alone(void **state)
{
    (void)state;
    static const char *const seeds[] = {"1", "1", "2", "18446744073709551615"};
    static const int64_t offsets[] = {0, 4032, 0, 64};
    char digests[4][TG_TEXT_SIZE];
    for (size_t i = 0; i < 4; i++) {
        struct tg_measurement m;
        struct tg_error err;
        struct tg_setup setup = setup_of("probe=kernel kernel=i2s_scalar layer=5x384 batch=2");
        snprintf(setup.seed, sizeof setup.seed, "%s", seeds[i]);
        setup.offset = offsets[i];
        if (tg_probe_run_alone(&setup, 1, &m, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(m.outcome, TG_MEASURED);
        memcpy(digests[i], m.facts.operands_digest, TG_TEXT_SIZE);
        tg_measurement_free(&m);
    }
    assert_string_equal(digests[0], digests[1]);
    assert_string_not_equal(digests[0], digests[2]);
    assert_string_not_equal(digests[0], digests[3]);
}

static void what_cannot_be_run_is_said_why(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"probe=engine kernel=i2s_scalar layer=1x128", "no such probe 'engine'"},
        {"probe=kernel kernel=i2s_9 layer=1x128", "no kernel 'i2s_9' in this library"},
        {"probe=kernel kernel=i2s_scalar layer=1x130", "130 columns are not a multiple of 128"},
        {"probe=kernel kernel=i2s_scalar layer=attn_q",
         "layer 'attn_q' is of no model: model= is missing"},
        {"probe=kernel kernel=i2s_scalar layer=1x131200", "131200 columns are more than 131072"},
        {"probe=kernel kernel=i2s_scalar layer=9999x128 batch=900000000000",
         "not enough memory for 9999 x 128 weights"},
        {"probe=kernel kernel=i2s_scalar layer=1x128 threads=257", "257 threads are more than 256"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_measurement m;
        struct tg_error err;
        struct tg_setup setup = setup_of(rows[i][0]);
#ifdef __SANITIZE_ADDRESS__
        if (i == 5) continue; /* it ends a process that asks for so much */
#endif
        assert_int_equal(tg_probe_run_alone(&setup, 1, &m, &err), -1);
        assert_string_equal(err.text, rows[i][1]);
    }
    struct tg_setup setup = setup_of("probe=kernel kernel=i2s_scalar layer=1x128 threads=2");
    struct tg_error err;
    setup.core_count = 1;
    assert_int_equal(tg_probe_run_alone(&setup, 1, NULL, &err), -1);
    assert_string_equal(err.text, "2 threads need as many cores, there are 1");
    setup = setup_of("probe=kernel kernel=i2s_scalar layer=1x128");
    snprintf(setup.library, sizeof setup.library, "/nowhere.so");
    assert_int_equal(tg_probe_run_alone(&setup, 1, NULL, &err), -1);
    assert_memory_equal(err.text, "'/nowhere.so' is not a kernel library", 37);
    setup = setup_of("probe=kernel kernel=i2s_scalar layer=1x128");
    snprintf(setup.library, sizeof setup.library, "%s", foreign_library("moved"));
    assert_int_equal(tg_probe_run_alone(&setup, 1, NULL, &err), -1);
    assert_string_equal(err.text, "kernel 'i2s_scalar' runs on 'fake' in this library, and on "
                                  "'cpu' in this program");
}

/* Starts a conducted process and gives its answer to each line; "" when it died. */
static void ask(const char *const lines[], size_t count, enum tg_outcome *outcomes, char *reason)
{
    char parent[32];
    struct tg_child *child;
    struct tg_child_end end;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    const char *const argv[] = {"/proc/self/exe", "cell", "--conducted", parent, NULL};
    assert_int_equal(tg_child_start(argv, NULL, 0, 0, &child, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        const char *line;
        struct tg_measurement m;
        struct tg_error err;
        tg_child_send(child, lines[i]);
        assert_int_equal(tg_child_receive(child, tg_now() + AT_MOST, &line), TG_CHILD_LINE);
        if (tg_measurement_from_json(line, &m, &err) < 0) fail_msg("%s", err.text);
        outcomes[i] = m.outcome;
        memcpy(reason, m.reason, sizeof m.reason);
        tg_measurement_free(&m);
    }
    tg_child_finish(child, tg_now() + AT_MOST, &end);
    assert_int_equal(end.signal, 0);
    assert_int_equal(end.status, outcomes[count - 1] == TG_SKIPPED ? 4 : 0);
}

static void a_process_that_is_asked_for_nonsense_says_so_and_ends(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"do\":\"warm\"}", "cannot do 'warm' now"},
        {"{\"do\":\"turns\",\"side\":0}", "cannot do 'turns' now"},
        {"{\"do\":\"dance\"}", "cannot do 'dance' now"},
        {"{}", "cannot do '' now"},
        {"{\"do\":\"prepare\",\"cell\":\"probe=magic\"}", "no such probe 'magic'"},
    };
    enum tg_outcome outcome;
    char reason[1024];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(&rows[i][0], 1, &outcome, reason);
        assert_int_equal(outcome, TG_SKIPPED);
        assert_string_equal(reason, rows[i][1]);
    }
    const char *const not_json[] = {"dance"};
    ask(not_json, 1, &outcome, reason);
    assert_int_equal(outcome, TG_SKIPPED);
}

static void a_process_that_is_asked_for_nothing_ends_well(void **state)
{
    (void)state;
    struct tg_child *child;
    struct tg_child_end end;
    char parent[32];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    const char *const argv[] = {"/proc/self/exe", "cell", "--conducted", parent, NULL};
    assert_int_equal(tg_child_start(argv, NULL, 0, 0, &child, NULL), 0);
    tg_child_finish(child, tg_now() + AT_MOST, &end);
    assert_int_equal(end.signal, 0);
    assert_int_equal(end.status, 0);
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_probe_is_found_by_its_name),
        cmocka_unit_test(a_setup_comes_back_as_it_was_sent),
        cmocka_unit_test(the_memory_of_a_cell_is_known_before_it_is_run),
        cmocka_unit_test(a_cell_that_is_right_is_measured),
        cmocka_unit_test(threads_share_the_rows_and_nothing_else_changes),
        cmocka_unit_test(a_set_is_over_four_times_the_caches_as_far_as_it_may),
        cmocka_unit_test(a_stream_is_measured_over_its_set_as_a_hot_cell_over_its_matrix),
        cmocka_unit_test(an_operation_on_tokens_has_a_row_for_each_of_its_batch),
        cmocka_unit_test(what_is_wrong_has_no_samples),
        cmocka_unit_test(a_kernel_that_goes_wrong_while_it_is_timed_is_wrong),
        cmocka_unit_test(what_works_outside_of_its_stream_is_wrong),
        cmocka_unit_test(a_clock_that_cannot_be_read_in_every_sample_gives_no_cycles),
        cmocka_unit_test(the_short_check_compares_one_column_and_the_last_rows),
        cmocka_unit_test(operands_depend_on_their_seed_alone),
        cmocka_unit_test(what_cannot_be_run_is_said_why),
        cmocka_unit_test(a_process_that_is_asked_for_nonsense_says_so_and_ends),
        cmocka_unit_test(a_process_that_is_asked_for_nothing_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
