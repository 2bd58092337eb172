"""The flags of ``navi-host serve`` that are there whatever is installed: navi's own and Navi's.

Navi's have their names and short forms. :mod:`navi_core.cli.serve_config` says what they mean,
:mod:`navi_core.cli.plugin_flags` adds those of plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from navi_core.cli.sections import Section
from navi_core.config.records import (
    MessageBytes,
    NonNegativeFloat,
    NonNegativeInt,
    Port,
    PositiveFloat,
    PositiveInt,
    WorkerNumber,
)
from navi_core.config.wording import describe, show

__all__ = ["own_sections"]

if TYPE_CHECKING:
    Parameter = click.ParamType[Any]
else:
    Parameter = click.ParamType  # older ones take no type argument


class Value(Parameter):
    """A flag's value with the type, and the bounds, of the configuration field that it sets."""

    def __init__(self, kind: Any, name: str) -> None:
        self._kind = kind
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; a text that is none is a usage error."""
        try:
            return msgspec.convert(value, self._kind, strict=False)
        except (msgspec.ValidationError, ValueError):
            self.fail(f"expected {describe(self._kind)}, got {show(value)}", param, ctx)


class WorkerCount(Value):
    """A number of workers, or ``auto``."""

    def __init__(self) -> None:
        super().__init__(WorkerNumber, "N")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; ``auto`` is 0."""
        return super().convert("0" if value == "auto" else value, param, ctx)


_WORKERS: Final = WorkerCount()
_COUNT: Final = Value(PositiveInt, "N")
_COUNT_OR_ZERO: Final = Value(NonNegativeInt, "N")
_BYTES: Final = Value(PositiveInt, "BYTES")
_PORT: Final = Value(Port, "PORT")
_MILLIS: Final = Value(NonNegativeFloat, "MS")
_SECONDS: Final = Value(NonNegativeFloat, "SECONDS")


def own_sections() -> list[Section]:
    """Return the flags that are there whatever is installed, in the order of the help."""
    return [
        Section("Models", _models()),
        Section("Listening", _listeners()),
        Section("Access and TLS", _access()),
        Section("Batching", _batching()),
        Section("Threads and limits", _limits()),
        Section("Workers", _workers()),
        Section("Logs", _logs()),
        Section("Navi's flags without effect here", _inert()),
    ]


def _models() -> list[click.Option]:
    return [
        _option(
            "--model-dir",
            "-m",
            multiple=True,
            metavar="DIR",
            help="A model: DIR/VERSION/..., or a single file. Repeat it for more models.",
        ),
        _option(
            "--model-repository",
            multiple=True,
            metavar="DIR",
            help="Many models: DIR/NAME/VERSION/...; those that come later are served, too, and those that go are not.",
        ),
        _option(
            "--config",
            type=click.Path(dir_okay=False),
            metavar="FILE.toml",
            help="A configuration; flags override it.",
        ),
        _option(
            "--model-check-interval-secs",
            type=_SECONDS,
            help="Between looks at the model directories; 0: look once. [default: 1]",
        ),
        _option(
            "--versions-per-model", type=_COUNT, help="Serve so many of the newest versions. [default: 1]"
        ),
        _option(
            "--serving-sig",
            multiple=True,
            metavar="NAME",
            help="* The signature to serve as the default one.",
        ),
        _option("--input", multiple=True, metavar="NAME,...", help="* The inputs of the default signature."),
        _option(
            "--output", multiple=True, metavar="NAME,...", help="* The outputs of the default signature."
        ),
        _option(
            "--max-warmup-records",
            type=_COUNT_OR_ZERO,
            help="Run so many of a version's recorded requests at most before it serves. [default: all]",
        ),
        _option(
            "--meta-json-dir",
            metavar="PREFIX",
            help="Where META.json is: a prefix, so end it with '/'. [default: beside the first --model-dir]",
        ),
        _option(
            "--modelsync-cli", metavar="COMMAND", help="Run this before each look at the model directories."
        ),
    ]


def _listeners() -> list[click.Option]:
    return [
        _option("--port", "-p", type=_PORT, help="gRPC port; 0: any free one. [default: 8500]"),
        _option("--rest-port", type=_PORT, help="REST port; 0: any free one. [default: 8501]"),
        _option("--host", metavar="ADDRESS", help="The address to listen on. [default: 127.0.0.1]"),
        _option(
            "--transport",
            multiple=True,
            metavar="NAME",
            help="What to listen with; repeat it. [default: grpc, http]",
        ),
        _option(
            "--prometheus-port",
            type=_PORT,
            help="A port of its own for /metrics, which is on the REST port anyway.",
        ),
        _option(
            "--address-file",
            type=click.Path(dir_okay=False, writable=True),
            metavar="FILE",
            help="Write the addresses that are listened on to FILE, as JSON.",
        ),
    ]


def _access() -> list[click.Option]:
    return [
        _option("--admin/--no-admin", default=None, help="Allow operations that load and unload models."),
        _option(
            "--admin-token-file",
            metavar="FILE",
            help="Those operations need a bearer token of FILE, which holds one in each line.",
        ),
        _option(
            "--infer-token-file", metavar="FILE", help="Inference needs a token of FILE, or an admin one."
        ),
        _option(
            "--ssl-dir",
            "-s",
            metavar="DIR",
            help="Serve with mutual TLS: server.key, server.crt, server.chain in DIR.",
        ),
    ]


def _batching() -> list[click.Option]:
    return [
        _option("--max-batch-size", multiple=True, type=_COUNT, help="* Requests (not rows) of one batch."),
        _option(
            "--batch-time-out-millis",
            "-b",
            multiple=True,
            type=_MILLIS,
            help="* How long a batch waits for more requests. [default: 0]",
        ),
        _option(
            "--batch-drop-millis",
            type=Value(PositiveFloat, "MS"),
            help="Drop requests that waited so long. [default: never]",
        ),
        _option(
            "--batching",
            multiple=True,
            metavar="NAME=VALUE",
            help="A field of [batching], for all models that do not say: max_batch_rows=256. Repeat it.",
        ),
    ]


def _limits() -> list[click.Option]:
    return [
        _option("--max-blocking-threads", type=_COUNT, help="Batches that run at once, over all models."),
        _option(
            "--intra-op-parallelism",
            multiple=True,
            type=_COUNT_OR_ZERO,
            help="* Threads within one operation.",
        ),
        _option(
            "--inter-op-parallelism",
            multiple=True,
            type=_COUNT_OR_ZERO,
            help="* Operations that run at once.",
        ),
        _option(
            "--max-message-bytes",
            type=Value(MessageBytes, "BYTES"),
            help="The largest message, each way. [default: 2147483647]",
        ),
        _option(
            "--memory-budget-bytes",
            type=_BYTES,
            help="What bodies in flight may take. [default: a quarter of the memory]",
        ),
        _option(
            "--drain-timeout", type=_SECONDS, help="How long a stop waits for what was taken. [default: 30]"
        ),
    ]


def _workers() -> list[click.Option]:
    return [
        _option(
            "--workers",
            type=_WORKERS,
            help="Processes that serve, behind one port; auto or 0: one for each core. [default: 1]",
        ),
        _option(
            "--worker-timeout",
            type=Value(PositiveFloat, "SECONDS"),
            help="A worker that says nothing for so long is replaced. [default: 10]",
        ),
        _option(
            "--max-workers-loading",
            type=_COUNT,
            help="So many workers load a new version at a time. [default: all]",
        ),
    ]


def _logs() -> list[click.Option]:
    return [
        _option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error", "critical"]),
            default="info",
            show_default=True,
            help="The least important events to log.",
        ),
        _option(
            "--log-format",
            type=click.Choice(["auto", "console", "json"]),
            default="auto",
            show_default=True,
            help="auto: console on a terminal, else JSON.",
        ),
        _option(
            "--access-log/--no-access-log",
            default=None,
            help="Log a line for every request, with its id (x-request-id). [default: off]",
        ),
    ]


def _inert() -> list[click.Option]:
    return [
        _option("--num-worker-threads", "-n", type=_COUNT, help="Has no effect."),
        _option(
            "--customops-lib", "-c", metavar="FILE,...", help="Has no effect without a runtime that takes it."
        ),
        *(
            _option(
                f"--onnx-report-{kind}-feature-ids",
                multiple=True,
                metavar="ID,...",
                help="* Has no effect without a converter that takes it.",
            )
            for kind in ("discrete", "continuous")
        ),
    ]


def _option(*names: str, help: str, **rest: Any) -> click.Option:  # noqa: A002 - click's own word
    return click.Option(list(names), help=help, **rest)
