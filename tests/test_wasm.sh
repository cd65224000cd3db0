#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernels for WebAssembly, built by clang and tried for exactness under Node's WASI.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

cannot() {
    echo "cannot run here: $1"
    exit 77
}

clang=$(command -v clang clang-14 | head -n 1)
target=(--target=wasm32-wasi --sysroot=/usr)
[[ -n $clang ]] || cannot 'no clang'
echo 'int main(void) { return 0; }' >try.c
"$clang" "${target[@]}" try.c -o try.wasm 2>err ||
    cannot "clang makes no programs for WASI (apt: lld wasi-libc libclang-rt-14-dev-wasm32)"
node --no-warnings "$TG_SOURCE/tests/cross/run.mjs" try.wasm 2>err || cannot 'no node with WASI'

configured() {
    cmake -S "$TG_SOURCE/tests/cross" -B "$work/build" -G Ninja -Wno-dev -D CMAKE_BUILD_TYPE=Release \
        -D CMAKE_SYSTEM_NAME=Generic -D CMAKE_SYSTEM_PROCESSOR=wasm32 \
        -D CMAKE_C_COMPILER="$clang" -D CMAKE_C_FLAGS="${target[*]}" &&
        cmake --build "$work/build" --target exact
}
check 'the kernels compile for WebAssembly' configured || finish

exact() {
    node --no-warnings "$TG_SOURCE/tests/cross/run.mjs" "$work/build/exact" "$@"
}
check 'every kernel is right' gives 0 exact wasmsimd scalar
for kernel in i2s_wasmsimd panel_wasmsimd; do
    check "$kernel was tried" grep -qx "$kernel: right" out
done
check 'those of other processors are not there' gives 2 exact neon
check 'a wrong result is found' gives 1 exact --planted i2s_wasmsimd
finish
