#!/usr/bin/env bash
# Context shift as a user meets it: generation goes on past the end of the context, and says so.
# usage: tests/tools_shift_test.sh BINARY MODELS_FOLDER
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"
long='-c 64 -n 200 --temp 0 --ignore-eos' json='--output json'

# ---- run ----------------------------------------------------------------------------------------

# shellcheck disable=SC2086
accepts run "$model" -p 'The way' $long --context-shift --output json
cp out shifted
json "as many ids as asked for" 'len(rows[0]["ids"]) == 200 and rows[0]["finish_reason"] == "length"'
json "and how many were forgotten" 'rows[0]["forgotten"] == 5 * 31'
check "each shift is said" \
    [ "$(grep -c '^context full: forgot 31 of 64 ids, kept the first 1$' err)" = 5 ]
for options in '--no-kv-cache' '--threads 1' '--threads 2' '-b 5' '--keep 0 -q'; do
    # shellcheck disable=SC2086
    accepts run "$model" -p 'The way' $long --context-shift --output json $options
    check "the same ids with $options" cmp -s out shifted
done
check "-q says nothing" [ ! -s err ]

# What is said after a shift is what is said after the ids that are left.
"$nibble" tokenize "$model" -p 'The way' --output json >prompt.json
python3 -c '
import json
ids = json.load(open("prompt.json"))["ids"] + json.load(open("shifted"))["ids"]
json.dump([ids[:1] + ids[32:65]], open("left.json", "w"))'
accepts run "$model" --ids left.json -c 64 -n 31 --temp 0 --ignore-eos --output json
json "as after the ids that are left" 'rows[0]["ids"] == json.load(open("shifted"))["ids"][60:91]'

refuses_with_text() { # PATTERN ARGUMENTS...: an error, with what there was room for
    local pattern=$1
    shift
    run "$@"
    check "exit code $code, expected 1: $*" [ $code = 1 ]
    check "one line on stderr: $*" one_line err
    check "stderr says '$pattern': $*" grep -q -e "$pattern" err
    check "some text: $*" [ -s out ]
}
# shellcheck disable=SC2086
refuses_with_text 'context of 64 tokens is full; .*--context-shift' run "$model" -p 'The way' $long -q
# shellcheck disable=SC2086
refuses_with_text 'context-shift' run "$model" -p 'The way' $long -q --context-shift --no-context-shift
# shellcheck disable=SC2086
run run "$model" -p 'The way' $long $json
json "there was room for 60 ids" 'len(rows[0]["ids"]) == 60 and "forgotten" not in rows[0]'
check "and they are the first of the others" python3 -c '
import json
assert json.load(open("out"))["ids"] == json.load(open("shifted"))["ids"][:60]'
# shellcheck disable=SC2086
NIBBLE_CONTEXT_SHIFT=1 accepts run "$model" -p 'The way' $long $json
check "NIBBLE_CONTEXT_SHIFT=1" cmp -s out shifted

for keep in 2 5 -1; do
    # shellcheck disable=SC2086
    accepts run "$model" -p 'The way' $long --context-shift --keep $keep
    n=$((keep == 2 ? 3 : 5))
    check "--keep $keep" grep -q "kept the first $n\$" err
done
accepts run "$model" -p 'The way' -c 5 -n 4 --temp 0 --ignore-eos --context-shift
check "a small context" grep -q '^context full: forgot 2 of 5 ids, kept the first 1$' err
refuses_with_text 'keep leaves nothing to forget' run "$model" -p 'The way' -c 5 -n 4 --temp 0 \
    --ignore-eos --context-shift --keep -1 -q

accepts run "$model" -p 'The way' -c 64 -n 300 --temp 0 --ignore-eos --context-shift $json \
    --repeat-last-n -1 --presence-penalty 100
json "penalties see what was forgotten" 'len(set(rows[0]["ids"])) == 300'

printf '[[997, 1, 2, 3], [997, 4], [5, 6, 7, 8, 9, 10, 11]]' >batch.json
accepts run "$model" --ids batch.json -c 40 -n 90 --temp 0 --ignore-eos $json --context-shift
cp out batch
check "notes tell sequences apart" grep -q '^sequence 2: context full: forgot 20 of 40 ids, kept the first 0$' err
for options in '-np 1' '-np 2 -t 1' '--no-kv-cache'; do
    # shellcheck disable=SC2086
    accepts run "$model" --ids batch.json -c 40 -n 90 --temp 0 --ignore-eos $json --context-shift $options
    check "a batch: the same with $options" cmp -s out batch
done

cat >template.jinja <<'END'
{% for message in messages %}{{ message.role }}:{{ message.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}
END
# shellcheck disable=SC2086
accepts run "$model" -cnv --chat-template-file template.jinja -p 'The way' $long --context-shift
check "-cnv" grep -q '^context full: forgot 32 of 64 ids, kept the first 0$' err

# shellcheck disable=SC2086
accepts run "$model" -p 'The way' $long --context-shift --trace
check "a trace as text" \
    grep -q '^step 60, sequence 0, context full: forgot 31 of 64 ids, kept the first 1$' out
# shellcheck disable=SC2086
accepts run "$model" -p 'The way' $long --context-shift --trace json
json "a trace as JSON" \
    '[r["step"] for r in rows if "shift" in r] == [60, 91, 122, 153, 184]
     and rows[60]["shift"] == {"length": 64, "kept": 1, "forgotten": 31}'
json "positions go back" 'rows[59]["input"]["position"] == 63 and rows[61]["input"]["position"] == 33'

refuses 1 'more than the context' run "$model" -c 4 -p 'one two three four five' --context-shift
refuses 2 'beams' run "$model" -p hi -n 5 --context-shift --beams 2
refuses 2 'context-shift' run "$model" -p hi -n 5 --keep 3
refuses 2 'keep' run "$model" -p hi -n 5 --context-shift --keep -2
NIBBLE_CONTEXT_SHIFT=yes refuses 2 'CONTEXT_SHIFT' run "$model" -p hi

# ---- with an encoder ----------------------------------------------------------------------------

folders=$data/models
echo '[[5, 6, 7, 8], [9, 10]]' >sources.json
for name in marian t5-relu bart; do
    accepts run "$folders/$name" --ids sources.json -c 16 -n 50 --ignore-eos $json --context-shift
    json "$name: all ids" 'all(len(r["ids"]) == 50 and r["forgotten"] > 0 for r in rows)'
    cp out encoded
    accepts run "$folders/$name" --ids sources.json -c 16 -n 50 --ignore-eos $json --context-shift \
        --no-kv-cache -np 1
    check "$name: the same without a cache, one by one" cmp -s out encoded
done

# ---- chat ---------------------------------------------------------------------------------------

chat() { # INPUT ARGUMENTS...
    local input=$1
    shift
    code=0
    printf '%b' "$input" | "$nibble" chat "$model" --chat-template-file template.jinja --temp 0 "$@" \
        >out 2>err || code=$?
}
lines='One\nTwo\nThree\nFour\nFive\nSix\nSeven\nEight\n'
chat "$lines" -n 20
check "without the option the end is an error" [ $code = 1 ]
check "that names it" grep -q -e '--context-shift' err
for keep in 0 5 -1; do
    chat "$lines" -n 20 --context-shift --keep $keep
    cp out answers
    check "chat goes on: --keep $keep" eval '[ $code = 0 ] && grep -q "^context full: forgot" err'
    chat "$lines" -n 20 --context-shift --keep $keep --no-kv-cache
    check "the same without a cache: --keep $keep" cmp -s out answers
done
chat 'One\nTwo\nThree\n' -n 150 --context-shift --keep 4 -v
check "an answer longer than the context" [ $code = 0 ]
check "says so" grep -q '^context full: forgot 62 of 128 ids, kept the first 4$' err
check "the next turn has what the shift left" eval \
    '[ "$(grep -o "^prompt [0-9]*" err | sed -n 2p | cut -d " " -f 2)" -lt 15 ]'
chat "$(printf 'word %.0s' {1..200})\n" -n 3 --context-shift
check "a message that does not fit is an error" eval '[ $code = 1 ] && grep -q "shorten it" err'
chat 'One\n/regen\n/clear\nTwo\n/system Be brief.\nThree\nFour\n' -n 60 --context-shift --keep -1
check "commands" [ $code = 0 ]

finish
