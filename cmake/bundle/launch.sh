#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Starts the program of this bundle that has its name: `tritgate`, `mpirun` and `bin/orted` are
# copies of this file. It needs a shell, and no other program.

name=${0##*/} self=$0
if [ -L "$0" ]; then
    self=$(readlink -f -- "$0")
    name=${self##*/}
fi
case $self in
*/*) ;;
*) self=./$self ;;
esac
root=$(CDPATH='' cd -- "${self%/*}" && pwd -P) || exit 3
if [ "$name" = orted ]; then root=${root%/*}; fi

# Open MPI and PMIx find their plug-ins, messages and settings here and not where they were built.
export OPAL_PREFIX="$root" OPAL_BINDIR="$root/bin" OPAL_SYSCONFDIR="$root/etc" \
    OPAL_LIBDIR="$root/lib/openmpi" OPAL_PKGLIBDIR="$root/lib/openmpi" \
    OPAL_DATADIR="$root/share" OPAL_PKGDATADIR="$root/share/openmpi" \
    PMIX_PREFIX="$root" PMIX_SYSCONFDIR="$root/etc" PMIX_LIBDIR="$root/lib/pmix" \
    PMIX_PKGLIBDIR="$root/lib/pmix" PMIX_DATADIR="$root/share" PMIX_PKGDATADIR="$root/share/pmix"
# Plug-ins of the host's hwloc are for the host's hwloc.
export HWLOC_PLUGINS_PATH="$root/lib/hwloc"
# Root is let in; these two say nothing to anybody else.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# PMIx dies of a user without a home.
export HOME="${HOME:-/}"

# What `tritgate launch` has of ours is not for what mpirun starts.
case ${LD_LIBRARY_PATH-} in
"$root/lib") unset LD_LIBRARY_PATH ;;
"$root/lib:"*) LD_LIBRARY_PATH=${LD_LIBRARY_PATH#"$root/lib:"} ;;
esac
# The host's own paths stay behind ours: drivers are found there.
libraries=$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
case $name in
mpirun)
    set -- --prefix "$root" "$@" # for other nodes
    # Open MPI takes it for a mistake that its way to other nodes is not there.
    if [ -z "${OMPI_MCA_plm_rsh_agent-}" ] && ! command -v ssh >/dev/null &&
        ! command -v rsh >/dev/null; then
        export OMPI_MCA_plm="${OMPI_MCA_plm:-^rsh}"
    fi
    ;;
orted) ;;
*) # ours: starts copies of itself only
    export LD_LIBRARY_PATH="$libraries"
    exec "$root/libexec/tritgate/$name" "$@"
    ;;
esac
# These start programs of the host (ssh, srun), which must not get our libraries: so by the loader,
# which tells nobody, and not by the environment.
exec @LOADER@ --library-path "$libraries" "$root/libexec/openmpi/$name" "$@"
