"""An inference request of the Open Inference Protocol, whatever wire it came over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from navi_core.signature import Signature
from navi_core.types import Array, Parameters

__all__ = ["NO_PARAMETERS", "InferTerms", "InputHead", "ParsedInferRequest", "RequestedOutput"]

NO_PARAMETERS: Final[Parameters] = MappingProxyType({})


def _no_parameters() -> Parameters:
    return NO_PARAMETERS


@dataclass(frozen=True, slots=True)
class InputHead:
    """What a request says of one input, without its data.

    Parameters
    ----------
    name, datatype
        As sent.
    shape
        As sent; may be anything.
    parameters
        Name -> value.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Parameters = field(default_factory=_no_parameters)


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """One output that a request asks for.

    Parameters
    ----------
    name
        As sent.
    parameters
        Name -> value.
    """

    name: str
    parameters: Parameters = field(default_factory=_no_parameters)


@dataclass(slots=True, kw_only=True, eq=False)
class InferTerms:
    """What a request says beside its id and the values of its tensors; requests that are alike share one.

    Parameters
    ----------
    model_name, model_version
        As sent; empty over HTTP, where the path has them.
    parameters
        Name -> value.
    inputs, outputs
        What was sent and what is asked for, in order. A raw binary request has neither.
    typed
        The tensors came in typed gRPC fields.
    is_raw_binary
        The HTTP body is one tensor's bytes, and nothing else.
    settled
        A place for what a service makes of all this, so that it need not for the next request; None: nothing yet.
    """

    model_name: str = ""
    model_version: str = ""
    parameters: Parameters = field(default_factory=_no_parameters)
    inputs: tuple[InputHead, ...] = ()
    outputs: tuple[RequestedOutput, ...] = ()
    typed: bool = False
    is_raw_binary: bool = False
    settled: Any = None


@dataclass(slots=True)
class ParsedInferRequest:
    """A request whose tensors are found but not decoded.

    Parameters
    ----------
    terms
        What it says beside the rest of this.
    id
        As sent; empty: none.
    decode_inputs
        Decodes the tensors: takes the most bytes that all of them together may become, and the model's
        signature (only a raw binary request needs it); returns name -> array. Raises RequestErrors.
    """

    terms: InferTerms
    id: str
    decode_inputs: Callable[[int, Signature], dict[str, Array]]
