#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same evidence gives the same bytes, and changed evidence is refused.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

check 'a run' gives 0 "$TRITGATE" run "$data/quick.json" --out run --json receipt.json
check 'the receipt is copied' cmp receipt.json run/receipt.json

check 'another one of it' gives 0 "$TRITGATE" run "$data/quick.json" --out run2

# replay WHAT COMMAND...: `COMMAND... ARGUMENTS` must print what the program itself prints: the table
# and every report, of one run and of two that are judged together.
formats=$("$TRITGATE" list reports --json | sed -n 's/^ *"name": "\(.*\)",/\1/p')
check 'there are reports' grep -q receipt <<<"$formats"
replay() {
    local what=$1 runs format
    shift
    for runs in run 'run run2'; do
        # shellcheck disable=SC2086
        "$@" gate $runs >"now.gate"
        cmp "table${runs// /}" now.gate || return 1
        for format in $formats; do
            # shellcheck disable=SC2086
            "$@" report $runs --format "$format" >now.report
            cmp "$format${runs// /}" now.report || return 1
        done
    done
}
for runs in run 'run run2'; do
    # shellcheck disable=SC2086
    "$TRITGATE" gate $runs >"table${runs// /}"
    for format in $formats; do
        # shellcheck disable=SC2086
        "$TRITGATE" report $runs --format "$format" >"$format${runs// /}"
    done
done
check 'the receipt is that of the run' cmp receiptrun run/receipt.json
check 'the report, too' cmp markdownrun run/report.md
check 'two runs are two' grep -q '^2 runs are judged together$' tablerunrun2
check 'again' replay again "$TRITGATE"
# Together, those that do not hide each other.
for settings in 'LC_ALL=C TZ=Asia/Kathmandu OMP_NUM_THREADS=1' 'LC_ALL=C.UTF-8 TZ=UTC-9 OMP_NUM_THREADS=7' \
    'LC_ALL=de_DE.UTF-8 COLUMNS=20' 'LC_ALL=tr_TR.UTF-8 TERM=dumb' 'LANG=de_DE LC_NUMERIC=de_DE.UTF-8' \
    GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-FMA,-FMA4; do
    # shellcheck disable=SC2086
    check "the same bytes with $settings" replay "$settings" env $settings "$TRITGATE"
done
check 'without an environment' replay bare env -i "$TRITGATE"
check 'on one core' replay one taskset -c "$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')" "$TRITGATE"
mkdir elsewhere && cp -r run elsewhere/moved && cp -r run2 elsewhere/moved2
check 'the runs moved, seen from elsewhere' bash -c 'cd / && "$1" gate "$2/moved" | cmp - "$3/tablerun" &&
    "$1" gate "$2/moved2/" "$2/moved" | cmp - "$3/tablerunrun2"' - "$TRITGATE" "$work/elsewhere" "$work"
check 'by a program that nobody may write to' bash -c 'chmod -R a-w elsewhere && "$1" gate elsewhere/moved | cmp - tablerun
    status=$?; chmod -R u+w elsewhere; exit $status' - "$TRITGATE"

# Another build: the one with sanitizers; where it is not there or not of this source, one of other
# optimisations and this machine's own instructions.
other=$TG_SOURCE/build/dev/tritgate
if [[ ! -x $other || -n $(find "$TG_SOURCE"/{base,matrix,kernels,results,worker,coordinator} -newer "$other" -name '*.[ch]') ]]; then
    cmake -S "$TG_SOURCE" -B other -G Ninja -DCMAKE_BUILD_TYPE=Debug -DBUILD_TESTING=OFF -DTRITGATE_CUDA=OFF \
        -DCMAKE_C_FLAGS='-O1 -march=native' -DCMAKE_C_FLAGS_DEBUG= >/dev/null 2>&1 && cmake --build other --target tritgate >/dev/null 2>&1
    other=other/tritgate
fi
check 'another build of the program' test -x "$other"
check 'decides in the same bytes' replay other "$other"

ask strict '"stub_twice"' limit=1.5
check 'another policy, another answer' gives 2 "$TRITGATE" gate run --policy strict_policy.json
check 'gate writes nothing into the run' test -z "$(find run -newer receipt.json)"

# Every file of the evidence, a byte at eight places, also the first and the last; hundreds:
# test_store_read.c.
for file in run/matrix.json run/policy.json run/plan.json run/digests.json run/worker-*.h5; do
    size=$(stat -c %s "$file") refused=0 tried=0
    for ((i = 0; i < 8; i++)); do
        at=$(((size - 1) * i / 7))
        cp "$file" saved
        byte=$(od -An -tu1 -j "$at" -N 1 "$file" | tr -d ' ')
        # shellcheck disable=SC2059
        printf "\\$(printf %03o $(((byte + 1) % 256)))" | dd of="$file" bs=1 seek="$at" conv=notrunc 2>/dev/null
        tried=$((tried + 1))
        "$TRITGATE" gate run >/dev/null 2>&1
        [[ $? == 3 ]] && refused=$((refused + 1))
        cp saved "$file"
    done
    check "any changed byte of $file is refused" test "$refused" = "$tried"
done
check 'unharmed, it is what it was' gives 0 "$TRITGATE" gate run
cp run/worker-0000.1.h5 run/worker-0009.1.h5
check 'a file added is refused' refuses 'was added after the run' "$TRITGATE" gate run
rm run/worker-0009.1.h5 run/worker-0000.1.h5
check 'a file removed is refused' refuses 'worker-0000.1.h5' "$TRITGATE" gate run
finish
