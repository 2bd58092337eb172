"""The layout that a segdense file describes: its tensors, and which features fill them.

Nothing is known beforehand but the file's form. A tensor comes from each of these:

* a dense part of ``densification_transform_spec`` (``cont``, ``binary``, ``discrete``, ``string``, ``blob``):
  ``generic_feature_type`` says which features it takes, ``fixed_length`` its width and ``default_value`` what
  stands where nothing came; the features' columns are in ``input_features_map``;
* an entry of ``complex_feature_type_transform_spec``: a feature that is a whole row;
* an entry of ``identity_transform_spec``: a feature that is passed through, a tensor of one column.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from navi_core import DType, ModelLoadError
from navi_dr_transform.defaults import DTYPE_WORDS, parse_default
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import DTYPES, MAX_WIDTH, Default, Layout, LayoutTensor, Source, usual_default
from navi_dr_transform.resolved import ResolvedLayout
from navi_dr_transform.segdense import BlobSpec, ComplexFeature, DenseSpec, InputFeature, SegDense
from navi_dr_transform.wording import expected_one_of

__all__ = ["FEATURE_TYPES", "feature_names", "segdense_layout"]

FEATURE_TYPES: Final = {
    1: Source.BINARY,
    2: Source.CONTINUOUS,
    3: Source.DISCRETE,
    4: Source.STRING,
    5: Source.SPARSE_BINARY,
    6: Source.SPARSE_CONTINUOUS,
    8: Source.BLOB,
    9: Source.TENSOR,
    10: Source.TENSOR,
}
"""FeatureType of data.thrift -> where such features stand in a DataRecord."""

_TENSOR_DTYPES: Final = {
    None: DType.FLOAT32,
    0: DType.FLOAT32,
    1: DType.FLOAT64,
    2: DType.INT32,
    3: DType.INT64,
    4: DType.INT32,
}
"""DataType of tensor.thrift -> element type of the dense tensor; others have no numbers."""

_PARTS: Final = ("cont", "binary", "discrete", "string", "blob")
_DENSE: Final = frozenset({Source.BINARY, Source.CONTINUOUS, Source.DISCRETE, Source.STRING, Source.BLOB})


def feature_names(segdense: SegDense) -> dict[int, str]:
    """Return feature id -> full name of every feature that the file names."""
    named: list[Any] = [*segdense.identity_transform_spec, *segdense.complex_feature_type_transform_spec]
    named += segdense.input_features_map.values()
    return {each.feature_id: each.full_feature_name for each in named}


def segdense_layout(
    segdense: SegDense, renamed: Mapping[str, str], widths: Mapping[str, int], where: str
) -> ResolvedLayout:
    """Build the layout that a segdense file describes.

    Parameters
    ----------
    segdense
        The file.
    renamed
        Tensor's name -> name in the file, as ``renamed_features`` of ``all_config.json``.
    widths
        Tensor's name -> columns, instead of the file's.
    where
        The file's place, for error texts.

    Raises
    ------
    ModelLoadError
        The file contradicts itself; names file and path.
    """
    builder = _Builder(segdense, {name: new for new, name in renamed.items()}, widths, where)
    builder.add_dense_parts()
    builder.add_complex_features()
    num_positional = len(builder.tensors)
    builder.add_identity_features()
    layout = Layout(
        name="segdense",
        tensors=tuple(builder.tensors),
        positions={num_positional: tuple(range(num_positional))} if num_positional else {},
        segdense_file="",
        all_config_file="",
    )
    columns = {key: tuple(places) for key, places in builder.columns.items()}
    return ResolvedLayout(layout, FeatureMap(columns, builder.embeddings), feature_names(segdense))


class _Builder:
    """Collects tensors and places."""

    def __init__(
        self, segdense: SegDense, new_names: Mapping[str, str], widths: Mapping[str, int], where: str
    ) -> None:
        self.tensors: list[LayoutTensor] = []
        self.columns: defaultdict[tuple[Source, int], list[Place]] = defaultdict(list)
        self.embeddings: dict[int, int] = {}
        self._segdense = segdense
        self._new_names = new_names
        self._widths = widths
        self._where = where

    def add_dense_parts(self) -> None:
        features = _by_source(self._segdense)
        taken: dict[Source, str] = {}
        for part, spec in self._parts():
            path = f"{self._where}: $.densification_transform_spec.{part}"
            source = FEATURE_TYPES.get(spec.generic_feature_type)
            if source not in _DENSE:
                words = ", ".join(
                    f"{number} ({FEATURE_TYPES[number].name.lower()})" for number in (1, 2, 3, 4, 8)
                )
                msg = f"{path}.generic_feature_type: expected one of {words}, got {spec.generic_feature_type}"
                raise ModelLoadError(msg)
            if source in taken:
                msg = f"{path}.generic_feature_type: expected another type than that of '{taken[source]}', got {spec.generic_feature_type}"
                raise ModelLoadError(msg)
            taken[source] = part
            own = features.get(source, {})
            if own or spec.fixed_length > 0:
                self._add_dense(part, spec, source, own, path)

    def _add_dense(
        self,
        part: str,
        spec: DenseSpec | BlobSpec,
        source: Source,
        features: Mapping[str, InputFeature],
        path: str,
    ) -> None:
        name = self._dense_name(part, spec)
        last = max((feature.index for feature in features.values()), default=-1)
        width = self._widths.get(name) or (spec.fixed_length if spec.fixed_length > 0 else last + 1)
        if width > MAX_WIDTH:
            raise ModelLoadError(f"{path}.fixed_length: expected at most {MAX_WIDTH}, got {width}")
        dtype, default = self._type_and_default(spec, source, path)
        index = self._add(LayoutTensor(name, dtype, width, source, default), path)
        for key, feature in features.items():
            if feature.index >= width:
                msg = (
                    f"{self._where}: $.input_features_map[{key!r}][0].index: expected a column below {width}, "
                    f"which '{name}' has ({part}.fixed_length), got {feature.index}; "
                    f"option 'widths' can give '{name}' more columns"
                )
                raise ModelLoadError(msg)
            self.columns[source, feature.feature_id].append(Place(index, feature.index))

    def add_complex_features(self) -> None:
        for number, feature in enumerate(self._segdense.complex_feature_type_transform_spec):
            path = f"{self._where}: $.complex_feature_type_transform_spec[{number}]"
            dtype = _TENSOR_DTYPES.get(feature.tensor_data_type)
            if (
                feature.maybe_exclude
                or FEATURE_TYPES.get(feature.feature_type) is not Source.TENSOR
                or dtype is None
            ):
                continue
            name = self._new_names.get(feature.full_feature_name, feature.full_feature_name)
            if any(each.name == name for each in self.tensors):
                continue  # the first entry of a name counts, as in Navi
            width = self._widths.get(name) or _num_elements(feature, path)
            index = self._add(LayoutTensor(name, dtype, width, Source.TENSOR, 0), path)
            self.embeddings[index] = feature.feature_id

    def add_identity_features(self) -> None:
        for number, feature in enumerate(self._segdense.identity_transform_spec):
            source = FEATURE_TYPES.get(feature.feature_type)
            if source not in _DENSE:
                continue
            path = f"{self._where}: $.identity_transform_spec[{number}]"
            name = self._new_names.get(feature.full_feature_name, feature.full_feature_name)
            if any(each.name == name for each in self.tensors):
                continue
            tensor = LayoutTensor(name, DTYPES[source][0], 1, source, usual_default(source))
            index = self._add(tensor, path)
            self.columns[source, feature.feature_id].append(Place(index, 0))

    def _parts(self) -> Iterator[tuple[str, DenseSpec | BlobSpec]]:
        specs = self._segdense.densification_transform_spec
        for part in _PARTS:
            if part != "string":
                yield part, getattr(specs, part)
            elif isinstance(specs.string, dict) and "fixed_length" in specs.string:
                try:
                    yield part, msgspec.convert(specs.string, BlobSpec)
                except msgspec.ValidationError as error:
                    path = f"{self._where}: $.densification_transform_spec.string"
                    raise ModelLoadError(f"{path}: {error}") from None

    def _dense_name(self, part: str, spec: DenseSpec | BlobSpec) -> str:
        """Return what renames make of a part's name, or its tag, or its identifier."""
        known = (
            spec.tag,
            spec.feature_identifier,
            f"{self._segdense.common_prefix}_{part}__segdense_vals",
            part,
        )
        new = next((self._new_names[name] for name in known if name in self._new_names), None)
        return new or spec.tag or spec.feature_identifier or part

    def _type_and_default(
        self, spec: DenseSpec | BlobSpec, source: Source, path: str
    ) -> tuple[DType, Default]:
        path += ".default_value"
        word = spec.default_value.type.strip().lower()
        dtype = DTYPES[source][0]
        if word:
            if word not in DTYPE_WORDS:
                raise ModelLoadError(f"{path}.type: {expected_one_of(DTYPE_WORDS, spec.default_value.type)}")
            dtype = DTYPE_WORDS[word]
        if dtype not in DTYPES[source]:
            allowed = ", ".join(DTYPES[source])
            msg = f"{path}.type: expected a type of {source.name.lower()} features ({allowed}), got '{spec.default_value.type}'"
            raise ModelLoadError(msg)
        if not spec.default_value.value and dtype is not DType.STRING:
            return dtype, usual_default(source)
        return dtype, parse_default(spec.default_value.value, dtype, f"{path}.value")

    def _add(self, tensor: LayoutTensor, path: str) -> int:
        if any(each.name == tensor.name for each in self.tensors):
            raise ModelLoadError(
                f"{path}: expected another name than '{tensor.name}', which another tensor has"
            )
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _by_source(segdense: SegDense) -> Mapping[Source, dict[str, InputFeature]]:
    """Return the features that have a column by source, each with its key; of one id the key that sorts last counts."""
    last = {
        feature.feature_id: (key, feature)
        for key, feature in sorted(segdense.input_features_map.items())
        if not feature.maybe_exclude and feature.index >= 0
    }
    found: dict[Source, dict[str, InputFeature]] = defaultdict(dict)
    for key, feature in last.values():
        source = FEATURE_TYPES.get(feature.feature_type)
        if source is not None:
            found[source][key] = feature
    return found


def _num_elements(feature: ComplexFeature, path: str) -> int:
    """Return a tensor's number of elements; 0 where the file does not say it."""
    width = math.prod(feature.tensor_shape) if all(size > 0 for size in feature.tensor_shape) else -1
    if width < 0 or width > MAX_WIDTH:
        msg = f"{path}.tensor_shape: expected sizes of at least 1 and at most {MAX_WIDTH} elements, got {feature.tensor_shape}"
        raise ModelLoadError(msg)
    return width if feature.tensor_shape else 0
