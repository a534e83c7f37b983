#!/usr/bin/env bash
# How the program chooses tokens and shows it: the options of sampling, log-probabilities of given and of
# generated text, traces.
# usage: tests/tools_decode_test.sh BINARY MODELS_FOLDER
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"

# ---- log-probabilities of given text ------------------------------------------------------------

echo '[[997, 10, 20, 30], [997], [], [997, 50, 60, 70, 80, 90], [5, 5, 5]]' >ids.json
echo '[[997, 10, 20, 30], [997], [997, 50, 60, 70, 80, 90], [5, 5, 5]]' >hollow.json
accepts score "$model" --ids hollow.json --logits logits.safetensors
accepts score "$model" --ids ids.json --logprobs --top-logprobs 3
cp out lines.jsonl
check "log-probabilities are those of the logits" python3 - <<'EOF'
import json, math, struct
data = open("logits.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header, body = json.loads(data[8:8 + n]), data[8 + n:]
lines = [json.loads(line) for line in open("lines.jsonl")]
assert [r["ids"] for r in lines] == json.load(open("ids.json"))
empty = lines.pop(2)
assert empty["logprobs"] == [] and empty["sum"] == 0 and empty["mean"] is None
for i, r in enumerate(lines):
    begin, end = header["logits.%d" % i]["data_offsets"]
    rows = struct.unpack("<%df" % ((end - begin) // 4), body[begin:end])
    ids, total = r["ids"], 0
    assert r["logprobs"][0] is None and len(r["logprobs"]) == len(r["tokens"]) == len(ids)
    for j in range(1, len(ids)):
        row = rows[1000 * (j - 1):1000 * j]
        log_sum = math.log(math.fsum(math.exp(x - max(row)) for x in row)) + max(row)
        assert abs(r["logprobs"][j] - (row[ids[j]] - log_sum)) < 1e-6
        best = sorted(range(1000), key=lambda k: (-row[k], k))[:3]
        top = r["top_logprobs"][j]
        assert [t["id"] for t in top] == best
        assert all(abs(t["logprob"] - (row[t["id"]] - log_sum)) < 1e-6 for t in top)
        total += row[ids[j]] - log_sum
    assert abs(r["sum"] - total) < 1e-6
    if len(ids) > 1:
        assert abs(r["mean"] - total / (len(ids) - 1)) < 1e-6
        assert abs(r["perplexity"] / math.exp(-r["mean"]) - 1) < 1e-6
    else:
        assert r["mean"] is None and r["perplexity"] is None
EOF
for options in '-np 1' '-np 2' '-b 1' '-b 3 -t 1' '--no-kv-cache'; do
    # shellcheck disable=SC2086
    accepts score "$model" --ids ids.json --logprobs --top-logprobs 3 $options
    check "the same bits with $options" cmp -s out lines.jsonl
done
printf 'The way of the world\n\nélan vital, and more of it\nx' >lines.txt
accepts score "$model" --logprobs -f lines.txt
cp out together
json "texts of tokens make up the text" \
    '["".join(r["tokens"][1:]) for r in rows][0] == "The way of the world" and len(rows) == 4'
while IFS= read -r line || [ -n "$line" ]; do
    "$nibble" score "$model" --logprobs -p "$line"
done <lines.txt >alone 2>err
check "lines together are the lines alone, bit for bit" cmp -s together alone
"$nibble" score "$model" --logprobs <lines.txt >out 2>err
check "standard input gives what -f gives" cmp -s out together
run score "$model" --logprobs -f lines.txt -c 6
check "a line that is too long is an error" [ $code = 1 ]
check "and one sentence" eval 'one_line err && grep -q "could not be scored" err'
json "in its place; the others are scored" \
    'len(rows) == 4 and "context" in rows[2]["error"] and rows[2]["line"] == 2 and len(rows[3]["ids"]) > 1'
refuses 2 'one of' score "$model" --logprobs --logits out.safetensors -p hi
refuses 2 'one of' score "$model" --logprobs -p hi -f lines.txt
refuses 2 'with an encoder' score "$model" --logprobs --ids ids.json --decoder-ids ids.json
refuses 2 'with an encoder' score "$model" --logits out.safetensors --ids ids.json --decoder-ids ids.json
refuses 2 'goes with sources as --ids' score "$model" --logprobs -p hi --decoder-ids ids.json
refuses 2 'need --logprobs' score "$model" -p hi --logits out.safetensors
refuses 2 'UTF-8' score "$model" --logprobs -p $'a\xff'
refuses 3 'no-such' score "$model" --logprobs -f no-such
refuses 2 'top-logprobs' score "$model" --logprobs -p hi --top-logprobs -1

# ---- of generated text --------------------------------------------------------------------------

accepts run "$model" -p 'The way' -n 5 --ignore-eos --seed 3 --output json
cp out plain
accepts run "$model" -p 'The way' -n 5 --ignore-eos --seed 3 --output json --logprobs 4
json "--logprobs adds tokens and the best of each step" \
    'len(rows[0]["tokens"]) == 5 and all(len(t) == 4 and t[0]["logprob"] >= t[1]["logprob"] for t in rows[0]["top_logprobs"])'
json "and changes nothing else" \
    '{k: v for k, v in rows[0].items() if k not in ("tokens", "top_logprobs")} == json.load(open("plain"))'
accepts tokenize "$model" -p 'The way' --output json
python3 -c '
import json
prompt, answer = json.load(open("out"))["ids"], json.load(open("plain"))["ids"]
json.dump([prompt + answer], open("whole.json", "w"))'
accepts score "$model" --ids whole.json --logprobs
json "scoring the answer gives what generating it gave" \
    'all(abs(a - b) < 1e-9 for a, b in zip(rows[0]["logprobs"][-5:], json.load(open("plain"))["logprobs"]))'
refuses 2 'output json' run "$model" -p hi -n 1 --logprobs 3

# ---- traces -------------------------------------------------------------------------------------

accepts run "$model" -p 'The way' -n 5 --ignore-eos --seed 3 --trace json
json "a line for each step, then the answer" \
    'len(rows) == 6 and rows[5] == json.load(open("plain")) and [r["step"] for r in rows[:5]] == [0, 1, 2, 3, 4]'
json "the choices are the answer" '[r["choice"]["id"] for r in rows[:5]] == rows[5]["ids"]'
json "each step takes what the one before chose" \
    'all(rows[i]["input"]["ids"] == [rows[5]["ids"][i - 1]] for i in range(1, 5)) and rows[0]["logits_shape"] == [1, 1000]'
json "positions go on" \
    'all(rows[i]["input"]["position"] == len(rows[0]["input"]["ids"]) + i - 1 for i in range(1, 5))'
json "what is left at the end is what was left by each stage" \
    'all(r["chain"][-1]["after"] >= sum(c["probability"] > 0 for c in r["candidates"]) and r["chain"][0]["before"] == 1000
         and all(a["after"] == b["before"] for a, b in zip(r["chain"], r["chain"][1:])) for r in rows[:5])'
accepts run "$model" -p 'The way' -n 2 --ignore-eos --seed 3 --trace
check "a trace as text" eval 'grep -q "^step 1, sequence 0, 1 id" out && grep -q "random number" out'
accepts run "$model" --ids hollow.json -n 3 --temp 0 --ignore-eos --trace json -np 2
json "sequences are told apart; greedy draws no number" \
    'sorted({(r["sequence"], r["step"]) for r in rows if "step" in r}) == [(i, j) for i in range(4) for j in range(3)]
     and all(r["random"] is None for r in rows if "step" in r)'
json "as many rows of logits as sequences" '[r["logits_shape"][0] for r in rows if "step" in r] == [2] * 12'
accepts run --trace "$model" -p hi -n 1
refuses 2 'text or json' run "$model" -p hi -n 1 --trace=xml

# ---- the chain ----------------------------------------------------------------------------------

accepts run "$model" -p hi -n 1 --seed 1 -v --samplers 'temperature;typ_p;dry' --typical 0.5 --dry-multiplier 1
check "-v says the order" grep -q 'temperature 0.8 -> typical-p 0.5 -> dry(.*) -> draw(seed 1)' err
accepts run "$model" -p hi -n 30 --ignore-eos --output json --mirostat 2 --mirostat-lr 0.2 --mirostat-ent 3 \
    --xtc-probability 0.5 --xtc-threshold 0.05 --top-nsigma -1 --dynatemp-range 0.2 --seed 5
accepts run "$model" --ids hollow.json -n 30 --temp 1.5 --seed 1 --output json --min-length 30
json "no end token before --min-length others" 'all(len(r["ids"]) == 30 for r in rows)'
accepts run "$model" --ids hollow.json --temp 0 -n 20 --ignore-eos --output json
cp out free
# An id and a pair of ids of free text, and another id by its bias, are not to come again.
python3 - <<'EOF'
import json
ids = [json.loads(line)["ids"] for line in open("free")]
json.dump([[ids[0][0]], ids[1][:2]], open("bad.json", "w"))
open("bias", "w").write("%d-inf" % ids[2][0])
EOF
accepts run "$model" --ids hollow.json --temp 0 -n 20 --ignore-eos --output json \
    --bad-words "$(cat bad.json)" -l "$(cat bias)"
check "bad words and banned ids do not come" python3 - <<'EOF'
import json
bad, free = json.load(open("bad.json")), [json.loads(line)["ids"] for line in open("free")]
for line in open("out"):
    ids = json.loads(line)["ids"]
    assert bad[0][0] not in ids and free[2][0] not in ids
    assert bad[1] not in [ids[i:i + 2] for i in range(len(ids))]
EOF
accepts run "$model" -p hi --temp 0 -n 8 --ignore-eos --output json -l '42+100'
json "a large bias wins" 'rows[0]["ids"] == [42] * 8'
accepts run "$model" -p hi --temp 0 -n 30 --ignore-eos --output json -l '42+10' --dry-multiplier 5 \
    --dry-sequence-breaker none
json "DRY ends the repetition" 'rows[0]["ids"] != [42] * 30'
accepts run "$model" -p 'hi' --temp 0 -n 4 --max-length 2 --ignore-eos --output json
json "--max-length is -n" 'len(rows[0]["ids"]) == 2'

refuses 2 'top_q' run "$model" -p hi --samplers 'top_k;top_q'
refuses 2 'twice' run "$model" -p hi --samplers 'top_k;top_k'
refuses 2 'mirostat' run "$model" -p hi --mirostat 1
refuses 2 'typical' run "$model" -p hi --typical 0
refuses 2 'typical' run "$model" -p hi --typical 1.1
refuses 2 'dry-base' run "$model" -p hi --dry-base 0.5
refuses 2 'logit-bias' run "$model" -p hi -l 15
refuses 2 'logit-bias' run "$model" -p hi -l 15+inf
refuses 2 'logit-bias' run "$model" -p hi -l 15+1e
accepts run "$model" -p hi -l 20+1e2 -l 15+1e+3 -l 16+1e-5 -n 1 --temp 0 --output json
json "a bias may have an exponent" 'rows[0]["ids"] == [15]'
refuses 2 '0 to 999' run "$model" -p hi -l 1000+1
refuses 2 'bad-words' run "$model" -p hi --bad-words '[[1000]]'
refuses 2 'bad-words' run "$model" -p hi --bad-words '[[]]'
refuses 2 'bad-words' run "$model" -p hi --bad-words '[[1'
refuses 2 'breaker' run "$model" -p hi --dry-multiplier 1 --dry-sequence-breaker "$(printf 'x%.0s' {1..65})"
refuses 2 'breaker' run "$model" -p hi --dry-multiplier 1 --dry-sequence-breaker ''

finish
