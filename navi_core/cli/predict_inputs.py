"""The inputs of one request, from JSON, .npy, .npz and payload files, or from rows by a converter's encoder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from navi_core.cli.record_files import parse_json_records, read_options, read_records
from navi_core.errors import ConfigError, InvalidRequestError
from navi_core.payloads import encode_payloads
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.types import Array
from navi_core.wire.tensor_json import decode_json_request

if TYPE_CHECKING:
    from navi_core.cli.state import CliState

__all__ = ["input_file_options", "read_arrays", "read_inputs", "read_json", "read_payloads"]


def input_file_options() -> list[click.Parameter]:
    """Return the options by which a command takes inputs from files; :func:`read_inputs` reads them."""
    return [
        click.Option(
            ["--input", "arrays"],
            multiple=True,
            metavar="[NAME=]FILE",
            help="An input from FILE.npy, or all inputs from FILE.npz; with --encode, rows from FILE.json, FILE.csv "
            "or FILE.npz.",
        ),
        click.Option(
            ["--payload", "payloads"],
            multiple=True,
            metavar="FILE",
            help="The bytes of FILE as one element of the model's string input.",
        ),
        click.Option(
            ["--encode"], metavar="CONVERTER", help="Make payloads of the rows with this converter's encoder."
        ),
        click.Option(
            ["--encode-options"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE.toml",
            help="The converter's options: its table.",
        ),
    ]


def read_inputs(values: Mapping[str, Any], signature: Signature, state: CliState) -> dict[str, Array]:
    """Return the tensors of one request; files may be combined, JSON stands alone.

    Parameters
    ----------
    values
        Of the options.
    signature
        Gives the inputs' names and types.
    state
        Its registry knows the converters.

    Raises
    ------
    ConfigError
        JSON beside files, an input twice, or a file that cannot be read.
    NaviError
        What is read is no request, or cannot be encoded.
    """
    arrays, payloads, text = values["arrays"], values["payloads"], values["json_text"]
    if values["encode"] is not None:
        return _encoded(values, signature, state)
    if values["encode_options"] is not None:
        raise ConfigError("expected --encode beside it", path="--encode-options")
    if not arrays and not payloads:
        return read_json("-" if text is None else text, signature)
    if text is not None:
        raise ConfigError("expected no --input and --payload beside it", path="--json")
    from_arrays = read_arrays(arrays, signature)
    from_payloads = read_payloads(payloads, signature) if payloads else {}
    for name in from_payloads:
        if name in from_arrays:
            raise ConfigError(f"expected each input once, got '{name}' again", path="--payload")
    return {**from_arrays, **from_payloads}


def _encoded(values: Mapping[str, Any], signature: Signature, state: CliState) -> dict[str, Array]:
    arrays, text = values["arrays"], values["json_text"]
    if values["payloads"] or len(arrays) > 1 or (arrays and text is not None):
        raise ConfigError("expected rows from one --input or from --json", path="--encode")
    if arrays:
        records = read_records(Path(arrays[0]))
    else:
        records = parse_json_records(_content("-" if text is None else text), "--json")
    table = read_options(values["encode_options"]) if values["encode_options"] is not None else {}
    inputs = encode_payloads(values["encode"], records, options=table, registry=state.registry)
    [(name, encoded)] = inputs.items()
    # the model's own configuration may call the input otherwise
    return {name if name in signature.inputs else _only_string_input(signature, "--encode"): encoded}


def read_json(text: str, signature: Signature) -> dict[str, Array]:
    """Return the tensors of a JSON text.

    Parameters
    ----------
    text
        ``{"instances": [...]}`` or ``{"inputs": ...}`` as in TensorFlow Serving's REST API, or what stands behind
        ``inputs`` by itself: an object of input name -> nested lists. ``-``: read it from stdin;
        ``@FILE``: from a file.
    signature
        Gives the tensors' types.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no JSON.
    InvalidRequestError, UnsupportedError
        It does not fit the signature.
    """
    said = _content(text).strip()
    body = said if _is_request(said, signature.inputs) else b'{"inputs":' + said + b"}"
    try:
        return decode_json_request(body, lambda _: signature.inputs).inputs
    except InvalidRequestError:
        _check_json(said)  # places in the text that was given, not in the request that it became
        raise


def _check_json(text: bytes) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected JSON: {error}", path="--json") from None


def _is_request(body: bytes, specs: Mapping[str, TensorSpec]) -> bool:
    """Tell whether a text is a whole request: decided by its first key, unless an input has that name."""
    head = body[:64].replace(b" ", b"").replace(b"\n", b"").replace(b"\t", b"").replace(b"\r", b"")
    return any(
        head.startswith(b'{"' + word + b'"') and word.decode() not in specs
        for word in (b"instances", b"inputs", b"signature_name")
    )


def _content(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            raise ConfigError(f"{text[1:]} cannot be read: {error.strerror}", path="--json") from None
    return text.encode()


def read_arrays(words: Sequence[str], signature: Signature) -> dict[str, Array]:
    """Return the tensors of ``NAME=FILE.npy`` and ``FILE.npz`` words.

    Parameters
    ----------
    words
        The name may be left out where the signature has one input.
    signature
        Where a name may come from.

    Raises
    ------
    ConfigError
        A file cannot be read, is no array, or its name is missing or repeated.
    """
    arrays: dict[str, Array] = {}
    for word in words:
        name, _, path = word.rpartition("=")
        loaded = _loaded(path)
        if isinstance(loaded, dict):
            if name:
                raise ConfigError(f"expected FILE.npz without a name, got '{word}'", path="--input")
            found = loaded
        else:
            found = {name or _only_input(signature, path): loaded}
        for each, array in found.items():
            if each in arrays:
                raise ConfigError(f"expected each input once, got '{each}' again", path="--input")
            arrays[each] = array
    return arrays


def _only_input(signature: Signature, path: str) -> str:
    if len(signature.inputs) != 1:
        names = ", ".join(signature.inputs)
        raise ConfigError(f"expected NAME={path}, with NAME one of {names}", path="--input")
    return next(iter(signature.inputs))


def _loaded(path: str) -> Array | dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path} cannot be read as .npy or .npz: {text}", path="--input") from None


def read_payloads(words: Sequence[str], signature: Signature) -> dict[str, Array]:
    """Return one string tensor, shape (files,), of the raw bytes of files.

    Parameters
    ----------
    words
        Paths.
    signature
        Its one string input takes them.

    Raises
    ------
    ConfigError
        A file cannot be read, or the signature has no string input, or several.
    """
    name = _only_string_input(signature, "--payload")
    payloads = np.empty(len(words), dtype=object)
    for index, word in enumerate(words):
        try:
            payloads[index] = Path(word).read_bytes()
        except OSError as error:
            raise ConfigError(f"{word} cannot be read: {error.strerror}", path="--payload") from None
    return {name: payloads}


def _only_string_input(signature: Signature, option: str) -> str:
    names = [name for name, spec in signature.inputs.items() if spec.dtype is DType.STRING]
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise ConfigError(f"expected a model with one string input, got {listed}", path=option)
    return names[0]
