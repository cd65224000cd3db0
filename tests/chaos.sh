#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Kills a random process of a run with SIGKILL at a random moment, resumes the run, and demands that
# no stored round was lost and that the decision is the right one.
#
#   tests/chaos.sh [TIMES]       (default 50, about 5 s each)
# shellcheck disable=SC1091
TG_BUILD=${TG_BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build/ci}
. "$(dirname "$0")/lib.sh"
times=${1:-50}
[[ -x $TRITGATE ]] || (cd "$TG_SOURCE" && ./dev build ci) || exit 1
RANDOM=${SEED:-$(date +%s)}

# A head that is right, and one rule that it breaks: the right decision is a failure of that alone.
printf '{"tritgate_matrix": 1, "policy": "chaos_policy.json", "axes": {"probe": ["kernel"],
    "kernel": ["stub_twice", "i2s_scalar_unpack"], "layer": ["64x256", "32x512"]}}\n' >chaos.json
cat >chaos_policy.json <<'JSON'
{"tritgate_policy": 1, "flow": "review",
 "limits": {"rounds_min": 5, "rounds_max": 60, "round_s": 0.02, "quads_max": 20,
            "sample_s": 0.00005, "warmup_min_s": 0.001, "warmup_max_s": 0.01,
            "deadline_s": 5, "budget_s": 30},
 "rules": [
  {"rule": "ratio", "metric": "call_time", "where": "layer=64x256", "axis": "kernel",
   "of": "stub_twice", "to": "i2s_scalar", "limit": 0.3},
  {"rule": "ratio", "metric": "call_time", "where": "layer=32x512", "axis": "kernel",
   "of": "stub_twice", "to": "i2s_scalar", "limit": 1.5},
  {"rule": "floor", "metric": "codec_exact", "where": "op=unpack", "limit": 1}]}
JSON

# Digests of the rows that are readable, one a line.
rows() {
    local file
    for file in "$1"/worker-*.h5; do
        h5dump -d /runs "$file" 2>/dev/null | grep -oE '"[0-9a-f]{64}\\?0?[^"]*"$'
    done | sort
}

for ((i = 1; i <= times; i++)); do
    run=run$i
    setsid mpirun -n 3 "$TRITGATE" run chaos.json --out "$run" >/dev/null 2>&1 </dev/null &
    launcher=$!
    sleep "$((RANDOM % 2)).$((RANDOM % 1000))"
    mapfile -t family < <(ps -e -o pid=,sid= | awk -v sid="$launcher" '$2 == sid { print $1 }')
    ((${#family[@]})) && kill -9 "${family[RANDOM % ${#family[@]}]}" 2>/dev/null
    wait "$launcher" 2>/dev/null
    for _ in $(seq 100); do
        pgrep -f "run chaos.json --out $run\$" >/dev/null || break
        sleep 0.1
    done
    check "$i: nothing is left running" test -z "$(pgrep -f "run chaos.json --out $run\$" || true)"
    [[ -s $run/plan.json ]] || {
        rm -rf "$run"
        continue
    }
    rows "$run" >before
    check "$i: resumed, the decision is right" gives 1 farm --resume "$run"
    check "$i: which is one failure" says '^FAIL  4 required tests: 3 passed, 1 failed$'
    rows "$run" >after
    check "$i: no stored row was lost" test -z "$(comm -23 before after)"
    check "$i: gate agrees" gives 1 "$TRITGATE" gate "$run"
    rm -rf "$run"
done
finish
