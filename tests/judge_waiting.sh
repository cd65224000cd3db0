#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Whether ranks that wait disturb what is timed: rounds of A/A, in turn without and with four idle
# workers on the node. The median |D| of the two may differ by a quarter; and waiting ranks use at
# most 1 % of a core each between the first sample and the last (tests/test_waiting.sh, six ranks).
#
#   tests/judge_waiting.sh [ROUNDS]      ROUNDS of each kind (default 200, about 0.6 s each)

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
: "${TRITGATE:=$PWD/build/release/tritgate}" "${TG_WAITING_BUILD:=$PWD/build/ci}"
rounds=${1:-200} batch=10
[[ $rounds =~ ^[1-9][0-9]*0$ ]] || {
    echo "judge: rounds come in tens, not '$rounds'" >&2
    exit 3
}
[[ $TRITGATE != "$PWD/build/release/tritgate" ]] || ./dev build release || exit 1
[[ -x $TG_WAITING_BUILD/tritgate ]] || ./dev build ci || exit 1
set -a
# shellcheck disable=SC1091
. tests/mpi.env
set +a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$(dirname "$TRITGATE")/libtritgate-kernels.so" "$work/base.so"

cat >"$work/policy.json" <<END
{"tritgate_policy": 1, "flow": "review",
 "limits": {"rounds_min": $batch, "rounds_max": $batch, "round_s": 0.25, "warmup_min_s": 0.02,
            "warmup_max_s": 0.2, "budget_s": 600},
 "rules": [{"rule": "noninferior", "metric": "call_time", "axis": "build", "of": "head",
            "to": "base", "tolerance": 0.02, "margin": 0.05}]}
END
cat >"$work/aa.json" <<END
{"tritgate_matrix": 1, "policy": "policy.json",
 "axes": {"probe": ["kernel"], "kernel": ["i2s_avx2"], "model": ["bitnet-2b"], "layer": ["attn_k"]}}
END

# D of each round in lines of measurements: the median over quads of ln(head / base). A side's
# samples are in the order of their turns, two of each quad.
values() {
    awk '
    function list(name,    text) {
        text = $0; sub(".*\"" name "\":\\[", "", text); sub("\\].*", "", text)
        return split(text, numbers, ",")
    }
    match($0, /"round":[0-9]+/) {
        round = substr($0, RSTART + 8, RLENGTH - 8)
        side = $0 ~ /"cell":"[^"]*build=base/
        count = list("samples")
        for (i = 1; i <= count; i++) time[round, side, i] = numbers[i]
        if (round in pairs) pairs[round] = count; else pairs[round] = 0
    }
    END {
        for (round in pairs) {
            quads = int(pairs[round] / 2)
            for (k = 1; k <= quads; k++) {
                d[k] = (log(time[round, 0, 2 * k - 1]) + log(time[round, 0, 2 * k]) \
                        - log(time[round, 1, 2 * k - 1]) - log(time[round, 1, 2 * k])) / 2
                for (i = k; i > 1 && d[i - 1] > d[i]; i--) {
                    t = d[i]; d[i] = d[i - 1]; d[i - 1] = t
                }
            }
            if (quads) print (d[int((quads + 1) / 2)] + d[int((quads + 2) / 2)]) / 2
        }
    }'
}

# measure NAME RANKS: one run of A/A, whose values are added to those of the kind.
measure() {
    mpirun -n "$2" "$TRITGATE" run "$work/aa.json" --base "$work/base.so" --same --out "$work/run" \
        >"$work/log" 2>&1 </dev/null
    (($? <= 2)) || {
        cat "$work/log" >&2
        exit 1
    }
    "$TRITGATE" report "$work/run" --format lines | values >>"$work/$1"
    rm -rf "$work/run"
}

# The median of |D| of a kind, in percent.
median() { sed 's/^-//' "$work/$1" | sort -g | awk '{ v[NR] = $1 }
    END { print 100 * (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'; }

# Which of the two comes first changes from pair to pair, so that drift is shared.
for ((i = 0; i < rounds / batch; i++)); do
    if ((i % 2)); then
        measure with 6
        measure without 2
    else
        measure without 2
        measure with 6
    fi
done
printf '%-28s %6s  %s\n' 'A/A' rounds 'median |D|'
for kind in without with; do
    printf '%-28s %6d  %.4f %%\n' "$kind four idle workers" "$(wc -l <"$work/$kind")" \
        "$(median $kind)"
done
status=0
awk -v a="$(median without)" -v b="$(median with)" 'BEGIN {
    printf "they differ by %+.1f %%, at most 25 %% is demanded\n", 100 * (b / a - 1)
    exit b / a - 1 > 0.25 || b / a - 1 < -0.25 }' || status=1
TG_BUILD=$TG_WAITING_BUILD TG_RANKS=6 tests/test_waiting.sh || status=1
exit $status
