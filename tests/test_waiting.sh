#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Waiting costs nothing: between the first and the last sample of a round the ranks use at most 1 %
# of a core each, as the kernel accounts it.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

ranks_wanted=${TG_RANKS:-3}

# One long round: it begins when a child is sampling and lasts for seconds.
ask long '"stub_twice"' round_s=4 quads_max=100000 rounds_min=1 rounds_max=1 deadline_s=60

# As a node of another name it waits for no other run on this machine.
mpirun -n "$ranks_wanted" "$TRITGATE" run long.json --host waiting --out run >/dev/null 2>&1 </dev/null &
launcher=$!
# Its own children: those in this script's session, not of other runs on this machine.
cells() { pgrep -s 0 -cf 'exe cell --conducted'; }
for _ in $(seq 600); do
    [[ $(cells) -ge 2 ]] && break
    sleep 0.05
done
sleep 0.7 # operands, check and warm-up are over
mapfile -t ranks < <(pgrep -P "$launcher" -f 'tritgate run')
check 'there are as many ranks' test "${#ranks[@]}" = "$ranks_wanted"

# CPU time of a process in ns, all its threads.
used() { awk '{ total += $1 } END { printf "%d\n", total }' /proc/"$1"/task/*/schedstat; }
declare -A before
begun=$(date +%s%N)
for rank in "${ranks[@]}"; do before[$rank]=$(used "$rank"); done
sleep 2
for rank in "${ranks[@]}"; do
    after=$(used "$rank")
    passed=$(($(date +%s%N) - begun))
    share=$(((after - before[$rank]) * 10000 / passed))
    printf 'rank process %s used %d.%02d %% of a core\n' "$rank" $((share / 100)) $((share % 100))
    check 'a rank uses at most 1 % of a core' test "$share" -le 100
done
check 'the round was still going on' test "$(cells)" -ge 2
wait "$launcher"
finish
