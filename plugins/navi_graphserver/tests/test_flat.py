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
)
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address, FlatVariable
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.flat.write_result import write_result
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
def test_requests_are_read_as_written(given_variables, big_endian, number):
    data = write_request(number, given_variables, Generation.GEN2, big_endian=big_endian)
    request = read_request(data, Generation.GEN2)
    assert request.id == number == read_request_id(data)
    assert same(request.variables, tuple(given_variables))


@settings(max_examples=100)
@given(st.lists(variables(), max_size=4), st.sampled_from(Generation))
def test_results_are_read_as_written(given_variables, generation):
    """By navi's reader, and by FlatBuffers' own, which checks nothing: tables, vectors, alignment, ends of names."""
    data = write_result(given_variables, generation)
    result = read_result(data, generation)
    assert [(each.address, each.name) for each in result] == [
        (each.address, each.name) for each in given_variables
    ]
    for read, written in zip(result, given_variables, strict=True):
        assert same(read.array, written.array)
        assert read.kind is (None if generation is Generation.GEN1 else VariableKind.VARIABLE)
        assert read.dtype is (None if generation is Generation.GEN1 else written.dtype)
        assert read.shape is None
    root = flatbuffers.table.Table(data, int.from_bytes(data[:4], "little"))
    int32 = flatbuffers.number_types.Int32Flags
    assert root.Offset(4) == 0
    vector = root.Vector(root.Offset(6))
    assert root.VectorLen(root.Offset(6)) == len(given_variables)
    for index, written in enumerate(given_variables):
        table = flatbuffers.table.Table(data, root.Indirect(vector + 4 * index))
        assert table.Pos % 8 == 0
        pair = target_of(table, 0)
        assert [pair.GetSlot(4 + 2 * slot, 0, int32) for slot in (0, 1)] == list(written.address)
        assert bool(table.Offset(6)) == bool(written.name)
        if written.name:
            assert table.String(table.Pos + table.Offset(6)).decode() == written.name
            name = target_of(table, 1).Pos
            assert data[name + 4 + len(written.name.encode())] == 0
        array = target_of(table, 3 if generation is Generation.GEN1 else 4)
        shape, buffer = array.Vector(array.Offset(4)), array.Vector(array.Offset(6))
        assert shape % 8 == buffer % 8 == 0
        count = array.VectorLen(array.Offset(4))
        rank, *numbers = np.frombuffer(data, "<i8", count, shape).tolist()
        assert (rank, tuple(numbers[:rank])) == (written.array.ndim, written.array.shape)
        assert array.VectorLen(array.Offset(6)) == written.array.nbytes
        assert array.Offset(10) == 0


def target_of(table, slot):
    return flatbuffers.table.Table(table.Bytes, table.Indirect(table.Pos + table.Offset(4 + 2 * slot)))


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
