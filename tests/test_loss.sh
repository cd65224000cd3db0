#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks that stop, and are not dead: nobody tells the others. What they had goes to others once,
# the run ends, and it goes on from what was stored.
# shellcheck disable=SC1091,SC2046
. "$(dirname "$0")/lib.sh"

# Ranks of a run: the coordinator, then the workers, by the rank in their environment.
rank() {
    local pid
    for pid in $(pgrep -s "$launcher" -f "$TRITGATE run"); do
        if grep -qzx "OMPI_COMM_WORLD_RANK=$1" "/proc/$pid/environ"; then echo "$pid"; fi
    done
}

rows() {
    local total=0 file count
    for file in "$1"/worker-*"${2-}".*.h5; do
        count=$(HDF5_USE_FILE_LOCKING=FALSE h5ls "$file/runs" 2>/dev/null | sed -n 's/.*{\([0-9]*\)\/Inf}.*/\1/p')
        total=$((total + ${count:-0}))
    done
    echo "$total"
}

# start DIR RANKS...: a slow farm in the background, waited for until it has stored some rows.
start() {
    local run=$1
    shift
    setsid mpirun "$@" >"$run.out" 2>"$run.err" </dev/null &
    launcher=$! started=$run
    launchers+=("$launcher")
    for _ in $(seq 600); do
        if (($(rows "$run") >= 4)); then return 0; fi
        sleep 0.05
    done
    return 1
}

# Nothing that was stopped may stay: it would keep its memory domain from others for ever.
launchers=()
clean() {
    local pid
    for pid in "${launchers[@]}"; do kill -9 $(pgrep -s "$pid") 2>/dev/null; done
    rm -rf "$work"
}
trap clean EXIT

# ends STATUS SECONDS: the farm ends so, within that time. (Open MPI 4.1's mpirun sometimes crashes
# itself when it ends a rank that was stopped: that is no status of ours.)
ends() {
    local status=0 begun=$SECONDS
    (sleep "$2" && kill -9 $(pgrep -s "$launcher")) 2>/dev/null &
    local guard=$!
    wait "$launcher" || status=$?
    kill "$guard" 2>/dev/null
    printf 'status %s after %s s\n' "$status" $((SECONDS - begun))
    tail -n 20 "$started.err"
    ((status == 139 && $1 == 4)) && status=4
    test "$status" = "$1" -a $((SECONDS - begun)) -lt "$2"
}

alone() { test -z "$(pgrep -s "$launcher" -f "$TRITGATE" || true)"; }

ask one '"stub_twice"' round_s=0.1 quads_max=1000 rounds_min=12 rounds_max=60 \
    budget_s='60, "silence_s": 3'
sed 's/"64x256"/"64x256", "32x512"/' one.json >slow.json
node=("$TRITGATE" run --topology "$data/one_socket.xml")
# nodes MATRIX DIR: the ranks of a run over two nodes.
nodes() {
    ranks=(-n 1 "$TRITGATE" run "$1" --out "$2" : -n 1 "${node[@]}" --host nodea "$1" :
        -n 1 "${node[@]}" --host nodeb "$1")
}

# Rounds enough that others are still at work when the worker comes back.
sed 's/"rounds_min": 12/"rounds_min": 24/' one_policy.json >late_policy.json
sed 's/one_policy/late_policy/' slow.json >late.json
nodes late.json frozen
check 'a run of two nodes begins' start frozen "${ranks[@]}"
victim=$(rank 2)
kill -STOP "$victim"
for _ in $(seq 150); do
    if grep -q 'worker 2 on nodeb has said nothing' frozen.err; then break; fi
    sleep 0.1
done
check 'a worker that stops is lost, and is named' \
    grep -q 'warning: worker 2 on nodeb has said nothing for 3 s; others go on' frozen.err
kill -CONT "$victim"
check 'a worker that was lost and comes back leaves in order' ends 0 28
check 'others went on' test "$(rows frozen 1)" -ge 16 -a "$(rows frozen 2)" -ge 4
check 'so that the run is sealed' test -s frozen/digests.json
check 'gate agrees with it' gives 0 "$TRITGATE" gate frozen
numbers() { "$TRITGATE" report frozen --format lines | grep -o '"cell":"[^"]*"\|"round":[0-9]*' | paste - - | sort; }
check 'no round is there twice' test -z "$(numbers | uniq -d)"

nodes slow.json removed
check 'a run begins (removed)' start removed "${ranks[@]}"
rm removed/worker-0002.1.h5
check 'whose rows are there no more ends to be resumed' ends 4 28
check 'and says so' grep -qE 'error: of [0-9]+ rows of worker 2, 0 are here; --resume .* goes on$' removed.err
check 'it is not sealed' test ! -e removed/digests.json

nodes one.json both # its one block is the first worker's while that is there
check 'a run begins (both)' start both "${ranks[@]}"
kill -STOP "$(rank 1)"
for _ in $(seq 150); do
    if grep -q 'worker 1 on nodea has said nothing' both.err; then break; fi
    sleep 0.1
done
kill -STOP "$(rank 2)"
check 'without its last worker it ends' ends 4 28
check 'it is not sealed' test ! -e both/digests.json
check 'and says why' grep -q "error: worker 2 on nodeb has said nothing for 3 s" both.err
check 'and what it may lack' grep -q 'which is lost, may be elsewhere; --resume .* goes on$' both.err
check 'nothing is left of it' alone
check 'what two workers were lost with is given to no third' gives 2 "$TRITGATE" gate both
check 'but skipped, and says so' says 'two workers were lost with it; the last: worker 2 on nodeb has said nothing for 3 s'
check 'another attempt opens it again' gives 0 farm --resume both

# A worker whose files may not grow, as on a disk of its own that is full.
nodes slow.json disk
narrow='ulimit -f 200; trap "" XFSZ; exec "$0" run slow.json --host nodeb --topology "$1"'
check 'one full disk ends the run with status 4' gives 4 ends_at_once mpirun "${ranks[@]:0:18}" \
    -n 1 bash -c "$narrow" "$TRITGATE" "$data/one_socket.xml"
check 'the others go on until all is decided' says '^INCONCLUSIVE .* 2 passed'
check 'with the reason' grep -q "warning: worker 2 on nodeb cannot write '.*worker-0002.1.h5': File too large" err
check 'with room again it passes' gives 0 "$TRITGATE" run --resume disk
check 'on what was stored' test ! -e disk/worker-0000.2.h5

check 'a run begins (coordinator)' start coordinator -n 3 "$TRITGATE" run slow.json --out coordinator
before=$(rows coordinator)
kill -STOP "$(rank 0)"
check 'without a coordinator workers end by themselves' ends 4 28
check 'and say why' grep -q 'the coordinator has said nothing for 3 s' coordinator.err
check 'all of them' alone
check 'no row of theirs is lost' test "$(rows coordinator)" -ge "$before"
check 'and goes on and passes' gives 0 farm --resume coordinator
finish
