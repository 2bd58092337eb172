"""A loaded version as the host holds it: the servable, and each signature with its converter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from navi_core.batching.queue import BatchPolicy
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import BoundConverter
from navi_core.contracts.runtime import Servable
from navi_core.signature import Signature

__all__ = ["LoadedVersion", "ServedSignature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSignature:
    """One signature, as clients see it and as the model has it.

    Parameters
    ----------
    name
        Its name.
    model
        The model's own, after the configuration's say and the warm-up's findings.
    client
        What clients send and metadata shows; equal to ``model`` without a converter.
    converter
        Turns client inputs into model inputs; None: they are the same.
    """

    name: str
    model: Signature
    client: Signature
    converter: BoundConverter | None = None

    @property
    def has_dynamic_rows(self) -> bool:
        """Whether rows of one request may be shaped differently from another's."""
        return any(
            spec.shape is None or any(not isinstance(dim, int) for dim in spec.shape[1:])
            for spec in self.model.inputs.values()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedVersion:
    """One version that can answer.

    Parameters
    ----------
    artifact
        What it was loaded from.
    servable
        What predicts.
    runtime, kind
        The runtime's name and the kind of artifact that it recognised.
    converter
        The bound converter's name; empty: none.
    signatures
        Name -> signature.
    policy
        How its requests are joined.
    notes
        What a person should know: why it does not batch, what the warm-up found.
    gauges
        The servable's, as they were once it was loaded.
    service_options
        Service name -> what the model says to it.

    Attributes
    ----------
    client_signatures
        Name -> what clients send and get.
    """

    artifact: Artifact
    servable: Servable
    runtime: str
    kind: str
    converter: str
    signatures: Mapping[str, ServedSignature]
    policy: BatchPolicy
    notes: tuple[str, ...] = ()
    gauges: Mapping[str, float] = field(default_factory=dict)
    service_options: Mapping[str, Any] = field(default_factory=dict)
    client_signatures: Mapping[str, Signature] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Have at hand what requests ask for."""
        found = {name: served.client for name, served in self.signatures.items()}
        object.__setattr__(self, "client_signatures", found)  # the record is frozen
