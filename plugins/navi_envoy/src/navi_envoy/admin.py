"""Envoy's admin interface, over its Unix socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

__all__ = ["Admin", "AdminError"]

_TIMEOUT_S: Final = 5.0


class AdminError(Exception):
    """Envoy's admin interface cannot be reached, or refused."""


class Admin:
    """Asks one Envoy.

    Parameters
    ----------
    path
        Its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def listeners(self) -> dict[str, dict[str, Any]]:
        """Return listener name -> its address, as Envoy shows it; those that do not listen yet are left out.

        Raises
        ------
        AdminError
            It does not answer (yet).
        """
        shown = json.loads(await self._ask("GET", "/listeners?format=json"))
        return {each["name"]: each["local_address"] for each in shown.get("listener_statuses", ())}

    async def state(self) -> str:
        """Return how far Envoy is; at ``LIVE`` it has started its workers: only then do listeners accept.

        Raises
        ------
        AdminError
            It does not answer (yet).
        """
        return str(json.loads(await self._ask("GET", "/server_info"))["state"])

    async def counters(self, *names: str) -> dict[str, int]:
        """Return counters or gauges of these names; 0 for those that Envoy has not made.

        Raises
        ------
        AdminError
            It does not answer.
        """
        listed = "|".join(names).replace(".", r"\.")
        text = (await self._ask("GET", f"/stats?filter=^({listed})$")).decode()
        found = dict.fromkeys(names, 0)
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if name in found:
                found[name] = int(value)
        return found

    async def drain(self, *, closes_listeners: bool) -> None:
        """Ask the client of every answer to leave; close the listeners now, or leave them open for the drain time.

        Raises
        ------
        AdminError
            It does not answer.
        """
        await self._ask("POST", "/drain_listeners" + ("" if closes_listeners else "?graceful&skip_exit"))

    async def _ask(self, verb: str, target: str) -> bytes:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                try:
                    writer.write(f"{verb} {target} HTTP/1.1\r\nhost: admin\r\n\r\n".encode())
                    return await _answer(reader, target)
                finally:
                    writer.close()
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
            text = str(error) or type(error).__name__
            raise AdminError(f"Envoy's admin interface: {target}: {text}") from None


async def _answer(reader: asyncio.StreamReader, target: str) -> bytes:
    """Read one answer to its end; its connection is closed by us, for Envoy takes its time to."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        chunks = []
        while size_bytes := int(await reader.readuntil(b"\r\n"), 16):
            chunks.append(await reader.readexactly(size_bytes))
            await reader.readexactly(2)
        body = b"".join(chunks)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    if status.split(" ")[1:2] != ["200"]:
        raise AdminError(f"Envoy's admin interface: {target}: expected status 200, got {status!r}")
    return body
