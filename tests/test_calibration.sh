#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tritgate calibrate --simulate: what the gate promises, and what breaks it.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

simulate() { "$TRITGATE" calibrate --simulate "$@"; }
few=(--gates 40 --cells 30 --tests 200)

check 'the method keeps its promises' gives 0 simulate "${few[@]}" --json one.json --plot power.svg
check 'and says so' says '^NONE BROKEN .* kept, [1-9].* open .*, 0 broken$'
check 'with exact bounds' says '^skewed: a gate with nothing slower fails +<= 1 % +0 of 40  0 to 8\.81 % +open$'
check 'power by effect' says '^power +skewed +\+5 % +1\.5 +200 '
check 'severities' says '^ +skewed +\+12\.5 % major '
check 'a plot is SVG' grep -q '<svg' power.svg
check 'another seed' gives 0 simulate "${few[@]}" --json other.json --seed 2
check 'gives others' bash -c '! cmp -s one.json other.json'
check 'the JSON has the counts' grep -q '"gates_failed"' one.json
check 'all laws and the most effects' gives 0 simulate --gates 1 --cells 2 --tests 2 --law all \
    --effect "$(seq -s, 1 32)"
check 'leave the other promises' says '^normal: \+2 %, the tolerance, is over '
check 'to the last' says '^drift: the interval holds the truth '
check 'more effects' refuses 'at most 32 effects' simulate --effect "$(seq -s, 1 33)"
check 'families' gives 0 simulate "${few[@]}" --families on
check 'see what all tests share' says '^skewed: \+1 % in all tests puts their family over .* 40 of 40 '
check 'a policy whose first rule is of a rate' gives 0 simulate "${few[@]}" --policy models
check 'finds what is lost of it' says '^skewed: \+7 % fails +>= 99 % +200 of 200 '
check 'a policy that fails from critical on' gives 0 simulate "${few[@]}" --policy integrative
check 'promises that what is above that fails' says '^skewed: \+17 % fails +>= 99 % +200 of 200 '
check 'and keeps that' says '^NONE BROKEN '

# What is lost of a throughput is less than all of it.
printf '{"tritgate_policy": 1, "flow": "models", "rules": [{"rule": "noninferior", "metric": "decode_rate",
    "axis": "build", "of": "head", "to": "base", "tolerance": 0.02, "margin": 0.05, "major": 0.3,
    "critical": 0.7, "effect": "throughput"}]}\n' >throughput.json
check 'a severity near the whole' gives 0 simulate "${few[@]}" --policy throughput.json --effect 7,99
check 'is below the whole' says '^ +skewed +\+85 % critical '
check 'losing all' refuses "unusable effect '100'" simulate --policy throughput.json --effect 7,100
check 'losing more' refuses "unusable effect '150': less than 100 % of a throughput can be lost" \
    simulate --policy throughput.json --effect 150

# The whole method stands on the same noise on which each part left out breaks the promise.
for part in fixed-order pooled-samples peeking no-multiplicity; do
    check "without its part: $part" gives 1 simulate --gates 60 --cells 60 --ablation "$part"
    check "$part is needed" says "^$part: a gate at the tolerance has a test over .* broken\$"
    check 'and the whole method stands' says '^none: a gate at the tolerance has a test over .* 0 of 60 .* (open|kept)$'
done

printf '0.01\n-0.02\n0.005\n0\n0.012\n-0.01\n' >noise.txt
check 'noise from a file' gives 0 simulate "${few[@]}" --noise noise.txt --law recorded
check 'is a law like others' says '^gates +recorded +\+0 % '
check 'a budget' gives 0 simulate "${few[@]}" --budget 0.000001
check 'leaves out and says so' says 'not run: the budget was spent'

check 'no matrix' refuses 'a matrix or --simulate is missing' "$TRITGATE" calibrate
check 'a matrix to simulate' refuses 'takes no matrix' simulate "$data/quick.json"
check 'an unknown law' refuses "no such law of noise 'nrmal'" simulate --law nrmal
check 'an unknown ablation' refuses "no such ablation 'order'" simulate --ablation order
check 'no gates' refuses "unusable number of gates '0'" simulate --gates 0
check 'a plot of an ablation' refuses '--plot draws power by effect' \
    simulate --ablation peeking --plot none.svg
check 'a plot of real runs' refuses 'means nothing without --simulate' \
    "$TRITGATE" calibrate "$data/quick.json" --plot none.svg
check 'which draw nothing' test ! -e none.svg
check 'an sd of nothing' refuses "unusable sd '0'" simulate --sd 0
check 'effects that are none' refuses "unusable effect ',5'" simulate --effect 2,,5
check 'noise that is none' refuses "cannot open noise 'nowhere'" simulate --noise nowhere
echo quick >bad.txt
check 'a file that holds no noise' refuses 'line 1: not a logarithm of a ratio' simulate --noise bad.txt
check 'the recorded law without noise' refuses "needs --noise" simulate --law recorded
check 'a policy without the rule' refuses "has no rule 'noninferior'" \
    simulate --policy "$data/quick_policy.json"
mkdir kernels
check 'a policy by its name, on three threads' gives 0 simulate "${few[@]}" --policy kernels --threads 3 \
    --json named.json
check 'has the same bytes as built in, on one' cmp one.json named.json
check 'JSON that cannot be written' refuses "cannot write" simulate --json nowhere/f.json
check 'nor beside its place' refuses 'File name too long' simulate --json "$(printf '%0255d' 0)"
check 'which is known before anything is simulated' test ! -s out

finish
