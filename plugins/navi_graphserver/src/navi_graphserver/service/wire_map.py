"""What the signature of a graph says to its service, taken apart once for all requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from navi_core import Array, InvalidRequestError, Signature, numpy_dtype
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.records import Address, FlatVariable
from navi_graphserver.naming import DEAD_OUTPUT, generation_of, read_wire_name

__all__ = ["WireMap", "WireMaps"]

_MAX_MAPS: Final = 1024


class WireMap:
    """Tells which tensor a variable of a request stands for, and which variable an answer's tensor is.

    Parameters
    ----------
    signature
        A graph's, for its own clients.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature: Final = signature
        self.generation: Final = generation_of(signature.method_name)
        by_name: dict[str, tuple[str, np.dtype]] = {}
        by_address: dict[Address, tuple[str, np.dtype]] = {}
        for name, spec in signature.inputs.items():
            address, own = read_wire_name(name)
            by_address[address] = (name, numpy_dtype(spec.dtype))
            if own:
                by_name[own] = by_address[address]
        self._by_name: Final = by_name
        self._by_address: Final = by_address
        self._outputs: Final = {
            name: read_wire_name(name) for name in signature.outputs if name != DEAD_OUTPUT
        }

    def inputs(self, variables: Sequence[FlatVariable]) -> dict[str, Array]:
        """Return what is fed, by the signature's names; what the graph does not know changes nothing, as in C++.

        Raises
        ------
        InvalidRequestError
            An array cannot stand for the variable that it is fed to.
        """
        inputs: dict[str, Array] = {}
        for variable in variables:
            array = variable.array
            if variable.name:
                found = self._by_name.get(variable.name)
            else:
                found = self._by_address.get(variable.address)
            if found is None or array is None:
                continue
            name, wanted = found
            if array.dtype != wanted:
                if "O" in (array.dtype.kind, wanted.kind):
                    msg = f"variable '{name}': {array.dtype} fed for {wanted}"
                    raise InvalidRequestError(msg)
                array = array.astype(wanted)
            inputs[name] = array
        return inputs

    def results(self, outputs: Mapping[str, Array]) -> list[FlatVariable]:
        """Return the answer's variables: those that the run made, in the signature's order."""
        is_dead = outputs[DEAD_OUTPUT].tolist()
        return [
            FlatVariable(address=address, name=own, dtype=flat_dtype(outputs[name]), array=outputs[name])
            for (name, (address, own)), dead in zip(self._outputs.items(), is_dead, strict=True)
            if not dead
        ]


class WireMaps:
    """The maps of the graphs that were asked of late."""

    def __init__(self) -> None:
        self._maps: Final[dict[str, WireMap]] = {}

    def of(self, model: str, signature: Signature) -> WireMap:
        """Return a graph's map; it is made anew where the graph has been replaced."""
        known = self._maps.get(model)
        if known is None or known.signature is not signature:
            if len(self._maps) >= _MAX_MAPS:
                self._maps.clear()
            known = self._maps[model] = WireMap(signature)
        return known
