/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/made_gguf.h"

/* Reads what was made; the sentence if it is refused, else "". */
static const char *read_made(struct made_gguf *m, struct tg_gguf **g, struct tg_network *n)
{
    static struct tg_error err;
    made_gguf(m);
    err.text[0] = 0;
    if (tg_gguf_read(m->bytes, m->size, g, &err) < 0) fail_msg("%s", err.text);
    tg_network_read(*g, n, &err);
    return err.text;
}

static void end(struct made_gguf *m, struct tg_gguf *g, struct tg_network *n)
{
    if (n) tg_network_release(n);
    tg_gguf_close(g);
    free(m->bytes);
}

static void each_architecture_has_its_gate_and_pairing(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tg_network_gate gate;
        enum tg_network_pairing pairing;
    } rows[] = {{"bitnet", TG_GATE_SILU, TG_PAIRING_HALVES},
                {"bitnet-25", TG_GATE_SQUARED_RELU, TG_PAIRING_HALVES},
                {"bitnet-b1.58", TG_GATE_SQUARED_RELU, TG_PAIRING_HALVES},
                {"llama", TG_GATE_SILU, TG_PAIRING_NEIGHBOURS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {.architecture = rows[i].name, .has_output = i == 3};
        struct tg_gguf *g;
        struct tg_network n;
        assert_string_equal(read_made(&m, &g, &n), "");
        assert_int_equal(n.gate, rows[i].gate);
        assert_int_equal(n.architecture->pairing, rows[i].pairing);
        assert_int_equal(n.hidden, MADE_HIDDEN);
        assert_int_equal(n.key_value_heads, 2);
        assert_int_equal(n.head_dimension, 64);
        assert_int_equal(n.vocabulary, MADE_VOCABULARY);
        assert_true(n.rope_base == 500000 && n.rope_dimensions == 64);
        assert_int_equal(n.output != NULL, i == 3);
        assert_non_null(n.blocks[1].attn_sub_norm);
        end(&m, g, &n);
    }
}

static void a_file_may_name_another_gate(void **state)
{
    (void)state;
    static const struct {
        const char *architecture, *gate;
        enum tg_network_gate wanted;
        const char *sentence;
    } rows[] = {{"bitnet", "relu2", TG_GATE_SQUARED_RELU, ""},
                {"bitnet", "silu", TG_GATE_SILU, ""},
                {"bitnet-b1.58", "silu", TG_GATE_SILU, ""},
                {"bitnet-b1.58", "relu2", TG_GATE_SQUARED_RELU, ""},
                {"llama", "gelu", 0, "a gate of 'gelu' is not computed here"},
                {"bitnet-b1.58", "", 0, "a gate of '' is not computed here"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {
            .architecture = rows[i].architecture, .key = "hidden_activation", .text = rows[i].gate};
        struct tg_gguf *g;
        struct tg_network n;
        assert_string_equal(read_made(&m, &g, &n), rows[i].sentence);
        if (!*rows[i].sentence) assert_int_equal(n.gate, rows[i].wanted);
        end(&m, g, *rows[i].sentence ? NULL : &n);
    }
}

/*
 * Why a file of these numbers and no tensors is refused: by its gate, or because it has none. The
 * model NULL is 1bitLLM's of 1.3B, which has no row.
 */
static void assert_numbers(const char *architecture, const char *model, const char *gate,
                           const char *wanted)
{
    static const struct tg_model rowless = {NULL, 2048, 5460, 24, 32, 32, 64,
                                            0,    NULL, 0,    0,  0,  0,  NULL};
    const struct tg_model *shape = model ? tg_model_find(model) : &rowless;
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {{"embedding_length", shape->hidden},
                  {"feed_forward_length", shape->ffn},
                  {"block_count", shape->layers},
                  {"attention.head_count", shape->heads},
                  {"attention.head_count_kv", shape->key_value_heads},
                  {"attention.key_length", shape->head_dimension}};
    char key[128];
    const uint8_t *bytes;
    size_t size;
    struct tg_error err;
    struct tg_gguf *g;
    struct tg_network n;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    assert_non_null(w);
    tg_gguf_writer_text(w, "general.architecture", architecture);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        snprintf(key, sizeof key, "%s.%s", architecture, counts[i].key);
        tg_gguf_writer_count(w, key, TG_GGUF_UINT32, (uint64_t)counts[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", architecture);
    tg_gguf_writer_real(w, key, 1e-5f);
    snprintf(key, sizeof key, "%s.hidden_activation", architecture);
    if (gate) tg_gguf_writer_text(w, key, gate);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    if (tg_gguf_read(bytes, size, &g, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(tg_network_read(g, &n, &err), -1);
    assert_string_equal(err.text, wanted);
    tg_gguf_close(g);
    tg_gguf_writer_destroy(w);
}

static void a_known_model_of_another_gate_must_say_which_it_has(void **state)
{
    (void)state;
    static const char accepted[] = "there is no tensor 'token_embd.weight'";
    assert_numbers("bitnet-b1.58", "bitnet-large", NULL,
                   "a bitnet-b1.58 of the numbers of bitnet-large may have the gate of bitnet: the "
                   "key 'bitnet-b1.58.hidden_activation' must say 'silu' or 'relu2'");
    assert_numbers("bitnet", "bitnet-2b", NULL,
                   "a bitnet of the numbers of bitnet-2b may have the gate of bitnet-b1.58: the "
                   "key 'bitnet.hidden_activation' must say 'silu' or 'relu2'");
    assert_numbers("bitnet-b1.58", NULL, NULL,
                   "a bitnet-b1.58 of the numbers of bitnet_b1_58-xl may have the gate of bitnet: "
                   "the key 'bitnet-b1.58.hidden_activation' must say 'silu' or 'relu2'");
    assert_numbers("bitnet", NULL, NULL, accepted);
    assert_numbers("bitnet-b1.58", "bitnet-large", "silu", accepted);
    assert_numbers("bitnet-b1.58", "bitnet-2b", NULL, accepted);
    assert_numbers("bitnet-25", "bitnet-2b", NULL, accepted);
    assert_numbers("bitnet-b1.58", "dummy-125m", NULL, accepted);
    assert_numbers("bitnet", "bitnet-large", NULL, accepted);
    assert_numbers("llama", "llama3-8b", NULL, accepted);
}

static void sub_norms_of_a_llama_are_there_where_their_tensors_are(void **state)
{
    (void)state;
    struct made_gguf m = {.architecture = "llama", .has_no_sub_norms = 1};
    struct tg_gguf *g;
    struct tg_network n;
    assert_string_equal(read_made(&m, &g, &n), "");
    assert_null(n.blocks[0].attn_sub_norm);
    assert_null(n.blocks[0].ffn_sub_norm);
    end(&m, g, &n);
}

/* Without them it would be another model, which no program that knows these would compute. */
static void a_bitnet_without_sub_norms_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"bitnet", "bitnet-25", "bitnet-b1.58"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct made_gguf m = {.architecture = names[i], .has_no_sub_norms = 1};
        struct tg_gguf *g;
        struct tg_network n;
        assert_string_equal(read_made(&m, &g, &n),
                            "there is no tensor 'blk.0.attn_sub_norm.weight'");
        end(&m, g, NULL);
    }
}

static void a_model_that_would_be_computed_in_part_is_refused(void **state)
{
    (void)state;
    static const char *const extras[] = {
        "blk.0.attn_q.bias",       "blk.0.attn_q_norm.weight",
        "blk.2.attn_q.weight",     "cls.weight",
        "blk.00.attn_norm.weight", "blk.-1.attn_norm.weight",
        "blk.+1.attn_q.weight",    "blk.1.attn_q.",
    };
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        struct made_gguf m = {.extra = extras[i]};
        struct tg_gguf *g;
        struct tg_network n;
        char wanted[128];
        snprintf(wanted, sizeof wanted, "tensor '%s' has no place in a bitnet-b1.58 of 2 blocks",
                 extras[i]);
        assert_string_equal(read_made(&m, &g, &n), wanted);
        end(&m, g, NULL);
    }
}

/* A tensor that is nowhere missed may be missing all the same. */
static void blocks_that_are_not_alike_are_refused(void **state)
{
    (void)state;
    struct made_gguf m = {.architecture = "llama"};
    struct tg_gguf *g;
    struct tg_network n;
    struct tg_error err;
    made_gguf(&m);
    if (tg_gguf_read(m.bytes, m.size, &g, &err) < 0) fail_msg("%s", err.text);
    for (size_t i = 0; i < g->tensor_count; i++)
        if (tg_gguf_is(g->tensors[i].name, "blk.1.attn_sub_norm.weight"))
            memmove(&g->tensors[i], &g->tensors[i + 1],
                    (--g->tensor_count - i) * sizeof *g->tensors);
    assert_int_equal(tg_network_read(g, &n, &err), -1);
    assert_string_equal(err.text,
                        "of blocks 0 and 1 one has 'attn_sub_norm.weight', and the other has not");
    end(&m, g, NULL);
}

static void what_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *find;
        int at;
        const char *bytes, *sentence;
    } rows[] = {
        {"bitnet-b1.58.block_count", 28, "\3", "there is no tensor 'blk.2.attn_norm.weight'"},
        {"bitnet-b1.58.block_count", 28, "\1",
         "tensor 'blk.1.attn_norm.weight' has no place in a bitnet-b1.58 of 1 blocks"},
        {"bitnet-b1.58.attention.head_count_kv", 40, "\3", "4 heads cannot share 3"},
        {"bitnet-b1.58.feed_forward_length", 36, "\1",
         "tensor 'blk.0.ffn_sub_norm.weight' is 1 x 512, and must be 1 x 513"},
        {"bitnet-b1.58.embedding_length", 22, "_lengtj", "there is no key"},
        {"bitnet-b1.58.rope.dimension_count", 37, "\x7", "RoPE turns 7 numbers"},
        {"blk.0.attn_q.weight", 6, "attm_q", "there is no tensor 'blk.0.attn_q.weight'"},
        {"token_embd.weight", 0, "token_embe", "there is no tensor 'token_embd.weight'"},
        {"blk.0.attn_q.weight", 39, "\x87",
         "tensor 'blk.0.attn_q.weight' is of type 135 (IQ2_BN of ik_llama.cpp), which is not read"},
        {"blk.0.attn_q.weight", 39, "M", "is of type 77, of which its 16416 bytes are no known"},
        {"token_embd.weight", 37, "\x14", "is of type 20 (IQ4_NL of llama.cpp), whose numbers"},
        {"output_norm.weight", 30, "M", "is of type 77 with "},
        {"bitnet-b1.58", 0, "mamba-b1.580", "architecture 'mamba-b1.580' is not one of those"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {0};
        struct tg_gguf *g;
        struct tg_network n;
        struct tg_error err;
        made_gguf(&m);
        memcpy(made_find(&m, rows[i].find) + rows[i].at, rows[i].bytes, strlen(rows[i].bytes));
        if (tg_gguf_read(m.bytes, m.size, &g, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(tg_network_read(g, &n, &err), -1);
        if (!strstr(err.text, rows[i].sentence))
            fail_msg("'%s' is not in '%s'", rows[i].sentence, err.text);
        end(&m, g, NULL);
    }
}

static void what_would_be_computed_otherwise_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        float value;
        const char *sentence;
    } rows[] = {
        {"rope.scaling.factor", 4, "RoPE scaled 'linear' by 4 is not computed here"},
        {"rope.scale_linear", 2, "RoPE scaled 'linear' by 2 is not computed here"},
        {"rope.scaling.attn_factor", 1.5f,
         "RoPE whose numbers are multiplied by 1.5 is not computed here"},
        {"rope.scaling.yarn_attn_factor", 1.5f,
         "RoPE whose numbers are multiplied by 1.5 is not computed here"},
        {"attention.causal", 0, "attention to later tokens is not computed here"},
        {"rope.scaling.factor", 1, ""},
        {"rope.scaling.attn_factor", 1, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {.key = rows[i].key, .value = rows[i].value};
        struct tg_gguf *g;
        struct tg_network n;
        assert_string_equal(read_made(&m, &g, &n), rows[i].sentence);
        end(&m, g, *rows[i].sentence ? NULL : &n);
    }
}

static void a_part_of_a_model_is_told_to_be_one(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    const uint8_t *bytes;
    size_t size;
    struct tg_gguf *g;
    struct tg_network n;
    tg_gguf_writer_count(w, "split.no", TG_GGUF_UINT16, 1);
    tg_gguf_writer_count(w, "split.count", TG_GGUF_UINT16, 3);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    if (tg_gguf_read(bytes, size, &g, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(tg_network_read(g, &n, &err), -1);
    assert_string_equal(err.text, "part 2 of 3 of a model: its parts must be merged into one file "
                                  "before it is run");
    tg_gguf_close(g);
    tg_gguf_writer_destroy(w);
}

static void types_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *ternary, *layout, *down, *sentence;
    } rows[] = {{"I2_S", "i2s", "F16", "some ternary matrices are I2_S and some F16"},
                {"F32", "f32", "F16", "some ternary matrices are F32 and some F16"},
                {"TQ1_0", "tq1", "TQ2_0", "some ternary matrices are TQ2_0 and some TQ1_0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {
            .ternary = rows[i].ternary, .layout = rows[i].layout, .down = rows[i].down};
        struct tg_gguf *g;
        struct tg_network n;
        struct tg_network_layout layout;
        struct tg_error err = {""};
        assert_string_equal(read_made(&m, &g, &n), "");
        assert_int_equal(tg_network_find_layout(&n, NULL, &layout, &err), -1);
        assert_string_equal(err.text, rows[i].sentence);
        end(&m, g, &n);
    }
}

static void layouts_are_known_by_type_or_assumed(void **state)
{
    (void)state;
    static const struct {
        const char *ternary, *layout;
        int is_assumed;
        const char *down;
    } rows[] = {{"I2_S", "i2s", 1, NULL},  {"TL1", "tl1", 1, NULL},   {"TL2", "tl2", 1, NULL},
                {"TQ1_0", "tq1", 0, NULL}, {"TQ2_0", "tq2", 0, NULL}, {"TQ2_0", "tq2", 0, "F16"},
                {"F32", "f32", 0, NULL},   {"BF16", "bf16", 0, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {
            .ternary = rows[i].ternary, .layout = rows[i].layout, .down = rows[i].down};
        struct tg_gguf *g;
        struct tg_network n;
        struct tg_network_layout layout;
        struct tg_error err = {""};
        float scale = 0;
        assert_string_equal(read_made(&m, &g, &n), "");
        if (tg_network_find_layout(&n, NULL, &layout, &err) < 0) fail_msg("%s", err.text);
        assert_string_equal(layout.format->name, rows[i].layout);
        assert_int_equal(layout.is_assumed, rows[i].is_assumed);
        assert_int_equal(tg_network_find_scale(&n, 1, TG_LAYER_ffn_up, &scale, &err), 0);
        if (rows[i].ternary[1] == 'Q' || rows[i].ternary[0] == 'B')
            assert_true(scale == 1.0f / 32);
        else
            assert_true(scale >= 0.03f && scale <= 0.037f);
        assert_int_equal(tg_network_find_layout(&n, "tq9", &layout, &err), -1);
        end(&m, g, &n);
    }
}

static void a_layout_of_type_36_can_be_named(void **state)
{
    (void)state;
    struct made_gguf m = {.layout = "i2s64"};
    struct tg_gguf *g;
    struct tg_network n;
    struct tg_network_layout layout;
    struct tg_error err;
    assert_string_equal(read_made(&m, &g, &n), "");
    assert_int_equal(tg_network_find_layout(&n, "i2s64", &layout, &err), 0);
    assert_string_equal(layout.format->name, "i2s64");
    assert_false(layout.is_assumed);
    assert_int_equal(tg_network_find_layout(&n, "tl1", &layout, &err), -1);
    assert_string_equal(err.text, "the matrices of type 36 (I2_S) cannot lie as 'tl1'");
    memset((void *)(uintptr_t)n.blocks[0].layers[TG_LAYER_attn_k]->data, 0xff, 32);
    assert_int_equal(tg_network_find_layout(&n, NULL, &layout, &err), -1);
    assert_string_equal(err.text,
                        "tensor 'blk.0.attn_k.weight' has codes that no layout of type 36 has");
    end(&m, g, &n);
}

/* BitNet packs a matrix as one long row, whatever its columns are. */
static void a_layout_of_type_36_is_not_told_by_columns_alone(void **state)
{
    (void)state;
    static const struct {
        struct made_gguf made;
        const char *other;
    } rows[] = {{{.layout = "i2s64", .ffn = 320}, "i2s"},
                {{.layout = "i2sx4", .ffn = 352}, "i2s64"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = rows[i].made;
        struct tg_gguf *g;
        struct tg_network n;
        struct tg_network_layout layout;
        struct tg_error err = {""};
        assert_string_equal(read_made(&m, &g, &n), "");
        assert_int_equal(tg_network_find_layout(&n, NULL, &layout, &err), -1);
        assert_string_equal(err.text, "how the matrices of type 36 (I2_S) lie is unknown: not all "
                                      "columns are whole groups of 128, as those of published "
                                      "files");
        assert_int_equal(tg_network_find_layout(&n, rows[i].other, &layout, &err), -1);
        assert_int_equal(tg_network_find_layout(&n, m.layout, &layout, &err), 0);
        assert_string_equal(layout.format->name, m.layout);
        assert_false(layout.is_assumed);
        end(&m, g, &n);
    }
}

/* Layouts fill up their last rows; a file that ends before them has none of their matrices. */
static void a_layout_that_needs_more_bytes_than_there_are_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct made_gguf made;
        const char *sentence;
    } rows[] = {
        {{.layout = "i2sx4", .ffn = 514},
         "tensor 'blk.0.ffn_gate.weight' of 514 x 256 has 32896 bytes of codes, and as i2sx4 it "
         "would have 33024"},
        {{.ternary = "TL1", .layout = "tl1", .ffn = 520},
         "tensor 'blk.0.ffn_gate.weight' of 520 x 256 has 33280 bytes of codes, and as tl1 it "
         "would have 34816"},
        {{.ternary = "TL2", .layout = "tl2", .heads = 32, .key_value_heads = 1},
         "tensor 'blk.0.attn_k.weight' of 8 x 256 has 512 bytes of codes, and as tl2 it would have "
         "1792"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = rows[i].made;
        struct tg_gguf *g;
        struct tg_network n;
        struct tg_network_layout layout = {.is_assumed = 7};
        struct tg_error err = {""};
        assert_string_equal(read_made(&m, &g, &n), "");
        assert_int_equal(tg_network_find_layout(&n, NULL, &layout, &err), -1);
        assert_string_equal(err.text, rows[i].sentence);
        assert_int_equal(tg_network_find_layout(&n, m.layout, &layout, &err), -1);
        assert_string_equal(err.text, rows[i].sentence);
        assert_int_equal(layout.is_assumed, 7);
        end(&m, g, &n);
    }
}

static void type_39_of_llama_cpp_is_named_and_not_guessed(void **state)
{
    (void)state;
    struct made_gguf m = {.ternary = "MXFP4", .layout = "i2s"};
    struct tg_gguf *g;
    struct tg_network n;
    assert_string_equal(read_made(&m, &g, &n),
                        "tensor 'blk.0.attn_q.weight' of type 39 is MXFP4 of llama.cpp by its "
                        "34816 bytes, not the type of BitNet with that number");
    end(&m, g, NULL);
}

static void scales_that_are_none_are_refused(void **state)
{
    (void)state;
    struct made_gguf m = {.ternary = "TQ2_0", .layout = "tq2"};
    struct tg_gguf *g;
    struct tg_network n;
    struct tg_error err;
    float scale = -7;
    assert_string_equal(read_made(&m, &g, &n), "");
    uint8_t *block = m.bytes + n.blocks[0].layers[0]->offset;
    memcpy(block + 64, "\0\x40", 2);
    assert_int_equal(tg_network_find_scale(&n, 0, 0, &scale, &err), -1);
    assert_string_equal(err.text, "tensor 'blk.0.attn_q.weight' has blocks of different scales, 2 "
                                  "and 0.03125");
    memcpy(block + 64, "\0\0", 2);
    assert_int_equal(tg_network_find_scale(&n, 0, 0, &scale, &err), -1);
    assert_string_equal(err.text,
                        "tensor 'blk.0.attn_q.weight' has a block of scale 0 that is not 0");
    memset(block, 0x55, 64);
    assert_int_equal(tg_network_find_scale(&n, 0, 0, &scale, &err), 0);
    assert_true(scale == 1.0f / 32);
    end(&m, g, &n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_architecture_has_its_gate_and_pairing),
        cmocka_unit_test(a_file_may_name_another_gate),
        cmocka_unit_test(a_known_model_of_another_gate_must_say_which_it_has),
        cmocka_unit_test(sub_norms_of_a_llama_are_there_where_their_tensors_are),
        cmocka_unit_test(a_bitnet_without_sub_norms_is_refused),
        cmocka_unit_test(a_model_that_would_be_computed_in_part_is_refused),
        cmocka_unit_test(blocks_that_are_not_alike_are_refused),
        cmocka_unit_test(what_does_not_fit_together_is_refused),
        cmocka_unit_test(what_would_be_computed_otherwise_is_refused),
        cmocka_unit_test(a_part_of_a_model_is_told_to_be_one),
        cmocka_unit_test(types_that_do_not_go_together_are_refused),
        cmocka_unit_test(layouts_are_known_by_type_or_assumed),
        cmocka_unit_test(a_layout_of_type_36_can_be_named),
        cmocka_unit_test(a_layout_of_type_36_is_not_told_by_columns_alone),
        cmocka_unit_test(a_layout_that_needs_more_bytes_than_there_are_is_refused),
        cmocka_unit_test(type_39_of_llama_cpp_is_named_and_not_guessed),
        cmocka_unit_test(scales_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
