#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several hosts under one mpirun, as namespaces of this machine: each has a name, shared memory and a
# folder `own` of its own, and is reached by an agent in the place of ssh. With binaries that differ,
# and with run directories that the hosts do not share.
PATH=$PATH:/usr/sbin:/sbin

cannot() {
    echo "cannot run here: $1"
    exit 77
}

command -v unshare >/dev/null || cannot 'no unshare'
command -v orted >/dev/null || cannot 'no Open MPI 4'
unshare --uts --mount --pid --fork true 2>/dev/null || cannot 'no namespaces'
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
mkdir own nodea nodeb

cat >host <<END
#!/bin/sh
# HOST COMMAND: runs it there; what it starts ends with it.
name=\$1
shift
exec unshare --uts --mount --pid --fork --kill-child --mount-proc sh -c "hostname \$name &&
    mount -t tmpfs none /dev/shm && mount --bind '$work/\$name' '$work/own' && cd '$work' && exec \$*"
END
chmod +x host
export OMPI_MCA_plm_rsh_agent=$work/host

# Another binary of the same version, and one of another version.
strip -o other "$TRITGATE"
sed 's|0\.1\.0/\([0-9]\)|9.1.0/\1|g' "$TRITGATE" >newer
chmod +x newer
check 'the binaries differ' bash -c '! cmp -s other "$1" && ! cmp -s newer "$1"' - "$TRITGATE"

# farm_of PROGRAM RUN OPTION...: the coordinator and two workers on nodea, two of PROGRAM on nodeb.
farm_of() {
    ./host nodea mpirun --leave-session-attached \
        -n 3 --host nodea:3 "$TRITGATE" run "${@:2}" : -n 2 --host nodeb:2 "$1" run "${@:2}"
}
files() { compgen -G "$1/worker-*.h5"; }

# Hosts share two cores here: a cell may be slow to start.
ask both '"stub_twice"' deadline_s=60 budget_s=120
sed 's/"64x256"/"64x256", "32x512"/' both.json >hosts.json
check 'two hosts, binaries that differ' gives 0 farm_of "$work/other" hosts.json --out shared
check 'pass' says '^PASS  2 required tests: 2 passed$'
check 'with four workers' grep -q ', 4 workers, ' err
check 'two on a host' test "$(grep -oE '"host": ?"node[ab]"' shared/plan.json | sort | uniq -c |
    awk '{ print $1 }' | tr '\n' ' ')" = '2 2 '
check 'and nothing is sent where files are shared' bash -c '! grep -q brought err'

check 'ranks of several versions are refused' \
    gives 3 farm_of "$work/newer" hosts.json --out none
check 'in one sentence' grep -qE \
    "^tritgate: .*worker [34] on 'nodeb' runs tritgate 9.1.0/[0-9], but the coordinator 0.1.0/[0-9]: all" err
check 'and nothing is made' test ! -e none
check 'so are two builds of one version for a shard' gives 3 farm_of "$work/other" hosts.json --shard 1/1 --out none
check 'by the name of its worker' grep -qE \
    "^tritgate: .*worker [34] on 'nodeb' runs another build of tritgate than the coordinator: " err
check 'and nothing is made of it' test ! -e none

# Nobody shares own/, and nodeb has nothing of the run's folder.
check 'a run directory of its own on each host' \
    gives 0 farm_of "$TRITGATE" hosts.json --out own/run
check 'its files are brought to the coordinator' grep -qE ': [12] files? brought here$' err
check 'as they are' bash -c 'for file in nodeb/run/worker-000[34].1.h5; do
    cmp "$file" "nodea/run/${file##*/}" || exit; done'
check 'and sealed' grep -q 'worker-000[34].1.h5' nodea/run/digests.json
check 'nothing is left over' test -z "$(compgen -G 'nodea/run/*.part')"
check 'gate agrees' gives 0 "$TRITGATE" gate nodea/run
check 'nodeb has only what it wrote' test "$(files nodeb/run | wc -l)" = "$(find nodeb/run -type f | wc -l)"

# A launch looks for the mark of the first rank, which is on nodea: in the folder that all share, or else there.
launch() { env OMPI_MCA_orte_leave_session_attached=1 "$TRITGATE" launch -n 3 --host nodea:2,nodeb -- run hosts.json "$@"; }
check 'a launch from elsewhere sees a folder that is shared' gives 0 launch --out launched
check 'in one that is not' gives 3 launch --out own/launched
check 'it is refused' grep -qE \
    "error: the mark 'own/\.launched\.[0-9]+\.mark' of tritgate launch is not on this host: start launch on" err
check 'once' test "$(grep -c '\(error\|warning\): ' err)" = 1
check 'and nothing is made on any' test -z "$(find own nodea nodeb -name '*launched*')"

# A run that is killed leaves rows on nodeb; they are brought when it goes on, once.
ask slow '"stub_twice"' round_s=0.1 quads_max=2000 rounds_min=12 deadline_s=60 budget_s=120
setsid ./host nodea mpirun --leave-session-attached \
    -n 1 --host nodea "$TRITGATE" run slow.json --out own/killed : \
    -n 2 --host nodeb:2 "$TRITGATE" run slow.json >/dev/null 2>&1 </dev/null &
launcher=$!
rows() { HDF5_USE_FILE_LOCKING=FALSE "$TRITGATE" report "$1" --format lines 2>/dev/null | wc -l; }
for _ in $(seq 300); do
    cp nodea/killed/*.json nodeb/killed/ 2>/dev/null # so that its rows can be counted
    if (($(rows nodeb/killed) >= 2)); then break; fi
    sleep 0.1
done
kill -9 "$launcher"
wait "$launcher" 2>/dev/null
before=$(rows nodeb/killed)
rm nodeb/killed/*.json
head -c 1000 "$(files nodeb/killed | head -n 1)" >nodeb/killed/worker-0009.1.h5 # of one that a kill left so
check 'a run that is killed leaves rows where they were written' test "$before" -ge 2
check 'and none at the coordinator' bash -c '! compgen -G "nodea/killed/worker-*.h5"'
cp shared/worker-0003.1.h5 nodeb/killed/worker-0007.1.h5 # of another run that had this folder
ln -s /proc/self/mem nodeb/killed/worker-0008.1.h5       # which nobody can read
check 'what a host cannot give leaves the run open' gives 4 farm_of "$TRITGATE" --resume own/killed
check 'by name' grep -q "error: cannot bring '.*worker-0008.1.h5' from worker [34]: .*Input/output error" err
check 'though all is measured' says '^INCONCLUSIVE '
rm nodeb/killed/worker-0008.1.h5
early=nodea/killed/$(basename "$(files nodeb/killed | head -n 1)") # brought before it had all its rows
head -c 1000 "$early" >part && mv part "$early"
check 'it goes on' gives 0 farm_of "$TRITGATE" --resume own/killed
check 'without what is of another run' grep -q "warning: '.*worker-0007.1.h5' of worker [34] is left out: " err
check 'with those rows, as they are' bash -c 'for file in nodeb/killed/worker-000[129].1.h5; do
    cmp "$file" "nodea/killed/${file##*/}" || exit; done'
check 'and more' test "$(rows nodea/killed)" -gt "$before"
check 'what is damaged is named' says "left out, .*worker-0009.1.h5': "
check 'under other names' compgen -G 'nodea/killed/worker-000?.2.h5'
check 'gate agrees' gives 0 "$TRITGATE" gate nodea/killed
finish
