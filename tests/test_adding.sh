#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A kernel is one file and one row: in a copy of the source, a right one and a wrong one are added,
# built, listed, checked and asked for, and nothing else is touched.
# shellcheck disable=SC2317 source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# build FOLDER: only what is needed, unoptimised and with nothing for a debugger; again only what has
# changed.
build() {
    if [[ ! -e $1/build/build.ninja ]]; then
        cmake -S "$1" -B "$1/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG= -DBUILD_TESTING=OFF \
            -DTRITGATE_CUDA=OFF || return
    fi
    cmake --build "$1/build" --target tritgate tritgate-kernels
}

# touched WANTED...: these files of the copy differ from the original, and no others.
touched() {
    diff -rq --exclude=build original ours | sed -E -e 's/^Only in (ours[^:]*): /\1\//' \
        -e 's/^Files .* and (.*) differ$/\1/' -e 's/^ours\///' | sort >touched
    diff touched <(printf '%s\n' "$@" | sort)
}

check 'the source is copied' few original
check 'and copied again, to be changed' cp -r original ours

check 'dev begins a kernel' gives 0 ours/dev new kernel i2s_scalar_added
check 'with one file and one row' touched kernels/cpu/i2s_scalar_added.c kernels/kernels.def
check 'of one line' test "$(diff original/kernels/kernels.def ours/kernels/kernels.def | grep -c '^[<>]')" = 1
check 'and not twice' gives 3 ours/dev new kernel i2s_scalar_added

# What is no product begins as the reference of its own operation.
check 'dev begins a dense kernel' gives 0 ours/dev new kernel f32_scalar_added
check 'one that unpacks to floats' gives 0 ours/dev new kernel i2s_scalar_added_unpack_f32
check 'and tables' gives 0 ours/dev new kernel tl1_scalar_added_tables
check 'but none without a reference' gives 3 ours/dev new kernel f32_scalar_added_unpack

# The last by hand, as a newcomer would: it is wrong in the last row.
sed -e 's/i2s_scalar/i2s_scalar_wrong/g' -e 's/r < p->row_end;/r < p->row_end - 1;/' \
    ours/kernels/cpu/i2s_scalar.c >ours/kernels/cpu/i2s_scalar_wrong.c
echo 'KERNEL(i2s_scalar_wrong, product, i2s, SCALAR, "forgets a row")' >>ours/kernels/kernels.def
check 'each is one file more' \
    touched kernels/cpu/{f32_scalar_added,i2s_scalar_added,i2s_scalar_added_unpack_f32,i2s_scalar_wrong,tl1_scalar_added_tables}.c \
    kernels/kernels.def

ours=ours/build/tritgate
check 'all are built' build ours
check 'they are listed' gives 0 "$ours" list kernels
check 'with what their rows say' says '^i2s_scalar_added +product +i2s +scalar +cpu +yes +begun as i2s_scalar$'
check 'with their operations' says '^tl1_scalar_added_tables +tables_tl1 +tl1 '
check 'each' says '^i2s_scalar_added_unpack_f32 +unpack_f32 +i2s '
check 'each of them' says '^i2s_scalar_wrong +product .* forgets a row$'
check 'the right one is right' gives 0 "$ours" check i2s_scalar_added
check 'and was looked at' says '^i2s_scalar_added +right on [1-9][0-9]* edges$'
check 'a dense one is of its operation, and right' gives 0 "$ours" check f32_scalar_added
check 'as is one that unpacks to floats' gives 0 "$ours" check i2s_scalar_added_unpack_f32
check 'and one that makes tables' gives 0 "$ours" check tl1_scalar_added_tables
check 'the wrong one is wrong: status 1' gives 1 "$ours" check 'i2s_scalar_*'
check 'and its place is named' says '^i2s_scalar_wrong +wrong: .*row [0-9]+ of column [0-9]+ differs'
check 'beside the right one' says '^i2s_scalar_added +right'
check 'a pattern of a matrix finds them' gives 0 "$ours" matrix ours/matrix/smoke.json
check 'in its cells' says '^cell +probe=kernel kernel=i2s_scalar_added model=bitnet-2b layer=attn_q$'
check 'as often as the first' test "$(grep -c '^cell .*kernel=i2s_scalar_added ' out)" = \
    "$(grep -c '^cell .*kernel=i2s_scalar ' out)"
check 'one can be measured by its name' gives 0 "$ours" cell \
    'probe=kernel kernel=i2s_scalar_added layer=64x256' --samples 2
check 'and its results were compared' says '"outcome": ?"measured"'
finish
