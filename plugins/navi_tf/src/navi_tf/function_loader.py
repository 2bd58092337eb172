"""The function loader: TensorFlow 2's way. The objects, with their variables, and functions to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from navi_core import Array
from navi_tf.callables import Call
from navi_tf.errors import LoadRefusedError
from navi_tf.framework import quiet_logger, saved_model_pb2, tf
from navi_tf.options import TensorFlowOptions
from navi_tf.signature import ServedSignature
from navi_tf.stored_inputs import StoredInputs

__all__ = ["FunctionModel"]


class FunctionModel:
    """The objects of a SavedModel.

    Parameters
    ----------
    directory
        The SavedModel.
    options
        The model's.

    Attributes
    ----------
    definitions
        Name -> ``tensorflow.SignatureDef``; TensorFlow keeps no more of them than names and shapes.
    graph
        None: each function has its own.

    Raises
    ------
    LoadRefusedError
        The file has no graph with the tags.
    Exception
        TensorFlow's own, where the model is refused.
    """

    graph = None

    def __init__(self, directory: Path, options: TensorFlowOptions) -> None:
        meta_graph = _meta_graph(directory, options.saved_model_tags)
        self.definitions: Mapping[str, Any] = dict(meta_graph.signature_def)
        self._stored = StoredInputs(meta_graph.graph_def)
        self._scope: Callable[[], AbstractContextManager[Any]] = (
            partial(tf.device, "/CPU:0") if options.device == "cpu" else nullcontext
        )
        with quiet_logger(), self._scope():
            self._loaded: Any = tf.saved_model.load(str(directory), tags=list(options.saved_model_tags))

    def make(self, served: ServedSignature, outputs: Sequence[str]) -> Call:
        """Return a call of a signature's function; TensorFlow computes all outputs, these are handed out."""
        loaded = self._loaded  # a function does not keep its variables alive: the call does
        key, names, scope = served.key, tuple(served.feeds), self._scope
        dtypes = [tf.as_dtype(served.dtypes[name]) for name in names]

        def call(*arrays: Array) -> Sequence[Any]:
            with scope():
                tensors = [tf.constant(each, kind) for each, kind in zip(arrays, dtypes, strict=True)]
                function = loaded.signatures[key]
                # By name: by position TensorFlow first fails, and prints the tensors for that. But for a name
                # that a method of Python cannot take.
                by_position = names == ("self",)
                results = (
                    function(*tensors) if by_position else function(**dict(zip(names, tensors, strict=True)))
                )
            return [results[name].numpy() for name in outputs]

        return call

    def may_store_inputs(self, served: ServedSignature) -> bool:
        """Return False: ``tf.constant`` copies."""
        del served
        return False

    def changes_itself(self, served: ServedSignature) -> bool:
        """Tell whether a run changes what later runs answer."""
        return self._stored.changes_model(list(served.fetches.values()))

    def close(self) -> None:
        """Let go of the objects."""
        self._loaded = None


def _meta_graph(directory: Path, tags: Sequence[str]) -> Any:
    saved_model = saved_model_pb2.SavedModel()
    binary = directory / "saved_model.pb"
    if binary.is_file():
        saved_model.ParseFromString(binary.read_bytes())
    else:
        text_format.Parse((directory / "saved_model.pbtxt").read_bytes(), saved_model)
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    known = "; ".join(",".join(each.meta_info_def.tags) for each in saved_model.meta_graphs)
    raise LoadRefusedError(f"saved_model_tags: expected one of {{{known}}}, got '{','.join(tags)}'")
