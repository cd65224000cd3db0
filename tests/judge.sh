#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How good the gate is: head against itself, quiet and beside a busy process, must never fail;
# against a head slowed on purpose it must fail, naming every slowed test and no other.
#
#   tests/judge.sh [RUNS]        RUNS of each kind (default 20, about 8 s each)

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
runs=${1:-20}
[[ $runs =~ ^[1-9][0-9]*$ ]] || {
    echo "judge: unusable number of runs '$runs'" >&2
    exit 3
}
./dev build release || exit 1
work=$(mktemp -d)
busy=
trap '[[ -n $busy ]] && kill "$busy"; rm -rf "$work"' EXIT
set -a
# shellcheck disable=SC1091
. tests/mpi.env
set +a

# The kernels that a slowed library slows, and those that it does not.
slowed="i2s_avx2 i2s_scalar_unpack"
unslowed="i2s_scalar"
for percent in 3 7; do
    cmake -S . -B "build/slow$percent" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
        -DTRITGATE_CUDA=OFF -DTRITGATE_INJECT_SLOWDOWN="$percent" \
        -DTRITGATE_INJECT_ONLY="$slowed" >/dev/null 2>&1 &&
        cmake --build "build/slow$percent" --target tritgate-kernels >/dev/null || exit 1
done
base=$work/base.so
cp build/release/libtritgate-kernels.so "$base"

# Lines of the receipt of one run: "test answer estimate", the estimate in percent.
verdicts() {
    awk '{ value = $0; gsub(/^[^:]*: *"?|"?,?$/, "", value) }
         /"of": / { test = value; gsub(/.*kernel=| .*/, "", test) }
         /"answer": / { answer = value }
         /"estimate": / { print test, answer, 100 * value }' "$1"
}

# judge NAME OPTION...: runs it, prints its line, and keeps all verdicts in NAME.
judge() {
    local name=$1 status counts=(0 0 0 0 0) worst=0 named=0 begun took
    shift
    for ((i = 0; i < runs; i++)); do
        begun=$(date +%s%N)
        mpirun -n 3 build/release/tritgate run tests/data/aa.json --base "$base" \
            --out "$work/$name.$i" "$@" >"$work/log" 2>&1 </dev/null
        status=$?
        took=$((($(date +%s%N) - begun) / 1000000))
        ((took > worst)) && worst=$took
        counts[status > 4 ? 4 : status]=$((counts[status > 4 ? 4 : status] + 1))
        verdicts "$work/$name.$i/receipt.json" >"$work/$name.$i.txt"
        cat "$work/$name.$i.txt" >>"$work/$name.all"
        if named_right "$work/$name.$i.txt"; then named=$((named + 1)); fi
        rm -rf "${work:?}/$name.$i"
    done
    printf '%-22s %4d %4d %6d %6d %9s %14s  %5.1f s\n' "$name" "${counts[0]}" "${counts[1]}" \
        "${counts[2]}" $((counts[3] + counts[4])) "$named" "$(spread "$work/$name.all")" \
        "$(awk -v ms="$worst" 'BEGIN { print ms / 1000 }')"
    passed=${counts[0]} failed=${counts[1]} named_count=$named
}

# Whether a run failed exactly the slowed tests.
named_right() {
    local test
    for test in $slowed; do grep -q "^$test fail " "$1" || return 1; done
    for test in $unslowed; do grep -q "^$test fail " "$1" && return 1; done
    return 0
}

# Least and greatest estimate of the slowed tests, in percent.
spread() {
    awk -v slowed=" $slowed " 'index(slowed, " " $1 " ") {
             if (n++ == 0) low = high = $3; if ($3 < low) low = $3; if ($3 > high) high = $3 }
         END { printf "%+.2f..%+.2f", low, high }' "$1"
}

echo "$runs runs of each kind, 3 required tests each; slowed: $slowed"
printf '%-22s %4s %4s %6s %6s %9s %14s  %7s\n' \
    kind pass fail incon other named 'estimates %' longest
judge 'A-A-quiet' --same
quiet="$passed $failed"
while :; do :; done &
busy=$!
judge 'A-A-beside-busy' --same
loud="$passed $failed"
kill "$busy"
busy=
judge 'slower-by-7%' --head build/slow7/libtritgate-kernels.so
seven="$named_count"
judge 'slower-by-3%' --head build/slow3/libtritgate-kernels.so
three="$failed"

least=$((runs * 9 / 10)) most=$((runs * 19 / 20)) bad=0
demand() {
    if (($2)); then return; fi
    echo "not reached: $1"
    bad=1
}
for kind in "$quiet" "$loud"; do
    demand "A/A: no fail, $least passes" "$((${kind#* } == 0 && ${kind% *} >= least))"
done
demand "7 %: $most name every slowed test and no other" "$((seven >= most))"
demand "3 %: no fail" "$((three == 0))"
if build/release/tritgate list kernels | grep '^i2s_avx512vnni .* yes ' >/dev/null; then
    mpirun -n 3 build/release/tritgate run tests/data/simd.json --out "$work/simd" \
        >"$work/log" 2>/dev/null </dev/null
    status=$?
    grep ' vs i2s_avx2' "$work/log"
    demand 'AVX-512 at least 1.7 times as fast as AVX2' "$((status == 0))"
fi
((bad)) || echo 'all of it is as demanded'
exit "$bad"
