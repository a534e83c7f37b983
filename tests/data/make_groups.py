#!/usr/bin/env python3
"""Beams in groups by transformers: groups.json, a case a line.

Run with torch 2.13.0 (CPU) and transformers 4.49.0, among the last that have groups themselves:
make_groups.py MODELS, a folder of models as CMake unpacks them.  Arithmetic is float32 with eager
attention.  Marian and BART have a padding token of their own; without one, transformers pads what a
group that is done would say with the end token, whose probability then suffers in later groups.
"""
import json
import random
import sys

import torch
from transformers import AutoModelForSeq2SeqLM
from transformers.utils import logging

logging.set_verbosity_error()
N_CASES, MAX_NEW = 12, 24


def case_of(models, draw):
    name = draw.choice(sorted(models))
    n_beams, n_groups = draw.choice([(2, 2), (4, 2), (4, 4), (6, 3), (6, 2)])
    options = {
        "num_beams": n_beams,
        "num_beam_groups": n_groups,
        "num_return_sequences": draw.randint(1, n_beams),
        "diversity_penalty": draw.choice([0.3, 1.0, 5.0]),
        "length_penalty": draw.choice([-1.0, 0.0, 0.6, 1.0, 2.0]),
        "early_stopping": draw.choice([True, False, "never"]),
        "no_repeat_ngram_size": draw.choice([0, 0, 2]),
        "repetition_penalty": draw.choice([1.0, 1.0, 1.3]),
        "min_new_tokens": draw.choice([1, 1, 6]),
    }
    ids = [draw.randrange(4, 250) for _ in range(draw.randint(2, 7))]
    source = torch.tensor([ids])
    with torch.no_grad():
        out = models[name].generate(source, attention_mask=torch.ones_like(source), do_sample=False,
                                    max_new_tokens=MAX_NEW, return_dict_in_generate=True,
                                    output_scores=True, **options)
    end = models[name].config.eos_token_id
    best = []
    for row, score in zip(out.sequences.tolist(), out.sequences_scores.tolist()):
        row = row[1:]
        is_ended = end in row
        best.append({"ids": row[:row.index(end) + 1] if is_ended else row, "score": round(score, 6),
                     "ended": is_ended})
    return {"model": name, "source": ids, "max_new_tokens": MAX_NEW, **options, "best": best}


def main():
    torch.set_num_threads(1)
    models = {name: AutoModelForSeq2SeqLM.from_pretrained(
        f"{sys.argv[1]}/{name}", attn_implementation="eager", torch_dtype=torch.float32).eval()
        for name in ("bart", "marian")}
    draw = random.Random(1)
    with open("groups.json", "w", encoding="utf-8") as file:
        for _ in range(N_CASES):
            file.write(json.dumps(case_of(models, draw), separators=(",", ":")) + "\n")


main()
