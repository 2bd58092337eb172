"""Logs: where events go and how they look.

Modules log through ``structlog.get_logger(__name__)``: event names are constant snake_case words, everything
else is a key. Nothing is configured on import. The command line calls :func:`configure_logging` once;
a program that serves in process keeps its own configuration, or calls :func:`use_stdlib_logging` to
have navi's events go where its ``logging`` goes.

All events, structlog's and the standard library's, pass one handler: they never mix within a line
and have one form.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, TypeAlias

import msgspec
import structlog

__all__ = [
    "LOG_FORMATS",
    "LOG_LEVELS",
    "EventWriter",
    "LogFormat",
    "configure_logging",
    "event_writer",
    "resolved_format",
    "use_stdlib_logging",
]

LogFormat: TypeAlias = Literal["auto", "console", "json"]

EventWriter: TypeAlias = Callable[[int, str, dict[str, Any]], None]
"""Writes an event: level (of ``logging``), event, fields."""

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS: Final[tuple[LogFormat, ...]] = ("auto", "console", "json")

_NOISY: Final = ("aiohttp.access", "aiohttp.server", "aiohttp.web", "asyncio", "concurrent", "grpc")
"""Libraries whose info lines repeat what navi's own events and metrics say."""


def configure_logging(
    *,
    level: str = "info",
    log_format: LogFormat = "auto",
    stream: TextIO | None = None,
    worker: int | None = None,
) -> None:
    """Send every event of the process to ``stream``.

    Replaces an earlier configuration, and the root logger's handlers: for programs that own their
    process.

    Parameters
    ----------
    level
        One of ``LOG_LEVELS``: nothing below it is written.
    log_format
        ``console``: for people, coloured on a terminal; ``json``: one object a line; ``auto``:
        console when the stream is a terminal, JSON otherwise.
    stream
        None: stderr.
    worker
        The number of this process, of several that serve as one: it stands in every event. None: it has none.

    Raises
    ------
    ValueError
        An unknown level or form.
    """
    if level not in LOG_LEVELS:
        msg = f"log level: expected one of {', '.join(LOG_LEVELS)}, got '{level}'"
        raise ValueError(msg)
    if log_format not in LOG_FORMATS:
        msg = f"log format: expected one of {', '.join(LOG_FORMATS)}, got '{log_format}'"
        raise ValueError(msg)
    stream = sys.stderr if stream is None else stream
    watched = stream.isatty()
    form = resolved_format(log_format, stream)
    number = logging.getLevelNamesMapping()[level.upper()]

    shared = [*_shared_processors(), *([] if worker is None else [_of_worker(worker)])]
    handler = _Lines(stream, is_json=form == "json", more={} if worker is None else {"worker": worker})
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(form, colors=watched),
            ],
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)
    # gRPC's core writes to stderr past every logger; it reads this when it is first imported
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def event_writer(logger: str) -> EventWriter:
    """Return what writes one logger's events, when there is one for each request.

    Where nobody but navi's own handler takes them, as JSON, they go straight to it: structlog's and the standard
    library's way there takes ten times as long.

    Parameters
    ----------
    logger
        The logger's name. What is configured when this is called holds.
    """
    structured = structlog.get_logger(logger)

    def write_anywhere(level: int, event: str, fields: dict[str, Any]) -> None:
        structured.log(level, event, **fields)

    own = logging.getLogger(logger)
    handlers = [*own.handlers, *logging.getLogger().handlers]
    if len(handlers) != 1 or not isinstance(handlers[0], _Lines) or not handlers[0].is_json:
        return write_anywhere
    lines, least = handlers[0], own.getEffectiveLevel()

    def write(level: int, event: str, fields: dict[str, Any]) -> None:
        if level >= least:
            lines.write_event(level, logger, event, fields)

    return write


class _Lines(logging.StreamHandler[TextIO]):
    """The one handler: an event a line."""

    def __init__(self, stream: TextIO, *, is_json: bool, more: dict[str, Any]) -> None:
        super().__init__(stream)
        self.is_json = is_json
        self._more = more

    def write_event(self, level: int, logger: str, event: str, fields: dict[str, Any]) -> None:
        """Write an event as JSON, in the form that every other one has."""
        line = _to_json(
            {
                "timestamp": datetime.now(UTC),
                "level": logging.getLevelName(level).lower(),
                "logger": logger,
                "event": event,
                **self._more,
                **fields,
            }
        )
        with self.lock or nullcontext():
            try:
                self.stream.write(line + self.terminator)
                self.flush()
            except (OSError, ValueError):  # a full disk, or a stream that was closed, fails no request
                return


def resolved_format(log_format: LogFormat, stream: TextIO | None = None) -> Literal["console", "json"]:
    """Return the form that ``auto`` means for a stream; None: stderr."""
    if log_format == "auto":
        return "console" if (sys.stderr if stream is None else stream).isatty() else "json"
    return log_format


def use_stdlib_logging() -> None:
    """Send navi's events to the ``logging`` loggers of the same names, unless structlog is configured already.

    structlog's own default prints everything to stdout, which a library must not do. The program's handlers
    and levels apply; the keys stand behind the event, as ``key=value``.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _shared_processors() -> Sequence[structlog.typing.Processor]:
    """Return what every event passes, whoever logged it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _of_worker(worker: int) -> structlog.typing.Processor:
    """Return what says in every event which worker it is from."""

    def say(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["worker"] = worker
        return event

    return say


def _rendering(form: str, *, colors: bool) -> Sequence[structlog.typing.Processor]:
    if form == "console":
        return [structlog.dev.ConsoleRenderer(colors=colors)]
    return [
        structlog.processors.format_exc_info,
        _in_order,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _in_order(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put what every event has first: people read these lines, too."""
    first = {key: event[key] for key in ("timestamp", "level", "logger", "event") if key in event}
    return {**first, **event}


def _to_json(event: Any, **_: Any) -> str:
    """Write one event as one line; what JSON has no form for is written by its ``str``."""
    try:
        return msgspec.json.encode(event, enc_hook=str).decode()
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError):
        # keys that are no texts, lone surrogates: slower, but never an event lost
        return json.dumps({str(key): str(value) for key, value in event.items()})
