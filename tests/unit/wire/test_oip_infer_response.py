"""ModelInferResponses: the short way for small outputs writes what the long one does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from navi_core.wire import oip_infer_response
from navi_core.wire.oip_infer_response import encode_infer_response

ELEMENTS = st.sampled_from(
    [
        np.dtype(each)
        for each in ("?", "i1", "u1", "<i2", "<u4", "<i8", "<f2", "<f4", "<f8", ">f4", ">i8", "O")
    ]
)


def array_of(dtype):
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    if dtype.hasobject:
        return hnp.arrays(dtype, shapes, elements=st.binary(max_size=3))
    return hnp.arrays(dtype, shapes)


OUTPUTS = st.dictionaries(st.text(max_size=4), ELEMENTS.flatmap(array_of), max_size=3)


@given(OUTPUTS, st.booleans(), st.sampled_from(["", "id-1"]))
def test_both_ways_write_the_same(outputs, typed, request_id):
    def encoded():
        pieces, _ = encode_infer_response(
            outputs, model="m", version=3, request_id=request_id, typed=typed, parameters={"a": 1}
        )
        return b"".join(pieces)

    short = encoded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oip_infer_response, "_plain_outputs", lambda _outputs, _typed: None)
        assert encoded() == short


@pytest.mark.parametrize("typed", [False, True])
def test_the_short_way_is_taken_by_what_it_is_for(monkeypatch, typed):
    monkeypatch.delattr(oip_infer_response, "_append_raw")
    monkeypatch.delattr(oip_infer_response, "_append_typed")
    outputs = {"y": np.ones((2, 3), np.float32), "b": np.ones(2, bool)}
    pieces, has_views = encode_infer_response(outputs, model="m", version=1, typed=typed)
    assert (len(pieces), has_views) == (1, False)


def test_columns_are_written_row_by_row():
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    columns = np.asfortranarray(rows)
    one, _ = encode_infer_response({"y": rows}, model="m", version=1)
    other, _ = encode_infer_response({"y": columns}, model="m", version=1)
    assert one == other
