"""Looks at model directories. Blocking, for a thread; opens no file and trusts nothing it finds.

``MODEL_DIR/VERSION/...``: every child whose whole name is a version and that is a directory (or a link to
one) counts. Inside a version, links to files count as the files, links to directories are not entered: a
link back to a parent, or to the whole disk, costs nothing.

A model may be a single file instead of a directory: that is its version 1, and its only one. It is looked at every
time, because it may be replaced.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from navi_core.models.completeness import CompletenessRule, Entry, Tree
from navi_core.models.version_policy import parse_version

__all__ = [
    "MAX_ENTRIES",
    "SINGLE_FILE_VERSION",
    "ModelListing",
    "VersionDirectory",
    "model_directories",
    "scan_model",
    "scan_tree",
]

MAX_ENTRIES: Final = 100_000
"""Names that one version directory may hold; more is no model, and is not kept in memory."""

SINGLE_FILE_VERSION: Final = 1
"""The version of a model that is a single file."""

_MAX_OTHERS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDirectory:
    """One version directory, as a look saw it.

    Parameters
    ----------
    name
        Its name in the model directory.
    version
        The number that the name stands for.
    tree
        What it holds; None where the look did not go inside, or could not.
    problem
        Why it could not; empty: it could.
    """

    name: str
    version: int
    tree: Tree | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelListing:
    """A model directory, as a look saw it.

    Parameters
    ----------
    versions
        Its version directories, sorted by name.
    others
        The first few names of files that are no versions.
    models
        The first few names of directories that hold versions themselves; looked for where there is no version.
    problem
        Why the directory could not be listed; empty: it could.
    is_file
        It is no directory but a file, which is the one version.
    """

    versions: tuple[VersionDirectory, ...] = ()
    others: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    problem: str = ""
    is_file: bool = False


def scan_model(path: Path, rule: CompletenessRule, known: Collection[str]) -> ModelListing:
    """List a model directory and look into its version directories.

    Parameters
    ----------
    path
        The model directory, or a single file.
    rule
        For ``marker`` only the marker is looked for; for ``stable`` the whole tree is listed.
    known
        Names of version directories that need no look inside.
    """
    children: list[os.DirEntry[str]] = []
    try:
        with os.scandir(path) as listing:
            children.extend(listing)
    except NotADirectoryError:
        return _file_listing(path, rule)
    except OSError as error:
        return ModelListing(problem=_words(error))
    versions: list[VersionDirectory] = []
    others: list[str] = []
    for child in sorted(children, key=lambda entry: entry.name):
        version = parse_version(child.name)
        if version is None:
            if len(others) < _MAX_OTHERS and _is_file(child):
                others.append(_printable(child.name))
        elif child.name in known:
            if _is_directory(child):
                versions.append(VersionDirectory(name=child.name, version=version))
        elif _is_directory(child) and (found := _look_inside(Path(child.path), version, rule)):
            versions.append(found)
    models: tuple[str, ...] = ()
    if not versions:
        with contextlib.suppress(OSError):
            models = model_directories(path)
    return ModelListing(versions=tuple(versions), others=tuple(others), models=models)


def model_directories(path: Path, *, at_most: int | None = _MAX_OTHERS) -> tuple[str, ...]:
    """Return the names in a directory that are model directories themselves, sorted.

    Parameters
    ----------
    path
        The directory: whoever has many models keeps them so, and easily names it where one model is asked for.
    at_most
        How many to look for; None: all.

    Raises
    ------
    OSError
        It cannot be listed.
    """
    found: list[str] = []
    with os.scandir(path) as listing:
        for child in listing:
            if at_most is not None and len(found) >= at_most:
                break
            if _is_directory(child) and _holds_version(child.path):
                found.append(_printable(child.name))
    return tuple(sorted(found))


def _holds_version(path: str) -> bool:
    with contextlib.suppress(OSError), os.scandir(path) as listing:
        return any(parse_version(child.name) is not None and _is_directory(child) for child in listing)
    return False


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def scan_tree(path: Path) -> Tree:
    """List everything below a version directory, itself included.

    Raises
    ------
    OSError
        A directory cannot be listed, or there are more than :data:`MAX_ENTRIES` names. A name that vanishes
        meanwhile is no error.
    """
    entries = {_entry(".", path.stat())}
    pending = [("", path)]
    while pending:
        prefix, folder = pending.pop()
        for child in _children(folder, is_root=folder is path):
            name = prefix + child.name
            found = _stat(child)
            if found is None:
                continue
            entries.add(_entry(name, found))
            if len(entries) > MAX_ENTRIES:
                raise OSError(f"more than {MAX_ENTRIES} names in it")
            if stat.S_ISDIR(found.st_mode) and not child.is_symlink():
                pending.append((f"{name}/", Path(child.path)))
    return frozenset(entries)


def _file_listing(path: Path, rule: CompletenessRule) -> ModelListing:
    """Describe a single file as the one version of its model."""
    try:
        found = path.stat()
    except OSError as error:
        return ModelListing(problem=_words(error))
    if not stat.S_ISREG(found.st_mode):
        return ModelListing(problem="neither a directory nor a file")
    if rule.kind == "marker":
        return ModelListing(problem=f"a single file, which cannot hold the marker '{rule.marker}'")
    tree = frozenset({_entry(path.name, found)._replace(inode=found.st_ino)})
    version = VersionDirectory(name=path.name, version=SINGLE_FILE_VERSION, tree=tree)
    return ModelListing(versions=(version,), is_file=True)


def _children(folder: Path, *, is_root: bool) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            yield from listing
    except (FileNotFoundError, NotADirectoryError):
        if is_root:
            raise


def _look_inside(path: Path, version: int, rule: CompletenessRule) -> VersionDirectory | None:
    try:
        tree = _marker_tree(path, rule.marker) if rule.kind == "marker" else scan_tree(path)
    except FileNotFoundError:  # it went while we looked
        return None
    except OSError as error:
        return VersionDirectory(name=path.name, version=version, problem=_words(error))
    return VersionDirectory(name=path.name, version=version, tree=tree)


def _marker_tree(path: Path, marker: str) -> Tree:
    try:
        return frozenset({_entry(marker, (path / marker).stat())})
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _entry(name: str, found: os.stat_result) -> Entry:
    if stat.S_ISDIR(found.st_mode):
        return Entry(name, 0, found.st_mtime_ns, is_file=False)
    return Entry(name, found.st_size, found.st_mtime_ns, is_file=stat.S_ISREG(found.st_mode))


def _stat(child: os.DirEntry[str]) -> os.stat_result | None:
    """Return what a name stands for, the link itself where its target is missing; None: it has gone."""
    for follow in (True, False):
        try:
            return child.stat(follow_symlinks=follow)
        except OSError:
            continue
    return None


def _is_directory(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:
        return False


def _is_file(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_file()
    except OSError:
        return False


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
