"""Runs the program on a model with damage: cut, or with bytes of its header changed.

usage: damage.py BINARY MODEL.gguf N [SEED]

Each of N damaged files must end in exit code 0, or in 3 with one sentence on stderr, within a minute.
What does not is kept as damage-SEED-I.gguf in the current folder.
"""
import random
import subprocess
import sys

COMMANDS = [
    ["run", "damaged.gguf", "-p", "The way", "-n", "2", "-q", "--temp", "0"],
    ["inspect", "damaged.gguf", "--output", "json"],
    ["tokenize", "damaged.gguf", "-p", "The <|eot_id|> way"],
]


def damage(data, n_header, i):
    if i % 10 == 9:
        return data[: random.randrange(len(data))]
    out = bytearray(data)
    for _ in range(random.choice([1, 1, 1, random.randrange(1, 20)])):
        at = random.randrange(n_header)
        out[at] = random.choice([0, 255, out[at] ^ 128, out[at] ^ 1 << random.randrange(8), random.randrange(256)])
    return bytes(out)


def outcome(binary, command):
    try:
        done = subprocess.run([binary, *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "takes over a minute"
    if done.returncode == 0 or (done.returncode == 3 and done.stderr.count(b"\n") == 1):
        return None
    return f"exit code {done.returncode}: {done.stderr[:2000].decode(errors='replace')}"


def main(binary, source, n, seed=1):
    data = open(source, "rb").read()
    n_header = data.rindex(b".weight") + 64
    random.seed(int(seed))
    n_failed = 0
    for i in range(int(n)):
        damaged = damage(data, n_header, i)
        with open("damaged.gguf", "wb") as file:
            file.write(damaged)
        command = COMMANDS[i % len(COMMANDS)]
        what = outcome(binary, command)
        if what:
            n_failed += 1
            name = f"damage-{seed}-{i}.gguf"
            open(name, "wb").write(damaged)
            print(f"{name}: {command[0]}: {what}", file=sys.stderr)
    return n_failed != 0


sys.exit(main(*sys.argv[1:]))
