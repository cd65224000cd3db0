#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tritgate calibrate with real runs of a library against its copy: how many fail, and what is kept.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

# Runs of stubs: their truth is known, their noise is what it is, so that no answer is demanded.
sed 's/"rule": "ratio".*/"rule": "noninferior", "metric": "call_time", "where": "op=product",/
     s/"axis": "kernel",//; s/"of": "stub_.*/"axis": "build", "of": "head", "to": "base", "tolerance": 0.02, "margin": 0.5}/' \
    "$data/quick_policy.json" >aa.json
simulate() { "$TRITGATE" calibrate --simulate "$@"; }
farm() { "$TRITGATE" calibrate "$data/quick.json" --policy aa.json --runs 2 "$@"; }
status=0
farm --out kept --json farm.json >out 2>err || status=$?
check 'two real runs' test "$status" -le 1
check 'are counted' says '^A/A: a run fails +<= 1 % +[0-2] of 2 '
check 'and kept' test -e kept/same.1/digests.json -a -e kept/same.2/digests.json
status=0
simulate --gates 1 --cells 2 --tests 2 --noise kept/same.1 --effect 0 >out 2>err || status=$?
check 'their noise can be used' test "$status" -le 1 # what it promises is not known beforehand
check 'and is named' says '^boundary +recorded '
check 'a history of one that is not kept' bash -c '"$1" calibrate "$2" --policy aa.json --runs 1 --history past >out 2>err; [[ $? -le 1 ]]' - "$TRITGATE" "$data/quick.json"
check 'counts the false alarms' says '^false alarms so far: [01] of 1 run \('
check 'a directory that is there' refuses "cannot make directory 'kept'" farm --out kept
check 'a head that is not there' refuses "cannot open library 'nowhere'" farm --head nowhere
check 'an option of simulations' refuses 'means nothing without --simulate' farm --gates 3
check 'an option of runs' refuses 'takes no matrix, --head, --out, --runs' simulate --runs 3
check 'a head that is no library' gives 4 farm --head "$data/quick.json"

finish
