"""Files that a model names: inside the model's directory, and nothing but files.

A model comes from somewhere else. What it names must not reach out of its directory: by an absolute path, by ``..``, by
a link, or by a file that has another name elsewhere.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

__all__ = ["ConfinementError", "confined_file", "confined_path"]


class ConfinementError(ValueError):
    """A file is where it may not be, or is no file; one line, without the path."""


def confined_path(directory: Path, location: str) -> Path:
    """Return the path that a model's relative location means. Looks at the text alone.

    Raises
    ------
    ConfinementError
        It is absolute, on this system or on another, or leads upwards.
    """
    if "\0" in location or PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor:
        raise ConfinementError("expected a path relative to the model's directory")
    if ".." in PurePosixPath(location).parts or ".." in PureWindowsPath(location).parts:
        raise ConfinementError("'..' is not allowed")
    return directory / location


def confined_file(path: Path, directory: Path, *, allow_hard_links: bool = False) -> Path:
    """Return where a file really is: a regular one, inside ``directory``, links followed.

    Raises
    ------
    ConfinementError
        It is not; or it cannot be looked at.
    """
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(directory.resolve(strict=True)):
            raise ConfinementError("a link leads out of the model's directory")
        status = real.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "a circle of links"
        raise ConfinementError(why.lower()) from error
    if not stat.S_ISREG(status.st_mode):
        raise ConfinementError("expected a regular file")
    if status.st_nlink > 1 and not allow_hard_links:
        raise ConfinementError(
            f"the file has {status.st_nlink} names (hard links), so it may lie outside the model's directory too; "
            "allow_hard_links = true accepts it"
        )
    return real
