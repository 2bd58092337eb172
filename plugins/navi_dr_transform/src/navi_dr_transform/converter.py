"""The converter ``bpr``: BatchPredictionRequests in a string tensor -> the model's dense inputs.

Import-light: Numba is imported, and kernels are compiled or loaded, when a model is bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from msgspec import Meta, Struct

from navi_core import (
    Array,
    Artifact,
    BoundConverter,
    Converter,
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
from navi_dr_transform.feature_map import FeatureMap, home_feature_map
from navi_dr_transform.layout import HOME, LAYOUTS, Layout
from navi_dr_transform.segdense import read_all_config, read_segdense

if TYPE_CHECKING:
    from navi_dr_transform.decoder import Decoder, Measured

__all__ = ["BoundBprConverter", "BprConverter", "BprOptions", "read_feature_map"]


class BprOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[converters.bpr]``, and ``converter_options`` of a model.

    Attributes
    ----------
    layout
        Which tensors a request becomes.
    embedding_length
        What to do with an embedding of more values than its tensor has columns: take the first ones, as
        Navi, or refuse it (``strict``). One of fewer values is refused in any case.
    input_name
        What clients call the string input.
    segdense_file, all_config_file
        Names of the mapping files in the version's directory; empty: the layout's.
    widths
        Tensor name -> columns, for inputs whose width the model leaves open.
    """

    layout: Literal["home"] = "home"
    embedding_length: Literal["truncate", "strict"] = "truncate"
    input_name: Annotated[str, Meta(min_length=1)] = "examples"
    segdense_file: str = ""
    all_config_file: str = ""
    widths: dict[str, Annotated[int, Meta(ge=1, le=2**24)]] = {}


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
            help="Navi's flag; whatever it says means the home layout, the only one.",
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
        layout = LAYOUTS[options.layout]
        where = f"version {artifact.version} of model '{artifact.name}'"
        features = read_feature_map(artifact, layout, options.segdense_file, options.all_config_file)
        inputs = bind_inputs(layout, signature, options.widths, where)
        decoder = Decoder(
            layout,
            features,
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


def read_feature_map(
    artifact: Artifact, layout: Layout, segdense_file: str = "", all_config_file: str = ""
) -> FeatureMap:
    """Read the mapping files of a version.

    Parameters
    ----------
    artifact
        The version.
    layout
        Whose files.
    segdense_file, all_config_file
        Other names for them; empty: the layout's.

    Raises
    ------
    ModelLoadError
        A file is missing or wrong; names it.
    """
    segdense_file = segdense_file or layout.segdense_file
    all_config_file = all_config_file or layout.all_config_file
    return home_feature_map(
        read_segdense(_read(artifact, segdense_file), f"{artifact.where}/{segdense_file}"),
        read_all_config(_read(artifact, all_config_file), f"{artifact.where}/{all_config_file}"),
    )


def _read(artifact: Artifact, name: str) -> bytes:
    try:
        return artifact.read(name)
    except OSError as error:
        reason = error.strerror or "there is no such file"
        msg = f"converter 'bpr': expected the mapping file '{name}' in {artifact.where}, got: {reason}"
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version) from error
