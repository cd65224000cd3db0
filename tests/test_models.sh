#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whole models from the command line: made, shown, run, and what is refused.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"

model() { "$TRITGATE" model "$@"; }

# text OUT: what was generated, without the table.
text() { sed '/^Model Load/,$d' "$1"; }

check 'a model is made' gives 0 model make tiny --out tiny.gguf --seed 3
cp tiny.gguf before.gguf
ln -s nowhere dangling
for there in tiny.gguf . dangling; do
    check "not over '$there'" refuses "'$there' exists; --out names a new file" model make tiny --out $there
done
check 'which is as it was' cmp tiny.gguf before.gguf
check 'and runs' gives 0 model run tiny.gguf --tokens 20 --threads 1 --json run.json --ignore-end
for stage in 'Model Load' Quantization Tokenization 'Forward Pass' Generation; do
    check "the stage $stage is told" says "^$stage +[0-9.]+ s"
done
check 'as a synthetic model' says 'a synthetic model$'
check 'in the JSON, too' grep -q '"is_synthetic": true' run.json
check 'with all tokens' grep -q '"tokens_generated": 20,' run.json
text out >wanted
check 'with a text' test -s wanted
for threads in 2 3; do
    (($(nproc) < threads)) && continue
    check "with $threads threads" gives 0 model run tiny.gguf --tokens 20 --threads $threads --ignore-end
    text out >got
    check 'it is the same text' cmp wanted got
done
for kernel in i2s_scalar tl2_scalar panel_scalar; do
    check "with $kernel" gives 0 model run tiny.gguf --tokens 20 --kernel $kernel --ignore-end
    text out >got
    check 'it is the same text' cmp wanted got
done

check 'on the fake device' gives 0 model run tiny.gguf --tokens 20 --device fake --ignore-end
text out >got
check 'it is the same text' cmp wanted got
check 'with the stages of a device' says '^ +single tokens +[0-9.]+ s'

for types in 'TL1 BF16' 'TL2 Q8_0' 'TQ1_0 Q6_K' 'TQ2_0 F32'; do
    check "$types is made" gives 0 model make tiny --out "$types" --ternary "${types% *}" --head "${types#* }"
    check 'and runs' gives 0 model run "$types" --tokens 4
done

check 'tokens are drawn' gives 0 model run tiny.gguf --tokens 20 --temperature 1.5 --ignore-end
text out >drawn
check 'others than the best' bash -c '! cmp -s wanted drawn'
check 'by BITNET_SEED' gives 0 env BITNET_SEED=42 "$TRITGATE" model run tiny.gguf --tokens 20 --temperature 1.5 --ignore-end
text out >got
check 'whose default is 42' cmp drawn got
check 'another seed' gives 0 env BITNET_SEED=7 "$TRITGATE" model run tiny.gguf --tokens 20 --temperature 1.5 --ignore-end
text out >got
check 'draws another text' bash -c '! cmp -s drawn got'
for seed in 12x -7 1234567890123456; do
    check "a BITNET_SEED of $seed" refuses "BITNET_SEED is no number of at most 15 digits: '$seed'" \
        env BITNET_SEED=$seed "$TRITGATE" model run tiny.gguf --tokens 2
    check 'is not asked for where there is --seed' gives 0 env BITNET_SEED=$seed "$TRITGATE" model run tiny.gguf --tokens 2 --seed 1
done
check 'an empty one' gives 0 env BITNET_SEED= "$TRITGATE" model run tiny.gguf --tokens 20 --temperature 1.5 --ignore-end
text out >got
check 'is none' cmp drawn got
check 'any bytes are drawn' gives 0 model run tiny.gguf --prompt a --tokens 450 --temperature 100 --top-k 0 --top-p 1 --ignore-end --seed 9
check 'a zero byte, too' test "$(tr -d '\0' <out | wc -c)" -lt "$(wc -c <out)"
if command -v script >found; then
    terminal() { script -qec "stty -opost; $*" typescript </dev/null; }
    "$TRITGATE" model run tiny.gguf --prompt "$(printf 'a\033[2J')" --tokens 2 >out
    check 'to a file bytes go as they are' grep -q "^a$(printf '\033')" out
    cat >wild <<'EOF'
exec "$TRITGATE" model run tiny.gguf --prompt "$(printf 'a\033[2J')" --tokens 450 --temperature 100 --top-k 0 --top-p 1 --ignore-end --seed 9
EOF
    terminal env TRITGATE="$TRITGATE" bash wild >out
    check 'a terminal gets no control characters' bash -c 'grep -q "^a$1\[2J" out && grep -q "^generated " out &&
        ! LC_ALL=C grep -q "[$2]" out' - $'\xef\xbf\xbd' $'\x01-\x08\x0b-\x1f\x7f'
fi
check 'BITNET_DETERMINISTIC=1' gives 0 env BITNET_DETERMINISTIC=1 "$TRITGATE" model run tiny.gguf --tokens 20 --temperature 1.5 --ignore-end
text out >got
check 'takes the best' cmp wanted got
check 'BITNET_GGUF names the file' gives 0 env BITNET_GGUF=tiny.gguf "$TRITGATE" model run --tokens 2

sed 's/llama-bpe/llama-xyz/' tiny.gguf >nopre.gguf
check 'an unknown cut of texts' refuses "'llama-xyz'" model run nopre.gguf
reason=$(sed "s/.*'nopre.gguf': //" err)
check 'is shown' gives 0 model show nopre.gguf
check 'with the reason' says "^not run +$reason"
check 'where there is none' gives 0 model show tiny.gguf
check 'none is shown' bash -c '! grep -q "^not run" out'
check 'no file' refuses 'run needs a file, or BITNET_GGUF' env -u BITNET_GGUF "$TRITGATE" model run
check 'a file that is not there' refuses "cannot open 'nowhere.gguf'" model run nowhere.gguf --device fake --json failed.json
check 'which the JSON tells' grep -q '"success": false' failed.json
check 'with the device that was asked for' grep -q '"device": "fake"' failed.json
check 'no such kernel' refuses "no kernel 'x'" model run tiny.gguf --kernel x
check 'a kernel that is none of products' refuses 'computes no ternary product' model run tiny.gguf --kernel i2s_scalar_unpack
check 'a layout that it cannot have' refuses "cannot lie as 'tl1'" model run tiny.gguf --layout tl1
check 'a file that was cut' bash -c 'head -c 400000 "$1" >cut.gguf' - tiny.gguf
check 'is refused' refuses "'cut.gguf'" model run cut.gguf
one=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
check 'more threads than processors' refuses '2 threads need as many processors, a process here has at most 1' \
    taskset -c "$one" "$TRITGATE" model run tiny.gguf --threads 2
check 'no threads' refuses "unusable threads '0'" model run tiny.gguf --threads 0
check 'a context that is too small' refuses "unusable context '3': the prompt and 128 tokens need" model run tiny.gguf --context 3
check 'for the tokens of a warm-up, too' refuses "unusable context '8': the prompt and 9 tokens need" \
    model run tiny.gguf --prompt a --context 8 --tokens 2 --warmup-tokens 9
least=$(sed 's/.*need //' err)
check 'one that is just enough will do' gives 0 model run tiny.gguf --prompt a --context "$least" --tokens 9 --ignore-end
check 'one that the model has not' refuses "unusable context '513': the model has one of 512" \
    model run tiny.gguf --context 513
check 'more tokens than the model has room for' refuses \
    'the prompt and 1000000 tokens need a context of' model run tiny.gguf --tokens 1000000
least=$((512 + 9 - least)) # behind the same prompt
check 'as many as it has room for will do' gives 0 model run tiny.gguf --prompt a --tokens $least --ignore-end
check 'one more is refused' refuses "the prompt and $((least + 1)) tokens need a context of 513, the model has 512" \
    model run tiny.gguf --prompt a --tokens $((least + 1)) --ignore-end
check 'what a status means' gives 0 model run --help
check 'is said' bash -c 'tr -s "\n " " " <out | grep -qF "3 if nothing could be generated"'
check 'a JSON that cannot be written' refuses "cannot write '/nowhere/x.json'" model run tiny.gguf --json /nowhere/x.json
check 'nothing is generated for it' test ! -s out
check 'one without a name' refuses "cannot write '': No such file or directory" model run tiny.gguf --json ''
check 'one in a folder that is not there' refuses "cannot write 'none/'" model run tiny.gguf --json none/
check 'one in a file' refuses "cannot write 'tiny.gguf/x': Not a directory" model run tiny.gguf --json tiny.gguf/x
mkdir folder && ln -s folder link
check 'one in place of a folder' refuses "cannot write 'link': Is a directory" model run tiny.gguf --json link
for bytes in 300 255 252; do
    name=$(printf "%0${bytes}d" 0)
    check "a name of $bytes bytes" refuses "cannot write '$name': File name too long" model run tiny.gguf --json "$name"
done
name=$(printf '%0251d' 0)
check 'one that leaves room for a file beside it' gives 0 model run tiny.gguf --tokens 2 --json "$name"
check 'is written' grep -q '"success": true' "$name"

check 'the cache of a node' gives 0 model make tiny --model-cache cache
check 'says where' says '^cache/tiny-I2_S-F16-1.1.gguf$'
for i in 1 2 3 4; do model make tiny --model-cache cache --seed 9 >"path$i" 2>"log$i" & done
wait
check 'of four makers one makes it' test "$(cat log? | grep -c 'tiny made')" = 1
check 'and all have it' test "$(sort -u path? | wc -l)" = 1
finish
