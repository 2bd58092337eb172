"""Writing an ONNX graph: nodes, constants, and what is known of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from navi_core import Array
from navi_graphserver.flat.records import Address
from navi_graphserver.plan import Node

__all__ = ["NotConvertibleError", "Writer"]


class NotConvertibleError(Exception):
    """ONNX has no form for a node; the text says which, and why."""


class Writer:
    """An ONNX graph in the making.

    Parameters
    ----------
    samples
        Every value of a run on made-up inputs: types and ranks of values are those of their samples.
    constants
        Values that never change.
    """

    def __init__(self, samples: Mapping[Address, Array], constants: Mapping[Address, Array]) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: dict[Address, str] = {}
        self._samples = samples
        self._constants = constants
        self._count = 0

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return that."""
        (name,) = self.add_many(operator, inputs, 1, **attributes)
        return name

    def add_many(self, operator: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Add a node, and return its outputs."""
        names = [self._new(operator) for _ in range(count)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant, and return its name."""
        name = self._new("constant")
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype, order="C"), name))
        return name

    def like(self, value: Any, address: Address) -> str:
        """Add a constant of a value's type, and return its name."""
        return self.constant(value, self.sample(address).dtype)

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{what}_{self._count}"

    def name(self, address: Address) -> str:
        """Return what a value is called; a constant is added when it is first asked for."""
        if address not in self.names:
            known = self.known(address)
            if known is None:
                msg = f"the value {address} is made by nothing that was converted"
                raise NotConvertibleError(msg)
            self.names[address] = self.constant(known)
        return self.names[address]

    def sample(self, address: Address) -> Array:
        """Return a value that stands for all that come at its place."""
        try:
            return self._samples[address]
        except KeyError:
            msg = f"the value {address} is not known beforehand"
            raise NotConvertibleError(msg) from None

    def known(self, address: Address) -> Array | None:
        """Return a value that never changes; None: it does."""
        return self._constants.get(address)

    def integers(self, node: Node, index: int) -> list[int]:
        """Return an input's integers, which have to be known: axes, permutations, sizes."""
        value = self.known(node.inputs[index])
        if value is None:
            msg = f"node '{node.label}': its input {index} changes from run to run"
            raise NotConvertibleError(msg)
        return [int(each) for each in value.ravel().tolist()]

    def as_int64(self, address: Address) -> str:
        """Return a value as 64-bit integers, as ONNX wants shapes and indices."""
        known = self.known(address)
        if known is not None:
            return self.constant(known, np.int64)
        return self.cast(self.name(address), np.int64)

    def cast(self, name: str, dtype: Any) -> str:
        """Add a cast, and return its output."""
        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
