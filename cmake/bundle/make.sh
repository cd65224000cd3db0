#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
#   cmake/bundle/make.sh BUILD OUT [TEST...]
#
# Makes the folder OUT/tritgate-<version>-<processor> and a packed one beside it: the program of the
# build folder BUILD and every shared library that it, Open MPI and its plug-ins need, but for the C
# library, which is the host's. It can be put anywhere. README.md says how it is used; printed is
# the name of the packed one. TEST is a program of BUILD/tests to be tried on another machine, too.
#
#   tritgate mpirun bin/orted   launch.sh, which starts what is in libexec/
#   libexec/                    our programs with the kernel library; Open MPI's programs
#   lib/                        libraries; plug-ins of Open MPI and PMIx
#   matrix/ slurm/              matrices and policies; the cluster job
#   etc/ share/ licenses/       settings and messages of Open MPI; the terms of what is not ours

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(dirname "$(dirname "$here")")

bytes_most=$((60 << 20))
# Of the host: the C library, which belongs to its loader and kernel, and what its GPUs came with.
of_host='^(ld-linux.*|linux-vdso|lib(c|m|mvec|pthread|dl|rt|resolv|util|anl|nsl|nss_.*|thread_db'
of_host+='|BrokenLocale|cuda|nvidia-ml|cublas|cublasLt))\.so'
# Left out, with the plug-ins that need them: drivers of network cards (our messages are few and
# small), and another way to program.
left_out='^lib(ucp|uct|ucs|fabric|ibverbs|psm2|psm_infinipath|oshmem)\.so'

die() {
    printf 'bundle: %s\n' "$1" >&2
    exit "${2:-1}"
}

[[ $# -ge 2 && -x $1/tritgate ]] || die 'usage: cmake/bundle/make.sh BUILD OUT [TEST...]' 3
build=$(realpath "$1")
version=$("$build/tritgate" --version | awk '{ print $NF }')
name=tritgate-$version-$(uname -m)
mkdir -p "$2"
out=$(realpath "$2")
tests=("${@:3}")
root=$out/$name
rm -rf "$root" "$root.tar.gz"
mkdir -p "$root"/{bin,etc,lib/openmpi,lib/pmix,libexec/tritgate,libexec/openmpi,share}
taken=$(mktemp) # where the files of others came from
trap 'rm -f "$taken"' EXIT

# take TO FILE...: files of the host.
take() {
    local to=$1 file
    shift
    for file in "$@"; do
        cp -L --preserve=mode "$file" "$to"
        realpath "$file" >>"$taken"
    done
}

# What a program or library needs, as NAME PATH; a library that is missing has no path.
needed() {
    ldd "$1" | awk '$2 == "=>" { print $1, ($3 ~ /^\// ? $3 : "") }'
}

open_mpi() { # programs, plug-ins and messages, from where this one says it has them
    local paths plugins messages program plugin
    paths=$(command -v orted >/dev/null && ompi_info --parsable --path all 2>/dev/null) ||
        die 'only Open MPI 4 can be bundled' 3
    plugins=$(sed -n '/^path:pkglibdir:/{s///p;q}' <<<"$paths")
    messages=$(sed -n '/^path:pkgdatadir:/{s///p;q}' <<<"$paths")
    for program in mpirun orted; do
        take "$root/libexec/openmpi/$program" "$(command -v $program)"
    done
    for plugin in "$plugins"/mca_*.so; do
        if ! needed "$plugin" | grep -qE "$left_out"; then take "$root/lib/openmpi/" "$plugin"; fi
    done
    mkdir "$root/share/openmpi"
    take "$root/share/openmpi/" "$messages"/help-*.txt
    sed -n 's/^OMPI_MCA_\([a-z_]*\)=/\1 = /p' "$source/tests/mpi.env" \
        >"$root/etc/openmpi-mca-params.conf"
}

pmix() { # its plug-ins lie beside it, its messages in the share/ of its prefix
    local library folder
    library=$(find "$root/lib/openmpi" -name 'mca_pmix_*.so' -exec ldd {} + |
        awk '$1 ~ /^libpmix\.so/ { print $3; exit }')
    if [[ -z $library ]]; then return; fi # Open MPI has its own
    folder=$(dirname "$(realpath "$library")")
    if compgen -G "$folder/pmix/*.so" >/dev/null; then
        take "$root/lib/pmix/" "$folder"/pmix/*.so
    fi
    mkdir "$root/share/pmix"
    if compgen -G "$folder/../share/pmix/help-*.txt" >/dev/null; then
        take "$root/share/pmix/" "$folder"/../share/pmix/help-*.txt
    fi
}

libraries() { # of all programs and plug-ins that are there by now
    local library path
    while read -r library path; do
        if [[ $library =~ $of_host ]]; then continue; fi
        [[ -n $path ]] || die "library '$library' is missing here"
        take "$root/lib/$library" "$path"
    done < <(find "$root" -type f \( -name '*.so' -o -perm -u+x \) | while read -r file; do
        needed "$file"
    done | sort -u)
}

licenses() { # what packages say of their terms; a file is known by its path before /usr, too
    local package
    if ! command -v dpkg-query >/dev/null; then return; fi
    mkdir -p "$root/licenses/common"
    cp -L /usr/share/common-licenses/* "$root/licenses/common/"
    while read -r package; do
        cp -L "/usr/share/doc/$package/copyright" "$root/licenses/$package"
    done < <(sort -u "$taken" | awk '{ print; sub("^/usr", ""); print }' |
        xargs dpkg-query -S 2>/dev/null | sed 's/[:,].*//' | sort -u)
}

# Everything must find what it needs in the bundle, but for what is the host's.
complete() {
    local file strangers
    while read -r file; do
        strangers=$(LD_LIBRARY_PATH=$root/lib "$loader" --list "$file" |
            awk -v lib="=> $root/lib/" '$2 == "=>" && !index($0, lib) { print $1 }' |
            grep -vE "$of_host" || true)
        [[ -z $strangers ]] || die "'${file#"$root/"}' takes from the host: ${strangers//$'\n'/ }"
    done < <(find "$root/lib" "$root/libexec" -type f)
}

loader=$(readelf -l "$build/tritgate" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
cp "$build/tritgate" "$build"/libtritgate-*.so "${tests[@]/#/$build/tests/}" \
    "$root/libexec/tritgate/"
open_mpi
pmix
libraries
licenses
complete
for program in tritgate mpirun bin/orted "${tests[@]}"; do
    sed "s|@LOADER@|$loader|" "$here/launch.sh" >"$root/$program"
    chmod 755 "$root/$program"
done
sed "s/@LIBC@/$(getconf GNU_LIBC_VERSION)/" "$here/README.md" >"$root/README.md"
cp "$source/LICENSE" "$root/"
(cd "$source" && find matrix -name '*.json' -exec cp --parents {} "$root/" \; &&
    cp -r slurm "$root/")

tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner -c "$name" | gzip -n >"$root.tar.gz"
bytes=$(stat -c %s "$root.tar.gz")
((bytes <= bytes_most)) || die "'$root.tar.gz' has $bytes bytes, $bytes_most at most"
echo "$root.tar.gz"
