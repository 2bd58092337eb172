"""The flags of TensorFlow Serving's ``tensorflow_model_server``, on ``navi-host serve``: one table.

They are left out of the help, which would be twice as long; the documentation has them all.

Each is obeyed, or has no effect and says why. :mod:`navi_core.cli.tf_serving_line` says what those that are
obeyed mean. ``--port`` and ``--version`` are navi's own flags, too, and stand here for the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import click
from msgspec import Meta

from navi_core.cli.lazy import version_option
from navi_core.cli.sections import OTHERS, Section
from navi_core.cli.serve_options import Value
from navi_core.config.records import NonNegativeInt, Port

__all__ = ["INERT", "TF_SERVING_FLAGS", "TfServingFlag", "given_flags", "tf_serving_sections"]

_PREFIX: Final = "tf_"
"""Before click's names for the values, which would clash with those of navi's own flags."""

_POLL: Final = Annotated[int, Meta(ge=-(10**9), le=10**9)]
_MICROS: Final = Annotated[int, Meta(ge=-(10**15), le=10**15)]
_MILLIS: Final = Annotated[int, Meta(ge=-(10**12), le=10**12)]

_ONE_LOOP: Final = "one event loop moves all bytes, and models run on --max-blocking-threads threads"
_NO_RUNTIME: Final = "no installed runtime takes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class TfServingFlag:
    """One flag.

    Parameters
    ----------
    name
        With dashes.
    kind
        The value's type, with its bounds; ``bool``: the flag may stand alone.
    meaning
        What it does here; of a flag without effect, why it has none.
    default
        TensorFlow Serving's, as its help shows it.
    is_inert
        It has no effect.
    is_own
        navi has a flag of the same name and meaning.
    metavar
        What stands for the value in the help.
    """

    name: str
    kind: Any
    meaning: str
    default: str = '""'
    is_inert: bool = False
    is_own: bool = False
    metavar: str = ""

    @property
    def key(self) -> str:
        """The name as Python has it: ``rest_api_port``."""
        return self.name.removeprefix("--").replace("-", "_")


def _obeyed(name: str, kind: Any, default: str, meaning: str, **rest: Any) -> TfServingFlag:
    return TfServingFlag(name=name, kind=kind, default=default, meaning=meaning, **rest)


def _inert(name: str, kind: Any, default: str, reason: str) -> TfServingFlag:
    return TfServingFlag(name=name, kind=kind, default=default, meaning=reason, is_inert=True)


TF_SERVING_FLAGS: Final[tuple[TfServingFlag, ...]] = (
    _obeyed("--port", Port, "8500", "the gRPC port; 0: no gRPC", is_own=True),
    _obeyed(
        "--grpc-socket-path",
        str,
        '""',
        "gRPC listens on this Unix socket, too; beside it `--port=0` is any free port",
        metavar="FILE",
    ),
    _obeyed("--rest-api-port", Port, "0", "the REST port; 0: no REST", metavar="PORT"),
    _obeyed(
        "--rest-api-timeout-in-ms", _MILLIS, "30000", "`default_deadline_ms`; 0 or less: none", metavar="MS"
    ),
    _obeyed("--rest-api-enable-cors-support", bool, "false", "`cors` of the service `tf_serving`"),
    _inert("--rest-api-num-threads", NonNegativeInt, "4 x CPUs", _ONE_LOOP),
    _inert("--grpc-max-threads", NonNegativeInt, "4 x CPUs", _ONE_LOOP),
    _obeyed(
        "--grpc-channel-arguments",
        str,
        '""',
        "`channel_arguments` of the transport `grpc`",
        metavar="NAME=VALUE,...",
    ),
    _obeyed("--model-name", str, "default", "the name of the model in `--model-base-path`", metavar="NAME"),
    _obeyed("--model-base-path", str, '""', "the directory of the model's versions", metavar="DIR"),
    _obeyed(
        "--model-config-file",
        str,
        '""',
        "the models, as a ModelServerConfig in text; the two flags before do not count then",
        metavar="FILE",
    ),
    _obeyed(
        "--model-config-file-poll-wait-seconds",
        _POLL,
        "0",
        "how often to read that file again; 0 or less: never. A file that is wrong changes nothing",
        metavar="SECONDS",
    ),
    _obeyed(
        "--allow-version-labels-for-unavailable-models",
        bool,
        "false",
        "`allow_unavailable_labels` of the service `tf_serving`; labels of the first configuration are always taken",
    ),
    _obeyed(
        "--file-system-poll-wait-seconds",
        _POLL,
        "1",
        "`poll_interval_s`; 0 or less: look once",
        metavar="SECONDS",
    ),
    _obeyed(
        "--enable-batching",
        bool,
        "false",
        "batching with TensorFlow Serving's parameters; `=false`: without batching; not given: navi's batching",
    ),
    _obeyed(
        "--batching-parameters-file",
        str,
        '""',
        "`[models.batching]` of every model; needs `--enable-batching`",
        metavar="FILE",
    ),
    _obeyed(
        "--enable-per-model-batching-parameters",
        bool,
        "false",
        "each version's `batching_params.pbtxt`; one without it is not batched. Needs `--enable-batching`",
    ),
    _obeyed("--num-load-threads", NonNegativeInt, "0", "`load_threads`; 0: navi's own number", metavar="N"),
    _inert("--num-unload-threads", NonNegativeInt, "0", "each version is unloaded on a thread of its own"),
    _obeyed("--max-num-load-retries", NonNegativeInt, "5", "`max_load_retries`", metavar="N"),
    _obeyed(
        "--load-retry-interval-micros",
        _MICROS,
        "60000000",
        "`load_retry_interval_s`, which doubles with each retry; 0 or less: at once",
        metavar="MICROS",
    ),
    _inert("--flush-filesystem-caches", bool, "true", "the system looks after the caches of files"),
    _obeyed(
        "--tensorflow-session-parallelism",
        NonNegativeInt,
        "0",
        "`intra_op_threads` and `inter_op_threads`",
        metavar="N",
    ),
    _obeyed("--tensorflow-intra-op-parallelism", NonNegativeInt, "0", "`intra_op_threads`", metavar="N"),
    _obeyed("--tensorflow-inter-op-parallelism", NonNegativeInt, "0", "`inter_op_threads`", metavar="N"),
    _inert("--tensorflow-session-config-file", str, '""', "runtimes are set up by `[runtime_options]`"),
    _inert("--platform-config-file", str, '""', "a model's files tell which runtime loads them"),
    _inert("--per-process-gpu-memory-fraction", float, "0", _NO_RUNTIME),
    _inert("--saved-model-tags", str, "serve", _NO_RUNTIME),
    _obeyed(
        "--ssl-config-file",
        str,
        '""',
        "TLS of the gRPC port, from PEM texts in an SSLConfig",
        metavar="FILE",
    ),
    _obeyed(
        "--use-alts-credentials",
        bool,
        "false",
        "refused if it is true: there is no ALTS, and no listener without the protection that is asked for",
    ),
    _obeyed(
        "--monitoring-config-file",
        str,
        '""',
        "TensorFlow Serving's metrics (`compat_metrics`) at its path, or the one that the file says",
        metavar="FILE",
    ),
    _obeyed("--enable-model-warmup", bool, "true", "`=false`: recorded requests are not run (`records`)"),
    _obeyed(
        "--num-request-iterations-for-warmup",
        int,
        "0",
        "how often each recorded request is run, if above 0 (`iterations`)",
        metavar="N",
    ),
    _obeyed(
        "--enable-signature-method-name-check",
        bool,
        "false",
        "`check_method_names` of the service `tf_serving`",
    ),
    _inert("--enable-profiler", bool, "true", "there is no profiler service"),
    _inert("--enable-grpc-healthcheck-service", bool, "false", "the health service is there in any case"),
    _obeyed(
        "--enable-serialization-as-tensor-content",
        bool,
        "false",
        "`response_tensors` of the service `tf_serving`",
    ),
    _inert("--mixed-precision", str, '""', _NO_RUNTIME),
    _inert("--prefer-tflite-model", bool, "false", _NO_RUNTIME),
    _inert("--num-tflite-pools", int, "number of CPUs", _NO_RUNTIME),
    _inert("--num-tflite-interpreters-per-pool", int, "1", _NO_RUNTIME),
    _inert("--remove-unused-fields-from-bundle-metagraph", bool, "true", _NO_RUNTIME),
    _inert("--xla-cpu-compilation-enabled", bool, "false", _NO_RUNTIME),
    _inert("--xla-gpu-compilation-enabled", bool, "false", _NO_RUNTIME),
    _inert("--skip-initialize-tpu", bool, "false", "no TPU is initialised in any case"),
    _inert("--thread-pool-factory-config-file", str, '""', _NO_RUNTIME),
    _obeyed("--version", bool, "false", "prints the version and exits", is_own=True),
)
"""Every flag, in the order of the documentation."""

INERT: Final = frozenset(flag.name for flag in TF_SERVING_FLAGS if flag.is_inert)
"""Flags that do nothing by themselves: a plugin's flag of the same name takes their place."""


class _Switch(Value):
    """A boolean in TensorFlow's spellings."""

    def __init__(self) -> None:
        super().__init__(bool, "BOOL")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; a text that is none is a usage error."""
        return super().convert(value.lower() if isinstance(value, str) else value, param, ctx)


def tf_serving_sections() -> list[Section]:
    """Return click's form of the flags that navi does not have itself; ``--version`` among them.

    They are hidden: whoever moves here has them in a script, and the documentation tells what each does.
    """
    obeyed = ", ".join(flag.name for flag in TF_SERVING_FLAGS if not flag.is_own and not flag.is_inert)
    return [
        Section(
            "TensorFlow Serving's flags",
            [_option(flag) for flag in TF_SERVING_FLAGS if not flag.is_own],
            f"As tensorflow_model_server has them: {obeyed}. All its others are taken, too, and have no effect "
            "(docs: coming from TensorFlow Serving).",
        ),
        Section(OTHERS, [version_option()]),
    ]


def _option(flag: TfServingFlag) -> click.Option:
    names = [f"{_PREFIX}{flag.key}", flag.name]
    shown = flag.meaning.replace("`", "")
    text = (
        f"TensorFlow Serving: has no effect: {shown}." if flag.is_inert else f"TensorFlow Serving: {shown}."
    )
    if flag.kind is bool:
        # it may stand alone
        return click.Option(
            names,
            type=_Switch(),
            is_flag=False,
            flag_value="true",
            metavar="[BOOL]",
            help=text,
            hidden=True,
        )
    return click.Option(names, type=Value(flag.kind, flag.metavar or "VALUE"), help=text, hidden=True)


def given_flags(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given, of click's values: ``rest_api_port`` -> 8501."""
    return {
        flag.key: value
        for flag in TF_SERVING_FLAGS
        if (value := values.get(f"{_PREFIX}{flag.key}")) is not None
    }
