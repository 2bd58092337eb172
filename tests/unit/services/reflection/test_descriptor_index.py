from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from structlog.testing import capture_logs

from navi_core.services.reflection.index import DescriptorIndex
from navi_core.wire import tf_serving


def proto(name, package="", imports=(), messages=(), **extensions):
    """A file; ``extensions``: name -> (message, number)."""
    file = FileDescriptorProto(name=name, package=package, dependency=imports)
    for message in messages:
        file.message_type.add(name=message)
    for each, (extendee, number) in extensions.items():
        file.extension.add(
            name=each, extendee=f".{extendee}", number=number, type=FieldDescriptorProto.TYPE_STRING
        )
    return file


def index_of(**sets):
    return DescriptorIndex(
        {name: FileDescriptorSet(file=files).SerializeToString() for name, files in sets.items()}
    )


def names(files):
    return [FileDescriptorProto.FromString(each).name for each in files]


RICH = proto("rich.proto", "a.b", messages=("M",))
RICH.enum_type.add(name="E").value.add(name="E_ZERO")
RICH.service.add(name="S").method.add(name="Do")
RICH.message_type[0].field.add(name="text")
RICH.message_type[0].oneof_decl.add(name="choice")
RICH.message_type[0].enum_type.add(name="Inner").value.add(name="INNER_ZERO")
RICH.message_type[0].nested_type.add(name="N").nested_type.add(name="Deep")
RICH.message_type[0].extension.add(name="inside", extendee=".a.b.M", number=7)


@pytest.mark.parametrize(
    "symbol",
    [
        *("a.b.M", "a.b.M.text", "a.b.M.choice", "a.b.M.inside", "a.b.M.N", "a.b.M.N.Deep"),
        *("a.b.M.Inner", "a.b.M.INNER_ZERO", "a.b.E", "a.b.E_ZERO", "a.b.S", "a.b.S.Do"),
    ],
)
def test_everything_that_has_a_name_is_found(symbol):
    assert names(index_of(one=[RICH]).file_of_symbol(symbol)) == ["rich.proto"]


@pytest.mark.parametrize("symbol", ["", "a.b", "M", ".a.b.M", "a.b.S.Undo", "a.b.E.E_ZERO", "rich.proto"])
def test_what_has_no_such_name_is_not(symbol):
    with pytest.raises(KeyError):
        index_of(one=[RICH]).file_of_symbol(symbol)


def test_a_file_comes_first_and_then_all_it_imports_each_once():
    files = [
        proto("d.proto"),
        proto("c.proto", imports=["d.proto"]),
        proto("b.proto", imports=["d.proto"]),
        proto("a.proto", imports=["b.proto", "c.proto"]),
    ]
    found = names(index_of(one=files).file("a.proto"))
    assert found[0] == "a.proto"
    assert sorted(found) == ["a.proto", "b.proto", "c.proto", "d.proto"]
    assert names(index_of(one=files).file("d.proto")) == ["d.proto"]


def test_a_circle_of_imports_ends():
    files = [proto("a.proto", imports=["b.proto"]), proto("b.proto", imports=["a.proto"])]
    assert names(index_of(one=files).file("a.proto")) == ["a.proto", "b.proto"]


def test_sets_with_one_file_name_and_different_contents_live_side_by_side():
    whole = [
        proto("shared.proto", "s", messages=("A", "B")),
        proto("one.proto", "p", ["shared.proto"], messages=("One",)),
    ]
    trimmed = [
        proto("shared.proto", "s", messages=("A",)),
        proto("two.proto", "p", ["shared.proto"], messages=("Two",)),
    ]
    index = index_of(first=whole, second=trimmed)
    assert index.file_of_symbol("p.One")[1] == whole[0].SerializeToString()
    assert index.file_of_symbol("p.Two")[1] == trimmed[0].SerializeToString()  # its own set's
    assert index.file("shared.proto") == [whole[0].SerializeToString()]  # the first set's


def test_an_import_that_a_set_lacks_is_taken_from_another_or_left_out():
    lacking = [proto("a.proto", messages=("A",), imports=["b.proto", "nowhere.proto"])]
    assert names(index_of(one=lacking).file_of_symbol("A")) == ["a.proto"]
    assert names(index_of(one=lacking, two=[proto("b.proto")]).file_of_symbol("A")) == ["a.proto", "b.proto"]


def test_extensions_by_number():
    files = [
        proto("base.proto", "x", messages=("Base", "Plain")),
        proto("more.proto", "x", ["base.proto"], first=("x.Base", 100), second=("x.Base", 12)),
    ]
    index = index_of(one=files)
    assert index.extension_numbers("x.Base") == [12, 100]
    assert index.extension_numbers("x.Plain") == []
    assert names(index.file_of_extension("x.Base", 100)) == ["more.proto", "base.proto"]
    for message, number in (("x.Base", 13), ("x.Plain", 100), ("x.Nothing", 100)):
        with pytest.raises(KeyError):
            index.file_of_extension(message, number)
    with pytest.raises(KeyError):
        index.extension_numbers("x.Nothing")


def test_a_set_that_cannot_be_read_is_left_out_with_a_warning():
    good = FileDescriptorSet(file=[RICH]).SerializeToString()
    with capture_logs() as logs:
        index = DescriptorIndex({"broken": b"\x0a\xff", "good": good})
    assert index.file("rich.proto")
    assert [(entry["event"], entry["service"]) for entry in logs] == [("descriptor_set_unreadable", "broken")]


def test_every_file_of_a_real_set_links_from_what_it_is_answered_with():
    """A client's pool takes the files in the reverse order of imports, and misses nothing."""
    from google.protobuf.descriptor_pool import DescriptorPool

    index = DescriptorIndex({"tf_serving": tf_serving.DESCRIPTORS.serialized})
    for file in FileDescriptorSet.FromString(tf_serving.DESCRIPTORS.serialized).file:
        parsed = {}
        for each in index.file(file.name):
            found = FileDescriptorProto.FromString(each)
            parsed[found.name] = found
        pool = DescriptorPool()

        def add(name, parsed=parsed, pool=pool, done=None):
            done = set() if done is None else done
            if name not in done:
                done.add(name)
                for dependency in parsed[name].dependency:
                    add(dependency, parsed, pool, done)
                pool.Add(parsed[name])

        add(file.name)
        assert pool.FindFileByName(file.name).name == file.name
