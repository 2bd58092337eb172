"""Navi's command-line flags for ONNX models, as data for ``navi-host serve``.

Names and meanings are those of Twitter's Navi 2.0.45; where a default differs the README says so.
"""

from __future__ import annotations

from typing import Final

from navi_core import ServeFlag

__all__ = ["SERVE_FLAGS", "parse_gpu_ep", "parse_pairs", "parse_thread_pool"]

_POOL_KEYS: Final = {
    "intra_op_parallelism": "intra_op_threads",
    "inter_op_parallelism": "inter_op_threads",
    "intra_op_threads": "intra_op_threads",
    "inter_op_threads": "inter_op_threads",
}


def parse_pairs(text: str) -> dict[str, str]:
    """Read ``k=v,k=v``; each pair is split at its first ``=``. An empty text is an empty table.

    Raises
    ------
    ValueError
        A pair has no ``=``, or a key comes twice.
    """
    pairs: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            msg = f"expected key=value pairs separated by commas, got '{pair}'"
            raise ValueError(msg)
        if key in pairs:
            msg = f"'{key}' is given twice"
            raise ValueError(msg)
        pairs[key] = value
    return pairs


def parse_thread_pool(text: str) -> dict[str, int] | None:
    """Read Navi's thread pool pairs; an empty text means no shared pool.

    Raises
    ------
    ValueError
        An unknown key, or a size that is no whole number from 0.
    """
    sizes: dict[str, int] = {}
    for key, value in parse_pairs(text).items():
        field = _POOL_KEYS.get(key)
        if field is None:
            msg = f"expected inter_op_parallelism or intra_op_parallelism, got '{key}'"
            raise ValueError(msg)
        if field in sizes:
            msg = f"'{key}' is given twice"
            raise ValueError(msg)
        if not (value.isascii() and value.isdigit()):
            msg = f"{key}: expected a whole number from 0, got '{value}'"
            raise ValueError(msg)
        sizes[field] = int(value)
    return sizes or None


def parse_gpu_ep(text: str) -> str:
    """Read Navi's provider word: what is none of the three is the CPU."""
    return text if text in ("cuda", "tensorrt", "onednn") else "cpu"


def _parse_mode(text: str) -> str:
    return "parallel" if text == "true" else "sequential"


def _parse_true(text: str) -> bool:
    return text == "true"


def _parse_prefix(text: str) -> str | None:
    return text or None


SERVE_FLAGS: Final = (
    ServeFlag(
        name="--onnx-global-thread-pool-options",
        option="global_thread_pool",
        help="One thread pool for all ONNX models: inter_op_parallelism and intra_op_parallelism.",
        metavar="K=V,K=V",
        parse=parse_thread_pool,
    ),
    ServeFlag(
        name="--onnx-use-parallel-mode",
        option="execution_mode",
        help="Run independent operators of a run side by side; on if exactly 'true'.",
        metavar="true|false",
        parse=_parse_mode,
    ),
    ServeFlag(
        name="--onnx-use-memory-pattern",
        option="memory_pattern",
        help="Plan the memory of a run from an earlier one; on if exactly 'true'.",
        metavar="true|false",
        parse=_parse_true,
    ),
    ServeFlag(
        name="--onnx-ep-options",
        option="ep_options",
        help="Options of the execution provider that --onnx-gpu-ep chose.",
        metavar="K=V,K=V",
        parse=parse_pairs,
    ),
    ServeFlag(
        name="--onnx-gpu-ep",
        option="gpu_ep",
        help="Execution provider: cuda, tensorrt or onednn; anything else is the CPU.",
        metavar="NAME",
        parse=parse_gpu_ep,
    ),
    ServeFlag(
        name="--profiling",
        option="profiling",
        help="Prefix of ONNX Runtime profile files, written when a version is unloaded.",
        metavar="PREFIX",
        parse=_parse_prefix,
    ),
)
