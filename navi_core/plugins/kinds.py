"""What plugins register: one row for each kind, and what a class must have to be used as one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from navi_core.contracts.client import RemoteClient
from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import Runtime
from navi_core.contracts.serve_flags import LISTENER_FIELDS, ServeFlag
from navi_core.contracts.service import Service
from navi_core.contracts.source import ModelSource
from navi_core.contracts.transport import Transport
from navi_core.plugins.shelf import problem_of_name

__all__ = ["KINDS", "Kind", "problem_of_class"]

_CLIENT: Final = re.compile(r"[a-z][a-z0-9-]*\+[a-z][a-z0-9]*")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)?")
_NO_CONVERTER: Final = "none"  # the configuration's word for: convert nothing


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that plugins register as classes.

    Parameters
    ----------
    word
        What it is called in texts and tables.
    hook
        The hook that returns classes of this kind.
    base
        The contract that they implement.
    problems
        Yields what is wrong with a class beyond that.
    """

    word: str
    hook: str
    base: type
    problems: Callable[[Any], Iterator[str]]


def problem_of_class(item: object, kind: Kind) -> str:
    """Return what is wrong with something that a plugin registered; empty: nothing."""
    if not isinstance(item, type):
        return f"expected a class, got {item!r}"
    where = f"{item.__module__}.{item.__qualname__}"
    if not issubclass(item, kind.base):
        return f"{where} does not implement navi_core.{kind.base.__name__}"
    if inspect.isabstract(item):
        missing = ", ".join(sorted(getattr(item, "__abstractmethods__", ())))
        return f"{where} lacks methods of navi_core.{kind.base.__name__}: {missing}"
    try:
        problem = problem_of_name(getattr(item, "name", None)) or next(kind.problems(item), "")
    except Exception as error:  # an attribute of a type that nobody thought of
        return f"{where}: its attributes cannot be checked: {type(error).__name__}: {error}"
    return f"{where}: {problem}" if problem else ""


def _options(item: Any) -> Iterator[str]:
    options = item.options_type
    if options is None:
        return
    if not (isinstance(options, type) and issubclass(options, msgspec.Struct)):
        yield f"options_type: expected a msgspec.Struct class or None, got {options!r}"
    elif not options.__struct_config__.forbid_unknown_fields:
        yield f"options_type: {options.__name__} must forbid unknown fields, so that a misspelt option is refused"


def _flags(item: Any, own: Sequence[str] = ()) -> Iterator[str]:
    fields: Sequence[str] = item.options_type.__struct_fields__ if item.options_type is not None else ()
    fields = (*fields, *own)
    for flag in item.serve_flags:
        if not isinstance(flag, ServeFlag):
            yield f"serve_flags: expected ServeFlag, got {flag!r}"
        elif flag.option not in fields:
            yield f"serve_flags: {flag.name} sets '{flag.option}', which options_type does not have"


def _runtime(item: Any) -> Iterator[str]:
    if type(item.priority) is not int:
        yield f"priority: expected an int, got {item.priority!r}"
    yield from _options(item)
    yield from _flags(item)


def _converter(item: Any) -> Iterator[str]:
    if isinstance(item.aliases, str):
        yield f"aliases: expected a sequence of names, got {item.aliases!r}"
        return
    for name in (item.name, *item.aliases):
        if name == _NO_CONVERTER:
            yield f"name: '{_NO_CONVERTER}' turns conversion off in the configuration"
        if problem := problem_of_name(name, "aliases"):
            yield problem
    yield from _options(item)
    yield from _flags(item)


def _port(item: Any) -> Iterator[str]:
    port = getattr(item, "default_port", None)
    if type(port) is not int or not 0 <= port <= 65535:
        yield f"default_port: expected 0 to 65535, got {port!r}"


def _client(item: Any) -> Iterator[str]:
    if _CLIENT.fullmatch(item.name) is None:
        yield f"name: expected PROTOCOL+SCHEME, such as 'oip+grpc', in lower case, got '{item.name}'"
    yield from _port(item)


def _transport(item: Any) -> Iterator[str]:
    carries = getattr(item, "carries", None)
    if not isinstance(carries, frozenset) or not carries or carries - {"rpc", "http"}:
        yield f"carries: expected a frozenset of 'rpc' and 'http', got {carries!r}"
    if item.hosting not in ("in_host", "hosts_us"):
        yield f"hosting: expected 'in_host' or 'hosts_us', got {item.hosting!r}"
    if not isinstance(item.rpc_protocol, str) or not item.rpc_protocol:
        yield f"rpc_protocol: expected a protocol's name, got {item.rpc_protocol!r}"
    yield from _port(item)
    yield from _options(item)
    yield from _flags(item, LISTENER_FIELDS)
    for flag in item.serve_flags:
        if flag.scope != "host":
            yield f"serve_flags: {flag.name} is for the {flag.scope}: a transport serves all models"


def _service(item: Any) -> Iterator[str]:
    if not isinstance(item.descriptor_set, bytes | None):
        yield f"descriptor_set: expected bytes or None, got {type(item.descriptor_set).__name__}"


def _source(item: Any) -> Iterator[str]:
    schemes = getattr(item, "schemes", None)
    if not isinstance(schemes, frozenset) or not schemes:
        yield f"schemes: expected a frozenset of URL schemes, got {schemes!r}"
        return
    for scheme in schemes:
        if not isinstance(scheme, str) or _SCHEME.fullmatch(scheme) is None:
            yield f"schemes: expected a lower-case URL scheme, got {scheme!r}"


# The checks take Any: what a stranger's class holds is what they are there to find out.
KINDS: Final = {
    kind.word: kind
    for kind in (
        Kind("runtime", "navi_register_runtimes", Runtime, _runtime),
        Kind("converter", "navi_register_converters", Converter, _converter),
        Kind("transport", "navi_register_transports", Transport, _transport),
        Kind("service", "navi_register_services", Service, _service),
        Kind("source", "navi_register_sources", ModelSource, _source),
        Kind("client", "navi_register_clients", RemoteClient, _client),
    )
}
