"""What is said about a model: in its own file, in ``navi.toml``, and for the whole host; the nearest wins.

A file may describe itself by an extra file ``navi.toml``: ``_extra_files`` of ``torch.jit.save``, ``extra_files`` of
``torch.export.save`` and ``package_pt2``. It may say what :class:`~navi_torch.options.Description` has, and nothing about
devices or threads.
"""

from __future__ import annotations

import tomllib
from typing import Any, BinaryIO, Final

import msgspec

from navi_torch.archive import Listing, read_member
from navi_torch.method import DescriptionError
from navi_torch.options import Description, MethodOptions

__all__ = ["EXTRA_FILE", "described", "embedded", "method_options"]

EXTRA_FILE: Final = "extra/navi.toml"
_MAX_BYTES: Final = 1 << 20


def embedded(stream: BinaryIO, listing: Listing) -> Description:
    """Return what the archive says about itself; nothing where it holds no ``navi.toml``.

    Raises
    ------
    DescriptionError
        That file is wrong.
    """
    if EXTRA_FILE not in listing.sizes:
        return Description()
    try:
        text = read_member(stream, listing, EXTRA_FILE, _MAX_BYTES).decode()
        return msgspec.convert(tomllib.loads(text), Description)
    except (ValueError, msgspec.ValidationError) as error:
        msg = f"its own {EXTRA_FILE} is wrong: {' '.join(str(error).split())}"
        raise DescriptionError(msg) from error


def described(own: Description, said: Description) -> Description:
    """Return the file's own description overlaid by the configuration's."""
    merged: dict[str, Any] = {"state": own.state if said.state is None else said.state}
    for name in ("inputs", "constants", "outputs", "methods"):
        merged[name] = {**getattr(own, name), **getattr(said, name)}
    merged["output_names"] = said.output_names or own.output_names
    return Description(**merged)


def method_options(description: Description, name: str, *, is_default: bool) -> MethodOptions:
    """Return what is said about one method: the default one's stands at the top, the others' under ``methods``."""
    own = description.methods.get(name)
    if not is_default or own is not None:
        return own or MethodOptions()
    return MethodOptions(
        inputs=description.inputs,
        constants=description.constants,
        outputs=description.outputs,
        output_names=description.output_names,
    )
