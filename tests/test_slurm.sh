#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The job under a real Slurm: a controller and three node daemons on this machine. They live in
# namespaces of their own: their network is reached by nobody else (they ask for no credentials),
# each node has a name and shared memory of its own, and none of them outlives the test.
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
export TRITGATE SLURM_CONF=$work/slurm.conf XDG_RUNTIME_DIR=$work OMPI_MCA_btl_tcp_if_include=lo \
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
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
KillWait=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
NodeName=n1 NodeAddr=127.0.0.1 Port=17001 CPUs=2 RealMemory=1000
NodeName=n2 NodeAddr=127.0.0.1 Port=17002 CPUs=2 RealMemory=1000
NodeName=n3 NodeAddr=127.0.0.1 Port=17003 CPUs=2 RealMemory=1000
PartitionName=all Nodes=n1,n2,n3 Default=YES State=UP
END

idle() { [[ $(sinfo -h -t idle -o %D 2>/dev/null) == 3 ]]; }

mkdir state n1{,.tmp} n2{,.tmp} n3{,.tmp}
slurmctld -c
for node in n1 n2 n3; do
    unshare --uts --mount sh -c "hostname $node && mount -t tmpfs none /dev/shm &&
        exec slurmd -N $node"
done
for _ in $(seq 150); do
    if idle; then break; fi
    sleep 0.1
done
idle || {
    tail -n 5 ./*.log
    cannot 'the cluster did not come up'
}

jobs() { squeue -h -t all -o %i | wc -l; }

check 'a run over three nodes passes with status 0' \
    gives 0 "$submit" --nodes 3 "$data/quick.json" --out pass
check 'and prints what it said' says '^PASS  2 required tests: 2 passed$'
check 'with a worker on each node' says ', 3 workers, '
for node in n1 n2 n3; do
    check "one of them on $node" grep -qE "\"host\": ?\"$node\"" pass/plan.json
done
check 'gate decides the same' gives 0 "$TRITGATE" gate pass
check 'with the same words behind the same notes' says '^PASS  2 required tests: 2 passed$'

ask strict '"stub_twice"' limit=1.5
check 'one that fails, status 1' gives 1 "$submit" --nodes=3 strict.json --out fail
ask hasty '"stub_twice"' budget_s=0.02
check 'one that is inconclusive, status 2' gives 2 "$submit" --nodes 2 hasty.json --out hasty
check 'one that finds its directory taken, status 3' \
    gives 3 "$submit" "$data/quick.json" --out pass
check 'and says so' says "'pass' exists; --resume goes on with a run"
check 'a run goes on, on other nodes' gives 0 "$submit" --nodes 2 --resume pass
check 'nodes with several memory domains' gives 0 \
    "$submit" --nodes 3 --wait 30 "$data/quick.json" --topology "$data/two_sockets.xml" --out domains

packed=$("$TG_SOURCE/cmake/bundle/make.sh" "$TG_BUILD" made)
mkdir broken && printf '#!/bin/sh\nexit 99\n' >broken/mpirun && chmod +x broken/mpirun
check 'a bundle runs as a job, with an mpirun of its own' gives 0 env -u TRITGATE PATH="$PWD/broken:$PATH" \
    "${packed%.tar.gz}/slurm/submit" --nodes 3 "$data/quick.json" --out bundled
check 'on all nodes' says ', 3 workers, '

before=$(jobs)
echo '{"tritgate_matrix": 1}' >bad.json
check 'a bad matrix is refused' refuses 'matrix' "$submit" --nodes 3 bad.json
check 'and so is a bad policy' refuses "policy: 'none.json': cannot open" \
    "$submit" "$data/quick.json" --seed 1 --policy none.json
check 'and no number of nodes' refuses '--nodes needs a number above 0' \
    "$submit" --nodes 0 "$data/quick.json"
check 'and a program that is not there' refuses "no program './none'" \
    env TRITGATE=./none "$submit" "$data/quick.json"
check 'without a job' test "$before" = "$(jobs)"

check 'it does not wait for ever for nodes that are not there' \
    gives 4 "$submit" --nodes 4 --wait 2 "$data/quick.json" --out never
check 'and says what it waited for' grep -q 'pending' err

"$submit" --nodes 4 "$data/quick.json" --out never 2>err &
interrupted=$!
for _ in $(seq 100); do
    if grep -q pending err; then break; fi
    sleep 0.1
done
kill -TERM "$interrupted"
wait "$interrupted"
check 'it can be interrupted' test $? = 4
check 'neither leaves a job behind' test -z "$(squeue -h -o %i)"
check 'help helps' gives 0 "$submit" --help
check 'and says what must be shared' says 'file system'

# shellcheck disable=SC2046
kill $(cat ./*.pid)
stopped() { ! pgrep 'slurm' >/dev/null; }
for _ in $(seq 50); do
    if stopped; then break; fi
    sleep 0.1
done
check 'the cluster stops' stopped
finish
