"""FlatBuffers: what is written is read again, in both generations and byte orders; what is malformed is refused."""

from __future__ import annotations

import random

import flatbuffers
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from navi_graphserver.flat.enums import NUMPY_DTYPES, DType, Generation, VariableKind
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.messages import (
    read_drop_request,
    read_request,
    read_request_id,
    read_response,
    read_result,
    write_drop_request,
    write_request,
    write_response,
    write_result,
)
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address, FlatVariable
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.testing import affine_graph, counting_graph


def same(one, other):
    """Compare records that hold arrays."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    if isinstance(one, tuple) and not isinstance(one, Address):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


DTYPES = [dtype for dtype in NUMPY_DTYPES if dtype is not DType.UTF8]


@st.composite
def variables(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    size = int(np.prod(shape)) * NUMPY_DTYPES[dtype].itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    array = np.frombuffer(data, np.uint8)
    if dtype is DType.BOOL:
        array = (array % 2).astype(np.bool_)
    array = array.view(NUMPY_DTYPES[dtype]).reshape(shape)
    return FlatVariable(
        address=Address(draw(st.integers(1, 2**31 - 1)), draw(st.integers(0, 5))),
        name=draw(st.text(max_size=8)),
        kind=draw(st.sampled_from(VariableKind)),
        dtype=dtype,
        shape=draw(st.none() | st.just(shape)),
        array=array,
    )


@settings(max_examples=100)
@given(st.lists(variables(), max_size=4), st.booleans(), st.integers(-(2**63), 2**63 - 1))
def test_requests_and_results_are_read_as_written(given_variables, big_endian, number):
    data = write_request(number, given_variables, Generation.GEN2, big_endian=big_endian)
    request = read_request(data, Generation.GEN2)
    assert request.id == number == read_request_id(data)
    assert same(request.variables, tuple(given_variables))
    result = read_result(write_result(given_variables, Generation.GEN2), Generation.GEN2)
    assert same(result, tuple(given_variables))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("array", [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(2.5, np.float32)])
def test_the_first_generation_says_neither_type_nor_kind(array, big_endian):
    variable = FlatVariable(address=Address(3), name="x", shape=(2, 3), array=array)
    data = write_request(1, [variable], Generation.GEN1, big_endian=big_endian)
    (read,) = read_request(data, Generation.GEN1).variables
    assert same(read, variable)


def test_dimensions_that_nobody_knows_are_open_in_both_generations():
    for generation in Generation:
        variable = FlatVariable(address=Address(3), name="x", shape=(None, 3))
        (read,) = read_request(write_request(1, [variable], generation), generation).variables
        assert read.shape == (None, 3)


def test_texts_and_bfloat16():
    texts = np.array([b"", b"\x00a", "ä".encode()], object).reshape(3, 1)
    halves = np.array([1, -2.5], ml_dtypes.bfloat16)
    written = [
        FlatVariable(address=Address(1), dtype=DType.UTF8, kind=VariableKind.ARRAY, array=texts),
        FlatVariable(address=Address(2), dtype=DType.BFLOAT16, kind=VariableKind.ARRAY, array=halves),
    ]
    first, second = read_result(write_result(written, Generation.GEN2), Generation.GEN2)
    assert first.array.tolist() == texts.tolist()
    assert second.array.dtype == halves.dtype
    assert second.array.tolist() == halves.tolist()


def test_small_messages():
    assert read_drop_request(write_drop_request(-5)) == -5
    assert read_response(write_response()) == 0
    assert read_response(write_response(7)) == 7


@pytest.mark.parametrize("graph", [affine_graph(), counting_graph()], ids=["affine", "loop"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_graphs_are_read_as_written(graph, big_endian):
    assert same(read_graph(write_graph(graph, big_endian=big_endian)), graph)


def test_third_parties_graphs_are_read_as_written(files):
    for path in sorted(files.glob("*/*.fb")):
        graph = read_graph(path.read_bytes())
        assert graph.generation == int(path.parent.name.removeprefix("gen")), path.name
        assert same(read_graph(write_graph(graph)), graph), path.name


def test_fortran_order_is_honoured():
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    data = bytearray(
        write_result([FlatVariable(address=Address(1), dtype=DType.FLOAT, array=array)], Generation.GEN2)
    )
    information = np.array([2, 2, 3, 3, 1, 8192, 1, 99], "<i8").tobytes()
    place = data.index(information)
    data[place : place + len(information)] = np.array([2, 2, 3, 1, 2, 8192, 1, 102], "<i8").tobytes()
    (read,) = read_result(bytes(data), Generation.GEN2)
    np.testing.assert_array_equal(read.array, np.arange(6, dtype=np.float32).reshape((2, 3), order="F"))


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x00\x00\x00\x00", b"\xff" * 64, b"\x04\x00\x00\x00" + b"\x00" * 8]
)
@pytest.mark.parametrize("read", [read_graph, read_request_id, read_drop_request, read_response])
def test_what_is_no_message_is_refused(read, data):
    with pytest.raises(FlatBufferError, match=r"^(graph|request|response)"):
        read(data)


def test_every_truncation_is_refused_or_read_within_its_bytes():
    data = write_graph(affine_graph())
    for size in range(len(data)):
        with pytest.raises(FlatBufferError):
            read_graph(data[:size])


def test_mutated_graphs_are_refused_or_read():
    outcomes = set()
    for graph in (affine_graph(), counting_graph()):
        data, source = write_graph(graph), random.Random(1)
        for _ in range(1500):
            mutated = bytearray(data)
            for _ in range(source.randint(1, 4)):
                mutated[source.randrange(len(mutated))] = source.choice(
                    (0, 1, 4, 127, 128, 255, source.randrange(256))
                )
            try:
                read_graph(bytes(mutated))
                outcomes.add("read")
            except FlatBufferError as error:
                outcomes.add(error.place.split(".")[0])
    assert outcomes == {"read", "graph"}


def test_offsets_to_one_place_cannot_stand_for_more_than_there_is():
    """A thousand pointers to one large array: a few bytes each, and the array a thousand times."""
    builder = flatbuffers.Builder(0)
    numbers = builder.CreateNumpyVector(np.zeros(100_000, np.int64))
    builder.StartObject(7)
    builder.PrependUOffsetTRelativeSlot(3, numbers, 0)
    variable = builder.EndObject()
    builder.StartVector(4, 1000, 4)
    for _ in range(1000):
        builder.PrependUOffsetTRelative(variable)
    vector = builder.EndVector()
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    builder.Finish(builder.EndObject())
    with pytest.raises(FlatBufferError, match=r"again and again|dimensions"):
        read_request(bytes(builder.Output()), Generation.GEN2)


def test_a_shape_larger_than_its_bytes_is_refused():
    array = np.zeros(4, np.float32)
    data = bytearray(
        write_result([FlatVariable(address=Address(1), dtype=DType.FLOAT, array=array)], Generation.GEN2)
    )
    shape = np.array([1, 4, 1], "<i8").tobytes()
    data[data.index(shape) : data.index(shape) + len(shape)] = np.array([1, 2**60, 1], "<i8").tobytes()
    with pytest.raises(FlatBufferError, match=r"variables\[0\]\.ndarray\.buffer: has 16 bytes"):
        read_result(bytes(data), Generation.GEN2)
