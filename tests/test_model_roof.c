/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_roof.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/tiny_model.h"

static struct tg_facts measure(const char *profile, const char *device)
{
    const struct tg_profile *p = tg_profile_find(profile);
    const struct tg_session_options options = {.path = tiny_path,
                                               .threads = 1,
                                               .context = tg_profile_context(p),
                                               .batch = p->batch,
                                               .device = device};
    struct tg_measurement m;
    struct tg_session s;
    struct tg_error err;
    tg_measurement_init(&m);
    if (tg_session_open(&options, &s, &err) < 0) fail_msg("%s", err.text);
    m.facts.packed_bytes = tg_session_token_bytes(&s, -1);
    tg_model_roof_measure(&s, &(struct tg_model_device){0}, p, &m.facts);
    /* In terms of its rate, so that machines and moments are left out. */
    if (strcmp(m.facts.limited_by, "read") == 0)
        m.facts.limit_s *= m.facts.read_rate / (double)tg_session_token_bytes(&s, p->prompt);
    const struct tg_facts facts = m.facts;
    tg_session_close(&s);
    tg_measurement_free(&m);
    return facts;
}

static void a_token_reads_all_that_it_needs_once(void **state)
{
    (void)state;
    const struct tg_facts facts = measure("decode_32", NULL);
    assert_true(facts.read_rate > 0);
    assert_string_equal(facts.limited_by, "read");
    assert_true(fabs(facts.limit_s - 1) < 1e-9);
}

/* The prompt takes a token's time at least: with it there are as many as new ones. */
static void an_inference_is_a_prompt_and_its_tokens(void **state)
{
    (void)state;
    const struct tg_facts facts = measure("slo_128", NULL);
    assert_string_equal(facts.limited_by, "read");
    assert_true(facts.limit_s > 127.5);
}

static void a_prompt_takes_its_multiply_adds(void **state)
{
    (void)state;
    const struct tg_facts facts = measure("prefill_512", NULL);
    if (!(facts.dot_rate > 0)) skip();
    assert_string_equal(facts.limited_by, "dot");
    assert_true(facts.limit_s > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_reads_all_that_it_needs_once),
        cmocka_unit_test(an_inference_is_a_prompt_and_its_tokens),
        cmocka_unit_test(a_prompt_takes_its_multiply_adds),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
