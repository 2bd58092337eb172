"""torch's threads: one setting for the process, made by the first load. Each case has a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import json, sys
import torch
from navi_core import Artifact, LoadOptions
from navi_torch.options import TorchOptions
from navi_torch.runtime import TorchRuntime
from navi_torch.testing import Mlp, scripted

artifact = Artifact(name="m", version=1, files={"model.pt": scripted(Mlp())})
seen = []
for options, load in json.loads(sys.argv[1]):
    servable = TorchRuntime().load(artifact, LoadOptions(options=TorchOptions(**options), **load))
    notes = [note for note in servable.notes if "is not used" in note]
    seen.append([torch.get_num_threads(), torch.get_num_interop_threads(), notes])
print(json.dumps(seen))
"""


def threads_after(*loads):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(loads)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_threads__the_first_load_decides_and_later_ones_are_told():
    first, second, third = threads_after(
        ({"intra_op_threads": 3, "inter_op_threads": 2}, {}),
        ({}, {}),
        ({"intra_op_threads": 2}, {"inter_op_threads": 5}),
    )
    assert first == [3, 2, []]
    assert second == [3, 2, []]
    assert third[:2] == [3, 2]
    assert len(third[2]) == 2
    assert "intra_op_threads = 2 is not used" in third[2][0]
    assert "which is 3 since an earlier load" in third[2][0]


def test_threads__default_is_one_and_the_model_s_own_number_comes_first():
    (only,) = threads_after(({}, {}))
    assert only[0] == 1
    (only,) = threads_after(({"intra_op_threads": 1}, {"intra_op_threads": 2}))
    assert only[0] == 2
