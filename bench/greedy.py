#!/usr/bin/env python3
"""Greedy texts of nibble and llama.cpp from one model file.  They may part where the two best tokens are
close, as both round activations, each in its own way: the gap there is printed, and must be below 0.3,
unless nibble goes on as the same weights do without any rounding (--type f32, the cache too).

usage: greedy.py NIBBLE LLAMA_COMPLETION MODEL.gguf [N] [PROMPT ...]
Ends with "N prompts, N equal to the end, N part at a gap of 0.3 or more against the floats"; the exit
code is 1 for those.
"""
import json
import subprocess
import sys

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n",
    "Water boils at a temperature of",
    "The three laws of motion say that",
    "Dear Sir or Madam,\n\nI am writing to",
    "1, 1, 2, 3, 5, 8,",
    "Die Hauptstadt von Deutschland ist",
]
LIMIT = 0.3


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr.strip()[-400:]}")
    return done.stdout


def answer(nibble, model, n, prompt, *options):
    return json.loads(run([nibble, "run", model, "-p", prompt, "-n", str(n), "--temp", "0",
                           "--logprobs", "2", "--output", "json", "-q", *options]).splitlines()[0])


def compare(nibble, llama, model, n, prompt):
    """None: equal; else the gap where they part, and whether floats go on as nibble does."""
    row = answer(nibble, model, n, prompt)
    theirs = run([llama, "-m", model, "-p", prompt, "-n", str(n), "--temp", "0", "-no-cnv",
                  "--no-display-prompt", "--no-warmup", "-t", "2"])
    theirs = theirs.removesuffix("\n").removesuffix(" [end of text]")
    text = row["text"]
    if text == theirs[:len(text)] or theirs.rstrip() == text.rstrip():
        return None
    same = 0
    while same < min(len(text), len(theirs)) and text[same] == theirs[same]:
        same += 1
    done = ""
    for token, top in zip(row["tokens"], row["top_logprobs"]):
        done += token
        if len(done) > same:
            break
    floats = answer(nibble, model, n, prompt, "--type", "f32", "-ctk", "f32", "-ctv", "f32")["text"]
    return top[0]["logprob"] - top[1]["logprob"], floats.startswith(done)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    nibble, llama, model = sys.argv[1:4]
    n = int(sys.argv[4]) if len(sys.argv) > 4 else 64
    prompts = sys.argv[5:] or PROMPTS
    gaps = [compare(nibble, llama, model, n, prompt) for prompt in prompts]
    for prompt, gap in zip(prompts, gaps):
        says = "equal" if gap is None else (
            f"parts at a gap of {gap[0]:.3f}; floats go {'with' if gap[1] else 'not with'} nibble")
        print(f"{json.dumps(prompt)[:50]:52}", says)
    far = sum(gap is not None and gap[0] >= LIMIT and not gap[1] for gap in gaps)
    print(f"{len(gaps)} prompts, {gaps.count(None)} equal to the end, {far} part at a gap of 0.3 or "
          "more against the floats")
    sys.exit(far > 0)


if __name__ == "__main__":
    main()
