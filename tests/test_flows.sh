#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The three flows on one run: policies by name, steps, lines, routes, and the guard.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

smoke=$TG_SOURCE/matrix/smoke.json
accuracy=(--filter 'kernel=i2s_scalar layer=attn_q')

check 'another flow: nothing is measured' \
    gives 0 env CURRENT_FLOW=review "$TRITGATE" run "$smoke" --policy generative --out out-of-scope
check 'one line says why' test "$(cat out)" = 'generative:gate:guard = skipped (out-of-scope)'
check 'nothing was made' test ! -e out-of-scope
echo '{"answer": "pass"}' >receipt.json
check 'with a receipt' gives 0 env CURRENT_FLOW=review \
    "$TRITGATE" run "$smoke" --policy generative --json receipt.json
check 'it is no pass' grep -q '"answer": *"skipped"' receipt.json
check 'and says why' grep -q '"reason": *"out-of-scope"' receipt.json
for refused in 'run nowhere.json' 'launch -- run nowhere.json' 'gate nowhere'; do
    echo '{"answer": "pass"}' >receipt.json
    # shellcheck disable=SC2086
    check "what cannot be done ($refused)" gives 3 "$TRITGATE" $refused --json receipt.json
    check 'leaves no earlier receipt' test ! -s receipt.json
done
check 'under mpirun, too' gives 0 env CURRENT_FLOW=review \
    mpirun -n 3 "$TRITGATE" run "$smoke" --policy generative --out out-of-scope
check 'one line says why' test "$(cat out)" = 'generative:gate:guard = skipped (out-of-scope)'

check 'its own flow: a run' gives 0 env CURRENT_FLOW=generative \
    "$TRITGATE" run "$smoke" --policy generative "${accuracy[@]}" --out run
check 'leaves a candidate' says '^benchmarks: baseline established$'
check 'says what it measured' says '^quantization: I2S: 99\.[0-9]% accuracy vs reference$'
check 'goes on' says '^FINALIZE → quality-finalizer \(baseline established\)$'
check 'and says nothing of speed' bash -c '! grep -qE "^(simd|mixed-precision):" out'
check 'the receipt has it' grep -qF '"conclusion": "success"' run/receipt.json

mkdir review generative # what a name means does not depend on where one stands
for flow in review:2 integrative:2 generative:0; do # two of them inherit, and were given nothing
    name=${flow%:*} status=${flow#*:}
    check "gate under the policy $name, by its name" gives "$status" "$TRITGATE" gate run --policy "$name"
    cp out first
    check 'again' gives "$status" "$TRITGATE" gate run --policy "$TG_SOURCE/matrix/policy/$name.json"
    check 'the same bytes as by its path' diff first out
    check "a matrix under the policy $name" gives 0 "$TRITGATE" matrix "$smoke" --policy "$name"
done

check 'a run as one step' gives 0 "$TRITGATE" run "$smoke" --policy review --step detect \
    "${accuracy[@]}" --inherit run --out detected
check 'has its own line' says '^method: .*; result: quantization I2S 99\.[0-9]%; reason: within'
check 'without a base it asks for one' says '^NEXT → review-performance-benchmark \(baseline needed\)$'
check 'is decided so again' gives 0 "$TRITGATE" gate detected
check 'as that step' says '^method: '
check 'as analysed' gives 0 "$TRITGATE" gate detected --step analyse
check 'has another line' says '^perf: quantization: I2S: 99\.[0-9]% accuracy$'
check 'and goes elsewhere' says '^NEXT → review-summarizer \(baseline needed\)$'
check 'as finalised' gives 0 "$TRITGATE" gate detected --step finalise
check 'names what it inherits' says '^benchmarks: inherit from Generative; validate baseline$'
check 'another flow has its own steps' gives 2 "$TRITGATE" gate detected --policy integrative
check 'and says so' says '^LOOP → self \(better hardware\)$'
check 'nor is the step of the run' gives 0 "$TRITGATE" report detected --policy integrative
check 'named to decide so again' says '`tritgate gate --policy FILE DIRECTORY`$'
check 'in a report, too' gives 0 "$TRITGATE" report detected --step finalise
check 'as another step, which is said' says '^\*\*decided as another step than it was measured for\*\*$'
check 'and how to decide so again' says '`tritgate gate --step finalise DIRECTORY`$'
check 'with the table' says '^\| I2S Accuracy \| - \| 99\.[0-9]*% \| - \| ≥99\.8% \| ✅ PASS \|$'
check 'a step that is not there' refuses "the policy has no step 'judge'" \
    "$TRITGATE" gate detected --step judge
check 'nor in a run' refuses "the policy has no step 'judge'" \
    "$TRITGATE" run "$smoke" --policy review --step judge --out none
check 'a policy of no such name' refuses "no such policy 'nowhere'" \
    "$TRITGATE" gate run --policy nowhere
finish
