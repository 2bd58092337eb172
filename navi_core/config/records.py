"""The configuration as typed records: what the TOML file, ``navi.toml`` and the flags all become.

A field that is None was not said; whoever uses it has the default. That makes overlaying simple:
``navi.toml`` of the model, then of the version, then the host's own configuration, the last one wins.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from navi_core.tensors import DType

__all__ = [
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
    "overlay",
]

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
# the upper bound keeps infinity away from timers, which cannot wait that long
NonNegativeFloat = Annotated[float, Meta(ge=0, le=1e9)]
WorkerNumber = Annotated[int, Meta(ge=0, le=1024)]
PositiveFloat = Annotated[float, Meta(gt=0, le=1e9)]
MessageBytes = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^/:\x00-\x1f]+$")]


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable; an unknown key is an error."""


class BatchingSettings(_Record, frozen=True, kw_only=True):
    """How requests of a model are joined.

    Attributes
    ----------
    enabled
        False: every request runs alone.
    parameters_file
        A file in the version's directory with TensorFlow Serving's BatchingParameters as text
        (``batching_params.pbtxt``): it says what is left out here, and a version that has none is not batched.
    max_batch_rows, max_batch_requests
        A batch holds at most so many rows, of at most so many requests.
    batch_timeout_ms
        How long a free worker waits for more requests before it takes what is queued.
    batch_drop_ms
        Drop a request that has waited so long; None: off.
    allowed_batch_rows
        Increasing; a batch is padded to the next of these.
    split_large_requests
        Split a request of more than ``max_batch_rows`` rows, instead of running it alone and whole.
    max_queue_rows, max_queue_requests, max_queue_bytes
        Bounds of the queue; beyond them requests are refused.
    max_concurrent_batches
        Batches of this model that run at once.
    max_inline_run_us
        Run batches on the event loop instead of a thread while they are measured to take at most so many microseconds,
        where the runtime says that its runs only compute. 0: always on threads.
    priority_levels
        Requests may ask for a priority from 1, which is served first, to this; 0: all are equal. Levels are strict:
        while a higher one keeps every worker busy, lower ones wait.
    default_priority_level
        The level of requests that ask for none, or for one that there is not; None: the last one.
    """

    enabled: bool | None = None
    parameters_file: Annotated[str, Meta(min_length=1)] | None = None
    max_batch_rows: PositiveInt | None = None
    max_batch_requests: PositiveInt | None = None
    batch_timeout_ms: NonNegativeFloat | None = None
    batch_drop_ms: NonNegativeFloat | None = None
    allowed_batch_rows: tuple[PositiveInt, ...] | None = None
    split_large_requests: bool | None = None
    max_queue_rows: PositiveInt | None = None
    max_queue_requests: PositiveInt | None = None
    max_queue_bytes: PositiveInt | None = None
    max_concurrent_batches: PositiveInt | None = None
    max_inline_run_us: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    priority_levels: Annotated[int, Meta(ge=0, le=100)] | None = None
    default_priority_level: PositiveInt | None = None


class TensorSettings(_Record, frozen=True, kw_only=True):
    """What is said about one tensor of a signature, instead of what the model's file says.

    Attributes
    ----------
    shape
        -1: any size; a text: a symbol.
    dtype
        Must equal the model's where the model's is known.
    """

    shape: tuple[int | str, ...] | None = None
    dtype: DType | None = None


class SignatureSettings(_Record, frozen=True, kw_only=True):
    """What is said about one signature.

    Attributes
    ----------
    batchable
        Overrules what the shapes say.
    inputs, outputs
        Tensor name -> what is said about it.
    convert
        Whether the model's converter makes its inputs; None: of ``serving_default`` alone.
    converter_options
        Laid over the model's own, key by key, for this signature.
    """

    batchable: bool | None = None
    convert: bool | None = None
    converter_options: dict[str, Any] = {}
    inputs: dict[str, TensorSettings] = {}
    outputs: dict[str, TensorSettings] = {}


class WarmupSettings(_Record, frozen=True, kw_only=True):
    """How a version is warmed up before it becomes available.

    Attributes
    ----------
    enabled
        False: not at all; None: unless the model remembers its requests.
    rows
        Row counts to run with small random numbers; two different ones show whether outputs follow the rows, and
        whether a row's answer depends on the rows beside it.
    records
        Recorded requests to run as well, a TFRecord file of PredictionLog messages. None:
        ``assets.extra/tf_serving_warmup_requests``, where the version has it; true: it has to; a text: another
        file, relative to the version's directory; false: none. If one fails, the version is not loaded.
    max_records
        Run so many of them at most, and leave the rest unread; None: all. More than 1000 are refused in any case.
    iterations
        How often each of them is run; None: once.
    """

    enabled: bool | None = None
    rows: Annotated[tuple[Annotated[int, Meta(ge=1, le=65_536)], ...], Meta(min_length=1)] | None = None
    records: bool | Annotated[str, Meta(min_length=1)] | None = None
    max_records: NonNegativeInt | None = None
    iterations: Annotated[int, Meta(ge=1, le=65_536)] | None = None


class ModelSettings(_Record, frozen=True, kw_only=True):
    """What ``navi.toml`` in a model or version directory may say.

    Attributes
    ----------
    runtime, converter
        Names; None: found by looking at the files. The converter ``none`` turns conversion off.
    runtime_options, converter_options
        Their own tables.
    service_options
        Service name -> what is said of this model to that service.
    signature
        The model's signature to serve as ``serving_default``.
    inputs, outputs
        Restrict and order the default signature's tensors.
    signatures
        Signature name -> what is said about it.
    batching, warmup
        See their records.
    intra_op_threads, inter_op_threads
        Thread counts for the runtime.
    """

    runtime: str | None = None
    converter: str | None = None
    runtime_options: dict[str, Any] = {}
    converter_options: dict[str, Any] = {}
    service_options: dict[str, dict[str, Any]] = {}
    signature: str | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    signatures: dict[str, SignatureSettings] = {}
    batching: BatchingSettings = BatchingSettings()
    warmup: WarmupSettings = WarmupSettings()
    intra_op_threads: NonNegativeInt | None = None
    inter_op_threads: NonNegativeInt | None = None


class VersionPolicySettings(_Record, frozen=True, kw_only=True):
    """Which versions are wanted: exactly one field is said; none means the newest one.

    Attributes
    ----------
    latest
        So many of the largest numbers.
    all
        True: every version.
    specific
        These, where they exist.
    """

    latest: PositiveInt | None = None
    all: bool | None = None
    specific: tuple[int, ...] | None = None


class ModelConfig(ModelSettings, frozen=True, kw_only=True):
    """One model of the host's configuration.

    Attributes
    ----------
    path
        The directory that holds the version directories; or a single file, which is version 1. A version directory
        stays as it is once it is complete; a single file may be replaced (by a rename, so that it is whole at any
        time), and what is new is loaded beside what serves, and takes over in one step.
    name
        None: the last part of ``path``; of a single file, without its suffix.
    versions
        Which versions are wanted.
    labels
        Version label -> version.
    transition
        ``availability``: load the new version before the old one goes; ``resource``: unload first, so that
        nothing serves while the new one loads, or when it cannot be loaded.
    completeness, stable_ms, marker
        When a version directory counts as complete: no change in it for ``stable_ms``, or it holds
        the file ``marker``.
    max_model_bytes
        Refuse a version that is larger; None: no limit.
    """

    path: Annotated[str, Meta(min_length=1)]
    name: Name | None = None
    versions: VersionPolicySettings = VersionPolicySettings()
    labels: dict[str, int] = {}
    transition: Literal["availability", "resource"] = "availability"
    completeness: Literal["stable", "marker"] = "stable"
    stable_ms: NonNegativeFloat = 2000.0
    marker: Annotated[str, Meta(min_length=1, pattern=r"^[^/\\\x00]+$")] = "_SUCCESS"
    max_model_bytes: PositiveInt | None = None

    @property
    def model_name(self) -> str:
        """The name that clients use."""
        return self.name or self.path.rstrip("/").rsplit("/", 1)[-1]


class TlsSettings(_Record, frozen=True, kw_only=True):
    """PEM files of a TLS listener; read again when they change.

    Attributes
    ----------
    key, certificate, chain
        The server's own key and certificate, and what follows it.
    client_ca
        Clients must show a certificate signed by one of these.
    """

    key: str
    certificate: str
    chain: str | None = None
    client_ca: tuple[str, ...] = ()


class TransportSettings(_Record, frozen=True, kw_only=True):
    """One transport's listener.

    Attributes
    ----------
    port
        0: any free port; None: the transport's own default.
    host
        None: the host-wide one.
    tls
        None: plain text.
    options
        The transport's own table.
    """

    port: Port | None = None
    host: str | None = None
    tls: TlsSettings | None = None
    options: dict[str, Any] = {}


class AuthSettings(_Record, frozen=True, kw_only=True):
    """Who may do what, by bearer token (``authorization: Bearer TOKEN``).

    A token file holds a token in each line, and is read again when it changes.

    Attributes
    ----------
    admin_token_file
        Admin operations need a token of this file, beside ``admin``; None: they need none.
    infer_token_file
        Inference needs a token of this file or of the admin one; None: everybody may.
    """

    admin_token_file: Annotated[str, Meta(min_length=1)] | None = None
    infer_token_file: Annotated[str, Meta(min_length=1)] | None = None


class HostConfig(_Record, frozen=True, kw_only=True):
    """The whole configuration of one host.

    Attributes
    ----------
    models
        The models to serve.
    host
        The address to listen on.
    transports
        Transport name -> listener; empty and in process: nothing listens.
    services
        Names of the services to offer; None: every installed one.
    service_options
        Service name -> its own table.
    runtimes, converters
        Plugin name -> host-wide options, overlaid by each model's.
    batching
        For every model, where the model itself, its ``navi.toml`` included, does not say.
    prometheus_port
        A port of its own for the metrics page; None: none (it is on the HTTP port anyway).
    metrics_paths
        Paths of the metrics page.
    admin
        Allow admin operations.
    model_roots
        Directories, or URIs. A model that comes by an admin operation, and not by this configuration, lies
        within one of them, links followed; empty: it may lie anywhere.
    auth
        See its record.
    drain_timeout_s
        How long a stop waits for what was taken.
    poll_interval_s
        Seconds between looks at the model directories; 0: once.
    meta_json
        Path of Navi's META.json; None: none.
    modelsync_command
        A command to run before each look, as in Navi; None: none.
    modelsync_timeout_s
        How long it may take.
    max_message_bytes
        The largest message, each way.
    memory_budget_bytes
        Bodies in flight may take so much; None: a quarter of the memory that the process may use.
    run_threads
        Threads that run batches; None: two a core, at least four.
    load_threads
        Threads that load models.
    load_retry_interval_s
        A failed load is tried again after this time, doubled each time up to five minutes.
    max_load_retries
        How often a failed load is tried again; None: as long as the version is wanted.
    workers
        Processes that ``navi-host serve`` starts, behind one port; 0: as many as there are cores. A host in process
        is that process alone.
    worker_timeout_s
        A worker that answers its parent nothing for so long is ended and replaced; one that starts, loads or
        unloads has six times as long.
    max_workers_loading
        While versions are served, so many workers load a new one at a time; None: all do at once, which is over
        soonest.
    default_deadline_ms
        Deadline of HTTP requests that bring none; 0: none.
    compat_metrics
        Other servers' metric families to show beside navi's.
    access_log
        Log a line for every request, and give each an id: the client's ``x-request-id``, or a new one.
    """

    models: tuple[ModelConfig, ...] = ()
    host: str = "127.0.0.1"
    transports: dict[str, TransportSettings] = {}
    services: tuple[str, ...] | None = None
    service_options: dict[str, dict[str, Any]] = {}
    runtimes: dict[str, dict[str, Any]] = {}
    converters: dict[str, dict[str, Any]] = {}
    batching: BatchingSettings = BatchingSettings()
    prometheus_port: Port | None = None
    metrics_paths: tuple[Annotated[str, Meta(pattern="^/")], ...] = ("/metrics",)
    admin: bool = False
    model_roots: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    auth: AuthSettings = AuthSettings()
    drain_timeout_s: NonNegativeFloat = 30.0
    poll_interval_s: NonNegativeFloat = 1.0
    meta_json: str | None = None
    modelsync_command: str | None = None
    modelsync_timeout_s: PositiveFloat = 300.0
    max_message_bytes: MessageBytes = 2**31 - 1
    memory_budget_bytes: PositiveInt | None = None
    run_threads: PositiveInt | None = None
    load_threads: PositiveInt = 2
    load_retry_interval_s: PositiveFloat = 5.0
    max_load_retries: NonNegativeInt | None = None
    workers: WorkerNumber = 1
    worker_timeout_s: PositiveFloat = 10.0
    max_workers_loading: PositiveInt | None = None
    default_deadline_ms: NonNegativeFloat = 30_000.0
    compat_metrics: tuple[Literal["navi", "tensorflow", "proton", "triton"], ...] = ()
    access_log: bool = False


_R = TypeVar("_R", bound=_Record)


def overlay(base: _R, over: ModelSettings | _R) -> _R:
    """Return ``base`` with everything that ``over`` says.

    Tables (``runtime_options``...) are merged key by key, nested records field by field; what ``over``
    does not say stays. Fields that ``base`` does not have are ignored.
    """
    changes: dict[str, Any] = {}
    for field in base.__struct_fields__:
        if field not in over.__struct_fields__:
            continue
        ours, theirs = getattr(base, field), getattr(over, field)
        if isinstance(ours, _Record) and isinstance(theirs, _Record):
            changes[field] = overlay(ours, theirs)
        elif isinstance(ours, dict) and isinstance(theirs, dict):
            changes[field] = _merge(ours, theirs)
        elif theirs is not None:
            changes[field] = theirs
    return msgspec.structs.replace(base, **changes)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        ours = merged.get(key)
        merged[key] = (
            overlay(ours, value) if isinstance(ours, _Record) and isinstance(value, _Record) else value
        )
    return merged
