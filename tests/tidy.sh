#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a compiler does not see: arrows between rooms, doors of libraries, sizes, names, rows that
# nobody reads. One line for each thing found; status 1 if there was any.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8

# Headers that have no test_<header>.c of their own: one line each, the name and what tests it.
tested_elsewhere="\
ahead test_kernels.c
batch_avx512vnni test_kernels.c
begin test_cli.sh
codes_avx2 test_kernels.c
command test_cli.sh
digits_avx2 test_kernels.c
fields_avx2 test_kernels.c
fields_avx512vnni test_kernels.c
fields_avxvnni test_kernels.c
fields_neon test_aarch64.sh
groups test_format_i2s.c
lanes test_vector.c
lookups test_op.c
lookups_avx2 test_kernels.c
lookups_avx512vnni test_kernels.c
q6k_avx2 test_vector.c
q6k_avx512 test_vector.c
rows_avx512vnni test_kernels.c
tables_avx2 test_kernels.c
tables_avx512vnni test_kernels.c
ulfm test_survivors.sh"

rooms=(base matrix kernels results worker coordinator)
mapfile -t sources < <(find "${rooms[@]}" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort)
mapfile -t test_sources < <(find tests -name '*.[ch]' | sort)
mapfile -t scripts < <(find . \( -name .git -o -name build -o -name runs \) -prune -o -type f \( \
    -path ./dev -o -path ./.ci/run -o -path './slurm/*' -o -name '*.sh' -o -name '*.cmake' \
    -o -name CMakeLists.txt \) -printf '%P\n' | sort)
mapfile -t tables < <(find "${rooms[@]}" -name '*.def' | sort)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The code without comments, as FILE:LINE:TEXT; $work/bare has its strings emptied, too.
awk -v bare="$work/bare" -v code="$work/code" '
FNR == 1 { in_comment = 0 }
{
    text = plain = ""; rest = $0
    while (rest != "") {
        if (in_comment) {
            end = index(rest, "*/")
            if (!end) break
            in_comment = 0; rest = substr(rest, end + 2)
        } else if (match(rest, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)+\047/)) {
            found = substr(rest, RSTART, RLENGTH)
            text = text substr(rest, 1, RSTART - 1); plain = plain substr(rest, 1, RSTART - 1)
            rest = substr(rest, RSTART + RLENGTH)
            if (found == "//") break
            if (found == "/*") in_comment = 1
            else { text = text found; plain = plain substr(found, 1, 1) substr(found, 1, 1) }
        } else {
            text = text rest; plain = plain rest; break
        }
    }
    print FILENAME ":" FNR ":" text > code
    print FILENAME ":" FNR ":" plain > bare
}' "${sources[@]}" "${test_sources[@]}"

arrows() { # an include that goes up or sideways, or says no room
    awk -F: '
    BEGIN {
        allowed["base"] = " base "; allowed["kernels"] = " kernels "
        allowed["matrix"] = " matrix base "; allowed["results"] = " results matrix base "
        allowed["worker"] = " worker results kernels matrix base "
        allowed["coordinator"] = " coordinator" allowed["worker"]
        allowed["tests"] = " tests" allowed["coordinator"]
    }
    $3 ~ /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($3, quoted, "\""); split(quoted[2], to, "/"); split($1, from, "/")
        if (!index(allowed[from[1]], " " to[1] " "))
            print $1 ":" $2 ": \"" quoted[2] "\" is not for the room " from[1]
    }' "$work/code"
}

doors() { # a library used elsewhere than at its door
    awk -F: '
    function door(header, file, name) {
        if ($3 ~ "<" header && $1 !~ "^" file "$")
            print $1 ":" $2 ": " name " is used only in " file
    }
    $1 !~ /^tests\// && $3 ~ /^[ \t]*#[ \t]*include/ {
        door("(cjson/|cJSON)", "base/json.c", "cJSON")
        door("[Hh][Dd][Ff]5", "results/store[a-z_]*.c", "HDF5")
        door("openssl/", "results/digest.c", "libcrypto")
        door("mpi", "worker/(wire|ulfm).c", "MPI")
        door("hwloc", "worker/place.c", "hwloc")
        door("pcre2", "worker/model/pretokenizer.c", "PCRE2")
        door("cublas", "kernels/cuda/cublaslt.cu", "cuBLASLt")
        door("cuda", "(kernels/cuda/[a-z0-9_]*|worker/probe/device_cuda).cuh?", "CUDA")
    }' "$work/code"
}

sizes() { # files, functions and lines that are too long
    awk '
    function file_end() { if (last > 500) print name ": " last " lines, 500 at most" }
    FNR == 1 { file_end(); name = FILENAME; first = inside = 0 }
    { last = FNR }
    inside && /^\}/ {
        if (FNR - first + 1 > 60)
            print name ":" first ": a function of " FNR - first + 1 " lines, 60 at most"
        inside = first = 0
    }
    inside { next }
    /^\{/ { inside = 1; next }
    /^[A-Za-z_].*[^;]$/ { if (!first) first = FNR; next } # a signature may begin here
    /^[ \t].*[^;]$/ { next }                              # and go on here
    { first = 0 }
    END { file_end() }' "${sources[@]}" "${test_sources[@]}"
    grep -nHE '^.{101,}' "${sources[@]}" "${test_sources[@]}" "${scripts[@]}" |
        grep -v '^tests/test_[a-z_]*\.sh:' | # whose lines are rows of a table
        sed -E 's/^([^:]*:[0-9]+):.*/\1: more than 100 columns/' || true
}

names() { # a file name, or a module, in two places; a matrix and its policy may share a name
    find "${rooms[@]}" -type f ! -path 'matrix/policy/*' | awk -F/ '
    {
        stem = $NF; sub(/\.[^.]*$/, "", stem); folder = substr($0, 1, length($0) - length($NF))
        if ($NF in seen) print $0 ": the name is taken by " seen[$NF]
        else if ($NF ~ /\.(c|h|cu|cuh)$/ && stem in home && home[stem] != folder)
            print $0 ": the module is in " home[stem]
        seen[$NF] = $0
        if ($NF ~ /\.(c|h|cu|cuh)$/) home[stem] = folder
    }'
}

banned() { # tests may fork: what they start is theirs alone
    local calls='strcpy|strcat|v?sprintf|strtok|atoi|gmtime|localtime|system|popen|fork|alloca'
    grep -E "(^|[^A-Za-z0-9_])($calls) *\\(" "$work/bare" | grep -vE '^tests/.*[^a-z_]fork *\(' |
        sed -E "s/^([^:]*:[0-9]+):(.*[^A-Za-z0-9_])?($calls) *\\(.*/\1: \3 is banned/" || true
}

tests() { # a header without a test
    local header name
    for header in "${sources[@]}"; do
        if [[ $header != *.h ]]; then continue; fi
        name=$(basename "$header" .h)
        if [[ -e tests/test_$name.c ]]; then
            ! grep -q "^$name " <<<"$tested_elsewhere" || echo "tests/tidy.sh: '$name' has its test"
        else
            grep -q "^$name " <<<"$tested_elsewhere" || echo "$header: no tests/test_$name.c"
        fi
    done
    while read -r name _; do
        [[ -z $name || -n $(find "${rooms[@]}" -name "$name.h") ]] ||
            echo "tests/tidy.sh: no header '$name.h' to except"
    done <<<"$tested_elsewhere"
}

rows() { # a row of a table whose field or name no code reads
    grep -v '^tests/' "$work/code" >"$work/read"
    awk '
    /^(FIELD|METRIC)\(/ { split($0, part, /[(,]/); print FILENAME ":" FNR ":" part[2] }
    ' "${tables[@]}" | while IFS=: read -r file line name; do
        grep -qE "(\.|->|\")$name([^A-Za-z0-9_]|\$)" "$work/read" ||
            { [[ $file == */metrics.def ]] && grep -qF "\"metric\": \"$name\"" matrix/policy/*; } ||
            echo "$file:$line: no code reads '$name', and no policy"
    done
}

text() { # trailing blanks, licences, things put off
    local code=("${sources[@]}" "${test_sources[@]}")
    grep -nHE '[[:blank:]]+$' "${code[@]}" "${scripts[@]}" "${tables[@]}" |
        sed -E 's/^([^:]*:[0-9]+):.*/\1: trailing blanks/' || true
    grep -LF 'SPDX-License-Identifier: Apache-2.0' "${code[@]}" dev .ci/run tests/*.sh \
        cmake/bundle/*.sh |
        sed 's/$/: no SPDX line/' || true
    grep -nHwE 'TODO|FIXME|# *if +0' "${code[@]}" "${tables[@]}" |
        sed -E 's/^([^:]*:[0-9]+):.*/\1: put off, or switched off/' || true
}

{ arrows; doors; sizes; names; banned; tests; rows; text; } >"$work/found"
cat "$work/found"
[[ ! -s $work/found ]]
