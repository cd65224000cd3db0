#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A flow that builds on another: what the other decided counts, and is proved by its digest.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

flow() { # flow NAME WRITES INHERITS
    printf '{"tritgate_policy": 1, "flow": "%s", "writes": [%s], "inherits": [%s],
        "limits": {"rounds_min": 3, "round_s": 0.005, "sample_s": 0.00005, "warmup_min_s": 0.001, "warmup_max_s": 0.01},
        "rules": [{"rule": "floor", "metric": "kernel_accuracy", "limit": 0.9}]}' "$@" >"$1.json"
}
flow generative '"benchmarks"' ''
flow review '"perf"' '"benchmarks"'
flow integrative '"benchmarks"' '"benchmarks", "perf"'
printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["stub_twice"], "layer": ["64x256"]}}' >m.json
run() { "$TRITGATE" run m.json --policy "$1.json" --out "$2" "${@:3}"; }

check 'the first flow' gives 0 run generative g
check 'without it the second cannot pass' gives 2 run review r0
check 'and says why' says "^cannot pass: flow 'review' inherits 'benchmarks', and none was given$"
check 'with it it can' gives 0 run review r --inherit g
check 'which is said' says '^inherits generative:gate:benchmarks = pass, of 20.*Z, evidence [0-9a-f]{16}$'
digest=$(grep -A6 '"evidence"' g/receipt.json | sed -n 's/.*"digest": *"\([0-9a-f]*\)".*/\1/p' | head -n 1)
check 'by the digest of its evidence, in the receipt' grep -q "\"evidence\": *\"$digest\"" r/receipt.json
check 'and in the plan' grep -q "\"evidence\": *\"$digest\"" r/plan.json
check 'the third takes both from the second' gives 0 run integrative i --inherit r
check 'which is said' says '^inherits review:gate:perf = pass'
mv g elsewhere
"$TRITGATE" gate i >again
check 'decided again it is the same, wherever the others are' bash -c 'head -n -1 "$1" | cmp - again' - out

check 'an earlier flow on a part, beside itself' gives 0 run generative part --filter 'kernel=stub_*' \
    --base "$TRITGATE_LIB" --same
check 'is inherited' gives 0 run review r3 --inherit part
check 'as that part' says "^inherits generative:gate:benchmarks = pass \(A/A, only cells that match 'kernel=stub_\*'\), of "
check 'one that did not pass forbids a pass' gives 2 run integrative i2 --inherit r0
check 'which is said' says '^cannot pass: it inherits review:gate:perf = inconclusive'
flow docs '"docs"' ''
check 'a flow of its own' gives 0 run docs d
check 'is refused' refuses "flow 'docs' has no gate that flow 'review' inherits" run review r2 --inherit d
check 'so is the same' refuses "it is of flow 'integrative' itself" run integrative i3 --inherit i
check 'no directory' refuses 'inherit: ' run review r2 --inherit nowhere
check 'nothing was made' test ! -e r2
cp -r elsewhere open && rm open/digests.json
check 'a run that was not ended is refused' refuses 'it was not ended in order' run review r2 --inherit open
sed -i 's/0.9/0.8/' elsewhere/policy.json
check 'a changed one, too' refuses "'policy.json' was changed after the run" run review r2 --inherit elsewhere
check '--resume knows already' refuses '--resume goes on' "$TRITGATE" run --resume r --inherit i
finish
