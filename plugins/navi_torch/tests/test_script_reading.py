"""Weights of TorchScript are read without Python's lock, and are what torch's usual function reads."""

from __future__ import annotations

import io
import random
import struct
import zipfile

import numpy as np
import pytest
import torch
from navi_torch.script import open_module
from navi_torch.script_reading import NotReadableError, read_unlocked
from navi_torch.testing import Mlp, scripted, traced
from torch import Tensor, nn

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
X = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32))
CONSTANT = torch.tensor([1.0, 2.0])
DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
    torch.complex64,
    torch.complex128,
    torch.float8_e4m3fn,
]


class Buffers(nn.Module):
    """A buffer of every dtype, an empty one, and views of one storage."""

    def __init__(self) -> None:
        super().__init__()
        numbers = torch.arange(-20, 20).reshape(5, 8)
        for dtype in DTYPES:
            self.register_buffer(str(dtype).replace("torch.", "of_"), numbers.to(dtype))
        self.register_buffer("empty", torch.empty(0, 3))
        self.weight = nn.Parameter(torch.arange(12.0).reshape(3, 4))
        self.same = self.weight
        self.register_buffer("turned", self.weight.detach().t())
        self.register_buffer("row", self.weight.detach()[1])

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.same[0] + self.turned[:, 0] + self.row


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + CONSTANT


class Asked(io.BytesIO):
    """A file that knows the sizes of the buffers that it was to fill."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.sizes: list[int] = []

    def readinto(self, buffer) -> int:
        self.sizes.append(len(buffer))
        return super().readinto(buffer)


def usual(content: bytes) -> torch.jit.ScriptModule:
    unit = torch._C.CompilationUnit()
    return torch.jit._recursive.wrap_cpp_module(
        torch._C.import_ir_module_from_buffer(unit, content, CPU, {}, False)
    )


def with_members(content: bytes, change, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive with other contents: ``change(name, contents)`` gives them."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w", compression) as archive:
        for name in source.namelist():
            archive.writestr(name, change(name, source.read(name)))
    return target.getvalue()


def same_bytes(one: Tensor, other: Tensor) -> bool:
    alike = one.dtype == other.dtype and one.shape == other.shape and one.stride() == other.stride()
    return alike and bytes(one.untyped_storage()) == bytes(other.untyped_storage())


def test_read__every_dtype_empty_tensors_and_views_are_what_torch_reads():
    content = scripted(Buffers())
    module, note = open_module(io.BytesIO(content), None, CPU)
    assert note == ""
    expected = usual(content).state_dict()
    found = module.state_dict()
    assert list(found) == list(expected)
    assert [name for name in expected if not same_bytes(found[name], expected[name])] == []
    x = torch.ones(2, 3)
    assert torch.equal(module(x), usual(content)(x))


def test_read__what_shared_a_storage_still_does():
    module, _ = open_module(io.BytesIO(scripted(Buffers())), None, CPU)
    state = module.state_dict()
    places = {state[name].untyped_storage().data_ptr() for name in ("weight", "same", "turned", "row")}
    assert len(places) == 1
    assert state["turned"].stride() == (1, 4)
    assert state["row"].storage_offset() == 4


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_read__a_quantised_model():
    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weight = torch.arange(64.0).reshape(4, 16) / 7
            self.register_buffer("weight", torch.quantize_per_tensor(weight, 0.1, 3, torch.qint8))
            self.register_buffer(
                "channels", torch.quantize_per_channel(weight, torch.ones(4), torch.zeros(4), 0, torch.quint8)
            )

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight.dequantize().t() + self.channels.dequantize().sum(1)

    content = scripted(Quantised())
    module, note = open_module(io.BytesIO(content), None, CPU)
    assert note == ""
    assert torch.equal(module(X), usual(content)(X))
    assert module.weight.q_scale() == usual(content).weight.q_scale()


@pytest.mark.parametrize("content", [scripted(Mlp()), traced(Mlp(), X)], ids=["scripted", "traced"])
def test_read__weights_go_from_the_file_into_their_storages(content):
    stream = Asked(content)
    module, note = open_module(stream, None, CPU)
    assert note == ""
    assert torch.equal(module(X), usual(content)(X))
    assert sorted(stream.sizes) == sorted(
        weight.untyped_storage().nbytes() for weight in module.state_dict().values()
    )


def test_read__a_file_on_disk(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(scripted(Mlp()))
    with path.open("rb") as stream:
        module, note = open_module(stream, str(path), CPU)
    assert note == ""
    assert torch.equal(module(X), Mlp()(X))


# --- what torch's usual function reads ------------------------------------------------------------------


def _another_byte_order(name: str, content: bytes) -> bytes:
    return b"big" if name.endswith("/byteorder") else content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (traced(Constant(), torch.zeros(5, 2)), "its code has tensors as constants"),
        (
            with_members(scripted(Mlp()), lambda _, content: content, zipfile.ZIP_DEFLATED),
            "its weights are compressed",
        ),
        (with_members(scripted(Mlp()), _another_byte_order), "its weights are in another byte order"),
    ],
    ids=["constants", "compressed", "byte_order"],
)
def test_read__other_forms_are_left_to_torch(content, why):
    with pytest.raises(NotReadableError, match=why):
        read_unlocked(io.BytesIO(content))
    module, note = open_module(io.BytesIO(content), None, CPU)
    x = X[:, :2] if "constants" in why else X
    assert note == f"torch read its weights by itself, and held Python's lock meanwhile: {why}"
    assert torch.equal(module(x), usual(content)(x))


def test_read__members_that_share_bytes_take_no_memory_here():
    content = scripted(Mlp(before=256, hidden=512))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weights = [member for member in archive.infolist() if "/data/" in member.filename]
    largest = max(weights, key=lambda member: member.file_size)
    raw = bytearray(content)
    at = 0
    while (at := raw.find(b"PK\1\2", at)) >= 0:  # every storage is the largest one now, by the directory
        name = bytes(raw[at + 46 : at + 46 + struct.unpack_from("<H", raw, at + 28)[0]])
        if b"/data/" in name:
            struct.pack_into("<LL", raw, at + 20, largest.file_size, largest.file_size)
            struct.pack_into("<L", raw, at + 42, largest.header_offset)
        at += 4
    with pytest.raises(NotReadableError, match="its weights share bytes of the file"):
        read_unlocked(io.BytesIO(bytes(raw)))


@pytest.mark.parametrize("missing", ["_import_ir_module_from_package", "DeserializationStorageContext"])
def test_read__another_torch(monkeypatch, missing):
    monkeypatch.delattr(torch._C, missing)
    module, note = open_module(io.BytesIO(scripted(Mlp())), None, CPU)
    assert missing in note
    assert torch.equal(module(X), Mlp()(X))


def test_read__a_model_says_that_torch_read_it_by_itself(load):
    content = traced(Constant(), torch.zeros(5, 2))
    assert [note for note in load(content).servable.notes if "its code has tensors as constants" in note]
    assert not [note for note in load(scripted(Mlp())).servable.notes if "lock" in note]


# --- damage -----------------------------------------------------------------------------------------------


def test_read__heads_of_members_that_are_damaged():
    content = bytearray(scripted(Mlp()))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        first = next(member for member in archive.infolist() if "/data/" in member.filename)
    content[first.header_offset] ^= 0xFF
    with pytest.raises(NotReadableError, match="is not where the directory says"):
        read_unlocked(io.BytesIO(bytes(content)))
    content[first.header_offset] ^= 0xFF
    struct.pack_into("<H", content, first.header_offset + 28, 0xFFFF)  # its contents are beyond the end
    with pytest.raises(NotReadableError, match="reaches beyond the end of the file"):
        read_unlocked(io.BytesIO(bytes(content)))


@pytest.mark.parametrize("seed", range(20))
def test_read__weights_that_differ_are_the_only_difference(seed):
    """A changed byte among the weights is read as it is, here as by torch."""
    rng = random.Random(seed)
    content = bytearray(scripted(Mlp()))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        member = rng.choice([each for each in archive.infolist() if "/data/" in each.filename])
    at = content.index(b"PK\3\4", member.header_offset)
    name_bytes, extra_bytes = struct.unpack_from("<HH", content, at + 26)
    content[at + 30 + name_bytes + extra_bytes + rng.randrange(member.file_size)] ^= 1 << rng.randrange(8)
    module, note = open_module(io.BytesIO(bytes(content)), None, CPU)
    assert note == ""
    expected = usual(bytes(content)).state_dict()
    assert all(same_bytes(each, expected[name]) for name, each in module.state_dict().items())
