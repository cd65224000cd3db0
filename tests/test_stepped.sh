#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The wall clock is set while a run goes on: in every process each reading of it is an hour later
# than the one before, or an hour earlier. Leases, deadlines, silences and samples are of another.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

: "${TG_STEPPED_CLOCK:=$TG_BUILD/tests/libstepping.so}"

# stepped MANNER ARG...: a run of three ranks, whose clocks step so.
stepped() {
    timeout 60 mpirun -n 3 -x LD_PRELOAD="$TG_STEPPED_CLOCK" -x TG_STEPPING="$1" \
        "$TRITGATE" run "${@:2}"
}

keeps_all() { ! grep -E 'has said nothing|takes longer|others go on' err; }

# is_off SIGN DIRECTORY: its rows are dated by hours later (+) or earlier (-).
is_off() {
    local now
    now=$(date +%s)
    "$TRITGATE" report "$2" --format lines | grep -o '"date":"[^"]*"' | cut -d'"' -f4 |
        while read -r date; do echo $((${1}1 * ($(date -d "$date" +%s) - now))); done |
        awk '$1 > 1800 { off++ } END { exit !(off > 3 && off == NR) }'
}

ask steady '"stub_twice"'
ask hang '"stub_hang"' deadline_s=0.5
for manner in forth back; do
    check "$manner: a run decides as ever" gives 0 stepped $manner steady.json --out "$manner"
    check "$manner: it passes" says '^PASS  1 required test: 1 passed$'
    check "$manner: no worker is lost" keeps_all
    check "$manner: it is sealed" test -s "$manner/digests.json"
    check "$manner: the gate decides the same" gives 0 "$TRITGATE" gate "$manner"
    check "$manner: a kernel that hangs is ended at its deadline" \
        gives 1 stepped $manner hang.json --out "hang-$manner"
    check "$manner: and called late" says 'stub_hang of head was late: killed after 0.5 s'
done
check 'rows are dated hours late' is_off + forth
check 'or early' is_off - back

# The clock that all this is of, stepped too.
does_not_pass() { ! stepped all "$@" >all.out 2>&1 </dev/null; }
check 'a run whose own clock runs away does not pass' does_not_pass steady.json --out all
finish
