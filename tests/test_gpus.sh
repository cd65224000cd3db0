#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# GPUs as a driver tells them, and which worker gets which: with a library that stands in for the
# driver, and with recorded nodes.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
new=${TG_NEW_DRIVER:-$TG_BUILD/tests/new_driver}
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER

# with MANNER COMMAND...: with a driver of that manner (tests/data/fake_nvml.c).
with() {
    local manner=$1
    shift
    LD_LIBRARY_PATH=$new TG_FAKE_NVML=$manner "$@"
}

check 'GPUs are listed' gives 0 with gpus=4 "$TRITGATE" list gpus
check 'each on a line' test "$(grep -c '^GPU-.* NVIDIA_H100_80GB_HBM3 .* 580.65.06$' out)" = 4
check 'and as JSON' gives 0 with gpus=4 "$TRITGATE" list gpus --json
check 'with every field' says '"sm_clock_hz": ?1980000000,'
check 'and no reason' says '"reason": ?""'
check 'those that the user left' \
    gives 0 with gpus=4 env CUDA_VISIBLE_DEVICES=2 "$TRITGATE" list gpus
check 'and no other' test "$(grep -c '^GPU-2' out):$(wc -l <out)" = 1:2

# none SENTENCE MANNER [VARIABLE]: what a node without GPUs says is that sentence.
none() {
    local sentence=$1 manner=$2
    shift 2
    check "none, since $manner $*" gives 0 with "$manner" env "$@" "$TRITGATE" list gpus
    check "it says so" diff <(echo "$sentence") out
    check "and in JSON" gives 0 with "$manner" env "$@" "$TRITGATE" list gpus --json
    check "the same" grep -qF "\"$sentence\"" out
}
none 'the NVIDIA driver is not loaded' start=9
none 'the NVIDIA driver has no GPU' gpus=0
none 'the GPU is divided (MIG) and has no instance' mig_on=1
none "CUDA_VISIBLE_DEVICES='' shows no GPU of this node" gpus=2 CUDA_VISIBLE_DEVICES=
none 'asking the NVIDIA driver ends the process (Aborted)' crash=1

# A matrix with a kernel that only a GPU can run: one skip, for one reason.
sed 's/"stub_twice"/"stub_twice", "i2s_cuda"/' "$data/quick.json" >gpu.json
rule='{"rule": "ratio", "metric": "call_time", "where": "op=product", "axis": "kernel"'
sed "s/\"rules\": \[/&$rule, \"of\": \"i2s_cuda\", \"to\": \"i2s_scalar\", \"limit\": 2},/" \
    "$data/quick_policy.json" >quick_policy.json
unbuilt="kernel 'i2s_cuda' is not in this build"
because() {
    grep -A1 'kernel=i2s_cuda layer=64x256' out | grep -qE "($1|$unbuilt)\$"
}
check 'without a GPU' gives 0 with gpus=0 "$TRITGATE" matrix gpu.json
check 'that is why' because 'the NVIDIA driver has no GPU'
check 'with one in exclusive mode' gives 0 with mode=3 "$TRITGATE" matrix gpu.json
check 'it is that' because 'gpu-exclusive-mode'
check 'with one that is too small' gives 0 with mig=1 "$TRITGATE" matrix gpu.json
check 'a run measures what it can' gives 0 with gpus=0 farm gpu.json --out without
check 'and skips the rest' says '^  skipped +i2s_cuda vs i2s_scalar, 64x256, and 1 more '
check 'for that reason' says "the NVIDIA driver has no GPU|$unbuilt"

# Recorded nodes: workers 0, 1, 2 beside a coordinator that is none.
nodes() {
    local gpus=$1 visible=$2
    CUDA_VISIBLE_DEVICES=$visible mpirun -n 4 "$TRITGATE" run "$data/quick.json" --out "$3" \
        --host node --topology "$data/two_sockets.xml" --gpus "$data/$gpus.txt"
}
domains() {
    grep -oE '"domain": ?"[a-z0-9]+"' "$1/plan.json" | grep -oE 'numa[0-9]+' | xargs
}
check 'workers get the GPUs that are left' gives 0 nodes gpus_8 6,1 left
check 'and the domains of those, the third another' test "$(domains left)" = 'numa1 numa0 numa2'
check 'instances of a divided GPU' gives 0 nodes gpus_mig MIG-22,MIG-00,MIG-01 divided
check 'are each a worker' test "$(domains divided)" = 'numa1 numa0 numa0'
check 'and all have a GPU' bash -c '! grep -q no_gpu divided/plan.json'
check 'their class names it' grep -q 'gpu_mig=7g.80gb' divided/plan.json
on() { # on NODE RANKS: the part of a command line of mpirun
    printf '%s ' -n "$2" env "SLURMD_NODENAME=$1" "CUDA_VISIBLE_DEVICES=6,1" "$TRITGATE" run \
        "$data/quick.json" --out several --topology "$data/two_sockets.xml" --gpus "$data/gpus_8.txt"
}
# shellcheck disable=SC2046
check 'workers are counted node by node' gives 0 mpirun $(on a 2) : $(on b 2)
check 'from 0 on each, without the coordinator' test "$(domains several)" = 'numa1 numa1 numa0'
check 'those of one that is hidden' gives 0 nodes gpus_8 '' hidden
check 'sit as without' test "$(domains hidden)" = 'numa0 numa1 numa2'
check 'and say why' test "$(grep -c "shows no GPU of this node" hidden/plan.json)" = 3

# The policy lets what runs on a device alone be timed beside others: on another core.
sed 's/"stub_twice"/"fake_product"/' "$data/quick.json" >beside.json
for beside in 0 1; do
    cat >quick_policy.json <<END
{"tritgate_policy": 1, "flow": "review", "limits": {"rounds_min": 2, "warmup_min_s": 0.001,
 "warmup_max_s": 0.01, "beside_gpu": $beside},
 "rules": [{"rule": "floor", "metric": "kernel_accuracy", "limit": 0.5}]}
END
    check "beside_gpu=$beside is measured" gives 0 "$TRITGATE" run beside.json --out "beside$beside"
    gives 0 "$TRITGATE" report "beside$beside" --format lines
    grep -o '"cores":"[0-9]*"' out | sort -u >"cores$beside"
    check "on one core, with beside_gpu=$beside" test "$(wc -l <"cores$beside")" = 1
done
check 'which the ranks may use, too' says '"shared_core":1'
# But not beside those of a run that has the node, or the memory domain, for itself.
for part in node numa0-gpus; do
    flock -F "/tmp/tritgate-$(id -u)-apart$$-$part.lock" sleep 60 &
    holder=$!
    "$TRITGATE" run beside.json --host "apart$$" --out "apart-$part" >/dev/null 2>apart.err </dev/null &
    waiting=$!
    for _ in $(seq 100); do grep -q 'waiting for' apart.err && break || sleep 0.05; done
    check "it waits for another run ($part)" grep -q "waiting for another run on $part\$" apart.err
    kill "$holder"
    check "and then goes on ($part)" wait "$waiting"
done
# Who wants for itself what others share, always one of them, has its turn all the same.
share() {
    while [[ ! -e shared.over ]]; do
        flock -s "$1.turn" true
        flock -s "$1.lock" sleep 0.4
    done
}
ask own '"stub_twice"' budget_s=20
locks=/tmp/tritgate-$(id -u)-apart$$-numa0-gpus
share "$locks" &
sleep 0.2
share "$locks" &
check 'what others always share can be had alone' gives 0 "$TRITGATE" run own.json --host "apart$$"
: >shared.over
wait
rm -f /tmp/tritgate-"$(id -u)-apart$$"-*
if (($(nproc) > 1)); then
    check 'and which is another' bash -c '! diff cores0 cores1'
fi
finish
