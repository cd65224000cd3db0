#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Some kernels under valgrind; all of them are ./dev valgrind.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

command -v valgrind >/dev/null || { echo 'skipped: no valgrind here'; exit 77; }
watch() { "$TG_SOURCE/tests/valgrind.sh" "$TRITGATE" "$TRITGATE_LIB" "$@"; }

check 'kernels are clean' gives 0 watch i2s_scalar i2s_avx2 tl2_avx2
check 'and right' says '^i2s_scalar +clean, right on [0-9]+ edges'
check 'what reads behind its operands is not' gives 1 watch stub_reads
check 'and is told where' says 'Invalid read of size 1'
check 'no kernel is no pass' gives 1 watch 'x*'
finish
