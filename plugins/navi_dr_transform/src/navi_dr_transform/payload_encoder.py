"""The converter's way back, as clients of the host use it: columns with names -> one BatchPredictionRequest.

Import-light: NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from navi_core import Array, InvalidRequestError, NamedArrays, PayloadEncoder, RequestError
from navi_dr_transform.encode import FAMILIES, encode_batch, encode_records
from navi_dr_transform.encode_columns import FeatureKey, id_of
from navi_dr_transform.encode_families import Families

__all__ = ["PREDICTION_START", "STOP", "STRUCTS", "BprEncoder", "PayloadForm"]

PayloadForm: TypeAlias = Literal["batch", "prediction", "record"]
"""What a payload is: a BatchPredictionRequest, or one PredictionRequest or DataRecord for each row."""

STRUCTS: Final[Mapping[PayloadForm, str]] = {
    "batch": "BatchPredictionRequest",
    "prediction": "PredictionRequest",
    "record": "DataRecord",
}
"""Form -> the struct that a payload is."""

PREDICTION_START: Final = (
    b"\x0c\x00\x01"  # field 1, a struct: PredictionRequest.features, PredictionResponse.prediction
)
STOP: Final = b"\x00"


class BprEncoder(PayloadEncoder):
    """A column is the feature of its name, or of its id where the name is a decimal number.

    Its family is what the layout says of the feature. Where there is no layout, or the layout does not read it, the
    values say it: truths are binary features, floats continuous, arrays tensors, texts string features (blobs where
    they are no text), mappings of texts to numbers sparse continuous ones. ``FAMILY:NAME`` says it instead. Integers
    are continuous or discrete: without a layout that has to be said. Rows without a value, and NaN, are left out of
    their records.

    Parameters
    ----------
    input_name
        What clients call the string input.
    form
        What a payload is.
    compact
        Records are CompactDataRecords.
    families
        What the layout says; None: there is no layout.
    """

    def __init__(
        self,
        input_name: str,
        *,
        form: PayloadForm = "batch",
        compact: bool = False,
        families: Families | None = None,
    ) -> None:
        self.input_name = input_name
        self._form = form
        self._compact = compact
        self._families = families or Families()

    def encode(self, columns: NamedArrays) -> Array:
        """Make one payload of all rows, or one for each row where the form has no lists."""
        families: dict[str, Any] = {}  # family -> feature -> column
        names: dict[str, str] = {}  # feature, as the encoder's errors have it -> the column's name
        for name, column in columns.items():
            family, feature = self._placed(name, column)
            taken = families.setdefault(family, {})
            if feature in taken:
                raise RequestError(f"column '{name}': its feature has another column too", tensor=name)
            taken[feature] = column
            names.setdefault(str(feature), name)
        num_records = len(next(iter(columns.values()), ()))
        try:
            if self._form == "batch":
                payloads = [encode_batch(num_records=num_records, compact=self._compact, **families)]
            else:
                payloads = encode_records(families, num_records=num_records, compact=self._compact)
        except InvalidRequestError as error:
            raise RequestError(error.message, tensor=names.get(error.tensor, error.tensor)) from None
        if self._form == "prediction":
            payloads = [b"".join((PREDICTION_START, record, STOP)) for record in payloads]
        array = np.empty(len(payloads), dtype=object)
        array[:] = payloads
        return array

    def _placed(self, name: str, column: Array) -> tuple[str, FeatureKey]:
        """Return the family and the feature that a column means."""
        family, colon, feature = name.partition(":")
        is_said = bool(colon) and family in FAMILIES
        key: FeatureKey = feature if is_said else name
        key = self._families.ids.get(str(key), key)  # the mapping file's id, else the name's hash
        if is_said:
            return family, key
        try:
            known = self._families.of_ids.get(id_of(key, "column"), frozenset())
        except InvalidRequestError as error:
            raise RequestError(error.message, tensor=name) from None
        if len(known) == 1:
            return next(iter(known)), key
        family = _family_of_values(name, column)
        if known and family not in known:
            raise RequestError(
                f"column '{name}': the layout reads its feature as {' and as '.join(sorted(known))}, which one is "
                f"meant says '{min(known)}:{name}', say; its values look {family}",
                tensor=name,
            )
        if family == "discrete" and not known and not self._families.of_ids:
            raise RequestError(
                f"column '{name}': integers are continuous or discrete features: expected 'continuous:{name}' or "
                f"'discrete:{name}', or the option encode_version_dir, whose mapping files say which",
                tensor=name,
            )
        return family, key


def _family_of_values(name: str, column: Array) -> str:
    """Return the family that a column's values say."""
    if column.dtype.kind != "O":
        return _family_of(column.dtype.kind, column.ndim)
    kinds = set()
    for item in column.flat if column.ndim > 1 else column:
        if isinstance(item, bytes):
            kinds.add("strings" if column.ndim == 1 and _is_text(item) else "blobs")
        elif isinstance(item, Mapping):
            kinds.add("sparse_continuous")
        elif item is not None:
            array = np.asarray(item)
            kinds.add(_family_of(array.dtype.kind, array.ndim + 1))
    if column.ndim > 1:
        return "tensors"  # of strings
    if kinds == {"strings", "blobs"}:
        return "blobs"
    if len(kinds) > 1:
        raise RequestError(f"column '{name}': expected values of one kind, got {sorted(kinds)}", tensor=name)
    return kinds.pop() if kinds else "continuous"


def _family_of(kind: str, rank: int) -> str:
    if rank > 1:
        return "tensors"
    return {"b": "binary", "i": "discrete", "u": "discrete"}.get(kind, "continuous")


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
