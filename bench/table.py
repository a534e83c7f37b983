#!/usr/bin/env python3
"""Tables in Markdown from the JSON of nibble_bench: medians over the repetitions.
usage: bench/table.py BENCH.json"""
import json
import statistics
import sys


def read(path):
    """name -> {field: median}, and the context."""
    with open(path) as file:
        data = json.load(file)
    samples = {}
    for line in sorted(data["benchmarks"], key=lambda line: line["family_index"]):
        if line["run_type"] != "iteration" or line.get("error_occurred"):
            continue
        fields = samples.setdefault(line["run_name"].replace("/real_time", ""), {})
        for key, value in line.items():
            if isinstance(value, float):
                fields.setdefault(key, []).append(value)
    medians = {
        name: {key: statistics.median(values) for key, values in fields.items()}
        for name, fields in samples.items()
    }
    return medians, data["context"]


def names(lines, kind, place):
    """What stands at a place of the names of one kind, in order of appearance."""
    found = {}
    for name in lines:
        parts = name.split("/")
        if parts[0] == kind:
            found[parts[place]] = None
    return list(found)


def print_table(title, head, rows):
    rows = [row for row in rows if any(cell != "" for cell in row[1:])]
    if not rows:
        return
    print("\n%s\n" % title)
    print("| %s |" % " | ".join(head))
    print("|%s|" % "|".join(["---"] + ["--:"] * (len(head) - 1)))
    for row in rows:
        print("| %s |" % " | ".join(row))


def cell(line, rate, share=None, digits=0):
    if not line:
        return ""
    text = "%.*f" % (digits, line[rate])
    return text + (" (%.0f %%)" % line[share] if share and line[share] else "")


def print_peaks(lines):
    rows = []
    for name, line in lines.items():
        parts = name.split("/", 3)
        if parts[0] != "peak":
            continue
        if parts[1] == "read":
            cores = {"one": "one core", "all": "all cores"}[parts[2]]
            rows.append(["read, %s" % cores, "", "%.1f GB/s" % line["GB/s"]])
        else:
            rows.append([parts[2], parts[3], "%.0f GOPS" % line["GOPS"]])
    print_table("**Peaks** (a multiplication and its addition are two operations)",
                ["level", "loop", "per core"], rows)


def ratio(lines, name, n, suffix):
    """How much longer n tokens take than one."""
    one, more = lines.get(name % 1 + suffix), lines.get(name % n + suffix)
    return "%.2f" % (one["GB/s"] / more["GB/s"]) if one and more else ""


def print_matmul(lines, isa):
    head = ["type", "1, GB/s (of read)", "2 : 1", "4 : 1", "1 on all cores", "2 : 1", "4 : 1",
            "1 warm, GOPS", "8", "32", "512", "512 cold"]
    rows = []
    for pack in names(lines, "matmul", 1):
        name = "matmul/%s/%s/tokens:%%d" % (pack, isa)
        cold, team, warm = "/cold", "/cold/all", "/warm"
        row = [pack, cell(lines.get(name % 1 + cold), "GB/s", "memory%", 1)]
        row += [ratio(lines, name, n, cold) for n in (2, 4)]
        row.append(cell(lines.get(name % 1 + team), "GB/s", "memory%", 1))
        row += [ratio(lines, name, n, team) for n in (2, 4)]
        row += [cell(lines.get(name % n + warm), "GOPS", "compute%") for n in (1, 8, 32, 512)]
        row.append(cell(lines.get(name % 512 + cold), "GOPS", "compute%"))
        rows.append(row)
    print_table("**Matrix products, %s**: weights streamed from memory (1 token; how much longer 2 and "
                "4 take), then GOPS and share of the level's peak" % isa, head, rows)


def print_attention(lines, isa):
    kinds = [(rows, keys) for rows in names(lines, "attention", 3)
             for keys in names(lines, "attention", 4)]
    rows = []
    for cache in names(lines, "attention", 1):
        row = [cache]
        for n_rows, n_keys in kinds:
            line = lines.get("attention/%s/%s/%s/%s" % (cache, isa, n_rows, n_keys))
            row.append("%.0f us (%.0f %%)" % (line["cpu_time"], line["peak%"]) if line else "")
        rows.append(row)
    head = ["cache"] + ["%s, %s" % (r.replace("rows:", "rows "), k.replace("keys:", "keys "))
                        for r, k in kinds]
    print_table("**Attention, %s**: one layer, 8 heads of 64 sharing 2; the greater share of reading and "
                "float peak" % isa, head, rows)


def print_floats(lines):
    levels = names(lines, "float", 2)
    rows = []
    for kernel in names(lines, "float", 1):
        row = [kernel]
        for isa in levels:
            line = lines.get("float/%s/%s" % (kernel, isa))
            row.append("%.3f" % (1000 * line["cpu_time"] / 2048) if line else "")
        rows.append(row)
    print_table("**Float kernels**, ns per value", ["kernel"] + levels, rows)


def print_sampling(lines):
    sizes = names(lines, "sampling", 2)
    rows = []
    for chain in names(lines, "sampling", 1):
        found = [lines.get("sampling/%s/%s" % (chain, size)) for size in sizes]
        rows.append([chain] + ["%.1f" % line["cpu_time"] if line else "" for line in found])
    print_table("**Sampling**, us per token",
                ["chain"] + [size.replace("vocab:", "of ") for size in sizes], rows)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines, context = read(sys.argv[1])
    print("%s, %s cores (%s), levels %s; huge pages: %s; load at start: %s" % (
        context.get("cpu") or "unknown CPU", context.get("cores"), context.get("caches_used"),
        context.get("levels"), context.get("huge_pages"),
        " ".join("%.1f" % load for load in context.get("load_avg", []))))
    print_peaks(lines)
    for isa in reversed(names(lines, "matmul", 2)):
        print_matmul(lines, isa)
    for isa in reversed(names(lines, "attention", 2)):
        print_attention(lines, isa)
    print_floats(lines)
    print_sampling(lines)


main()
