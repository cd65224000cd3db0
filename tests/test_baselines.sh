#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stored baselines: what is promoted and what is not.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

# Head against its copy: real kernels whose values agree, since the margin is wide.
noninferior='{"rule": "noninferior", "metric": "call_time", "axis": "build", "of": "head", "to": "base",
     "tolerance": 0.25, "margin": 0.9, "where": "op=product"}'
sed -e "/\"rule\": \"ratio\"/,/limit/d" -e "s|\"rules\": \[|&\n    $(tr '\n' ' ' <<<"$noninferior")|" \
    "$data/quick_policy.json" >record_policy.json
printf '{"tritgate_matrix": 1, "policy": "record_policy.json", "axes": {"probe": ["kernel"],
    "kernel": ["i2s_scalar"], "layer": ["64x256"]}}\n' >record.json
for i in 1 2 3; do
    check "run $i without a base decides nothing" gives 2 "$TRITGATE" run record.json --out "run$i"
done
promote() { "$TRITGATE" baseline promote "$@"; }

check 'one run is not enough' refuses 'promote needs two runs that agree' promote run1
check 'nor is the same run twice' refuses "'run1' and 'run1' are the same run" promote run1 run1
cp -r run1 copy
check 'nor a copy of it' refuses "'run1' and 'copy' are the same run" promote run1 copy
check 'a run that is not there' refuses "cannot read run 'nowhere'" promote run1 nowhere
rm copy/digests.json
check 'a run without its seal' refuses 'it was not ended in order' promote run2 copy
rm -r copy && cp -r run1 copy && sed -i 's/"seed": "/&1/' copy/plan.json
check 'a run that was edited' refuses "'plan.json' was changed after the run" promote run2 copy
check 'evidence can be imported' bash -c '
    "$0" report run1 --format lines --out lines && "$0" import lines imported --policy record_policy.json \
    --matrix record.json' "$TRITGATE"
check 'but not promoted' refuses 'its evidence was imported' promote run2 imported
ask slow '"stub_twice"' limit=1.5
gives 1 "$TRITGATE" run slow.json --out failed >/dev/null
check 'a run that failed' refuses "run 'failed' cannot be promoted: it failed" promote run1 failed
sed 's/64x256/128x256/' record.json >other.json
gives 2 "$TRITGATE" run other.json --out other >/dev/null
check 'runs of different matrices' refuses "'run1' (here) and 'other' (there) are not of the same kind: matrix " \
    promote run1 other
cp "$TRITGATE_LIB" moved.so && echo >>moved.so
gives 2 "$TRITGATE" run record.json --head moved.so --out rebuilt >/dev/null
check 'runs of different libraries' refuses 'measured different libraries' promote run1 rebuilt
gives 2 "$TRITGATE" run record.json --head moved.so --out rebuilt2 >/dev/null
rm moved.so
check 'a library that is gone' refuses "cannot read library '$work/moved.so'" promote rebuilt rebuilt2
check 'or another than was measured' refuses 'is not the one that the runs measured' \
    promote rebuilt rebuilt2 --library "$TRITGATE_LIB"
check 'none of this made an entry' bash -c '! compgen -G "baselines/entries/*"'

check 'two runs that agree are promoted' gives 0 promote run1 run2
check 'and it is said what of' says '^[0-9a-f]{16}  1 cell, 2 sessions, expires 20'
name=$(cut -c1-16 out)
check 'the library is kept, whole' cmp "$TRITGATE_LIB" baselines/libraries/*.so
check 'two promotions at once' bash -c '
    "$0" baseline promote run1 run3 & "$0" baseline promote run2 run3 & wait -n && wait -n' "$TRITGATE"
check 'lose nothing' gives 0 "$TRITGATE" baseline list
check 'of three runs' says "^$name  .*  1 cell  3 sessions  hardware [0-9a-f]{16}  library [0-9a-f]{16}  expires 20"
check 'what is kept can be seen' gives 0 "$TRITGATE" baseline show "$name"
check 'as it is' diff out "baselines/entries/$name.json"
check 'a name that is not there' refuses "no baseline 'x' in 'baselines'" "$TRITGATE" baseline show x
check 'another store is named' gives 0 promote run1 run2 --store elsewhere --expires 1
check 'and made' test -s "elsewhere/entries/$name.json"
check 'days that are none' refuses "unusable days '0'" promote run1 run2 --expires 0

mkdir edited && cp -r baselines/. edited
sed -i 's/"rounds": 3/"rounds": 4/' "edited/entries/$name.json"
check 'an edited one is named' gives 0 "$TRITGATE" baseline list --store edited
check 'with what is wrong' says "^$name  cannot be used: it was edited"
check 'not shown' refuses "baseline '$name': it was edited" "$TRITGATE" baseline show "$name" --store edited
check 'and not added to' refuses 'remove it first: it was edited' promote run1 run2 --store edited
rm edited/libraries/*.so && cp baselines/entries/* edited/entries
check 'a store without the library' gives 0 "$TRITGATE" baseline list --store edited
check 'says so' says "its library is not at 'edited/libraries/"
finish
