"""The names in a new plugin package, all made from one; and which are refused because they are taken."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from typing import Final

from packaging.version import Version

from navi_core.hookspecs import ENTRY_POINT_GROUP

__all__ = [
    "MAX_NAME_LENGTH",
    "PluginNames",
    "clash_of_distribution",
    "core_requirement",
    "problem_of_plugin_name",
]

MAX_NAME_LENGTH: Final = 30

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_RESERVED: Final = frozenset(
    {"navi_core", "src", "test", "tests"}
)  # navi's own, and folders of every package
_KIND_WORDS: Final = frozenset(
    {"runtime", "converter", "service", "transport", "source", "command", "plugin"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginNames:
    """What a package and the things in it are called.

    Parameters
    ----------
    distribution
        What pip installs: ``navi-foo``.
    import_name
        What Python imports: ``navi_foo``.
    word
        What configurations call the thing: ``foo``.
    class_prefix
        What its classes begin with: ``Foo``.
    """

    distribution: str
    import_name: str
    word: str
    class_prefix: str

    @classmethod
    def of(cls, name: str) -> PluginNames:
        """Make all of them from a name that :func:`problem_of_plugin_name` has nothing against."""
        parts = name.replace("-", "_").split("_")
        words = parts[1:] if parts[0] == "navi" and len(parts) > 1 else parts
        if words[-1] in _KIND_WORDS and len(words) > 1:
            words = words[:-1]
        # a word is an identifier, and may follow a dash in a flag: navi-2d is 'navi_2d' after all
        words = words if words[0][0].isalpha() else parts
        return cls(
            distribution="-".join(parts),
            import_name="_".join(parts),
            word="_".join(words),
            class_prefix="".join(word.capitalize() for word in words),
        )


def problem_of_plugin_name(name: str) -> str:
    """Return why no package can have this name here; empty: nothing.

    Looks for modules that the package would hide, or be hidden by, and imports none.
    """
    if len(name) > MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        return (
            f"expected lower-case letters, digits and single '-' or '_' between them, beginning with a letter, "
            f"at most {MAX_NAME_LENGTH}, got '{name}'"
        )
    names = PluginNames.of(name)
    module = names.import_name
    if keyword.iskeyword(module) or keyword.iskeyword(names.word):
        return f"'{module}' is a word of Python's own"
    if module in sys.stdlib_module_names:
        return f"'{module}' is a module of Python's own"
    if module in _RESERVED:
        return f"'{module}' stands for something else"
    return _problem_of_module(names)


def clash_of_distribution(name: str) -> str:
    """Return what installing the package would do to one that is installed; empty: nothing.

    pip goes by the distribution's name alone: another one of that name is uninstalled, whatever it imports as.
    """
    names = PluginNames.of(name)
    try:
        installed = importlib.metadata.distribution(names.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
    if _is_plugin(names):
        return ""
    return (
        f"{names.distribution} {installed.version} is installed: installing this package takes its place; "
        "choose another name, or change 'name' in pyproject.toml"
    )


def _problem_of_module(names: PluginNames) -> str:
    module = names.import_name
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:  # a plain folder on the path is no module
        return ""
    if _is_plugin(names):  # an earlier build of this very package
        return ""
    owners = importlib.metadata.packages_distributions().get(module)
    whose = f"of {', '.join(sorted(set(owners)))}" if owners else f"at {spec.origin}"
    return f"there is a module '{module}' already ({whose})"


def _is_plugin(names: PluginNames) -> bool:
    try:
        distribution = importlib.metadata.distribution(names.distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    points = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
    return any(point.module.partition(".")[0] == names.import_name for point in points)


def core_requirement(core_version: str) -> str:
    """Return what a plugin written against this navi-core requires of it: no version that breaks contracts."""
    version = Version(core_version)
    major, minor = version.major, version.minor
    breaking = f"{major + 1}" if major else f"0.{minor + 1}"
    return f"navi-core>={major}.{minor},<{breaking}"
