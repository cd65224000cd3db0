#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A change that concerns no cell measures nothing and says so; in doubt everything is measured.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

cat >flow.json <<'JSON'
{"tritgate_policy": 1, "flow": "review", "writes": ["perf"],
 "surface": ["kernels/*", "CMakeLists.txt"],
 "components": [{"paths": ["kernels/cpu/stub_*"], "cells": "kernel=stub_twice"},
                {"paths": ["kernels/cpu/*"], "cells": "kernel=i2s_*"}],
 "limits": {"rounds_min": 3, "rounds_max": 20, "round_s": 0.005, "sample_s": 0.00005, "warmup_min_s": 0.001,
            "warmup_max_s": 0.01, "budget_s": 20},
 "rules": [{"rule": "floor", "metric": "kernel_accuracy", "limit": 0.9}]}
JSON
printf '{"tritgate_matrix": 1, "policy": "flow.json", "axes": {"probe": ["kernel"],
    "kernel": ["stub_twice", "i2s_scalar"], "layer": ["64x256"]}}' >m.json
changed() { # changed DIR PATH... [-- OPTION...]
    local dir=$1 paths=()
    shift
    while (($#)) && [[ $1 != -- ]]; do paths+=("$1") && shift; done
    printf '%s\n' "${paths[@]}" >"$dir.paths"
    "$TRITGATE" run m.json --out "$dir" --changed "$dir.paths" "${@:2}"
}

check 'documents only: nothing is measured, and that is no failure' gives 0 changed r0 README.md docs/a.md -- --json r0.json
check 'it is said as a skip' grep -qx 'review:gate:perf = skipped (no-surface)' out
check 'and nothing else' test "$(wc -l <out)" = 1
check 'without a run' test ! -e r0
check 'the receipt is no pass' grep -q '"answer": *"skipped"' r0.json
check 'nor in a farm' gives 0 mpirun -n 3 "$TRITGATE" run m.json --out r0 --changed r0.paths
check 'matrix says so beforehand' gives 0 "$TRITGATE" matrix m.json --changed r0.paths
check 'in the same words' grep -qx 'review:gate:perf = skipped (no-surface)' out
check 'or as no job' gives 0 "$TRITGATE" matrix m.json --changed r0.paths --github
check 'of a list' grep -qx '{"include":\[\]}' out
check 'or as no cell' gives 0 "$TRITGATE" matrix m.json --changed r0.paths --json
check 'of none' bash -c '! grep -q stub_twice out'
check 'a kernel: its cells only' gives 0 changed r1 README.md kernels/cpu/stub_twice.c
check 'which is said first' bash -c 'sed -n 2p "$1" | grep -qx "only cells of what was changed: .kernel=stub_twice."' - out
check 'the other is not there' bash -c '! grep -q i2s_scalar "$1"' - out
"$TRITGATE" gate r1 >again
check 'decided again it is the same' bash -c 'head -n -1 "$1" | cmp - again' - out
check 'which matrix says' gives 0 "$TRITGATE" matrix m.json --changed r1.paths
check 'as the run does' says '^only cells of what was changed: .kernel=stub_twice.$'
check 'with no other' bash -c '! grep -q i2s_scalar out'
check 'two components: both' gives 0 changed r2 kernels/cpu/stub_twice.c kernels/cpu/i2s_scalar.c
check 'are measured' says '2 passed'
check 'a path of no component: all cells' gives 0 changed r3 kernels/cpu/stub_twice.c CMakeLists.txt
check 'are measured' says '2 passed'
check 'and why' says "all cells: changed path 'CMakeLists.txt' belongs to no component"
if command -v git >/dev/null; then
    as_git() { git -c user.name=a -c user.email=a@b -c protocol.file.allow=always "$@" >/dev/null 2>&1; }
    as_git init sub && as_git -C sub commit --allow-empty -m 1
    as_git init top && as_git -C top submodule add "$work/sub" kernels && as_git -C top commit -m 1
    as_git -C top/kernels commit --allow-empty -m 2 && as_git -C top commit -am 2
    git -C top diff --name-only --no-renames HEAD~1 >submodule.paths
    check 'a submodule is listed by its name' grep -qx kernels submodule.paths
    check 'and is no skip: all cells' gives 0 "$TRITGATE" run m.json --out r6 --changed submodule.paths
    check 'are measured' says '2 passed'
    check 'and why' says "all cells: changed path 'kernels' belongs to no component"
fi
check 'paths with backslashes are no paths of git' refuses 'line 1: it has a backslash' changed r7 'kernels\cpu\stub_twice.c'
check 'an empty list is a mistake' refuses 'the list of changed paths is empty' "$TRITGATE" run m.json --out r4 --changed /dev/null
check 'for matrix, too' refuses 'the list of changed paths is empty' "$TRITGATE" matrix m.json --changed /dev/null
check 'as is a missing one' refuses "'nowhere': No such file" "$TRITGATE" run m.json --out r4 --changed nowhere
sed -i 's/"i2s_scalar"/"stub_crash"/' m.json
check 'cells that the matrix lacks are no pass' refuses 'the matrix has no cell of what was changed' changed r5 kernels/cpu/i2s_scalar.c
check '--resume knows already' refuses '--resume goes on' "$TRITGATE" run --resume r1 --changed r1.paths
finish
