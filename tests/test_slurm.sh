#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The job under a real Slurm: a controller and three node daemons on this machine. They live in
# namespaces of their own: their network is reached by nobody else (they ask for no credentials),
# each node has processes and shared memory of its own, and a host name that Slurm does not know;
# none of them outlives the test. A node is lost when the first of its processes is killed, and all
# others with it.
PATH=$PATH:/usr/sbin:/sbin

cannot() {
    echo "cannot run here: $1"
    exit 77
}

if [[ -z ${TG_INSIDE-} ]]; then
    for program in slurmctld slurmd sbatch srun unshare ip; do
        command -v "$program" >/dev/null || cannot "no $program"
    done
    ((EUID == 0)) || cannot 'not root'
    inside=(unshare --net --pid --fork --kill-child --mount-proc --uts)
    "${inside[@]}" ip link set lo up 2>/dev/null || cannot 'no namespaces'
    TG_INSIDE=1 exec "${inside[@]}" "$0"
fi
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
submit=$TG_SOURCE/slurm/submit
# Names are looked up only where there is an address beside the loopback's.
ip link set lo up && ip address add 192.0.2.1/32 dev lo
# What is written for a user, a node or a step must not meet what this machine has of that kind.
export TRITGATE TRITGATE_ANSWER_S=3 SLURM_CONF=$work/slurm.conf XDG_RUNTIME_DIR=$work OMPI_MCA_btl_tcp_if_include=lo \
    OMPI_MCA_oob_tcp_if_include=lo
unset "${!SBATCH_@}" "${!SLURM_JOB@}"

cat >"$SLURM_CONF" <<END
ClusterName=tritgate
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/%n
TmpFS=$work/%n.tmp
SlurmctldPidFile=$work/controller.pid
SlurmdPidFile=$work/%n.pid
SlurmctldLogFile=$work/controller.log
SlurmdLogFile=$work/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
MpiDefault=none
ReturnToService=2
KillWait=1
SlurmdTimeout=60
MessageTimeout=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
NodeName=n1 NodeAddr=127.0.0.1 Port=17001 CPUs=2 RealMemory=1000
NodeName=n2 NodeAddr=127.0.0.1 Port=17002 CPUs=2 RealMemory=1000
NodeName=n3 NodeAddr=127.0.0.1 Port=17003 CPUs=2 RealMemory=1000
PartitionName=all Nodes=n1,n2,n3 Default=YES State=UP
PartitionName=cpu Nodes=n1,n2 State=UP
PartitionName=gpu Nodes=n3 State=UP
END

declare -A first # process of each node
start_node() {
    unshare --uts --mount --pid --fork --kill-child --mount-proc sh -c "hostname machine-${1#n} &&
        mount -t tmpfs none /dev/shm && exec slurmd -D -N $1" >/dev/null 2>&1 </dev/null &
    first[$1]=$!
}
lose_node() { kill -9 "${first[$1]}"; }
idle() { [[ $(sinfo -h -p all -t idle -o %D 2>/dev/null) == 3 ]]; }

# until_ TENTHS CONDITION...: waits for it, so long at most.
until_() {
    local left=$1
    shift
    while ! "$@"; do
        ((left-- > 0)) || return
        sleep 0.1
    done
}

mkdir state n1{,.tmp} n2{,.tmp} n3{,.tmp}
slurmctld -c
for node in n1 n2 n3; do start_node "$node"; done
until_ 150 idle || {
    tail -n 5 ./*.log
    cannot 'the cluster did not come up'
}

"$TG_SOURCE/cmake/bundle/make.sh" "$TG_BUILD" made >packed & # takes a while
packing=$!

# Three nodes on few cores: a cell may be slow to start.
sed -e 's/"deadline_s": 2/"deadline_s": 60/' -e 's/"budget_s": 20/"budget_s": 120/' \
    "$data/quick_policy.json" >quick_policy.json
cp "$data/quick.json" .

jobs() { squeue -h -t all -o %i | wc -l; }

check 'a run over three nodes passes with status 0' \
    gives 0 "$submit" --nodes 3 quick.json --out pass
check 'and prints what it said' says '^PASS  2 required tests: 2 passed$'
check 'with a worker on each node' says ', 3 workers, '
for node in n1 n2 n3; do
    check "one of them is $node to Slurm" grep -qE "\"host\": ?\"$node\"" pass/plan.json
done
check 'gate decides the same' gives 0 "$TRITGATE" gate pass
check 'with the same words behind the same notes' says '^PASS  2 required tests: 2 passed$'

check 'one whose directory is taken is refused' refuses "'pass' exists; --resume goes on with a run" \
    "$submit" quick.json --out pass
check 'a run goes on, on other nodes' gives 0 "$submit" --nodes 2 --resume pass
check 'cpu and gpu nodes in one run, with several memory domains' gives 0 env SBATCH_PARTITION=cpu \
    "$submit" --nodes 2 --part '--partition=gpu --nodes=1' quick.json \
    --topology "$data/two_sockets.xml" --out parts
check 'all of them' says ', 3 workers, '

check 'shards as an array' gives 0 "$submit" --shards 2 quick.json --out parted --json all.json
check 'each in a folder of its own, merged' test -e parted/shard-1 -a -e parted/shard-2 -a -e parted/run
check 'and decided together' says '^PASS  2 required tests: 2 passed$'
check 'with one receipt' grep -q '"answer": "pass"' all.json
rm -r parted/run

wait "$packing"
packed=$(<packed)
mkdir broken && printf '#!/bin/sh\nexit 99\n' >broken/mpirun && chmod +x broken/mpirun
check 'a bundle runs as a job, with an mpirun of its own' gives 0 env -u TRITGATE PATH="$PWD/broken:$PATH" \
    "${packed%.tar.gz}/slurm/submit" --nodes 3 quick.json --out bundled
check 'on all nodes' says ', 3 workers, '

before=$(jobs)
echo '{"tritgate_matrix": 1}' >bad.json
check 'a bad matrix is refused' refuses 'matrix' "$submit" --nodes 3 bad.json
check 'and so is a bad policy' refuses "policy: 'none.json': cannot open" \
    "$submit" quick.json --seed 1 --policy none.json
check 'and no number of nodes' refuses '--nodes needs a number above 0' \
    "$submit" --nodes 0 quick.json
check 'and a program that is not there' refuses "no program './none'" \
    env TRITGATE=./none "$submit" quick.json
check 'and shards where there are some' refuses "'parted/shard-1' exists" \
    "$submit" --shards 2 quick.json --out parted
mkdir -p merged/run
check 'or were' refuses "'merged/run' exists" "$submit" --shards 2 quick.json --out=merged
check 'without a job' test "$before" = "$(jobs)"

mkdir late && touch gone
printf '#!/bin/sh\nrm gone\nexec %s "$@"\n' "$(command -v sbatch)" >late/sbatch && chmod +x late/sbatch
PATH="$PWD/late:$PATH" "$submit" --shards 2 quick.json --out useless --model gone 2>useless.err & # meanwhile
useless=$!
check 'it does not wait for ever for nodes that are not there' \
    gives 4 "$submit" --nodes 4 --wait 2 quick.json --out never
check 'and says what it waited for' grep -q 'pending' err
wait "$useless"
check 'shards that can do nothing are no answer' test $? = 3
check 'and are named' grep -qE 'a shard is of unusable input; see tritgate-[0-9]+.out' useless.err

rm -f err
"$submit" --nodes 4 quick.json --out never 2>err &
interrupted=$!
until_ 100 grep -q pending err
kill -TERM "$interrupted"
wait "$interrupted"
check 'it can be interrupted' test $? = 4
check 'neither leaves a job behind' test -z "$(squeue -h -o %i)"
check 'help helps' gives 0 "$submit" --help
check 'and says what must be shared' says 'all nodes share'

# Losses, each while a slow run goes on: of a node, of the first one, and of the job itself.
ask slow '"stub_twice"' limit=1.5 round_s=0.1 quads_max=2000 rounds_min=12 deadline_s=60 budget_s=120
begin() { # OUT SUBMIT OPTION...
    "$submit" "${@:2}" slow.json --out "$1" >out 2>err &
    waiting=$!
    until_ 100 compgen -G "$1/worker-*.h5" >/dev/null && sleep 0.5
}
ends() { # STATUS, the run's own
    local status=0
    wait "$waiting" || status=$?
    [[ $status == "$1" ]] || {
        cat out err
        return 1
    }
}
rows() { "$TRITGATE" report "$1" --format lines | wc -l; }

check 'a run begins' begin lost --nodes 3
lose_node n3
check 'without one of its nodes it goes on by itself' ends 1
check 'says so' says 'node n3 does not answer, and is left out'
check 'and decides with two' says '^FAIL  1 required test: 0 passed, 1 failed$'

# From now on Slurm misses a node sooner.
sed -i 's/^SlurmdTimeout=.*/SlurmdTimeout=2/' "$SLURM_CONF"
scontrol reconfigure
check 'a run begins' begin again --nodes 1
scontrol requeue "$(squeue -h -t running -o %i)"
check 'one that is requeued goes on with its own directory' ends 1
check 'and says so' says "begun again; going on with 'again'"

down() { [[ $(sinfo -h -n n3 -o %t) == down* ]]; }
check 'Slurm misses the lost node' until_ 150 down
start_node n3
check 'it comes back' until_ 150 idle
check 'a run begins' begin first --nodes 3
before=$(rows first)
lose_node n1
check 'without its first node it is begun again, and ends as it must' ends 1
check 'with what it had' says "begun again; going on with 'first'"
check 'and more' test "$(rows first)" -gt "$before"
check 'on two nodes' grep -q 'at least 2 node(s) will do' err

kill "$(cat controller.pid)"
lose_node n2
lose_node n3
stopped() { ! pgrep 'slurm' >/dev/null; }
check 'the cluster stops' until_ 50 stopped
finish
