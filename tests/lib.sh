# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the shell tests share. CTest sets TRITGATE, TRITGATE_LIB, TG_SOURCE and TG_BUILD; by hand,
# tests/test_farm.sh takes build/ci.

set -uo pipefail
: "${TG_SOURCE:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
: "${TG_BUILD:=$TG_SOURCE/build/ci}"
: "${TRITGATE:=$TG_BUILD/tritgate}"
: "${TRITGATE_LIB:=$TG_BUILD/libtritgate-kernels.so}"
data=$TG_SOURCE/tests/data
set -a
# shellcheck disable=SC1091
. "$TG_SOURCE/tests/mpi.env"
set +a

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0

# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    if "$@" >"$work/check.out" 2>&1; then return 0; fi
    failures=$((failures + 1))
    printf 'not so: %s\n' "$what"
    head -n 100 "$work/check.out"
    return 1
}

# gives STATUS COMMAND...: the command must exit so; its output is kept in out and err.
gives() {
    local wanted=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [[ $status == "$wanted" ]] && return 0
    printf 'status %s, not %s: %s\n' "$status" "$wanted" "$*"
    cat "$work/out" "$work/err"
    return 1
}

# refuses SENTENCE COMMAND...: status 3, and one line on standard error that has the sentence.
refuses() {
    local sentence=$1
    shift
    gives 3 "$@" || return 1
    if [[ $(wc -l <"$work/err") != 1 ]] || ! grep -qF -- "$sentence" "$work/err"; then
        printf 'not the one sentence with "%s":\n' "$sentence"
        cat "$work/err"
        return 1
    fi
}

# says WORDS: the last command's standard output has them.
says() {
    grep -qE -- "$1" "$work/out" || {
        printf 'nowhere "%s" in:\n' "$1"
        cat "$work/out"
        return 1
    }
}

# ask NAME KERNELS [KEY=VALUE...]: NAME.json, a matrix of these kernels (JSON strings), under the
# quick policy with these numbers in it instead of its own.
ask() {
    local name=$1 kernels=$2 edit edits=()
    shift 2
    for edit in "$@"; do edits+=(-e "s/\"${edit%=*}\": [0-9.]*/\"${edit%=*}\": ${edit#*=}/"); done
    sed -e '' "${edits[@]}" "$data/quick_policy.json" >"$work/${name}_policy.json"
    printf '{"tritgate_matrix": 1, "policy": "%s_policy.json", "axes": {"probe": ["kernel"],
        "kernel": [%s], "layer": ["64x256"]}}\n' "$name" "$kernels" >"$work/$name.json"
}

# library NAME OPTION...: the kernel library of a build of its own in the folder NAME, with these
# options of CMake; of the source in $from, if that is set. What this build compiled by the same
# command is taken from it: ninja sees that.
library() {
    local objects=CMakeFiles/kernel-objects.dir
    mkdir -p "$1/CMakeFiles" && cp -pr "$TG_BUILD/$objects" "$1/CMakeFiles/" &&
        cp -p "$TG_BUILD/.ninja_deps" "$1/" &&
        grep -e '^#' -e "$objects" "$TG_BUILD/.ninja_log" >"$1/.ninja_log"
    cmake -S "${from:-$TG_SOURCE}" -B "$1" -G Ninja -DTRITGATE_STUBS=ON -DBUILD_TESTING=OFF \
        -DTRITGATE_CUDA=OFF -DCMAKE_CUDA_COMPILER=once "${@:2}" &&
        cmake --build "$1" --target tritgate-kernels
}

# few NAME: the source as it is here, without what was built or measured, and of the kernels only
# those that a compiler has soon done, or is not given.
few() {
    mkdir "$1" && tar -C "$TG_SOURCE" --exclude=./build --exclude=./runs --exclude=./.git -cf - . |
        tar -C "$1" -xf - &&
        sed -i -E '/^KERNEL/{/, (SCALAR|CUDA|STUB|STUB_WIDE), |, product, i2s, /!d}' \
            "$1/kernels/kernels.def"
}

# Whether the MPI of the build goes on without a rank that died.
has_ulfm() { grep -qx 'TG_ULFM:INTERNAL=1' "$TG_BUILD/CMakeCache.txt"; }

# For runs that end by themselves: where a rank's status is not 0, Open MPI 4 waits for two seconds
# more before it kills the others, which have ended, too.
ends_at_once() { OMPI_MCA_odls_base_sigkill_timeout=0 "$@"; }

farm() { ends_at_once mpirun -n 3 "$TRITGATE" run "$@"; }

finish() {
    printf '%d checks, %d failed\n' "$checks" "$failures"
    exit $((failures > 0))
}
