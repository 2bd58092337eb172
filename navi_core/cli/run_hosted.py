"""Runs a host inside a foreign server until it is told to stop: this process stays the parent of it.

The first SIGTERM or SIGINT stops it in order: not ready, nothing new is taken, what was taken is finished
within the drain timeout; exit 0. A second one ends both at once. Whatever ends the server unasked ends this
process with 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from navi_core.cli.hangup import Hangup
from navi_core.cli.run_host import write_addresses
from navi_core.config.convert import convert_options
from navi_core.config.records import HostConfig, TlsSettings
from navi_core.contracts.foreign import LaunchPlan
from navi_core.contracts.transport import TlsFiles, Transport
from navi_core.hosted.launcher import Launched
from navi_core.hosted.orders import Orders
from navi_core.logs import LogFormat, resolved_format
from navi_core.start_collection import collect_as_usual

__all__ = ["run_hosted"]

log = structlog.get_logger(__name__)

_APP: Final = "navi_core.hosted.app:app"
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_EXIT_FAILED: Final = 1


def run_hosted(
    kind: type[Transport],
    config: HostConfig,
    *,
    address_file: Path | None = None,
    log_level: str = "info",
    log_format: LogFormat = "auto",
    is_worker: bool = False,
    hangup: Hangup | None = None,
) -> int:
    """Start a foreign server with a host in it, serve until a signal asks to stop, and stop in order.

    For the main thread of a process that does nothing else.

    Parameters
    ----------
    kind
        The transport; the configuration has no other.
    config
        What to serve and how.
    address_file
        Where to write the addresses, once they are listened on.
    log_level, log_format
        As this process logs.
    is_worker
        Other processes listen on the same port, and a parent passes signals on: a second one changes nothing.
    hangup
        What SIGHUP does; None: whatever it does by itself.

    Returns
    -------
    status
        The exit status: 0, or 1 when the server ended by itself.

    Raises
    ------
    NaviError, OSError
        It could not start; nothing is left open.
    """
    with tempfile.TemporaryDirectory(prefix="navi-") as folder:
        file = Path(folder) / "host.json"
        file.write_text(json.dumps(_without_nothing(msgspec.to_builtins(config))), encoding="utf-8")
        form = resolved_format(log_format)
        orders = Orders(
            control_fd=-1,
            config_path=str(file),
            transport=kind.name,
            log_level=log_level,
            log_format=form,
        )
        launched = Launched(kind(), _plan(kind, config, form, reuse_port=is_worker), orders)
        try:
            with asyncio.Runner() as runner:
                return runner.run(
                    _serve(launched, kind.name, config, address_file, hangup, is_worker=is_worker)
                )
        finally:
            if address_file is not None:
                address_file.unlink(missing_ok=True)


def _plan(kind: type[Transport], config: HostConfig, form: LogFormat, *, reuse_port: bool) -> LaunchPlan:
    settings = config.transports[kind.name]
    return LaunchPlan(
        app=_APP,
        host=settings.host or config.host,
        port=kind.default_port if settings.port is None else settings.port,
        tls=_tls(settings.tls),
        reuse_port=reuse_port,
        options=convert_options(kind.options_type, settings.options, f"transports.{kind.name}.options"),
        log_format="console" if form == "console" else "json",
    )


async def _serve(
    launched: Launched,
    name: str,
    config: HostConfig,
    address_file: Path | None,
    hangup: Hangup | None,
    *,
    is_worker: bool,
) -> int:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        if told_to_stop.is_set():
            if is_worker:
                return
            log.warning("stopped_at_once", signal=number.name)
            os._exit(128 + number)  # the server does not outlive this process
        log.info("stopping", signal=number.name, drain_timeout_s=config.drain_timeout_s)
        told_to_stop.set()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    waiting = loop.create_task(told_to_stop.wait())
    starting = loop.create_task(launched.start())
    following: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        addresses = await starting
        log.info("listening", transport=name, addresses=[str(address) for address in addresses])
        if address_file is not None:
            write_addresses(address_file, {name: addresses})
        log.info("serving", pid=os.getpid(), models=[model.model_name for model in config.models])
        collect_as_usual()  # the application inside has thresholds of its own
        if hangup is not None:
            following = loop.create_task(hangup.follow(config, launched.reload_models))
        ended = loop.create_task(launched.wait())
        await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            log.error("server_ended", transport=name, reason=ended.result())
            return _EXIT_FAILED
        ended.cancel()
        await launched.drain(config.drain_timeout_s)
    finally:
        waiting.cancel()
        if following is not None:
            following.cancel()
        await launched.stop()
    log.info("stopped")
    return 0


def _tls(settings: TlsSettings | None) -> TlsFiles | None:
    if settings is None:
        return None
    return TlsFiles(
        key=Path(settings.key),
        certificate=Path(settings.certificate),
        chain=Path(settings.chain) if settings.chain else None,
        client_ca=tuple(Path(path) for path in settings.client_ca),
    )


def _without_nothing(value: Any) -> Any:
    """Drop what was not said: a file has no word for it."""
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nothing(item) for item in value]
    return value
