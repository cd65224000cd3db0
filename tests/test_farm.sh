#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whole runs over three ranks with stub kernels, whose manners are known: every exit status, and
# every way in which a kernel can go wrong. In a session of its own, where its children are found.
[[ $(ps -o sid= $$) -eq $$ ]] || exec setsid -w "$0"
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

check 'a run passes with status 0' gives 0 farm "$data/quick.json" --out pass
check 'it says so' says '^PASS  2 required tests: 2 passed$'
for file in matrix.json policy.json plan.json digests.json report.md receipt.json; do
    check "$file is there" test -s "pass/$file"
done
check 'the receipt says so too' grep -q '"answer": "pass"' pass/receipt.json
cp out farm.out
check 'gate decides the same' gives 0 "$TRITGATE" gate pass
check 'in the same words' diff <(grep -v '^evidence in' farm.out) out

streams=$(sed 's/"deadline_s"/"stream_bytes": 100000, &/' "$data/quick_policy.json")
echo "$streams" >streams_policy.json
sed -e 's/quick_policy/streams_policy/' -e 's/, "32x512"/], "cache": ["hot", "stream"/' \
    "$data/quick.json" >streams.json
check 'matrices are streamed' gives 0 farm streams.json --out streams
check 'and judged beside hot ones' says '^  pass +stub_twice vs i2s_scalar, 64x256, stream '
check 'they are a set' gives 0 "$TRITGATE" report streams --format lines
check 'as large as it may be' says 'cache=stream.*"set_bytes":98304,'
check 'and hot is one' says '"set_bytes":4096,'

if (($(nproc) > 1)); then
    sed 's/"cache": \["hot", "stream"/"threads": [1, 2/' streams.json >threads.json
    check 'threads share rows' gives 0 farm threads.json --out threads
    check 'and are judged beside one' says '^  pass +stub_twice vs i2s_scalar, 64x256, threads=2 '
    check 'each has a core' gives 0 "$TRITGATE" report threads --format lines
    check 'of its own' says '"cores":"[0-9]+[-,][0-9]+"'
fi

ask strict '"stub_twice"' limit=1.5
ask slow '"stub_twice"' round_s=0.1 quads_max=2000 rounds_min=4
check 'a kernel that is too slow fails with status 1' gives 1 farm strict.json --out fail
check 'and is named' says '^  fail +stub_twice vs i2s_scalar, 64x256 '

ask hasty '"stub_twice"' budget_s=0.02
check 'a budget that is too small is inconclusive, status 2' gives 2 farm hasty.json --out hasty
check 'and says why' says 'not decided after [0-9]+ round'

ask wrong '"stub_wrong"'
check 'a wrong kernel fails' gives 1 farm wrong.json --out wrong
check 'and is called wrong, with the place' says 'is wrong: row [0-9]+ of column 0 differs'
check 'at once' test "$(h5dump -d /runs -y wrong/worker-*.h5 | grep -c '"wrong"')" = 1

ask tires '"stub_tires"'
check 'a kernel that goes wrong while it is timed fails' gives 1 farm tires.json --out tires
check 'and says when' says 'differs from the reference after the timed calls'

ask stays '"stub_stays"'
check 'a kernel that leaves a thread running fails' gives 1 farm stays.json --out stays
check 'and is told so' says 'left threads running beside the timed calls'

ask crash '"stub_crash"'
check 'a kernel that crashes twice fails' gives 1 farm crash.json --out crash
check 'and the signal is named' says 'crashed: signal 11 \(Segmentation fault\)'

ask hang '"stub_hang"' deadline_s=0.5
check 'a kernel that hangs twice fails' gives 1 farm hang.json --out hang
check 'and is called late' says 'was late: killed after 0.5 s'

ask eats '"stub_eats"' deadline_s=30 budget_s=60
check 'a kernel that eats memory fails' gives 1 farm eats.json --out eats
check 'and says so itself' says 'out of memory'

ask both '"stub_crash", "stub_twice"'
check 'a crash does not spoil the others' gives 1 farm both.json --out both
check 'which pass' says '^  pass +stub_twice'

ask fast '"stub_wrong", "stub_twice"'
check 'a run that is to fail fast' gives 1 farm fast.json --fail-fast --out fast
check 'ends when it has failed' test "$(h5dump -d /runs -y fast/worker-*.h5 | grep -c '"measured"')" -lt 8

check 'one rank alone does the same' gives 0 "$TRITGATE" run "$data/quick.json" --out alone
check 'in the same words' says '^PASS  2 required tests: 2 passed$'

check 'a job that is stopped for longer than its deadline' bash -c '
    setsid "$1" run "$2" --out frozen >frozen.out 2>&1 & job=$!
    sleep 0.6; pkill -STOP -s $job; sleep 2.5; pkill -CONT -s $job; wait $job' - "$TRITGATE" "$data/quick.json"
if command -v taskset >/dev/null; then
    first=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')
    check 'an affinity mask is honoured' gives 0 taskset -c "$first" "$TRITGATE" run "$data/quick.json" \
        --out bound
    check 'on that core' bash -c 'h5dump -d /runs bound/worker-*.h5 | grep -A1 numa | grep -qx " *\"$1\"," ' \
        - "$first"
fi

check 'two nodes measure at the same time' gives 0 mpirun \
    -n 1 "$TRITGATE" run "$data/quick.json" --out nodes : \
    -n 1 "$TRITGATE" run "$data/quick.json" --host nodea --topology "$data/one_socket.xml" : \
    -n 1 "$TRITGATE" run "$data/quick.json" --host nodeb --topology "$data/one_socket.xml"
check 'both of them' test -s nodes/worker-0001.1.h5 -a -s nodes/worker-0002.1.h5

# Workers that share nothing but the node: each has its core, and all come in turn.
ask cores '"stub_twice", "i2s_scalar"' 'round_s=0.005, "exclusive": "core"' rounds_min=6
check 'cores of one node are dealt to its workers' gives 0 mpirun -n 4 "$TRITGATE" run cores.json \
    --out cores --host node --topology 'synthetic:numa:1 l3:1 core:4 pu:1'
shares() { "$TRITGATE" report cores --format lines | grep -o '"share":"[a-z0-9]*"' | sort -u; }
check 'and each keeps its own' diff <(shares) <(printf '"share":"cores%d"\n' 1 2 3)

# Children are in this script's session; while a run goes on, the same look must find some.
left() { pgrep -s "$$" -cf 'cell --conducted'; }
check 'nothing of it is left running' test "$(left)" = 0
farm slow.json --out slow >/dev/null 2>&1 </dev/null &
for _ in $(seq 100); do
    seen=$(left)
    [[ $seen != 0 ]] && break
    sleep 0.05
done
check 'a look that would have seen it' test "$seen" -gt 0
wait
check 'nor after that' test "$(left)" = 0
finish
