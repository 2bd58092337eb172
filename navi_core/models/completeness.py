"""When is a version directory complete? Pure rules over what was seen in it, and when.

A directory that is still being copied must not be loaded. Two rules exist: the writer leaves a
**marker** file when done, or the directory is **stable**: no name, size or mtime in it changed between
two looks, from the end of the one to the beginning of the other, at least ``stable_ms`` apart. Stability is measured on the monotonic clock of the looks, so
neither a jump of the wall clock nor mtimes in the past or future matter. Only the very first look at a
model asks the wall clock: a directory whose newest mtime is older than ``stable_ms`` counts at once, so
that a restart does not wait.

Once complete stays complete: what was loaded is not loaded again because a file was touched. A model that is a
single file is looked at for as long as it is watched, since it has no version number to change: what replaces it is
complete by the same rule, and another revision of its version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["CompletenessRule", "Entry", "Observation", "Tree", "next_look", "observe"]

_NANOSECONDS_PER_MS: Final = 1_000_000


class Entry(NamedTuple):
    """One name in a directory tree, as one look saw it.

    Directories are entries too (the root's relative name is ``.``): a copy that keeps the files' own
    mtimes still touches the directories that it writes into.
    """

    name: str
    """Relative to the version directory, with ``/``."""
    size_bytes: int
    """0 for a directory."""
    mtime_ns: int
    """Since the epoch, by the clock of whoever wrote it."""
    is_file: bool = True
    inode: int = 0
    """Of a model that is a single file; it tells one that was moved into its place. 0: not looked at."""


Tree: TypeAlias = frozenset[Entry]
"""Everything below one version directory, and the directory itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessRule:
    """What a model's version directories must show before they count.

    Parameters
    ----------
    kind
        ``stable`` or ``marker``.
    stable_ms
        Read for ``stable``.
    marker
        Name of a file at the top of the version directory; read for ``marker``.
    """

    kind: Literal["stable", "marker"] = "stable"
    stable_ms: float = 2000.0
    marker: str = "_SUCCESS"

    @property
    def waits_for(self) -> str:
        """What a directory lacks that is not complete, for people."""
        if self.kind == "marker":
            return f"the file '{self.marker}'"
        return f"no change for {self.stable_ms:g} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is remembered of one version directory between looks.

    Parameters
    ----------
    tree
        What the last look saw; empty once complete, to keep nothing that is not needed.
    since
        When the first look that saw ``tree`` like this ended, in seconds on the monotonic clock.
    complete
        It counts.
    """

    tree: Tree
    since: float
    complete: bool


def observe(
    previous: Observation | None,
    tree: Tree,
    rule: CompletenessRule,
    *,
    began: float,
    ended: float,
    wall_ns: int | None = None,
) -> Observation:
    """Judge one look at a version directory.

    Parameters
    ----------
    previous
        The last look's result; None: never seen before.
    tree
        What is there now.
    rule
        What it must show.
    began, ended
        When the look began and ended, in seconds on the monotonic clock. A change during a look may have
        been missed by it, so the time without change runs from the end of one to the beginning of another.
    wall_ns
        The wall clock, in nanoseconds since the epoch, when the first look at the model began; None later on.
    """
    if previous is not None and previous.complete:
        return previous
    since = ended if previous is None or previous.tree != tree else previous.since
    is_stable = began >= _stable_at(since, rule)
    complete = _is_complete(tree, rule, is_stable=is_stable, wall_ns=wall_ns)
    return Observation(tree=frozenset() if complete else tree, since=since, complete=complete)


def next_look(observation: Observation, rule: CompletenessRule) -> float | None:
    """Return when an incomplete directory could count, in seconds on the monotonic clock.

    None: a look of its own is no use. It is complete already, waits for a marker, or holds no file yet.
    """
    if observation.complete or rule.kind == "marker" or not _has_files(observation.tree):
        return None
    return _stable_at(observation.since, rule)


def _stable_at(since: float, rule: CompletenessRule) -> float:
    return since + rule.stable_ms / 1000.0


def _is_complete(tree: Tree, rule: CompletenessRule, *, is_stable: bool, wall_ns: int | None) -> bool:
    if rule.kind == "marker":
        return any(entry.is_file and entry.name == rule.marker for entry in tree)
    if not _has_files(tree):  # made, but nothing copied yet: no model has an empty directory
        return False
    if rule.stable_ms == 0 or is_stable:
        return True
    if wall_ns is None:
        return False
    newest_ns = max(entry.mtime_ns for entry in tree)
    return wall_ns - newest_ns >= rule.stable_ms * _NANOSECONDS_PER_MS


def _has_files(tree: Tree) -> bool:
    return any(entry.is_file for entry in tree)
