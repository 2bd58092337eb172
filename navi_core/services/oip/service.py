"""OipService: the protocol as the host sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from navi_core.contracts.service import HttpRoute, Operation, RpcKind, RpcMethod, Service
from navi_core.contracts.service_context import ServiceContext
from navi_core.services.oip.errors import Failures
from navi_core.services.oip.infer_rpcs import ModelInferRpc, ModelStreamInferRpc
from navi_core.services.oip.inference import Inference
from navi_core.services.oip.options import read_options
from navi_core.services.oip.read_rpcs import ReadRpcs
from navi_core.services.oip.repository import Repository
from navi_core.services.oip.rest import RestApi
from navi_core.services.oip.rest_infer import RestInference
from navi_core.services.oip.unsupported import unsupported_routes, unsupported_rpcs
from navi_core.wire import oip

__all__ = ["OipService"]

_PREFIX: Final = "/inference.GRPCInferenceService/"
_TRITON_FILE: Final = "openapi_triton.json"


class OipService(Service):
    """The Open Inference Protocol v2 as KServe and Triton speak it, over gRPC and REST.

    Parameters
    ----------
    context
        What the host offers.
    """

    name: ClassVar[str] = "oip"
    descriptor_set: ClassVar[bytes | None] = oip.DESCRIPTORS.serialized
    openapi_file: ClassVar[str | None] = "openapi.json"

    def __init__(self, context: ServiceContext) -> None:
        options = read_options(context.options.tables.get(self.name, {}))
        plane = context.plane
        self._is_triton: Final = options.is_triton
        self._failures = Failures(options, plane)
        inference = Inference(
            plane,
            service=self.name,
            now=context.now,
            max_tensor_bytes=context.options.max_tensor_bytes,
        )
        repository = Repository(plane, context.admin, context.memory, is_triton=options.is_triton)
        self._infer = ModelInferRpc(inference, self._failures, always_raw=options.is_triton)
        self._stream = ModelStreamInferRpc(
            inference,
            self._failures,
            always_raw=options.is_triton,
            answer_ahead=context.answer_ahead,
            max_ahead=options.max_stream_requests,
        )
        self._reading = ReadRpcs(plane, repository, self._failures, options)
        self._rest = RestApi(plane, repository, self._failures, options)
        self._rest_infer = RestInference(
            inference,
            self._failures,
            options,
            now=context.now,
            default_deadline_ms=context.options.default_deadline_ms,
            run_off_loop=context.run_off_loop,
        )

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host.

        Raises
        ------
        ConfigError
            Its table in the configuration is wrong.
        """
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the RPCs; what Triton has and navi has not is refused by name."""
        infer = Operation.INFER
        methods = {
            "ModelInfer": RpcMethod(kind=RpcKind.UNARY, handler=self._infer, operation=infer),
            "ModelStreamInfer": RpcMethod(kind=RpcKind.BIDI, handler=self._stream, operation=infer),
            **self._reading.methods(),
            **unsupported_rpcs(self._failures),
        }
        return {f"{_PREFIX}{name}": method for name, method in methods.items()}

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the REST API's routes."""
        return (self._rest_infer.route(), *self._rest.routes(), *unsupported_routes(self._failures))

    def openapi(self) -> dict[str, Any]:
        """Return the description, of Triton's dialect where that is spoken."""
        found = super().openapi()
        return _merged(found, self._read_json(_TRITON_FILE)) if self._is_triton else found


def _merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found
