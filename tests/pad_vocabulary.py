"""Writes a model whose embedding and head have 8 rows more than there are tokens.

usage: pad_vocabulary.py MODEL.gguf OUT.gguf

The rows of the head are 1000 times its first row and the negative of that in turn, so that the largest
logit is always one of theirs.  For models whose two matrices are Q8_0 and first in the table of tensors.
"""
import struct
import sys

PADDING = 8


def read_table(data, at, n_tensors):
    """{name: (place of its dimensions, rows, columns, offset)} and where the table ends."""
    tensors = {}
    for _ in range(n_tensors):
        (length,) = struct.unpack_from("<Q", data, at)
        name = bytes(data[at + 8 : at + 8 + length]).decode()
        at += 8 + length
        (n_dims,) = struct.unpack_from("<I", data, at)
        dims = struct.unpack_from(f"<{n_dims}Q", data, at + 4)
        kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * n_dims)
        tensors[name] = (at + 4, dims, kind, offset)
        at += 4 + 8 * n_dims + 12
    return tensors, at


def main(source, out):
    data = bytearray(open(source, "rb").read())
    (n_tensors,) = struct.unpack_from("<Q", data, 8)
    begin = data.index(struct.pack("<Q", 13) + b"output.weight")
    tensors, end = read_table(data, begin, n_tensors)
    start = (end + 31) // 32 * 32
    for name in ("output.weight", "token_embd.weight"):
        at, (n_cols, n_rows), kind, offset = tensors[name]
        assert kind == 8, "Q8_0"
        row_bytes = n_cols // 32 * 34
        rows = bytes(data[start + offset : start + offset + n_rows * row_bytes])
        for i in range(PADDING):
            row = bytearray(rows[:row_bytes])
            for block in range(0, row_bytes, 34):
                (scale,) = struct.unpack_from("<e", row, block)
                struct.pack_into("<e", row, block, scale * (1000 if i % 2 else -1000))
            rows += row
        data += bytes(-len(data) % 32)
        struct.pack_into("<QQ", data, at, n_cols, n_rows + PADDING)
        struct.pack_into("<Q", data, at + 16 + 4, len(data) - start)
        data += rows
    open(out, "wb").write(data)


main(*sys.argv[1:])
