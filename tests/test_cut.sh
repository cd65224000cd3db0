#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A network that is cut in the middle of a run: two hosts, as network namespaces of this machine, and
# a link between them that goes down and comes up again. Neither hears of it from MPI.
PATH=$PATH:/usr/sbin:/sbin

cannot() {
    echo "cannot run here: $1"
    exit 77
}

command -v unshare >/dev/null || cannot 'no unshare'
command -v ip >/dev/null || cannot 'no ip of iproute2'
command -v orted >/dev/null || cannot 'no Open MPI 4'
unshare --uts --mount --pid --fork true 2>/dev/null || cannot 'no namespaces'
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
near=tritgate-near-$$ far=tritgate-far-$$
clean() {
    ip netns pids "$near" 2>/dev/null | xargs -r kill -9
    ip netns pids "$far" 2>/dev/null | xargs -r kill -9
    ip netns del "$near" 2>/dev/null
    ip netns del "$far" 2>/dev/null
    rm -rf "$work"
}
trap clean EXIT
ip netns add "$near" 2>/dev/null && ip netns add "$far" && ip -n "$near" link add cut type veth \
    peer name cut netns "$far" 2>/dev/null || cannot 'no network namespaces'
ip -n "$near" addr add 10.99.7.1/24 dev cut
ip -n "$far" addr add 10.99.7.2/24 dev cut
for host in "$near" "$far"; do
    ip -n "$host" link set lo up
    ip -n "$host" link set cut up
done
export OMPI_MCA_btl_tcp_if_include=10.99.7.0/24 OMPI_MCA_oob_tcp_if_include=10.99.7.0/24

cat >host <<END
#!/bin/sh
# HOST COMMAND: runs it there; what it starts ends with it.
name=\$1
shift
network=$far
[ \$name = near ] && network=$near
exec ip netns exec \$network unshare --uts --mount --pid --fork --kill-child --mount-proc sh -c \\
    "hostname \$name && mount -t tmpfs none /dev/shm && cd '$work' && exec \$*"
END
chmod +x host
export OMPI_MCA_plm_rsh_agent=$work/host

# waits SECONDS COMMAND...: until it succeeds, for so long at most.
waits() {
    local begun=$SECONDS
    until "${@:2}"; do
        ((SECONDS - begun < $1)) || return 1
        sleep 0.1
    done
}
rows() { HDF5_USE_FILE_LOCKING=FALSE "$TRITGATE" report run --format lines 2>/dev/null; }
both_measure() { [[ $(rows | grep -oE '"host": ?"(near|far)"' | sort -u | wc -l) == 2 ]]; }
says_err() { grep -qE -- "$1" err; }
status_is() { [[ -s status && $(cat status) == "$1" ]]; }

ask one '"stub_twice"' round_s=0.05 quads_max=2000 rounds_min=30 rounds_max=80 deadline_s=60 \
    budget_s='120, "silence_s": 3'
sed 's/"64x256"/"64x256", "32x512"/' one.json >slow.json
(
    ./host near "$TRITGATE" launch -n 3 --host near:2,far --patience 3 -- run slow.json --out run \
        >out 2>err </dev/null
    echo $? >status
) &
check 'both hosts measure' waits 60 both_measure
ip -n "$near" link set cut down
check 'the worker beyond the cut is lost' waits 30 says_err 'worker [12] on far has said nothing for 3 s'
check 'the other one measures all' waits 60 says_err '2 of 2 tests done'
check 'the end says what may be missing' waits 30 says_err 'which is lost, may be elsewhere; --resume'
check 'an mpirun that waits for what is cut off is ended' waits 60 says_err 'try 1 of 3 was lost'
ip -n "$near" link set cut up
check 'the launch goes on by itself, and passes' waits 120 status_is 0
check 'says so' says '^PASS  2 required tests: 2 passed$'
check 'on both hosts' both_measure
check 'and seals' test -s run/digests.json
check 'gate agrees' gives 0 "$TRITGATE" gate run
wait
finish
