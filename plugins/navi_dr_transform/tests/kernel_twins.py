"""The kernels of the home layout beside the reference: one payload through both, and everything compared."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from navi_dr_transform import _kernels, wire
from navi_dr_transform._memory import rows_of
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, HOME_EMBEDDINGS, HomeTensor, Source
from navi_dr_transform.reference import Reference
from navi_dr_transform.tables import freeze

WIDTHS = (4, 3, 2, 2, 3, 1)
IDS = (-2, -3, -2)  # two embeddings share an id
COLUMNS = {
    (Source.CONTINUOUS, 7): (Place(HomeTensor.CONTINUOUS, 0),),
    (Source.CONTINUOUS, 8): (Place(HomeTensor.CONTINUOUS, 2),),
    (Source.CONTINUOUS, -9): (Place(HomeTensor.CONTINUOUS, 3),),
    (Source.BINARY, 5): (Place(HomeTensor.BINARY, 1),),
    (Source.BINARY, 6): (Place(HomeTensor.BINARY, 2),),
    (Source.DISCRETE, 20): (Place(HomeTensor.DISCRETE, 0),),
    (Source.DISCRETE, 21): (Place(HomeTensor.DISCRETE, 1),),
}
FEATURES = FeatureMap(COLUMNS, dict(zip(HOME_EMBEDDINGS, IDS, strict=True)))
DTYPES = ("f4", "i8", "i8", "f4", "f4", "f4")


def run(payload, *, exact=0, first_row=1, spare=2, widths=WIDTHS, form=wire.BATCH):
    """Measure and fill with the kernels; rows around the request's own must stay as they are."""
    wanted = {tensor: width for tensor, width in zip(HomeTensor, widths, strict=True) if width}
    frozen = freeze(HOME, FEATURES, wanted, exact=bool(exact))
    scratch = np.full(frozen.scratch_size, 77)
    status, offset, num_records, records, common = _kernels.measure(payload, form, frozen.plan, scratch)
    if status != wire.OK:
        return SimpleNamespace(status=status, offset=offset, rows=None)
    out = [
        np.full((num_records + first_row + spare, width), 77, dtype=DTYPES[tensor])
        for tensor, width in wanted.items()
    ]
    template = [np.empty_like(row) for row in frozen.defaults]
    filled = _kernels.fill(
        payload,
        num_records,
        records,
        common,
        frozen.plan,
        frozen.displacements,
        rows_of(frozen.defaults),
        rows_of(template),
        rows_of(out),
        first_row,
        scratch,
        np.empty(0, np.int64),
    )
    for array in out:
        assert (array[:first_row] == 77).all()
        assert (array[first_row + num_records :] == 77).all()
    rows = [array[first_row : first_row + num_records] for array in out]
    return SimpleNamespace(
        status=status, offset=offset, span=(num_records, records, common), filled=tuple(filled), rows=rows
    )


def check_twins(payload, *, exact=0, form=wire.BATCH):
    """Run the kernels and the reference, compare everything they answer, and return it."""
    ours = run(payload, exact=exact, form=form)
    reference = Reference(
        HOME, FEATURES, dict(zip(HomeTensor, WIDTHS, strict=True)), exact=bool(exact), form=form
    )
    status, offset, *span = reference.measure(payload)
    assert (ours.status, ours.offset) == (status, offset)
    if ours.rows is not None:
        assert ours.span == tuple(span)
        end, rows = reference.fill(payload)
        assert ours.filled == (wire.OK, end)
        for mine, other in zip(ours.rows, rows.values(), strict=True):
            np.testing.assert_array_equal(mine, other)
    return ours
