/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/made_gguf.h"

#include <sys/stat.h>
#include <unistd.h>

/* What a test gives to the reader; its own copy, so that reading past the end is seen. */
static int read_copy(const void *bytes, size_t size, struct tg_gguf **gguf, struct tg_error *err)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    err->text[0] = 0;
    return tg_gguf_read(copy, size, gguf, err);
}

static void refuses(const struct made_gguf *m, const char *sentence)
{
    struct tg_gguf *g = NULL;
    struct tg_error err;
    assert_int_equal(read_copy(m->bytes, m->size, &g, &err), -1);
    if (!strstr(err.text, sentence)) fail_msg("'%s' is not in '%s'", sentence, err.text);
    assert_null(g);
}

static void put(uint8_t *to, uint64_t number, int size)
{
    for (int i = 0; i < size; i++) to[i] = (uint8_t)(number >> 8 * i);
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum tg_gguf_kind kind;
        uint64_t bits;
        int64_t value;
    } rows[] = {{"a", TG_GGUF_UINT8, 255, 255},
                {"b", TG_GGUF_INT8, 255, -1},
                {"c", TG_GGUF_UINT16, 65535, 65535},
                {"d", TG_GGUF_INT16, 65535, -1},
                {"e", TG_GGUF_UINT32, 1u << 31, 1LL << 31},
                {"f", TG_GGUF_INT32, 0xffffffff, -1},
                {"g", TG_GGUF_BOOL, 1, 1},
                {"h", TG_GGUF_UINT64, 1ull << 40, 1LL << 40},
                {"i", TG_GGUF_INT64, UINT64_MAX, -1}};
    struct tg_error err;
    struct tg_gguf *g;
    const uint8_t *bytes;
    size_t size;
    int64_t count;
    double real;
    struct tg_gguf_writer *w = tg_gguf_writer_create(64, &err);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        tg_gguf_writer_count(w, rows[i].key, rows[i].kind, rows[i].bits);
    tg_gguf_writer_real(w, "real", 0.5f);
    tg_gguf_writer_text(w, "text", "ternary");
    tg_gguf_writer_array(w, "texts", TG_GGUF_STRING, 2);
    tg_gguf_writer_add_text(w, "\0x", 2);
    tg_gguf_writer_add_text(w, "", 0);
    tg_gguf_writer_count(w, "too large", TG_GGUF_UINT64, UINT64_MAX);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    assert_int_equal(size % 64, 0);
    if (read_copy(bytes, size, &g, &err) == 0) fail_msg("a key with a blank is taken");
    assert_string_equal(err.text, "a key at byte 303 is not printable ASCII");
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    memcpy(memmem(copy, size, "too large", 9), "too_large", 9);
    if (read_copy(copy, size, &g, &err) < 0) fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(tg_gguf_count_at(tg_gguf_find(g, rows[i].key), 0, &count));
        assert_int_equal(count, rows[i].value);
    }
    assert_true(tg_gguf_real_at(tg_gguf_find(g, "real"), 0, &real) && real == 0.5);
    assert_false(tg_gguf_count_at(tg_gguf_find(g, "real"), 0, &count));
    assert_false(tg_gguf_count_at(tg_gguf_find(g, "too_large"), 0, &count));
    assert_null(tg_gguf_find(g, "tex"));
    const struct tg_gguf_value *texts = tg_gguf_find(g, "texts");
    const uint8_t *at = texts->bytes;
    assert_true(texts->is_array && texts->count == 2);
    assert_int_equal(tg_gguf_next_text(texts, &at).size, 2);
    assert_non_null(tg_gguf_next_text(texts, &at).bytes);
    assert_null(tg_gguf_next_text(texts, &at).bytes);
    assert_int_equal(g->alignment, 64);
    tg_gguf_close(g);
    tg_gguf_writer_destroy(w);
    free(copy);
}

static void a_model_has_its_tensors_where_they_were_put(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    struct tg_gguf *g;
    struct tg_error err;
    char path[] = "/tmp/tg_gguf_XXXXXX";
    const int descriptor = mkstemp(path);
    made_gguf(&m);
    made_write(&m, path);
    if (tg_gguf_open(path, &g, &err) < 0) fail_msg("%s", err.text);
    const struct tg_gguf_tensor *t = tg_gguf_tensor(g, "blk.1.ffn_down.weight");
    assert_int_equal(t->dimensions[0], MADE_FFN);
    assert_int_equal(t->dimensions[1], MADE_HIDDEN);
    assert_int_equal(t->bytes, MADE_FFN * MADE_HIDDEN / 4 + 32);
    assert_string_equal(t->type->name, "I2_S");
    assert_memory_equal(t->data, m.bytes + t->offset, (size_t)t->bytes);
    assert_int_equal(t->offset % 32, 0);
    assert_null(tg_gguf_tensor(g, "blk.2.ffn_down.weight"));
    tg_gguf_close(g);
    close(descriptor);
    unlink(path);
    free(m.bytes);
}

static void a_file_that_is_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    struct tg_error err;
    struct tg_gguf *g;
    made_gguf(&m);
    assert_int_equal(read_copy(m.bytes, m.size, &g, &err), 0);
    const size_t first = g->tensors[0].offset;
    tg_gguf_close(g);
    for (size_t size = 0; size <= first; size++)
        if (read_copy(m.bytes, size, &g, &err) == 0) fail_msg("cut at %zu, and taken", size);
    for (size_t size = first; size + 32 < m.size; size += 997) { /* but for padding at the end */
        if (read_copy(m.bytes, size, &g, &err) < 0) continue;
        bool is_whole = true;
        for (size_t i = 0; i < g->tensor_count; i++) is_whole &= g->tensors[i].type != NULL;
        if (is_whole) fail_msg("cut at %zu, and taken as whole", size);
        tg_gguf_close(g);
    }
    free(m.bytes);
}

/* Every field that says how much there is, with numbers that overflow sums and products. */
static void counts_that_no_file_has_are_refused(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {UINT64_MAX,  UINT64_MAX - 7, 1ull << 63, 1ull << 61,
                                       1ull << 48,  1ull << 32,     0xffffffff, 1u << 31,
                                       0x20000000u, 1u << 24};
    struct made_gguf m = {0};
    struct tg_error err;
    struct tg_gguf *g;
    made_gguf(&m);
    uint8_t *name = made_find(&m, "blk.0.attn_q.weight");
    uint8_t *const places[] = {m.bytes + 8, m.bytes + 16, m.bytes + 24, /* tensors, values, a key */
                               name - 8,    name + 19,                  /* name, dimensions */
                               name + 23,   name + 31,    name + 43};   /* sizes, offset */
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            const int size = places[i] == name + 19 ? 4 : 8;
            uint8_t kept[8];
            memcpy(kept, places[i], 8);
            put(places[i], numbers[k], size);
            if (read_copy(m.bytes, m.size, &g, &err) == 0) {
                const struct tg_gguf_tensor *t = tg_gguf_tensor(g, "blk.0.attn_q.weight");
                if (t && t->type)
                    fail_msg("place %zu is %llu, and taken", i, (unsigned long long)numbers[k]);
                tg_gguf_close(g);
            }
            memcpy(places[i], kept, 8);
        }
    }
    free(m.bytes);
}

static void each_fault_is_named(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    made_gguf(&m);
    uint8_t *const whole = malloc(m.size);
    memcpy(whole, m.bytes, m.size);
    const struct {
        const char *find;
        ptrdiff_t at;
        uint64_t number;
        int size;
        const char *sentence;
    } rows[] = {
        {"GGUF", 0, 0x46554747 + 1, 4, "is not a GGUF file"},
        {"GGUF", 4, 1, 4, "GGUF version 1 is not read"},
        {"GGUF", 4, 0x03000000, 4, "big-endian"},
        {"general.architecture", 20, 13, 4,
         "key 'general.architecture': there is no kind of value 13"},
        {"general.architecture", 0, '\n', 1, "not printable ASCII"},
        {"token_embd.weight", 17, 5, 4, "has 5 dimensions"},
        {"token_embd.weight", 17 + 4, 0, 8, "has a dimension of 0"},
        {"token_embd.weight", 17 + 4 + 16 + 4, 33, 8, "is not aligned to 32 bytes"},
        {"token_embd.weight", 17 + 4 + 16, 0, 4,
         "tensor 'token_embd.weight' of 96 x 256 F32 does not fit in its 49152 bytes"},
        {"token_embd.weight", 17 + 4 + 16 + 4, 1ull << 40, 8, "is beyond the end of the file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(m.bytes, whole, m.size);
        put(made_find(&m, rows[i].find) + rows[i].at, rows[i].number, rows[i].size);
        refuses(&m, rows[i].sentence);
    }
    memcpy(m.bytes, whole, m.size);
    put(made_find(&m, "token_embd.weight") + 17 + 4, 100, 8);
    put(made_find(&m, "token_embd.weight") + 17 + 4 + 16, 8, 4);
    refuses(&m, "'token_embd.weight' of 96 x 100 Q8_0 has columns that are no whole blocks, and "
                "49152 bytes");
    memcpy(m.bytes, whole, m.size);
    made_find(&m, "blk.1.attn_q.weight")[4] = '0';
    refuses(&m, "tensor 'blk.0.attn_q.weight' is given twice");
    memcpy(m.bytes, whole, m.size);
    memcpy(made_find(&m, "bitnet-b1.58.context_length"), "bitnet-b1.58.rope.freq_base", 27);
    refuses(&m, "key 'bitnet-b1.58.rope.freq_base' is given twice");
    free(whole);
    free(m.bytes);
}

static void arrays_in_arrays_end_somewhere(void **state)
{
    (void)state;
    uint8_t bytes[24 + 9 + 8 * 12 + 12] = "GGUF\3";
    struct tg_error err;
    struct tg_gguf *g;
    size_t at = 24;
    put(bytes + 16, 1, 8);
    put(bytes + at, 1, 8);
    bytes[at + 8] = 'k';
    put(bytes + at + 9, TG_GGUF_ARRAY, 4);
    at += 13;
    for (int i = 0; i < 8; i++, at += 12) {
        put(bytes + at, i < 7 ? TG_GGUF_ARRAY : TG_GGUF_UINT8, 4);
        put(bytes + at + 4, i < 7, 8);
    }
    assert_int_equal(read_copy(bytes, sizeof bytes, &g, &err), -1);
    assert_string_equal(err.text, "key 'k': arrays are more than 4 deep");
}

/* As ik_llama.cpp's converter writes the scales of BitNet's matrices. */
static void a_tensor_without_dimensions_is_one_number(void **state)
{
    (void)state;
    uint8_t bytes[64 + 4] = "GGUF\3";
    const float value = 0.25f;
    struct tg_error err;
    struct tg_gguf *g;
    put(bytes + 8, 1, 8);  /* tensors */
    put(bytes + 24, 1, 8); /* of the name; dimensions, type and offset are 0 */
    bytes[32] = 's';
    memcpy(bytes + 64, &value, sizeof value);
    if (read_copy(bytes, sizeof bytes, &g, &err) < 0) fail_msg("%s", err.text);
    const struct tg_gguf_tensor *t = tg_gguf_tensor(g, "s");
    assert_int_equal(t->dimension_count, 0);
    for (int i = 0; i < TG_GGUF_DIMENSIONS; i++) assert_int_equal(t->dimensions[i], 1);
    assert_int_equal(t->bytes, 4);
    assert_true(tg_tensor_type_f32(t->data) == value);
    tg_gguf_close(g);
}

/* 39 is TL2 of BitNet and MXFP4 of llama.cpp, and 42 TL2 and Q2_0; what bytes there are decides. */
static void a_number_given_twice_is_told_by_its_bytes(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_gguf *g;
    const uint8_t *head;
    size_t size;
    bool has_42 = false;
    for (size_t i = 0; i < tg_tensor_type_count(); i++) {
        const struct tg_tensor_type *type = tg_tensor_type_at(i);
        if (type->origin == TG_ORIGIN_ANY) continue;
        struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
        const int64_t bytes = tg_gguf_writer_tensor(w, "x", type, 64, 512);
        assert_int_equal(tg_gguf_writer_finish(w, &head, &size, &err), 0);
        uint8_t *whole = calloc(size + (size_t)bytes + 64, 1);
        memcpy(whole, head, size);
        if (read_copy(whole, size + (size_t)bytes, &g, &err) < 0) fail_msg("%s", err.text);
        assert_ptr_equal(g->tensors[0].type, type);
        tg_gguf_close(g);
        if (read_copy(whole, size + (size_t)bytes + 64, &g, &err) < 0) fail_msg("%s", err.text);
        assert_null(g->tensors[0].type); /* neither: 64 bytes too many */
        tg_gguf_close(g);
        free(whole);
        tg_gguf_writer_destroy(w);
        has_42 |= type->number == 42 && strcmp(type->name, "TL2") == 0;
    }
    assert_true(has_42);
}

static void spoiled_bytes_do_no_harm(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    struct tg_error err;
    struct tg_gguf *g;
    uint64_t random = 5;
    size_t taken = 0;
    made_gguf(&m);
    if (read_copy(m.bytes, m.size, &g, &err) < 0) fail_msg("%s", err.text);
    const size_t head = g->tensors[0].offset;
    tg_gguf_close(g);
    uint8_t *spoiled = malloc(m.size);
    for (int i = 0; i < 3000; i++) {
        memcpy(spoiled, m.bytes, m.size);
        for (int k = 0; k < 1 + i % 3; k++)
            spoiled[tg_fill_next(&random) % head] = (uint8_t)tg_fill_next(&random);
        if (read_copy(spoiled, m.size, &g, &err) < 0) {
            assert_true(*err.text && !strchr(err.text, '\n'));
            continue;
        }
        struct tg_network n;
        struct tg_network_layout layout;
        taken++;
        if (tg_network_read(g, &n, &err) == 0) {
            tg_network_find_layout(&n, NULL, &layout, &err);
            tg_network_release(&n);
        }
        tg_gguf_close(g);
    }
    assert_true(taken > 100 && taken < 2900);
    free(spoiled);
    free(m.bytes);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    struct tg_gguf *g;
    struct tg_error err;
    assert_int_equal(tg_gguf_open("/nowhere.gguf", &g, &err), -1);
    assert_string_equal(err.text, "cannot open '/nowhere.gguf': No such file or directory");
    assert_int_equal(tg_gguf_open("/tmp", &g, &err), -1);
    assert_string_equal(err.text, "'/tmp' is no file");
}

static void a_pipe_that_nobody_writes_is_not_waited_for(void **state)
{
    (void)state;
    char folder[] = "/tmp/tg_gguf_XXXXXX", path[64];
    struct tg_gguf *g;
    struct tg_error err;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20); /* it would be for ever */
    const int rc = tg_gguf_open(path, &g, &err);
    alarm(0);
    unlink(path);
    rmdir(folder);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, "/pipe' is no file"));
}

static void a_key_is_asked_for_by_kind_and_range(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    struct tg_gguf *g;
    struct tg_error err;
    int64_t count = -7;
    double real = -7;
    char text[8] = "-";
    made_gguf(&m);
    assert_int_equal(read_copy(m.bytes, m.size, &g, &err), 0);
    assert_int_equal(tg_gguf_get_count(g, "none", true, 1, 2, &count, &err), 0);
    assert_int_equal(tg_gguf_get_count(g, "none", false, 1, 2, &count, &err), -1);
    assert_string_equal(err.text, "there is no key 'none'");
    assert_int_equal(tg_gguf_get_count(g, "bitnet-b1.58.block_count", false, 3, 9, &count, &err),
                     -1);
    assert_string_equal(err.text, "key 'bitnet-b1.58.block_count' is 2, and may be 3 to 9");
    assert_int_equal(tg_gguf_get_real(g, "general.architecture", false, &real, &err), -1);
    assert_string_equal(err.text, "key 'general.architecture' is no number but string");
    assert_int_equal(tg_gguf_get_text(g, "general.architecture", false, text, sizeof text, &err),
                     -1);
    assert_true(count == -7 && real == -7 && strcmp(text, "-") == 0);
    tg_gguf_close(g);
    free(m.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(a_model_has_its_tensors_where_they_were_put),
        cmocka_unit_test(a_file_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(counts_that_no_file_has_are_refused),
        cmocka_unit_test(each_fault_is_named),
        cmocka_unit_test(arrays_in_arrays_end_somewhere),
        cmocka_unit_test(a_tensor_without_dimensions_is_one_number),
        cmocka_unit_test(a_number_given_twice_is_told_by_its_bytes),
        cmocka_unit_test(spoiled_bytes_do_no_harm),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_pipe_that_nobody_writes_is_not_waited_for),
        cmocka_unit_test(a_key_is_asked_for_by_kind_and_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
