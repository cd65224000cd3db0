#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run that is killed keeps what it has stored, and goes on.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

# Rows of all closed or killed worker files of a run.
rows() {
    local total=0 file count
    for file in "$1"/worker-*.h5; do
        count=$(HDF5_USE_FILE_LOCKING=FALSE h5ls "$file/runs" 2>/dev/null | sed -n 's/.*{\([0-9]*\)\/Inf}.*/\1/p')
        total=$((total + ${count:-0}))
    done
    echo "$total"
}

# Starts a slow farm in the background and waits until it has stored some rows.
start() {
    setsid mpirun -n 3 "$TRITGATE" run slow.json --out "$1" >/dev/null 2>&1 </dev/null &
    launcher=$!
    for _ in $(seq 600); do
        [[ $(rows "$1") -ge 4 ]] && return 0
        sleep 0.05
    done
    return 1
}

ask slow '"stub_twice"' round_s=0.1 quads_max=2000 rounds_min=8

# Workers: test_launch.sh. Children: chaos.sh.
for victim in coordinator launcher; do
    check "a run begins ($victim)" start "$victim"
    before=$(rows "$victim")
    pid=$launcher
    if [[ $victim == coordinator ]]; then
        pid=$(pgrep -P "$launcher" -f 'tritgate run' | sed -n 1p)
    fi
    kill -9 "${pid:-$launcher}" 2>/dev/null
    wait "$launcher" 2>/dev/null
    # Ranks whose launcher was killed end by themselves; a child never outlives its rank.
    for _ in $(seq 100); do
        pgrep -f "run slow.json --out $victim" >/dev/null || break
        sleep 0.1
    done
    check "no process is left ($victim)" test -z "$(pgrep -f "run slow.json --out $victim" || true)"
    check "no row is lost ($victim)" test "$(rows "$victim")" -ge "$before"
    check "it goes on and passes ($victim)" gives 0 farm --resume "$victim"
    check "and kept what it had ($victim)" test "$(rows "$victim")" -ge "$before"
    check "gate agrees ($victim)" gives 0 "$TRITGATE" gate "$victim"
done

ask slow '"stub_twice"' round_s=0.5 quads_max=10000 rounds_min=8
check 'a run begins (two coordinators)' start twice
check 'a run that goes on cannot be resumed' refuses 'is still going on' \
    "$TRITGATE" run --resume twice
wait "$launcher"
check 'and is not harmed' gives 0 "$TRITGATE" gate twice

# As a service manager stops a group, and a batch system a job: every process of it, also children.
stop() {
    local stopped
    for _ in $(seq 200); do
        stopped=$(pgrep -s "$1" -f 'cell --conducted') && break
        sleep 0.05
    done
    sleep 0.1 # it is past its first lines
    kill "-${signal:-TERM}" $stopped "$1"
}
# stops ARGUMENT...: a run of one process is stopped so, and says so.
stops() {
    local status=0 pid begun=$SECONDS
    setsid env --default-signal=HUP "$TRITGATE" run "$@" >out 2>err </dev/null &
    pid=$!
    stop "$pid"
    wait "$pid" || status=$?
    [[ $status == 4 ]] && ((SECONDS - begun < 30)) &&
        grep -qE 'error: (stopped by a signal|.* was stopped before its round began); --resume [^;]* goes on$' err &&
        return
    cat out err
    return 1
}
ask slow '"stub_twice"' round_s=0.5 quads_max=10000 rounds_min=3
check 'a run with all its processes is asked to end' stops slow.json --out stopped
check 'and once more' stops --resume stopped
signal=HUP check 'or its terminal is closed' stops --resume stopped
check 'it goes on' gives 0 "$TRITGATE" run --resume stopped
check 'no process that was asked to end counts as crashed' says '^PASS  [^,]*$'

# What another run holds, as a node of a name that no other has.
held=/tmp/tritgate-$(id -u)-held$$-numa0.lock
flock -F "$held" sleep 60 &
holder=$!
"$TRITGATE" run slow.json --host "held$$" --out held >/dev/null 2>held.err </dev/null &
waiting=$!
for _ in $(seq 200); do grep -q 'waiting for another run' held.err && break || sleep 0.05; done
kill -TERM "$waiting"
begun=$SECONDS
wait "$waiting"
check 'a run that waits for another ends when it is asked to' test $? = 4 -a $((SECONDS - begun)) -lt 20
check 'and says so' grep -q 'was stopped before its round began; --resume [^;]* goes on$' held.err
kill "$holder"
rm -f "$held"

ask brief '"stub_twice"' rounds_min=20 budget_s=0.001
check 'a run whose budget is spent is open' gives 2 "$TRITGATE" run brief.json --out brief
check 'and says what goes on' says '^evidence in (.*brief); to go on measuring: tritgate run --resume \1$'
check 'which does' gives 0 "$TRITGATE" run --resume brief --budget 60
check 'and then says no more of that' says '^evidence in [^;]*$'
ask hopeless '"stub_twice"' rounds_min=2 rounds_max=2
check 'a run without rounds left is open, too' gives 2 "$TRITGATE" run hopeless.json --out hopeless
check 'its test is done, which is not to say decided' grep -q '1 of 1 tests done, 2 rounds' err
check 'but nothing goes on with it' says '^evidence in [^;]*$'

check 'a finished run can be resumed, and measures nothing' gives 0 farm --resume coordinator
check 'which is written down' grep -q '"kind": "statistical"' coordinator/tries.json

# A step that allows one attempt more for numbers, and none for crashes.
# As a node of another name it waits for no other run on this machine.
step='"steps": [{"name": "detect", "writes": true, "retry": {"tooling": 0, "gpu": 2, "statistical": 1}}],'
ask short '"stub_twice"' rounds_min=20 rounds_max=40
sed -i "s/\"limits\"/$step &/" short_policy.json
check 'too short a run is inconclusive' gives 2 "$TRITGATE" run short.json --budget 0.1 --host alone --out short
before=$(rows short)
check 'and is said to go on' says 'to go on measuring: tritgate run --resume'
check 'but not on other hardware, where nothing of it can be measured' refuses \
    "no machine here is of the hardware that run 'short' was begun on (" \
    "$TRITGATE" run --resume short --host alone --gpus "$data/gpus_4.txt"
check 'it may be gone on with once' gives 2 "$TRITGATE" run --resume short --budget 0.2 --host alone
check 'and is not said to go on again' says '^evidence in [^;]*$'
check 'with more rounds, and all that were there' test "$(rows short)" -gt "$before"
check 'and says what for' grep -q '1 of 1 required tests were open' short/receipt.json
check 'but not twice' refuses 'allows 1 further attempt of kind statistical, and 1 was made' \
    "$TRITGATE" run --resume short --budget 0.2 --host alone
rm short/digests.json
check 'what was not ended in order may always be' gives 2 "$TRITGATE" run --resume short --budget 0.1
check 'and is written down, too' grep -q '"kind": "ended"' short/tries.json
rm short/digests.json
check 'on other hardware, too' gives 2 "$TRITGATE" run --resume short --host alone --gpus "$data/gpus_4.txt"
check 'which is warned of' grep -q "no machine here is of hardware that run 'short' was begun on (" err
ask dead '"stub_crash"'
sed -i "s/\"limits\"/$step &/" dead_policy.json
check 'a kernel that crashes' gives 1 "$TRITGATE" run dead.json --out dead
check 'is not tried again where the step allows none' refuses \
    'allows 0 further attempts of kind tooling, and 0 were made; this one would be for: 2 times' \
    "$TRITGATE" run --resume dead
check 'nor is its seal broken' gives 1 "$TRITGATE" gate dead
# What a tool leaves that keeps data elsewhere: evidence still, also of what failed.
mkdir store
cp -r dead linked
mv linked/worker-0000.1.h5 store/
ln -s "$PWD/store/worker-0000.1.h5" linked/
check 'a worker file that is a link is under the seal' gives 1 "$TRITGATE" gate linked
rm linked/digests.json
check 'and its rows count where the run is gone on with' gives 1 "$TRITGATE" run --resume linked
check 'and are sealed' grep -q 'worker-0000.1.h5' linked/digests.json

ask dying '"stub_crash"'
check 'a kernel that crashes where no step says how often it is tried' gives 1 "$TRITGATE" run dying.json --out dying
check 'is tried again' gives 1 "$TRITGATE" run --resume dying
rm dying/digests.json # as where that was killed
mv dying/worker-0000.1.h5 store/lost.h5
lost="'worker-0000.1.h5' of an attempt that was sealed is missing"
check 'without what was sealed before there is no decision' refuses "$lost" "$TRITGATE" gate dying
check 'nor a report' refuses "$lost" "$TRITGATE" report dying
check 'nor is it gone on with' refuses "$lost" "$TRITGATE" run --resume dying
cp store/lost.h5 dying/worker-0000.1.h5
check 'until that is back' gives 1 "$TRITGATE" run --resume dying
check 'a run that is none is refused' refuses "cannot read run 'nowhere'" \
    "$TRITGATE" run --resume nowhere
check '--resume takes no matrix' refuses '--resume goes on as the run was begun' \
    "$TRITGATE" run slow.json --resume coordinator
cp "$TRITGATE_LIB" base.so
check 'a base is compared with' gives 0 "$TRITGATE" run "$data/quick.json" --base base.so --same --out ab
mkdir build
cp "$TRITGATE" build/tritgate && printf x >>build/tritgate
check 'another build of the program does not go on with it' refuses \
    "run 'ab' was begun by another build of tritgate: put that build back, or begin a new run" \
    build/tritgate run --resume ab
printf x >>base.so
check 'nor is a library taken that was changed since' refuses \
    "base '$PWD/base.so' on node '$(hostname)' was changed since the run was begun: put that file back" \
    "$TRITGATE" run --resume ab

# In its place, while it is measured: what is there is no library any more.
cp "$TRITGATE_LIB" live.so
ask rebuilt '"stub_twice"' rounds_min=200 rounds_max=400 budget_s=10
{
    until [[ -s rebuilt/worker-0000.1.h5 ]]; do sleep 0.1; done
    head -c 100000 "$TRITGATE_LIB" >live.so
} &
check 'a library that is built anew meanwhile fails nothing' gives 2 "$TRITGATE" run rebuilt.json --head live.so --out rebuilt
check 'and is named' says 'was skipped: .*(its library was changed since the run was begun|live.so)'
wait
finish
