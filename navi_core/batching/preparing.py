"""From a request to a prepared one: checked against its signature, or planned by its converter.

:func:`prepare` knows every case. :class:`Preparer` first looks whether a request is the usual one, exactly what the
signature says and all of it, which takes a third of the time, and leaves the others to that.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from types import MappingProxyType
from typing import Final

from navi_core.batching.prepared import Prepared
from navi_core.contracts.converter import Plan
from navi_core.errors import (
    LifecycleError,
    RequestTooLargeError,
    SignatureNotFoundError,
    TensorMismatchError,
)
from navi_core.messages import InferenceRequest
from navi_core.models.served import LoadedVersion, ServedSignature
from navi_core.signature import (
    DEFAULT_SIGNATURE,
    Signature,
    TensorSpec,
    check_inputs,
    check_outputs,
    default_value,
    format_shape,
    is_stray,
    why_not_batchable,
)
from navi_core.tensors import numpy_dtype
from navi_core.types import NamedArrays, Parameters

__all__ = ["Preparer", "prepare"]

_NO_PARAMETERS: Final[Parameters] = MappingProxyType({})
_NO_INPUTS: Final[NamedArrays] = MappingProxyType({})


def prepare(loaded: LoadedVersion, request: InferenceRequest) -> Prepared:
    """Check a request against a version and plan it.

    Raises
    ------
    RequestError
        An unknown signature or output, wrong inputs, a malformed payload.
    """
    model = loaded.artifact.name
    name = request.signature or DEFAULT_SIGNATURE
    served = loaded.signatures.get(name)
    if served is None:
        raise SignatureNotFoundError(name, model=model, known=tuple(loaded.signatures))
    parameters = _NO_PARAMETERS
    wanted = loaded.servable.batch_parameters
    if wanted and request.parameters:
        parameters = {key: value for key, value in request.parameters.items() if key in wanted}
    if served.converter is not None and not _is_models_own(served, request.inputs):
        return _plan(served, request, parameters, loaded)
    signature = served.model
    outputs = check_outputs(signature, request.outputs, model=model, signature_name=name)
    stray = False
    try:
        num_rows = check_inputs(signature, request.inputs, model=model, signature_name=name)
    except TensorMismatchError:
        stray, num_rows = is_stray(signature, request.inputs), None
        if not stray:
            raise
    alone = stray or any(signature.inputs[each].is_per_request for each in request.inputs)
    inputs, rows = request.inputs, num_rows
    if tuple(inputs) != tuple(signature.inputs):  # one order, so that all who send the same share batches
        inputs = {each: inputs[each] for each in signature.inputs if each in inputs}
        if left_out := _left_out_rows(signature, inputs):
            if not signature.batchable or stray:
                rows = _lone_rows(signature, inputs)
            else:
                rows = num_rows = 1 if num_rows is None else num_rows
            inputs = _with_defaults(signature, inputs, left_out, rows)
    size_bytes = sum(array.nbytes for array in inputs.values())
    if len(inputs) > len(request.inputs):
        _check_size(size_bytes, rows, loaded)
    alone = alone or num_rows is None
    key = None
    if not alone:
        key = _key(served, outputs, inputs, parameters)
    return Prepared(
        served=served,
        outputs=outputs,
        inputs=inputs,
        plan=None,
        num_rows=num_rows or 0,
        size_bytes=max(request.body_bytes, size_bytes),
        key=key,
        parameters=parameters,
        deadline=request.deadline,
        priority=request.priority,
    )


def _left_out_rows(signature: Signature, inputs: NamedArrays) -> list[TensorSpec]:
    """Return the inputs with rows that a request leaves out and that have a default.

    Inputs that the model itself has a value for stay out, and so do defaults without rows: those are added
    when the batch runs.
    """
    return [
        spec
        for name, spec in signature.inputs.items()
        if name not in inputs and spec.default is not None and not spec.is_per_request
    ]


def _lone_rows(signature: Signature, inputs: NamedArrays) -> int | None:
    """Return how many rows a request has that runs alone; None: its shapes do not speak of rows, or differ.

    The warm-up or the configuration may have kept it from batching: its inputs go row by row all the same.
    """
    if why_not_batchable(signature.inputs, {}):
        return None
    sizes = {
        array.shape[0]
        for name, array in inputs.items()
        if array.ndim and not signature.inputs[name].is_per_request
    }
    return sizes.pop() if len(sizes) == 1 else None


def _with_defaults(
    signature: Signature, inputs: NamedArrays, left_out: Sequence[TensorSpec], rows: int | None
) -> NamedArrays:
    """Give a request the rows of inputs that it leaves out, so that it batches with those that send them."""
    complete = {**inputs, **{spec.name: default_value(spec, rows) for spec in left_out}}
    return {name: complete[name] for name in signature.inputs if name in complete}


def _check_size(size_bytes: int, num_rows: int | None, loaded: LoadedVersion) -> None:
    """Refuse a small request that describes rows without end, before memory is taken for them."""
    limit = loaded.policy.max_queue_bytes
    if size_bytes > limit:
        msg = (
            f"the request describes {num_rows} rows: expected at most {limit} bytes of tensors "
            f"(max_queue_bytes), got {size_bytes} (model '{loaded.artifact.name}')"
        )
        raise RequestTooLargeError(msg)


def _is_models_own(served: ServedSignature, inputs: NamedArrays) -> bool:
    """Tell whether a request already has the model's own tensors, so that the converter is bypassed."""
    own, client = served.model.inputs, served.client.inputs
    return all(name in own for name in inputs) and any(name not in client for name in inputs)


def _plan(
    served: ServedSignature, request: InferenceRequest, parameters: Parameters, loaded: LoadedVersion
) -> Prepared:
    assert served.converter is not None  # noqa: S101 - the caller has looked
    model = loaded.artifact.name
    client = served.client
    asked = check_outputs(client, request.outputs, model=model, signature_name=served.name)
    # A converter may build its outputs from others of the model: then all of them are computed.
    outputs = asked if all(name in served.model.outputs for name in asked) else tuple(served.model.outputs)
    check_inputs(client, request.inputs, model=model, signature_name=served.name)
    plan = served.converter.plan(request.inputs)
    _check_size(plan.size_bytes, plan.num_rows, loaded)
    _check_plan(served, plan, model)
    key = None
    if served.model.batchable:
        key = (served.name, outputs, "converter", tuple(plan.rows.items()), tuple(sorted(parameters.items())))
    return Prepared(
        served=served,
        outputs=outputs,
        inputs=_NO_INPUTS,
        plan=plan,
        num_rows=plan.num_rows,
        size_bytes=request.body_bytes + plan.size_bytes,
        key=key,
        parameters=parameters,
        deadline=request.deadline,
        priority=request.priority,
    )


def _check_plan(served: ServedSignature, plan: Plan, model: str) -> None:
    """See that what the converter will fill is what the model takes."""
    for name, row in plan.rows.items():
        spec = served.model.inputs.get(name)
        shape = (plan.num_rows, *row.shape)
        if spec is None or spec.dtype != row.dtype:
            msg = f"the converter fills '{name}' as {row.dtype}, which model '{model}' does not take"
            raise LifecycleError(msg)
        if not spec.accepts_shape(shape):
            raise TensorMismatchError(
                tensor=name,
                what="shape",
                expected=format_shape(spec.shape),
                got=format_shape(shape),
                model=model,
                signature=served.name,
            )


def _key(
    served: ServedSignature, outputs: tuple[str, ...], inputs: NamedArrays, parameters: Parameters
) -> Hashable:
    """Return what requests must have in common to share a run."""
    shapes = tuple(array.shape[1:] for array in inputs.values()) if served.has_dynamic_rows else ()
    return (served.name, outputs, tuple(inputs), shapes, tuple(sorted(parameters.items())))


class Preparer:
    """Prepares the requests of one signature of a loaded version.

    Parameters
    ----------
    loaded
        The version.
    served
        The signature.
    """

    __slots__ = ("_is_batchable", "_is_plain", "_key", "_loaded", "_outputs", "_served", "_specs")

    def __init__(self, loaded: LoadedVersion, served: ServedSignature) -> None:
        self._loaded = loaded
        self._served = served
        signature = served.model
        specs = signature.inputs.values()
        self._is_plain = (
            served.converter is None
            and not loaded.servable.batch_parameters
            and all(
                spec.shape is not None
                and not spec.optional
                and spec.default is None
                and not spec.shape_is_advisory
                and (bool(spec.shape) or not signature.batchable)
                for spec in specs
            )
        )
        self._is_batchable = signature.batchable
        self._outputs = tuple(signature.outputs)
        self._specs = [
            (
                spec.name,
                numpy_dtype(spec.dtype),
                len(spec.shape or ()),
                tuple((axis, dim) for axis, dim in enumerate(spec.shape or ()) if isinstance(dim, int)),
            )
            for spec in specs
        ]
        self._key = (
            None
            if served.has_dynamic_rows
            else _key(served, self._outputs, dict.fromkeys(signature.inputs), _NO_PARAMETERS)  # type: ignore[arg-type]  # shapes are not looked at
        )

    def __call__(self, request: InferenceRequest) -> Prepared:
        """Check a request and plan it; raises what :func:`prepare` raises."""
        return self._usual(request) or prepare(self._loaded, request)

    def _usual(self, request: InferenceRequest) -> Prepared | None:
        """Return a request that has all inputs in the signature's order and form; None: it wants a closer look."""
        inputs = request.inputs
        if not self._is_plain or len(inputs) != len(self._specs) or request.outputs:
            return None
        num_rows: int | None = None
        size_bytes = 0
        for (name, array), (wanted, dtype, ndim, dims) in zip(inputs.items(), self._specs, strict=True):
            shape = array.shape
            if name != wanted or array.dtype != dtype or len(shape) != ndim:
                return None
            for axis, dim in dims:
                if shape[axis] != dim:
                    return None
            if num_rows is None:
                if self._is_batchable:
                    num_rows = shape[0]
            elif shape[0] != num_rows:
                return None
            size_bytes += array.nbytes
        key = None
        if num_rows is not None:
            key = self._key
            if key is None:
                key = _key(self._served, self._outputs, inputs, _NO_PARAMETERS)
        return Prepared(
            served=self._served,
            outputs=self._outputs,
            inputs=inputs,
            plan=None,
            num_rows=num_rows or 0,
            size_bytes=max(request.body_bytes, size_bytes),
            key=key,
            parameters=_NO_PARAMETERS,
            deadline=request.deadline,
            priority=request.priority,
        )
