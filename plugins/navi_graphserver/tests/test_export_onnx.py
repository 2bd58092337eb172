"""ONNX -> FlatGraph -> answers: the same as ONNX Runtime's, with NumPy and through ONNX again."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.export import ExportError, export_onnx
from navi_graphserver.flat.enums import VariableKind
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.loading import load_servable
from navi_graphserver.options import GraphOptions
from navi_graphserver.plan import make_plan

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions
from navi_core.testing.run_context import SimpleRunContext

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

RANDOM = np.random.default_rng(7)


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def model_of(body, inputs, outputs, constants=None, opset=18):
    """Return a model from ONNX's own text form; constants are initializers."""
    text = f'<ir_version: 8, opset_import: ["" : {opset}]>\nnet ({inputs}) => ({outputs}) {{\n{body}\n}}'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()
    )
    onnx.checker.check_model(model)
    return model


def check(model, feeds, rtol=1e-4, engines=("numpy", "auto")):
    """Compare the served answers with ONNX Runtime's."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    expected = dict(zip(names, session.run(names, feeds), strict=True))
    data = write_graph(export_onnx(model, graph_id=3), big_endian=True)
    assert read_graph(data).id == 3
    for engine in engines:
        artifact = Artifact(name="m", version=1, files={"graph.fb": data})
        servable = load_servable(artifact, "graph.fb", LoadOptions(options=GraphOptions(engine=engine)))
        assert set(servable.signatures[DEFAULT_SIGNATURE].inputs) == set(feeds)
        got = servable.run(DEFAULT_SIGNATURE, feeds, names, SimpleRunContext())
        for name in names:
            assert got[name].dtype == expected[name].dtype
            np.testing.assert_allclose(got[name], expected[name], rtol=rtol, atol=1e-5, err_msg=name)


PERCEPTRON = """
    a = Gemm <transB = 1> (x, w1, b1)
    b = BatchNormalization <epsilon = 0.001> (a, g, h, m, v)
    c = Relu (b)
    d = MatMul (c, w2)
    e = Add (d, b2)
    f = Dropout (e)
    y = Softmax <axis = -1> (f)
    h2 = Tanh (c)
"""


def perceptron():
    positive = np.abs(floats(8)) + 0.5
    constants = {"w1": floats(8, 6), "b1": floats(8), "g": floats(8), "h": floats(8), "m": floats(8)}
    constants |= {"v": positive, "w2": floats(8, 5), "b2": floats(5)}
    return model_of(PERCEPTRON, "float[N, 6] x", "float[N, 5] y, float[N, 8] h2", constants)


NETWORK = """
    a = Conv <pads = [0, 1, 1, 2], strides = [2, 1]> (x, w1, b1)
    b = LeakyRelu <alpha = 0.2> (a)
    c = MaxPool <kernel_shape = [2, 3], strides = [2, 2], pads = [0, 1, 1, 0]> (b)
    d = Conv <group = 4, pads = [1, 1, 1, 1]> (c, w2)
    e = Clip (d, low, high)
    f = Conv <auto_pad = "SAME_UPPER", dilations = [1, 1]> (e, w3, b3)
    g = Concat <axis = 1> (e, f)
    h = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 1, 1], strides = [2, 2]> (g)
    i = LRN <size = 3, alpha = 0.05, beta = 0.6, bias = 1.5> (h)
    j = GlobalAveragePool (i)
    k = Flatten (j)
    y = LogSoftmax (k)
"""


def network():
    constants = {
        "w1": floats(4, 3, 3, 3),
        "b1": floats(4),
        "w2": floats(4, 1, 3, 3),
        "w3": floats(5, 4, 2, 2),
    }
    constants |= {"b3": floats(5), "low": np.float32(-1), "high": np.float32(1.5)}
    return model_of(NETWORK, "float[N, 3, 12, 11] x", "float[N, 9] y", constants)


def test_a_perceptron():
    check(perceptron(), {"x": floats(4, 6)})


def test_a_convolutional_network():
    check(network(), {"x": floats(3, 3, 12, 11)})


def test_a_model_is_a_message_its_bytes_or_its_file(tmp_path):
    model = perceptron()
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    written = {write_graph(export_onnx(each)) for each in (model, model.SerializeToString(), path, str(path))}
    assert len(written) == 1
    with pytest.raises(ExportError, match="no ONNX model"):
        export_onnx(b"\xff\xff\xff")


def test_weights_are_written_once_each():
    graph = export_onnx(
        model_of("a = Add (x, w)\ny = Mul (a, w)", "float[2] x", "float[2] y", {"w": floats(2)})
    )
    assert sum(each.kind is VariableKind.CONSTANT for each in graph.variables) == 1


@pytest.mark.parametrize(
    "operator",
    [
        *(
            "Abs",
            "Ceil",
            "Cos",
            "Erf",
            "Exp",
            "Floor",
            "Mish",
            "Neg",
            "Reciprocal",
            "Round",
            "Sigmoid",
            "Sign",
        ),
        *("Sin", "Atan", "Softplus", "Softsign", "Tanh", "Relu", "Selu", "Identity", "HardSwish", "Gelu"),
        *("Elu <alpha = 0.7>", "LeakyRelu <alpha = 0.3>", "ThresholdedRelu <alpha = 0.4>", "HardSigmoid"),
        *("HardSigmoid <alpha = 0.3, beta = 0.4>", 'Gelu <approximate = "tanh">', "LogSoftmax <axis = 1>"),
        *(
            "ReduceMean",
            "ReduceSum <keepdims = 0>",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
        ),
        *("ReduceLogSumExp", "Transpose", "Transpose <perm = [0, 2, 1]>", "Flatten <axis = 2>"),
        "Flatten <axis = -1>",
    ],
)
def test_operators_of_one_array(operator):
    name, _, attributes = operator.partition(" ")
    opset = 20 if name == "Gelu" else 18
    output = (
        "float[?, ?] y"
        if name == "Flatten"
        else "float y"
        if "keepdims" in attributes
        else "float[?, ?, ?] y"
    )
    check(
        model_of(f"y = {name} {attributes} (x)", "float[N, 3, 4] x", output, opset=opset),
        {"x": floats(2, 3, 4)},
    )


@pytest.mark.parametrize("operator", ["Sqrt", "Log", "Acos", "Asin"])
def test_operators_of_numbers_between_0_and_1(operator):
    body = f"a = Sigmoid (x)\ny = {operator} (a)"
    check(model_of(body, "float[N, 3] x", "float[N, 3] y"), {"x": floats(5, 3)})


@pytest.mark.parametrize(
    "operator", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Greater", "Less", "Equal", "PRelu"]
)
def test_operators_of_two_arrays(operator):
    kind = "bool" if operator in ("Greater", "Less", "Equal") else "float"
    model = model_of(f"y = {operator} (x, z)", "float[N, 3, 2] x, float[3, 1] z", f"{kind}[N, 3, 2] y")
    check(model, {"x": floats(4, 3, 2), "z": floats(3, 1)}, engines=("numpy",))


INTEGERS = {
    name: np.array(value, np.int64)
    for name, value in {"zero": [0], "one": [1], "m1": [-1], "two": [2]}.items()
}


@pytest.mark.parametrize(
    ("body", "constants", "output"),
    [
        ("y = Reshape (x, s)", {"s": np.int64([0, -1])}, "float[N, 12] y"),
        ("y = Reshape (x, s)", {"s": np.int64([-1, 2, 6])}, "float[N, 2, 6] y"),
        ("y = Gather <axis = 2> (x, i)", {"i": np.int64([[0, -1]])}, "float[N, 3, 1, 2] y"),
        ("y = Pad (x, s, v)", {"s": np.int64([0, 1, 2, 0, 0, 1]), "v": np.float32(3)}, "float[N, 4, 7] y"),
        ("y = Pad (x, s, , a)", {"s": np.int64([1, 2]), "a": np.int64([-1])}, "float[N, 3, 7] y"),
        ('y = Pad <mode = "reflect"> (x, s)', {"s": np.int64([0, 0, 2, 0, 0, 1])}, "float[N, 3, 7] y"),
        ("y = ReduceMean <keepdims = 0> (x, s)", {"s": np.int64([-1, 1])}, "float[N] y"),
        ("y = ArgMax <axis = 2, keepdims = 0> (x)", {}, "int64[N, 3] y"),
        ("y = ArgMin <axis = 1> (x)", {}, "int64[N, 1, 4] y"),
        ("y = Cast <to = 6> (x)", {}, "int32[N, 3, 4] y"),
        ("y = Clip (x, , high)", {"high": np.float32(0.2)}, "float[N, 3, 4] y"),
        ("y = LayerNormalization <axis = -2> (x, g, b)", {"g": floats(3, 4), "b": floats(3, 4)}, "float[N, 3, 4] y"),
        (
            # what PyTorch makes of x.view(len(x), -1)
            "s = Shape (x)\nr = Gather (s, z)\nu = Unsqueeze (r, zero)\nt = Concat <axis = 0> (u, m1)\ny = Reshape (x, t)",
            {**INTEGERS, "z": np.int64(0)},
            "float[N, 12] y",
        ),
        ("s = Mul (two, two)\ny = Reshape (x, t)\nt = Concat <axis = 0> (m1, s)", None, None),
    ],
)  # fmt: skip
def test_shapes(body, constants, output):
    if output is None:  # the shape is computed from constants: in the order that ONNX asks for
        body = "s = Mul (two, two)\nt = Concat <axis = 0> (m1, s)\ny = Reshape (x, t)"
        constants, output = INTEGERS, "float[?, ?] y"
    check(model_of(body, "float[N, 3, 4] x", output, constants), {"x": floats(2, 3, 4)})


def test_windows_over_one_and_three_axes():
    body = """
        a = Conv <pads = [1, 2]> (x, w)
        b = MaxPool <kernel_shape = [2]> (a)
        y = AveragePool <kernel_shape = [3], strides = [2]> (b)
    """
    model = model_of(body, "float[N, 3, 12] x", "float[N, 4, L] y", {"w": floats(4, 3, 3)})
    check(model, {"x": floats(2, 3, 12)})
    body = """
        a = Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w, b)
        c = MaxPool <kernel_shape = [2, 2, 2], strides = [2, 1, 1]> (a)
        y = GlobalMaxPool (c)
    """
    model = model_of(
        body, "float[N, 2, 4, 5, 6] x", "float[N, 3, 1, 1, 1] y", {"w": floats(3, 2, 3, 3, 3), "b": floats(3)}
    )
    check(model, {"x": floats(2, 2, 4, 5, 6)})


def test_up_again():
    body = """
        a = ConvTranspose <strides = [2, 2], pads = [1, 0, 1, 0]> (x, w, b)
        y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (a, , s)
    """
    constants = {"w": floats(3, 4, 3, 2), "b": floats(4), "s": np.float32([1, 1, 2, 3])}
    model = model_of(body, "float[N, 3, 4, 5] x", "float[N, 4, H, W] y", constants)
    check(model, {"x": floats(2, 3, 4, 5)})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("y = Celu (x)", r"node 'y' \(Celu\): the operator 'Celu' has no form here; known are Abs, "),
        ("y = MaxPool <kernel_shape = [2], ceil_mode = 1> (x)", "pooling that rounds up"),
        ('y = MaxPool <kernel_shape = [2], auto_pad = "SAME_LOWER"> (x)', "SAME_LOWER"),
        ("y = Conv (x, x)", "its input 'x' is not constant"),
        ("y, i = MaxPool <kernel_shape = [2]> (x)\nz = Identity (i)", "'i' is made by nothing"),
        ("y = LRN <size = 4> (x)", "an even number"),
    ],
)
def test_what_has_no_form_is_refused_by_name(body, text):
    outputs = "float[N, 3, 4] y" + (", int64[N, 3, 4] z" if "z =" in body else "")
    with pytest.raises(ExportError, match=text):
        export_onnx(model_of(body, "float[N, 3, 4] x", outputs))


def test_operators_of_other_domains_are_refused_by_name():
    node = onnx.helper.make_node("FusedThing", ["x"], ["y"], domain="com.example")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [2])], [value("y", 1, [2])])
    with pytest.raises(ExportError, match="FusedThing' has no form"):
        export_onnx(onnx.helper.make_model(graph))


def test_a_softmax_of_old_goes_over_the_last_axis_or_is_refused():
    check(model_of("y = Softmax (x)", "float[N, 4] x", "float[N, 4] y", opset=11), {"x": floats(3, 4)})
    with pytest.raises(ExportError, match="before version 13"):
        export_onnx(model_of("y = Softmax (x)", "float[N, 4, 5] x", "float[N, 4, 5] y", opset=11))


def test_dimensions_that_are_kept_while_others_are_open():
    model = model_of(
        "y = Reshape (x, s)", "float[N, M, 4] x", "float[N, M, K, 2] y", {"s": np.int64([0, 0, -1, 2])}
    )
    check(model, {"x": floats(2, 5, 4)})


def test_a_network_of_torch_s_own_exporter():
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    nn = torch.nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.second = nn.Conv2d(6, 6, 3, padding=1, groups=6)
            self.dense = nn.Linear(6 * 4, 5)

        def forward(self, x):
            x = torch.relu(self.norm(self.first(x)))
            x = nn.functional.max_pool2d(x + self.second(x), 2)
            return torch.softmax(self.dense(x.reshape(x.shape[0], -1)), -1)

    module, x = Residual().eval(), torch.from_numpy(floats(3, 3, 4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (x,), dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("rows")},)
        )
    model = program.model_proto
    check(model, {model.graph.input[0].name: x.numpy()})
    with torch.no_grad():
        expected = module(x).numpy()
    plan = make_plan(export_onnx(model))
    address = next(address for address, feed in plan.feeds.items() if feed.is_placeholder)
    (answer,) = Evaluator(plan).run({address: x.numpy()}, plan.leaves).values()
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_products_that_are_scaled():
    body = "y = Gemm <alpha = 0.5, beta = 2.0, transA = 1> (x, w, b)"
    model = model_of(body, "float[6, N] x", "float[N, 5] y", {"w": floats(6, 5), "b": floats(5)})
    check(model, {"x": floats(6, 3)})


@pytest.mark.parametrize(("name", "kind"), [("And", "bool"), ("Or", "bool"), ("Pow", "float")])
def test_pairs_of_what_is_computed(name, kind):
    made = "Less (x, zero)" if kind == "bool" else "Abs (x)"
    other = "GreaterOrEqual (x, z)" if kind == "bool" else "Identity (z)"
    last = "Not (c)" if kind == "bool" else "Identity (c)"
    body = f"a = {made}\nb = {other}\nc = {name} (a, b)\ny = {last}"
    model = model_of(body, "float[N, 3] x, float[N, 3] z", f"{kind}[N, 3] y", {"zero": np.float32(0.1)})
    check(model, {"x": floats(4, 3), "z": floats(4, 3)}, engines=("numpy",))
