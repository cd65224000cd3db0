#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A bundle in a root that has a C library, a shell and what the kernel shows, and nothing else:
# there the program measures, alone and over ranks, also on what Open MPI takes for another node.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin

cannot() {
    echo "cannot run here: $1"
    exit 77
}

# inside COMMANDS: runs them by the shell in the root, in the bundle's folder. Mounts are made in a
# namespace that ends with them: what removes the root in the end finds none of the host's there.
root=$work/root home=/
own=(unshare --mount)
if ((EUID != 0)); then own+=(--map-root-user); fi
inside() {
    env -i PATH="$PATH" "${own[@]}" sh -c '
        for shown in proc sys dev; do mount --rbind "/$shown" "$1/$shown" || exit; done
        exec chroot "$1" /bin/sh -c "PATH=/bin; cd \"$2\" && $3"' - "$root" "$home" "$1"
}

host_files() { # the C library
    local library
    for library in c m pthread dl rt resolv util; do
        ldd "$TRITGATE" | awk -v name="lib$library.so." 'index($1, name) == 1 { print $3 }'
    done
    readelf -l "$TRITGATE" | sed -n 's/.*interpreter: \(.*\)\]/\1/p'
}
mkdir -p "$root"/{bin,proc,sys,dev,tmp,there}
for file in $(host_files); do
    mkdir -p "$root${file%/*}" && cp -L "$file" "$root$file"
done
cp -L "$(command -v dash || command -v bash)" "$root/bin/sh"
cp "$(command -v unshare)" "$(command -v hostname)" "$data"/quick*.json "$root/there/"
inside : || cannot 'no shell can be started in a root of its own'

check 'a bundle is made' gives 0 "$TG_SOURCE/cmake/bundle/make.sh" "$TG_BUILD" "$work/made there" test_isa
packed=$(<out)
check 'packed, it has 60 MiB at most' test "$(stat -c %s "$packed")" -le $((60 << 20))
mkdir "$root/some place"
tar -C "$root/some place" -xzf "$packed" || finish
bundle=$(echo "$root/some place"/tritgate-*)
home=${bundle#"$root"}

of_host='(ld-linux.*|lib(c|m|mvec|pthread|dl|rt|resolv|util|anl|nsl|nss_.*|cuda|nvidia-ml))\.so.*'
check 'nothing of the C library or of drivers is in it' \
    test -z "$(find "$bundle" -regextype posix-extended -regex ".*/$of_host")"
check 'no link leads out of it' test -z "$(find "$bundle" -type l)"
check 'no file names the folders where it was made' \
    test -z "$(grep -rlF --exclude=test_isa -e "$TG_BUILD" -e "$TG_SOURCE/" -e "$work" "$bundle")"
check 'a launcher finds its folder by a link' \
    gives 0 bash -c 'ln -s "$1/mpirun" launcher && ./launcher --version' - "$bundle"

check 'the program starts' gives 0 inside './tritgate --version'
check 'as itself' diff out <("$TRITGATE" --version)
check 'a path of the user stays, behind those of the bundle' \
    gives 0 inside 'LD_LIBRARY_PATH=/there LD_DEBUG=libs ./tritgate --version'
check 'in that order' grep -q "$home/lib:/there[[:blank:]]" err
check 'lists kernels' gives 0 inside './tritgate list kernels'
check 'those it was made with' diff out <("$TRITGATE" list kernels)
check 'checks one' gives 0 inside './tritgate check i2s_scalar'
check 'by calling it' says '^i2s_scalar +right on '
check 'a test can be taken along' gives 0 inside ./test_isa
check 'finds a policy by its name' \
    gives 0 inside 'cd /tmp && "$OLDPWD/tritgate" matrix "$OLDPWD/matrix/smoke.json" --policy review'

check 'a run alone passes' gives 0 inside './tritgate run /there/quick.json --out /tmp/alone'
check 'and over ranks' gives 0 inside './mpirun -n 3 ./tritgate run /there/quick.json --out /tmp/ranks'
check 'which it launches itself' \
    gives 0 inside './tritgate launch -n 3 -- run /there/quick.json --out /tmp/launched'
check 'a matrix of its own' \
    gives 2 inside './mpirun -n 2 ./tritgate run matrix/smoke.json --budget 1 --out /tmp/smoke'
check 'comes to an end in time' says '^INCONCLUSIVE '

# Another node, by what stands for ssh: a shell that calls the host by another name.
cat >"$root/there/agent" <<'END'
#!/bin/sh
node=$1
shift
exec /there/unshare --uts /bin/sh -c "/there/hostname $node; $*"
END
chmod +x "$root/there/agent"
mv "$bundle" "$root/place" && home=/place # Open MPI allows no blank in what is told to a shell
check 'another node works' gives 0 inside '
    export OMPI_MCA_plm_rsh_agent=/there/agent
    export OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_btl_tcp_if_include=lo
    /there/unshare --uts /bin/sh -c "/there/hostname n1
        ./mpirun -n 3 --host n1:2,n2:1 ./tritgate run /there/quick.json --out /tmp/nodes"'
check 'and is told apart' grep -qE '"host": ?"n2"' "$root/tmp/nodes/plan.json"
finish
