#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Kills or stops a random process of a run at a random moment, and demands that the run ends or can
# be gone on with, that the decision is the right one, and that no stored round is lost.
#
#   tests/chaos.sh [TIMES [SEED]]       (default 100, about 8 s each, and a seed of the clock)
# shellcheck disable=SC1091,SC2046
for number in "${1:-100}" "${2:-1}"; do
    [[ $number =~ ^[1-9][0-9]{0,8}$ ]] && continue
    echo "chaos: unusable number '$number': above 0 is expected" >&2
    exit 3
done
TG_BUILD=${TG_BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build/ci}
. "$(dirname "$0")/lib.sh"
times=${1:-100} seed=${2:-$(date +%s)}
[[ -x $TRITGATE ]] || (cd "$TG_SOURCE" && ./dev build ci) || exit 1
RANDOM=$seed
ends_within_s=90

# Two questions: the right decision of the one is a pass, that of the other one failure of four.
printf '{"tritgate_matrix": 1, "policy": "%s_policy.json", "axes": {"probe": ["kernel"],
    "kernel": ["stub_twice", "i2s_scalar_unpack"],
    "layer": ["64x256", "32x512"]}}\n' pass >pass.json
sed 's/pass_/fail_/' pass.json >fail.json
cat >pass_policy.json <<'JSON'
{"tritgate_policy": 1, "flow": "review",
 "limits": {"rounds_min": 8, "rounds_max": 60, "round_s": 0.05, "quads_max": 100,
            "sample_s": 0.00005, "warmup_min_s": 0.001, "warmup_max_s": 0.01,
            "deadline_s": 5, "budget_s": 60, "silence_s": 4},
 "rules": [
  {"rule": "ratio", "metric": "call_time", "where": "layer=64x256", "axis": "kernel",
   "of": "stub_twice", "to": "i2s_scalar", "limit": 0.1},
  {"rule": "ratio", "metric": "call_time", "where": "layer=32x512", "axis": "kernel",
   "of": "stub_twice", "to": "i2s_scalar", "limit": 0.1},
  {"rule": "floor", "metric": "codec_exact", "where": "op=unpack", "limit": 1}]}
JSON
sed '/layer=32x512/,+1s/"limit": 0.1/"limit": 1.5/' pass_policy.json >fail_policy.json
declare -A right=([pass]=0 [fail]=1) line=([pass]='4 required tests: 4 passed'
    [fail]='4 required tests: 3 passed, 1 failed') count=()

# Digests of the rows that are readable, one a line; of copies, since files may be being written.
rows() {
    local file
    rm -rf copies && mkdir copies && cp "$1"/worker-*.h5 copies/ 2>/dev/null
    for file in copies/*.h5; do
        h5dump -d /runs "$file" 2>/dev/null | grep -oE '"[0-9a-f]{64}\\?0?[^"]*"$'
    done | sort
}

# Processes of a run: those that name its directory, and their children.
family() {
    local pid
    for pid in $(pgrep -f -- "$work/run$i( |\$|\.)"); do
        echo "$pid"
        pgrep -P "$pid" -f 'exe cell'
    done
}

# What a process is: launch, mpirun, coordinator, worker or child.
kind() {
    case $(ps -o args= -p "$1") in
    *' launch '*) echo launch ;;
    mpirun*) echo mpirun ;;
    *' cell '*) echo child ;;
    '') echo nobody ;;
    *) if grep -qzx OMPI_COMM_WORLD_RANK=0 "/proc/$1/environ" 2>/dev/null; then
        echo coordinator
    else echo worker; fi ;;
    esac
}

# await PID: its status, or 'hung': then all of its session is ended.
await() {
    local begun=$SECONDS
    while ((SECONDS - begun < ends_within_s)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 "$1" 2>/dev/null; then
        status=hung
        end_all
        wait "$1" 2>/dev/null
        return
    fi
    status=0
    wait "$1" 2>/dev/null || status=$?
}

end_all() { kill -9 $(family) 2>/dev/null; }
is_alone() {
    local i
    for ((i = 0; i < 100; i++)); do
        test -z "$(family)" && return
        sleep 0.1
    done
    return 1
}

note() { count[$1]=$((${count[$1]:-0} + 1)); }

# begin ARGUMENT...: a run under launch or under mpirun alone.
begin() {
    if [[ $by == launch ]]; then
        setsid "$TRITGATE" launch -n 3 --patience 5 -- run "$@" >talk 2>&1 </dev/null &
    else
        setsid mpirun -n 3 "$TRITGATE" run "$@" >talk 2>&1 </dev/null &
    fi
    leader=$!
}
trap 'end_all; rm -rf "$work"' EXIT

for ((i = 1; i <= times; i++)); do
    question=pass by=launch signal=KILL
    if ((RANDOM % 2)); then question=fail; fi
    if ((RANDOM % 4 == 0)); then by=mpirun; fi
    case $((RANDOM % 4)) in 0) signal=STOP ;; 1) signal=TERM ;; esac
    moment=$((RANDOM % 4)).$((RANDOM % 1000))
    draw=$RANDOM
    begin "$question.json" --out "$work/run$i"
    sleep "$moment"
    rows "$work/run$i" >before 2>/dev/null
    victim=nobody
    for ((k = 0; k < 50; k++)); do # a child may be dead before it is hit
        chosen=$(family | sed -n "$((1 + (draw + k) % 9))p")
        if [[ -z $chosen || $(kind "$chosen") == launch ]]; then continue; fi
        victim=$(kind "$chosen")
        if kill "-$signal" "$chosen" 2>/dev/null; then break; fi
        victim=nobody
    done
    await "$leader"
    told="$i (seed $seed): $question by $by, $signal to $victim after $moment s: $status"
    echo "$told"
    # An mpirun that was terminated says 1, whatever is measured: launch does not believe it.
    allowed="${right[$question]} 4 hung"
    if [[ $by == mpirun ]]; then allowed+=" 1"; fi
    if [[ $by == mpirun && $status != hung ]] && ((status > 4)); then allowed+=" $status"; fi
    # Nothing was measured: the child that was hit was looking into a library, before there was a
    # plan, which is no other than a library that kills who opens it.
    if [[ $victim == child && ! -s $work/run$i/plan.json ]]; then allowed+=" 3"; fi
    check "$told: the status is no wrong decision" test -n "$(grep -wF -- "$status" <<<"$allowed")"
    if [[ $status == hung ]]; then note hung; fi
    check "$told: nothing is left running" is_alone
    end_all
    if [[ ! -s $work/run$i/plan.json ]]; then
        check "$told: launch begins again" test "$by" = mpirun -o "$status" = hung -o "$status" = 3
        note 'not begun'
        continue
    fi
    if [[ -s $work/run$i/digests.json ]]; then note 'ended by itself'; else note 'resumed'; fi
    by=launch
    [[ -s $work/run$i/digests.json ]] || {
        begin --resume "$work/run$i"
        await "$leader"
    }
    check "$told: gate decides right" gives "${right[$question]}" "$TRITGATE" gate "$work/run$i"
    # A child that was stopped or killed may be told; one that is to be terminated does not heed it.
    check "$told: in all tests" \
        says "^[A-Z]+  ${line[$question]}(, [0-9] of the passed needs? attention)?\$"
    rows "$work/run$i" >after
    check "$told: no stored row is lost" test -z "$(comm -23 before after)"
    check "$told: no mark is left" test -z "$(find "$work" -maxdepth 1 -name ".run$i.*mark*")"
    if ((failures)); then tail -n 20 talk && cp -r "$work/run$i" "/tmp/chaos-$seed-$i"; fi
    note "$victim $signal"
    rm -rf "$work/run$i"
done
for what in "${!count[@]}"; do printf '%4d %s\n' "${count[$what]}" "$what"; done | sort -k2
finish
