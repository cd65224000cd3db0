#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A loss that was accepted: for a reason, by somebody, up to a day; and what no file can excuse.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

check 'a slow library is built' library slow -DCMAKE_BUILD_TYPE=Release -DTRITGATE_INJECT_SLOWDOWN=100
head=slow/libtritgate-kernels.so

printf '{"tritgate_matrix": 1, "axes": {"probe": ["kernel"], "kernel": ["stub_twice"], "layer": ["64x256"]}}' >m.json
cat >p.json <<'JSON'
{"tritgate_policy": 1, "flow": "review",
 "limits": {"rounds_min": 3, "round_s": 0.005, "sample_s": 0.00005, "warmup_min_s": 0.001, "warmup_max_s": 0.01,
            "budget_s": 30},
 "rules": [{"rule": "noninferior", "metric": "call_time", "axis": "build", "of": "head", "to": "base",
            "tolerance": 0.02, "margin": 0.05}]}
JSON
accept() { # accept FILE LOSS LAST_DAY
    printf '{"tritgate_acceptance": 1, "accepted": [{"cells": "kernel=stub_*", "metric": "call_time", "loss": %s,
        "reason": "bought by half the memory", "expires": "%s", "owner": "ann"}]}\n' "$2" "$3" >"$1"
}
accept ok.json 0.999 2999-12-31
accept small.json 0.001 2999-12-31
accept old.json 0.999 2020-01-01
slow_run() { "$TRITGATE" run m.json --policy p.json --base "$TRITGATE_LIB" --head "$head" "$@"; }

check 'without it a loss fails' gives 1 slow_run --out plain
# The loss is about 1 of the time: more than a share can say, so the policy counts throughput.
sed -i 's/"margin": 0.05/"margin": 0.05, "effect": "throughput"/' p.json
check 'with it, it is attention and passes' gives 0 slow_run --accept ok.json --out accepted
check 'with its reason and owner' says 'attention.*up to 99.9 % accepted until 2999-12-31 by ann: bought by half'
check 'counted' says 'accepted losses: 1 of 1 used'
check 'in the report, too' grep -q 'bought by half the memory' accepted/report.md
check 'and in the receipt' grep -q '"owner": *"ann"' accepted/receipt.json
check 'its text is kept' cmp ok.json accepted/acceptance.json
check 'and sealed' grep -q '"acceptance.json"' accepted/digests.json

"$TRITGATE" gate accepted >again 2>&1
check 'decided again it is the same' bash -c 'head -n -1 "$1" | cmp - again' - out
check 'a smaller one does not cover it' gives 1 "$TRITGATE" gate accepted --accept small.json
check 'which is said' says 'decided with another acceptance file'
check 'by name' says 'less than the loss'
check 'an expired one does not either' gives 1 "$TRITGATE" gate accepted --accept old.json
check 'which is said' says 'of ann .expired.'
"$TRITGATE" report accepted --accept old.json >old.md
check 'in the report, too' grep -q 'of ann (expired)' old.md
check 'with what decides so again' grep -qF '`tritgate gate --accept FILE DIRECTORY`' old.md
check 'a run without one can be decided with one' gives 0 "$TRITGATE" gate plain --policy p.json --accept ok.json
check 'a report takes it, too' gives 0 "$TRITGATE" report plain --policy p.json --accept ok.json --format terminal
check 'and says so' says 'decided with another acceptance file'
"$TRITGATE" report plain --policy p.json --accept ok.json >plain.md
check 'and what decides so again' grep -qF '`tritgate gate --policy FILE --accept FILE DIRECTORY`' plain.md

sed -i 's/ann/bob/' accepted/acceptance.json
check 'a changed file is refused' refuses "'acceptance.json' was changed after the run" "$TRITGATE" gate accepted
rm accepted/digests.json
check 'unsealed, too' refuses "is not the one that the run was begun with" "$TRITGATE" gate accepted
rm accepted/acceptance.json
check 'as is a lost one' refuses "is not the one that the run was begun with" "$TRITGATE" gate accepted

sed 's/stub_twice/stub_wrong/' m.json >wrong.json
check 'what is wrong is never accepted' gives 1 "$TRITGATE" run wrong.json --policy p.json --accept ok.json \
    --base "$TRITGATE_LIB" --head "$head" --out wrong
check 'a file that is none is refused' refuses 'acceptance: line 1: not an acceptance' "$TRITGATE" run m.json \
    --policy p.json --accept p.json --out none
check 'before anything is made' test ! -e none
check 'a day that does not exist' bash -c 'sed s/2999-12-31/2999-02-30/ ok.json >day.json'
check 'is refused' refuses 'accepted[0].expires: a day is expected' "$TRITGATE" gate plain --accept day.json
check '--resume goes on with its own' refuses '--resume goes on as the run was begun' "$TRITGATE" run \
    --resume plain --accept ok.json
finish
