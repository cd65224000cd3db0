#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One broken device among sound ones: what it could not measure others do, and it is named. The fake
# device of rank 1 is broken in several ways, that of rank 2 in none.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

cat >policy.json <<'JSON'
{"tritgate_policy": 1, "flow": "f", "limits": {"budget_s": 120, "deadline_s": 10, "warmup_min_s": 0.001,
  "warmup_max_s": 0.01, "round_s": 0.01, "rounds_min": 3, "broken_most": 3},
 "rules": [{"rule": "floor", "metric": "kernel_accuracy", "limit": 0.9}]}
JSON
printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["fake_product", "i2s_scalar"],
    "layer": ["64x256"], "batch": [1, 2, 3, 4, 5, 6]}}\n' >many.json
printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["fake_product"],
    "layer": ["64x256"]}}\n' >one.json

# ranks MATRIX NAME FIRST SECOND [OPTION...]: a run by two workers with devices of these manners.
ranks() {
    local options=(run "$1" --policy policy.json --out "$2" "${@:5}")
    ends_at_once mpirun -n 1 "$TRITGATE" "${options[@]}" : \
        -n 1 env "TRITGATE_FAKE_GPU=uuid=GPU-1 $3" "$TRITGATE" "${options[@]}" : \
        -n 1 env "TRITGATE_FAKE_GPU=uuid=GPU-2 $4" "$TRITGATE" "${options[@]}"
}
broke() { # broke NAME UUID: rounds that broke on that device
    "$TRITGATE" report "$1" --format lines | grep -E '"outcome":"(crashed|late)"' | grep -c "\"$2\""
}

check 'two sound devices' gives 0 ranks many.json sound '' ''
check 'have nothing said of them' bash -c '! grep -q "broken device" out'
check 'one that crashes with every call' gives 0 ranks many.json crashes fault_after=1 ''
check 'is named' says '^broken device: GPU-1 of .*, alone; rounds of [0-9]+ tests? broke there'
check 'in Markdown, too' grep -q 'broken device: GPU-1 of ' crashes/report.md
check 'and in the receipt' bash -c '"$1" report crashes --format receipt | grep -q "broken device: GPU-1 of "' - "$TRITGATE"
check 'it was not tried more often than the policy says' test "$(broke crashes GPU-1)" -le 3
check 'nothing was left out' bash -c '! "$1" report crashes --format lines | grep -q "left out"' - "$TRITGATE"
check 'all was decided' bash -c '[[ $(grep -c "^  pass  *fake_product" out) == 6 ]]'
check 'again from the files' gives 0 "$TRITGATE" gate crashes
check 'in the same words' says '^broken device: GPU-1 of '
check 'one that is lost in the middle' gives 0 ranks one.json lost fault_after=30 ''
sed -i 's/"deadline_s": 10/"deadline_s": 3/' policy.json
check 'one that hangs' gives 0 ranks one.json hangs hang_after=1 ''
check 'is named' says '^broken device: GPU-1 of '
sed -i 's/"deadline_s": 3/"deadline_s": 10/' policy.json
with_driver() { LD_LIBRARY_PATH=${TG_NEW_DRIVER:-$TG_BUILD/tests/new_driver} TG_FAKE_NVML=gpus=2 "$@"; }
check 'one that cannot be opened, which the driver names' \
    gives 0 with_driver ranks many.json absent absent=1 ''
check 'is named' says '^broken device: GPU-00000000-'
check 'one that nobody can name is not called broken' gives 2 ranks one.json nameless absent=1 ''
check 'nor tried for ever' test "$("$TRITGATE" report nameless --format lines | wc -l)" -lt 15
check 'what crashes everywhere fails' gives 1 ranks one.json everywhere fault_after=1 fault_after=1
check 'and no device is blamed' bash -c '! grep -q "broken device" out'
check 'what no device can open is inconclusive' gives 2 ranks one.json none absent=1 absent=1
cp "$TRITGATE_LIB" head.so && printf x >>head.so
sed -i 's/{"rule": .*/{"rule": "noninferior", "metric": "call_time", "axis": "build", "of": "head",\n  "to": "base", "tolerance": 0.1, "margin": 0.25}]}/' policy.json
check 'a head that crashes where base does not fails' gives 1 ranks one.json regression \
    "only=$(sha256sum head.so | cut -c1-16) fault_after=1" '' --base "$TRITGATE_LIB" --head head.so
check 'and no device is blamed' bash -c '! grep -q "broken device" out'
finish
