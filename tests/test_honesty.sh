#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every way of passing without measuring, each refused. Add yours when you think of one.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

# never COMMAND...: the command must not exit 0.
never() {
    "$@" >"$work/out" 2>"$work/err" </dev/null
    [[ $? != 0 ]] || { cat "$work/out"; return 1; }
}

quick=$data/quick.json
check 'a run to begin with' gives 0 "$TRITGATE" run "$quick" --out run

ask nothing '"i2s_scalar"'
check 'no test: refused' refuses 'no rule of policy' "$TRITGATE" run nothing.json --out r1

ask pattern '"stub_nothing*"'
check 'a pattern that matches nothing is no pass' never "$TRITGATE" run pattern.json --out r2

printf '{"tritgate_matrix": 1, "policy": "%s", "axes": {"probe": ["kernel"],
  "kernel": ["stub_twice"], "layer": ["64x100"]}}' "$data/quick_policy.json" >unfit.json
check 'tests that nobody can run leave nothing resolved: inconclusive' gives 2 "$TRITGATE" run unfit.json --out r3
check 'and it says so' says 'nothing that counts could be measured here'

sed 's/"limit": 0.1/"limit": 0.1, "required": true/' "$data/quick_policy.json" >must.json
printf '{"tritgate_matrix": 1, "policy": "must.json", "axes": {"probe": ["kernel"],
  "kernel": ["stub_twice"], "layer": ["64x256", "64x100"]}}' >must_matrix.json
check 'a required test without a machine: inconclusive' gives 2 "$TRITGATE" run must_matrix.json --out r4

sed 's/"budget_s": 20/"budget_s": 20, "require_base": true/' "$data/quick_policy.json" >base.json
check 'a base is required and none given: inconclusive' gives 2 "$TRITGATE" run "$quick" --policy base.json --out r5

check 'without a base the report says so first' grep -q 'not compared with an earlier build' run/report.md
shadow='{"tritgate_policy":1,"flow":"review","limits":{"rounds_min":3,"round_s":0.005,"sample_s":0.00005,"warmup_min_s":0.001,"warmup_max_s":0.01},"rules":[{"rule":"noninferior","metric":"call_time","axis":"build","of":"head","to":"base","tolerance":0.02,"margin":0.05}]}'
echo "$shadow" >shadow.json
check 'shadows alone never pass' gives 2 "$TRITGATE" run "$quick" --policy shadow.json --out r6
sed -e 's/stub_twice/i2s_scalar", "stub_crash/' "$quick" >crash.json
sed 's|"rules": \[|&{"rule": "floor", "metric": "kernel_accuracy", "where": "kernel=i2s_scalar", "limit": 0.9},|' \
    shadow.json >crash_policy.json
check 'a head that crashes beside its copy fails' gives 1 "$TRITGATE" run crash.json --policy crash_policy.json --out r6a
check 'whichever of them it was' says '^  fail +stub_crash, .* 2 times; last: stub_crash of (head|copy) crashed'
must='{"rule": "noninferior", "metric": "call_time", "axis": "build", "of": "head", "to": "base", "tolerance": 0.02,
    "margin": 0.05, "required": true}'
sed "s|\"rules\": \[|&$(tr '\n' ' ' <<<"$must"),|" "$data/quick_policy.json" >compare.json
check 'builds that must be compared need a base' gives 2 "$TRITGATE" run "$quick" --policy compare.json --out r6b
check 'and it says so' says 'required, and not measured: call_time .*there is no base to compare with'

check 'no worker file: inconclusive, not a pass' bash -c 'cp -r run gone && rm gone/worker-* gone/digests.json'
check 'it is' gives 2 "$TRITGATE" gate gone
check 'some rows only' bash -c 'cp -r run half && rm half/digests.json && cp run/worker-0000.1.h5 half/'
check 'an unsealed copy cannot pass: what it lacks is not known' gives 2 "$TRITGATE" gate half

check 'another matrix put into a run is refused' bash -c 'cp -r run swapped && cp "$1" swapped/matrix.json' - "$quick"
sed -i 's/64x256/64x128/' swapped/matrix.json
check 'it is (sealed)' refuses 'was changed after the run' "$TRITGATE" gate swapped
rm swapped/digests.json
check 'it is (unsealed)' refuses 'belongs to another run' "$TRITGATE" gate swapped

check 'files of two runs do not mix' bash -c '"$1" run "$2" --out second >/dev/null 2>&1; cp -r run mixed
    rm mixed/digests.json; cp second/worker-0000.1.h5 mixed/worker-0001.1.h5' - "$TRITGATE" "$quick"
check 'refused' refuses 'belongs to another run' "$TRITGATE" gate mixed

cp "$TRITGATE_LIB" same.so
echo "$shadow" >aa.json
check 'A/A is said to be A/A' gives 0 "$TRITGATE" run "$quick" --policy aa.json --base same.so --same --out aa
check 'first' bash -c 'head -n 1 "$1" | grep -qx "A/A: base and head are the same file"' - out

few source
from=$PWD/source check 'a debug library is built' library debug -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=
check 'a slow library is built' library slow -DCMAKE_BUILD_TYPE=Release -DTRITGATE_INJECT_SLOWDOWN=300
sed 's/"budget_s": 20/"budget_s": 20, "require_release": true/' "$data/quick_policy.json" >release.json
check 'a debug build is never passed where a release is required' gives 2 \
    "$TRITGATE" run "$quick" --policy release.json --head debug/libtritgate-kernels.so --out r7
check 'and the report says so' says 'head was built with assertions in it'
check 'a slower head fails' gives 1 "$TRITGATE" run "$quick" --policy aa.json --base "$TRITGATE_LIB" \
    --head slow/libtritgate-kernels.so --out r8
check 'and the slow-down is named on the first line' bash -c \
    'head -n 1 "$1" | grep -qx "head is slowed by 300 % on purpose"' - out
check 'in the report' bash -c 'sed -n 3p r8/report.md | grep -q "head is slowed by 300 % on purpose"'

check 'what cannot be started says nothing of head' gives 2 bash -c \
    'ulimit -n 70; "$1" run "$2" --out starved' - "$TRITGATE" "$quick"
check 'and why is told' says 'Too many open files'

sed 's/stub_twice/stub_wrong/' "$quick" >wrong.json
cp "$data/quick_policy.json" .
check 'wrong has no speed' gives 1 "$TRITGATE" run wrong.json --out r9
check 'what is right has samples' bash -c 'h5dump -d /series "$@" | grep -q call_time' - run/worker-*.h5
check 'what is wrong has none' bash -c 'h5dump -d /series "$@" >series && ! grep -q call_time series' - \
    r9/worker-*.h5

ask recalls '"stub_recalls"'
sed -i 's/64x256/640x2560/' recalls.json
check 'a kernel that remembers its results cannot pass' gives 2 "$TRITGATE" run recalls.json --out r10
check 'its time is called impossible' says '^  impossible +stub_recalls vs i2s_scalar'
finish
