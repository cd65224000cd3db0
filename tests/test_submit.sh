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
for option in --ou=x --js --bu --model-c --shar; do
    check "an option that is cut short, $option" refuses " in full, not '${option%=*}'" "$submit" "$quick" "$option" 1
done
check 'help of run behind a matrix' gives 3 "$submit" "$quick" --help

# What the program says where it measures it says here, in one sentence.
echo '{"tritgate_matrix": 1}' >bad.json
echo 'no library' >none.so
mkdir taken
for shard in 1/0 3/2 0/2 1/2x half; do
    check "shard $shard" refuses "unusable shard '$shard'" "$submit" "$quick" --shard "$shard"
done
check 'a shard for which nothing is left' refuses 'nothing is left for shard 9/9' "$submit" "$quick" --shard 9/9
check 'a step that the policy has not' refuses "no step 'final'" "$submit" "$quick" --policy review --step final
check 'nor one of no steps' refuses "no step 'final'" "$submit" "$quick" --step=final
check 'a head that is not there' refuses "'nowhere.so'" "$submit" "$quick" --head nowhere.so
check 'or no library' refuses 'none.so' "$submit" "$quick" --head none.so
check 'a base that is not there' refuses "'nowhere.so'" "$submit" "$quick" --base nowhere.so
check 'nor is the same' refuses 'base and head are the same file' "$submit" "$quick" --base "$TRITGATE_LIB"
check 'the same as nothing' refuses '--same needs --base' "$submit" "$quick" --same
check 'a matrix that is none' refuses 'matrix' "$submit" bad.json
check 'a policy that is not there' refuses "policy: 'none.json': cannot open" "$submit" "$quick" -pnone.json
check 'a filter of no axis' refuses 'sort' "$submit" "$quick" --filter sort=fast
check 'one that leaves nothing' refuses 'kernel=stub_hang' "$submit" "$quick" --filter kernel=stub_hang
check 'a model that is not there' refuses "'none.gguf'" "$submit" "$quick" --model none.gguf
check 'a model cache that only one node would find' refuses 'no absolute path' "$submit" "$quick" --model-cache here
check 'accepted losses that are not there' refuses "acceptance: 'none'" "$submit" "$quick" --accept none
check 'changed paths that are not there' refuses "'none'" "$submit" "$quick" --changed none
check 'an earlier run that is not there' refuses "'none'" "$submit" "$quick" --inherit none
check 'baselines that are not there' refuses "'none'" "$submit" "$quick" --baseline none
check 'a history that is not there' refuses "'none'" "$submit" "$quick" --history none
check 'a receipt that cannot be written' refuses "cannot write 'none/receipt'" "$submit" "$quick" --json none/receipt
check 'a directory that is taken' refuses "'taken' exists" "$submit" "$quick" --out taken
ln -s nowhere link
check 'or whose name is' refuses "'link' exists" "$submit" "$quick" --out link
check 'more shards than blocks' refuses 'nothing is left for shard 9/9' "$submit" --shards 9 "$quick"
check 'a shard of its own for each of them' refuses 'either --shards or --shard' \
    "$submit" --shards 2 "$quick" --shard 1/2
check 'shards and numbers' refuses 'either --shard or --baseline' "$submit" --shards 2 "$quick" --baseline none

for directory in /nope taken; do
    check "no run is in $directory" refuses "$directory'" "$submit" --resume "$directory"
    check 'in either form' refuses "$directory'" "$submit" "--resume=$directory"
done
check 'nor in none' gives 3 "$submit" --resume
check 'a run' gives 0 "$TRITGATE" run "$quick" --out run
check 'that goes on as shards' refuses 'are gone on with one by one' "$submit" --shards 2 --resume run
check 'what a run that goes on cannot be told' gives 3 "$submit" --resume run --seed 1
check 'is said' grep -q 'resume goes on as the run was begun' err
cp "$TRITGATE" other && printf x >>other
check 'one of another build' refuses 'another build of tritgate' env TRITGATE=./other "$submit" --resume run
echo '{"answer": "pass"}' >receipt.json
check 'one that leaves no receipt of an earlier run' refuses "'none'" "$submit" "$quick" --json receipt.json --accept none
check 'behind it' test ! -s receipt.json
check 'nothing was queued by any of these' test ! -e queued
check 'nor made' test ! -e runs

cp -r run before
check 'all else is' gives 4 "$submit" "$quick" --out made --budget 20 --seed 1
check 'by sbatch' test -e queued
rm queued
check 'and so are shards, into a directory that has none' gives 4 "$submit" --shards 2 "$quick" --out taken
check 'by it, too' test -e queued
rm queued
check 'and a run that goes on' gives 4 "$submit" --resume run --budget 20
check 'likewise' test -e queued
rm queued
sed 's/"flow"/"surface": ["kernels\/*"], "flow"/' "$data/quick_policy.json" >surface.json
echo README.md >paths
check 'and one of no cell' gives 4 "$submit" "$quick" --policy surface.json --changed paths --json skipped.json
check 'which says so itself' test -e queued -a ! -s skipped.json
check 'nothing was measured' test ! -e made
check 'nor changed' diff -r before run

# An array whose first shard was lost with its node, which left the mark of its launch, and then was
# gone on with.
cat >bin/mpirun <<'END'
#!/bin/sh
kill -9 "$PPID"
END
cat >bin/sbatch <<'END'
#!/bin/sh
mkdir -p lost
"$TRITGATE" launch -- run "$quick" --shard 1/2 --out lost/shard-1
for i in 1 2; do "$TRITGATE" run "$quick" --shard "$i/2" --out "lost/shard-$i"; done >&2
echo 7
END
printf '#!/bin/sh\necho "JobId=7 JobState=COMPLETED Reason=None Restarts=0 ExitCode=0:0"\n' >bin/scontrol
chmod +x bin/*
check 'shards of which one was lost and gone on with' \
    gives 0 env quick="$quick" "$submit" --shards 2 "$quick" --out lost
check 'though its launch left a mark' test -n "$(find lost -name '*shard-1.*mark')"
check 'are decided on by the gate' says '^PASS '

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
