"""Conversion without a host: the mapping files of a version directory -> an object that converts bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from navi_core import Array, Artifact, ConfigError, DecodeError, ModelLoadError, convert_options
from navi_dr_transform.binding import layout_widths
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.options import BprOptions, read_options
from navi_dr_transform.resolve import resolve_layout
from navi_dr_transform.resolved import ResolvedLayout
from navi_dr_transform.tables import Int64Array

__all__ = ["RequestConverter", "open_converter"]


class RequestConverter:
    """Turns BatchPredictionRequests into every tensor of a layout. Thread-safe.

    Parameters
    ----------
    decoder
        Makes the tensors.
    resolved
        The layout, and the features that fill it.
    form
        What one payload is: ``batch``, ``prediction`` or ``record``.
    """

    def __init__(self, decoder: Decoder, resolved: ResolvedLayout, form: str = "batch") -> None:
        self.decoder = decoder
        self.resolved = resolved
        self.form = form

    def convert(
        self, payloads: Sequence[bytes], *, max_size_bytes: int = 4 << 30
    ) -> tuple[dict[str, Array], Int64Array]:
        """Convert requests.

        Parameters
        ----------
        payloads
            Thrift BatchPredictionRequests, each a bare struct in TBinaryProtocol.
        max_size_bytes
            The most bytes that all tensors together may take: an empty record is one byte of a payload
            and a whole row of every tensor.

        Returns
        -------
        tensors
            Name -> (rows, width) array; one row for each individual record of each payload, in order.
        row_ends
            (payloads,) int64. The row after each payload's last.

        Raises
        ------
        DecodeError
            A payload is malformed, or the tensors would be too large.
        """
        measured = self.decoder.measure(payloads)
        size_bytes = measured.num_rows * self.decoder.row_size_bytes
        if size_bytes > max_size_bytes:
            msg = (
                f"BatchPredictionRequests: expected at most {max_size_bytes} bytes of tensors, "
                f"got {measured.num_rows} rows, which take {size_bytes}"
            )
            raise DecodeError(msg)
        tensors = self.decoder.allocate(measured.num_rows)
        self.decoder.fill(measured, tensors)
        layout = self.decoder.layout
        return {layout.tensors[index].name: array for index, array in tensors.items()}, measured.row_ends


def open_converter(version_dir: str | Path, said: Mapping[str, Any]) -> RequestConverter:
    """Read a version directory's files; see :func:`navi_dr_transform.load_converter`.

    Parameters
    ----------
    version_dir
        The directory.
    said
        Options over those of the directory's ``navi.toml``.

    Raises
    ------
    ConfigError
        A ``navi.toml`` cannot be read.
    ModelLoadError
        An option or a mapping file is wrong; names the directory, as there is no model and no version.
    """
    path = Path(version_dir)
    table = {**read_options(path), **said}
    try:
        options: BprOptions = convert_options(BprOptions, table, "converter_options")
    except ConfigError as error:
        raise ModelLoadError(f"{path}: {error}") from None
    try:
        resolved = resolve_layout(Artifact(name=path.name, version=0, path=path), options, str(path))
    except ModelLoadError as error:
        raise ModelLoadError(error.message) from error.__cause__
    decoder = Decoder(
        resolved.layout,
        resolved.features,
        layout_widths(resolved.layout, options.widths, str(path)),
        exact_embeddings=options.embedding_length == "strict",
        form=options.request,
    )
    return RequestConverter(decoder, resolved, options.request)
