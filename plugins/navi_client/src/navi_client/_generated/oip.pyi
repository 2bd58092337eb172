# Copied from navi_core/wire/oip.pyi by tools/build_wire_copies.py; not edited by hand.
# Written by tools/build_descriptors.py from specs/protos (oip); not edited by hand.
# fmt: off
# ruff: noqa: N803, N815 - the protocol names its fields so
import typing

from google.protobuf.internal import containers
from google.protobuf.message import Message

from navi_client._generated.descriptors import DescriptorSet

DESCRIPTORS: DescriptorSet

class CudaSharedMemoryRegisterRequest(Message):
    name: str
    raw_handle: bytes
    device_id: int
    byte_size: int
    def __init__(self, *, name: str | None = ..., raw_handle: bytes | None = ..., device_id: int | None = ..., byte_size: int | None = ...) -> None: ...

class CudaSharedMemoryRegisterResponse(Message):
    def __init__(self) -> None: ...

class CudaSharedMemoryStatusRequest(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...

class CudaSharedMemoryStatusResponse(Message):
    class RegionStatus(Message):
        name: str
        device_id: int
        byte_size: int
        def __init__(self, *, name: str | None = ..., device_id: int | None = ..., byte_size: int | None = ...) -> None: ...
    @property
    def regions(self) -> containers.MessageMap[str, CudaSharedMemoryStatusResponse.RegionStatus]: ...
    def __init__(self, *, regions: typing.Mapping[str, CudaSharedMemoryStatusResponse.RegionStatus] | None = ...) -> None: ...

class CudaSharedMemoryUnregisterRequest(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...

class CudaSharedMemoryUnregisterResponse(Message):
    def __init__(self) -> None: ...

class InferBatchStatistics(Message):
    batch_size: int
    @property
    def compute_input(self) -> StatisticDuration: ...
    @property
    def compute_infer(self) -> StatisticDuration: ...
    @property
    def compute_output(self) -> StatisticDuration: ...
    def __init__(self, *, batch_size: int | None = ..., compute_input: StatisticDuration | None = ..., compute_infer: StatisticDuration | None = ..., compute_output: StatisticDuration | None = ...) -> None: ...

class InferParameter(Message):
    bool_param: bool
    int64_param: int
    string_param: str
    double_param: float
    uint64_param: int
    def __init__(self, *, bool_param: bool | None = ..., int64_param: int | None = ..., string_param: str | None = ..., double_param: float | None = ..., uint64_param: int | None = ...) -> None: ...

class InferResponseStatistics(Message):
    @property
    def compute_infer(self) -> StatisticDuration: ...
    @property
    def compute_output(self) -> StatisticDuration: ...
    @property
    def success(self) -> StatisticDuration: ...
    @property
    def fail(self) -> StatisticDuration: ...
    @property
    def empty_response(self) -> StatisticDuration: ...
    @property
    def cancel(self) -> StatisticDuration: ...
    def __init__(self, *, compute_infer: StatisticDuration | None = ..., compute_output: StatisticDuration | None = ..., success: StatisticDuration | None = ..., fail: StatisticDuration | None = ..., empty_response: StatisticDuration | None = ..., cancel: StatisticDuration | None = ...) -> None: ...

class InferStatistics(Message):
    @property
    def success(self) -> StatisticDuration: ...
    @property
    def fail(self) -> StatisticDuration: ...
    @property
    def queue(self) -> StatisticDuration: ...
    @property
    def compute_input(self) -> StatisticDuration: ...
    @property
    def compute_infer(self) -> StatisticDuration: ...
    @property
    def compute_output(self) -> StatisticDuration: ...
    @property
    def cache_hit(self) -> StatisticDuration: ...
    @property
    def cache_miss(self) -> StatisticDuration: ...
    def __init__(self, *, success: StatisticDuration | None = ..., fail: StatisticDuration | None = ..., queue: StatisticDuration | None = ..., compute_input: StatisticDuration | None = ..., compute_infer: StatisticDuration | None = ..., compute_output: StatisticDuration | None = ..., cache_hit: StatisticDuration | None = ..., cache_miss: StatisticDuration | None = ...) -> None: ...

class InferTensorContents(Message):
    @property
    def bool_contents(self) -> containers.RepeatedScalarFieldContainer[bool]: ...
    @property
    def int_contents(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    @property
    def int64_contents(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    @property
    def uint_contents(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    @property
    def uint64_contents(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    @property
    def fp32_contents(self) -> containers.RepeatedScalarFieldContainer[float]: ...
    @property
    def fp64_contents(self) -> containers.RepeatedScalarFieldContainer[float]: ...
    @property
    def bytes_contents(self) -> containers.RepeatedScalarFieldContainer[bytes]: ...
    def __init__(self, *, bool_contents: typing.Iterable[bool] | None = ..., int_contents: typing.Iterable[int] | None = ..., int64_contents: typing.Iterable[int] | None = ..., uint_contents: typing.Iterable[int] | None = ..., uint64_contents: typing.Iterable[int] | None = ..., fp32_contents: typing.Iterable[float] | None = ..., fp64_contents: typing.Iterable[float] | None = ..., bytes_contents: typing.Iterable[bytes] | None = ...) -> None: ...

class LogSettingsRequest(Message):
    class SettingValue(Message):
        bool_param: bool
        uint32_param: int
        string_param: str
        def __init__(self, *, bool_param: bool | None = ..., uint32_param: int | None = ..., string_param: str | None = ...) -> None: ...
    @property
    def settings(self) -> containers.MessageMap[str, LogSettingsRequest.SettingValue]: ...
    def __init__(self, *, settings: typing.Mapping[str, LogSettingsRequest.SettingValue] | None = ...) -> None: ...

class LogSettingsResponse(Message):
    class SettingValue(Message):
        bool_param: bool
        uint32_param: int
        string_param: str
        def __init__(self, *, bool_param: bool | None = ..., uint32_param: int | None = ..., string_param: str | None = ...) -> None: ...
    @property
    def settings(self) -> containers.MessageMap[str, LogSettingsResponse.SettingValue]: ...
    def __init__(self, *, settings: typing.Mapping[str, LogSettingsResponse.SettingValue] | None = ...) -> None: ...

class MemoryUsage(Message):
    type: str
    id: int
    byte_size: int
    def __init__(self, *, type: str | None = ..., id: int | None = ..., byte_size: int | None = ...) -> None: ...  # noqa: A002 - the protocol names it so

class ModelConfig(Message):
    name: str
    platform: str
    backend: str
    runtime: str
    @property
    def version_policy(self) -> ModelVersionPolicy: ...
    max_batch_size: int
    @property
    def input(self) -> containers.RepeatedCompositeFieldContainer[ModelInput]: ...
    @property
    def output(self) -> containers.RepeatedCompositeFieldContainer[ModelOutput]: ...
    @property
    def dynamic_batching(self) -> ModelDynamicBatching: ...
    @property
    def instance_group(self) -> containers.RepeatedCompositeFieldContainer[ModelInstanceGroup]: ...
    default_model_filename: str
    @property
    def cc_model_filenames(self) -> containers.ScalarMap[str, str]: ...
    @property
    def metric_tags(self) -> containers.ScalarMap[str, str]: ...
    @property
    def parameters(self) -> containers.MessageMap[str, ModelParameter]: ...
    @property
    def model_transaction_policy(self) -> ModelTransactionPolicy: ...
    @property
    def response_cache(self) -> ModelResponseCache: ...
    def __init__(self, *, name: str | None = ..., platform: str | None = ..., backend: str | None = ..., runtime: str | None = ..., version_policy: ModelVersionPolicy | None = ..., max_batch_size: int | None = ..., input: typing.Iterable[ModelInput] | None = ..., output: typing.Iterable[ModelOutput] | None = ..., dynamic_batching: ModelDynamicBatching | None = ..., instance_group: typing.Iterable[ModelInstanceGroup] | None = ..., default_model_filename: str | None = ..., cc_model_filenames: typing.Mapping[str, str] | None = ..., metric_tags: typing.Mapping[str, str] | None = ..., parameters: typing.Mapping[str, ModelParameter] | None = ..., model_transaction_policy: ModelTransactionPolicy | None = ..., response_cache: ModelResponseCache | None = ...) -> None: ...  # noqa: A002 - the protocol names it so

class ModelConfigRequest(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class ModelConfigResponse(Message):
    @property
    def config(self) -> ModelConfig: ...
    def __init__(self, *, config: ModelConfig | None = ...) -> None: ...

class ModelDynamicBatching(Message):
    @property
    def preferred_batch_size(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    max_queue_delay_microseconds: int
    preserve_ordering: bool
    priority_levels: int
    default_priority_level: int
    @property
    def default_queue_policy(self) -> ModelQueuePolicy: ...
    @property
    def priority_queue_policy(self) -> containers.MessageMap[int, ModelQueuePolicy]: ...
    def __init__(self, *, preferred_batch_size: typing.Iterable[int] | None = ..., max_queue_delay_microseconds: int | None = ..., preserve_ordering: bool | None = ..., priority_levels: int | None = ..., default_priority_level: int | None = ..., default_queue_policy: ModelQueuePolicy | None = ..., priority_queue_policy: typing.Mapping[int, ModelQueuePolicy] | None = ...) -> None: ...

class ModelInferRequest(Message):
    class InferInputTensor(Message):
        name: str
        datatype: str
        @property
        def shape(self) -> containers.RepeatedScalarFieldContainer[int]: ...
        @property
        def parameters(self) -> containers.MessageMap[str, InferParameter]: ...
        @property
        def contents(self) -> InferTensorContents: ...
        def __init__(self, *, name: str | None = ..., datatype: str | None = ..., shape: typing.Iterable[int] | None = ..., parameters: typing.Mapping[str, InferParameter] | None = ..., contents: InferTensorContents | None = ...) -> None: ...
    class InferRequestedOutputTensor(Message):
        name: str
        @property
        def parameters(self) -> containers.MessageMap[str, InferParameter]: ...
        def __init__(self, *, name: str | None = ..., parameters: typing.Mapping[str, InferParameter] | None = ...) -> None: ...
    model_name: str
    model_version: str
    id: str
    @property
    def parameters(self) -> containers.MessageMap[str, InferParameter]: ...
    @property
    def inputs(self) -> containers.RepeatedCompositeFieldContainer[ModelInferRequest.InferInputTensor]: ...
    @property
    def outputs(self) -> containers.RepeatedCompositeFieldContainer[ModelInferRequest.InferRequestedOutputTensor]: ...
    @property
    def raw_input_contents(self) -> containers.RepeatedScalarFieldContainer[bytes]: ...
    def __init__(self, *, model_name: str | None = ..., model_version: str | None = ..., id: str | None = ..., parameters: typing.Mapping[str, InferParameter] | None = ..., inputs: typing.Iterable[ModelInferRequest.InferInputTensor] | None = ..., outputs: typing.Iterable[ModelInferRequest.InferRequestedOutputTensor] | None = ..., raw_input_contents: typing.Iterable[bytes] | None = ...) -> None: ...  # noqa: A002 - the protocol names it so

class ModelInferResponse(Message):
    class InferOutputTensor(Message):
        name: str
        datatype: str
        @property
        def shape(self) -> containers.RepeatedScalarFieldContainer[int]: ...
        @property
        def parameters(self) -> containers.MessageMap[str, InferParameter]: ...
        @property
        def contents(self) -> InferTensorContents: ...
        def __init__(self, *, name: str | None = ..., datatype: str | None = ..., shape: typing.Iterable[int] | None = ..., parameters: typing.Mapping[str, InferParameter] | None = ..., contents: InferTensorContents | None = ...) -> None: ...
    model_name: str
    model_version: str
    id: str
    @property
    def parameters(self) -> containers.MessageMap[str, InferParameter]: ...
    @property
    def outputs(self) -> containers.RepeatedCompositeFieldContainer[ModelInferResponse.InferOutputTensor]: ...
    @property
    def raw_output_contents(self) -> containers.RepeatedScalarFieldContainer[bytes]: ...
    def __init__(self, *, model_name: str | None = ..., model_version: str | None = ..., id: str | None = ..., parameters: typing.Mapping[str, InferParameter] | None = ..., outputs: typing.Iterable[ModelInferResponse.InferOutputTensor] | None = ..., raw_output_contents: typing.Iterable[bytes] | None = ...) -> None: ...  # noqa: A002 - the protocol names it so

class ModelInput(Message):
    FORMAT_NONE: typing.Final = 0
    FORMAT_NHWC: typing.Final = 1
    FORMAT_NCHW: typing.Final = 2
    name: str
    data_type: int
    format: int
    @property
    def dims(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    @property
    def reshape(self) -> ModelTensorReshape: ...
    is_shape_tensor: bool
    allow_ragged_batch: bool
    optional: bool
    is_non_linear_format_io: bool
    def __init__(self, *, name: str | None = ..., data_type: int | None = ..., format: int | None = ..., dims: typing.Iterable[int] | None = ..., reshape: ModelTensorReshape | None = ..., is_shape_tensor: bool | None = ..., allow_ragged_batch: bool | None = ..., optional: bool | None = ..., is_non_linear_format_io: bool | None = ...) -> None: ...  # noqa: A002 - the protocol names it so

class ModelInstanceGroup(Message):
    KIND_AUTO: typing.Final = 0
    KIND_GPU: typing.Final = 1
    KIND_CPU: typing.Final = 2
    KIND_MODEL: typing.Final = 3
    name: str
    kind: int
    count: int
    @property
    def gpus(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    def __init__(self, *, name: str | None = ..., kind: int | None = ..., count: int | None = ..., gpus: typing.Iterable[int] | None = ...) -> None: ...

class ModelMetadataRequest(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class ModelMetadataResponse(Message):
    class TensorMetadata(Message):
        name: str
        datatype: str
        @property
        def shape(self) -> containers.RepeatedScalarFieldContainer[int]: ...
        def __init__(self, *, name: str | None = ..., datatype: str | None = ..., shape: typing.Iterable[int] | None = ...) -> None: ...
    name: str
    @property
    def versions(self) -> containers.RepeatedScalarFieldContainer[str]: ...
    platform: str
    @property
    def inputs(self) -> containers.RepeatedCompositeFieldContainer[ModelMetadataResponse.TensorMetadata]: ...
    @property
    def outputs(self) -> containers.RepeatedCompositeFieldContainer[ModelMetadataResponse.TensorMetadata]: ...
    def __init__(self, *, name: str | None = ..., versions: typing.Iterable[str] | None = ..., platform: str | None = ..., inputs: typing.Iterable[ModelMetadataResponse.TensorMetadata] | None = ..., outputs: typing.Iterable[ModelMetadataResponse.TensorMetadata] | None = ...) -> None: ...

class ModelOutput(Message):
    name: str
    data_type: int
    @property
    def dims(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    @property
    def reshape(self) -> ModelTensorReshape: ...
    label_filename: str
    is_shape_tensor: bool
    is_non_linear_format_io: bool
    def __init__(self, *, name: str | None = ..., data_type: int | None = ..., dims: typing.Iterable[int] | None = ..., reshape: ModelTensorReshape | None = ..., label_filename: str | None = ..., is_shape_tensor: bool | None = ..., is_non_linear_format_io: bool | None = ...) -> None: ...

class ModelParameter(Message):
    string_value: str
    def __init__(self, *, string_value: str | None = ...) -> None: ...

class ModelQueuePolicy(Message):
    REJECT: typing.Final = 0
    DELAY: typing.Final = 1
    timeout_action: int
    default_timeout_microseconds: int
    allow_timeout_override: bool
    max_queue_size: int
    def __init__(self, *, timeout_action: int | None = ..., default_timeout_microseconds: int | None = ..., allow_timeout_override: bool | None = ..., max_queue_size: int | None = ...) -> None: ...

class ModelReadyRequest(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class ModelReadyResponse(Message):
    ready: bool
    def __init__(self, *, ready: bool | None = ...) -> None: ...

class ModelRepositoryParameter(Message):
    bool_param: bool
    int64_param: int
    string_param: str
    bytes_param: bytes
    def __init__(self, *, bool_param: bool | None = ..., int64_param: int | None = ..., string_param: str | None = ..., bytes_param: bytes | None = ...) -> None: ...

class ModelResponseCache(Message):
    enable: bool
    def __init__(self, *, enable: bool | None = ...) -> None: ...

class ModelStatistics(Message):
    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    @property
    def inference_stats(self) -> InferStatistics: ...
    @property
    def batch_stats(self) -> containers.RepeatedCompositeFieldContainer[InferBatchStatistics]: ...
    @property
    def memory_usage(self) -> containers.RepeatedCompositeFieldContainer[MemoryUsage]: ...
    @property
    def response_stats(self) -> containers.MessageMap[str, InferResponseStatistics]: ...
    def __init__(self, *, name: str | None = ..., version: str | None = ..., last_inference: int | None = ..., inference_count: int | None = ..., execution_count: int | None = ..., inference_stats: InferStatistics | None = ..., batch_stats: typing.Iterable[InferBatchStatistics] | None = ..., memory_usage: typing.Iterable[MemoryUsage] | None = ..., response_stats: typing.Mapping[str, InferResponseStatistics] | None = ...) -> None: ...

class ModelStatisticsRequest(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class ModelStatisticsResponse(Message):
    @property
    def model_stats(self) -> containers.RepeatedCompositeFieldContainer[ModelStatistics]: ...
    def __init__(self, *, model_stats: typing.Iterable[ModelStatistics] | None = ...) -> None: ...

class ModelStreamInferResponse(Message):
    error_message: str
    @property
    def infer_response(self) -> ModelInferResponse: ...
    def __init__(self, *, error_message: str | None = ..., infer_response: ModelInferResponse | None = ...) -> None: ...

class ModelTensorReshape(Message):
    @property
    def shape(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    def __init__(self, *, shape: typing.Iterable[int] | None = ...) -> None: ...

class ModelTransactionPolicy(Message):
    decoupled: bool
    def __init__(self, *, decoupled: bool | None = ...) -> None: ...

class ModelVersionPolicy(Message):
    class Latest(Message):
        num_versions: int
        def __init__(self, *, num_versions: int | None = ...) -> None: ...
    class All(Message):
        def __init__(self) -> None: ...
    class Specific(Message):
        @property
        def versions(self) -> containers.RepeatedScalarFieldContainer[int]: ...
        def __init__(self, *, versions: typing.Iterable[int] | None = ...) -> None: ...
    @property
    def latest(self) -> ModelVersionPolicy.Latest: ...
    @property
    def all(self) -> ModelVersionPolicy.All: ...
    @property
    def specific(self) -> ModelVersionPolicy.Specific: ...
    def __init__(self, *, latest: ModelVersionPolicy.Latest | None = ..., all: ModelVersionPolicy.All | None = ..., specific: ModelVersionPolicy.Specific | None = ...) -> None: ...  # noqa: A002 - the protocol names it so

class RepositoryIndexRequest(Message):
    repository_name: str
    ready: bool
    def __init__(self, *, repository_name: str | None = ..., ready: bool | None = ...) -> None: ...

class RepositoryIndexResponse(Message):
    class ModelIndex(Message):
        name: str
        version: str
        state: str
        reason: str
        def __init__(self, *, name: str | None = ..., version: str | None = ..., state: str | None = ..., reason: str | None = ...) -> None: ...
    @property
    def models(self) -> containers.RepeatedCompositeFieldContainer[RepositoryIndexResponse.ModelIndex]: ...
    def __init__(self, *, models: typing.Iterable[RepositoryIndexResponse.ModelIndex] | None = ...) -> None: ...

class RepositoryModelLoadRequest(Message):
    repository_name: str
    model_name: str
    @property
    def parameters(self) -> containers.MessageMap[str, ModelRepositoryParameter]: ...
    def __init__(self, *, repository_name: str | None = ..., model_name: str | None = ..., parameters: typing.Mapping[str, ModelRepositoryParameter] | None = ...) -> None: ...

class RepositoryModelLoadResponse(Message):
    model_name: str
    isLoaded: bool
    def __init__(self, *, model_name: str | None = ..., isLoaded: bool | None = ...) -> None: ...

class RepositoryModelUnloadRequest(Message):
    repository_name: str
    model_name: str
    @property
    def parameters(self) -> containers.MessageMap[str, ModelRepositoryParameter]: ...
    def __init__(self, *, repository_name: str | None = ..., model_name: str | None = ..., parameters: typing.Mapping[str, ModelRepositoryParameter] | None = ...) -> None: ...

class RepositoryModelUnloadResponse(Message):
    model_name: str
    isUnloaded: bool
    def __init__(self, *, model_name: str | None = ..., isUnloaded: bool | None = ...) -> None: ...

class ServerLiveRequest(Message):
    def __init__(self) -> None: ...

class ServerLiveResponse(Message):
    live: bool
    def __init__(self, *, live: bool | None = ...) -> None: ...

class ServerMetadataRequest(Message):
    def __init__(self) -> None: ...

class ServerMetadataResponse(Message):
    name: str
    version: str
    @property
    def extensions(self) -> containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(self, *, name: str | None = ..., version: str | None = ..., extensions: typing.Iterable[str] | None = ...) -> None: ...

class ServerReadyRequest(Message):
    def __init__(self) -> None: ...

class ServerReadyResponse(Message):
    ready: bool
    def __init__(self, *, ready: bool | None = ...) -> None: ...

class StatisticDuration(Message):
    count: int
    ns: int
    def __init__(self, *, count: int | None = ..., ns: int | None = ...) -> None: ...

class SystemSharedMemoryRegisterRequest(Message):
    name: str
    key: str
    offset: int
    byte_size: int
    def __init__(self, *, name: str | None = ..., key: str | None = ..., offset: int | None = ..., byte_size: int | None = ...) -> None: ...

class SystemSharedMemoryRegisterResponse(Message):
    def __init__(self) -> None: ...

class SystemSharedMemoryStatusRequest(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...

class SystemSharedMemoryStatusResponse(Message):
    class RegionStatus(Message):
        name: str
        key: str
        offset: int
        byte_size: int
        def __init__(self, *, name: str | None = ..., key: str | None = ..., offset: int | None = ..., byte_size: int | None = ...) -> None: ...
    @property
    def regions(self) -> containers.MessageMap[str, SystemSharedMemoryStatusResponse.RegionStatus]: ...
    def __init__(self, *, regions: typing.Mapping[str, SystemSharedMemoryStatusResponse.RegionStatus] | None = ...) -> None: ...

class SystemSharedMemoryUnregisterRequest(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...

class SystemSharedMemoryUnregisterResponse(Message):
    def __init__(self) -> None: ...

class TraceSettingRequest(Message):
    class SettingValue(Message):
        @property
        def value(self) -> containers.RepeatedScalarFieldContainer[str]: ...
        def __init__(self, *, value: typing.Iterable[str] | None = ...) -> None: ...
    @property
    def settings(self) -> containers.MessageMap[str, TraceSettingRequest.SettingValue]: ...
    model_name: str
    def __init__(self, *, settings: typing.Mapping[str, TraceSettingRequest.SettingValue] | None = ..., model_name: str | None = ...) -> None: ...

class TraceSettingResponse(Message):
    class SettingValue(Message):
        @property
        def value(self) -> containers.RepeatedScalarFieldContainer[str]: ...
        def __init__(self, *, value: typing.Iterable[str] | None = ...) -> None: ...
    @property
    def settings(self) -> containers.MessageMap[str, TraceSettingResponse.SettingValue]: ...
    def __init__(self, *, settings: typing.Mapping[str, TraceSettingResponse.SettingValue] | None = ...) -> None: ...
