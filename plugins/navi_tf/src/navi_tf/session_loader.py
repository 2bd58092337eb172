"""The session loader: TensorFlow 1's way, and TensorFlow Serving's. The graph, its variables, a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from navi_tf.callables import Call, make_call
from navi_tf.errors import LoadRefusedError
from navi_tf.framework import config_pb2, quiet_logger, tf, tf1
from navi_tf.options import TensorFlowOptions
from navi_tf.signature import ServedSignature
from navi_tf.stored_inputs import StoredInputs
from navi_tf.threads import Threads

__all__ = ["SessionModel"]


class SessionModel:
    """A graph in a session of its own.

    Parameters
    ----------
    directory
        The SavedModel.
    options
        The model's.
    threads
        Settled before.

    Attributes
    ----------
    definitions
        Name -> ``tensorflow.SignatureDef``.
    graph
        ``tf.Graph``.

    Raises
    ------
    LoadRefusedError
        The file says nothing of how its variables are restored.
    Exception
        TensorFlow's own, where the model is refused.
    """

    def __init__(self, directory: Path, options: TensorFlowOptions, threads: Threads) -> None:
        self._threads = threads
        self.graph: Any = tf.Graph()
        self._session: Any = tf1.Session(graph=self.graph, config=_config(options, threads))
        try:
            with quiet_logger(), self.graph.as_default():
                meta_graph = tf1.saved_model.load(
                    self._session, list(options.saved_model_tags), str(directory)
                )
            _check_restored(meta_graph)
        except BaseException:
            self.close()
            raise
        self.definitions: Mapping[str, Any] = meta_graph.signature_def
        self._stored = StoredInputs(meta_graph.graph_def)

    def make(self, served: ServedSignature, outputs: Sequence[str]) -> Call:
        """Bind all inputs of a signature and some of its outputs."""
        fetches = [served.fetches[name] for name in outputs]
        return make_call(self._session, list(served.feeds.values()), fetches, inter_op=self._threads.inter_op)

    def may_store_inputs(self, served: ServedSignature) -> bool:
        """Tell whether a run may keep an array that it was fed."""
        return self._stored.may_store(list(served.fetches.values()))

    def changes_itself(self, served: ServedSignature) -> bool:
        """Tell whether a run changes what later runs answer."""
        return self._stored.changes_model(list(served.fetches.values()))

    def close(self) -> None:
        """Let go of session and graph. A run on another thread keeps the session alive until it ends."""
        self._session = None
        graph, self.graph = self.graph, None
        # A Graph is full of circles, and holds the file's constants until the collector comes by.
        # Without this method (it is not in the public documentation) that is all that happens.
        with suppress(AttributeError):
            graph.Dismantle()


def _check_restored(meta_graph: Any) -> None:
    """Refuse what was loaded without its variables: the loader says nothing, and runs would fail."""
    if meta_graph.HasField("object_graph_def") and not meta_graph.saver_def.ByteSize():
        raise LoadRefusedError(
            "the SavedModel has no operators that restore its variables (experimental_skip_saver)"
        )


def _config(options: TensorFlowOptions, threads: Threads) -> Any:
    config = config_pb2.ConfigProto(
        allow_soft_placement=True,
        intra_op_parallelism_threads=threads.intra_op,
        device_count={"GPU": 0} if options.device == "cpu" else None,
    )
    if threads.inter_op > 1:
        config.inter_op_parallelism_threads = threads.inter_op
        config.use_per_session_threads = True
    config.gpu_options.allow_growth = options.allow_growth
    config.gpu_options.per_process_gpu_memory_fraction = options.per_process_gpu_memory_fraction
    return config
