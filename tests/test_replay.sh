#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same evidence gives the same bytes, and changed evidence is refused.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

check 'a run' gives 0 "$TRITGATE" run "$data/quick.json" --out run --json receipt.json
check 'the receipt is copied' cmp receipt.json run/receipt.json

"$TRITGATE" gate run --json a.json >a.txt
(cd / && LC_ALL=tr_TR.UTF-8 TZ=Asia/Kathmandu "$TRITGATE" gate "$work/run" --json "$work/b.json") >b.txt
check 'the same table in another locale, time zone and place' cmp a.txt b.txt
check 'the same receipt' cmp a.json b.json
check 'which is that of the run' cmp a.json run/receipt.json
for format in markdown receipt terminal; do
    "$TRITGATE" report run --format "$format" >"$format.1"
    TZ=UTC-9 "$TRITGATE" report run --format "$format" >"$format.2"
    check "the same $format" cmp "$format.1" "$format.2"
done

ask strict '"stub_twice"' limit=1.5
check 'another policy, another answer' gives 2 "$TRITGATE" gate run --policy strict_policy.json
check 'gate writes nothing into the run' test -z "$(find run -newer receipt.json)"

# Every file of the evidence, a byte at many places.
for file in run/matrix.json run/policy.json run/plan.json run/digests.json run/worker-*.h5; do
    size=$(stat -c %s "$file") refused=0 tried=0
    for ((i = 0; i < 40; i++)); do
        at=$((size * i / 40))
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
