#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernels for ARM, built by a cross compiler and tried for exactness on emulated processors.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$program" >/dev/null && continue
    echo "cannot run here: no $program (apt: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"
    exit 77
done

configured() {
    cmake -S "$TG_SOURCE/tests/cross" -B "$work/build" -G Ninja -D CMAKE_BUILD_TYPE=Release \
        -D CMAKE_SYSTEM_NAME=Linux -D CMAKE_SYSTEM_PROCESSOR=aarch64 \
        -D CMAKE_C_COMPILER=aarch64-linux-gnu-gcc -D CMAKE_EXE_LINKER_FLAGS=-static \
        -D TRITGATE_STUBS=ON -D TRITGATE_WERROR=ON && cmake --build "$work/build" --target exact
}
check 'the kernels compile for ARM, without a warning' configured || finish

on() { # on PROCESSOR STATUS WHAT...: exact must exit so on that processor
    local processor=$1
    shift
    gives "$1" qemu-aarch64 -cpu "$processor" "$work/build/exact" "${@:2}"
}
check 'every kernel is right on a processor that has all' on max 0 neon neondot i8mm scalar
for kernel in i2s_neon i2s64_neondot panel_i8mm tl1_neon; do
    check "$kernel was tried" grep -qx "$kernel: right" out
done
check 'without the matrix instructions' on neoverse-n1 0 neon neondot
check 'those are not called' on neoverse-n1 2 i8mm
check 'without dot products' on cortex-a57 0 neon
check 'those are not called' on cortex-a57 2 neondot
check 'a wrong kernel is found' on max 1 stub_wrong
finish
