#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bad input: one sentence on standard error, status 3, and nothing made. Help that helps.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

run() { "$TRITGATE" run "$@" --out made; }

# json FILE TEXT: a file to be refused.
json() { printf '%s\n' "$2" >"$1"; }

rule='{"rule":"ratio","metric":"call_time","axis":"kernel","of":"stub_twice","to":"i2s_scalar","limit":0.1}'
json good.json "{\"tritgate_policy\":1,\"flow\":\"review\",\"rules\":[$rule]}"
axes='"axes":{"probe":["kernel"],"kernel":["stub_twice"],"layer":["64x256"]}'

json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",\"axes\":{\"kernl\":[\"stub_twice\"]}}"
check 'unknown axis' refuses "line 1: axes.kernl: unknown axis 'kernl'" run m.json
json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",
 \"exlude\":[], $axes}"
check 'unknown key, with its line' refuses "line 2: exlude: unknown key 'exlude'" run m.json
json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",$axes,
 \"policy\":\"good.json\"}"
check 'duplicate key' refuses "line 2: policy: key 'policy' is given twice" run m.json
json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",$axes,\"exclude\":[\"kernel=*\"]}"
check 'empty matrix' refuses 'the matrix has no cells' run m.json
json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",$axes} x"
check 'text after the end' refuses 'text after the end' run m.json
json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",\"axes\":{\"probe\":[\"kernel\"],\"kernel\":[\"i2s_neno\"],\"layer\":[\"64x256\"]}}"
check 'no such kernel' refuses "no such kernel 'i2s_neno'" run m.json
json m.json "{\"tritgate_matrix\":1,\"policy\":\"good.json\",\"axes\":{\"probe\":[\"kernel\"],\"kernel\":[\"i2s_scalar\"],\"layer\":[\"64x256\"]}}"
check 'rules that select nothing at all' refuses "no rule of policy 'review' selects a cell" run m.json
json m.json "{\"tritgate_matrix\":1,$axes}"
for command in run "$TRITGATE matrix" "$TRITGATE calibrate"; do
    # shellcheck disable=SC2086
    check "no policy: ${command##*/}" refuses "matrix 'm.json' names no policy; give one with --policy" $command m.json
    # shellcheck disable=SC2086
    check "no matrix: ${command##*/}" refuses "'good.json' is not a matrix: \"tritgate_matrix\": 1 is missing" $command good.json
done
json m.json "{\"tritgate_matrix\":1,\"policy\":\"nowhere.json\",$axes}"
check 'a policy that is not there' refuses "policy: 'nowhere.json': cannot open" run m.json
check 'a matrix that is not there' refuses "matrix: 'nowhere.json': cannot open" run nowhere.json
check 'a matrix that is no file' refuses "matrix: '.': cannot read" run .
json p.json "{\"tritgate_policy\":1,\"flow\":\"review\",\"rules\":[${rule/call_time/cal_time}]}"
check 'unknown metric' refuses "no such metric 'cal_time'" run "$data/quick.json" --policy p.json
json p.json "{\"tritgate_policy\":1,\"flow\":\"review\",\"rules\":[${rule/\"ratio\"/\"ration\"}]}"
check 'unknown kind of rule' refuses "no such rule 'ration'" run "$data/quick.json" --policy p.json
for command in 'run m.json --out made' 'matrix m.json' 'gate nowhere' 'calibrate --simulate'; do
    # shellcheck disable=SC2086
    check "$command: a policy of no such name" refuses \
        "no such policy 'nope', as a file or by name; those by name: generative, gpu," \
        "$TRITGATE" $command --policy nope
done
mkdir policy && cp good.json policy/mine.json
check 'and those beside the matrix' refuses ', kernels, mine, models and review' run ./m.json --policy nope
json p.json "{\"tritgate_policy\":1,\"meaning\":1,\"flow\":\"review\",\"rules\":[$rule]}"
check 'a meaning that is no text' refuses 'line 1: meaning: a line of text is expected' \
    run "$data/quick.json" --policy p.json
json p.json "{\"tritgate_policy\":1,\"flow\":\"review\",\"limits\":{\"budget_s\":-1},\"rules\":[$rule]}"
check 'negative budget in the policy' refuses "'budget_s' must be above 0" run "$data/quick.json" --policy p.json
for threads in 0 -5 -9000000000000 -9223372036854775808; do
    check "threads=$threads of a cell" refuses 'it is less than 1' "$TRITGATE" cell \
        "probe=kernel kernel=i2s_scalar layer=64x256 threads=$threads"
done
check 'negative budget' refuses "unusable budget '-1'" run "$data/quick.json" --budget=-1
check 'a filter that matches nothing' refuses "no cell of the matrix matches 'batch=3'" \
    run "$data/quick.json" --filter batch=3
check 'two filters' refuses "one filter is expected, 'batch=1' is a second" \
    run "$data/quick.json" --filter 'kernel=*' --filter batch=1

check 'a base that is not there' refuses "cannot open library 'nowhere.so'" \
    run "$data/quick.json" --base nowhere.so
echo text >text.so
check 'a base that is no library' refuses "text.so' is not a kernel library" \
    run "$data/quick.json" --base text.so
check 'a foreign library as base' refuses 'is not a kernel library: it has no table' \
    run "$data/quick.json" --base "$(ldconfig -p | sed -n 's/.*=> \(.*libcjson.so.*\)/\1/p' | head -n 1)"
check 'base and head the same file' refuses 'base and head are the same file' \
    run "$data/quick.json" --base "$TRITGATE_LIB"
check 'the same content under another name, too' bash -c 'cp "$1" other.so' - "$TRITGATE_LIB"
check 'is refused' refuses 'base and head are the same file' run "$data/quick.json" --base other.so
cp "$TRITGATE_LIB" other.so && echo other >>other.so
check '--same with another file' refuses '--same compares a file with itself' \
    run "$data/quick.json" --base other.so --same --out other
check 'which can be planned for' gives 0 "$TRITGATE" matrix "$data/quick.json" --base other.so
check '--same without a base' refuses '--same needs --base' run "$data/quick.json" --same
mkdir there
check 'a run directory that exists' refuses "'there' exists" "$TRITGATE" run "$data/quick.json" --out there
check 'nothing was made by any of these' test ! -e made

check 'a run of stored evidence' gives 0 "$TRITGATE" run "$data/quick.json" --out run
cp err quick.err
check 'gate: no run' refuses "cannot read run 'nowhere'" "$TRITGATE" gate nowhere
check 'gate: no run in it' refuses "run 'there': it has no matrix.json" "$TRITGATE" gate there
cp -r run cut && truncate -s -100 cut/worker-0000.1.h5
check 'gate: a truncated file' refuses 'was changed after the run' "$TRITGATE" gate cut
check 'report: no such format' refuses "no such report 'pdf'" "$TRITGATE" report run --format pdf
echo keep >kept.md
check 'report: no run' refuses "cannot read run 'nowhere'" "$TRITGATE" report nowhere --out kept.md
check 'leaves an earlier one alone' grep -qx keep kept.md
for format in markdown receipt terminal lines; do
    check "report: $format, and no room for it" refuses "cannot write '/dev/full'" \
        "$TRITGATE" report run --format "$format" -o /dev/full
done
check 'report: markdown' gives 0 "$TRITGATE" report run
check 'with a title' says '^# tritgate: pass$'
check 'the same as the file' diff out run/report.md
check 'report: - is standard output' gives 0 "$TRITGATE" report run -o -
check 'the same there' diff out run/report.md
check 'and no file' test ! -e -

# On a terminal, and only there, tables are as wide as it is, and answers have colours.
check 'report: terminal' gives 0 env TERM=xterm "$TRITGATE" report run --format terminal
check 'is plain in a file' bash -c '! grep -q "$(printf "\033")" out' && cp out plain
check 'and under mpirun' gives 0 env TERM=xterm mpirun -n 2 "$TRITGATE" run "$data/quick.json" --out ranks
check 'where each rank has a terminal' bash -c '! grep -q "$(printf "\033")" out'
if command -v script >found; then
    terminal() { script -qec "stty cols 60; $*" typescript </dev/null | tr -d '\r'; }
    terminal env TERM=xterm NO_COLOR= "$TRITGATE" report run --format terminal >out
    check 'on a terminal answers have colours' grep -q "$(printf '\033')\[32m  pass" out
    sed "s/$(printf '\033')\[[0-9]*m//g" out >stripped
    check 'and no line goes beyond it' awk 'length > 60 { exit 1 }' stripped
    check 'in the same words' diff <(tr -s ' \n' '\n\n' <plain) <(tr -s ' \n' '\n\n' <stripped)
    terminal env TERM=xterm NO_COLOR=1 "$TRITGATE" report run --format terminal >out
    check 'NO_COLOR: none' cmp out stripped
    echo '{"tritgate_policy":1,"flow":"review","limits":{"rounds_min":3,"round_s":0.005,"budget_s":2},"rules":[{"rule":
        "noninferior","metric":"call_time","axis":"build","of":"head","to":"base","tolerance":0.02,"margin":0.05}]}' >shadow.json
    "$TRITGATE" run "$data/quick.json" --policy shadow.json --out shadowed >/dev/null 2>&1
    terminal env TERM=dumb "$TRITGATE" report shadowed --format terminal >out
    check 'a heading is broken, too' says '\(a shadow: it shows$'
    check 'so that no line goes beyond it' awk 'length > 60 { exit 1 }' out
    terminal "$TRITGATE" list limits >out
    check 'list: no line goes beyond it' awk 'length > 60 { exit 1 }' out
fi

check 'cell: an unknown axis' refuses "unknown axis 'kern'" "$TRITGATE" cell 'kern=1'
check 'cell: no such kernel' refuses "no such kernel 'x'" "$TRITGATE" cell 'probe=kernel kernel=x layer=64x256'
check 'cell: a shape that the format cannot hold' refuses '100 columns are not a multiple of 128' \
    "$TRITGATE" cell 'probe=kernel kernel=i2s_scalar layer=64x100'
check 'cell: by hand' gives 0 "$TRITGATE" cell 'probe=kernel kernel=i2s_scalar layer=64x256' --samples 3
check 'prints a measurement' says '^\{"tritgate_measurement":1,.*"outcome":"measured"'
check 'cell: wrong' gives 1 "$TRITGATE" cell 'probe=kernel kernel=stub_wrong layer=64x256'
check 'check: every kernel that is right' gives 0 "$TRITGATE" check 'i2s_*_unpack'
check 'names of any length stand in one column' \
    test "$(sed '$d' out | grep -oE '^[a-z0-9_]+ +' | awk '{ print length }' | sort -u | wc -l)" = 1
check 'check: one that is wrong' gives 1 "$TRITGATE" check stub_wrong
check 'check: one that is wrong in a place' gives 1 "$TRITGATE" check stub_column # others: test_edges.c
check 'names it' says '^stub_column +wrong: row [0-9]+ of column [0-9]+ differs \('
check 'check: a silent fallback' gives 1 "$TRITGATE" check stub_falls
check 'names both instruction sets' says "wrong: its row says 'stub_wide', and a kernel for 'scalar' was"
check 'check: one that crashes' gives 1 "$TRITGATE" check stub_crash
check 'names the signal' says 'crashed: signal 11'
check 'check: the same, by who ignores the ends of children' \
    gives 1 bash -c "trap '' CHLD; exec '$TRITGATE' check stub_crash"
check 'names the signal, too' says 'crashed: signal 11'
check 'check: one that hangs' gives 1 "$TRITGATE" check stub_hang --deadline 0.3
# orphan CHILD COMMAND...: kills what was started once it has that child, which must be gone then.
orphan() {
    local kind=$1 parent child='' looks
    shift
    "$@" &>orphan.out &
    parent=$!
    for ((looks = 0; looks < 300; looks++)); do
        child=$(pgrep -P $parent -f -- "$kind" | head -n 1)
        [[ $child ]] && break
        sleep 0.1
    done
    sleep 0.3
    kill -KILL $parent
    wait $parent 2>/dev/null
    [[ $child ]] || return 1
    for ((looks = 0; looks < 100; looks++)); do
        [[ -d /proc/$child ]] || return 0
        sleep 0.1
    done
    kill -KILL "$child"
    return 1
}
check 'check: a kernel dies with it' orphan 'check --one stub_hang' "$TRITGATE" check stub_hang
check 'a survey dies with its parent' orphan 'cell --survey' \
    env TG_FOREIGN=hangs "$TRITGATE" cell 'probe=kernel layer=64x256' --library "$TG_FOREIGN_LIB"
for command in 'cell --gpus' "cell --survey $TRITGATE_LIB" 'check --one stub_hang' \
    'model make tiny --out orphan.gguf' "run $TG_SOURCE/matrix/smoke.json"; do
    # shellcheck disable=SC2086
    check "an orphan does nothing: $command" gives 4 "$TRITGATE" $command --tied 1
done
check 'and says why' grep -qx 'tritgate run: the parent is gone' err
check 'check: none' refuses "no kernel matches 'x*'" "$TRITGATE" check 'x*'
check 'list: no such table' refuses "no such table 'tables'" "$TRITGATE" list tables
for table in axes kernels formats ops isas metrics facts limits models layers probes profiles rules reports matrices policies watch; do
    check "list $table" gives 0 "$TRITGATE" list "$table"
    check "list $table --json" gives 0 "$TRITGATE" list "$table" --json
done
check 'list: policies' gives 0 "$TRITGATE" list policies
check 'each says what it is, and how much it holds' says '^review +3 +[0-9]+ +55 +a change is judged, in three'
check 'list: matrices' gives 0 "$TRITGATE" list matrices
check 'each is a file with its policy' says '/matrix/smoke\.json +policy/kernels\.json +the kernels of I2_S'
check 'every one says what it is' bash -c '! "$1" list policies --json | grep "\"meaning\": \"\"" &&
    ! "$1" list matrices --json | grep "\"meaning\": \"\""' - "$TRITGATE"
check 'list: the layers of models, with their shapes' gives 0 "$TRITGATE" list layers
check 'which are those of cells' says '^bitnet-2b +attn_k +640 +2560$'
check 'matrix: the whole mission' gives 0 "$TRITGATE" matrix "$TG_SOURCE/matrix/full.json"
check 'names who cannot' says "nobody here: no probe of this build matches 'engine\*'"
check 'of how many cells' says "^5 cells: nobody here: no probe of this build matches 'engine\*'"
check 'and nothing of those that can be run' awk '
    /can run it/ { exit 1 }
    /^      nobody here: / { apart++ }
    /^[0-9]+ cells?: nobody here: / { summed += $1 }
    END { exit !(apart && apart == summed) }' out
check 'and that its budget is too small' says \
    '^the budget of 55 s cannot cover .* takes [0-9]+ s: give `run` --budget [0-9]+ or more, or fewer cells \(--filter\)$'
check 'matrix: smoke' gives 0 "$TRITGATE" matrix "$TG_SOURCE/matrix/smoke.json"
check 'says nothing of its budget' bash -c '! grep -q "cannot cover" out'
check 'run: a budget that is too small' gives 2 "$TRITGATE" run "$data/quick.json" --budget 0.001 --out small
check 'is named at the beginning' grep -q 'tritgate: warning: the budget of 0.001 s cannot cover' err
check 'one round is not called rounds' bash -c '! grep -q " 1 rounds" err'
check 'run: one that is not' bash -c '! grep -q "cannot cover" "$1"' - quick.err
check 'matrix: smoke has at most 24 required tests' bash -c \
    'n=$("$1" matrix "$2" --base "$3" --json | grep -c "\"rule\""); ((n > 0 && n <= 24))' - \
    "$TRITGATE" "$TG_SOURCE/matrix/smoke.json" "$TRITGATE_LIB"

check 'matrix: what is told twice is the same' test "$("$TRITGATE" matrix "$TG_SOURCE/matrix/full.json" |
    sed -nE 's/.*about ([0-9]+) s for the least.*/\1/p; s/.*which takes ([0-9]+) s: .*/\1/p' | uniq | wc -l)" = 1
check 'matrix: one form at a time' refuses 'either --json or --github' \
    "$TRITGATE" matrix "$TG_SOURCE/matrix/smoke.json" --json --github
check 'matrix: every kernel in both regimes' gives 0 "$TRITGATE" matrix "$TG_SOURCE/matrix/kernels.json"
check 'with a set of matrices and two threads' says 'i2s_[a-z0-9]+, bitnet-2b, ffn_up, stream, threads=2'

check 'model: no verb' refuses 'show, make or run is expected' "$TRITGATE" model
check 'model: an unknown one' refuses "no such verb 'walk'" "$TRITGATE" model walk
check 'model show: no file' refuses "cannot open 'nowhere.gguf'" "$TRITGATE" model show nowhere.gguf
check 'model show: another file' refuses "'good.json': is not a GGUF file" "$TRITGATE" model show good.json
check 'model make: no such model' refuses "no such model 'x'" "$TRITGATE" model make x --out made
check 'model make: where to' refuses 'make needs either --out or --model-cache' "$TRITGATE" model make tiny
check 'model make: to two places' refuses 'make needs either --out or --model-cache' \
    "$TRITGATE" model make tiny --out made --model-cache models
check 'model make: a shape that a type cannot hold' refuses '8640 columns, which I2_S cannot hold' \
    "$TRITGATE" model make bitnet-3b --ternary I2_S --out made
check 'model make' gives 0 "$TRITGATE" model make tiny --model-cache models --head Q8_0
check 'says where' says '^models/tiny-I2_S-Q8_0-1.1.gguf$'
check 'and is shown' gives 0 "$TRITGATE" model show models/tiny-I2_S-Q8_0-1.1.gguf
check 'as what it is' says '^like +tiny$'

for command in run gate report import history cell calibrate check matrix baseline model list; do
    check "$command --help" gives 0 "$TRITGATE" "$command" --help
    check 'with its exit status' says '[Ss]tatus: 0'
done
check 'model --help' gives 0 "$TRITGATE" model --help
check 'says what options of run take' says '^  --context=N '
check 'and which take nothing' says '^  --ignore-end '
check 'help' gives 0 "$TRITGATE" --help
check 'a stop may come before anything was measured' says '4 could not go on, what was measured by then, if anything, is kept'
check 'in lines of 80 columns' awk 'length > 80 { exit 1 }' out
check 'no command' gives 3 "$TRITGATE"
check 'unknown command' refuses "no such command 'walk'" "$TRITGATE" walk
check 'under mpirun one rank speaks' refuses "matrix: 'nowhere.json': cannot open" \
    mpirun -n 3 "$TRITGATE" run nowhere.json
# Nothing is built for these.
check 'chaos an unusable number of times' refuses "chaos: unusable number 'x'" "$TG_SOURCE/dev" chaos x
check 'or none' refuses "chaos: unusable number '0'" "$TG_SOURCE/dev" chaos 0
check 'or with an unusable seed' refuses "chaos: unusable number '1x'" "$TG_SOURCE/dev" chaos 1 1x
# A word behind an option of run is its value, and no matrix.
runs_unbuilt() ( # dev's run, where all is there, but cmake fails
    eval "$(sed -n '/^say()/p; /^die()/,/^}/p; /^build()/,/^}/p; /^run()/,/^}/p' "$TG_SOURCE/dev")"
    setup() { :; }
    cmake() { return 1; }
    needs='' run
)
check 'dev run of what cannot be configured says that nothing was measured' \
    refuses "dev: preset 'release' cannot be configured" runs_unbuilt
mkdir -p build/release && touch build/release/build.ninja
check 'or does not compile' refuses "dev: preset 'release' does not compile" runs_unbuilt

eval "$(sed -n '/^default_matrix()/,/^}/p' "$TG_SOURCE/dev")"
runs() { [[ $(default_matrix "${@:2}") == "$1" ]]; } # MATRIX ARG...: what dev runs of itself
for option in -o -p $("$TRITGATE" run --help | grep -oE -- '--[a-z-]+=' | grep -v resume | tr -d =); do
    check "dev run $option" runs matrix/smoke.json "$option" x.json
    check "dev run $option MATRIX" runs '' matrix/x.json "$option" x.json
    check 'or behind it' runs '' "$option" x.json matrix/x.json
done
for option in -pkernels -ox --policy=x.json $("$TRITGATE" run --help | grep -oE '^ +--[a-z-]+ ' | grep -v usage); do
    check "dev run $option" runs matrix/smoke.json "$option"
    check "dev run $option MATRIX" runs '' "$option" matrix/x.json
done
check "dev run -- MATRIX" runs '' -- matrix/x.json
for option in --resume --resume=x --help --usage '-?'; do
    check "dev run $option" runs '' "$option" x
done
finish
