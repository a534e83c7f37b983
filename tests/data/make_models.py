#!/usr/bin/env python3
"""Tiny random models of families and settings that the other folders of models/ lack, with reference
logits and greedy ids (golden.safetensors; names as in models.md).

Run with torch 2.13.0 (CPU), transformers 5.23.0, safetensors 0.8: make_models.py [NAME ...] writes
the folders of models/, after archive.sh --unpack.  Arithmetic is float32 with eager attention; weights are those of the
file, widened.  A seed is taken whose greedy choices are clear by 0.003 in both prompts.
"""
import copy
import os
import shutil
import sys

os.environ["TQDM_DISABLE"] = "1"
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

N_GREEDY, MARGIN, V = 24, 0.003, 67
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

BASE = dict(vocab_size=V, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96,
            bos_token_id=1, eos_token_id=2, pad_token_id=None)
GPT = dict(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=96, n_inner=48,
           bos_token_id=1, eos_token_id=2)
LONG = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1, 1.3, 2.0],
            long_factor=[1.0, 2.0, 4.0, 7.0])
MOE = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=10000.0, **more))


# name: (model_type, dtype, configuration, lengths of the prompts)
MODELS = {
    "bloom-6-heads": ("bloom", "f16", dict(vocab_size=V, hidden_size=36, n_layer=2, n_head=6), (5, 40)),
    "cohere": ("cohere", "f16", dict(BASE, logit_scale=0.5, use_qk_norm=True), (5, 40)),
    "falcon-40b-style": ("falcon", "bf16", dict(
        vocab_size=V, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
        new_decoder_architecture=True, ffn_hidden_size=48, bias=True,
        max_position_embeddings=96), (5, 40)),
    "gemma": ("gemma", "bf16", dict(BASE, head_dim=12, num_key_value_heads=1), (5, 40)),
    "gpt-bigcode": ("gpt_bigcode", "f16", GPT, (5, 40)),
    "gpt-neox-odd-rotary": ("gpt_neox", "f16", dict(
        {k: v for k, v in BASE.items() if k != "num_key_value_heads"}, hidden_size=36,
        num_attention_heads=3, use_parallel_residual=False,
        **rope("default", partial_rotary_factor=0.25)), (5, 40)),
    "gpt2-layer-scale": ("gpt2", "f16", dict(GPT, scale_attn_by_inverse_layer_idx=True,
                                             activation_function="relu"), (5, 40)),
    "gptj": ("gptj", "f16", dict(GPT, rotary_dim=4), (5, 40)),
    "granite": ("granite", "bf16", dict(BASE, embedding_multiplier=6.0, logits_scaling=4.0,
                                        residual_multiplier=0.5, attention_multiplier=0.2), (5, 40)),
    "llama-dynamic": ("llama", "bf16", dict(BASE, max_position_embeddings=32,
                                            **rope("dynamic", factor=4.0)), (5, 48)),
    "llama-linear": ("llama", "bf16", dict(BASE, attention_bias=True, mlp_bias=True,
                                           **rope("linear", factor=2.5)), (5, 40)),
    "llama-longrope": ("llama", "bf16", dict(BASE, rope_parameters=dict(
        LONG, original_max_position_embeddings=32, factor=3.0)), (5, 48)),
    "llama-yarn": ("llama", "bf16", dict(BASE, head_dim=16, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=24, beta_fast=4.0, truncate=False,
        mscale=0.7, mscale_all_dim=1.1)), (5, 48)),
    "mpt": ("mpt", "bf16", dict(vocab_size=V, d_model=36, n_heads=3, n_layers=2, max_seq_len=96,
                                attn_config=dict(clip_qkv=1.5)), (5, 40)),
    "olmoe": ("olmoe", "bf16", dict(BASE, intermediate_size=16, num_experts=4,
                                    num_experts_per_tok=2, clip_qkv=1.5), (5, 40)),
    "phi-qk-norm": ("phi", "f16", dict(BASE, num_key_value_heads=4, qk_layernorm=True,
                                       **rope("default", partial_rotary_factor=0.5)), (5, 40)),
    "phi3-longrope": ("phi3", "bf16", dict(BASE, hidden_size=32, num_attention_heads=2,
                                           num_key_value_heads=1, sliding_window=20,
                                           original_max_position_embeddings=32, rope_parameters=dict(
                                               LONG, partial_rotary_factor=0.5)), (5, 48)),
    "qwen2-moe": ("qwen2_moe", "bf16", dict(BASE, **MOE, num_hidden_layers=3, mlp_only_layers=[1],
                                            shared_expert_intermediate_size=24), (5, 40)),
    "qwen3-moe-window": ("qwen3_moe", "bf16", dict(BASE, **MOE, head_dim=12, use_sliding_window=True,
                                                   sliding_window=8), (5, 40)),
    "smollm3": ("smollm3", "bf16", dict(BASE, num_hidden_layers=4, intermediate_size=24,
                                        no_rope_layer_interval=2, use_sliding_window=True,
                                        sliding_window=8), (5, 40)),
    "stablelm-parallel": ("stablelm", "f16", dict(BASE, use_parallel_residual=True,
                                                  qk_layernorm=True), (5, 40)),
    "starcoder2": ("starcoder2", "bf16", dict(BASE, sliding_window=8), (5, 40)),
}


def randomize(model, generator):
    """Lively logits, norms and biases that matter."""
    is_gemma = "gemma" in model.config.model_type
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if name.endswith("bias"):
            value = 0.3 * noise
        elif p.dim() == 1 or "norm" in name:
            value = 0.4 * noise + (0 if is_gemma else 1)
        elif any(word in name for word in ("embed", "wte", "wpe")):
            value = 0.7 * noise
        else:
            conv = type(model.get_submodule(name.rsplit(".", 1)[0])).__name__ == "Conv1D"
            value = noise * 1.5 / np.sqrt(p.shape[0 if conv else -1])
        if p.dim() == 1 and ("ln_f" in name or "norm_f" in name or "final" in name
                             or name == "model.norm.weight"):
            value = noise  # of both signs: else tied models repeat their input
        p.data = value


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy().copy()


def greedy(model, ids):
    """The ids, and by how much each is the best."""
    ids, n, gap = list(ids), len(ids), np.inf
    for _ in range(N_GREEDY):
        last = logits_of(model, ids)[-1]
        best = np.sort(last)[-2:]
        gap = min(gap, best[1] - best[0])
        ids.append(int(last.argmax()))
    return ids[n:], gap


def make(folder, name, seed):
    kind, dtype, config, lengths = copy.deepcopy(MODELS[name])
    config = CONFIG_MAPPING[kind](**config)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomize(model, torch.Generator().manual_seed(seed))
    for p in model.parameters():
        p.data = p.data.to(DTYPES[dtype])
    model.config.dtype = DTYPES[dtype]
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    random = np.random.default_rng(seed)
    table = {}
    for i, length in enumerate(lengths):
        ids = random.integers(0, V, length).tolist()
        table[f"p{i}.input_ids"] = np.array(ids, np.int64)
        table[f"p{i}.logits"] = logits_of(model, ids)
        if name == "llama-dynamic" and i == 1:
            continue  # the reference computes every length with another base
        out, gap = greedy(model, ids)
        if gap < MARGIN:
            return False
        table[f"p{i}.greedy_noeos"] = np.array(out, np.int64)
    save_file(table, os.path.join(folder, "golden.safetensors"))
    return True


def main():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
    for name in sys.argv[1:] or MODELS:
        seed = 1
        while not make(os.path.join(here, name), name, seed):
            seed += 1
        print(name, "seed", seed)


main()
