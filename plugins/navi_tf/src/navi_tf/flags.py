"""Command-line flags for SavedModels, as data for ``navi-host serve``: Navi's and TensorFlow Serving's."""

from __future__ import annotations

from typing import Final

from navi_core import ServeFlag

__all__ = ["SERVE_FLAGS", "parse_names"]


def parse_names(text: str) -> tuple[str, ...]:
    """Read names separated by commas; an empty text is none.

    Raises
    ------
    ValueError
        A name between the commas is empty.
    """
    names = tuple(text.split(",")) if text else ()
    if "" in names:
        msg = f"expected names separated by commas, got '{text}'"
        raise ValueError(msg)
    return names


SERVE_FLAGS: Final = (
    ServeFlag(
        name="--customops-lib",
        option="custom_op_libraries",
        help="Shared libraries with TensorFlow operators, loaded before any model.",
        metavar="FILE,...",
        parse=parse_names,
    ),
    ServeFlag(
        name="--saved-model-tags",
        option="saved_model_tags",
        help="The tags of the graph to load from a SavedModel that has several.",
        metavar="TAG,...",
        parse=parse_names,
    ),
)
