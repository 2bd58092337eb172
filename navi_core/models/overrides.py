"""What the configuration says about a signature, laid over what the model's file says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from navi_core.config.records import SignatureSettings, TensorSettings
from navi_core.errors import ConfigError
from navi_core.signature import Signature, TensorSpec, format_shape, why_not_batchable
from navi_core.types import Shape

__all__ = ["apply_overrides"]


def apply_overrides(
    signatures: Mapping[str, Signature], settings: Mapping[str, SignatureSettings]
) -> dict[str, Signature]:
    """Return the signatures with the configuration's say.

    Raises
    ------
    ConfigError
        It names a signature or tensor that the model does not have, or contradicts a known dtype or size.
    """
    for name in settings:
        if name not in signatures:
            known = ", ".join(signatures)
            raise ConfigError(
                f"the model has no signature '{name}' (it has {known})", path=f"signatures.{name}"
            )
    return {
        name: _apply(name, signature, settings[name]) if name in settings else signature
        for name, signature in signatures.items()
    }


def _apply(name: str, signature: Signature, said: SignatureSettings) -> Signature:
    path = f"signatures.{name}"
    inputs = _tensors(signature.inputs, said.inputs, f"{path}.inputs")
    outputs = _tensors(signature.outputs, said.outputs, f"{path}.outputs")
    if said.batchable is None:
        because = why_not_batchable(inputs, outputs)
        batchable = not because
        if not said.inputs and not said.outputs:
            batchable, because = signature.batchable, signature.not_batchable_because
    else:
        batchable = said.batchable
        because = "" if batchable else "the configuration says so"
    return dataclasses.replace(
        signature,
        inputs=inputs,
        outputs=outputs,
        batchable=batchable,
        not_batchable_because=because,
        source="config",
    )


def _tensors(
    specs: Mapping[str, TensorSpec], said: Mapping[str, TensorSettings], path: str
) -> dict[str, TensorSpec]:
    for name in said:
        if name not in specs:
            raise ConfigError(
                f"the model has no tensor '{name}' (it has {', '.join(specs)})", path=f"{path}.{name}"
            )
    return {
        name: _tensor(spec, said[name], f"{path}.{name}") if name in said else spec
        for name, spec in specs.items()
    }


def _tensor(spec: TensorSpec, said: TensorSettings, path: str) -> TensorSpec:
    if said.dtype is not None and said.dtype != spec.dtype:
        raise ConfigError(f"expected {spec.dtype} as in the model, got {said.dtype}", path=f"{path}.dtype")
    if said.shape is None:
        return spec
    shape: Shape = tuple(None if dim == -1 else dim for dim in said.shape)
    known = spec.shape
    fits = known is None or (
        len(known) == len(shape)
        and all(not isinstance(a, int) or a == b for a, b in zip(known, shape, strict=True))
    )
    if not fits or any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise ConfigError(
            f"expected a shape that fits the model's {format_shape(known)}, got {list(said.shape)}",
            path=f"{path}.shape",
        )
    return dataclasses.replace(spec, shape=shape)
