# What the tests of the program share; they source it with their own arguments BINARY MODELS_FOLDER.  A
# folder of its own is the working directory and the home, out and err what the program wrote last.
# shellcheck shell=bash
nibble=$(realpath "$1")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
model=$(realpath "$2")/llama3-scaled-q8_0.gguf
# shellcheck disable=SC2034
data=$(cd "$(dirname "$2")" && pwd) # with what is kept as archives
# shellcheck disable=SC2034
big_model=${NIBBLE_TEST_MODEL:-}
[ -z "${NIB_TEST_QUICK:-}" ] || big_model= # an emulator would take minutes
unset "${!NIBBLE_@}" NO_COLOR
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
unset XDG_CACHE_HOME
export HOME=$folder XDG_STATE_HOME=$folder/state
checks=0 failures=0

check() { # DESCRIPTION COMMAND...
    local description=$1
    shift
    checks=$((checks + 1))
    "$@" && return
    failures=$((failures + 1))
    echo "FAILED: $description"
    [ ! -s err ] || head -n 9 err | cut -c 1-400 | sed 's/^/    stderr: /'
    [ ! -s out ] || head -n 3 out | cut -c 1-400 | sed 's/^/    stdout: /'
}

run() { # ARGUMENTS...: into files out and err, exit code into $code
    code=0
    "$nibble" "$@" >out 2>err </dev/null || code=$?
}

one_line() {
    [ "$(wc -l <"$1")" = 1 ]
}

# One sentence on stderr that says what to look at, nothing on stdout, the exit code.
refuses() { # CODE PATTERN ARGUMENTS...
    local expected=$1 pattern=$2
    shift 2
    run "$@"
    check "exit code $code, expected $expected: $*" [ "$code" = "$expected" ]
    check "one line on stderr: $*" one_line err
    check "stderr says '$pattern': $*" grep -qi -e "$pattern" err
    check "nothing on stdout: $*" [ ! -s out ]
    check "nothing left behind: $*" [ -z "$(find . -name '*.??????' -newer stamp)" ]
}

accepts() { # ARGUMENTS...
    run "$@"
    check "exit code $code, expected 0: $*" [ "$code" = 0 ]
}

json() { # DESCRIPTION PYTHON_EXPRESSION: `rows` holds the lines of out
    check "$1" python3 -c "
import json, sys
rows = [json.loads(line) for line in open('out', encoding='utf-8')]
sys.exit(0 if ($2) else 1)"
}

touch stamp

finish() { # the last line of a test
    echo "$checks checks, $failures failed"
    [ "$failures" = 0 ]
}
