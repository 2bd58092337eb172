"""The inputs of one request, from JSON, .npy, .npz and payload files."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from navi_core.errors import ConfigError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.types import Array
from navi_core.wire.tensor_json import decode_json_request

__all__ = ["read_arrays", "read_json", "read_payloads"]


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
        The file cannot be read.
    InvalidRequestError, UnsupportedError
        It is no JSON, or does not fit the signature.
    """
    body = _content(text).strip()
    if not _is_request(body, signature.inputs):
        body = b'{"inputs":' + body + b"}"
    return decode_json_request(body, lambda _: signature.inputs).inputs


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
    names = [name for name, spec in signature.inputs.items() if spec.dtype is DType.STRING]
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise ConfigError(f"expected a model with one string input, got {listed}", path="--payload")
    payloads = np.empty(len(words), dtype=object)
    for index, word in enumerate(words):
        try:
            payloads[index] = Path(word).read_bytes()
        except OSError as error:
            raise ConfigError(f"{word} cannot be read: {error.strerror}", path="--payload") from None
    return {names[0]: payloads}
