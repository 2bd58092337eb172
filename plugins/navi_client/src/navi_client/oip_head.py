"""What is said of a tensor of the Open Inference Protocol, beside its data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["InputHead"]


@dataclass(frozen=True, slots=True)
class InputHead:
    """A tensor's name, type and shape. The name is the shared codecs': here they read outputs.

    Parameters
    ----------
    name, datatype
        As sent.
    shape
        As sent; may be anything.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
