#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How good the gate is on a GPU: head against itself must never fail; against a head slowed on
# purpose by 7 % it must fail.
#
#   tests/gpu_judge.sh TRITGATE BASE SLOWED [RUNS]    RUNS of each kind (default 20, 6 s each)
#
# BASE and SLOWED are kernel libraries; ./dev gpu judge makes both.

set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tritgate=$1 base=$2 slowed=$3 runs=${4:-20}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# judge NAME OPTION...: its line; counts of passed and failed are left in `passed` and `failed`.
judge() {
    local name=$1 status counts=(0 0 0 0 0) begun=$SECONDS
    shift
    for ((i = 0; i < runs; i++)); do
        "$tritgate" run "$here/data/gpu_aa.json" --base "$base" --out "$work/$name.$i" "$@" \
            >"$work/log" 2>&1 </dev/null
        status=$?
        counts[status > 4 ? 4 : status]=$((counts[status > 4 ? 4 : status] + 1))
        awk '/"estimate": / { gsub(/[^-0-9.e]/, "", $2); print 100 * $2; exit }' \
            "$work/$name.$i/receipt.json" >>"$work/$name.all"
        ((status > 2)) && tail -n 3 "$work/log"
        rm -rf "${work:?}/$name.$i"
    done
    printf '%-14s %4d %4d %6d %6d   %s   %d s\n' "$name" "${counts[0]}" "${counts[1]}" \
        "${counts[2]}" $((counts[3] + counts[4])) "$(sort -g "$work/$name.all" | awk '
        { v[NR] = $1 } END { printf "%+.2f %+.2f..%+.2f", v[int((NR + 1) / 2)], v[1], v[NR] }')" \
        $((SECONDS - begun))
    passed=${counts[0]} failed=${counts[1]}
}

echo "$runs runs of each kind; estimates: median, least and greatest, in percent"
printf '%-14s %4s %4s %6s %6s   %s\n' kind pass fail incon other 'estimates %'
judge 'A-A' --same
bad=$((failed > 0))
judge 'slower-by-7%' --head "$slowed"
((failed * 20 >= runs * 19)) || bad=1
((bad)) && echo 'not as demanded: A/A never fails, 19 of 20 slower ones do'
exit "$bad"
