#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
#   ./dev scale [RANKS [SECONDS]]
#
# How far one coordinator goes. Farms of up to 10,000 workers and 1,000,000 blocks are played with
# plain data; then so many ranks (default 64) work on this machine, each with a host name and a
# recorded topology of its own, whose children sleep for rounds of so many seconds (default 1): on
# single cells, then on pairs of builds.
# SCALE_COLD=MB: before each answer so much memory is walked through, so that the coordinator finds
# nothing in the caches; fewer ranks do then (16).
# Status 1 if less than 95 % of the workers' time was inside rounds.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"

ranks=${1:-64} seconds=${2:-1} least=${3:-95}
[[ $ranks =~ ^[1-9][0-9]*$ && $seconds =~ ^[0-9.]+$ ]] || {
    sed -n 's/^#   //p' "$0" >&2
    exit 3
}

# pose NAME RULE LIMITS: four blocks for each worker, of rounds of five quads, as the children know.
pose() {
    cat >"$1-policy.json" <<END
{"tritgate_policy": 1, "flow": "scale",
 "limits": {"rounds_min": 3, "round_s": 1, "quads_min": 5, "quads_max": 5, "disturbed_share": 0.99,
            "repeats_max": 0, "deadline_s": 300, "budget_s": 3600, $3},
 "rules": [{"metric": "call_time", $2}]}
END
    printf '{"tritgate_matrix": 1, "policy": "%s-policy.json", "axes": {"probe": ["kernel"],
        "kernel": ["i2s_scalar"], "layer": ["64x256"], "batch": [%s]}}\n' \
        "$1" "$(seq -s , $((4 * ranks)))" >"$1.json"
}

# measure NAME ROUNDS [ARG...]: its run by all ranks, of at least so many rounds for each.
measure() {
    mpirun -n $((ranks + 1)) -x SCALE_ROUND_S="$seconds" "$TG_BUILD/tests/scale_ranks" run \
        "$1.json" "$data/one_socket.xml" --head "$TRITGATE_LIB" --out "$1" "${@:3}" \
        >out 2>err </dev/null
    grep -E '^(coordinator|part)' out || {
        cat out err
        return 1
    }
    awk -v least="$least" -v ranks="$ranks" -v rounds_least="$2" '
    /^worker / {
        busy += $3; all += $6; count++; share = $3 / $6
        if (!low || share < low) low = share
    }
    /^coordinator/ { rounds = $2; core = $4; waiting = $10 }
    END {
        printf "%d workers, %d rounds: %.1f %% of the time inside rounds (the least %.1f %%)\n",
            count, rounds, 100 * busy / all, 100 * low
        printf "the coordinator took %.0f us a round, and for waiting %.2f %% of a core\n",
            1e6 * core / rounds, 100 * waiting / (all / count)
        exit !(count == ranks && rounds >= rounds_least * ranks && 100 * busy >= least * all)
    }' out
}

pose ceilings '"rule": "ceiling", "limit": 1e9' '"rounds_max": 3'
pose pairs '"rule": "noninferior", "axis": "build", "of": "head", "to": "base", "tolerance": 0.02,
    "margin": 0.05' '"rounds_max": 5, "family_watch": true, "family_rounds": 5'

if [[ $# -lt 3 ]]; then
    "$TG_BUILD/tests/scale_queue" "$TG_SOURCE/docs/scaling.svg" || exit 1
    printf '\nceilings, a cell each\n'
fi
measure ceilings 12 || exit 1
if [[ $# -lt 3 ]]; then
    printf '\npairs of builds, with a family\n'
    cp "$TRITGATE_LIB" base.so
    measure pairs 12 --base "$PWD/base.so" --same
fi
