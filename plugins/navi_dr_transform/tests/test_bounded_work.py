"""What a request costs is bounded by its bytes and the rows, not by their product: accesses are counted, not time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

COUNT = """
import json, sys
from navi_dr_transform import _memory

accesses = 0

def counted(function):
    def count(*arguments):
        global accesses
        accesses += 1
        return function(*arguments)
    return count

for name in _memory.__all__:
    if name != "rows_of":
        setattr(_memory, name, counted(getattr(_memory, name)))

import struct
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import DTYPES, Layout, LayoutTensor, Source

EMBEDDING, SPARSE = 5, 6

def decoder(width):
    tensors = (
        LayoutTensor("embedding", DTYPES[Source.TENSOR][0], width, Source.TENSOR, 0),
        LayoutTensor("sparse", DTYPES[Source.SPARSE_BINARY][0], width, Source.SPARSE_BINARY, 0),
    )
    layout = Layout(name="any", tensors=tensors, positions={}, segdense_file="", all_config_file="")
    places = tuple(Place(1, column, str(column).encode()) for column in range(width))
    features = FeatureMap({(Source.SPARSE_BINARY, SPARSE): places}, {0: EMBEDDING})
    return Decoder(layout, features, {0: width, 1: width}, exact_embeddings=False, form="record")

def field(number, value_type, count, pair):
    return struct.pack(">bhbbi", 13, number, 10, value_type, count) + count * pair

def coo(width):
    shape = struct.pack(">bhbiq", 15, 1, 10, 1, width)
    indices = struct.pack(">bhbhbib", 12, 2, 15, 1, 10, 0, 0)
    values = struct.pack(">bhbhbhbibb", 12, 3, 12, 5, 15, 1, 4, 0, 0, 0)
    return struct.pack(">qbh", EMBEDDING, 12, 1) + shape + indices + values + b"\\0\\0"

def pairs(width):
    booleans = struct.pack(">qbhbhbibb", EMBEDDING, 12, 7, 15, 1, 2, 0, 0, 0)
    return {"tensors": (8, 12, booleans), "sparse tensors": (9, 12, coo(width)), "sparse features": (5, 14, struct.pack(">qbi", SPARSE, 11, 0))}

found = {}
for width in (8, 64):
    made = decoder(width)
    for name, (number, value_type, pair) in pairs(width).items():
        for count in (1, 101):
            payload = field(number, value_type, count, pair) + b"\\0"
            measured = made.measure([payload])
            out = made.allocate(1)
            accesses = 0
            made.fill(measured, out)
            assert not out[0].any() and not out[1].any()
            found.setdefault(name, {})[f"{width} {count}"] = accesses
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def accesses():
    """Return what a request costs: name -> "width of a row, repetitions of one id" -> reads and writes of memory."""
    ended = subprocess.run(
        [sys.executable, "-c", COUNT],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("repeated", ["tensors", "sparse tensors", "sparse features"])
def test_an_id_that_is_repeated_costs_its_bytes_not_the_width_of_its_row(accesses, repeated):
    cost = accesses[repeated]
    for_repetitions = [cost[f"{width} 101"] - cost[f"{width} 1"] for width in (8, 64)]
    assert for_repetitions[0] == for_repetitions[1] > 0
    for_width = [cost[f"64 {count}"] - cost[f"8 {count}"] for count in (1, 101)]
    assert for_width[0] == for_width[1] > 0
