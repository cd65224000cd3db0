#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tritgate launch: a run over ranks that goes on by itself, whatever became of a rank or of mpirun.
# shellcheck disable=SC1091,SC2016,SC2046
. "$(dirname "$0")/lib.sh"
# It tells Open MPI what it needs, not this script.
unset "${!OMPI_@}"

ask slow '"stub_twice"' round_s=0.1 quads_max=2000 rounds_min=10 rounds_max=60 \
    budget_s='60, "silence_s": 3'
ask brief '"stub_twice"' limit=1.5 budget_s='60, "silence_s": 3'
ask strict '"stub_twice"' limit=1.5

# begin DIR ARG...: a launch in the background; waits until a round is stored.
begin() {
    local run=$1
    shift
    setsid "$TRITGATE" launch "$@" >"$run.out" 2>"$run.err" </dev/null 9<&- &
    launcher=$!
    for _ in $(seq 600); do
        [[ -s $run/worker-0001.1.h5 || -s $run/worker-0002.1.h5 ]] && return 0
        sleep 0.05
    done
    return 1
}

# found NAME: processes of the launch, each try of which has a session of its own.
found() {
    local try
    for try in $(pgrep -P "$launcher"); do pgrep -s "$try" "$@"; done
}
rank() {
    local pid
    for pid in $(found -f "$TRITGATE run"); do
        if grep -qzx "OMPI_COMM_WORLD_RANK=$1" "/proc/$pid/environ"; then echo "$pid"; fi
    done
}
ends() {
    local status=0
    wait "$launcher" || status=$?
    printf 'status %s\n' "$status"
    cat "$2.out" "$2.err"
    test "$status" = "$1" -a -z "$(marks "$2")"
}
marks() { find . -name ".$1.*mark*"; } # that are left of a launch
busy() { ! alone "$1"; }
alone() { test -z "$(pgrep -f "^$TRITGATE run .* $PWD/$1" || true)"; }

check 'a run fails with status 1' gives 1 "$TRITGATE" launch -- run strict.json --out strict --json copy.json
check 'as the gate says' says '^FAIL  1 required test: 0 passed, 1 failed$'
check 'where it was asked to' test -s strict/receipt.json -a -s copy.json
check 'and leaves nothing else' test -z "$(marks strict)"
check 'what is there already is refused, once' refuses "'strict' exists" "$TRITGATE" launch -- run strict.json --out strict
check 'so is what cannot be made' refuses "cannot make 'nowhere/run': No such file or directory" \
    "$TRITGATE" launch -- run strict.json --out nowhere/run
check 'or gone on with' refuses "cannot write beside 'nowhere/run': No such file or directory" \
    "$TRITGATE" launch -- run --resume nowhere/run
check 'a run that was ended can be gone on with' gives 1 "$TRITGATE" launch -n 2 -- run --resume strict/

check 'a run begins (killed)' begin killed -- run slow.json --out "$PWD/killed"
# Where MPI has ULFM the death of a worker ends no try (test_survivors.sh), that of rank 0 does.
kill -9 "$(rank "$(has_ulfm && echo 0 || echo 1)")"
check 'a rank that is killed does not end it' ends 0 killed
check 'it says so' grep -qE 'warning: try 1 of 3 was lost \(mpirun ended with s[a-z]* [0-9]+\); going on' killed.err
check 'in the same directory' test -n "$(ls killed/worker-000?.2.h5)"
check 'nothing is left running' alone killed

check 'a run begins (stopped)' begin stopped -- run slow.json --out "$PWD/stopped"
kill -STOP "$(rank 1)"
check 'nor one that is stopped' ends 0 stopped
check 'it was lost for its silence' grep -q 'warning: worker 1 on .* has said nothing for 3 s' stopped.err
check 'nothing is left running of it' alone stopped

check 'a run begins (terminated)' begin terminated -- run strict.json --budget 30 --out terminated
kill -TERM "$(found -x mpirun)" 2>/dev/null
check 'an mpirun that is ended, whose status is 1, is no failure and no pass' ends 1 terminated
check 'the run decides' test -s terminated/digests.json

check 'a run begins (interrupted)' begin interrupted -- run slow.json --out "$PWD/interrupted"
kill -TERM "$launcher" # a script has what it leaves behind ignore SIGINT
check 'who interrupts it ends it' ends 4 interrupted
check 'and is told how to go on' grep -q 'error: stopped by a signal; --resume .*interrupted goes on' interrupted.err
check 'nothing is left running then' alone interrupted
check 'which can be done' gives 0 "$TRITGATE" launch -n 2 -- run --resume interrupted

# It decides as long as nobody reads its receipt (it is read when it sees whether it can write): all
# is measured by then, and all files are closed.
mkfifo pipe
exec 9<>pipe
check 'a run begins (deciding)' begin deciding -- run brief.json --out "$PWD/deciding" --json pipe
check 'and is seen to' busy deciding
exec 9<&-
for _ in $(seq 600); do [[ -s deciding/receipt.json ]] && break || sleep 0.05; done
victim=$(rank 0)
kill -STOP "$victim"
rm deciding/report.md deciding/receipt.json
for _ in $(seq 1200); do kill -0 "$victim" 2>/dev/null && sleep 0.05 || break; done
kill -9 "$victim" 2>/dev/null # nobody else did
exec 9<>pipe
check 'a coordinator that is stopped while it decides is lost' ends 1 deciding
exec 9<&-
check 'to its workers' grep -q 'error: the coordinator has said nothing for 3 s' deciding.err
check 'so that the launch decides' grep -qE 'warning: try 1 of 3 was lost .* when all was measured$' deciding.err
check 'and is no other try' test ! -e deciding/tries.json
check 'and reports are written' test -s deciding/report.md -a -s deciding/receipt.json
check 'on what was measured' test -s deciding/digests.json -a -z "$(ls deciding/worker-000?.2.h5 2>/dev/null)"
check 'nothing is left running of that' alone deciding

check 'a run begins' begin twice --patience 1 -- run slow.json --out twice
check 'a second launch of it is refused' \
    refuses "'twice' exists" "$TRITGATE" launch -- run slow.json --out twice
check 'and is nothing to the first' ends 0 twice
check 'which needed no other try' bash -c '! grep "was lost" twice.err'

mkdir never && printf '#!/bin/sh\nexit 1\n' >never/mpirun && chmod +x never/mpirun
check 'tries are bounded' gives 4 env PATH="$PWD/never:$PATH" "$TRITGATE" launch --tries 2 --patience 1 -- run slow.json
check 'and say so, and that there is nothing to go on with' \
    grep -q 'error: no try came to its end (mpirun ended with status 1), and nothing was measured$' err
check 'leaving no directory' test -z "$(ls -A runs)"
printf '#!/bin/sh\nsleep 60\n' >never/mpirun
check 'an mpirun that never begins is ended' gives 4 env PATH="$PWD/never:$PATH" \
    "$TRITGATE" launch --tries 1 --patience 0.05 -- run slow.json
check 'and is called so' grep -q 'hung and was ended' err

printf '#!/bin/sh\nmkdir half && : >half/matrix.json\nkill -TERM "$PPID"\nsleep 60\n' >never/mpirun
check 'one that is interrupted before' gives 4 env PATH="$PWD/never:$PATH" "$TRITGATE" launch -- run slow.json --out half
check 'has nothing to go on with' grep -q 'error: stopped by a signal before anything was measured$' err
check 'and leaves nothing' test ! -e half

# One that begins a run and is lost; then the run is refused, since that one still has its lock.
cat >never/mpirun <<'END'
#!/bin/sh
while [ "$1" != --mark ]; do shift; done
if mkdir held; then : >held/plan.json; echo 4 >"$2"; else echo x >>held.again; echo 3 >"$2"; fi 2>/dev/null
exit 1
END
check 'a run of its own that is refused is tried again' gives 4 env PATH="$PWD/never:$PATH" \
    "$TRITGATE" launch --tries 2 --patience 0.1 -- run slow.json --out held
check 'as often as others' test "$(wc -l <held.again)" = 1
check 'and can be gone on with' grep -q 'error: no try came to its end .*; --resume held goes on$' err
check 'one that it did not begin is not' gives 3 env PATH="$PWD/never:$PATH" \
    "$TRITGATE" launch --patience 0.1 -- run --resume held
check 'but refused at once' test "$(wc -l <held.again)" = 2

# What a run is gone on with: an mpirun, and a program for the job, that only say how they were called.
printf '#!/bin/sh\necho "$*" >>called\nmkdir -p went && : >went/plan.json\nexit 1\n' >never/mpirun
check 'a run is gone on with' gives 4 env PATH="$PWD/never:$PATH" "$TRITGATE" launch --tries 2 --patience 1 -- \
    run slow.json --out went --model a.gguf --model-cache=/cache
check 'with its models' grep -qE -- ' --resume went --model a.gguf --model-cache /cache$' called
printf '#!/bin/sh\nmkdir -p veiled && : >veiled/matrix.json && ln -sfn plan.json veiled/plan.json\nexit 1\n' >never/mpirun
check 'one whose plan cannot be looked at, as on a disk that is away,' gives 4 env PATH="$PWD/never:$PATH" \
    "$TRITGATE" launch --tries 2 --patience 1 -- run slow.json --out veiled
check 'is left as it is' test -e veiled/matrix.json
# A first rank that is elsewhere ends behind its mpirun: it has the directory, and leaves its status.
cat >never/mpirun <<'END'
#!/bin/sh
echo x >>late.tries
while [ "$1" != --mark ]; do shift; done
mkdir late && : >late/plan.json
setsid flock late sh -c "sleep 2; echo 1 >'$2'" >/dev/null 2>&1 &
sleep 0.5
exit 9
END
check 'a first rank that ends behind its mpirun has its say' gives 1 env PATH="$PWD/never:$PATH" \
    "$TRITGATE" launch --patience 10 -- run slow.json --out late
check 'before another try begins' test "$(wc -l <late.tries)" = 1
printf '#!/bin/sh\necho "$*" >called\nexit 4\n' >never/tritgate
printf '#!/bin/sh\necho "$3"\n' >never/scontrol && chmod +x never/*
check 'and so is a job' gives 4 env PATH="$PWD/never:$PATH" TRITGATE="$PWD/never/tritgate" SLURM_JOB_ID=1 \
    SLURM_JOB_NODELIST=n1 SLURM_RESTART_COUNT=2 bash "$TG_SOURCE/slurm/tritgate.sbatch" slow.json --out went \
    --model a.gguf --model-cache=/cache
check 'with its' grep -qE -- '-- run --model a.gguf --model-cache=/cache --resume went$' called
printf '#!/bin/sh\nexit 3\n' >never/tritgate
job() { env PATH="$PWD/never:$PATH" TRITGATE="$PWD/never/tritgate" SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n1 \
    SLURM_RESTART_COUNT="$1" bash "$TG_SOURCE/slurm/tritgate.sbatch" slow.json --out went; }
check 'that is refused what it began can be gone on with, too' gives 4 job 2
check 'but not what it did not' gives 3 job 0

check 'what is launched is run' refuses "what is launched is 'run', behind --" "$TRITGATE" launch -- gate strict
check 'with what run takes' gives 3 "$TRITGATE" launch -- run strict.json --nonsense
check 'on hosts of a file that is there' refuses "cannot read 'nowhere': No such file" \
    "$TRITGATE" launch --hostfile nowhere -- run strict.json
check 'over a number of ranks' refuses "unusable ranks '0'" "$TRITGATE" launch -n 0 -- run strict.json
finish
