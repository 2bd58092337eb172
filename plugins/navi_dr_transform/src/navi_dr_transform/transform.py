"""``navi-host transform``: BatchPredictionRequests in files -> tensors in an .npz file."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from navi_core import ConfigError, DecodeError
from navi_dr_transform import load_converter

__all__ = ["read_requests", "run"]

_BASE64_TEXT: Final = re.compile(rb"[A-Za-z0-9+/=\s]*")


def run(
    files: Sequence[Path],
    version_dir: Path,
    output: Path,
    form: str,
    layout: str,
    embedding_length: str,
    *,
    as_json: bool,
) -> None:
    """Convert the files' requests and write the tensors.

    Raises
    ------
    NaviError
        A file, a request or the mapping files cannot be read; says which.
    """
    requests: list[bytes] = []
    sources: list[str] = []
    for file in files:
        found = read_requests(_read(file), form, str(file))
        requests += (payload for _, payload in found)
        sources += (source for source, _ in found)
    converter = load_converter(version_dir, layout, embedding_length=embedding_length)
    try:
        tensors, row_ends = converter.convert(requests)
    except DecodeError as error:
        if error.row is None:
            raise
        raise DecodeError(f"{sources[error.row]}: {error.message}", offset=None) from error
    arrays: dict[str, Any] = {**tensors, "row_ends": row_ends}
    try:
        with output.open("wb") as stream:
            np.savez(stream, **arrays)
    except OSError as error:
        raise ConfigError(f"'{output}' cannot be written: {error.strerror}") from error
    _say(output, arrays, len(requests), as_json=as_json)


def read_requests(content: bytes, form: str, name: str) -> list[tuple[str, bytes]]:
    """Return the requests in a file's content, each with the words that say where it stood.

    Parameters
    ----------
    content
        The file's bytes.
    form
        ``raw``: all of it is one request; ``base64``: each line that is not blank is one; ``auto``:
        base64 when it looks like text. A thrift struct does not: it holds bytes that no text has.
    name
        The file's name.

    Raises
    ------
    DecodeError
        A line is not base64.
    """
    if form == "raw" or (form == "auto" and _BASE64_TEXT.fullmatch(content) is None):
        return [(name, content)]
    requests = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            requests.append((f"{name} line {number}", base64.b64decode(line.strip(), validate=True)))
        except binascii.Error as error:
            raise DecodeError(f"{name} line {number}: expected base64, got something else: {error}") from None
    return requests


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be read: {error.strerror}") from error


def _say(output: Path, arrays: dict[str, Any], num_requests: int, *, as_json: bool) -> None:
    if as_json:
        shapes = {name: {"dtype": str(a.dtype), "shape": list(a.shape)} for name, a in arrays.items()}
        click.echo(json.dumps({"output": str(output), "requests": num_requests, "arrays": shapes}))
        return
    table = Table(title=f"{num_requests} requests -> {output}")
    for column in ("array", "dtype", "shape"):
        table.add_column(column)
    for name, array in arrays.items():
        table.add_row(name, str(array.dtype), str(array.shape))
    Console().print(table)
