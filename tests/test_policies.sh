#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The policies of the project ask of a cell what it measures, of every cell they are meant for.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"

matrices=$TG_SOURCE/matrix

# tests MATRIX POLICY: what the policy asks of the matrix when there is a base.
tests() {
    "$TRITGATE" matrix "$1" --policy "$matrices/policy/$2.json" --base "$TRITGATE_LIB" |
        grep '^test ' >"$work/tests"
}
quantised() { # or the policy asks nothing of them
    "$TRITGATE" matrix quantise.json --policy "$path" --base "$TRITGATE_LIB" >quantised 2>&1 ||
        grep -qx "tritgate: error: no rule of policy '.*' selects a cell of the matrix" quantised
}
none() { ! grep -E -- "$1" "$work/tests"; }
some() { grep -qE -- "$1" "$work/tests"; }

# Whole models have no samples of calls, and no program here one of quantised weights.
profiles=$("$TRITGATE" list profiles | awk 'NR > 1 { printf "%s%s", n++ ? "|" : "", $1 }')
printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["*_quantise"],
    "model": ["bitnet-2b"], "layer": ["attn_q"]}}\n' >quantise.json
for path in "$matrices"/policy/*.json; do
    policy=$(basename "$path" .json)
    check "$policy asks something of whole models or of kernels" tests "$matrices/models.json" "$policy"
    check 'and no time of a call of a whole model' none "call_(time|cycles): .*, ($profiles)(,|:|\$)"
    check "$policy is asked of quantised activations" quantised
    check "$policy asks no kernel for weights quantised in a second" bash -c '! grep "^test .*quantise_rate" quantised'
done
for policy in integrative models; do
    tests "$matrices/models.json" "$policy"
    for model in bitnet-2b falcon3-3b gguf; do
        check "$policy asks $model for its 10 s" some "end_to_end_time: .*$model, .*at most 10 s"
    done
    check 'and no other size' none 'end_to_end_time: .*-[17]b,'
done
tests "$matrices/gpu.json" gpu
for model in bitnet-2b gguf; do
    check "on a GPU $model is asked for its 10 s, too" some "end_to_end_time: i2s_cuda_wgmma, $model, .*at most 10 s"
done
check 'and a real model for its best tokens' some 'top1_agreement: .*, gguf, .*at least 95 %'
check 'as no other' none 'top1_agreement: .*-2b, .*at least 95 %'
for policy in generative review integrative gpu; do
    tests "$matrices/gpu.json" "$policy"
    for kernel in f16_cuda bf16_cuda; do
        check "$policy holds $kernel against f32" some "ratio call_time: $kernel vs f32_cuda,.* at least 1x"
    done
done
# Paths of changes are of this project or of BitNet-rs; a pattern that is of neither selects nothing.
paths() {
    sed -nE '/"surface": \[/,/^  \]/p; /"paths": \[/,/\]/p' "$1" |
        sed -E 's/"(surface|paths|cells)":( "[^"]*")?//g' | grep -oE '"[^"]+"' | tr -d '"'
}
for policy in generative review integrative; do
    check "$policy names paths" test "$(paths "$matrices/policy/$policy.json" | wc -l)" -gt 20
    while read -r pattern; do
        case $pattern in crates/* | crossval/* | Cargo.* | rust-toolchain* | .cargo/*) continue ;; esac
        check "$policy: there is a file '$pattern'" compgen -G "$TG_SOURCE/$pattern"
    done < <(paths "$matrices/policy/$policy.json" | sort -u)
done
check 'the pattern would find one' grep -qE ", ($profiles)(,|:|\$)" \
    <<<'test  noninferior call_time: i2s_avx2, threads=2, decode_128: head vs base, not 5 % slower'
finish
