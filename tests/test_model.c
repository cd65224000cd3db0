/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_layer_has_the_shape_that_its_model_publishes(void **state)
{
    (void)state;
    static const struct {
        const char *model, *layer;
        int64_t rows, cols;
    } wanted[] = {
        {"bitnet-2b", "attn_q", 2560, 2560},   {"bitnet-2b", "attn_k", 640, 2560},
        {"bitnet-2b", "attn_v", 640, 2560},    {"bitnet-2b", "attn_output", 2560, 2560},
        {"bitnet-2b", "ffn_gate", 6912, 2560}, {"bitnet-2b", "ffn_up", 6912, 2560},
        {"bitnet-2b", "ffn_down", 2560, 6912}, {"falcon3-7b", "attn_k", 1024, 3072},
        {"bitnet-3b", "attn_k", 3200, 3200},   {"llama3-8b", "ffn_down", 4096, 14336},
        {"bitnet-2b", "640x2560", 640, 2560},  {"", "1x99999999", 1, 99999999},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t rows = -1, cols = -1;
        struct tg_error err;
        if (tg_model_shape(wanted[i].model, wanted[i].layer, &rows, &cols, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(rows, wanted[i].rows);
        assert_int_equal(cols, wanted[i].cols);
    }
}

static void what_is_no_shape_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"bitnet-9b", "attn_q", "no such model 'bitnet-9b'"},
        {"", "attn_q", "layer 'attn_q' is of no model: model= is missing"},
        {"bitnet-2b", "attn", "no such layer 'attn'"},
        {"bitnet-2b", "", "a layer is missing"},
        {"bitnet-2b", "0x128", "no such layer '0x128'"},
        {"bitnet-2b", "128x0", "no such layer '128x0'"},
        {"bitnet-2b", "128x", "no such layer '128x'"},
        {"bitnet-2b", "128x128x128", "no such layer '128x128x128'"},
        {"bitnet-2b", "128x128 ", "no such layer '128x128 '"},
        {"bitnet-2b", " 128x128", "no such layer ' 128x128'"},
        {"bitnet-2b", "-1x128", "no such layer '-1x128'"},
        {"bitnet-2b", "128x-128", "no such layer '128x-128'"},
        {"bitnet-2b", "+1x128", "no such layer '+1x128'"},
        {"bitnet-2b", "123456789x128", "no such layer '123456789x128'"},
        {"bitnet-2b", "128x123456789", "no such layer '128x123456789'"},
        {"bitnet-2b", "18446744073709551615x128", "no such layer '18446744073709551615x128'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t count[2] = {-7, -7};
        struct tg_error err;
        if (tg_model_shape(rows[i][0], rows[i][1], &count[0], &count[1], &err) == 0)
            fail_msg("'%s' is taken", rows[i][1]);
        assert_string_equal(err.text, rows[i][2]);
        assert_true(count[0] == -7 && count[1] == -7);
    }
}

static void every_row_is_found_and_has_every_layer(void **state)
{
    (void)state;
    assert_true(tg_model_count() >= 5 && tg_model_layer_count() >= 7);
    for (size_t i = 0; i < tg_model_count(); i++) {
        const struct tg_model *m = tg_model_at(i);
        assert_ptr_equal(tg_model_find(m->name), m);
        assert_true(*m->source);
        assert_int_equal(m->heads % m->key_value_heads, 0);
        for (size_t k = 0; k < tg_model_layer_count(); k++) {
            int64_t rows = 0, cols = 0;
            assert_int_equal(tg_model_shape(m->name, tg_model_layer(k), &rows, &cols, NULL), 0);
            assert_true(rows > 0 && cols > 0);
        }
    }
    assert_null(tg_model_find("bitnet-9b"));
}

static void a_model_has_the_weights_of_all_its_layers(void **state)
{
    (void)state;
    struct tg_error err;
    int64_t weights = 0, wanted = 2 * 2560 * 2560 + 2 * 640 * 2560 + 3 * 6912 * 2560;
    assert_int_equal(tg_model_weights("bitnet-2b", "attn_k", &weights, &err), 0);
    assert_int_equal(weights, 640 * 2560);
    assert_int_equal(tg_model_weights("", "3x7", &weights, &err), 0);
    assert_int_equal(weights, 21);
    assert_int_equal(tg_model_weights("bitnet-2b", "", &weights, &err), 0);
    assert_int_equal(weights, 30 * wanted);
    assert_int_equal(tg_model_weights("bitnet-9b", "", &weights, &err), -1);
    assert_string_equal(err.text, "no such model 'bitnet-9b'");
    assert_int_equal(tg_model_weights("bitnet-2b", "attn", &weights, &err), -1);
    assert_int_equal(weights, 30 * wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_has_the_shape_that_its_model_publishes),
        cmocka_unit_test(what_is_no_shape_is_refused),
        cmocka_unit_test(every_row_is_found_and_has_every_layer),
        cmocka_unit_test(a_model_has_the_weights_of_all_its_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
