#!/usr/bin/env python3
"""Translation speed beside CTranslate2 (int8), in one run, in turns: new ids per second of a
Marian-shaped model with random weights, sources of 25 ids, 32 new ids each.

usage: race_translate.py MODELS TRANSLATE [threads] [repeats]
  MODELS     what bench/make_marian.py wrote
  TRANSLATE  build/translate, which CMake makes with -DNIB_BENCH=ON
Needs numpy and ctranslate2 (pip).  CTranslate2 runs with each number of threads up to `threads`; its
best counts.
"""
import os
import statistics
import subprocess
import sys
import time

SOURCE, NEW = 25, 32
CASES = [(1, 1), (4, 1), (1, 32), (4, 32)]  # beams, batch


def run_nibble(program, model, type_, beams, batch, threads, repeats):
    command = [program, model, type_, beams, batch, SOURCE, NEW, threads, repeats + 1]
    out = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    return [float(x) for x in out.stdout.split()][1:]


def run_peer(translator, beams, batch, repeats):
    ids = [[f"w{2 + (i * 7919 + j * 13) % 50000}" for j in range(SOURCE)] for i in range(batch)]
    rates = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        translator.translate_batch(ids, beam_size=beams, min_decoding_length=NEW,
                                   max_decoding_length=NEW, max_batch_size=batch)
        rates.append(batch * NEW / (time.perf_counter() - begin))
    return rates[1:]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    import ctranslate2
    models, program = sys.argv[1:3]
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else len(os.sched_getaffinity(0))
    repeats = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    folder = os.path.join(models, "hf")
    peers = {n: ctranslate2.Translator(os.path.join(models, "ct2"), device="cpu",
                                       compute_type="int8", inter_threads=1, intra_threads=n)
             for n in range(1, threads + 1)}
    print(f"ctranslate2 {ctranslate2.__version__}, {threads} threads, medians of {2 * repeats}")
    print("beams batch  ctranslate2   nibble q8      x   nibble q4      x   ids/s")
    for beams, batch in CASES:
        rates = {"peer": {n: [] for n in peers}, "q8": [], "q4": []}
        for _ in range(2):  # in turns
            for n, translator in peers.items():
                rates["peer"][n] += run_peer(translator, beams, batch, repeats)
            for type_ in "q8", "q4":
                rates[type_] += run_nibble(program, folder, type_, beams, batch, threads, repeats)
        peer = max(statistics.median(r) for r in rates["peer"].values())
        q8, q4 = statistics.median(rates["q8"]), statistics.median(rates["q4"])
        print(f"{beams:5} {batch:5} {peer:12.1f} {q8:11.1f} {q8 / peer:6.2f} {q4:11.1f} "
              f"{q4 / peer:6.2f}", flush=True)


if __name__ == "__main__":
    main()
