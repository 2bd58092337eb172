"""``navi-host transform``: requests in files -> tensors in an .npz file, or why one became what it did."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from navi_core import Array, DecodeError
from navi_dr_transform.explain import explain
from navi_dr_transform.explain_show import show
from navi_dr_transform.loading import RequestConverter, open_converter
from navi_dr_transform.npz_file import NpzFile
from navi_dr_transform.plain_records import read_records
from navi_dr_transform.request_files import read_requests

__all__ = ["run", "run_explain"]

_MOST_REQUESTS: Final = 512
_CHUNK_BYTES: Final = 4 << 20
_CHUNK_TENSOR_BYTES: Final = 256 << 20


def run(
    files: Sequence[Path],
    version_dir: Path,
    output: Path,
    form: str,
    options: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Convert the files' requests and write the tensors; a few at a time, so memory does not grow with the files.

    Raises
    ------
    NaviError
        A file, a request or a mapping file cannot be read, or the output cannot be written; says which.
    """
    converter = open_converter(version_dir, options)
    num_requests = num_rows = 0
    with NpzFile(output) as npz:
        npz.append({**converter.convert([])[0], "row_ends": np.empty(0, np.int64)})
        with _progress(files) as on_bytes:
            for chunk in _chunks(read_requests(files, form, on_bytes)):
                for tensors, row_ends in _convert(converter, chunk):
                    npz.append({**tensors, "row_ends": row_ends + num_rows})
                    num_rows += int(row_ends[-1])
                num_requests += len(chunk)
        shapes = npz.shapes
    _say(output, shapes, num_requests, as_json=as_json)


def run_explain(
    files: Sequence[Path],
    version_dir: Path,
    number: int,
    form: str,
    options: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Show what became of one request of the files: the ``number``-th, counted from 1.

    Raises
    ------
    NaviError
        A file, the request or a mapping file cannot be read, or there are fewer requests; says which.
    """
    converter = open_converter(version_dir, options)
    found = next(itertools.islice(read_requests(files, form), number - 1, None), None)
    if found is None:
        raise DecodeError(f"expected at least {number} requests in the files, got fewer")
    source, payload = found
    _named([found], lambda: converter.decoder.measure([payload]))
    records, common = read_records(payload, converter.form)
    show(explain(records, common, converter.resolved, converter.decoder.widths), source, as_json=as_json)


def _chunks(requests: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Yield requests a few at a time: many small ones, or one that is large."""
    chunk: list[tuple[str, bytes]] = []
    size_bytes = 0
    for request in requests:
        chunk.append(request)
        size_bytes += len(request[1])
        if len(chunk) >= _MOST_REQUESTS or size_bytes >= _CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


def _convert(
    converter: RequestConverter, chunk: Sequence[tuple[str, bytes]]
) -> Iterator[tuple[Mapping[str, Array], Array]]:
    """Convert a chunk at once, or one request at a time where its tensors would take too much memory."""
    decoder = converter.decoder
    payloads = [payload for _, payload in chunk]
    measured = _named(chunk, lambda: decoder.measure(payloads))
    if len(chunk) == 1 or measured.num_rows * decoder.row_size_bytes <= _CHUNK_TENSOR_BYTES:
        yield _named(chunk, lambda: converter.convert(payloads))
        return
    for one in chunk:
        yield _named([one], partial(converter.convert, [one[1]]))


def _named(chunk: Sequence[tuple[str, bytes]], call: Callable[[], Any]) -> Any:
    """Call, and say of a request that is refused where it stood."""
    try:
        return call()
    except DecodeError as error:
        if error.row is None and len(chunk) > 1:
            raise
        # the place in the chunk is nobody's business: the file and the line say more
        message = error.message.replace(f" (at payload {error.row}, offset ", " (at offset ")
        raise DecodeError(f"{chunk[error.row or 0][0]}: {message}", offset=None) from error


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Callable[[int], object]]:
    """Show a bar of the files' bytes where a person watches; give what to tell it."""
    if not sys.stderr.isatty():
        yield int
        return
    known = all(file.is_file() for file in files)
    total = sum(file.stat().st_size for file in files) if known else None
    columns = (TextColumn("converting"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("converting", total=total)
        yield lambda count: bar.advance(task, count)


def _say(
    output: Path, shapes: Mapping[str, tuple[str, Sequence[int]]], num_requests: int, *, as_json: bool
) -> None:
    if as_json:
        arrays = {name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in shapes.items()}
        click.echo(json.dumps({"output": str(output), "requests": num_requests, "arrays": arrays}))
        return
    table = Table(title=f"{num_requests} request{'s' * (num_requests != 1)} -> {output}")
    for column in ("array", "dtype", "shape"):
        table.add_column(column)
    for name, (dtype, shape) in shapes.items():
        table.add_row(name, dtype, str(tuple(shape)))
    Console().print(table)
