"""The converter ``bpr``: BatchPredictionRequests in a string tensor -> the model's dense inputs.

Import-light: Numba is imported, and kernels are compiled or loaded, when a model is bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from msgspec import Struct

from navi_core import (
    Array,
    Artifact,
    BoundConverter,
    Converter,
    DType,
    NamedArrays,
    Plan,
    RowSpec,
    ServeFlag,
    Signature,
    TensorSpec,
    string_array,
)
from navi_dr_transform.binding import BoundInput, bind_inputs
from navi_dr_transform.layout import HOME
from navi_dr_transform.options import BprOptions
from navi_dr_transform.resolve import resolve_layout

if TYPE_CHECKING:
    from navi_dr_transform.decoder import Decoder, Measured

__all__ = ["BoundBprConverter", "BprConverter"]


def _any_is_home(_text: str) -> str:
    return HOME.name


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
    )

    def recognise(self, artifact: Artifact) -> bool:
        """Tell whether both mapping files of the home layout are there."""
        names = artifact.names()
        return HOME.segdense_file in names and HOME.all_config_file in names

    def bind(self, artifact: Artifact, signature: Signature, options: Any) -> BoundBprConverter:
        """Read the mapping files, match the model's inputs, compile or load the kernels."""
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
        )
        return BoundBprConverter(decoder, inputs, signature, options.input_name)


class BoundBprConverter(BoundConverter):
    """The converter for one loaded version. Thread-safe: nothing changes after construction.

    Parameters
    ----------
    decoder
        Makes the tensors.
    inputs
        Which input of the model takes which.
    signature
        The model's own.
    input_name
        What clients call the string input.
    """

    def __init__(
        self, decoder: Decoder, inputs: tuple[BoundInput, ...], signature: Signature, input_name: str
    ) -> None:
        self._decoder = decoder
        self._inputs = inputs
        self._rows = {
            bound.name: RowSpec(decoder.layout.tensors[bound.tensor].dtype, (bound.width,))
            for bound in inputs
        }
        # any rank: Navi looks at the strings alone, and clients send them as a scalar or a vector
        self.signature = Signature(
            inputs={input_name: TensorSpec(name=input_name, dtype=DType.STRING)},
            outputs=signature.outputs,
            not_batchable_because="its rows are the records inside the strings; the model's own are joined",
            method_name=signature.method_name,
            source="converter",
        )

    def plan(self, inputs: NamedArrays) -> Plan:
        """Read every length of every string."""
        (strings,) = inputs.values()
        measured = self._decoder.measure(string_array(strings).ravel().tolist())
        return Plan(
            num_rows=measured.num_rows,
            row_ends=measured.row_ends,
            size_bytes=measured.num_rows * self._decoder.row_size_bytes,
            rows=self._rows,
            payload=measured,
        )

    def fill(self, plan: Plan, out: Mapping[str, Array]) -> None:
        """Write the records of every string into rows. Releases the GIL."""
        measured = cast("Measured", plan.payload)
        self._decoder.fill(measured, {bound.tensor: out[bound.name] for bound in self._inputs})
