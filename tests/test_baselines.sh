#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stored baselines: what is promoted and what is not; what a run makes of a store.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

# Head against its copy: real kernels whose values agree, since the margin is wide.
noninferior='{"rule": "noninferior", "metric": "call_time", "axis": "build", "of": "head", "to": "base",
     "tolerance": 0.25, "margin": 0.9, "where": "op=product"}'
sed -e "/\"rule\": \"ratio\"/,/limit/d" -e "s|\"rules\": \[|&\n    $(tr '\n' ' ' <<<"$noninferior")|" \
    "$data/quick_policy.json" >record_policy.json
printf '{"tritgate_matrix": 1, "policy": "record_policy.json", "axes": {"probe": ["kernel"],
    "kernel": ["i2s_scalar"], "layer": ["64x256"]}}\n' >record.json
promote() { "$TRITGATE" baseline promote "$@"; }
# Three runs that agree: beside busy neighbours that takes more than one try.
for _ in 1 2 3 4 5; do
    rm -rf run1 run2 run3 tried
    for i in 1 2 3; do
        check "run $i without a base decides nothing" gives 2 "$TRITGATE" run record.json --out "run$i"
    done
    if promote run1 run2 run3 --store tried >/dev/null 2>&1; then break; fi
done
rm -rf tried

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
gives 2 "$TRITGATE" run record.json --budget 0.01 --host alone --out short >/dev/null
check 'a run that had no time' refuses 'has 3 whole rounds of head alone or beside its copy' promote run1 short
cp -r short long
gives 2 "$TRITGATE" run --resume short --budget 30 >/dev/null
gives 2 "$TRITGATE" run --resume long --budget 30 >/dev/null
check 'nor one and its copy, both gone on with' refuses "runs 'short' and 'long' have a measurement in common" \
    promote short long
ask slow '"stub_twice"' limit=1.5
gives 1 "$TRITGATE" run slow.json --out failed >/dev/null
check 'a run that failed' refuses "run 'failed' cannot be promoted: it failed" promote run1 failed
sed -i 's/"rounds_min"/"min_sessions": 2, &/' slow_policy.json
gives 2 "$TRITGATE" run slow.json --out held >/dev/null
check 'or would by a second one' refuses "run 'held' cannot be promoted: it would fail, if another run saw what it did" \
    promote run1 held
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
    "$0" baseline promote run1 run3 & one=$!; "$0" baseline promote run2 run3 & two=$!
    wait $one && wait $two' "$TRITGATE"
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
check 'says so' says "its library [0-9a-f]{16} is not in the store"

# forge STORE SED: changes its entry so that digest and name fit again.
forge() {
    local file text digest key name
    file=$(echo "$1"/entries/*.json)
    sed -i -E "$2" "$file"
    text=$(sed -e '/^  "digest"/d' -e 's/^ *//' -e 's/": /":/' -e 's/}, {$/},{/' "$file" | tr -d '\n')
    text=${text%,\}}\}
    digest=$(printf '%s' "$text" | sha256sum | cut -d' ' -f1)
    sed -i "s/^  \"digest\": .*/  \"digest\": \"$digest\"/" "$file"
    key=(hardware machine version build models canary step policy matrix)
    name=$(
        {
            for part in "${key[@]}"; do
                printf '%s\0' "$(sed -n "s/^    \"$part\": \"\(.*\)\",\{0,1\}\$/\1/p" "$file")"
            done
            sed -n 's/^  "library": "\(.*\)",$/\1/p' "$file" | tr -d '\n'
        } | sha256sum | cut -c1-16
    )
    [[ $file == "$1/entries/$name.json" ]] || mv "$file" "$1/entries/$name.json"
}
# store NAME [SED]: a copy of the store, forged.
store() { mkdir "$1" && cp -r baselines/. "$1" && forge "$1" "${2:-}"; }
with() { "$TRITGATE" run record.json --out "by-$1" --baseline "$1" "${@:2}"; }
rounds_of() { h5dump -d /runs -y "by-$1"/worker-*.h5 | grep -c 'build=base.*|\||.*build=base'; }

# sessions STORE ADD...: one after the other, its first value and so much.
sessions() {
    local store=$1
    shift
    awk -v more="$*" '
    BEGIN { split(more, add) }
    /^ *"value"/ {
        if (!n++) { first = $2; sub(",", "", first) }
        sub(/-[0-9.]+/, sprintf("%.5g", first + add[n]))
    }
    { print }' "$store"/entries/*.json >forged && cat forged >"$(echo "$store"/entries/*.json)"
    forge "$store" ''
}

store quiet
sessions quiet 0.55 0.6 0.65 # so much slower that no neighbour raises an alarm
check 'the forger forges well' gives 0 "$TRITGATE" baseline list --store quiet
check 'three sessions' says '1 cell  3 sessions'

cp -r quiet kept
check 'a base and a baseline' refuses 'either --base or --baseline' with quiet --base moved.so
check 'a store that is not there' refuses "no store of baselines at 'nowhere'" with nowhere
check 'where head is no slower, it passes' gives 0 with quiet
check 'says of what' says '^base is the library of a stored baseline, made .* of 3 sessions$'
check 'by the baseline' says '^  unchanged \(baseline\) +i2s_scalar, 64x256 '
check 'and base was never measured' test "$(rounds_of quiet)" = 0
cp out before
cp -r quiet partly && echo '{}' >partly/entries/0123456789abcdef.json
check 'beside one that cannot be read it passes, too' gives 0 with partly
check 'and names that' says \
    "^base is the library .* of 3 sessions; '0123456789abcdef' of the store cannot be used: .*not a baseline of this version$"
check 'over several ranks, too' gives 0 farm record.json --out by-ranks --baseline quiet
check 'it passes' says '^  unchanged \(baseline\) +i2s_scalar, 64x256 '
check 'a run may be gone on with' gives 0 "$TRITGATE" run --resume by-ranks
check 'and says the same' says '^  unchanged \(baseline\) +i2s_scalar, 64x256 '
mv quiet gone # the run needs no store to be judged again
check 'gate says it again' gives 0 "$TRITGATE" gate by-quiet
check 'in the same words' diff <(grep -v '^evidence in' before) out

# In these sessions the kernel took a seventh of the time.
store fast
sessions fast -2 -2 -2
check 'an alarm is decided beside the library' gives 0 with fast
check 'and head, which is the same, is not slower' says '^  (unchanged|pass|improved)[*]? +i2s_scalar, 64x256 '
check 'base was measured for it' test "$(rounds_of fast)" -gt 0
check 'gate replays the alarm' gives 0 "$TRITGATE" gate by-fast
rm fast/libraries/*.so
rm -r by-fast
check 'without the library' gives 2 with fast
check 'it is only suspect' says 'suspect: [0-9.]+ % slower than 3 stored sessions, whose library is not there'
check 'and that is said first' says '^compared with the numbers of a stored baseline only, .*: its library [0-9a-f]{16} is not in the store$'
echo other >"fast/libraries/$(cd baselines/libraries && echo *.so)"
rm -r by-fast
check 'nor is a changed one used' gives 2 with fast
check 'which is said' says 'its library [0-9a-f]{16} was changed$'

# none STORE WORDS: it is not used, for this reason; the run goes on without.
none() { gives 2 with "$1" && says "^cannot pass: no stored baseline is used: [0-9a-f]{16}$2" && says '^not compared with an earlier build$'; }
store old 's/^  "expires": "20/  "expires": "19/'
check 'an expired one' none old ' expired on 19'
store foreign 's/^(    "machine": ".*)cores=/\1cores=9/; s/^(    "hardware": ")..../\10000/'
check 'one of another machine' none foreign ' differs: cores [0-9]+ here, 9[0-9]+ there$'
store lax 's/^(    "policy": ")..../\10000/'
check 'one of another policy' none lax ' differs: policy [0-9a-f]{16} here, 0000[0-9a-f]{12} there$'
rm -r edited/entries && cp -r baselines/entries edited && sed -i 's/"rounds": 3/"rounds": 4/' edited/entries/*
check 'an edited one' none edited ': it was edited'
rm edited/entries/*
check 'an empty store' bash -c '"$0" run record.json --out by-empty --baseline edited | grep -q "^cannot pass: no stored baseline is used: the store is empty$"' "$TRITGATE"
check 'no run has written into a store' diff -r gone kept
finish
