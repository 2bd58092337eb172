"""``navi-host predict``: one request, to a running host or to a model on disk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from navi_core.cli.endpoint import connect, endpoint_options
from navi_core.cli.predict_inputs import input_file_options, read_inputs
from navi_core.cli.show import print_json
from navi_core.cli.state import CliState
from navi_core.errors import ConfigError, SignatureNotFoundError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import DType, dtype_of, string_array
from navi_core.types import Array, NamedArrays
from navi_core.wire.plain_json import to_json_value

if TYPE_CHECKING:
    from navi_core.cli.client_local import LocalModel
    from navi_core.contracts.client import RemoteClient

__all__ = ["make_command", "save_arrays"]


def make_command(state: CliState) -> click.Command:
    """Return the command."""

    def predict(
        model: str | None,
        version: int | None,
        label: str | None,
        signature: str,
        output: Path | None,
        **values: Any,
    ) -> None:
        local: Path | None = values["local"]
        if version is not None and label is not None:
            raise ConfigError("expected one of them", path="--version and --label")
        if model is None:
            if local is None:
                raise ConfigError("missing, expected the name of a model", path="MODEL")
            model = _name_of(local)
        ref = ModelRef(model, version, label)
        with _open(state, values, model) as client:
            known = client.signatures(ref)
            if signature not in known:
                raise SignatureNotFoundError(signature, model=model, known=tuple(known))
            answer = client.predict(ref, read_inputs(values, known[signature], state), signature)
        if output is not None:
            save_arrays(output, answer.outputs)
            return
        outputs = {each: to_json_value(array) for each, array in answer.outputs.items()}
        print_json({"model": model, "version": answer.version, "signature": signature, "outputs": outputs})

    return click.Command(
        "predict",
        callback=predict,
        params=_options(),
        help=(
            "Send one request to MODEL and print the answer as JSON. The inputs come from --json, from --input "
            "files or from --payload files; without any of them, JSON is read from stdin. With --encode, they are "
            "rows, from which an installed converter makes payloads."
        ),
    )


def _options() -> list[click.Parameter]:
    file = click.Path(dir_okay=False, path_type=Path)
    return [
        click.Argument(["model"], required=False),
        click.Option(
            ["--json", "json_text"],
            metavar="TEXT",
            help='{"instances": ...}, {"inputs": ...}, or an object of inputs; @FILE reads a file, - stdin.',
        ),
        *input_file_options(),
        click.Option(["--version"], type=click.IntRange(min=0), help="The version; default: the newest."),
        click.Option(["--label"], help="The version with this label."),
        click.Option(["--signature"], default=DEFAULT_SIGNATURE, show_default=True, metavar="NAME"),
        click.Option(["--output"], type=file, metavar="FILE.npz", help="Write the outputs to FILE instead."),
        click.Option(
            ["--local"],
            type=click.Path(exists=True, path_type=Path),
            metavar="PATH",
            help="Load the model from PATH (a model or version directory, or a file) instead of asking a host.",
        ),
        *endpoint_options("127.0.0.1:8500, or http://127.0.0.1:8501 where no client speaks gRPC"),
    ]


def _name_of(path: Path) -> str:
    from navi_core.models.loading import artifact_at  # noqa: PLC0415 - clients of running hosts load nothing

    return artifact_at(path).name


def _open(
    state: CliState, values: Mapping[str, Any], model: str
) -> AbstractContextManager[RemoteClient | LocalModel]:
    local: Path | None = values["local"]
    if local is None:
        return connect(values, state.registry, ("grpc", "http"))
    from navi_core.cli.client_local import LocalModel  # noqa: PLC0415 - see above

    return LocalModel(local, state.registry, name=model, timeout_s=values["timeout_ms"] / 1000)


def save_arrays(path: Path, arrays: NamedArrays) -> None:
    """Write arrays to an .npz file that ``numpy.load`` reads without pickle.

    Strings become NumPy's fixed-width bytes; where one ends in a zero byte, which NumPy would drop, they become
    ``NAME.bytes``, all of them one after the other, and ``NAME.ends``, for each element the end of its bytes. bfloat16
    and the float8 kinds, which the format does not have, become float32.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    plain = {key: kept for name, array in arrays.items() for key, kept in _plain(name, array).items()}
    with path.open("wb") as stream:  # a path would get the suffix .npz appended
        np.savez(stream, **plain)  # type: ignore[arg-type]  # names of tensors are never allow_pickle's values


def _plain(name: str, array: Array) -> dict[str, Array]:
    dtype = dtype_of(array)
    if dtype is DType.STRING:
        strings = string_array(array)
        if not any(item.endswith(b"\x00") for item in strings.flat):
            return {name: strings.astype(np.bytes_)}
        ends = np.cumsum([len(item) for item in strings.flat], dtype=np.int64).reshape(strings.shape)
        return {f"{name}.bytes": np.frombuffer(b"".join(strings.flat), np.uint8), f"{name}.ends": ends}
    if dtype is DType.BFLOAT16 or dtype.startswith("float8"):
        array = array.astype(np.float32)
    return {name: array}
