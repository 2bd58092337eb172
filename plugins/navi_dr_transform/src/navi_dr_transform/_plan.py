"""Where things stand in a frozen layout (``tables.freeze``) and in the kernels' scratch memory.

Plain integers, because Numba freezes them into the kernels.

A *pass* takes one part of a DataRecord to one tensor: kernels make every pass of a part over its elements, so
several tensors of one source, and several columns for one feature, need no choice per element.
"""

from __future__ import annotations

from typing import Final

from navi_dr_transform import wire

# --- element types of tensors --------------------------------------------------------------------------------

F32: Final = 0
F64: Final = 1
I64: Final = 2
I32: Final = 3
U8: Final = 4  # bool too
SPAN: Final = 5  # of a string: offset in the payload (-1: none came) and length, two int64

# --- plan: one int64 array ---------------------------------------------------------------------------------------

NUM_TENSORS: Final = 0
NUM_EMBEDDINGS: Final = 1
EMBEDDINGS_AT: Final = 2  # index of the first embedding's fields
EXACT: Final = 3  # other than 0: embeddings of more values than columns are refused
SOURCES_AT: Final = 4  # passes of source s: from the [4 + s]th until the [5 + s]th
NUM_SOURCES: Final = 8  # numbered from 1
PASSES_AT: Final = SOURCES_AT + NUM_SOURCES + 2  # where the passes begin; the tables follow

# a pass
TENSOR: Final = 0
DTYPE: Final = 1
ONE: Final = 2  # the bits of 1 in the tensor's element type
TABLE: Final = (
    3  # index in the plan of the first slot's key; its place, a byte offset in the row, is the next
)
BUCKETS: Final = 4  # index of the first displacement
MULTIPLIER: Final = 5
BUCKET_SHIFT: Final = 6
SLOT_SHIFT: Final = 7
MASK: Final = 8
DEFAULT: Final = 9  # the bits of what stands where nothing came
CATEGORIES: Final = 10  # sparse features: index of the pass-like fields of the table of categories
LONGEST: Final = 11  # sparse features: bytes of the longest category
PASS_FIELDS: Final = 12

# what a sparse feature's slot points to instead of a place
NUM_COLUMNS: Final = 0
FEATURE_STATE: Final = 1  # index in the scratch memory: where the last one of this id begins in the field
COLUMNS: Final = 2  # their places

# what a category's slot points to (0: nothing)
CATEGORY_FEATURE: Final = 0
CATEGORY_PLACE: Final = 1
CATEGORY_LENGTH: Final = 2
CATEGORY_BYTES: Final = 3  # one an element

# an embedding
FEATURE_ID: Final = 0
EMBEDDING_TENSOR: Final = 1
EMBEDDING_WIDTH: Final = 2
EMBEDDING_DTYPE: Final = 3
EMBEDDING_STATE: Final = 4  # index in the scratch memory
EMBEDDING_FIELDS: Final = 5

# --- scratch: one int64 array -------------------------------------------------------------------------------------

FIELDS_AT: Final = 8  # of the record that is read: kind, count and offset of each field's elements
FIELD_SPAN: Final = 3
NUM_FIELDS: Final = 16
DIGITS_AT: Final = FIELDS_AT + FIELD_SPAN * NUM_FIELDS  # of an integer category, in decimal
NUM_DIGITS: Final = 20
STACK_AT: Final = DIGITS_AT + NUM_DIGITS  # of containers that are passed over: values left, their types
STACK_LEVEL: Final = 3
STATES_AT: Final = STACK_AT + STACK_LEVEL * wire.MAX_DEPTH  # of each pass, what the previous record was

# the state of a pass
LAST_KIND: Final = 0
LAST_COUNT: Final = 1
LAST_OFFSET: Final = 2
PROGRAM_SIZE: Final = 3  # entries of the program; -1: there is none
STATE_FIELDS: Final = 4

# the state of an embedding: the last tensor of its id in a field
LAST_VALUES: Final = 0  # where its values begin, of a sparse one where itself begins; -1: none came
LAST_FORM: Final = 1
EMBEDDING_STATE_FIELDS: Final = 2

# --- counters -------------------------------------------------------------------------------------------------------

RECORDS: Final = 0
FEATURES: Final = 1
MATCHED: Final = 2
TENSORS: Final = 3
MATCHED_TENSORS: Final = 4

MAX_PROGRAM: Final = 4096
"""Elements of a field that a program is made for; longer fields are looked up each time."""


def programs_end(num_passes: int) -> int:
    """Return where the states of embeddings and sparse features begin in the scratch memory."""
    return STATES_AT + num_passes * (STATE_FIELDS + MAX_PROGRAM)
