"""Outputs as thrift answers: all rows at once, beside the encoder that takes features of any kind, record by record.

Both write what Apache Thrift reads as the same; times are processor time of one answer, the best of several turns.

    python benchmarks/dr_transform_answers.py [--records 64 1000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from navi_dr_transform.encode import encode_response
from navi_dr_transform.response import ResponseEncoder, ResponseWriter

from navi_core import DType, TensorSpec

NAMES = [f"task.{index}" for index in range(10)]
TRUTHS = ["x", "y", "z"]
TURNS = 7
TURN_S = 0.05


def cases(records: int) -> Iterator[tuple[str, dict, dict]]:
    """Yield what outputs there are, their arrays, and the same by family."""
    random = np.random.default_rng(0)
    floats = random.random((records, 10), np.float32)
    holes = np.where(random.random(floats.shape) < 0.2, np.float32(np.nan), floats)
    yield "ten floats", {"p": floats}, {"continuous": (NAMES, floats)}
    yield "ten floats, a fifth of them NaN", {"p": holes}, {"continuous": (NAMES, holes)}
    counts, truths = np.arange(records), random.random((records, 3)) < 0.5
    tensor = random.random((records, 64), np.float32)
    yield (
        "ten floats, an integer, three truths, a tensor of 64",
        {"p": floats, "i": counts, "b": truths, "e": tensor},
        {
            "continuous": (NAMES, floats),
            "discrete": {"i": counts},
            "binary": (TRUTHS, truths),
            "tensors": {"e": tensor},
        },
    )


def best_us(*calls: Callable[[], object]) -> list[float]:
    """Return the best time of each call; they take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(TURNS):
        for index, call in enumerate(calls):
            started, count = time.process_time(), 0
            while time.process_time() - started < TURN_S:
                call()
                count += 1
            best[index] = min(best[index], (time.process_time() - started) / count)
    return [1e6 * seconds for seconds in best]


def one_record(families: dict, row: int) -> dict:
    """Return one record's columns."""
    return {
        name: (family[0], family[1][row : row + 1])
        if isinstance(family, tuple)
        else {key: column[row : row + 1] for key, column in family.items()}
        for name, family in families.items()
    }


def compare(title: str, records: int, arrays: dict, families: dict) -> None:
    """Print two rows of the table."""
    specs = {name: TensorSpec(name=name, dtype=DType.FLOAT32) for name in arrays}
    features = {"p": NAMES, "b": TRUTHS} if "b" in arrays else {"p": NAMES}
    encoder = ResponseEncoder(specs, features, "the model")
    writer = ResponseWriter(encoder, "predictions", "batch")
    ends = np.arange(1, records + 1)
    before, now = best_us(
        lambda: encode_response(families, num_records=records),
        lambda: encoder.batch(arrays, records),
    )
    print(f"| {title} | {records:,} | {before:,.0f} | {now:,.0f} |")
    before, now = best_us(
        lambda: [encode_response(one_record(families, row), num_records=1) for row in range(records)],
        lambda: writer.write(arrays, ends),
    )
    print(f"| {title}, an answer for each record | {records:,} | {before:,.0f} | {now:,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, nargs="+", default=[64, 1000])
    arguments = parser.parse_args()
    print("| outputs | records | record by record, us | all at once, us |\n|---|---|---|---|")
    for records in arguments.records:
        for title, arrays, families in cases(records):
            compare(title, records, arrays, families)


if __name__ == "__main__":
    main()
