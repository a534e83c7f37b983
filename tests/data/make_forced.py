#!/usr/bin/env python3
"""Beam searches with forced phrases by transformers: forced.json.

Run with torch 2.13.0 (CPU) and transformers 4.49.0, the last line of versions that has
ConstrainedBeamSearchScorer: make_forced.py MODELS, a folder of models as CMake unpacks them.
Arithmetic is float32 with eager attention.  Phrases are drawn until the answers stay the same under
noise of 1e-3 in the log-probabilities, and differ from those without phrases.

Two things of transformers are not for nibble.  Copies of a DisjunctiveConstraint share their list of
ids, so that where alternatives part, all but the first are taken for a step that failed: copies get
lists of their own here.  And what the prompt has in it counts as generated: ids of the prompt are in
no phrase here.
"""
import json
import random
import sys

import torch
from safetensors.numpy import load_file
from transformers import (AutoModelForCausalLM, AutoModelForSeq2SeqLM, ConstrainedBeamSearchScorer,
                          DisjunctiveConstraint, LogitsProcessor, LogitsProcessorList,
                          PhrasalConstraint)
from transformers.utils import logging

logging.set_verbosity_error()
N_NOISY, NOISE = 4, 1e-3

# Ids of the alternatives of each phrase, as letters; in the second an answer must end by itself, in
# the third, for models that end early, each.
SHAPES = ["a", "abc", "ab,c", "abc|abd|ae", "aab", "ab,ac,d", "ab|cde,f"]
ENDING = ["a", "ab", "a,b", "ab|ac|d"]
FULL, FULL_MODELS = ["a", "ab", "a|bc", "a,b"], ("llama-gqa", "t5-relu")
# n_beams, n_best, max_new, length_penalty, early_stopping
RUNS = [(4, 4, 20, 1.0, False), (4, 4, 16, 0.6, False), (6, 3, 20, 1.0, True),
        (6, 6, 24, 0.6, "never"), (4, 1, 7, 1.0, False), (4, 2, 4, 1.0, True)]
FULL_RUNS = [(2, 2, 24, 1.0, False), (2, 2, 24, 1.0, True), (2, 2, 24, 0.0, False),
             (3, 3, 24, 0.6, True), (2, 2, 16, 0.6, "never")]


def copy(self, stateful=False):
    new = DisjunctiveConstraint(self.token_ids)
    if stateful:
        new.current_seq, new.completed = list(self.current_seq), self.completed
    return new


if "--as-it-is" not in sys.argv:
    DisjunctiveConstraint.copy = copy


def without_indices(method):
    return lambda self, *args, **more: method(self, *args, **dict(more, beam_indices=None))


# Which it fails to put together where some answers lack a phrase.
ConstrainedBeamSearchScorer.process = without_indices(ConstrainedBeamSearchScorer.process)
ConstrainedBeamSearchScorer.finalize = without_indices(ConstrainedBeamSearchScorer.finalize)


class Noise(LogitsProcessor):
    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids, scores):
        return scores + NOISE * torch.randn(scores.shape, generator=self.random)


def search(model, ids, run, phrases, seed=None):
    """[(ids, sum, score, ended)], best first."""
    n_beams, n_best, max_new, length_penalty, early_stopping = run
    constraints = [PhrasalConstraint(p[0]) if len(p) == 1 else DisjunctiveConstraint(p)
                   for p in phrases]
    eos = model.config.eos_token_id
    with torch.no_grad():
        out = model.generate(
            torch.tensor([ids]), constraints=constraints or None, num_beams=n_beams,
            num_return_sequences=n_best, max_new_tokens=max_new, length_penalty=length_penalty,
            early_stopping=early_stopping, do_sample=False, output_scores=True,
            pad_token_id=model.config.pad_token_id or eos, return_dict_in_generate=True,
            logits_processor=LogitsProcessorList([Noise(seed)] if seed is not None else []))
    found = []
    n_prefix = 1 if model.config.is_encoder_decoder else len(ids)
    for row, score in zip(out.sequences.tolist(), out.sequences_scores.tolist()):
        row = row[n_prefix:n_prefix + max_new]
        ended = eos in row
        if ended:
            row = row[:row.index(eos) + 1]
        found.append((row, score * len(row)**length_penalty, score, ended))
    return found


def draw(rng, shape, share, likely, free):
    """A share of the ids from those that the model gives itself."""
    letters = {}
    for c in shape:
        while c.isalpha() and c not in letters:
            new = rng.choice(likely if rng.random() < share and likely else free)
            if new not in letters.values():
                letters[c] = new
    return [[[letters[c] for c in a] for a in p.split("|")] for p in shape.split(",")]


def find(model, name, ids, run, shape, wanted, never):
    """Phrases and answers that are clear."""
    free = sorted(set(range(model.config.vocab_size)) - never)
    plain = search(model, ids, run, [])
    likely = sorted({i for h in plain for i in h[0]} - never)
    for seed in range(12 if wanted else 40):
        rng = random.Random(f"{name} {shape} {(RUNS + FULL_RUNS).index(run)} {seed}")
        phrases = draw(rng, shape, 0.8 if wanted else 0.5, likely, free)
        if sum(min(map(len, p)) for p in phrases) > run[2]:
            break
        found = search(model, ids, run, phrases)
        if [h[0] for h in found] == [h[0] for h in plain] or wanted and not wanted(h[3] for h in found):
            continue
        if all([h[0] for h in search(model, ids, run, phrases, s)] == [h[0] for h in found]
               for s in range(N_NOISY)):
            return phrases, found
    print(f"{name} {shape} {run}: none is clear", file=sys.stderr)
    return None, None


def main(folder):
    cases = []
    for name in ("bart", "gpt2", "llama-gqa", "marian", "t5-relu"):
        path = f"{folder}/{name}"
        kind = AutoModelForSeq2SeqLM if name in ("bart", "marian", "t5-relu") else AutoModelForCausalLM
        model = kind.from_pretrained(path, torch_dtype=torch.float32, attn_implementation="eager").eval()
        golden = load_file(f"{path}/golden.safetensors")
        never = {model.config.eos_token_id, model.config.pad_token_id,
                 getattr(model.config, "decoder_start_token_id", None)}
        groups = ([(s, i % 2, RUNS, None) for i, s in enumerate(SHAPES)] +
                  [(s, i % 2, RUNS[:4], any) for i, s in enumerate(ENDING)] +
                  [(s, prompt, FULL_RUNS, all) for s in FULL for prompt in (1, 0)
                   if name in FULL_MODELS])
        for shape, prompt, runs, wanted in groups:
            ids = golden[f"p{prompt}.input_ids"].tolist()
            banned = never if model.config.is_encoder_decoder else never | set(ids)
            for run in runs:
                phrases, found = find(model, name, ids, run, shape, wanted, banned)
                if phrases:
                    cases.append(dict(
                        model=name, prompt=prompt, n_beams=run[0], n_best=run[1], max_new=run[2],
                        length_penalty=run[3], early_stopping=str(run[4]).lower(), phrases=phrases,
                        best=[dict(ids=h[0], sum=round(h[1], 5), score=round(h[2], 6), ended=h[3])
                              for h in found]))
    return cases


if __name__ == "__main__":
    json_cases = main(sys.argv[1])
    with open("forced.json", "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in json_cases) + "\n]\n")
