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


OTHER_THREADS = """
import io, json, os, threading
import numpy as np
import torch
from navi_core import Artifact, LoadOptions
from navi_core.testing.run_context import SimpleRunContext
from navi_torch.options import TorchOptions
from navi_torch.runtime import TorchRuntime

stream = io.BytesIO()
torch.jit.save(torch.jit.script(torch.nn.Linear(512, 512, bias=False)), stream)
artifact = Artifact(name="m", version=1, files={"model.pt": stream.getvalue()})
inputs = {"input": np.ones((256, 512), np.float32)}

def in_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]

def load():
    return TorchRuntime().load(artifact, LoadOptions(options=TorchOptions()))

def started_by(call):
    def counted():
        before = set(os.listdir("/proc/self/task"))
        call()
        return len(set(os.listdir("/proc/self/task")) - before)
    return in_thread(counted)

servable = in_thread(load)
run = lambda: servable.run("serving_default", inputs, list(servable.signatures["serving_default"].outputs), SimpleRunContext())
print(json.dumps([started_by(run), started_by(load)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process's threads are in /proc")
def test_runs_and_loads__start_no_threads_of_their_own_on_whatever_thread_they_are():
    done = subprocess.run(
        [sys.executable, "-c", OTHER_THREADS], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0]
