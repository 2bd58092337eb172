"""What the cases of the converter suite have in common: what a subclass gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from navi_core.contracts.converter import BoundConverter, PayloadEncoder
from navi_core.types import NamedArrays

__all__ = ["ConverterCases"]


class ConverterCases:
    """Base of the case classes; its attributes are described where they are inherited."""

    plugin_module: ClassVar[str] = ""
    heavy_modules: ClassVar[Sequence[str]] = ("numba", "torch", "tensorflow", "onnxruntime")
    truncation_is_refused: ClassVar[bool] = True
    payloads_concatenate: ClassVar[bool] = True
    max_truncations: ClassVar[int | None] = None
    num_flips: ClassVar[int] = 1000
    seed: ClassVar[int] = 20221220
    max_fill_bytes: ClassVar[int] = 64 << 20

    # --- to override ------------------------------------------------------------------------------

    @pytest.fixture
    def bind(self) -> Callable[[], BoundConverter]:
        """Return a function that binds the converter to a model's signature, anew with each call."""
        name = type(self).__name__
        giver = next(kind for kind in type(self).__mro__ if "bound" in vars(kind))
        if giver is ConverterCases:
            raise NotImplementedError(f"{name} must override the fixture 'bind'")
        pytest.skip(f"{name} overrides the fixture 'bound' only: 'bind' is what is asked for again and again")

    @pytest.fixture
    def bound(self, bind: Callable[[], BoundConverter]) -> BoundConverter:
        """Return the converter under test, bound. Override it where binding is slow and once is enough."""
        return bind()

    @pytest.fixture
    def good_inputs(self) -> Sequence[NamedArrays]:
        """Return at least two well-formed requests, at least one with rows."""
        msg = f"{type(self).__name__} must override the fixture 'good_inputs'"
        raise NotImplementedError(msg)

    @pytest.fixture
    def expected(self) -> Sequence[NamedArrays]:
        """Return, for each of ``good_inputs``, the tensors that filling it gives."""
        msg = f"{type(self).__name__} must override the fixture 'expected'"
        raise NotImplementedError(msg)

    @pytest.fixture
    def encoder(self) -> PayloadEncoder:
        """Return the converter's encoder, with the options that ``bind`` uses; leave it out where there is none."""
        pytest.skip("the fixture 'encoder' is not given: the converter has none")

    @pytest.fixture
    def columns(self) -> Sequence[NamedArrays]:
        """Return, for each of ``expected``, columns whose payloads fill to it; needed beside ``encoder``."""
        msg = f"{type(self).__name__} gives the fixture 'encoder': it must give 'columns', too"
        raise NotImplementedError(msg)
