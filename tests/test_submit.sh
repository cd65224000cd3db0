#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What slurm/submit refuses before it queues anything: no cluster is needed to find out.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
submit=$TG_SOURCE/slurm/submit
export TRITGATE

mkdir bin
printf '#!/bin/sh\ntouch "%s/queued"\nexit 1\n' "$work" >bin/sbatch
chmod +x bin/sbatch
PATH=$work/bin:$PATH
quick=$data/quick.json

check 'an unknown option of submit is its own' \
    refuses "submit: no option '--node' of submit; those of run are behind the matrix" "$submit" --node 2 "$quick"
check 'also if it is one of run' refuses "submit: no option '--seed'" "$submit" --seed 1 "$quick"
check 'shards of several parts are no job of Slurm' refuses \
    'submit: either --shards or --part: Slurm has no arrays of heterogeneous jobs' \
    "$submit" --shards 2 --part '--partition=gpu --nodes=1' "$quick"
check 'an unknown option of run' gives 3 "$submit" "$quick" --sed 1
check 'is named as one of run' grep -q "^tritgate run: unrecognized option '--sed'" err
check 'a stray word' gives 3 "$submit" "$quick" other.json
check 'is named' grep -q "^tritgate run: .*'other.json'" err
check 'an unusable value' gives 3 "$submit" "$quick" --budget none
check 'is named, too' grep -q "unusable budget 'none'" err
check 'an option without its value' gives 3 "$submit" "$quick" --json
mkdir empty
for directory in /nope empty; do
    check "no run is in $directory" refuses "no run to go on with in '$directory'" "$submit" --resume "$directory"
    check 'in either form' refuses "no run to go on with in '$directory'" "$submit" "--resume=$directory"
done
check 'nor in none' gives 3 "$submit" --resume
touch empty/plan.json
check 'what a run that goes on cannot be told' gives 3 "$submit" --resume empty --seed 1
check 'is said' grep -q 'resume goes on as the run was begun' err
check 'help of run behind a matrix' gives 3 "$submit" "$quick" --help
check 'nothing was queued by any of these' test ! -e queued
check 'all else is' gives 4 "$submit" "$quick" --out made --budget 20 --seed 1
check 'by sbatch' test -e queued
rm queued
check 'and so is a run that goes on' gives 4 "$submit" --resume empty --budget 20
check 'by it, too' test -e queued
check 'nothing was measured' test ! -e made

# The job itself, of one node, where a launch takes its time to end.
cat >launcher <<'END'
#!/usr/bin/env bash
trap 'sleep 1; touch ended; exit 4' TERM
touch begun
while :; do sleep 0.05; done
END
chmod +x launcher
printf '#!/bin/sh\necho node\n' >bin/scontrol
chmod +x bin/scontrol
stop() { # begin, wait for FILE, stop; status 4
    SLURM_JOB_ID=1 SLURM_JOB_NODELIST=node TRITGATE=$work/launcher \
        "$TG_SOURCE/slurm/tritgate.sbatch" "$quick" 2>err &
    local job=$! status=0
    for _ in $(seq 200); do [[ -e $1 ]] && break || sleep 0.05; done
    kill -TERM "$job"
    wait "$job" || status=$?
    [[ $status == 4 ]]
}
check 'a job that is stopped says so' stop begun
check 'when its launch has ended' test -e ended
finish
