#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cuBLASLt is the machine's: its kernels are rows like others, and neither the program nor the kernel
# library needs it, nor does the build need more of it than a header. Where there is a GPU,
# tests/test_kernels.c tries the kernels.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

here='(yes|not on this machine|not in this build)'
check 'the program lists its kernels' gives 0 "$TRITGATE" list kernels
for number in f32 f16 bf16; do
    check "one of $number is a row" says "^${number}_cublaslt +dense_$number +$number +cublaslt +cuda +$here "
done
check 'and its instruction set' gives 0 "$TRITGATE" list isas
check 'is a row' says "^cublaslt +any +$here "

check 'where no GPU is to be seen, none of them is run' gives 2 env CUDA_VISIBLE_DEVICES= "$TRITGATE" check '*_cublaslt'
check 'each by its name' test "$(grep -cE '^(f32|f16|bf16)_cublaslt +skipped: ' out)" = 3
check 'nothing is right that was not run' says '^0 of 0 kernels right, 3 skipped$'

for file in "$TRITGATE" "$TRITGATE_LIB"; do
    check 'the library is not linked' bash -c 'readelf -d "$1" | grep NEEDED >needed && ! grep -i cublas needed' - "$file"
done

# A build whose CUDA has no header of it.
if grep -q 'TG_ISA_CUDA=BUILT' "$TG_BUILD/compile_commands.json"; then
    check 'there the build is configured' gives 0 cmake -S "$TG_SOURCE" -B bare -G Ninja -DBUILD_TESTING=OFF \
        -Dcublaslt_header=OFF
    commands=bare/compile_commands.json
    check 'with its other CUDA kernels' grep -q 'TG_ISA_CUDA=BUILT' $commands
    check 'cuBLASLt is not in it' grep -q 'TG_ISA_CUBLASLT=UNBUILT' $commands
    for number in f32 f16 bf16; do
        check "nor is its product of $number" grep -q "TG_KERNEL_${number}_cublaslt=UNBUILT" $commands
    done
    check 'and no file asks for the header' bash -c '! grep "cublaslt\.cu" "$1"' - $commands
fi
finish
