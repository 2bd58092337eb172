"""Many requests of every form: navi's tensors must equal those of Apache Thrift's decoder and NumPy."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from cases import Case
from contenders import World, apache_decoder
from generator import Generator
from mapping import COLUMNS, EMBEDDING_IDS, NAMES
from scatter import Scatter
from writer import MAP, SET, STRING, STRUCT, Record, write_maps, write_request

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e-300, 1e-40, 3.4028235677973366e38, 5e-324]
)


def requests(seed: int) -> Iterator[tuple[Case, bytes]]:
    """Yield requests without end: sizes, orders, embeddings, unknown ids and other fields as the seed has it."""
    random = np.random.default_rng(seed)
    while True:
        case = Case(
            records=int(random.integers(0, 8)),
            features=int(1.5 ** random.integers(0, 17)),
            order=str(random.choice(["producer", "shuffled", "fixed"])),
            common=bool(random.random() < 0.7),
            unknown=float(random.choice([0.0, 0.05, 0.5, 1.0])),
            raw=bool(random.random() < 0.5),
        )
        generator = Generator(case, int(random.integers(2**31)))
        records, common = generator.request()
        for record in (*records, *([] if common is None else [common])):
            _disturb(record, random)
        yield case, write_request(records, common, raw=case.raw)


def _disturb(record: Record, random: np.random.Generator) -> None:
    """Give a record special values, keys twice, longer or no embeddings, and fields that land nowhere."""
    ids, values = record.continuous
    special = random.random(len(ids)) < 0.1
    values[special] = random.choice(SPECIAL, int(special.sum()))
    if random.random() < 0.2:
        again = random.integers(0, len(ids), 3)
        record.continuous = np.concatenate([ids, ids[again]]), np.concatenate([values, values[again] + 1])
    if random.random() < 0.2:
        ids, numbers = record.discrete
        record.discrete = (
            ids,
            random.choice(np.array([2**63 - 1, -(2**63), -1, 0]), len(numbers)),
        )
    if random.random() < 0.2:
        record.tensors = []
    elif random.random() < 0.2:
        record.tensors = [(key, np.concatenate([tensor, tensor[:7]])) for key, tensor in record.tensors]
    for before in range(5):
        if random.random() < 0.1:
            record.others[before] = _other(random)


def _other(random: np.random.Generator) -> bytes:
    def text() -> bytes:
        content = random.bytes(int(random.integers(0, 20))).hex().encode()
        return struct.pack(">i", len(content)) + content

    keys = [int(key) for key in random.integers(-(2**63), 2**63, random.integers(0, 4))]
    texts = [text() for _ in range(random.integers(0, 4))]
    many = b"".join(texts)
    scored = b"".join(each + struct.pack(">d", random.standard_normal()) for each in texts)
    return [
        lambda: write_maps(4, STRING, {key: text() for key in keys}),
        lambda: write_maps(5, SET, dict.fromkeys(keys, struct.pack(">bi", STRING, len(texts)) + many)),
        lambda: write_maps(6, MAP, dict.fromkeys(keys, struct.pack(">bbi", STRING, 4, len(texts)) + scored)),
        lambda: write_maps(7, STRING, {key: text() for key in keys}),
        lambda: struct.pack(">bhq", 10, 99, -1),
        lambda: (
            struct.pack(">bh", STRUCT, 100) + write_maps(1, STRING, {key: text() for key in keys}) + b"\0"
        ),
    ][random.integers(6)]()


def verify_many(world: World, count: int, seed: int = 0) -> int:
    """Compare so many requests and return the number of their records.

    Raises
    ------
    AssertionError
        Tensors differ; says which request and tensor.
    """
    decode, scatter = apache_decoder(compact=False), Scatter(COLUMNS, EMBEDDING_IDS)
    rows = 0
    for number, (case, payload) in zip(range(count), requests(seed), strict=False):
        expected = world.allocate(case.records)
        scatter.write(decode(payload), expected)
        got, _ = world.converter.convert([payload])
        for name, tensor in zip(NAMES, expected, strict=True):
            if got[name].shape != tensor.shape or got[name].dtype != tensor.dtype:
                raise AssertionError(f"request {number} of seed {seed}, {case}: {name}: {got[name].shape}")
            if not np.array_equal(got[name], tensor, equal_nan=tensor.dtype.kind == "f"):
                raise AssertionError(f"request {number} of seed {seed}, {case}: {name} differs")
        rows += case.records
    return rows
