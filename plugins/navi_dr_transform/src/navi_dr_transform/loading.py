"""Conversion without a host: the mapping files of a version directory -> an object that converts bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from navi_core import Array, Artifact, DecodeError, ModelLoadError
from navi_dr_transform.binding import layout_widths
from navi_dr_transform.converter import read_feature_map
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.layout import LAYOUTS
from navi_dr_transform.tables import Int64Array

__all__ = ["RequestConverter", "open_converter"]


class RequestConverter:
    """Turns BatchPredictionRequests into every tensor of a layout. Thread-safe.

    Parameters
    ----------
    decoder
        Makes the tensors.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

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
        measured = self._decoder.measure(payloads)
        size_bytes = measured.num_rows * self._decoder.row_size_bytes
        if size_bytes > max_size_bytes:
            msg = (
                f"BatchPredictionRequests: expected at most {max_size_bytes} bytes of tensors, "
                f"got {measured.num_rows} rows, which take {size_bytes}"
            )
            raise DecodeError(msg)
        tensors = self._decoder.allocate(measured.num_rows)
        self._decoder.fill(measured, tensors)
        layout = self._decoder.layout
        return {layout.tensors[index].name: array for index, array in tensors.items()}, measured.row_ends


def open_converter(
    version_dir: str | Path,
    layout: str = "home",
    *,
    embedding_length: str = "truncate",
    widths: Mapping[str, int] | None = None,
    segdense_file: str = "",
    all_config_file: str = "",
) -> RequestConverter:
    """Read a version directory's mapping files; see :func:`navi_dr_transform.load_converter`."""
    if layout not in LAYOUTS:
        raise ModelLoadError(f"layout: expected one of {', '.join(LAYOUTS)}, got '{layout}'")
    if embedding_length not in {"truncate", "strict"}:
        raise ModelLoadError(f"embedding_length: expected truncate or strict, got '{embedding_length}'")
    path = Path(version_dir)
    chosen = LAYOUTS[layout]
    features = read_feature_map(
        Artifact(name=path.name, version=0, path=path), chosen, segdense_file, all_config_file
    )
    decoder = Decoder(
        chosen,
        features,
        layout_widths(chosen, widths or {}, str(path)),
        exact_embeddings=embedding_length == "strict",
    )
    return RequestConverter(decoder)
