"""Converter: how a payload becomes named tensors, and rows of a batch; and how a client makes payloads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter_metrics import ConverterMetric
from navi_core.contracts.serve_flags import ServeFlag
from navi_core.signature import Signature
from navi_core.tensors import DType
from navi_core.types import Array, Int64Array, NamedArrays

__all__ = ["BoundConverter", "Converter", "PayloadEncoder", "Plan", "RowSpec"]


@dataclass(frozen=True, slots=True)
class RowSpec:
    """One row of a tensor that is assembled row by row.

    Parameters
    ----------
    dtype
        Element type.
    shape
        The row's shape (the tensor's without its leading dimension), every size known.
    """

    dtype: DType
    shape: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Plan:
    """What one request will fill: known before anything is filled.

    Parameters
    ----------
    num_rows
        Rows that ``fill`` writes; may be 0.
    row_ends
        (payloads,) int64, non-decreasing: the row after each payload's last.
    size_bytes
        Bytes of tensors that ``fill`` writes; counted against limits before memory is taken.
    rows
        The model's input name -> one row of it. Requests whose rows differ are never batched together.
    payload
        Whatever ``fill`` and ``encode`` need again (buffers, offsets). The host does not look at it.
    """

    num_rows: int
    row_ends: Int64Array
    size_bytes: int
    rows: Mapping[str, RowSpec]
    payload: Any = field(default=None, repr=False)


class BoundConverter(ABC):
    """A converter bound to one loaded version's signature. Thread-safe: plans and fills run side by side.

    Attributes
    ----------
    signature
        What clients send and metadata shows. Requests whose input names are the model's own bypass
        the converter.
    """

    signature: Signature

    @abstractmethod
    def plan(self, inputs: NamedArrays) -> Plan:
        """Read every length, fill nothing.

        Called on the loop with inputs already checked against ``signature``: refuses whatever can be
        seen without filling, and is quick.

        Raises
        ------
        DecodeError
            The payload is malformed; with the offset.
        """

    @abstractmethod
    def fill(self, plan: Plan, out: Mapping[str, Array]) -> None:
        """Write exactly ``plan.num_rows`` rows of every tensor, defaults included.

        On a worker thread; heavy work releases the GIL.

        Parameters
        ----------
        plan
            What ``plan`` answered for this request.
        out
            Model input name -> (num_rows, *row) array, C-contiguous, **written**, contents undefined before.

        Raises
        ------
        DecodeError
            The payload is malformed after all: this request fails, its neighbours do not.
        """

    def encode(self, outputs: NamedArrays, plan: Plan) -> NamedArrays:
        """Turn this request's rows of the model's outputs into what the client gets.

        Default: unchanged.
        """
        del plan
        return outputs

    def metrics(self) -> Sequence[ConverterMetric]:
        """Return what this converter counts, as it stands now: shown beside the host's metrics.

        Called from any thread whenever a page of metrics is made, while plans and fills run; quick. Counters
        and histograms never go down. Default: nothing.
        """
        return ()


class PayloadEncoder(ABC):
    """The way back, for clients: columns of values -> payloads. It needs no model. Thread-safe.

    Attributes
    ----------
    input_name
        What clients call the string input that takes the payloads.
    """

    input_name: str

    @abstractmethod
    def encode(self, columns: NamedArrays) -> Array:
        """Make payloads whose rows are the rows of the columns, in order.

        Parameters
        ----------
        columns
            Feature -> one value for each row: a (rows, ...) array of bools, integers, floats, or strings (object,
            of ``bytes``). Where rows differ in shape, or some lack the feature, a (rows,) object array of
            arrays, ``bytes`` and None; values by category are dicts of texts to numbers in such an array. At least
            one; all have the same number of rows, which may be 0. Read-only.

        Returns
        -------
        payloads
            (payloads,) object array of ``bytes``; how many rows one of them holds is the format's affair.

        Raises
        ------
        RequestError
            The format cannot hold a column; ``tensor`` is its name.
        """


class Converter(ABC):
    """Knows a payload format; knows no framework. One instance per host; import-light.

    Attributes
    ----------
    name
        The word used in configuration; unique.
    aliases
        Other words for it.
    options_type
        A ``msgspec.Struct`` (unknown fields forbidden) for this converter's table; None: no options.
    serve_flags
        Flags that ``navi-host serve`` offers for its options.
    """

    name: ClassVar[str]
    aliases: ClassVar[Sequence[str]] = ()
    options_type: ClassVar[type[msgspec.Struct] | None] = None
    serve_flags: ClassVar[Sequence[ServeFlag]] = ()

    def recognise(self, artifact: Artifact) -> bool:
        """Tell whether the artifact brings what this converter needs, so that it is used unasked.

        Looks at file names only. Default: used only when the configuration names it.
        """
        del artifact
        return False

    @abstractmethod
    def bind(self, artifact: Artifact, signature: Signature, options: Any) -> BoundConverter:
        """Bind to one signature of a version that is being loaded. On a loader thread; may be slow.

        Called for each signature that is converted: the default one, and those that the configuration names.
        Compiles or loads kernels: nothing is compiled on the request path.

        Parameters
        ----------
        artifact
            The version's files.
        signature
            The model's own signature.
        options
            An instance of ``options_type``; None where there is none.

        Raises
        ------
        ModelLoadError
            Mapping files are missing or wrong, or the model's inputs do not fit; lists both sides.
        """

    def encoder(self, options: Any) -> PayloadEncoder | None:
        """Return what makes this format's payloads from columns; None: this package has nothing that does.

        Import-light and quick: clients ask for it. Default: None.

        Parameters
        ----------
        options
            What `bind` would get on the other side: an instance of ``options_type``; None where there is none.

        Raises
        ------
        ConfigError
            The options do not say enough.
        """
        del options
        return None
