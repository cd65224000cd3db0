#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The workflow of docs/CI.md is YAML, its commands are shell, and on a small matrix they do what it
# says: a plan, a shard on each runner, one decision.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

document=$TG_SOURCE/docs/CI.md
sed -n '/^```yaml$/,/^```$/p' "$document" | sed '1d;$d' >workflow.yml
check 'there is a workflow' grep -q '^jobs:$' workflow.yml
if python3 -c 'import yaml' 2>/dev/null; then
    check 'it is YAML, with three jobs' python3 -c '
import yaml
jobs = yaml.safe_load(open("workflow.yml"))["jobs"]
assert list(jobs) == ["build", "measure", "gate"]
for job in jobs.values():
    assert {"runs-on", "steps", "timeout-minutes"} <= set(job)
    for step in job["steps"]:
        assert len({"run", "uses"} & set(step)) == 1
assert jobs["gate"]["needs"] == ["build", "measure"]
assert [step["name"] for step in jobs["gate"]["steps"][:2]] == ["clean to decide", "built"]'
fi
# A required job that is skipped counts as a success, and one of a cancelled run is skipped but for
# always().
check 'the gate is skipped only where a build that is well says that nothing is to measure' grep -qxF \
    "    if: \${{ always() && (needs.build.result != 'success' || needs.build.outputs.nothing != 'true') }}" \
    <(sed -n '/^  gate:$/,/^    steps:$/p' workflow.yml)

# step NAME: its shell commands.
step() {
    awk -v name="      - name: $1" '
    $0 == name { mine = 1; next }
    /^      - / { mine = inside = 0 }
    mine && sub(/^        run: /, "") { if ($0 != "|") print; else inside = 1; next }
    inside && /^ {0,9}[^ ]/ { inside = 0 }
    inside { print substr($0, 11) }' workflow.yml
}
names=$(sed -n 's/^      - name: //p' workflow.yml)
while read -r name; do
    step "$name" >"$name.sh"
    check "step '$name' has commands" test -s "$name.sh"
    check 'that are shell' bash -n "$name.sh"
    # What GitHub puts in its place is not quoted: a branch may be called anything.
    check 'and takes what GitHub knows by its environment' bash -c '! grep -F "\${{" "$1.sh"' - "$name"
done <<<"$names"
check 'the steps that are tried here are there' \
    test "$(grep -cxE 'plan|pack|(clean to )?(measure|decide)|built' <<<"$names")" = 7
# A runner has what earlier jobs left in its folder.
for job in measure gate; do
    check "job $job empties its folder before anything comes into it" \
        awk '/^      - name: clean to / { is_clean = 1 } /download-artifact/ { exit !is_clean }' \
        <(sed -n "/^  $job:\$/,\$p" workflow.yml)
done
check 'the gate fails if the build did' gives 1 env BUILT=failure bash -e built.sh
check 'and if it was skipped' gives 1 env BUILT=skipped bash -e built.sh
check 'and goes on if it did not' gives 0 env BUILT=success bash -e built.sh

# The bundle of a pull request whose kernels are other bytes than those of its base.
mkdir -p jobs/build/farm/{matrix,libexec/tritgate} && cd jobs/build || exit 1
printf '#!/bin/sh\nexec "%s" "$@"\n' "$TRITGATE" >farm/tritgate
chmod +x farm/tritgate
cp "$TRITGATE_LIB" farm/libexec/tritgate/libtritgate-kernels.so
cp "$TRITGATE_LIB" farm/base.so && echo another >>farm/base.so
sed 's/"layer"/"batch": [1, 2], "layer"/' "$data/quick.json" >farm/matrix/parts.json
sed 's/"budget_s": [0-9]*/"budget_s": 0.06/' "$data/quick_policy.json" >farm/matrix/quick_policy.json

# What is checked out is a merge.
commit() { git add -A . && git -c user.name=a -c user.email=a@b commit -qm "$1" --allow-empty; }
check 'there is a history' bash -c 'git init -q . && printf "farm*\n" >.gitignore'
commit base && mkdir kernels && echo other >kernels/a.c && commit head

# A step, as GitHub runs it.
export MATRIX=matrix/parts.json BUDGET=20 GITHUB_OUTPUT=$work/output GITHUB_STEP_SUMMARY=$work/summary
: >"$GITHUB_OUTPUT" >"$GITHUB_STEP_SUMMARY"
go() { bash --noprofile --norc -eo pipefail "$work/$1.sh"; }
check 'a plan is made' go plan
check 'and packed' go pack
least=$(grep -oE '"least_s":[0-9]+' "$GITHUB_OUTPUT" | head -n 1 | cut -d: -f2)
check 'and says how long the least rounds of a shard take' test "$least" -ge 1
mapfile -t shards < <(grep -oE '"shard":"[0-9/]*"' "$GITHUB_OUTPUT" | cut -d'"' -f4)
check 'it has several shards' test "${#shards[@]}" -gt 1
for shard in "${shards[@]}"; do
    mkdir -p "../${shard%/*}/shard/old" && cd "../${shard%/*}" || exit 1
    check 'what an earlier job left is gone' go 'clean to measure'
    check 'before anything is measured' test ! -e shard
    cp ../build/farm.tar.gz . || exit 1
    check "shard $shard is measured, and its job is well" env SHARD="$shard" LEAST="$least" \
        bash --noprofile --norc -eo pipefail "$work/measure.sh"
    mkdir -p "../gate/shards" "../sent" && cp -r shard "../gate/shards/shard-cpu-${shard%/*}"
    cp -r shard "../sent/shard-cpu-${shard%/*}"
done
budget() { grep -oE '"budget_s": *[0-9.]+' "../$1/shard/plan.json" | grep -oE '[0-9.]+'; }
check 'a shard measures for as long as BUDGET says' test "$(budget 1)" = 20
cd ../1 && rm -rf shard || exit 1
check 'or twice as long as its least rounds take' env SHARD="${shards[0]}" LEAST=13 \
    bash --noprofile --norc -eo pipefail "$work/measure.sh"
check 'if that is longer' test "$(budget 1)" = 26
come() { # what was sent comes down, into a folder where an earlier job decided on all shards
    go 'clean to decide' && mkdir -p shards && cp ../build/farm.tar.gz . && cp -r ../sent/. shards/
}
cd ../gate && mkdir run || exit 1
check 'what was sent comes' come
check 'the gate passes' gives 0 go decide
check 'its summary is the report' grep -q '^all shards of' <(tr -d '*\\>' <"$GITHUB_STEP_SUMMARY" | sed 's/^[- ]*//')
check 'its receipt is there' grep -q '"answer": "pass"' receipt.json
mv ../sent/shard-cpu-1 ..
check 'another job has the same folder' come
check 'without a shard it does not' gives 2 go decide
check 'which is named' grep -qE 'shard 1/[0-9]+ is missing' "$work/out"
cp "$TRITGATE_LIB" ../build/farm/base.so
: >"$GITHUB_OUTPUT"
cd ../build || exit 1
check 'where both libraries are the same file' go plan
check 'the program is judged all the same' grep -q '^shards=.*include' "$GITHUB_OUTPUT"
check 'and told that they are' grep -qx 'same=--same' "$GITHUB_OUTPUT"
go pack && cd ../1 && rm -rf shard farm && cp ../build/farm.tar.gz . || exit 1
check 'so that a shard of it is measured' env SHARD="${shards[0]}" LEAST="$least" SAME=--same \
    bash --noprofile --norc -eo pipefail "$work/measure.sh"
check 'and sealed' test -s shard/digests.json
: >"$GITHUB_OUTPUT"
cd ../build && mkdir docs && echo text >docs/a.md && commit 'docs only' || exit 1
check 'where only documents changed' go plan
check 'nothing is planned' test "$(<"$GITHUB_OUTPUT")" = nothing=true
finish
