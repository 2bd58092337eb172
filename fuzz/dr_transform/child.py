"""The process that may die: mutations through compiled kernels, input, rows and scratch memory beside guard pages.

    python child.py FILE SEED FIRST COUNT EVERY

FILE is shared with the parent: which request it is and which target stand in its first page, the request at the
end of what follows (a read past it dies) or at its beginning (a read before it does), from before it is converted. Every EVERY-th request is kept with what became of it, in
FILE.samples, for the plain twin to be asked about; the others go to the kernels without the code around them.
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

from corpus import read_corpus
from guard import PAGE, Guarded
from guarded import Direct, GuardedReports, GuardedRows, GuardedScan
from layouts import targets
from mutations import MAX_BYTES, mutate
from outcomes import outcome

from navi_core import DecodeError

HEADER = struct.Struct("<QIIQ")  # request's number, its size, the target's number, requests done
SAMPLE = struct.Struct("<IIqqq12s")  # size, the target's number, spans of another request, the outcome
BLOCK = 1000
"""Mutations that share a generator: so many are made anew to find one again."""


def is_first(number: int) -> bool:
    """Tell whether a request lies behind a guard page: half of them; the others lie before one."""
    return number // 3 % 2 == 1


def spans_of(decoder: Any, corpus: list[bytes]) -> list[tuple[int, int, int]]:
    """Return where records lie in those of the corpus that a decoder takes."""
    found: list[tuple[int, int, int]] = []
    if decoder is None:
        return [(0, 0, 0)]
    for request in corpus:
        with contextlib.suppress(DecodeError):
            found += decoder.measure([request]).spans
    return found


def main() -> None:
    path, seed, first, count, every = sys.argv[1], *map(int, sys.argv[2:])
    chosen = targets()
    rows = [GuardedRows(target.decoder) if target.decoder else None for target in chosen]
    report = GuardedReports()
    direct = [Direct(target.decoder, report()) if target.decoder else None for target in chosen]
    corpus = read_corpus()
    spans = [spans_of(target.decoder, corpus) for target in chosen]
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
            payload = region.first(size) if is_first(number) else region.last(size)
            payload[:] = data[:size]
            HEADER.pack_into(header, 0, number, size, which, number - first)
            sampled = number % every == 0 or number < len(corpus) * len(chosen)
            span = spans[which][number % len(spans[which])]
            if not sampled and direct[which]:
                direct[which](payload, span, counted=number % 8 == 0)
                continue
            became = outcome(
                chosen[which].decoder,
                payload,
                rows[which],
                spans=span,
                report=report,
                scan=GuardedScan,
                prefix=GuardedScan.prefix,
            )
            if sampled:
                samples.write(SAMPLE.pack(size, which, *span, became) + bytes(payload))
    HEADER.pack_into(header, 0, first + count, 0, 0, count)


if __name__ == "__main__":
    main()
