#!/usr/bin/env bash
# Decoding from sources and beam search as a user meets them: the toy model that is in the repository,
# reference results, languages, lines that cannot be answered, bad input.
# usage: tests/tools_beams_test.sh BINARY MODELS_FOLDER
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"
toy=$(realpath "$here/../models/toy-numbers")
folders=$data/models
exact='--type f32 -ctk f32 -ctv f32'

# ---- the toy ------------------------------------------------------------------------------------

date='the fifth of march nineteen ninety four'
for type in f32 q8 q4; do
    accepts run "$toy" -p "$date" --type $type
    check "$type: a date" [ "$(cat out)" = '1 9 9 4 - 0 3 - 0 5' ]
done
accepts run "$toy" -p "$date"
check "without options" [ "$(cat out)" = '1 9 9 4 - 0 3 - 0 5' ]

n_pairs=200
[ -z "${NIB_TEST_QUICK:-}" ] || n_pairs=12 # an emulator
export n_pairs
head -n $n_pairs "$folders/toy-numbers/pairs.jsonl" >pairs.jsonl
pairs=$PWD/pairs.jsonl
python3 - "$pairs" <<'PYTHON'
import json, sys
pairs = [json.loads(line) for line in open(sys.argv[1])]
open("sources", "w").write("".join(p["source"] + "\n" for p in pairs))
open("greedy", "w").write("".join(p["greedy"] + "\n" for p in pairs))
json.dump([p["source"] for p in pairs], open("sources.json", "w"))
json.dump([p["source_ids"] for p in pairs], open("ids.json", "w"))
PYTHON
pairs_agree() { # KIND: of `out`, JSON lines, with what pairs.jsonl says
    python3 - "$pairs" "$1" <<'PYTHON'
import json, sys
pairs, kind = [json.loads(line) for line in open(sys.argv[1])], sys.argv[2]
rows = [json.loads(line) for line in open("out")]
assert len(rows) == len(pairs)
for p, r in zip(pairs, rows):
    assert r["source"] == p["source"] and r["ended"]
    assert r["text"] == p[kind] and r["ids"] == p[kind + "_ids"], (p["source"], r["text"])
    if kind != "greedy":
        assert abs(r["score"] - p[kind + "_score"]) < 1e-4, (p["source"], r["score"])
PYTHON
}
for input in '-f sources' '-f sources.json -np 7' '-f sources -np 1 -t 1' '-f sources --no-kv-cache -np 64'; do
    # shellcheck disable=SC2086
    accepts run "$toy" $exact $input --output json -n 32
    check "200 pairs, greedy: $input" pairs_agree greedy
    [ "$input" != '-f sources' ] || cp out first
    check "the same bits: $input" cmp -s out first
done
textbook='--beams 4 --beam-rule textbook --length-penalty 0.6 -n 32'
hf='--beams 4 --beam-rule hf --length-penalty 1 --early-stopping false -n 32'
# shellcheck disable=SC2086
for rest in '' '-np 3 -t 1' '-np 100 --no-kv-cache'; do
    accepts run "$toy" $exact -f sources $textbook --output json $rest
    check "200 pairs, textbook beams $rest" pairs_agree beam_textbook
    [ -n "$rest" ] || cp out textbook.first
    check "the same bits $rest" cmp -s out textbook.first
    accepts run "$toy" $exact -f sources $hf --output json $rest
    check "200 pairs, beams as in transformers $rest" pairs_agree beam_hf
    [ -n "$rest" ] || cp out hf.first
    check "the same bits $rest" cmp -s out hf.first
done
for type in q8 q4; do
    accepts run "$toy" --type $type -f sources
    right=$(paste -d '|' out greedy | awk -F '|' '$1 == $2' | wc -l)
    echo "toy in $type: $right of $n_pairs pairs exact"
    check "at least 98 in 100 in $type" [ "$((100 * right))" -ge "$((98 * n_pairs))" ]
    cp out $type.first
    accepts run "$toy" --type $type -f sources --no-kv-cache -np 5 -t 1
    check "$type: the same without a cache" cmp -s out $type.first
    accepts run "$toy" --type $type -f sources --beams 3
    cp out beams.first
    accepts run "$toy" --type $type -f sources --beams 3 --no-kv-cache -np 2
    check "$type: the same beams without a cache" cmp -s out beams.first
done
"$nibble" run "$toy" --type q8 <sources >out 2>err
check "standard input" cmp -s out q8.first
accepts run "$toy" --type q8 --ids ids.json
check "ids in place of text" cmp -s out q8.first
check "a note on how much was done" grep -q "$n_pairs lines: .* source tokens, generated .* tokens/s" err

# ---- what is written ----------------------------------------------------------------------------

accepts run "$toy" -p $'A B C\n\n  \nD E' -q
check "a line for each line" [ "$(cat out)" = $'C B A\n\n\nE D' ]
accepts run "$toy" -p $'A B C\n\nD E' --beams 4 --nbest 2 -q
check "the best, with line and score" grep -qxP '0\t-0\.0000\d\d\tC B A' out
check "in order" [ "$(cut -f 1 out)" = $'0\n0\n\n2\n2' ]
accepts run "$toy" -p 'A B C' --beams 4 --nbest 3 --output json
json "JSON has ids, text and scores of each" \
    'len(rows) == 1 and len(rows[0]["nbest"]) == 3 and rows[0]["text"] == "C B A" and
     [h["score"] for h in rows[0]["nbest"]] == sorted((h["score"] for h in rows[0]["nbest"]), reverse=True) and
     all(abs(h["sum"] / len(h["ids"]) - h["score"]) < 1e-9 and h["ended"] for h in rows[0]["nbest"]) and
     {k: rows[0][k] for k in ("ids", "text", "sum", "score", "ended")} == rows[0]["nbest"][0]'
accepts run "$toy" -p $'A B C\nD E' --beams 3 --trace json
json "traces show every hypothesis of every step" \
    'all(len(r["hypotheses"]) >= 3 and {"ids", "tokens", "sum", "score", "ended"} == set(r["hypotheses"][0])
         for r in rows if "step" in r) and {r["sequence"] for r in rows if "step" in r} == {0, 1} and
     [r["text"] for r in rows if "text" in r] == ["C B A", "E D"]'
accepts run "$toy" -p 'A B C' --beams 3 --trace
check "as text too" eval 'grep -q "^step 2, sequence 0, . hypotheses" out && tail -n 1 out | grep -qx "C B A"'
accepts run "$toy" -p 'A B C' --trace json
json "traces of greedy decoding: the decoder's input" \
    'rows[0]["input"]["ids"] == [1] and rows[1]["input"]["position"] == 1 and rows[-1]["text"] == "C B A"'
accepts run "$toy" -p 'A B C' --output json --logprobs 2
json "log-probabilities" 'len(rows[0]["logprobs"]) == len(rows[0]["top_logprobs"]) == 4'
echo '[[1, 17]]' >begin.json
accepts run "$toy" -p $'A B C\nD E C' --decoder-ids begin.json --output json
json "answers go on from --decoder-ids" '[r["text"] for r in rows] == ["B A", "E D"]'
accepts run "$toy" -p 'A B C' --decoder-ids begin.json --beams 2
check "beams too" [ "$(cat out)" = 'B A' ]
accepts run "$toy" -p 'A B C' --temp 20 --top-k 0 --top-p 1 --min-p 0 --seed 4 -n 8 --ignore-eos --output json
cp out sampled
accepts run "$toy" -p $'A B C\nD E' --temp 20 --top-k 0 --top-p 1 --min-p 0 --seed 4 -n 8 --ignore-eos --output json --no-kv-cache
check "sampling: a line is what it is alone" [ "$(head -n 1 out)" = "$(cat sampled)" ]
check "and is no greedy search" [ "$(grep -c '"ids":\[17,16,15,2' out)" = 0 ]
accepts run "$toy" -p 'A B C' -n 2 -q --output json
json "-n is the maximum length" 'rows[0]["ids"] == [17, 16] and not rows[0]["ended"]'
accepts run "$toy" -p 'A B C' --beams 2 --min-length 6 --output json
json "--min-length" 'len(rows[0]["ids"]) > 6 and rows[0]["ended"]'
accepts run "$toy" -p 'A A A A A A' --beams 2 --no-repeat-ngram-size 2 --output json
json "--no-repeat-ngram-size" \
    'len({tuple(rows[0]["ids"][i:i + 2]) for i in range(len(rows[0]["ids"]) - 1)}) == len(rows[0]["ids"]) - 1'
accepts run "$toy" -p 'A B C' --beams 4 --beam-groups 2 --diversity-penalty 20 --nbest 4 --output json
json "groups differ" 'len({h["ids"][0] for h in rows[0]["nbest"]}) > 1'
accepts run "$toy" -p 'A B C' --beams 2 --bad-words '[[16]]' --output json
json "bad words" '16 not in rows[0]["ids"]'
all=$(seq -s '],[' 0 106)
for rule in hf textbook; do
    run run "$toy" -p $'A\nB' --beams 2 --beam-rule $rule --bad-words "[[$all]]" --output json
    check "all banned is an error of the $rule rule" eval '[ $code = 1 ] && grep -q "2 of 2 lines: every token .* is banned" err'
    json "in the place of the answer" 'len(rows) == 2 and all("banned" in r["error"] and r["line"] == i for i, r in enumerate(rows))'
    accepts run "$toy" -p 'A B C' --beams 2 --nbest 2 --beam-rule $rule --no-repeat-ngram-size 1 --min-length 60 --output json \
        --bad-words "[[$(seq -s '],[' 10 106)]]"
    json "where beams come to an end without more ids, they are the answer by the $rule rule" \
        'all(5 <= len(h["ids"]) <= 10 and not h["ended"] for h in rows[0]["nbest"]) and len(rows[0]["nbest"]) == 2'
done

accepts run "$toy" -p $'A B C\nG H' --beams 4 --nbest 3 --force-words D --force-words 'E F|2' --output json
json "forced words are in every answer" \
    'len(rows) == 2 and all(" D " in " %s " % h["text"] and (" E F " in " %s " % h["text"] or " 2 " in " %s " % h["text"])
         for r in rows for h in r["nbest"])'
cp out words
accepts run "$toy" -p $'A B C\nG H' --beams 4 --nbest 3 --force-ids 18 --force-ids '19,20|6' --output json
ids_of() { python3 -c 'import json, sys; v = json.load(open(sys.argv[1]))["model"]["vocab"]; print(*[v[w] for w in sys.argv[2:]])' "$toy/tokenizer.json" "$@"; }
check "by the ids of D, E, F and 2" eval '[ "$(ids_of D E F 2)" = "18 19 20 6" ] && cmp -s out words'
accepts run "$toy" -p $'A B C\nG H' --beams 4 --nbest 3 --force-ids 18 --force-ids '19,20|6' --output json -np 1 --no-kv-cache
check "the same line by line and without a cache" cmp -s out words
accepts run "$toy" -p 'A B C' --beams 4 --nbest 4 --force-ids 18,18,18,18 -n 5
check "a note where answers have no room for them" grep -q 'lack a text to force; allow more tokens (-n)' err
accepts run "$folders/gpt2" -p 'The quick brown fox' --beams 4 -n 16 --force-words 'the end|a stop' --ignore-eos --output json
json "a text of several tokens, behind a blank" '" the end" in rows[0]["text"] or " a stop" in rows[0]["text"]'
accepts run "$folders/llama-gqa" -p 'The quick brown fox' --beams 4 -n 20 --force-words 'house' --force-words '\|' --ignore-eos --output json
json "by another vocabulary too, and the sign between alternatives as a text" \
    '" house" in rows[0]["text"] and "|" in rows[0]["text"]'

# Groups as transformers has them (tests/data/make_groups.py).
number=0
while IFS= read -r wanted; do
    number=$((number + 1))
    echo "$wanted" >wanted.json
    options=$(python3 -c '
import json
w = json.load(open("wanted.json"))
json.dump([w["source"]], open("source.json", "w"))
print("--beams", w["num_beams"], "--beam-groups", w["num_beam_groups"], "--nbest", w["num_return_sequences"],
      "--diversity-penalty", w["diversity_penalty"], "--length-penalty", w["length_penalty"],
      "--early-stopping", str(w["early_stopping"]).lower(), "--no-repeat-ngram-size", w["no_repeat_ngram_size"],
      "--repeat-penalty", w["repetition_penalty"], "--min-length", w["min_new_tokens"], "-n", w["max_new_tokens"])')
    name=$(python3 -c 'import json; print(json.load(open("wanted.json"))["model"])')
    # shellcheck disable=SC2086
    accepts run "$folders/$name" --ids source.json $exact --output json $options
    json "groups, case $number" \
        'all(len(rows[0].get("nbest", rows)) == len(w["best"]) and a["ids"] == b["ids"] and a["ended"] == b["ended"]
             and abs(a["score"] - b["score"]) <= 1e-4 * max(1, abs(b["score"]))
             for w in [json.load(open("wanted.json"))] for a, b in zip(rows[0].get("nbest", rows), w["best"]))'
done <"$here/data/groups.json"
check "there were groups" [ $number = 12 ]

cp -r "$toy" forced
sed -i 's/"eos_token_id": 2,/&"forced_eos_token_id": 2,/' forced/config.json
accepts run forced -p 'A B C' -n 3 --output json
json "the maximum length ends with what is forced" 'rows[0]["ids"] == [17, 16, 2] and rows[0]["ended"]'
for rule in hf textbook; do
    accepts run forced -p 'A B C' -n 3 --output json --beams 2 --beam-rule $rule
    json "beams by $rule too" 'rows[0]["ids"] == [17, 16, 2] and rows[0]["ended"]'
done
accepts run forced -p 'A B C' -n 3 --output json --beams 2 --force-words 'F E'
json "behind what --force-words forces" 'rows[0]["ids"] == [20, 19, 2] and rows[0]["ended"]'
refuses 2 'need 3 new ids, and input 0 gets at most 2' run forced -p 'A B C' -n 2 --beams 2 --force-words 'F E'

# ---- references ---------------------------------------------------------------------------------

cat >reference.py <<'PYTHON'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header, body = json.loads(data[8:8 + n]), data[8 + n:]
def tensor(name):
    t = header[name]
    begin, end = t["data_offsets"]
    kind, size = ("q", 8) if t["dtype"] == "I64" else ("f", 4)
    return list(struct.unpack("<%d%s" % ((end - begin) // size, kind), body[begin:end]))
if sys.argv[2] == "ids":
    json.dump([tensor("p0.input_ids"), tensor("p1.input_ids")], open("ids.json", "w"))
    sys.exit()
for p, row in enumerate(json.loads(line) for line in open("out")):
    name = "p%d.%s" % (p, sys.argv[2])
    if name in header:
        assert row["ids"] == tensor(name), name
        continue
    ids, lengths = tensor(name + ".ids"), tensor(name + ".len")
    width = len(ids) // 4
    assert len(row["nbest"]) == 4
    for i, h in enumerate(row["nbest"]):
        assert h["ids"] == ids[i * width:i * width + lengths[i]], (name, i)
        assert abs(h["score"] - tensor(name + ".scores")[i]) < 1e-4, (name, i)
        assert abs(h["sum"] - tensor(name + ".sums")[i]) < 1e-4 * 16, (name, i)
        assert h["ended"] == bool(tensor(name + ".done")[i]), (name, i)
PYTHON
agrees() { # NAME REFERENCE OPTIONS...
    local name=$1 reference=$2
    shift 2
    # shellcheck disable=SC2086
    accepts run "$folders/$name" $exact --ids ids.json --output json "$@"
    check "$name: $reference" python3 reference.py "$folders/$name/golden.safetensors" "$reference"
}
for name in llama-gqa m2m100 marian mbart t5-v1_1-gated-gelu transformer-separate; do
    python3 reference.py "$folders/$name/golden.safetensors" ids
    agrees $name greedy_eos --temp 0 -n 24
    agrees $name reppen1.3 --temp 0 -n 24 --ignore-eos --repeat-penalty 1.3 --repeat-last-n -1
    beams='--beams 4 --nbest 4 -n 16'
    # shellcheck disable=SC2086
    {
        agrees $name beam_lp1.0 $beams
        agrees $name beam_lp0.6 $beams --length-penalty 0.6 --no-kv-cache
        agrees $name beam_es_lp1.0 $beams --early-stopping true -np 1
        agrees $name beam_textbook_a1.0 $beams --beam-rule textbook -t 1
        agrees $name beam_textbook_a0.6 $beams --beam-rule textbook --length-penalty 0.6
    }
done
accepts run "$folders/marian" --ids ids.json -n 4
check "ids where there is no tokenizer" grep -qxE '[0-9]+( [0-9]+)*' out
accepts run "$folders/qwen3" --ids ids.json -n 4 --beams 2 --nbest 2
check "beams too" grep -qxP '1\t-[0-9.]+\t[0-9]+( [0-9]+)*' out

# ---- decoder-only models ------------------------------------------------------------------------

accepts run "$model" -p 'The way' -n 6 --beams 1 -q
cp out one
accepts run "$model" -p 'The way' -n 6 --temp 0 -q
check "one beam is the greedy search" cmp -s out one
accepts run "$model" -p 'The way' -n 6 --beams 3 --nbest 2 --output json
json "prompt and answers" 'rows[0]["prompt"] == "The way" and len(rows[0]["nbest"]) == 2'
cp out beams
accepts run "$model" -p 'The way' -n 6 --beams 3 --nbest 2 --output json --no-kv-cache
check "the same without a cache" cmp -s out beams

# ---- languages ----------------------------------------------------------------------------------

make_languages() { # MODEL CLASS TOKENS, a dictionary of Python
    cp -r "$folders/$1" languages-"$1"
    python3 - "$toy/tokenizer.json" languages-"$1" "$2" "$3" <<'PYTHON'
import json, sys
t, folder, names = json.load(open(sys.argv[1])), sys.argv[2], eval(sys.argv[4])
end = json.load(open(folder + "/config.json"))["eos_token_id"]
words = {i: "w%d" % i for i in range(256)}
words.update(names)
words[end], words[3] = "</s>", "<unk>"
t["model"]["vocab"] = {w: i for i, w in words.items()}
t["added_tokens"] = [dict(t["added_tokens"][0], id=i, content=words[i]) for i in sorted([end, 3, *names])]
t["post_processor"]["special_tokens"]["</s>"]["ids"] = [end]
json.dump(t, open(folder + "/tokenizer.json", "w"))
json.dump({"tokenizer_class": sys.argv[3]}, open(folder + "/tokenizer_config.json", "w"))
PYTHON
}
same_as_ids() { # MODEL IDS OPTIONS...: "w10 w20" with these options is these ids
    local name=languages-$1
    echo "$2" >ids.json
    shift 2
    accepts run "$name" -n 8 --ids ids.json --ignore-eos "$@"
}
make_languages m2m100 M2M100Tokenizer '{40: "__fr__", 41: "__de__"}'
accepts run languages-m2m100 -p 'w10 w20' -n 8 --ignore-eos --src-lang fr --tgt-lang de
cp out text
echo '[[2, 41]]' >begin.json
same_as_ids m2m100 '[[40, 10, 20, 106]]' --decoder-ids begin.json
check "m2m100: languages before the text and behind the start" cmp -s out text
make_languages mbart MBartTokenizer '{40: "fr_XX", 41: "de_DE"}'
accepts run languages-mbart -p 'w10 w20' -n 8 --ignore-eos --src-lang fr_XX --tgt-lang de_DE --beams 2
cp out text
echo '[[41, 77]]' >begin.json
same_as_ids mbart '[[10, 20, 131, 40]]' --decoder-ids begin.json --beams 2
check "mbart: languages behind the text and as the start" cmp -s out text
make_languages marian MarianTokenizer '{40: ">>fr<<", 41: ">>de<<"}'
accepts run languages-marian -p 'w10 w20' -n 8 --ignore-eos --tgt-lang de
cp out text
same_as_ids marian '[[41, 10, 20, 165]]'
check "marian: the target's language before the text" cmp -s out text
refuses 2 '__xx__.*fr, de' run languages-m2m100 -p w1 --tgt-lang xx
refuses 2 'xx_XX' run languages-mbart -p w1 --src-lang xx_XX
refuses 2 'no language' run languages-marian -p w1 --src-lang fr
refuses 2 'no languages' run "$toy" -p one --tgt-lang de
refuses 2 'name no language' run "$toy" -p one --src-lang de
refuses 2 'with an encoder' run "$model" -p one --tgt-lang de
refuses 2 'for text' run languages-m2m100 --ids ids.json --src-lang fr
refuses 2 'one of them' run languages-m2m100 -p w1 --tgt-lang fr --decoder-ids begin.json

# ---- what the cache costs -----------------------------------------------------------------------

accepts inspect "$toy" --kv-cost --memory
check "bytes of a position, layer and head" grep -q 'f16.*0.5 KiB for each position: 2 layers x 4 heads x 64 B' out
check "where the cache pays" grep -qE 'pays (from [0-9]+ positions on|up to)' out
check "what sources cost" grep -q 'a source takes as much' out
run inspect "$toy" --kv-cost --output json
check "in JSON too" python3 -c '
import json
r = json.load(open("out"))
assert r["n_kv_bytes_of_layer_and_head"] == {"f16": 64, "f32": 128, "q8_0": 40}
assert 2 <= r["kv_cost"]["n_longest"] <= 64 and r["kv_cost"]["longest_without_s"] > 0'
accepts inspect "$model" --kv-cost

# ---- lines that cannot be answered --------------------------------------------------------------

long=$(printf 'one %.0s' {1..80})
printf 'A B\n%s\nD E\n' "$long" >mixed
for options in '' '--beams 3' '-np 1'; do
    # shellcheck disable=SC2086
    run run "$toy" -f mixed -q $options
    check "a source that is too long is an error $options" [ $code = 1 ]
    check "one sentence names it" eval 'one_line err && grep -q "line 2 of 3: 81 tokens, .* at most 64" err'
    check "the others are answered" [ "$(cat out)" = $'B A\n\nE D' ]
    # shellcheck disable=SC2086
    run run "$toy" -f mixed --output json $options
    json "in JSON it is in its place" '"at most 64" in rows[1]["error"] and rows[1]["line"] == 1 and rows[2]["text"] == "E D"'
done
run run "$toy" -p "$long" -q
check "alone it is an error too" eval '[ $code = 1 ] && one_line err && [ "$(cat out)" = "" ]'
echo "[[1, $(seq -s , 4 103)]]" >begin.json
run run "$toy" -p 'A B' --decoder-ids begin.json -q
check "a beginning that is too long" eval '[ $code = 1 ] && one_line err && grep -q "context" err'

echo "[[1], [1, $(seq -s , 4 65)], [1]]" >begin.json
printf 'A B\nC\nD E\n' >three
run run "$toy" -f three --decoder-ids begin.json --beams 3 --force-ids 18,19,20 -q
check "no room for what is forced" eval '[ $code = 1 ] && one_line err && grep -q "line 2 of 3: .* takes 3 tokens, .* for 2" err'
"$nibble" run "$toy" -p $'A B\nD E' --beams 3 --force-ids 18,19,20 -q >two
check "the others are answered" [ "$(cat out)" = "$(sed -n 1p two; echo; sed -n 2p two)" ]
accepts run "$toy" -f three --beams 3 --force-ids "$(seq -s , 4 23),$(seq -s , 4 23),$(seq -s , 4 23)" -n 64 --output json
accepts run "$toy" -f three --beams 3 --force-ids "$(seq -s , 4 23),$(seq -s , 4 23),$(seq -s , 4 23)" --output json
json "the usual length leaves room for them" 'all(len(r["ids"]) >= 60 for r in rows)'
echo "[[1, 2], [$(seq -s , 1 40)], [3]]" >prompts.json
run run "$model" --ids prompts.json -n 3 -c 20 --output json
check "a prompt that is too long is an error of its own" eval '[ $code = 1 ] && grep -q "line 2 of 3: the prompt has 40 tokens" err'
json "the others go on" 'len(rows) == 3 and "error" in rows[1] and len(rows[0]["ids"]) == len(rows[2]["ids"]) == 3'
run run "$model" --ids prompts.json -n 3 -c 20 --beams 2 --output json
json "with beams too" 'len(rows) == 3 and "error" in rows[1] and len(rows[0]["ids"]) == len(rows[2]["ids"]) == 3'

# ---- fewer tokens in answers than in sources ----------------------------------------------------

mkdir fewer
cp "$toy/tokenizer.json" fewer
python3 - "$toy" <<'EOF'
import json, struct, sys
config = json.load(open(sys.argv[1] + "/config.json"))
config.update(decoder_vocab_size=60, share_encoder_decoder_embeddings=False, tie_word_embeddings=False)
json.dump(config, open("fewer/config.json", "w"))
data = open(sys.argv[1] + "/model.safetensors", "rb").read()
n = 8 + struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:n])
shared = header.pop("model.shared.weight")
header.pop("__metadata__", None)
begin, end = shared["data_offsets"]
for name, rows in (("model.encoder.embed_tokens.weight", 107), ("model.decoder.embed_tokens.weight", 60),
                   ("lm_head.weight", 60)):
    header[name] = {"dtype": "F32", "shape": [rows, 64], "data_offsets": [begin, begin + rows * 64 * 4]}
body, out = b"", {}
for name, tensor in header.items():
    a, b = tensor["data_offsets"]
    out[name] = dict(tensor, data_offsets=[len(body), len(body) + b - a])
    body += data[n + a:n + b]
text = json.dumps(out).encode()
open("fewer/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
EOF
for options in '' '--beams 4 --nbest 4' '--beams 4 --beam-rule textbook' '--temp 2 --seed 1'; do
    # shellcheck disable=SC2086
    accepts run fewer -p $'A B C\none' -n 8 --ignore-eos --output json $options
    json "ids of the answer are the decoder's $options" 'len(rows) == 2 and all(max(r["ids"]) < 60 for r in rows)'
done

# One token's embedding is no number: lines that read it have no result, the others what they have alone.
printf 'A B\tB A\nC\tX C D\nD\tD E\n' >pairs
grep -v X pairs >good
accepts score fewer --type f32 --logprobs -f good
cp out expected
python3 - "$(ids_of X)" <<'EOF'
import json, struct, sys
data = bytearray(open("fewer/model.safetensors", "rb").read())
n = 8 + struct.unpack("<Q", data[:8])[0]
at = n + json.loads(data[8:n])["model.decoder.embed_tokens.weight"]["data_offsets"][0] + int(sys.argv[1]) * 64 * 4
data[at:at + 4] = struct.pack("<f", float("nan"))
open("fewer/model.safetensors", "wb").write(data)
EOF
for options in '' '-np 1' '-b 2'; do
    # shellcheck disable=SC2086
    run score fewer --type f32 --logprobs -f pairs $options
    check "a line without a result is an error $options" [ $code = 1 ]
    json "that says why" 'len(rows) == 3 and rows[1]["line"] == 1 and "not a finite number" in rows[1]["error"]'
    check "and the others have theirs" [ "$(sed 2d out)" = "$(cat expected)" ]
done

# ---- bad input ----------------------------------------------------------------------------------

refuses 2 'beams' run "$toy" -p one --beams 0
refuses 2 'beams' run "$toy" -p one --beams 257
refuses 2 'length-penalty' run "$toy" -p one --beams 2 --length-penalty nan
refuses 2 'nbest' run "$toy" -p one --beams 2 --nbest 3
refuses 2 'add --beams' run "$toy" -p one --nbest 3
refuses 2 'divide' run "$toy" -p one --beams 4 --beam-groups 3
refuses 2 'beam-rule hf' run "$toy" -p one --beams 4 --beam-groups 2 --beam-rule textbook
refuses 2 'hf or textbook' run "$toy" -p one --beams 4 --beam-rule best
refuses 2 'never' run "$toy" -p one --beams 4 --early-stopping maybe
refuses 2 'logprobs' run "$toy" -p one --beams 4 --logprobs 2 --output json
refuses 2 'at least one' run "$toy" -p one --beams 4 -n 0
refuses 2 'single tokens' run "$toy" -p one --beams 4 --bad-words '[[1, 2]]'
refuses 2 'inf alone' run "$toy" -p one --beams 4 -l 5+1
refuses 2 'add --beams' run "$toy" -p one --force-words two
refuses 2 '--length-penalty is for beam search' run "$toy" -p one --length-penalty 0.6
NIBBLE_LENGTH_PENALTY=0.6 accepts run "$toy" -p one
NIBBLE_TOP_K=5 accepts run "$toy" -p one --beams 2 --temp 0.7 --presence-penalty 1 --repeat-penalty 1.1
check "a note on what beams do not use" \
    eval '[ "$(grep -c "changes nothing: beams" err)" = 2 ] && grep -q "^--temp" err && grep -q "^--presence-penalty" err'
refuses 2 'add --beams' run "$toy" -p one --force-ids 5
refuses 2 'without --beam-groups' run "$toy" -p one --beams 4 --force-ids 5 --beam-groups 2
refuses 2 'with --beam-rule hf' run "$toy" -p one --beams 4 --force-ids 5 --beam-rule textbook
refuses 2 'nothing to force' run "$toy" -p one --beams 4 --force-words ''
refuses 2 'nothing to force' run "$toy" -p one --beams 4 --force-words 'A||B'
refuses 2 'becomes <unk>' run "$toy" -p one --beams 4 --force-words 'A Hamburg'
for ids in '' 5, '5|' '|5' 5,,6 '5 6' 107 -1 5.0 99999999999; do
    refuses 2 'expected ids from 0 to 106' run "$toy" -p one --beams 4 --force-ids "$ids"
done
refuses 2 'begins with another' run "$toy" -p one --beams 4 --force-words 'A|A B'
refuses 2 '2, which ends' run "$toy" -p one --beams 4 --force-ids 5,2
refuses 2 '16, which is banned' run "$toy" -p one --beams 4 --force-ids 16 --bad-words '[[16]]'
refuses 2 'need 3 new ids' run "$toy" -p one --beams 4 --force-ids 5,6,7 -n 2
refuses 2 'takes ids only' run "$folders/marian" --ids ids.json --beams 4 --force-words A
refuses 2 'no source' run "$toy" -f /dev/null
printf 'A B\0C\nD E\n' >zero
refuses 3 'text 1 has a zero byte' run "$toy" -f zero
echo '["A", "B\u0000C"]' >zero.json
refuses 3 'text 2 has a zero byte' run "$toy" -f zero.json
refuses 3 'zero byte' run "$model" -f zero
if [ -e /dev/full ]; then
    "$nibble" run "$toy" -p A --trace >/dev/full 2>err
    check "a trace that cannot be written" [ $? = 1 ]
fi
refuses 2 'conversation' run "$toy" -p one -cnv
refuses 2 'with an encoder' run "$model" -p one --decoder-ids begin.json
refuses 2 'no conversations' chat "$toy"
refuses 2 'without an encoder' bench "$toy"
refuses 3 'no-such' run "$toy" -p one --decoder-ids no-such
echo '[[1], [1], [1]]' >three.json
refuses 2 'one for all' run "$toy" -p $'one\ntwo' --decoder-ids three.json
echo '[[1, 107]]' >bad.json
refuses 3 '0 to 106' run "$toy" -p one --decoder-ids bad.json
refuses 3 '0 to 106' run "$toy" --ids bad.json

# ---- a full context is never silent ---------------------------------------------------------------

run run "$model" -p hello --beams 2 -n 300 -c 32 --ignore-eos --output json
check "as many as asked for do not fit: exit code $code" [ "$code" = 1 ]
check "and this is said" grep -q 'context of 32 tokens is full; -c N' err
json "with what there was room for" 'len(rows) == 1 and 20 < len(rows[0]["ids"]) < 33'
accepts run "$model" -p hello --beams 2 -c 32 --ignore-eos
check "without a number it is a note" grep -q 'context of 32 tokens is full; -c N' err

finish
