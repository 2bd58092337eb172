"""navi: a model serving host that is a Python plugin framework.

Everything that a user or a plugin of any kind needs is a name of this package. Names are imported
when they are first used, so that ``import navi_core`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from navi_core.clock import Clock, ManualClock, MonotonicClock
    from navi_core.config.convert import convert_options
    from navi_core.config.records import (
        AuthSettings,
        BatchingSettings,
        HostConfig,
        ModelConfig,
        ModelSettings,
        SignatureSettings,
        TensorSettings,
        TlsSettings,
        TransportSettings,
        VersionPolicySettings,
        WarmupSettings,
    )
    from navi_core.confined_files import ConfinementError, confined_file, confined_path
    from navi_core.contracts.artifact import Artifact
    from navi_core.contracts.client import Endpoint, Prediction, RemoteClient, RemoteVersion
    from navi_core.contracts.converter import BoundConverter, Converter, PayloadEncoder, Plan, RowSpec
    from navi_core.contracts.converter_metrics import ConverterMetric, HistogramValue
    from navi_core.contracts.events import RequestFinished, StateChanged
    from navi_core.contracts.foreign import ForeignServer, LaunchPlan
    from navi_core.contracts.planes import Admin, DataPlane, ModelHandle
    from navi_core.contracts.runtime import LoadOptions, RunContext, Runtime, Servable
    from navi_core.contracts.serve_flags import ServeFlag
    from navi_core.contracts.service import (
        Call,
        HttpRoute,
        Operation,
        Response,
        RpcKind,
        RpcMethod,
        Service,
        StreamError,
    )
    from navi_core.contracts.service_context import ServiceContext, ServiceMemory, ServiceOptions, Signal
    from navi_core.contracts.source import Emit, ModelSource, VersionChoice, WatchedModel
    from navi_core.contracts.transport import (
        Address,
        BodyBudget,
        HttpMatch,
        Router,
        TlsFiles,
        Transport,
        TransportOptions,
    )
    from navi_core.contracts.versions import ServableState, VersionStatus
    from navi_core.cores import core_count
    from navi_core.errors import (
        ConfigError,
        DeadlineExceededError,
        DecodeError,
        DrainingError,
        ErrorCode,
        InferenceError,
        InputNamesError,
        InvalidRequestError,
        LabelNotFoundError,
        LifecycleError,
        MemoryBudgetError,
        ModelConflictError,
        ModelError,
        ModelLoadError,
        ModelNotFoundError,
        ModelNotReadyError,
        NaviError,
        OutputNamesError,
        OverloadError,
        PluginConflictError,
        PluginError,
        PluginLoadError,
        PluginNotFoundError,
        QueueFullError,
        RemoteError,
        RequestCancelledError,
        RequestError,
        RequestTooLargeError,
        SignatureNotFoundError,
        StaleRequestError,
        TensorMismatchError,
        UnsupportedError,
        VersionNotFoundError,
    )
    from navi_core.hookspecs import hookimpl
    from navi_core.host import Host
    from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
    from navi_core.onnx_external_data import (
        ExternalDataError,
        ExternalTensor,
        check_external_data,
        read_onnx_tensor,
    )
    from navi_core.payloads import encode_payloads
    from navi_core.protobuf_wire import (
        FileBytes,
        FileFormatError,
        protobuf_fields,
        protobuf_messages,
        protobuf_text,
        protobuf_varints,
    )
    from navi_core.signature import (
        DEFAULT_SIGNATURE,
        Signature,
        TensorSpec,
        check_inputs,
        check_outputs,
        format_shape,
        why_not_batchable,
    )
    from navi_core.tensors import DType, dtype_of, numpy_dtype, string_array
    from navi_core.transports.asgi.options import AsgiOptions
    from navi_core.transports.asgi.transport import AsgiTransport
    from navi_core.transports.body import BodyHold, join_body, run_on_written
    from navi_core.transports.in_flight import Ending, InFlight, RunningCall
    from navi_core.transports.listener import bind_tcp
    from navi_core.transports.tls import TlsWatch, read_pem, renewing_context, tls_context
    from navi_core.types import Array, NamedArrays, Parameters
    from navi_core.wire.statuses import GRPC_STATUS, HTTP_STATUS
    from navi_core.wire.tf_serving import PredictRequest, PredictResponse

_MODULES: Final = {
    "navi_core.clock": ("Clock", "ManualClock", "MonotonicClock"),
    "navi_core.config.convert": ("convert_options",),
    "navi_core.config.records": (
        "AuthSettings",
        "BatchingSettings",
        "HostConfig",
        "ModelConfig",
        "ModelSettings",
        "SignatureSettings",
        "TensorSettings",
        "TlsSettings",
        "TransportSettings",
        "VersionPolicySettings",
        "WarmupSettings",
    ),
    "navi_core.confined_files": ("ConfinementError", "confined_file", "confined_path"),
    "navi_core.contracts.artifact": ("Artifact",),
    "navi_core.contracts.client": ("Endpoint", "Prediction", "RemoteClient", "RemoteVersion"),
    "navi_core.contracts.converter": ("BoundConverter", "Converter", "PayloadEncoder", "Plan", "RowSpec"),
    "navi_core.contracts.converter_metrics": ("ConverterMetric", "HistogramValue"),
    "navi_core.contracts.events": ("RequestFinished", "StateChanged"),
    "navi_core.contracts.foreign": ("ForeignServer", "LaunchPlan"),
    "navi_core.contracts.planes": ("Admin", "DataPlane", "ModelHandle"),
    "navi_core.contracts.runtime": ("LoadOptions", "RunContext", "Runtime", "Servable"),
    "navi_core.contracts.serve_flags": ("ServeFlag",),
    "navi_core.contracts.service": (
        "Call",
        "HttpRoute",
        "Operation",
        "Response",
        "RpcKind",
        "RpcMethod",
        "Service",
        "StreamError",
    ),
    "navi_core.contracts.service_context": (
        "ServiceContext",
        "ServiceMemory",
        "ServiceOptions",
        "Signal",
    ),
    "navi_core.contracts.source": ("Emit", "ModelSource", "VersionChoice", "WatchedModel"),
    "navi_core.contracts.transport": (
        "Address",
        "BodyBudget",
        "HttpMatch",
        "Router",
        "TlsFiles",
        "Transport",
        "TransportOptions",
    ),
    "navi_core.contracts.versions": ("ServableState", "VersionStatus"),
    "navi_core.cores": ("core_count",),
    "navi_core.errors": (
        "ConfigError",
        "DeadlineExceededError",
        "DecodeError",
        "DrainingError",
        "ErrorCode",
        "InferenceError",
        "InputNamesError",
        "InvalidRequestError",
        "LabelNotFoundError",
        "LifecycleError",
        "MemoryBudgetError",
        "ModelConflictError",
        "ModelError",
        "ModelLoadError",
        "ModelNotFoundError",
        "ModelNotReadyError",
        "NaviError",
        "OutputNamesError",
        "OverloadError",
        "PluginConflictError",
        "PluginError",
        "PluginLoadError",
        "PluginNotFoundError",
        "QueueFullError",
        "RemoteError",
        "RequestCancelledError",
        "RequestError",
        "RequestTooLargeError",
        "SignatureNotFoundError",
        "StaleRequestError",
        "TensorMismatchError",
        "UnsupportedError",
        "VersionNotFoundError",
    ),
    "navi_core.hookspecs": ("hookimpl",),
    "navi_core.host": ("Host",),
    "navi_core.messages": ("InferenceRequest", "InferenceResponse", "ModelRef"),
    "navi_core.onnx_external_data": (
        "ExternalDataError",
        "ExternalTensor",
        "check_external_data",
        "read_onnx_tensor",
    ),
    "navi_core.payloads": ("encode_payloads",),
    "navi_core.protobuf_wire": (
        "FileBytes",
        "FileFormatError",
        "protobuf_fields",
        "protobuf_messages",
        "protobuf_text",
        "protobuf_varints",
    ),
    "navi_core.signature": (
        "DEFAULT_SIGNATURE",
        "Signature",
        "TensorSpec",
        "check_inputs",
        "check_outputs",
        "format_shape",
        "why_not_batchable",
    ),
    "navi_core.tensors": ("DType", "dtype_of", "numpy_dtype", "string_array"),
    "navi_core.transports.asgi.options": ("AsgiOptions",),
    "navi_core.transports.asgi.transport": ("AsgiTransport",),
    "navi_core.transports.body": ("BodyHold", "join_body", "run_on_written"),
    "navi_core.transports.in_flight": ("Ending", "InFlight", "RunningCall"),
    "navi_core.transports.listener": ("bind_tcp",),
    "navi_core.transports.tls": ("TlsWatch", "read_pem", "renewing_context", "tls_context"),
    "navi_core.types": ("Array", "NamedArrays", "Parameters"),
    "navi_core.wire.statuses": ("GRPC_STATUS", "HTTP_STATUS"),
    "navi_core.wire.tf_serving": ("PredictRequest", "PredictResponse"),
}

_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}

# written out, so that type checkers of plugins see what is exported; a test compares it with the imports
__all__ = [
    "DEFAULT_SIGNATURE",
    "GRPC_STATUS",
    "HTTP_STATUS",
    "Address",
    "Admin",
    "Array",
    "Artifact",
    "AsgiOptions",
    "AsgiTransport",
    "AuthSettings",
    "BatchingSettings",
    "BodyBudget",
    "BodyHold",
    "BoundConverter",
    "Call",
    "Clock",
    "ConfigError",
    "ConfinementError",
    "Converter",
    "ConverterMetric",
    "DType",
    "DataPlane",
    "DeadlineExceededError",
    "DecodeError",
    "DrainingError",
    "Emit",
    "Ending",
    "Endpoint",
    "ErrorCode",
    "ExternalDataError",
    "ExternalTensor",
    "FileBytes",
    "FileFormatError",
    "ForeignServer",
    "HistogramValue",
    "Host",
    "HostConfig",
    "HttpMatch",
    "HttpRoute",
    "InFlight",
    "InferenceError",
    "InferenceRequest",
    "InferenceResponse",
    "InputNamesError",
    "InvalidRequestError",
    "LabelNotFoundError",
    "LaunchPlan",
    "LifecycleError",
    "LoadOptions",
    "ManualClock",
    "MemoryBudgetError",
    "ModelConfig",
    "ModelConflictError",
    "ModelError",
    "ModelHandle",
    "ModelLoadError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "ModelRef",
    "ModelSettings",
    "ModelSource",
    "MonotonicClock",
    "NamedArrays",
    "NaviError",
    "Operation",
    "OutputNamesError",
    "OverloadError",
    "Parameters",
    "PayloadEncoder",
    "Plan",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "PredictRequest",
    "PredictResponse",
    "Prediction",
    "QueueFullError",
    "RemoteClient",
    "RemoteError",
    "RemoteVersion",
    "RequestCancelledError",
    "RequestError",
    "RequestFinished",
    "RequestTooLargeError",
    "Response",
    "Router",
    "RowSpec",
    "RpcKind",
    "RpcMethod",
    "RunContext",
    "RunningCall",
    "Runtime",
    "Servable",
    "ServableState",
    "ServeFlag",
    "Service",
    "ServiceContext",
    "ServiceMemory",
    "ServiceOptions",
    "Signal",
    "Signature",
    "SignatureNotFoundError",
    "SignatureSettings",
    "StaleRequestError",
    "StateChanged",
    "StreamError",
    "TensorMismatchError",
    "TensorSettings",
    "TensorSpec",
    "TlsFiles",
    "TlsSettings",
    "TlsWatch",
    "Transport",
    "TransportOptions",
    "TransportSettings",
    "UnsupportedError",
    "VersionChoice",
    "VersionNotFoundError",
    "VersionPolicySettings",
    "VersionStatus",
    "WarmupSettings",
    "WatchedModel",
    "bind_tcp",
    "check_external_data",
    "check_inputs",
    "check_outputs",
    "confined_file",
    "confined_path",
    "convert_options",
    "core_count",
    "dtype_of",
    "encode_payloads",
    "format_shape",
    "hookimpl",
    "join_body",
    "numpy_dtype",
    "protobuf_fields",
    "protobuf_messages",
    "protobuf_text",
    "protobuf_varints",
    "read_onnx_tensor",
    "read_pem",
    "renewing_context",
    "run_on_written",
    "string_array",
    "tls_context",
    "why_not_batchable",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module 'navi_core' has no attribute '{name}'"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
