"""Damaged files load, or are refused in one line; torch never sees what would take it down."""

from __future__ import annotations

import io
import random
import zipfile

import pytest
import torch
from navi_torch.testing import Mlp, exported, scripted, traced

from navi_core import Artifact, ModelLoadError

pytestmark = pytest.mark.integration

MODELS = {
    "scripted": lambda: scripted(Mlp()),
    "traced": lambda: traced(Mlp(), torch.zeros(2, 16)),
    "exported": lambda: exported(Mlp(), torch.zeros(5, 16)),
}


def with_changed_member(content: bytes, rng: random.Random) -> bytes:
    """Change one to three bytes inside a member, whose checksum fits again."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    victim = rng.choice([name for name in source.namelist() if source.getinfo(name).file_size])
    with source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = bytearray(source.read(name))
            for _ in range(rng.choice((1, 1, 3)) if name == victim else 0):
                data[rng.randrange(len(data))] = rng.randrange(256)
            archive.writestr(name, bytes(data))
    return target.getvalue()


def with_changed_byte(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    return bytes(data)


X = {"x": {"dtype": "float32", "shape": [-1, 15]}}


class _Shared(torch.nn.Module):
    """Two views of one storage, and elements of every width."""

    def __init__(self) -> None:
        super().__init__()
        for dtype in (torch.bool, torch.bfloat16, torch.float64, torch.complex128):
            self.register_buffer(f"of_{dtype.itemsize}", torch.ones(300, dtype=dtype))
        self.weight = torch.nn.Parameter(torch.ones(20, 15))
        self.register_buffer("part", self.weight.detach()[3:7])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight.sum() + self.part.sum()


@pytest.mark.parametrize("keep_bytes", [0, 8])
def test_load__weights_shorter_than_claimed_are_refused(load, keep_bytes):
    content = scripted(_Shared())
    source = zipfile.ZipFile(io.BytesIO(content))
    load(Artifact(name="m", version=1, files={"model.pt": content}), inputs=X).servable.close()
    weights = [name for name in source.namelist() if "/data/" in name]
    assert len(weights) == 5
    for victim in weights:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name in source.namelist():
                data = source.read(name)
                archive.writestr(name, data[:keep_bytes] if name == victim else data)
        with pytest.raises(ModelLoadError, match=r"claims \d+ bytes of weights in 'data/\d', which has"):
            load(Artifact(name="m", version=1, files={"model.pt": target.getvalue()}), inputs=X)


@pytest.mark.parametrize("change", [with_changed_member, with_changed_byte])
@pytest.mark.parametrize("form", MODELS)
def test_load__a_damaged_file_is_served_or_refused(load, form, change):
    model = MODELS[form]()
    texts = []
    for seed in range(50):
        content = change(model, random.Random(seed))
        try:
            load(Artifact(name="m", version=1, files={"model.pt": content})).servable.close()
        except ModelLoadError as error:
            texts.append(str(error))
    assert texts
    assert not [text for text in texts if "\n" in text or len(text) > 1000]
