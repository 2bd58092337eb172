"""Proton's ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from navi_core.cli.importers.imported import Imported
from navi_core.config.wording import item_path, key_path, show
from navi_core.errors import ConfigError, PluginNotFoundError

__all__ = ["read_proton"]

_TRANSPORTS: Final = {"grpc": "grpc_port", "http": "port"}
"""Transport -> the key of ``server`` with its port."""

_KNOWN: Final = {"log_level", "server", "models"}
_KNOWN_OF_SERVER: Final = {"num_threads", "buffer_size", *_TRANSPORTS.values()}
_KNOWN_OF_MODEL: Final = {"name", "path"}


def read_proton(text: str) -> Imported:
    """Read a configuration.

    Raises
    ------
    ConfigError
        It is no YAML, or lacks what it must have.
    PluginNotFoundError
        PyYAML is not installed.
    """
    document = _mapping(_parse(text), "")
    server = _mapping(document.get("server", {}), "server")
    found = Imported(table={"host": "0.0.0.0", "compat_metrics": ["proton"]})
    found.notes.append(
        "host: Proton listens on every address, and so does this; 127.0.0.1 keeps it on this machine"
    )
    _name_unknown(found, document, _KNOWN, "")
    _name_unknown(found, server, _KNOWN_OF_SERVER, "server")
    if "num_threads" in server:
        found.notes.append("server.num_threads is left out: Proton does not use it either")
    if "log_level" in document:
        found.notes.append(
            f"log_level is a flag here: --log-level {_log_level(_text(document, 'log_level', ''))}"
        )
    _add_transports(found, server)
    _add_models(found, document, server)
    return found


def _parse(text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra: most hosts import no configuration
    except ImportError:
        raise PluginNotFoundError(
            "reading YAML needs PyYAML, which is not installed: pip install 'navi-core[import]'"
        ) from None
    try:
        # Scalars stay texts: what Proton's parser takes for a name must not become a boolean or a number.
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the base loader makes texts, lists and mappings only
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        place = f" (at line {where.line + 1}, column {where.column + 1})" if where is not None else ""
        raise ConfigError(f"invalid YAML: {error.problem or error.context}{place}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"invalid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError("invalid YAML: nested too deep") from None


def _add_transports(found: Imported, server: Mapping[str, Any]) -> None:
    transports = {}
    for transport, key in _TRANSPORTS.items():
        if key in server:
            transports[transport] = {"port": _number(server, key, "server")}
        else:
            transports[transport] = {}
            found.notes.append(f"server.{key} is missing: the {transport} transport has its own default port")
    found.table["transports"] = transports


def _add_models(found: Imported, document: Mapping[str, Any], server: Mapping[str, Any]) -> None:
    models = document.get("models")
    if not isinstance(models, list):
        got = "nothing" if models is None else show(models)
        raise ConfigError(f"expected a list, got {got}", path="models")
    settings: dict[str, Any] = {}
    if "buffer_size" in server:
        settings["batching"] = {"max_queue_requests": _number(server, "buffer_size", "server")}
        found.notes.append("server.buffer_size: a full queue refuses here, where Proton's clients wait")
    tables = []
    for index, entry in enumerate(models):
        path = item_path("models", index)
        model = _mapping(entry, path)
        _name_unknown(found, model, _KNOWN_OF_MODEL, path)
        tables.append({"name": _text(model, "name", path), "path": _text(model, "path", path), **settings})
    found.table["models"] = tables


def _name_unknown(found: Imported, table: Mapping[str, Any], known: set[str], path: str) -> None:
    found.notes += [
        f"{key_path(path, str(key))} is left out: Proton does not know it either"
        for key in table
        if key not in known
    ]


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"expected a mapping, got {show(value)}", path=path)
    return value


def _text(table: Mapping[str, Any], key: str, path: str) -> str:
    where = key_path(path, key)
    if key not in table:
        raise ConfigError("missing", path=where)
    value = table[key]
    if not isinstance(value, str) or not value:
        raise ConfigError(f"expected a text, got {show(value)}", path=where)
    return value


def _number(table: Mapping[str, Any], key: str, path: str) -> int:
    text = _text(table, key, path)
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ConfigError(f"expected a whole number, got {show(text)}", path=key_path(path, key))
    return int(text)


def _log_level(text: str) -> str:
    """Return the level as ``--log-level`` has it; Proton also takes numbers, 1 for errors up to 5 for traces."""
    levels = {
        "1": "error",
        "2": "warning",
        "3": "info",
        "4": "debug",
        "5": "debug",
        "warn": "warning",
        "trace": "debug",
    }
    return levels.get(text.lower(), text.lower())
