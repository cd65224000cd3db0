#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the gate makes of a device, its clock and its absence: of lines from elsewhere, and of the fake
# device.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

head=1111111111111111111111111111111111111111111111111111111111111111
base=2222222222222222222222222222222222222222222222222222222222222222
cell='probe=kernel kernel=i2s_cuda model=bitnet-2b layer=attn_q'

# lines [NAME=VALUE...]: head and base on a GPU, as tests/data/lines.awk makes them.
lines() {
    local option options=()
    for option; do options+=(-v "$option"); done
    awk -v of="$cell" -v metric=call_time -v effect=1 -v first=0 -v end=40 -v hosts=a -v cpus=A \
        -v sickness=1 -v of_library=$head -v to_library=$base -v of_clock=1.5e9 -v to_clock=1.5e9 \
        "${options[@]}" -f "$data/lines.awk" "$data/loaded_noise.txt"
}

receipt() { "$TRITGATE" report "$1" --imported --format receipt | tr -d '\n'; }
markdown() { "$TRITGATE" report "$1" --imported --format markdown; }

printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["i2s_cuda"],
    "model": ["bitnet-2b"], "layer": ["attn_q"], "cache": ["hot"]}}\n' >one.json
# Without what else the policy asks of such a cell.
sed -e '/"floor"/d' -e '/"name": "gpu_\(leak\|detect\)"/d' -e 's/, "required": true//' "$TG_SOURCE/matrix/policy/gpu.json" >gpu.json
policy_of() { gives 0 "$TRITGATE" import "$1.jsonl" "$1" --matrix one.json --policy gpu.json; }
# decides STATUS NAME [NAME=VALUE...]: such lines, imported as NAME, and what the gate makes of them.
decides() {
    local status=$1 name=$2
    shift 2
    lines "$@" >"$name.jsonl"
    policy_of "$name" || return 1
    gives "$status" "$TRITGATE" gate "$name" --imported
}

check 'noise passes' decides 0 noise
check 'and is not slower' says '^  unchanged  i2s_cuda, attn_q '
check 'more time in as many cycles passes' decides 0 drop effect=1.1 of_clock=1.363e9
check 'with attention' says '^  attention  i2s_cuda, attn_q .*clock effect: \+10\.[0-9]+ % in call_time, [-+]0\.[0-9]+ % in call_cycles; clock 1363 MHz against 1500; power 363\.[0-9] W against 400$'
check 'counted' says '1 of the passed needs attention'
check 'in Markdown' bash -c 'grep -q "^| attention | i2s_cuda, .*clock effect: +10" <<<"$1"' - "$(markdown drop)"
check 'with the device' bash -c 'grep -qx -- "- devices: A_GPU; at most 60 C; at most 400 W" <<<"$1"' - "$(markdown drop)"
check 'in the receipt' bash -c 'grep -qE "\"also\": *\{ *\"metric\": *\"call_cycles\",.*\"is_clock_effect\": *true" <<<"$1"' - "$(receipt drop)"
check 'more time and more cycles fail' decides 1 slower effect=1.1
check 'with both numbers' says 'slower, (minor|major).*: \+10\.[0-9]+ % in call_time, \+[0-9.]+ % in call_cycles; 10\.8 us$'
check 'in Markdown, too' bash -c 'grep -q "| slower, .*% in call_time, +.* % in call_cycles |" <<<"$1"' - "$(markdown slower)"
check 'fewer cycles at a higher clock pass' decides 0 raised effect=0.9 of_clock=1.5e9
check 'more cycles in the same time pass' decides 0 cycles of_clock=1.65e9
check 'and are noted' says 'slower by [0-9.]+ % in call_cycles for certain, but not in call_time$'

check 'four hot rounds of forty' decides 0 warm hot='3 9 14 30'
check 'are discarded, and said to be' says '^discarded: 4 of 40 rounds of tests, in which the clock of a device was too low or held down$'
check 'in Markdown' bash -c 'grep -qF "| 36 (4 discarded) |" <<<"$1"' - "$(markdown warm)"
check 'in the receipt' bash -c 'grep -qE "\"clocked\": *40, *\"discarded\": *4" <<<"$1"' - "$(receipt warm)"
check 'nine are too many' decides 2 hot hot='3 9 14 20 21 22 30 31 32'
check 'to decide anything' says '^  thermal  i2s_cuda, attn_q .*9 of 40 rounds discarded: held down in 9 \(hardware_heat\); at most 20 % may be'
check 'a regression neither' decides 2 both effect=1.1 hot='3 9 14 20 21 22 30 31 32'
cp out first
sort -r both.jsonl >again.jsonl
check 'the lines in another order' policy_of again
check 'are the same run' gives 2 "$TRITGATE" gate again --imported
check 'decided in the same words' diff first out

# What the matrix asks of kernels in 16 bits is decided on, here as far as tests are made.
cp "$TRITGATE_LIB" base.so && printf y >>base.so
check 'the matrix of kernels on a GPU' gives 0 "$TRITGATE" matrix "$TG_SOURCE/matrix/gpu.json" --base base.so
for kernel in f16_cuda bf16_cuda; do
    check "$kernel is held against f32_cuda" says "^test  ratio call_time: $kernel vs f32_cuda, bitnet-2b, ffn_up"
    check "$kernel is held against base" says "^test  noninferior call_time: $kernel"
done
check 'one token is held beside cuBLASLt' says '^test  ratio call_time: i2s_cuda vs bf16_cublaslt, bitnet-2b, ffn_up, stream, at least 3x'
check 'so is a batch' says '^test  ratio call_time: i2s_cuda_wgmma vs bf16_cublaslt, bitnet-2b, ffn_up, batch=128, stream, at least 1\.5x'
for number in f32 f16 bf16; do
    check "a dense product of $number beside its own" says "^test  ratio call_time: ${number}_cuda vs ${number}_cublaslt, bitnet-2b, ffn_up"
    check "which is measured" says "^cell  probe=kernel kernel=${number}_cublaslt .*batch=128"
done
check 'what is not ours is never judged' bash -c '! grep -E "^test  .*: [a-z0-9]+_cublaslt" out'
for policy in integrative generative; do
    check "$policy with them" gives 0 "$TRITGATE" matrix "$TG_SOURCE/matrix/gpu.json" --policy "$policy"
    check 'has them beside f32' says '^test  ratio call_time: bf16_cuda vs f32_cuda'
    check 'and knows nothing of cuBLASLt' bash -c '! grep -E "^test  .*_cublaslt" out'
done

# What is asked of a GPU is not passed over where nothing of it was measured.
check 'its policy decides nothing without a GPU' gives 2 "$TRITGATE" run "$TG_SOURCE/matrix/gpu.json" \
    --filter 'kernel=i2s_avx2 batch=1 layer=attn_k cache=hot' --out no_gpu
check 'and names what is missing' says '^cannot pass: required, and not measured: gpu_leak .*, gpu_detect .*, gpu_ratio '

# Real rounds on the fake device. The two libraries are the same code, and different files.
cp "$TRITGATE_LIB" head.so && printf x >>head.so
digest=$(sha256sum head.so | cut -c1-16)
printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["fake_product"], "layer": ["64x256"]}}' >fake.json
cat >fake_policy.json <<'JSON'
{"tritgate_policy": 1, "flow": "f",
 "limits": {"rounds_max": 40, "round_s": 0.01, "sample_s": 0.0001, "warmup_min_s": 0.001, "warmup_max_s": 0.01,
            "budget_s": 60},
 "rules": [{"rule": "noninferior", "metric": "call_time", "also": "call_cycles", "axis": "build", "of": "head",
            "to": "base", "tolerance": 0.1, "margin": 0.25}]}
JSON
fake() { # fake MANNERS NAME: a run with a fake device of these manners
    TRITGATE_FAKE_GPU="$1" "$TRITGATE" run fake.json --policy fake_policy.json --base "$TRITGATE_LIB" \
        --head head.so --out "$2"
}
check 'a head whose device has half the clock' gives 0 fake "only=$digest clock_hz=0.85e9" half
check 'is a clock effect' says '^  attention  fake_product, 64x256 .*clock effect: .* clock 850 MHz against 1700'
check 'is decided so again' gives 0 "$TRITGATE" gate half
check 'a head that works outside of its stream is wrong' gives 1 fake "only=$digest strays=1" strays
check 'and says so' says 'fake_product, 64x256 .*it works outside of the stream'
check 'a head that reads before what is ahead of it has written is wrong' gives 1 fake "only=$digest hasty=1" hasty
check 'and says so' says 'fake_product, 64x256 .*differs from the reference'
check 'a device that is held down' gives 2 fake 'throttle=32' held
check 'decides nothing' says '^  thermal  fake_product, 64x256 .*\(heat\); at most 20 % may be'

# What stands in for a cell that the device did not measure.
printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["fake_product", "i2s_scalar"], "layer": ["64x256"]}}' >two.json
cat >two_policy.json <<'JSON'
{"tritgate_policy": 1, "flow": "f", "limits": {"budget_s": 60},
 "rules": [{"rule": "floor", "metric": "kernel_accuracy", "limit": 0.9}],
 "fallbacks": [{"name": "device", "each": true, "levels": [
   {"level": "primary", "does": "the device", "cells": "device=fake"},
   {"level": "alt1", "does": "the processor", "method": "cpu-fallback", "cells": "device=cpu", "same": "op layer batch"},
   {"level": "skip", "does": "nothing"}]}]}
JSON
two() { # two MANNERS NAME
    TRITGATE_FAKE_GPU="$1" "$TRITGATE" run two.json --policy two_policy.json --out "$2"
}
check 'a device that is in order needs nothing instead' gives 0 two '' whole
check 'and says nothing of it' bash -c '! grep -q instead out'
check 'a device that is not there' gives 2 two absent=1 absent
check 'has a processor instead' says '^device: 1 cell was not measured; instead: 1 cpu-fallback$'
check 'with tries, reason and result' grep -qE '^\| fake_product, 64x256 \| 1 \| skipped: there is no fake device \| cpu-fallback \| pass \| i2s_scalar, 64x256 \|$' absent/report.md
check 'a device that breaks is tried twice, and fails' gives 1 two fault_after=1 broken
check 'both are told' grep -qE '^\| fake_product, 64x256 \| 2 \| crashed: .* \| cpu-fallback \| pass \|' broken/report.md

# Whole models there.
export TRITGATE_MODEL_CACHE=$work/cache
unset BITNET_GGUF
printf '{"tritgate_matrix": 1, "axes": {"probe": ["model"], "kernel": ["fake_product", "i2s_scalar"],
    "model": ["tiny"], "profile": ["decode_32"]}}' >model.json
rules() { # rules NAME RULES: a policy of short rounds
    printf '{"tritgate_policy": 1, "flow": "f", "limits": {"rounds_min": 3, "rounds_max": 24, "round_s": 0.02,
        "quads_min": 5, "quads_max": 10, "sample_s": 0.0001, "warmup_min_s": 0.001, "warmup_max_s": 0.01,
        "budget_s": 60, "alpha_fail": 0.05, "alpha_miss": 0.05}, "rules": [%s],
        "fallbacks": [{"name": "device", "each": true, "levels": [
            {"level": "primary", "does": "the device", "cells": "device=fake"},
            {"level": "alt1", "does": "the processor", "method": "cpu-fallback", "cells": "device=cpu",
             "same": "op model layer batch profile"},
            {"level": "skip", "does": "nothing"}]}]}' "$2" >"$1_policy.json"
}
model() { # model MANNERS NAME POLICY [OPTION...]
    TRITGATE_FAKE_GPU="$1" "$TRITGATE" run model.json --policy "$3_policy.json" --out "$2" "${@:4}"
}
rules memory '{"rule": "ceiling", "name": "most", "metric": "gpu_memory", "where": "kernel=fake*", "limit": 1e8},
    {"rule": "slope", "name": "leak", "metric": "gpu_memory", "where": "kernel=fake*", "limit": 65536, "discard": 0.2}'
check 'a model on a device in order' gives 0 model '' model memory
check 'has its memory under a ceiling' says '^  pass  fake_product, decode_32  [0-9.]+ MiB'
check 'and its stages in the report' grep -q '| Single tokens | Copy out | A token, p50 |' model/report.md
check 'not those that a token there has not' bash -c '! grep -q "| Copy in" model/report.md'
check 'one that takes more with each token' gives 1 model leak_bytes=100000 leaks memory
check 'leaks' says '^  fail  fake_product, decode_32 .* from sample to sample'

rules beside '{"rule": "floor", "metric": "decode_rate", "where": "device=cpu", "limit": 1e-3},
    {"rule": "ratio", "metric": "decode_rate", "axis": "kernel", "of": "fake*", "against": "device=cpu", "limit": 0.01}'
check 'beside the processor' gives 0 model '' beside beside
check 'it is so many times as fast' says '^  pass  fake_product vs i2s_scalar, decode_32 '
check 'logits that drift are wrong' gives 1 model drift_after=45 drifts beside
check 'against those that were checked' says 'than the checked one'
check 'logits that are not the host'"'"'s are wrong' gives 1 model blurs=0.1 blurs beside
check 'by how close they are' says 'its logits are not those of the host: block 0 by itself, a cosine of 0\.99'
check 'logits that are right at first only are wrong' gives 1 model far=40 far beside
check 'by a text that goes on' says 'block [0-9]+ by itself, on a text that goes on, a cosine of '
check 'a token that is not the best is wrong' gives 1 model misses=1 misses beside
check 'as is said' says 'chooses is not that of its largest logit'
check 'products that are off by one are wrong' gives 1 model errs=1 errs beside
check 'where they are' says 'by fake differs from the reference'
check 'one that breaks under a model' gives 1 model fault_after=50 faults beside
check 'says how' says 'crashed.*fault on command'
sed 's/"rounds_max": 24/"rounds_max": 8/' beside_policy.json >held_policy.json
check 'a clock that is held down decides nothing' gives 2 model throttle=32 warm_model held
check 'since it is thermal' says '^  thermal  fake_product vs i2s_scalar'
check 'without the device' gives 2 model absent=1 no_device beside
check 'the model has a processor instead' says '^device: 1 cell was not measured; instead: 1 cpu-fallback$'
check 'of the same profile' grep -qE '^\| fake_product, tiny, decode_32 \| [0-9]+ \| skipped: there is no fake device \| cpu-fallback \| pass \| i2s_scalar, tiny, decode_32 \|$' no_device/report.md

rules builds '{"rule": "noninferior", "metric": "decode_rate", "axis": "build", "of": "head", "to": "base",
    "tolerance": 0.3, "margin": 0.5, "effect": "throughput"}'
check 'two builds of it are none' gives 0 model '' builds builds --base "$TRITGATE_LIB" --head head.so
check 'as is said' says "skipped +fake_product, decode_32 .*build 'base' is of kernels: whole models on a device are this program's own"
check 'and nothing of it was measured' bash -c '! "$1" report builds --format lines | grep -q "kernel=fake_product"' - "$TRITGATE"
check 'but of the processor' says '^  unchanged[*]? +i2s_scalar, decode_32'

# A device on which nothing runs any more: the matrix is bounded, and what was left out is told.
sed -i 's/"layer"/"batch": [1, 2, 3, 4, 5, 6], &/' two.json
check 'a device that breaks with every block decides nothing' gives 2 two fault_after=1 bounded
check 'it is not tried more often than the policy says' \
    test "$("$TRITGATE" report bounded --format lines | grep -c '"outcome":"crashed"')" = 5
check 'what is left out says so' says 'left out: 5 rounds on its device broke, one after the other; last: '
check 'and has a processor instead' says '^device: 6 cells were not measured; instead: 6 cpu-fallback$'
check 'which was measured' test "$(grep -c '^  pass  *i2s_scalar' out)" = 6
check 'each is listed with its tries' test "$(grep -cE '^\| fake_product, .* \| cpu-fallback \| pass \|' bounded/report.md)" = 6
check 'going on with it is a try for the GPU' gives 0 env TRITGATE_FAKE_GPU= "$TRITGATE" run --resume bounded --budget 60
check 'which is written down' grep -q '"kind": "gpu"' bounded/tries.json
finish
