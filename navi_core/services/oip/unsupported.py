"""What Triton has and navi has not: refused by name, never as something that nobody has heard of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from navi_core.contracts.service import Call, Handler, HttpRoute, Operation, Response, RpcKind, RpcMethod
from navi_core.errors import UnsupportedError
from navi_core.services.oip.errors import Failures

__all__ = ["unsupported_routes", "unsupported_rpcs"]

_SYSTEM: Final = "system shared memory"
_CUDA: Final = "CUDA shared memory"
_TRACE: Final = "trace settings"
_LOG: Final = "log settings"
_GENERATE: Final = "the generate extension"

_RPCS: Final = {
    "SystemSharedMemoryStatus": _SYSTEM,
    "SystemSharedMemoryRegister": _SYSTEM,
    "SystemSharedMemoryUnregister": _SYSTEM,
    "CudaSharedMemoryStatus": _CUDA,
    "CudaSharedMemoryRegister": _CUDA,
    "CudaSharedMemoryUnregister": _CUDA,
    "TraceSetting": _TRACE,
    "LogSettings": _LOG,
}
"""RPC -> the feature."""

_MODEL: Final = r"/v2/models/[^/]+(?:/versions/[^/]+)?"
_ROUTES: Final = {
    r"/v2/systemsharedmemory(?:/region/[^/]+)?/(?:status|register|unregister)": _SYSTEM,
    r"/v2/cudasharedmemory(?:/region/[^/]+)?/(?:status|register|unregister)": _CUDA,
    rf"(?:/v2|{_MODEL})/trace/setting": _TRACE,
    r"/v2/logging": _LOG,
    rf"{_MODEL}/generate(?:_stream)?": _GENERATE,
    r"/v2/repository/[^/]+/(?:index|models/[^/]+/(?:load|unload))": "naming a repository",
}
"""Path -> the feature."""


def unsupported_rpcs(failures: Failures) -> Mapping[str, RpcMethod]:
    """Return RPC -> method, each of which refuses by name."""
    return {
        rpc: RpcMethod(
            kind=RpcKind.UNARY, handler=_refusal(failures, feature, over_http=False), operation=Operation.READ
        )
        for rpc, feature in _RPCS.items()
    }


def unsupported_routes(failures: Failures) -> Sequence[HttpRoute]:
    """Return routes, each of which refuses by name."""
    return [
        HttpRoute(
            verb=verb,
            pattern=re.compile(pattern),
            handler=_refusal(failures, feature, over_http=True),
            operation=Operation.READ,
            advertised=False,
        )
        for pattern, feature in _ROUTES.items()
        for verb in ("GET", "POST")
    ]


def _refusal(failures: Failures, feature: str, *, over_http: bool) -> Handler:
    answer = failures.http if over_http else failures.rpc

    async def refuse(_call: Call) -> Response:
        return answer(UnsupportedError(f"{feature}: not supported by this server"))

    return refuse
