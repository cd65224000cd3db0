#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command of worker/doctor.c, on recorded machines and on this one.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

mkdir -p quiet/proc nothing
echo '0.10 0.00 0.00 1/100 42' >quiet/proc/loadavg
cp -r quiet busy
echo '7.10 0.00 0.00 9/100 42' >busy/proc/loadavg

check 'a quiet machine' gives 0 "$TRITGATE" doctor --root quiet
check '... says so' says '^fine     load +0\.10$'
check '... and what is unknown' says '^unknown  governor  '
check '... without GPUs' says '^unknown  gpu_mode +no GPU is recorded$'
check 'a busy one' gives 1 "$TRITGATE" doctor --root busy
check '... with what to do' says '^found    load +7\.10: load average over a minute; stop what else'
check 'in JSON' gives 1 "$TRITGATE" doctor --root busy --json
check '... too' bash -c 'tr -d "\n " <"$0" | grep -q "\"name\":\"load\",\"state\":\"found\",\"seen\":\"7.10\""' out
check 'a GPU that one process may use' gives 1 "$TRITGATE" doctor --root quiet \
    --gpus "$data/gpus_exclusive.txt"
check '... is found' says '^found    gpu_mode +2 on 3 GPUs: '
check 'a machine without any file' gives 0 "$TRITGATE" doctor --root nothing
check '... a line each' test "$(grep -c '^unknown  ' out)" = "$(wc -l <out)"
"$TRITGATE" doctor >out 2>err
check 'this machine is fine or it is not' test $? -le 1
check '... and nothing went wrong' test ! -s err
check '... nor as anybody' bash -c 'command -v setpriv >/dev/null && [[ $EUID == 0 ]] || exit 0
    setpriv --reuid 65534 --clear-groups "$0" doctor | diff <(sed "s/ .*//" "$1" | wc -l) <(wc -l)' \
    "$TRITGATE" out
check 'an argument is too much' refuses "'now' is too much" "$TRITGATE" doctor now
finish
