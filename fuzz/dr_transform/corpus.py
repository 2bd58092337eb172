"""The requests that mutations begin with: some of every form, and what a fuzzer found."""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layouts import BINARY, CONTINUOUS, DISCRETE, EMBEDDINGS, SPARSE, STRINGS, WIDTH
from navi_dr_transform._generated.data import ttypes as data
from navi_dr_transform._generated.prediction_service import ttypes as service
from navi_dr_transform._generated.tensor import ttypes as tensor
from thrift.TSerialization import serialize

FOUND = Path(__file__).with_name("corpus.b64")
"""What covered code that nothing before it did, one request a line."""


def read_corpus() -> list[bytes]:
    """Return the seeds, then what was found."""
    found = FOUND.read_text().split() if FOUND.exists() else []
    return [*seeds(), *map(base64.b64decode, found)]


def write_found(requests: list[bytes]) -> None:
    """Keep what a fuzzer found."""
    FOUND.write_text("".join(f"{base64.b64encode(each).decode()}\n" for each in sorted(requests, key=len)))


def _general(index: int) -> Any:
    floats = [float(index) + each / 4 for each in range(WIDTH + index % 3)]
    ints = [index, -1, 2**31 - 1, 4, 5][: WIDTH + index % 2]
    raw = tensor.RawTypedTensor
    made = tensor.GeneralTensor
    return [
        lambda: made(floatTensor=tensor.FloatTensor(floats=floats, shape=[len(floats)])),
        lambda: made(doubleTensor=tensor.DoubleTensor(doubles=floats)),
        lambda: made(int32Tensor=tensor.Int32Tensor(ints=ints)),
        lambda: made(int64Tensor=tensor.Int64Tensor(longs=ints, shape=[1, len(ints)])),
        lambda: made(
            rawTypedTensor=raw(dataType=0, content=struct.pack(f"<{len(floats)}f", *floats), shape=[4])
        ),
        lambda: made(rawTypedTensor=raw(dataType=1, content=struct.pack(f"<{len(floats)}d", *floats))),
        lambda: made(rawTypedTensor=raw(dataType=2, content=struct.pack(f"<{len(ints)}i", *ints))),
        lambda: made(rawTypedTensor=raw(dataType=3, content=struct.pack(f"<{len(ints)}q", *ints))),
        lambda: made(rawTypedTensor=raw(dataType=4, content=bytes(range(WIDTH)))),
        lambda: made(rawTypedTensor=raw(dataType=7, content=b"\1\0\1\0")),
        lambda: made(stringTensor=tensor.StringTensor(strings=["a", "bb", "", "dddd"])),
        lambda: made(boolTensor=tensor.BoolTensor(booleans=[True, False, True, True])),
    ][index % 12]()


def _sparse(index: int) -> Any:
    return tensor.SparseTensor(
        cooSparseTensor=tensor.COOSparseTensor(
            denseShape=[WIDTH],
            indices=tensor.Int64Tensor(longs=[index % WIDTH, WIDTH - 1]),
            values=tensor.GeneralTensor(floatTensor=tensor.FloatTensor(floats=[0.5, 2.0])),
        )
    )


def _record(index: int, *, compact: bool = False) -> Any:
    """Return a record whose fields are those that the index's bits say."""
    made = data.CompactDataRecord() if compact else data.DataRecord()
    ids = itertools.islice(itertools.cycle(CONTINUOUS), index, index + 1 + index % 7)
    if index & 1 == 0:
        bits = struct.unpack(">i", struct.pack(">f", 0.25))[0]
        made.continuousFeatures = {key: bits if compact else 1.5 * key for key in ids}
    if index & 2 == 0:
        made.binaryFeatures = {BINARY[index % 4], BINARY[0], 99}
        made.discreteFeatures = {DISCRETE[index % 4]: -(2**63), 77: 1}
    if index & 4 == 0:
        made.tensors = {EMBEDDINGS[at]: _general(index // 2 + at) for at in range(1 + index % 3)}
    if index & 8 == 0:
        made.stringFeatures = {STRINGS[0]: "text", 9: ""}
        made.blobFeatures = {STRINGS[1]: b"\0\xff"}
        made.sparseBinaryFeatures = {SPARSE[0]: {"a", "bb", "zzz"}, SPARSE[2]: set()}
        made.sparseContinuousFeatures = {
            SPARSE[1]: {"a": 7 if compact else 0.5, "bb": 1 if compact else -2.0}
        }
        if compact:
            made.sparseBinaryFeaturesWith32bSparseKey = {SPARSE[0]: {7, -1}}
            made.sparseContinuousFeaturesWith64bSparseKey = {SPARSE[1]: {7: 5}}
    if index & 16 == 0:
        made.sparseTensors = {EMBEDDINGS[index % 3]: _sparse(index)}
    return made


def seeds() -> Iterator[bytes]:
    """Yield well-formed requests as Apache Thrift writes them, and some with fields that nobody knows."""
    yield b""
    batch = service.BatchPredictionRequest
    yield serialize(batch(individualFeaturesList=[]))
    for index in range(32):
        compact = index % 3 == 2
        records = [_record(index + at, compact=compact) for at in range(1 + index % 3)]
        common = _record(31 - index, compact=compact) if index % 2 else None
        yield serialize(batch(individualFeaturesList=records, commonFeatures=common))
    for index in (0, 3, 16, 20):
        yield serialize(service.PredictionRequest(features=_record(index)))
        yield serialize(_record(index))
        yield serialize(_record(index, compact=True))
    nested = b"\x0c\x00\x07" * 20 + bytes(20)
    lists = struct.pack(">bhbi", 15, 9, 15, 1) + struct.pack(">bi", 15, 1) * 3 + struct.pack(">bi", 8, 0)
    maps = (
        struct.pack(">bhbbi", 13, 12, 11, 13, 1)
        + struct.pack(">i", 1)
        + b"k"
        + struct.pack(">bbi", 2, 3, 2)
        + b"\1\2\0\4"
    )
    whole = serialize(batch(individualFeaturesList=[_record(0)]))
    for unknown in (nested, lists, maps):
        yield unknown + whole
        yield struct.pack(">bhbi", 15, 1, 12, 2) + unknown + b"\0" + unknown + b"\0\0"
