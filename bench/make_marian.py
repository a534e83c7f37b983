#!/usr/bin/env python3
"""Writes a Marian-shaped model with random weights, once as a Hugging Face folder for nibble and once
for CTranslate2 (int8): 6 + 6 layers, 512 wide, 2048 in the feed-forward layers, 58,101 ids.

usage: make_marian.py FOLDER        (makes FOLDER/hf and FOLDER/ct2; needs numpy and ctranslate2)
"""
import json
import os
import struct
import sys

import numpy as np

LAYERS, WIDTH, HEADS, FEED_FORWARD, VOCAB = 6, 512, 8, 2048, 58101
rng = np.random.default_rng(1)


def matrix(rows, columns):
    return rng.standard_normal((rows, columns), np.float32) * np.float32(columns**-0.5)


def make_weights():
    """Names as transformers has them."""
    tensors = {"model.shared.weight": matrix(VOCAB, WIDTH),
               "final_logits_bias": np.zeros((1, VOCAB), np.float32)}

    def norm(name):
        tensors[name + ".weight"] = np.ones(WIDTH, np.float32)
        tensors[name + ".bias"] = np.zeros(WIDTH, np.float32)

    def linear(name, rows, columns):
        tensors[name + ".weight"] = matrix(rows, columns)
        tensors[name + ".bias"] = np.zeros(rows, np.float32)

    for side in "encoder", "decoder":
        for i in range(LAYERS):
            layer = f"model.{side}.layers.{i}."
            for attention in ["self_attn"] + ["encoder_attn"] * (side == "decoder"):
                for part in "q_proj", "k_proj", "v_proj", "out_proj":
                    linear(layer + attention + "." + part, WIDTH, WIDTH)
                norm(layer + attention + "_layer_norm")
            linear(layer + "fc1", FEED_FORWARD, WIDTH)
            linear(layer + "fc2", WIDTH, FEED_FORWARD)
            norm(layer + "final_layer_norm")
    return tensors


def write_folder(folder, tensors):
    os.makedirs(folder, exist_ok=True)
    config = {"model_type": "marian", "architectures": ["MarianMTModel"], "d_model": WIDTH,
              "encoder_layers": LAYERS, "decoder_layers": LAYERS, "vocab_size": VOCAB,
              "decoder_vocab_size": VOCAB, "encoder_attention_heads": HEADS,
              "decoder_attention_heads": HEADS, "encoder_ffn_dim": FEED_FORWARD,
              "decoder_ffn_dim": FEED_FORWARD, "activation_function": "swish",
              "max_position_embeddings": 512, "scale_embedding": True, "eos_token_id": 0,
              "pad_token_id": VOCAB - 1, "decoder_start_token_id": VOCAB - 1,
              "is_encoder_decoder": True, "share_encoder_decoder_embeddings": True,
              "tie_word_embeddings": True, "torch_dtype": "float32"}
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape),
                        "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.tobytes())


def sines():
    """Sines in the first half of a row, cosines in the second."""
    angles = np.arange(512)[:, None] / 10000 ** (2 * np.arange(WIDTH // 2) / WIDTH)
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


def write_ctranslate2(folder, tensors):
    import ctranslate2
    specs = ctranslate2.specs
    spec = specs.TransformerSpec.from_config((LAYERS, LAYERS), HEADS, pre_norm=False,
                                             activation=specs.Activation.SWISH)

    def norm(to, name):
        to.gamma, to.beta = tensors[name + ".weight"], tensors[name + ".bias"]

    def linear(to, names):
        to.weight = np.concatenate([tensors[n + ".weight"] for n in names])
        to.bias = np.concatenate([tensors[n + ".bias"] for n in names])

    def attention(to, name, is_self):
        parts = [name + "." + p + "_proj" for p in "qkv"]
        if is_self:
            linear(to.linear[0], parts)
        else:
            linear(to.linear[0], parts[:1])
            linear(to.linear[1], parts[1:])
        linear(to.linear[-1], [name + ".out_proj"])
        norm(to.layer_norm, name + "_layer_norm")

    for side, stack in ("encoder", spec.encoder), ("decoder", spec.decoder):
        embeddings = stack.embeddings[0] if isinstance(stack.embeddings, list) else stack.embeddings
        embeddings.weight = tensors["model.shared.weight"]
        stack.scale_embeddings = True
        stack.position_encodings.encodings = sines()
        for i, layer in enumerate(stack.layer):
            name = f"model.{side}.layers.{i}."
            attention(layer.self_attention, name + "self_attn", True)
            if side == "decoder":
                attention(layer.attention, name + "encoder_attn", False)
            linear(layer.ffn.linear_0, [name + "fc1"])
            linear(layer.ffn.linear_1, [name + "fc2"])
            norm(layer.ffn.layer_norm, name + "final_layer_norm")
    spec.decoder.projection.weight = tensors["model.shared.weight"]
    spec.decoder.projection.bias = tensors["final_logits_bias"].flatten()
    tokens = ["</s>", "<unk>"] + [f"w{i}" for i in range(2, VOCAB - 1)] + ["<pad>"]
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.decoder_start_token = "<pad>"
    spec.config.bos_token = "<pad>"
    spec.config.eos_token = "</s>"
    spec.config.unk_token = "<unk>"
    spec.validate()
    spec.optimize(quantization="int8")
    os.makedirs(folder, exist_ok=True)
    spec.save(folder)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tensors = make_weights()
    write_folder(os.path.join(sys.argv[1], "hf"), tensors)
    write_ctranslate2(os.path.join(sys.argv[1], "ct2"), tensors)


if __name__ == "__main__":
    main()
