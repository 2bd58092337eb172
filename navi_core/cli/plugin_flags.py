"""The flags that plugins add to ``navi-host serve``, and click's values as :class:`ServeFlags`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import click

from navi_core.cli.sections import Section
from navi_core.cli.serve_config import PluginValues, ServeFlags
from navi_core.cli.serve_options import own_sections
from navi_core.cli.tf_serving_flags import INERT, tf_serving_sections
from navi_core.config.wording import show
from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import Runtime
from navi_core.contracts.serve_flags import ServeFlag
from navi_core.contracts.transport import Transport
from navi_core.plugins.registry import Registry

__all__ = ["PluginFlag", "plugin_flags", "read_flags", "serve_sections"]

if TYPE_CHECKING:
    Parameter = click.ParamType[Any]
else:
    Parameter = click.ParamType  # older ones take no type argument

_SHORT_FORMS: Final = {"--customops-lib": "-c"}
"""Navi's short forms of flags that a plugin may offer."""

_REPLACEABLE: Final = INERT | {
    "--customops-lib",
    "--onnx-report-continuous-feature-ids",
    "--onnx-report-discrete-feature-ids",
}
"""Flags that do nothing by themselves: a plugin's flag of the same name takes their place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFlag:
    """One flag that plugins offer, and the options that it sets.

    Parameters
    ----------
    targets
        (``runtime``, ``converter`` or ``transport``, plugin's name, the plugin's flag); all with one name and scope.
    parameter
        The name under which click hands the value over.
    """

    targets: tuple[tuple[str, str, ServeFlag], ...]
    parameter: str

    @property
    def flag(self) -> ServeFlag:
        """The first target's flag: name, help and scope are taken from it."""
        return self.targets[0][2]


class _TargetValues(Parameter):
    """One text, as each of the plugins that offer the flag parses it."""

    def __init__(self, each: PluginFlag) -> None:
        self._each = each
        self.name = each.flag.metavar

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Return a value for each target; a plugin's ``ValueError`` is a usage error."""
        try:
            return tuple(flag.parse(value) for _, _, flag in self._each.targets)
        except ValueError as error:
            self.fail(str(error) or f"got {show(value)}", param, ctx)


def plugin_flags(registry: Registry) -> tuple[list[PluginFlag], dict[str, str]]:
    """Return the flags that installed plugins offer, and why some are left out.

    Returns
    -------
    flags, refused
        In the order of the plugins; flag -> why it is not offered.
    """
    taken = {
        name
        for section in _host_sections()
        for option in section.options
        for name in (*option.opts, *option.secondary_opts)
    }
    offered: dict[str, list[tuple[str, str, ServeFlag]]] = {}
    refused: dict[str, str] = {}
    sources: list[tuple[str, Runtime | Converter | type[Transport]]] = [
        ("runtime", each) for each in registry.runtimes()
    ]
    sources += [("converter", each) for each in registry.converters()]
    sources += [("transport", each) for each in registry.transports().values()]
    for kind, plugin in sources:
        for flag in plugin.serve_flags:
            name = flag.name.replace("_", "-")
            others = offered.setdefault(name, [])
            if name in taken and name not in _REPLACEABLE:
                refused[name] = f"{kind} '{plugin.name}' offers it, and navi-host has one of its own"
            elif not name.startswith("--") or len(name) < 4:
                refused[name] = f"{kind} '{plugin.name}' offers it: expected --a-long-name"
            elif others and others[0][2].scope != flag.scope:
                refused[name] = (
                    f"{kind} '{plugin.name}' offers it for the {flag.scope}, "
                    f"{others[0][0]} '{others[0][1]}' for the {others[0][2].scope}"
                )
            else:
                others.append((kind, plugin.name, flag))
    flags = [
        PluginFlag(targets=tuple(targets), parameter=f"plugin_{name[2:].replace('-', '_')}")
        for name, targets in offered.items()
        if targets
    ]
    return flags, refused


def plugin_sections(flags: Sequence[PluginFlag]) -> list[Section]:
    """Return click's form of the plugins' flags, those of one plugin in one section; several may share a flag."""
    sections: dict[str, list[click.Option]] = {}
    for each in flags:
        owners = ", ".join(f"{kind} {plugin}" for kind, plugin, _ in each.targets)
        sections.setdefault(owners, []).append(_plugin_option(each))
    return [Section(f"Plugin flags: {owners}", options) for owners, options in sections.items()]


def _plugin_option(each: PluginFlag) -> click.Option:
    name = each.flag.name.replace("_", "-")
    star = "* " if each.flag.scope == "model" else ""
    return click.Option(
        [each.parameter, name, *([_SHORT_FORMS[name]] if name in _SHORT_FORMS else [])],
        multiple=each.flag.scope == "model",
        type=_TargetValues(each),
        metavar=each.flag.metavar,
        help=f"{star}{each.flag.help}",
    )


def _host_sections() -> list[Section]:
    """Return the flags that are there whatever is installed: navi's, Navi's and TensorFlow Serving's."""
    return [*own_sections(), *tf_serving_sections()]


def serve_sections(flags: Sequence[PluginFlag]) -> list[Section]:
    """Return every flag: navi-host's own, without those that a plugin offers, and the plugins'."""
    replaced = {each.flag.name.replace("_", "-") for each in flags}

    def kept(section: Section) -> Section:
        return replace(
            section, options=[option for option in section.options if not replaced & set(option.opts)]
        )

    own, theirs = (map(kept, sections) for sections in (own_sections(), tf_serving_sections()))
    return [*own, *plugin_sections(flags), *theirs]


def read_flags(values: Mapping[str, Any], plugins: Sequence[PluginFlag]) -> ServeFlags:
    """Return the flags that click parsed.

    Parameters
    ----------
    values
        Click's parameters.
    plugins
        The plugins' flags that were offered.
    """
    said = {field.name: values[field.name] for field in fields(ServeFlags) if field.name in values}
    for each in plugins:
        value = values.get(each.parameter)
        if value is None or value == ():
            continue
        given = value if each.flag.scope == "model" else (value,)
        said["plugins"] = (
            *said.get("plugins", ()),
            *(
                PluginValues(
                    kind=kind, plugin=plugin, flag=flag, values=tuple(parsed[index] for parsed in given)
                )
                for index, (kind, plugin, flag) in enumerate(each.targets)
            ),
        )
    return ServeFlags(**said)
