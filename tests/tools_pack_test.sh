#!/usr/bin/env bash
# nibble pack and the cache as a user meets them: the file, what is refused, what is left when it is
# stopped, what the second start does.
# usage: tests/tools_pack_test.sh BINARY MODELS_FOLDER
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"

# ---- bad input ----------------------------------------------------------------------------------

refuses 2 'no model' pack
refuses 2 'argument is missing' pack "$model"
refuses 2 'another name' pack "$model" "$model"
refuses 2 'there are q4' pack "$model" out.gguf --type q9
refuses 3 missing.gguf pack missing.gguf out.gguf
refuses 1 'no/folder' pack "$model" no/folder/out.gguf -q
check 'nothing was made' [ ! -e out.gguf ]

# ---- files --------------------------------------------------------------------------------------

run run "$model" -p 'hello' -n 8 --temp 0 -q
expected=$(cat out)
accepts pack "$model" packed.gguf
check 'nothing to say' [ ! -s err ]
check 'no temporary files' [ -z "$(find . -name '*.tmp-*')" ]
accepts pack "$model" again.gguf -t 3 -v
check 'it says what was written' grep -q 'again.gguf written in ' err
check 'the same bytes for any number of threads' cmp -s packed.gguf again.gguf
accepts run packed.gguf -p 'hello' -n 8 --temp 0 -q
check 'the same text' [ "$(cat out)" = "$expected" ]
accepts run packed.gguf -p 'hello' -n 8 --temp 0 -q --isa scalar
check 'and on another instruction set' [ "$(cat out)" = "$expected" ]
accepts inspect packed.gguf
sum=$(sha256sum "$model" | cut -c 1-64)
check 'inspect says from what it was packed' \
    grep -q "^packed from *sha256:$sum ${model##*/}\$" out
accepts inspect packed.gguf --output json
check 'as JSON too' grep -q '"packed_from": "sha256:' out
check 'tensors are those of the source' grep -q '"type": "Q8_0"' out

refuses 2 'packed already' pack packed.gguf out.gguf
refuses 2 'packed already' run packed.gguf -p a -n 1 --type f32
refuses 2 'packed model' quantize packed.gguf out.gguf Q8_0
head -c -1 packed.gguf >short.gguf
refuses 3 'truncated' run short.gguf -p a -n 1
rm short.gguf

# ---- the cache ----------------------------------------------------------------------------------

kept() { # how many
    find "$folder/.cache" -name '*.gguf' 2>/dev/null | wc -l
}
generate() { # OPTIONS...
    accepts run "$model" -p 'hello' -n 8 --temp 0 "$@"
    check "the same text: $*" [ "$(cat out)" = "$expected" ]
}
generate
check 'small models are not kept' [ "$(kept)" = 0 ]
generate --cache-minimum 0 --no-cache
check 'nor any without a cache' [ "$(kept)" = 0 ]
generate --cache-minimum 0 -v
check 'it says where it is kept' grep -q "to be kept as $folder/.cache/nibble/packed/" err
check 'one is kept' [ "$(kept)" = 1 ]
generate --cache-minimum 0 -v
check 'it says what is mapped' grep -q "mapped from $folder/.cache/nibble/packed/" err
check 'still one' [ "$(kept)" = 1 ]
generate --cache-minimum 0 --cache-limit 0 --type q8 -v
check 'it says why not' grep -q 'not kept in the cache: .* more than the limit' err
XDG_CACHE_HOME=$folder/other generate --cache-minimum 0 -q
check 'the folder of caches can be another' [ -n "$(find other/nibble/packed -name '*.gguf')" ]
check 'no notes' [ ! -s err ]

truncate -s -1 "$folder"/.cache/nibble/packed/*.gguf
generate --cache-minimum 0 -v
check 'what is damaged is replaced' grep -q 'to be kept as .* truncated' err
generate --cache-minimum 0 -v
check 'and used' grep -q 'mapped from' err
rm -r "$folder/.cache"
echo 'no folder' >"$folder/.cache"
generate --cache-minimum 0 -q
check 'a cache that cannot be is no complaint' [ ! -s err ]
rm "$folder/.cache"

"$nibble" run "$model" -p 'hello' -n 8 --temp 0 -q --cache-minimum 0 >one 2>&1 &
"$nibble" run "$model" -p 'hello' -n 8 --temp 0 -q --cache-minimum 0 >two 2>&1
wait
check 'two at once: the first' [ "$(cat one)" = "$expected" ]
check 'two at once: the second' [ "$(cat two)" = "$expected" ]
check 'two at once: one file' [ "$(kept)" = 1 ]
check 'two at once: no other file' [ -z "$(find "$folder/.cache" -name '*.tmp-*')" ]

# ---- stopped on the way -------------------------------------------------------------------------

if [ -n "$big_model" ]; then
    for signal in INT KILL; do
        rm -f old.gguf*
        echo 'what was there' >old.gguf
        { timeout -s $signal 0.3 "$nibble" pack "$big_model" old.gguf -t 1 >out 2>err; } 2>/dev/null
        check "SIG$signal leaves the old file or a whole one" \
            sh -c "[ \"\$(head -c 14 old.gguf)\" = 'what was there' ] || $nibble inspect old.gguf >out"
        [ $signal = KILL ] ||
            check "SIG$signal leaves no other file" [ -z "$(find . -name '*.tmp-*')" ]
    done
fi

finish
