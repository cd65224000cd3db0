#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tables that the documents repeat, each below a line `<!-- tritgate list TABLE -->`.
#
#   tests/tables.sh rows TABLE         the rows that the program has, as Markdown
#   tests/tables.sh there TABLE FILE   the rows that the file has
#   tests/tables.sh write FILE...      puts the program's rows in their place (./dev tables)

set -euo pipefail
: "${TRITGATE:=build/release/tritgate}"

# Its columns in their order, the name as code. What differs from machine to machine (here), and
# what only builds for tests have (isa stub, stub_wide, cuda_stub and fake), is left out.
rows() {
    "$TRITGATE" list "$1" --json | awk '
    function end() { if (row && !is_stub) print row; is_stub = 0 }
    match($0, /^ *"[a-z_]+": "/) {
        value = substr($0, RLENGTH + 1); sub(/",?$/, "", value)
        gsub(/\\"/, "\"", value); gsub(/\|/, "\\|", value)
        if ($1 == "\"name\":") { end(); row = "| `" value "` |" }
        else if ($1 != "\"here\":") row = row (value == "" ? " |" : " " value " |")
        if ($1 == "\"isa\":" && value ~ /^(stub|stub_wide|cuda_stub|fake)$/) is_stub = 1
    }
    END { end() }'
}

# Below the comment that names the table, without title and rule.
there() {
    awk -v mark="<!-- tritgate list $1 -->" '
    $0 == mark { inside = 1; next }
    inside && !/^\|/ { exit }
    inside && ++seen > 2' "$2"
}

write() {
    local file line mark='^<!-- tritgate list ([a-z]+) -->$' skip=0
    for file in "$@"; do
        while IFS= read -r line; do
            if [[ $line =~ $mark ]]; then
                skip=1
                printf '%s\n' "$line"
                mapfile -t wanted < <(rows "${BASH_REMATCH[1]}")
            elif ((skip)) && [[ $line == '|'* ]]; then
                if ((skip <= 2)); then printf '%s\n' "$line"; fi
                skip=$((skip + 1))
            else
                if ((skip)); then printf '%s\n' "${wanted[@]}"; fi
                skip=0
                printf '%s\n' "$line"
            fi
        done <"$file" >"$file.new"
        if ((skip)); then printf '%s\n' "${wanted[@]}" >>"$file.new"; fi
        mv "$file.new" "$file"
    done
}

"$@"
