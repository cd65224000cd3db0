#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rank 0 sends to a rank while another, to which it sent before, does not listen.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

check "three ranks end in order" gives 0 mpirun -n 3 "$TG_BUILD/tests/wire_ranks"
check "a rank that does not listen is not waited for" says '^rank 1: last$'
check "texts come whole and in order" says '^rank 2: both in order$'
finish
