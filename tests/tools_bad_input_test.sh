#!/usr/bin/env bash
# What users give by mistake and others on purpose: one sentence with the cause and the next step, the exit
# code, nothing on stdout, nothing left behind; and damage to model files anywhere is never fatal.
# usage: tests/tools_bad_input_test.sh BINARY MODELS_FOLDER
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"

# ---- bad input ----------------------------------------------------------------------------------

: >empty.gguf
head -c 100000 "$model" >truncated.gguf
printf 'GGUF\003' >short.gguf
printf 'this is no model\n' >text.gguf
# The family's name and a tensor's type, changed in place.
sed 's/llama/lxama/g' "$model" >family.gguf
python3 - "$model" <<'EOF'
import sys
data = open(sys.argv[1], "rb").read()
name = b"blk.0.attn_q.weight"
at = data.index(name) + len(name)
at += 4 + 8 * int.from_bytes(data[at:at + 4], "little")
open("type.gguf", "wb").write(data[:at] + (200).to_bytes(4, "little") + data[at + 4:])
EOF

refuses 3 missing.gguf run missing.gguf -p hi
refuses 3 folder run . -p hi
refuses 3 empty run empty.gguf -p hi
refuses 3 truncated.gguf run truncated.gguf -p hi
refuses 3 short.gguf run short.gguf -p hi
refuses 3 text.gguf run text.gguf -p hi
refuses 3 lxama run family.gguf -p hi
refuses 3 attn_q run type.gguf -p hi
for command in chat inspect tokenize bench; do
    refuses 3 missing.gguf $command missing.gguf
done

refuses 1 'more than the context' run "$model" -p "$(printf 'word %.0s' {1..300})"
refuses 1 'more than the context' run "$model" -c 4 -p 'one two three four five'
refuses 2 'auto' run "$model" -p hi -t 0
refuses 2 'auto' run "$model" -p hi -t many
refuses 2 'auto' run "$model" -p hi -t 1x
refuses 2 'temp' run "$model" -p hi --temp -1
refuses 2 'temp' run "$model" -p hi --temp nan
refuses 2 'temp' run "$model" -p hi --temp 0,5
refuses 2 'temp' run "$model" -p hi --temp ''
refuses 2 'top-p' run "$model" -p hi --top-p 1.5
refuses 2 'min-p' run "$model" -p hi --min-p=2
refuses 2 'top-k' run "$model" -p hi --top-k 99999999999999999999
refuses 2 'q8_0 or int8' run "$model" -p hi -ctk q4_0
refuses 2 'json' run "$model" -p hi --output xml
refuses 2 '4096' run "$model" -p hi -b 0
refuses 2 'needs a value' run "$model" -p
refuses 2 '--help' run "$model" --frobnicate
refuses 2 'quotes' run "$model" once upon a time
refuses 2 'one of' run "$model" -p hi -f file
refuses 2 'no model' run
refuses 2 'no model' chat
refuses 2 'nibble --help' frobnicate
refuses 2 'nibble --help'
refuses 5 'sse9\|isa' run "$model" -p hi --isa sse9

refuses 2 'UTF-8' run "$model" -p $'broken \xff text'
refuses 2 'UTF-8' run "$model" -p $'surrogate \xed\xa0\x80'
printf 'broken \xc3' >broken.txt
refuses 3 'UTF-8' run "$model" -f broken.txt
refuses 3 'UTF-8' tokenize "$model" --input broken.txt
refuses 3 'no-such-file' run "$model" -f no-such-file
refuses 3 'directory' run "$model" -f .
refuses 2 'empty' run "$model"

echo '[[1, 2], [3, 1000]]' >high.json
echo '[[1, 2], [-3]]' >negative.json
echo '[[1, 2], [3.5]]' >fraction.json
echo '[[1, 2], []]' >hollow.json
echo '[1, 2]' >flat.json
echo '[[1, 2], [3' >cut.json
echo '{"ids": [[1]]}' >object.json
echo '[]' >none.json
for file in high negative fraction hollow flat cut object none empty; do
    [ -f $file.json ] || : >$file.json
    refuses 3 "$file.json" run "$model" --ids $file.json -n 1
    refuses 3 "$file.json" score "$model" --ids $file.json --logits out.safetensors
done
python3 -c 'import json; json.dump([[1] * 200], open("long.json", "w"))'
refuses 1 'longer\|more than' run "$model" --ids long.json -n 1
refuses 1 'longer' score "$model" --ids long.json --logits out.safetensors
echo '[[1, 2, 3], [4, 5]]' >ids.json
refuses 2 '--logits' score "$model" --ids ids.json
refuses 1 'nowhere' score "$model" --ids ids.json --logits nowhere/out.safetensors
refuses 1 'regular' score "$model" --ids ids.json --logits /dev/null
refuses 3 'template' chat "$model"
check "no output file was made" [ ! -e out.safetensors ]

# ---- numbers and names --------------------------------------------------------------------------

refuses 2 'whole number from -1' run "$model" -p hi -n -5
refuses 2 'whole number from 0' run "$model" -p hi -c -1
refuses 2 'trained for 128' run "$model" -p hi -c 2000000000
refuses 2 '2147483647' run "$model" -p hi -c 999999999999999999
refuses 3 'bad\\x1b\[31m\\nname\\xff\\u009b1m é' run $'bad\x1b[31m\nname\xff\u009b1m é' -p hi
refuses 3 'bad\\x1b\[31m\\nname\\xff\\u009b1m é' run "$model" -f $'bad\x1b[31m\nname\xff\u009b1m é'
refuses 2 'bad\\xff' $'bad\xff'
refuses 3 'device, pipe or socket' run /dev/zero -p hi
mkfifo pipe.gguf
refuses 3 'device, pipe or socket' run pipe.gguf -p hi

# ---- chat templates -----------------------------------------------------------------------------

template() { # PATTERN SOURCE
    printf '%s' "$2" >bad.jinja
    refuses 3 "$1" run "$model" -p hi -n 1 -cnv --chat-template-file bad.jinja
}
template 'at most 100000' '{% for i in range(1000000000000) %}x{% endfor %}'
template 'does not end' '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}'
template 'too large' '{{ "a" * 1000000000000 }}'
template '64 MB' '{% set n = namespace(s="a") %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}'
template 'levels deep' "{{ $(printf '(%.0s' {1..9999}) }}"
template 'levels deep' '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'
template 'UTF-8' $'{{ "\xff" }}'
template 'no text' '{{ "".__class__ }}'
refuses 2 'system message is not UTF-8' run "$model" -p hi -cnv -sys $'\xff'
refuses 2 'need -cnv' run "$model" -p hi -sysf empty.gguf
refuses 2 'two system' run "$model" -p hi -cnv -sys a -sysf b
refuses 3 'no-such-file' run "$model" -p hi -cnv -sysf no-such-file

# ---- models damaged anywhere --------------------------------------------------------------------

# Cut at any length, with any bytes of the header changed: it runs, or one sentence says why not.
check "no damage is fatal" timeout 300 python3 "$here/damage.py" "$nibble" "$model" 40 2>err

# ---- interrupted and short of room --------------------------------------------------------------

python3 -c 'import json; json.dump([[1] * 100] * 2000, open("many.json", "w"))'
for signal in INT TERM HUP; do
    mkdir folder
    "$nibble" score "$model" --ids many.json --logits folder/out.safetensors >out 2>err &
    for _ in {1..100}; do
        [ -z "$(ls folder)" ] || break
        sleep 0.1
    done
    check "score writes beside the file" [ -n "$(ls folder)" ]
    kill -$signal $!
    wait $! 2>/dev/null
    check "SIG$signal ends score" [ $? = $((128 + $(kill -l $signal))) ]
    check "SIG$signal leaves nothing behind" [ -z "$(ls folder)" ]
    rm -rf folder
done

# Where it is allowed: a disk of 64 KiB with a result on it.
mkdir disk
accepts score "$model" --ids ids.json --logits first
if unshare -m mount -t tmpfs none disk 2>/dev/null; then
    # shellcheck disable=SC2016
    unshare -m bash -c 'mount -t tmpfs -o size=64k none disk && cd disk && nibble=$1 model=$2 &&
        "$nibble" score "$model" --ids ../ids.json --logits out &&
        "$nibble" score "$model" --ids ../many.json --logits out; echo $? >../code; cmp out ../first && ls >../left' \
        - "$nibble" "$model" >out 2>err </dev/null
    check "a disk without room is an error" [ "$(cat code)" = 1 ]
    check "and is said" grep -q 'No space left' err
    check "the result before it stays, and nothing else" [ "$(cat left)" = out ]
fi

env -u HOME -u XDG_STATE_HOME "$nibble" run "$model" -p hi -n 2 -q >out 2>err </dev/null
check "runs without a home" [ $? = 0 ]
for closed in '0<&-' '1>&- 2>&-' '0<&- 1>&- 2>&-'; do
    eval '"$nibble" score "$model" --ids ids.json --logits closed.safetensors -v '"$closed" 2>/dev/null
    check "score with $closed" [ $? = 0 ]
    check "the same result with $closed" cmp -s closed.safetensors first
done

finish
