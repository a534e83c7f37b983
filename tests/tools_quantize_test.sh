#!/usr/bin/env bash
# nibble quantize as a user meets it: the plan, the file, what is refused, and what is left when it is
# stopped.
# usage: tests/tools_quantize_test.sh BINARY MODELS_FOLDER
set -u
# shellcheck source=tests/tools_check.sh
. "$(dirname "$0")/tools_check.sh"

# ---- bad input ----------------------------------------------------------------------------------

refuses 2 'no model' quantize
refuses 2 'argument is missing' quantize "$model"
refuses 2 'argument is missing' quantize "$model" out.gguf
refuses 2 'unexpected argument 4' quantize "$model" out.gguf Q4_0 4
refuses 2 'there are Q4_0, .*F32' quantize "$model" out.gguf Q4_K_X
refuses 2 'allow-requantize' quantize "$model" out.gguf Q4_K_M
refuses 2 'another name' quantize "$model" "$model" Q8_0
refuses 2 'PATTERN=TYPE' quantize "$model" out.gguf Q8_0 --tensor-type attn_v
refuses 2 'there are F32' quantize "$model" out.gguf Q8_0 --output-tensor-type Q4_K_M
refuses 3 missing.gguf quantize missing.gguf out.gguf Q8_0
refuses 1 'no/folder' quantize "$model" no/folder/out.gguf Q8_0 -q
check 'nothing was made' [ ! -e out.gguf ]

# ---- files --------------------------------------------------------------------------------------

accepts quantize "$model" f16.gguf f16 --allow-requantize
check 'the last line has sizes and time' grep -Eq \
    '^[0-9]+ tensors: [0-9.]+ -> [0-9.]+ MiB, [0-9.]+ -> 16\.[0-9]+ bits a weight, [0-9.]+ s$' out

accepts quantize f16.gguf plan.gguf Q4_K_M --dry-run
check 'a dry run writes nothing' [ ! -e plan.gguf ]
check 'the plan has types and sizes' grep -Eq '^blk.0.attn_q.weight +[0-9]+ x [0-9]+ +F16 -> ' out
check 'what does not fit is said' grep -q 'tensors are Q5_0 instead of Q4_K, whose blocks do not fit: ' err
plan=$(tail -n 1 out)

echo 'not a model' >q4.gguf
accepts quantize f16.gguf q4.gguf Q4_K_M -t 1
check 'the plan was true' [ "$plan" = "$(sed 's/, [0-9.]* s$//' out)" ]
accepts quantize f16.gguf again.gguf Q4_K_M -t 3 -q
check 'notes are left out when quiet' [ ! -s err ]
check 'the same bytes for any number of threads' cmp -s q4.gguf again.gguf
check 'no temporary files' [ -z "$(find . -name '*.tmp-*')" ]

accepts run q4.gguf -p 'hello' -n 4 --temp 0 -q
check 'what was written runs' [ -s out ]
accepts inspect q4.gguf -v
check 'the file type is there' grep -q 'general.file_type = 15' out

accepts quantize f16.gguf named.gguf Q8_0 --tensor-type 'attn_v=F16' --tensor-type 'ffn=q5_1'
accepts inspect named.gguf -v
check 'named types are used' grep -q 'F16 .*blk.0.attn_v.weight' out
check 'the second name too' grep -q 'Q5_1 .*blk.0.ffn_down.weight' out

# ---- stopped on the way -------------------------------------------------------------------------

if [ -n "$big_model" ]; then
    echo 'what was there' >old.gguf
    "$nibble" quantize "$big_model" old.gguf IQ4_NL --allow-requantize -t 1 >out 2>err &
    sleep 0.5
    kill -9 $!
    wait $! 2>/dev/null
    check 'a kill leaves the old file' [ "$(cat old.gguf)" = 'what was there' ]
    rm -f old.gguf.tmp-*
    for signal in INT TERM HUP; do
        timeout -s $signal 0.5 "$nibble" quantize "$big_model" old.gguf IQ4_NL --allow-requantize \
            -t 1 --pure >out 2>err
        check "SIG$signal leaves the old file" [ "$(cat old.gguf)" = 'what was there' ]
        check "SIG$signal leaves no other file" [ -z "$(find . -name '*.tmp-*')" ]
        check "SIG$signal is no complaint" [ ! -s err ]
    done
fi

finish
