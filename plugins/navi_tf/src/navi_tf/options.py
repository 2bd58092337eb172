"""What a model's ``[runtime_options]`` table, and the host's ``[runtimes.tensorflow]``, may say."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["TensorFlowOptions"]

NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class TensorFlowOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one SavedModel is loaded and run. Immutable; an unknown key is an error.

    Attributes
    ----------
    loader
        ``session``: the graph, in a session (TensorFlow 1's way, and TensorFlow Serving's); ``function``: the
        objects, as functions (TensorFlow 2's way); ``auto``: the first where it works, else the second.
    saved_model_tags
        Which of the file's graphs: the one with exactly these tags.
    intra_op_threads
        Threads that work on one operator; 0: one for each core. One value for the whole process, made when
        the first model is loaded. Comes before the model's own ``intra_op_threads``; None: that, or 1.
    inter_op_threads
        1: a run stays on the thread that asked for it. From 2: the session has so many threads of its own, on
        which operators of one run go side by side. 0: as many threads as cores, shared by all models. The
        model's own ``inter_op_threads`` come first.
    ignore_declared_shapes
        Take any shape: for files whose signatures declare wrong ones.
    custom_op_libraries
        Shared libraries with operators, loaded before the model.
    device
        ``cpu`` keeps a model off the GPUs.
    allow_growth
        Take GPU memory as it is needed instead of all of it.
    per_process_gpu_memory_fraction
        How much of a GPU's memory may be taken; 0: TensorFlow decides.
    """

    loader: Literal["auto", "session", "function"] = "auto"
    saved_model_tags: tuple[str, ...] = ("serve",)
    intra_op_threads: NonNegativeInt | None = None
    inter_op_threads: NonNegativeInt | None = None
    ignore_declared_shapes: bool = False
    custom_op_libraries: tuple[str, ...] = ()
    device: Literal["auto", "cpu"] = "auto"
    allow_growth: bool = True
    per_process_gpu_memory_fraction: Fraction = 0.0
