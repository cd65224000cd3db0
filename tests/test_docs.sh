#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documents say what the program does: its tables, commands, options, statuses and files.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

check 'nothing is left to be filled in' bash -c '! grep -n "@@" "$1"/README.md "$1"/docs/*.md' - \
    "$TG_SOURCE"

tables=$TG_SOURCE/tests/tables.sh
readme=$TG_SOURCE/README.md
documents=("$TG_SOURCE"/docs/*.md)
if [[ -e $readme ]]; then documents+=("$readme"); fi

# What documents set as code, one piece a line: `spans`, and lines between fences. A span that was
# broken over two lines is joined.
code() {
    awk '
    FNR == 1 { fenced = 0 }
    /^```/ { fenced = !fenced; print open; open = ""; next }
    fenced { print; next }
    {
        text = open $0; open = ""
        while (match(text, /`[^`]*`/)) {
            print substr(text, RSTART + 1, RLENGTH - 2); text = substr(text, RSTART + RLENGTH)
        }
        if (i = index(text, "`")) open = substr(text, i) " "
    }
    /^[ \t]*$/ { open = "" }' "$@"
}

# Whether a command has an option; some are for the program itself, and not in its help.
has_option() {
    grep -qE -- "(^|[ ,])$2([=, ]|\$)" "help.$1" ||
        grep -qsE "\{\"${2#--}\",.*OPTION_HIDDEN" "$TG_SOURCE/coordinator/command_$1.c"
}

for table in axes facts hardware metrics limits watch formats kernels; do
    document=$TG_SOURCE/docs/RESULTS.md
    if grep -qx "<!-- tritgate list $table -->" "$TG_SOURCE/docs/KERNELS.md"; then
        document=$TG_SOURCE/docs/KERNELS.md
    fi
    "$tables" rows "$table" >wanted && "$tables" there "$table" "$document" >there
    check "${document##*/} has a table of $table" test -s there
    check "it is what tritgate list $table prints" diff wanted there
done

# The measurement that RESULTS.md shows, on one line again: it has every member in its order.
sed -n '/^{"tritgate_measurement":1,"cell":"probe=kernel /,/^```$/{/^```$/!{s/^ *//;p}}' \
    "$TG_SOURCE/docs/RESULTS.md" | tr -d '\n' >line
members() { grep -oE '[{,]"[a-z_0-9]+":' "$1" | tr -dc 'a-z_0-9\n'; }
"$TRITGATE" cell 'probe=kernel kernel=i2s_scalar layer=64x256' --samples 3 >measured
check 'the line that RESULTS.md shows has what tritgate cell prints' \
    diff <(members line) <(members measured)

# The tables of a receipt have the members that are written.
receipt=$TG_SOURCE/coordinator/report_receipt.c
written() { # OBJECT FUNCTIONS: the members that it is given there
    cat "$receipt" "$TG_SOURCE/coordinator/report_flow.c" |
        sed -nE "/^(static )?void ($2)\\(/,/^}/s/.*(tg_json_|add_)[a-z_]+\\($1, \"([a-z_]+)\".*/\\2/p"
}
told() { # HEAD: the first column of the table that begins so
    sed -n '/^## receipt.json/,$p' "$TG_SOURCE/docs/RESULTS.md" |
        awk -v head="| $1 |" '/^\|/ && !rows++ { mine = index($0, head) == 1 } !/^\|/ { rows = 0 }
            rows > 2 && mine { split($0, column, "|"); print column[2] }' | grep -oE '`[a-z_]+`' | tr -d '`'
}
verdict='add_verdict|add_forecasts'
check 'RESULTS.md has the members of a verdict' diff <(told 'member of a verdict' | sort) \
    <(written item "$verdict" | sort)
check 'and those of counts' diff <(told 'member of `counts`') <(written counts tg_report_receipt)
# Two of the whole are written by names that are chosen, or elsewhere.
check 'and those of the whole' diff <(told member | sort) <({
    written root '[a-z_]+' && printf '%s\n' evidence_lines inherited
} | sort)
sed -n '/^## receipt.json/,$p' "$TG_SOURCE/docs/RESULTS.md" | code | tr -c 'a-z_\n' '\n' >spans
while read -r member; do
    check "and names '$member'" grep -qx -- "$member" spans
done < <(written '[a-z]+' '[a-z_]+' | sort -u)

"$TRITGATE" --help >help
commands=$(sed -n '/^Commands/,/^$/s/^  \([a-z]*\)  .*/\1/p' help)
for command in $commands; do "$TRITGATE" "$command" --help >"help.$command"; done
code "${documents[@]}" >pieces
# What launch is given behind -- is a command of its own.
grep -oE '(^|[^-a-z])tritgate [a-z]+[^|;)]*' pieces | sed 's/^.*tritgate //; s/ -- /\n/' | sort -u >called
check 'the documents name commands' test -s called
while read -r command rest; do
    check "there is a command 'tritgate $command'" grep -qx -- "$command" <<<"$commands" || continue
    while read -r option; do
        check "tritgate $command has the option $option" has_option "$command" "$option"
    done < <(grep -oE -- '(^| )--[a-z][a-z-]*' <<<"$rest")
done <called
while read -r option; do
    found=
    for command in $commands; do
        if has_option "$command" "$option"; then found=1 && break; fi
    done
    check "a command has the option $option" test "$found"
done < <(grep -oE -- '^--[a-z][a-z-]*' pieces | sort -u)

# ./dev installs ninja, and no make.
while read -r command; do
    check "there is what builds by: $command" grep -q -- ' -G Ninja' <<<"$command"
done < <(grep -E '(^| )cmake -S' pieces)

while read -r row; do
    check "a table has the row that ADDING.md shows: $row" \
        grep -rqxF --include='*.def' -- "$row" "$TG_SOURCE"/{matrix,kernels,results,worker,coordinator}
done < <(code "$TG_SOURCE/docs/ADDING.md" | grep -E '^[A-Z_]+\([a-zA-Z].*\)$')

for document in "${documents[@]}"; do
    while read -r link; do
        if [[ $link =~ ^[a-z]+: ]]; then continue; fi
        check "${document#"$TG_SOURCE"/} links to a file: $link" test -e "$(dirname "$document")/$link"
    done < <(grep -oE '\]\([^) ]+\)' "$document" | sed 's/^](//; s/)$//; s/#.*//')
done

if [[ -e $readme ]]; then
    "$TRITGATE" run --help | tr -s '\n ' ' ' >statuses
    tr '\n' ' ' <"$readme" | grep -oiE 'exit status is[^.]*' | grep -oE '[0-9]+ [a-z]+' >named
    check 'README.md names the five statuses' test "$(sort -u named | wc -l)" = 5
    while read -r status word; do
        check "status $status is '$word'" grep -qE "Exit status:.* $status $word" statuses
    done <named
    while read -r status; do
        check "there is a status $status" grep -qE "Exit status:.* $status " statuses
    done < <(grep -oE 'status [0-9]+' "$readme" | grep -oE '[0-9]+' | sort -u)
fi
finish
