#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What the GPU of this machine shows of a build: each of its kernels against the exact reference,
# the same under compute-sanitizer where that is installed, a tiny whole model, and how fast kernels
# are. Where the machine has cuBLASLt, its dense bf16 product comes first for each shape, of one
# token and of 128, and `x-bf16` says how many times faster than that a product of ours is.
#
#   tests/gpu.sh [TRITGATE]      (default: build/release/tritgate), about 4 minutes

set -uo pipefail
tritgate=${1:-build/release/tritgate}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# Ours, of an operation or of all; and those of cuBLASLt, which is not ours.
kernels() { "$tritgate" list kernels | awk -v op="$1" '$5 == "cuda" && $6 == "yes" &&
    $1 !~ /^stub_/ && $4 != "cublaslt" && (op == "" || $2 == op) { print $1 }'; }
foreign() { "$tritgate" list kernels | awk '$4 == "cublaslt" && $6 == "yes" { print $1 }'; }

"$tritgate" list gpus || true
if [[ -z $(kernels '') ]]; then
    echo "no kernel of a GPU can be run here"
    "$tritgate" list isas | grep -i cuda
    exit 2
fi

echo
"$tritgate" check '*_cuda*' || bad=1
if [[ -n $(foreign) ]]; then
    "$tritgate" check '*_cublaslt' || bad=1
else
    echo 'cuBLASLt cannot be opened here: nothing is held beside it'
fi

# sanitise KERNEL TOOL: leaves its line, and of a failure the end of what it said.
sanitise() {
    local log=$work/$1.$2 status
    timeout 120 compute-sanitizer --tool "$2" --target-processes all --error-exitcode 9 \
        "$tritgate" check "$1" >"$log" 2>&1
    status=$?
    printf '%-24s %-10s %s\n' "$1" "$2" \
        "$(grep -E 'SUMMARY|right on|wrong|crashed' "$log" | sort -u | tr '\n' ' ')" >"$log.line"
    ((status == 0)) || tail -n 30 "$log" >"$log.bad"
}

if command -v compute-sanitizer >/dev/null; then
    for kernel in $(kernels ''); do
        for tool in memcheck racecheck initcheck; do sanitise "$kernel" "$tool" & done
        wait
        cat "$work/$kernel".*.line
        if compgen -G "$work/$kernel.*.bad" >/dev/null; then bad=1 && cat "$work/$kernel".*.bad; fi
    done
else
    echo 'compute-sanitizer is not installed here: not run'
fi

# Whole models: a tiny one, each way that a model is run.
echo
for kernel in $(kernels product | grep '^i2s_'); do
    for profile in first_token prefill_128 decode_32 slo_128 accuracy; do
        TRITGATE_MODEL_CACHE=$work "$tritgate" cell --samples 3 \
            "probe=model kernel=$kernel model=tiny profile=$profile" >"$work/line" 2>"$work/error"
        grep -qF '"outcome":"measured"' "$work/line" ||
            grep -qF 'need compute capability' "$work/error" || bad=1
        printf '%-24s %-12s %s\n' "$kernel" "$profile" "$(grep -oE \
            '"(outcome|reason)":"[^"]+"|"gpu_bytes":[0-9]+' "$work/line" | xargs) $(<"$work/error")"
    done
done

# show LINE RIVAL_S SECONDS: one line of a measurement: kernel, layer, batch, microseconds, rates,
# shares of the roof, and the rival's time as a multiple of it. Its own goes to the file SECONDS.
show() {
    awk -v rival_s="$2" -v seconds="$3" '
    function number(name) {
        if (!match($0, "\"" name "\":[-+0-9.e]*")) return 0
        return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0
    }
    function text(name, otherwise) {
        if (!match($0, name "=[^ \"]*")) return otherwise
        return substr($0, RSTART + length(name) + 1, RLENGTH - length(name) - 1)
    }
    function median(metric,    at, list, n, i, k, v, t) {
        at = index($0, "\"" metric "\",\"samples\":[")
        if (!at) return 0
        list = substr($0, at + length(metric) + 14)
        sub(/\].*/, "", list)
        n = split(list, v, ",")
        for (i = 2; i <= n; i++)
            for (k = i; k > 1 && v[k] + 0 < v[k - 1] + 0; k--) {
                t = v[k]
                v[k] = v[k - 1]
                v[k - 1] = t
            }
        spread = (v[n - int(n / 10)] / v[int(n / 10) + 1] - 1) * 100
        return v[int((n + 1) / 2)] + 0
    }
    {
        s = median("call_time")
        batch = text("batch", 1)
        split(text("layer", ""), shape, "x")
        if (!s) { print "not measured: " $0; next }
        bytes = number("packed_bytes"); read = number("read_rate"); dot = number("dot_rate")
        work = 2 * shape[1] * shape[2] * batch
        form = "%-22s %-12s %5d %-6s %9.2f %5.1f %7.0f %6.1f%% %7.1f %6.1f%% %7.1f%% %6.0f %6s\n"
        printf "%.9g\n", s >seconds
        printf form,
            text("kernel", ""), text("layer", ""), batch, text("cache", "hot"), s * 1e6, spread,
            bytes / s * 1e-9, read ? bytes / s / read * 100 : 0,
            work / s * 1e-12, dot ? work / 2 / s / dot * 100 : 0,
            number("limit_s") / s * 100, number("sm_clock_hz") * 1e-6,
            (rival_s > 0 ? sprintf("%.2f", rival_s / s) : "-")
    }' "$1"
}

# measure KERNEL CACHE RIVAL_S: its line for the layer and batch that the loops are at.
measure() {
    local cell="probe=kernel kernel=$1 layer=$layer batch=$batch cache=$2"
    "$tritgate" cell "$cell" --samples 11 >"$work/line" 2>"$work/error" ||
        { bad=1 && cat "$work/error"; }
    rm -f "$work/seconds"
    show "$work/line" "$3" "$work/seconds"
}

echo
printf '%-22s %-12s %5s %-6s %9s %5s %7s %7s %7s %7s %8s %6s %6s\n' kernel layer batch cache us \
    '+-%' GB/s of-read TOPS of-dot of-limit MHz x-bf16
for batch in 1 8 32 128; do
    for layer in 2560x2560 6912x2560 13824x2560 2560x6912 4096x14336; do
        for cache in stream $([[ $layer == 2560x2560 ]] && echo hot); do
            rival_s=0 # it takes seconds to open
            if [[ $batch/$cache =~ ^(1|128)/stream$ && -n $(foreign) ]]; then
                measure bf16_cublaslt "$cache" 0
                if [[ -s $work/seconds ]]; then rival_s=$(<"$work/seconds"); fi
            fi
            for kernel in $(kernels product); do measure "$kernel" "$cache" "$rival_s"; done
        done
    done
done
exit "$bad"
