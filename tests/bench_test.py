#!/usr/bin/env python3
"""Every bench runs, at its smallest size, and the table can be made of what it writes.
usage: tests/bench_test.py NIBBLE_BENCH TABLE.py FOLDER"""
import json
import os
import subprocess
import sys

FIELDS = ["GB/s", "GOPS", "peak_GB/s", "peak_GOPS", "memory%", "compute%", "peak%"]
KINDS = ["peak", "matmul", "attention", "float", "sampling"]


def main():
    program, table, folder = sys.argv[1:]
    out = os.path.join(folder, "bench-test.json")
    wanted = subprocess.run([program, "--tiny", "--benchmark_list_tests"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.split("\n")
    wanted = {name for name in wanted if name}
    subprocess.run([program, "--tiny", "--benchmark_min_time=0.0001", "--benchmark_out=" + out,
                    "--benchmark_out_format=json"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    with open(out) as file:
        data = json.load(file)
    lines = {line["name"]: line for line in data["benchmarks"]}
    assert wanted and set(lines) == wanted, "not run: %s" % (wanted - set(lines))
    for kind in KINDS:
        assert any(name.startswith(kind + "/") for name in lines), "no %s" % kind
    for name, line in lines.items():
        assert not line.get("error_occurred"), "%s: %s" % (name, line.get("error_message"))
        assert line["cpu_time"] >= 0 and line["iterations"] > 0, name
        if not name.startswith("peak/"):
            assert all(isinstance(line[field], float) for field in FIELDS), name
            assert line["GB/s"] > 0, name
        if name.startswith("matmul/"):
            assert line["GOPS"] > 0, name
            assert "/scalar/" in name or line["peak_GOPS"] > 0, name
    for key in ["cpu", "levels", "cores", "huge_pages"]:
        assert key in data["context"], key

    text = subprocess.run([table, out], check=True, text=True, stdout=subprocess.PIPE).stdout
    for level in data["context"]["levels"].split():
        assert "**Matrix products, %s**" % level in text, text
    assert "**Attention" in text and "**Float" in text and "**Sampling" in text, text
    print("%d benches" % len(lines))


main()
