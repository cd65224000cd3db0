/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/decided_run.h"
#include "tests/own_policy.h"

/*
 * The lines that the flows' documents print, byte for byte, from the figures that they print as
 * examples. They are figures of nothing, and used for nothing else.
 */
struct golden {
    const char *flow, *step, *text;
    size_t line;
    const char *figures; /* "name=value; name=text; ?condition" */
    const char *wanted;
};

static const struct golden goldens[] = {
    {"integrative", "validate", "evidence", 0,
     "?pass; decode=45.2; quantise=1.2e6; slo.result=pass",
     "benchmarks: inference:45.2 tokens/sec, quantization:1.2M ops/sec; SLO: pass"},
    {"integrative", "validate", "evidence", 0, "slo.result=pass; answer=fail",
     "benchmarks: fail; SLO: pass"},
    {"integrative", "validate", "evidence", 0, "?slo.fail; slo.result=fail; answer=fail",
     "benchmarks: SLO: fail"},
    {"integrative", "validate", "evidence", 1, "?inherited; slo.result=pass|fail",
     "benchmarks: inherit from Review; validate SLO: pass|fail"},
    {"integrative", "validate", "evidence", 2, "decode=N; quantise=; decode.delta=+X",
     "benchmarks: inference:N tokens/sec, quantization:M ops/sec; delta vs baseline: +X%"},
    {"integrative", "validate", "evidence", 3, "fp16=N.N; ?i2s_accuracy; ?crossval_numeric",
     "benchmarks: GPU FP16: N.Nx speedup, CPU fallback: OK; crossval: parity within 1e-5"},
    {"integrative", "validate", "evidence", 5, "?pass; ?skip.no-gpu-available",
     "benchmarks: skipped (no-gpu-available); CPU validation complete"},
    {"integrative", "validate", "evidence", 5, "?skip.no-gpu-available",
     "benchmarks: skipped (no-gpu-available)"},
    {"integrative", "validate", "summary", 0, "?pass; decode=45.2; quantise=1.2e6; slo.result=pass",
     "inference:45.2 tokens/sec, quantization:1.2M ops/sec; SLO: pass"},
    {"integrative", "validate", "summary", 0, "?slo; slo.result=pass; answer=fail",
     "fail; SLO: pass"},
    {"integrative", "validate", "summary", 0, "?pass; answer=pass", "pass"},
    {"integrative", "validate", "summary", 0, "decode=45.2; answer=skipped (inconclusive: why)",
     "skipped (inconclusive: why); inference:45.2 tokens/sec"},
    {"integrative", "validate", "hop", 0,
     "?pass; ?slo.measured; decode=45.2; slo.limit=10; slo.result=pass; i2s_accuracy=0.998; "
     "fp16=2.1",
     "**benchmark-runner:** SLO validation complete. Inference: 45.2 tokens/sec (≤10s: pass), "
     "Quantization: I2S 99.8%, Mixed precision: FP16 2.1x speedup"},
    {"integrative", "validate", "hop", 0, "?slo.measured; answer=fail; i2s_accuracy=0.9",
     "**benchmark-runner:** fail. Quantization: I2S 90.0%"},
    {"integrative", "validate", "hop", 0,
     "?slo.measured; answer=skipped (inconclusive: why); i2s_accuracy=0.998",
     "**benchmark-runner:** skipped (inconclusive: why). Quantization: I2S 99.8%"},
    {"integrative", "validate", "progress", 0, "",
     "**Intent**: Validate neural network inference performance and quantization accuracy against "
     "production SLO"},
    {"integrative", "validate", "progress", 1, "",
     "**Scope**: BitNet quantization (I2S/TL1/TL2), GPU mixed precision, SIMD optimization, "
     "cross-validation"},
    {"integrative", "validate", "progress", 5, "route=NEXT → perf-fixer",
     "**Decision**: NEXT → perf-fixer"},
    {"integrative", "validate", "skipped", 0, "skipped=no-surface", "skipped (no-surface)"},
    {"integrative", "validate", "skipped", 0, "skipped=no-gpu-available",
     "skipped (no-gpu-available)"},

    {"generative", "record", "evidence", 0, "?pass; i2s_rate=45.2; tl1_rate=38.7; gpu_ratio=2.3",
     "benchmarks: baseline established; I2S: 45.2 tokens/sec; TL1: 38.7 tokens/sec; GPU: 2.3x "
     "speedup"},
    {"generative", "record", "evidence", 1,
     "i2s_accuracy=0.998; tl1_accuracy=0.996; tl2_accuracy=0.997",
     "quantization: I2S: 99.8%, TL1: 99.6%, TL2: 99.7% accuracy vs reference"},
    {"generative", "record", "evidence", 2, "simd=1.8; ?simd_parity",
     "simd: vectorized ops: 1.8x scalar baseline; parity confirmed"},
    {"generative", "record", "evidence", 3, "fp16=1.4; bf16=1.3; ?fp16_error.1e-5",
     "mixed-precision: FP16: 1.4x FP32; BF16: 1.3x FP32; accuracy within 1e-5"},
    {"generative", "record", "summary", 0, "?pass; i2s_rate=45.2; gpu_ratio=2.3",
     "Baseline established: I2S 45.2 tok/sec, GPU 2.3x speedup"},
    {"generative", "record", "skipped", 0, "skipped=missing-tool", "skipped (missing-tool)"},

    {"review", "detect", "evidence", 0,
     "benchmarks.method=cargo bench workspace; cpu_decode=45.2; i2s_accuracy=0.998; "
     "crossval_tokens=0.98; ?pass",
     "method: cargo bench workspace; result: inference 45.2 tok/s, quantization I2S 99.8%, "
     "crossval parity 98%; reason: within thresholds"},
    {"review", "detect", "evidence", 1,
     "?skip.no-gpu-available; gpu.method=cargo bench cpu-fallback",
     "method: cargo bench cpu-fallback; reason: GPU unavailable"},
    {"review", "detect", "evidence", 2, "?skip.no-cpp-reference", "skipped (C++ unavailable)"},
    {"review", "detect", "decision", 0, "flow=review; gate=perf; answer=pass",
     "review:gate:perf = pass"},
    {"review", "detect", "decision", 0, "flow=review; gate=perf; answer=fail",
     "review:gate:perf = fail"},
    {"review", "detect", "report", 0, "", "# BitNet.rs Performance Regression Analysis"},
    {"review", "detect", "report", 2, "?pass", "## Gate Decision: PASS"},
    {"review", "detect", "report", 8,
     "cpu_decode=45.2; cpu_decode.baseline=43.1; cpu_decode.delta=0.049",
     "- **Inference Throughput**: 45.2 tokens/sec (baseline: 43.1 tok/s, Δ +4.9%)"},
    {"review", "detect", "report", 9,
     "i2s_accuracy=0.998; tl1_accuracy=0.996; tl2_accuracy=0.997; ?i2s_accuracy",
     "- **Quantization Accuracy**: I2S 99.8%, TL1 99.6%, TL2 99.7% (all ≥ thresholds)"},
    {"review", "detect", "report", 9,
     "i2s_accuracy=0.998; tl1_accuracy=0.985; tl1_accuracy.result=fail; ?i2s_accuracy",
     "- **Quantization Accuracy**: I2S 99.8%, TL1 98.5% (TL1 fail)"},
    {"review", "detect", "report", 9,
     "i2s_accuracy=0.998; tl2_accuracy.result=inconclusive; ?i2s_accuracy",
     "- **Quantization Accuracy**: I2S 99.8% (TL2 inconclusive)"},
    {"review", "detect", "report", 9,
     "i2s_accuracy=0.998; tl1_accuracy=0.993; tl1_accuracy.result=pass; ?i2s_accuracy; "
     "?tl1_accuracy.attention",
     "- **Quantization Accuracy**: I2S 99.8%, TL1 99.3%"},
    {"review", "detect", "report", 10, "crossval_tokens=0.98; ?crossval_tokens.95e-2",
     "- **Cross-Validation**: Rust vs C++ parity 98% (within 5% tolerance)"},
    {"review", "detect", "report", 21, "?crossval_numeric",
     "- **Accuracy Parity**: Quantization outputs match C++ implementation within 1e-5 tolerance"},
    {"review", "detect", "report", 22, "?crossval_speed",
     "- **Performance Parity**: Inference throughput within 5% of C++ reference implementation"},
    {"review", "detect", "report", 23, "?fp16_error",
     "- **Numerical Stability**: No divergence in mixed precision operations"},
    {"review", "detect", "matrix", 0, "",
     "| Component | Feature Flags | Baseline | Current | Delta | Status |"},
    {"review", "detect", "matrix", 2,
     "cpu_decode.baseline=21.1; cpu_decode=22.3; cpu_decode.delta=0.057; cpu_decode.token=✅ PASS",
     "| Inference | cpu | 21.1 tok/s | 22.3 tok/s | +5.7% | ✅ PASS |"},
    {"review", "detect", "matrix", 3,
     "gpu_decode.baseline=45.2; gpu_decode=47.1; gpu_decode.delta=0.042; gpu_decode.token=✅ PASS",
     "| Inference | gpu | 45.2 tok/s | 47.1 tok/s | +4.2% | ✅ PASS |"},
    {"review", "detect", "matrix", 4,
     "unpack.baseline=0.0012; unpack=0.00115; unpack.delta=-0.042; unpack.token=✅ PASS",
     "| I2S Quantization | cpu | 1.2ms | 1.15ms | -4.2% | ✅ PASS |"},
    {"review", "detect", "matrix", 5,
     "kernel.baseline=890e-9; kernel=885e-9; kernel.delta=-0.006; kernel.token=✅ PASS",
     "| SIMD Comparison | cpu | 890ns | 885ns | -0.6% | ✅ PASS |"},

    {"review", "analyse", "evidence", 0, "cpu_decode=45.2; cpu_decode.delta=0.12",
     "perf: inference: 45.2 tokens/sec; Δ vs baseline: +12%"},
    {"review", "analyse", "evidence", 1,
     "i2s_accuracy=0.998; tl1_accuracy=0.996; tl2_accuracy=0.997",
     "perf: quantization: I2S: 99.8%, TL1: 99.6%, TL2: 99.7% accuracy"},
    {"review", "analyse", "evidence", 2, "fp16=2.3",
     "perf: gpu: mixed precision: FP16 2.3x speedup vs FP32"},
    {"review", "analyse", "evidence", 3, "simd=4.1",
     "perf: simd: vectorized ops 4.1x faster than scalar"},
    {"review", "analyse", "evidence", 5, "?pass", "perf: Δ ≤ threshold"},

    {"review", "finalise", "evidence", 0, "?pass", "perf: Δ ≤ threshold"},
    {"review", "finalise", "evidence", 1, "?inherited",
     "benchmarks: inherit from Generative; validate baseline"},
    {"review", "finalise", "evidence", 2, "i2s_accuracy=99.X; tl1_accuracy=99.Y; tl2_accuracy=99.Z",
     "quantization: I2S: 99.X%, TL1: 99.Y%, TL2: 99.Z% accuracy"},
    {"review", "finalise", "evidence", 3, "cpu_decode=45.2; cpu_decode.delta=0.12",
     "inference: 45.2 tokens/sec; Δ vs baseline: +12%"},
    {"review", "finalise", "evidence", 6,
     "?crossval_numeric; crossval_numeric.met=N; crossval_numeric.count=N",
     "crossval: Rust vs C++: parity within 1e-5; N/N tests pass"},
    {"review", "finalise", "chain", 0, "benchmarks.method=cargo_bench|xtask_benchmark|test_timing",
     "method: cargo_bench|xtask_benchmark|test_timing;"},
    {"review", "finalise", "chain", 1, "cpu_decode=45.2; gpu_decode=159.1; i2s_accuracy=0.9984",
     "result: cpu_45.2tok/s_gpu_159.1tok/s_i2s_99.84%;"},
    {"review", "finalise", "chain", 2, "?pass", "reason: comprehensive_validation"},
    {"review", "finalise", "assumption", 0, "cpu_decode.limit=0.05; gpu_decode.limit=0.1",
     "Using default BitNet.rs thresholds: CPU ±5%, GPU ±10%"},
    {"review", "finalise", "decision", 0,
     "flow=review; gate=perf; answer=pass; cpu_decode.delta=0.02; ?i2s_accuracy.99e-2",
     "review:gate:perf = pass (inference: Δ+2%; quantization: all ≥99%)"},
    {"review", "finalise", "decision", 0,
     "flow=review; gate=perf; answer=fail; ?i2s_accuracy.99e-2; tl1_accuracy.result=fail",
     "review:gate:perf = fail (quantization: TL1 fail)"},
    {"review", "finalise", "decision", 0,
     "flow=review; gate=perf; answer=fail; ?i2s_accuracy.99e-2; tl1_accuracy.result=pass; "
     "?tl1_accuracy.99e-2; tl2_accuracy.result=inconclusive",
     "review:gate:perf = fail (quantization: TL2 inconclusive)"},
    {"review", "finalise", "decision", 0,
     "flow=review; gate=perf; answer=pass; ?i2s_accuracy.99e-2; tl1_accuracy.result=pass; "
     "?tl1_accuracy.99e-2",
     "review:gate:perf = pass (quantization: all ≥99%)"},
    {"review", "finalise", "gates", 0, "", "<!-- gates:start -->"},
    {"review", "finalise", "gates", 1, "", "| Gate | Status | Evidence |"},
    {"review", "finalise", "gates", 2, "", "|------|--------|----------|"},
    {"review", "finalise", "gates", 3,
     "gate=perf; answer=pass; ?pass; cpu_decode=45.2; cpu_decode.delta=0.02; i2s_accuracy=0.998",
     "| perf | pass | Δ ≤ threshold; inference: 45.2 tok/s (+2%); quantization: I2S 99.8% |"},
    {"review", "finalise", "gates", 4, "", "<!-- gates:end -->"},
    {"review", "finalise", "table", 0, "", "## Performance Validation Summary"},
    {"review", "finalise", "table", 2, "",
     "| Metric | Baseline | Current | Delta | Threshold | Status |"},
    {"review", "finalise", "table", 3, "",
     "|--------|----------|---------|-------|-----------|---------|"},
    {"review", "finalise", "table", 4,
     "cpu_decode.baseline=42.1; cpu_decode=45.2; cpu_decode.delta=0.074; cpu_decode.limit=0.05; "
     "cpu_decode.token=⚠️ WARN",
     "| CPU Inference | 42.1 tok/s | 45.2 tok/s | +7.4% | ±5% | ⚠️ WARN |"},
    {"review", "finalise", "table", 5,
     "gpu_decode.baseline=156.3; gpu_decode=159.1; gpu_decode.delta=0.018; gpu_decode.limit=0.1; "
     "gpu_decode.token=✅ PASS",
     "| GPU Inference | 156.3 tok/s | 159.1 tok/s | +1.8% | ±10% | ✅ PASS |"},
    {"review", "finalise", "table", 6,
     "i2s_accuracy.baseline=0.9982; i2s_accuracy=0.9984; i2s_accuracy.delta=0.0002; "
     "i2s_accuracy.limit=0.99; i2s_accuracy.token=✅ PASS",
     "| I2S Accuracy | 99.82% | 99.84% | +0.02% | ≥99% | ✅ PASS |"},
    {"review", "finalise", "table", 7,
     "tl1_accuracy.baseline=0.9976; tl1_accuracy=0.9978; tl1_accuracy.delta=0.0002; "
     "tl1_accuracy.limit=0.99; tl1_accuracy.token=✅ PASS",
     "| TL1 Accuracy | 99.76% | 99.78% | +0.02% | ≥99% | ✅ PASS |"},
    {"review", "finalise", "table", 8,
     "tl2_accuracy.baseline=0.9971; tl2_accuracy=0.9973; tl2_accuracy.delta=0.0002; "
     "tl2_accuracy.limit=0.99; tl2_accuracy.token=✅ PASS",
     "| TL2 Accuracy | 99.71% | 99.73% | +0.02% | ≥99% | ✅ PASS |"},
    {"review", "finalise", "table", 9,
     "memory.baseline=2.1e9; memory=2.1e9; memory.delta=0; memory.limit=0.02; "
     "memory.token=✅ PASS",
     "| Memory Usage | 2.1 GB | 2.1 GB | 0% | ±2% | ✅ PASS |"},
};

/* Finds a figure in the list of a golden line. */
static void example(void *context, const struct tg_hole *hole, struct tg_figure *figure)
{
    static char value[200];
    char wanted[120];
    const char *p = context;
    char *end;
    snprintf(wanted, sizeof wanted, "%s%s%s%s%s", hole->is_condition ? "?" : "", hole->name,
             *hole->part ? "." : "", hole->part, hole->is_condition ? "" : "=");
    while (*p) {
        size_t length = strcspn(p, ";"), head = strlen(wanted);
        if (strncmp(p, wanted, head) == 0 && (!hole->is_condition || length == head)) {
            snprintf(value, sizeof value, "%.*s", (int)(length - head), p + head);
            *figure = (struct tg_figure){.is_there = true,
                                         .is_signed = strcmp(hole->part, "delta") == 0,
                                         .toward = strstr(hole->name, "accuracy") ? -1 : 0};
            figure->value = strtod(value, &end);
            if (*end || end == value) figure->text = value;
            return;
        }
        p += length;
        p += strspn(p, "; ");
    }
}

static void the_lines_of_the_documents_are_written_byte_for_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const struct golden *g = &goldens[i];
        struct tg_policy policy;
        struct tg_error err;
        char out[TG_DIALECT_LINE_SIZE], figures[500];
        own_policy(g->flow, &policy);
        assert_int_equal(tg_policy_choose(&policy, g->step, &err), 0);
        struct tg_texts lines = tg_flow_lines(&policy.process, g->text);
        const struct tg_flow *f = &policy.process;
        if (g->line >= lines.count) fail_msg("no line %zu of '%s'", g->line, g->text);
        snprintf(figures, sizeof figures, "unit=%s;colon=%s;agent=%s;%s", f->unit, f->colon,
                 f->steps[f->step].agent, g->figures);
        tg_template_write(lines.at[g->line], example, figures, out, sizeof out);
        if (strcmp(out, g->wanted) != 0) fail_msg("'%s', not '%s'", out, g->wanted);
        tg_policy_release(&policy);
    }
}

/* Two products and an unpacking, a rule of every reading, and templates of their figures. */
static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             " \"kernel\": [\"i2s_scalar\", \"i2s_avx2\", \"i2s_avx512vnni\"],"
                             " \"model\": [\"bitnet-2b\"], \"layer\": [\"attn_k\"],"
                             " \"batch\": [1, 8]}}";
static const char policy_text[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"agent\": \"me\", \"writes\": [\"perf\"],"
    " \"targets\": [\"NEXT → a\"], \"skips\": [{\"reason\": \"no-wide\", \"aliases\": [\"w\"],"
    " \"cells\": [\"isa=avx512vnni\"]}],"
    " \"fallbacks\": [{\"name\": \"way\", \"levels\": [{\"level\": \"primary\", \"does\": \"p\","
    " \"cells\": \"isa=avx512vnni\"}, {\"level\": \"alt1\", \"does\": \"q\", \"method\": \"m\","
    " \"cells\": \"isa=avx2\"}, {\"level\": \"skip\", \"does\": \"s\"}]}],"
    " \"steps\": [{\"name\": \"only\", \"routes\": [{\"condition\": \"all\", \"when\": \"always\","
    " \"to\": \"NEXT → a\"}], \"texts\": {\"evidence\": [\"k {kernel.delta%}\", \"x\"]}}],"
    " \"rules\": ["
    "{\"rule\": \"noninferior\", \"name\": \"kernel\", \"metric\": \"call_time\", \"axis\":"
    " \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05,"
    " \"where\": \"kernel=i2s_avx*\"},"
    "{\"rule\": \"ratio\", \"name\": \"simd\", \"metric\": \"call_time\", \"where\": \"batch=1\","
    " \"axis\": \"kernel\", \"of\": \"i2s_avx2\", \"to\": \"i2s_scalar\", \"limit\": 1.5},"
    "{\"rule\": \"floor\", \"name\": \"accuracy\", \"metric\": \"kernel_accuracy\", \"limit\": "
    "0.998,"
    " \"fail_limit\": 0.99, \"where\": \"kernel=i2s_avx2 batch=1\"},"
    "{\"rule\": \"ceiling\", \"metric\": \"parity_numeric\", \"limit\": 1e-5,"
    " \"where\": \"kernel=i2s_avx2 batch=1\"},"
    "{\"rule\": \"floor\", \"name\": \"nowhere\", \"metric\": \"codec_exact\", \"limit\": 1,"
    " \"where\": \"batch=32\"}]}";

/* A run in which kernels of batch 1 take d1 and of batch 8 d8 as much more than base. */
static void decide(const char *base, double d1, double d8, double accuracy)
{
    struct tg_error err;
    struct tg_capability worker = made_worker("a", base);
    made_plan(matrix, policy_text, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 1), 0, 12, d1, 1e-4);
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 8), 0, 12, d8, 1e-4);
    made_rounds(&run, &plan, made_test(&plan, 1, "i2s_avx2", 1), 0, 12, log(0.50001), 1e-6);
    for (int r = 0; r < 2; r++) {
        made_fixed(&run, &plan, made_test(&plan, 2, "i2s_avx2", 1), r, accuracy);
        struct tg_series *s = tg_measurement_add(&run.rows[run.count - 1], "parity_numeric", 1);
        s->samples[0] = 3e-6;
    }
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
}

static void assert_says(const char *text, const char *wanted)
{
    char out[TG_DIALECT_LINE_SIZE];
    bool is_there = tg_dialect_write(&plan, &decision, text, out, sizeof out);
    if (strcmp(out, wanted) != 0) fail_msg("'%s' says '%s', not '%s'", text, out, wanted);
    assert_int_equal(is_there, *wanted != 0);
}

static void a_name_stands_for_the_worst_of_its_tests(void **state)
{
    (void)state;
    decide(MADE_BASE, -0.02, 0.03, 0.99948);
    assert_int_equal(decision.answer, TG_PASS);
    assert_says("{kernel.delta%:1}", "+3.0%");
    assert_says("{kernel:1u} us, was {kernel.baseline:1u}", "103.0 us, was 100.0");
    assert_says("{kernel.limit%}", "5%");
    assert_says("{kernel.met} of {kernel.count}: {kernel.result}", "2 of 2: pass");
    assert_says("{kernel.token}", "✅ PASS");
    assert_says("{simd:1}x", "1.9x"); /* 1.99996: never up to what is demanded */
    assert_says("{simd.factor:2} of at least {simd.limit}", "1.99 of at least 1.5");
    assert_says("{?simd.1}at least 1x[, {?simd.2}at least 2x]", "at least 1x");
    assert_says("{accuracy%:2}", "99.94%");
    assert_says("{parity_numeric:1u}", "3.0");
    assert_says("{?parity_numeric.1e-5}within 1e-5", "within 1e-5");
    assert_says("{?parity_numeric.1e-6}within 1e-6", "");
    assert_says("{?accuracy}good[, {?accuracy.attention}nearly]", "good");
    assert_says("{?kernel}all clear", "all clear");
    assert_says("{?kernel.measured}seen", "seen");
    assert_says("{nowhere}", "");
    assert_says("{nowhere.result}", "");
    assert_says("{?nowhere}no test, no pass", "");
    assert_says("{nowhere.limit}", "1");
}

static void what_a_run_is_and_where_it_goes(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0, 0.995);
    assert_says("{flow}:gate:{gate} = {answer} by {agent}, {step}", "review:gate:perf = pass by "
                                                                    "me, only");
    assert_says("{passed} of {tests}, {failed} failed", "5 of 5, 0 failed");
    assert_says("{?accuracy.attention}nearly[; {?attention}look]", "nearly; look");
    assert_says("{?accuracy}good", "");
    assert_says("{accuracy.token}", "⚠️ WARN");
    assert_says("{route}", "NEXT → a");
    assert_says("{reason}", "");
    assert_says("[{?pass}yes|no]; {?base}base", "yes; base");
    assert_says("{way.method} {way.level}", "m alt1");
    assert_says("{?way.alt1}second", "second");
    assert_says("{?way.primary}first", "");
    assert_says("{skipped}", "no-wide");
    assert_says("{?skip.w}none of it", "none of it");
    assert_string_equal(tg_dialect_conclusion(&plan, &decision), "success");
    char line[TG_DIALECT_LINE_SIZE];
    assert_true(tg_dialect_line(&plan, &decision, "evidence", 1, line, sizeof line));
    assert_string_equal(line, "x");
    decision.attention = 0;
    assert_says("{?attention}look", "");
    decision.optional_attention = 1;
    assert_says("{?attention}look", "look");
}

static void builds_that_nobody_names_are_not_the_same(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0, 0.9999);
    assert_says("[{?same}A/A|two builds]", "two builds");
    plan.asked.is_same = true;
    assert_says("[{?same}A/A|two builds]", "A/A");
    snprintf(plan.workers[0].head.digest, sizeof plan.workers[0].head.digest, "unknown");
    assert_says("[{?same}A/A|two builds]", "two builds");
}

static void a_shadow_has_no_baseline_and_no_delta(void **state)
{
    (void)state;
    decide(NULL, 0.2, 0.2, 0.9999);
    assert_says("{kernel:u} us", "122 us");
    assert_says("{kernel.delta%}", "");
    assert_says("{kernel.baseline}", "");
    assert_says("{kernel.token}", "");
    assert_says("{kernel.result}", "");
    assert_says("{?kernel}no test that counts", "");
    assert_says("{?base}compared", "");
    assert_says("{?!base}alone", "alone");
}

/* As where a stored baseline has one of the cells. */
static void a_shadow_is_not_the_worst_beside_a_test_that_counts(void **state)
{
    (void)state;
    struct tg_error err;
    decide(MADE_BASE, 0.03, 0.2, 0.9999);
    assert_says("{kernel.delta%:1} {kernel.token}", "+22.1% ❌ FAIL");
    plan.spec.tests[made_test(&plan, 0, "i2s_avx2", 8)].is_shadow = true;
    tg_gate_release(&decision);
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_says("{kernel.delta%:1} {kernel.token} {kernel.count}", "+3.0% ✅ PASS 1");
    plan.spec.tests[made_test(&plan, 0, "i2s_avx2", 1)].is_shadow = true;
    plan.spec.tests[made_test(&plan, 0, "i2s_avx2", 8)].is_shadow = false;
    tg_gate_release(&decision);
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_says("{kernel.delta%:1} {kernel.token} {kernel.count}", "+22.1% ❌ FAIL 1");
}

static void a_failure_gives_its_reason(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0.12, 0.9999);
    assert_int_equal(decision.answer, TG_FAIL);
    assert_says("{answer}: {reason}",
                "fail: i2s_avx2, bitnet-2b, attn_k, batch=8: head vs base: slower, minor");
    assert_says("{kernel.delta%} {kernel.token} {kernel.result}", "+12.7% ❌ FAIL fail");
    assert_says("{?kernel.fail}x", "x");
    assert_string_equal(tg_dialect_conclusion(&plan, &decision), "failure");
}

static void what_is_not_decided_is_not_said(void **state)
{
    (void)state;
    struct tg_error err;
    decide(MADE_BASE, 0.01, 0.01, 0.9999);
    size_t whole = run.count;
    run.count = 6; /* three rounds of the first pair, and nothing else */
    tg_gate_release(&decision);
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_says("{kernel.result}", "inconclusive");
    assert_says("{kernel:u} us", "101 us");
    assert_says("{kernel.delta%}", "");
    assert_says("{kernel.token}", "");
    assert_says("{simd:1}x", "");
    run.count = 2 * (12 + 12 + 3); /* all of them, and three of the ratio's */
    tg_gate_release(&decision);
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_says("{kernel.delta%:0}", "+1%");
    assert_says("{simd:1}x", "");
    assert_says("{?simd}faster", "");
    run.count = whole;
}

static void an_improvement_is_one_beside_what_is_as_it_was_too(void **state)
{
    decide(MADE_BASE, -0.3, 0, 0.9999);
    assert_says("{kernel.delta%:0}, {?kernel.improved}one is faster", "0%, one is faster");
    end(state);
    decide(MADE_BASE, 0, 0, 0.9999);
    assert_says("{?kernel.improved}one is faster", "");
}

static void an_open_run_is_skipped_and_says_what_is_missing(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0, 0.9999);
    run.is_sealed = 0;
    tg_gate_release(&decision);
    struct tg_error err;
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_says("{answer}", "skipped (inconclusive: cannot pass: the run was not ended in order; "
                            "run --resume ends it)");
    assert_string_equal(tg_dialect_conclusion(&plan, &decision), "neutral");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lines_of_the_documents_are_written_byte_for_byte),
        cmocka_unit_test_teardown(a_name_stands_for_the_worst_of_its_tests, end),
        cmocka_unit_test_teardown(what_a_run_is_and_where_it_goes, end),
        cmocka_unit_test_teardown(builds_that_nobody_names_are_not_the_same, end),
        cmocka_unit_test_teardown(a_shadow_has_no_baseline_and_no_delta, end),
        cmocka_unit_test_teardown(a_shadow_is_not_the_worst_beside_a_test_that_counts, end),
        cmocka_unit_test_teardown(a_failure_gives_its_reason, end),
        cmocka_unit_test_teardown(what_is_not_decided_is_not_said, end),
        cmocka_unit_test_teardown(an_improvement_is_one_beside_what_is_as_it_was_too, end),
        cmocka_unit_test_teardown(an_open_run_is_skipped_and_says_what_is_missing, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
