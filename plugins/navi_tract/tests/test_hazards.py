"""Which models can be ended by a number in a request: the static check, and that it tells the truth."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from navi_tract.hazards import nnef_hazards, onnx_hazards
from navi_tract.onnx_file import read_onnx_file
from navi_tract.testing import build, mlp_model, node_model, store, store_nnef
from onnx import TensorProto, helper, numpy_helper

from navi_core import ModelLoadError

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = ("x", F, ["n", "m"])
TABLE = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(4, 2), "table")


def hazards(model):
    return onnx_hazards(read_onnx_file(model))


def chain(*nodes, inputs, initializers=(TABLE,)):
    return build(
        [
            helper.make_node(kind, list(take), [give], name=f"n_{give}", **more)
            for kind, take, give, more in nodes
        ],
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(nodes[-1][2], F, None)],
        list(initializers),
    )


EMBEDDING = chain(("Gather", ("table", "ids"), "y", {}), inputs=[("ids", I64, ["n"])])

BAD = {
    "Gather": EMBEDDING,
    "through others": chain(
        ("Add", ("ids", "ids"), "twice", {}),
        ("Unsqueeze", ("twice", "ids"), "there", {}),
        ("Gather", ("table", "there"), "y", {}),
        inputs=[("ids", I64, ["n"])],
    ),
    "a float made an integer": chain(
        ("Cast", ("x",), "ids", {"to": I64}), ("Gather", ("table", "ids"), "y", {}), inputs=[("x", F, ["n"])]
    ),
    "GatherElements": node_model("GatherElements", [X, ("i", I64, ["n", "m"])]),
    "GatherND": node_model("GatherND", [X, ("i", I64, ["k", 2])]),
    "ScatterElements": node_model("ScatterElements", [X, ("i", I64, ["n", "m"]), ("u", F, ["n", "m"])]),
    "Div": node_model("Div", [("x", I64, ["n"]), ("i", I64, ["n"])], output_type=I64),
    "Mod": node_model("Mod", [("x", I64, ["n"]), ("i", I64, ["n"])], output_type=I64),
    "Range": node_model("Range", [("a", I64, []), ("b", I64, []), ("c", I64, [])], output_type=I64),
    "TopK": node_model("TopK", [X, ("k", I64, [1])], outputs=("y", "i")),
    "OneHot": node_model(
        "OneHot",
        [("i", I64, ["n"])],
        initializers=[("depth", np.array(4)), ("values", np.array([0, 1], np.float32))],
    ),
}

GOOD = {
    "a perceptron": mlp_model(),
    "a float divisor": node_model("Div", [X, ("d", F, ["n", "m"])]),
    "an integer by a constant": node_model(
        "Div", [("x", I64, ["n"])], initializers=[("d", np.array([3]))], output_type=I64
    ),
    "constant indices": node_model("Gather", [X], initializers=[("i", np.array([0]))]),
    "indices from a shape": chain(
        ("Shape", ("ids",), "size", {}), ("Gather", ("table", "size"), "y", {}), inputs=[("ids", I64, ["n"])]
    ),
    "indices from truth values": chain(
        ("Greater", ("x", "x"), "truth", {}),
        ("Squeeze", ("truth",), "arranged", {}),
        ("Cast", ("arranged",), "ids", {"to": I64}),
        ("Gather", ("table", "ids"), "y", {}),
        inputs=[("x", F, ["n"])],
    ),
    "indices back to floats": chain(
        ("Cast", ("ids",), "y", {"to": F}), inputs=[("ids", I64, ["n"])], initializers=()
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_hazards__numbers_that_index_divide_or_size(name):
    [phrase] = hazards(BAD[name])
    assert phrase.endswith("from the request")


@pytest.mark.parametrize("name", GOOD)
def test_hazards__not_where_they_cannot_do_harm(name):
    assert hazards(GOOD[name]) == []


def test_hazards__inside_of_branches():
    branch = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["b"], name="inner")],
        "branch",
        [],
        [helper.make_tensor_value_info("b", F, None)],
    )
    model = chain(
        ("If", ("c",), "y", {"then_branch": branch, "else_branch": branch}),
        inputs=[("c", BOOL, []), ("ids", I64, ["n"])],
    )
    assert hazards(model) == ["Gather 'inner' takes indices from the request"]


def test_hazards__of_nnef_texts():
    gather = (
        'i = tract_core_external(shape = [n], datum_type = "I64");\n y = tract_core_gather(t, i, axis = 0);'
    )
    assert nnef_hazards(gather) == ["tract_core_gather"]
    assert nnef_hazards(gather.replace('"I64"', '"F32"')) == [], "no integers come in"
    assert nnef_hazards('i = tract_core_external(shape = [n], datum_type = "I64"); y = add(i, i);') == []


# --- with tract -----------------------------------------------------------------------------------

PROGRAM = """
import sys, numpy as np, tract
plan = tract.onnx().load(sys.argv[1]).into_model().into_runnable()
plan.run([np.array(each) for each in eval(sys.argv[2])])
"""


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("Gather", "[[9]]"),
        ("Div", "[[1], [0]]"),
        ("Mod", "[[1], [0]]"),
        ("OneHot", "[[9]]"),
        ("Range", "[0, 1 << 44, 1]"),
    ],
)
def test_tract__ends_the_process_on_them(name, inputs, tmp_path):
    """Should a later tract answer with an error instead, the check can go."""
    store(BAD[name], tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "model.onnx"), inputs],
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert done.returncode < 0, done.stderr


@pytest.mark.integration
def test_load__refuses_them_and_says_what_would_help(load):
    with pytest.raises(ModelLoadError) as caught:
        load(EMBEDDING)
    assert "Gather 'n_y' takes indices from the request" in str(caught.value)
    assert "trust_requests = true" in str(caught.value)


@pytest.mark.integration
@pytest.mark.parametrize("rehearse", [False, True])
def test_load__serves_them_for_those_who_trust_their_clients(load, rehearse):
    loaded = load(EMBEDDING, trust_requests=True, rehearse=rehearse)
    assert loaded.run(ids=np.array([3, 0]))["y"].tolist() == [[6, 7], [0, 1]]
    assert any("can end the process" in note for note in loaded.servable.notes)


@pytest.mark.integration
def test_hazards__of_nnef_texts_that_tract_wrote(tmp_path):
    store_nnef(GOOD["a perceptron"], tmp_path / "good", kind="folder")
    assert "i64" in (text := (tmp_path / "good" / "graph.nnef").read_text())
    assert nnef_hazards(text) == [], "the properties that tract writes are no part of the model"
    store_nnef(BAD["Div"], tmp_path / "bad", kind="folder")
    assert nnef_hazards((tmp_path / "bad" / "graph.nnef").read_text()) == ["div"]


@pytest.mark.integration
def test_load__refuses_them_in_nnef_too(load, tmp_path):
    artifact = store_nnef(EMBEDDING, tmp_path / "nnef")
    with pytest.raises(ModelLoadError, match="tract_core_gather"):
        load(artifact)
    loaded = load(artifact, trust_requests=True)
    assert loaded.run(ids=np.array([3]))["y"].tolist() == [[6, 7]]
