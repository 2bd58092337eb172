"""A model's directory with every kind of file in it, and which of them external data of ONNX files may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["GOOD_LOCATIONS", "REFUSED_LOCATIONS", "make_model_directory"]

GOOD_LOCATIONS: Final = ("w.bin", "./w.bin", "sub/w.bin", "linked.bin")
"""Where a file in the directory may be said to be."""

REFUSED_LOCATIONS: Final = {
    "../secret.bin": "'..' is not allowed",
    "sub/../../secret.bin": "'..' is not allowed",
    "sub/../w.bin": "'..' is not allowed",
    "sub\\..\\..\\secret.bin": "'..' is not allowed",
    "/etc/passwd": "expected a path relative",
    "C:\\secret.bin": "expected a path relative",
    "\\\\host\\share\\secret.bin": "expected a path relative",
    "w.bin\0": "expected a path relative",
    "leak.bin": "a link leads out",
    "up/secret.bin": "a link leads out",
    "hard.bin": "2 names",
    "broken.bin": "no such file",
    "missing.bin": "no such file",
    "loop.bin": "links",
    "sub": "expected a regular file",
    "pipe.bin": "expected a regular file",
    ".": "expected a regular file",
    "": "no location is given",
    "w.bin/x": "not a directory",
    "a" * 5000: "name too long",
}
"""What must be refused, and a part of what is said; ``hard.bin`` is taken where hard links are allowed."""


def make_model_directory(root: Path, content: bytes) -> Path:
    """Make ``ROOT/models/1`` with the files of both tables in it, and a secret beside it.

    Parameters
    ----------
    root
        A directory that exists.
    content
        What the files hold, the secret too.

    Returns
    -------
    folder
        The model's directory.
    """
    inside = root / "models" / "1"
    (inside / "sub").mkdir(parents=True)
    secret = root / "models" / "secret.bin"
    for path in (secret, inside / "w.bin", inside / "sub" / "w.bin"):
        path.write_bytes(content)
    (inside / "linked.bin").symlink_to("w.bin")
    (inside / "leak.bin").symlink_to(secret)
    (inside / "up").symlink_to("..")
    (inside / "loop.bin").symlink_to("loop.bin")
    (inside / "broken.bin").symlink_to("nowhere.bin")
    os.link(secret, inside / "hard.bin")
    os.mkfifo(inside / "pipe.bin")
    return inside
