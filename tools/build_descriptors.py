"""Compile ``specs/protos`` into the descriptor sets and type stubs of ``navi_core/wire``.

``python tools/build_descriptors.py`` writes them; ``--check`` writes nothing and exits with 1 when
what is committed differs from what would be written. Needs grpcio-tools.
"""

# A script, not a package:
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import builtins
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

ROOT: Final = Path(__file__).resolve().parent.parent
PROTOS: Final = ROOT / "specs" / "protos"
WIRE: Final = ROOT / "navi_core" / "wire"

PROTOCOLS: Final[dict[str, tuple[str, ...]]] = {
    "grpc_health": ("grpc/health/v1",),
    "grpc_reflection": ("grpc/reflection/v1",),
    "grpc_reflection_v1alpha": ("grpc/reflection/v1alpha",),
    "oip": ("inference",),
    "proton": ("proton",),
    "tf_example": ("navi",),
    "tf_serving": (
        "tensorflow_serving/apis",
        "tensorflow_serving/config",
        "tensorflow_serving/servables/tensorflow",
    ),
}
"""Descriptor set -> folders of ``specs/protos`` whose files it holds, with all they import."""

_SCALARS: Final = {
    **dict.fromkeys((1, 2), "float"),
    **dict.fromkeys((3, 4, 5, 6, 7, 13, 14, 15, 16, 17, 18), "int"),
    8: "bool",
    9: "str",
    12: "bytes",
}
"""Field type number -> Python type; enums (14) are plain numbers."""

_REPEATED: Final = FieldDescriptorProto.LABEL_REPEATED
_MESSAGE: Final = FieldDescriptorProto.TYPE_MESSAGE


def compile_protocol(name: str) -> FileDescriptorSet:
    """Compile one protocol.

    Raises
    ------
    RuntimeError
        The compiler refused a file; its own words are on stderr.
    """
    from grpc_tools import protoc  # type: ignore[import-untyped] # noqa: PLC0415 - has no types; --help works without it

    files = sorted(path for folder in PROTOCOLS[name] for path in (PROTOS / folder).glob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        arguments = [f"-I{PROTOS}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={out}"]
        status = protoc.main(["protoc", *arguments, *(str(path.relative_to(PROTOS)) for path in files)])
        if status:
            raise RuntimeError(f"protoc failed on protocol {name} with status {status}")
        return FileDescriptorSet.FromString(out.read_bytes())


class _Stub:
    """Writes one module's stub: a class for every top-level message of a set."""

    def __init__(self, descriptors: FileDescriptorSet) -> None:
        self._paths: dict[str, str] = {}
        self._entries: dict[str, DescriptorProto] = {}
        for file in descriptors.file:
            for message in file.message_type:
                if message.name in self._paths.values():
                    raise RuntimeError(f"two messages are named {message.name}: short names must differ")
                self._index(message, f".{file.package}", "")
        self._messages = sorted(
            (message for file in descriptors.file for message in file.message_type),
            key=lambda message: message.name,
        )

    def _index(self, message: DescriptorProto, scope: str, path: str) -> None:
        full_name = f"{scope}.{message.name}"
        self._paths[full_name] = f"{path}{message.name}"
        if message.options.map_entry:
            self._entries[full_name] = message
        for nested in message.nested_type:
            self._index(nested, full_name, f"{path}{message.name}.")

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of the stub of set ``name``."""
        yield f"# Written by tools/build_descriptors.py from specs/protos ({name}); not edited by hand."
        yield "# fmt: off"
        if any(field.name != field.name.lower() for message in self._messages for field in message.field):
            yield "# ruff: noqa: N803, N815 - the protocol names its fields so"
        yield "import typing"
        yield ""
        yield "from google.protobuf.internal import containers"
        yield "from google.protobuf.message import Message"
        yield ""
        yield "from navi_core.wire.descriptors import DescriptorSet"
        yield ""
        yield "DESCRIPTORS: DescriptorSet"
        for message in self._messages:
            yield ""
            yield from self._class(message, "")

    def _class(self, message: DescriptorProto, indent: str) -> Iterator[str]:
        yield f"{indent}class {message.name}(Message):"
        inner = indent + "    "
        for nested in message.nested_type:
            if not nested.options.map_entry:
                yield from self._class(nested, inner)
        for enum in message.enum_type:
            for value in enum.value:
                yield f"{inner}{value.name}: typing.Final = {value.number}"
        for field in message.field:
            if field.label == _REPEATED or field.type == _MESSAGE:
                yield f"{inner}@property"
                yield f"{inner}def {field.name}(self) -> {self._type(field)}: ..."
            else:
                yield f"{inner}{field.name}: {self._type(field)}"
        keywords = "".join(f", {field.name}: {self._argument(field)} = ..." for field in message.field)
        shadows = any(hasattr(builtins, field.name) for field in message.field)
        yield (
            f"{inner}def __init__(self{', *' if keywords else ''}{keywords}) -> None: ..."
            f"{'  # noqa: A002 - the protocol names it so' if shadows else ''}"
        )

    def _element(self, field: FieldDescriptorProto) -> str:
        return self._paths[field.type_name] if field.type == _MESSAGE else _SCALARS[field.type]

    def _type(self, field: FieldDescriptorProto) -> str:
        if field.label != _REPEATED:
            return self._element(field)
        entry = self._entries.get(field.type_name)
        if entry is not None:
            key, value = entry.field
            kind = "MessageMap" if value.type == _MESSAGE else "ScalarMap"
            return f"containers.{kind}[{self._element(key)}, {self._element(value)}]"
        kind = "Composite" if field.type == _MESSAGE else "Scalar"
        return f"containers.Repeated{kind}FieldContainer[{self._element(field)}]"

    def _argument(self, field: FieldDescriptorProto) -> str:
        if field.label != _REPEATED:
            return f"{self._element(field)} | None"
        entry = self._entries.get(field.type_name)
        if entry is not None:
            key, value = entry.field
            return f"typing.Mapping[{self._element(key)}, {self._element(value)}] | None"
        return f"typing.Iterable[{self._element(field)}] | None"


def comparable(descriptors: FileDescriptorSet) -> dict[str, bytes]:
    """Return what two sets have to share: every file but the well-known ones, which follow the compiler."""
    return {
        file.name: file.SerializeToString(deterministic=True)
        for file in descriptors.file
        if not file.name.startswith("google/protobuf/")
    }


def is_current(path: Path, fresh: FileDescriptorSet) -> bool:
    """Tell whether a committed set says the same as a fresh one."""
    return path.exists() and comparable(FileDescriptorSet.FromString(path.read_bytes())) == comparable(fresh)


def differences() -> list[str]:
    """Say how the committed files differ from what would be written."""
    found = []
    for name in PROTOCOLS:
        fresh = compile_protocol(name)
        path = WIRE / f"{name}.binpb"
        if not is_current(path, fresh):
            found.append(f"{path.relative_to(ROOT)} differs from specs/protos")
        stub = WIRE / f"{name}.pyi"
        text = stub_text(name, fresh)
        if not stub.exists() or stub.read_text(encoding="utf-8") != text:
            found.append(f"{stub.relative_to(ROOT)} differs from specs/protos")
    return found


def stub_text(name: str, descriptors: FileDescriptorSet) -> str:
    """Return the stub of one set."""
    return "\n".join(_Stub(descriptors).lines(name)) + "\n"


def write() -> None:
    """Write every set and stub; a set that says the same already stays as it is."""
    for name in PROTOCOLS:
        descriptors = compile_protocol(name)
        path = WIRE / f"{name}.binpb"
        if not is_current(path, descriptors):
            path.write_bytes(descriptors.SerializeToString(deterministic=True))
        (WIRE / f"{name}.pyi").write_text(stub_text(name, descriptors), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if not parser.parse_args(arguments).check:
        write()
        return 0
    found = differences()
    for line in found:
        sys.stderr.write(f"{line}; run tools/build_descriptors.py\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
