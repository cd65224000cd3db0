#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Evidence from elsewhere: lines that were not measured here become runs, and are decided on.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

head=1111111111111111111111111111111111111111111111111111111111111111
base=2222222222222222222222222222222222222222222222222222222222222222
cell='probe=kernel kernel=i2s_avx2 layer=256x2560'

# lines [NAME=VALUE...]: those of tests/data/lines.awk with these variables in it.
lines() {
    local option options=()
    for option; do options+=(-v "$option"); done
    awk -v of="$cell" -v metric=call_time -v effect=1 -v first=0 -v end=40 -v hosts=a -v cpus=A \
        -v sickness=1 -v broken_end=0 -v of_library=$head -v to_library=$base "${options[@]}" \
        -f "$data/lines.awk" "$data/loaded_noise.txt"
}

# decides STATUS NAME [NAME=VALUE...]: such lines, imported as NAME under the strict matrix.
decides() {
    local status=$1 name=$2
    shift 2
    lines "$@" >"$name.jsonl"
    gives 0 "$TRITGATE" import "$name.jsonl" "$name" --matrix one.json || return 1
    gives "$status" "$TRITGATE" gate "$name" --imported
}

policy='{"tritgate_policy": 1, "flow": "review", "limits": {"budget_s": 1}, "rules": [{"rule":
  "noninferior", "metric": "call_time", "axis": "build", "of": "head", "to": "base",
  "tolerance": 0.02, "margin": 0.05, "major": 0.10}]}'
echo "$policy" >policy.json
matrix() { # CELL...: a matrix of these kernels and layers
    printf '{"tritgate_matrix": 1, "policy": "policy.json", "axes": {"probe": ["kernel"],
      "kernel": [%s], "layer": [%s]}}\n' "$1" "$2"
}
matrix '"i2s_avx2"' '"256x2560"' >one.json
matrix '"i2s_avx2"' '"256x2560", "640x2560"' >two.json

# The Nth piece between fences of the section on lines from elsewhere.
example() {
    awk -v wanted="$1" '/^##/ { mine = $0 == "### Lines from elsewhere" }
        mine && /^```/ { inside = !inside; piece += inside; next }
        mine && inside && piece == wanted' "$TG_SOURCE/docs/RESULTS.md"
}
example 1 >elsewhere.jsonl && example 2 >elsewhere.json
check 'the lines of the document are two' test "$(wc -l <elsewhere.jsonl)" = 2
check 'without a policy it is the default one' refuses \
    "under the default policy (--policy chooses another): no rule of policy 'kernels' selects a cell" \
    "$TRITGATE" import elsewhere.jsonl elsewhere
check 'they make a run' gives 0 "$TRITGATE" import elsewhere.jsonl elsewhere --policy elsewhere.json
check 'one round does not tell' gives 2 "$TRITGATE" gate elsewhere --imported
check 'and says how many would, not how long they take elsewhere' says \
    'not decided after 1 round; at least [0-9]+ rounds more would be needed'
for round in {0..11}; do sed "s/\"round\":0/\"round\":$round/" elsewhere.jsonl; done >copied.jsonl
check 'one of them twelve times' gives 0 "$TRITGATE" import copied.jsonl copied --policy elsewhere.json
check 'does not either' gives 2 "$TRITGATE" gate copied --imported
check 'and why is said' says '^  impossible .* every round gives the same value to the last digit: copied, or written too coarsely$'
sed 's/"round":[13579],.*"samples":\[41.2/&9/; s/4[01]\.[0-9],/1.4,/g; s/4[01]\.[0-9]\]/1.4]/; s/41\.29,/1.5,/' copied.jsonl >coarse.jsonl
check 'nor do two values that are neighbours' gives 0 "$TRITGATE" import coarse.jsonl coarse --policy elsewhere.json
check 'which may be as far apart as the margin' gives 2 "$TRITGATE" gate coarse --imported
check 'and the step is told' says '^  impossible .* its samples are written in steps of 7.1 %, and how they were rounded may have decided: write more digits$'
for round in {0..11}; do sed "s/\"round\":0/\"round\":$round/; s/40\.9/&$round/" elsewhere.jsonl; done >rounds.jsonl
check 'twelve of them do' gives 0 "$TRITGATE" import rounds.jsonl rounds --policy elsewhere.json
check 'and pass' gives 0 "$TRITGATE" gate rounds --imported
sed 's/\("rules": \[\)/\1{"rule": "floor", "metric": "decode_rate", "where": "probe=engine", "limit": 60},/' \
    elsewhere.json >floor.json
check 'a floor of a cell that has lines beside base only' gives 0 "$TRITGATE" import rounds.jsonl floor --policy floor.json
check 'is not met by them, nor left out' gives 2 "$TRITGATE" gate floor --imported
check 'but missing' says '^  inconclusive  bitnet-2b .* no line of its block was imported$'
sed 's/"limit": 60/"limit": 60, "optional": true/' floor.json >wish.json
check 'an optional one' gives 0 "$TRITGATE" import rounds.jsonl wish --policy wish.json
check 'is left out' gives 0 "$TRITGATE" gate wish --imported
sed 's/\("rules": \[\)/\1{"rule": "floor", "metric": "prefill_rate", "where": "probe=engine", "limit": 60},/' \
    elsewhere.json >other.json
check 'one of what no line has' gives 0 "$TRITGATE" import rounds.jsonl other --policy other.json
check 'is skipped' gives 0 "$TRITGATE" gate other --imported
sed 's/"samples":\[41.2,/"samples":[31.2,/; s/40\.\(9[0-9]*\),41.1,41.0/30.\1,31.1,31.0/' rounds.jsonl >slower.jsonl
check 'a slower head' gives 0 "$TRITGATE" import slower.jsonl slower --policy elsewhere.json
check 'fails' gives 1 "$TRITGATE" gate slower --imported
cp out slow
sed 's/"block":"\([^|]*\) | \([^"]*\)"/"block":"\2 | \1"/' slower.jsonl >turned.jsonl
check 'also where its block names base first' gives 0 "$TRITGATE" import turned.jsonl turned --policy elsewhere.json
check 'it fails' gives 1 "$TRITGATE" gate turned --imported
check 'in the same words' diff slow out
check 'and is reported' gives 0 "$TRITGATE" report slower --imported
check 'with how to decide again' says '`tritgate gate --imported DIRECTORY`'
check 'over one test' says ', over 1 statistical test;'
check 'but no command for what this program cannot run' bash -c '! grep -q "tritgate cell" out'
sed '1!d; s/"round":0/"round":99/; s/ | [^"]*"/"/; s/measured/wrong/; s/"reason":""/"reason":"no"/
    s/"series":.*/"series":[]}/' rounds.jsonl >alone.jsonl
check 'a wrong head that no test asks for' bash -c 'cat rounds.jsonl alone.jsonl |
    "$1" import - stray --policy elsewhere.json' - "$TRITGATE"
check 'lets nothing pass' gives 2 "$TRITGATE" gate stray --imported
check 'and is counted' says '^cannot pass: head was wrong, crashed or was late in 1 of 1 rows that no test asks for, or of'
sed 's/probe=engine"/probe=engine model=bitnet-3b"/; s/}\]}$/}, {"rule": "ceiling", "metric": "peak_memory", "limit": 2e9}]}/' \
    elsewhere.json >typing.json
sed '/"cell":"[^"]*build=base/d; s/ | [^"]*"/"/; s/"series":.*/"series":[{"metric":"peak_memory","samples":[1e9],"turn":[0],"begun":[0]}]}/' \
    rounds.jsonl >memory.jsonl
check 'a typing error in what compares' bash -c 'cat slower.jsonl memory.jsonl |
    "$1" import - typing --policy typing.json' - "$TRITGATE"
check 'cannot pass' gives 2 "$TRITGATE" gate typing --imported
check 'for it compares nothing' says '^cannot pass: there is a base, and not one test compares head with it$'
check 'without a base' gives 0 "$TRITGATE" import memory.jsonl memory --policy typing.json
check 'nothing is to be compared' gives 0 "$TRITGATE" gate memory --imported
sed '/"cell":"[^"]*build=base/!s/"facts":{/&"model_digest":"aaaa",/; /"cell":"[^"]*build=base/s/"facts":{/&"model_digest":"bbbb",/' \
    rounds.jsonl >files.jsonl
check 'one model of two files' gives 0 "$TRITGATE" import files.jsonl files --policy elsewhere.json
check 'is not compared' gives 2 "$TRITGATE" gate files --imported
check 'and why is said' says 'rounds with sides of two nodes, devices or model files: 12'
sed -i 's/bbbb/aaaa/' files.jsonl
check 'of one file' gives 0 "$TRITGATE" import files.jsonl file --policy elsewhere.json
check 'it is' gives 0 "$TRITGATE" gate file --imported
# The loop of docs/CI.md, with two programs that print a number of about 40.
awk '/^##/ { mine = $0 == "## Another engine" } mine && /^```/ { inside = !inside; piece += inside; next }
    mine && inside && piece == 1' "$TG_SOURCE/docs/CI.md" >measure.sh
for rate in 40 30; do
    printf '#!/bin/sh\nawk -v seed="$$" "BEGIN { srand(seed); print %d + rand() / 10 }"\n' $rate >"prints $rate"
done
chmod +x prints*
measures() { bash measure.sh "$@" >measured.jsonl; }
check 'a loop over two builds of an engine' measures './prints 40' './prints 30' 12
check 'makes lines' gives 0 "$TRITGATE" import measured.jsonl measured --policy elsewhere.json
check 'that pass' gives 0 "$TRITGATE" gate measured --imported
check 'as what they are' says '^  improved +bitnet-2b +\+3[0-9]\.[0-9]+ % '
check 'the other way round' measures './prints 30' './prints 40' 12
check 'they make lines, too' gives 0 "$TRITGATE" import measured.jsonl around --policy elsewhere.json
check 'that fail' gives 1 "$TRITGATE" gate around --imported
sed -i 's|/proc/cpuinfo|/dev/null|' measure.sh
check 'where Linux does not name the processor' measures './prints 40' './prints 40' 1
check 'the machine does' grep -q "\"cpu\":\"$(uname -m)\"" measured.jsonl
check 'a build that fails ends the loop' bash -c '! bash measure.sh "./prints 40" false 2 >none.jsonl'
mkdir path
check 'and so does one that has no file here' bash -c \
    'cd path && ! PATH="..:$PATH" bash ../measure.sh "prints 40" "prints 30" 1 >../none.jsonl'
check 'without a line' test ! -s none.jsonl
sed '1s/measured/crashed/; 3s/measured/crashed/; 1s/"reason":""/"reason":"no"/; 3s/"reason":""/"reason":"no"/
    1s/"series":.*/"series":[]}/; 3s/"series":.*/"series":[]}/' rounds.jsonl | sed '2s/"unpaired":0/"unpaired":1/
    4s/"unpaired":0/"unpaired":1/' >dead.jsonl
check 'an engine that crashed twice' gives 0 "$TRITGATE" import dead.jsonl dead --policy elsewhere.json
check 'has failed' gives 1 "$TRITGATE" gate dead --imported
check 'by its name' says '2 times; last: engine of head crashed: no'

mkdir kernels
lines >named.jsonl
check 'under a policy by its name' gives 0 "$TRITGATE" import named.jsonl named --policy kernels
check 'which is copied' cmp named/policy.json "$TG_SOURCE/matrix/policy/kernels.json"

check 'a run' gives 0 "$TRITGATE" run "$data/quick.json" --out run
"$TRITGATE" report run --format lines >run.jsonl
check 'a line for each row' test "$(wc -l <run.jsonl)" = "$(grep -o '"rows": [0-9]*' run/receipt.json | tr -dc 0-9)"
check 'its lines make a run' gives 0 "$TRITGATE" import run.jsonl again --matrix "$data/quick.json"
check 'of which the decision is the same' gives 0 "$TRITGATE" gate again --imported
check 'in the same words, but the first' diff <("$TRITGATE" gate run) <(tail -n +2 out)
check 'the first is that it was imported' bash -c 'head -n 1 out | grep -q "^imported evidence"'
check 'in the report, too' bash -c '"$1" report again --imported | sed -n 3p | grep -q "imported evidence"' - "$TRITGATE"
check 'the lines come back' diff <(sed 's/"hardware":"[^"]*"//' run.jsonl) \
    <("$TRITGATE" report again --format lines | sed 's/"hardware":"[^"]*"//')
check 'unasked, nobody decides on it' gives 2 "$TRITGATE" gate again
check 'and why is said first' bash -c 'head -n 1 out | grep -qx "cannot pass: imported evidence, see --imported"'
check 'nobody goes on with it' refuses 'was imported' "$TRITGATE" run --resume again
check 'and it is still sealed' gives 0 "$TRITGATE" gate again --imported
check 'from standard input, without a matrix' bash -c '"$1" import - piped --policy "$2" <run.jsonl' - \
    "$TRITGATE" "$data/quick_policy.json"
check 'decided the same' gives 0 "$TRITGATE" gate piped --imported
check 'that cells may be missing is said' says '^the matrix was made of what was seen: missing cells cannot'

check 'noise of a loaded machine passes' decides 0 noise
check 'and is not slower' says '^  unchanged  i2s_avx2, 256x2560 '
check 'with 7 % more it fails' decides 1 seven effect=1.07
check 'as slower' says 'slower, minor'
check 'unasked, it does not even fail' gives 2 "$TRITGATE" gate seven
check 'with 12 % more it is a major one' decides 1 twelve effect=1.12
check 'major' says 'slower, major'
check 'with 3 % more it passes' decides 0 three effect=1.03
check 'faster passes' decides 0 faster effect=0.8
check 'few rounds do not tell' decides 2 few end=3
check 'one sick node of five fails nobody' decides 2 sick hosts='a b c d e' sick=c sickness=1.10
check 'and is named' says "^  heterogeneous  i2s_avx2, 256x2560 .*node 'c' gives \\+10"

sed 's/"library"/"took_s":2,"library"/' few.jsonl >took.jsonl
check 'few that say what they took' gives 0 "$TRITGATE" import took.jsonl took --matrix one.json
check 'tell how long more take' bash -c '"$1" gate took --imported | grep -qE "rounds? more \(.*[0-9] s\) would"' - "$TRITGATE"
sed -i 's/"took_s":2/"took_s":0/' took.jsonl
check 'few that took no time' gives 0 "$TRITGATE" import took.jsonl nothing --matrix one.json
check 'do not' bash -c '"$1" gate nothing --imported | grep -qE "rounds? more would"' - "$TRITGATE"

lines >two.jsonl
check 'a cell without a line' gives 0 "$TRITGATE" import two.jsonl two --matrix two.json
check 'leaves it open' gives 2 "$TRITGATE" gate two --imported
check 'and is named' says '^  inconclusive  i2s_avx2, 640x2560 .* no line of its block was imported$'
matrix '"i2s_avx2", "i2s_cuda*"' '"256x2560"' >none.json
check 'a pattern without a line' gives 0 "$TRITGATE" import two.jsonl pattern --matrix none.json
check 'leaves it open, too' gives 2 "$TRITGATE" gate pattern --imported

check 'sides from two hosts are not compared' decides 2 hosts other_host=b effect=1.2
check 'nor from two processors' decides 2 cpus other_cpu=B effect=1.2
check 'two kinds of processor' decides 0 kinds cpus='A B'
check 'are judged apart' test "$(grep -cE '^  (pass|unchanged) ' out)" = 2
{ lines cpus=A && lines cpus=B effect=1.2 | sed 's/"attempt":1/"attempt":2/'; } >apart.jsonl
check 'one of them slower' gives 0 "$TRITGATE" import apart.jsonl apart --matrix one.json
check 'is enough to fail' gives 1 "$TRITGATE" gate apart --imported
check 'while the other passes' test "$(grep -cE '^  (pass|unchanged) ' out)" = 1
{ lines cpus=A && lines effect=1.4 | sed 's/"cpu":"A"/"cpu":""/; s/"attempt":1/"attempt":2/'; } >mixed.jsonl
check 'one without a name slower' gives 0 "$TRITGATE" import mixed.jsonl mixed --policy policy.json
check 'fails as well' gives 1 "$TRITGATE" gate mixed --imported
check 'while the one with a name passes' test "$(grep -cE '^  (pass|unchanged) ' out)" = 1
sed 's/"cpu":""/"cpu":"Neoverse","hardware":""/' mixed.jsonl >empty.jsonl
check 'a class without a name' gives 0 "$TRITGATE" import empty.jsonl empty --policy policy.json
check 'is that of the processor' gives 1 "$TRITGATE" gate empty --imported

check 'a wrong head fails' decides 1 wrong broken_of=wrong broken_end=1
check 'also on one of two hosts' decides 1 held hosts='a b' broken_of=wrong broken_end=1
check 'whose file another program has open' gives 1 flock held/worker-0001.1.h5 "$TRITGATE" gate held --imported
check 'and where it must be locked, nothing is decided' refuses "cannot read 'held/worker-0001.1.h5'" \
    env HDF5_USE_FILE_LOCKING=TRUE flock held/worker-0001.1.h5 "$TRITGATE" gate held --imported
check 'a head that crashed twice fails' decides 1 crashed broken_of=crashed broken_end=2
check 'and once does not' decides 0 once broken_of=crashed broken_end=1
check 'a head that was late twice fails' decides 1 late broken_of=late broken_end=2
check 'a broken base says nothing' decides 2 base broken_to=crashed broken_end=2
check 'a wrong base neither' decides 2 wrongbase broken_to=wrong broken_end=2
check 'nor when both broke' decides 2 both broken_of=late broken_to=crashed broken_end=2
check 'what was skipped is open' decides 2 skipped broken_of=skipped broken_end=1

check 'the same library twice is A/A' decides 0 aa to_library=$head
check 'and is said to be' says '^A/A: base and head are the same file$'
check 'libraries that nobody names' decides 0 nameless of_library=unknown to_library=unknown
check 'are said to be unknown' says '^which libraries were measured is not known$'
{ lines end=20 && lines first=20 of_library=3333; } >third.jsonl
check 'a library that changes midway' gives 0 "$TRITGATE" import third.jsonl third --matrix one.json
check 'cannot pass' gives 2 "$TRITGATE" gate third --imported
lines to="${cell/ layer/ build=copy layer}" to_library=$head >copy.jsonl
check 'head against its copy' gives 0 "$TRITGATE" import copy.jsonl copies --matrix one.json
check 'is a shadow, which never passes' gives 2 "$TRITGATE" gate copies --imported
check 'and is not compared with an earlier build' says '^not compared with an earlier build$'

engine='probe=engine kernel=own_q4_fast model=their-7b layer=whole'
lines of="$engine" effect=1.2 >engine.jsonl
check 'an engine, a model and a kernel that we do not have' gives 0 "$TRITGATE" import engine.jsonl \
    engine --policy policy.json
check 'are judged all the same' gives 1 "$TRITGATE" gate engine --imported
check 'by their names' says '^  fail  own_q4_fast, whole '
check 'and what the name says' grep -q '"isa": "q4"' engine/plan.json
check 'minimal facts do' bash -c 'sed "s/\"facts\":{[^}]*}/\"facts\":{}/" noise.jsonl |
    "$1" import - bare --matrix one.json && "$1" gate bare --imported' - "$TRITGATE"

cp -r noise open && rm open/digests.json
check 'without a seal it cannot pass' gives 2 "$TRITGATE" gate open --imported
sed -i 's/review/revieW/' open/policy.json
check 'changed texts are refused' refuses 'belongs to another run' "$TRITGATE" gate open --imported
cp -r noise changed
printf '\376\001' | dd of=changed/worker-0001.1.h5 bs=1 seek=9000 conv=notrunc 2>/dev/null
check 'changed bytes are refused' refuses 'was changed after the run' "$TRITGATE" gate changed --imported

for part in '0 3' '3 6' '6 12' '5 12'; do
    read -r first end <<<"$part"
    check "rounds $first to $end alone" decides "$((end < 12 ? 2 : 0))" "part$first" "first=$first" "end=$end"
done
check 'runs that are too short decide together' gives 0 "$TRITGATE" gate part6 part0 part3 --imported
check 'over all their rounds' grep -q '"rounds": 12' <("$TRITGATE" report part0 part3 part6 --imported --format receipt)
check 'with the evidence of each' test "$(grep -c '"digest": ' <("$TRITGATE" report part0 part3 part6 --format receipt))" = 6
check 'also printed as lines' test "$("$TRITGATE" report part0 part3 --format lines | wc -l)" = 12
check 'what two of them have counts once, or not at all' refuses 'have a measurement in common' \
    "$TRITGATE" gate part6 part5 --imported
cp -r part0 same
check 'nor is a copy another run' refuses 'are the same run' "$TRITGATE" gate part0 same --imported
check 'unlike questions' refuses 'cannot be judged together: another matrix' "$TRITGATE" gate part0 two --imported
check 'unlike libraries' refuses 'cannot be judged together: another base' "$TRITGATE" gate part0 aa --imported
check 'asked of all' gives 2 "$TRITGATE" gate part0 part3 part6

# spoiled SENTENCE SED-SCRIPT: the lines after it are refused with line 2 in the sentence.
spoiled() {
    sed "$2" noise.jsonl >spoiled.jsonl
    check "$1" refuses "$1" "$TRITGATE" import spoiled.jsonl spoiled --matrix one.json
    check 'nothing is written' test ! -e spoiled
}
spoiled "'spoiled.jsonl': line 2: " '2s/^{/[/'
spoiled 'line 2: ' '2s/.*//'
spoiled "line 2: no such outcome 'fine'" '2s/"measured"/"fine"/'
spoiled 'line 2: block, round, attempt and cell are those of line 1' '1p'
spoiled "line 2: metric 'call_time' has a sample that is not above 0" '2s/"samples":\[/"samples":[0,/;2s/"turn":\[/"turn":[0,/;2s/"begun":\[/"begun":[0,/'
spoiled 'line 2: series[0].samples[0]: number out of range' '2s/"samples":\[/"samples":[1e999,/'
spoiled 'line 2: an object is expected' '2s/"facts":{[^}]*},//'
spoiled 'line 2: its cell is not in its block' '2s/"cell":"probe=kernel kernel=i2s_avx2/"cell":"probe=kernel kernel=i2s_scalar/'
spoiled "line 2: 'i2s_*' is a pattern, a cell is one" '2s/i2s_avx2/i2s_*/g'
spoiled 'line 1: the other cell of its block has no line in this round; one that broke has a line, too' '2d'
spoiled 'line 2: its library is empty' '2s/"library":"[^"]*"/"library":""/'
check 'no lines at all' refuses 'there is no measurement in it' "$TRITGATE" import /dev/null spoiled
check 'no such file' refuses "cannot open 'nowhere'" "$TRITGATE" import nowhere spoiled
check 'a place that is none: status 4' gives 4 "$TRITGATE" import noise.jsonl /dev/null/run --matrix one.json
check 'a directory that is there' refuses "'noise' exists: a new directory is expected" "$TRITGATE" import noise.jsonl noise
finish
