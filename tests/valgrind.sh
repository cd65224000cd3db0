#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Kernels under valgrind: valgrind.sh PROGRAM LIBRARY [PATTERN...]. Each that the processor which
# valgrind shows can run (valgrind 3.19 has AVX2, and neither AVX-512 nor AVX-VNNI) is compared with
# its reference at every edge, in a process of its own. No read or write may be of memory that is
# not its own or was never set, and nothing may be lost. Status 1 if one is not clean, 77 without
# valgrind.

set -uo pipefail
program=$1 library=$2
shift 2
(($# > 0)) || set -- '*'
command -v valgrind >/dev/null || { echo 'skipped: no valgrind here'; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
watch=(valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite)
bad=0 seen=0
while read -r name; do
    for pattern in "$@"; do
        # shellcheck disable=SC2053
        [[ $name == $pattern ]] || continue
        seen=$((seen + 1)) status=0
        "${watch[@]}" "$program" check --one "$name" --library "$library" \
            4>"$work/answer" 2>"$work/errors" </dev/null || status=$?
        if [[ $status == 0 ]] && grep -q '^right' "$work/answer" && [[ ! -s $work/errors ]]; then
            printf '%-24s  clean, %s\n' "$name" "$(<"$work/answer")"
        else
            bad=$((bad + 1))
            printf '%-24s  status %s, %s\n' "$name" "$status" "$(<"$work/answer")"
            head -n 12 "$work/errors"
        fi
        break
    done
done < <("${watch[@]}" "$program" list kernels 2>/dev/null |
    awk '$5 == "cpu" && $6 == "yes" && $1 !~ /^stub_(crash|hang|eats)$/ { print $1 }')
echo "$((seen - bad)) of $seen kernels clean"
((seen > 0 && bad == 0))
