#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rounds that the machine disturbed are kept, left out, repeated and told; the files say so again.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

cell='probe=kernel kernel=i2s_avx2 layer=256x2560'
policy() { # LIMITS: a policy with these
    printf '{"tritgate_policy": 1, "flow": "review", "limits": {"rounds_min": 5%s}, "rules": [{"rule":
      "noninferior", "metric": "call_time", "axis": "build", "of": "head", "to": "base",
      "tolerance": 0.02, "margin": 0.05}]}\n' "$1"
}
policy ', "steal_share": 0.2' >policy.json
policy '' >lax.json
policy ', "steal_share": 0.2, "disturbed_share": 0.1' >strict.json
printf '{"tritgate_matrix": 1, "policy": "policy.json", "axes": {"probe": ["kernel"],
  "kernel": ["i2s_avx2"], "layer": ["256x2560"]}}\n' >one.json

# Recorded noise, of rounds 0 to 29; the host took a third of rounds 3, 7 and 21, as one side saw.
awk -v of="$cell" -v metric=call_time -v effect=1 -v first=0 -v end=30 -v hosts=a -v cpus=A \
    -v sickness=1 -v broken_end=0 -v of_library="$(printf %064d 1)" -v to_library="$(printf %064d 2)" \
    -f "$data/lines.awk" "$data/loaded_noise.txt" |
    sed -E '/"cell":"[^"]*build=base [^"]*",.*"round":(3|7|21),/ s/"cpu":/"sampled_s":0.3,"own_steal_s":0.1,"cpu":/' >lines
check 'such lines are evidence' gives 0 "$TRITGATE" import lines run --matrix one.json
check 'that is decided on' gives 0 "$TRITGATE" gate run --imported
check 'with what was disturbed' \
    says '^in all tests together, 3 of 30 rounds were disturbed and left out: steal in 3$'
cp out first
cp -r run elsewhere
check 'in the same bytes wherever it is' gives 0 "$TRITGATE" gate elsewhere --imported
check '... the same' cmp out first
check 'in Markdown' bash -c '"$0" report run --format markdown | grep -qF "| 27 (3 disturbed) |"' "$TRITGATE"
check 'in the receipt' bash -c '"$0" report run --format receipt | grep -qE "\"disturbed\": *3"' "$TRITGATE"
check 'nothing of it is lost' test "$("$TRITGATE" report run --format lines | wc -l)" = 60
check 'a policy that does not ask counts all' gives 0 "$TRITGATE" gate run --imported --policy lax.json
check '... and says nothing' bash -c '! grep -q disturbed "$0"' "$work/out"
tr -d '\n' <strict.json | sed 's/0.1}/0.09}/' >stricter.json
check 'as many as may be' gives 0 "$TRITGATE" gate run --imported --policy strict.json
check 'one more decides nothing' gives 2 "$TRITGATE" gate run --imported --policy stricter.json
check '... and why' says '^  disturbed  i2s_avx2.*3 of 30 rounds were disturbed and left out: steal in 3; at most 9 % may be'

# Every round is disturbed: each is repeated, up to the bound.
if [[ $(cut -d' ' -f1 /proc/loadavg) == 0.00 ]]; then
    echo 'skipped here: a run that is disturbed, on a node without any load'
else
    ask busy '"stub_twice", "i2s_scalar"' rounds_min=3 \
        'rounds_max=5, "repeats_max": 3, "load_most": 0'
    check 'a run that is always disturbed ends' gives 2 "$TRITGATE" run busy.json --out busy
    check '... after its repeats' says '^  disturbed  .*8 of 8 rounds were disturbed and left out: load in 8'
    cp out first
    check '... and is decided on again' gives 2 "$TRITGATE" gate busy
    check '... in the same words' diff <(grep -v '^evidence in' first) <(grep -v '^evidence in' out)
fi
finish
