#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A worker that is killed where MPI has ULFM: the others go on in place, and the run is decided in
# one try, on all that was stored.
# shellcheck disable=SC1091,SC2016,SC2046
. "$(dirname "$0")/lib.sh"
has_ulfm || { echo 'skipped: MPI has no ULFM here'; exit 77; }

launcher=none
trap 'kill -9 $(pgrep -s "$launcher") 2>/dev/null; rm -rf "$work"' EXIT

rank() {
    local pid
    for pid in $(pgrep -s "$launcher" -f "$TRITGATE run"); do
        if grep -qzx "OMPI_COMM_WORLD_RANK=$1" "/proc/$pid/environ"; then echo "$pid"; fi
    done
}

# Digests of the rows that are readable in files of a run, one a line; of copies, since files may be
# being written.
rows() {
    local file
    rm -rf copies && mkdir copies && cp "$@" copies/ 2>/dev/null
    for file in copies/*.h5; do
        h5dump -d /runs "$file" 2>/dev/null | grep -oE '"[0-9a-f]{64}\\?0?[^"]*"$'
    done | sort
}

# begin DIR RANKS...: a run whose workers have both stored rows.
begin() {
    local run=$1
    shift
    setsid mpirun --with-ft ulfm "$@" >"$run.out" 2>"$run.err" </dev/null &
    launcher=$!
    for _ in $(seq 300); do
        if [[ -n $(rows "$run"/worker-0001.1.h5) && -n $(rows "$run"/worker-0002.1.h5) ]]; then
            return 0
        fi
        sleep 0.1
    done
    cat "$run.out" "$run.err"
    return 1
}

ends() {
    local status=0
    (sleep 100 && kill -9 $(pgrep -s "$launcher")) 2>/dev/null &
    local guard=$!
    wait "$launcher" || status=$?
    kill "$guard" 2>/dev/null
    printf 'status %s\n' "$status"
    cat "$2.out" "$2.err"
    test "$status" = "$1"
}

alone() {
    for _ in $(seq 100); do
        if [[ -z $(pgrep -s "$launcher") ]]; then return 0; fi
        sleep 0.1
    done
    pgrep -s "$launcher" -a
    return 1
}

ask slow '"stub_twice"' round_s=0.1 quads_max=2000 rounds_min=16 rounds_max=60 \
    budget_s='90, "silence_s": 60'
sed 's/"64x256"/"64x256", "32x512"/' slow.json >two.json
sed 's/"limit": *[0-9.]*/"limit": 1.5/' slow_policy.json >strict_policy.json
sed 's/slow_policy/strict_policy/' two.json >strict.json

# killed DIR STATUS RANKS...: the first worker is killed in the middle of a run that ends so.
killed() {
    local run=$1 status=$2
    shift 2
    check "a run begins ($run)" begin "$run" "$@"
    rows "$run"/worker-*.h5 >before
    kill -9 "$(rank 1)"
    check "others go on, and decide ($run)" ends "$status" "$run"
    check "the dead worker is named ($run)" \
        grep -q 'warning: worker 1 on .* is dead; others go on' "$run.err"
    check "the run is sealed ($run)" test -s "$run/digests.json"
    check "in one try ($run)" test -z "$(ls "$run" | grep -E '^worker-[0-9]*\.2\.h5|^tries')"
    check "no stored row is lost ($run)" test -z "$(rows "$run"/worker-*.h5 | comm -13 - before)"
    check "gate agrees ($run)" gives "$status" "$TRITGATE" gate "$run"
    check "nothing is left running ($run)" alone
}

killed near 0 -n 3 "$TRITGATE" run two.json --out near
check 'what it had is measured by others: every round is there' \
    test "$("$TRITGATE" report near --format lines | grep -c '"outcome":"measured"')" -ge 64
killed strict 1 -n 3 "$TRITGATE" run strict.json --out strict

# As if its node had a disk of its own.
check 'a run begins (gone)' begin gone -n 3 "$TRITGATE" run two.json --out gone
kill -9 "$(rank 1)"
rm gone/worker-0001.1.h5
check 'what is gone with a worker keeps the run open' ends 4 gone
check 'and is told' \
    grep -qE 'error: .*of [0-9]+ rows of worker 1, which is dead, 0 are here; --resume .* goes on$' gone.err
check 'it is not sealed' test ! -e gone/digests.json
check 'it is gone on with' gives 0 farm --resume gone

# A node: its daemon and its ranks at once. Open MPI 5.0 ends all ranks then, also with ULFM, and its
# mpirun with 0; launch goes on.
if ! unshare --uts --mount --pid --fork true 2>/dev/null; then finish; fi
cat >host <<END
#!/bin/sh
# HOST COMMAND: runs it there; what it starts ends with it.
name=\$1
shift
mkdir -p '$work'/tmp.\$name.\$\$ && export TMPDIR='$work'/tmp.\$name.\$\$
exec unshare --uts --mount --pid --fork --kill-child --mount-proc sh -c "hostname \$name &&
    mount -t tmpfs none /dev/shm && cd '$work' && \$*"
END
chmod +x host
export PRTE_MCA_plm_ssh_agent=$work/host OMPI_MCA_btl_tcp_if_include=lo
./host nodea "$TRITGATE" launch -n 3 --host nodea:2,nodeb -- run two.json --out node >node.out 2>node.err </dev/null &
launcher=$!
for _ in $(seq 300); do
    if [[ -n $(rows node/worker-0001.1.h5) && -n $(rows node/worker-0002.1.h5) ]]; then break; fi
    sleep 0.1
done
rows node/worker-*.h5 >before
kill -9 $(pgrep -f "^unshare .* hostname nodeb ")
status=0
wait "$launcher" || status=$?
check 'a node that is lost ends a try, and no run' test "$status" = 0
check 'whatever mpirun says' grep -q 'warning: try 1 of 3 was lost (mpirun ended with ' node.err
check 'rows were there' test -s before
check 'none is lost' test -z "$(rows node/worker-*.h5 | comm -13 - before)"
check 'and the run is sealed' gives 0 "$TRITGATE" gate node
finish
