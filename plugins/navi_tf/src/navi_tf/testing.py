"""Small SavedModels for tests. Needs TensorFlow.

:func:`store_graph` writes what TensorFlow 1 wrote, from a function that builds a graph; :func:`store_module` what
TensorFlow 2 writes. Both return the version directory as an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from navi_core import Artifact, DType, numpy_dtype
from navi_tf.framework import quiet_logger, saved_model_pb2, tf, tf1

__all__ = [
    "ELEMENT_TYPES",
    "Tensors",
    "edit",
    "fixed_module",
    "identity_graph",
    "identity_module",
    "mlp_module",
    "pair_graph",
    "pair_module",
    "store_graph",
    "store_module",
]

Tensors: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Inputs and outputs of a signature: name -> tensor of the graph that is being built."""

ELEMENT_TYPES: Final = {
    dtype: tf.string if dtype is DType.STRING else tf.as_dtype(numpy_dtype(dtype)) for dtype in DType
}
"""navi's dtypes as TensorFlow's: all of them."""


def store_graph(
    build: Callable[[], Tensors | Mapping[str, Tensors]],
    folder: Path,
    *,
    tags: Sequence[str] = ("serve",),
    name: str = "model",
    version: int = 1,
) -> Artifact:
    """Write a graph as TensorFlow 1 did.

    Parameters
    ----------
    build
        Builds it in the default graph; returns the tensors of ``serving_default``, or of several signatures.
        Variables and tables are initialised.
    folder
        Made where it is missing.
    tags
        Of the graph.
    name, version
        The artifact's.
    """
    _make_parent(folder)
    with quiet_logger(), tf.Graph().as_default(), tf1.Session() as session:
        built = build()
        signatures = built if isinstance(built, Mapping) else {"serving_default": built}
        session.run(tf1.global_variables_initializer())
        session.run(tf1.tables_initializer())
        builder = tf1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            list(tags),
            {
                key: tf1.saved_model.signature_def_utils.build_signature_def(
                    {each: tf1.saved_model.build_tensor_info(tensor) for each, tensor in inputs.items()},
                    {each: tf1.saved_model.build_tensor_info(tensor) for each, tensor in outputs.items()},
                    "tensorflow/serving/predict",
                )
                for key, (inputs, outputs) in signatures.items()
            },
            main_op=tf1.tables_initializer(),
        )
        builder.save()
    return Artifact(name=name, version=version, path=folder)


def store_module(
    module: Any,
    folder: Path,
    *,
    signatures: Mapping[str, Any] | None = None,
    without_saver: bool = False,
    name: str = "model",
    version: int = 1,
) -> Artifact:
    """Write a ``tf.Module`` as TensorFlow 2 does.

    Parameters
    ----------
    module
        With a decorated ``__call__``, or with ``signatures``.
    folder
        Made where it is missing.
    signatures
        Name -> ``tf.function`` with an input signature.
    without_saver
        Leave out the operators that restore the variables: only the function loader can load it then.
    name, version
        The artifact's.
    """
    _make_parent(folder)
    options = tf.saved_model.SaveOptions(experimental_skip_saver=without_saver)
    with quiet_logger():
        if signatures is None:
            tf.saved_model.save(module, str(folder), options=options)
        else:
            tf.saved_model.save(module, str(folder), signatures=dict(signatures), options=options)
    return Artifact(name=name, version=version, path=folder)


def edit(artifact: Artifact, change: Callable[[Any], None]) -> Artifact:
    """Change the first ``MetaGraphDef`` of a stored SavedModel in place."""
    assert artifact.path is not None  # noqa: S101 - stored on disk by the functions above
    file = artifact.path / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved_model.meta_graphs[0])
    file.write_bytes(saved_model.SerializeToString())
    return artifact


def identity_graph(dtype: DType, shape: Sequence[int | None] | None) -> Callable[[], Tensors]:
    """Return a builder of ``y = x``; shape None: the rank is unknown too."""

    def build() -> Tensors:
        x = tf1.placeholder(ELEMENT_TYPES[dtype], shape, name="x")
        return {"x": x}, {"y": tf.identity(x)}

    return build


def pair_graph() -> Tensors:
    """Build ``sum = a + b`` and ``difference = a - b`` of float32 (any, 3): it batches."""
    a, b = (tf1.placeholder(tf.float32, [None, 3], name=name) for name in ("a", "b"))
    return {"a": a, "b": b}, {"sum": a + b, "difference": a - b}


def _module(function: Callable[..., Any], *specs: Any) -> Any:
    class Module(tf.Module):  # type: ignore[misc]  # tensorflow is not followed: its classes are Any
        def __init__(self) -> None:
            super().__init__()
            self.function = tf.function(function, input_signature=list(specs))

    return Module()


def identity_module(dtype: DType, shape: Sequence[int | None] | None) -> Any:
    """Return ``y = x`` as a module."""
    return _module(lambda x: {"y": tf.identity(x)}, tf.TensorSpec(shape, ELEMENT_TYPES[dtype], name="x"))


def pair_module() -> Any:
    """Return ``sum = a + b`` and ``difference = a - b`` of float32 (any, 3) as a module."""
    return _module(
        lambda a, b: {"sum": a + b, "difference": a - b},
        *(tf.TensorSpec([None, 3], tf.float32, name=name) for name in ("a", "b")),
    )


def fixed_module() -> Any:
    """Return ``y = x + x`` of float32 (2, 3) as a module: it does not batch."""
    return _module(lambda x: {"y": x + x}, tf.TensorSpec([2, 3], tf.float32, name="x"))


def mlp_module(widths: tuple[int, int, int] = (16, 32, 4), *, seed: int = 0) -> Any:
    """Return a perceptron with variables: ``x`` float32 (any, first) -> ``y`` float32 (any, last)."""
    random = np.random.default_rng(seed)
    first, hidden, last = widths
    w0, w1 = (
        tf.Variable((random.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32))
        for shape in ((first, hidden), (hidden, last))
    )
    module = _module(
        lambda x: {"y": tf.nn.relu(x @ w0) @ w1}, tf.TensorSpec([None, first], tf.float32, name="x")
    )
    module.weights = (w0, w1)
    return module


def _make_parent(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
