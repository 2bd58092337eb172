"""What a model's ``[runtime_options]`` table, and the host's ``[runtimes.torch]``, may say.

The part that describes the model (:class:`Description`) may also stand in the model's file itself, as the extra
file ``navi.toml``: then the file needs nothing beside it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from navi_core import DType

__all__ = ["Description", "MethodOptions", "TensorOptions", "TorchOptions"]

NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
Scalar = bool | int | float | str


class _Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable; an unknown key is an error."""


class TensorOptions(_Options, frozen=True, kw_only=True):
    """What is said about one tensor, since the file may not say it.

    Attributes
    ----------
    dtype
        Element type; None: what the file says, else float32 for an input and what a trial run gives for an output.
    shape
        -1: any size; a text: a symbol, one size wherever it stands; None: what the file says.
    """

    dtype: DType | None = None
    shape: tuple[Annotated[int, msgspec.Meta(ge=-1)] | str, ...] | None = None


class MethodOptions(_Options, frozen=True, kw_only=True):
    """What is said about one method of the model, or one program of an archive.

    Attributes
    ----------
    inputs
        Argument -> its tensor. An argument of type int, float, bool or str that stands here is taken from a
        tensor of one element. Where the file names no arguments, the order counts.
    constants
        Argument that is no tensor -> its fixed value.
    outputs
        Output -> its tensor; needed only where a trial run with zeros is not possible.
    output_names
        Names of the outputs in the model's order, in the place of those that it gives.
    """

    inputs: dict[str, TensorOptions] = {}
    constants: dict[str, Scalar] = {}
    outputs: dict[str, TensorOptions] = {}
    output_names: tuple[str, ...] = ()


class Description(MethodOptions, frozen=True, kw_only=True):
    """What is said about a model: its default method, and the others.

    Attributes
    ----------
    methods
        Other methods' names -> what is said about them.
    state
        ``shared``: the model changes itself from call to call, and its callers share what it remembers.
    """

    methods: dict[str, MethodOptions] = {}
    state: Literal["none", "shared"] | None = None


class TorchOptions(Description, frozen=True, kw_only=True):
    """How one model is loaded.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda:N``.
    intra_op_threads
        Threads that work on one operator, for the whole process; 0: torch decides; None: 1. The model's own
        ``intra_op_threads`` (and META.json) come first.
    inter_op_threads
        Threads that run independent parts of TorchScript, for the whole process; None or 0: torch decides. The
        model's own ``inter_op_threads`` come first.
    aotinductor_runner
        ``native`` calls the library of an AOTInductor package directly, so that others run meanwhile; ``loader``
        goes through torch's loader, which is a few microseconds quicker and stops the whole process for as long
        as a run takes.
    """

    device: Annotated[str, msgspec.Meta(pattern=r"^(cpu|cuda(:\d{1,3})?)$")] = "cpu"
    intra_op_threads: NonNegativeInt | None = None
    inter_op_threads: NonNegativeInt | None = None
    aotinductor_runner: Literal["native", "loader"] = "native"
