#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A disk that fills up while storing: status 4, everything stored before is readable, and with room
# again the run goes on.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

mkdir disk small
mount -t tmpfs -o size=2600k tmpfs disk 2>/dev/null || exit 77
mount -t tmpfs -o size=12k tmpfs small 2>/dev/null || exit 77
trap 'cd /; umount "$work/disk" "$work/small"; rm -rf "$work"' EXIT

check 'no room for a run: it is refused' refuses 'No space left on device' "$TRITGATE" run "$data/quick.json" --out small/run
check 'and nothing stays' test -z "$(ls -A small)"
check 'by a launch, too' gives 3 ends_at_once "$TRITGATE" launch -n 2 -- run "$data/quick.json" --out small/run
check 'and nothing stays then' test -z "$(ls -A small)"

ask much '"stub_twice"' round_s=0.05 quads_max=2000 sample_s=0.00001 rounds_min=60 rounds_max=200 \
    budget_s=120
check 'a full disk ends the run with status 4' gives 4 farm much.json --out disk/run
check 'with the reason' grep -qE "cannot write '.*disk/run/.*': No space left on device" err
rows=0
for file in disk/run/worker-*.h5; do
    count=$(h5ls "$file/runs" 2>/dev/null | sed -n 's/.*{\([0-9]*\)\/Inf}.*/\1/p')
    rows=$((rows + ${count:-0}))
done
check 'rows were stored before' test "$rows" -ge 10
check 'and can be read' gives 2 "$TRITGATE" gate disk/run
check 'all of them' test "$("$TRITGATE" report disk/run --format receipt | sed -n 's/.*"rows": \([0-9]*\).*/\1/p')" = "$rows"
check 'with room again' mount -o remount,size=64m disk
check 'it goes on and passes' gives 0 farm --resume disk/run
finish
