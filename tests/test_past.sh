#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The history of decided runs: what is kept, once, by several at a time; what is refused; what is said.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

history() { "$TRITGATE" history store "$@"; }

sed 's/"axis": "kernel",/"axis": "build",/; s/"ratio"/"noninferior"/
     s/"of": "stub_\*", "to": "i2s_scalar", "limit": 0.1/"of": "head", "to": "base", "tolerance": 0.02, "margin": 0.05/
    ' "$data/quick_policy.json" >builds.json
for run in one two; do
    check "run $run" gives 0 "$TRITGATE" run "$data/quick.json" --out "$run"
done
"$TRITGATE" run "$data/quick.json" --policy builds.json --out same --base "$TRITGATE_LIB" --same >out 2>&1
"$TRITGATE" run "$data/quick.json" --policy builds.json --out shadow >out 2>&1

check 'no history' refuses "cannot read history 'store'" history
check 'a run is added' gives 0 history one
check 'and said so' says '^1 run added or gone on with, 0 known'
check 'once' gives 0 history one two
check 'and the other with it' says '^1 run added or gone on with, 1 known'
check 'nothing compared a build with itself' says '^false alarms so far: none'
check 'runs of a build against itself' gives 0 history same shadow
check 'are counted' says '^false alarms so far: 0 of 2 runs \(at most 77.6 %\), 0 of 4 tests'
check 'there is a series' says 'ratio call_time, stub_twice vs i2s_scalar, 64x256$'
check 'too short to be looked at' says '^0 of [0-9]+ series show a change; none is long enough to be looked at$'
check 'of two runs' says '^    2 runs, 20..-..-..T..:..:..Z to 20'

check 'the same history, the same bytes' bash -c '"$1" history store >a && "$1" history store >b && cmp a b' - "$TRITGATE"
check 'a chosen series' gives 0 history --test '32x512: head vs base' --json chosen.json
check 'alone' bash -c 'grep -c "\"rule\"" chosen.json | grep -qx 1' -
check 'none of that name' refuses "no series of 'store' matches 'nothing'" history --test nothing --plot none.svg
check 'so that nothing is drawn' test ! -e none.svg
check 'a plot' gives 0 history --plot plot.svg
check 'has a panel for each course of two runs' bash -c 'grep -c "font-weight=.bold.>call_time, stub_twice vs" plot.svg | grep -qx 4' -
check 'that cannot be written' refuses "cannot write 'no/plot.svg'" history --plot no/plot.svg
check 'h5dump reads its file' bash -c 'h5dump -y -d /tests store/*.h5 | grep -q "kernel=stub_twice"'

rm -r store
for run in one two same shadow; do history "$run" >"out.$run" 2>&1 & done
wait
check 'four at once lose nothing' gives 0 history one two same shadow
check 'for all were there' says '^0 runs added or gone on with, 4 known'

# An open run, which waits for no other one, is kept, gone on with, and kept as it is then.
ask brief '"stub_twice"' rounds_min=20 budget_s=0.2
check 'a run whose budget is spent is open' gives 2 "$TRITGATE" run brief.json --host alone --out brief
cp -r brief before
check 'it is added' gives 0 history brief
runs() { h5dump -H -d /runs store/*.h5 | grep -oE 'SIMPLE \{ \( [0-9]+' | grep -oE '[0-9]+$'; }
check 'as a fifth' test "$(runs)" = 5
check 'it goes on' gives 0 "$TRITGATE" run --resume brief --budget 60
check 'and is added again' gives 0 history brief
check 'as what it is now' says '^1 run added or gone on with, 0 known'
check 'in its own place' test "$(runs)" = 5
check 'a copy of what it was' gives 0 history before brief
check 'is known' says '^0 runs added or gone on with, 2 known'
check 'and changes nothing' test "$(runs)" = 5

check 'a run that was not sealed' bash -c 'cp -r one open && rm open/digests.json'
check 'is refused' refuses "run 'open' is not kept: it was not ended in order" history open
check 'no run' refuses "cannot read run 'nowhere'" history nowhere
names() { [[ $(wc -l <err) == "$1" ]] && grep -qF -- "$2" err; }
rm -r store
check 'beside others' gives 0 history one open two
check 'it is passed over' says '^2 runs added or gone on with, 0 known .*, 1 not kept$'
check 'by its name' names 1 "run 'open' is not kept: it was not ended in order"
check 'and the others are shown' says '^    2 runs, 20..-..-..T..:..:..Z to 20'
check 'what is no run is not passed over in silence' gives 3 history nowhere one same
check 'but by its name' names 1 "cannot read run 'nowhere'"
check 'and keeps no run back' says '^1 run added or gone on with, 1 known .*, 1 not kept$'
check 'of two that cannot be kept' gives 3 history open nowhere
check 'each is named' names 2 "run 'open' is not kept"
check 'and nothing is shown' test ! -s out
check 'no store' refuses "'one' is a run, and no history" "$TRITGATE" history one two
mkdir -p merged/shard-0001
check 'nor what merge made' refuses "'merged' is a run, and no history" "$TRITGATE" history merged one
check 'so that nothing is added to it' bash -c '! compgen -G "merged/*.lock"'
check 'so that nothing is added to a run' bash -c '! compgen -G "one/*.lock"'
check 'unusable numbers' refuses 'permutations are not enough' history --watch 'level=0.0001'
check 'unknown numbers' refuses "unknown watch 'levl'" history --watch 'levl=0.1'
for file in store/*.h5; do echo text >"$file"; done
check 'a foreign file' refuses 'not a whole HDF5 file' history
check 'is not written over' refuses 'not a whole HDF5 file' history one
finish
