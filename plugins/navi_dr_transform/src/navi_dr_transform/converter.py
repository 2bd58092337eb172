"""The converter ``bpr``: BatchPredictionRequests in a string tensor -> the model's dense inputs.

Import-light: Numba is imported, and kernels are compiled or loaded, when a model is bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from msgspec import Struct

from navi_core import (
    Array,
    Artifact,
    BoundConverter,
    Converter,
    ConverterMetric,
    DecodeError,
    DType,
    ModelLoadError,
    NamedArrays,
    Plan,
    RowSpec,
    ServeFlag,
    Signature,
    TensorSpec,
    string_array,
)
from navi_dr_transform.binding import BoundInput, bind_inputs
from navi_dr_transform.encode_families import read_families
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.layout import HOME
from navi_dr_transform.options import BprOptions
from navi_dr_transform.payload_encoder import STRUCTS, BprEncoder
from navi_dr_transform.reports import Reports
from navi_dr_transform.resolve import resolve_layout
from navi_dr_transform.response import ResponseEncoder, ResponseWriter

if TYPE_CHECKING:
    from navi_dr_transform.counting import Counting
    from navi_dr_transform.decoder import Decoder, Measured

__all__ = ["BoundBprConverter", "BprConverter"]


def _any_is_home(_text: str) -> str:
    return HOME.name


def _parse_ids(text: str) -> tuple[int, ...]:
    """Read a list of feature ids, as Navi's flags have it."""
    try:
        ids = tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise ValueError(f"expected feature ids, ID,ID..., got '{text}'") from None
    if any(not -(2**63) <= feature_id < 2**63 for feature_id in ids):
        raise ValueError(f"expected feature ids of 64 bits, got '{text}'")
    return ids


def _reported_ids(features: Iterable[str | int], known: Mapping[str, int]) -> list[int]:
    """Return the ids of features: their own, those of the segdense file, or the hashes of their names."""
    return [
        known.get(feature, feature_id(feature)) if isinstance(feature, str) else feature
        for feature in features
    ]


class BprConverter(Converter):
    """Twitter's thrift BatchPredictionRequest -> dense tensors, as Navi's dr_transform gives them."""

    name: ClassVar[str] = "bpr"
    aliases: ClassVar[tuple[str, ...]] = ("home",)
    options_type: ClassVar[type[Struct]] = BprOptions
    serve_flags: ClassVar[tuple[ServeFlag, ...]] = (
        ServeFlag(
            name="--onnx-use-converter",
            option="layout",
            help="Navi's flag; whatever it says means the home layout, the only one that Navi has.",
            metavar="NAME",
            parse=_any_is_home,
        ),
        *(
            ServeFlag(
                name=f"--onnx-report-{kind}-feature-ids",
                option=f"report_{kind}_features",
                help=f"Observe the values of {kind} features in histograms.",
                metavar="ID,...",
                parse=_parse_ids,
                scope="model",
            )
            for kind in ("discrete", "continuous")
        ),
    )

    def recognise(self, artifact: Artifact) -> bool:
        """Tell whether both mapping files of the home layout are there."""
        names = artifact.names()
        return HOME.segdense_file in names and HOME.all_config_file in names

    def bind(self, artifact: Artifact, signature: Signature, options: Any) -> BoundBprConverter:
        """Read the mapping files, match the model's inputs, compile or load the kernels."""
        from navi_dr_transform.counting import Counting  # noqa: PLC0415 - imports what kernels read
        from navi_dr_transform.decoder import Decoder  # noqa: PLC0415 - imports numba: only with a model

        options = options or BprOptions()
        where = f"version {artifact.version} of model '{artifact.name}'"
        resolved = resolve_layout(artifact, options)
        inputs = bind_inputs(resolved.layout, signature, options.widths, where)
        decoder = Decoder(
            resolved.layout,
            resolved.features,
            {bound.tensor: bound.width for bound in inputs},
            exact_embeddings=options.embedding_length == "strict",
            form=options.request,
        )
        ids = {name: feature for feature, name in resolved.names.items()}
        reports = Reports(
            _reported_ids(options.report_continuous_features, ids),
            _reported_ids(options.report_discrete_features, ids),
        )
        counting = Counting(reports, options.count_features_every)
        writer = _response_writer(options, signature, where)
        return BoundBprConverter(decoder, inputs, signature, options, counting, writer)

    def encoder(self, options: Any) -> BprEncoder:
        """Return what makes requests from columns."""
        options, families = read_families(options or BprOptions())
        return BprEncoder(
            options.input_name, form=options.request, compact=options.encode_compact, families=families
        )


def _response_writer(options: BprOptions, signature: Signature, where: str) -> ResponseWriter | None:
    """Return what writes answers as thrift; None: clients get tensors."""
    if options.response == "thrift":
        encoder = ResponseEncoder(signature.outputs, options.response_features, where)
        return ResponseWriter(encoder, options.response_name, options.request)
    if options.response_features:
        raise ModelLoadError(f"response_features of {where}: expected response = 'thrift' beside them")
    return None


class _Planned(NamedTuple):
    """A request that was planned.

    Parameters
    ----------
    measured
        Its payloads and what they hold.
    seconds
        Time that it took.
    """

    measured: Measured
    seconds: float


class BoundBprConverter(BoundConverter):
    """The converter for one loaded version. Thread-safe: after construction it only counts.

    Parameters
    ----------
    decoder
        Makes the tensors.
    inputs
        Which input of the model takes which.
    signature
        The model's own.
    options
        What clients call the string input, and how many records a string may hold.
    counting
        Counts what is decoded.
    writer
        Writes answers as thrift; None: clients get the model's outputs.
    """

    def __init__(
        self,
        decoder: Decoder,
        inputs: tuple[BoundInput, ...],
        signature: Signature,
        options: BprOptions,
        counting: Counting,
        writer: ResponseWriter | None = None,
    ) -> None:
        self._decoder = decoder
        self._inputs = inputs
        self._counting = counting
        self._writer = writer
        self._max_records = options.max_records
        self._rows = {
            bound.name: RowSpec(decoder.layout.tensors[bound.tensor].dtype, (bound.width,))
            for bound in inputs
        }
        # any rank: Navi looks at the strings alone, and clients send them as a scalar or a vector
        self.signature = Signature(
            inputs={
                options.input_name: TensorSpec(
                    name=options.input_name, dtype=DType.STRING, content=STRUCTS[options.request]
                )
            },
            outputs=signature.outputs if writer is None else writer.outputs,
            not_batchable_because="its rows are the records inside the strings; the model's own are joined",
            method_name=signature.method_name,
            source="converter",
        )

    def plan(self, inputs: NamedArrays) -> Plan:
        """Read every length of every string."""
        started = perf_counter()
        (strings,) = inputs.values()
        measured = self._decoder.measure(string_array(strings).ravel().tolist())
        self._check_records(measured)
        return Plan(
            num_rows=measured.num_rows,
            row_ends=measured.row_ends,
            size_bytes=measured.num_rows * self._decoder.row_size_bytes,
            rows=self._rows,
            payload=_Planned(measured, perf_counter() - started),
        )

    def _check_records(self, measured: Measured) -> None:
        for index, (num_records, *_) in enumerate(measured.spans):
            if num_records > self._max_records:
                msg = f"expected at most {self._max_records} records (max_records), got {num_records}"
                raise DecodeError(f"{self._decoder.struct}: {msg}", row=index)

    def fill(self, plan: Plan, out: Mapping[str, Array]) -> None:
        """Write the records of every string into rows. Releases the GIL."""
        started = perf_counter()
        planned = cast("_Planned", plan.payload)
        counters, reported = self._counting.new()
        tensors = {bound.tensor: out[bound.name] for bound in self._inputs}
        self._decoder.fill(planned.measured, tensors, counters)
        if reported is not None:
            self._decoder.report(planned.measured, self._counting.reports, reported)
        seconds = planned.seconds + perf_counter() - started
        self._counting.add(plan.num_rows, seconds, counters, reported)

    def encode(self, outputs: NamedArrays, plan: Plan) -> NamedArrays:
        """Write the answer as thrift where clients are to get that."""
        return outputs if self._writer is None else self._writer.write(outputs, plan.row_ends)

    def metrics(self) -> Sequence[ConverterMetric]:
        """Return what was decoded so far, in numbers."""
        return self._counting.metrics()
