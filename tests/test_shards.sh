#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run in shards, on machines that share nothing, is decided on as one run.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

# Four blocks: two layers, two batches.
sed 's/"layer"/"batch": [1, 2], "layer"/; s/quick_policy/parts_policy/' "$data/quick.json" >parts.json
cp "$data/quick_policy.json" parts_policy.json
run() { "$TRITGATE" run parts.json "$@"; }

# What a run was asked and how that was answered, without what was measured.
verdicts() {
    "$TRITGATE" report "$@" --format receipt |
        grep -E '"(rule|of|to|answer|word|is_required|required|passed|statistical)"'
}

for i in 1 2 3; do
    check "shard $i measures, and does not pass" gives 2 run --shard "$i/3" --out "part$i"
    check 'its first line says that it is one' test "$(head -n 1 out | cut -d: -f1)" = "shard $i of 3"
    grep -v '^evidence in' out >said
    check 'gate says the same of it' gives 2 "$TRITGATE" gate "part$i"
    check 'in the same words' diff said out
done
check 'what others measure is named' says 'shard [12]/3 is missing'
check 'all of it is measured once' test "$(cat part?/receipt.json | grep -c '"answer": "pass"')" = 4

check 'they are merged' gives 0 "$TRITGATE" merge all part2 part3 part1
check 'and all are there' says '^all: all shards of 3 that have tests are there$'
check 'the gate passes them' gives 0 "$TRITGATE" gate all
check 'and says so first' test "$(head -n 1 out)" = 'all shards of 3 that have tests are there'
cp out all.gate
check 'with the bytes of the runs themselves' bash -c '"$1" gate part1 part2 part3 | cmp - all.gate' - "$TRITGATE"
check 'every file is there as it was' bash -c 'for i in 1 2 3; do
    (cd "part$i" && sha256sum -- *.h5 plan.json digests.json) >sums && (cd "all/shard-000$i" && sha256sum -c --quiet) <sums || exit 1; done'
check 'one whole run' gives 0 run --out whole
verdicts whole >whole.verdicts
verdicts all >all.verdicts
check 'was asked the same, and answers the same' cmp whole.verdicts all.verdicts
check 'the history of a part is not kept' refuses 'it is not whole; keep what merge makes of all shards' \
    "$TRITGATE" history store part1
check 'that of all can be' gives 0 "$TRITGATE" history store all
check 'and has it once' gives 0 "$TRITGATE" history store all part2
check 'as one run' says '^hardware .*, 1 run$'

check 'some of them are merged' gives 0 "$TRITGATE" merge some part1 part3
check 'what is missing is named' says 'shards 1, 3 of 3: cannot pass without shard 2, which has'
check 'the gate does not pass them' gives 2 "$TRITGATE" gate some
check 'and names the tests' says '^  inconclusive +stub_twice vs i2s_scalar, .*shard 2/3 is missing'
check 'the last comes later' gives 0 "$TRITGATE" merge late some part2
check 'and makes the same' bash -c '"$1" gate late | cmp - all.gate' - "$TRITGATE"

rm part2/digests.json
check 'one that was not ended in order' gives 2 "$TRITGATE" gate part1 part2 part3
check 'cannot pass' says '^cannot pass: shard 2 of 3 was not ended in order; run --resume ends it'
check 'merge takes it' gives 0 "$TRITGATE" merge cut part1 part2 part3
check 'and names it' says '^cut: all shards of 3 that have tests are there; shard 2 of 3 was not ended in order'
check 'until it goes on' gives 2 "$TRITGATE" run --resume part2
check 'as the shard it is' says '^shard 2 of 3: cannot pass without'
check 'then all pass' gives 0 "$TRITGATE" gate part1 part2 part3
check 'and goes on with a seal that is kept' gives 2 "$TRITGATE" run --resume part2
check 'all of which is merged' gives 0 "$TRITGATE" merge more part1 part2 part3
check 'as under the new seal' gives 0 "$TRITGATE" gate more

check 'one shard twice is refused' gives 2 run --shard 2/3 --out again
check 'by merge' refuses "are both shard 2/3" "$TRITGATE" merge twice part1 part2 part3 again
check 'and by gate' refuses "are both shard 2/3" "$TRITGATE" gate part1 part2 part3 again
check 'nothing was made of it' test ! -e twice
check 'one of another number' gives 2 run --shard 2/2 --out other
check 'is refused' refuses 'another number of shards' "$TRITGATE" merge bad part1 other
check 'a whole run is no shard' refuses "'whole' is no shard" "$TRITGATE" merge bad part1 whole
check 'nor is it judged with one' refuses 'another number of shards' "$TRITGATE" gate part1 whole
mkdir none && echo '{}' >none/plan.json
check 'a plan without workers is none, either' refuses "'none' is no shard" "$TRITGATE" merge bad part1 none
mkdir build # as long as it is not the same file
cp "$TRITGATE" build/tritgate && printf x >>build/tritgate
check 'one by another build' gives 2 build/tritgate run parts.json --shard 3/3 --head "$TRITGATE_LIB" --out otherbuild
check 'is refused' refuses 'another build of the program' "$TRITGATE" merge bad part1 part2 otherbuild
sed -i 's/"limit": 0.1/"limit": 0.2/' parts_policy.json
check 'one under another policy' gives 2 run --shard 3/3 --out otherpolicy
check 'is refused, too' refuses 'another policy' "$TRITGATE" merge bad part1 part2 otherpolicy
cp -r all broken
printf x | dd of="$(find broken/shard-0001 -name '*.h5')" bs=1 seek=5000 conv=notrunc 2>/dev/null
check 'a byte that was changed is found' refuses 'was changed after the run' "$TRITGATE" gate broken
check 'what is there is not written over' refuses "cannot make 'all'" "$TRITGATE" merge all part1

check 'its shards are jobs' gives 0 "$TRITGATE" matrix parts.json --github --shards 3
check 'in one line' test "$(wc -l <out)" = 1
check 'one for each' test "$(grep -oE '"shard":"[1-3]/3"' out | sort -u | wc -l)" = 3
check 'with the labels of a runner' says '"labels":\["self-hosted","linux","[a-z0-9]+","tritgate-cpu"\]'
check 'more than GitHub takes are refused' refuses "number of shards '257': 1 to 256" "$TRITGATE" matrix parts.json --github --shards 257
check 'a shard that nothing is left for is refused' refuses 'nothing is left for shard 9/9: the matrix has 4 blocks; split it into fewer (a smaller N in --shard I/N)' run --shard 9/9 --out no
check 'what is no shard is refused' refuses "unusable shard '4/3'" run --shard 4/3 --out no
check 'with a stored baseline it is refused' refuses 'either --shard or --baseline' run --shard 1/3 --baseline no --out no

# A shard of a GPU's blocks, where the driver has none.
printf '{"tritgate_policy": 1, "flow": "f", "limits": {"budget_s": 20},
 "rules": [{"rule": "floor", "metric": "kernel_accuracy", "limit": 0.9}]}' >floor_policy.json
mixed() { # mixed KERNEL [OPTION...]: a run of it beside a kernel of the processor
    sed "s/\"stub_twice\"/\"i2s_scalar\", \"$1\"/; s/quick_policy/floor_policy/" "$data/quick.json" >"$1.json"
    LD_LIBRARY_PATH=${TG_NEW_DRIVER:-$TG_BUILD/tests/new_driver} TG_FAKE_NVML=gpus=${gpus:-0} "$TRITGATE" "${@:2}" "$1.json"
}
check 'that of the processor measures' gives 2 mixed i2s_cuda run --shard 1/2 --out of_cpu
if "$TRITGATE" list kernels | grep '^i2s_cuda .* not in this build' >/dev/null; then
    check 'that of kernels that nobody has may be empty' gives 2 mixed i2s_cuda run --shard 2/2 --out of_gpu
else
    check 'that of the GPU does not stand for what it cannot measure' \
        refuses 'shard 2/2 is for a GPU, and this machine has none: the NVIDIA driver has no GPU' \
        mixed i2s_cuda run --shard 2/2 --out of_gpu
    check 'and leaves nothing to merge' test ! -e of_gpu
    if "$TRITGATE" list kernels | grep '^i2s_cuda .* not on this machine' >/dev/null; then
        gpus=1
        check 'nor where CUDA has no such GPU' refuses 'the driver knows one, and CUDA does not' \
            mixed i2s_cuda run --shard 2/2 --out of_gpu
        gpus=0
    fi
    check 'so the gate does not pass without it' gives 2 "$TRITGATE" gate of_cpu
    check 'and names it' says 'cannot pass without shard 2, which has'
fi
check 'who only checks may be without' gives 0 mixed i2s_cuda launch --check -- run --shard 2/2 --out of_check
check 'a shard that has both skips by name' gives 0 mixed i2s_cuda run --shard 1/1 --out of_both
check 'as does a whole run' gives 0 mixed i2s_cuda run --out of_all
check 'another device than a GPU needs none' gives 2 mixed fake_product run --shard 2/2 --out of_fake
check 'to be measured' says '^ +pass +fake_product'

sed -i 's/"stub_twice"/"stub_twice", "stub_wrong"/' parts.json
failed=0
for i in 1 2; do
    run --shard "$i/2" --out "wrong$i" >/dev/null 2>&1
    [[ $? == 1 ]] && failed=$((failed + 1))
done
check 'who finds a wrong kernel says so by itself' test "$failed" -gt 0
check 'and so does the gate' gives 1 "$TRITGATE" gate wrong1 wrong2
finish
