"""The part of the converter suite about the way back: what an encoder makes, the converter reads."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter, PayloadEncoder
from navi_core.errors import RequestError
from navi_core.signature import check_inputs
from navi_core.tensors import DType
from navi_core.testing.converter_buffers import fill_alone, same
from navi_core.testing.converter_cases import ConverterCases
from navi_core.types import Array, NamedArrays

__all__ = ["EncoderCases"]


class EncoderCases(ConverterCases):
    """What holds for a converter that has an encoder; skipped where it has none."""

    def test_encoded_columns_fill_to_the_expected_tensors(
        self,
        bound: BoundConverter,
        encoder: PayloadEncoder,
        columns: Sequence[NamedArrays],
        expected: Sequence[NamedArrays],
    ) -> None:
        """Encoding and converting again gives every row, in order, and nothing else."""
        for given, tensors in zip(columns, expected, strict=True):
            inputs = _encoded(encoder, given)
            check_inputs(bound.signature, inputs)
            got = fill_alone(bound, inputs)
            for name, want in tensors.items():
                assert got[name].dtype == want.dtype, name
                np.testing.assert_array_equal(got[name], want, err_msg=name)

    def test_encoder_makes_payloads_for_a_string_input_of_the_converter(
        self, bound: BoundConverter, encoder: PayloadEncoder, columns: Sequence[NamedArrays]
    ) -> None:
        """What comes is one vector of bytes, for an input that clients are shown."""
        spec = bound.signature.inputs.get(encoder.input_name)
        assert spec is not None, f"the converter has no input '{encoder.input_name}'"
        assert spec.dtype is DType.STRING
        for given in columns:
            payloads = encoder.encode(given)
            assert (payloads.dtype, payloads.ndim) == (np.dtype(object), 1)
            assert all(type(payload) is bytes for payload in payloads)

    def test_rows_encoded_one_by_one_are_the_rows_of_all(
        self, bound: BoundConverter, encoder: PayloadEncoder, columns: Sequence[NamedArrays]
    ) -> None:
        """No row's payload depends on its neighbours'."""
        if not self.payloads_concatenate:
            pytest.skip("this format's payloads do not concatenate")
        for given in columns:
            num_rows = len(next(iter(given.values())))
            parts = [_rows(given, index, index + 1) for index in range(num_rows)]
            whole = fill_alone(bound, _encoded(encoder, given))
            alone = [fill_alone(bound, _encoded(encoder, part)) for part in parts]
            if alone:
                assert same(whole, {name: np.concatenate([each[name] for each in alone]) for name in whole})

    def test_no_rows_are_encoded_as_none(
        self, bound: BoundConverter, encoder: PayloadEncoder, columns: Sequence[NamedArrays]
    ) -> None:
        """Columns without rows become payloads without rows, or no payloads."""
        inputs = _encoded(encoder, _rows(columns[0], 0, 0))
        assert bound.plan(inputs).num_rows == 0

    def test_encoder_leaves_the_columns_alone(
        self, encoder: PayloadEncoder, columns: Sequence[NamedArrays]
    ) -> None:
        """Columns are the caller's: they are read and never written."""
        for given in columns:
            frozen = {name: array.copy() for name, array in given.items()}
            for array in frozen.values():
                array.flags.writeable = False
            before = encoder.encode(given).tolist()
            assert encoder.encode(frozen).tolist() == before

    def test_encoder_runs_side_by_side(self, encoder: PayloadEncoder, columns: Sequence[NamedArrays]) -> None:
        """One encoder is used from several threads at once."""
        alone = [encoder.encode(given).tolist() for given in columns]
        turns = [index % len(columns) for index in range(8 * len(columns))]
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda index: encoder.encode(columns[index]).tolist() == alone[index], turns)
            assert all(answers)

    def test_encoder_refuses_what_the_format_cannot_hold(
        self, encoder: PayloadEncoder, columns: Sequence[NamedArrays]
    ) -> None:
        """A column of a strange kind is encoded, or refused by name; no other error gets out."""
        given = columns[0]
        num_rows = len(next(iter(given.values())))
        for strange in _strange_columns(num_rows):
            for name in given:
                try:
                    encoder.encode({**given, name: strange})
                except RequestError as error:
                    if error.tensor != name:
                        pytest.fail(f"the error names column '{error.tensor}', not '{name}': {error}")


def _encoded(encoder: PayloadEncoder, columns: NamedArrays) -> NamedArrays:
    return {encoder.input_name: encoder.encode(columns)}


def _rows(columns: NamedArrays, start: int, stop: int) -> NamedArrays:
    return {name: array[start:stop] for name, array in columns.items()}


def _strange_columns(num_rows: int) -> list[Array]:
    mixed = np.empty(num_rows, dtype=object)
    mixed[:] = [{"no": "value"}] * num_rows
    by_category = np.empty(num_rows, dtype=object)
    by_category[:] = [{"a": 1, "b": 0.5}] * num_rows
    return [
        np.ones(num_rows, np.complex64),
        np.full((num_rows, 2, 1, 3), np.nan),
        np.full(num_rows, 2**64 - 1, np.uint64),
        mixed,
        by_category,
    ]
