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
from writer import DOUBLE, I32, I64, LIST, MAP, SET, STRING, STRUCT, Record, write_maps, write_request

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e-300, 1e-40, 3.4028235677973366e38, 5e-324]
)


def requests(seed: int) -> Iterator[tuple[Case, bytes]]:
    """Yield requests without end: sizes, orders, embeddings, unknown ids and other fields as the seed has it."""
    random, forms = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    while True:
        case = Case(
            records=int(random.integers(0, 8)),
            features=int(1.5 ** random.integers(0, 17)),
            order=str(random.choice(["producer", "shuffled", "fixed"])),
            common=bool(random.random() < 0.7),
            unknown=float(random.choice([0.0, 0.05, 0.5, 1.0])),
            raw=bool(random.random() < 0.5),
            compact=bool(forms.random() < 0.25),
        )
        generator = Generator(case, int(random.integers(2**31)))
        records, common = generator.request()
        for record in (*records, *([] if common is None else [common])):
            _disturb(record, random, compact=case.compact)
            if forms.random() < 0.3:
                _retype(record, forms, compact=case.compact)
        yield case, write_request(records, common, compact=case.compact, raw=case.raw)


def _disturb(record: Record, random: np.random.Generator, *, compact: bool) -> None:
    """Give a record special values, keys twice, longer or no embeddings, and fields that land nowhere."""
    ids, values = record.continuous
    special = random.random(len(ids)) < 0.1
    values[special] = random.choice(SPECIAL, int(special.sum()))
    if random.random() < 0.2:
        again = random.integers(0, len(ids), 3)
        record.continuous = np.concatenate([ids, ids[again]]), np.concatenate([values, values[again] + 1])
    if compact:  # what it holds; too large for a float is infinite, in navi as in NumPy
        with np.errstate(over="ignore"):
            record.continuous = record.continuous[0], record.continuous[1].astype(np.float32)
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
            record.others[before] = _other(random, compact=compact)


def _retype(record: Record, random: np.random.Generator, *, compact: bool) -> None:
    """Write a record's embeddings as tensors of another type, some of them as sparse ones."""
    dense, sparse = {}, {}
    for key, values in record.tensors:
        if random.random() < 0.3:
            sparse[key] = _sparse(values, random)
        else:
            dense[key] = _typed(values, int(random.integers(7)))
    record.tensors = []
    fields = [
        write_maps(field + 6 * compact, STRUCT, tensors)
        for field, tensors in ((8, dense), (9, sparse))
        if tensors
    ]
    record.others[4] = b"".join(fields) + record.others.get(4, b"")


def _typed(values: np.ndarray, kind: int) -> bytes:
    """Return a GeneralTensor: a typed one of doubles or integers, or a raw one of these or bytes."""
    numbers = values.astype(np.float64) * 1000
    if kind < 3:
        member, element, dtype = ((6, DOUBLE, ">f8"), (3, I32, ">i4"), (4, I64, ">i8"))[kind]
        content = struct.pack(">bhbi", LIST, 1, element, len(numbers)) + numbers.astype(dtype).tobytes()
    else:
        member = 1
        raw = (
            (numbers % 256 if kind == 6 else numbers).astype(("<f8", "<i4", "<i8", "u1")[kind - 3]).tobytes()
        )
        content = struct.pack(">bhibhi", I32, 1, kind - 2, STRING, 2, len(raw)) + raw
    return struct.pack(">bh", STRUCT, member) + content + b"\0\0"


def _sparse(values: np.ndarray, random: np.random.Generator) -> bytes:
    """Return a COOSparseTensor with some of the values, in one dimension or two; a place may come twice."""
    shape = [len(values)] if random.random() < 0.5 else [3, len(values)]
    count = int(random.integers(0, 20))
    indices = np.stack([random.integers(0, extent, count) for extent in shape], axis=1).astype(">i8")
    longs = struct.pack(">bhbi", LIST, 1, I64, indices.size) + indices.tobytes() + b"\0"
    return (
        struct.pack(">bhbhbi", STRUCT, 1, LIST, 1, I64, len(shape))
        + np.array(shape, ">i8").tobytes()
        + struct.pack(">bh", STRUCT, 2)
        + longs
        + struct.pack(">bh", STRUCT, 3)
        + _typed(values[:count], int(random.integers(7)))
        + b"\0\0"
    )


def _other(random: np.random.Generator, *, compact: bool) -> bytes:
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
        lambda: (
            write_maps(6, MAP, {})
            if compact
            else write_maps(6, MAP, dict.fromkeys(keys, struct.pack(">bbi", STRING, 4, len(texts)) + scored))
        ),
        lambda: write_maps(13 if compact else 7, STRING, {key: text() for key in keys}),
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
    decoders = [apache_decoder(compact=compact) for compact in (False, True)]
    scatters = [Scatter(COLUMNS, EMBEDDING_IDS, compact=compact) for compact in (False, True)]
    rows = 0
    for number, (case, payload) in zip(range(count), requests(seed), strict=False):
        expected = world.allocate(case.records)
        scatters[case.compact].write(decoders[case.compact](payload), expected)
        got, _ = world.converter.convert([payload])
        for name, tensor in zip(NAMES, expected, strict=True):
            if got[name].shape != tensor.shape or got[name].dtype != tensor.dtype:
                raise AssertionError(f"request {number} of seed {seed}, {case}: {name}: {got[name].shape}")
            if not np.array_equal(got[name], tensor, equal_nan=tensor.dtype.kind == "f"):
                raise AssertionError(f"request {number} of seed {seed}, {case}: {name} differs")
        rows += case.records
    return rows
