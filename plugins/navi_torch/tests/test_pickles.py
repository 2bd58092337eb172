"""Nothing is unpickled without restriction, wherever in a file it stands."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from navi_torch.testing import Identity, Mlp, exported, scripted, store, traced

from navi_core import Artifact, ModelLoadError

pytestmark = pytest.mark.integration


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture
def trap(tmp_path):
    """The path that a pickle would make; it must not be there afterwards."""
    path = tmp_path / "unpickled"
    yield path
    assert not path.exists(), "something was unpickled"


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def rewritten(content: bytes, changes: dict[str, bytes | None]) -> bytes:
    """Return an archive with members replaced, added, or left out."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    root = source.namelist()[0].split("/")[0]
    left = dict(changes)
    with source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            short = name.removeprefix(f"{root}/")
            new = left.pop(short, source.read(name))
            if new is not None:
                archive.writestr(name, new)
        for short, new in left.items():
            if new is not None:
                archive.writestr(f"{root}/{short}", new)
    return target.getvalue()


def member(content: bytes, short: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        root = archive.namelist()[0].split("/")[0]
        return archive.read(f"{root}/{short}")


def program() -> bytes:
    return exported(Mlp(), torch.zeros(3, 16), dynamic_shapes=({0: torch.export.Dim("rows", max=64)},))


def test_trap__springs_when_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "unpickled")))
    assert (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("file", ["model.pt", "model.pt2", "model.pth"])
@pytest.mark.parametrize("kind", ["zip", "before 1.6", "bare pickle", "state dict"])
def test_load__pickles_are_refused_unread_and_the_text_says_how_to_export(load, trap, tmp_path, file, kind):
    content = {
        "zip": lambda: saved(Evil(trap)),
        "before 1.6": lambda: saved(Evil(trap), _use_new_zipfile_serialization=False),
        "bare pickle": lambda: pickle.dumps(Evil(trap)),
        "state dict": lambda: saved({"weight": torch.zeros(3), "evil": Evil(trap)}),
    }[kind]()
    with pytest.raises(ModelLoadError, match=r"it is a pickle .*torch\.jit\.script.*torch\.export\.save"):
        load(store(content, tmp_path / "model", file=file))
    with pytest.raises(ModelLoadError, match="it is a pickle"):
        load(Artifact(name="m", version=1, files={file: content}))


def test_load__a_pickle_in_the_place_of_torchscript_s_data_is_not_run(load, trap):
    """TorchScript's own reader builds tensors and classes of the archive, and nothing of Python."""
    evil = pickle.dumps(Evil(trap), protocol=2)
    with pytest.raises(ModelLoadError):
        load(rewritten(scripted(Mlp()), {"data.pkl": evil}))
    with pytest.raises(ModelLoadError):
        load(rewritten(scripted(Mlp()), {"constants.pkl": evil}))


def test_load__a_pickle_in_the_place_of_traced_inputs_is_not_run(load, trap):
    model = traced(Mlp(), torch.zeros(2, 16))
    evil = rewritten(model, {"traced_inputs.pkl": pickle.dumps(Evil(trap), protocol=2)})
    loaded = load(evil)  # what they would have said is found out by a trial run
    assert loaded.signature.inputs["x"].shape == (None, 16)


def test_load__a_pickle_in_the_place_of_example_inputs_is_not_run(load, trap):
    """torch.export's own loader would read it without restriction, once the restricted reader has refused."""
    evil = rewritten(program(), {"data/sample_inputs/model.pt": saved((Evil(trap),))})
    with pytest.raises(ModelLoadError, match=r"sample_inputs.* is a pickle of more than tensors"):
        load(evil)


@pytest.mark.parametrize("folder", ["weights", "constants"])
def test_load__pickled_weights_and_constants_are_not_run(load, trap, folder):
    config = f"data/{folder}/model_{folder}_config.json"
    entries = json.loads(member(program(), config))
    entries["config"]["evil"] = {
        "path_name": "evil",
        "is_param": False,
        "use_pickle": True,
        "tensor_meta": None,
    }
    content = rewritten(
        program(), {config: json.dumps(entries).encode(), f"data/{folder}/evil": saved(Evil(trap))}
    )
    with pytest.raises(ModelLoadError, match="'evil' is stored as a pickle"):
        load(content)


@pytest.mark.parametrize("path", ["custom_obj_0", "opaque_obj_0"])
def test_load__objects_among_the_constants_are_not_run(load, trap, path):
    config = "data/constants/model_constants_config.json"
    entries = {
        "config": {"evil": {"path_name": path, "is_param": False, "use_pickle": False, "tensor_meta": None}}
    }
    content = rewritten(
        program(),
        {config: json.dumps(entries).encode(), f"data/constants/{path}": pickle.dumps(Evil(trap))},
    )
    with pytest.raises(ModelLoadError, match="'evil' is stored as a pickle"):
        load(content)


@pytest.mark.parametrize("folder", ["weights", "constants"])
def test_load__weights_of_older_archives_are_not_run(load, trap, folder):
    """Before 2.9 weights were one pickle, which torch still reads if it is there."""
    evil = rewritten(program(), {f"data/{folder}/model.pt": saved({"a": Evil(trap)})})
    with pytest.raises(ModelLoadError, match="is a pickle of more than tensors"):
        load(evil)


def edited(change) -> bytes:
    """Return the program with its description changed in place."""
    document = json.loads(member(program(), "models/model.json"))
    change(document)
    return rewritten(program(), {"models/model.json": json.dumps(document).encode()})


def set_first(document, key, value):
    """Replace the first field of that name anywhere in the document."""
    waiting = [document]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, dict):
            if key in item:
                item[key] = value
                return
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    raise KeyError(key)


CODE = "__import__('pathlib').Path({path!r}).touch()"


@pytest.mark.parametrize(
    "change",
    [
        lambda d, code: set_first(d, "expr_str", code),
        lambda d, code: set_first(d, "expr_str", f"Symbol('s77', positive={code})"),
        lambda d, code: set_first(d, "expr_str", f"[{code} for x in (1,)][0]"),
        lambda d, code: d["guards_code"].append(code),
        lambda d, code: d["guards_code"].append(f"L['x'].size()[0] > {code}"),
        lambda d, code: d["guards_code"].append(f"L['\");{code};(\"'] == 1"),
        lambda d, code: d["graph_module"]["graph"]["nodes"][0].update(target="torch.os.system"),
        lambda d, code: d["graph_module"]["graph"]["nodes"][0].update(target="_operator.attrgetter"),
        lambda d, code: d["graph_module"]["graph"]["nodes"][0].update(
            target="torch.ops.aten.__init__.__globals__"
        ),
        lambda d, code: d["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.load_library.x"),
        lambda d, code: d["graph_module"]["graph"]["nodes"][0].update(target="#evil:x"),
        lambda d, code: d["graph_module"]["graph"]["nodes"][0].update(name=f"x={code}"),
        lambda d, code: d["graph_module"]["graph"]["inputs"][-1]["as_tensor"].update(name=f"x=({code})"),
        lambda d, code: d["graph_module"]["signature"]["input_specs"][0]["parameter"].update(
            parameter_name=f"a;{code}"
        ),
        lambda d, code: d["graph_module"]["module_call_graph"][0]["signature"].update(
            forward_arg_names=[code]
        ),
        lambda d, code: d["graph_module"]["module_call_graph"][0]["signature"].update(
            in_spec='[1, {"type": null, "context": "{\\"__enum__\\": true, \\"fqn\\": \\"evil:X\\"}", "children_spec": []}]'
        ),
        lambda d, code: d["range_constraints"].update({code: {"min_val": 1, "max_val": 2}}),
        lambda d, code: set_first(d, "custom_obj_values", {"a": {"name": "a", "class_fqn": "evil"}}),
    ],
)
def test_load__a_program_is_no_way_to_other_code(load, trap, change):
    """torch makes Python source and attributes of what the description says; only its own words may stand there."""
    code = CODE.format(path=str(trap))
    with pytest.raises(ModelLoadError) as caught:
        load(edited(lambda document: change(document, code)))
    assert "\n" not in str(caught.value)


def test_load__weights_that_are_only_claimed_take_no_memory(load):
    """torch makes zeros of a weight without data, of whatever size it claims."""
    config = "data/weights/model_weights_config.json"
    entries = json.loads(member(program(), config))
    name, entry = next(iter(entries["config"].items()))
    entry["tensor_meta"]["sizes"] = [{"as_int": 1 << 40}]
    content = rewritten(
        program(), {config: json.dumps(entries).encode(), f"data/weights/{entry['path_name']}": b""}
    )
    with pytest.raises(ModelLoadError, match=f"'{name}' claims {1 << 40} elements"):
        load(content)


def test_load__an_archive_that_was_rewritten_but_not_changed_still_loads(load):
    """The tests above refuse what was changed, not that it was."""
    loaded = load(rewritten(program(), {}))
    assert loaded.run(x=torch.zeros(2, 16).numpy())["output_0"].shape == (2, 4)
    assert load(edited(lambda document: None)).signature.batchable
    assert load(rewritten(scripted(Identity(), {"navi.toml": "inputs.x = { shape = [-1] }"}), {})).signature
