"""navi's contract for clients, kept by `navi_client.Client`: one class for each protocol, over gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

from navi_core import (
    DEFAULT_SIGNATURE,
    DType,
    Endpoint,
    ErrorCode,
    InvalidRequestError,
    ModelRef,
    NamedArrays,
    Prediction,
    RemoteClient,
    RemoteError,
    RemoteVersion,
    Signature,
    TensorSpec,
    UnsupportedError,
)

if TYPE_CHECKING:
    from navi_client.client import Client
    from navi_client.messages import ModelMetadata, TensorInfo
    from navi_client.protocols.table import ProtocolName

__all__ = ["OipClient", "ProtonClient", "TfServingClient"]

_GRPC_PORT = 8500
_NO_INDEX = frozenset(
    {
        ErrorCode.NOT_FOUND,
        ErrorCode.PERMISSION_DENIED,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.UNIMPLEMENTED,
    }
)
"""What a server answers that keeps no index of its repository, or not for everybody."""


class GrpcClient(RemoteClient):
    """What the protocols have in common.

    Parameters
    ----------
    client
        Asks the server.

    Attributes
    ----------
    protocol
        How `navi_client.Client` calls the protocol.
    """

    default_port: ClassVar[int] = _GRPC_PORT
    protocol: ClassVar[ProtocolName]

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def connect(cls, endpoint: Endpoint) -> Self:
        """Make a client; it connects with the first request."""
        from navi_client.client import Client  # noqa: PLC0415 - grpc is imported only by who asks
        from navi_client.connection import Tls  # noqa: PLC0415 - see above

        tls = Tls(ca=endpoint.ca_file, certificate=endpoint.cert_file, key=endpoint.key_file)
        with _as_navis_errors():
            return cls(
                Client(
                    endpoint.address,
                    protocol=cls.protocol,
                    tls=tls if endpoint.tls else False,
                    token=endpoint.token,
                    retries=2 if endpoint.max_retries is None else endpoint.max_retries,
                    timeout_s=endpoint.timeout_s,
                )
            )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        with _as_navis_errors():
            found = self._client.metadata(model.name, version=model.version, label=model.label)
        return _signatures(found)

    def predict(self, model: ModelRef, inputs: NamedArrays, signature: str) -> Prediction:
        """Send one request."""
        with _as_navis_errors():
            outputs = self._client.predict(
                model.name,
                inputs,
                version=model.version,
                label=model.label,
                signature="" if signature == DEFAULT_SIGNATURE else signature,
            )
        return Prediction(outputs, _version(outputs.version))


class TfServingClient(GrpcClient):
    """TensorFlow Serving's protocol."""

    name: ClassVar[str] = "tf-serving+grpc"
    protocol: ClassVar[ProtocolName] = "tf_serving"

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the versions of the named models."""
        if not names:
            raise UnsupportedError(
                "TensorFlow Serving's protocol over gRPC has no list of models: name some, or ask with --protocol oip "
                "or over http://"
            )
        with _as_navis_errors():
            return [
                RemoteVersion(name, each.version, each.state, each.error)
                for name in names
                for each in self._client.status(name)
            ]


class OipClient(GrpcClient):
    """The Open Inference Protocol."""

    name: ClassVar[str] = "oip+grpc"
    protocol: ClassVar[ProtocolName] = "oip"

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the versions of the named models, or of all, as the index of the server's repository says them.

        Where a server has no index, named models are READY or UNAVAILABLE, which is all that the protocol says.
        """
        try:
            listed = self._index()
        except RemoteError as error:
            if not names or error.code not in _NO_INDEX:
                raise
            listed = []
        if not names:
            return listed
        known = {name: [each for each in listed if each.model == name] for name in names}
        return [version for name in names for version in known[name] or self._versions(name)]

    def _index(self) -> list[RemoteVersion]:
        with _as_navis_errors():
            return [
                RemoteVersion(each.model, _version(each.version), each.state or "unknown", each.reason)
                for each in self._client.models()
            ]

    def _versions(self, name: str) -> Iterator[RemoteVersion]:
        with _as_navis_errors():
            # a server may say no versions; then there is one, without a number
            for version in self._client.metadata(name).versions or (None,):
                is_ready = self._client.ready(name, version=version)
                yield RemoteVersion(name, _version(version or ""), "READY" if is_ready else "UNAVAILABLE")


class ProtonClient(GrpcClient):
    """Proton's protocol, which says nothing of models: one float32 tensor goes in, and one comes out."""

    name: ClassVar[str] = "proton+grpc"
    protocol: ClassVar[ProtocolName] = "proton"

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Refuse: the protocol has no states of models."""
        raise UnsupportedError(
            f"Proton's protocol has no states of models (asked for {', '.join(names) or 'all'})"
        )

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the one signature that the protocol has room for."""
        del model
        data = {"data": TensorSpec(name="data", dtype=DType.FLOAT32)}
        return {DEFAULT_SIGNATURE: Signature(inputs=data, outputs=data)}


@contextmanager
def _as_navis_errors() -> Iterator[None]:
    from navi_client import errors  # noqa: PLC0415 - a module that Client has imported

    try:
        yield
    except errors.UnsupportedError as error:
        raise UnsupportedError(error.message) from error
    except errors.ClientError as error:
        raise RemoteError(str(error), code=ErrorCode(error.code)) from error
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(str(error)) from error


def _signatures(found: ModelMetadata) -> dict[str, Signature]:
    return {
        name: Signature(inputs=_specs(inputs), outputs=_specs(found.outputs[name]))
        for name, inputs in found.inputs.items()
    }


def _specs(infos: Mapping[str, TensorInfo]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(name=name, dtype=_dtype(name, info), shape=info.shape)
        for name, info in infos.items()
    }


def _dtype(name: str, info: TensorInfo) -> DType:
    try:
        return DType(info.dtype)
    except ValueError:
        raise RemoteError(
            f"tensor '{name}': expected an element type that is known here, got {info.dtype}",
            code=ErrorCode.INTERNAL,
        ) from None


def _version(text: str) -> int | str | None:
    """Return a version as a number where it is one; None: the server did not say."""
    return int(text) if text.isascii() and text.isdigit() else text or None
