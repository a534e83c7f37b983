#!/usr/bin/env python3
"""Writes huggingface.json: what the logits processors of transformers make of random logits, in
float64.  Usage: huggingface.py >huggingface.json (transformers 5.23, torch 2.13)."""
import json
import torch
from transformers.generation import logits_process as hf

VOCABULARY, END_ID, CASES = 120, 7, 60
generator = torch.Generator().manual_seed(6)


def number(low, high):
    return round(low + (high - low) * torch.rand(1, generator=generator).item(), 3)


def integer(low, high):
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def make_case():
    logits = torch.randn(VOCABULARY, generator=generator, dtype=torch.float64) * number(0.5, 4)
    logits = logits.to(torch.float32).to(torch.float64)
    ids = [integer(0, 40) for _ in range(integer(4, 30))]
    case = {"logits": logits.tolist(), "ids": ids, "bad_words": [], "bias": [], "samplers": []}
    processors = []
    if integer(0, 1):
        case["bias"] = [[integer(50, 80), number(-5, 5)]]
        processors.append(hf.SequenceBiasLogitsProcessor([[[i], b] for i, b in case["bias"]]))
    if integer(0, 1):
        best = logits.argsort(descending=True).tolist()
        best.remove(END_ID)  # transformers would take it out
        words = [[best[0]], ids[-2:] + [best[1]], [ids[-2] + 1, ids[-1], best[2]], ids[-1:] + [best[3]]]
        case["bad_words"] = words
        processors.append(hf.NoBadWordsLogitsProcessor(words, eos_token_id=END_ID))
    if integer(0, 1):
        case["min_length"] = integer(len(ids) - 2, len(ids) + 2)
        processors.append(hf.MinLengthLogitsProcessor(case["min_length"], END_ID))
    chain = []
    for name, values, make in (
        ("repetition_penalty", (0.5, 2), hf.RepetitionPenaltyLogitsProcessor),
        ("temperature", (0.3, 2), hf.TemperatureLogitsWarper),
        ("top_k", (1, 100), hf.TopKLogitsWarper),
        ("top_p", (0.05, 0.99), hf.TopPLogitsWarper),
        ("min_p", (0.001, 0.5), hf.MinPLogitsWarper),
        ("typical_p", (0.05, 0.99), hf.TypicalLogitsWarper),
    ):
        if integer(0, 2) > 0:
            value = integer(*values) if name == "top_k" else number(*values)
            chain.append((name, value, make(value)))
    for i in torch.randperm(len(chain), generator=generator).tolist():
        name, value, processor = chain[i]
        case["samplers"].append(name)
        case[name] = value
        processors.append(processor)
    scores = logits[None].clone()
    for processor in processors:
        scores = processor(torch.tensor([ids]), scores)
    case["probs"] = [round(p, 9) for p in torch.softmax(scores[0], 0).tolist()]
    return case


print(json.dumps({"end_id": END_ID, "cases": [make_case() for _ in range(CASES)]}))
