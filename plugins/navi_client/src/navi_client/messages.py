"""What goes into a request, and what comes out of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from navi_client.types import Array, Inputs, Parameters

__all__ = [
    "Class",
    "ListedModel",
    "ModelMetadata",
    "Outputs",
    "Request",
    "Target",
    "TensorInfo",
    "VersionStatus",
]


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is for: a model, perhaps one version of it.

    Parameters
    ----------
    model
        Its name.
    version
        A number (Open Inference Protocol: or a text); None: the server's choice, the newest.
    label
        The version with this label (TensorFlow Serving); at most one of the two.
    signature
        Which of the model's signatures (TensorFlow Serving); empty: ``serving_default``.

    Raises
    ------
    ValueError
        There is no name, or both a version and a label.
    """

    model: str
    version: int | str | None = None
    label: str | None = None
    signature: str = ""

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model: expected a name, got none")
        if self.version is not None and self.label is not None:
            raise ValueError(
                f"expected a version or a label, got version {self.version} and label '{self.label}'"
            )


@dataclass(frozen=True, slots=True)
class Request:
    """One request for a prediction.

    Parameters
    ----------
    target
        What it is for.
    inputs
        Input name -> array.
    outputs
        The outputs that are wanted; empty: all.
    parameters
        Parameters of the request (Open Inference Protocol).
    request_id
        Echoed by the server (Open Inference Protocol).
    """

    target: Target
    inputs: Inputs
    outputs: Sequence[str] = ()
    parameters: Parameters = field(default_factory=dict)
    request_id: str = ""


class Outputs(dict[str, Array]):
    """Output name -> array, and what is said of the answer as a whole.

    Numeric arrays are read-only views of the answer where its encoding allows, else arrays of their own: copy
    what is to be written to. Strings are object arrays of ``bytes``.

    Attributes
    ----------
    model
        Which model answered.
    version
        Which version of it; empty where the protocol does not say.
    signature
        Which signature of it (TensorFlow Serving).
    request_id
        The request's (Open Inference Protocol), or the server's own (Proton).
    parameters
        Parameters of the answer (Open Inference Protocol).
    """

    __slots__ = ("model", "parameters", "request_id", "signature", "version")

    def __init__(
        self,
        arrays: Mapping[str, Array],
        *,
        model: str = "",
        version: str = "",
        signature: str = "",
        request_id: str = "",
        parameters: Parameters | None = None,
    ) -> None:
        super().__init__(arrays)
        self.model = model
        self.version = version
        self.signature = signature
        self.request_id = request_id
        self.parameters: Parameters = {} if parameters is None else parameters


@dataclass(frozen=True, slots=True)
class Class:
    """One class that a model gave an example to; the label may be empty."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A version of a model that a server has, or could have: ``READY`` is one that answers; ``reason`` says why not.

    Version and state are empty where the server does not say.
    """

    model: str
    version: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a model.

    Parameters
    ----------
    dtype
        By NumPy's name, ``string`` for bytes; the protocol's own word where neither has one.
    shape
        Sizes, None for any; None: unknown, even the rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a server says of a model.

    Parameters
    ----------
    model
        Its name.
    versions
        TensorFlow Serving: the version that was asked for; Open Inference Protocol: those that are there.
    inputs, outputs
        Signature name -> tensor name -> what it is. The Open Inference Protocol has no signatures: there, the one
        is called ``serving_default``.
    platform
        What runs it, where the protocol says.
    """

    model: str
    versions: tuple[str, ...]
    inputs: Mapping[str, Mapping[str, TensorInfo]]
    outputs: Mapping[str, Mapping[str, TensorInfo]]
    platform: str = ""


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version's state: ``AVAILABLE`` is the one that answers; ``error`` says why one ended badly."""

    version: int
    state: str
    error: str = ""
