"""The signatures of a SavedModel: what navi shows and checks, and the graph's tensors behind each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from navi_core import (
    DEFAULT_SIGNATURE,
    Array,
    DType,
    LoadOptions,
    Signature,
    TensorSpec,
    format_shape,
    numpy_dtype,
    why_not_batchable,
)
from navi_tf.dtypes import dtype_name, navi_dtype
from navi_tf.errors import LoadRefusedError
from navi_tf.framework import tf

__all__ = ["Described", "ServedSignature", "describe"]

_Dims = tuple[int | None, ...] | None
Role = Literal["input", "output"]

_INTERNAL: Final = "__saved_model_"
"""Signatures that hold a SavedModel's own initialisation; nobody calls them."""

_MAX_DEFAULT_ELEMENTS: Final = 1 << 20


class _CannotServeError(ValueError):
    """One signature cannot be served; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSignature:
    """One signature with its tensors.

    Parameters
    ----------
    signature
        What clients see.
    key
        Its name in the file; another than the one that it is served under where the configuration says so.
    feeds, fetches
        Input or output -> tensor of the graph (``serving_default_x:0``). ``feeds`` has all inputs of the file,
        also those that the configuration leaves out.
    dtypes
        Of the feeds.
    defaults
        What stands for an input that did not come.
    """

    signature: Signature
    key: str
    feeds: Mapping[str, str]
    fetches: Mapping[str, str]
    dtypes: Mapping[str, np.dtype]
    defaults: Mapping[str, Array]


@dataclass(slots=True)
class Described:
    """The signatures of a file, the default one first, and what a person should know about them."""

    signatures: dict[str, ServedSignature] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def describe(
    definitions: Mapping[str, Any], load: LoadOptions, *, graph: Any = None, ignore_shapes: bool = False
) -> Described:
    """Describe a file's signatures.

    Parameters
    ----------
    definitions
        Name -> ``tensorflow.SignatureDef``.
    load
        What the configuration says about the default one.
    graph
        The ``tf.Graph`` that their tensors are in; None: it is not known.
    ignore_shapes
        Declare that every tensor may have any shape.

    Raises
    ------
    LoadRefusedError
        There is none that can be served, or not the one that the configuration asks for.
    """
    found = Described()
    own = {name: definitions[name] for name in sorted(definitions) if not name.startswith(_INTERNAL)}
    chosen = load.signature or DEFAULT_SIGNATURE
    if chosen not in own and (load.signature or load.inputs or load.outputs):
        known = ", ".join(own)
        raise LoadRefusedError(f"signature: expected one of {{{known}}}, got '{chosen}'")
    reader = _Reader(graph, found.notes, ignore_shapes=ignore_shapes)
    if chosen in own:
        try:
            found.signatures[DEFAULT_SIGNATURE] = reader.read(chosen, own[chosen], load.inputs, load.outputs)
        except _CannotServeError as error:
            raise LoadRefusedError(f"signature '{chosen}': {error}") from None
    for name, definition in own.items():
        if name == DEFAULT_SIGNATURE:
            continue  # it is there, or the configuration puts another in its place
        try:
            found.signatures[name] = reader.read(name, definition, (), ())
        except _CannotServeError as error:
            found.notes.append(f"signature '{name}' is left out: {error}")
    if not found.signatures:
        raise LoadRefusedError(
            "it has no signature that can be served; export it with signatures={'serving_default': ...}"
            + "".join(f"; {note}" for note in found.notes)
        )
    if DEFAULT_SIGNATURE not in found.signatures:
        names = ", ".join(found.signatures)
        found.notes.append(
            f"there is no signature '{DEFAULT_SIGNATURE}', so requests must name one of {{{names}}}; "
            "signature = NAME in navi.toml makes one the default"
        )
    return found


class _Reader:
    def __init__(self, graph: Any, notes: list[str], *, ignore_shapes: bool) -> None:
        self._graph = graph
        self._notes = notes
        self._ignore_shapes = ignore_shapes

    def read(
        self, name: str, definition: Any, inputs: Sequence[str], outputs: Sequence[str]
    ) -> ServedSignature:
        """Read one signature, with the named tensors only, in their order; all of them where none are named."""
        fed = _chosen("inputs", definition.inputs, inputs)
        fetched = _chosen("outputs", definition.outputs, outputs)
        if not fetched:
            raise _CannotServeError("it has no outputs")
        specs = {each: self._input(name, each, definition) for each in sorted(definition.inputs)}
        for each, spec in specs.items():
            if each not in fed and spec.default is None:
                raise _CannotServeError(
                    f"inputs: '{each}' cannot be left out, the model has no default for it"
                )
        ins = {each: specs[each] for each in fed}
        outs = {each: self._spec(name, "output", each, definition.outputs[each]) for each in fetched}
        because = why_not_batchable(ins, outs)
        if because and ins and all(spec.is_per_request for spec in ins.values()):
            because = "no input has a leading dimension that is dynamic"
        signature = Signature(
            inputs=ins,
            outputs=outs,
            batchable=not because,
            not_batchable_because=because,
            method_name=definition.method_name,
        )
        return ServedSignature(
            signature=signature,
            key=name,
            feeds={each: definition.inputs[each].name for each in specs},
            fetches={each: definition.outputs[each].name for each in fetched},
            dtypes={each: numpy_dtype(spec.dtype) for each, spec in specs.items()},
            defaults={each: spec.default for each, spec in specs.items() if spec.default is not None},
        )

    def _input(self, signature: str, name: str, definition: Any) -> TensorSpec:
        info = definition.inputs[name]
        spec = self._spec(signature, "input", name, info)
        default = self._default(signature, spec, definition, info)
        if default is None:
            return spec
        return replace(spec, optional=True, default=default)

    def _spec(self, signature: str, role: Role, name: str, info: Any) -> TensorSpec:
        encoding = info.WhichOneof("encoding")
        if encoding != "name":
            kind = {"coo_sparse": "a sparse tensor", "composite_tensor": "a composite tensor"}.get(
                encoding, "nothing"
            )
            raise _CannotServeError(f"{role} '{name}': expected a dense tensor, got {kind}")
        dtype = navi_dtype(info.dtype)
        if dtype is None:
            raise _CannotServeError(
                f"{role} '{name}': expected one of {{{', '.join(DType)}}}, got {dtype_name(info.dtype)}"
            )
        shape = _declared_shape(info)
        is_advisory = False
        if self._graph is not None:
            in_graph = self._in_graph(role, name, info.name)
            if in_graph.dtype.base_dtype != tf.as_dtype(info.dtype).base_dtype:
                raise _CannotServeError(
                    f"{role} '{name}': it is declared as {dtype_name(info.dtype)} and is "
                    f"{in_graph.dtype.base_dtype.name} in the graph"
                )
            if not in_graph.shape.is_compatible_with(shape):
                real = _graph_shape(in_graph.shape)
                self._notes.append(
                    f"signature '{signature}': {role} '{name}' is declared with shape {format_shape(shape)} and "
                    f"has {format_shape(real)} in the graph, which counts"
                )
                shape = real
            # TensorFlow Serving checks no declared shape: what the graph takes, it takes.
            is_advisory = role == "input" and _takes_more(_graph_shape(in_graph.shape), shape)
        return TensorSpec(
            name=name,
            dtype=dtype,
            shape=None if self._ignore_shapes else shape,
            shape_is_advisory=is_advisory,
        )

    def _in_graph(self, role: Role, name: str, tensor: str) -> Any:
        try:
            return self._graph.get_tensor_by_name(tensor)
        except (KeyError, ValueError, TypeError):
            raise _CannotServeError(f"{role} '{name}': the graph has no tensor '{tensor[:100]}'") from None

    def _default(self, signature: str, spec: TensorSpec, definition: Any, info: Any) -> Array | None:
        """Return the signature's default for an input, or else the constant of its placeholder."""
        where = f"signature '{signature}': the default of input '{spec.name}'"
        if spec.name in definition.defaults:
            proto = definition.defaults[spec.name]
            size = 1
            for dim in proto.tensor_shape.dim:
                size *= dim.size
            if proto.tensor_shape.unknown_rank or not 0 <= size <= _MAX_DEFAULT_ELEMENTS:
                self._notes.append(f"{where} is ignored: expected at most {_MAX_DEFAULT_ELEMENTS} elements")
                return None
            try:
                value: Any = tf.make_ndarray(proto)
            except Exception:  # protobuf's and NumPy's own, of a proto that contradicts itself
                self._notes.append(f"{where} is ignored: it cannot be decoded")
                return None
        elif self._graph is not None:
            value = _placeholder_default(self._graph.get_tensor_by_name(info.name).op)
            if value is None:
                return None
        else:
            return None
        default = np.array(value, dtype=object if spec.dtype is DType.STRING else None)
        fits = spec.accepts_shape(default.shape) or spec.accepts_shape((1, *default.shape))
        if default.dtype != numpy_dtype(spec.dtype) or not fits:
            self._notes.append(
                f"{where} is ignored: expected {spec.dtype} {format_shape(spec.shape)}, "
                f"got {default.dtype} {format_shape(default.shape)}"
            )
            return None
        default.flags.writeable = False
        return default


def _placeholder_default(operation: Any) -> Any:
    """Return the constant that a ``PlaceholderWithDefault`` takes where it is not fed; None: it has none."""
    if operation.type != "PlaceholderWithDefault":
        return None
    source = operation.inputs[0]
    if source.op.type != "Const" or (source.shape.num_elements() or 0) > _MAX_DEFAULT_ELEMENTS:
        return None
    return tf.get_static_value(source)


def _chosen(role: str, infos: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return tuple(sorted(infos))  # the file's map has no order of its own
    for name in names:
        if name not in infos:
            raise _CannotServeError(f"{role}: expected some of {{{', '.join(sorted(infos))}}}, got '{name}'")
    return tuple(dict.fromkeys(names))


def _declared_shape(info: Any) -> _Dims:
    if not info.HasField("tensor_shape") or info.tensor_shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)


def _graph_shape(shape: Any) -> _Dims:
    return None if shape.rank is None else tuple(shape.as_list())


def _takes_more(in_graph: _Dims, declared: _Dims) -> bool:
    """Tell whether the graph takes shapes beside the declared one.

    So it does where it says so, and where the declared shape ends with a dimension of one: TensorFlow Serving's own
    first example sends ``[1.0, 2.0, 5.0]`` to a model that declares (?, 1), and a session computes with it.
    """
    if in_graph is None or declared is None:
        return declared is not None
    if declared[-1:] == (1,):
        return True
    return any(real is None and said is not None for real, said in zip(in_graph, declared, strict=True))
