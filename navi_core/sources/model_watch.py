"""What is known of one watched model between looks. Pure: listings and clock readings in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.source import WatchedModel
from navi_core.models.completeness import CompletenessRule, Observation, Tree, next_look, observe
from navi_core.models.version_policy import choose, parse_version
from navi_core.sources.directory_scan import ModelListing, VersionDirectory

__all__ = ["ModelWatch", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one look means.

    Parameters
    ----------
    aspired
        The whole aspired set, oldest first; None: keep what there is.
    next_look
        When a directory that is not complete yet could be, in seconds on the monotonic clock; None: a look
        before the next poll is no use.
    problems
        One line each, for people.
    waiting
        Names of version directories that are not complete yet.
    """

    aspired: tuple[Artifact, ...] | None
    next_look: float | None
    problems: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


class ModelWatch:
    """One model's memory.

    Parameters
    ----------
    model
        What is watched.
    path
        The model directory, or a single file.
    """

    def __init__(self, model: WatchedModel, path: Path) -> None:
        self.path = path
        self._set_model(model)
        self._observations: dict[str, Observation] = {}
        self._file: Tree | None = None
        self._was_looked_at = False
        self._is_moving = False

    def _set_model(self, model: WatchedModel) -> None:
        self.model = model
        self.rule = CompletenessRule(kind=model.completeness, stable_ms=model.stable_ms, marker=model.marker)

    def change(self, model: WatchedModel, path: Path) -> None:
        """Watch differently from now on; what is known of the directories stays unless they are others.

        Of another directory nothing is known; what the one before had is kept until it can be listed and holds a
        version that is complete, or none at all.
        """
        rule_before = self.rule
        self._set_model(model)
        if path != self.path:
            self.path = path
            self._observations.clear()
            self._file = None
            self._is_moving = self._is_moving or self._was_looked_at
            self._was_looked_at = False
        elif self.rule != rule_before:
            self._observations = {name: one for name, one in self._observations.items() if one.complete}

    def known(self) -> frozenset[str]:
        """Return the names of directories that need no look inside any more."""
        return frozenset(name for name, one in self._observations.items() if one.complete)

    def judge(self, listing: ModelListing, *, began: float, ended: float, wall_ns: int) -> Verdict:
        """Take in one look.

        Parameters
        ----------
        listing
            What it saw.
        began, ended
            When, in seconds on the monotonic clock.
        wall_ns
            The wall clock when it began; it matters for the first look only.
        """
        is_first, self._was_looked_at = not self._was_looked_at, True
        if listing.problem:
            return self._unlisted(listing.problem, keeps=not is_first or self._is_moving)
        if listing.is_file:
            self._forget_replaced(listing.versions[0])
        self._observe(listing, began=began, ended=ended, wall_ns=wall_ns if is_first else None)
        is_settling = listing.is_file and self._is_settling(listing.versions[0])
        problems = [
            f"version directory '{each.name}': {each.problem}" for each in listing.versions if each.problem
        ]
        complete = [each for each in listing.versions if self._is_complete(each)]
        names = _by_version(complete, problems)
        chosen = choose(names, self.model.choice)
        if self.model.choice.kind == "specific":
            missing = sorted(set(self.model.choice.versions) - {each.version for each in listing.versions})
            problems += [f"version {version} is wanted but not there" for version in missing]
        dues = [due for one in self._observations.values() if (due := next_look(one, self.rule)) is not None]
        # A pin that moves to a version which is not there, or not yet whole, must not take the model down; nor must
        # a move to a directory that is still being filled, or a file that is being replaced.
        is_pinned = self.model.choice.kind == "specific"
        keeps = is_settling or (
            not chosen and ((is_pinned and not is_first) or (self._is_moving and (is_pinned or bool(dues))))
        )
        self._is_moving = self._is_moving and keeps
        if not listing.versions:
            problems.append(self._no_versions(listing))
        return Verdict(
            aspired=None
            if keeps
            else tuple(
                Artifact(
                    name=self.model.name,
                    version=version,
                    path=self.path if listing.is_file else self.path / names[version],
                    revision=_revision(self._file) if listing.is_file else "",
                )
                for version in chosen
            ),
            next_look=min(dues, default=None),
            problems=tuple(problems),
            waiting=tuple(each.name for each in listing.versions if not self._is_complete(each)),
        )

    def _forget_replaced(self, file: VersionDirectory) -> None:
        """Have a file that is not the one that came to rest before come to rest itself."""
        before = self._observations.get(file.name)
        if before is not None and before.complete and file.tree != self._file:
            del self._observations[file.name]

    def _is_settling(self, file: VersionDirectory) -> bool:
        """Tell whether a file was replaced by one that has not come to rest yet; remembers one that has."""
        if self._is_complete(file):
            self._file = file.tree
        return self._file is not None and self._file != file.tree

    def _unlisted(self, problem: str, *, keeps: bool) -> Verdict:
        """Keep what there is: storage that is away for a while must not take the models with it."""
        return Verdict(
            aspired=None if keeps else (),
            next_look=None,
            problems=(f"model directory '{self.path}': expected MODEL_DIR/VERSION/..., got: {problem}",),
        )

    def _observe(self, listing: ModelListing, *, began: float, ended: float, wall_ns: int | None) -> None:
        before, self._observations = self._observations, {}
        for each in listing.versions:
            previous = before.get(each.name)
            if each.tree is not None:
                found = observe(previous, each.tree, self.rule, began=began, ended=ended, wall_ns=wall_ns)
                self._observations[each.name] = found
            elif previous is not None and previous.complete:
                self._observations[each.name] = previous

    def _is_complete(self, directory: VersionDirectory) -> bool:
        found = self._observations.get(directory.name)
        return found is not None and found.complete

    def _no_versions(self, listing: ModelListing) -> str:
        text = f"model directory '{self.path}' holds no version directory: expected MODEL_DIR/VERSION/..."
        if listing.models:
            text += f", got directories of models: expected one of them ({', '.join(listing.models)})"
        elif listing.others:
            text += f", got {', '.join(listing.others)}"
        if parse_version(self.path.name) is not None:
            text += f" (is '{self.path.parent}' meant?)"
        return text


def _revision(file: Tree | None) -> str:
    """Return what tells the contents of a file apart without reading them."""
    return " ".join(f"{each.mtime_ns}-{each.size_bytes}-{each.inode}" for each in file or ())


def _by_version(directories: Sequence[VersionDirectory], problems: list[str]) -> Mapping[int, str]:
    """Return version -> directory name; of two names for one number the later one wins."""
    names: dict[int, str] = {}
    for each in directories:
        before = names.get(each.version)
        if before is not None:
            problems.append(
                f"version directories '{before}' and '{each.name}' are both version {each.version}: "
                f"'{each.name}' is taken"
            )
        names[each.version] = each.name
    return names
