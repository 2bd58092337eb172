"""A light client of model servers: TensorFlow Serving, Triton, KServe, Proton, and navi itself.

>>> from navi_client import Client
>>> with Client("127.0.0.1:8500") as client:  # doctest: +SKIP
...     client.predict("web_click", {"x": array})["y"]

numpy, grpcio and protobuf are all that it needs. Arrays go out as their memory and come in as views of the
answer, wherever the protocols allow it. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from navi_client._generated.example_values import encode_example
    from navi_client.async_client import AsyncClient
    from navi_client.client import Client
    from navi_client.connection import Tls
    from navi_client.errors import ClientError, Code, DecodeError, UnsupportedError
    from navi_client.messages import (
        Class,
        ListedModel,
        ModelMetadata,
        Outputs,
        Request,
        Target,
        TensorInfo,
        VersionStatus,
    )
    from navi_client.retrying import Retries

_MODULE_OF: Final = {
    "AsyncClient": "async_client",
    "Class": "messages",
    "Client": "client",
    "ClientError": "errors",
    "Code": "errors",
    "DecodeError": "errors",
    "ListedModel": "messages",
    "ModelMetadata": "messages",
    "Outputs": "messages",
    "Request": "messages",
    "Retries": "retrying",
    "Target": "messages",
    "TensorInfo": "messages",
    "Tls": "connection",
    "UnsupportedError": "errors",
    "VersionStatus": "messages",
    "encode_example": "_generated.example_values",
}

__all__ = [
    "AsyncClient",
    "Class",
    "Client",
    "ClientError",
    "Code",
    "DecodeError",
    "ListedModel",
    "ModelMetadata",
    "Outputs",
    "Request",
    "Retries",
    "Target",
    "TensorInfo",
    "Tls",
    "UnsupportedError",
    "VersionStatus",
    "encode_example",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module 'navi_client' has no attribute '{name}'"
        raise AttributeError(msg)
    value = globals()[name] = getattr(importlib.import_module(f"navi_client.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
