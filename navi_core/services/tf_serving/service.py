"""TfServingService: the protocol as the host sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, Self

from msgspec import Struct

from navi_core.contracts.service import Handler, HttpRoute, Operation, RpcKind, RpcMethod, Service
from navi_core.contracts.service_context import ServiceContext
from navi_core.errors import NaviError
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.errors import Failures
from navi_core.services.tf_serving.example_rpcs import ExampleRpc, MultiInferenceRpc
from navi_core.services.tf_serving.examples import ExampleMethod
from navi_core.services.tf_serving.metadata import GetModelMetadataRpc
from navi_core.services.tf_serving.model_status import GetModelStatusRpc
from navi_core.services.tf_serving.options import TfServingModelOptions, read_options
from navi_core.services.tf_serving.predict import PredictRpc
from navi_core.services.tf_serving.reload_config import ReloadConfigRpc
from navi_core.services.tf_serving.rest import RestApi
from navi_core.services.tf_serving.rest_infer import RestInference
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.wire import tf_serving

__all__ = ["TfServingService"]

_PREDICTION: Final = "/tensorflow.serving.PredictionService"
_MODEL: Final = "/tensorflow.serving.ModelService"


class TfServingService(Service):
    """TensorFlow Serving's gRPC services and REST API.

    An RPC that is not registered (SessionRun) is answered by the transport as unimplemented.

    Parameters
    ----------
    context
        What the host offers.
    """

    name: ClassVar[str] = "tf_serving"
    descriptor_set: ClassVar[bytes | None] = tf_serving.DESCRIPTORS.serialized
    model_options_type: ClassVar[type[Struct] | None] = TfServingModelOptions
    openapi_file: ClassVar[str | None] = "openapi.json"

    def __init__(self, context: ServiceContext) -> None:
        self._plane = context.plane
        settings = read_options(context.options.tables.get(self.name, {}))
        failures = Failures(settings, self._input_names)
        self._predict = PredictRpc(
            context.plane,
            failures,
            service=self.name,
            max_tensor_bytes=context.options.max_tensor_bytes,
            response_tensors=settings.response_tensors,
            check_method_names=settings.check_method_names,
        )
        self._classify, self._regress = (
            ExampleRpc(
                method,
                context.plane,
                failures,
                service=self.name,
                check_method_names=settings.check_method_names,
            )
            for method in (ExampleMethod.CLASSIFY, ExampleMethod.REGRESS)
        )
        self._multi_inference = MultiInferenceRpc(
            context.plane, failures, service=self.name, check_method_names=settings.check_method_names
        )
        self._metadata = GetModelMetadataRpc(context.plane, failures)
        self._status = GetModelStatusRpc(context.plane, failures)
        self._reload = ReloadConfigRpc(
            context.plane,
            context.admin,
            failures,
            defaults=settings.model_defaults,
            allow_unavailable_labels=settings.allow_unavailable_labels,
        )
        self._rest = RestApi(
            context.plane,
            failures,
            service=self.name,
            now=context.now,
            inference=RestInference(
                context.plane,
                service=self.name,
                now=context.now,
                default_deadline_ms=context.options.default_deadline_ms,
                run_off_loop=context.run_off_loop,
                check_method_names=settings.check_method_names,
            ),
            cors=settings.cors,
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
        """Return the RPCs."""
        return {
            f"{_PREDICTION}/Predict": _unary(self._predict, Operation.INFER),
            f"{_PREDICTION}/Classify": _unary(self._classify, Operation.INFER),
            f"{_PREDICTION}/Regress": _unary(self._regress, Operation.INFER),
            f"{_PREDICTION}/MultiInference": _unary(self._multi_inference, Operation.INFER),
            f"{_PREDICTION}/GetModelMetadata": _unary(self._metadata, Operation.READ),
            f"{_MODEL}/GetModelStatus": _unary(self._status, Operation.READ),
            f"{_MODEL}/HandleReloadConfigRequest": _unary(self._reload, Operation.ADMIN),
        }

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the REST API's routes."""
        return self._rest.routes()

    def _input_names(self, ref: ModelRef, signature: str) -> Iterable[str]:
        try:
            with self._plane.acquire(ref) as handle:
                found = handle.signatures.get(signature or DEFAULT_SIGNATURE)
        except NaviError:
            return ()
        return tuple(found.inputs) if found else ()


def _unary(handler: Handler, operation: Operation) -> RpcMethod:
    return RpcMethod(kind=RpcKind.UNARY, handler=handler, operation=operation)
