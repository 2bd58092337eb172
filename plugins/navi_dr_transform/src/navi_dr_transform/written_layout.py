"""From a layout section to a layout: its tensors laid over those of its base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from navi_core import DType, ModelLoadError
from navi_dr_transform.defaults import checked_default
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import DTYPES, SPARSE, Layout, LayoutTensor, Source, usual_default
from navi_dr_transform.layout_section import FeatureEntry, LayoutSection, TensorSection
from navi_dr_transform.resolved import ResolvedLayout
from navi_dr_transform.wording import expected_one_of

__all__ = ["NOTHING", "written_layout"]

NOTHING = ResolvedLayout(Layout("none", (), {}, "", ""), FeatureMap({}, {}), {})
"""The layout without tensors, which a section that has no base starts from."""


def written_layout(section: LayoutSection, base: ResolvedLayout, path: str) -> ResolvedLayout:
    """Lay a section's tensors over those of its base.

    Parameters
    ----------
    section
        The section.
    base
        The layout that it starts from.
    path
        Where the section stands, for error texts.

    Raises
    ------
    ModelLoadError
        The section contradicts itself or its base; names the path.
    """
    writer = _Writer(base, path)
    writer.rename(section.rename)
    for number, tensor in enumerate(section.tensors):
        writer.write(tensor, f"{path}.tensors[{number}]")
    if not writer.tensors:
        raise ModelLoadError(f"{path}.tensors: expected at least one tensor, got none")
    return writer.result(section)


class _Writer:
    """A layout that is being changed."""

    def __init__(self, base: ResolvedLayout, path: str) -> None:
        self.tensors = list(base.layout.tensors)
        self._base = base
        self._path = path
        self._columns = {key: list(places) for key, places in base.features.columns.items()}
        self._embeddings = dict(base.features.embeddings)
        self._names = dict(base.names)
        self._ids = {name: feature for feature, name in base.names.items()}
        self._written: set[str] = set()

    def rename(self, names: Mapping[str, str]) -> None:
        old_names = [tensor.name for tensor in self.tensors]
        for old, new in names.items():
            path = f"{self._path}.rename.{old}"
            if old not in old_names:
                problem = (
                    expected_one_of(old_names, old) if old_names else "expected a base that has it, got none"
                )
                raise ModelLoadError(f"{path}: {problem}")
            index = old_names.index(old)
            self.tensors[index] = replace(self.tensors[index], name=new)
        self._check_unique()

    def _check_unique(self) -> None:
        seen: set[str] = set()
        for tensor in self.tensors:
            if tensor.name in seen:
                raise ModelLoadError(
                    f"{self._path}: expected every tensor to have a name of its own, got '{tensor.name}' twice"
                )
            seen.add(tensor.name)

    def write(self, section: TensorSection, path: str) -> None:
        if section.name in self._written:
            raise ModelLoadError(
                f"{path}.name: expected another name than '{section.name}', which an earlier tensor has"
            )
        self._written.add(section.name)
        index = next((i for i, each in enumerate(self.tensors) if each.name == section.name), None)
        before = None if index is None else self.tensors[index]
        source = self._source(section, before, path)
        entries = _entries(section, source, path)
        if index is None:
            index = len(self.tensors)
            if entries is None:
                raise ModelLoadError(
                    f"{path}: expected '{_wanted(source)}' of the new tensor '{section.name}', got none"
                )
        last = self._place(index, source, entries, path)
        tensor = _tensor(section, source, before, last, path)
        if last >= tensor.width > 0:
            msg = f"{path}.width: expected more than {last} columns, which the features need, got {tensor.width}"
            raise ModelLoadError(msg)
        self.tensors[index : index + 1] = [tensor]

    def _source(self, section: TensorSection, before: LayoutTensor | None, path: str) -> Source:
        if section.source is not None:
            source = Source[section.source.upper()]
            if before is not None and before.source is not source:
                msg = f"{path}.source: expected {before.source.name.lower()}, which the base's '{before.name}' comes from, got {section.source}"
                raise ModelLoadError(msg)
            return source
        if before is not None:
            return before.source
        known = [each.name for each in self.tensors]
        hint = (
            f", or the name of one of the base's tensors: {expected_one_of(known, section.name)}"
            if known
            else ""
        )
        raise ModelLoadError(
            f"{path}.source: expected the source of the new tensor '{section.name}', got none{hint}"
        )

    def _place(self, index: int, source: Source, entries: Sequence[FeatureEntry] | None, path: str) -> int:
        """Put features into a tensor's columns; return the last column."""
        if entries is None:  # the base's features stay
            places = [place for each in self._columns.values() for place in each if place.tensor == index]
            return max((place.column for place in places), default=-1)
        self._forget(index)
        if source is Source.TENSOR:
            self._embeddings[index] = self._id(entries[0], f"{path}.feature")
            return -1
        taken: dict[int, str] = {}
        seen: dict[tuple[int, str | None], int] = {}
        column = last = -1
        for number, entry in enumerate(entries):
            where = f"{path}.features[{number}]"
            feature = self._id(entry, where)
            column = column + 1 if entry.column is None else entry.column
            if column in taken:
                msg = f"{where}: expected a column of its own for {_shown(entry)}, got {column}, which {taken[column]} has"
                raise ModelLoadError(msg)
            if (feature, entry.category) in seen:
                msg = f"{where}: expected every feature once, got {_shown(entry)}, which has column {seen[feature, entry.category]} too"
                raise ModelLoadError(msg)
            taken[column], seen[feature, entry.category] = _shown(entry), column
            category = None if entry.category is None else entry.category.encode()
            self._columns.setdefault((source, feature), []).append(Place(index, column, category))
            last = max(last, column)
        return last

    def _forget(self, index: int) -> None:
        self._embeddings.pop(index, None)
        for key, places in list(self._columns.items()):
            kept = [place for place in places if place.tensor != index]
            if kept:
                self._columns[key] = kept
            else:
                del self._columns[key]

    def _id(self, entry: FeatureEntry, path: str) -> int:
        """Return a feature's id: its own, that of the segdense file, or the hash of its name."""
        if (entry.name is None) == (entry.id is None):
            raise ModelLoadError(
                f"{path}: expected either 'name' or 'id', got {'neither' if entry.id is None else 'both'}"
            )
        if entry.name is None:
            assert entry.id is not None  # noqa: S101 - one of the two, see above
            return entry.id
        found = self._ids.get(entry.name)
        if found is None:
            found = self._ids[entry.name] = feature_id(entry.name)
            self._names.setdefault(found, entry.name)
        return found

    def result(self, section: LayoutSection) -> ResolvedLayout:
        base = self._base.layout
        names = [tensor.name for tensor in self.tensors]
        positions = dict(base.positions) or {len(names): tuple(range(len(names)))}
        if section.order:
            for number, name in enumerate(section.order):
                path = f"{self._path}.order[{number}]"
                if name not in names:
                    raise ModelLoadError(f"{path}: {expected_one_of(names, name)}")
                if name in section.order[:number]:
                    raise ModelLoadError(f"{path}: expected every tensor once, got '{name}' again")
            positions = {len(section.order): tuple(names.index(name) for name in section.order)}
        layout = Layout(
            name=base.name if base.tensors else "written",
            tensors=tuple(self.tensors),
            positions=positions,
            segdense_file=base.segdense_file,
            all_config_file=base.all_config_file,
        )
        columns = {key: tuple(places) for key, places in self._columns.items()}
        return ResolvedLayout(layout, FeatureMap(columns, self._embeddings), self._names)


def _entries(section: TensorSection, source: Source, path: str) -> Sequence[FeatureEntry] | None:
    """Return the features that a section names; None: it names none."""
    if section.feature is not None and section.features is not None:
        raise ModelLoadError(f"{path}: expected either 'feature' or 'features', got both")
    if section.categories is not None and (source not in SPARSE or section.feature is None):
        raise ModelLoadError(f"{path}.categories: expected one sparse 'feature' that has them, got none")
    if section.features is not None:
        if source is Source.TENSOR:
            raise ModelLoadError(
                f"{path}.features: expected 'feature', since one tensor fills a whole row, got 'features'"
            )
        entries = [_entry(each) for each in section.features]
    elif section.feature is not None:
        one = _entry(section.feature)
        if source in SPARSE and section.categories is None:
            raise ModelLoadError(
                f"{path}.categories: expected the categories of the sparse feature by column, got none"
            )
        categories = section.categories if section.categories is not None else (None,)
        entries = [FeatureEntry(name=one.name, id=one.id, category=category) for category in categories]
    else:
        return None
    _check_entries(entries, source, path)
    return entries


def _check_entries(entries: Iterable[FeatureEntry], source: Source, path: str) -> None:
    number = -1
    for number, entry in enumerate(entries):
        if (entry.category is not None) != (source in SPARSE):
            expected = (
                "the category of a sparse feature"
                if source in SPARSE
                else "none, since only sparse features have them"
            )
            raise ModelLoadError(
                f"{path}.features[{number}].category: expected {expected}, got {entry.category!r}"
            )
    if number < 0:
        raise ModelLoadError(f"{path}: expected at least one feature, got none")


def _entry(feature: str | int | FeatureEntry) -> FeatureEntry:
    if isinstance(feature, FeatureEntry):
        return feature
    return FeatureEntry(name=feature) if isinstance(feature, str) else FeatureEntry(id=feature)


def _tensor(
    section: TensorSection, source: Source, before: LayoutTensor | None, last: int, path: str
) -> LayoutTensor:
    allowed = DTYPES[source]
    if section.dtype is not None:
        dtype = DType(section.dtype)
    else:
        dtype = before.dtype if before is not None else allowed[0]
    if dtype not in allowed:
        msg = f"{path}.dtype: expected a type of {source.name.lower()} features ({', '.join(allowed)}), got {dtype}"
        raise ModelLoadError(msg)
    if section.default is not None:
        default = checked_default(section.default, dtype, f"{path}.default")
    else:
        default = before.default if before is not None else usual_default(source)
        if before is not None and before.dtype is not dtype:
            default = checked_default(default, dtype, f"{path}.default (the base's)")
    width = section.width or (before.width if before is not None and before.width > last else last + 1)
    return LayoutTensor(section.name, dtype, width, source, default)


def _wanted(source: Source) -> str:
    return "feature" if source is Source.TENSOR else "features"


def _shown(entry: FeatureEntry) -> str:
    feature = f"'{entry.name}'" if entry.name is not None else str(entry.id)
    return feature if entry.category is None else f"{feature} '{entry.category}'"
