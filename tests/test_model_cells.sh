#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whole models in a run: two builds, two kernels, a model of others, and what stands for it.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"

export TRITGATE_MODEL_CACHE=$work/cache
unset BITNET_GGUF
cp "$TRITGATE_LIB" base.so

# rules NAME RULES: a policy whose rounds are short.
rules() {
    printf '{"tritgate_policy": 1, "flow": "models", "limits": {"rounds_min": 3, "rounds_max": 24,
        "round_s": 0.02, "quads_min": 5, "quads_max": 10, "sample_s": 0.0001, "warmup_min_s": 0.001,
        "warmup_max_s": 0.01, "deadline_s": 60, "budget_s": 60, "alpha_fail": 0.05,
        "alpha_miss": 0.05}, "rules": [%s],
        "fallbacks": [{"name": "model", "each": true, "levels": [
            {"level": "primary", "does": "a real model", "method": "real model",
             "cells": "probe=model model=gguf"},
            {"level": "alt1", "does": "a synthetic model", "method": "synthetic model",
             "cells": "probe=model model=tiny", "same": "kernel profile"},
            {"level": "skip", "does": "nothing", "method": "nothing measured"}]}]}' "$2" >"$1_policy.json"
}

# models NAME KERNELS MODELS PROFILES: a matrix.
models() {
    printf '{"tritgate_matrix": 1, "policy": "%s_policy.json", "axes": {"probe": ["model"],
        "kernel": [%s], "model": [%s], "profile": [%s]}}' "$@" >"$1.json"
}

duet='{"rule": "noninferior", "metric": "%s", "where": "profile=%s", "axis": "build", "of": "head",
    "to": "base", "tolerance": 0.3, "margin": 0.5%s}'
exact='{"rule": "determinism", "metric": "output_checksum"}'

# shellcheck disable=SC2059
rules same "$(printf "$duet" decode_rate decode_32 ', "effect": "throughput"'), $exact"
models same '"i2s_scalar"' '"tiny"' '"decode_32"'
check 'the same build twice' gives 0 "$TRITGATE" run same.json --base base.so --same --out same
check 'is not slower in tokens a second' says 'unchanged[*]? +i2s_scalar, decode_32'
check 'the model was made once' test "$(find cache -name '*.gguf' | wc -l)" = 1
check 'and is said to be synthetic' bash -c "'$TRITGATE' report same --format lines | grep -q '\"model_source\":\"synthetic\"'"
check 'BITNET_SEED is its seed' bash -c "BITNET_SEED=42 '$TRITGATE' run same.json --same --base base.so --budget 0.1 --out seeded; grep -q '\"seed\": \"42\"' seeded/plan.json"
check 'and must be a number' refuses "BITNET_SEED is no number of at most 15 digits: 'x'" env BITNET_SEED=x "$TRITGATE" run same.json --out unseeded
check 'the gate says the same' gives 0 "$TRITGATE" gate same
check 'a second run finds it' bash -c "'$TRITGATE' run same.json --base base.so --same --out again 2>&1 | grep -c making | grep -qx 0"
check 'and measures with it' test -s again/digests.json

check 'the report tells stages' grep -q '^| i2s.*scalar, tiny, decode.*32 |.*ms' same/report.md
check 'by their names' grep -q 'Model Load | Quantization | Tokenization | Forward Pass: activations' same/report.md

rules wrong "$exact"
models wrong '"stub_wrong"' '"tiny"' '"decode_32"'
check 'a wrong kernel' gives 1 "$TRITGATE" run wrong.json --out wrong
check 'is found by a matrix of the model' says 'stub_wrong differs from the reference'

rules slower '{"rule": "noninferior", "metric": "decode_rate", "axis": "kernel", "of": "stub_twice",
    "to": "i2s_scalar", "tolerance": 0.05, "margin": 0.1, "effect": "throughput"}'
models slower '"stub_twice", "i2s_scalar"' '"tiny"' '"decode_32"'
check 'a kernel of half the speed' gives 1 "$TRITGATE" run slower.json --out slower
check 'makes the model slower' says 'slower'

rules real "$exact"
models real '"i2s_scalar"' '"tiny", "gguf"' '"decode_32"'
check 'without a model of others' gives 0 "$TRITGATE" run real.json --out real
check 'its tests are skipped' says 'skipped .*there is no model file: neither BITNET_GGUF nor --model of run'
check 'and what stands for it is told' grep -q '"method": "synthetic model"' real/receipt.json
check 'matrix says so beforehand' gives 0 env -u BITNET_GGUF "$TRITGATE" matrix real.json
check 'of how many cells' says '^1 cell: nobody here: there is no model file: neither BITNET_GGUF nor --model of run names one$'
cached=$(find cache -name '*.gguf')
check 'a synthetic one is not taken for it' refuses "$cached' is a synthetic model, and no real one" env BITNET_GGUF="$cached" "$TRITGATE" run real.json --out fake
check 'nor if it is named' refuses 'is a synthetic model, and no real one' "$TRITGATE" run real.json --model "$cached" --out fake
sed 's/tritgate\.synthetic/tritgate.synthetix/' "$cached" >theirs.gguf
check 'a model of others is measured' gives 0 "$TRITGATE" run real.json --model theirs.gguf --out theirs
check 'as such' bash -c "'$TRITGATE' report theirs --format lines | grep -q '\"model_source\":\"file\",\"model_digest\":\"$(sha256sum <theirs.gguf | cut -d' ' -f1)\"'"
head -c 3000 /dev/urandom >junk.gguf
head -c 400000 theirs.gguf >cut.gguf
sed 's/bitnet-b1\.58/bitnet-b1.59/g' theirs.gguf >new.gguf
cp theirs.gguf odd.gguf
at=$("$TRITGATE" model show theirs.gguf --tensors | awk '$2 == "blk.0.attn_k.weight" { print $NF + 128 * 256 / 4 }')
head -c 4 /dev/zero | dd of=odd.gguf bs=1 seek="$at" conv=notrunc 2>/dev/null
check 'a file that is no model' refuses "junk.gguf': is not a GGUF file" "$TRITGATE" run real.json --model junk.gguf --out junk
check 'one that was cut' refuses "cut.gguf'" "$TRITGATE" run real.json --model cut.gguf --out junk
check 'one of an unknown architecture' refuses "new.gguf': architecture 'bitnet-b1.59'" "$TRITGATE" run real.json --model new.gguf --out junk
check 'one whose weights are none' refuses "odd.gguf': tensor 'blk.0.attn_k.weight' has the scale 0" "$TRITGATE" run real.json --model odd.gguf --out junk
"$TRITGATE" model make tiny --ternary TL1 --out made.gguf
sed 's/tritgate\.synthetic/tritgate.synthetix/' made.gguf >tiles.gguf
tiles="tiles.gguf': how the matrices lie is not known: no file says the tiles of tl1"
check 'one whose tiles are only guessed' refuses "$tiles" "$TRITGATE" run real.json --model tiles.gguf --out junk
sed 's/llama-bpe/llama-xyz/' theirs.gguf >nopre.gguf
models text '"i2s_scalar"' '"gguf"' '"smoke_1"'
cp real_policy.json text_policy.json
check 'one whose texts nobody could cut' refuses "nopre.gguf': " "$TRITGATE" run text.json --model nopre.gguf --out junk
check 'nothing is made of these' test ! -e junk
check 'nor is it a cell, where only a worker has it' refuses "$tiles" env BITNET_GGUF=tiles.gguf "$TRITGATE" cell 'probe=model kernel=i2s_scalar model=gguf profile=decode_32'
check 'what reads no text needs no vocabulary' gives 0 "$TRITGATE" run real.json --model nopre.gguf --out untold
check 'though it is run, as assumed' gives 0 "$TRITGATE" model run tiles.gguf --tokens 2
check 'where none is asked for none is looked at' gives 0 "$TRITGATE" run real.json --model junk.gguf --filter model=tiny --out unasked
check 'nor is it missed' gives 0 env BITNET_GGUF=junk.gguf "$TRITGATE" run "$data/quick.json" --out lent
rm junk.gguf lent/digests.json
check 'where it is gone' gives 0 "$TRITGATE" run --resume lent
rm lent/digests.json
check 'or another one' gives 0 env BITNET_GGUF=theirs.gguf "$TRITGATE" run --resume lent
rm real/digests.json
check 'what a cell asks for must be the same' refuses 'was changed since the run was begun' \
    env BITNET_GGUF=theirs.gguf "$TRITGATE" run --resume real
check 'a file of the environment' gives 0 env BITNET_GGUF=theirs.gguf "$TRITGATE" run real.json --out near
rm near/digests.json
check 'is found from elsewhere' gives 0 bash -c 'cd cache && "$1" run --resume ../near' - "$TRITGATE"
check 'matrix: a file of others' gives 0 "$TRITGATE" matrix real.json --model theirs.gguf
check 'can be run' bash -c '! grep -q "nobody here" out'
check 'or of the environment' gives 0 env BITNET_GGUF=theirs.gguf "$TRITGATE" matrix real.json
check 'likewise' bash -c '! grep -q "nobody here" out'
check 'one that a run refuses' refuses "$tiles" "$TRITGATE" matrix real.json --model tiles.gguf
check 'or that is not there' refuses "cannot open model 'nowhere.gguf'" "$TRITGATE" matrix real.json --model nowhere.gguf
check 'a file that is not there' refuses "cannot open model 'nowhere.gguf'" "$TRITGATE" run real.json --model nowhere.gguf --out nowhere
check 'a model that does not fit' gives 2 "$TRITGATE" run same.json --policy <(sed 's/"rounds_min"/"memory_share": 0.000001, "rounds_min"/' same_policy.json) --out tight
check 'says the bytes' says '[0-9]+ bytes of memory are needed'

finish
