/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/weights.h"

#include "tests/made_gguf.h"

struct loading {
    struct tg_gguf *gguf;
    struct tg_network network;
    struct tg_network_layout layout;
    struct tg_pool *pool;
    struct tg_weights weights;
    uint8_t *aligned;
};

/* Loads; the sentence if that fails, else "". The bytes are where tensors have 64-byte alignment.
 */
static const char *load(struct made_gguf *m, struct loading *l, const char *kernel, int threads)
{
    static struct tg_error err;
    err.text[0] = 0;
    l->aligned = aligned_alloc(64, (m->size + 127) / 64 * 64);
    memcpy(l->aligned, m->bytes, m->size);
    if (tg_gguf_read(l->aligned, m->size, &l->gguf, &err) < 0 ||
        tg_network_read(l->gguf, &l->network, &err) < 0 ||
        tg_network_find_layout(&l->network, m->layout, &l->layout, &err) < 0 ||
        tg_pool_create(threads, NULL, &l->pool, &err) < 0)
        fail_msg("%s", err.text);
    tg_weights_load(&l->network, &l->layout, tritgate_kernels_v1(), kernel, l->pool, &l->weights,
                    &err);
    return err.text;
}

static void end(struct loading *l)
{
    tg_weights_release(&l->weights);
    tg_pool_destroy(l->pool);
    tg_network_release(&l->network);
    tg_gguf_close(l->gguf);
    free(l->aligned);
    *l = (struct loading){0};
}

/* The weights that a matrix of the file has are those that its kernel's format gives back. */
static void every_format_of_a_file_loads_into_every_kernel(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"I2_S", "i2s"},  {"TL1", "tl1"},   {"TL2", "tl2"},
                                           {"TQ1_0", "tq1"}, {"TQ2_0", "tq2"}, {"F32", "f32"},
                                           {"F16", "f16"},   {"BF16", "bf16"}};
    static const char *const kernels[] = {"i2s_scalar", "panel_scalar", "tl2_scalar", "tq1_scalar",
                                          NULL};
    static int8_t wanted[MADE_FFN * MADE_HIDDEN], got[MADE_FFN * MADE_HIDDEN];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
            struct made_gguf m = {.ternary = files[i][0], .layout = files[i][1]};
            struct loading l = {0};
            made_gguf(&m);
            assert_string_equal(load(&m, &l, kernels[k], 1 + (int)(k % 3)), "");
            assert_int_equal(l.weights.count, MADE_BLOCKS * TG_LAYERS);
            int64_t bytes = 0;
            for (int64_t w = 0; w < l.weights.count; w++) {
                const struct tg_matrix *x = &l.weights.matrices[w];
                const struct tg_gguf_tensor *t =
                    l.network.blocks[w / TG_LAYERS].layers[w % TG_LAYERS];
                if (tg_network_is_plain(t))
                    tg_network_plain_unpack(t, wanted, NULL);
                else
                    l.layout.format->unpack(t->data, x->rows, x->cols, wanted);
                assert_int_equal(
                    tg_format_find(x->kernel->format)->unpack(x->packed, x->rows, x->cols, got),
                    -1);
                assert_memory_equal(wanted, got, (size_t)(x->rows * x->cols));
                assert_int_equal((uintptr_t)x->packed % 64, 0);
                assert_string_equal(x->one->format, x->kernel->format);
                assert_true(x->scale > 0.029f && x->scale < 0.04f);
                bytes += x->packed_bytes;
            }
            assert_int_equal(l.weights.bytes, bytes);
            end(&l);
            free(m.bytes);
        }
    }
}

static void what_lies_as_its_kernel_wants_it_stays_in_the_file(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    struct loading l = {0};
    int64_t in_place = 0;
    made_gguf(&m);
    assert_string_equal(load(&m, &l, "i2s_scalar", 1), "");
    for (int64_t w = 0; w < l.weights.count; w++) {
        const uint8_t *packed = l.weights.matrices[w].packed;
        const bool is_inside = packed >= l.aligned && packed < l.aligned + m.size;
        in_place += is_inside ? l.weights.matrices[w].packed_bytes : 0;
    }
    assert_true(in_place > 0); /* those that happen to be aligned: a file may give 32 bytes only */
    assert_int_equal(l.weights.bytes - in_place, l.weights.repacked);
    end(&l);
    free(m.bytes);
}

static void a_code_that_stands_for_nothing_is_found_anywhere(void **state)
{
    (void)state;
    static const char *const kernels[] = {"i2s_scalar", "panel_scalar"};
    for (size_t k = 0; k < 2; k++) {
        struct made_gguf m = {0};
        struct loading l = {0};
        made_gguf(&m);
        assert_string_equal(load(&m, &l, kernels[k], 1), "");
        const uint64_t at = l.network.blocks[1].layers[TG_LAYER_ffn_down]->offset;
        end(&l);
        m.bytes[at + 128 + 5] |= 3; /* row 1 of 512 columns: group 0, byte 5, the last field */
        assert_string_equal(
            load(&m, &l, kernels[k], 3),
            "tensor 'blk.1.ffn_down.weight' has a code that stands for nothing, row 1 column 101");
        end(&l);
        free(m.bytes);
    }
}

/* Written out, a matrix is ternary if it has the numbers 0, s and -s, with either zero. */
static void numbers_that_are_not_ternary_are_refused(void **state)
{
    (void)state;
    struct made_gguf m = {.ternary = "TQ2_0", .layout = "tq2", .down = "F16"};
    struct loading l = {0};
    made_gguf(&m);
    assert_string_equal(load(&m, &l, NULL, 2), "");
    const struct tg_gguf_tensor *t = l.network.blocks[1].layers[TG_LAYER_ffn_down];
    const uint64_t at = t->offset;
    assert_true(tg_network_is_plain(t) && !tg_network_is_plain(l.network.blocks[1].layers[0]));
    assert_true(tg_network_plain_scale(t) == 1.0f / 32);
    end(&l);
    memcpy(m.bytes + at + 2 * (2 * MADE_FFN + 7), "\x01\x28", 2);
    assert_string_equal(load(&m, &l, NULL, 1),
                        "tensor 'blk.1.ffn_down.weight' is F16 and not ternary: row 2 column 7 is "
                        "0.0312805, and others are 0.03125");
    end(&l);
    free(m.bytes);
}

static void a_kernel_that_cannot_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"i2s_none", "no kernel 'i2s_none'"},
        {"i2s_scalar_unpack",
         "kernel 'i2s_scalar_unpack' computes no ternary product on this processor"}};
    for (size_t i = 0; i < 2; i++) {
        struct made_gguf m = {0};
        struct loading l = {0};
        made_gguf(&m);
        assert_string_equal(load(&m, &l, rows[i][0], 1), rows[i][1]);
        end(&l);
        free(m.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_of_a_file_loads_into_every_kernel),
        cmocka_unit_test(numbers_that_are_not_ternary_are_refused),
        cmocka_unit_test(what_lies_as_its_kernel_wants_it_stays_in_the_file),
        cmocka_unit_test(a_code_that_stands_for_nothing_is_found_anywhere),
        cmocka_unit_test(a_kernel_that_cannot_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
