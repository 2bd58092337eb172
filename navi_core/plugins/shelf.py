"""The names of one kind of plugin, and what happens when two plugins claim one or nobody does.

Imports no contract, so that commands can be listed without NumPy.
"""

from __future__ import annotations

import re
from typing import Any, Final, Generic, NoReturn, TypeVar

from packaging.utils import canonicalize_name

from navi_core.errors import PluginConflictError, PluginNotFoundError
from navi_core.plugins.discovery import HookCall, PluginRecord, Plugins, PluginState, describe

__all__ = ["Shelf", "problem_of_name", "returned_by"]

_T = TypeVar("_T")

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")


def problem_of_name(name: object, word: str = "name") -> str:
    """Return what is wrong with a name that configurations and metrics use; empty: nothing."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        return f"{word}: expected letters, digits, '_', '-', '.' or '+', at most 64, got {name!r}"
    return ""


def returned_by(record: PluginRecord, hook: str, call: HookCall) -> list[Any]:
    """Call one plugin's registration hook; what goes wrong fails its record."""
    try:
        answers = call()
        if not answers:
            record.fail(f"{hook} returned None, expected a sequence")
        return [item for answer in answers for item in answer]
    except (Exception, SystemExit) as error:  # a stranger's code: its failure is its own
        record.fail(f"{hook} raised {describe(error)}", error)
        return []


class Shelf(Generic[_T]):
    """The names of one kind. A name that two plugins claim is usable by neither.

    Parameters
    ----------
    word
        What the kind is called in texts.
    plugins
        Searched for a broken plugin that may be the one meant.
    """

    def __init__(self, word: str, plugins: Plugins) -> None:
        self._word = word
        self._plugins = plugins
        self._claims: dict[str, list[tuple[PluginRecord, _T]]] = {}

    def claim(self, name: str, item: _T, record: PluginRecord) -> None:
        """Enter one name of one item."""
        self._claims.setdefault(name, []).append((record, item))

    def settle(self, *, listed: bool = True) -> None:
        """Write which names can be used (unless not ``listed``), and which clash, into the records."""
        for name, claims in self._claims.items():
            for record, _ in claims:
                if len(claims) > 1:
                    record.conflict(self._clash(name))
                elif listed:
                    record.provides.append((self._word, name))

    def usable(self) -> dict[str, _T]:
        """Return what can be used, in the order of registration."""
        return {name: claims[0][1] for name, claims in self._claims.items() if len(claims) == 1}

    def record_of(self, name: str) -> PluginRecord:
        """Return the plugin that registered a usable name."""
        return self._claims[name][0][0]

    def get(self, name: str) -> _T:
        """Return what is registered under a name.

        Raises
        ------
        PluginConflictError
            More than one plugin registered it.
        PluginNotFoundError
            None did; its cause is the failure of the plugin that looks like the one meant.
        """
        claims = self._claims.get(name, ())
        if len(claims) > 1:
            raise PluginConflictError(self._clash(name))
        if not claims:
            self._not_found(name)
        return claims[0][1]

    def _clash(self, name: str) -> str:
        owners = " and ".join(f"{record.source} (plugin '{record.name}')" for record, _ in self._claims[name])
        return f"{self._word} '{name}' is registered by {owners}: uninstall one, or leave it out with NAVI_PLUGINS"

    def _not_found(self, name: str) -> NoReturn:
        known = ", ".join(f"'{each}'" for each in sorted(self.usable())) or "none"
        text = f"no {self._word} is called '{name}' (installed: {known})"
        plain = canonicalize_name(name)
        for record in self._plugins.records:
            names = {record.name, canonicalize_name(record.distribution)}
            if record.state is not PluginState.LOADED and names & {name, plain, f"navi-{plain}"}:
                raise PluginNotFoundError(
                    f"{text}; plugin '{record.name}' of {record.source} is {record.state}: {record.reason}"
                ) from record.error
        raise PluginNotFoundError(text)
