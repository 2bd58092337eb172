"""Envoy's admin interface, over its Unix socket."""

from __future__ import annotations

import asyncio
import io
import json
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final

__all__ = ["Admin", "AdminError"]

_TIMEOUT_S: Final = 5.0
_OK: Final = 200


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

    async def is_live(self) -> bool:
        """Tell whether Envoy has started its workers: only then do listeners accept.

        Raises
        ------
        AdminError
            It does not answer (yet).
        """
        shown = json.loads(await self._ask("GET", "/server_info"))
        return bool(shown["state"] == "LIVE")

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

    async def drain(self) -> None:
        """Close the listeners; open connections are served on, and asked to end.

        Raises
        ------
        AdminError
            It does not answer.
        """
        await self._ask("POST", "/drain_listeners")

    async def _ask(self, verb: str, target: str) -> bytes:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                try:
                    request = f"{verb} {target} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
                    writer.write(request.encode())
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise AdminError(f"Envoy's admin interface: {str(error) or type(error).__name__}") from None
        response = HTTPResponse(_Received(answer), method=verb)  # type: ignore[arg-type] # all it asks for is a file
        try:
            response.begin()
            body = response.read()
        except (HTTPException, OSError, ValueError) as error:
            raise AdminError(f"Envoy's admin interface: {target}: {error!r}") from None
        if response.status != _OK:
            raise AdminError(f"Envoy's admin interface: {target}: expected status 200, got {response.status}")
        return body


class _Received:
    """What was read, as the socket that the parser of the standard library reads."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
