"""The process that may die: mutations through compiled kernels, input and rows flush against guard pages.

    python child.py FILE SEED FIRST COUNT EVERY

FILE is shared with the parent: which request it is and which target stand in its first page, the request at the
end of what follows, from before it is converted. Every EVERY-th request is kept with what became of it, in
FILE.samples, for the plain twin to be asked about.
"""

from __future__ import annotations

import os
import random
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from corpus import read_corpus
from guard import PAGE, Guarded, array_at_end
from layouts import targets
from mutations import MAX_BYTES, mutate
from navi_dr_transform import _kernels
from navi_dr_transform import decoder as decoder_module
from outcomes import MAX_ROWS, outcome

HEADER = struct.Struct("<QIIQ")  # request's number, its size, the target's number, requests done
SAMPLE = struct.Struct("<II12s")  # size, the target's number, the outcome
BLOCK = 1000
"""Mutations that share a generator: so many are made anew to find one again."""


def unchecked(kernel: Any) -> Any:
    """Return a kernel's entry point behind Numba's check of argument types: it takes views for bytes."""
    (overload,) = kernel.overloads.values()
    return overload.entry_point


class GuardedRows:
    """Rows for a target's tensors, each tensor's last row flush against a guard page."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._regions = {
            index: Guarded(MAX_ROWS * width * decoder.dtype(index).itemsize)
            for index, width in decoder.widths.items()
            if decoder.dtype(index).kind != "O"
        }

    def __call__(self, rows: int) -> dict[int, Any]:
        """Return rows that hold what no tensor does."""
        out = {}
        for index, width in self._decoder.widths.items():
            if index in self._regions:
                out[index] = array_at_end(self._regions[index], (rows, width), self._decoder.dtype(index))
                out[index].view(np.uint8).fill(0xA5)
            else:
                out[index] = np.empty((rows, width), object)
        return out


def main() -> None:
    path, seed, first, count, every = sys.argv[1], *map(int, sys.argv[2:])
    decoder_module._kernels = SimpleNamespace(  # noqa: SLF001 - what the decoder calls
        measure=unchecked(_kernels.measure), fill=unchecked(_kernels.fill)
    )
    chosen = targets()
    rows = [GuardedRows(target.decoder) for target in chosen]
    corpus = read_corpus()
    file = os.open(path, os.O_RDWR)
    os.ftruncate(file, PAGE + MAX_BYTES)
    header, region = Guarded(PAGE, file, 0).first(HEADER.size), Guarded(MAX_BYTES, file, PAGE)
    with Path(f"{path}.samples").open("wb") as samples:
        for number in range(first, first + count):
            if number < len(corpus) * len(chosen):  # the corpus as it is, then changed
                data, which = bytearray(corpus[number // len(chosen)]), number % len(chosen)
            else:
                if number % BLOCK == 0 or number in (first, len(corpus) * len(chosen)):
                    source = random.Random(f"{seed} {number // BLOCK}")
                data, which = mutate(source, corpus), int(source.random() * len(chosen))
            size = min(len(data), MAX_BYTES)
            payload = region.last(size)
            payload[:] = data[:size]
            HEADER.pack_into(header, 0, number, size, which, number - first)
            became = outcome(chosen[which].decoder, payload, rows[which])
            if number % every == 0 or number < len(corpus) * len(chosen):
                samples.write(SAMPLE.pack(size, which, became) + bytes(payload))
    HEADER.pack_into(header, 0, first + count, 0, 0, count)
    print(np.__version__, flush=True)


if __name__ == "__main__":
    main()
